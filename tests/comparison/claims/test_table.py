from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from speech_rnn.comparison.claims.effects import Effect, Evidence, Measure, half_distance
from speech_rnn.comparison.claims.table import CLAIMS, GRU, LSTM, SAID, judge
from speech_rnn.comparison.claims.verdicts import (
    Above,
    Claim,
    Depends,
    Differs,
    Interval,
    Ruling,
    Verdict,
    judge_claims,
)
from speech_rnn.comparison.estimates import Estimate, crossed_estimate
from speech_rnn.comparison.results import Results
from speech_rnn.errors import DataError
from speech_rnn.memory_tasks.experiment import Outcome
from speech_rnn.memory_tasks.usual import usual_experiment
from tests.comparison.planted import OTHER_SOUND, Truth, planted_comparison

OTHERS = [name for name in OTHER_SOUND if name != "recorded:0"]
GOOD = Truth(
    accuracy=0.95,
    few_accuracy=0.93,
    other=dict.fromkeys(OTHERS, 0.79),
    reach=30.0,
    epochs=2.0,
    cost=1.0,
)
BAD = Truth(
    accuracy=0.75,
    few_accuracy=0.3,
    other=dict.fromkeys(OTHERS, 0.4),
    reach=5.0,
    epochs=8.0,
    cost=1.3,
)
PLAIN = Truth(accuracy=0.5)
FIGURES = {
    "adding": ({"mse": 1e-4}, {"mse": 0.1}),
    "copying": ({"recall_accuracy": 0.99, "cross_entropy": 0.1}, {"recall_accuracy": 0.2, "cross_entropy": 0.1}),
    "counting": ({"largest_n": 500.0}, {"largest_n": 20.0}),
}


def outcomes(good: str, bad: str) -> list[Outcome]:
    """A cell solves each memory task far better than another, from five seeds."""
    rng = np.random.default_rng(0)
    return [
        Outcome(
            experiment=usual_experiment(task, cell, seed),
            parameters=9,
            steps=100,
            cpu_seconds=1.0,
            figures={name: value * float(rng.uniform(0.98, 1.0)) for name, value in figures.items()},
            solved=False,
        )
        for task, both in FIGURES.items()
        for cell, figures in zip((good, bad), both, strict=True)
        for seed in range(1, 6)
    ]


def by_key(verdicts: tuple[Verdict, ...]) -> dict[str, Verdict]:
    return {verdict.key: verdict for verdict in verdicts}


@pytest.fixture(scope="module")
def lstm_is_better() -> dict[str, Verdict]:
    truths = {"lstm": GOOD, "gru": BAD, "rnn": PLAIN}
    return by_key(judge(planted_comparison(truths), outcomes("lstm", "gru")))


@pytest.fixture(scope="module")
def gru_is_better() -> dict[str, Verdict]:
    truths = {"lstm": BAD, "gru": GOOD, "rnn": PLAIN}
    return by_key(judge(planted_comparison(truths), outcomes("gru", "lstm")))


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if isinstance(claim, Claim)], ids=lambda claim: claim.key)
def test_who_exchanges_the_cells_turns_every_verdict_round(
    claim: Claim, lstm_is_better: dict[str, Verdict], gru_is_better: dict[str, Verdict]
) -> None:
    found = {LSTM: lstm_is_better[claim.key].verdict, GRU: gru_is_better[claim.key].verdict}

    if claim.key in ("gates", "history"):
        assert found == {LSTM: "holds", GRU: "holds"}
    else:
        other = GRU if claim.first == LSTM else LSTM
        assert found == {claim.first: "holds", other: "does not hold"}


def test_where_one_cell_is_better_at_everything_nothing_depends(
    lstm_is_better: dict[str, Verdict], gru_is_better: dict[str, Verdict]
) -> None:
    for verdicts in (lstm_is_better, gru_is_better):
        assert verdicts["resources"].verdict == verdicts["task"].verdict == "does not hold"


