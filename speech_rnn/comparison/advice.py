"""Which cell to take, how large, and in which form, by what a comparison found and what a device can bear."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from speech_rnn.comparison.estimates import Estimate, crossed_estimate, summed
from speech_rnn.comparison.plan import Trial
from speech_rnn.comparison.results import Costs, Results
from speech_rnn.errors import DataError
from speech_rnn.settings import Settings

CONFIDENCE = 0.95
Form = Literal["float32", "int8"]
FORMS: tuple[Form, ...] = ("float32", "int8")
RECORDED, INT8 = "recorded:0", "int8:0"
ALIKE_POINTS = 1.0  # of accuracy; who surely loses less against the best is as good


class Limits(Settings):
    """What a device can bear; what isn't given isn't limited.

    Attributes:
        max_kb: of the file on the device, 1,000 bytes each, front end left out.
        max_us: of a step of the stream, microseconds.
        max_ram_kb: that TensorFlow Lite for Microcontrollers needs; known of int8 only.
        min_accuracy: per cent.
    """

    UNITS: ClassVar[dict[str, str]] = {"max_kb": "kB", "max_us": "µs", "max_ram_kb": "kB", "min_accuracy": "%"}
    REMEDIES: ClassVar[dict[str, str]] = {
        "max_kb": "40 is an example",
        "max_us": "50 is an example",
        "max_ram_kb": "16 is an example",
        "min_accuracy": "95 is an example",
    }

    max_kb: float | None = Field(default=None, gt=0.0)
    max_us: float | None = Field(default=None, gt=0.0)
    max_ram_kb: float | None = Field(default=None, gt=0.0)
    min_accuracy: float | None = Field(default=None, ge=0.0, le=100.0)


class Candidate(Settings):
    """A cell of some units in a form, what it costs, and how good it is.

    Attributes:
        cell, units, form: which; units a layer.
        kb: of its file, 1,000 bytes each.
        us: of a step, microseconds, on ``machine``.
        ram_kb: that it needs on a board; ``None`` where that isn't known.
        accuracy: 0 to 1, the mean over seeds.
        low: of its interval, over seeds and clips.
        high: likewise.
        judged_as: ``float32``: by its float weights; ``int8``: less what eight bits lost on the clips that were asked
            in both forms.
        machine: on which the time was taken; empty where the results don't say.
    """

    cell: str
    units: int
    form: Form
    kb: float
    us: float
    ram_kb: float | None
    accuracy: float
    low: float
    high: float
    judged_as: Form
    machine: str

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.cell.upper()} with {self.units} units in {self.form}"


class Gap(Settings):
    """How much more accurate the chosen one is than another.

    Attributes:
        points: of accuracy.
        low: of the interval; where it holds 0, they can't be told apart.
        high: likewise.
    """

    points: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether they can be told apart."""
        return self.low > 0 or self.high < 0


class Advice(Settings):
    """What to take, and why.

    Attributes:
        limits: that were asked for.
        chosen: fits them.
        reason: why this one.
        runner_up: the most accurate that fits and is another cell, else the most accurate of the others; ``None`` where
            nothing else fits.
        gap: how much better the chosen one is than that.
        fitting, candidates: how many fit, of how many.
        confidence: of all intervals, each by itself.
        data: what was heard.
        origin: where that is from.
        synthetic: whether machines speak in it.
        part: which judged.
        clips: in it.
        seeds: trainings of each.
    """

    limits: Limits
    chosen: Candidate
    reason: str
    runner_up: Candidate | None
    gap: Gap | None
    fitting: int
    candidates: int
    confidence: float
    data: str
    origin: str
    synthetic: bool
    part: str
    clips: int
    seeds: int


@dataclass(frozen=True)
class _Known:
    """A candidate with what it answered: ``right`` [seeds, clips], and what eight bits lost."""

    candidate: Candidate
    right: np.ndarray
    lost: Estimate


