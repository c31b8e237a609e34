"""Features on disk, made once for the same clips and settings, and distrusted when read.

An entry is one file: the header of a .npy file, the features, and the SHA-256 of both. It is written beside and
renamed, so that a killed process leaves none; one process at a time makes an entry, and others that want it wait.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from speech_rnn import atomic
from speech_rnn.config import FeatureSettings
from speech_rnn.errors import DataError
from speech_rnn.feature_workers import MfccWorkers, Rows
from speech_rnn.processes import one_at_a_time
from speech_rnn.progress import progress

CACHE_VERSION = 1  # to be raised when the same settings give other features
DIGEST_BYTES = hashlib.sha256().digest_size


class DigestedRows(Rows, Protocol):
    """Clips with a name that changes when they do. The decoded store is such."""

    @property
    def digest(self) -> str:
        """Digest of all clips."""


def cached_features(
    rows: DigestedRows, settings: FeatureSettings, folder: Path, *, title: str = "features", workers: int | None = None
) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """MFCC of all rows, from the cache where they are there and undamaged, else made on all cores and kept.

    An entry that is damaged, by as little as a bit, is made anew, and a line on standard error says so.

    Args:
        rows: the clips; the decoded store.
        settings: the front end.
        folder: the cache; 16 kB a clip of a second with the usual settings.
        title: what the progress is called.
        workers: processes that compute; see ``feature_workers.mfcc_parallel``.

    Returns:
        float32 [clips, frames, n_mfcc], read-only, on disk: memory doesn't grow with the clips.

    Raises:
        AudioError: the clips are shorter than a frame.
        DataError: no clips, or the cache can't be written.
    """
    if not len(rows):
        raise DataError("there are 0 clips and features need at least 1; give a folder of word folders")
    path = folder / "features" / f"{_identity(rows, settings)}.npy"
    try:
        with one_at_a_time(path.with_suffix(".lock")):
            features = _opened(path)
            if features is None:
                _make(path, rows, settings, title, workers)
                features = _opened(path)
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}); set --cache to another folder") from None
    if features is None:
        raise DataError(f"{path} reads otherwise than it was written; set --cache to a folder on another disk")
    return features


def _identity(rows: DigestedRows, settings: FeatureSettings) -> str:
    what = [CACHE_VERSION, rows.digest, len(rows), settings.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _opened(path: Path) -> np.memmap[tuple[int, ...], np.dtype[np.float32]] | None:
    """The entry, read once from end to end to see that it is whole; ``None`` where it isn't or isn't there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        if not _is_whole(file):
            print(f"the cached features {path} are damaged and are made anew", file=sys.stderr)
            return None
        file.seek(0)
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, np.float32, mode="r", offset=file.tell(), shape=shape)


def _is_whole(file: BinaryIO) -> bool:
    size = file.seek(0, io.SEEK_END) - DIGEST_BYTES
    if size <= 0:
        return False
    file.seek(0)
    digest, left = hashlib.sha256(), size
    while left:
        piece = file.read(min(left, 2**20))
        digest.update(piece)
        left -= len(piece)
    return file.read() == digest.digest()


def _make(path: Path, rows: DigestedRows, settings: FeatureSettings, title: str, workers: int | None) -> None:
    # Under the lock, so what lies beside is left from a process that was killed.
    for left in path.parent.glob(f".{path.stem}-*"):
        left.unlink()
    with (
        MfccWorkers(rows, settings, workers) as at_work,
        progress(title, len(rows)) as report,
        atomic.new_file(path) as beside,
        beside.open("wb") as file,
    ):
        digest = hashlib.sha256()

        def write(data: bytes | memoryview) -> None:
            file.write(data)
            digest.update(data)

        write(_header(at_work.shape))
        for _, features in at_work.blocks():
            write(features.data)
            report.advance(len(features))
        file.write(digest.digest())


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()
