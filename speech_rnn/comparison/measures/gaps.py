"""Words and what follows them: silence, background noise or other words, to see how long a network remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from speech_rnn.comparison.measures.variants import digest_of
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import SILENCE, Part
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.store import Store, to_int16
from speech_rnn.data.task import JUDGING_SEED, Items
from speech_rnn.draws import generator

VERSION = 1  # to be raised when the same gap gives other sound
SILENCE_DB = -80.0  # re full scale, RMS: three steps of 16 bits, a silent room
NOISE_DB = -35.0  # words are spoken at -20 or so

GapKind = Literal["silence", "noise", "words"]
GAP_KINDS: tuple[GapKind, ...] = get_args(GapKind)


@dataclass(frozen=True)
class GapRows:
    """What may follow a word, as rows of 16 bits, for the feature cache; picklable.

    Attributes:
        store: holds the noise and the other words.
        part: whose noise is used.
        kind: ``silence``: background noise at :data:`SILENCE_DB`; ``noise``: at :data:`NOISE_DB`; ``words``: clips of
            other words, one right after another.
        length: samples.
        keys: int64 [n], by which each is drawn.
        others: int64 [m], the clips of other words; not needed for other kinds.
    """

    store: Store
    part: Part
    kind: GapKind
    length: int
    keys: NDArray[np.int64]
    others: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def digest(self) -> str:
        """Another one when the recordings, the draw or the kind are others."""
        others = hashlib.sha256(self.others.tobytes()).hexdigest() if self.kind == "words" else ""
        what = ["gap", VERSION, self.kind, self.length, SILENCE_DB, NOISE_DB, others]
        return digest_of(what, self.store, self.part, Items(self.keys, self.keys, self.keys))

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Some gaps: int16 [n, length]."""
        noise = NoiseBank(self.store.noise, self.store.sample_rate)
        rows = np.empty((len(indices), self.length), np.int16)
        for row, key in zip(rows, self.keys[indices].tolist(), strict=True):
            rng = generator(JUDGING_SEED, f"gap of {self.kind}", key)
            if self.kind == "words":
                some = rng.choice(self.others, -(-self.length // self.store.clip_length))
                row[:] = self.store.read(some).reshape(-1)[: self.length]
            else:
                level_db = SILENCE_DB if self.kind == "silence" else NOISE_DB
                row[:] = to_int16(noise.silence(rng, self.length, self.part, level_db, level_db))
        return rows


@dataclass(frozen=True)
class FollowedRows:
    """Clips, each with a gap right after it, as rows of 16 bits, for the feature cache; picklable.

    Attributes:
        clips: int64 [n], of the gaps' store.
        gaps: one for each clip.
    """

    clips: NDArray[np.int64]
    gaps: GapRows

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def digest(self) -> str:
        """Another one when the clips or the gaps are others."""
        return hashlib.sha256(self.clips.tobytes() + self.gaps.digest.encode()).hexdigest()

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Some clips with their gaps: int16 [n, clip_length + length of the gap]."""
        return np.concatenate([self.gaps.store.read(self.clips[indices]), self.gaps.read(indices)], axis=1)


def other_words(store: Store, labels: Sequence[str], part: Part) -> NDArray[np.int64]:
    """Clips of a part that may follow a word: those of other words than the labels; all where there are none.

    Args:
        store: of the clips.
        labels: of a model.
        part: of them.

    Returns:
        int64 [n], indices in the store.
    """
    of_part = [i for i, clip in enumerate(store.clips) if clip.part == part and clip.word != SILENCE]
    unknown = [i for i in of_part if store.clips[i].word not in labels]
    return np.array(unknown or of_part, np.int64)


def steps_by(seconds: float, features: FeatureSettings, stack: int) -> int:
    """How many whole steps a network has heard so many seconds after a clip's end.

    Args:
        seconds: after the end, at least 0.
        features: the front end.
        stack: frames of a step.

    >>> steps_by(0.0, FeatureSettings(), 2), FeatureSettings().n_frames
    (48, 97)
    """
    heard = features.clip_length + round(seconds * features.sample_rate)
    return (1 + (heard - features.n_fft) // features.hop_length) // stack
