"""``speech-rnn export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from speech_rnn.quiet import quiet


@click.command(short_help="Turn a run into files for apps: SavedModel and TFLite, checked.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the model; a model that is there already is replaced.",
)
@click.option("--name", help="The model's name.  [default: that of the folder]")
@click.option(
    "--weights",
    type=click.Choice(["best", "final"]),
    default="best",
    show_default=True,
    help="Those of the best epoch by validation, or of the last.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the card, as JSON, instead of a table.")
def command(*, run: Path, output: Path, name: str | None, weights: Literal["best", "final"], as_json: bool) -> None:
    """Write a trained run as a folder of model files, each run on probes and held to Keras before it ships.

    In the folder are model.keras, saved_model/ and clip.tflite (both take a waveform, the front end is inside),
    card.json, labels.txt and README.md, which says how to call them.

    \b
    speech-rnn export runs/gru-12 -o my-model
    """
    with quiet():
        from speech_rnn.export.artefact import export_run
        from speech_rnn.runs import load_run

    card = export_run(load_run(run, weights), output, name=name or output.resolve().name, which=weights)
    if as_json:
        click.echo(json.dumps(json.loads(card.to_json())))
        return
    table = Table("file", "kB", "largest error of a score", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for file, entry in card.files.items():
        error = "" if entry.max_error is None else f"{entry.max_error:.2g} (bound {entry.bound:g})"
        table.add_row(file, f"{entry.bytes / 1_000:,.1f}", error)
    # Not on a terminal: whole lines, no folding at 80 columns.
    Console(highlight=False, width=None if sys.stdout.isatty() else 1_000).print(table)
    click.echo(f"\n{card.name}: {len(card.labels)} labels, {card.parameters:,} parameters. Now try:")
    click.echo(f"  speech-rnn recognize FILE --model {output}")
