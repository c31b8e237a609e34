"""How accuracy grows, by epochs, by clips heard and by seconds of a processor, and how long gradients are meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import mean_interval
from speech_rnn.errors import DataError
from speech_rnn.history import Epoch
from speech_rnn.settings import Settings


class CurvePoint(Settings):
    """A contender after an epoch, over its seeds.

    Attributes:
        epoch: from 1.
        clips: heard by then.
        seconds: of steps alone by then, at the pace of :class:`speech_rnn.comparison.results.Costs`, on one thread;
            ``None`` where that wasn't measured. The seconds of the trainings themselves depend on what else ran.
        accuracy: mean on the validation part, 0 to 1; ``None`` where that is empty.
        low, high: its interval over the seeds, within 0 to 1; ``None`` from one seed.
        gradient_norm: geometric mean over the seeds of the epoch's mean norm, before it is clipped; ``None`` where it
            wasn't measured.
    """

    epoch: int
    clips: int
    seconds: float | None
    accuracy: float | None
    low: float | None
    high: float | None
    gradient_norm: float | None


class LearningCurve(Settings):
    """How a contender learns.

    Attributes:
        contender: which.
        points: an epoch each.
    """

    contender: Contender
    points: Annotated[tuple[CurvePoint, ...], Field(strict=False)]

    def seconds_to(self, accuracy: float) -> float | None:
        """Seconds until the mean accuracy is first so high; ``None`` where it never is, or no times are known."""
        return next((one.seconds for one in self.points if one.accuracy is not None and one.accuracy >= accuracy), None)


def learning_curves(results: Results) -> tuple[LearningCurve, ...]:
    """The curve of each contender, in their order.

    Raises:
        DataError: a training that compares the cells is missing: means over other seeds would be compared.
    """
    return tuple(_curve(results, contender) for contender in results.header.contenders)


def _curve(results: Results, contender: Contender) -> LearningCurve:
    keys = [contender.trial(seed).key for seed in results.header.plan.seeds]
    missing = [key for key in keys if key not in results.finished]
    if missing:
        raise DataError(f"{missing[0]} is missing among the trainings; the same command runs them")
    histories = [results.finished[key].history for key in keys]
    costs = results.costs.get(f"{contender.cell}-{contender.units}")
    batch_size = results.header.plan.base.training.batch_size
    points, clips, steps = [], 0, 0
    for entries in zip(*histories, strict=True):
        clips += entries[0].clips
        steps += math.ceil(entries[0].clips / batch_size)
        points.append(_point(entries, clips, None if costs is None else steps * costs.training_step_s))
    return LearningCurve(contender=contender, points=tuple(points))


def _point(entries: Sequence[Epoch], clips: int, seconds: float | None) -> CurvePoint:
    """Of the same epoch of all seeds."""
    known = [entry.validation_accuracy for entry in entries if entry.validation_accuracy is not None]
    norms = [entry.gradient_norm for entry in entries if entry.gradient_norm is not None]
    interval = mean_interval(np.array(known)) if len(known) > 1 else None
    return CurvePoint(
        epoch=entries[0].epoch,
        clips=clips,
        seconds=seconds,
        accuracy=float(np.mean(known)) if known else None,
        low=None if interval is None else max(0.0, interval.low),
        high=None if interval is None else min(1.0, interval.high),
        # Norms differ by factors, and one seed that bursts would hide the others.
        gradient_norm=float(np.exp(np.mean(np.log(np.maximum(norms, 1e-30))))) if norms else None,
    )
