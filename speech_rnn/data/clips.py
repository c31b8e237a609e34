"""What a recording is to the rest of the house, and what a source of recordings offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn.settings import Settings

Part = Literal["training", "validation", "testing"]
JudgedPart = Literal["validation", "testing"]  # training clips are bent
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


class SourceRecord(Settings):
    """A source of recordings as a run or a comparison remembers it.

    Attributes:
        name: what opens it again: a folder's whole path, ``corpus``, ``tfds``.
        origin: where the recordings are from, and their license.
        digest: SHA-256; another one when the recordings are others.
        synthetic: whether machines speak.
    """

    name: str
    origin: str
    digest: str
    synthetic: bool
