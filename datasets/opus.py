"""Ogg/Opus files that come out the same each time they are written."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

# libsndfile's scale from 256 kbit/s (0) down to 6 kbit/s (1), linear.
_FASTEST, _SLOWEST = 256_000, 6_000
# RFC 3533, 6: where a page's header holds what.
_SERIAL, _CHECKSUM, _N_SEGMENTS, _SEGMENTS = 14, 22, 26, 27
# libsndfile crashes on very long single writes.
_BLOCK = 65_536


def encode(samples: NDArray[np.float32], sample_rate: int, *, bits_per_s: int, serial: int) -> bytes:
    """An Ogg/Opus file; the decoder gives back as many samples, none of them shifted.

    Args:
        samples: float32 [samples], full scale ±1.
        sample_rate: 8, 12, 16, 24 or 48 kHz.
        bits_per_s: 6,000 to 256,000, about what comes out.
        serial: the stream's number. libsndfile draws one from the clock, so no two of its files are the same.
    """
    target = io.BytesIO()
    level = (_FASTEST - bits_per_s) / (_FASTEST - _SLOWEST)
    with soundfile.SoundFile(
        target, "w", sample_rate, 1, format="OGG", subtype="OPUS", compression_level=level
    ) as file:
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    return with_serial(target.getvalue(), serial)


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The same Ogg file with another stream number, the checksum of each page made anew."""
    pages = []
    for page in _pages(ogg):
        page[_SERIAL : _SERIAL + 4] = serial.to_bytes(4, "little")
        page[_CHECKSUM : _CHECKSUM + 4] = bytes(4)
        page[_CHECKSUM : _CHECKSUM + 4] = _checksum(page).to_bytes(4, "little")
        pages.append(page)
    return b"".join(pages)


def _pages(ogg: bytes) -> Iterator[bytearray]:
    start = 0
    while start < len(ogg):
        if ogg[start : start + 4] != b"OggS":
            raise ValueError(f"no Ogg page at byte {start}")
        segments = ogg[start + _SEGMENTS : start + _SEGMENTS + ogg[start + _N_SEGMENTS]]
        end = start + _SEGMENTS + len(segments) + sum(segments)
        yield bytearray(ogg[start:end])
        start = end


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes | bytearray) -> int:
    """Ogg's CRC-32: zlib's polynomial, but bits in the other order, beginning and ending at 0.

    zlib's register begins and ends at all ones; passing the complement of a beginning cancels the first, an
    exclusive-or the second.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
