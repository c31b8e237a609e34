"""How good detections in long recordings are: words missed, false alarms an hour, delay, and how sure that is.

The rule, the same at every threshold. A detection finds a word of its own label if it comes between the word's start
and ``late_s`` after the word's end; each finds one word at most and each word is found once, the word that ends first
being served first. Every other detection is false: of a label that was not said, a second one of the same word, one
that comes too late. False ones of one label, each at most ``burst_s`` after the one before, are a burst, and a
burst is one false alarm. A word that nothing finds is missed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from speech_rnn.config import DetectorConfig
from speech_rnn.data.streams import Said
from speech_rnn.errors import DataError
from speech_rnn.evaluation import Record, wilson_interval
from speech_rnn.settings import Settings
from speech_rnn.text import percent

FALSE_ALARMS_PER_HOUR = (0.5, 1.0, 2.0)  # what people bear
MISSES = 0.05
SUGGESTED_PER_HOUR = 1.0
BANDS_DB = (-30.0, 0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)  # of a word's level over the noise
CAUSES = {
    "word": "words of the model",
    "other word": "other words",
    "other language": "another language",
    "noise": "noise",
}


class MatchingRule(Settings):
    """When a detection finds a word, and which false ones are one.

    A window of a second still holds half of a word of half a second that ended 0.7 s ago, and smoothing adds to that.
    """

    late_s: float = Field(default=1.0, ge=0.0, le=60.0)
    burst_s: float = Field(default=2.0, ge=0.0, le=3_600.0)


@dataclass(frozen=True, slots=True)
class Match:
    """What became of the detections of one recording.

    Attributes:
        found: (word, detection) pairs of indices, by detection.
        false: detections that found nothing.
        bursts: the first detection of each burst of them.
    """

    found: tuple[tuple[int, int], ...]
    false: tuple[int, ...]
    bursts: tuple[int, ...]


def match(times: Sequence[float], labels: Sequence[str], said: Sequence[Said], rule: MatchingRule) -> Match:
    """Bring detections and words together, by the rule of this module.

    Args:
        times: of the detections, s, ascending.
        labels: of the detections.
        said: words of a label first to last, and any others, which nothing can find.
        rule: how late is too late, and how near is one.
    """
    words: dict[str, list[tuple[float, float, int]]] = {}
    for index, word in enumerate(said):
        words.setdefault(word.label, []).append((word.start, word.end, index))
    heard: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        heard.setdefault(label, []).append(index)
    found: list[tuple[int, int]] = []
    false: list[int] = []
    bursts: list[int] = []
    for label, detections in heard.items():
        waiting: list[tuple[float, int]] = []  # words begun and not found, the one that ends first in front
        coming = iter(sorted(words.get(label, ())))
        next_word = next(coming, None)
        last_false_s = -np.inf
        for detection in detections:
            now = times[detection]
            while next_word is not None and next_word[0] <= now:
                heapq.heappush(waiting, next_word[1:])
                next_word = next(coming, None)
            while waiting and waiting[0][0] + rule.late_s < now:
                heapq.heappop(waiting)
            if waiting:
                found.append((heapq.heappop(waiting)[1], detection))
                continue
            false.append(detection)
            if now - last_false_s > rule.burst_s:
                bursts.append(detection)
            last_false_s = now
    return Match(tuple(sorted(found, key=lambda pair: pair[1])), tuple(sorted(false)), tuple(sorted(bursts)))


def causes(times: Sequence[float], bursts: Iterable[int], said: Sequence[Said], rule: MatchingRule) -> list[str]:
    """What was heard when a false alarm came: the kind of the word that began last, or ``noise`` where there was none.

    Args:
        times: of the detections, s.
        bursts: indices of detections.
        said: all words, by start.
        rule: a word is heard until ``late_s`` after its end.
    """
    starts = [word.start for word in said]
    kinds: list[str] = []
    for detection in bursts:
        last = int(np.searchsorted(starts, times[detection], side="right")) - 1
        is_heard = last >= 0 and times[detection] <= said[last].end + rule.late_s
        kinds.append(said[last].kind if is_heard else "noise")
    return kinds


def garwood_interval(count: int, exposure: float, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a Poisson rate (Garwood 1936), never too narrow, and telling something at 0 events too.

    Args:
        count: events, 0 or more.
        exposure: for how long they were counted, above 0, in any unit.
        confidence: coverage, between 0 and 1.

    Returns:
        Lower and upper end, events a unit of exposure.

    Raises:
        DataError: values that can't be.

    >>> low, high = garwood_interval(10, 1.0)
    >>> f"{low:.3f} {high:.3f}"
    '4.795 18.390'
    """
    from scipy.special import gammaincinv  # half a quantile of chi²; scipy.stats takes a second to import

    if count < 0 or not 0.0 < exposure < np.inf:
        raise DataError(f"{count} events in {exposure} can't be; count 0 or more in a time above 0")
    if not 0.0 < confidence < 1.0:
        raise DataError(f"confidence={confidence} must be between 0 and 1; 0.95 is usual")
    tail = (1.0 - confidence) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low / exposure, float(gammaincinv(count + 1, 1.0 - tail)) / exposure


