"""``speech-rnn recognize``: clips; long recordings are in :mod:`speech_rnn.cli.transcribe`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn.cli.detector_options import detector_config, detector_options
from speech_rnn.cli.transcribe import transcribe_by_beam, transcribe_files
from speech_rnn.errors import AudioError, ModelError
from speech_rnn.runtime import DEFAULT_MODEL, Prediction, Recognizer, load, read_clip, shipped_models

Answer = Callable[[Path, Prediction, float], None]  # file, what is heard in it, its length in seconds


@click.command(short_help="Say which words are heard in sound files.")
@click.argument("names", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option(
    "--model",
    metavar="NAME|DIR",
    help="A model that comes with the package, or a folder that 'speech-rnn export' wrote.  "
    f"[default: {DEFAULT_MODEL}]",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON a file, with all scores.")
@click.option("--stream", is_flag=True, help="Long recordings: all words that are heard in them, with their times.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "audacity"]),
    default=None,
    help="With --stream: a table, a line of JSON a detection, CSV, or a label track for Audacity.  [default: table]",
)
@click.option(
    "-o",
    "--output",
    "output_name",
    type=click.Path(),
    metavar="FILE|DIR",
    help="With --stream: write to this file, or to a file for each recording in this folder.",
)
@click.option(
    "--runner",
    metavar="NAME",
    help="With --stream and -o DIR: many recordings at once, by Apache Beam: DirectRunner (this machine), FlinkRunner, "
    "SparkRunner or DataflowRunner. FILE may be a pattern on any file system that Beam reads, gs://bucket/*.flac.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="With --runner: processes on this machine.  [default: 1]",
)
@click.option(
    "--pipeline-option",
    "pipeline_options",
    multiple=True,
    metavar="--NAME=VALUE",
    help="With --runner: an option of Beam. May be given several times.",
)
@detector_options
def command(
    *,
    names: tuple[str, ...],
    model: str | None,
    as_json: bool,
    stream: bool,
    form: Literal["table", "json", "csv", "audacity"] | None,
    output_name: str | None,
    runner: str | None,
    workers: int | None,
    pipeline_options: tuple[str, ...],
    **detector: Any,
) -> None:
    """Say which word is heard in each sound file: WAV, FLAC, Ogg Vorbis, Opus or MP3, of any rate.

    A model hears one clip, usually a second: of a longer file its middle. With --stream it hears all of it, hours if
    need be, and says what it detects when. A file that can't be read is named on standard error, the others are
    answered all the same, and the exit code is 1.

    \b
    speech-rnn recognize yes.wav no.flac
    speech-rnn recognize --model my-model --json *.wav | jq -r .label
    speech-rnn recognize --stream lecture.mp3 --threshold 0.9
    speech-rnn recognize --stream monday.flac --format audacity -o monday.txt
    speech-rnn recognize --stream --runner DirectRunner --workers 2 week/*.flac -o heard
    """
    files, output = tuple(map(Path, names)), None if output_name is None else Path(output_name)
    if not stream and (form or output or any(value not in (None, ()) for value in detector.values())):
        raise click.UsageError("--format, --output and the options of the detector are for --stream; add it.")
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} contradict each other; give one.")
    if runner is None and (workers or pipeline_options):
        raise click.UsageError("--workers and --pipeline-option are for --runner; add it.")
    if runner is not None and (not stream or output_name is None):
        raise click.UsageError("--runner is for --stream and a folder of transcripts; add --stream and -o DIR.")
    recognizer = load(model) if model is not None else _default_model()
    if runner is not None and output_name is not None:
        config = detector_config(recognizer.card.detector, recognizer.labels, **detector)
        transcribe_by_beam(
            names,
            model or DEFAULT_MODEL,
            config,
            "json" if as_json else form or "table",
            output_name,
            runner=runner,
            workers=workers,
            arguments=pipeline_options,
        )
        return
    if stream:
        config = detector_config(recognizer.card.detector, recognizer.labels, **detector)
        transcribe_files(recognizer, config, files, "json" if as_json else form or "table", output)
        return
    if as_json:
        unheard = _recognize(recognizer, files, _json_line)
    else:
        table = Table("file", "label", "score", "next", "heard", box=None, pad_edge=False)
        clip_s = recognizer.card.features.clip_s
        unheard = _recognize(
            recognizer, files, lambda file, heard, seconds: table.add_row(*_row(file, heard, seconds, clip_s))
        )
        if table.row_count:
            # Another program reads lines: no folding at 80 columns for it.
            Console(highlight=False, width=None if sys.stdout.isatty() else 1_000).print(table)
    if unheard:
        raise AudioError(f"{unheard} of {len(files)} files could not be heard; see above")


def _recognize(recognizer: Recognizer, files: tuple[Path, ...], answer: Answer) -> int:
    """Answer for each file; returns how many could not be heard."""
    rate = recognizer.sample_rate
    unheard = 0
    for file in files:
        try:
            clip, length = read_clip(file, rate, recognizer.clip_length)
        except AudioError as error:
            if len(files) == 1:
                raise
            click.echo(f"speech-rnn: {error}", err=True)
            unheard += 1
        else:
            answer(file, recognizer.predict(clip, rate), length / rate)
    return unheard


def _json_line(file: Path, prediction: Prediction, seconds: float) -> None:
    line = {
        "file": str(file),
        "label": prediction.label,
        "score": prediction.score,
        "seconds": round(seconds, 3),
        "scores": prediction.scores,
    }
    click.echo(json.dumps(line))


def _row(file: Path, prediction: Prediction, seconds: float, clip_s: float) -> list[Text]:
    """Cells as ``Text``: a file's name or a label is never taken for markup."""
    others = sorted((score, label) for label, score in prediction.scores.items() if label != prediction.label)
    name = str(file) if str(file).isprintable() else repr(str(file))
    return [
        Text(name, overflow="fold"),
        Text(prediction.label, style="bold"),
        Text(f"{prediction.score:.3f}"),
        Text(f"{others[-1][1]} {others[-1][0]:.3f}" if others else ""),
        Text(f"all {seconds:.2f} s" if seconds <= clip_s else f"middle {clip_s:g} of {seconds:.2f} s"),
    ]


def _default_model() -> Recognizer:
    if DEFAULT_MODEL not in shipped_models():
        raise ModelError(
            f"no model {DEFAULT_MODEL!r} comes with this install; give --model DIR, a folder that "
            "'speech-rnn export RUN -o DIR' wrote"
        )
    return load(DEFAULT_MODEL)
