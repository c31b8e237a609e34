"""The classifier as the functions that are converted to integers: one step, and for an LSTM a whole clip, fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.card import Card
from speech_rnn.export.integers.cells import cell_step, is_usual_lstm, n_states
from speech_rnn.export.integers.core import integer_core

Function = Any  # a tf.function, which has no type that mypy knows
Core = Callable[..., Sequence[tf.Tensor]]  # x, states -> logits, new states

CLIPS = 100  # so many of the calibration clips are shown to the converter whole


@dataclass(frozen=True, eq=False)
class Network:
    """A classifier, still in float32, arranged for integers.

    Attributes:
        card: of the model.
        mean: float32 [n_mfcc]; what is taken from MFCC before it.
        factor: float32 [n_mfcc]; what they are multiplied by then.
        step: ``x`` [1, stack * n_mfcc], ``state_0`` [1, size], ... -> ``scores``, ``new_state_0``, ....
        logits: the same for any number of streams, ``logits`` in place of ``scores``.
        variables: that ``step`` reads.
        examples: name of an input of ``step`` -> float32 [examples, 1, size].
        is_arranged: every layer is one of :mod:`speech_rnn.export.integers.cells`; input and states are within ±1, but
            for an LSTM's cells.
        cells: which states are an LSTM's cells.
        clip: for LSTM layers: ``x`` [1, n_steps, stack * n_mfcc] -> ``scores``.
        clips: its examples, float32 [examples, 1, n_steps, stack * n_mfcc].
    """

    card: Card
    mean: NDArray[np.float32]
    factor: NDArray[np.float32]
    step: Function
    logits: Function
    variables: Sequence[object]
    examples: dict[str, NDArray[np.float32]]
    is_arranged: bool
    cells: frozenset[int]
    clip: Function | None
    clips: NDArray[np.float32]

    def steps(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """MFCC [clips, n_frames, n_mfcc] -> what ``x`` stands for, float32 [clips, n_steps, stack * n_mfcc]."""
        return _steps(frames, self.mean, self.factor, self.card)


def arrange(classifier: keras.Model, card: Card, calibration: NDArray[np.float32]) -> Network:
    """Arrange a classifier for integers.

    Args:
        classifier: MFCC -> logits, in float32.
        card: of the model.
        calibration: float32 [clips, n_frames, n_mfcc], MFCC of training clips.
    """
    integers = integer_core(classifier, card, calibration)
    layers = [layer.layer for layer in integers.core.layers if layer.name.startswith("recurrent_")]
    dense = integers.core.get_layer("logits")
    # Input and states within ±1, so that one product may take both.
    reach = float(np.abs(_steps(calibration, integers.mean, integers.factor, card)).max()) or 1.0
    core = _arranged_core(layers, dense, reach)
    if core is None:
        reach = 1.0
    factor = integers.factor / np.float32(reach)
    clips = _steps(calibration[:CLIPS], integers.mean, factor, card)[:, np.newaxis]
    cells = _cells(layers)
    return Network(
        card=card,
        mean=integers.mean,
        factor=factor,
        step=_step(core or integers.step, integers.core.inputs, 1, "scores", tf.nn.softmax),
        logits=_step(core or integers.step, integers.core.inputs, None, "logits", tf.identity),
        variables=[variable.value for variable in integers.core.variables],
        # Unchanged but for what the input has been divided by.
        examples={**integers.calibration, "x": integers.calibration["x"] / np.float32(reach)},
        is_arranged=core is not None,
        cells=cells,
        clip=_clip(layers, dense, reach, clips.shape[1:]) if all(map(is_usual_lstm, layers)) else None,
        clips=clips,
    )


def _steps(
    frames: NDArray[np.float32], mean: NDArray[np.float32], factor: NDArray[np.float32], card: Card
) -> NDArray[np.float32]:
    normalized = (frames[:, : card.n_steps * card.model.stack] - mean) * factor
    return normalized.reshape(len(frames), card.n_steps, -1).astype(np.float32)


def _cells(layers: Sequence[keras.layers.Layer]) -> frozenset[int]:
    """Which of all states are an LSTM's second."""
    cells, index = set(), 0
    for layer in layers:
        if isinstance(layer, keras.layers.LSTM):
            cells.add(index + 1)
        index += n_states(layer)
    return frozenset(cells)


