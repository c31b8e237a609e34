"""``speech-rnn demo``."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from speech_rnn.cli.options import cache_option, workers_option
from speech_rnn.quiet import quiet

if TYPE_CHECKING:
    from speech_rnn.demo import Demo


@click.command(short_help="Train both cells on synthetic words, export and compare them.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the page, the runs and the models; an earlier demo in it is replaced.",
)
@click.option("--epochs", type=click.IntRange(1, 10_000), help="Times that all clips are heard.  [default: 14]")
@click.option("--units", type=click.IntRange(1, 4_096), help="Units of a recurrent layer.  [default: 64]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of weights and draws.")
@cache_option
@workers_option
def command(
    *, output: Path, epochs: int | None, units: int | None, seed: int, cache: Path, workers: int | None
) -> None:
    """Train an LSTM and a GRU on the embedded corpus of synthetic words, in about two minutes on two cores.

    Shows them side by side, exports both, recognizes a sample, and writes one page to look at.

    \b
    speech-rnn demo
    speech-rnn demo -o /tmp/demo --epochs 40
    """
    with quiet():
        from speech_rnn import demo

    start = time.monotonic()
    result = demo.run_demo(
        output,
        cache=cache,
        command=_command(output, epochs, units, seed),
        epochs=epochs or demo.EPOCHS,
        units=units or demo.UNITS,
        seed=seed,
        workers=workers,
        say=click.echo,
    )
    console = Console(highlight=False)
    console.print()
    console.print(_table(result))
    for name, prediction in result.predictions.items():
        click.echo(f"{name} hears {prediction.label!r} in {demo.SAMPLE}, score {prediction.score:.2f}")
    click.echo(f"\nDone in {time.monotonic() - start:.0f} s. Now look at, and try:")
    click.echo(f"  {output / demo.PAGE}   the page: curves, confusions, the sample seen as the models see it")
    # Installed in an environment that isn't activated, the command is not on the path.
    program = "speech-rnn" if shutil.which("speech-rnn") else sys.argv[0]
    click.echo(f"  {program} recognize {output / demo.SAMPLE} --model {output / 'models' / 'gru'}")


def _command(output: Path, epochs: int | None, units: int | None, seed: int) -> str:
    """What gives the same figures again."""
    options = {"--epochs": epochs, "--units": units, "--seed": None if seed == 1 else seed}
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["speech-rnn", "demo", "-o", str(output), *given])


def _table(result: Demo) -> Table:
    evaluation = result.results[0].evaluation
    table = Table(
        title=f"Synthetic speech: {evaluation.accuracy.n:,} clips by voices not heard in training",
        title_justify="left",
    )
    table.add_column("")
    for cell in result.results:
        table.add_column(cell.name, justify="right")
    rows = {
        "parameters": [f"{cell.parameters:,}" for cell in result.results],
        "MACs of the cells a second": [f"{cell.macs_per_second:,.0f}" for cell in result.results],
        "seconds an epoch": [f"{cell.seconds_per_epoch:.1f}" for cell in result.results],
        "accuracy, synthetic": [f"{cell.evaluation.accuracy.value:.1%}" for cell in result.results],
        "  95 % interval": [
            f"{cell.evaluation.accuracy.low:.1%} to {cell.evaluation.accuracy.high:.1%}" for cell in result.results
        ],
        "clip.tflite": [f"{cell.file_bytes / 1_000:,.0f} kB" for cell in result.results],
        "latency a clip": [f"{cell.latency_ms:.2f} ms" for cell in result.results],
    }
    for name, values in rows.items():
        table.add_row(name, *values)
    return table
