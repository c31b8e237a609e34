from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from speech_rnn.comparison.estimates import (
    Estimate,
    crossed_estimate,
    mean_estimate,
    student_quantile,
    student_tail,
    summed,
)
from speech_rnn.comparison.statistics import mean_interval, paired_difference
from speech_rnn.errors import DataError
from tests.comparison.test_statistics import right_answers


@pytest.mark.parametrize("freedom", [1.0, 2.0, 4.0, 7.3, 30.0, 5_000.0])
def test_student_s_distribution_is_that_of_scipy(freedom: float) -> None:
    for distance in (0.0, 0.3, 1.0, 2.5, 6.0, 12.0):
        assert student_tail(distance, freedom) == pytest.approx(stats.t.sf(distance, freedom), rel=1e-9, abs=1e-11)
    for level in (0.5, 0.05, 0.01, 0.05 / 40, 1e-4):
        assert student_quantile(level, freedom) == pytest.approx(stats.t.isf(level / 2, freedom), rel=1e-7)


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_the_error_in_closed_form_is_that_of_many_resamples(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    right = right_answers(rng, 0.9, rng.standard_normal(150), seeds=seeds, spread=0.3)

    estimate = crossed_estimate(right)

    resampled = paired_difference(right, np.zeros_like(right), rng, resamples=20_000)
    quantile = float(stats.t.ppf(0.975, seeds - 1))
    assert estimate.value == pytest.approx(resampled.value)
    assert estimate.error * quantile == pytest.approx(resampled.high - resampled.value, rel=0.02)


def test_seeds_that_scatter_leave_their_few_degrees_of_freedom_and_clips_bring_many() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.standard_normal(500)

    scattered = crossed_estimate(right_answers(rng, 0.9, hardness, spread=2.0))
    alike = crossed_estimate(right_answers(rng, 0.9, hardness, spread=0.0))

    assert 4 <= scattered.freedom < 5
    assert alike.freedom > 20


def test_copies_of_a_cell_are_found_different_no_more_often_than_the_level_says() -> None:
    rng = np.random.default_rng(1)
    levels = []
    for _ in range(300):
        hardness = rng.standard_normal(300)
        first, second = (right_answers(rng, 0.93, hardness) for _ in range(2))
        estimate = crossed_estimate(first.astype(np.float64) - second)
        levels.append(estimate.level(abs(estimate.value)))

    assert np.mean(np.array(levels) < 0.05) <= 0.05
    assert np.mean(np.array(levels) < 0.01) <= 0.01


def test_a_figure_a_seed_has_student_s_interval() -> None:
    values = np.array([0.91, 0.93, 0.90, 0.94, 0.92])

    estimate = mean_estimate(values)

    expected = mean_interval(values)
    assert estimate.value + estimate.half_width(0.05) == pytest.approx(expected.high)


def test_a_sum_errs_as_its_parts_do_together_and_has_welch_s_degrees_of_freedom() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(1.0, 1.0, 6), rng.normal(0.0, 3.0, 9)

    estimate = summed(mean_estimate(first), mean_estimate(-second), Estimate(0.0, 0.0, 1.0))

    welch = stats.ttest_ind(first, second, equal_var=False)
    assert estimate.value / estimate.error == pytest.approx(welch.statistic)
    assert estimate.freedom == pytest.approx(welch.df)
    assert summed(Estimate(0.5, 0.0, 4.0)) == Estimate(0.5, 0.0, 1.0)


def test_an_interval_is_as_wide_as_its_distance_at_that_distance_s_level() -> None:
    estimate = Estimate(1.0, 0.25, 6.0)

    assert estimate.half_width(estimate.level(0.8)) == pytest.approx(0.8)
    assert estimate.level(0.0) == estimate.level(-1.0) == 1.0
    assert Estimate(0.0, 0.0, 4.0).level(0.1) == 0.0


def test_too_few_seeds_or_clips_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 seed\(s\) and 3 clip\(s\) give no interval; take two or more of each"):
        crossed_estimate(np.ones((1, 3)))
    with pytest.raises(DataError, match=r"1 seed\(s\) give no interval; take two or more, five are usual"):
        mean_estimate(np.ones(1))


def test_seeds_that_all_fall_on_one_step_of_a_scale_leave_the_doubt_of_rounding() -> None:
    alike, known = np.full(5, 3.0), np.array([1.0, 9.0, 5.0])

    estimate = mean_estimate(alike, resolution=2.0)

    assert mean_estimate(alike).error == 0.0
    assert estimate.error == pytest.approx(2.0 / 12**0.5 / 5**0.5)
    assert mean_estimate(known, resolution=0.1) == mean_estimate(known)
