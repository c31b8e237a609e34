"""What each cell can remember: adding, copying and counting, over several seeds. Synthetic tasks, no speech.

    python benchmarks/memory_tasks.py [--tasks adding,copying] [--cells lstm,gru,rnn] [--seeds 1,2,3,4,5] [--json]

Each (task, cell, seed) is a line of docs/lstm-vs-gru/memory-tasks.jsonl as soon as it is done, and is not run again; so
a run that was stopped goes on. All on one thread.

--learning-rates 0.003,0.01 tries others than the usual ones, into a file of their own (-o).
"""

from __future__ import annotations

import os

# Before TensorFlow is imported: layers so small are slower on two threads than on one.
os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", CUDA_VISIBLE_DEVICES="-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import itertools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from speech_rnn.cli.tables import table
from speech_rnn.errors import SpeechRnnError
from speech_rnn.memory_tasks.experiment import TASKS, Outcome
from speech_rnn.memory_tasks.outcomes import run_missing
from speech_rnn.memory_tasks.summary import CellSummary, Spread, summarize_cells
from speech_rnn.memory_tasks.usual import usual_experiment
from speech_rnn.progress import duration

OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "lstm-vs-gru" / "memory-tasks.jsonl"
HEADINGS = [
    "task",
    "cell",
    ">units",
    ">parameters",
    ">rate",
    ">solved",
    ">steps",
    ">CPU",
    "figure",
    ">median",
    ">range",
    ">baseline",
]


def rows(outcomes: Iterable[Outcome]) -> list[Sequence[str]]:
    """A row for each figure of what differs in nothing but the seed."""
    return [row(summary, spread) for summary in summarize_cells(outcomes) for spread in summary.spreads]


def row(summary: CellSummary, spread: Spread) -> Sequence[str]:
    """A figure of a cell over its seeds."""
    return [
        summary.task.name,
        summary.cell,
        str(summary.learning.units),
        f"{summary.parameters:,}",
        f"{summary.learning.learning_rate:g}",
        f"{summary.n_solved} of {len(summary.seeds)}",
        f"{summary.steps:,.0f}",
        duration(summary.cpu_seconds),
        spread.name,
        f"{spread.median:.3g}",
        f"{spread.low:.3g} to {spread.high:.3g}",
        "" if spread.baseline is None else f"{spread.baseline:.3g}",
    ]


def said(outcome: Outcome) -> None:
    """A line on standard error for an experiment that has just been done."""
    one = outcome.experiment
    figures = ", ".join(f"{name} {value:.4g}" for name, value in outcome.figures.items())
    print(
        f"{one.task.name}, {one.cell}, seed {one.seed}: {'solved' if outcome.solved else 'not solved'}, {figures}, "
        f"{outcome.steps:,} steps, {duration(outcome.cpu_seconds)} of CPU",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--learning-rates", default="", help="instead of the usual one of each cell")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    parser.add_argument("--json", action="store_true", help="print JSON, a line an outcome")
    arguments = parser.parse_args()
    rates = [float(rate) for rate in arguments.learning_rates.split(",") if rate]
    try:
        # Seed by seed, so that a run that is stopped has something of each cell.
        usual = [
            usual_experiment(task, cell, seed)
            for seed in map(int, arguments.seeds.split(","))
            for task, cell in itertools.product(arguments.tasks.split(","), arguments.cells.split(","))
        ]
        experiments = [
            one.changed(learning=one.learning.changed(learning_rate=rate)) for one in usual for rate in rates
        ]
        outcomes = run_missing(experiments or usual, arguments.output, said)
    except SpeechRnnError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"stopped; the same command goes on from {arguments.output}\n")
    if arguments.json:
        print("\n".join(outcome.model_dump_json() for outcome in outcomes))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(table(HEADINGS, rows(outcomes)))


if __name__ == "__main__":
    main()
