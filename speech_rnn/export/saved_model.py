"""Front end and classifier as one TensorFlow function, waveform -> scores, and that function as a SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.export.front_end import FrontEnd

SIGNATURE = "serving_default"
INPUT = "waveform"
OUTPUT = "scores"


def scores_function(
    classifier: keras.Model, front_end: FrontEnd, clip_length: int, batch: int | None
) -> tf.types.experimental.PolymorphicFunction:
    """The whole model as a function.

    Args:
        classifier: MFCC -> logits.
        front_end: waveform -> MFCC.
        clip_length: samples of a clip.
        batch: clips a call; ``None`` for any number.

    Returns:
        A ``tf.function``: waveform float32 [batch, clip_length] -> ``{"scores": float32 [batch, labels]}``.
    """

    @tf.function(input_signature=[tf.TensorSpec([batch, clip_length], tf.float32, name=INPUT)])
    def scores(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUT: tf.nn.softmax(classifier(front_end(waveform), training=False), name=OUTPUT)}

    return scores


def write_saved_model(classifier: keras.Model, front_end: FrontEnd, clip_length: int, card: Path, folder: Path) -> None:
    """Write a SavedModel with one signature, ``serving_default``; the card is an asset, ``assets/card.json``.

    Args:
        classifier: MFCC -> logits.
        front_end: waveform -> MFCC.
        clip_length: samples of a clip.
        card: the card as it shall stand inside.
        folder: to be made.
    """
    module = tf.Module()
    module.front_end = front_end
    # The variables only: tracked whole, a Keras model would be traced a second time.
    module.weights = [variable.value for variable in classifier.variables]
    module.card = tf.saved_model.Asset(str(card))
    module.scores = scores_function(classifier, front_end, clip_length, None)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.scores.get_concrete_function()})


def load_scores(folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The signature of a SavedModel: float32 [clips, clip_length] -> float32 [clips, labels]."""
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures[SIGNATURE]

    def scores(clips: NDArray[np.float32]) -> NDArray[np.float32]:
        # ``loaded`` owns the variables that the signature reads.
        assert loaded is not None
        result: NDArray[np.float32] = signature(**{INPUT: tf.constant(clips)})[OUTPUT].numpy()
        return result

    return scores
