"""How much better a cell solves a memory task than another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from speech_rnn.comparison.claims.effects import Effect, Evidence, LackingError, Measure, seeds_in_words
from speech_rnn.comparison.estimates import mean_estimate

if TYPE_CHECKING:
    from speech_rnn.memory_tasks.experiment import Outcome


def memory_task(first: str, second: str, task: str) -> Measure:
    """How much better a cell solves the longest of a memory task that both have learned from the same seeds.

    ``adding``: decades of the mean squared error; ``copying``: points of the symbols said right; ``counting``:
    doublings of the longest string.
    """
    figure_of: dict[str, Callable[[dict[str, float]], float]] = {
        "adding": lambda figures: -math.log10(max(figures["mse"], 1e-12)),
        "copying": lambda figures: 100 * figures["recall_accuracy"],
        "counting": lambda figures: math.log2(1 + figures["largest_n"]),
    }

    def measure(evidence: Evidence) -> tuple[Effect, ...]:
        alike: dict[str, dict[str, dict[int, Outcome]]] = {}
        for outcome in evidence.outcomes:
            experiment = outcome.experiment
            if experiment.task.name == task and experiment.cell in (first, second):
                # A learning rate is a cell's own.
                learning = experiment.learning.changed(learning_rate=1.0)
                key = experiment.changed(cell="any", seed=0, learning=learning).to_json()
                of_cell = alike.setdefault(key, {}).setdefault(experiment.cell, {})
                if experiment.seed in of_cell:
                    raise LackingError(f"{experiment.cell} learned {task} twice from seed {experiment.seed}")
                of_cell[experiment.seed] = outcome
        groups = [
            (group, sorted(set(group[first]) & set(group[second])))
            for group in alike.values()
            if {first, second} <= set(group)
        ]
        groups = [(group, seeds) for group, seeds in groups if len(seeds) >= 2]
        if not groups:
            raise LackingError(f"{task} was not learned by both from two seeds or more")
        group, seeds = max(
            groups, key=lambda one: (next(iter(one[0][first].values())).experiment.task.n_steps, len(one[1]))
        )
        figure, learned = figure_of[task], [group[cell][seed] for cell in (first, second) for seed in seeds]
        differences = [figure(group[first][seed].figures) - figure(group[second][seed].figures) for seed in seeds]
        experiment = group[first][seeds[0]].experiment
        over = f"{experiment.task.n_steps} steps, {experiment.learning.units} units; {seeds_in_words(seeds)}"
        # Strings are counted whole.
        counted = [1 + one.figures["largest_n"] for one in learned] if task == "counting" else []
        resolution = float(np.mean(np.log2(1 + 1 / np.array(counted)))) if counted else 0.0
        return (Effect(mean_estimate(np.array(differences), resolution=resolution), over),)

    return measure
