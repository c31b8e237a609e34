"""Rows out of shards -> batches, in worker processes; nothing of TensorFlow is loaded for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.config import RunSettings
from speech_rnn.data.bending import Batch, Bender, Noisy
from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.data.inputs import Judged
from speech_rnn.data.store import to_int16
from speech_rnn.data.task import Task


@dataclass(frozen=True)
class RawBatch:
    """What a batch of ``n`` items is made of, lane by lane.

    Attributes:
        log_mel: float16 [clips, frames, n_mels], dB, as recorded; of those items that are clips.
        keys: int64 [n], what an item's draws are keyed by.
        words: int64 [n], numbers of the words; -1 for silence.
        ends: int64 [lanes], where each lane's clips end; only those of its own lane are heard beside a clip, so that it
            doesn't matter which worker has the others.
        epoch: of the run.
    """

    log_mel: NDArray[np.float16]
    keys: NDArray[np.int64]
    words: NDArray[np.int64]
    ends: NDArray[np.int64]
    epoch: int


class LaneBatchMaker:
    """Makes batches of rows; picklable, so that every worker has one."""

    def __init__(self, recordings: Noisy, task: Task, settings: RunSettings, words: tuple[str, ...]) -> None:
        """Hold what every batch needs.

        Args:
            recordings: whose background noise is heard.
            task: what is told apart.
            settings: of the run.
            words: the words, in the order of their numbers.
        """
        self.settings = settings
        unknown = task.labels.index(UNKNOWN) if UNKNOWN in task.labels else -1
        self._silence = task.labels.index(SILENCE) if SILENCE in task.labels else -1
        self.bender = Bender(recordings, settings, unknown)
        label_of = {label: number for number, label in enumerate(task.labels)}
        self.label_of_word = np.array([label_of.get(word, unknown) for word in words], np.int64)
        heard = {word: number for number, word in enumerate(task.heard_words)}
        self._heard_word = np.array([heard.get(word, -1) for word in words], np.int64)

    def make(self, asked: RawBatch) -> Batch:
        """A batch of training."""
        settings, epoch, is_clip = self.settings.features, asked.epoch, asked.words >= 0
        labels = np.full(len(asked.keys), self._silence, np.int64)
        words = np.full(len(asked.keys), -1, np.int64)
        said = asked.words[is_clip]
        labels[is_clip], words[is_clip] = self.label_of_word[said], self._heard_word[said]
        log_mel = np.empty((len(asked.keys), settings.n_frames, settings.n_mels), np.float32)
        log_mel[is_clip] = asked.log_mel
        log_mel[~is_clip] = self.bender.silent_log_mel(asked.keys[~is_clip], "training", epoch)
        bent = self.bender.bent(
            log_mel,
            self.bender.draw(asked.keys, is_clip, epoch),
            labels=labels,
            words=words,
            keys=asked.keys,
            epoch=epoch,
            partners=_SameLane(asked),
        )
        return Batch(features.mfcc_from_log_mel(bent, settings), labels, words)

    def silence(self, keys: NDArray[np.int64]) -> Judged:
        """Silences of validation, in 16 bits as recordings are."""
        sound = to_int16(self.bender.silence(keys, "validation", 0)) * np.float32(1 / FULL_SCALE_INT16)
        return Judged(features.mfcc(sound, self.settings.features), np.full(len(keys), self._silence, np.int64))


class _SameLane:
    """The clips of a batch that came through the same lane, by their place among all clips of the batch."""

    def __init__(self, raw: RawBatch) -> None:
        self._log_mel, self._ends = raw.log_mel, raw.ends
        self._begins = np.concatenate([[0], raw.ends[:-1]])
        self._words = raw.words[raw.words >= 0]
        self._clip_of_row = np.cumsum(raw.words >= 0) - 1

    def beside(self, rows: NDArray[np.int64], shares: NDArray[np.float32]) -> NDArray[np.int64]:
        lane = np.searchsorted(self._ends, self._clip_of_row[rows], side="right")
        first, end = self._begins[lane], self._ends[lane]
        return np.asarray(first + (shares * (end - first)).astype(np.int64), np.int64)

    def pair(self, row: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return self.beside(np.array([row, row]), rng.random(2, np.float32))

    def one_word(self, first: int, second: int) -> bool:
        return bool(self._words[first] == self._words[second])

    def log_mel(self, numbers: NDArray[np.int64], renderings: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._log_mel[numbers].astype(np.float32)
