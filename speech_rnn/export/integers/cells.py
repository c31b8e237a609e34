"""One step of a recurrent layer, arranged for integers.

With products in eight bits there are as few of them on the way to a gate as there can be. Input and state go through
one, so that their sum, of which there are 256 values, is rounded once and not twice. In sixteen bits a rounding more is
nothing, and an LSTM's input and state have products of their own: their weights differ by a factor of ten, and one
scale is coarse for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# x [1, size], states [1, size] -> output [1, units], new states
CellStep = Callable[[tf.Tensor, Sequence[tf.Tensor]], tuple[tf.Tensor, list[tf.Tensor]]]


def cell_step(layer: keras.layers.Layer, x_scale: float = 1.0, *, is_wide: bool = False) -> CellStep | None:
    """One step of a layer; ``None`` for one that isn't known here, or has other activations than usual.

    Args:
        layer: LSTM, GRU (``reset_after``) or SimpleRNN of Keras, built.
        x_scale: what the input has been divided by; the weights take it back.
        is_wide: arranged for sixteen bits.
    """
    for kind, make in (_WIDE_STEPS if is_wide else _STEPS).items():
        if kind is type(layer) and _is_usual(layer):
            kernel, recurrent, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
            return make(kernel * np.float32(x_scale), recurrent, bias)
    return None


def n_states(layer: keras.layers.Layer) -> int:
    """States that a recurrent layer has."""
    size = layer.cell.state_size
    return 1 if isinstance(size, int) else len(size)


def is_usual_lstm(layer: keras.layers.Layer) -> bool:
    """Whether a layer is an LSTM with the activations that it usually has."""
    return type(layer) is keras.layers.LSTM and _is_usual(layer)


def _is_usual(layer: keras.layers.Layer) -> bool:
    gated = getattr(layer, "recurrent_activation", keras.activations.sigmoid) is keras.activations.sigmoid
    return bool(
        gated and layer.activation is keras.activations.tanh and layer.use_bias and getattr(layer, "reset_after", True)
    )


def _lstm(kernel: NDArray[np.float32], recurrent: NDArray[np.float32], bias: NDArray[np.float32]) -> CellStep:
    gate_weights, weights = _gates_and_candidate(np.concatenate([kernel, recurrent]))
    gate_bias, candidate_bias = _gates_and_candidate(bias)

    def step(x: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        h, c = states
        both = tf.concat([x, h], axis=1)
        return _new_lstm_states(both @ gate_weights + gate_bias, both @ weights + candidate_bias, c)

    return step


def _wide_lstm(kernel: NDArray[np.float32], recurrent: NDArray[np.float32], bias: NDArray[np.float32]) -> CellStep:
    gate_kernel, x_weights = _gates_and_candidate(kernel)
    gate_recurrent, h_weights = _gates_and_candidate(recurrent)
    gate_bias, candidate_bias = _gates_and_candidate(bias)

    def step(x: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        h, c = states
        gates = (x @ gate_kernel + gate_bias) + h @ gate_recurrent
        return _new_lstm_states(gates, (x @ x_weights + candidate_bias) + h @ h_weights, c)

    return step


def _gates_and_candidate(weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An LSTM's weights of input, forget and output gate, and those of the candidate; Keras has it before the last."""
    i, f, candidate, o = np.split(weights, 4, axis=-1)
    return np.concatenate([i, f, o], axis=-1), candidate


def _new_lstm_states(gates: tf.Tensor, candidate: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    i, f, o = tf.split(gates, 3, axis=1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(candidate)
    h = tf.sigmoid(o) * tf.tanh(c)
    return h, [h, c]


def _gru(kernel: NDArray[np.float32], recurrent: NDArray[np.float32], bias: NDArray[np.float32]) -> CellStep:
    # Keras' order of gates is update, reset, candidate; two biases, since the state's product is reset with its own.
    units = len(recurrent)
    gate_weights = np.concatenate([kernel, recurrent])[:, : 2 * units]
    gate_bias = bias.sum(axis=0)[: 2 * units]
    x_weights, h_weights = kernel[:, 2 * units :], recurrent[:, 2 * units :]
    x_bias, h_bias = bias[:, 2 * units :]

    def step(x: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        (h,) = states
        update, reset = tf.split(tf.concat([x, h], axis=1) @ gate_weights + gate_bias, 2, axis=1)
        update = tf.sigmoid(update)
        candidate = tf.tanh((x @ x_weights + x_bias) + tf.sigmoid(reset) * (h @ h_weights + h_bias))
        h = update * h + (1 - update) * candidate
        return h, [h]

    return step


def _simple(kernel: NDArray[np.float32], recurrent: NDArray[np.float32], bias: NDArray[np.float32]) -> CellStep:
    weights = np.concatenate([kernel, recurrent])

    def step(x: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        h = tf.tanh(tf.concat([x, states[0]], axis=1) @ weights + bias)
        return h, [h]

    return step


_STEPS: dict[Any, Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], CellStep]] = {
    keras.layers.LSTM: _lstm,
    keras.layers.GRU: _gru,
    keras.layers.SimpleRNN: _simple,
}
_WIDE_STEPS = {**_STEPS, keras.layers.LSTM: _wide_lstm}