class DetectionFigures(Record):
    """Misses and false alarms. What there is nothing to tell of is ``None``.

    Attributes:
        words: said; ``missed`` of them were not found.
        miss: ``missed / words``; ``miss_low`` and ``miss_high`` are Wilson's interval of it.
        false_alarms: bursts counted once.
        per_hour: of them; ``per_hour_low`` and ``per_hour_high`` are Garwood's interval of it.
        delay_median_s: from a found word's end to its detection; ``delay_p95_s`` is what 95 % stay at or below.
    """

    words: int = Field(ge=0)
    missed: int = Field(ge=0)
    miss: float | None = Field(ge=0.0, le=1.0)
    miss_low: float | None = Field(ge=0.0, le=1.0)
    miss_high: float | None = Field(ge=0.0, le=1.0)
    false_alarms: int = Field(ge=0)
    per_hour: float = Field(ge=0.0)
    per_hour_low: float = Field(ge=0.0)
    per_hour_high: float = Field(ge=0.0)
    delay_median_s: float | None
    delay_p95_s: float | None

    @classmethod
    def of(
        cls,
        *,
        words: int,
        delays_s: Sequence[float],
        false_alarms: int,
        hours: float,
        confidence: float,
        **more: object,
    ) -> Self:
        """The figures of counts; ``delays_s`` has a number for each word that was found."""
        missed = words - len(delays_s)
        miss_low, miss_high = wilson_interval(missed, words, confidence) if words else (None, None)
        low, high = garwood_interval(false_alarms, hours, confidence)
        median, late = np.quantile(delays_s, [0.5, 0.95]).tolist() if len(delays_s) else (None, None)
        return cls(
            words=words,
            missed=missed,
            miss=missed / words if words else None,
            miss_low=miss_low,
            miss_high=miss_high,
            false_alarms=false_alarms,
            per_hour=false_alarms / hours,
            per_hour_low=low,
            per_hour_high=high,
            delay_median_s=median,
            delay_p95_s=late,
            **more,
        )


class OperatingPoint(DetectionFigures):
    """The figures at one threshold."""

    threshold: float


class LabelDetections(DetectionFigures):
    """The figures of one label."""

    label: str


class DistanceFigures(Record):
    """Misses of words at one distance to the noise.

    Attributes:
        low_db: level of the word over that of the background, from here on
        high_db: and below here.
        words: said; ``missed`` of them were not found.
        miss: ``missed / words``; ``miss_low`` and ``miss_high`` are Wilson's interval of it.
    """

    low_db: float
    high_db: float
    words: int = Field(ge=1)
    missed: int = Field(ge=0)
    miss: float = Field(ge=0.0, le=1.0)
    miss_low: float = Field(ge=0.0, le=1.0)
    miss_high: float = Field(ge=0.0, le=1.0)

    @classmethod
    def of(cls, snr_db: Sequence[float], found: Sequence[bool], confidence: float) -> tuple[Self, ...]:
        """The figures of each band of :data:`BANDS_DB` that has words."""
        figures = []
        for low, high in pairwise(BANDS_DB):
            in_band = [is_found for db, is_found in zip(snr_db, found, strict=True) if low <= db < high]
            if not in_band:
                continue
            missed, words = len(in_band) - sum(in_band), len(in_band)
            miss_low, miss_high = wilson_interval(missed, words, confidence)
            figures.append(
                cls(
                    low_db=low,
                    high_db=high,
                    words=words,
                    missed=missed,
                    miss=missed / words,
                    miss_low=miss_low,
                    miss_high=miss_high,
                )
            )
        return tuple(figures)