def test_where_each_cell_is_better_at_one_size_it_depends_on_the_resources() -> None:
    truths = {"lstm": Truth(0.75, large_accuracy=0.95), "gru": Truth(0.9, large_accuracy=0.75), "rnn": PLAIN}

    verdict = by_key(judge(planted_comparison(truths)))["resources"]

    assert verdict.verdict == "holds"
    assert "GRU is better: accuracy at the smallest size" in verdict.why
    assert "accuracy at the largest size" in verdict.why


def test_where_each_cell_is_better_at_one_task_it_depends_on_the_task() -> None:
    remembering = Truth(0.8, few_accuracy=0.55, other={name: 0.9 for name in OTHERS if name.startswith("gap")})

    verdict = by_key(judge(planted_comparison({"lstm": remembering, "gru": Truth(0.95)})))["task"]

    assert verdict.verdict == "holds"
    assert "GRU is better: accuracy with as many parameters" in verdict.why
    assert "LSTM is better: 4 s after the word, 10 s after the word" in verdict.why


def test_of_copies_of_a_cell_nothing_is_claimed_more_often_than_once_in_twenty_comparisons() -> None:
    found: Counter[str] = Counter()
    wrong = 0
    for number in range(20):
        verdicts = judge(planted_comparison({"lstm": Truth(), "gru": Truth()}, number))
        drawn = [verdict for verdict in verdicts if verdict.interval.startswith("95 %") and verdict.key != "no_worse"]
        found.update(verdict.verdict for verdict in drawn)
        wrong += any(verdict.verdict == "holds" for verdict in drawn)

    assert wrong <= 1
    assert found["undecided"] > 0.8 * found.total()


def test_the_very_same_answers_are_no_advantage_and_no_worse() -> None:
    results = planted_comparison({"lstm": Truth(), "gru": Truth()})
    same = {
        key: line.changed(answers=results.finished[key.replace("gru", "lstm")].answers)
        for key, line in results.finished.items()
        if key.replace("gru", "lstm") in results.finished
    }

    verdicts = by_key(judge(dataclasses.replace(results, finished={**results.finished, **same})))

    equal_units = verdicts["accuracy_units"]
    assert (equal_units.verdict, equal_units.effect, equal_units.low, equal_units.high) == ("does not hold", 0, 0, 0)
    assert verdicts["parameters"].verdict == "does not hold"
    assert verdicts["step_float32_units"].verdict == "undecided"


def test_intervals_are_wider_the_more_claims_are_tested() -> None:
    results = planted_comparison({"lstm": Truth(), "gru": Truth()})
    alone = dataclasses.replace(results, measured={}, costs={})
    right = {cell: 100.0 * np.mean([_answers(results, cell, size) for size in (4, 8)], axis=0) for cell in (LSTM, GRU)}
    estimate = crossed_estimate(right[LSTM] - right[GRU])

    many, few = (by_key(judge(one))["accuracy_units"] for one in (results, alone))

    assert many.effect == few.effect == pytest.approx(estimate.value)
    assert _half(many) > _half(few)
    for judged, of_claim in ((results, many), (alone, few)):
        drawn = [one for verdict in judge(judged) if "Bonferroni" in verdict.interval for one in verdict.parts]
        of_depends = sum(len(verdict.parts) for verdict in judge(judged) if verdict.key in ("resources", "task"))
        assert _half(of_claim) == pytest.approx(estimate.half_width(0.05 / (len(drawn) - of_depends)))


