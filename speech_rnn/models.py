"""The classifier, its one-step twin, and what each costs.

MFCC -> normalization -> frame stacking -> recurrent layers -> label logits. :data:`CELLS` is the switch: a further
cell is one line, and training, export and comparison work with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import MOST_UNITS, FeatureSettings, ModelSettings
from speech_rnn.errors import ModelError
from speech_rnn.recurrence import WrittenOut, is_written_out

# Name -> a Keras recurrent layer (or what makes one): called with the units and ``return_sequences``, ``dtype`` and
# ``name`` as keywords; has a ``cell`` that maps (inputs, states) to (outputs, states).
CELLS: dict[str, Callable[..., keras.layers.Layer]] = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "rnn": keras.layers.SimpleRNN,
}


def check_cell(cell: str) -> None:
    """Raise :class:`ModelError` for an unknown cell."""
    if cell not in CELLS:
        raise ModelError(f"cell={cell!r} is not known; take one of {', '.join(CELLS)}")


def recurrent_layer(cell: str, units: int, **options: object) -> keras.layers.Layer:
    """A recurrent layer of :data:`CELLS`; :class:`ModelError` for an unknown cell."""
    check_cell(cell)
    return CELLS[cell](units, **options)


def build_classifier(
    settings: ModelSettings,
    n_frames: int,
    n_mfcc: int,
    n_labels: int,
    *,
    mean: NDArray[np.float32] | None = None,
    variance: NDArray[np.float32] | None = None,
) -> keras.Model:
    """The classifier of a clip.

    Args:
        settings: cell, units, layers, stacking, dropout and precision.
        n_frames: frames of a clip; those that don't fill the last stack are left out.
        n_mfcc: coefficients of a frame.
        n_labels: labels to tell apart.
        mean: float32 [n_mfcc], of the training data; 0 where not given.
        variance: float32 [n_mfcc], of the training data; 1 where not given.

    Returns:
        A functional model: MFCC float32 [batch, n_frames, n_mfcc] -> logits float32 [batch, n_labels]. The logits
        come from the last state, or where the model hears ``both_ways`` from all of them.

    Raises:
        ModelError: the cell is unknown, or there are fewer frames than one stack.
    """
    n_steps = n_frames // settings.stack
    if n_steps < 1:
        raise ModelError(f"stack={settings.stack} must be at most the {n_frames} frames of a clip; 2 is usual")
    policy = keras.DTypePolicy("float32" if settings.precision == "bfloat16_products" else settings.precision)
    inputs = keras.Input((n_frames, n_mfcc), name="mfcc")
    x = keras.layers.Normalization(
        mean=np.zeros(n_mfcc, np.float32) if mean is None else mean,
        variance=np.ones(n_mfcc, np.float32) if variance is None else variance,
        dtype="float32",
        name="normalization",
    )(inputs)
    if n_steps * settings.stack < n_frames:
        x = keras.layers.Cropping1D((0, n_frames - n_steps * settings.stack), name="crop")(x)
    x = keras.layers.Reshape((n_steps, settings.stack * n_mfcc), name="stack")(x)
    for index in range(settings.layers):
        layer = recurrent_layer(
            settings.cell,
            settings.units,
            return_sequences=settings.both_ways or index < settings.layers - 1,
            dtype=policy,
            name=f"recurrent_{index}",
        )
        if settings.both_ways:
            layer = keras.layers.Bidirectional(layer, name=f"both_ways_{index}")
        x = layer(x)
        x = keras.layers.Dropout(settings.dropout, dtype=policy, name=f"dropout_{index}")(x)
    if settings.both_ways:
        x = _attended(x, settings.units)
    logits = keras.layers.Dense(n_labels, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=f"{settings.cell}_classifier")


def _attended(steps: keras.KerasTensor, units: int) -> keras.KerasTensor:
    """[batch, steps, size] -> the mean over the steps [batch, size], each weighted by what it holds.

    Additive attention with one learned question, as in Yang et al. 2016, doi:10.18653/v1/N16-1174.
    """
    told = keras.layers.Dense(units, activation="tanh", name="attention_told")(steps)
    weights = keras.layers.Softmax(axis=1, name="attention")(
        keras.layers.Dense(1, use_bias=False, name="attention_asked")(told)
    )
    return keras.layers.Flatten(name="attended")(keras.layers.Dot(axes=1, name="attention_mean")([weights, steps]))


def build_in_a_row(classifier: keras.Model, n_clips: int) -> keras.Model:
    """A classifier's twin that hears clips one after another and doesn't forget between them; it shares the weights.

    Args:
        classifier: made by :func:`build_classifier`.
        n_clips: clips in a row, at least 1.

    Returns:
        A functional model: MFCC float32 [batch, n_clips, n_frames, n_mfcc] -> logits float32
        [batch, n_clips, n_labels], after each clip; the first begins with zeros, each other with the states that the
        one before it left.
    """
    n_frames, n_mfcc = classifier.input_shape[1:]
    n_steps, width = classifier.get_layer("stack").target_shape
    inputs = keras.Input((n_clips, n_frames, n_mfcc), name="mfcc")
    x = classifier.get_layer("normalization")(inputs)
    x = x[:, :, : n_steps * width // n_mfcc]
    x = keras.layers.Reshape((n_clips * n_steps, width), name="stack")(x)
    for index, layer in enumerate(recurrent_layers(classifier)):
        row = keras.layers.RNN(layer.cell, return_sequences=True, dtype=layer.dtype_policy, name=f"row_{index}")
        x = classifier.get_layer(f"dropout_{index}")(row(x))
    ends = keras.layers.Reshape((n_clips, n_steps, x.shape[-1]), name="clips")(x)[:, :, -1]
    return keras.Model(inputs, classifier.get_layer("logits")(ends), name=f"{classifier.name}_in_a_row")


def build_written_out(classifier: keras.Model) -> keras.Model:
    """A classifier's twin that is trained faster, with products in bfloat16; it shares the weights.

    Args:
        classifier: made by :func:`build_classifier`; layers of other cells than Keras' own stay as they are.

    Returns:
        A functional model, MFCC float32 [batch, n_frames, n_mfcc] -> logits float32 [batch, n_labels].
    """
    return keras.models.clone_model(
        classifier, clone_function=lambda layer: WrittenOut(layer) if is_written_out(layer) else layer
    )


def build_with_words(classifier: keras.Model, n_words: int) -> keras.Model:
    """A classifier's twin with a second output, which is only there to be trained; it shares the weights.

    Args:
        classifier: made by :func:`build_classifier` or :func:`build_written_out`.
        n_words: what the second output tells apart, at least 1.

    Returns:
        A functional model: MFCC float32 [batch, n_frames, n_mfcc] -> logits float32 [batch, n_labels] and
        [batch, n_words], both from the last state.
    """
    words = keras.layers.Dense(n_words, dtype="float32", name="words")(classifier.get_layer("logits").input)
    return keras.Model(classifier.input, [classifier.output, words], name=f"{classifier.name}_with_words")


def recurrent_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The recurrent layers of a classifier, first to last.

    Raises:
        ModelError: they hear the clip in both directions, which has no steps.
    """
    layers = [layer for layer in model.layers if layer.name.startswith("recurrent_")]
    if not layers:
        raise ModelError(
            "a model that hears both_ways can't stream or be exported, it is there to teach; give it to "
            "speech-rnn train as --teacher"
        )
    return layers


