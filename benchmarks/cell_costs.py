"""What cells cost: a training step and its memory, a step and a clip in LiteRT, bytes of files, of states, of an arena.

    python benchmarks/cell_costs.py FOLDER                                of speech-rnn compare
    python benchmarks/cell_costs.py --cells lstm,gru,rnn --units 64,68,110 [--layers 2] [--stack 3] [--json]

With FOLDER the cells are those of that comparison; what it has already is shown, the rest is measured and added to its
results. Otherwise the first number of units is of the first cell, and so on; ``--units 64`` is of all. Untrained; all
cells take turns on one thread, and the least of many times counts, so what is to be compared has to be in one run.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from speech_rnn.cli.tables import table
from speech_rnn.comparison.budgets import cost_of
from speech_rnn.comparison.costs.cell_costs import cell_costs, measure_costs
from speech_rnn.comparison.plan import ComparisonPlan, Contender
from speech_rnn.comparison.results import RESULTS, Costs, Header, open_results, read_results
from speech_rnn.config import ModelSettings, RunSettings
from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.data.task import COMMANDS
from speech_rnn.errors import SpeechRnnError

LABELS = (SILENCE, UNKNOWN, *COMMANDS)
HEADINGS = [
    "cell",
    ">units",
    ">training step",
    ">memory",
    ">of a step",
    ">step, µs",
    ">int8",
    ">clip, µs",
    ">int8",
    ">file",
    ">int8",
    ">board",
    ">arena",
    ">state",
]


def of_folder(folder: Path) -> list[Costs]:
    """Costs of a comparison's cells, measured where they are missing."""
    header = read_results(folder / RESULTS).header
    with open_results(folder / RESULTS, header) as file:
        measure_costs(file, folder)
        return list(file.results.costs.values())


def of_cells(cells: Sequence[str], units: Sequence[int], model: ModelSettings) -> list[Costs]:
    """Costs of cells of so many units, by a comparison that nobody trains."""
    base = RunSettings(model=model)
    contenders = []
    for cell, n in zip(cells, units, strict=True):
        cost = cost_of(model.changed(cell=cell, units=n), base.features, len(LABELS))
        contenders.append(Contender(budget="units", size=n, cell=cell, units=n, **cost._asdict()))
    header = Header(
        plan=ComparisonPlan(base=base),
        labels=LABELS,
        contenders=tuple(contenders),
        recordings=(),
        targets=(0,),
        made_with={},
    )
    with tempfile.TemporaryDirectory(prefix="speech_rnn_costs_") as scratch:
        return cell_costs(header, Path(scratch))


def rows(all_costs: Iterable[Costs]) -> Iterable[Sequence[str]]:
    for costs in all_costs:
        yield [
            costs.cell,
            str(costs.units),
            f"{1_000 * costs.training_step_s:.1f} ms",
            f"{costs.training_memory_bytes / 1e6:.0f} MB",
            "–" if costs.training_step_memory_bytes is None else f"{costs.training_step_memory_bytes / 1e6:.1f} MB",
            *(
                "–" if value is None else f"{value:,.1f}"
                for value in (costs.step_us_float32, costs.step_us_int8, costs.clip_us_float32, costs.clip_us_int8)
            ),
            *(
                "–" if value is None else f"{value:,}"
                for value in (costs.file_bytes_float32, costs.file_bytes_int8, costs.board_bytes, costs.arena_bytes)
            ),
            f"{costs.state_bytes_float32:,}",
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="of speech-rnn compare")
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--units", default="64", help="of a layer: one number for all cells, or one each")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--stack", type=int, default=3, help="frames of a step")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a cell")
    arguments = parser.parse_args()
    cells = arguments.cells.split(",")
    units = [int(n) for n in arguments.units.split(",")]
    if len(units) == 1:
        units *= len(cells)
    if len(units) != len(cells):
        parser.error(f"--units gives {len(units)} numbers for {len(cells)} cells; give one, or one for each")
    try:
        model = ModelSettings(layers=arguments.layers, stack=arguments.stack)
        all_costs = of_folder(arguments.folder) if arguments.folder else of_cells(cells, units, model)
    except SpeechRnnError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print("\n".join(json.dumps(costs.model_dump()) for costs in all_costs))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(table(HEADINGS, rows(all_costs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
