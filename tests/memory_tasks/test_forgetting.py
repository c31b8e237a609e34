from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.memory_tasks.forgetting import begin_remembering
from speech_rnn.models import recurrent_layer

UNITS, N_STEPS = 2_000, 50


def built(cell: str, units: int = UNITS) -> keras.layers.Layer:
    layer = recurrent_layer(cell, units)
    layer.build((None, None, 2))
    return layer


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_state_that_nothing_is_added_to_lasts_one_step_to_all_of_them(cell: str) -> None:
    layer = built(cell)

    begin_remembering(layer, N_STEPS, 1)

    bias = np.asarray(layer.cell.bias)
    keep = sigmoid(bias[UNITS : 2 * UNITS] if cell == "lstm" else bias.sum(axis=0)[:UNITS])
    steps = 1 / (1 - keep)
    assert 2.0 <= steps.min() < 2.5
    assert 49.5 < steps.max() <= 50.0
    assert steps.mean() == pytest.approx(26, abs=1)


def test_the_gate_of_keras_gru_that_opens_is_the_one_that_keeps() -> None:
    layer = built("gru", 4)
    layer.cell.kernel.assign(np.zeros((2, 12)))
    layer.cell.recurrent_kernel.assign(np.zeros((4, 12)))
    begin_remembering(layer, N_STEPS, 1)

    _, (new,) = layer.cell(np.zeros((1, 2), np.float32), [np.ones((1, 4), np.float32)])

    np.testing.assert_allclose(np.asarray(new)[0], sigmoid(np.asarray(layer.cell.bias)[0, :4]), rtol=1e-5)


def test_an_lstm_writes_as_slowly_as_it_forgets() -> None:
    layer = built("lstm", 4)
    layer.cell.kernel.assign(np.zeros((2, 16)))
    layer.cell.recurrent_kernel.assign(np.zeros((4, 16)))
    begin_remembering(layer, N_STEPS, 1)
    bias = np.asarray(layer.cell.bias).copy()
    bias[8:12] = 99.0  # a candidate of 1
    layer.cell.bias.assign(bias)

    _, (_, carry) = layer.cell(np.zeros((1, 2), np.float32), [np.ones((1, 4), np.float32)] * 2)

    np.testing.assert_allclose(carry, 1.0, rtol=1e-5)  # what is written and what is kept of 1 are 1 together


def test_a_seed_has_its_own_biases_and_always_the_same() -> None:
    def bias(seed: int) -> NDArray[np.float32]:
        layer = built("lstm", 5)
        begin_remembering(layer, N_STEPS, seed)
        return np.asarray(layer.cell.bias)

    np.testing.assert_array_equal(bias(1), bias(1))
    assert (bias(1)[5:10] != bias(2)[5:10]).all()


def test_a_layer_without_gates_stays_as_it_is() -> None:
    layer = built("rnn", 5)
    before = np.asarray(layer.cell.bias).copy()

    begin_remembering(layer, N_STEPS, 1)

    np.testing.assert_array_equal(layer.cell.bias, before)
