"""Runs that were never trained: random weights are as hard to export as good ones, and there in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings, ModelSettings, RunSettings
from speech_rnn.data.clips import SourceRecord
from speech_rnn.features import mfcc
from speech_rnn.models import build_classifier
from speech_rnn.runs import Run, RunRecord

LABELS = ("_silence_", "_unknown_", "yes", "no")
FEATURES = FeatureSettings(
    sample_rate=8_000, clip_length=4_000, n_fft=256, win_length=240, hop_length=120, n_mels=20, n_mfcc=13, f_max=3_800.0
)


def make_run(
    *,
    features: FeatureSettings = FEATURES,
    labels: tuple[str, ...] = LABELS,
    source: str = "corpus",
    history: tuple[dict[str, Any], ...] = (),
    **model: Any,
) -> Run:
    settings = RunSettings(features=features, model=ModelSettings(**{"units": 8, "layers": 1, "stack": 2, **model}))
    keras.utils.set_random_seed(1)
    # As speech has it: the first coefficient is large, and later ones vary less and less.
    mean = np.zeros(features.n_mfcc, np.float32)
    mean[0] = -200.0
    variance = (2_000.0 / np.arange(1, features.n_mfcc + 1) ** 2).astype(np.float32)
    classifier = build_classifier(
        settings.model, features.n_frames, features.n_mfcc, len(labels), mean=mean, variance=variance
    )
    # Twice as strong as at their start: scores far from equal, as after training. A SimpleRNN would be chaotic.
    strength = 1 if settings.model.cell == "rnn" else 2
    classifier.set_weights([strength * weight for weight in classifier.get_weights()])
    record = RunRecord(
        version=1,
        settings=settings,
        labels=labels,
        sources=(SourceRecord(name=source, origin="made by a test", digest="ab" * 32, synthetic=True),),
        clips=100,
        made_with={},
    )
    return Run(Path("runs/in-memory"), record, classifier, history)


def calibration(features: FeatureSettings = FEATURES) -> NDArray[np.float32]:
    """Features of noise and of gliding tones of every level, as training clips would give them, and silence."""
    rng = np.random.default_rng(11)
    levels = 10.0 ** rng.uniform(-4.5, -0.5, (64, 1))
    sounds = rng.normal(0.0, levels, (64, features.clip_length))
    phase = np.cumsum(np.linspace(rng.uniform(0, 3, 32), rng.uniform(0, 3, 32), features.clip_length, axis=1), axis=1)
    sounds[:32] = levels[:32] * (np.sin(phase) + 0.1 * rng.normal(size=phase.shape))
    sounds[-1] = 0.0
    return mfcc(sounds.astype(np.float32), features)
