"""The classifier as the functions that are converted to integers: one step for boards, and one for phones."""

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


@dataclass(frozen=True, eq=False)
class Network:
    """A classifier, still in float32, arranged for integers.

    Attributes:
        card: of the model.
        mean: float32 [n_mfcc]; what is taken from MFCC before it.
        factor: float32 [n_mfcc]; what they are multiplied by then.
        step: ``x`` [1, stack * n_mfcc], ``state_0`` [1, size], ... -> ``scores``, ``new_state_0``, ...; arranged for
            sixteen bits.
        logits: the same for any number of streams, ``logits`` in place of ``scores``; arranged for eight.
        variables: that ``step`` reads.
        examples: name of an input of ``step`` -> float32 [examples, 1, size].
        is_arranged: every layer is one of :mod:`speech_rnn.export.integers.cells`; input and states are within ±1, but
            for an LSTM's cells.
        cells: which states are an LSTM's cells.
        is_lstm: every layer is an LSTM; in ``step`` its input and its state have products of their own.
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
    is_lstm: bool

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
    wide_core = _arranged_core(layers, dense, reach, is_wide=True)
    if core is None:
        reach = 1.0
    return Network(
        card=card,
        mean=integers.mean,
        factor=integers.factor / np.float32(reach),
        step=_step(wide_core or integers.step, integers.core.inputs, 1, "scores", tf.nn.softmax),
        logits=_step(core or integers.step, integers.core.inputs, None, "logits", tf.identity),
        variables=[variable.value for variable in integers.core.variables],
        # Unchanged but for what the input has been divided by.
        examples={**integers.calibration, "x": integers.calibration["x"] / np.float32(reach)},
        is_arranged=core is not None,
        cells=_cells(layers),
        is_lstm=all(map(is_usual_lstm, layers)),
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


def _arranged_core(
    layers: Sequence[keras.layers.Layer], dense: keras.layers.Layer, reach: float, *, is_wide: bool = False
) -> Core | None:
    """The step with weights as constants; ``None`` where a layer is of a kind that isn't known."""
    steps = [cell_step(layer, reach if layer is layers[0] else 1.0, is_wide=is_wide) for layer in layers]
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
