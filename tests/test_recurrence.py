from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.config import ModelSettings
from speech_rnn.models import build_classifier, build_written_out
from speech_rnn.recurrence import WrittenOut, is_written_out

N_FRAMES, N_MFCC, N_LABELS = 13, 7, 5
CELLS = ["lstm", "gru", "rnn"]


def classifier_with_drawn_weights(cell: str, *, layers: int = 2, both_ways: bool = False) -> keras.Model:
    settings = ModelSettings(cell=cell, units=9, layers=layers, stack=2, dropout=0.0, both_ways=both_ways)
    classifier = build_classifier(settings, N_FRAMES, N_MFCC, N_LABELS)
    rng = np.random.default_rng(1)
    for weight in classifier.trainable_weights:  # biases too, which begin as zeros
        weight.assign(rng.normal(scale=0.4, size=weight.shape))
    return classifier


def in_products_of(classifier: keras.Model, products: str) -> keras.Model:
    return keras.models.clone_model(
        classifier, clone_function=lambda layer: WrittenOut(layer, products) if is_written_out(layer) else layer
    )


def loss_and_gradients(model: keras.Model, n_clips: int = 6) -> tuple[float, list[NDArray[np.float32]]]:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(n_clips, N_FRAMES, N_MFCC)).astype(np.float32)
    targets = np.eye(N_LABELS, dtype=np.float32)[rng.integers(N_LABELS, size=n_clips)]
    with tf.GradientTape() as tape:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, model(features))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_variables])
    return float(loss), [gradient.numpy() for gradient in gradients]


def largest_error(ours: list[NDArray[np.float32]], theirs: list[NDArray[np.float32]]) -> float:
    """Of any gradient, relative to the largest of its weight."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "both_ways"), [(1, False), (3, False), (2, True)])
def test_in_float32_loss_and_gradients_are_those_of_keras(cell: str, layers: int, both_ways: bool) -> None:
    classifier = classifier_with_drawn_weights(cell, layers=layers, both_ways=both_ways)
    loss, gradients = loss_and_gradients(in_products_of(classifier, "float32"))
    expected, expected_gradients = loss_and_gradients(classifier)
    assert loss == pytest.approx(expected, abs=1e-6)
    assert largest_error(gradients, expected_gradients) < 1e-4  # sums of float32 in another order


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_products_in_bfloat16_change_gradients_by_a_few_hundredths(cell: str) -> None:
    classifier = classifier_with_drawn_weights(cell)
    _, gradients = loss_and_gradients(build_written_out(classifier))
    error = largest_error(gradients, loss_and_gradients(classifier)[1])
    assert 1e-4 < error < 0.05  # bfloat16 has eight bits


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_the_twin_has_the_same_weights_in_the_same_order(cell: str, both_ways: bool) -> None:
    classifier = classifier_with_drawn_weights(cell, both_ways=both_ways)
    twin = build_written_out(classifier)
    assert [id(weight) for weight in twin.variables] == [id(weight) for weight in classifier.variables]


def test_any_number_of_clips_goes_through_one_twin() -> None:
    classifier = classifier_with_drawn_weights("gru")
    twin = in_products_of(classifier, "float32")
    for n in (1, 4):
        clips = np.random.default_rng(n).normal(size=(n, N_FRAMES, N_MFCC)).astype(np.float32)
        np.testing.assert_allclose(twin(clips), classifier(clips), atol=1e-6)


def test_other_cells_stay_as_they_are() -> None:
    class Own(keras.layers.GRU):
        """May compute anything."""

    assert is_written_out(keras.layers.GRU(3))
    assert not is_written_out(Own(3))
