"""``speech-rnn export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from speech_rnn.card import CARD_FILE, read_figures
from speech_rnn.cli.options import cache_option, data_option
from speech_rnn.quiet import quiet


@click.command(short_help="Turn a run into files for apps: SavedModel and TFLite, checked.")
@click.argument("trained", metavar="RUN|MODEL")
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
    help="A run's: of the best epoch by validation, or of the last.  [default: best]",
)
@click.option(
    "--figures",
    "figures_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.json",
    help="Figures for the card, a list as in a card.json.  [default: the run's validation accuracy]",
)
@click.option(
    "--compact",
    is_flag=True,
    help="A fifth of the size, for shipping: weights of 8 bits in all files, and nothing that can be made of the rest.",
)
@data_option
@cache_option
@click.option("--json", "as_json", is_flag=True, help="Print the card, as JSON, instead of a table.")
def command(
    *,
    trained: str,
    output: Path,
    name: str | None,
    weights: Literal["best", "final"] | None,
    figures_file: Path | None,
    compact: bool,
    sources: tuple[str, ...],
    cache: Path,
    as_json: bool,
) -> None:
    """Write a trained run, or a model again, as a folder of model files, each held to Keras on probes before it ships.

    In the folder are model.keras, saved_model/ and clip.tflite (both take a waveform, the front end is inside),
    stream.tflite (a step of sound and states, also in float16, with weights in 8 bits and in int8), mcu/ (int8 and the
    front end in C, for boards), card.json, labels.txt and README.md, which says how to call them.
    What integers need to know of the sound is taken from training clips: the run's own recordings, unless --data
    names others; for a MODEL it must.

    \b
    speech-rnn export runs/gru-12 -o my-model
    speech-rnn export gru-12-small -o every-form --data speech_commands
    """
    with quiet():
        from speech_rnn.cli.exporting import export_again, export_trained_run

    figures = None if figures_file is None else read_figures(figures_file)
    if Path(trained).is_dir() and not (Path(trained) / CARD_FILE).is_file():
        card = export_trained_run(
            Path(trained), output, name, sources, cache, weights=weights or "best", figures=figures, compact=compact
        )
    else:
        if weights is not None:
            raise click.UsageError(f"--weights chooses among those of a run, and {trained} is no run; leave it out.")
        card = export_again(trained, output, name, sources, cache, figures=figures, compact=compact)
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
