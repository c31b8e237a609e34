"""Judged clips as they are and otherwise: in noise, faster and slower, louder and softer; the same for all cells.

Each kind bends in one way only and by fixed amounts, so that a figure shows where a cell begins to fail. As a recorder
would give it: in 16 bits, clipped at full scale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16, fit
from speech_rnn.data.clips import Part
from speech_rnn.data.level import active_rms
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.speed import change_speed, speed_near
from speech_rnn.data.store import Store, to_int16
from speech_rnn.data.task import JUDGING_SEED, Items
from speech_rnn.draws import generator

VERSION = 1  # to be raised when the same variant gives other sound
MOST_CLIPS = 1_000

Kind = Literal["recorded", "snr", "speed", "level"]


class Variant(NamedTuple):
    """A way to change clips.

    Attributes:
        kind: ``recorded``: as they are; ``snr``: background noise under them; ``speed``: tempo and pitch together, as a
            tape; ``level``: louder or softer.
        value: dB of the word over the noise; the factor, above 1 is faster; or dB.
    """

    kind: Kind
    value: float

    @property
    def key(self) -> str:
        """Its name among the answers.

        >>> Variant("speed", 0.85).key
        'speed:0.85'
        """
        return f"{self.kind}:{self.value:g}"


RECORDED = Variant("recorded", 0.0)
VARIANTS = (
    RECORDED,
    *(Variant("snr", db) for db in (20.0, 10.0, 5.0, 0.0, -5.0)),
    *(Variant("speed", factor) for factor in (0.7, 0.85, 1.15, 1.3)),
    *(Variant("level", db) for db in (-40.0, -30.0, -20.0, -10.0, 10.0)),
)


@dataclass(frozen=True)
class VariantRows:
    """Clips under a variant as rows of 16 bits, for the feature cache; picklable.

    Attributes:
        store: holds the clips, and the background noise.
        items: which; all of them spoken.
        part: whose noise is used.
        variant: how they are changed.
    """

    store: Store
    items: Items
    part: Part
    variant: Variant

    def __len__(self) -> int:
        return len(self.items)

    @property
    def digest(self) -> str:
        """Another one when the recordings, the choice of them or the variant are others."""
        return digest_of(["variant", VERSION, self.variant.key], self.store, self.part, self.items)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Some clips: int16 [n, clip_length]; a row depends on its clip, its key and the variant."""
        items, noise = self.items[indices], NoiseBank(self.store.noise, self.store.sample_rate)
        rows = self.store.read(items.clip)
        if self.variant == RECORDED:
            return rows
        for row, key in zip(rows, items.key.tolist(), strict=True):
            row[:] = to_int16(self._varied(row * np.float32(1 / FULL_SCALE_INT16), key, noise))
        return rows

    def _varied(self, clip: NDArray[np.float32], key: int, noise: NoiseBank) -> NDArray[np.float32]:
        value = self.variant.value
        if self.variant.kind == "speed":
            # What no longer fits is cut on both sides: as a window over the word hears it.
            return fit(change_speed(clip, speed_near(round(1_000 * value))), len(clip))
        if self.variant.kind == "level":
            return clip * gain(value)
        # The same noise at each level, so that only the level makes a difference.
        background = noise.draw(generator(JUDGING_SEED, "noise under measured clips", key), len(clip), self.part)
        return clip + background * np.float32(active_rms(clip)) * gain(-value)


def drawn(items: Items, most: int, purpose: str) -> Items:
    """At most so many items, each label in its proportion, give or take one.

    Args:
        items: to draw from.
        most: how many there may be.
        purpose: of the draw; the same purpose draws the same items.

    Returns:
        Some of them, or all, in their order.
    """
    if len(items) <= most:
        return items
    mixed = generator(JUDGING_SEED, purpose).permutation(len(items))
    by_label = mixed[np.argsort(items.label[mixed], kind="stable")]
    # Evenly spaced through the labels, one behind the other.
    places = ((np.arange(most) + 0.5) * len(items) / most).astype(np.int64)
    return items[np.sort(by_label[places])]


def gain(level_db: float) -> np.float32:
    """The factor of a level in dB."""
    return np.float32(10.0 ** (level_db / 20.0))


def digest_of(what: Sequence[object], store: Store, part: Part, items: Items) -> str:
    """A digest of sound that is made of a store's clips.

    Args:
        what: is made of them, and how, as JSON has it.
        store: of the clips.
        part: whose noise is heard.
        items: which clips, and what is drawn for them.
    """
    digest = hashlib.sha256(json.dumps([*what, store.digest, part, JUDGING_SEED]).encode())
    for array in (items.clip, items.label, items.key):
        digest.update(array.tobytes())
    return digest.hexdigest()
