"""The tables of a comparison's page: what each picture shows in numbers, and what no picture shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.report.by_label import LabelRow
from speech_rnn.comparison.report.conditions import Loss
from speech_rnn.comparison.report.curves import BUDGETS, Curves, Point
from speech_rnn.comparison.report.fronts import Front
from speech_rnn.comparison.report.pictures import short
from speech_rnn.comparison.results import Costs
from speech_rnn.comparison.summary import CONFIDENCE, Summary
from speech_rnn.evaluation import wilson_interval
from speech_rnn.memory_tasks.experiment import Outcome
from speech_rnn.memory_tasks.summary import CellSummary, Spread, summarize_cells
from speech_rnn.text import interval, percent, signed


class Table(NamedTuple):
    """A table of a page.

    Attributes:
        title: what stands in it.
        headings: one that begins with ``>`` is that of numbers; the first is that of the rows' names.
        rows: texts, from anywhere; what follows the first end of a line is a note below.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def contenders_table(summary: Summary, budget: str) -> Table:
    """Accuracy of each cell and size at a budget, seed by seed."""
    rows = [
        (
            f"{one.contender.size}",
            one.contender.cell.upper(),
            f"{one.contender.units}",
            f"{one.contender.parameters:,}",
            percent(one.accuracy),
            interval(one.low, one.high),
            ", ".join(f"{100 * accuracy:.1f}" for accuracy in one.accuracies),
        )
        for one in summary.contenders
        if one.contender.budget == budget
    ]
    return Table(
        f"Accuracy at {BUDGETS[budget]}",
        ("Size", "Cell", ">Units", ">Parameters", ">Accuracy", f">{_confidence()} interval", "Seed by seed, %"),
        tuple(rows),
    )


def pairs_table(summary: Summary, budget: str) -> Table:
    """Differences between cells at a budget, with verdicts."""
    rows = [
        (
            f"{one.size}",
            f"{one.first.upper()} − {one.second.upper()}",
            points(one.difference),
            points_interval(one.low, one.high),
            "< 0.001" if one.mcnemar_p < 0.001 else f"{one.mcnemar_p:.3f}",
            one.verdict if one.better is None else f"{one.better.upper()} better",
        )
        for one in summary.pairs
        if one.budget == budget
    ]
    return Table(
        f"Differences at {BUDGETS[budget]}",
        ("Size", "Pair", ">Points", f">{_confidence()} interval", ">McNemar p", "Verdict"),
        tuple(rows),
    )


def curves_table(curves: Curves) -> Table:
    """Every point of a picture of lines; a row a place to the right where the cells share those."""
    say = _share if curves.quantity == "share" else _number
    named = [(panel.name, curve) for panel in curves.panels for curve in panel.curves]
    places = {tuple(point.x for point in curve.points) for _, curve in named}
    if len(places) > 1:
        rows = [
            (_place(curves, point), *([name] if name else []), curve.cell.upper(), say(point))
            for name, curve in named
            for point in curve.points
        ]
        of_panel = ("Panel",) if any(name for name, _ in named) else ()
        return Table(curves.title, (_heading(curves.x), *of_panel, "Cell", f">{_heading(curves.y)}"), tuple(rows))
    headings = [f">{', '.join(filter(None, (curve.cell.upper(), name)))}" for name, curve in named]
    also = () if curves.also_x is None else (f">{_heading(curves.also_x[0])}",)
    rows = [
        (
            _place(curves, of_place[0]),
            *(() if curves.also_x is None else (f"{(of_place[0].x or 0.0) * curves.also_x[1]:,.4g}",)),
            *(
                f"{say(point)}{', chosen' if point.x is not None and point.x == curve.chosen else ''}"
                for point, (_, curve) in zip(of_place, named, strict=True)
            ),
        )
        for of_place in zip(*(curve.points for _, curve in named), strict=True)
    ]
    return Table(f"{curves.title}: {curves.y}", (_heading(curves.x), *also, *headings), tuple(rows))


def front_table(front: Front) -> Table:
    """Every point of a front."""
    rows = [
        (
            f"{one.cell.upper()} {one.units}",
            f"{one.cost:,.4g}" if one.cost < 1_000 else f"{one.cost:,.0f}",
            percent(one.accuracy),
            interval(one.low, one.high),
            "yes" if one.on_front else "no",
        )
        for one in front.points
    ]
    headings = ("Cell and units", f">{_heading(front.x)}", ">Accuracy", f">{_confidence()} interval", "On its front")
    return Table(front.title, headings, tuple(rows))


def labels_table(rows: Sequence[LabelRow]) -> Table:
    """Accuracy and differences label by label."""
    cells = list(rows[0].accuracies)
    pairs = list(combinations(cells, 2))
    headings = (
        "Label",
        ">Clips",
        *(f">{cell.upper()}" for cell in cells),
        *(f">{one.upper()} − {other.upper()}, points" for one, other in pairs),
    )
    return Table(
        "Accuracy by label",
        headings,
        tuple(
            (
                row.label,
                f"{row.clips:,}",
                *(_noted(row.accuracies[cell]) for cell in cells),
                *(_difference(row.differences[pair]) for pair in pairs),
            )
            for row in rows
        ),
    )


