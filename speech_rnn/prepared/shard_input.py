"""What a training run hears of shards: the other kind of :class:`~speech_rnn.data.inputs.TrainingInput`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from speech_rnn import draws, features
from speech_rnn.config import RunSettings
from speech_rnn.data.batch_processes import BatchProcesses
from speech_rnn.data.bending import ALL, Batch, Share
from speech_rnn.data.clips import SILENCE, Part
from speech_rnn.data.inputs import JUDGED_AT_ONCE, Judged
from speech_rnn.data.task import JUDGING_SEED, Task
from speech_rnn.errors import DataError
from speech_rnn.prepared.lane_batches import LaneBatchMaker, RawBatch
from speech_rnn.prepared.shards import Shards
from speech_rnn.prepared.stream import Lane, Rows, Wanted

LANE_CLIPS = 16  # of a batch come through one lane
SHUFFLED = 16_384  # clips in memory, of all lanes together, among which the next ones are drawn: 130 MB


class ShardInput:
    """What a run hears of a prepared data set.

    An epoch is a number of batches, all of one size: as many as it takes to hear the words' clips so often, others and
    silence as their shares ask. Every lane gives as many clips, and the files are dealt out anew in each epoch: where
    they don't divide by the lanes, clips of a lane with fewer are heard twice in an epoch, and some of another not.
    """

    def __init__(self, shards: Shards, settings: RunSettings, *, workers: int | None = None) -> None:
        """Find the words of the task; nothing is started yet.

        Args:
            shards: the data set.
            settings: of the run; its front end must be that of the shards, and clips are heard as they were recorded:
                ``renderings`` is 1.
            workers: processes that bend clips; as many as there are cores where not given.

        Raises:
            DataError: the task's words aren't there, or settings that shards can't follow.
        """
        _check(settings, shards)
        self._shards, self._settings, self._workers = shards, settings, workers
        task = Task.to_learn(settings.task, shards.words_as_clips())
        self.labels, self.heard_words, self._task = task.labels, task.heard_words, task
        self._words = tuple(sorted({word for words in shards.record.words.values() for word in words}))
        wanted, others = self._counts("training")
        unknown = round(task.unknown_share * task.unknown_times * task.heard_times * wanted) if others else 0
        silence = round(task.silence_share * task.heard_times * wanted)
        n = task.heard_times * wanted + unknown + silence
        batch = settings.training.batch_size
        self._steps = math.ceil(n / batch)
        self.clips = self._steps * batch
        self._silence_share = silence / n if n else 0.0
        self._times = self._times_of("training", unknown / (task.heard_times * others) if others else 0.0)
        self._paths = shards.paths("training")
        self._lanes = max(1, min(len(self._paths), batch // LANE_CLIPS))
        self._maker = LaneBatchMaker(shards, task, settings, self._words)
        self._processes: BatchProcesses[RawBatch] | None = None

    def training(self, epoch: int, *, first_batch: int = 0, share: Share = ALL) -> Iterator[Batch]:
        """See :meth:`~speech_rnn.data.inputs.TrainingInput.training`."""
        if self._processes is None:
            raise RuntimeError("an input that nobody has entered")
        return self._processes.made(self.raw(epoch, first_batch=first_batch, share=share))

    def raw(self, epoch: int, *, first_batch: int = 0, share: Share = ALL) -> Iterator[RawBatch]:
        """What the batches of an epoch are made of, as far as they are a worker's.

        Raises:
            DataError: a shard is damaged, a lane has no clip of the words, or the workers are too many.
        """
        if share.of > self._lanes:
            raise DataError(
                f"{share.of} workers can't share {len(self._paths)} shards and batches of "
                f"{self._settings.training.batch_size} clips; at most {self._lanes} can, more with larger batches"
            )
        training, lanes = self._settings.training, share.rows(self._lanes)
        numbers = range(lanes.start, lanes.stop)
        wanted = Wanted(self._shape, self._times, training.seed, shuffle=max(1, SHUFFLED // self._lanes))
        order = draws.generator(training.seed, "dealt shards", epoch).permutation(len(self._paths))
        dealt = [self._paths[index] for index in order.tolist()]
        with ExitStack() as open_lanes:
            streams = [
                open_lanes.enter_context(closing(Lane(dealt[lane :: self._lanes], wanted, number=lane, epoch=epoch)))
                for lane in numbers
            ]
            for lane, stream in zip(numbers, streams, strict=True):
                stream.skip(self._clips_before(first_batch, lane))
            for step in range(first_batch, self._steps):
                yield self._dealt(step, epoch, dict(zip(numbers, streams, strict=True)))

    def _dealt(self, step: int, epoch: int, lanes: dict[int, Lane]) -> RawBatch:
        """A batch out of some lanes, by their numbers."""
        taken: list[Rows] = []
        keys: list[NDArray[np.int64]] = []
        words: list[NDArray[np.int64]] = []
        for lane, stream in lanes.items():
            clips = stream.take(self._clips_before(step + 1, lane) - self._clips_before(step, lane))
            silences = np.arange(self._rows_of(lane) - len(clips), dtype=np.int64)
            first_row = self._settings.training.batch_size * step + self._first_row(lane)
            taken.append(clips)
            keys += [clips.keys, -1 - first_row - silences]
            words += [clips.words, np.full(len(silences), -1, np.int64)]
        return RawBatch(
            log_mel=np.concatenate([clips.log_mel for clips in taken]),
            keys=np.concatenate(keys),
            words=np.concatenate(words),
            ends=np.cumsum([len(clips) for clips in taken]),
            epoch=epoch,
        )

    def rows(self, n: int, share: Share) -> slice:
        """See :meth:`~speech_rnn.data.inputs.TrainingInput.rows`."""
        lanes = share.rows(self._lanes)
        return slice(n * lanes.start // self._lanes, n * lanes.stop // self._lanes)

    def validation(self) -> Iterator[Judged]:
        """See :meth:`~speech_rnn.data.inputs.TrainingInput.validation`; read from the shards each time."""
        if not self._shards.paths("validation"):
            return
        wanted, others = self._counts("validation")
        share = self._task.unknown_share * wanted / others if others else 0.0
        lane = Lane(
            self._shards.paths("validation"),
            Wanted(self._shape, self._times_of("validation", share), JUDGING_SEED),
            passes=1,
        )
        settings = self._settings.features
        with closing(lane):
            while len(rows := lane.take(JUDGED_AT_ONCE)):
                mfcc = features.mfcc_from_log_mel(rows.log_mel.astype(np.float32), settings)
                yield Judged(mfcc, self._maker.label_of_word[rows.words])
        keys = -1 - np.arange(round(self._task.silence_share * wanted), dtype=np.int64)
        for start in range(0, len(keys), JUDGED_AT_ONCE):
            yield self._maker.silence(keys[start : start + JUDGED_AT_ONCE])

    def __enter__(self) -> Self:
        self._processes = BatchProcesses(self._maker, self._workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._processes is not None:
            self._processes.__exit__(kind, error, traceback)

    @property
    def _shape(self) -> tuple[int, int]:
        return self._settings.features.n_frames, self._settings.features.n_mels

    def _counts(self, part: Part) -> tuple[int, int]:
        """Clips of the words, and of all others that a part hears."""
        counts = self._shards.record.words.get(part, {})
        wanted = sum(counts.get(word, 0) for word in self._task.words)
        left_out = {*self._task.words, SILENCE, *(self._settings.task.left_out if part == "training" else ())}
        return wanted, sum(count for word, count in counts.items() if word not in left_out)

    def _times_of(self, part: Part, others: float) -> dict[str, float]:
        """How often a pass gives clips of each word; ``others`` of those that aren't the task's."""
        left_out = {SILENCE, *(self._settings.task.left_out if part == "training" else ())}
        times = {word: 1.0 if word in self._task.words else others for word in self._words}
        return {word: 0.0 if word in left_out else share for word, share in times.items()}

    def _first_row(self, lane: int) -> int:
        return self._settings.training.batch_size * lane // self._lanes

    def _rows_of(self, lane: int) -> int:
        return self._first_row(lane + 1) - self._first_row(lane)

    def _clips_before(self, step: int, lane: int) -> int:
        """How many clips the batches before a step have taken of a lane; the rest of its rows is silence."""
        rows = step * self._rows_of(lane)
        return rows - math.floor(rows * self._silence_share)


def _check(settings: RunSettings, shards: Shards) -> None:
    if settings.features != shards.record.features:
        raise DataError(
            f"the features of {shards.title} are others than the run's; prepare them with the same settings"
        )
    if settings.augmentation.renderings != 1:
        raise DataError(
            f"renderings={settings.augmentation.renderings} needs recordings, and {shards.title} holds features; "
            "set augmentation.renderings=1"
        )
    for name, usual in (("heard_share", 1.0), ("tuning_share", 0.0)):
        value = getattr(settings.task, name)
        if value != usual:
            raise DataError(f"{name}={value} needs recordings, and {shards.title} holds features; set it to {usual}")
