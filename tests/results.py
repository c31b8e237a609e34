"""Made-up results, for the tests that show some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from speech_rnn.charts import LearningCurve
from speech_rnn.config import DetectorConfig, FeatureSettings
from speech_rnn.detection_scoring import DetectionReport, DistanceFigures, LabelDetections, MatchingRule, OperatingPoint
from speech_rnn.evaluation import Evaluation, evaluate
from speech_rnn.gates import GATES, LayerTrace
from speech_rnn.report import CellResult, SampleResult, demo_page
from speech_rnn.word_trace import WordTrace

LABELS = ("_silence_", "_unknown_", "yes", "no")
HOSTILE = ("<script>alert(1)</script>", "</title></style>", "\"'><img src=x onerror=y>", "{{ 7 * 7 }}", "a\x00\u202eb")


def evaluation(
    labels: Sequence[str] = LABELS,
    *,
    model: str = "GRU",
    synthetic: bool = True,
    skill: float = 4.0,
    n: int = 200,
) -> Evaluation:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, len(labels), n)
    logits = rng.normal(size=(n, len(labels))) + skill * np.eye(len(labels))[targets]
    speakers = [f"{labels[-1]}{number}" for number in rng.integers(0, 9, n)]
    return evaluate(
        logits,
        targets,
        labels,
        speakers,
        data=f"corpus {labels[0]}",
        synthetic=synthetic,
        command=f"speech-rnn evaluate {labels[1]}",
        part="validation",
        model=model,
    )


def cell(name: str, evaluated: Evaluation) -> CellResult:
    curve = LearningCurve(name, [4.0, 8.0], [1.0, 0.5], [1.1, 0.6], [0.5, 0.9])
    return CellResult(name, 94_732, 9_130_000.0, 4.2, 398_123, 1.92, curve, evaluated)


def sample(labels: Sequence[str] = LABELS, *, names: Sequence[str] = ("LSTM", "GRU")) -> SampleResult:
    settings = FeatureSettings()
    samples = (0.5 * np.sin(np.arange(16_000) / 9)).astype(np.float32)
    log_mel = np.random.default_rng(0).normal(-40, 9, (settings.n_frames, settings.n_mels))
    scores = {name: np.linspace(0.1, 0.4, len(labels)) for name in names}
    return SampleResult(
        f"{labels[-1]}/1.wav",
        labels[0],
        True,
        samples,
        settings,
        log_mel,
        log_mel[:, : settings.n_mfcc],
        labels,
        scores,
    )


def demo(labels: Sequence[str] = LABELS, names: Sequence[str] = ("LSTM", "GRU")) -> str:
    results = [cell(name, evaluation(labels, model=name)) for name in names]
    return demo_page(
        results,
        sample(labels, names=names),
        command=f"speech-rnn demo {labels[0]}",
        versions={labels[0]: labels[1], "keras": "3.15.1"},
        machine="2 cores",
    )


def detection_report(
    labels: Sequence[str] = LABELS[2:],
    *,
    model: str = "model GRU",
    mode: Literal["window", "carry"] = "window",
    false_alarms: int = 40,
    words: int = 200,
    synthetic: bool = True,
) -> DetectionReport:
    """Five hours: with the threshold, misses rise evenly and false alarms fall to a fiftieth."""
    levels = np.linspace(0.2, 0.98, 40)

    def counts(level: float, share: int = 1) -> dict[str, Any]:
        found = round((0.99 - 0.4 * level) * words) // share
        return {
            "words": words // share,
            "delays_s": np.linspace(0.1, 0.7, found).tolist(),
            "false_alarms": round(false_alarms * 50.0 ** (-(level - 0.2) / 0.78)) // share,
            "hours": 5.0,
            "confidence": 0.95,
        }

    return DetectionReport(
        model=model,
        data=f"streams {labels[0]}",
        synthetic=synthetic,
        command=f"speech-rnn evaluate {labels[0]} --stream",
        confidence=0.95,
        config=DetectorConfig(mode=mode, threshold=float(levels[30])),
        rule=MatchingRule(),
        hours=5.0,
        default=OperatingPoint.of(threshold=float(levels[30]), **counts(levels[30])),
        labels=tuple(LabelDetections.of(label=label, **counts(levels[30], len(labels))) for label in labels),
        distances=DistanceFigures.of([3.0, 4.0, 12.0, 25.0], [False, True, True, True], 0.95),
        causes={"word": 1, "other word": 2, "other language": 3, "noise": 4},
        curve=tuple(OperatingPoint.of(threshold=float(level), **counts(level)) for level in levels),
    )


SIGNALS = {
    "lstm": ("input", "forget", "output", "candidate", "c", "h"),
    "gru": ("update", "reset", "candidate", "h"),
    "rnn": ("h",),
}


def word_trace(
    cell: str = "gru",
    labels: Sequence[str] = LABELS,
    *,
    model: str = "",
    layers: int = 2,
    seconds: float = 1.0,
    file_s: float = 1.0,
    synthetic: bool = False,
) -> WordTrace:
    """A model that is sure of the first label at first, and from the middle on of the last."""
    settings = FeatureSettings()
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, round(seconds * settings.sample_rate)).astype(np.float32)
    n_frames = 1 + (len(samples) - settings.n_fft) // settings.hop_length
    n_steps = n_frames // 3
    scores = np.full((n_steps, len(labels)), 0.2 / (len(labels) - 1))
    scores[: n_steps // 2, 0] = scores[n_steps // 2 :, -1] = 0.8
    return WordTrace(
        model=model or f"{cell}-2",
        cell=cell,
        labels=tuple(labels),
        synthetic=synthetic,
        settings=settings,
        stack=3,
        file_s=file_s,
        samples=samples,
        log_mel=rng.normal(-40, 9, (n_frames, settings.n_mels)).astype(np.float32),
        scores=scores,
        layers=tuple(
            LayerTrace(
                {
                    name: rng.uniform(0 if name in GATES else -3 if name == "c" else -1, 1, (n_steps, 20))
                    for name in SIGNALS[cell]
                }
            )
            for _ in range(layers)
        ),
    )
