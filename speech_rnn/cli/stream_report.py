"""What ``speech-rnn evaluate --stream`` measures, and how it prints it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn import atomic, runtime
from speech_rnn.cli.detector_options import detector_config
from speech_rnn.cli.tables import table
from speech_rnn.config import DetectorConfig
from speech_rnn.data.clips import Part
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import open_store
from speech_rnn.data.stream_files import truth_beside
from speech_rnn.data.streams import StreamBuilder
from speech_rnn.detection_scoring import DetectionFigures, DetectionReport, DetectionReports, OperatingPoint
from speech_rnn.detection_sweep import ScoredStream, report
from speech_rnn.errors import DataError
from speech_rnn.runtime import Recognizer
from speech_rnn.stream_scoring import score_built, score_files
from speech_rnn.text import interval, percent, plain, rate

LIBRARIES = ("speech-rnn", "ai-edge-litert", "librosa", "numpy", "scipy")
LONGEST_LINE = 300

Mode = Literal["window", "carry", "both"]


@dataclass(frozen=True, slots=True)
class BuiltStreams:
    """Streams that are put together; see the options of ``speech-rnn evaluate``."""

    sources: Sequence[str]
    distractors: Sequence[str]
    part: Part
    hours: float
    seed: int
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class OwnRecordings:
    """Sound files, and what is said in each: without truths, what lies beside."""

    sounds: Sequence[Path]
    truths: Sequence[Path] = ()


def evaluate_streams_and_print(
    model: str,
    streams: BuiltStreams | OwnRecordings,
    mode: Mode | None,
    *,
    rules: Mapping[str, Any],
    cache: Path,
    workers: int | None,
    as_json: bool,
    page: Path | None,
) -> None:
    """Let a model listen, then print the figures and write the page.

    Args:
        model: folder of a model, or a shipped model's name.
        streams: to what it listens.
        mode: how; the model's own way where not given.
        rules: what is changed of the model's own detector; see :func:`detector_config`.
        cache: folder of decoded clips and of scores.
        workers: processes.
        as_json: print JSON instead of tables.
        page: file of the page, if one is wanted.
    """
    if page is not None and not page.parent.is_dir():  # known before minutes are spent
        raise DataError(f"{page} can't be written, there is no folder {str(page.parent)!r}; make it first")
    try:
        reports = measure(model, streams, mode, cache, workers=workers, rules=rules)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on where it was") from None
    if page is not None:
        from speech_rnn.report import streams_page

        atomic.write_text(page, streams_page(reports.reports, {library: version(library) for library in LIBRARIES}))
    if as_json:
        print(reports.to_json())
        return
    console = Console(highlight=False)
    for element in tables(reports.reports):
        console.print(element, soft_wrap=isinstance(element, Text))
    if page is not None:
        console.print(Text(f"drawn in {page}"), soft_wrap=True)


def measure(
    model: str,
    streams: BuiltStreams | OwnRecordings,
    mode: Mode | None,
    cache: Path,
    *,
    workers: int | None = None,
    rules: Mapping[str, Any] | None = None,
) -> DetectionReports:
    """The figures of a model on some streams, for each way to hear them; see :func:`evaluate_streams_and_print`."""
    recognizer = runtime.load(model)
    own = detector_config(recognizer.card.detector, recognizer.labels, **(rules or {}))
    modes: Sequence[Literal["window", "carry"]] = ("window", "carry") if mode == "both" else (mode or own.mode,)
    command = ["speech-rnn", "evaluate", model, "--stream", *_arguments(streams), "--mode", mode or own.mode]
    command += _rules(rules or {})
    heard = _Built(recognizer, streams, cache) if isinstance(streams, BuiltStreams) else _Own(streams)
    return DetectionReports(
        reports=tuple(
            report(
                heard.score(recognizer, own.changed(mode=one), cache, workers),
                recognizer.labels,
                own.changed(mode=one),
                model=f"model {model}",
                data=heard.data,
                synthetic=heard.synthetic,
                command=shlex.join(command),
            )
            for one in modes
        )
    )


def _arguments(streams: BuiltStreams | OwnRecordings) -> Iterator[str]:
    if isinstance(streams, OwnRecordings):
        yield from map(str, streams.sounds)
        for truth in streams.truths:
            yield from ("--truth", str(truth))
        return
    for name in streams.sources:
        yield from ("--data", name)
    for name in streams.distractors:
        yield from ("--distractors", name)
    yield from ("--part", streams.part, "--hours", f"{streams.hours:g}", "--seed", str(streams.seed))


def _rules(rules: Mapping[str, Any]) -> list[str]:
    """The options that gave them."""
    words = [word for text in rules.get("thresholds", ()) for word in ("--threshold", text)]
    for name in ("smoothing", "refractory"):
        if (seconds := rules.get(f"{name}_s")) is not None:
            words += [f"--{name}", f"{seconds:g}"]
    return words


class _Built:
    """Streams that are put together for a model's labels."""

    def __init__(self, recognizer: Recognizer, streams: BuiltStreams, cache: Path) -> None:
        features = recognizer.card.features
        sources, distractors = open_sources(streams.sources), open_sources(streams.distractors)
        self.synthetic = any(source.synthetic for source in (*sources, *distractors))
        store = open_store(sources, features, cache)
        others = open_store(distractors, features, cache) if distractors else None
        self._builder = StreamBuilder(
            store, recognizer.labels, distractors=others, part=streams.part, seed=streams.seed
        )
        self._streams = streams
        self._n = max(1, math.ceil(streams.hours * 3_600 / self._builder.settings.seconds - 1e-9))
        titles = ", ".join(source.title for source in sources)
        other = f" and {', '.join(source.title for source in distractors)}" if distractors else ""
        self.data = (
            f"{self._n:,} streams put together from the {streams.part} part of {titles}{other}, seed {streams.seed}"
        )

    def score(
        self, recognizer: Recognizer, config: DetectorConfig, cache: Path, workers: int | None
    ) -> Iterator[ScoredStream]:
        keep = self._streams.keep
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        return score_built(recognizer, config, self._builder, range(self._n), cache, workers=workers, keep=keep)


