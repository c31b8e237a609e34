"""Features on disk, made once for the same clips and settings, and distrusted when read.

An entry is one file: the header of a .npy file, the features, and the SHA-256 of both. It is written beside and
renamed, so that a killed process leaves none; one process at a time makes an entry, and others that want it wait.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic
from speech_rnn.config import FeatureSettings
from speech_rnn.errors import DataError
from speech_rnn.feature_workers import FeatureWorkers, Kind, Rows
from speech_rnn.processes import one_at_a_time
from speech_rnn.progress import progress

CACHE_VERSION = 1  # to be raised when the same settings give other features
DIGEST_BYTES = hashlib.sha256().digest_size
# What is bent before it is learned from needs no more than 16 bits: 0.03 dB.
DTYPES: dict[Kind, type[np.floating[Any]]] = {"mfcc": np.float32, "log_mel": np.float16}

FeatureArray = np.memmap[tuple[int, ...], np.dtype[np.floating[Any]]]


class DigestedRows(Rows, Protocol):
    """Clips with a name that changes when they do. The decoded store is such."""

    @property
    def digest(self) -> str:
        """Digest of all clips."""


class FeatureFile:
    """Cached features that are read by row with ``pread``: a memory map would count in every worker's memory.

    Picklable: another process opens the file anew, without looking whether it is whole.
    """

    def __init__(self, features: FeatureArray) -> None:
        """Read what :func:`cached_features` returned."""
        self._path, self._offset = Path(str(features.filename)), features.offset
        self._shape, self._dtype = features.shape[1:], features.dtype
        self._descriptor: int | None = None

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows, float32 [n, frames, coefficients or bands]."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        rows = np.empty((len(indices), *self._shape), self._dtype)
        for row, index in zip(rows, indices.tolist(), strict=True):
            if os.preadv(self._descriptor, [row.data], self._offset + row.nbytes * index) != row.nbytes:
                raise DataError(f"the cached features {self._path} end before row {index}; remove that file")
        return rows.astype(np.float32, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_descriptor": None}

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)  # type: ignore[arg-type]  # not None here


def cached_features(
    rows: DigestedRows,
    settings: FeatureSettings,
    folder: Path,
    *,
    kind: Kind = "mfcc",
    title: str = "features",
    workers: int | None = None,
) -> FeatureArray:
    """Features of all rows, from the cache where they are there and undamaged, else made on all cores and kept.

    An entry that is damaged, by as little as a bit, is made anew, and a line on standard error says so.

    Args:
        rows: the clips; the decoded store.
        settings: the front end.
        folder: the cache; 16 kB a clip of a second with the usual settings.
        kind: ``mfcc`` in 32 bits, or ``log_mel`` in 16.
        title: what the progress is called.
        workers: processes that compute; see ``feature_workers.mfcc_parallel``.

    Returns:
        float32 [clips, frames, n_mfcc] or float16 [clips, frames, n_mels], read-only, on disk: memory doesn't grow with
        the clips.

    Raises:
        AudioError: the clips are shorter than a frame.
        DataError: no clips, or the cache can't be written.
    """
    if not len(rows):
        raise DataError("there are 0 clips and features need at least 1; give a folder of word folders")
    path = folder / "features" / f"{_identity(rows, settings, kind)}.npy"
    try:
        with one_at_a_time(path.with_suffix(".lock")):
            features = _opened(path)
            if features is None:
                _make(path, rows, settings, kind, title=title, workers=workers)
                features = _opened(path)
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}); set --cache to another folder") from None
    if features is None:
        raise DataError(f"{path} reads otherwise than it was written; set --cache to a folder on another disk")
    return features


def _identity(rows: DigestedRows, settings: FeatureSettings, kind: Kind) -> str:
    what = [CACHE_VERSION, rows.digest, len(rows), settings.model_dump(mode="json"), kind]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _opened(path: Path) -> FeatureArray | None:
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
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, dtype, mode="r", offset=file.tell(), shape=shape)


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


def _make(
    path: Path, rows: DigestedRows, settings: FeatureSettings, kind: Kind, *, title: str, workers: int | None
) -> None:
    # Under the lock, so what lies beside is left from a process that was killed.
    for left in path.parent.glob(f".{path.stem}-*"):
        left.unlink()
    with (
        FeatureWorkers(rows, settings, workers, kind) as at_work,
        progress(title, len(rows)) as report,
        atomic.new_file(path) as beside,
        beside.open("wb") as file,
    ):
        digest = hashlib.sha256()

        def write(data: bytes | memoryview) -> None:
            file.write(data)
            digest.update(data)

        dtype = np.dtype(DTYPES[kind])
        write(_header(at_work.shape, dtype))
        for _, features in at_work.blocks():
            write(features.astype(dtype, copy=False).data)
            report.advance(len(features))
        file.write(digest.digest())


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return header.getvalue()
