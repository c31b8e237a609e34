from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from speech_rnn.comparison.learning_curves import learning_curves
from speech_rnn.comparison.results import Results
from speech_rnn.errors import DataError
from speech_rnn.history import Epoch
from tests.comparison.planted import planted_costs, planted_results

ACCURACIES = {"lstm": [[0.2, 0.5, 0.8], [0.4, 0.7, 0.8]], "gru": [[0.1, 0.9, 0.9], [0.1, 0.9, 0.9]]}  # seed, epoch
NORMS: dict[str, list[float | None]] = {"lstm": [1.0, 100.0], "gru": [None, None]}  # of a seed
CLIPS = 50  # of an epoch, 8 a batch: 7 steps
TIMES = {"lstm": 0.5, "gru": 2.0}


def entry(epoch: int, accuracy: float | None, norm: float | None) -> Epoch:
    return Epoch(
        epoch=epoch,
        loss=1.0,
        validation_loss=1.0,
        validation_accuracy=accuracy,
        learning_rate=0.1,
        seconds=1e6,
        clips=CLIPS,
        validation_clips=9,
        gradient_norm=norm,
    )


@pytest.fixture
def results() -> Results:
    right = np.ones((2, 4), np.bool_)
    planted = planted_results({"lstm": right, "gru": right})
    training = planted.header.plan.base.training.changed(batch_size=8)
    plan = planted.header.plan.changed(base=planted.header.plan.base.changed(training=training))
    finished = {
        f"{cell}-4-seed{seed}": planted.finished[f"{cell}-4-seed{seed}"].changed(
            history=tuple(entry(i, value, NORMS[cell][seed - 1]) for i, value in enumerate(of_seed, 1))
        )
        for cell, seeds in ACCURACIES.items()
        for seed, of_seed in enumerate(seeds, 1)
    }
    costs = {f"{cell}-4": planted_costs(cell, 4, training_step_s=seconds) for cell, seconds in TIMES.items()}
    return replace(planted, header=planted.header.changed(plan=plan), finished=finished, costs=costs)


def test_a_point_is_the_mean_over_seeds_after_so_many_steps_of_the_measured_time(results: Results) -> None:
    lstm, gru = learning_curves(results)

    assert [one.contender.cell for one in (lstm, gru)] == ["lstm", "gru"]
    assert [point.accuracy for point in lstm.points] == pytest.approx([0.3, 0.6, 0.8])
    assert [point.clips for point in lstm.points] == [50, 100, 150]
    assert [point.seconds for point in lstm.points] == [7 * 0.5, 14 * 0.5, 21 * 0.5]
    assert [point.seconds for point in gru.points] == [7 * 2.0, 14 * 2.0, 21 * 2.0]
    low, high = stats.t.interval(0.95, 1, loc=0.6, scale=0.1)  # the standard error of 0.5 and 0.7
    assert (lstm.points[1].low, lstm.points[1].high) == (max(0.0, low), min(1.0, high))
    assert (lstm.points[2].low, lstm.points[2].high) == pytest.approx((0.8, 0.8))


def test_the_slower_cell_may_need_fewer_epochs_and_more_seconds(results: Results) -> None:
    lstm, gru = learning_curves(results)

    assert lstm.seconds_to(0.75) == 10.5
    assert gru.seconds_to(0.75) == 28.0
    assert lstm.seconds_to(0.81) is None


def test_one_seed_that_bursts_does_not_hide_the_others_and_norms_that_were_not_measured_are_not_there(
    results: Results,
) -> None:
    lstm, gru = learning_curves(results)

    assert lstm.points[0].gradient_norm == pytest.approx(10.0)
    assert gru.points[0].gradient_norm is None


def test_without_costs_or_validation_there_is_no_time_and_no_accuracy(results: Results) -> None:
    finished = {
        key: one.changed(history=(entry(1, None, None),) if key.startswith("gru") else one.history)
        for key, one in results.finished.items()
    }

    lstm, gru = learning_curves(replace(results, costs={}, finished=finished))

    assert lstm.points[0].seconds is None
    assert lstm.seconds_to(0.1) is None
    assert (gru.points[0].accuracy, gru.points[0].low, gru.points[0].high) == (None, None, None)


def test_means_over_other_seeds_are_not_compared(results: Results) -> None:
    finished = {key: one for key, one in results.finished.items() if key != "gru-4-seed2"}

    with pytest.raises(DataError, match="gru-4-seed2 is missing among the trainings"):
        learning_curves(replace(results, finished=finished))
