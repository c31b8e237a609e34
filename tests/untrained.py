"""Runs whose weights are drawn: what they hear means nothing, how they hear is all there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speech_rnn import checkpoint
from speech_rnn.config import FeatureSettings, ModelSettings, RunSettings, TaskSettings
from speech_rnn.data.clips import SourceRecord
from speech_rnn.runs import classifier_of, new_record, write_record

FEATURES = FeatureSettings(clip_length=4_000, n_mels=20, n_mfcc=13, f_max=4_000.0)
LABELS = ("yes", "no", "go")


def write_run(folder: Path, cell: str, *, layers: int = 2, units: int = 6, stack: int = 2) -> Path:
    """A run with weights unlike those that Keras begins with, biases too."""
    folder.mkdir(parents=True)
    settings = RunSettings(
        features=FEATURES,
        model=ModelSettings(cell=cell, units=units, layers=layers, stack=stack),
        task=TaskSettings(labels=LABELS, unknown_share=0.0, silence_share=0.0),
    )
    record = new_record(settings, LABELS, [SourceRecord(name="d", origin="made up", digest="0", synthetic=True)], 4)
    state = {"mean": np.linspace(-60, 20, 13).tolist(), "variance": np.linspace(400, 100, 13).tolist()}
    classifier = classifier_of(record, state)
    rng = np.random.default_rng(1)
    for weight in classifier.trainable_weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    write_record(folder, record)
    checkpoint.save(folder / "best.npz", classifier.weights, state)
    (folder / "history.jsonl").write_text("")
    return folder
