"""Figures as SVG text, each with the words that stand for it where it can't be seen.

Drawn by matplotlib's objects, without pyplot and its state; the same data give the same text. Names of labels,
speakers and runs come from outside: they are shown as text and nothing else, neither markup nor mathematics.
Colours are those of Okabe and Ito (2008), told apart by the colour-blind; shape or place always says the same again.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import librosa
import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.evaluation import Evaluation
from speech_rnn.svg import svg_element
from speech_rnn.text import percent, plain

INK, MUTED, GRID = "#1f2328", "#59636e", "#d1d9e0"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
MARKERS = ("o", "s", "^", "D")
# What a page with a dark ground puts in their place: it can, since every colour stands in a style attribute.
DARK = dict(
    zip(
        (INK, MUTED, GRID, *SERIES),
        ("#e6edf3", "#9ea7b3", "#3d444d", "#56b4e9", "#ff9e4a", "#3ecf9f", "#e6a8c9"),
        strict=True,
    )
)

Place = Literal["lower right", "upper left", "upper right"]

WIDTH = 4.5  # inches; scaled to a phone's 328 pixels, ten points are still ten pixels
STYLE: dict[Any, Any] = {  # matplotlib types the keys as a literal of all 300 of its own
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so text is measured alike everywhere
    "font.size": 10.0,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # text stays text: searchable, readable aloud, in the page's own font
    "svg.hashsalt": "speech_rnn",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 9.5,
}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure.

    Attributes:
        svg: one ``<svg>`` element, well-formed, with ``alt`` as its ``aria-label``; refers to nothing outside.
        alt: what it shows, in words and numbers.
        width: its natural width in CSS pixels; below three quarters of it, small text is hard to read.
    """

    svg: str
    alt: str
    width: int


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """How a run learned: one number an epoch in each list.

    Attributes:
        name: of the run.
        seconds: since the run began, at the end of each epoch.
        loss: mean training loss.
        validation_loss: mean loss on the validation part.
        validation_accuracy: 0 to 1.
    """

    name: str
    seconds: Sequence[float]
    loss: Sequence[float]
    validation_loss: Sequence[float]
    validation_accuracy: Sequence[float]