def test_of_many_claims_on_cells_that_are_alike_hardly_ever_one_is_decided_wrongly() -> None:
    # They fail where they are surely not above 0.5: that many surely do is no ground to be lax on what holds.
    results = planted_comparison({"lstm": Truth(), "gru": Truth()}, measured=False, costs=False)
    rng = np.random.default_rng(1)

    def drawn(error: float) -> Measure:
        # A standard error that is itself estimated, with 8 degrees of freedom.
        return lambda _: (
            Effect(Estimate(error * rng.standard_normal(), error * np.sqrt(rng.chisquare(8) / 8), 8), ""),
        )

    for error in (0.08, 0.12, 0.3):
        claims = [
            Claim(f"{n}", "", "", "", None, drawn(error), Above(0.0, 0.5), "points", LSTM, GRU) for n in range(16)
        ]
        wrong = sum(
            any(verdict.verdict == "holds" or any(part.winner for part in verdict.parts) for verdict in verdicts)
            for verdicts in (judge_claims(claims, Evidence(results, ())) for _ in range(200))
        )
        assert wrong <= 18  # of 200, where one in twenty is allowed; 18 and more come once in 200 such tests


def _answers(results: Results, cell: str, size: int) -> list[np.ndarray]:
    return [results.finished[f"{cell}-{size}-seed{seed}"].right_answers() for seed in results.header.plan.seeds]


def _half(verdict: Verdict) -> float:
    assert verdict.low is not None
    assert verdict.high is not None
    return (verdict.high - verdict.low) / 2


def test_what_the_results_lack_is_not_measured_and_says_why() -> None:
    truths = {"lstm": Truth(), "gru": Truth()}
    results = planted_comparison(truths, budgets=("units",), measured=False, costs=False)

    verdicts = by_key(judge(results))

    lacking = {key: verdict.why for key, verdict in verdicts.items() if verdict.verdict == "not measured"}
    assert set(verdicts) - set(lacking) == {"parameters", "multiply_adds", "bytes", "accuracy_units"}
    assert lacking["accuracy_parameters"] == "cells were not compared at equal parameters"
    assert lacking["step_int8_units"] == "step_us_int8 of both cells at equal units was not taken"
    assert lacking["adding"] == "adding was not learned by both from two seeds or more"
    assert lacking["resources"] == "fewer than two of these were measured"
    assert all(verdicts[key].effect is None and verdicts[key].figure == "–" for key in lacking)


def test_cells_that_are_not_there_and_sound_that_was_not_heard_are_named() -> None:
    verdicts = by_key(judge(planted_comparison({"gru": Truth(), "rnn": Truth()})))
    assert verdicts["accuracy_units"].why == "lstm was not compared"

    verdicts = by_key(judge(planted_comparison({"lstm": Truth(), "gru": Truth()}, measured=False)))
    assert verdicts["gates"].why == "rnn was not compared"
    assert verdicts["gap_4"].why == "no two cells at equal parameters were measured so from two seeds or more"


def test_what_was_measured_at_one_size_or_from_some_seeds_is_taken_from_there() -> None:
    results = planted_comparison({"lstm": Truth(), "gru": Truth()})
    middle = ("lstm-8", "gru-9")
    measured = {
        key: line.changed(
            answers={
                name: answers
                for name, answers in line.answers.items()
                if key.startswith(middle) or not name.startswith("taught")
            }
        )
        for key, line in results.measured.items()
        if key not in ("lstm-8-seed2", *(f"gru-5-seed{seed}" for seed in (2, 3, 4, 5)))
    }

    verdicts = by_key(judge(dataclasses.replace(results, measured=measured)))

    assert verdicts["taught_gap_4"].over.endswith("; size 8; 4 seeds, 400 clips")
    assert verdicts["gap_4"].over.endswith("; size 8; 4 seeds, 400 clips")
    assert verdicts["gradient"].over == "size 8; 4 seeds"
    assert verdicts["gap_4"].verdict != "not measured"


def test_sound_that_no_cell_was_asked_is_named() -> None:
    results = planted_comparison({"lstm": Truth(), "gru": Truth()})
    measured = {
        key: line.changed(answers={"recorded:0": line.answers["recorded:0"]}) for key, line in results.measured.items()
    }

    verdicts = by_key(judge(dataclasses.replace(results, measured=measured)))

    assert verdicts["noise"].why == "snr was not measured"
    assert verdicts["taught_gap_10"].why == "taught_gap was not measured at 10"
    assert verdicts["gradient"].verdict != "not measured"


