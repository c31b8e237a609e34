"""A cell that computes more than it needs."""

from __future__ import annotations

from typing import Any

import keras

SIZE = 512


class SlowCell(keras.layers.SimpleRNNCell):
    """A plain cell that multiplies by a large matrix besides: a thousand times as much as its own at 4 units."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.large = self.add_weight(shape=(SIZE, SIZE), initializer="orthogonal", name="large")

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        output, states = super().call(inputs, states, training=training)
        wide = keras.ops.tile(output, (1, SIZE // output.shape[-1]))
        output = (wide @ self.large)[:, : output.shape[-1]]
        return output, [output]


def slow(units: int, **options: Any) -> keras.layers.Layer:
    """A layer of it, as :data:`speech_rnn.models.CELLS` wants it."""
    return keras.layers.RNN(SlowCell(units), **options)
