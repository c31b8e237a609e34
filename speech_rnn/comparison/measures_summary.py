"""What the cells of the middle size do in noise, faster, softer, in eight bits and some seconds after the word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import Difference, holm_intervals, mean_interval, paired_difference
from speech_rnn.comparison.summary import CONFIDENCE
from speech_rnn.draws import generator
from speech_rnn.errors import DataError
from speech_rnn.settings import Settings

Right = NDArray[np.bool_]  # [seeds, clips]
HALF, HUNDREDTH = 0.5, 0.01


class MeasureFigures(Settings):
    """How good a cell is under a measurement.

    Attributes:
        what, value: ``snr`` and 10.0, and so on; see :class:`~speech_rnn.comparison.results.Measured`.
        cell, units: which.
        n_clips: that it heard.
        accuracies: of each seed, 0 to 1.
        accuracy: their mean.
        low, high: its interval by itself, over seeds and clips; ``None`` from one seed.
    """

    what: str
    value: float
    cell: str
    units: int
    n_clips: int
    accuracies: Annotated[tuple[float, ...], Field(strict=False)]
    accuracy: float
    low: float | None
    high: float | None


class MeasurePair(Settings):
    """How two cells differ under a measurement.

    Attributes:
        what, value: the measurement.
        first, second: the cells.
        difference: mean accuracy of the first less that of the second.
        low, high: its interval, over seeds and clips, corrected (Holm) for all pairs and values of this ``what``, which
            are looked at together; ``None`` from one seed.
        better: the cell that is, where the interval leaves 0 out.
    """

    what: str
    value: float
    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    better: str | None


class ReachFigures(Settings):
    """How many frames before the end a cell's gradient has faded.

    Attributes:
        cell, units: which.
        norms: mean over the seeds of the norm by each frame, first the last frame.
        half, hundredth: of each seed, the frames from the end to the first, beyond that of the greatest norm, where the
            norm is less than a half and a hundredth of that; ``None`` where it never is.
        mean_half, mean_hundredth: over the seeds; ``None`` where one of them is.
        half_low, half_high, hundredth_low, hundredth_high: their intervals; ``None`` from one seed too.
    """

    cell: str
    units: int
    norms: Annotated[tuple[float, ...], Field(strict=False)]
    half: Annotated[tuple[int | None, ...], Field(strict=False)]
    hundredth: Annotated[tuple[int | None, ...], Field(strict=False)]
    mean_half: float | None
    half_low: float | None
    half_high: float | None
    mean_hundredth: float | None
    hundredth_low: float | None
    hundredth_high: float | None


class MeasuresSummary(Settings):
    """What was measured of the cells of the middle size.

    Attributes:
        budget, size: what is equal between them.
        part: of the recordings, whose clips they heard.
        synthetic: whether machines speak in them.
        seeds: of each cell.
        confidence: of all intervals.
        figures: measurement by measurement, cell by cell.
        pairs: likewise.
        reaches: cell by cell.
    """

    budget: str
    size: int
    part: str
    synthetic: bool
    seeds: Annotated[tuple[int, ...], Field(strict=False)]
    confidence: float
    figures: Annotated[tuple[MeasureFigures, ...], Field(strict=False)]
    pairs: Annotated[tuple[MeasurePair, ...], Field(strict=False)]
    reaches: Annotated[tuple[ReachFigures, ...], Field(strict=False)]


class Measurement(NamedTuple):
    """What was asked: ``what`` and its ``value``."""

    what: str
    value: float

    @classmethod
    def of(cls, key: str) -> Measurement:
        """From a key of the answers.

        >>> Measurement.of("gap_noise:0.5")
        Measurement(what='gap_noise', value=0.5)
        """
        what, _, value = key.rpartition(":")
        return cls(what, float(value))

    @property
    def key(self) -> str:
        """Of the answers."""
        return f"{self.what}:{self.value:g}"


def summarize_measures(results: Results, *, resamples: int = 1_000) -> MeasuresSummary:
    """Figures and differences of the cells of the middle size.

    Args:
        results: of a comparison, in which those cells are measured.
        resamples: of the bootstrap.

    Raises:
        DataError: one of those cells isn't measured yet.
    """
    header = results.header
    middle, seeds = header.plan.middle(header.contenders), header.plan.seeds
    keys = [contender.trial(seed).key for contender in middle for seed in seeds]
    if missing := [key for key in keys if key not in results.measured]:
        raise DataError(
            f"{len(missing)} of {len(keys)} trainings of the middle size are not measured, {missing[0]} is one; "
            "measure them first"
        )
    measurements = [Measurement.of(key) for key in results.measured[keys[0]].answers]
    right = {one: {contender.cell: _right(results, contender, one) for contender in middle} for one in measurements}
    return MeasuresSummary(
        budget=middle[0].budget,
        size=middle[0].size,
        part=header.plan.part,
        synthetic=any(one.synthetic for one in header.recordings),
        seeds=seeds,
        confidence=CONFIDENCE,
        figures=tuple(
            _figures(one, contender, right[one][contender.cell], resamples)
            for one in measurements
            for contender in middle
        ),
        pairs=_pairs(right, resamples),
        reaches=tuple(_reach(results, contender) for contender in middle),
    )


def frames_until(norms: Sequence[float], share: float) -> int | None:
    """How many frames from the end the gradient has fallen below a share of its greatest norm.

    Args:
        norms: by frame, first the last one.
        share: of the greatest, above 0.

    Returns:
        The first frame beyond that of the greatest norm where it is less, counted from 0 for the last frame; ``None``
        where it never is.

    >>> frames_until([4.0, 8.0, 5.0, 3.0, 0.05], 0.5), frames_until([4.0, 8.0, 5.0, 3.0, 0.05], 0.001)
    (3, None)
    """
    values = np.asarray(norms)
    peak = int(values.argmax())
    below = np.flatnonzero(values[peak:] < share * values[peak])
    return peak + int(below[0]) if len(below) else None


def _right(results: Results, contender: Contender, one: Measurement) -> Right:
    keys = [contender.trial(seed).key for seed in results.header.plan.seeds]
    try:
        return np.stack([results.measured[key].answers[one.key].bits() for key in keys])
    except KeyError:
        raise DataError(f"{contender.cell} is not measured for {one.key} from every seed; measure it anew") from None


def _figures(one: Measurement, contender: Contender, right: Right, resamples: int) -> MeasureFigures:
    accuracies = right.mean(axis=1)
    # Of a difference from one that has nothing right.
    interval = _difference(right, np.zeros_like(right), f"{one.key} {contender.cell}", resamples)
    return MeasureFigures(
        what=one.what,
        value=one.value,
        cell=contender.cell,
        units=contender.units,
        n_clips=right.shape[1],
        accuracies=tuple(accuracies.tolist()),
        accuracy=float(accuracies.mean()),
        low=interval and max(0.0, interval.low),
        high=interval and min(1.0, interval.high),
    )


def _pairs(right: Mapping[Measurement, Mapping[str, Right]], resamples: int) -> tuple[MeasurePair, ...]:
    """Every two cells under every measurement, corrected for all of the same ``what``."""
    found = []
    for what in dict.fromkeys(one.what for one in right):
        asked = [
            (one, first, second) for one in right if one.what == what for first, second in combinations(right[one], 2)
        ]
        alone = [
            _difference(right[one][first], right[one][second], f"{one.key} {first}, {second}", resamples)
            for one, first, second in asked
        ]
        known = [difference for difference in alone if difference is not None]
        n_seeds = len(right[asked[0][0]][asked[0][1]])
        corrected = holm_intervals(known, n_seeds, confidence=CONFIDENCE) if known else alone
        for (one, first, second), interval in zip(asked, corrected, strict=True):
            value = float(right[one][first].mean() - right[one][second].mean())
            found.append(_pair(one, (first, second), value, interval))
    return tuple(found)


def _pair(one: Measurement, cells: tuple[str, str], difference: float, interval: Difference | None) -> MeasurePair:
    better = None
    if interval is not None and (interval.low > 0.0 or interval.high < 0.0):
        better = cells[0] if interval.low > 0.0 else cells[1]
    return MeasurePair(
        what=one.what,
        value=one.value,
        first=cells[0],
        second=cells[1],
        difference=difference,
        low=interval and interval.low,
        high=interval and interval.high,
        better=better,
    )


def _difference(first: Right, second: Right, purpose: str, resamples: int) -> Difference | None:
    """The difference and its interval by itself; ``None`` from one seed, which says nothing of others."""
    if len(first) < 2:
        return None
    rng = generator(0, f"measures: {purpose}")
    return paired_difference(first, second, rng, confidence=CONFIDENCE, resamples=resamples)


def _reach(results: Results, contender: Contender) -> ReachFigures:
    of_seeds = [results.measured[contender.trial(seed).key].gradient_norms for seed in results.header.plan.seeds]
    half, hundredth = (tuple(frames_until(norms, share) for norms in of_seeds) for share in (HALF, HUNDREDTH))
    mean_half, mean_hundredth = _mean_frames(half), _mean_frames(hundredth)
    return ReachFigures(
        cell=contender.cell,
        units=contender.units,
        norms=tuple(np.mean(of_seeds, axis=0).tolist()),
        half=half,
        hundredth=hundredth,
        mean_half=mean_half[0],
        half_low=mean_half[1],
        half_high=mean_half[2],
        mean_hundredth=mean_hundredth[0],
        hundredth_low=mean_hundredth[1],
        hundredth_high=mean_hundredth[2],
    )


def _mean_frames(frames: Sequence[int | None]) -> tuple[float | None, float | None, float | None]:
    """The mean and its interval; ``None`` where a seed has none."""
    known = np.array([one for one in frames if one is not None], np.float64)
    if len(known) < len(frames):
        return None, None, None
    if len(known) < 2:
        return float(known[0]), None, None
    value, low, high = mean_interval(known, confidence=CONFIDENCE)
    return value, max(0.0, low), high
