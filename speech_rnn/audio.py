"""The one gate for sound: a file or an array of any rate, channels and sample format -> mono float32, full scale ±1.

Everything that is not the sound it claims to be is refused here, with the file's name, so that nothing behind the
gate has to look again. Files are decoded in blocks, forward only, whatever their length.
"""

from __future__ import annotations

import math
import numbers
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from speech_rnn.errors import AudioError

FULL_SCALE_INT16 = 32_768
LOWEST_RATE_HZ = 1_000
HIGHEST_RATE_HZ = 768_000  # the fastest converters sold
LOUDEST = 100.0  # 40 dB over full scale: no sound, but integers that nobody has scaled
MAX_ARRAY_CHANNELS = 32  # more in an array means that samples and channels are exchanged
DECODED_SAMPLES = 131_072  # read from a file at a time, all channels together

_READABLE = "WAV, FLAC, Ogg Vorbis, Opus and MP3 can be read"


def read_audio(path: str | Path, sample_rate: int) -> NDArray[np.float32]:
    """A whole sound file as mono samples.

    Args:
        path: a WAV, FLAC, Ogg Vorbis, Opus or MP3 file of any rate, channels and sample format.
        sample_rate: the wanted rate in Hz, 1,000 to 768,000.

    Returns:
        float32 [samples], the mean of the channels, full scale ±1 (lossy formats may go beyond a little).

    Raises:
        AudioError: the file is missing, not a sound file, empty, cut off or damaged, or holds NaN or infinity.
    """
    _check_rate(sample_rate, "sample_rate")
    return np.concatenate(list(_converted(path, sample_rate)))


def read_blocks(path: str | Path, sample_rate: int, block_s: float = 10.0) -> Iterator[NDArray[np.float32]]:
    """The same samples as :func:`read_audio`, bit for bit, in blocks and constant memory.

    Args:
        path: see :func:`read_audio`.
        sample_rate: the wanted rate in Hz.
        block_s: length of a block in seconds, above 0; the last block is what is left, at least one sample.

    Raises:
        AudioError: as :func:`read_audio`; damage in the middle of a file when the iteration gets there.
    """
    _check_rate(sample_rate, "sample_rate")
    if not 0.0 < block_s < math.inf:
        raise AudioError(f"block_s={block_s!r} must be above 0 seconds; 10.0 is usual")
    return _regrouped(_converted(path, sample_rate), max(1, round(block_s * sample_rate)))


def to_chunk(samples: NDArray[Any], rate: float) -> NDArray[np.float32]:
    """A piece of an endless sound, checked and mono, at the rate that it has.

    Args:
        samples: [samples] or [samples, channels] as in :func:`to_mono`; no sample is a piece too.
        rate: what they were taken at, in Hz.

    Returns:
        float32 [samples], full scale ±1.

    Raises:
        AudioError: wrong shape or dtype, NaN or infinity, or a rate out of range.
    """
    _check_rate(rate, "rate")
    scaled = _scaled(samples, "samples")
    if scaled.ndim == 2:
        if not 1 <= scaled.shape[1] <= MAX_ARRAY_CHANNELS:
            raise AudioError(
                f"samples of shape {scaled.shape} must be [samples, channels] with 1 to {MAX_ARRAY_CHANNELS} channels; "
                "transpose them"
            )
        scaled = scaled.mean(axis=1)
    if scaled.ndim == 1 and not scaled.size:
        return np.zeros(0, np.float32)
    return check_samples(scaled, "samples")


