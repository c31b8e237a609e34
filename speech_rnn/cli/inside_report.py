"""What ``speech-rnn inspect`` traces, and how it prints it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn import atomic
from speech_rnn.cli.tables import table
from speech_rnn.gates import OPEN, SHUT
from speech_rnn.text import percent, plain
from speech_rnn.trained import open_trained
from speech_rnn.word_trace import WordTrace, trace_word

LIBRARIES = ("speech-rnn", "keras", "librosa", "numpy")
LONGEST_LINE = 300


def trace_and_print(models: Sequence[str], sound: str, *, page: Path | None, as_json: bool) -> None:
    """Let the models hear a sound, then print what went on in them and draw it.

    Args:
        models: names or folders.
        sound: the file.
        page: file of the page, if one is wanted.
        as_json: print JSON instead of tables.
    """
    traces = [trace_word(open_trained(model), sound) for model in models]
    if page is not None:
        from speech_rnn.report import inside_page

        command = shlex.join(["speech-rnn", "inspect", *models, sound, "-o", str(page)])
        versions = {library: version(library) for library in LIBRARIES}
        atomic.write_text(page, inside_page(traces, Path(sound).name, command=command, versions=versions))
    if as_json:
        print(json.dumps({"file": sound, "models": [trace.as_json() for trace in traces]}, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for trace in traces:
        for element in tables(trace):
            console.print(element, soft_wrap=isinstance(element, Text))
    if page is not None:
        console.print(Text(f"drawn in {page}"), soft_wrap=True)


def tables(trace: WordTrace) -> Iterator[Table | Text]:
    """What is printed of a model; names come from outside and are shown as plain text."""
    label, score = trace.heard
    yield Text(
        f"{plain(trace.model, LONGEST_LINE)} hears {plain(label)!r}, score {score:.2f}; "
        f"the likeliest from {trace.decided_s:.2f} s on, of {trace.heard_s:.2f} s heard"
    )
    yield table(
        ("layer", "signal", ">mean", ">a tenth below", ">a tenth above", f">shut, < {SHUT}", f">open, > {OPEN}"),
        (
            (
                f"{one.layer}",
                one.signal,
                *(f"{number:z.2f}" for number in (one.mean, one.low, one.high)),
                percent(one.shut),
                percent(one.open),
            )
            for one in trace.figures()
        ),
    )
    yield Text()