def advise(results: Results, limits: Limits) -> Advice:
    """What to take: of those that fit and are surely less than a point worse than the most accurate one, the cheapest.

    That two can't be told apart would not be enough: with few seeds hardly any can.

    Args:
        results: of a comparison; cells whose trainings aren't all done are left out.
        limits: of the device.

    Raises:
        DataError: nothing fits, or the results hold too little.
    """
    known = _all_known(results)
    fitting = [one for one in known if not _broken(one.candidate, limits)]
    if not fitting:
        raise DataError(_nearest_miss([one.candidate for one in known], limits))
    best = max(fitting, key=_accuracy)
    alike = [one for one in fitting if one is best or _gap(best, one).high < ALIKE_POINTS]
    chosen = min(alike, key=lambda one: _costs(one.candidate, limits))
    rest = [one for one in fitting if one is not chosen]
    others = [one for one in rest if one.candidate.cell != chosen.candidate.cell] or rest
    runner_up = max(others, key=_accuracy) if others else None
    header = results.header
    return Advice(
        limits=limits,
        chosen=chosen.candidate,
        reason=_reason(chosen, best, len(alike), len(fitting), limits),
        runner_up=None if runner_up is None else runner_up.candidate,
        gap=None if runner_up is None else _gap(chosen, runner_up),
        fitting=len(fitting),
        candidates=len(known),
        confidence=CONFIDENCE,
        data=", ".join(PurePath(one.name).name for one in header.recordings),
        origin="; ".join(dict.fromkeys(one.origin for one in header.recordings)),
        synthetic=any(one.synthetic for one in header.recordings),
        part=header.plan.part,
        clips=header.judged_clips,
        seeds=len(header.plan.seeds),
    )


def _all_known(results: Results) -> list[_Known]:
    """Every cell that was trained from all seeds, in each form whose costs were taken."""
    header = results.header
    n_seeds = len(header.plan.seeds)
    if n_seeds < 2:
        raise DataError("one seed gives no interval, and no advice; take results of --seeds 5")
    if not results.costs:
        raise DataError("these results hold no costs on a device; take some of a comparison that measured them")
    known = []
    for cell, units in dict.fromkeys((one.cell, one.units) for one in header.contenders):
        trials = [Trial(cell, units, seed) for seed in header.plan.seeds]
        costs = results.costs.get(f"{cell}-{units}")
        if costs is None or any(trial.key not in results.finished for trial in trials):
            continue
        right = np.stack([results.finished[trial.key].right_answers() for trial in trials]).astype(np.float64)
        accuracy = crossed_estimate(right)
        lost = _lost(results, trials)
        for form in FORMS:
            one = _candidate(costs, form, accuracy, lost, n_seeds)
            if one is not None:
                known.append(_Known(one, right, lost if one.judged_as == "int8" and lost else Estimate(0.0, 0.0, 1.0)))
    if not known:
        raise DataError("no cell of these results has both its trainings done and its costs taken; let compare go on")
    return known


def _lost(results: Results, trials: Iterable[Trial]) -> Estimate | None:
    """What eight bits lose, of clips that were asked in both forms; ``None`` where fewer than two seeds were."""
    lines = [results.measured[trial.key].answers for trial in trials if trial.key in results.measured]
    rows = [
        line[RECORDED].bits().astype(np.float64) - line[INT8].bits()
        for line in lines
        if {RECORDED, INT8} <= set(line) and line[RECORDED].n == line[INT8].n
    ]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return None
    return crossed_estimate(np.stack(rows))


def _candidate(costs: Costs, form: Form, accuracy: Estimate, lost: Estimate | None, n_seeds: int) -> Candidate | None:
    n_bytes: int | None = costs.file_bytes_int8 if form == "int8" else costs.file_bytes_float32
    us: float | None = costs.step_us_int8 if form == "int8" else costs.step_us_float32
    if n_bytes is None or us is None:
        return None
    judged_as: Form = "int8" if form == "int8" and lost is not None else "float32"
    if judged_as == "int8" and lost is not None:
        accuracy = summed(accuracy, lost._replace(value=-lost.value))
    # As cautious as the intervals that a comparison shows.
    half = accuracy._replace(freedom=n_seeds - 1).half_width(1 - CONFIDENCE)
    return Candidate(
        cell=costs.cell,
        units=costs.units,
        form=form,
        kb=n_bytes / 1_000,
        us=us,
        ram_kb=None if form == "float32" or costs.arena_bytes is None else costs.arena_bytes / 1_000,
        accuracy=accuracy.value,
        low=max(0.0, accuracy.value - half),
        high=min(1.0, accuracy.value + half),
        judged_as=judged_as,
        machine=costs.machine,
    )


def _accuracy(one: _Known) -> float:
    return one.candidate.accuracy


def _gap(one: _Known, another: _Known) -> Gap:
    paired = crossed_estimate(one.right - another.right)
    difference = summed(paired, one.lost._replace(value=-one.lost.value), another.lost)
    half = difference.half_width(1 - CONFIDENCE)
    return Gap(points=100 * difference.value, low=100 * (difference.value - half), high=100 * (difference.value + half))