def int8_table(losses: Sequence[Loss]) -> Table:
    """What integers cost each cell."""
    return Table(
        "Floats and integers",
        ("Cell", ">As recorded, float32", ">In int8", ">Lost, points"),
        tuple(
            (f"{one.cell.upper()} {one.units}", _noted(one.as_recorded), _noted(one.int8), _difference(one.lost))
            for one in losses
        ),
    )


def costs_table(title: str, contenders: Sequence[Contender], costs: Mapping[str, Costs]) -> Table:
    """What cells cost, a column a cell; what was measured of none of them is left out."""
    measured = [costs.get(f"{one.cell}-{one.units}") for one in contenders]
    rows = [
        ("Parameters", *(f"{one.parameters:,}" for one in contenders)),
        ("MACs a second of sound", *(short(one.macs_per_second) for one in contenders)),
        ("Weights in int8, bytes", *(f"{one.int8_bytes:,}" for one in contenders)),
    ]
    kinds: tuple[tuple[str, Callable[[Costs], str | None]], ...] = (
        ("A step of training, one thread", lambda one: f"{1_000 * one.training_step_s:.3g} ms"),
        ("Memory of training", lambda one: f"{one.training_memory_bytes / 1e6:,.0f} MB"),
        ("A step in float32", lambda one: _cost(one.step_us_float32, ".3g", "µs")),
        ("A step in int8", lambda one: _cost(one.step_us_int8, ".3g", "µs")),
        ("A clip in float32", lambda one: _cost(one.clip_us_float32, ",.0f", "µs")),
        ("A clip in int8", lambda one: _cost(one.clip_us_int8, ",.0f", "µs")),
        ("Stream file, float32", lambda one: _cost(one.file_bytes_float32, ",", "bytes")),
        ("Stream file, int8", lambda one: _cost(one.file_bytes_int8, ",", "bytes")),
        ("Step for a board, int8", lambda one: _cost(one.board_bytes, ",", "bytes")),
        ("Arena on a board", lambda one: _cost(one.arena_bytes, ",", "bytes")),
        ("State of a stream, float32", lambda one: f"{one.state_bytes_float32:,} bytes"),
    )
    for name, say in kinds:
        texts = [None if one is None else say(one) for one in measured]
        if any(text is not None for text in texts):
            rows.append((name, *(text or "–" for text in texts)))
    headings = ("Cost", *(f">{one.cell.upper()} {one.units}" for one in contenders))
    return Table(title, headings, tuple(rows))


def memory_table(outcomes: Sequence[Outcome]) -> Table:
    """What came of the memory tasks, a row a task and cell, over the seeds."""
    return Table(
        "Memory tasks",
        ("Task", "Cell", ">Units", ">Parameters", ">Solved", f">{_confidence()} interval", ">Steps, median", "Figures"),
        tuple(map(_memory_row, summarize_cells(outcomes))),
    )


def points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return signed(100 * difference)


def points_interval(low: float | None, high: float | None) -> str:
    """An interval of such; a dash where there is none."""
    return "–" if low is None or high is None else f"{points(low)} to {points(high)}"


def _memory_row(one: CellSummary) -> tuple[str, ...]:
    settings, n_seeds = one.task.model_dump(exclude={"name"}), len(one.seeds)
    return (
        f"{one.task.name}\n{', '.join(f'{name} {value}'.replace('_', ' ') for name, value in settings.items())}",
        one.cell.upper(),
        f"{one.learning.units}",
        f"{one.parameters:,}",
        f"{one.n_solved} of {n_seeds}",
        interval(*wilson_interval(one.n_solved, n_seeds, CONFIDENCE)),
        f"{one.steps:,.0f}",
        "; ".join(map(_spread, one.spreads)),
    )


def _spread(one: Spread) -> str:
    """The median and both ends."""
    ends = "" if one.low == one.high else f" ({one.low:.3g}–{one.high:.3g})"
    baseline = "" if one.baseline is None else f", without memory {one.baseline:.3g}"
    return f"{one.name.replace('_', ' ')} {one.median:.3g}{ends}{baseline}"


def _heading(axis: str) -> str:
    return axis if axis.startswith("µ") else axis[:1].upper() + axis[1:]  # Μs would be something else


def _place(curves: Curves, point: Point) -> str:
    if point.x is None:
        return "as recorded"
    return f"{100 * point.x:.3g} %" if curves.x.startswith("share") else f"{point.x:,.5g}"


def _share(point: Point) -> str:
    return percent(point.value) if point.low is None else f"{percent(point.value)} ({_ends(point, 100, '.1f')})"


def _number(point: Point) -> str:
    return f"{point.value:.3g}" if point.low is None else f"{point.value:.3g} ({_ends(point, 1, '.3g')})"


def _difference(point: Point) -> str:
    return f"{points(point.value)}\n{points_interval(point.low, point.high)}"


def _noted(point: Point) -> str:
    return f"{percent(point.value)}\n{interval(point.low, point.high)}"


def _cost(value: float | None, digits: str, unit: str) -> str | None:
    return None if value is None else f"{value:{digits}} {unit}"


def _ends(point: Point, scale: float, digits: str) -> str:
    return "–".join(format(scale * end, digits) for end in (point.low, point.high) if end is not None)


def _confidence() -> str:
    return f"{100 * CONFIDENCE:.3g} %"
