"""From the scores of streams to figures at every threshold, without hearing the streams again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import DetectorConfig
from speech_rnn.data.streams import Said
from speech_rnn.detection_scoring import (
    CAUSES,
    DetectionReport,
    DistanceFigures,
    LabelDetections,
    Match,
    MatchingRule,
    OperatingPoint,
    causes,
    match,
)
from speech_rnn.errors import DataError
from speech_rnn.streaming import Detector

LOWEST, HIGHEST = 0.2, 0.9999  # thresholds of the curve
N_THRESHOLDS = 140


@dataclass(frozen=True, slots=True, eq=False)
class ScoredStream:
    """A stream as a model hears it, and what is said in it.

    Attributes:
        times: float64 [scores], s since its start, ascending.
        scores: float32 [scores, labels], raw.
        seconds: how long it is.
        said: by start.
    """

    times: NDArray[np.float64]
    scores: NDArray[np.float32]
    seconds: float
    said: tuple[Said, ...]


@dataclass(slots=True)
class _Tally:
    """What was counted so far, by label."""

    delays_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    false_alarms: Counter[str] = field(default_factory=Counter)

    def add(self, times: Sequence[float], labels: Sequence[str], said: Sequence[Said], rule: MatchingRule) -> Match:
        """Count the detections of a stream."""
        matched = match(times, labels, said, rule)
        for word, detection in matched.found:
            self.delays_s[labels[detection]].append(times[detection] - said[word].end)
        self.false_alarms.update(labels[detection] for detection in matched.bursts)
        return matched


def usual_thresholds() -> NDArray[np.float64]:
    """Thresholds of the curve: evenly spaced in log-odds, since scores crowd near 1."""
    low, high = log(LOWEST / (1 - LOWEST)), log(HIGHEST / (1 - HIGHEST))
    return np.asarray(1 / (1 + np.exp(-np.linspace(low, high, N_THRESHOLDS))), np.float64)


def report(
    streams: Iterable[ScoredStream],
    labels: Sequence[str],
    config: DetectorConfig,
    *,
    model: str,
    data: str,
    synthetic: bool,
    command: str,
    rule: MatchingRule | None = None,
    thresholds: NDArray[np.float64] | None = None,
    confidence: float = 0.95,
) -> DetectionReport:
    """Detect at every threshold, and compare with what is said.

    Args:
        streams: taken one after another; none is kept.
        labels: of the scores, in their order.
        config: of the detector; the curve varies its threshold, and has one for all labels.
        model: which model, in words.
        data: which recordings, in words.
        synthetic: whether machines speak in them.
        command: what gives these figures again.
        rule: of the matching; the usual where not given.
        thresholds: of the curve; the usual, and the detector's own, where not given.
        confidence: of all intervals.

    Raises:
        DataError: no streams.
    """
    rule = rule or MatchingRule()
    levels = np.unique(usual_thresholds() if thresholds is None else thresholds)
    if thresholds is None and not config.thresholds:
        levels = np.union1d(levels, [config.threshold])
    configs = [config.changed(threshold=level, thresholds={}) for level in levels.tolist()]
    lowest = min([float(levels[0]), config.threshold, *config.thresholds.values()])
    tallies = [_Tally() for _ in configs]
    default, said_of = _Tally(), Counter[str]()
    caused: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))
    distances: list[tuple[float, bool]] = []
    seconds = 0.0
    reported = [label for label in labels if not label.startswith("_")]
    columns = [index for index, label in enumerate(labels) if not label.startswith("_")]
    for stream in streams:
        seconds += stream.seconds
        said_of.update(word.label for word in stream.said)
        smoothed = smooth(stream.times, stream.scores, labels, config)
        # What reaches no threshold changes nothing: most of a stream.
        loud = smoothed[:, columns].max(axis=1, initial=0.0) >= lowest
        times, smoothed = stream.times[loud], smoothed[loud]
        for one, tally in zip(configs, tallies, strict=True):
            tally.add(*detect(times, smoothed, labels, one), stream.said, rule)
        when, heard = detect(times, smoothed, labels, config)
        matched = default.add(when, heard, stream.said, rule)
        caused.update(causes(when, matched.bursts, stream.said, rule))
        found = {word for word, _ in matched.found}
        distances += [
            (word.snr_db, index in found)
            for index, word in enumerate(stream.said)
            if word.snr_db is not None and word.label in reported
        ]
    if not seconds:
        raise DataError("0 streams have no figures; give recordings, or more hours")
    hours = seconds / 3_600

    def counts(tally: _Tally, *of: str) -> dict[str, Any]:
        return {
            "words": sum(said_of[label] for label in of),
            "delays_s": [delay for label in of for delay in tally.delays_s[label]],
            "false_alarms": sum(tally.false_alarms[label] for label in of),
            "hours": hours,
            "confidence": confidence,
        }

    return DetectionReport(
        model=model,
        data=data,
        synthetic=synthetic,
        command=command,
        confidence=confidence,
        config=config,
        rule=rule,
        hours=hours,
        default=OperatingPoint.of(threshold=config.threshold, **counts(default, *reported)),
        labels=tuple(LabelDetections.of(label=label, **counts(default, label)) for label in reported),
        distances=DistanceFigures.of([db for db, _ in distances], [found for _, found in distances], confidence),
        causes=dict(caused),
        curve=tuple(
            OperatingPoint.of(threshold=one.threshold, **counts(tally, *reported))
            for one, tally in zip(configs, tallies, strict=True)
        ),
    )


def smooth(
    times: NDArray[np.float64], scores: NDArray[np.float32], labels: Sequence[str], config: DetectorConfig
) -> NDArray[np.float32]:
    """The smoothed scores of a stream, as the detector itself has them.

    Args:
        times: float64 [scores], s.
        scores: float32 [scores, labels], raw.
        labels: in the order of the scores.
        config: of the detector.

    Returns:
        float32 [scores, labels].
    """
    detector = Detector(labels, config)
    smoothed = np.empty_like(scores)
    for row, (time, raw) in enumerate(zip(times.tolist(), scores, strict=True)):
        detector.update(time, raw)
        smoothed[row] = detector.smoothed
    return smoothed


def detect(
    times: NDArray[np.float64], smoothed: NDArray[np.float32], labels: Sequence[str], config: DetectorConfig
) -> tuple[list[float], list[str]]:
    """What the detector reports; it is asked only where a score reaches its threshold, hence quick.

    Args:
        times: float64 [scores], s, ascending.
        smoothed: float32 [scores, labels]; see :func:`smooth`.
        labels: in the order of the scores.
        config: of the detector.

    Returns:
        Times and labels of the detections.
    """
    thresholds = np.array(
        [np.inf if label.startswith("_") else config.threshold_of(label) for label in labels], np.float32
    )
    margins = smoothed - thresholds
    rows = np.flatnonzero(margins.max(axis=1, initial=-np.inf) >= 0)
    best, at = margins[rows].argmax(axis=1), times[rows]
    chosen: list[int] = []
    row = 0
    while row < len(rows):
        chosen.append(row)
        row = max(row + 1, int(np.searchsorted(at, at[row] + config.refractory_s - 1e-9)))
    return at[chosen].tolist(), [labels[index] for index in best[chosen].tolist()]
