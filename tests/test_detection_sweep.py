from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.config import DetectorConfig
from speech_rnn.data.streams import Said
from speech_rnn.detection_scoring import MatchingRule, match
from speech_rnn.detection_sweep import ScoredStream, detect, report, smooth, usual_thresholds
from speech_rnn.errors import DataError
from speech_rnn.streaming import Detector

LABELS = ("_silence_", "_unknown_", "yes", "no", "up")


def made_up(seed: int, n: int = 400, step_s: float = 0.12) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Scores that come and go in bumps, so that smoothing leaves something."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 1.0, (n, len(LABELS)))
    for start in rng.integers(0, n, n // 12):
        logits[start : start + rng.integers(1, 9), rng.integers(len(LABELS))] += rng.uniform(2, 8)
    scores = np.exp(logits)
    return np.asarray(step_s * np.arange(1, n + 1), np.float64), (scores / scores.sum(axis=1, keepdims=True)).astype(
        np.float32
    )


def by_the_detector(
    times: NDArray[np.float64], scores: NDArray[np.float32], config: DetectorConfig
) -> tuple[list[float], list[str]]:
    detector = Detector(LABELS, config)
    heard = [detector.update(at, row) for at, row in zip(times.tolist(), scores, strict=True)]
    return [one.time for one in heard if one], [one.label for one in heard if one]


@given(
    seed=st.integers(0, 10_000),
    threshold=st.sampled_from([0.2, 0.35, 0.5, 0.7, 0.9]),
    of_yes=st.sampled_from([None, 0.3, 0.95]),
    smoothing_s=st.sampled_from([0.03, 0.12, 0.36, 0.6]),
    refractory_s=st.sampled_from([0.0, 0.12, 0.5, 1.0, 3.0]),
    step_s=st.sampled_from([0.03, 0.12]),
)
def test_what_is_detected_is_what_the_detector_reports(
    *, seed: int, threshold: float, of_yes: float | None, smoothing_s: float, refractory_s: float, step_s: float
) -> None:
    config = DetectorConfig(
        threshold=threshold,
        thresholds={} if of_yes is None else {"yes": of_yes},
        smoothing_s=smoothing_s,
        refractory_s=refractory_s,
    )
    times, scores = made_up(seed, step_s=step_s)

    heard = detect(times, smooth(times, scores, LABELS, config), LABELS, config)

    assert heard == by_the_detector(times, scores, config)


@given(levels=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]), min_size=1, max_size=40))
def test_a_score_that_is_just_the_threshold_is_judged_as_the_detector_does(levels: list[float]) -> None:
    scores = np.zeros((len(levels), len(LABELS)), np.float32)
    scores[:, 2] = levels
    times = np.asarray(0.12 * np.arange(1, len(levels) + 1), np.float64)
    for threshold in (0.1, 0.2, 0.3, 0.7):
        config = DetectorConfig(threshold=threshold, smoothing_s=0.12, refractory_s=0.36)

        heard = detect(times, smooth(times, scores, LABELS, config), LABELS, config)

        assert heard == by_the_detector(times, scores, config)


def test_every_point_of_the_curve_is_what_detector_and_rule_say_of_its_threshold() -> None:
    rng = np.random.default_rng(5)
    streams = []
    for seed in range(2):
        times, scores = made_up(seed)
        starts = np.sort(rng.uniform(0, 46, 12))
        said = tuple(
            Said(str(rng.choice(LABELS[2:])), start, start + 0.5, snr_db=float(number))
            for number, start in enumerate(starts.tolist())
        )
        streams.append(ScoredStream(times, scores, 48.0, said))
    config = DetectorConfig(threshold=0.6, thresholds={"no": 0.4})
    rule = MatchingRule(late_s=0.8, burst_s=1.5)

    made = report(
        iter(streams),
        LABELS,
        config,
        model="m",
        data="d",
        synthetic=True,
        command="c",
        rule=rule,
        thresholds=np.array([0.3, 0.5, 0.7, 0.9]),
    )

    assert [one.threshold for one in made.curve] == [0.3, 0.5, 0.7, 0.9]
    for one in (made.default, *made.curve):
        used = config if one is made.default else config.changed(threshold=one.threshold, thresholds={})
        found = false_alarms = 0
        delays = []
        for stream in streams:
            at, heard = by_the_detector(stream.times, stream.scores, used)
            matched = match(at, heard, stream.said, rule)
            found += len(matched.found)
            false_alarms += len(matched.bursts)
            delays += [at[detection] - stream.said[word].end for word, detection in matched.found]
        assert (one.words, one.missed, one.false_alarms) == (24, 24 - found, false_alarms)
        assert one.per_hour == pytest.approx(false_alarms / (96 / 3_600))
        assert one.delay_median_s == pytest.approx(np.median(delays))
    assert sum(label.words for label in made.labels) == 24
    assert sum(label.missed for label in made.labels) == made.default.missed
    assert sum(label.false_alarms for label in made.labels) == made.default.false_alarms == sum(made.causes.values())
    assert [label.label for label in made.labels] == ["yes", "no", "up"]
    assert [(one.low_db, one.words) for one in made.distances] == [(0.0, 10), (5.0, 10), (10.0, 4)]
    assert sum(one.missed for one in made.distances) == made.default.missed


def test_the_detectors_own_threshold_is_a_point_of_the_curve() -> None:
    times, scores = made_up(1)

    made = report(
        [ScoredStream(times, scores, 48.0, ())],
        LABELS,
        DetectorConfig(threshold=0.777),
        model="m",
        data="d",
        synthetic=True,
        command="c",
    )

    (own,) = [one for one in made.curve if one.threshold == 0.777]
    assert own == made.default
    assert len(made.curve) == len(usual_thresholds()) + 1
    assert made.default.miss is None


def test_no_streams_have_no_figures() -> None:
    with pytest.raises(DataError, match="0 streams"):
        report([], LABELS, DetectorConfig(), model="m", data="d", synthetic=True, command="c")


def test_half_an_hour_at_all_thresholds_takes_seconds() -> None:
    times, scores = made_up(3, n=15_000)
    said = tuple(Said("yes", at, at + 0.5) for at in np.arange(1.0, 1_700.0, 4.0).tolist())
    start = time.process_time()

    report(
        [ScoredStream(times, scores, 1_800.0, said)],
        LABELS,
        DetectorConfig(),
        model="m",
        data="d",
        synthetic=True,
        command="c",
    )

    assert time.process_time() - start < 10.0
