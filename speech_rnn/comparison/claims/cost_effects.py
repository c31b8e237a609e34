"""What two cells cost, beside each other: by arithmetic, as measured, and in epochs until they are as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.claims.effects import (
    Effect,
    Evidence,
    LackingError,
    Measure,
    check_several,
    contender_of,
    over,
    sizes_of,
)
from speech_rnn.comparison.estimates import mean_estimate
from speech_rnn.comparison.plan import Contender, Trial
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import Difference

CostName = Literal[
    "training_step_s",
    "training_step_memory_bytes",
    "step_us_float32",
    "step_us_int8",
    "arena_bytes",
    "state_bytes_float32",
]
TIMING_MARGIN = 0.05  # by which a time may be off that is the least of many
BELOW_FINAL = 0.005  # of accuracy: both cells are asked when they come so near to what the worse one ends with


def arithmetic(
    first: str, second: str, budget: Budget, cost: Literal["parameters", "int8_bytes", "macs_per_second"]
) -> Measure:
    """How many times as much another cell costs by arithmetic; the mean over sizes, and its range."""

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        results = evidence.results
        sizes = sizes_of(results, budget, first, second)
        ratios = [
            float(getattr(contender_of(results, second, budget, size), cost))
            / float(getattr(contender_of(results, first, budget, size), cost))
            for size in sizes
        ]
        return (Effect(_range(ratios), over(sizes)),)

    return measure


def costs(first: str, second: str, budget: Budget, cost: CostName, *, margin: float = 0.0) -> Measure:
    """How many times as much another cell costs, as measured; the mean over sizes, and its range with a margin."""

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        by_size = _cost_ratios(evidence.results, first, second, budget, cost)
        of_margin = f"; {100 * margin:g} % to either side, by which it may be off" if margin else ""
        return (Effect(_range(list(by_size.values()), margin), f"{over(list(by_size))}{of_margin}"),)

    return measure


def epochs(first: str, second: str, budget: Budget, *, in_time: bool = False) -> Measure:
    """How many times as many epochs another cell needs to come to the same accuracy.

    That accuracy is, for each seed and size, what the worse of both has at the end by validation, less half a point; so
    both come to it.

    Args:
        first: a cell.
        second: another.
        budget: what is equal between them.
        in_time: how many times as much time: epochs by the time of a step of training.
    """

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        results = evidence.results
        sizes, seeds = sizes_of(results, budget, first, second), results.header.plan.seeds
        check_several(seeds)
        steps = _cost_ratios(results, first, second, budget, "training_step_s") if in_time else {}
        logs, steps_of_epochs = [], []
        for size in [size for size in sizes if size in steps or not in_time]:
            curves = [
                [_curve(results, contender_of(results, cell, budget, size).trial(seed)) for seed in seeds]
                for cell in (first, second)
            ]
            targets = [min(one[-1], another[-1]) - BELOW_FINAL for one, another in zip(*curves, strict=True)]
            reached = np.array([list(map(_first_at, of_cell, targets)) for of_cell in curves], np.float64)
            logs.append(np.log(reached[1] / reached[0]) + math.log(steps.get(size, 1.0)))
            steps_of_epochs.append(float(np.sqrt(np.square(1 / reached).sum(axis=0)).mean()))
        estimate = mean_estimate(np.mean(logs, axis=0), resolution=float(np.mean(steps_of_epochs)))
        return (Effect(estimate, over(list(steps) or sizes, seeds)),)

    return measure


def _range(ratios: Sequence[float], margin: float = 0.0) -> Difference:
    """Logarithms of the mean ratio, the least and the most."""
    logs = np.log(ratios)
    wider = math.log1p(margin)
    return Difference(float(logs.mean()), float(logs.min()) - wider, float(logs.max()) + wider)


def _cost_ratios(results: Results, first: str, second: str, budget: Budget, cost: CostName) -> dict[int, float]:
    """Size -> how many times as much the second costs, for sizes at which both were measured."""
    found = {}
    for size in sizes_of(results, budget, first, second):
        one, another = (_cost(results, contender_of(results, cell, budget, size), cost) for cell in (first, second))
        if one and another:
            found[size] = another / one
    if not found:
        raise LackingError(f"{cost} of both cells at equal {budget} was not taken")
    return found


def _cost(results: Results, contender: Contender, cost: CostName) -> float | None:
    line = results.costs.get(f"{contender.cell}-{contender.units}")
    value: float | None = None if line is None else getattr(line, cost)
    return value


def _curve(results: Results, trial: Trial) -> list[float]:
    """Validation accuracy, epoch by epoch."""
    curve = [entry.validation_accuracy for entry in results.finished[trial.key].history]
    known = [accuracy for accuracy in curve if accuracy is not None]
    if len(known) < len(curve):
        raise LackingError("there are no validation clips to say when a cell is how good")
    return known


def _first_at(curve: Sequence[float], target: float) -> int:
    return next((epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= target), len(curve))
