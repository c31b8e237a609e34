"""How two cells differ, measured in many ways: each a pure function of what a comparison and the memory tasks found.

``first`` is the cell that a claim speaks for: where the effect is above 0, or a ratio above 1, the claim is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.estimates import Estimate, crossed_estimate, mean_estimate
from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Measured, Results
from speech_rnn.comparison.statistics import Difference
from speech_rnn.errors import DataError

if TYPE_CHECKING:
    from speech_rnn.memory_tasks.experiment import Outcome

Size = Literal["all", "smallest", "largest"]
Values = NDArray[np.float64]  # [seeds, clips], shares of right answers

RECORDED = "recorded:0"
FEW = 0.1  # of the training clips


class LackingError(DataError):
    """The results hold too little for a measurement."""


class Evidence(NamedTuple):
    """What claims are judged by.

    Attributes:
        results: of a comparison.
        outcomes: of the memory tasks.
    """

    results: Results
    outcomes: Sequence[Outcome] = ()


class Effect(NamedTuple):
    """How two cells differ.

    Attributes:
        figure: estimated, or with the range over sizes where nothing is drawn; ratios as logarithms.
        over: what was put together, in words.
        name: what it is of, where a claim has several.
    """

    figure: Estimate | Difference
    over: str
    name: str = ""


Measure = Callable[[Evidence], tuple[Effect, ...]]


def accuracy(first: str, second: str, budget: Budget, *, size: Size = "all") -> Measure:
    """Accuracy of a cell less that of another, points; the mean over sizes, seeds and clips."""

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        results = evidence.results
        sizes = sizes_of(results, budget, first, second)
        if size != "all":
            if len(sizes) < 2:
                raise LackingError("there is one size; --units 32,64,128 compares several")
            sizes = [min(sizes) if size == "smallest" else max(sizes)]
        seeds = results.header.plan.seeds
        differences = [
            _right(results, contender_of(results, first, budget, one), seeds)
            - _right(results, contender_of(results, second, budget, one), seeds)
            for one in sizes
        ]
        return (_crossed(differences, sizes, seeds),)

    return measure


def answers(
    first: str,
    second: str,
    budget: Budget,
    what: str,
    values: Iterable[float] | None = None,
    *,
    kinds: Sequence[str] = ("",),
    lost: bool = False,
) -> Measure:
    """How much more of other sound a cell has right than another, points.

    Args:
        first: a cell.
        second: another.
        budget: what is equal between them.
        what: of the answers: ``snr``, ``int8``, ``gap``, ``taught_gap``.
        values: of them, those of ``WHAT:VALUE`` behind the colon; all where not given.
        kinds: what follows ``what``, as ``_noise`` in ``gap_noise``; the mean of those that were measured is taken.
        lost: how much less the first loses, from the clips as they are recorded, than the second.
    """
    chosen = None if values is None else set(values)

    def is_wanted(name: str) -> bool:
        kind, _, value = name.partition(":")
        return kind in {f"{what}{one}" for one in kinds} and (chosen is None or float(value) in chosen)

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        results = evidence.results
        named = {name for line in results.measured.values() for name in line.answers}
        wanted = sorted(name for name in named if is_wanted(name))
        if results.measured and not wanted:
            of = "" if chosen is None else f" at {', '.join(f'{value:g}' for value in sorted(chosen))}"
            raise LackingError(f"{what} was not measured{of}")
        needed = {*wanted, RECORDED} if lost else set(wanted)
        pairs, seeds = _measured_pairs(results, first, second, budget, lambda line: needed <= set(line.answers))
        differences = []
        for one, another in pairs:
            for name in wanted:
                difference = _answered(results, one, seeds, name) - _answered(results, another, seeds, name)
                if lost:
                    difference -= _answered(results, one, seeds, RECORDED) - _answered(
                        results, another, seeds, RECORDED
                    )
                differences.append(difference)
        return (_crossed(differences, [pair[0].size for pair in pairs], seeds, f"{_in_words(wanted)}; "),)

    return measure


def hunger(first: str, second: str) -> Measure:
    """How much less a cell loses than another when it hears a tenth of the clips or fewer, points."""

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        results = evidence.results
        plan = results.header.plan
        shares = [share for share in plan.shares if share <= FEW]
        if "parameters" not in plan.budgets:
            raise LackingError("cells were not compared at equal parameters")
        middle = {one.cell: one for one in plan.middle(results.header.contenders)}
        if not shares or not {first, second} <= set(middle):
            raise LackingError("no training heard a tenth of the clips or fewer; --shares 0.01,0.1 runs some")
        one, another = middle[first], middle[second]
        losses = {
            contender.cell: [
                _right(results, contender, plan.seeds) - _right(results, contender, plan.seeds, share)
                for share in shares
            ]
            for contender in (one, another)
        }
        differences = [of_another - of_one for of_one, of_another in zip(losses[first], losses[second], strict=True)]
        of_shares = ", ".join(f"{100 * share:.3g} %" for share in shares)
        return (_crossed(differences, [one.size], plan.seeds, f"{of_shares} of the clips; "),)

    return measure


def reach(first: str, second: str, budget: Budget) -> Measure:
    """How much further back than another's a cell's gradient has half of its sum, milliseconds."""

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        results = evidence.results
        pairs, seeds = _measured_pairs(results, first, second, budget, lambda line: bool(line.gradient_norms))
        hop_ms = 1_000 * results.header.plan.base.features.hop_s
        halves = np.array(
            [
                [
                    [half_distance(results.measured[one.trial(seed).key].gradient_norms) for one in pair]
                    for pair in pairs
                ]
                for seed in seeds
            ]
        )
        differences = hop_ms * (halves[:, :, 0] - halves[:, :, 1]).mean(axis=1)
        return (Effect(mean_estimate(differences), over([pair[0].size for pair in pairs], seeds)),)

    return measure


def half_distance(norms: Sequence[float]) -> float:
    """The frames from the end within which half of the sum of the norms lies, between frames by a straight line.

    >>> half_distance([1.0, 1.0, 1.0, 1.0]), half_distance([3.0, 1.0, 1.0, 1.0])
    (2.0, 1.0)
    """
    sums = np.concatenate([[0.0], np.cumsum(norms)])
    if not sums[-1] > 0:
        raise LackingError("the gradient is nothing at every frame")
    return float(np.interp(sums[-1] / 2, sums, np.arange(len(sums))))


def each_of(measures: Sequence[tuple[str, Measure]]) -> Measure:
    """Several effects of a claim that must all be as it says, by name."""

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        return tuple(effect._replace(name=name) for name, one in measures for effect in one(evidence))

    return measure


def sizes_of(results: Results, budget: Budget, *cells: str) -> list[int]:
    """The sizes of a budget.

    Raises:
        LackingError: some of the cells were not compared under it.
    """
    plan = results.header.plan
    if budget not in plan.budgets:
        raise LackingError(f"cells were not compared at equal {budget}")
    for cell in cells:
        if cell not in plan.cells:
            raise LackingError(f"{cell} was not compared")
    return sorted(plan.sizes)


def contender_of(results: Results, cell: str, budget: Budget, size: int) -> Contender:
    """A cell at a budget and size, which were compared."""
    wanted = (cell, budget, size)
    return next(one for one in results.header.contenders if (one.cell, one.budget, one.size) == wanted)


def _right(results: Results, contender: Contender, seeds: Sequence[int], share: float | None = None) -> Values:
    trials = [contender.trial(seed) for seed in seeds]
    if share is not None:
        trials = [trial._replace(study="shares", value=share) for trial in trials]
    return np.stack([results.finished[trial.key].right_answers() for trial in trials]).astype(np.float64)


def _in_words(names: Sequence[str]) -> str:
    """What was asked: ``WHAT:VALUE`` as people say it.

    >>> _in_words(["snr:0", "snr:-5", "taught_gap_noise:4", "int8:0"])
    '0 dB SNR, −5 dB SNR, 4 s of noise, in 8 bits'
    """
    said = []
    for name in names:
        what, _, value = name.partition(":")
        number = value.replace("-", "−")
        by_kind = {"int8": "in 8 bits", "snr": f"{number} dB SNR", "level": f"{number} dB", "speed": f"speed {number}"}
        said.append(by_kind.get(what, f"{number} s of {what.rpartition('_')[2]}"))
    return ", ".join(said)


def _answered(results: Results, contender: Contender, seeds: Sequence[int], name: str) -> Values:
    rows = [results.measured[contender.trial(seed).key].answers[name].bits() for seed in seeds]
    if len({len(row) for row in rows}) > 1:
        raise LackingError(f"{name} was asked of other clips by other cells")
    return np.stack(rows).astype(np.float64)


def _measured_pairs(
    results: Results, first: str, second: str, budget: Budget, is_enough: Callable[[Measured], bool]
) -> tuple[list[tuple[Contender, Contender]], list[int]]:
    """Both cells at the sizes where two seeds or more of both were measured, and the seeds that all of them share."""
    measured = {key for key, line in results.measured.items() if is_enough(line)}
    pairs, common = [], set(results.header.plan.seeds)
    for size in sizes_of(results, budget, first, second):
        pair = contender_of(results, first, budget, size), contender_of(results, second, budget, size)
        seeds = {seed for seed in results.header.plan.seeds if all(one.trial(seed).key in measured for one in pair)}
        if len(seeds) >= 2:
            pairs.append(pair)
            common &= seeds
    if not pairs:
        raise LackingError(f"no two cells at equal {budget} were measured so from two seeds or more")
    check_several(sorted(common))
    return pairs, sorted(common)


def check_several(seeds: Sequence[int]) -> None:
    """Raise :class:`LackingError` where seeds are too few for an interval."""
    if len(seeds) < 2:
        raise LackingError(f"{len(seeds) or 'no'} seed in common gives no interval; --seeds 5 is usual")


def _crossed(differences: Sequence[Values], sizes: Sequence[int], seeds: Sequence[int], of: str = "") -> Effect:
    """The mean of differences [seeds, clips], points."""
    check_several(seeds)
    if len({difference.shape for difference in differences}) > 1:
        raise LackingError("they were asked of different clips")
    mean = 100 * np.mean(differences, axis=0)
    return Effect(crossed_estimate(mean), f"{of}{over(sizes, seeds)}, {mean.shape[1]:,} clips")


def over(sizes: Sequence[int], seeds: Sequence[int] = ()) -> str:
    """What was put together, in words."""
    of_sizes = ("size " if len(sizes) == 1 else "sizes ") + ", ".join(map(str, sizes))
    return f"{of_sizes}; {seeds_in_words(seeds)}" if seeds else of_sizes


def seeds_in_words(seeds: Sequence[int]) -> str:
    """How many seeds."""
    return f"{len(seeds)} seeds"
