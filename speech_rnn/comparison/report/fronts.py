"""What accuracy costs: which sizes of a cell no other of its sizes beats in both accuracy and cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.summary import ContenderFigures, Summary
from speech_rnn.settings import Settings


class Priced(Settings):
    """A cell's accuracy at a cost.

    Attributes:
        cell, units: which.
        cost: in the front's unit.
        accuracy, low, high: of the summary.
        on_front: whether no other size of this cell is as accurate or more at less cost.
    """

    cell: str
    units: int
    cost: float
    accuracy: float
    low: float | None
    high: float | None
    on_front: bool


class Front(Settings):
    """Accuracy against one cost.

    Attributes:
        key: its name among all.
        title: what is drawn, in a few words.
        text: what one must know to read it.
        x: the cost with its unit.
        y: what the accuracy is of.
        points: from cheap to dear, cell by cell.
    """

    key: str
    title: str
    text: str
    x: str
    y: str
    points: Annotated[tuple[Priced, ...], Field(strict=False)]


def fronts(results: Results, summary: Summary) -> list[Front]:
    """Accuracy against bytes, multiply-adds and, where it was measured, the time of a step."""

    def step_us(one: Contender) -> float | None:
        costs = results.costs.get(f"{one.cell}-{one.units}")
        return None if costs is None else costs.step_us_int8

    step_ms = 1_000 * results.header.plan.base.features.hop_s * results.header.plan.base.model.stack
    kinds: tuple[tuple[str, str, str, str, Callable[[Contender], float | None]], ...] = (
        (
            "bytes",
            "Accuracy by size",
            "Weights in eight bits, biases in 32; scales and the graph are left out.",
            "int8 bytes",
            lambda one: one.int8_bytes,
        ),
        (
            "macs",
            "Accuracy by arithmetic",
            "Multiplications and additions for a second of sound, features left out.",
            "MACs a second of sound",
            lambda one: one.macs_per_second,
        ),
        (
            "step_us",
            "Accuracy by time of a step",
            f"A step of {step_ms:g} ms of sound in int8, on one thread, features left out; the accuracy is that of "
            "floats.",
            "µs a step, int8",
            step_us,
        ),
    )
    found = []
    for key, title, text, x, cost_of in kinds:
        points = _points(summary, cost_of)
        if points:
            found.append(
                Front(
                    key=f"accuracy_by_{key}", title=title, text=text, x=x, y=f"{summary.part} accuracy", points=points
                )
            )
    return found


def _points(summary: Summary, cost_of: Callable[[Contender], float | None]) -> tuple[Priced, ...]:
    """Each cell and size once, whatever budgets it stands under."""
    priced: dict[tuple[str, int], tuple[float, ContenderFigures]] = {}
    for one in summary.contenders:
        cost = cost_of(one.contender)
        if cost is not None:
            priced[one.contender.cell, one.contender.units] = cost, one
    cells = list(dict.fromkeys(cell for cell, _ in priced))
    found = []
    for cell in cells:
        of_cell = sorted(
            ((cost, units, one) for (name, units), (cost, one) in priced.items() if name == cell),
            key=lambda entry: (entry[0], -entry[2].accuracy),
        )
        best = -1.0
        for cost, units, one in of_cell:
            found.append(
                Priced(
                    cell=cell,
                    units=units,
                    cost=float(cost),
                    accuracy=one.accuracy,
                    low=one.low,
                    high=one.high,
                    on_front=one.accuracy > best,
                )
            )
            best = max(best, one.accuracy)
    return tuple(found)
