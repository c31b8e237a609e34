"""Keras' recurrent layers for training, their gradients written out, the products of their matrices in bfloat16.

Weights, states and gates stay float32; only what is multiplied by a weight matrix is rounded, sums are float32 again.
Processors with matrix units for bfloat16 (Intel's AMX) take 0.6 of the time of Keras' own layers for it:
``benchmarks/recurrence.py``. Backpropagation through time as in Werbos 1990, doi:10.1109/5.58337.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import keras
import tensorflow as tf

Tensor = Any  # TensorFlow's own types know no shapes
States = tuple[Tensor, ...]


class _Cell(NamedTuple):
    """One step of a cell and its gradient; ``projected`` are inputs times kernel, ``recalled`` h times its kernel."""

    n_states: int
    # (projected, recalled, states) -> new states, h first, and what the gradient needs of this step
    step: Callable[[Tensor, Tensor, States], tuple[States, States]]
    # (gradients of the new states, what was kept) -> gradients of projected, of recalled, of the old states themselves
    gradient: Callable[[States, States], tuple[Tensor, Tensor, States]]


def _lstm_step(projected: Tensor, recalled: Tensor, states: States) -> tuple[States, States]:
    _, carry = states
    in_, forget, word, out = tf.split(projected + recalled, 4, axis=1)
    in_, forget, word, out = tf.sigmoid(in_), tf.sigmoid(forget), tf.tanh(word), tf.sigmoid(out)
    new = forget * carry + in_ * word
    shown = tf.tanh(new)
    return (out * shown, new), (in_, forget, word, out, shown, carry)


def _lstm_gradient(gradients: States, kept: States) -> tuple[Tensor, Tensor, States]:
    d_h, d_carry = gradients
    in_, forget, word, out, shown, carry = kept
    d_carry += d_h * out * (1 - shown * shown)
    d_gates = tf.concat(
        [
            d_carry * word * in_ * (1 - in_),
            d_carry * carry * forget * (1 - forget),
            d_carry * in_ * (1 - word * word),
            d_h * shown * out * (1 - out),
        ],
        axis=1,
    )
    return d_gates, d_gates, (tf.zeros_like(d_h), d_carry * forget)


def _gru_step(projected: Tensor, recalled: Tensor, states: States) -> tuple[States, States]:
    (h,) = states
    units = h.shape[1]
    update, reset = tf.split(tf.sigmoid(projected[:, : 2 * units] + recalled[:, : 2 * units]), 2, axis=1)
    word_recalled = recalled[:, 2 * units :]
    word = tf.tanh(projected[:, 2 * units :] + reset * word_recalled)
    return (word + update * (h - word),), (update, reset, word, word_recalled, h)


def _gru_gradient(gradients: States, kept: States) -> tuple[Tensor, Tensor, States]:
    (d_h,) = gradients
    update, reset, word, word_recalled, h = kept
    d_word = d_h * (1 - update) * (1 - word * word)
    d_gates = [d_h * (h - word) * update * (1 - update), d_word * word_recalled * reset * (1 - reset)]
    return tf.concat([*d_gates, d_word], axis=1), tf.concat([*d_gates, d_word * reset], axis=1), (d_h * update,)


def _rnn_step(projected: Tensor, recalled: Tensor, states: States) -> tuple[States, States]:
    h = tf.tanh(projected + recalled)
    return (h,), (h,)


def _rnn_gradient(gradients: States, kept: States) -> tuple[Tensor, Tensor, States]:
    (d_h,), (h,) = gradients, kept
    d_sum = d_h * (1 - h * h)
    return d_sum, d_sum, (tf.zeros_like(d_h),)


_CELLS: dict[type[keras.layers.Layer], _Cell] = {
    keras.layers.LSTM: _Cell(2, _lstm_step, _lstm_gradient),
    keras.layers.GRU: _Cell(1, _gru_step, _gru_gradient),
    keras.layers.SimpleRNN: _Cell(1, _rnn_step, _rnn_gradient),
}


def is_written_out(layer: keras.layers.Layer) -> bool:
    """Whether :class:`WrittenOut` knows a layer; others train as Keras has them."""
    if type(layer) is keras.layers.Bidirectional:
        layer = layer.forward_layer
    return type(layer) in _CELLS and keras.backend.backend() == "tensorflow"


class WrittenOut(keras.layers.Layer):
    """A recurrent layer of Keras, or Bidirectional around one, with its gradient written out; it shares the weights.

    float32 [batch, steps, features] -> float32 [batch, steps, units], or [batch, units] where the layer returns the
    last state only. The number of steps must be known; states begin as zeros.
    """

    def __init__(self, layer: keras.layers.Layer, products: str = "bfloat16") -> None:
        """Hold the layer.

        Args:
            layer: LSTM, GRU or SimpleRNN, built, with Keras' usual activations and (GRU) ``reset_after``; a
                Bidirectional one returns sequences.
            products: what matrices are multiplied in: ``bfloat16`` or ``float32``.
        """
        super().__init__(name=f"{layer.name}_written_out", dtype="float32")
        self.layer = layer
        self.products = products
        self.supports_jit = False  # XLA takes four times as long for it

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The layer's own."""
        return cast("tuple[int | None, ...]", self.layer.compute_output_shape(input_shape))

    def call(self, x: Tensor, mask: None = None) -> Tensor:
        """What the layer gives for a sequence; ``mask`` is what Keras passes on when it clones a model."""
        x = tf.transpose(x, (1, 0, 2))
        if isinstance(self.layer, keras.layers.Bidirectional):
            forth = self._states(self.layer.forward_layer, x)
            back = tf.reverse(self._states(self.layer.backward_layer, tf.reverse(x, [0])), [0])
            return tf.transpose(tf.concat([forth, back], axis=2), (1, 0, 2))
        states = self._states(self.layer, x)
        return tf.transpose(states, (1, 0, 2)) if self.layer.return_sequences else states[-1]

    def _states(self, layer: keras.layers.Layer, x: Tensor) -> Tensor:
        """[steps, batch, features] -> h [steps, batch, units], in the order in which they are heard."""
        cell = layer.cell
        bias = cell.bias.value
        both = tf.unstack(bias) if bias.shape.rank == 2 else [bias, tf.zeros_like(bias)]  # Keras' GRU has two
        unrolled = _unrolled(_CELLS[type(layer)], tf.dtypes.as_dtype(self.products))
        return unrolled(x, cell.kernel.value, cell.recurrent_kernel.value, *both)


