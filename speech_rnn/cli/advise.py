"""``speech-rnn advise``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn.cli.tables import table
from speech_rnn.comparison.advice import Advice, Candidate, Limits, advise
from speech_rnn.comparison.results import RESULTS, read_results
from speech_rnn.comparison.shipped import shipped_results
from speech_rnn.text import interval, percent, plain

LONGEST = 300


@click.command(short_help="LSTM or GRU for a device: which, how large and in which form, by measured results.")
@click.option("--max-kb", type=float, help="Most kB (1,000 bytes) of the file on the device, front end left out.")
@click.option("--max-us", type=float, help="Most microseconds a step of the stream, on the machine it was timed on.")
@click.option("--max-ram-kb", type=float, help="Most kB of memory on a board; known of int8 only.")
@click.option("--min-accuracy", type=float, help="Least accuracy, per cent.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Results of 'speech-rnn compare', its folder or file.  [default: those that come with this package]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON.")
def command(
    *,
    max_kb: float | None,
    max_us: float | None,
    max_ram_kb: float | None,
    min_accuracy: float | None,
    results: Path | None,
    as_json: bool,
) -> None:
    """LSTM or GRU? Say which fits a device, how large and in which form, and how sure that is.

    Of those that fit and surely lose less than a point against the most accurate one, the cheapest is taken: the
    smallest file, or the fastest where only time is limited. The runner-up is the best of the other cell. Where
    nothing fits, the nearest miss is named, and the exit code is 1.

    \b
    speech-rnn advise --max-kb 40 --max-us 50
    speech-rnn advise --max-kb 100 --max-ram-kb 16 --min-accuracy 93
    speech-rnn advise --results compare --json
    """
    limits = Limits(max_kb=max_kb, max_us=max_us, max_ram_kb=max_ram_kb, min_accuracy=min_accuracy)
    path = shipped_results() if results is None else results
    advice = advise(read_results(path / RESULTS if path.is_dir() else path), limits)
    if as_json:
        click.echo(advice.to_json())
        return
    # Another program reads lines: no folding at 80 columns for it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1_000)
    for element in _shown(advice):
        console.print(element, soft_wrap=isinstance(element, Text))


def _shown(advice: Advice) -> Iterator[Table | Text]:
    """What is printed; names come from outside and are shown as plain text."""
    yield Text(f"take {advice.chosen.name}: {advice.reason}\n")
    candidates = [one for one in (advice.chosen, advice.runner_up) if one is not None]
    kind = ", synthetic" if advice.synthetic else ""
    yield table(
        (
            "",
            "cell",
            ">units",
            "form",
            ">kB",
            ">µs a step",
            ">kB of memory",
            f">accuracy{kind}",
            f">{100 * advice.confidence:.3g} % interval",
        ),
        [_row(name, one) for name, one in zip(("take", "runner-up"), candidates, strict=False)],
    )
    if advice.runner_up is None or advice.gap is None:
        yield Text("\nnothing else fits: there is no runner-up")
    else:
        gap = advice.gap
        sure = "" if gap.is_sure else ": these two can't be told apart by accuracy"
        yield Text(f"\n{gap.points:+.1f} points between them, interval {gap.low:+.1f} to {gap.high:+.1f}{sure}")
    machines = " (machines speak)" if advice.synthetic else ""
    yield Text(
        f"{advice.fitting} of {advice.candidates} fit; {advice.seeds} seeds each, judged on {advice.clips:,} clips, "
        f"the {advice.part} part of {plain(advice.data, LONGEST)}{machines}: {plain(advice.origin, LONGEST)}"
    )
    yield Text(f"timed on {plain(advice.chosen.machine, LONGEST) or 'a machine that the results do not name'}")
    if any(one.form == "int8" and one.judged_as == "float32" for one in candidates):
        yield Text("accuracy of int8 is that of float32: it was not measured in eight bits")


def _row(name: str, one: Candidate) -> tuple[str, ...]:
    ram = "–" if one.ram_kb is None else f"{one.ram_kb:,.1f}"
    return (
        name,
        one.cell,
        f"{one.units}",
        one.form,
        f"{one.kb:,.1f}",
        f"{one.us:,.1f}",
        ram,
        percent(one.accuracy),
        interval(one.low, one.high),
    )