def learning_curves(
    curves: Sequence[LearningCurve],
    *,
    quantity: Literal["accuracy", "loss"] = "accuracy",
    over: Literal["epochs", "seconds"] = "epochs",
) -> Chart:
    """Several runs in one figure, by epoch or by time.

    Args:
        curves: the runs.
        quantity: validation accuracy, or the loss in training (dashed) and validation.
        over: what goes to the right.
    """
    with new_figure(WIDTH, 3.0) as figure:
        axes = figure.add_subplot()
        handles: list[Artist] = []
        said = []
        for number, curve in enumerate(curves):
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            values = np.asarray(curve.validation_accuracy if quantity == "accuracy" else curve.validation_loss, float)
            x = np.asarray(curve.seconds, float) if over == "seconds" else np.arange(1, len(values) + 1)
            spacing = max(1, len(values) // 8)
            (line,) = axes.plot(x, values, color=colour, marker=marker, markersize=4.5, markevery=spacing)
            handles.append(line)
            if quantity == "loss":
                axes.plot(x, np.asarray(curve.loss, float), color=colour, linestyle=(0, (3, 2)), linewidth=1.2)
            said.append(_curve_in_words(curve, values, quantity, over))
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
            title = "validation accuracy"
        else:
            handles.append(Line2D([], [], color=MUTED, linestyle=(0, (3, 2)), linewidth=1.2))
            title = "loss"
        axes.set_title(title)
        axes.set_xlabel("seconds of training" if over == "seconds" else "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.set_xlim(left=0 if over == "seconds" else None)
        names = [curve.name for curve in curves] + (["in training"] if quantity == "loss" else [])
        add_legend(axes, handles, names, "lower right" if quantity == "accuracy" else "upper right")
        return finished(figure, f"{title.capitalize()} by {over.removesuffix('s')}. {' '.join(said)}")


def _curve_in_words(curve: LearningCurve, values: NDArray[np.float64], quantity: str, over: str) -> str:
    """What a line shows, as a sentence."""
    name = plain(curve.name)
    if not np.isfinite(values).any():
        return f"{name}: no values."
    best = int(np.nanargmax(values) if quantity == "accuracy" else np.nanargmin(values))
    numbers = [percent(value) if quantity == "accuracy" else f"{value:.3f}" for value in values]
    where = f"after {curve.seconds[best]:.0f} s" if over == "seconds" else f"in epoch {best + 1}"
    return f"{name}: {len(values)} epochs, from {numbers[0]} to {numbers[-1]}, best {numbers[best]} {where}."


def confusion_matrix(evaluation: Evaluation) -> Chart:
    """What was said (rows) and what it was taken for (columns), in counts; the colour is the share of the row."""
    counts = np.asarray(evaluation.confusion)
    n = len(evaluation.labels)
    names = [plain(label, 14) for label in evaluation.labels]
    width = max(WIDTH, 1.0 + 0.235 * n)
    with new_figure(width, width * 0.98) as figure:
        axes = figure.add_subplot()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        # Colour as opacity, so that an empty cell is the page's own ground, be it light or dark; the root lifts rare
        # mistakes into sight.
        cells = np.empty((n, n, 4))
        cells[..., :3] = to_rgb(SERIES[0])
        cells[..., 3] = np.sqrt(shares)
        axes.imshow(cells, interpolation="none", aspect="equal")
        size = 7.5 if counts.max() < 1_000 else 6.0
        for row, column in zip(*np.nonzero(counts), strict=True):
            strong = shares[row, column] > 0.2
            axes.text(
                column,
                row,
                f"{counts[row, column]}",
                ha="center",
                va="center",
                fontsize=size,
                color="#ffffff" if strong else INK,
            )
        small = 9.5 if n <= 20 else 8.0
        axes.set_xticks(
            range(n), names, rotation=90 if n > 20 else 45, ha="right", rotation_mode="anchor", fontsize=small
        )
        axes.set_yticks(range(n), names, fontsize=small)
        if n > 20:  # upright text hangs from the middle of its column only so
            for tick in axes.get_xticklabels():
                tick.set_verticalalignment("center")
        axes.tick_params(length=0)
        axes.grid(False)
        axes.set_xticks(np.arange(0.5, n - 1), minor=True)
        axes.set_yticks(np.arange(0.5, n - 1), minor=True)
        axes.grid(which="minor")
        axes.tick_params(which="minor", length=0)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true label")
        mistakes = "; ".join(
            f"{plain(one.label)} taken for {plain(one.taken_for)} {one.n} times" for one in evaluation.confusions(5)
        )
        overall = evaluation.accuracy
        of_model = f" of {plain(evaluation.model, 80)}" if evaluation.model else ""
        alt = f"Confusion matrix{of_model}, {n} labels: {overall.correct} of {overall.n} clips right. "
        return finished(figure, alt + (f"Commonest mistakes: {mistakes}." if mistakes else "No mistakes."))


def label_figures(evaluation: Evaluation) -> Chart:
    """Recall with its interval, and precision, of each label; weakest label on top."""
    figures = sorted(evaluation.per_label, key=lambda one: (one.f1 is not None, one.f1 or 0.0))
    with new_figure(WIDTH, 0.9 + 0.25 * len(figures)) as figure:
        axes = figure.add_subplot()
        lowest = 1.0
        for row, one in enumerate(figures):
            if one.recall is not None and one.recall_low is not None and one.recall_high is not None:
                axes.plot([one.recall_low, one.recall_high], [row, row], color=SERIES[0], linewidth=1.4)
                axes.plot([one.recall], [row], "o", color=SERIES[0], markersize=5.5)
                lowest = min(lowest, one.recall_low)
            if one.precision is not None:
                axes.plot([one.precision], [row], "D", color=SERIES[1], markersize=4.5, fillstyle="none")
                lowest = min(lowest, one.precision)
        axes.set_yticks(range(len(figures)), [plain(one.label) for one in figures])
        axes.set_ylim(len(figures) - 0.4, -0.6)
        axes.set_xlim(max(0.0, np.floor(10 * lowest) / 10), 1.005)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        handles = [
            Line2D([], [], color=SERIES[0], marker="o", markersize=5.5, linewidth=1.4),
            Line2D([], [], color=SERIES[1], marker="D", markersize=4.5, fillstyle="none", linestyle="none"),
        ]
        names = [f"recall, {100 * evaluation.confidence:.0f} % interval", "precision"]
        figure.legend(handles, names, loc="outside upper left", ncols=2, borderpad=0.0, columnspacing=1.5)
        said = (f"{plain(one.label)} {percent(one.recall)} and {percent(one.precision)}" for one in figures[:5])
        return finished(figure, f"Recall and precision of {len(figures)} labels, weakest first: {'; '.join(said)}.")


def speaker_spread(evaluation: Evaluation) -> Chart:
    """Accuracy of each speaker over the number of their clips, and the band that chance alone would fill."""
    from scipy.stats import binom

    speakers = evaluation.speakers
    with new_figure(WIDTH, 3.2) as figure:
        axes = figure.add_subplot()
        if not speakers:
            axes.text(0.5, 0.5, "no speaker is known", ha="center", transform=axes.transAxes, color=MUTED)
            axes.set_axis_off()
            return finished(figure, "Accuracy by speaker: no speaker is known.")
        counts = np.array([(one.n, one.correct) for one in speakers])
        pooled = counts[:, 1].sum() / counts[:, 0].sum()
        fewest, most = max(1, counts[:, 0].min() // 2), max(2, counts[:, 0].max())
        n = np.unique(np.round(np.geomspace(fewest, most, 80)).astype(int))
        tail = (1 - evaluation.confidence) / 2
        low, high = binom.ppf(tail, n, pooled) / n, binom.ppf(1 - tail, n, pooled) / n
        axes.fill_between(n, low, high, step="mid", color=GRID, alpha=0.55, linewidth=0)
        axes.axhline(pooled, color=MUTED, linewidth=1.0)
        kinds, multiplicity = np.unique(counts, axis=0, return_counts=True)
        accuracy = kinds[:, 1] / kinds[:, 0]
        axes.scatter(kinds[:, 0], accuracy, s=18 * np.sqrt(multiplicity), color=SERIES[0], alpha=0.75, linewidths=0)
        below = int((counts[:, 1] < binom.ppf(tail, counts[:, 0], pooled)).sum())
        axes.set_xscale("log")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000) if fewest <= tick <= 1.3 * most]
        axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(min(0.95 * accuracy.min(), 0.9) - 0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.set_title("accuracy of a speaker")
        axes.set_xlabel("clips of the speaker")
        alt = (
            f"Accuracy of {len(speakers)} speakers over their number of clips; the grey band holds "
            f"{100 * evaluation.confidence:.0f} % where all are understood alike, at {percent(pooled)}. "
            f"{below} {'speaker lies' if below == 1 else 'speakers lie'} below it."
        )
        if evaluation.spread is not None:
            quantiles = dict(evaluation.spread.quantiles)
            alt += (
                f" Of those with {evaluation.spread.min_clips} clips or more the worst has {percent(quantiles[0.0])}, "
                f"the median {percent(quantiles[0.5])}."
            )
        return finished(figure, alt)


def spectrogram(log_mel: NDArray[np.floating], settings: FeatureSettings) -> Chart:
    """Log-mel spectrogram of one clip.

    Args:
        log_mel: dB [frames, n_mels].
        settings: of the front end, for the axes.
    """
    low, high = float(log_mel.min()), float(log_mel.max())
    with new_figure(WIDTH, 2.5) as figure:
        axes = _image(figure, log_mel.T, colours="magma", low=low, high=high, settings=settings)
        mark_bands(axes, settings)
        axes.set_title("mel band, Hz")
        alt = (
            f"Log-mel spectrogram: {len(log_mel)} frames of {settings.n_mels} bands, "
            f"{low:.0f} to {high:.0f} dB, loudest at {_loudest_s(log_mel, settings):.2f} s."
        )
        return finished(figure, alt)


def mfcc(coefficients: NDArray[np.floating], settings: FeatureSettings) -> Chart:
    """MFCC of one clip, each coefficient in standard deviations from its mean, or the lowest would outshine all others.

    Args:
        coefficients: [frames, n_mfcc].
        settings: of the front end, for the axes.
    """
    spread = coefficients.std(axis=0)
    deviations = (coefficients - coefficients.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    with new_figure(WIDTH, 2.5) as figure:
        axes = _image(figure, deviations.T, colours="PuOr_r", low=-2.5, high=2.5, settings=settings)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_title("coefficient, in standard deviations")
        alt = (
            f"MFCC: {len(coefficients)} frames of {settings.n_mfcc} coefficients, "
            "each in standard deviations from its mean over the clip."
        )
        return finished(figure, alt)


def score_bars(labels: Sequence[str], scores: Mapping[str, NDArray[np.floating]], *, most: int = 8) -> Chart:
    """The highest scores of one clip, of one model or several.

    Args:
        labels: in the order of the scores.
        scores: by model, [labels], 0 to 1.
        most: how many labels are shown: those with the highest score of any model.
    """
    table = np.stack([np.asarray(row, float) for row in scores.values()])
    order = np.argsort(-table.max(axis=0), kind="stable")[:most]
    height = 0.8 / len(table)
    with new_figure(WIDTH, 0.75 + 0.34 * len(order)) as figure:
        axes = figure.add_subplot()
        for number, row in enumerate(table):
            places = np.arange(len(order)) + (number - (len(table) - 1) / 2) * height
            axes.barh(places, row[order], height=0.88 * height, color=SERIES[number % len(SERIES)])
        axes.set_yticks(range(len(order)), [plain(labels[index]) for index in order])
        axes.set_ylim(len(order) - 0.45, -0.55)
        axes.set_xlim(0, 1)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        if len(table) > 1:
            handles = [Patch(color=SERIES[number % len(SERIES)]) for number in range(len(table))]
            add_legend(axes, handles, list(scores), "lower right")
        said = (
            f"{plain(name)} hears {plain(labels[int(row.argmax())])} with {percent(float(row.max()))}"
            for name, row in zip(scores, table, strict=True)
        )
        return finished(figure, f"Scores of the {len(order)} likeliest of {len(labels)} labels. {'; '.join(said)}.")


def mark_bands(axes: Axes, settings: FeatureSettings) -> None:
    """Frequencies in Hz beside the mel bands of a spectrogram, whose rows are numbered upwards."""
    band_hz = librosa.mel_frequencies(n_mels=settings.n_mels + 2, fmin=settings.f_min, fmax=settings.f_max)[1:-1]
    marks = [hz for hz in (500, 1_000, 2_000, 4_000, 8_000, 16_000) if band_hz[0] <= hz <= band_hz[-1]]
    axes.set_yticks(np.interp(marks, band_hz, np.arange(settings.n_mels)), [f"{hz:,}" for hz in marks])


def _loudest_s(log_mel: NDArray[np.floating], settings: FeatureSettings) -> float:
    """Time of the middle of the loudest frame."""
    frame = int(np.asarray(log_mel, float).mean(axis=1).argmax())
    return (frame * settings.hop_length + settings.n_fft / 2) / settings.sample_rate


def _image(
    figure: Figure, values: NDArray[np.floating], *, colours: str, low: float, high: float, settings: FeatureSettings
) -> Axes:
    """Frames to the right, rows upwards, and a bar that says what the colours mean."""
    grid = figure.add_gridspec(1, 2, width_ratios=(40, 1))
    axes, bar = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    begin = (settings.n_fft - settings.hop_length) / 2 / settings.sample_rate
    extent = (begin, begin + values.shape[1] * settings.hop_s, -0.5, values.shape[0] - 0.5)
    high = high if high > low else low + 1.0
    axes.imshow(
        values, cmap=colours, vmin=low, vmax=high, extent=extent, origin="lower", aspect="auto", interpolation="none"
    )
    axes.set_xlabel("seconds")
    axes.grid(False)
    colour_bar(bar, colours, low, high)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def colour_bar(bar: Axes, colours: str, low: float, high: float, *, n_ticks: int = 5) -> None:
    """What the colours of an image mean, on narrow axes of its height."""
    # matplotlib's own colour bar is 256 vector shapes; a column of pixels shows the same.
    ramp = np.linspace(low, high, 64)[:, None]
    bar.imshow(ramp, cmap=colours, extent=(0, 1, low, high), origin="lower", aspect="auto", interpolation="none")
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_major_locator(MaxNLocator(nbins=n_ticks))
    bar.grid(False)
    for spine in bar.spines.values():
        spine.set_visible(False)


def add_legend(axes: Axes, handles: Sequence[Artist], names: Sequence[str], place: Place) -> None:
    """A legend whose names are never taken for instructions: matplotlib drops those that begin with ``_``."""
    legend = axes.legend(handles, [f"{number}" for number in range(len(names))], loc=place)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(plain(name))


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, in our style."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Words of any script are labels. The browser has the fonts for them; here they are only measured.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        yield figure


def finished(figure: Figure, alt: str) -> Chart:
    """The figure and its words."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    width_px = round(figure.get_size_inches()[0] * 96)
    return Chart(svg=svg_element(drawn.getvalue(), label=alt, font_family=FONTS), alt=alt, width=width_px)
