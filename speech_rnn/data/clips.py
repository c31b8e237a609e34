"""What a recording is to the rest of the house, and what a source of recordings offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Part = Literal["training", "validation", "testing"]
PARTS: tuple[Part, ...] = ("training", "validation", "testing")

UNKNOWN = "_unknown_"
SILENCE = "_silence_"
BACKGROUND_NOISE = "_background_noise_"


@dataclass(frozen=True, slots=True)
class Clip:
    """One recorded word.

    Attributes:
        name: unique within its source, ``yes/0a7c2a8d_nohash_0.wav``.
        word: what is said; the folder's name, or :data:`UNKNOWN` where a source doesn't tell.
        speaker: who says it, the same in every source and no one else; empty where unknown.
        part: what it may be used for.
    """

    name: str
    word: str
    speaker: str
    part: Part


class Source(Protocol):
    """A collection of recordings."""

    @property
    def title(self) -> str:
        """Its name in messages: a path, ``corpus``, ``tfds``."""

    @property
    def synthetic(self) -> bool:
        """Whether machines speak; every figure of it must say so."""

    @property
    def origin(self) -> str:
        """Where the recordings are from and under which license, on one line, for the card."""

    @property
    def clips(self) -> Sequence[Clip]:
        """All its recordings, in a fixed order."""

    @property
    def noises(self) -> Sequence[str]:
        """Names of its background noise recordings."""

    def digest(self) -> str:
        """SHA-256 in hexadecimal, another one whenever the recordings are others."""

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Decoded clips in the order of ``clips``: float32 [samples] at ``sample_rate``, natural length."""

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Decoded background noise in the order of ``noises``: float32 [samples] at ``sample_rate``."""
