from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import (  # type: ignore[import-untyped]  # ships no types
    accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.errors import DataError
from speech_rnn.evaluation import Confusion, Evaluation, evaluate, speaker_interval, wilson_interval

LABELS = (SILENCE, UNKNOWN, "yes", "no")


def evaluated(
    logits: NDArray[np.floating] | Sequence[Sequence[float]],
    targets: Sequence[int] | NDArray[np.integer],
    labels: Sequence[str] = LABELS,
    speakers: Sequence[str] | None = None,
    **options: Any,
) -> Evaluation:
    speakers = [""] * len(targets) if speakers is None else speakers
    return evaluate(logits, targets, labels, speakers, data="made up", synthetic=True, command="pytest", **options)


def one_hot(predicted: Sequence[int] | NDArray[np.integer], n: int = len(LABELS)) -> NDArray[np.floating]:
    rows: NDArray[np.floating] = 5 * np.eye(n)[np.asarray(predicted)]
    return rows


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_that_of_newcombe_1998_table_1(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(
    st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_wilson_interval_is_that_of_scipy_and_holds_the_share(counts: tuple[int, int], confidence: float) -> None:
    expected = binomtest(*counts).proportion_ci(confidence, method="wilson")

    low, high = wilson_interval(*counts, confidence)

    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0.0 <= low <= counts[0] / counts[1] <= high <= 1.0


def test_nothing_is_known_of_a_proportion_of_no_trials() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_counts_and_confidences_that_cannot_be_are_refused(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(DataError, match=r"can't be|between 0 and 1"):
        wilson_interval(successes, n, confidence)


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    targets = rng.integers(0, len(LABELS), 400)
    logits = (rng.normal(size=(400, len(LABELS))) + 2 * np.eye(len(LABELS))[targets]).astype(np.float32)
    predicted = logits.argmax(axis=1)

    result = evaluated(logits, targets)

    precision, recall, f1, support = precision_recall_fscore_support(targets, predicted, labels=range(len(LABELS)))
    assert result.accuracy.value == accuracy_score(targets, predicted)
    assert [list(row) for row in result.confusion] == confusion_matrix(targets, predicted).tolist()
    assert [figures.precision for figures in result.per_label] == pytest.approx(list(precision))
    assert [figures.recall for figures in result.per_label] == pytest.approx(list(recall))
    assert [figures.f1 for figures in result.per_label] == pytest.approx(list(f1))
    assert [figures.support for figures in result.per_label] == list(support)
    expected = log_loss(targets, np.exp(log_softmax(logits.astype(np.float64), axis=1)))
    assert result.cross_entropy == pytest.approx(expected, rel=1e-9)


def test_groups_are_told_apart_by_the_true_label() -> None:
    targets = [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    predicted = [0, 1, 1, 1, 2, 2, 2, 3, 3, 2]

    result = evaluated(one_hot(predicted), targets)

    assert [(name, share.correct, share.n) for name, share in result.groups] == [
        ("all", 7, 10),
        ("commands", 4, 5),
        ("unknown", 2, 3),
        ("silence", 1, 2),
    ]
    assert result.commands is not None
    assert (result.commands.low, result.commands.high) == wilson_interval(4, 5)


def test_groups_that_say_nothing_new_are_left_out() -> None:
    result = evaluated(one_hot([0, 1, 1], 2), [0, 1, 0], labels=("yes", "no"))

    assert [name for name, _ in result.groups] == ["all"]
    assert result.commands == result.accuracy
    assert result.unknown is None
    assert result.silence is None


def test_a_ratio_of_nothing_is_none_and_not_zero() -> None:
    result = evaluated(one_hot([2, 2]), [2, 1])

    never_there, never_said, good, absent = result.per_label

    assert (never_there.precision, never_there.recall, never_there.f1) == (None, None, None)
    assert (never_said.precision, never_said.recall, never_said.f1) == (None, 0.0, 0.0)
    assert (good.precision, good.recall) == (0.5, 1.0)
    assert good.f1 == pytest.approx(2 / 3)
    assert absent.recall_low is None


def test_cross_entropy_is_finite_for_logits_whose_exponential_is_not() -> None:
    result = evaluated([[1e4, 0, 0, 0], [0, 1e4, 0, 0]], [0, 0])

    assert result.cross_entropy == pytest.approx(5e3)


def test_log_probabilities_give_the_figures_of_the_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))
    targets = np.arange(50) % 4

    assert evaluated(log_softmax(logits, axis=1), targets).cross_entropy == pytest.approx(
        evaluated(logits, targets).cross_entropy
    )


def test_commonest_mistakes_come_first() -> None:
    result = evaluated(one_hot([3, 3, 2, 2, 1, 3]), [2, 2, 2, 3, 3, 3])

    assert result.confusions(2) == (
        Confusion(label="yes", taken_for="no", n=2),
        Confusion(label="no", taken_for=UNKNOWN, n=1),
    )
    assert len(result.confusions(99)) == 3


def test_interval_over_speakers_is_that_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(5)
    speakers = [f"s{number}" for number in rng.integers(0, 30, 600)]
    skill = {speaker: rng.uniform(0.5, 1.0) for speaker in sorted(set(speakers))}
    correct = np.array([rng.random() < skill[speaker] for speaker in speakers])
    rows = [np.flatnonzero(np.array(speakers) == speaker) for speaker in sorted(skill)]
    plain = []
    for _ in range(4_000):
        drawn = np.concatenate([rows[index] for index in rng.integers(0, len(rows), len(rows))])
        plain.append(correct[drawn].mean())

    interval = speaker_interval(correct, speakers, np.random.default_rng(1), resamples=20_000)

    assert interval == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.008)


def test_interval_over_speakers_is_wider_than_wilsons_when_some_voices_are_never_understood() -> None:
    speakers = [f"s{index // 20}" for index in range(400)]
    correct = np.array([index // 20 % 5 != 0 for index in range(400)])

    interval = speaker_interval(correct, speakers, np.random.default_rng(0))

    low, high = wilson_interval(320, 400)
    assert interval is not None
    assert interval[1] - interval[0] > 2 * (high - low)


def test_clips_without_a_speaker_count_each_by_itself() -> None:
    correct = np.arange(1_000) % 10 != 0
    speakers = ["a", "b"] + [""] * 998

    interval = speaker_interval(correct, speakers, np.random.default_rng(0), resamples=20_000)

    assert interval == pytest.approx(wilson_interval(900, 1_000), abs=0.003)


@pytest.mark.parametrize("speakers", [["", "", "", ""], ["a", "a", "a", "a"], ["a", "", "", ""]])
def test_there_is_no_interval_over_speakers_where_fewer_than_two_are_known(speakers: list[str]) -> None:
    assert speaker_interval(np.array([True, False, True, True]), speakers, np.random.default_rng(0)) is None


def test_there_is_no_interval_over_speakers_where_all_answers_are_right() -> None:
    assert speaker_interval(np.ones(4, bool), ["a", "b", "c", "d"], np.random.default_rng(0)) is None


def test_same_seed_same_intervals() -> None:
    rng = np.random.default_rng(7)
    targets, predicted = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    speakers = [f"s{number}" for number in rng.integers(0, 9, 200)]

    first, second, other = (evaluated(one_hot(predicted), targets, speakers=speakers, seed=seed) for seed in (4, 4, 5))

    assert first == second
    assert first.accuracy.speaker_low != other.accuracy.speaker_low
    assert first.accuracy.low == other.accuracy.low


def test_speakers_are_listed_surest_trouble_first() -> None:
    speakers = ["good"] * 10 + ["bad"] * 10 + ["once"] + [""]
    predicted = [2] * 10 + [3] * 8 + [2] * 2 + [3] + [2]

    result = evaluated(one_hot(predicted), [2] * 22, speakers=speakers)

    assert [(one.speaker, one.correct, one.n) for one in result.speakers] == [
        ("bad", 2, 10),
        ("once", 0, 1),
        ("good", 10, 10),
    ]
    assert result.spread is not None
    assert result.spread.n_speakers == 2
    assert dict(result.spread.quantiles)[0.5] == pytest.approx(0.6)


def test_there_is_no_spread_of_speakers_with_a_clip_or_two_each() -> None:
    result = evaluated(one_hot([2, 2, 3, 3]), [2, 2, 2, 2], speakers=["a", "b", "c", "d"])

    assert result.spread is None
    assert len(result.speakers) == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "a", "b", "ü\n"])), min_size=1))
