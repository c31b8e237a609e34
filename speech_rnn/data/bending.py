"""Training clips as they are learned from, wherever their log-mel frames come from: disguised, bent, masked.

A clip's draws are keyed by (seed, epoch, key), so it comes out the same from recordings and from shards, but for the
other words that are heard beside it, which are those that are at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn import draws, features
from speech_rnn.config import RunSettings
from speech_rnn.data.augmentation import Bends, NoiseFrames, bend, draw_bends, mask, splice
from speech_rnn.data.clips import Part
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.task import JUDGING_SEED

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Batch(NamedTuple):
    """What is learned from at a time.

    Attributes:
        features: MFCC float32 [n, frames, n_mfcc].
        labels: int64 [n].
        words: int64 [n], which of the task's ``heard_words`` is said; -1 for noise, splices and words in reverse.
    """

    features: Floats
    labels: Integers
    words: Integers


class Share(NamedTuple):
    """Which rows of every batch are a worker's: those of number ``worker`` of ``of`` workers, one after another."""

    worker: int = 0
    of: int = 1

    def rows(self, n: int) -> slice:
        """The worker's among ``n``; none where there are more workers than rows."""
        return slice(n * self.worker // self.of, n * (self.worker + 1) // self.of)


ALL = Share()


class Partners(Protocol):
    """Clips of training that may be heard beside others, or halved to make an unknown word; each has a number."""

    def beside(self, rows: Integers, shares: Floats) -> Integers:
        """Who is heard beside some rows of the batch, int64 [n]: drawn by shares from 0 to under 1, float32 [n]."""

    def pair(self, row: int, rng: np.random.Generator) -> Integers:
        """Whose halves may take the place of a row, int64 [2]; drawn with a generator."""

    def one_word(self, first: int, second: int) -> bool:
        """Whether two of them say the same word."""

    def log_mel(self, numbers: Integers, renderings: Integers) -> Floats:
        """Some of them, each in one of its renderings: float32 [n, frames, n_mels], dB."""


class Noisy(Protocol):
    """Recordings that have background noise; picklable."""

    @property
    def noise(self) -> Sequence[NDArray[np.int16]]:
        """Noise recordings: int16 [samples] each, at the features' sample rate."""


class Bender:
    """What becomes of training clips; picklable, so that every worker has one."""

    def __init__(self, recordings: Noisy, settings: RunSettings, unknown: int) -> None:
        """Hold what every batch needs.

        Args:
            recordings: whose background noise is heard; every process reads it anew.
            settings: of the run.
            unknown: the number of the label of unknown words; -1 where there is none.
        """
        self._recordings, self._settings, self._unknown = recordings, settings, unknown

    @cached_property
    def noise(self) -> NoiseBank:
        """The background noise."""
        return NoiseBank(self._recordings.noise, self._settings.features.sample_rate)

    @cached_property
    def _noise_frames(self) -> NoiseFrames:
        return NoiseFrames(self.noise, self._settings.features)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("noise", "_noise_frames")}

    def draw(self, keys: Integers, is_clip: NDArray[np.bool_], epoch: int) -> Bends:
        """What happens to items of training; where there is no clip but noise, the colour only.

        Args:
            keys: int64 [n], what an item's draws are keyed by.
            is_clip: bool [n].
            epoch: of the run, from 0.
        """
        settings = self._settings
        drawn = draw_bends(
            keys,
            seed=settings.training.seed,
            epoch=epoch,
            settings=settings.augmentation,
            features=settings.features,
        )
        return drawn.of_speech(is_clip)

    def bent(
        self,
        log_mel: Floats,
        bends: Bends,
        *,
        labels: Integers,
        words: Integers,
        keys: Integers,
        epoch: int,
        partners: Partners,
    ) -> Floats:
        """Items of training as they are learned from.

        Args:
            log_mel: float32 [n, frames, n_mels], dB, as recorded; written over.
            bends: of :meth:`draw`.
            labels: int64 [n].
            words: int64 [n], which word is said; set to -1 where none is any more.
            keys: int64 [n], what an item's draws are keyed by.
            epoch: of the run, from 0.
            partners: other clips.

        Returns:
            float32 [n, frames, n_mels], dB.
        """
        settings, seed = self._settings, self._settings.training.seed
        disguised = self._disguise(log_mel, bends.rendering, labels=labels, keys=keys, epoch=epoch, partners=partners)
        words[disguised] = -1
        beside = np.flatnonzero(~np.isnan(bends.neighbour))
        numbers = partners.beside(beside, bends.neighbour[beside])
        bent = bend(
            log_mel,
            bends,
            settings.features,
            neighbours=partners.log_mel(numbers, bends.rendering[beside]),
            noise=self._noise_frames,
        )
        return mask(bent, keys, seed=seed, epoch=epoch, settings=settings.augmentation)

    def silence(self, keys: Integers, part: Part, epoch: int) -> Floats:
        """Stretches of background noise: float32 [n, clip_length], full scale ±1."""
        task, length = self._settings.task, self._settings.features.clip_length
        seed = self._settings.training.seed if part == "training" else JUDGING_SEED
        sound = np.empty((len(keys), length), np.float32)
        for row, key in zip(sound, keys.tolist(), strict=True):
            rng = draws.generator(seed, f"silence of {part}", epoch, key)
            row[:] = self.noise.silence(rng, length, part, task.silence_low_db, task.silence_high_db)
        return sound

    def silent_log_mel(self, keys: Integers, part: Part, epoch: int) -> Floats:
        """The same as the front end has it: float32 [n, frames, n_mels], dB."""
        return features.log_mel(self.silence(keys, part, epoch), self._settings.features)

    def _disguise(
        self,
        log_mel: Floats,
        renderings: Integers,
        *,
        labels: Integers,
        keys: Integers,
        epoch: int,
        partners: Partners,
    ) -> list[int]:
        """Some clips of the unknown replaced by the halves of two words, or reversed, in place; returns which."""
        disguised: list[int] = []
        augmentation, seed = self._settings.augmentation, self._settings.training.seed
        spliced, reversed_ = augmentation.splice_probability, augmentation.reverse_probability
        rows = np.flatnonzero(labels == self._unknown) if spliced + reversed_ else np.empty(0, np.int64)
        for row, rng in zip(rows.tolist(), draws.generators(seed, "disguise", epoch, keys[rows]), strict=True):
            which, shares = rng.random(), rng.random(2)
            if which < spliced:
                pair = partners.pair(row, rng)
                # Two halves of one word would be that word.
                if not partners.one_word(*pair.tolist()):
                    first, second = partners.log_mel(pair, np.repeat(renderings[row], 2))
                    log_mel[row] = splice(first, second, shares, self._settings.features)
                    disguised.append(row)
            elif which < spliced + reversed_:
                log_mel[row] = log_mel[row, ::-1].copy()
                disguised.append(row)
        return disguised
