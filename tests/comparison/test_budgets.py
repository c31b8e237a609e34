from __future__ import annotations

from collections.abc import Callable

import pytest

from speech_rnn.card import Card
from speech_rnn.comparison.budgets import Budget, cost_of, units_within
from speech_rnn.config import FeatureSettings, ModelSettings
from speech_rnn.runtime import find_model
from tests.tones import FEATURES

N_LABELS = 5

# Of a layer with m inputs and n units: matrices and biases; Hochreiter and Schmidhuber 1997 with forget gates, Cho et
# al. 2014 with Keras' second bias of `reset_after`, Elman 1990.
MATRICES: dict[str, Callable[[int, int], int]] = {
    "lstm": lambda m, n: 4 * n * (m + n),
    "gru": lambda m, n: 3 * n * (m + n),
    "rnn": lambda m, n: n * (m + n),
}
BIASES: dict[str, Callable[[int], int]] = {"lstm": lambda n: 4 * n, "gru": lambda n: 6 * n, "rnn": lambda n: n}


def by_hand(cell: str, units: int, layers: int, stack: int, features: FeatureSettings) -> dict[str, float]:
    inputs = [stack * features.n_mfcc] + (layers - 1) * [units]
    weights = sum(MATRICES[cell](m, units) for m in inputs) + units * N_LABELS
    biases = layers * BIASES[cell](units) + N_LABELS
    steps_a_second = features.sample_rate / features.hop_length / stack
    return {
        "units": units,
        "parameters": weights + biases,
        "bytes": weights + 4 * biases,
        "macs": weights * steps_a_second,
    }


@pytest.mark.parametrize("cell", list(MATRICES))
def test_the_cost_is_that_of_the_formulas(cell: str) -> None:
    model = ModelSettings(cell=cell, units=7, layers=3, stack=2)

    cost = cost_of(model, FEATURES, N_LABELS)

    expected = by_hand(cell, 7, 3, 2, FEATURES)
    assert (cost.parameters, cost.int8_bytes) == (expected["parameters"], expected["bytes"])
    assert cost.macs_per_second == pytest.approx(expected["macs"])


@pytest.mark.parametrize("budget", ["units", "parameters", "bytes", "macs"])
@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_under_a_budget_no_other_units_come_nearer(cell: str, budget: Budget) -> None:
    model = ModelSettings(cell=cell, layers=2, stack=2)
    wanted = cost_of(model.changed(cell="lstm", units=20), FEATURES, N_LABELS)

    units = units_within(budget, model, 20, wanted, features=FEATURES, n_labels=N_LABELS)

    lstm = by_hand("lstm", 20, 2, 2, FEATURES)[budget]
    assert units == min(range(1, 100), key=lambda n: (abs(by_hand(cell, n, 2, 2, FEATURES)[budget] - lstm), n))


def test_the_bytes_of_a_shipped_model_are_nine_tenths_of_its_file_for_boards() -> None:
    card = Card.read(find_model("gru-12-large") / "card.json")

    cost = cost_of(card.model, card.features, len(card.labels))

    assert 0.9 < cost.int8_bytes / card.files["mcu/step_int8.tflite"].bytes < 1.0
