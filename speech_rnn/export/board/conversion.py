"""The classifier in integers for a board: one step of any cell, and for an LSTM also a whole clip, fused.

Both take what :mod:`speech_rnn.export.quantization` prepares: normalized frames of one spread; both give scores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.card import Card
from speech_rnn.export.board.graph import Graph
from speech_rnn.export.conversion import Conversion, convert_in_child, save_function
from speech_rnn.export.quantization import IntegerCore

STEP = "step_int8"
CLIP = "clip_int8"

# What an LSTM's cell is beyond 6 its output doesn't show, tanh(6) is 1 but for 1e-5; finer steps within are worth more.
LARGEST_CELL = 6.0
CLIPS = 100  # so many of the calibration clips are shown to the converter whole

Scores = Callable[..., dict[str, tf.Tensor]]


def convert(integers: IntegerCore, calibration: NDArray[np.float32], card: Card) -> dict[str, Graph]:
    """Convert in a child process, and edit what the converter leaves undone.

    Args:
        integers: the classifier, prepared for integers.
        calibration: float32 [clips, n_frames, n_mfcc], MFCC of training clips.
        card: to travel inside.

    Returns:
        :data:`STEP`, and :data:`CLIP` for LSTM layers -> the model. One step takes ``x`` int8 [1, stack * n_mfcc] and
        ``state_0``, ... int8 [1, size], and gives ``scores`` int8 [1, labels] and ``new_state_0``, ..., quantized as
        the states that it takes. The clip takes ``x`` int8 [1, n_steps, stack * n_mfcc], and gives ``scores``.

    Raises:
        ModelError: the converter can't express the classifier in integer operators.
    """
    layers = [layer.layer for layer in integers.core.layers if layer.name.startswith("recurrent_")]
    fused = all(_can_be_fused(layer) for layer in layers)
    states = [f"state_{i}" for i in range(len(card.states))]
    with tempfile.TemporaryDirectory(prefix="speech_rnn_board_") as name:
        folder = Path(name)
        variables = [variable.value for variable in integers.core.variables]
        wanted = [
            Conversion(
                f"mcu/{STEP}.tflite",
                save_function(_step_function(integers.core), variables, folder / STEP),
                "int8",
                _bounded_cells(integers.calibration, layers),
                integer_io=True,
            )
        ]
        if fused:
            x = steps_of(calibration, integers, card)[:CLIPS, np.newaxis]
            function = _fused_function(layers, integers.core.get_layer("logits"), x.shape[1:])
            saved = save_function(function, [], folder / CLIP)
            wanted.append(Conversion(f"mcu/{CLIP}.tflite", saved, "int8", {"x": x}, integer_io=True))
        graphs = {name: Graph(content) for name, content in zip((STEP, CLIP), convert_in_child(*wanted), strict=False)}
    graphs[STEP].set_order(["x", *states], ["scores", *(f"new_{state}" for state in states)])
    for state in states:
        graphs[STEP].share_scale(f"new_{state}", with_input=state)
    if fused:
        graphs[CLIP].set_order(["x"], ["scores"])
        graphs[CLIP].remove_cell_clip()
    for graph in graphs.values():
        graph.add_card(card.without_files().to_json())
    return graphs


def steps_of(frames: NDArray[np.float32], integers: IntegerCore, card: Card) -> NDArray[np.float32]:
    """MFCC [clips, n_frames, n_mfcc] -> what the steps take, float32 [clips, n_steps, stack * n_mfcc]."""
    normalized = (frames[:, : card.n_steps * card.model.stack] - integers.mean) * integers.factor
    return normalized.reshape(len(frames), card.n_steps, -1).astype(np.float32)


def _step_function(core: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    inputs = [tf.TensorSpec([1, tensor.shape[1]], name=tensor.name) for tensor in core.inputs]

    @tf.function(input_signature=inputs, autograph=False)
    def step(x: tf.Tensor, *states: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, *new_states = core([x, *states])
        return {"scores": tf.nn.softmax(logits), **{f"new_state_{i}": state for i, state in enumerate(new_states)}}

    return step


def _bounded_cells(
    calibration: dict[str, NDArray[np.float32]], layers: list[keras.layers.Layer]
) -> dict[str, NDArray[np.float32]]:
    """The calibration with an LSTM's cells bounded; a state of ±20 would leave an int8 steps of 0.16."""
    bounded, index = dict(calibration), 0
    for layer in layers:
        size = layer.cell.state_size
        n_states = 1 if isinstance(size, int) else len(size)
        if isinstance(layer, keras.layers.LSTM):
            cell = f"state_{index + 1}"
            bounded[cell] = np.clip(bounded[cell], -LARGEST_CELL, LARGEST_CELL)
        index += n_states
    return bounded


def _can_be_fused(layer: keras.layers.Layer) -> bool:
    """Whether a layer is what TFLite's operator computes."""
    return (
        isinstance(layer, keras.layers.LSTM)
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
    )


def _fused_function(
    layers: list[keras.layers.Layer], dense: keras.layers.Layer, shape: tuple[int, ...]
) -> tf.types.experimental.PolymorphicFunction:
    """A clip, in a form in which the converter recognizes LSTM layers as one operator each.

    Weights are constants: a SavedModel with variables would have the converter look for them inside the layers.
    """
    calls = [_fused_layer(layer, last=layer is layers[-1]) for layer in layers]
    kernel, bias = (np.asarray(weight) for weight in dense.get_weights())

    @tf.function(input_signature=[tf.TensorSpec(shape, name="x")], autograph=False)
    def clip(x: tf.Tensor) -> dict[str, tf.Tensor]:
        for call in calls:
            x = call(x)
        return {"scores": tf.nn.softmax(x @ kernel + bias)}

    return clip


def _fused_layer(layer: keras.layers.Layer, *, last: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """An LSTM as the converter wants it: by the attribute, what it takes and gives, not by what it computes.

    tensorflow/compiler/mlir/lite/utils/lstm_utils.h (ConvertKerasLSTMLayer); the order of gates is Keras' own.
    """
    kernel, recurrent, bias = (np.asarray(weight) for weight in layer.get_weights())
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
        output, sequence, *_ = function(x, zeros, zeros, tf.constant(kernel), tf.constant(recurrent), tf.constant(bias))
        return output if last else sequence

    return call
