from __future__ import annotations

from typing import Any

import pytest

from speech_rnn.comparison.plan import ComparisonPlan, Trial
from speech_rnn.config import ModelSettings
from speech_rnn.errors import ModelError, SettingsError
from tests.tones import small_settings

BASE = small_settings(learning_rate=0.01)
PLAN = ComparisonPlan(
    cells=("lstm", "gru"),
    budgets=("units", "parameters"),
    sizes=(4, 8),
    seeds=(1, 2),
    learning_rates={"lstm": 0.02},
    base=BASE,
)


def test_the_first_cell_has_the_size_and_the_others_what_comes_nearest() -> None:
    contenders = PLAN.contenders(4)

    assert [(one.budget, one.size, one.cell) for one in contenders] == [
        (budget, size, cell) for budget in ("units", "parameters") for size in (4, 8) for cell in ("lstm", "gru")
    ]
    assert [one.units for one in contenders[:4]] == [4, 4, 8, 8]
    for size, (lstm, gru) in ((4, contenders[4:6]), (8, contenders[6:])):
        assert lstm.units == size
        assert gru.units > size
        step = gru.parameters / gru.units  # a unit more or less is over that much
        assert abs(gru.parameters - lstm.parameters) <= step


def test_what_two_budgets_share_is_trained_once_and_seed_by_seed() -> None:
    contenders = PLAN.contenders(4)
    gru_4, gru_8 = (one.units for one in contenders if one.budget == "parameters" and one.cell == "gru")

    trials = PLAN.trials(contenders)

    of_a_seed = [("lstm", 4), ("gru", 4), ("lstm", 8), ("gru", 8), ("gru", gru_4), ("gru", gru_8)]
    assert trials == [Trial(cell, units, seed) for seed in (1, 2) for cell, units in of_a_seed]
    assert len({trial.key for trial in trials}) == len(trials)
    assert trials[0].key == "lstm-4-seed1"


def test_the_cells_differ_in_nothing_but_cell_units_and_learning_rate() -> None:
    lstm, gru = (PLAN.settings_of(Trial(cell, 9, 2), PLAN.learning_rates) for cell in ("lstm", "gru"))

    assert (lstm.training.learning_rate, gru.training.learning_rate) == (0.02, 0.01)
    assert (lstm.model.cell, lstm.model.units, lstm.training.seed) == ("lstm", 9, 2)
    assert gru.changed(model=lstm.model, training=lstm.training) == lstm
    assert gru.training.changed(learning_rate=0.02) == lstm.training


def test_learning_rates_are_tried_first_on_the_middle_size_for_cells_that_none_was_given_for() -> None:
    plan = PLAN.changed(sizes=(4, 8, 16), rates=(0.1, 0.01))
    contenders = plan.contenders(4)
    (gru,) = (one for one in contenders if (one.budget, one.size, one.cell) == ("parameters", 8, "gru"))

    trials = plan.trials(contenders)

    tried = [Trial("gru", gru.units, 0, "rates", rate) for rate in (0.1, 0.01)]
    assert trials[:2] == tried
    assert trials[2:] == PLAN.changed(sizes=(4, 8, 16)).trials(contenders)
    assert tried[1].key == f"gru-{gru.units}-seed0-rate0.01"
    settings = plan.settings_of(tried[1], {"gru": 0.5})
    assert (settings.training.learning_rate, settings.training.seed, settings.task.tuning_share) == (0.01, 0, 0.1)


def test_few_clips_are_heard_last_and_up_to_ten_times_as_often() -> None:
    plan = PLAN.changed(budgets=("units",), shares=(0.01, 0.4), base=small_settings(epochs=6))
    contenders = plan.contenders(4)

    trials = plan.trials(contenders)

    assert trials[-8:] == [
        Trial(cell, 8, seed, "shares", share) for seed in (1, 2) for share in (0.01, 0.4) for cell in ("lstm", "gru")
    ]
    assert trials[:-8] == PLAN.changed(budgets=("units",)).trials(contenders)
    few, more = (plan.settings_of(trial, {"lstm": 0.5}) for trial in (trials[-8], trials[-6]))
    assert trials[-8].key == "lstm-8-seed1-share0.01"
    assert (few.task.heard_share, few.task.heard_times) == (0.01, 10)
    assert (more.task.heard_share, more.task.heard_times) == (0.4, 2)
    assert (few.training.epochs, few.training.learning_rate) == (6, 0.5)


@pytest.mark.parametrize("plan", [PLAN, PLAN.changed(rates=(0.1, 0.2), shares=(0.5,))])
def test_a_plan_goes_through_json_unchanged(plan: ComparisonPlan) -> None:
    assert ComparisonPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"cells": ("lstm",)}, "cells=('lstm',) must be two or more, each once; ('lstm', 'gru') is an example"),
        ({"cells": ("gru", "gru")}, "cells=('gru', 'gru') must be two or more, each once"),
        ({"budgets": ("flops",)}, "budgets=('flops',) must be some of units, parameters, bytes, macs; ('units', "),
        ({"budgets": ()}, "budgets=() must be one or more, each once"),
        ({"sizes": (0,)}, "sizes=(0,) must be units of a layer, 1 to 4,096; (32, 64) is an example"),
        ({"seeds": ()}, "seeds=() must be one or more, each once; (1, 2, 3, 4, 5) are usual"),
        ({"seeds": (-1,)}, "seeds=(-1,) must be whole numbers from 0 to 4,294,967,295"),
        ({"learning_rates": {"gru": 2.0}}, "learning_rates={'gru': 2.0} must be a rate above 0 and at most 1"),
        ({"learning_rates": {"rnn": 0.1}}, "learning rate of 'rnn' must be that of one of lstm, gru"),
        ({"rates": (0.1, 0.1)}, "rates=(0.1, 0.1) must be none or more, each once; (0.001, 0.004) is an example"),
        ({"rates": (0.0,)}, "rates=(0.0,) must be rates above 0 and at most 1"),
        ({"shares": (1.0,)}, "shares=(1.0,) must be shares above 0 and under 1; (0.1, 0.3) is an example"),
        ({"part": "training"}, "part='training' must be 'validation' or 'testing'; 'testing' is usual"),
        ({"base": BASE.changed(model=ModelSettings(both_ways=True))}, "both_ways=True must be false in a comparison"),
    ],
)
def test_what_can_t_be_compared_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        ComparisonPlan(**values)
    assert says in str(error.value)


def test_an_unknown_cell_has_no_contenders_but_a_plan_that_can_be_read() -> None:
    plan = ComparisonPlan(cells=("gru", "mamba"))

    with pytest.raises(ModelError, match="cell='mamba' is not known; take one of lstm, gru, rnn"):
        plan.contenders(2)
