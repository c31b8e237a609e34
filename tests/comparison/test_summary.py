from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.comparison.summary import Summary, summarize
from speech_rnn.errors import DataError
from tests.comparison.planted import planted_results
from tests.comparison.test_statistics import right_answers


def comparison(number: int, *, seeds: int = 5) -> dict[str, NDArray[np.bool_]]:
    """Two copies of a cell, and one that is worse."""
    rng = np.random.default_rng(number)
    hardness = rng.standard_normal(400)
    return {
        cell: right_answers(rng, accuracy, hardness, seeds=seeds)
        for cell, accuracy in (("lstm", 0.9), ("gru", 0.9), ("rnn", 0.75))
    }


@pytest.fixture(scope="module")
def planted() -> list[Summary]:
    return [summarize(planted_results(comparison(number)), resamples=200) for number in range(20)]


def test_a_cell_that_is_worse_is_found_worse_every_time_of_twenty(planted: list[Summary]) -> None:
    for summary in planted:
        of_rnn = [pair for pair in summary.pairs if pair.second == "rnn"]
        assert [(pair.first, pair.better, pair.verdict) for pair in of_rnn] == [
            ("lstm", "lstm", "better"),
            ("gru", "gru", "better"),
        ]


def test_two_copies_of_a_cell_are_left_undecided_at_least_nineteen_times_of_twenty(planted: list[Summary]) -> None:
    verdicts = [summary.pairs[0].verdict for summary in planted]

    assert verdicts.count("undecided") >= 19
    assert all((summary.pairs[0].first, summary.pairs[0].second) == ("lstm", "gru") for summary in planted)


def test_a_verdict_is_better_only_where_the_interval_leaves_0_out(planted: list[Summary]) -> None:
    for pair in (pair for summary in planted for pair in summary.pairs):
        assert pair.low is not None
        assert pair.high is not None
        assert pair.low <= pair.difference <= pair.high
        assert (pair.verdict == "better") == (pair.low > 0 or pair.high < 0)
        assert (pair.better is None) == (pair.verdict == "undecided")


def test_the_accuracy_is_the_mean_over_seeds_with_its_interval() -> None:
    right = comparison(0)

    summary = summarize(planted_results(right), command="speech-rnn compare")

    assert (summary.synthetic, summary.n_clips, summary.seeds) == (True, 400, (1, 2, 3, 4, 5))
    assert summary.command == "speech-rnn compare"
    for figures, of_seeds in zip(summary.contenders, right.values(), strict=True):
        assert figures.accuracies == pytest.approx(of_seeds.mean(axis=1))
        assert figures.accuracy == pytest.approx(of_seeds.mean())
        assert figures.low is not None
        assert figures.high is not None
        # Wider than from the clips of all seeds by themselves, narrower than from one seed's by far.
        assert 0.005 < figures.accuracy - figures.low < 0.08
        assert figures.high - figures.accuracy == pytest.approx(figures.accuracy - figures.low)
        assert figures.seconds_per_epoch == 2.0
    assert Summary.from_json(summary.to_json()) == summary


def test_the_very_same_answers_differ_by_nothing() -> None:
    right = comparison(0)["lstm"]

    (pair,) = summarize(planted_results({"lstm": right, "gru": right})).pairs

    assert (pair.difference, pair.low, pair.high, pair.mcnemar_p) == (0.0, 0.0, 0.0, 1.0)
    assert pair.verdict == "undecided"


def test_one_seed_decides_nothing() -> None:
    summary = summarize(planted_results(comparison(0, seeds=1)))

    assert {pair.verdict for pair in summary.pairs} == {"undecided"}
    assert {pair.low for pair in summary.pairs} == {None}
    assert [figures.low for figures in summary.contenders] == [None] * 3


def test_what_is_not_done_has_no_summary() -> None:
    results = planted_results(comparison(0))
    half = dataclasses.replace(results, finished=dict(list(results.finished.items())[:9]))

    with pytest.raises(DataError, match=r"6 of 15 trainings are missing, and all are needed; the .* that began"):
        summarize(half)
