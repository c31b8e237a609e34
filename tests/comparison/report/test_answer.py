from __future__ import annotations

import pytest

from speech_rnn.comparison.report.answer import answer
from speech_rnn.comparison.summary import PairFigures, Summary, summarize
from tests.comparison.planted import planted_results
from tests.comparison.planted_whole import claims
from tests.comparison.test_summary import comparison


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarize(planted_results(comparison(0)), resamples=50)


def pair(size: int, difference: float, better: str | None) -> PairFigures:
    return PairFigures(
        budget="parameters",
        size=size,
        first="lstm",
        second="gru",
        difference=difference,
        low=difference - 0.01,
        high=difference + 0.01,
        mcnemar_p=0.5,
        verdict="undecided" if better is None else "better",
        better=better,
    )


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([pair(8, 0.001, None)], "Between LSTM and GRU no difference is shown at equal parameters (+0.1 points)."),
        (
            [pair(8, 0.001, None), pair(16, -0.004, None)],
            "Between LSTM and GRU no difference is shown in any of 2 comparisons (−0.4 to +0.1 points).",
        ),
        ([pair(8, -0.02, "gru")], "GRU hears better than LSTM at equal parameters, by 2.0 points."),
        (
            [pair(8, 0.03, "lstm"), pair(16, 0.02, "lstm"), pair(32, -0.04, "gru"), pair(64, 0.0, None)],
            "LSTM hears better than GRU in 2 of 4 comparisons, by 2.0 to 3.0 points; GRU hears better than LSTM at "
            "equal parameters, size 32, by 4.0 points; undecided at equal parameters, size 64.",
        ),
    ],
)
def test_what_is_answered_follows_from_the_verdicts(pairs: list[PairFigures], says: str, summary: Summary) -> None:
    assert answer(summary.changed(pairs=pairs)) == says


def test_one_seed_and_claims_are_told_too(summary: Summary) -> None:
    said = answer(summary.changed(seeds=(1,)), claims())

    assert "One seed says nothing of others, so nothing is decided." in said
    assert said.endswith("Verdicts of 3 claims: holds 1, undecided 1, not measured 1.")
