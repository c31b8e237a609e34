"""``speech-rnn compare``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from speech_rnn.cli.options import Labels, cache_option, data_option, workers_option
from speech_rnn.processes import n_cores
from speech_rnn.quiet import quiet

QUICK_DATA = "corpus"


class _Names(click.ParamType[tuple[str, ...]]):
    name = "NAME,NAME…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(word.strip() for word in str(value).split(","))


class _Numbers(click.ParamType[tuple[int, ...]]):
    name = "N,N…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} must be whole numbers with commas between, such as 32,64.", param, ctx)


class _Shares(click.ParamType[tuple[float, ...]]):
    name = "X,X…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} must be numbers with commas between, such as 0.1,0.3.", param, ctx)


class _Rate(click.ParamType[tuple[str, float]]):
    name = "CELL=RATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        cell, _, rate = str(value).partition("=")
        try:
            return cell.strip(), float(rate)
        except ValueError:
            self.fail(f"{value!r} must be CELL=RATE, such as lstm=0.004.", param, ctx)


@click.command(short_help="LSTM or GRU: train cells from several seeds at equal cost, and say which is better, if any.")
@data_option
@click.option("--cells", type=_Names(), help="Which; the first one's size is the measure.  [default: lstm,gru,rnn]")
@click.option(
    "--budget",
    "budgets",
    type=_Names(),
    help="What is equal between them, each by itself: units, parameters, bytes (in integers, as on a board), macs "
    "(multiply-adds a second).  [default: units,parameters]",
)
@click.option("--units", "sizes", type=_Numbers(), help="Sizes: units a layer of the first cell.  [default: 64]")
@click.option("--seeds", type=click.IntRange(1, 1_000), help="So many trainings of each, seeds 1, 2, …  [default: 5]")
@click.option("--epochs", type=int, help="Times that all clips are heard.  [default: 40 to 150, more if clips are few]")
@click.option(
    "--learning-rate",
    "learning_rates",
    type=_Rate(),
    multiple=True,
    help="At its highest, of a cell. May be given several times.  [default: the best of --rates, or 0.002]",
)
@click.option(
    "--rates",
    type=_Shares(),
    help="Learning rates to choose from for each cell, by trainings that a tenth of the training speakers judge.",
)
@click.option(
    "--shares",
    type=_Shares(),
    help="Train with these shares of the training clips too, to see how much each cell hungers for data.",
)
@click.option("--precision", metavar="NAME", help="Of the trainings; as for train.  [default: float32]")
@click.option("--labels", type=Labels(), help="As for train.  [default: 12]")
@click.option(
    "--part",
    type=click.Choice(["validation", "testing"]),
    default="testing",
    show_default=True,
    help="Which clips judge, by the weights of the last epoch.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="A small comparison on the embedded corpus, synthetic: lstm,gru with 32 units, 3 seeds, 8 epochs that hear "
    "milder augmentation, learning rate 0.01; other options go before it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("compare"),
    show_default=True,
    help="Folder of the results; one that holds them already is gone on with.",
)
@click.option(
    "--jobs",
    type=click.IntRange(0, 256),
    default=n_cores,
    show_default="one a core",
    help="Trainings side by side, one thread each; 0: one at a time, on all cores.",
)
@click.option("--keep-runs", is_flag=True, help="Keep each training's run, to export or inspect it.")
@click.option(
    "--show",
    type=click.Path(path_type=Path, exists=True),
    help="Train nothing: show a comparison that was run before, a folder or its file of results, and write its page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@cache_option
@workers_option
def command(
    *,
    sources: tuple[str, ...],
    learning_rates: tuple[tuple[str, float], ...],
    quick: bool,
    output: Path,
    jobs: int,
    keep_runs: bool,
    show: Path | None,
    as_json: bool,
    cache: Path,
    workers: int | None,
    **options: Any,
) -> None:
    """LSTM or GRU? Train each from several seeds, at equal units, parameters, bytes or multiply-adds.

    All cells hear the same clips in the same order, bent alike, and are judged by their last weights on clips that they
    have never met. One is called better only where the interval of the difference, over seeds and clips and corrected
    for all pairs, leaves 0 out; everything else is undecided.

    Ctrl-C saves; the same command goes on. When all is done it shows the figures, and writes them with pictures to
    report.html in the folder of the results, one page that needs no network.

    \b
    speech-rnn compare --quick
    speech-rnn compare --data speech_commands --cells lstm,gru --budget units,parameters --units 32,64 -o compare
    speech-rnn compare --show compare
    speech-rnn compare --data my_words --labels all --learning-rate lstm=0.004 --seeds 3 --json
    """
    if show is not None:
        _refuse_other_options(click.get_current_context())
        with quiet():
            from speech_rnn.cli.compare_report import show_file

        show_file(show, as_json=as_json, command=shlex.join(["speech-rnn", "compare", "--show", str(show)]))
        return
    if quick and sources:
        raise click.UsageError("--quick hears the embedded corpus; leave --data out, or --quick.")
    if not quick and not sources:
        raise click.UsageError("--data is missing: a folder with a sub-folder a word, 'corpus' or 'tfds'; or --quick.")
    given = {name: value for name, value in options.items() if value is not None}
    if len({cell for cell, _ in learning_rates}) < len(learning_rates):
        raise click.UsageError("--learning-rate is given twice for one cell; give one of them.")
    with quiet():
        from speech_rnn.cli.compare_report import compare_and_print

    compare_and_print(
        output,
        sources or (QUICK_DATA,),
        {**given, "learning_rates": dict(learning_rates)},
        cache,
        workers,
        jobs=jobs,
        quick=quick,
        keep_runs=keep_runs,
        as_json=as_json,
        command=_command(sources, learning_rates, given, output, quick=quick),
    )


def _refuse_other_options(ctx: click.Context) -> None:
    """Raise a usage error where ``--show`` would pass over what was asked for."""
    ignored = [
        param.opts[-1]
        for param in ctx.command.params
        if param.name not in ("show", "as_json")
        and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
    ]
    if ignored:
        raise click.UsageError(f"--show trains nothing and takes --json alone; leave {', '.join(ignored)} out.")


def _command(
    sources: tuple[str, ...],
    learning_rates: tuple[tuple[str, float], ...],
    given: dict[str, Any],
    output: Path,
    *,
    quick: bool,
) -> str:
    """What gives the same figures again."""
    words = ["speech-rnn", "compare", *(["--quick"] if quick else [])]
    words += [word for source in sources for word in ("--data", source)]
    names = {"budgets": "budget", "sizes": "units"}
    for name, value in given.items():
        if (name, value) != ("part", "testing"):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{names.get(name, name)}", text]
    words += [word for cell, rate in learning_rates for word in ("--learning-rate", f"{cell}={rate:g}")]
    return shlex.join([*words, "-o", str(output)])
