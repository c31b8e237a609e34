"""A trained classifier by its name: a shipped model, the folder of a model, or that of a run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.card import CARD_FILE, KERAS_FILE, Card, read_checked
from speech_rnn.config import FeatureSettings, ModelSettings
from speech_rnn.runs import Run, load_run
from speech_rnn.runtime import find_model


@dataclass(frozen=True)
class Trained:
    """A classifier and what it was made for.

    Attributes:
        name: for messages.
        labels: in the order of the scores.
        features: its front end.
        model: its layers.
        classifier: MFCC float32 [batch, frames, n_mfcc] -> logits float32 [batch, labels].
        origin: the run, or the folder and card of the model.
    """

    name: str
    labels: tuple[str, ...]
    features: FeatureSettings
    model: ModelSettings
    classifier: keras.Model
    origin: Run | tuple[Path, Card]


def open_trained(name: str) -> Trained:
    """A classifier with its best weights.

    Args:
        name: of a shipped model, or the folder of a model or of a run.

    Raises:
        ModelError: there is no such model, or its files are damaged.
    """
    folder = Path(name)
    if (folder / "run.json").is_file() and not (folder / CARD_FILE).is_file():
        run = load_run(folder)
        return Trained(name, run.labels, run.settings.features, run.settings.model, run.classifier, run)
    folder = find_model(name)
    card = Card.read(folder / CARD_FILE)
    content = read_checked(folder, KERAS_FILE, card)
    with tempfile.TemporaryDirectory(prefix="speech_rnn_model_") as beside:
        path = Path(beside) / KERAS_FILE
        path.write_bytes(content)  # what was checked is what is read
        classifier = keras.saving.load_model(path, compile=False, safe_mode=True)
    return Trained(card.name, card.labels, card.features, card.model, classifier, (folder, card))


def normalization_of(classifier: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Mean and variance of a classifier's features: float32 [n_mfcc] each."""
    layer = classifier.get_layer("normalization")
    return {name: np.asarray(getattr(layer, name), np.float32).reshape(-1) for name in ("mean", "variance")}