def _arranged_core(layers: Sequence[keras.layers.Layer], dense: keras.layers.Layer, reach: float) -> Core | None:
    """The step with weights as constants; ``None`` where a layer is of a kind that isn't known."""
    steps = [cell_step(layer, reach if layer is layers[0] else 1.0) for layer in layers]
    known = [step for step in steps if step is not None]
    if len(known) < len(layers):
        return None
    kernel, bias = (np.asarray(weight) for weight in dense.get_weights())

    def core(x: tf.Tensor, *states: tf.Tensor) -> list[tf.Tensor]:
        left, new_states = list(states), []
        for layer, step in zip(layers, known, strict=True):
            x, new = step(x, left[: n_states(layer)])
            left = left[n_states(layer) :]
            new_states += new
        return [x @ kernel + bias, *new_states]

    return core


def _step(
    core: Core,
    inputs: Sequence[keras.KerasTensor],
    batch: int | None,
    output: str,
    activation: Callable[..., tf.Tensor],
) -> Function:
    shapes = [tf.TensorSpec([batch, one.shape[1]], name=one.name) for one in inputs]

    @tf.function(input_signature=shapes, autograph=False)
    def step(x: tf.Tensor, *states: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, *new_states = core(x, *states)
        return {output: activation(logits), **{f"new_state_{i}": state for i, state in enumerate(new_states)}}

    return step


def _clip(
    layers: Sequence[keras.layers.Layer], dense: keras.layers.Layer, reach: float, shape: tuple[int, ...]
) -> Function:
    """A clip in a form in which the converter recognizes LSTM layers as one operator each; weights are constants."""
    calls = [_fused(layer, reach if layer is layers[0] else 1.0, is_last=layer is layers[-1]) for layer in layers]
    kernel, bias = (np.asarray(weight) for weight in dense.get_weights())

    @tf.function(input_signature=[tf.TensorSpec(shape, name="x")], autograph=False)
    def clip(x: tf.Tensor) -> dict[str, tf.Tensor]:
        for call in calls:
            x = call(x)
        return {"scores": tf.nn.softmax(x @ kernel + bias)}

    return clip


def _fused(layer: keras.layers.Layer, x_scale: float, *, is_last: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """An LSTM as the converter wants it: known by the attribute and by what it takes and gives, not by its inside.

    tensorflow/compiler/mlir/lite/utils/lstm_utils.cc, ConvertKerasLSTMLayer; the order of gates is Keras' own.
    """
    kernel, recurrent, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
    constants = [kernel * np.float32(x_scale), recurrent, bias]
    units = layer.units

    def lstm(x: tf.Tensor, h: tf.Tensor, c: tf.Tensor, *weights: tf.Tensor) -> object:
        kernel, recurrent, bias = weights

        def step(states: tuple[tf.Tensor, tf.Tensor], x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            i, f, candidate, o = tf.split(x @ kernel + states[0] @ recurrent + bias, 4, axis=1)
            c = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(candidate)
            return tf.sigmoid(o) * tf.tanh(c), c

        hidden, cells = tf.scan(step, tf.transpose(x, [1, 0, 2]), (h, c))
        return hidden[-1], tf.transpose(hidden, [1, 0, 2]), hidden[-1], cells[-1], tf.constant(1.0)

    attributes = {
        "api_implements": f"lstm_{layer.name}",
        "api_preferred_device": "CPU",
        "time_major": False,
        "go_backwards": False,
    }
    function = tf.function(lstm, autograph=False, experimental_attributes=attributes)

    def call(x: tf.Tensor) -> tf.Tensor:
        zeros = tf.zeros([1, units])
        output, sequence, *_ = function(x, zeros, zeros, *map(tf.constant, constants))
        return output if is_last else sequence

    return call
