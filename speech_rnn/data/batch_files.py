"""Batches of training kept on disk: all cells hear the same, so what is heard has to be bent once and not for each.

A file holds an epoch. It is written beside and renamed when the epoch has been heard to its end; who stops before
leaves none, and two processes that make the same one leave one. Where the disk can't take it there is none either, and
the epoch is heard all the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic
from speech_rnn.config import RunSettings
from speech_rnn.data.batches import BatchMaker, BatchWorkers
from speech_rnn.data.bending import Batch
from speech_rnn.data.clips import Part
from speech_rnn.data.task import Items

VERSION = 1  # to be raised when the same settings give other batches
WORD_BYTES = np.dtype(np.int64).itemsize
FEATURE_BYTES = np.dtype(np.float32).itemsize


class BatchFiles:
    """The batches of :class:`~speech_rnn.data.batches.BatchWorkers`, made once and read from then on."""

    def __init__(self, folder: Path, maker: BatchMaker, workers: BatchWorkers) -> None:
        """Keep batches in a folder, which may hold those of other settings.

        Args:
            folder: made where it isn't there; who needs no more of them removes it.
            maker: of the batches.
            workers: which make those that aren't there.
        """
        self._folder, self._workers = folder, workers
        settings, front_end = maker.settings, maker.settings.features
        self._shape = (front_end.n_frames, front_end.n_mfcc)
        self._identity = [VERSION, maker.store.digest, _decisive(settings)]

    def batches(
        self, items: Items, part: Part, *, batch_size: int, epoch: int = 0, first_batch: int = 0
    ) -> Iterator[Batch]:
        """As :meth:`~speech_rnn.data.batches.BatchWorkers.batches`."""
        path = self._path(items, part, epoch)
        if not self._is_whole(path, len(items)):
            made = self._workers.batches(items, part, batch_size=batch_size, epoch=epoch, first_batch=first_batch)
            yield from made if first_batch else _written(path, made, len(items))
            return
        offset = WORD_BYTES * len(items)
        words = np.memmap(path, np.int64, "r", shape=(len(items),))
        features = np.memmap(path, np.float32, "r", offset=offset, shape=(len(items), *self._shape))
        for start in range(first_batch * batch_size, len(items), batch_size):
            some = slice(start, start + batch_size)
            yield Batch(np.array(features[some]), items.label[some], np.array(words[some]))

    def _is_whole(self, path: Path, n: int) -> bool:
        """Whether a file is there and as large as it must be; what a crash of the machine left may not be."""
        try:
            return path.stat().st_size == n * (WORD_BYTES + FEATURE_BYTES * math.prod(self._shape))
        except OSError:
            return False

    def _path(self, items: Items, part: Part, epoch: int) -> Path:
        digest = hashlib.sha256(json.dumps([*self._identity, part, epoch], sort_keys=True).encode())
        for array in (items.clip, items.label, items.key):
            digest.update(array.tobytes())
        return self._folder / f"{digest.hexdigest()[:32]}.batches"


def bytes_of(settings: RunSettings, clips: int) -> int:
    """How large the files of a whole training are.

    Args:
        settings: of the run.
        clips: of an epoch.
    """
    front_end = settings.features
    return settings.training.epochs * clips * (WORD_BYTES + FEATURE_BYTES * front_end.n_frames * front_end.n_mfcc)


def _decisive(settings: RunSettings) -> dict[str, object]:
    """What batches depend on, as JSON has it; neither the model nor the learning rate, and not the size of a batch."""
    values = settings.model_dump(mode="json", include={"features", "task", "augmentation"})
    return {**values, "seed": settings.training.seed}


def _written(path: Path, batches: Iterator[Batch], n: int) -> Iterator[Batch]:
    """The batches of an epoch, which are in the file when the last has been taken."""
    writer = _writer(path, n)
    try:
        _send(writer, None)
        for batch in batches:
            _send(writer, batch)
            yield batch
        _send(writer, None)
    finally:
        with suppress(OSError):
            writer.close()


def _send(writer: Generator[None, Batch | None], batch: Batch | None) -> None:
    """Let a writer go on; one that has ended, since the disk was full or gone, takes nothing any more."""
    with suppress(OSError, StopIteration):
        writer.send(batch)


def _writer(path: Path, n: int) -> Generator[None, Batch | None]:
    """Takes the batches of an epoch, then ``None``, upon which they are in the file."""
    all_words: list[NDArray[np.int64]] = []
    with atomic.new_file(path) as beside, beside.open("wb") as file:
        file.seek(WORD_BYTES * n)
        while (batch := (yield)) is not None:
            file.write(batch.features.data)
            all_words.append(batch.words)
        file.seek(0)
        file.write(np.concatenate(all_words).data)
