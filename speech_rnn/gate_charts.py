"""Figures of a word on its way through a classifier: all have one time axis, so they are one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from speech_rnn.charts import MUTED, SERIES, WIDTH, Chart, colour_bar, finished, mark_bands, new_figure
from speech_rnn.gates import GATES, STATES, LayerTrace
from speech_rnn.text import percent, plain
from speech_rnn.word_trace import WordTrace

# Inches. Fixed, or axes of other figures would begin elsewhere.
LEFT, RIGHT, BELOW, GAP, ROW = 0.58, 0.42, 0.48, 0.30, 0.90
BAR_GAP, BAR = 0.06, 0.08
GATE_COLOURS, SIGNED_COLOURS = "cividis", "PuOr_r"
CLEAR_SCORE = 0.1  # a label that never gets there is left out
LONGEST_LABEL = 9


def likeliest_labels(traces: Sequence[WordTrace]) -> list[str]:
    """The labels to draw for all of some models: those with the highest score at any step of any, at most four."""
    highest: dict[str, float] = {}
    for trace in traces:
        for label, score in zip(trace.labels, trace.scores.max(axis=0), strict=True):
            highest[label] = max(highest.get(label, 0.0), float(score))
    ranked = sorted(highest, key=lambda label: -highest[label])[: len(SERIES)]
    return [label for label in ranked if highest[label] >= CLEAR_SCORE]


def highest_norms(traces: Sequence[WordTrace]) -> dict[str, float]:
    """The highest norm of each state of any layer of some models."""
    highest = dict.fromkeys(STATES, 1e-6)  # or an axis would have no length
    for layer in (layer for trace in traces for layer in trace.layers):
        for state in highest.keys() & layer.signals.keys():
            highest[state] = max(highest[state], float(layer.norm(state).max()))
    return highest


def word_and_scores(trace: WordTrace, labels: Sequence[str], *, until_s: float, highest: Mapping[str, float]) -> Chart:
    """Spectrogram, scores and size of the states, one below the other.

    Args:
        trace: what is drawn.
        labels: whose scores; of two charts with the same ones, the colours are the same too.
        until_s: where the time axis ends.
        highest: where the axis of a state's norm ends, by the state.
    """
    states = [state for state in reversed(STATES) if state in trace.layers[0].signals]
    with _rows(trace, [1.1, 1.25, *(ROW for _ in states)], until_s) as (figure, (sound, scores, *norms)):
        low, high = float(trace.log_mel.min()), float(trace.log_mel.max())
        _heat(
            sound,
            trace.log_mel.T,
            begin_s=trace.begin_s,
            step_s=trace.settings.hop_s,
            colours="magma",
            low=low,
            high=max(high, low + 1.0),
        )
        mark_bands(sound, trace.settings)
        sound.set_title("mel band, Hz; colour: dB")

        known = [(number, label) for number, label in enumerate(labels) if label in trace.labels]
        for number, label in known:
            scores.plot(trace.times_s, trace.scores[:, trace.labels.index(label)], color=SERIES[number])
        scores.set_ylim(0.0, 1.28)  # with room for the key
        scores.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        scores.yaxis.set_major_locator(FixedLocator([0.0, 0.5, 1.0]))
        scores.set_title("scores")
        _key(scores, [SERIES[number] for number, _ in known], [label for _, label in known], inside=True)

        for state, axes in zip(states, norms, strict=True):
            for number, layer in enumerate(trace.layers):
                axes.plot(trace.times_s, layer.norm(state), color=SERIES[number % len(SERIES)])
            axes.set_ylim(0.0, 1.05 * highest[state])
            axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
            axes.set_title(f"size of {state}")
            colours = [SERIES[number % len(SERIES)] for number in range(len(trace.layers))]
            _key(axes, colours, [f"layer {number + 1}" for number in range(len(colours))])
        for axes in (scores, *norms):
            _shadow(axes, trace)

        label, score = trace.heard
        ends = ", ".join(
            f"{state} of layer {number} {layer.norm(state)[-1]:.1f} (at most {layer.norm(state).max():.1f})"
            for state in states
            for number, layer in enumerate(trace.layers, 1)
        )
        return finished(
            figure,
            f"{plain(trace.model, 80)}: spectrogram of {trace.heard_s:.2f} s, {low:.0f} to {high:.0f} dB; scores after "
            f"each of {len(trace.scores)} steps of {1_000 * trace.step_s:.0f} ms: {plain(label)} is the likeliest from "
            f"{trace.decided_s:.2f} s on and ends at {percent(score)}; size of the states in the end: {ends}.",
        )


def signals_by_time(trace: WordTrace, number: int, *, until_s: float) -> Chart:
    """Every signal of a layer over time: mean of the units, and the bands that hold half and eight of ten of them.

    Args:
        trace: what is drawn.
        number: of the layer, from 1.
        until_s: where the time axis ends.
    """
    layer = trace.layers[number - 1]
    said = []
    with _rows(trace, [ROW for _ in layer.signals], until_s) as (figure, rows):
        for (name, values), axes in zip(layer.signals.items(), rows, strict=True):
            for tail in (0.1, 0.25):
                low, high = np.quantile(values, [tail, 1.0 - tail], axis=1)
                axes.fill_between(trace.times_s, low, high, color=SERIES[0], alpha=0.2, linewidth=0)
            mean = values.mean(axis=1)
            axes.plot(trace.times_s, mean, color=SERIES[0])
            bottom, top = _range_of(layer, name)
            margin = 0.04 * (top - bottom)
            axes.set_ylim(bottom - margin, top + margin)
            axes.yaxis.set_major_locator(FixedLocator([bottom, (bottom + top) / 2, top]))
            axes.yaxis.set_major_formatter("{x:.3g}")
            axes.set_title(_called(name))
            _shadow(axes, trace)
            said.append(
                f"{_called(name)} {mean.mean():z.2f} on average, from {mean.min():z.2f} at "
                f"{trace.times_s[mean.argmin()]:.2f} s to {mean.max():z.2f} at {trace.times_s[mean.argmax()]:.2f} s"
            )
        return finished(
            figure, f"{plain(trace.model, 80)}, layer {number}, mean over {layer.n_units} units: {'; '.join(said)}."
        )


def units_by_time(trace: WordTrace, number: int, *, until_s: float) -> Chart:
    """Every signal of every unit of a layer over time; each in an order of its own, the highest mean on top.

    Args:
        trace: what is drawn.
        number: of the layer, from 1.
        until_s: where the time axis ends.
    """
    layer = trace.layers[number - 1]
    with _rows(trace, [ROW for _ in layer.signals], until_s) as (figure, rows):
        for (name, values), axes in zip(layer.signals.items(), rows, strict=True):
            colours = GATE_COLOURS if name in GATES else SIGNED_COLOURS
            upwards = values.T[np.argsort(values.mean(axis=0), kind="stable")]
            bottom, top = _range_of(layer, name)
            _heat(axes, upwards, begin_s=trace.begin_s, step_s=trace.step_s, colours=colours, low=bottom, high=top)
            axes.set_yticks([])
            axes.set_title(f"{_called(name)}, {layer.n_units} units")
        return finished(
            figure,
            f"{plain(trace.model, 80)}, layer {number}: {', '.join(map(_called, layer.signals))} of each of "
            f"{layer.n_units} units as colours over time, each sorted by the units' means, highest on top.",
        )


def _called(name: str) -> str:
    """A signal as it is read."""
    return f"{name} gate" if name in GATES else f"state {name}" if name in STATES else name


def _range_of(layer: LayerTrace, name: str) -> tuple[float, float]:
    """What a signal may be, or for ``c``, which has no bound, what it is but for two in a hundred."""
    if name in GATES:
        return 0.0, 1.0
    top = 1.0 if name != "c" else float(np.ceil(max(1.0, np.quantile(np.abs(layer.signals[name]), 0.98))))
    return -top, top


@contextmanager
def _rows(trace: WordTrace, heights: Sequence[float], until_s: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """Axes one below the other, with one time axis; heights in inches."""
    height = sum(heights) + GAP * len(heights) + BELOW
    with new_figure(WIDTH, height) as figure:
        figure.set_layout_engine("none")
        rows: list[Axes] = []
        top = height
        for tall in heights:
            top -= GAP + tall
            place = (LEFT / WIDTH, top / height, (WIDTH - LEFT - RIGHT) / WIDTH, tall / height)
            rows.append(figure.add_axes(place, sharex=rows[0] if rows else None))
        for axes in rows[:-1]:
            axes.tick_params(axis="x", labelbottom=False, length=0)
        rows[-1].set_xlabel("seconds")
        rows[0].set_xlim(0.0, until_s)
        yield figure, rows


def _heat(
    axes: Axes, values: NDArray[np.floating], *, begin_s: float, step_s: float, colours: str, low: float, high: float
) -> None:
    """Columns of ``step_s`` to the right, rows upwards, and beside it a bar that says what the colours mean."""
    extent = (begin_s, begin_s + values.shape[1] * step_s, -0.5, len(values) - 0.5)
    axes.imshow(
        values, cmap=colours, vmin=low, vmax=high, extent=extent, origin="lower", aspect="auto", interpolation="none"
    )
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    place = axes.get_position()
    bar = figure.add_axes((place.x1 + BAR_GAP / WIDTH, place.y0, BAR / WIDTH, place.height))
    colour_bar(bar, colours, low, high, n_ticks=2)
    bar.tick_params(axis="y", length=0, pad=2, labelsize=8.5)


def _shadow(axes: Axes, trace: WordTrace) -> None:
    """The spectrogram, faint behind whatever is drawn over time."""
    low, high = float(trace.log_mel.min()), float(trace.log_mel.max())
    cells = np.empty((*trace.log_mel.T.shape, 4))
    cells[..., :3] = to_rgb(MUTED)
    cells[..., 3] = 0.4 * (trace.log_mel.T - low) / max(high - low, 1.0)
    extent = (trace.begin_s, trace.begin_s + len(trace.log_mel) * trace.settings.hop_s, *axes.get_ylim())
    axes.imshow(cells, extent=extent, origin="lower", aspect="auto", interpolation="none", zorder=0)


def _key(axes: Axes, colours: Sequence[str], names: Sequence[str], *, inside: bool = False) -> None:
    """What the lines are, in one line beside the title or inside; matplotlib would drop names that begin with ``_``."""
    legend = axes.legend(
        [Line2D([], [], color=colour) for colour in colours],
        [f"{number}" for number in range(len(names))],
        loc="upper left" if inside else "lower right",
        bbox_to_anchor=(0.0, 1.0) if inside else (1.0, 1.0),
        ncols=max(1, len(names)),
        borderpad=0.0,
        borderaxespad=0.2,
        columnspacing=1.0,
        handlelength=1.0,
        handletextpad=0.4,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(plain(name, LONGEST_LABEL))
