"""Figures of detections in long recordings: misses against false alarms, and both against the threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from speech_rnn.charts import INK, MARKERS, SERIES, WIDTH, Chart, add_legend, finished, new_figure
from speech_rnn.detection_scoring import FALSE_ALARMS_PER_HOUR, DetectionReport, OperatingPoint
from speech_rnn.text import percent, plain

RATES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
THRESHOLDS = (0.2, 0.5, 0.8, 0.9, 0.99, 0.999)


def misses_against_false_alarms(reports: Sequence[DetectionReport]) -> Chart:
    """What is missed at so many false alarms an hour; a line a report, both axes logarithmic.

    The band holds Wilson's interval of the misses; the large mark is the model's own threshold, with the intervals
    of both. What never happened stands at half an event.
    """
    names = series_names(reports)
    with new_figure(WIDTH, 3.6) as figure:
        axes = figure.add_subplot()
        handles: list[Artist] = []
        said = []
        least_rate = min(0.5 / report.hours for report in reports)
        least_share = min(0.5 / max(report.words, 1) for report in reports)
        for number, report in enumerate(reports):
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            curve = [point for point in report.curve if point.miss is not None]
            rates = _at_least([point.per_hour for point in curve], 0.5 / report.hours)
            low, middle, high = (
                _at_least([getattr(point, name) or 0.0 for point in curve], least_share)
                for name in ("miss_low", "miss", "miss_high")
            )
            axes.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)
            (line,) = axes.plot(
                rates, middle, color=colour, marker=marker, markersize=4.5, markevery=max(1, len(curve))
            )
            handles.append(line)
            _mark(axes, report.default, colour=colour, marker=marker, least_rate=least_rate, least_share=least_share)
            said.append(_curve_in_words(names[number], report))
        axes.set_xscale("log")
        axes.set_yscale("log")
        _ticks(axes, RATES, SHARES)
        axes.set_xlim(left=0.9 * least_rate)
        lowest = [point.miss_low for report in reports for point in report.curve if point.miss_low]
        axes.set_ylim(0.9 * max(least_share, min(lowest, default=0.0)), 1.05)
        axes.set_title("words missed")
        axes.set_xlabel("false alarms an hour")
        add_legend(axes, handles, names, "upper right")
        return finished(figure, f"Misses against false alarms an hour. {' '.join(said)}")


def by_threshold(reports: Sequence[DetectionReport]) -> Chart:
    """Misses and false alarms an hour over the threshold, one above the other; the threshold in log-odds."""
    names = series_names(reports)
    with new_figure(WIDTH, 4.2) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        handles: list[Artist] = []
        for number, report in enumerate(reports):
            colour = SERIES[number % len(SERIES)]
            curve = [point for point in report.curve if 0.0 < point.threshold < 1.0]
            places = _log_odds(np.array([point.threshold for point in curve]))
            least = 0.5 / report.hours
            misses = [np.nan if point.miss is None else point.miss for point in curve]
            (line,) = above.plot(places, misses, color=colour)
            handles.append(line)
            above.fill_between(
                places,
                [p.miss_low or 0.0 for p in curve],
                [p.miss_high or 0.0 for p in curve],
                color=colour,
                alpha=0.15,
            )
            below.plot(places, _at_least([point.per_hour for point in curve], least), color=colour)
            below.fill_between(
                places,
                _at_least([point.per_hour_low for point in curve], least),
                _at_least([point.per_hour_high for point in curve], least),
                color=colour,
                alpha=0.15,
            )
        below.set_yscale("log")
        below.yaxis.set_major_locator(FixedLocator(RATES))
        below.yaxis.set_minor_locator(NullLocator())
        below.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,g}"))
        above.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        above.set_ylim(0.0, 1.0)
        below.set_xticks(_log_odds(np.array(THRESHOLDS)), [f"{level:g}" for level in THRESHOLDS])
        above.set_title("words missed")
        below.set_title("false alarms an hour")
        below.set_xlabel("threshold")
        add_legend(above, handles, names, "upper left")
        said = " ".join(_curve_in_words(name, report) for name, report in zip(names, reports, strict=True))
        return finished(figure, f"Misses and false alarms an hour by threshold. {said}")


def misses_by_label(reports: Sequence[DetectionReport]) -> Chart:
    """Words missed with their interval, label by label, at each report's own threshold; the most missed on top."""
    names = series_names(reports)
    order = sorted(reports[0].labels, key=lambda one: (-(one.miss or 0.0), one.label))
    places = {one.label: place for place, one in enumerate(order)}
    with new_figure(WIDTH, 0.9 + 0.25 * len(order)) as figure:
        axes = figure.add_subplot()
        handles: list[Artist] = []
        for number, report in enumerate(reports):
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            shift = 0.25 * (number - (len(reports) - 1) / 2)
            (line,) = axes.plot([], [], marker, color=colour, markersize=5.0)
            handles.append(line)
            for one in report.labels:
                if one.miss is None or one.miss_low is None or one.miss_high is None or one.label not in places:
                    continue
                place = places[one.label] + shift
                axes.plot([one.miss_low, one.miss_high], [place] * 2, color=colour, linewidth=1.4)
                axes.plot([one.miss], [place], marker, color=colour, markersize=5.0)
        axes.set_yticks(range(len(order)), [plain(one.label) for one in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(left=0.0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_title("words missed")
        if len(reports) > 1:  # names from outside: a name that begins with _ would be dropped
            legend = figure.legend(handles, [str(n) for n in range(len(names))], loc="outside lower left", ncols=2)
            for text, name in zip(legend.get_texts(), names, strict=True):
                text.set_text(name)
        said = "; ".join(f"{plain(one.label)} {percent(one.miss)}" for one in order[:5])
        return finished(figure, f"Words missed of {len(order)} labels, {names[0]}, most missed first: {said}.")


def series_names(reports: Sequence[DetectionReport]) -> list[str]:
    """What tells the reports apart: the mode, the model, or both."""
    several_models = len({report.model for report in reports}) > 1
    several_modes = len({report.config.mode for report in reports}) > 1
    return [
        plain(
            ", ".join(
                [report.model.removeprefix("model ")] * several_models
                + [report.config.mode] * (several_modes or not several_models)
            ),
            40,
        )
        for report in reports
    ]


def _mark(
    axes: Axes, point: OperatingPoint, *, colour: str, marker: str, least_rate: float, least_share: float
) -> None:
    """A point with its two intervals."""
    if point.miss is None or point.miss_low is None or point.miss_high is None:
        return
    rate, share = max(point.per_hour, least_rate), max(point.miss, least_share)
    axes.plot(
        [max(point.per_hour_low, least_rate), max(point.per_hour_high, least_rate)],
        [share] * 2,
        color=colour,
        linewidth=1.0,
    )
    axes.plot([rate] * 2, [max(point.miss_low, least_share), point.miss_high], color=colour, linewidth=1.0)
    axes.plot([rate], [share], marker, color=colour, markersize=8.0)


def _curve_in_words(name: str, report: DetectionReport) -> str:
    """What a line shows, as a sentence."""
    parts = [
        f"{percent(point.miss)} missed at {rate:g}"
        for rate in FALSE_ALARMS_PER_HOUR
        if (point := report.at_false_alarms(rate)) is not None and point.miss is not None
    ]
    own = f"{percent(report.default.miss)} at {report.default.per_hour:.2f} by its own threshold"
    return f"{name}: {', '.join([*parts, own])}."


def _at_least(values: Sequence[float], least: float) -> NDArray[np.float64]:
    """A logarithmic axis has no 0."""
    return np.maximum(np.asarray(values, np.float64), least)


def _log_odds(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(shares / (1.0 - shares)), np.float64)


def _ticks(axes: Axes, rates: Sequence[float], shares: Sequence[float]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(rates))
    axes.yaxis.set_major_locator(FixedLocator(shares))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
