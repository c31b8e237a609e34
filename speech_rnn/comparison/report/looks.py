"""How a cell is drawn: in the same colour and with the same mark in every picture, its name at the end of its line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from speech_rnn.charts import INK, MARKERS, SERIES
from speech_rnn.text import plain

KNOWN = ("lstm", "gru", "rnn")
LABEL_GAP = 0.19  # inches between names at the ends of lines


class Look(NamedTuple):
    """How a cell is drawn."""

    colour: str
    marker: str


def looks(cells: Iterable[str]) -> dict[str, Look]:
    """The colour and mark of each cell; those that are built in have theirs in every picture."""
    ranked = [*KNOWN, *(cell for cell in dict.fromkeys(cells) if cell not in KNOWN)]
    return {cell: Look(SERIES[rank % len(SERIES)], MARKERS[rank % len(MARKERS)]) for rank, cell in enumerate(ranked)}


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, Look]], height: float) -> None:
    """Names beside the ends of lines, each with its mark, pushed apart where they would meet.

    Args:
        axes: with its limits set.
        ends: value, name, look.
        height: of the axes, in inches, about.
    """
    scale, (low, high) = axes.yaxis.get_transform(), axes.get_ylim()
    low, high, *values = (float(v) for v in scale.transform(np.array([low, high, *(value for value, _, _ in ends)])))
    gap = LABEL_GAP / height
    order = sorted(range(len(ends)), key=lambda index: values[index])
    places: list[float] = []
    for index in order:
        wanted = (values[index] - low) / (high - low)
        places.append(max(wanted, places[-1] + gap) if places else wanted)
    # What was pushed over the top comes down, and pushes the others.
    limit = 1.0
    for rank in reversed(range(len(places))):
        places[rank] = min(places[rank], limit)
        limit = places[rank] - gap
    for place, index in zip(places, order, strict=True):
        _, name, look = ends[index]
        axes.plot(
            [1.035], [place], look.marker, color=look.colour, markersize=5.0, transform=axes.transAxes, clip_on=False
        )
        axes.text(1.06, place, plain(name, 8), transform=axes.transAxes, va="center", fontsize=9.5, color=INK)
