"""A model that knows two words, a low and a high tone, and an input that gives what it is told; no files, no time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import to_mono
from speech_rnn.config import DetectorConfig
from speech_rnn.microphone import Block, State
from speech_rnn.streaming import Detection

RATE = 16_000
TONES_HZ = {"low": 500.0, "high": 1_500.0}
HEARD_S = 0.2  # of a tone, until it is a word


class ToneModel:
    sample_rate = RATE
    clip_length = RATE

    def __init__(self, low: str = "low", high: str = "high") -> None:
        self.labels = ("_silence_", low, high)
        self.streams: list[ToneStream] = []

    def stream(self, config: DetectorConfig | None = None) -> ToneStream:
        self.streams.append(ToneStream(self.labels, config))
        return self.streams[-1]


class ToneStream:
    def __init__(self, labels: tuple[str, ...], config: DetectorConfig | None) -> None:
        self.labels, self.config = labels, config
        self.time = 0.0
        self.scores: NDArray[np.float32] | None = None
        self.rates: list[float] = []
        self._past = np.zeros(round(HEARD_S * RATE), np.float32)
        self._deaf_until = 0.0

    def accept(self, samples: NDArray[Any], rate: float) -> Sequence[Detection]:
        mono = to_mono(samples, rate, RATE)
        self.time += len(samples) / rate
        self.rates.append(rate)
        self._past = np.concatenate([self._past, mono])[-len(self._past) :]
        return self._detect()

    def finish(self) -> Sequence[Detection]:
        return ()

    def _detect(self) -> Sequence[Detection]:
        spectrum = np.abs(np.fft.rfft(self._past)) / len(self._past) * 2
        shares = [spectrum[round(tone_hz * HEARD_S)] for tone_hz in TONES_HZ.values()]
        self.scores = np.array([max(0.0, 1.0 - sum(shares)), *shares], np.float32)
        best = int(self.scores.argmax())
        if best == 0 or self.scores[best] < 0.75 or self.time < self._deaf_until:
            return ()
        self._deaf_until = self.time + 1.0
        return (Detection(self.labels[best], float(self.scores[best]), self.time, max(0.0, self.time - 1.0)),)


def tone(word: str, seconds: float, rate: float = RATE) -> NDArray[np.float32]:
    """What the model takes for a word."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.8 * np.sin(2 * np.pi * TONES_HZ[word] * times)).astype(np.float32)


def silence(seconds: float, rate: float = RATE) -> NDArray[np.float32]:
    """Faint noise, as from a microphone in a quiet room."""
    return np.random.default_rng(0).normal(0, 1e-4, round(seconds * rate)).astype(np.float32)


def blocks(samples: NDArray[np.float32], rate: float = RATE, *, gap: bool = False) -> list[Block]:
    """Sound in blocks of 20 ms; ``gap`` before the first."""
    length = round(rate / 50)
    pieces = [samples[start : start + length] for start in range(0, len(samples), length)]
    return [Block(piece, rate, gap and not n) for n, piece in enumerate(pieces)]


class TypedInput:
    """Gives the blocks it was made of, one a read."""

    title = "'typed'"

    def __init__(self, given: Iterable[Block | None]) -> None:
        self._given = iter(given)
        self.state: State = "listening"
        self.trouble = ""
        self.overruns = 0

    def read(self, wait_s: float) -> Block | None:
        del wait_s
        return next(self._given, None)

    def discard(self) -> None:
        pass
