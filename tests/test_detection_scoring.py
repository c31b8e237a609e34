from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from speech_rnn.config import DetectorConfig
from speech_rnn.data.clips import UNKNOWN
from speech_rnn.data.streams import Said
from speech_rnn.detection_scoring import (
    DetectionFigures,
    DetectionReport,
    DetectionReports,
    DistanceFigures,
    MatchingRule,
    OperatingPoint,
    causes,
    garwood_interval,
    match,
)
from speech_rnn.errors import DataError
from speech_rnn.evaluation import wilson_interval

RULE = MatchingRule(late_s=1.0, burst_s=2.0)
YES = Said("yes", 10.0, 10.5)


def point(threshold: float, missed: int, false_alarms: int, *, words: int = 100, hours: float = 2.0) -> OperatingPoint:
    return OperatingPoint.of(
        words=words,
        delays_s=[0.3] * (words - missed),
        false_alarms=false_alarms,
        hours=hours,
        confidence=0.95,
        threshold=threshold,
    )


def report(*points: OperatingPoint) -> DetectionReport:
    return DetectionReport(
        model="model a",
        data="some",
        synthetic=False,
        command="again",
        confidence=0.95,
        config=DetectorConfig(),
        rule=RULE,
        hours=2.0,
        default=points[0],
        labels=(),
        causes={"noise": 1},
        curve=points,
    )


@pytest.mark.parametrize(
    ("time", "is_found"), [(9.99, False), (10.0, True), (10.4, True), (11.5, True), (11.51, False), (30.0, False)]
)
def test_a_detection_finds_a_word_from_its_start_until_a_second_after_its_end(time: float, is_found: bool) -> None:
    matched = match([time], ["yes"], [YES], RULE)

    assert matched.found == (((0, 0),) if is_found else ())
    assert matched.false == (() if is_found else (0,))


def test_another_label_finds_nothing_and_is_a_false_alarm() -> None:
    matched = match([10.6], ["no"], [YES], RULE)

    assert (matched.found, matched.false, matched.bursts) == ((), (0,), (0,))


def test_a_word_is_found_once_and_its_second_detection_is_a_false_alarm() -> None:
    matched = match([10.2, 11.3], ["yes", "yes"], [YES], RULE)

    assert matched.found == ((0, 0),)
    assert matched.bursts == (1,)


def test_of_two_words_the_one_that_ends_first_is_served_first() -> None:
    said = [YES, Said("yes", 11.0, 11.4)]

    assert match([11.2, 12.3], ["yes", "yes"], said, RULE).found == ((0, 0), (1, 1))
    assert match([12.3], ["yes"], said, RULE).found == ((1, 0),)


def test_a_word_inside_another_is_served_by_its_own_end() -> None:
    said = [Said("yes", 0.0, 9.0), Said("yes", 1.0, 1.5)]

    assert match([2.0, 8.0], ["yes", "yes"], said, RULE).found == ((1, 0), (0, 1))


def test_a_burst_of_one_label_is_one_false_alarm_however_long_it_goes_on() -> None:
    times = [0.0, 2.0, 4.0, 6.0, 8.01]

    matched = match(times, ["yes"] * 5, [], RULE)

    assert matched.false == (0, 1, 2, 3, 4)
    assert matched.bursts == (0, 4)


def test_bursts_of_two_labels_are_two() -> None:
    assert match([0.0, 1.0, 2.0, 3.0], ["yes", "no", "yes", "no"], [], RULE).bursts == (0, 1)


def test_a_word_that_is_found_does_not_join_two_false_alarms() -> None:
    times = [8.5, 10.2, 12.0]

    matched = match(times, ["yes"] * 3, [YES], RULE)

    assert matched.found == ((0, 1),)
    assert matched.bursts == (0, 2)


def test_other_words_are_found_by_nothing() -> None:
    assert match([10.2], ["yes"], [Said(UNKNOWN, 10.0, 10.5, "other word")], RULE).bursts == (0,)


@given(
    words=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=5),
    heard=st.lists(st.integers(0, 60), max_size=5),
)
def test_no_other_assignment_finds_more_words(words: list[tuple[int, int]], heard: list[int]) -> None:
    said = [Said("yes", start / 4, (start + length) / 4) for start, length in words]
    times = [tick / 4 for tick in sorted(heard)]

    found = len(match(times, ["yes"] * len(times), said, RULE).found)

    slots: list[int | None] = [*range(len(said)), *[None] * len(times)]
    best = max(
        sum(
            slot is not None and said[slot].start <= time <= said[slot].end + RULE.late_s
            for time, slot in zip(times, chosen, strict=True)
        )
        for chosen in set(itertools.permutations(slots, len(times)))
    )
    assert found == best