def _unrolled(cell: _Cell, products: tf.DType) -> Callable[..., Tensor]:
    """(inputs [steps, batch, features], kernel, recurrent kernel, biases of both) -> h [steps, batch, units]."""

    def multiply(a: Tensor, b: Tensor, **options: bool) -> Tensor:
        return tf.cast(tf.matmul(tf.cast(a, products), tf.cast(b, products), **options), tf.float32)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def unrolled(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, recurrent_bias: Tensor) -> Any:
        steps, units, width = x.shape[0], recurrent.shape[0], kernel.shape[1]
        batch = tf.shape(x)[1]
        flat = tf.reshape(x, (-1, x.shape[2]))
        projected = tf.unstack(tf.reshape(multiply(flat, kernel) + bias, (steps, batch, width)), steps)
        rounded = tf.cast(recurrent, products)
        states: States = (tf.zeros((batch, units)),) * cell.n_states
        befores: list[Tensor] = []
        kepts: list[States] = []
        for at_step in projected:
            befores.append(states[0])
            states, kept = cell.step(at_step, multiply(states[0], rounded) + recurrent_bias, states)
            kepts.append(kept)
        outputs = tf.stack([*befores[1:], states[0]])

        def gradient(d_outputs: Tensor) -> tuple[Tensor, ...]:
            d_states: States = (tf.zeros((batch, units)),) * cell.n_states
            d_projected: list[Tensor] = []
            d_recalled: list[Tensor] = []
            for d_output, kept in zip(reversed(tf.unstack(d_outputs, steps)), reversed(kepts), strict=True):
                d_states = (d_states[0] + d_output, *d_states[1:])
                d_in, d_back, d_states = cell.gradient(d_states, kept)
                d_projected.append(d_in)
                d_recalled.append(d_back)
                d_states = (d_states[0] + multiply(d_back, rounded, transpose_b=True), *d_states[1:])
            d_in = tf.reshape(tf.stack(d_projected[::-1]), (-1, width))
            d_back = tf.reshape(tf.stack(d_recalled[::-1]), (-1, width))
            return (
                tf.reshape(multiply(d_in, kernel, transpose_b=True), tf.shape(x)),
                multiply(flat, d_in, transpose_a=True),
                multiply(tf.reshape(tf.stack(befores), (-1, units)), d_back, transpose_a=True),
                tf.reduce_sum(d_in, axis=0),
                tf.reduce_sum(d_back, axis=0),
            )

        return outputs, gradient

    return cast("Callable[..., Tensor]", unrolled)
