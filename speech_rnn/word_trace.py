"""A word on its way through a classifier: its spectrogram, what each layer does with it, and how the scores grow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.audio import fit, read_blocks
from speech_rnn.config import FeatureSettings
from speech_rnn.errors import AudioError, ModelError
from speech_rnn.gates import GATES, OPEN, SHUT, STATES, LayerTrace, trace_layer
from speech_rnn.models import recurrent_layers
from speech_rnn.runs import Run
from speech_rnn.trained import Trained

LONGEST_S = 10.0  # a picture of more shows nothing
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class SignalFigures:
    """One signal of a layer, over all steps and units.

    Attributes:
        layer: its number, from 1.
        signal: its name; see :class:`speech_rnn.gates.LayerTrace`.
        mean: over steps and units.
        low: a tenth lies below it.
        high: a tenth lies above it.
        shut: of a gate, the share below :data:`speech_rnn.gates.SHUT`.
        open: of a gate, the share above :data:`speech_rnn.gates.OPEN`.
    """

    layer: int
    signal: str
    mean: float
    low: float
    high: float
    shut: float | None
    open: float | None


@dataclass(frozen=True, slots=True, eq=False)
class WordTrace:
    """What a classifier did with a word.

    Attributes:
        model: its name.
        cell: of its layers: ``lstm``, ``gru`` or ``rnn``.
        labels: in the order of the scores.
        synthetic: whether machines spoke some or all of what it was trained on.
        settings: of its front end.
        stack: frames a step.
        file_s: length of the file, seconds.
        samples: float32 [samples] that it heard, at its own rate, full scale ±1.
        log_mel: dB [frames, n_mels].
        scores: float64 [steps, labels], 0 to 1: what it would say if the word ended there.
        layers: first to last.
    """

    model: str
    cell: str
    labels: tuple[str, ...]
    synthetic: bool
    settings: FeatureSettings
    stack: int
    file_s: float
    samples: NDArray[np.float32]
    log_mel: NDArray[np.float32]
    scores: NDArray[np.float64]
    layers: tuple[LayerTrace, ...]

    @property
    def step_s(self) -> float:
        """Time from step to step, seconds."""
        return self.stack * self.settings.hop_s

    @property
    def begin_s(self) -> float:
        """Where the first frame stands in the sound, half a hop before its middle, seconds."""
        return (self.settings.n_fft - self.settings.hop_length) / 2 / self.settings.sample_rate

    @property
    def heard_s(self) -> float:
        """Length of what was heard, seconds."""
        return len(self.samples) / self.settings.sample_rate

    @property
    def times_s(self) -> NDArray[np.float64]:
        """The middle of what each step hears: float64 [steps], seconds."""
        return self.begin_s + self.step_s * np.arange(0.5, len(self.scores), dtype=np.float64)

    @property
    def heard(self) -> tuple[str, float]:
        """The label with the highest score after the last step, and its score."""
        best = int(self.scores[-1].argmax())
        return self.labels[best], float(self.scores[-1, best])

    @property
    def decided_s(self) -> float:
        """From when on the label that is heard in the end is the likeliest and stays it, seconds."""
        others = np.flatnonzero(self.scores.argmax(axis=1) != self.scores[-1].argmax())
        return float(self.times_s[others[-1] + 1 if len(others) else 0])

    def figures(self) -> list[SignalFigures]:
        """Each signal of each layer in numbers."""
        return [
            SignalFigures(
                layer=number,
                signal=name,
                mean=float(values.mean()),
                low=float(np.quantile(values, 0.1)),
                high=float(np.quantile(values, 0.9)),
                shut=float((values < SHUT).mean()) if name in GATES else None,
                open=float((values > OPEN).mean()) if name in GATES else None,
            )
            for number, layer in enumerate(self.layers, 1)
            for name, values in layer.signals.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """All that is drawn, as JSON has it: an entry a step in each list, an entry a unit or a label in those."""
        return {
            "model": self.model,
            "cell": self.cell,
            "labels": list(self.labels),
            "synthetic": self.synthetic,
            "file_s": round(self.file_s, _DIGITS),
            "heard_s": round(self.heard_s, _DIGITS),
            "times_s": _rounded(self.times_s),
            "scores": _rounded(self.scores),
            "layers": [
                {
                    "norms": {state: _rounded(layer.norm(state)) for state in STATES if state in layer.signals},
                    "signals": {name: _rounded(values) for name, values in layer.signals.items()},
                }
                for layer in self.layers
            ],
        }


def trace_word(trained: Trained, path: str | Path) -> WordTrace:
    """Let a classifier hear a word, and keep what goes on inside.

    Shorter than a clip, the sound gets zeros on both sides, as for ``speech-rnn recognize``; longer, all of it is heard
    as one sequence, though the classifier was trained on clips.

    Args:
        trained: the classifier.
        path: a sound file, see :func:`speech_rnn.audio.read_audio`; one step to :data:`LONGEST_S` long.

    Raises:
        AudioError: the file isn't such a sound.
        ModelError: the classifier's cell isn't Keras' own, or its weights give no numbers.
    """
    settings, stack = trained.features, trained.model.stack
    sound = _read(path, settings, stack)
    samples = fit(sound, max(len(sound), settings.clip_length))
    log_mel = features.log_mel(samples[np.newaxis], settings)
    mfcc = features.mfcc_from_log_mel(log_mel, settings)
    n_steps = mfcc.shape[1] // stack
    normalized = np.asarray(trained.classifier.get_layer("normalization")(mfcc))[0]
    x: NDArray[np.floating] = normalized[: n_steps * stack].reshape(n_steps, -1)
    layers: list[LayerTrace] = []
    for layer in recurrent_layers(trained.classifier):
        layers.append(trace_layer(layer, x))
        x = layers[-1].signals["h"]
    kernel, bias = (np.asarray(weight, np.float64) for weight in trained.classifier.get_layer("logits").weights)
    logits = x @ kernel + bias
    if not np.isfinite(logits).all():
        raise ModelError(f"{trained.name} gives scores that are not numbers, its weights are broken; train it again")
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return WordTrace(
        model=trained.name,
        cell=trained.model.cell,
        labels=trained.labels,
        synthetic=trained.origin.record.synthetic if isinstance(trained.origin, Run) else trained.origin[1].synthetic,
        settings=settings,
        stack=stack,
        file_s=len(sound) / settings.sample_rate,
        samples=samples,
        log_mel=log_mel[0],
        scores=odds / odds.sum(axis=1, keepdims=True),
        layers=tuple(layers),
    )


def _read(path: str | Path, settings: FeatureSettings, stack: int) -> NDArray[np.float32]:
    """A sound file that isn't too long nor too short, at the rate of the front end."""
    name, rate = repr(str(path)), settings.sample_rate
    pieces: list[NDArray[np.float32]] = []
    length = 0
    for block in read_blocks(path, rate, block_s=1.0):
        pieces.append(block)
        length += len(block)
        if length > LONGEST_S * rate:
            raise AudioError(f"{name} is longer than the {LONGEST_S:g} s that can be drawn; cut the word out of it")
    least = settings.n_fft + (stack - 1) * settings.hop_length
    if length < least:
        raise AudioError(
            f"{name} lasts {1_000 * length / rate:.1f} ms, which must be at least the {1_000 * least / rate:.1f} ms of "
            "one step of the model; record the whole word"
        )
    return np.concatenate(pieces)


def _rounded(values: NDArray[np.floating]) -> list[Any]:
    rounded: list[Any] = np.round(values.astype(np.float64), _DIGITS).tolist()
    return rounded