class _Own:
    """Recordings of one's own."""

    synthetic = False

    def __init__(self, streams: OwnRecordings) -> None:
        self._sounds = streams.sounds
        self._truths = streams.truths or [truth_beside(sound) for sound in streams.sounds]
        n = len(self._sounds)
        self.data = f"{self._sounds[0]}" + (f" and {n - 1} more" if n > 1 else "")

    def score(
        self, recognizer: Recognizer, config: DetectorConfig, cache: Path, workers: int | None
    ) -> Iterator[ScoredStream]:
        del workers  # one after another, each with the time it still takes
        return score_files(recognizer, config, self._sounds, self._truths, cache)


def tables(reports: Sequence[DetectionReport]) -> Iterator[Table | Text]:
    """What is printed; names come from outside and are shown as plain text."""
    first = reports[0]
    kind = " (synthetic: machines speak)" if first.synthetic else ""
    heading = f"{first.model} on {first.data}"
    yield Text(f"{plain(heading, LONGEST_LINE)}{kind}\n{first.hours:,.2f} h, {first.words:,} words to find")
    for one in reports:
        confidence = f"{100 * one.confidence:.3g} %"
        yield Text(f"\n{one.way}")
        yield table(
            ("at", ">score", ">missed", f">{confidence}", ">false/h", f">{confidence}", ">delay", ">95 % by"),
            [_point(name, point) for name, point in one.operating_points],
        )
        yield Text("\nBy label, at the model's own threshold")
        yield table(
            ("label", ">words", ">missed", f">{confidence}", ">false/h", f">{confidence}", ">delay", ">95 % by"),
            [(label.label, f"{label.words:,}", *_figures(label)) for label in one.labels],
        )
        said = [one.distances_in_words, one.causes_in_words, one.suggestion]
        yield Text("\n" + "\n".join(line for line in said if line))


def _point(name: str, point: OperatingPoint | None) -> Sequence[str]:
    if point is None:
        return (name, *["–"] * 7)
    return (name, f"{point.threshold:.4g}", *_figures(point))


def _figures(figures: DetectionFigures) -> tuple[str, ...]:
    return (
        percent(figures.miss),
        interval(figures.miss_low, figures.miss_high),
        rate(figures.per_hour),
        f"{rate(figures.per_hour_low)}–{rate(figures.per_hour_high)}",
        _seconds(figures.delay_median_s),
        _seconds(figures.delay_p95_s),
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
