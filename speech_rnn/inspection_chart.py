"""An inspection of recordings, drawn: bandwidth, level, clips by word and by speaker."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from speech_rnn import atomic
from speech_rnn.charts import FONTS, INK, MUTED, SERIES, STYLE
from speech_rnn.data.clips import PARTS
from speech_rnn.data.inspection import LEAST_CLIPS_A_WORD, LEAST_DB, Histogram, Inspection
from speech_rnn.errors import SettingsError
from speech_rnn.svg import svg_element
from speech_rnn.text import plain

FORMATS = (".svg", ".png")
MOST_WORDS = 60
_DPI = 150


def draw(inspection: Inspection, path: Path) -> None:
    """Draw an inspection into a file.

    Args:
        inspection: what is drawn.
        path: an SVG or PNG file, by its suffix.

    Raises:
        SettingsError: another suffix, or the file can't be written.
    """
    check_format(path)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Words of any script are labels; a browser has the fonts for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = _figure(inspection)
        try:
            with atomic.new_file(path) as beside:
                if path.suffix.lower() == ".png":
                    figure.savefig(beside, format="png", dpi=_DPI)
                else:
                    beside.write_text(_svg(figure, in_words(inspection)), encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"{str(path)!r} can't be written ({error.strerror}); choose another place") from None


def check_format(path: Path) -> None:
    """Whether :func:`draw` knows the suffix; :class:`SettingsError` where it doesn't."""
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"{str(path)!r} must end in {' or '.join(FORMATS)}; inspection.svg is an example")


def in_words(inspection: Inspection) -> str:
    """What the drawing shows, for those who don't see it."""
    return (
        f"{inspection.n_clips} clips of {len(inspection.words)} words by {inspection.n_speakers} speakers. "
        f"Bandwidth of most: {_peak(inspection.bandwidth_hz):.0f} Hz. "
        f"Level of most: {_peak(inspection.level_db):.0f} dB re full scale."
    )


def _peak(histogram: Histogram) -> float:
    """The lower edge of the fullest bin."""
    return max(histogram.bins(), key=lambda one: one[1])[0]


def _figure(inspection: Inspection) -> Figure:
    words = sorted(inspection.words, key=lambda one: (one.clips["training"], one.word))[:MOST_WORDS]
    figure = Figure(figsize=(9.0, max(6.0, 1.2 + 0.2 * len(words))), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    for subfigure in (left, right):
        subfigure.set_facecolor("none")
    by_word = left.add_subplot()
    bandwidth, level, by_speaker = right.subplots(3, 1)

    places = np.arange(len(words))
    start = np.zeros(len(words))
    for part, colour in zip(PARTS, SERIES, strict=False):
        counts = np.array([word.clips[part] for word in words])
        if counts.any():
            by_word.barh(places, counts, left=start, height=0.75, color=colour, label=part)
        start += counts
    by_word.axvline(LEAST_CLIPS_A_WORD, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)))
    by_word.set_yticks(places, [plain(word.word) for word in words])
    by_word.set_ylim(len(words) - 0.4, -0.6)
    by_word.tick_params(axis="y", length=0, labelcolor=INK)
    by_word.grid(axis="y", visible=False)
    by_word.set_title(
        "clips by word"
        if len(words) == len(inspection.words)
        else f"clips by word, the {len(words)} of {len(inspection.words)} with fewest for training"
    )
    left.legend(loc="outside lower center", ncols=len(PARTS))

    # A bandwidth is the upper edge of the last band with sound.
    _bars(bandwidth, inspection.bandwidth_hz, f"bandwidth, Hz; features look up to {inspection.f_max:,.0f}", -1)
    bandwidth.axvline(inspection.f_max, color=SERIES[1], linewidth=1.2)
    _bars(level, inspection.level_db, "level, dB RMS re full scale", 1)
    level.axvline(LEAST_DB, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)))
    clips, speakers = np.array(inspection.clips_per_speaker or [(0, 0)]).T
    by_speaker.bar(clips, speakers, width=max(0.8, 0.008 * clips.max()), color=SERIES[0])
    by_speaker.set_title("speakers by their number of clips")
    for axes in (by_word.xaxis, by_speaker.xaxis, bandwidth.yaxis, level.yaxis, by_speaker.yaxis):
        axes.set_major_locator(MaxNLocator(nbins=5, integer=True))
    return figure


def _bars(axes: Axes, histogram: Histogram, title: str, side: int) -> None:
    """A bar for each bin, to the left (-1) or the right (1) of its lower edge."""
    edges = np.array([edge for edge, _ in histogram.bins()])
    axes.bar(edges, histogram.counts, width=side * 0.95 * histogram.step, align="edge", color=SERIES[0])
    axes.set_title(title)
    axes.grid(axis="x", visible=False)


def _svg(figure: Figure, label: str) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    return svg_element(drawn.getvalue(), label=label, font_family=FONTS)
