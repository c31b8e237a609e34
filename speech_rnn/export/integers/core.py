"""The part of a classifier's step that becomes integers; normalization and softmax stay in float32.

One scale can't hold all coefficients, which vary by a factor of a hundred from the first to the last. So each is
brought to the same spread first, and the first layer's weights take the factor back.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn import draws
from speech_rnn.card import Card
from speech_rnn.models import build_classifier, build_core, recurrent_layers

STEPS_A_CLIP = 4  # so many of a calibration clip's steps are shown to the converter


@dataclass(frozen=True, eq=False)
class IntegerCore:
    """The part of a step that becomes integers, still in float32.

    Attributes:
        mean: float32 [n_mfcc]; what is taken from MFCC before it.
        factor: float32 [n_mfcc]; what they are multiplied by then.
        core: a functional model: ``x`` float32 [batch, stack * n_mfcc], ``state_0``, ... -> logits, new states.
        calibration: name of an input -> float32 [examples, 1, size], from which the converter takes ranges.
    """

    mean: NDArray[np.float32]
    factor: NDArray[np.float32]
    core: keras.Model
    calibration: dict[str, NDArray[np.float32]]

    def step(self, x: tf.Tensor, *states: tf.Tensor) -> list[tf.Tensor]:
        """The core as a function: ``x``, states -> logits, new states."""
        return list(self.core([x, *states]))


def integer_core(classifier: keras.Model, card: Card, calibration: NDArray[np.float32]) -> IntegerCore:
    """Prepare a classifier for integers.

    Args:
        classifier: MFCC -> logits, in float32.
        card: of the model.
        calibration: float32 [clips, frames, n_mfcc], of training clips, as loud and as noisy as in training.
    """
    normalization = classifier.get_layer("normalization")
    mean, variance = (np.asarray(part, np.float32).reshape(-1) for part in (normalization.mean, normalization.variance))
    # Each coefficient's reach, but for one value in a thousand, in the units that the first layer knows.
    reach = np.quantile(np.abs(np.asarray(normalization(calibration))), 0.999, axis=(0, 1))
    reach = np.maximum(reach, 1e-3 * reach.max()).astype(np.float32)
    features = card.features
    scaled = build_classifier(
        card.model.changed(precision="float32"),
        features.n_frames,
        features.n_mfcc,
        len(card.labels),
        mean=mean,
        variance=variance,
    )
    scaled.set_weights(classifier.get_weights())
    kernel = getattr(recurrent_layers(scaled)[0].cell, "kernel", None)
    if kernel is None:  # a cell from outside that keeps its weights otherwise: one scale must do
        reach[:] = 1.0
    else:
        kernel.assign(np.asarray(kernel) * np.tile(reach, card.model.stack)[:, np.newaxis])
    factor = (1 / np.maximum(np.sqrt(variance), keras.config.epsilon()) / reach).astype(np.float32)
    core = build_core(scaled)
    return IntegerCore(mean, factor, core, _examples(core, (calibration - mean) * factor, card))


def _examples(core: keras.Model, x: NDArray[np.float32], card: Card) -> dict[str, NDArray[np.float32]]:
    """What a step takes, drawn by seed from all steps of all clips."""
    rows = x[:, : card.n_steps * card.model.stack].reshape(len(x), card.n_steps, -1)
    states = [np.zeros((len(x), size), np.float32) for size in card.states]
    shown = draws.generator(0, "steps for calibration").random((card.n_steps, len(x))).argsort(axis=0) < STEPS_A_CLIP
    taken: list[list[NDArray[np.float32]]] = []
    for step in range(card.n_steps):
        inputs = [rows[:, step], *states]
        taken.append([np.asarray(one)[shown[step]] for one in inputs])
        _, *states = core.predict_on_batch(inputs)
    names = [tensor.name for tensor in core.inputs]
    return {
        name: np.concatenate(parts)[:, np.newaxis] for name, parts in zip(names, zip(*taken, strict=True), strict=True)
    }
