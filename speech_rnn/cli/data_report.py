"""What ``speech-rnn data`` looks at, and how it prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import PARTS, Source
from speech_rnn.data.inspection import Histogram, Inspection, inspect
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import open_store
from speech_rnn.errors import DataError
from speech_rnn.text import percent, plain

LONGEST_LINE = 300
_BLOCKS = " ▁▂▃▄▅▆▇█"
_MOST_COLUMNS = 40


def inspect_and_print(
    names: Sequence[str], f_max: float | None, cache: Path, *, as_json: bool, chart: Path | None
) -> None:
    """Decode and look at recordings, then print the figures and draw them.

    Args:
        names: of sources.
        f_max: up to where features are going to look, Hz; the usual where not given.
        cache: folder of decoded clips.
        as_json: print JSON instead of tables.
        chart: file of the drawing, if one is wanted.
    """
    settings = FeatureSettings() if f_max is None else FeatureSettings(f_max=f_max)
    if chart is not None:  # known before minutes are spent
        from speech_rnn.inspection_chart import check_format, draw

        check_format(chart)
        if not chart.parent.is_dir():
            raise DataError(f"{chart} can't be written, there is no folder {str(chart.parent)!r}; make it first")
    sources = open_sources(names)
    inspection = inspect(open_store(sources, settings, cache), settings)
    if chart is not None:
        draw(inspection, chart)
    if as_json:
        known = [{"title": one.title, "origin": one.origin, "synthetic": one.synthetic} for one in sources]
        print(json.dumps({"sources": known, **json.loads(inspection.to_json())}, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for element in report(sources, inspection):
        console.print(element, soft_wrap=isinstance(element, Text))
    if chart is not None:
        console.print(Text(f"drawn in {chart}"), soft_wrap=True)


def report(sources: Sequence[Source], inspection: Inspection) -> Iterator[Table | Text]:
    """What is printed; names come from outside and are shown as plain text."""
    for source in sources:
        kind = " (synthetic: machines speak)" if source.synthetic else ""
        yield Text(f"{plain(source.title, LONGEST_LINE)}{kind}: {plain(source.origin, LONGEST_LINE)}")
    yield Text()
    yield _parts(inspection)
    yield Text()
    yield _words(inspection)
    yield Text()
    yield _figures(inspection)
    yield Text()
    if not inspection.warnings:
        yield Text("nothing found that would spoil a model")
    for warning in inspection.warnings:
        yield Text.assemble(("warning", "bold yellow"), f": {plain(warning, 2 * LONGEST_LINE)}")


def _parts(inspection: Inspection) -> Table:
    rows = [
        (part, f"{inspection.clips[part]:,}", f"{inspection.speakers[part]:,}")
        for part in PARTS
        if inspection.clips[part]
    ]
    return _table(
        ("part", ">clips", ">speakers"), [*rows, ("all", f"{inspection.n_clips:,}", f"{inspection.n_speakers:,}")]
    )


def _words(inspection: Inspection) -> Table:
    parts = [part for part in PARTS if inspection.clips[part]]
    return _table(
        ("word", *(f">{part}" for part in parts), ">speakers"),
        [(word.word, *(f"{word.clips[part]:,}" for part in parts), f"{word.speakers:,}") for word in inspection.words],
    )


def _figures(inspection: Inspection) -> Table:
    n = inspection.n_clips
    counts = {
        "clipped": inspection.clipped,
        "as good as silent": inspection.silent,
        "padded": inspection.short,
        "cut": inspection.long,
        "under two names": len(inspection.doubles),
    }
    level, bandwidth = inspection.level_db, inspection.bandwidth_hz
    top = bandwidth.low + (len(bandwidth.counts) - 1) * bandwidth.step
    return _table(
        ("", "", ""),
        [
            *((name, f"{count:,}", percent(count / n)) for name, count in counts.items()),
            ("length, s", f"{inspection.shortest_s:.2f} to {inspection.longest_s:.2f}", ""),
            ("level, dB", f"{level.low:.0f} to 0", _sketch(level)),
            ("bandwidth, Hz", f"0 to {top:,.0f}", _sketch(bandwidth)),
            ("features look up to, Hz", f"{inspection.f_max:,.0f}", f"suggested {inspection.suggested_f_max:,.0f}"),
        ],
    )


def _sketch(histogram: Histogram) -> str:
    """A histogram as a line of blocks; what isn't empty is seen."""
    width = -(-len(histogram.counts) // _MOST_COLUMNS)
    counts = [sum(histogram.counts[n : n + width]) for n in range(0, len(histogram.counts), width)]
    highest = max(1, *counts)
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // highest)] for count in counts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; a heading that begins with ``>`` stands over numbers."""
    table = Table(box=None, pad_edge=False, show_header=any(head), header_style="bold")
    for name in head:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    for row in rows:
        table.add_row(*(Text(plain(cell, 40)) for cell in row))
    return table
