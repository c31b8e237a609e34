"""``speech-rnn export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from speech_rnn.card import read_figures
from speech_rnn.cli.options import cache_option, data_option
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
@click.option(
    "--figures",
    "figures_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.json",
    help="Figures for the card, a list as in a card.json.  [default: the run's validation accuracy]",
)
@data_option
@cache_option
@click.option("--json", "as_json", is_flag=True, help="Print the card, as JSON, instead of a table.")
def command(
    *,
    run: Path,
    output: Path,
    name: str | None,
    weights: Literal["best", "final"],
    figures_file: Path | None,
    sources: tuple[str, ...],
    cache: Path,
    as_json: bool,
) -> None:
    """Write a trained run as a folder of model files, each run on probes and held to Keras before it ships.

    In the folder are model.keras, saved_model/ and clip.tflite (both take a waveform, the front end is inside),
    stream.tflite (a step of sound and states, also in float16, with weights in 8 bits and in int8), mcu/ (int8 and the
    front end in C, for boards), card.json, labels.txt and README.md, which says how to call them.
    What integers need to know of the sound is taken from training clips: the run's own recordings, unless --data
    names others.

    \b
    speech-rnn export runs/gru-12 -o my-model
    """
    with quiet():
        from speech_rnn.adaptation import Others
        from speech_rnn.data.sources import open_sources
        from speech_rnn.data.store import open_store
        from speech_rnn.export.artefact import check_place, export_run
        from speech_rnn.export.calibration import calibration_features
        from speech_rnn.runs import load_run

    check_place(output)  # before a minute is spent
    figures = None if figures_file is None else read_figures(figures_file)
    trained = load_run(run, weights)
    store = open_store(
        open_sources(sources or [source.name for source in trained.record.sources]), trained.settings.features, cache
    )
    card = export_run(
        trained,
        output,
        name=name or output.resolve().name,
        calibration=calibration_features(trained, store),
        which=weights,
        figures=figures,
        others=Others.of(trained, store),
    )
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
