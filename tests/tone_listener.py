"""A recognizer that hears the tones of :mod:`tests.tones` without a network: for what is around a model."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import to_mono
from speech_rnn.card import Card
from speech_rnn.config import DetectorConfig
from speech_rnn.runtime import Recognizer
from speech_rnn.streaming import Detection, Detector
from tests.tflite_models import make_card
from tests.tones import FEATURES, LENGTH, RATE, WORDS

TONE_LABELS = ("_silence_", "_unknown_", "low", "high")


class ToneStream:
    """Every tenth of a second: how much of the last clip's power each tone has, where it is loud enough at all."""

    def __init__(self, config: DetectorConfig) -> None:
        self._detector = Detector(TONE_LABELS, config)
        self._step = round(0.1 * RATE)
        self._samples = np.zeros(0, np.float32)
        self._dropped = 0

    @property
    def time(self) -> float:
        return (self._dropped + len(self._samples)) / RATE

    def accept_scores(self, samples: NDArray[Any], rate: float) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        before = self._dropped + len(self._samples)
        if len(samples):
            self._samples = np.concatenate([self._samples, to_mono(samples, rate, RATE)])
        after = self._dropped + len(self._samples)
        ends = range((before // self._step + 1) * self._step, after + 1, self._step)
        scores = [self._scores(end - self._dropped) for end in ends]
        surplus = max(0, len(self._samples) - LENGTH)
        self._samples, self._dropped = self._samples[surplus:], self._dropped + surplus
        return np.array(ends, np.float64) / RATE, np.array(scores, np.float32).reshape(-1, len(TONE_LABELS))

    def accept(self, samples: NDArray[Any], rate: float) -> list[Detection]:
        times, scores = self.accept_scores(samples, rate)
        heard = [self._detector.update(time, row) for time, row in zip(times.tolist(), scores, strict=True)]
        return [one for one in heard if one is not None]

    def finish(self) -> list[Detection]:
        return self.accept(np.zeros(LENGTH // 2, np.float32), RATE)

    def _scores(self, end: int) -> list[float]:
        clip = self._samples[max(0, end - LENGTH) : end]
        power = np.abs(np.fft.rfft(clip * np.hanning(len(clip)), LENGTH)) ** 2
        hz = np.fft.rfftfreq(LENGTH, 1 / RATE)
        shares = {
            word: float(power[(hz > 0.85 * tone) & (hz < 1.15 * tone)].sum() / (power.sum() + 1e-3))
            for word, tone in WORDS.items()
        }
        return [max(0.0, 1.0 - sum(shares.values())), shares["middle"], shares["low"], shares["high"]]


class ToneRecognizer:
    """What code around a model needs of a :class:`speech_rnn.runtime.Recognizer`; picklable."""

    labels = TONE_LABELS
    sample_rate = RATE
    clip_length = LENGTH

    def __init__(self, **card: Any) -> None:
        self.card: Card = make_card(**{"labels": TONE_LABELS, "features": FEATURES, "states": (4,), **card})

    def stream(self, config: DetectorConfig | None = None) -> ToneStream:
        return ToneStream(config or DetectorConfig())


def tone_recognizer(**card: Any) -> Recognizer:
    """The same, under the type that is asked for."""
    return cast(Recognizer, ToneRecognizer(**card))
