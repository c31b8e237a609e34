from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn import training
from speech_rnn.config import FeatureSettings, ModelSettings
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import open_store
from speech_rnn.errors import ModelError
from speech_rnn.export.artefact import export_run
from speech_rnn.export.calibration import calibration_features
from speech_rnn.features import mfcc as mfcc_of
from speech_rnn.models import (
    CELLS,
    build_classifier,
    build_in_a_row,
    build_step,
    count_parameters,
    macs_per_second,
    macs_per_step,
    matched_units,
    recurrent_layers,
    state_sizes,
)
from speech_rnn.runs import load_run
from speech_rnn.runtime import load
from tests.tones import FEATURES, small_settings, write_tones

N_MFCC, N_LABELS = 7, 5
SHAPES = [("lstm", 1, 1), ("lstm", 2, 3), ("lstm", 3, 2), ("gru", 1, 2), ("gru", 2, 1), ("gru", 3, 3), ("rnn", 2, 2)]


@keras.saving.register_keras_serializable("tests")
class MinimalGatedUnit(keras.layers.Layer):
    """The cell of Zhou et al. 2016, arXiv:1603.09420: one gate."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, 2 * self.units), name="recurrent_kernel")
        self.bias = self.add_weight(shape=(2 * self.units,), initializer="zeros", name="bias")

    def call(
        self, inputs: keras.KerasTensor, states: list[keras.KerasTensor]
    ) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
        gate_in, word_in = keras.ops.split(inputs @ self.kernel + self.bias, 2, axis=-1)
        gate_kernel, word_kernel = keras.ops.split(self.recurrent_kernel, 2, axis=-1)
        gate = keras.ops.sigmoid(gate_in + states[0] @ gate_kernel)
        word = keras.ops.tanh(word_in + (gate * states[0]) @ word_kernel)
        new = (1.0 - gate) * states[0] + gate * word
        return new, [new]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@pytest.fixture
def mgu() -> Iterator[str]:
    CELLS["mgu"] = lambda units, **options: keras.layers.RNN(MinimalGatedUnit(units), **options)
    yield "mgu"
    del CELLS["mgu"]


def mfcc(batch: int, frames: int, n_mfcc: int = N_MFCC) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(3, 20, (batch, frames, n_mfcc)).astype(np.float32)


def classifier(cell: str, layers: int, stack: int, frames: int, units: int = 6) -> tuple[keras.Model, ModelSettings]:
    """One with weights that are all different from those that Keras begins with, biases too."""
    settings = ModelSettings(cell=cell, units=units, layers=layers, stack=stack)
    mean, variance = np.linspace(-5, 5, N_MFCC, dtype=np.float32), np.linspace(50, 500, N_MFCC, dtype=np.float32)
    model = build_classifier(settings, frames, N_MFCC, N_LABELS, mean=mean, variance=variance)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    return model, settings


def logits_of(model: keras.Model, features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(model(features, training=False))


@pytest.mark.parametrize(("cell", "layers", "stack"), SHAPES)
def test_the_classifier_is_normalization_stacking_and_keras_own_layers(cell: str, layers: int, stack: int) -> None:
    frames = 3 * stack + stack - 1  # the last frames don't fill a stack
    model, settings = classifier(cell, layers, stack, frames)
    features = mfcc(4, frames)
    make = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[cell]
    by_hand = keras.Sequential(
        [keras.Input((3, stack * N_MFCC))]
        + [make(settings.units, return_sequences=layer < layers - 1) for layer in range(layers)]
        + [keras.layers.Dense(N_LABELS)]
    )
    by_hand.set_weights([np.asarray(weight) for weight in model.trainable_weights])
    mean, variance = np.linspace(-5, 5, N_MFCC), np.linspace(50, 500, N_MFCC)
    normalized = ((features - mean) / np.sqrt(variance)).astype(np.float32)
    stacked = np.stack(
        [np.concatenate([normalized[:, stack * step + i] for i in range(stack)], axis=1) for step in range(3)], axis=1
    )

    np.testing.assert_allclose(logits_of(model, features), logits_of(by_hand, stacked), atol=1e-5)


@pytest.mark.parametrize(("cell", "layers", "stack"), [*SHAPES, ("mgu", 2, 2)])
def test_step_by_step_the_twin_comes_to_the_logits_of_the_clip(cell: str, layers: int, stack: int, mgu: str) -> None:
    frames = 4 * stack
    model, _ = classifier(cell, layers, stack, frames)
    features = mfcc(3, frames)
    twin = build_step(model)
    shorter, _ = classifier(cell, layers, stack, 2 * stack)
    states = [keras.ops.zeros((3, size)) for size in state_sizes(model)]

    logits = []
    for step in range(4):
        frames_of_step = keras.ops.convert_to_tensor(features[:, stack * step : stack * (step + 1)])
        now, *states = twin([frames_of_step, *states], training=False)
        logits.append(np.asarray(now))

    np.testing.assert_allclose(logits[1], logits_of(shorter, features[:, : 2 * stack]), atol=1e-5)
    np.testing.assert_allclose(logits[3], logits_of(model, features), atol=1e-5)


def test_the_twin_shares_the_weights_and_its_names_say_what_is_what() -> None:
    model, _ = classifier("lstm", 2, 2, 6)

    twin = build_step(model)

    assert {id(weight) for weight in twin.trainable_weights} == {id(weight) for weight in model.trainable_weights}
    assert twin.input_shape == [(None, 2, N_MFCC), (None, 6), (None, 6), (None, 6), (None, 6)]
    assert [tensor.name for tensor in twin.inputs] == ["frames", "state_0", "state_1", "state_2", "state_3"]
    assert [output.shape for output in twin.outputs] == [(None, N_LABELS)] + 4 * [(None, 6)]


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("gru", 2), ("rnn", 3), ("mgu", 2)])
def test_dropout_is_between_and_behind_the_layers_and_only_in_training(cell: str, layers: int, mgu: str) -> None:
    model = build_classifier(ModelSettings(cell=cell, layers=layers, units=6, dropout=0.5), 6, N_MFCC, N_LABELS)
    features = mfcc(2, 6)

    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5] * layers
    np.testing.assert_array_equal(logits_of(model, features), logits_of(model, features))
    in_training = [np.asarray(model(features, training=True)) for _ in range(2)]
    assert (in_training[0] != in_training[1]).any()


# Published counts of a layer with m inputs and n units: Hochreiter and Schmidhuber 1997 with forget gates (Gers et al.
# 2000); Cho et al. 2014 with Keras' second bias of `reset_after`; Elman 1990.
FORMULAS: dict[str, Callable[[int, int], int]] = {
    "lstm": lambda m, n: 4 * (n * m + n * n + n),
    "gru": lambda m, n: 3 * (n * m + n * n + 2 * n),
    "rnn": lambda m, n: n * m + n * n + n,
    "mgu": lambda m, n: 2 * (n * m + n * n + n),
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1, "mgu": 2}


@pytest.mark.parametrize("cell", list(FORMULAS))
@pytest.mark.parametrize(("layers", "stack", "units"), [(1, 1, 1), (3, 2, 11)])
def test_parameters_and_multiplications_are_those_of_the_formula(
    cell: str, layers: int, stack: int, units: int, mgu: str
) -> None:
    settings = ModelSettings(cell=cell, layers=layers, stack=stack, units=units)
    inputs = [stack * N_MFCC] + (layers - 1) * [units]
    parameters = sum(FORMULAS[cell](m, units) for m in inputs) + (units + 1) * N_LABELS
    products = sum(GATES[cell] * (m * units + units * units) for m in inputs) + units * N_LABELS

    model = build_classifier(settings, 40, N_MFCC, N_LABELS)

    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    assert count_parameters(settings, N_MFCC, N_LABELS) == parameters
    assert macs_per_step(model) == products
    features = FeatureSettings(sample_rate=16_000, hop_length=160, n_mfcc=N_MFCC, n_mels=40)
    assert macs_per_second(model, features) == pytest.approx(products * 100 / stack)


@pytest.mark.parametrize(("cell", "wanted"), [("lstm", 4_321), ("gru", 300), ("rnn", 1)])
def test_matched_units_are_the_nearest(cell: str, wanted: int) -> None:
    settings = ModelSettings(cell=cell, layers=2, stack=2)

    units = matched_units(settings, wanted, N_MFCC, N_LABELS)

    def distance(n: int) -> int:
        inputs = (2 * N_MFCC, n)
        return abs(sum(FORMULAS[cell](m, n) for m in inputs) + (n + 1) * N_LABELS - wanted)

    assert units == min(range(1, 100), key=lambda n: (distance(n), n))


def test_matched_units_of_two_equally_near_numbers_are_the_smaller() -> None:
    settings = ModelSettings(cell="rnn", layers=1, stack=1)
    n, m = 4, 5
    middle = FORMULAS["rnn"](1, n) + (n + 1) + FORMULAS["rnn"](1, m) + (m + 1)
    assert middle % 2 == 0

    assert matched_units(settings, middle // 2, 1, 1) == 4


@pytest.mark.parametrize("cell", ["", "LSTM", "mgu", "__class__"])
def test_an_unknown_cell_is_refused_with_those_that_are_known(cell: str) -> None:
    settings = ModelSettings.model_construct(**{**ModelSettings().model_dump(), "cell": cell})

    with pytest.raises(ModelError, match=f"cell='{cell}' is not known; take one of lstm, gru, rnn"):
        build_classifier(settings, 10, N_MFCC, N_LABELS)


def test_a_stack_longer_than_the_clip_is_refused() -> None:
    with pytest.raises(ModelError, match="stack=3 must be at most the 2 frames of a clip; 2 is usual"):
        build_classifier(ModelSettings(stack=3), 2, N_MFCC, N_LABELS)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_layers_compute_in_half_and_weights_and_logits_stay_whole(
    precision: Literal["mixed_float16", "mixed_bfloat16"],
) -> None:
    settings = ModelSettings(cell="gru", units=6, layers=2, stack=2, precision=precision)
    model = build_classifier(settings, 6, N_MFCC, N_LABELS)
    model.compile(keras.optimizers.AdamW(0.01), keras.losses.CategoricalCrossentropy(True), run_eagerly=True)
    before = [np.asarray(weight) for weight in model.trainable_weights]
    targets = np.eye(N_LABELS, dtype=np.float32)[[0, 1, 2, 3]]

    losses = [float(model.train_on_batch(mfcc(4, 6), targets)) for _ in range(3)]

    assert [layer.compute_dtype for layer in recurrent_layers(model)] == [precision.removeprefix("mixed_")] * 2
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.output.dtype == "float32"
    assert np.isfinite(losses).all()
    assert all((np.asarray(now) != then).any() for now, then in zip(model.trainable_weights, before, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_that_hears_both_ways_weighs_its_states_by_attention(cell: str) -> None:
    settings = ModelSettings(cell=cell, units=6, layers=2, stack=2, both_ways=True)
    classifier = build_classifier(settings, 9, N_MFCC, N_LABELS)
    clips = mfcc(3, 9)
    x = clips[:, :8].reshape(3, 4, 2 * N_MFCC)
    for index in range(2):
        layer = classifier.get_layer(f"both_ways_{index}")
        back = np.asarray(layer.backward_layer(x))[:, ::-1]  # Keras gives them in the order in which they were heard
        x = np.concatenate([np.asarray(layer.forward_layer(x)), back], axis=2)
    told = np.tanh(x @ classifier.get_layer("attention_told").kernel + classifier.get_layer("attention_told").bias)
    asked = np.exp(told @ np.asarray(classifier.get_layer("attention_asked").kernel))
    attended = (asked / asked.sum(axis=1, keepdims=True) * x).sum(axis=1)

    logits = classifier.get_layer("logits")
    np.testing.assert_allclose(classifier(clips), attended @ logits.kernel + logits.bias, atol=1e-5)
    with pytest.raises(ModelError, match="hears both_ways can't stream"):
        build_step(classifier)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_in_a_row_a_clip_begins_with_the_states_that_the_one_before_it_left(cell: str) -> None:
    settings = ModelSettings(cell=cell, units=5, layers=2, stack=2, dropout=0.0)
    classifier = build_classifier(settings, 7, N_MFCC, N_LABELS)
    clips = mfcc(6, 7).reshape(2, 3, 7, N_MFCC)

    logits = np.asarray(build_in_a_row(classifier, 3)(clips))

    twin = build_step(classifier)
    states = [keras.ops.zeros((2, size)) for size in state_sizes(classifier)]
    for clip in range(3):
        for step in range(3):
            frames = keras.ops.convert_to_tensor(clips[:, clip, 2 * step : 2 * step + 2])
            now, *states = twin([frames, *states], training=False)
        np.testing.assert_allclose(logits[:, clip], now, atol=1e-6)
    np.testing.assert_allclose(logits[:, 0], classifier(clips[:, 0]), atol=1e-6)


def test_in_a_row_the_weights_are_the_classifiers_own(mgu: str) -> None:
    classifier = build_classifier(ModelSettings(cell=mgu, units=5, layers=2, stack=2), 7, N_MFCC, N_LABELS)

    row = build_in_a_row(classifier, 2)

    assert [id(one) for one in row.trainable_variables] == [id(one) for one in classifier.trainable_variables]
    assert len(row.variables) == len(classifier.variables)  # the states of dropout's generators among them


@pytest.mark.slow
@pytest.mark.usefixtures("forked_conversions")
def test_a_further_cell_is_one_line_and_trains_exports_and_recognizes(mgu: str, tmp_path: Path) -> None:
    source = FolderSource(write_tones(tmp_path / "tones"))
    store = open_store([source], FEATURES, tmp_path / "cache")
    training.start(tmp_path / "run", small_settings(mgu), [source], [source.title], store)
    training.train(tmp_path / "run", store, workers=0)
    run = load_run(tmp_path / "run")

    card = export_run(run, tmp_path / "model", name="tones", calibration=calibration_features(run.settings, store))
    recognizer = load(tmp_path / "model")

    assert card.model.cell == "mgu"
    clips = store.read(np.arange(6)) * np.float32(1 / 32_768)
    logits = logits_of(run.classifier, mfcc_of(clips, FEATURES))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for clip, scores in zip(clips, expected, strict=True):
        prediction = recognizer.predict(clip, FEATURES.sample_rate)
        np.testing.assert_allclose(list(prediction.scores.values()), scores, atol=1e-4)
