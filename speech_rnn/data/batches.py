"""Items -> batches of features: read, bent and transformed on all cores, while the model learns from the batch before.

A batch is a function of its items, the seed and the epoch; neither the number of workers nor what ran before matters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from speech_rnn import audio, features
from speech_rnn.config import RunSettings
from speech_rnn.data.batch_processes import BatchProcesses
from speech_rnn.data.bending import ALL, Batch, Bender, Share
from speech_rnn.data.clips import UNKNOWN, Part
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.renderings import Renderings
from speech_rnn.data.store import Store, to_int16
from speech_rnn.data.task import JUDGING_SEED, Items, Task
from speech_rnn.feature_cache import FeatureFile, cached_features


class BatchMaker:
    """Makes batches; picklable, so that every worker has one."""

    def __init__(self, store: Store, task: Task, settings: RunSettings) -> None:
        """Hold what every batch needs."""
        self.store, self.task, self.settings = store, task, settings
        self.partners = task.splice_partners()
        unknown = task.labels.index(UNKNOWN) if UNKNOWN in task.labels else -1
        self._bender = Bender(store, settings, unknown)
        self._renderings = Renderings(store, settings.augmentation, settings.features.hop_length)
        self._rendered: FeatureFile | None = None

    def render(self) -> None:
        """Make all renderings now, or find them in the cache; without this each is made when it is heard."""
        if len(self._renderings):
            self._rendered = FeatureFile(
                cached_features(
                    self._renderings,
                    self.settings.features,
                    self.store.cache,
                    kind="log_mel",
                    title="renderings",
                )
            )

    @property
    def noise(self) -> NoiseBank:
        """The background noise of the store."""
        return self._bender.noise

    def waveforms(self, items: Items, part: Part, epoch: int) -> NDArray[np.float32]:
        """The sound of some items, as it was recorded: float32 [n, clip_length], full scale ±1."""
        is_clip = items.clip >= 0
        sound = np.empty((len(items), self.store.clip_length), np.float32)
        sound[is_clip] = self.store.read(items.clip[is_clip]) * np.float32(1 / audio.FULL_SCALE_INT16)
        sound[~is_clip] = self._bender.silence(items.key[~is_clip], part, epoch)
        return sound

    def batch(self, items: Items, part: Part, epoch: int) -> Batch:
        """Some items as they are learned from; bent where they are for training."""
        settings, words = self.settings.features, self.task.word_of(items.clip)
        if part == "training":
            log_mel = self._bent(items, words, epoch)
        else:
            log_mel = features.log_mel(self.waveforms(items, part, epoch), settings)
        return Batch(features.mfcc_from_log_mel(log_mel, settings), items.label, words)

    def make(self, asked: Asked) -> Batch:
        """As :meth:`batch`."""
        return self.batch(asked.items, asked.part, asked.epoch)

    def log_mel(self, clips: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Training clips, each in one of its renderings: float32 [n, frames, n_mels], dB."""
        rows = self._renderings.rows(clips, numbers)
        if self._rendered is not None:
            return self._rendered.read(rows)
        sound = self._renderings.read(rows) * np.float32(1 / audio.FULL_SCALE_INT16)
        return features.log_mel(sound, self.settings.features)

    def _bent(self, items: Items, words: NDArray[np.int64], epoch: int) -> NDArray[np.float32]:
        """Log-mel of training items, bent and masked: float32 [n, frames, n_mels]; ``words`` as they are then."""
        settings, is_clip = self.settings.features, items.clip >= 0
        bends = self._bender.draw(items.key, is_clip, epoch)
        log_mel = np.empty((len(items), settings.n_frames, settings.n_mels), np.float32)
        log_mel[is_clip] = self.log_mel(items.clip[is_clip], bends.rendering[is_clip])
        log_mel[~is_clip] = self._bender.silent_log_mel(items.key[~is_clip], "training", epoch)
        return self._bender.bent(
            log_mel, bends, labels=items.label, words=words, keys=items.key, epoch=epoch, partners=_Partners(self)
        )


class _Partners:
    """All clips of training as those that may be heard beside others."""

    def __init__(self, maker: BatchMaker) -> None:
        self._maker, self._clips = maker, maker.partners

    def beside(self, rows: NDArray[np.int64], shares: NDArray[np.float32]) -> NDArray[np.int64]:
        return (shares * len(self._clips)).astype(np.int64)

    def pair(self, row: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.choice(len(self._clips), 2)

    def one_word(self, first: int, second: int) -> bool:
        clips = self._maker.store.clips
        return bool(clips[self._clips[first]].word == clips[self._clips[second]].word)

    def log_mel(self, numbers: NDArray[np.int64], renderings: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._maker.log_mel(self._clips[numbers], renderings)


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


@dataclass(frozen=True)
class Asked:
    """Items of which a batch is made.

    Attributes:
        items: which.
        part: whether they are bent (training), and whose noise is heard.
        epoch: of the run, from 0.
    """

    items: Items
    part: Part
    epoch: int


class BatchWorkers:
    """Processes that make batches ahead; with no workers batches are made where they are asked for."""

    def __init__(self, maker: BatchMaker, workers: int | None = None) -> None:
        """Start the workers.

        Args:
            maker: makes the batches.
            workers: how many processes; as many as there are cores where not given.
        """
        self._processes = BatchProcesses(maker, workers)

    def batches(
        self, items: Items, part: Part, *, batch_size: int, epoch: int = 0, first_batch: int = 0, share: Share = ALL
    ) -> Iterator[Batch]:
        """Batches of the items in their order, the last one as large as what is left.

        Args:
            items: what to make batches of.
            part: whether they are bent (training), and whose noise is heard.
            batch_size: items a batch.
            epoch: of the run, from 0.
            first_batch: how many batches are left out at the beginning.
            share: whose rows of each batch are made; the others are left out.

        Raises:
            SpeechRnnError: a worker was killed.
        """
        whole = (items[start : start + batch_size] for start in range(first_batch * batch_size, len(items), batch_size))
        return self._processes.made(Asked(some[share.rows(len(some))], part, epoch) for some in whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._processes.__exit__(kind, error, traceback)