def test_json_there_and_back_is_the_same(clips: list[tuple[int, int, str]]) -> None:
    targets, predicted, speakers = zip(*clips, strict=True)
    result = evaluated(one_hot(predicted), targets, speakers=speakers)

    assert Evaluation.from_json(result.to_json()) == result
    assert json.loads(result.to_json())["synthetic"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["yes"]}, "4 rows|1 rows"),
        ({"colour": 1}, "colour"),
        ({"synthetic": "no"}, "synthetic"),
        ({"cross_entropy": math.nan}, "cross_entropy"),
    ],
)
def test_json_that_is_no_evaluation_is_refused_on_one_line(change: dict[str, object], message: str) -> None:
    content = json.loads(evaluated(one_hot([2, 3]), [2, 2]).to_json()) | change

    with pytest.raises(DataError, match=message) as error:
        Evaluation.from_json(json.dumps(content))

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"\(2, 3\)"),
        (np.zeros(4), [0], r"\(4,\)"),
        (np.zeros((2, 4)), [0], "2 rows of logits, 1 targets"),
        (np.zeros((0, 4)), np.zeros(0, int), "0 clips"),
        (np.array([[0.0] * 4, [math.nan] * 4]), [0, 1], "clip 1 must be finite"),
        (np.zeros((2, 4)), [0, 4], "0 to 3"),
        (np.zeros((2, 4)), [0.0, 1.0], "indices"),
    ],
)
def test_what_does_not_fit_is_refused(logits: NDArray[np.floating], targets: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluated(logits, targets, speakers=[""] * len(logits))
