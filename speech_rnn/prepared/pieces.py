"""Pieces: the features of one unit of work in one file, which a killed run leaves for the next.

A piece is the length of its table (8 bytes, little-endian), the table (JSON), the SHA-256 of both, the features
(float16 [clips, frames, bands]), and the SHA-256 of all that. It is written beside and renamed, distrusted when read.
Who plans reads the tables alone: the features of all pieces would go through one machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16, fit
from speech_rnn.beam.files import join, read_bytes, state_of, write_bytes
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Part
from speech_rnn.data.store import to_int16
from speech_rnn.errors import DataError, SpeechRnnError
from speech_rnn.features import log_mel
from speech_rnn.prepared.units import Unit

BATCH = 64  # clips at a time: 4 MB of samples
LENGTH_BYTES = 8
FEATURE_BYTES = np.dtype(np.float16).itemsize
DIGEST_BYTES = hashlib.sha256().digest_size
MODULUS = 2**256
SUFFIX = ".piece"


@dataclass(frozen=True)
class Row:
    """A clip that was read: what it is called, and the digest of what it was read from."""

    name: str
    word: str
    speaker: str
    content: str


@dataclass(frozen=True)
class Reject:
    """A clip that could not be read, and why."""

    name: str
    reason: str
    content: str


@dataclass(frozen=True)
class Table:
    """What a piece holds; ``digest`` is the sum of its examples' digests."""

    part: Part
    rows: tuple[Row, ...]
    rejects: tuple[Reject, ...]
    digest: int


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece that was read: its table, and float16 [rows, frames, bands]."""

    table: Table
    features: NDArray[np.float16]


def piece_path(folder: str, unit: Unit) -> str:
    """The file of a unit's features."""
    return join(folder, f"{unit.key}{SUFFIX}")


def make_piece(unit: Unit, settings: FeatureSettings, folder: str) -> None:
    """Read the clips of a unit, compute their features and write them as a piece.

    Features are those of the local cache, to the bit. A clip that can't be read, or is no sound, is a reject.
    """
    rows: list[Row] = []
    rejects: list[Reject] = []
    blocks: list[NDArray[np.float16]] = []
    digest = 0
    for found, clips in _batches(unit, settings, rejects):
        features = log_mel(clips * np.float32(1 / FULL_SCALE_INT16), settings).astype(np.float16)
        blocks.append(features)
        rows += found
        digest += sum(
            example_digest(row.name, row.word, row.speaker, unit.part, one)
            for row, one in zip(found, features, strict=True)
        )
    table = Table(unit.part, tuple(rows), tuple(rejects), digest % MODULUS)
    head = json.dumps(_as_json(table)).encode()
    begin = len(head).to_bytes(LENGTH_BYTES, "little") + head
    data = b"".join([begin, hashlib.sha256(begin).digest(), *(block.tobytes() for block in blocks)])
    write_bytes(piece_path(folder, unit), data + hashlib.sha256(data).digest())


def example_digest(name: str, word: str, speaker: str, part: Part, features: NDArray[np.float16]) -> int:
    """A number of 256 bits for an example; the data set's digest is the sum of all, modulo ``2**256``.

    Args:
        name: the example's.
        word: likewise.
        speaker: likewise.
        part: what it may be used for.
        features: float16 [frames, bands].
    """
    digest = hashlib.sha256(json.dumps([name, word, speaker, part]).encode())
    digest.update(features.astype("<f2", copy=False).tobytes())
    return int.from_bytes(digest.digest(), "big")


def example_key(name: str) -> int:
    """What random draws for an example are keyed by: 63 bits of its name's BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(name.encode()).digest()[:8], "little") & (2**63 - 1)


def read_table(folder: str, unit: Unit, settings: FeatureSettings) -> Table | None:
    """The table of a unit's piece; ``None`` where there is none, or it is damaged or the piece has not its length.

    Whether its features are whole only :func:`read_piece` finds out.
    """
    path = piece_path(folder, unit)
    try:
        length = int.from_bytes(read_bytes(path, LENGTH_BYTES), "little")
        size = state_of(path).size
        if length > size:
            return None
        begin = memoryview(read_bytes(path, LENGTH_BYTES + length + DIGEST_BYTES))
    except (OSError, DataError):
        return None
    found = _table(begin, unit)
    return found[0] if found is not None and size == _size(*found, settings) else None


def read_piece(folder: str, unit: Unit, settings: FeatureSettings) -> Piece | None:
    """The piece of a unit; ``None`` where there is none, or not a whole one."""
    try:
        data = memoryview(read_bytes(piece_path(folder, unit)))
    except OSError:
        return None
    if hashlib.sha256(data[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        return None
    found = _table(data, unit)
    if found is None or len(data) != _size(*found, settings):
        return None
    table, end = found
    features = np.frombuffer(data[end:-DIGEST_BYTES], "<f2")
    return Piece(table, features.reshape(len(table.rows), settings.n_frames, settings.n_mels))


def _table(data: memoryview, unit: Unit) -> tuple[Table, int] | None:
    """The table at the beginning of a piece and where its features begin; ``None`` where it is damaged or another's."""
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    begin, digest = data[:end], data[end : end + DIGEST_BYTES]
    if len(begin) < end or hashlib.sha256(begin).digest() != digest:
        return None
    values = json.loads(bytes(begin[LENGTH_BYTES:]))
    rows, rejects = tuple(Row(*row) for row in values["rows"]), tuple(Reject(*one) for one in values["rejects"])
    if sorted([*(row.name for row in rows), *(one.name for one in rejects)]) != sorted(t.name for t in unit.takes):
        return None
    return Table(values["part"], rows, rejects, int(values["digest"], 16)), end + DIGEST_BYTES


def _size(table: Table, begin: int, settings: FeatureSettings) -> int:
    """Bytes of a whole piece whose features begin there."""
    return begin + len(table.rows) * settings.n_frames * settings.n_mels * FEATURE_BYTES + DIGEST_BYTES


def examples(piece: Piece) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and example of each clip that was read, as the data set holds it."""
    for row, features in zip(piece.table.rows, piece.features, strict=True):
        yield (
            row.name,
            {
                "name": row.name,
                "key": example_key(row.name),
                "word": row.word,
                "speaker": row.speaker,
                "log_mel": features,
            },
        )


def _batches(
    unit: Unit, settings: FeatureSettings, rejects: list[Reject]
) -> Iterator[tuple[list[Row], NDArray[np.int16]]]:
    """Clips int16 [n, samples] as the decoded store has them, some at a time; the unreadable go to ``rejects``."""
    rows: list[Row] = []
    clips = np.empty((BATCH, settings.clip_length), np.int16)
    sounds = unit.reader.sounds([take.place for take in unit.takes], settings.sample_rate)
    for take, sound in zip(unit.takes, sounds, strict=True):
        if isinstance(sound.samples, SpeechRnnError):
            rejects.append(Reject(take.name, str(sound.samples), sound.content))
            continue
        clips[len(rows)] = to_int16(fit(sound.samples, settings.clip_length))
        rows.append(Row(take.name, take.word, take.speaker, sound.content))
        if len(rows) == BATCH:
            yield rows, clips
            rows = []
    if rows:
        yield rows, clips[: len(rows)]


def _as_json(table: Table) -> dict[str, Any]:
    return {
        "part": table.part,
        "rows": [[row.name, row.word, row.speaker, row.content] for row in table.rows],
        "rejects": [[one.name, one.reason, one.content] for one in table.rejects],
        "digest": f"{table.digest:x}",
    }
