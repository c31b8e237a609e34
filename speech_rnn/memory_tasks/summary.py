"""What the seeds of a cell found together: how many solved a task, and the spread of each figure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from speech_rnn.errors import SettingsError
from speech_rnn.memory_tasks.experiment import AnyTask, LearningSettings, Outcome
from speech_rnn.settings import Settings


class Spread(Settings):
    """A figure over the seeds.

    Attributes:
        name: as the task calls it, ``mse`` say.
        values: of each seed, in the order of the seeds.
        median, low, high: of them; from the smallest to the largest, an interval of nothing else.
        baseline: that of who remembers nothing; ``None`` where the task names none.
    """

    name: str
    values: Annotated[tuple[float, ...], Field(strict=False)]
    median: float
    low: float
    high: float
    baseline: float | None


class CellSummary(Settings):
    """What a cell makes of a task, over seeds.

    Attributes:
        task: with what decides how long it must be remembered.
        cell: of :data:`~speech_rnn.models.CELLS`, or one's own.
        learning: how it was learned: units, learning rate and the most steps among it.
        parameters: trainable ones.
        seeds: in rising order.
        solved: in their order, whether the seed solved the task.
        steps: median of those taken; who doesn't solve it takes all there are.
        cpu_seconds: median.
        spreads: of each figure.
    """

    task: Annotated[AnyTask, Field(discriminator="name")]
    cell: str
    learning: LearningSettings
    parameters: int
    seeds: Annotated[tuple[int, ...], Field(strict=False)]
    solved: Annotated[tuple[bool, ...], Field(strict=False)]
    steps: float
    cpu_seconds: float
    spreads: Annotated[tuple[Spread, ...], Field(strict=False)]

    @property
    def n_solved(self) -> int:
        """How many seeds solved the task, of ``len(seeds)``."""
        return sum(self.solved)

    def spread(self, name: str) -> Spread:
        """That of a figure.

        Raises:
            SettingsError: the task has no such figure.
        """
        for spread in self.spreads:
            if spread.name == name:
                return spread
        there_are = ", ".join(spread.name for spread in self.spreads)
        raise SettingsError(f"name={name!r} is no figure of {self.task.name}; take one of {there_are}")


def summarize_cells(outcomes: Iterable[Outcome]) -> list[CellSummary]:
    """Outcomes that differ in nothing but the seed, together.

    Args:
        outcomes: of any tasks, cells and settings, in any order.

    Returns:
        One for each task, cell and learning settings, in the order in which they first appear.

    Raises:
        SettingsError: an experiment is there twice; its seed would count for two.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.experiment.changed(seed=0).to_json(), []).append(outcome)
    return [_summary(sorted(group, key=lambda one: one.experiment.seed)) for group in groups.values()]


def _summary(group: Sequence[Outcome]) -> CellSummary:
    experiment = group[0].experiment
    seeds = tuple(one.experiment.seed for one in group)
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise SettingsError(
            f"seed={twice} of {experiment.task.name} with {experiment.cell} must be there once; leave the others out"
        )
    return CellSummary(
        task=experiment.task,
        cell=experiment.cell,
        learning=experiment.learning,
        parameters=group[0].parameters,
        seeds=seeds,
        solved=tuple(one.solved for one in group),
        steps=float(statistics.median(one.steps for one in group)),
        cpu_seconds=float(statistics.median(one.cpu_seconds for one in group)),
        spreads=tuple(
            _spread(name, [one.figures[name] for one in group], experiment.task.baseline.get(name))
            for name in group[0].figures
        ),
    )


def _spread(name: str, values: Sequence[float], baseline: float | None) -> Spread:
    return Spread(
        name=name,
        values=tuple(values),
        median=statistics.median(values),
        low=min(values),
        high=max(values),
        baseline=baseline,
    )