def test_one_seed_measures_only_what_is_arithmetic() -> None:
    verdicts = by_key(judge(planted_comparison({"lstm": GOOD, "gru": BAD}, seeds=(1,))))

    assert verdicts["accuracy_units"].why == "1 seed in common gives no interval; --seeds 5 is usual"
    assert verdicts["parameters"].verdict == "does not hold"
    assert verdicts["step_int8_units"].verdict == "does not hold"


def test_a_comparison_that_is_not_done_is_not_judged() -> None:
    results = planted_comparison({"lstm": Truth(), "gru": Truth()})
    half = dataclasses.replace(results, finished=dict(list(results.finished.items())[:9]))

    with pytest.raises(DataError, match=r"\d+ of \d+ trainings are missing, and all are needed; the"):
        judge(half)


def test_a_verdict_says_what_it_is_of_and_is_the_same_through_json(lstm_is_better: dict[str, Verdict]) -> None:
    for claim in CLAIMS:
        verdict = lstm_is_better[claim.key]
        assert (verdict.sentence, verdict.shows, verdict.said) == (claim.sentence, claim.shows, claim.said)
        assert claim.said in SAID.values()
        assert verdict.rule.startswith("holds where ")
        assert Verdict.from_json(verdict.to_json()) == verdict
    gap = lstm_is_better["gap_4"]
    assert gap.over == "4 s of noise, 4 s of silence, 4 s of words; sizes 4, 8; 5 seeds, 400 clips"
    assert gap.figure.endswith(" points")
    assert lstm_is_better["parameters"].figure == "0.77 times"
    assert [part.name for part in lstm_is_better["gates"].parts] == ["lstm − rnn", "gru − rnn"]


def test_keys_are_there_once_and_what_depends_names_claims() -> None:
    keys = [claim.key for claim in CLAIMS]

    assert len(set(keys)) == len(keys)
    for claim in CLAIMS:
        assert not isinstance(claim, Depends) or set(claim.claims) <= set(keys)


def test_the_longest_task_is_the_one_that_counts() -> None:
    longer = [
        outcome.changed(experiment=outcome.experiment.changed(task=outcome.experiment.task.changed(length=400)))
        for outcome in outcomes("gru", "lstm")
        if outcome.experiment.task.name == "adding"
    ]

    results = planted_comparison({"lstm": Truth(), "gru": Truth()}, measured=False)
    verdict = by_key(judge(results, [*outcomes("lstm", "gru"), *longer]))["adding"]

    assert verdict.verdict == "does not hold"
    assert verdict.over == "400 steps, 32 units; 5 seeds"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 2, "holds"),
        (0.1, 0.2, "holds"),
        (-1, 2, "undecided"),
        (-1, 0.4, "does not hold"),
        (-3, -1, "does not hold"),
    ],
)
def test_an_advantage_holds_above_0_and_does_not_hold_where_one_that_matters_is_excluded(
    low: float, high: float, expected: Ruling
) -> None:
    assert Above(0.0, 0.5).ruling(Interval(low, high)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.4, 2, "holds"), (-1, 2, "undecided"), (-3, -1, "does not hold")],
)
def test_no_worse_holds_where_a_loss_that_matters_is_excluded(low: float, high: float, expected: Ruling) -> None:
    assert Above(-0.5, -0.5).ruling(Interval(low, high)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 2, "holds"), (-2, -1, "holds"), (-1, 2, "undecided"), (-0.4, 0.4, "does not hold")],
)
def test_a_difference_holds_to_either_side(low: float, high: float, expected: Ruling) -> None:
    assert Differs(0.5).ruling(Interval(low, high)) == expected


def test_half_of_a_gradient_that_halves_every_ten_frames_lies_within_ten() -> None:
    assert half_distance((0.5 ** (np.arange(2_000) / 10)).tolist()) == pytest.approx(10, abs=0.2)
