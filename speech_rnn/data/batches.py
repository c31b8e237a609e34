"""Items -> batches of features: read, bent and transformed on all cores, while the model learns from the batch before.

A batch is a function of its items, the seed and the epoch; neither the number of workers nor what ran before matters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from speech_rnn import audio, draws, features
from speech_rnn.config import RunSettings
from speech_rnn.data.augmentation import augment, mask, splice
from speech_rnn.data.clips import UNKNOWN, Part
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.store import Store, to_int16
from speech_rnn.data.task import JUDGING_SEED, Items, Task
from speech_rnn.processes import map_in_order, n_cores, process_pool

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]  # MFCC [n, frames, n_mfcc], labels [n]


class BatchMaker:
    """Makes batches; picklable, so that every worker has one."""

    def __init__(self, store: Store, task: Task, settings: RunSettings) -> None:
        """Hold what every batch needs."""
        self.store, self.task, self.settings = store, task, settings
        self._partners = task.splice_partners()
        self._unknown = task.labels.index(UNKNOWN) if UNKNOWN in task.labels else -1

    @cached_property
    def noise(self) -> NoiseBank:
        """The background noise of the store; every process maps it into its memory anew."""
        return NoiseBank(self.store.noise, self.store.sample_rate)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "noise"}

    def waveforms(self, items: Items, part: Part, epoch: int) -> NDArray[np.float32]:
        """The sound of some items: float32 [n, clip_length], full scale ±1; bent where they are for training."""
        settings = self.settings
        is_clip = items.clip >= 0
        sound = np.empty((len(items), self.store.clip_length), np.float32)
        clips = self._clips(items.clip[is_clip])
        if part == "training":
            clips = self._spliced(clips, items[np.flatnonzero(is_clip)], epoch)
            clips = augment(
                clips,
                items.key[is_clip],
                seed=settings.training.seed,
                epoch=epoch,
                settings=settings.augmentation,
                noise=self.noise,
                sample_rate=self.store.sample_rate,
            )
        sound[is_clip] = clips
        for row in np.flatnonzero(~is_clip):
            seed = settings.training.seed if part == "training" else JUDGING_SEED
            rng = draws.generator(seed, f"silence of {part}", epoch, int(items.key[row]))
            sound[row] = self.noise.silence(
                rng, sound.shape[1], part, settings.task.silence_low_db, settings.task.silence_high_db
            )
        return sound

    def batch(self, items: Items, part: Part, epoch: int) -> Batch:
        """MFCC float32 [n, frames, n_mfcc] and labels int64 [n] of some items."""
        log_mel = features.log_mel(self.waveforms(items, part, epoch), self.settings.features)
        if part == "training":
            log_mel = mask(
                log_mel,
                items.key,
                seed=self.settings.training.seed,
                epoch=epoch,
                settings=self.settings.augmentation,
            )
        return features.mfcc_from_log_mel(log_mel, self.settings.features), items.label

    def _clips(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.store.read(indices) * np.float32(1 / audio.FULL_SCALE_INT16)

    def _spliced(self, clips: NDArray[np.float32], items: Items, epoch: int) -> NDArray[np.float32]:
        """Some clips of the unknown replaced by the halves of two words."""
        seed, probability = self.settings.training.seed, self.settings.augmentation.splice_probability
        rows, pairs = [], []
        for row in np.flatnonzero(items.label == self._unknown) if probability else []:
            rng = draws.generator(seed, "whether to splice", epoch, int(items.key[row]))
            if rng.random() < probability:
                pair = rng.choice(self._partners, 2)
                # Two halves of one word would be that word.
                if self.store.clips[pair[0]].word != self.store.clips[pair[1]].word:
                    rows.append(row)
                    pairs.append(pair)
        if rows:
            first, second = np.array(pairs, np.int64).T
            clips[rows] = splice(
                self._clips(first),
                self._clips(second),
                items.key[rows],
                seed=seed,
                epoch=epoch,
                sample_rate=self.store.sample_rate,
            )
        return clips


class PartRows:
    """The sound of a part's items as rows of 16 bits, for the feature cache; picklable."""

    def __init__(self, maker: BatchMaker, items: Items, part: Part) -> None:
        """Hold the items of a part that isn't bent, which are the same in every epoch."""
        self._maker, self._items, self._part = maker, items, part

    def __len__(self) -> int:
        return len(self._items)

    @property
    def digest(self) -> str:
        """Another one when the recordings, the choice of them or the draw of silence are others."""
        settings = self._maker.settings
        drawn = json.dumps([self._maker.store.digest, self._part, JUDGING_SEED, settings.task.model_dump(mode="json")])
        arrays = (self._items.clip, self._items.label, self._items.key)
        return hashlib.sha256(drawn.encode() + b"".join(array.tobytes() for array in arrays)).hexdigest()

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Some items: int16 [n, clip_length]."""
        return to_int16(self._maker.waveforms(self._items[indices], self._part, 0))


class BatchWorkers:
    """Processes that make batches ahead; with no workers batches are made where they are asked for."""

    def __init__(self, maker: BatchMaker, workers: int | None = None) -> None:
        """Start the workers.

        Args:
            maker: makes the batches.
            workers: how many processes; as many as there are cores where not given.
        """
        self._maker = maker
        self._workers = n_cores() if workers is None else workers
        self._pool = (
            process_pool(self._workers, _take, maker, features.basis(maker.settings.features))
            if self._workers
            else None
        )

    def batches(
        self, items: Items, part: Part, *, batch_size: int, epoch: int = 0, first_batch: int = 0
    ) -> Iterator[Batch]:
        """Batches of the items in their order, the last one as large as what is left.

        Args:
            items: what to make batches of.
            part: whether they are bent (training), and whose noise is heard.
            batch_size: items a batch.
            epoch: of the run, from 0.
            first_batch: how many batches are left out at the beginning.

        Raises:
            SpeechRnnError: a worker was killed.
        """
        asked = (
            _Asked(items[start : start + batch_size], part, epoch)
            for start in range(first_batch * batch_size, len(items), batch_size)
        )
        if self._pool is None:
            return (self._maker.batch(one.items, one.part, one.epoch) for one in asked)
        return map_in_order(_make, asked, self._workers, self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Asked:
    items: Items
    part: Part
    epoch: int


_maker: BatchMaker | None = None  # of this worker


def _take(maker: BatchMaker, basis: features.Basis) -> None:
    global _maker  # noqa: PLW0603  # what prepares a worker has no other place to leave it
    _maker = maker
    # Made here it would cost each worker the start of librosa, 2.6 s.
    features.adopt(basis)
    # A worker a core: threads of the matrix library beside them only cost.
    threadpool_limits(1)


def _make(asked: _Asked) -> Batch:
    if _maker is None:
        raise RuntimeError("a worker of another pool")
    return _maker.batch(asked.items, asked.part, asked.epoch)