class DetectionReport(Record):
    """What a model makes of long recordings with known words.

    Attributes:
        model: which model, in words.
        data: which recordings, in words.
        synthetic: whether machines speak in the recordings.
        command: what gives these figures again.
        confidence: of all intervals.
        config: of the detector; its own threshold, or thresholds, are those of ``default`` and ``labels``.
        rule: of the matching.
        hours: heard.
        default: the figures with ``config`` as it is.
        labels: the same by label.
        distances: misses of ``default`` by the words' level over the noise, where that is known.
        causes: false alarms of ``default`` by what was said when they came.
        curve: misses against false alarms: one threshold for all labels, from low to high.
    """

    model: str
    data: str
    synthetic: bool
    command: str
    confidence: float = Field(gt=0.0, lt=1.0)
    config: DetectorConfig
    rule: MatchingRule
    hours: float = Field(gt=0.0)
    default: OperatingPoint
    labels: tuple[LabelDetections, ...]
    distances: tuple[DistanceFigures, ...] = ()
    causes: Mapping[str, int]
    curve: tuple[OperatingPoint, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        thresholds = [point.threshold for point in self.curve]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("curve must have its points by threshold, each once")
        return self

    @property
    def words(self) -> int:
        """Words said that should be reported."""
        return self.default.words

    def at_false_alarms(self, per_hour: float) -> OperatingPoint | None:
        """The lowest threshold from which on there are never more false alarms an hour, if there is one."""
        found = None
        for point in reversed(self.curve):
            if point.per_hour > per_hour:
                break
            found = point
        return found

    def at_misses(self, share: float) -> OperatingPoint | None:
        """The highest threshold up to which there are never more words missed, if there is one."""
        found = None
        for point in self.curve:
            if point.miss is None or point.miss > share:
                break
            found = point
        return found

    @property
    def operating_points(self) -> tuple[tuple[str, OperatingPoint | None], ...]:
        """Where one would set a detector: (why, the figures there); ``None`` where no threshold gets there."""
        return (
            ("own threshold", self.default),
            *((f"≤ {rate:g} false/h", self.at_false_alarms(rate)) for rate in FALSE_ALARMS_PER_HOUR),
            (f"≤ {100 * MISSES:g} % misses", self.at_misses(MISSES)),
        )

    @property
    def way(self) -> str:
        """How the streams were heard, in words."""
        config = self.config
        way = {
            "window": f"Window: the last clip, anew every {config.interval_s:g} s",
            "carry": "Carry: one state, never reset",
        }[config.mode]
        return (
            f"{way}; scores averaged over {config.smoothing_s:g} s, nothing reported for {config.refractory_s:g} s "
            "after a detection"
        )

    @property
    def distances_in_words(self) -> str:
        """How misses depend on the noise; empty where that isn't known."""
        said = ", ".join(
            f"{percent(one.miss)} of {one.words:,} at {one.low_db:g} to {one.high_db:g} dB" for one in self.distances
        )
        return f"Missed by level over the noise: {said}" if said else ""

    @property
    def causes_in_words(self) -> str:
        """What was said when false alarms came."""
        said = ", ".join(f"{self.causes.get(kind, 0):,} at {words}" for kind, words in CAUSES.items())
        return f"False alarms at the model's own threshold: {said}"

    @property
    def suggestion(self) -> str:
        """Which threshold to take, and why, in words."""
        point = self.at_false_alarms(SUGGESTED_PER_HOUR)
        if point is None:
            return (
                f"No threshold keeps false alarms at {SUGGESTED_PER_HOUR:g} an hour; train on more of what causes them"
            )
        misses = "" if point.miss is None else f"; {percent(point.miss)} of the words are missed"
        return (
            f"Suggested threshold {point.threshold:.4g}: from it on there are at most {SUGGESTED_PER_HOUR:g} false "
            f"alarms an hour here ({point.per_hour:.2f}, interval up to {point.per_hour_high:.2f}){misses}"
        )


class DetectionReports(Record):
    """Several reports on the same recordings: models, or ways to hear a stream."""

    reports: tuple[DetectionReport, ...] = Field(min_length=1)
