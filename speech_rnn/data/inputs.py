"""What a training run hears, batch by batch, wherever it comes from: the training's one door to the recordings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import RunSettings
from speech_rnn.data.batch_files import BatchFiles
from speech_rnn.data.batches import BatchMaker, BatchWorkers, PartRows
from speech_rnn.data.bending import ALL, Batch, Share
from speech_rnn.data.store import Store
from speech_rnn.data.task import Task
from speech_rnn.feature_cache import FeatureArray, cached_features

JUDGED_AT_ONCE = 256  # clips of validation


class Judged(NamedTuple):
    """What a model is judged by at a time: MFCC float32 [n, frames, n_mfcc], and labels int64 [n]."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


class TrainingInput(Protocol):
    """What a run hears.

    Batches are functions of the settings, the epoch and their number in it; workers that share them hear together what
    one alone would hear.

    Attributes:
        labels: of the task, in the order of the scores.
        heard_words: all words that training hears, those under unknown too.
        clips: items of an epoch of training.
    """

    labels: tuple[str, ...]
    heard_words: tuple[str, ...]
    clips: int

    def training(self, epoch: int, *, first_batch: int = 0, share: Share = ALL) -> Iterator[Batch]:
        """The batches of an epoch, each as far as it is a worker's.

        Args:
            epoch: of the run, from 0.
            first_batch: how many batches are left out at the beginning.
            share: the worker's.
        """

    def rows(self, n: int, share: Share) -> slice:
        """Which rows of a batch of ``n`` a worker has."""

    def validation(self) -> Iterator[Judged]:
        """The validation part, the same at each call; nothing where there is none."""

    def __enter__(self) -> Self:
        """Get ready: processes are started, what is made beforehand is made."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes."""


class StoreInput:
    """What a run hears of decoded recordings; it fulfils :class:`TrainingInput`."""

    def __init__(
        self, store: Store, settings: RunSettings, *, workers: int | None = None, batch_folder: Path | None = None
    ) -> None:
        """Find the clips of the task; nothing is started yet.

        Args:
            store: the decoded recordings.
            settings: of the run.
            workers: processes that make batches; as many as there are cores where not given.
            batch_folder: where batches are kept for other runs that hear the same.

        Raises:
            DataError: the task's words aren't there.
        """
        task = Task.to_learn(settings.task, store.clips)
        self.labels, self.heard_words = task.labels, task.heard_words
        self.clips = len(task.items("training", 0, settings.training.seed))
        self.store, self._task, self._settings, self._n_workers = store, task, settings, workers
        self._maker = BatchMaker(store, task, settings)
        self._batch_folder = batch_folder
        self._validation = task.items("validation", 0, settings.training.seed)
        self._workers: BatchWorkers | None = None
        self._files: BatchFiles | None = None

    def training(self, epoch: int, *, first_batch: int = 0, share: Share = ALL) -> Iterator[Batch]:
        """See :meth:`TrainingInput.training`."""
        if self._workers is None:
            raise RuntimeError("an input that nobody has entered")
        training = self._settings.training
        items = self._task.items("training", epoch, training.seed)
        if self._files is not None and share == ALL:
            made = self._files.batches(
                items, "training", batch_size=training.batch_size, epoch=epoch, first_batch=first_batch
            )
        else:
            made = self._workers.batches(
                items, "training", batch_size=training.batch_size, epoch=epoch, first_batch=first_batch, share=share
            )
        return made

    def rows(self, n: int, share: Share) -> slice:
        """See :meth:`TrainingInput.rows`."""
        return share.rows(n)

    def validation(self) -> Iterator[Judged]:
        """See :meth:`TrainingInput.validation`; the features are on disk, the same for every run."""
        for start in range(0, len(self._validation.label), JUDGED_AT_ONCE):
            some = slice(start, start + JUDGED_AT_ONCE)
            yield Judged(np.asarray(self._validation_features[some]), self._validation.label[some])

    @cached_property
    def _validation_features(self) -> FeatureArray:
        rows = PartRows(self._maker, self._validation, "validation")
        return cached_features(rows, self._settings.features, self._maker.store.cache, title="validation features")

    def __enter__(self) -> Self:
        self._maker.render()
        self._workers = BatchWorkers(self._maker, self._n_workers)
        if self._batch_folder is not None:
            self._files = BatchFiles(self._batch_folder, self._maker, self._workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._workers is not None:
            self._workers.__exit__(kind, error, traceback)