def state_sizes(model: keras.Model) -> list[int]:
    """Sizes of the states of all recurrent layers, in the order that the one-step twin takes them."""
    sizes: list[int] = []
    for layer in recurrent_layers(model):
        size = layer.cell.state_size
        sizes += [int(size)] if isinstance(size, int) else [int(one) for one in size]
    return sizes


def build_step(classifier: keras.Model) -> keras.Model:
    """The one-step twin of a classifier; it shares the weights, and state is an argument.

    Args:
        classifier: made by :func:`build_classifier`.

    Returns:
        A functional model with inputs ``[frames float32 [batch, stack, n_mfcc], state float32 [batch, size], ...]``
        and outputs ``[logits float32 [batch, n_labels], new state, ...]``; states start as zeros.
    """
    normalization = classifier.get_layer("normalization")
    core = build_core(classifier)
    x, *states = core.inputs
    n_mfcc = classifier.input_shape[-1]
    frames = keras.Input((x.shape[1] // n_mfcc, n_mfcc), name="frames")
    outputs = core([_Stack(x.shape[1])(normalization(frames)), *states])
    return keras.Model([frames, *states], outputs, name=f"{classifier.name}_step")


def build_core(classifier: keras.Model) -> keras.Model:
    """The one-step twin behind normalization and stacking.

    Args:
        classifier: made by :func:`build_classifier`.

    Returns:
        A functional model with inputs ``[x float32 [batch, stack * n_mfcc], state float32 [batch, size], ...]``, the
        normalized frames of a step one behind the other, and outputs as :func:`build_step`.
    """
    inputs = keras.Input((classifier.get_layer("stack").target_shape[1],), name="x")
    states = [keras.Input((size,), name=f"state_{i}") for i, size in enumerate(state_sizes(classifier))]
    x = inputs
    new_states: list[keras.KerasTensor] = []
    remaining = list(states)
    for layer in recurrent_layers(classifier):
        size = layer.cell.state_size
        count = 1 if isinstance(size, int) else len(size)
        own, remaining = remaining[:count], remaining[count:]
        x, *new = _OneStep(layer)(x, *own)
        new_states += new
    logits = classifier.get_layer("logits")(x)
    return keras.Model([inputs, *states], [logits, *new_states], name=f"{classifier.name}_core")


class _Stack(keras.layers.Layer):
    """Frames [batch, stack, n_mfcc] -> [batch, width]; Keras' own Reshape asks for the size of the batch."""

    def __init__(self, width: int) -> None:
        super().__init__(name="stack", dtype="float32")
        self.width = width

    def call(self, frames: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.reshape(frames, (-1, self.width))


class _OneStep(keras.layers.Layer):
    """One step of a recurrent layer, with its weights; Keras' cells all bear the same name, these don't."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(name=f"{layer.name}_step", dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs: keras.KerasTensor, *states: keras.KerasTensor) -> tuple[keras.KerasTensor, ...]:
        outputs, new_states = self.layer.cell(inputs, list(states))
        return (outputs, *new_states) if isinstance(new_states, (list, tuple)) else (outputs, new_states)


def count_parameters(settings: ModelSettings, n_mfcc: int, n_labels: int) -> int:
    """Trainable parameters of a classifier."""
    model = build_classifier(settings, settings.stack, n_mfcc, n_labels)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def matched_units(settings: ModelSettings, n_parameters: int, n_mfcc: int, n_labels: int) -> int:
    """The units a layer with which a classifier comes nearest to a number of parameters.

    Args:
        settings: cell, layers and stacking; its ``units`` don't matter.
        n_parameters: trainable parameters to come near, at least 1.
        n_mfcc: coefficients of a frame.
        n_labels: labels.

    Returns:
        Units a layer, at least 1; of two equally near numbers the smaller.
    """
    return nearest_units(
        lambda units: count_parameters(settings.changed(units=units), n_mfcc, n_labels), float(n_parameters)
    )


def nearest_units(cost: Callable[[int], float], wanted: float) -> int:
    """The units a layer whose cost comes nearest to a wanted one, by bisection.

    Args:
        cost: of 1 to 4,096 units, growing with them.
        wanted: to come near.

    Returns:
        Units a layer, at least 1; of two equally near numbers the smaller.
    """
    low, high = 1, 1
    while cost(high) < wanted and high < MOST_UNITS:
        low, high = high, min(2 * high, MOST_UNITS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) < wanted else (low, middle)
    return min((low, high), key=lambda units: (abs(cost(units) - wanted), units))


def macs_per_step(model: keras.Model) -> int:
    """Multiply-accumulates of one step of the classifier: every weight matrix is used once.

    Counted as in "Hello Edge" (Zhang et al. 2017, arXiv:1711.07128): products of weight matrices; biases,
    activations and gates' element-wise products are left out.
    """
    layers: Sequence[keras.layers.Layer] = [*recurrent_layers(model), model.get_layer("logits")]
    return sum(int(np.prod(w.shape)) for layer in layers for w in layer.trainable_weights if "kernel" in w.name)


def macs_per_second(model: keras.Model, features: FeatureSettings) -> float:
    """Multiply-accumulates of the classifier for one second of audio, the front end left out."""
    stack = model.get_layer("stack").target_shape[1] // features.n_mfcc
    return float(macs_per_step(model) / (stack * features.hop_s))
