from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.comparison import advice as advising
from speech_rnn.comparison.advice import Advice, Limits, advise
from speech_rnn.comparison.estimates import crossed_estimate
from speech_rnn.comparison.results import Answers, Results
from speech_rnn.comparison.statistics import paired_difference
from speech_rnn.draws import generator
from speech_rnn.errors import DataError, SettingsError
from tests.comparison.planted import SEEDS, Truth, planted_comparison

TRUTHS = {
    "lstm": Truth(0.8, large_accuracy=0.93, other={"int8:0": 0.8}, cost=1.3),
    "gru": Truth(0.8, large_accuracy=0.93, other={"int8:0": 0.8}),
}


def comparison(**options: Any) -> Results:
    return planted_comparison(TRUTHS, budgets=("units",), **options)


@pytest.fixture(scope="module")
def results() -> Results:
    return comparison()


def advice_of(results: Results, **limits: float) -> Advice:
    return advise(results, Limits(**limits))


@pytest.fixture
def ten_points_are_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few planted clips leave intervals of some points."""
    monkeypatch.setattr(advising, "ALIKE_POINTS", 10.0)


def test_what_is_cheaper_is_taken_only_where_it_surely_loses_little(results: Results) -> None:
    # The same accuracy, planted; from 400 clips that isn't sure within a point.
    chosen = advice_of(results)

    assert "the most accurate of the 8 that fit; none of the others is surely less than a point worse" in chosen.reason
    assert chosen.chosen.accuracy >= max(0.0 if chosen.runner_up is None else chosen.runner_up.accuracy, 0.8)


@pytest.mark.usefixtures("ten_points_are_little")
def test_of_cells_that_are_as_good_the_cheapest_is_taken(results: Results) -> None:
    advice = advice_of(results)

    assert (advice.chosen.cell, advice.chosen.units, advice.chosen.form) == ("gru", 8, "int8")
    assert "the smallest file of the 4 that fit and lose less than a point, if any" in advice.reason
    assert advice.runner_up is not None
    assert (advice.runner_up.cell, advice.runner_up.units) == ("lstm", 8)
    assert advice.gap is not None
    assert not advice.gap.is_sure
    assert advice.gap.low < 0 < advice.gap.high
    assert (advice.fitting, advice.candidates) == (8, 8)


@pytest.mark.usefixtures("ten_points_are_little")
def test_a_better_one_is_taken_though_it_costs_more() -> None:
    truths = {"lstm": Truth(0.9, cost=1.3), "gru": Truth(0.7)}

    advice = advise(planted_comparison(truths, budgets=("units",), measured=False), Limits(max_kb=6))

    assert (advice.chosen.name, advice.fitting) == ("LSTM with 4 units in int8", 6)
    assert advice.runner_up is not None
    assert advice.runner_up.cell == "gru"
    assert advice.gap is not None
    assert advice.gap.is_sure


@pytest.mark.usefixtures("ten_points_are_little")
@pytest.mark.parametrize(
    ("limits", "chosen", "fitting"),
    [
        ({"max_kb": 4.1}, "GRU with 8 units in int8", 4),
        ({"max_kb": 3.0}, "GRU with 4 units in int8", 2),
        ({"max_us": 4.1}, "GRU with 8 units in int8", 4),
        ({"max_ram_kb": 2.5}, "GRU with 8 units in int8", 3),
        ({"max_kb": 2.1, "max_us": 2.0}, "GRU with 4 units in int8", 1),
        ({"min_accuracy": 90.0}, "GRU with 8 units in int8", 4),
    ],
)
def test_a_limit_leaves_out_what_is_above_it(
    limits: dict[str, float], chosen: str, fitting: int, results: Results
) -> None:
    advice = advice_of(results, **limits)

    assert (advice.chosen.name, advice.fitting) == (chosen, fitting)


def test_who_has_only_one_choice_is_told_so(results: Results) -> None:
    advice = advice_of(results, max_kb=2.0)

    assert (advice.reason, advice.runner_up, advice.gap) == ("nothing else fits", None, None)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (
            {"max_kb": 1.5},
            "nothing fits --max-kb 1.5; the nearest is GRU with 4 units in int8 (2 kB, 2 µs a step, 1.2 kB of memory, ",
        ),
        ({"max_kb": 1.5}, "which --max-kb 2 would take"),
        ({"max_us": 1.999}, "which --max-us 2 would take"),
        ({"max_kb": 2.5, "min_accuracy": 90}, "in int8 ("),
        ({"max_kb": 1, "max_us": 1}, "which --max-kb 2 and --max-us 2 would take"),
    ],
)
def test_where_nothing_fits_the_nearest_miss_says_which_limit_would_take_it(
    limits: dict[str, float], says: str, results: Results
) -> None:
    with pytest.raises(DataError) as error:
        advice_of(results, **limits)

    assert says in str(error.value)


def test_what_the_nearest_miss_asks_for_is_enough(results: Results) -> None:
    with pytest.raises(DataError) as error:
        advice_of(results, min_accuracy=99.5)
    asked = float(str(error.value).split("--min-accuracy ")[-1].split()[0])

    assert advice_of(results, min_accuracy=asked).fitting >= 1


def test_memory_that_nobody_measured_can_t_be_limited(results: Results) -> None:
    unknown = {key: line.changed(arena_bytes=None) for key, line in results.costs.items()}

    with pytest.raises(DataError, match="how much memory a board needs isn't known of any of them; leave --max-ram-kb"):
        advice_of(dataclasses.replace(results, costs=unknown), max_ram_kb=1.0)


def test_accuracy_of_float_is_the_mean_with_the_interval_of_the_comparison(results: Results) -> None:
    advice = advice_of(results, max_us=100.0, min_accuracy=90.0)

    right = [results.finished[f"lstm-8-seed{seed}"].right_answers() for seed in SEEDS]
    runner_up = advice.runner_up
    assert runner_up is not None
    loss = [
        results.measured[f"lstm-8-seed{seed}"].answers["recorded:0"].bits().mean()
        - results.measured[f"lstm-8-seed{seed}"].answers["int8:0"].bits().mean()
        for seed in SEEDS
    ]
    expected = sum(one.mean() for one in right) / 5
    assert runner_up.accuracy == pytest.approx(expected if runner_up.form == "float32" else expected - sum(loss) / 5)
    assert runner_up.low < runner_up.accuracy < runner_up.high


def test_an_interval_of_float_is_that_of_many_resamples() -> None:
    results = comparison(measured=False)
    advice = advice_of(results, min_accuracy=90.0)

    key = f"{advice.chosen.cell}-{advice.chosen.units}"
    right = right_of(results, key)
    resampled = paired_difference(right, 0 * right, generator(0, "a test"), resamples=10_000)
    assert advice.chosen.judged_as == "float32"
    assert (advice.chosen.low, advice.chosen.high) == pytest.approx((resampled.low, resampled.high), abs=0.003)


def right_of(results: Results, key: str) -> NDArray[np.float64]:
    """Of all seeds: [seeds, clips]."""
    return np.stack([results.finished[f"{key}-seed{seed}"].right_answers() for seed in SEEDS]).astype(np.float64)


def test_eight_bits_that_lose_much_are_found_out() -> None:
    truths = {cell: dataclasses.replace(truth, other={"int8:0": 0.5}) for cell, truth in TRUTHS.items()}

    advice = advise(planted_comparison(truths, budgets=("units",)), Limits())

    assert (advice.chosen.form, advice.chosen.units) == ("float32", 8)
    int8 = advise(planted_comparison(truths, budgets=("units",)), Limits(max_kb=2.1)).chosen
    assert (int8.form, int8.judged_as) == ("int8", "int8")
    assert int8.accuracy == pytest.approx(0.5, abs=0.05)
    wider = int8.high - int8.low
    assert wider > 2 * crossed_estimate(right_of(planted_comparison(truths), "gru-4")).half_width(0.05)


def test_eight_bits_that_were_not_measured_are_judged_as_float() -> None:
    advice = advice_of(comparison(measured=False), max_kb=4.1)

    assert (advice.chosen.form, advice.chosen.judged_as) == ("int8", "float32")


def test_eight_bits_asked_of_other_clips_count_as_not_measured(results: Results) -> None:
    short = {
        key: line.changed(answers={**line.answers, "int8:0": Answers(n=8, right="ff")})
        for key, line in results.measured.items()
    }

    assert advice_of(dataclasses.replace(results, measured=short), max_kb=4.1).chosen.judged_as == "float32"


@pytest.mark.parametrize(
    ("results", "says"),
    [
        (comparison(costs=False), "these results hold no costs on a device"),
        (comparison(seeds=(1,)), "one seed gives no interval, and no advice; take results of --seeds 5"),
        (dataclasses.replace(comparison(), finished={}), "no cell of these results has both its trainings done and"),
    ],
)
def test_results_that_hold_too_little_give_no_advice(results: Results, says: str) -> None:
    with pytest.raises(DataError, match=says):
        advice_of(results)


def test_data_and_machine_are_named_and_advice_is_the_same_through_json(results: Results) -> None:
    named = {key: line.changed(machine="Z80, 1 core") for key, line in results.costs.items()}

    advice = advice_of(dataclasses.replace(results, costs=named))

    assert (advice.data, advice.origin, advice.synthetic) == ("corpus", "made up", True)
    assert (advice.part, advice.clips, advice.seeds) == ("testing", 400, 5)
    assert advice.chosen.machine == "Z80, 1 core"
    assert Advice.from_json(advice.to_json()) == advice


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_kb": 0.0}, "max_kb=0.0 must be above 0 kB; 40 is an example"),
        ({"max_us": -1.0}, "max_us=-1.0 must be above 0 µs; 50 is an example"),
        ({"min_accuracy": 950.0}, "min_accuracy=950.0 must be at most 100 %; 95 is an example"),
        ({"max_ram_kb": float("nan")}, "max_ram_kb=nan must be a finite number; 16 is an example"),
    ],
)
def test_limits_that_can_t_be_are_refused(limits: dict[str, float], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        Limits(**limits)
    assert str(error.value) == says
