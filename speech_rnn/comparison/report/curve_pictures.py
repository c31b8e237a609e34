"""Pictures of lines: a cell each, with a band for its interval, in one panel or several on the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from speech_rnn.charts import MUTED, WIDTH, Chart, finished, new_figure
from speech_rnn.comparison.report.curves import Curve, Curves, Point
from speech_rnn.comparison.report.looks import Look, looks, name_ends
from speech_rnn.text import percent, plain

FEW = 12  # points that each get a mark
BAND = 0.15  # opacity


def lines(curves: Curves, *, y_range: tuple[float, float] | None = None) -> Chart:
    """A line a cell, a band for its interval; of panels one below the other, on the same axes.

    Args:
        curves: what is drawn.
        y_range: where the upward axis ends, so that pictures side by side have the same.
    """
    n = len(curves.panels)
    look = looks(one.cell for panel in curves.panels for one in panel.curves)
    panel_height = 2.55 if n == 1 else 1.75
    with new_figure(WIDTH, n * panel_height + 0.55 + (0.5 if curves.also_x else 0.0)) as figure:
        rows = figure.subplots(n, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        places = _x_places(curves)
        for axes, panel in zip(rows, curves.panels, strict=True):
            for curve in panel.curves:
                _line(axes, curve, look[curve.cell], places.recorded, n_all=len(places.values))
            axes.set_title(": ".join(filter(None, (curves.y if axes is rows[0] else "", plain(panel.name, 80)))))
        if curves.log_x:
            rows[0].set_xscale("log")
        _y_axis(rows[0], curves, y_range or (None if curves.log_y else share_range([curves])))
        _x_axis(rows[-1], curves, places)
        for axes, panel in zip(rows, curves.panels, strict=True):
            if curves.guess is not None:
                axes.axhline(curves.guess, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)))
            ends = [(curve.points[-1].value, curve.cell.upper(), look[curve.cell]) for curve in panel.curves]
            name_ends(axes, ends, panel_height)
        said = " ".join(
            f"{plain(panel.name, 80)}{': ' if panel.name else ''}{_curve_in_words(curve, curves)}"
            for panel in curves.panels
            for curve in panel.curves
        )
        return finished(figure, f"{curves.title}: {curves.y} by {curves.x}. {said}")


def share_range(pictures: Sequence[Curves]) -> tuple[float, float]:
    """Where an axis of shares ends, so that all points and intervals are on it."""
    points = [
        point
        for one in pictures
        for panel in one.panels
        for curve in panel.curves
        for point in curve.points[one.out_of_range :]
    ]
    ends = [end for point in points for end in (point.low, point.value, point.high) if end is not None]
    ends += [one.guess for one in pictures if one.guess is not None]
    margin = 0.05 * max(max(ends) - min(ends), 0.02)
    return max(0.0, min(ends) - margin), min(1.0 + margin / 2, max(ends) + margin)


def _in_powers(value: float) -> str:
    """A tick of a logarithmic axis.

    >>> _in_powers(0.05), _in_powers(1e-7)
    ('0.05', '10⁻⁷')
    """
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = round(np.log10(value))
    return "10" + f"{exponent}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


class _Places(NamedTuple):
    """Where points may stand to the right: the values, and the place of the clips as recorded."""

    values: list[float]
    recorded: float | None


def _x_places(curves: Curves) -> _Places:
    points = [point for panel in curves.panels for curve in panel.curves for point in curve.points]
    values = sorted({point.x for point in points if point.x is not None})
    if all(point.x is not None for point in points):
        return _Places(values, None)
    return _Places(values, values[-1] + max(0.2 * (values[-1] - values[0]), 1e-3))


def _line(axes: Axes, curve: Curve, look: Look, recorded: float | None, *, n_all: int) -> None:
    joined = [point for point in curve.points if point.x is not None]
    x = [point.x if point.x is not None else np.nan for point in joined]
    every = 1 if n_all <= FEW else max(1, n_all // 8)
    axes.plot(
        x,
        [point.value for point in joined],
        color=look.colour,
        marker=look.marker,
        markersize=4.5,
        markevery=every,
    )
    if all(point.low is not None for point in joined):
        axes.fill_between(
            x,
            [point.low or 0.0 for point in joined],
            [point.high or 0.0 for point in joined],
            color=look.colour,
            alpha=BAND,
            linewidth=0,
        )
    for point in curve.points:
        if point.x is None and recorded is not None:
            _upright(axes, recorded, point, look)
        if point.x is not None and point.x == curve.chosen:
            axes.plot([point.x], [point.value], look.marker, color=look.colour, markersize=12.0, fillstyle="none")


def _upright(axes: Axes, x: float, point: Point, look: Look) -> None:
    if point.low is not None and point.high is not None:
        axes.plot([x, x], [point.low, point.high], color=look.colour, linewidth=1.2)
    axes.plot([x], [point.value], look.marker, color=look.colour, markersize=5.0)


def _y_axis(axes: Axes, curves: Curves, y_range: tuple[float, float] | None) -> None:
    if curves.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _in_powers(value)))
        low, high = axes.get_ylim()
        if high < 100 * low:  # else no power of ten may be in sight
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    elif curves.quantity == "share":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    if y_range is not None:
        axes.set_ylim(*y_range)


def _x_axis(axes: Axes, curves: Curves, places: _Places) -> None:
    axes.set_xlabel(curves.x)
    if len(places.values) <= FEW:
        marks = [*places.values, *([] if places.recorded is None else [places.recorded])]
        is_share = curves.x.startswith("share")
        texts = [f"{100 * value:.3g} %" if is_share else f"{value:g}".replace("-", "−") for value in places.values]
        axes.set_xticks(marks, [*texts, *([] if places.recorded is None else ["as\nrecorded"])])
        axes.xaxis.set_minor_locator(NullLocator())
        if len(marks) > 8:
            axes.tick_params(axis="x", labelsize=8.0)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.set_xlim(left=0.0)
    if curves.also_x is not None:
        name, factor = curves.also_x
        second = axes.secondary_xaxis(
            -0.55 / (axes.get_position().height * _height(axes)),
            functions=(partial(np.multiply, factor), partial(np.multiply, 1 / factor)),
        )
        second.xaxis.set_major_locator(MaxNLocator(nbins=6))
        second.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,g}"))
        second.set_xlabel(name)


def _height(axes: Axes) -> float:
    """Of the axes' figure, in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(figure.get_size_inches()[1])


def _curve_in_words(curve: Curve, curves: Curves) -> str:
    def said(point: Point) -> str:
        where = "as recorded" if point.x is None else f"at {point.x:g}"
        return f"{percent(point.value) if curves.quantity == 'share' else f'{point.value:.3g}'} {where}"

    chosen = "" if curve.chosen is None else f"; {curve.chosen:g} was chosen"
    points = curve.points
    if len(points) <= FEW:
        return f"{curve.cell.upper()}: {', '.join(map(said, points))}{chosen}."
    best = max(points, key=lambda point: point.value)
    return (
        f"{curve.cell.upper()}: {len(points)} points from {said(points[0])} to {said(points[-1])}, "
        f"highest {said(best)}."
    )
