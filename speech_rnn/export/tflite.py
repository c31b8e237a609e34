"""The model as .tflite files of operators that TFLite has built in: a clip model and stream models.

Three pieces are converted: the front end of a clip, the front end of a step, and one step of the classifier. All files
are put together from them (:mod:`speech_rnn.export.assembly`), so clip and stream are the same operators on the same
weights, and the clip model is one graph without loops, which MediaPipe demands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from speech_rnn.card import Card, clipped
from speech_rnn.errors import ModelError
from speech_rnn.export.assembly import Assembly, Graph, Piece, Tensor
from speech_rnn.export.front_end import FrontEnd
from speech_rnn.export.integers.networks import Network
from speech_rnn.models import build_step, state_sizes
from speech_rnn.quiet import quiet
from speech_rnn.tflite_file import CARD_METADATA, CLIP_SIGNATURE, FEATURES, SCORES, STEP, STREAM

Step = Callable[..., tuple[tf.Tensor, ...]]
Precision = Literal["float32", "float16", "dynamic"]


@dataclass(frozen=True, slots=True, eq=False)
class FrontEndPieces:
    """The front end, converted; always in float32, since eight bits, or a float16's range, would lose silence.

    Attributes:
        clip: waveform [1, clip_length] -> frames [1, stack, n_mfcc] of each step.
        step: samples [1, step_length], kept [1, kept_length] -> frames [1, stack, n_mfcc], kept of the next step.
        features: window [batch, kept_length + step_length] -> frames [batch, stack, n_mfcc].
    """

    clip: Piece
    step: Piece
    features: Piece


def convert_front_end(card: Card) -> FrontEndPieces:
    """The front end of a card's settings as pieces."""
    front_end, settings, stack = FrontEnd(card.features), card.features, card.model.stack

    def clip(waveform: tf.Tensor) -> tuple[tf.Tensor, ...]:
        frames = front_end(waveform)
        return tuple(frames[:, i * stack : (i + 1) * stack] for i in range(card.n_steps))

    def step(samples: tf.Tensor, *kept: tf.Tensor) -> tuple[tf.Tensor, ...]:
        window = tf.concat([*kept, samples], axis=1)
        return front_end.few(window, stack), *(window[:, card.step_length :] for _ in kept)

    def features(window: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (front_end.few(window, stack),)

    return FrontEndPieces(
        clip=_converted(clip, [tf.TensorSpec([1, settings.clip_length])]),
        # TFLite has no tensors of no elements: where frames don't overlap nothing is kept.
        step=_converted(step, [tf.TensorSpec([1, n]) for n in (card.step_length, card.kept_length) if n]),
        features=_converted(features, [tf.TensorSpec([None, card.kept_length + card.step_length])]),
    )


def step_function(classifier: keras.Model) -> tuple[Step, list[tf.TensorSpec]]:
    """One step of a classifier, and what it takes.

    Returns:
        The function: frames float32 [batch, stack, n_mfcc], states float32 [batch, size] -> scores float32
        [batch, labels], new states; and the specifications of its arguments, the batch open.
    """
    step = build_step(classifier)

    def scores(frames: tf.Tensor, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
        logits, *new_states = step([frames, *states])
        return (tf.nn.softmax(logits), *new_states)

    stack, n_mfcc = step.inputs[0].shape[1:]
    specifications = [tf.TensorSpec([None, stack, n_mfcc])]
    return scores, specifications + [tf.TensorSpec([None, size]) for size in state_sizes(classifier)]


def convert_step(classifier: keras.Model, precision: Precision = "float32") -> Piece:
    """One step of a classifier as a piece.

    Args:
        classifier: MFCC -> logits, in float32.
        precision: of the weights: ``float32``; ``float16``; or ``dynamic``, eight bits, and activations quantized
            where they are multiplied.

    Raises:
        ModelError: the converter can't express the classifier in built-in operators.
    """
    try:
        return _converted(*step_function(classifier), precision)
    except Exception as error:  # the converter raises many kinds
        reason = clipped(str(error).strip().split("\n")[0])
        raise ModelError(
            f"the classifier {classifier.name!r} can't be converted to TFLite ({reason}); "
            "take a cell made of operators that TFLite has"
        ) from error


def integer_step(network: Network, content: bytes) -> Piece:
    """One step of a classifier as a piece whose products with weights are in eight bits, and all else in float32.

    Args:
        network: the classifier, arranged for eight bits.
        content: its step, ``logits`` given, see :func:`speech_rnn.export.integers.conversion.convert`.
    """
    card = network.card
    names = [f"state_{i}" for i in range(len(card.states))]
    core = Piece(content, ["x", *names], ["logits", *(f"new_{name}" for name in names)])
    width = card.model.stack * card.features.n_mfcc

    def normalized(frames: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (tf.reshape((frames - network.mean) * network.factor, [-1, width]),)

    def softmax(logits: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (tf.nn.softmax(logits),)

    front = _converted(normalized, [tf.TensorSpec([None, card.model.stack, card.features.n_mfcc])])
    back = _converted(softmax, [tf.TensorSpec([None, len(card.labels)])])
    assembly = Assembly()
    graph = assembly.graph(STEP, any_batch=True)
    (x,) = graph.add(front, [graph.input("frames", front, 0)])
    logits, *new_states = graph.add(core, [x, *_state_inputs(graph, core)])
    (scores,) = graph.add(back, [logits])
    graph.finish({SCORES: scores, **_new_states(new_states)})
    return Piece(assembly.to_bytes())


def clip_file(card: Card, front_end: FrontEndPieces, step: Piece) -> bytes:
    """A file with one graph, signature ``serving_default``: waveform [1, clip_length] -> scores [1, labels]."""
    assembly = _assembly(card)
    graph = assembly.graph(CLIP_SIGNATURE)
    steps = graph.add(front_end.clip, [graph.input("waveform", front_end.clip, 0)])
    graph.finish({SCORES: _after(steps, graph, step, card)})
    return assembly.to_bytes()


def stream_file(card: Card, front_end: FrontEndPieces, step: Piece) -> bytes:
    """A file with the signatures ``stream``, ``features`` and ``step``.

    ``stream``, for one stream: ``samples`` [1, step_length], ``kept`` [1, kept_length] and ``state_0``, ... ->
    ``scores`` [1, labels], ``new_kept``, ``new_state_0``, .... The other two are its halves, for any number of streams
    at once: ``features``: ``window`` [batch, kept_length + step_length] -> ``frames`` [batch, stack, n_mfcc];
    ``step``: ``frames`` and ``state_0``, ... -> ``scores``, ``new_state_0``, ....
    """
    assembly = _assembly(card)
    graph = assembly.graph(STREAM)
    kept_names = ["kept"][: len(front_end.step.inputs) - 1]
    samples = graph.input("samples", front_end.step, 0)
    kept = [graph.input(name, front_end.step, 1) for name in kept_names]
    states = _state_inputs(graph, step)
    frames, *new_kept = graph.add(front_end.step, [samples, *kept])
    scores, *new_states = graph.add(step, [frames, *states])
    new = {f"new_{name}": tensor for name, tensor in zip(kept_names, new_kept, strict=True)}
    graph.finish({SCORES: scores, **new, **_new_states(new_states)})

    graph = assembly.graph(FEATURES, any_batch=True)
    (frames,) = graph.add(front_end.features, [graph.input("window", front_end.features, 0)])
    graph.finish({"frames": frames})

    graph = assembly.graph(STEP, any_batch=True)
    scores, *new_states = graph.add(step, [graph.input("frames", step, 0), *_state_inputs(graph, step)])
    graph.finish({SCORES: scores, **_new_states(new_states)})
    return assembly.to_bytes()


def bare_step_file(step: Piece) -> bytes:
    """What a stream file does for one stream, without the front end and the card: a file with the signature ``step``.

    ``frames`` [1, stack, n_mfcc] and ``state_0`` [1, size], ... -> ``scores`` [1, labels], ``new_state_0``, ....
    """
    assembly = Assembly()
    graph = assembly.graph(STEP)
    scores, *new_states = graph.add(step, [graph.input("frames", step, 0), *_state_inputs(graph, step)])
    graph.finish({SCORES: scores, **_new_states(new_states)})
    return assembly.to_bytes()


def bare_clip_file(card: Card, step: Piece) -> bytes:
    """What a clip file does, without the front end and the card: a file with the signature ``serving_default``.

    ``frames_0`` [1, stack, n_mfcc], ``frames_1``, ..., one for each step of a clip -> ``scores`` [1, labels].
    """
    assembly = Assembly()
    graph = assembly.graph(CLIP_SIGNATURE)
    steps = [graph.input(f"frames_{index}", step, 0) for index in range(card.n_steps)]
    graph.finish({SCORES: _after(steps, graph, step, card)})
    return assembly.to_bytes()


def _after(steps: Sequence[Tensor], graph: Graph, step: Piece, card: Card) -> Tensor:
    """The scores after the last of the steps of a clip, from zero states."""
    states = [graph.constant(np.zeros((1, size), np.float32)) for size in card.states]
    for frames in steps:
        scores, *states = graph.add(step, [frames, *states])
    return scores


def _assembly(card: Card) -> Assembly:
    assembly = Assembly()
    assembly.add_metadata(CARD_METADATA, card.without_files().to_json().encode())
    return assembly


def _state_inputs(graph: Graph, step: Piece) -> list[Tensor]:
    return [graph.input(f"state_{i}", step, 1 + i) for i in range(len(step.inputs) - 1)]


def _new_states(tensors: list[Tensor]) -> dict[str, Tensor]:
    return {f"new_state_{i}": tensor for i, tensor in enumerate(tensors)}


def _converted(
    function: Callable[..., Any], specifications: list[tf.TensorSpec], precision: Precision = "float32"
) -> Piece:
    concrete = tf.function(function, input_signature=specifications, autograph=False).get_concrete_function()
    with quiet():
        # Given the trackable too, as the converter advises, the file fails when it is run: "variable != nullptr".
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return Piece(converter.convert())
