from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.comparison.measures_summary import MeasuresSummary, frames_until, summarize_measures
from speech_rnn.comparison.results import Answers, Measured, Results
from speech_rnn.errors import DataError
from tests.comparison.planted import planted_results
from tests.comparison.test_statistics import right_answers

ACCURACIES = {
    "recorded:0": {"lstm": 0.9, "gru": 0.9},
    "gap_noise:0.5": {"lstm": 0.9, "gru": 0.6},
    "gap_noise:10": {"lstm": 0.2, "gru": 0.2},
}


def planted_measures(
    right: Mapping[str, Mapping[str, NDArray[np.bool_]]], norms: Mapping[str, tuple[float, ...]]
) -> Results:
    """Of measurement -> cell -> right answers bool [seeds, clips], and cell -> norms, which grow with the seed."""
    first = next(iter(right.values()))
    results = planted_results(first)
    lines = [
        Measured(
            key=f"{cell}-4-seed{seed + 1}",
            answers={key: Answers.of(cells[cell][seed]) for key, cells in right.items()},
            gradient_norms=tuple((1 + seed) * norm for norm in norms[cell]),
        )
        for cell, of_seeds in first.items()
        for seed in range(len(of_seeds))
    ]
    return Results(results.header, results.finished, {line.key: line for line in lines})


def drawn(seeds: int = 5, number: int = 0) -> dict[str, dict[str, NDArray[np.bool_]]]:
    rng = np.random.default_rng(number)
    hardness = rng.standard_normal(300)
    return {
        key: {cell: right_answers(rng, accuracy, hardness, seeds=seeds) for cell, accuracy in cells.items()}
        for key, cells in ACCURACIES.items()
    }


NORMS = {"lstm": (1.0, 2.0, 1.5, 0.9, 0.01), "gru": (1.0, 0.6, 0.4, 0.3, 0.2)}


@pytest.fixture(scope="module")
def summary() -> MeasuresSummary:
    return summarize_measures(planted_measures(drawn(), NORMS), resamples=200)


def test_each_figure_is_the_mean_of_its_seeds_within_its_interval(summary: MeasuresSummary) -> None:
    right = drawn()

    found = {(f"{one.what}:{one.value:g}", one.cell): one for one in summary.figures}

    assert list(found) == [(key, cell) for key in ACCURACIES for cell in ("lstm", "gru")]
    for (key, cell), one in found.items():
        assert one.accuracies == pytest.approx(right[key][cell].mean(axis=1))
        assert one.accuracy == pytest.approx(right[key][cell].mean())
        assert one.n_clips == 300
        assert one.low is not None
        assert one.high is not None
        assert 0 <= one.low < one.accuracy < one.high <= 1
    assert MeasuresSummary.from_json(summary.to_json()) == summary


def test_a_cell_that_forgets_sooner_is_found_worse_and_what_is_alike_is_left_undecided(
    summary: MeasuresSummary,
) -> None:
    better = {f"{pair.what}:{pair.value:g}": pair.better for pair in summary.pairs}

    assert better == {"recorded:0": None, "gap_noise:0.5": "lstm", "gap_noise:10": None}
    for pair in summary.pairs:
        assert (pair.first, pair.second) == ("lstm", "gru")
        assert pair.low is not None
        assert pair.high is not None
        assert pair.low <= pair.difference <= pair.high


def test_values_that_are_looked_at_together_have_wider_intervals_than_one_alone(summary: MeasuresSummary) -> None:
    right = drawn()
    alone = {key: cells for key, cells in right.items() if key != "gap_noise:10"}

    by_itself = summarize_measures(planted_measures(alone, NORMS), resamples=200)

    def width(of: MeasuresSummary, what: str, value: float) -> float:
        (pair,) = (one for one in of.pairs if (one.what, one.value) == (what, value))
        assert pair.low is not None
        assert pair.high is not None
        return pair.high - pair.low

    # Student's quantiles with 4 degrees of freedom: 3.495 for half the error, 2.776 for all of it.
    assert width(summary, "gap_noise", 0.5) / width(by_itself, "gap_noise", 0.5) == pytest.approx(
        3.495 / 2.776, rel=1e-3
    )
    assert width(summary, "recorded", 0.0) == pytest.approx(width(by_itself, "recorded", 0.0))


def test_one_seed_decides_nothing() -> None:
    found = summarize_measures(planted_measures(drawn(seeds=1), NORMS))

    assert {(one.low, one.high) for one in found.figures} == {(None, None)}
    assert {(one.low, one.high, one.better) for one in found.pairs} == {(None, None, None)}
    assert (found.reaches[0].mean_half, found.reaches[0].half_low) == (3.0, None)


def test_the_reach_of_the_gradient_is_told_by_its_half_and_its_hundredth(summary: MeasuresSummary) -> None:
    lstm, gru = summary.reaches

    assert (lstm.half, lstm.hundredth) == ((3,) * 5, (4,) * 5)
    assert (gru.half, gru.hundredth) == ((2,) * 5, (None,) * 5)
    assert (lstm.mean_hundredth, lstm.hundredth_low, lstm.hundredth_high) == (4.0, 4.0, 4.0)
    assert (gru.mean_hundredth, gru.hundredth_low, gru.hundredth_high) == (None, None, None)
    assert lstm.norms == pytest.approx([3 * norm for norm in NORMS["lstm"]])


@given(st.floats(0.5, 0.98), st.integers(0, 20), st.sampled_from([0.5, 0.01]))
def test_what_fades_by_a_factor_a_frame_reaches_as_far_as_its_logarithm_says(
    factor: float, peak: int, share: float
) -> None:
    norms = [0.001] * peak + [factor**n for n in range(400)]
    exact = np.log(share) / np.log(factor)

    found = frames_until(norms, share)

    assert found is not None
    assert found - peak == pytest.approx(np.floor(exact) + 1, abs=0 if abs(exact - round(exact)) > 1e-6 else 1)


def test_a_cell_that_is_not_measured_is_named() -> None:
    results = planted_measures(drawn(seeds=2), NORMS)
    some = {key: line for key, line in results.measured.items() if key != "gru-4-seed2"}

    with pytest.raises(DataError, match="1 of 4 trainings of the middle size are not measured, gru-4-seed2 is one"):
        summarize_measures(Results(results.header, results.finished, some))
