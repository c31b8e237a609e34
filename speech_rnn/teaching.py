"""Distillation: what trained classifiers make of a clip is learned beside its label.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, without a temperature. A run
keeps its teachers' weights in its own folder, so that it can be gone on with wherever they are then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn import checkpoint
from speech_rnn.config import ModelSettings
from speech_rnn.models import build_written_out
from speech_rnn.runs import RunRecord, classifier_of
from speech_rnn.trained import Trained, normalization_of


def keep(path: Path, trained: Trained) -> str:
    """Write a classifier's weights into a run's folder; returns their digest."""
    state = {name: values.tolist() for name, values in normalization_of(trained.classifier).items()}
    checkpoint.save(path, trained.classifier.weights, {**state, "model": trained.model.model_dump(mode="json")})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def keep_teachers(folder: Path, teachers: Sequence[Trained]) -> tuple[str, ...]:
    """Write the teachers of a run into its folder; returns their digests."""
    return tuple(keep(_path(folder, number), teacher) for number, teacher in enumerate(teachers))


class Teachers:
    """The teachers of a run."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        """Read what :func:`keep_teachers` wrote.

        Raises:
            ModelError: a file is damaged.
        """
        self._classifiers = [_kept(_path(folder, number), record) for number in range(len(record.taught_by))]

    def __len__(self) -> int:
        return len(self._classifiers)

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of their scores: MFCC float32 [n, frames, n_mfcc] -> float32 [n, labels], rows that add up to 1."""
        logits = [classifier.predict_on_batch(features) for classifier in self._classifiers]
        scores = [np.asarray(keras.ops.softmax(one), np.float32) for one in logits]
        mean: NDArray[np.float32] = np.mean(np.stack(scores), axis=0)
        return mean


def _path(folder: Path, number: int) -> Path:
    return folder / f"teacher_{number}.npz"


def _kept(path: Path, record: RunRecord) -> keras.Model:
    state, _ = checkpoint.read(path)
    model = ModelSettings(**state["model"])
    classifier = classifier_of(record.changed(settings=record.settings.changed(model=model)), state)
    checkpoint.load(path, classifier.weights)
    return build_written_out(classifier) if model.precision == "bfloat16_products" else classifier
