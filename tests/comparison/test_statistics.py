from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from speech_rnn.comparison.statistics import (
    Difference,
    crossed_interval,
    holm,
    holm_intervals,
    mcnemar,
    mean_interval,
    paired_difference,
)
from speech_rnn.errors import DataError


def right_answers(
    rng: np.random.Generator, accuracy: float, hardness: NDArray[np.float64], *, seeds: int = 5, spread: float = 0.1
) -> NDArray[np.bool_]:
    """Of models that find the same clips hard, each seed a little better or worse: bool [seeds, clips]."""
    skill = stats.norm.ppf(accuracy) * 2**0.5 + spread * rng.standard_normal((seeds, 1))
    return np.asarray(skill - hardness + rng.standard_normal((seeds, len(hardness))) > 0)


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        hardness = rng.standard_normal(300)
        first, second = (right_answers(rng, accuracy, hardness) for accuracy in (0.9, 0.9))
        _, low, high = paired_difference(first, second, rng, resamples=200)
        found += low <= 0.0 <= high
    assert found >= 186  # 95 % of 200 less two standard deviations


def test_a_cell_that_is_worse_is_found_worse_every_time_of_twenty() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        hardness = rng.standard_normal(1_000)
        difference = paired_difference(
            right_answers(rng, 0.9, hardness), right_answers(rng, 0.7, hardness), rng, resamples=500
        )
        assert difference.low > 0.0
        assert difference.value == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_the_interval_in_closed_form_is_that_of_many_resamples(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    right = right_answers(rng, 0.9, rng.standard_normal(150), seeds=seeds, spread=0.3)

    closed = crossed_interval(right, confidence=0.9)

    resampled = paired_difference(right, np.zeros_like(right), rng, confidence=0.9, resamples=20_000)
    assert closed.value == pytest.approx(right.mean())
    assert closed.high - closed.value == pytest.approx(resampled.high - resampled.value, rel=0.02)
    assert closed.value - closed.low == pytest.approx(closed.high - closed.value)


def test_one_seed_has_no_interval_in_closed_form_either() -> None:
    with pytest.raises(DataError, match=r"1 seed\(s\) and 4 clip\(s\) give no interval"):
        crossed_interval(np.ones((1, 4), np.bool_))


def test_two_seeds_tell_less_than_five() -> None:
    rng = np.random.default_rng(3)
    hardness = rng.standard_normal(500)
    first, second = right_answers(rng, 0.9, hardness), right_answers(rng, 0.85, hardness)
    five = paired_difference(first, second, np.random.default_rng(0))
    two = paired_difference(first[:2], second[:2], np.random.default_rng(0))
    assert two.high - two.low > 2 * (five.high - five.low)


def test_the_same_draws_give_the_same_interval_and_exchanging_them_its_mirror() -> None:
    rng = np.random.default_rng(4)
    hardness = rng.standard_normal(200)
    first, second = right_answers(rng, 0.9, hardness), right_answers(rng, 0.8, hardness)
    one = paired_difference(first, second, np.random.default_rng(0))
    other = paired_difference(second, first, np.random.default_rng(0))
    assert one == paired_difference(first, second, np.random.default_rng(0))
    np.testing.assert_allclose((other.value, other.low, other.high), (-one.value, -one.high, -one.low), atol=1e-12)


def test_what_can_t_be_paired_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"shapes \(2, 3\) and \(2, 4\) can't be paired; take the same seeds and clips"):
        paired_difference(np.ones((2, 3)), np.ones((2, 4)), rng)
    with pytest.raises(DataError, match=r"1 seed.s. and 3 clips give no interval; take two seeds or more"):
        paired_difference(np.ones((1, 3)), np.ones((1, 3)), rng)
    with pytest.raises(DataError, match=r"1 seed.s. give no interval; take two or more"):
        mean_interval(np.ones(1))


def test_the_mean_of_seeds_has_student_s_interval() -> None:
    values = np.array([0.91, 0.93, 0.90, 0.94, 0.92])
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((values.mean(), *expected))


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 9), (40, 41), (700, 500)])
def test_mcnemar_is_the_exact_binomial_test(only_first: int, only_second: int) -> None:
    first = np.array([True] * only_first + [False] * only_second + [True, False])
    second = np.array([False] * only_first + [True] * only_second + [True, False])
    expected = stats.binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_holm_s_correction_on_the_example_of_a_textbook() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") in R
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])


def test_corrected_intervals_leave_0_out_exactly_where_holm_s_test_finds_a_difference() -> None:
    rng = np.random.default_rng(5)
    quantile = float(stats.t.ppf(0.975, 4))
    for _ in range(50):
        values, errors = rng.normal(0, 3, 6), rng.uniform(0.5, 1.5, 6)
        alone = [Difference(v, v - quantile * e, v + quantile * e) for v, e in zip(values, errors, strict=True)]

        corrected = holm_intervals(alone, 5)

        p_values = holm(2 * stats.t.sf(np.abs(values) / errors, 4))
        assert [one.low > 0 or one.high < 0 for one in corrected] == (p_values < 0.05).tolist()
        assert all(one.high - one.low > now.high - now.low - 1e-12 for one, now in zip(corrected, alone, strict=True))


def test_a_single_interval_needs_no_correction() -> None:
    (corrected,) = holm_intervals([Difference(0.1, -0.1, 0.3)], 5)
    assert corrected == pytest.approx((0.1, -0.1, 0.3))