def to_mono(samples: NDArray[Any], rate: float, sample_rate: int) -> NDArray[np.float32]:
    """An array of samples at another rate, as mono samples at the wanted one.

    Integers are divided by their full scale (int16 by 32,768; uint8 lies around 128), channels are averaged, and
    soxr resamples ``n`` samples to about ``n * sample_rate / rate``.

    Args:
        samples: [samples] or [samples, channels] of a float dtype or of integers of 8, 16 or 32 bits.
        rate: what the samples were taken at, in Hz.
        sample_rate: the wanted rate in Hz.

    Returns:
        float32 [samples], full scale ±1.

    Raises:
        AudioError: wrong shape or dtype, no samples, NaN or infinity, or a rate out of range.

    Examples:
        >>> to_mono(np.array([[16384, 0], [-32768, -32768]], np.int16), 16_000, 16_000).tolist()
        [0.25, -1.0]
    """
    _check_rate(sample_rate, "sample_rate")
    mono = _not_empty(to_chunk(samples, rate), "samples")
    if rate == sample_rate:
        return mono
    return _not_empty(soxr.ResampleStream(rate, sample_rate, 1).resample_chunk(mono, last=True), "samples")


def fit(
    samples: NDArray[Any], length: int, *, align: Literal["start", "middle", "end"] = "middle"
) -> NDArray[np.float32]:
    """Samples made exactly ``length`` long: zeros are added or samples cut.

    Args:
        samples: [samples], any number of them.
        length: samples wanted, at least 1.
        align: what stays: "start" keeps the beginning and works behind, "end" the reverse, "middle" works on both
            sides and leaves the odd sample to the end.

    Returns:
        float32 [length]; the input itself where nothing was to do.

    Examples:
        >>> fit(np.array([1.0, 2.0, 3.0]), 6).tolist()
        [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]
        >>> fit(np.array([1.0, 2.0, 3.0]), 2, align="end").tolist()
        [2.0, 3.0]
    """
    if length < 1:
        raise AudioError(f"length={length} must be at least 1 sample; one second is usual")
    if samples.ndim != 1:
        raise AudioError(f"samples of shape {samples.shape} must be [samples]; see to_mono")
    surplus = len(samples) - length
    before = {"start": 0, "middle": abs(surplus) // 2, "end": abs(surplus)}[align]
    if surplus > 0:
        samples = samples[before : before + length]
    elif surplus < 0:
        samples = np.pad(samples, (before, -surplus - before))
    return samples.astype(np.float32, copy=False)


def dbfs(samples: NDArray[Any]) -> float:
    """RMS level in dB under full scale ±1 (a full square wave: 0.0, a full sine: -3.01); -inf for digital silence.

    Args:
        samples: of any shape, a float dtype or scaled integers as in :func:`to_mono`; at least one.

    Examples:
        >>> round(dbfs(np.array([0.1, -0.1])), 2)
        -20.0
    """
    scaled = _not_empty(_scaled(samples, "samples"), "samples").astype(np.float64).ravel()
    power = float(scaled @ scaled) / len(scaled)
    return 10.0 * math.log10(power) if power > 0.0 else -math.inf


def check_samples(samples: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The gate for arrays: mono, not empty, finite, and within 40 dB over full scale.

    Args:
        samples: [samples] of a float dtype or of integers of 8, 16 or 32 bits, which are scaled as in :func:`to_mono`.
        name: what the error calls them, a file's name for instance.

    Returns:
        float32 [samples]; the input itself if it was that.

    Raises:
        AudioError: any of this fails.
    """
    scaled = _scaled(samples, name)
    if scaled.ndim != 1:
        raise AudioError(f"{name} of shape {scaled.shape} must be [samples] or, for to_mono, [samples, channels]")
    _not_empty(scaled, name)
    low, high = float(scaled.min()), float(scaled.max())  # both are NaN if one sample is
    if not (math.isfinite(low) and math.isfinite(high)):
        place = int(np.argmin(np.isfinite(scaled)))
        raise AudioError(f"{name}: sample {place} is {scaled[place]}, but all must be finite; repair or remove it")
    if max(-low, high) > LOUDEST:
        raise AudioError(
            f"{name}: samples reach {max(-low, high):g}, but full scale is ±1; divide 16-bit values by 32768"
        )
    return scaled.astype(np.float32, copy=False)


def _check_rate(rate: float, name: str) -> None:
    whole = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not (whole and LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ):
        raise AudioError(f"{name}={rate!r} must be a rate of {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz; 16000 is usual")


def _not_empty(samples: NDArray[Any], name: str) -> NDArray[Any]:
    if samples.size == 0:
        raise AudioError(f"{name}: there must be at least one sample, and there is none; record it again")
    return samples


def _scaled(samples: NDArray[Any], name: str) -> NDArray[Any]:
    """Integers as floats of full scale ±1; floats as they are."""
    try:
        samples = np.asarray(samples)
    except ValueError:
        raise AudioError(f"{name} must be one array, not lists of several lengths; pad them") from None
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "f":
        return samples
    if kind not in "iu" or size > 4:
        raise AudioError(
            f"{name} of dtype {samples.dtype} must be floats, or integers of 8, 16 or 32 bits; "
            "convert them, 16-bit values with .astype('int16')"
        )
    half = 2.0 ** (8 * size - 1)
    floats: NDArray[np.floating] = samples.astype(np.float64 if size == 4 else np.float32)
    if kind == "u":
        floats = floats - half
    return floats / half


def _regrouped(pieces: Iterable[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """The same samples in arrays of ``length``; the last is shorter."""
    waiting: list[NDArray[np.float32]] = []
    n_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += len(piece)
        if n_waiting < length:
            continue
        joined = np.concatenate(waiting)
        whole = n_waiting - n_waiting % length
        for start in range(0, whole, length):
            yield joined[start : start + length]
        waiting, n_waiting = [joined[whole:]], n_waiting - whole
    if n_waiting:
        yield np.concatenate(waiting)


def _converted(path: str | Path, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Mono blocks of a file at the wanted rate; at least one sample in all."""
    name = repr(str(path))
    n_samples = 0
    with _opened(path) as file:
        _check_rate(file.samplerate, f"{name}: rate")
        stream = None if file.samplerate == sample_rate else soxr.ResampleStream(file.samplerate, sample_rate, 1)
        for block in _decoded(file, name):
            samples = check_samples(block, name)
            if stream is not None:
                samples = stream.resample_chunk(samples)
            n_samples += len(samples)
            yield samples
        if stream is not None:
            samples = stream.resample_chunk(np.zeros(0, np.float32), last=True)
            n_samples += len(samples)
            yield samples
    if not n_samples:
        raise AudioError(f"{name}: there must be at least one sample, and there is none; record it again")


def _decoded(file: soundfile.SoundFile, name: str) -> Iterator[NDArray[np.float32]]:
    """Blocks float32 [samples]; an error where the file ends before its header says so."""
    # Never the whole file at once: the number of frames is only what a header says, and may be 2**36.
    n_frames = max(1, DECODED_SAMPLES // file.channels)
    n_read = 0
    while True:
        try:
            block = file.read(n_frames, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(
                f"{name} is damaged or cut off after {n_read} frames ({_reason(error)}); copy it again"
            ) from None
        if not len(block):
            break
        n_read += len(block)
        yield block[:, 0] if file.channels == 1 else block.mean(axis=1)
    # An MP3 without a Xing header only guesses its length, a FLAC written to a pipe gives none (2**63 - 1 here).
    if file.format != "MP3" and n_read < file.frames < 2**63 - 1:
        raise AudioError(f"{name} is cut off: {n_read} of the {file.frames} frames that it promises; copy it again")


class _ForwardSoundFile(soundfile.SoundFile):
    """soundfile seeks after every read, which is slow, and impossible in a FLAC that was written to a pipe."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """The file, once it is known to be a complete sound file by its outer form."""
    name = repr(str(path))
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{name} is a folder, where a sound file is wanted; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{name} is a device or a pipe, where a sound file is wanted; save the sound first")
        if status.st_size == 0:
            raise AudioError(f"{name} is empty (0 bytes); record or copy it again")
        with Path(path).open("rb") as raw:
            _check_container(raw, status.st_size, name)
        file = _ForwardSoundFile(str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(f"{name} does not exist; check the path") from None
    except soundfile.SoundFileError as error:
        raise AudioError(f"{name} is damaged or of an unknown kind ({_reason(error)}); {_READABLE}") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{name} can't be opened ({_reason(error)}); check path and permissions") from None
    with file:
        yield file


def _reason(error: Exception) -> str:
    """What libsndfile or the system says, without the file's name and on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(getattr(error, "error_string", error)).removeprefix("Error :").split()).rstrip(".")


def _check_container(file: BinaryIO, size: int, name: str) -> None:
    """Refuse what is no sound file or shorter than it promises.

    libsndfile takes the smaller size of a WAV and the whole pages of an Ogg without a word, and its MP3 decoder writes
    to stderr, so both are looked at before it.
    """
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"FORM"):
        missing = _missing_from_chunks(file, size, "little" if head[:4] == b"RIFF" else "big", name)
    elif head[:4] == b"OggS":
        missing = _missing_from_pages(file, size)
    elif head[:3] == b"ID3" or _is_mp3_frame(head):
        missing = _missing_from_mp3(file, size)
    elif head[:4] in (b"fLaC", b"RF64", b".snd", b"caff"):
        missing = 0
    else:
        raise AudioError(f"{name} is not a sound file; {_READABLE}")
    if missing > 0:
        raise AudioError(f"{name} is cut off: {missing} or more of its bytes are missing; copy or record it again")


def _missing_from_chunks(file: BinaryIO, size: int, order: Literal["little", "big"], name: str) -> int:
    """Bytes that the data chunk of a WAV or AIFF promises beyond the end of the file."""
    offset = 12
    while offset + 8 <= size:
        file.seek(offset)
        chunk, length = file.read(4), int.from_bytes(file.read(4), order)
        if chunk == b"fmt " and length >= 16:
            _check_rate(int.from_bytes(file.read(16)[4:8], order), f"{name}: rate")
        if chunk in (b"data", b"SSND"):
            # Programs that write to a pipe can't know the length: ffmpeg writes 2**32 - 1, sox nearly 2**31.
            return 0 if length >= 0x7FFF_F000 else offset + 8 + length - size
        offset += 8 + length + length % 2
    return offset - size


def _missing_from_pages(file: BinaryIO, size: int) -> int:
    """Bytes that the last page of an Ogg file lacks (RFC 3533, section 6)."""
    offset = 0
    while offset < size:
        file.seek(offset)
        header = file.read(27 + 255)
        if not header.startswith(b"OggS"):
            return 4 - len(header) if b"OggS".startswith(header) else 0  # else something behind the sound, a tag
        if len(header) < 27 or len(header) < 27 + header[26]:
            return 1
        offset += 27 + header[26] + sum(header[27 : 27 + header[26]])
    return offset - size


def _is_mp3_frame(head: bytes) -> bool:
    """Whether a legal MPEG layer III frame header stands first."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer, bit_rate, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate != 15 and rate != 3


def _missing_from_mp3(file: BinaryIO, size: int) -> int:
    """Bytes that an MP3 lacks by its Xing header; without one nothing is promised."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:  # an ID3v2 tag; its length has seven bits a byte
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    if start >= size:
        return start + 1 - size
    file.seek(start)
    frame = file.read(4 + 32 + 16)
    if not _is_mp3_frame(frame):
        return 0
    stereo, mpeg_1 = frame[3] >> 6 != 3, frame[1] >> 3 & 3 == 3
    tag = frame[4 + ((32 if stereo else 17) if mpeg_1 else (17 if stereo else 9)) :]
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 16 or tag[7] & 3 != 3:
        return 0
    length = int.from_bytes(tag[12:16], "big")
    # Encoders count differently by a frame or so; 1 % is what mpg123 grants too.
    return start + length - size if size - start < 0.99 * length else 0
