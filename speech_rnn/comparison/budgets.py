"""What a cell costs, and with how many units it costs as much as another.

Keras is imported where a classifier is built: who reads results needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from speech_rnn.config import FeatureSettings, ModelSettings

if TYPE_CHECKING:
    import keras

Budget = Literal["units", "parameters", "bytes", "macs"]


class Cost(NamedTuple):
    """What a classifier costs.

    Attributes:
        parameters: trainable ones.
        int8_bytes: see :func:`int8_bytes`.
        macs_per_second: see :func:`speech_rnn.models.macs_per_second`.
    """

    parameters: int
    int8_bytes: int
    macs_per_second: float

    def of(self, budget: Budget, units: int) -> float:
        """What counts under a budget; ``units`` are those of the classifier."""
        return {
            "units": units,
            "parameters": self.parameters,
            "bytes": self.int8_bytes,
            "macs": self.macs_per_second,
        }[budget]


def int8_bytes(model: keras.Model) -> int:
    """Bytes of a classifier's numbers in integers: one a weight of a matrix, four a bias.

    As TensorFlow Lite stores them: int8 weights, int32 biases
    (https://ai.google.dev/edge/litert/models/quantization_spec). Scales and the graph are left out; with them a file is
    larger by 5 to 10 % (``gru-12-large``: 468,144 by this count, ``mcu/step_int8.tflite`` has 492,336).
    """
    from speech_rnn.models import recurrent_layers

    layers = [*recurrent_layers(model), model.get_layer("logits")]
    weights = [weight for layer in layers for weight in layer.trainable_weights]
    return sum(int(np.prod(weight.shape)) * (1 if "kernel" in weight.name else 4) for weight in weights)


def cost_of(settings: ModelSettings, features: FeatureSettings, n_labels: int) -> Cost:
    """What a classifier of these settings costs."""
    from speech_rnn.models import build_classifier, macs_per_second

    # A clip of one step: its length costs no weights.
    model = build_classifier(settings, settings.stack, features.n_mfcc, n_labels)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return Cost(parameters, int8_bytes(model), macs_per_second(model, features))


def units_within(
    budget: Budget, settings: ModelSettings, size: int, cost: Cost, *, features: FeatureSettings, n_labels: int
) -> int:
    """The units a layer with which a classifier comes nearest to what another costs.

    Args:
        budget: what is to be equal.
        settings: cell, layers and stacking; its ``units`` don't matter.
        size: units a layer of the other classifier.
        cost: of the other.
        features: the front end.
        n_labels: labels.

    Returns:
        Units a layer, at least 1; of two equally near numbers the smaller.
    """
    from speech_rnn.models import nearest_units

    if budget == "units":
        return size
    return nearest_units(
        lambda units: cost_of(settings.changed(units=units), features, n_labels).of(budget, units),
        cost.of(budget, size),
    )