def test_the_cause_of_a_false_alarm_is_what_was_said_last() -> None:
    said = [YES, Said(UNKNOWN, 20.0, 20.5, "other word"), Said(UNKNOWN, 20.4, 21.0, "other language")]
    times = [5.0, 10.3, 11.6, 20.2, 20.6, 22.5]

    assert causes(times, range(6), said, RULE) == ["noise", "word", "noise", "other word", "other language", "noise"]


@pytest.mark.parametrize(
    ("count", "low", "high"),  # Garwood's limits, as in Johnson, Kotz: Discrete Distributions, and many a table
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (10, 4.795, 18.390), (50, 37.111, 65.919)],
)
def test_the_interval_of_a_rate_is_the_published_one(count: int, low: float, high: float) -> None:
    assert garwood_interval(count, 1.0) == pytest.approx((low, high), abs=1e-3)


@given(count=st.integers(0, 300), exposure=st.floats(0.1, 100.0), confidence=st.floats(0.5, 0.999))
def test_beyond_either_end_a_count_like_this_would_be_rare(count: int, exposure: float, confidence: float) -> None:
    low, high = garwood_interval(count, exposure, confidence)

    tail = (1 - confidence) / 2
    assert poisson.cdf(count, high * exposure) == pytest.approx(tail, rel=1e-6)
    if count:
        assert poisson.sf(count - 1, low * exposure) == pytest.approx(tail, rel=1e-6)
    else:
        assert low == 0.0


@pytest.mark.parametrize(("count", "exposure", "confidence"), [(-1, 1.0, 0.95), (1, 0.0, 0.95), (1, 1.0, 1.0)])
def test_counts_that_cannot_be_are_refused(count: int, exposure: float, confidence: float) -> None:
    with pytest.raises(DataError):
        garwood_interval(count, exposure, confidence)


def test_figures_are_those_of_the_counts() -> None:
    figures = DetectionFigures.of(
        words=10, delays_s=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 5.0], false_alarms=3, hours=1.5, confidence=0.9
    )

    assert (figures.missed, figures.miss, figures.per_hour) == (2, 0.2, 2.0)
    assert (figures.miss_low, figures.miss_high) == wilson_interval(2, 10, 0.9)
    assert (figures.per_hour_low, figures.per_hour_high) == garwood_interval(3, 1.5, 0.9)
    assert figures.delay_median_s == pytest.approx(0.45)
    assert figures.delay_p95_s == pytest.approx(np.percentile([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 5.0], 95))


def test_without_words_there_are_no_misses_and_without_finds_no_delay() -> None:
    figures = DetectionFigures.of(words=0, delays_s=[], false_alarms=0, hours=1.0, confidence=0.95)

    assert (
        figures.miss is figures.miss_low is figures.miss_high is figures.delay_median_s is figures.delay_p95_s is None
    )
    assert figures.per_hour_high == pytest.approx(3.689, abs=1e-3)


def test_misses_are_told_apart_by_the_distance_to_the_noise() -> None:
    figures = DistanceFigures.of([-3.0, 0.0, 4.9, 5.0, 30.0], [False, False, True, True, True], 0.95)

    assert [(one.low_db, one.high_db, one.words, one.missed) for one in figures] == [
        (-30.0, 0.0, 1, 1),
        (0.0, 5.0, 2, 1),
        (5.0, 10.0, 1, 0),
        (30.0, 60.0, 1, 0),
    ]
    assert (figures[1].miss_low, figures[1].miss_high) == wilson_interval(1, 2)
    made = report(point(0.5, 0, 80)).model_copy(update={"distances": figures})
    assert "50.0 % of 2 at 0 to 5 dB" in made.distances_in_words
    assert report(point(0.5, 0, 80)).distances_in_words == ""


def test_operating_points_hold_for_all_higher_or_all_lower_thresholds() -> None:
    curve = [point(0.2, 1, 40), point(0.5, 4, 2), point(0.6, 7, 3), point(0.8, 5, 2), point(0.9, 30, 0)]
    made = report(*curve)

    assert made.at_false_alarms(1.0) == curve[3]
    assert made.at_false_alarms(1.5) == curve[1]
    assert made.at_false_alarms(0.5) == curve[4]
    assert made.at_misses(0.05) == curve[1]
    assert made.at_misses(0.001) is None
    assert "Suggested threshold 0.8" in made.suggestion
    assert "5.0 % of the words are missed" in made.suggestion


def test_where_no_threshold_is_quiet_enough_it_is_said() -> None:
    made = report(point(0.5, 0, 80), point(0.9, 0, 60))

    assert made.at_false_alarms(2.0) is None
    assert "No threshold" in made.suggestion
    assert [found for _, found in made.operating_points] == [made.default, None, None, None, made.curve[1]]


def test_a_report_goes_through_json_unchanged() -> None:
    reports = DetectionReports(reports=(report(point(0.5, 0, 80), point(0.9, 0, 60)),))

    assert DetectionReports.from_json(reports.to_json()) == reports