def _broken(one: Candidate, limits: Limits) -> dict[str, float]:
    """Limits that a candidate breaks -> how many times as much as allowed it needs."""
    ratios: dict[str, float] = {}
    if limits.max_kb is not None:
        ratios["max_kb"] = one.kb / limits.max_kb
    if limits.max_us is not None:
        ratios["max_us"] = one.us / limits.max_us
    if limits.max_ram_kb is not None:
        ratios["max_ram_kb"] = math.inf if one.ram_kb is None else one.ram_kb / limits.max_ram_kb
    if limits.min_accuracy is not None and 100 * one.accuracy < limits.min_accuracy:
        ratios["min_accuracy"] = (100 - 100 * one.accuracy) / max(100 - limits.min_accuracy, 0.1)
    return {name: ratio for name, ratio in ratios.items() if ratio > 1 or name == "min_accuracy"}


def _nearest_miss(candidates: Sequence[Candidate], limits: Limits) -> str:
    """Why nothing fits, and which limits would have to give way to what comes nearest."""
    asked = ", ".join(f"{_option(name)} {value:g}" for name, value in _given(limits))
    broken = {index: _broken(one, limits) for index, one in enumerate(candidates)}
    # What isn't known of some may be known of others.
    nearest = min(
        broken,
        key=lambda index: (math.inf in broken[index].values(), len(broken[index]), max(broken[index].values())),
    )
    one = candidates[nearest]
    if math.inf in broken[nearest].values():
        return f"nothing fits {asked}: how much memory a board needs isn't known of any of them; leave --max-ram-kb out"
    needs: dict[str, Callable[[], float]] = {
        "max_kb": lambda: _up(one.kb),
        "max_us": lambda: _up(one.us),
        "max_ram_kb": lambda: _up(one.ram_kb or 0.0),
        "min_accuracy": lambda: math.floor(1_000 * one.accuracy) / 10,
    }
    relaxed = " and ".join(f"{_option(name)} {needs[name]():g}" for name in broken[nearest])
    return f"nothing fits {asked}; the nearest is {one.name} ({in_words(one)}), which {relaxed} would take"


def in_words(one: Candidate) -> str:
    """What a candidate costs and how good it is."""
    ram = "" if one.ram_kb is None else f", {one.ram_kb:.3g} kB of memory"
    return (
        f"{one.kb:.3g} kB, {one.us:.3g} µs a step{ram}, {100 * one.accuracy:.1f} %, interval "
        f"{100 * one.low:.1f} to {100 * one.high:.1f} %"
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(limits: Limits) -> list[tuple[str, float]]:
    values = ((name, getattr(limits, name)) for name in type(limits).model_fields)
    return [(name, value) for name, value in values if value is not None]


def _up(value: float) -> float:
    """The next number of three digits that isn't smaller."""
    step: float = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(round(value / step, 6)) * step


def _costs(one: Candidate, limits: Limits) -> tuple[float, ...]:
    """By what the cheapest is found: what is limited first, a file's size where nothing is."""
    costs = {"max_kb": one.kb, "max_us": one.us, "max_ram_kb": one.ram_kb or math.inf}
    first = _cheaper_by(limits)
    return (costs[first], *(cost for name, cost in costs.items() if name != first))


def _cheaper_by(limits: Limits) -> str:
    return next((name for name, _ in _given(limits) if name != "min_accuracy"), "max_kb")


def _reason(chosen: _Known, best: _Known, n_alike: int, n_fitting: int, limits: Limits) -> str:
    if n_fitting == 1:
        return "nothing else fits"
    if chosen is best and n_alike == 1:
        return f"the most accurate of the {n_fitting} that fit; none of the others is surely less than a point worse"
    cheapest = {"max_kb": "the smallest file", "max_us": "the fastest", "max_ram_kb": "the least memory"}
    of_alike = f"{cheapest[_cheaper_by(limits)]} of the {n_alike} that fit and lose less than a point, if any"
    if chosen is best:
        return f"{of_alike}, and the most accurate of them"
    gap = _gap(chosen, best)
    return (
        f"{of_alike}, against the most accurate, {best.candidate.name} ({in_words(best.candidate)}): "
        f"{gap.points:+.1f} points, interval {gap.low:+.1f} to {gap.high:+.1f}"
    )
