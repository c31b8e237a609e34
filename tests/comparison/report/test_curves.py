from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from speech_rnn.comparison.plan import Trial
from speech_rnn.comparison.report.curves import Curves, learning, of_clips, of_seeds, rates, shares
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import mean_interval, paired_difference
from speech_rnn.evaluation import wilson_interval
from tests.comparison.planted import planted_results
from tests.comparison.planted_whole import SEEDS, whole_results


@pytest.fixture(scope="module")
def results() -> Results:
    return whole_results(n=100, epochs=10)


@pytest.fixture(scope="module")
def learned(results: Results) -> dict[str, Curves]:
    return {one.key: one for one in learning(results)}


def test_accuracy_by_epoch_is_the_mean_over_seeds_at_each_size(results: Results, learned: dict[str, Curves]) -> None:
    by_epoch = learned["accuracy_by_epoch"]

    assert [panel.name for panel in by_epoch.panels] == [f"LSTM with {size} units" for size in (16, 32, 64)]
    gru = by_epoch.panels[1].curves[1]
    histories = [results.finished[f"gru-{gru.units}-seed{seed}"].history for seed in SEEDS]
    values = np.array([history[6].validation_accuracy for history in histories])
    assert gru.points[6].x == 7
    expected = mean_interval(values)
    assert (gru.points[6].value, gru.points[6].low) == pytest.approx((expected.value, expected.low))
    assert by_epoch.also_x == ("thousand clips heard", 4.8)


def test_seconds_are_steps_at_their_measured_time_else_what_the_epochs_took(
    results: Results, learned: dict[str, Curves]
) -> None:
    unmeasured = {one.key: one for one in learning(dataclasses.replace(results, costs={}))}

    for kind, of in ((learned, "measured"), (unmeasured, "took")):
        (panel,) = kind["accuracy_by_seconds"].panels
        one = panel.curves[0]
        steps = 4_800 / results.header.plan.base.training.batch_size
        epoch_s = steps * results.costs[f"lstm-{one.units}"].training_step_s if of == "measured" else 4.0
        assert [point.x for point in one.points] == pytest.approx([epoch_s * n for n in range(1, 11)])
        assert ("measured by itself" in kind["accuracy_by_seconds"].text) == (of == "measured")


def test_the_gradients_norm_is_a_geometric_mean(results: Results, learned: dict[str, Curves]) -> None:
    (panel,) = learned["gradient_norm_by_epoch"].panels

    rnn = panel.curves[2]
    norms = [results.finished[f"rnn-{rnn.units}-seed{seed}"].history[-1].gradient_norm or 0.0 for seed in SEEDS]
    assert rnn.points[-1].value == pytest.approx(np.exp(np.mean(np.log(norms))))
    assert learned["gradient_norm_by_epoch"].log_y


def test_the_rate_that_was_chosen_is_marked_among_those_that_were_tried(results: Results) -> None:
    tried = rates(results)

    assert tried is not None
    for one in tried.panels[0].curves:
        assert [point.x for point in one.points] == [0.001, 0.003, 0.01]
        assert one.chosen == results.learning_rates[one.cell]
        entry = results.finished[Trial(one.cell, one.units, 0, "rates", 0.001).key].history[-1]
        assert entry.validation_accuracy is not None
        low, high = wilson_interval(round(240 * entry.validation_accuracy), 240)
        assert (one.points[0].value, one.points[0].low, one.points[0].high) == pytest.approx(
            (entry.validation_accuracy, low, high)
        )


def test_fewer_recordings_end_with_all_of_them(results: Results) -> None:
    found = shares(results)

    assert found is not None
    gru = found.panels[0].curves[1]
    assert [point.x for point in gru.points] == [0.1, 0.3, 1.0]
    right = [results.finished[f"gru-{gru.units}-seed{seed}"].right_answers().mean() for seed in SEEDS]
    assert gru.points[-1].value == pytest.approx(np.mean(right))


def test_where_nothing_was_recorded_by_epoch_nothing_is_drawn() -> None:
    small = planted_results({"lstm": np.ones((2, 9), np.bool_), "gru": np.ones((2, 9), np.bool_)})

    assert learning(small) == []
    assert rates(small) is None
    assert shares(small) is None


def test_an_interval_stays_within_shares_and_one_seed_has_none() -> None:
    right = np.random.default_rng(0).random((3, 50)) < 0.98

    point = of_clips(None, right)

    expected = paired_difference(right, np.zeros_like(right), np.random.default_rng(0), resamples=5_000)
    assert point.low == pytest.approx(expected.low, abs=0.005)
    assert point.high == min(1.0, point.high or 0.0)
    assert (of_clips(None, right[:1]).low, of_seeds(1.0, np.array([3.0])).high) == (None, None)
    assert of_seeds(1.0, np.array([3.0]), log=True).value == pytest.approx(3.0)
