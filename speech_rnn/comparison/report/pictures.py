"""Pictures of a comparison: dots with their intervals, differences around 0, accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from speech_rnn.charts import GRID, INK, MUTED, WIDTH, Chart, finished, new_figure
from speech_rnn.comparison.report.curves import Point
from speech_rnn.comparison.report.fronts import Front, Priced
from speech_rnn.comparison.report.looks import Look, looks, name_ends
from speech_rnn.text import percent, plain, signed

LONGEST_LABEL = 14


class DotRow(NamedTuple):
    """A row of dots: a name, and what each cell has there."""

    name: str
    points: Mapping[str, Point]


class PairRow(NamedTuple):
    """A difference between two cells, first less second.

    Attributes:
        name: of the row.
        first, second: the cells.
        point: the difference, 0 to 1, and its interval.
        better: which cell is; ``None`` where that is undecided.
    """

    name: str
    first: str
    second: str
    point: Point
    better: str | None


def dots(
    rows: Sequence[DotRow],
    *,
    title: str,
    x_range: tuple[float, float] | None = None,
) -> Chart:
    """A row a name, in it a dot a cell with its interval.

    Args:
        rows: from top to bottom; names from anywhere.
        title: what is drawn.
        x_range: where the axis ends, so that pictures side by side have the same.
    """
    cells = list(dict.fromkeys(cell for row in rows for cell in row.points))
    look = looks(cells)
    spread = min(0.22, 0.7 / len(cells))
    with new_figure(WIDTH, 0.75 + max(0.3, 0.16 * len(cells)) * len(rows)) as figure:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            for number, cell in enumerate(cells):
                if cell in row.points:
                    y = place + spread * (number - (len(cells) - 1) / 2)
                    _dot(axes, row.points[cell], y, look[cell].colour, look[cell].marker)
        _row_axis(axes, [plain(row.name, LONGEST_LABEL) for row in rows])
        if x_range is not None:
            axes.set_xlim(*x_range)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
        _cells_above(figure_axes=axes, look={cell: look[cell] for cell in cells})
        said = "; ".join(
            f"{plain(row.name)}: " + ", ".join(f"{cell.upper()} {_said(point)}" for cell, point in row.points.items())
            for row in rows
        )
        return finished(figure, f"{title}. {said}.")


def forest(rows: Sequence[PairRow], *, title: str, x_range: tuple[float, float] | None = None) -> Chart:
    """Differences with their intervals around 0, in points; filled and coloured where one cell is better.

    Args:
        rows: from top to bottom.
        title: what is drawn.
        x_range: where the axis ends, in points, so that pictures side by side have the same.
    """
    look = looks(cell for row in rows for cell in (row.first, row.second))
    with new_figure(WIDTH, 0.75 + 0.34 * len(rows)) as figure:
        axes = figure.add_subplot()
        axes.axvline(0.0, color=MUTED, linewidth=1.0)
        for place, row in enumerate(rows):
            colour, marker = (MUTED, "o") if row.better is None else look[row.better]
            _dot(axes, row.point, place, colour, marker, scale=100.0, hollow=row.better is None)
        _row_axis(axes, [plain(row.name, 40) for row in rows])
        if x_range is not None:
            axes.set_xlim(*x_range)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda points, _: signed(points, "g") if points else "0"))
        axes.set_xlabel("percentage points")
        said = "; ".join(
            f"{plain(row.name, 80)} {_points_said(row.point)}, "
            f"{'undecided' if row.better is None else f'{row.better.upper()} better'}"
            for row in rows
        )
        return finished(figure, f"{title}. {said}.")


def front(drawn: Front) -> Chart:
    """Accuracy against a cost on a logarithmic axis; the points of a cell that none of its others beats are joined."""
    cells = list(dict.fromkeys(point.cell for point in drawn.points))
    look = looks(cells)
    height = 2.7
    with new_figure(WIDTH, height + 0.55) as figure:
        axes = figure.add_subplot()
        ends = []
        for cell in cells:
            points = [point for point in drawn.points if point.cell == cell]
            joined = [point for point in points if point.on_front]
            axes.plot(
                [p.cost for p in joined],
                [p.accuracy for p in joined],
                color=look[cell].colour,
                linewidth=1.4,
                alpha=0.6,
            )
            for point in points:
                _priced(axes, point, look[cell])
            ends.append((joined[-1].accuracy, cell.upper(), look[cell]))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: short(cost)))
        axes.margins(x=0.08)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.set_title(drawn.y)
        axes.set_xlabel(drawn.x)
        name_ends(axes, ends, height)
        said = " ".join(
            f"{cell.upper()}: "
            + ", ".join(
                f"{percent(p.accuracy)} at {short(p.cost)} with {p.units} units"
                + ("" if p.on_front else " (beaten by a cheaper one)")
                for p in drawn.points
                if p.cell == cell
            )
            + "."
            for cell in cells
        )
        return finished(figure, f"{drawn.title}: {drawn.y} against {drawn.x}. {said}")


def short(number: float) -> str:
    """A large number in three digits.

    >>> short(820_000), short(12_500), short(7_600_000), short(42.25)
    ('820 k', '12.5 k', '7.6 M', '42.2')
    """
    for size, name in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{name}"
    return f"{number:.3g}"


def _dot(
    axes: Axes, point: Point, y: float, colour: str, marker: str, *, scale: float = 1.0, hollow: bool = False
) -> None:
    if point.low is not None and point.high is not None:
        axes.plot([scale * point.low, scale * point.high], [y, y], color=colour, linewidth=1.4)
    fill = "none" if hollow else "full"
    axes.plot([scale * point.value], [y], marker, color=colour, markersize=5.5, fillstyle=fill)


def _priced(axes: Axes, point: Priced, look: Look) -> None:
    if point.low is not None and point.high is not None:
        axes.plot([point.cost] * 2, [point.low, point.high], color=look.colour, linewidth=1.2)
    fill = "full" if point.on_front else "none"
    axes.plot([point.cost], [point.accuracy], look.marker, color=look.colour, markersize=6.0, fillstyle=fill)


def _row_axis(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(range(len(names))))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(axis="y", visible=False)
    for place in range(len(names) - 1):
        axes.axhline(place + 0.5, color=GRID, linewidth=0.6)


def _cells_above(figure_axes: Axes, look: Mapping[str, Look]) -> None:
    figure = figure_axes.get_figure(root=True)
    assert figure is not None
    handles = [
        Line2D([], [], color=one.colour, marker=one.marker, markersize=5.5, linewidth=1.4) for one in look.values()
    ]
    names = [cell.upper() for cell in look]
    figure.legend(handles, names, loc="outside upper left", ncols=4, borderpad=0.0, columnspacing=1.5)


def _said(point: Point) -> str:
    between = "" if point.low is None or point.high is None else f" ({100 * point.low:.1f} to {100 * point.high:.1f})"
    return f"{percent(point.value)}{between}"


def _points_said(point: Point) -> str:
    ends = [signed(100 * end) for end in (point.low, point.high) if end is not None]
    between = f" ({' to '.join(ends)})" if ends else ""
    return f"{signed(100 * point.value)} points{between}"
