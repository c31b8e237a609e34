"""What the cells of a comparison cost, measured: in training, on a phone and on a board.

Times are taken in one process on one thread, where the cells take turns; the least of many counts, since other work on
the machine only ever adds to it. What a cell can't be converted to isn't measured and is ``None``: both integer forms
where an operator is missing in one of them, and the arena where ``tflite-micro`` isn't installed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import ParamSpec, TypeVar

import keras

from speech_rnn import atomic
from speech_rnn.comparison.costs.device_files import FORMS, DeviceSizes, clip_call, device_files, step_call
from speech_rnn.comparison.costs.interleaving import Interleaved
from speech_rnn.comparison.costs.training_steps import (
    TrainingMemory,
    highest_resident_bytes,
    training_memory,
    training_step,
)
from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Costs, Header, ResultsFile
from speech_rnn.errors import SpeechRnnError
from speech_rnn.processes import process_pool, this_machine
from speech_rnn.progress import progress
from speech_rnn.quiet import quiet

COSTS = "costs"
LINES = "lines.jsonl"
LEAST_ROUNDS = 10
R = TypeVar("R")
P = ParamSpec("P")


@dataclass(frozen=True)
class Pace:
    """How long is measured, in seconds for each cell.

    Attributes:
        training_s: steps of training.
        step_s: steps of a stream, in each form.
        clip_s: clips, in each form.
    """

    training_s: float = 3.0
    step_s: float = 0.3
    clip_s: float = 0.5


USUAL_PACE = Pace()


def measure_costs(file: ResultsFile, folder: Path, *, pace: Pace = USUAL_PACE) -> None:
    """Add the costs of all cells to a comparison's results, where they aren't there.

    What takes long is kept in ``folder/costs`` until then, so that a run that was stopped goes on.

    Args:
        file: of the results.
        folder: of the comparison.
        pace: how long is measured.

    Raises:
        SpeechRnnError: a process that measures was killed.
    """
    header = file.results.header
    if not set(distinct(header)) - set(file.results.costs):
        return
    scratch = folder / COSTS
    for costs in _kept_lines(scratch, lambda: cell_costs(header, scratch, pace=pace)):
        if costs.key not in file.results.costs:
            file.add(costs)
    shutil.rmtree(scratch)


def _kept_lines(scratch: Path, measured: Callable[[], list[Costs]]) -> list[Costs]:
    """The lines as they were taken in one run, also where that was stopped while they were added."""
    kept = scratch / LINES
    if not kept.exists():
        atomic.write_text(kept, "".join(costs.model_dump_json() + "\n" for costs in measured()))
    return [Costs.from_json(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def cell_costs(header: Header, scratch: Path, *, pace: Pace = USUAL_PACE) -> list[Costs]:
    """What each cell of a comparison costs, at each number of units that it has there.

    Args:
        header: of the comparison; of its plan the settings matter, not what is trained how often.
        scratch: a folder for files and sizes, which aren't made again where they are there.
        pace: how long is measured.

    Raises:
        SpeechRnnError: a process that measures was killed.
    """
    contenders = distinct(header)
    sizes, memory = {}, _training_memory(header, scratch)
    with progress("costs, files", len(contenders)) as bar:
        for key, contender in contenders.items():
            sizes[key] = device_files(scratch / key, header, contender)
            # Else the graphs of all would stay in memory until the last.
            keras.backend.clear_session()
            bar.advance()
    times = _times(header, scratch, pace)
    return [_costs(contenders[key], memory[key], sizes[key], times[key]) for key in contenders]


def distinct(header: Header) -> dict[str, Contender]:
    """``CELL-UNITS`` -> the first contender that is so: several budgets may give a cell the same units."""
    found: dict[str, Contender] = {}
    for contender in header.contenders:
        found.setdefault(f"{contender.cell}-{contender.units}", contender)
    return found


def _costs(contender: Contender, memory: TrainingMemory, sizes: DeviceSizes, times: Mapping[str, float]) -> Costs:
    def in_us(what: str) -> float | None:
        return round(1e6 * times[what], 3) if what in times else None

    return Costs(
        cell=contender.cell,
        units=contender.units,
        training_step_s=round(times["training"], 6),
        training_memory_bytes=memory.process_bytes,
        training_step_memory_bytes=memory.step_bytes,
        step_us_float32=in_us("step float32"),
        step_us_int8=in_us("step int8"),
        clip_us_float32=in_us("clip float32"),
        clip_us_int8=in_us("clip int8"),
        machine=this_machine(),
        **sizes.model_dump(),
    )


def _training_memory(header: Header, scratch: Path) -> dict[str, TrainingMemory]:
    """What a process takes more than the libraries, a process for each cell."""
    found: dict[str, TrainingMemory] = {}
    libraries = None
    contenders = distinct(header)
    with progress("costs, memory of training", len(contenders)) as bar:
        for key, contender in contenders.items():
            kept = scratch / f"{key}-memory.json"
            if not kept.exists():
                if libraries is None:
                    libraries = in_fresh_process(highest_resident_bytes)
                memory = in_fresh_process(training_memory, header, contender)
                over = memory.changed(process_bytes=max(0, memory.process_bytes - libraries))
                atomic.write_text(kept, over.to_json())
            found[key] = TrainingMemory.from_json(kept.read_text(encoding="utf-8"))
            bar.advance()
    return found


def _times(header: Header, scratch: Path, pace: Pace) -> dict[str, dict[str, float]]:
    """``CELL-UNITS`` -> what -> least seconds."""
    contenders = distinct(header)
    seconds_of = {
        "training": pace.training_s,
        **{f"step {form}": pace.step_s for form in FORMS},
        **{f"clip {form}": pace.clip_s for form in FORMS},
    }
    with _fresh_process() as process:
        with progress("costs, first steps", len(contenders)) as bar:
            for key, contender in contenders.items():
                process.submit(_take_part, header, key, contender, scratch / key).result()
                bar.advance()
        total = round(sum(seconds_of.values()) * len(contenders))
        with progress("costs, times (s)", total) as bar:
            for what, seconds in seconds_of.items():
                left, rounds = seconds * len(contenders), 0
                while rounds < LEAST_ROUNDS or left > 0:
                    before = max(0.0, left)
                    left, rounds = left - process.submit(_round, what).result(), rounds + 1
                    bar.advance(round(before) - round(max(0.0, left)))
        least: dict[str, dict[str, float]] = process.submit(_least).result()
    return {key: {what: of[key] for what, of in least.items() if key in of} for key in contenders}


def in_fresh_process(function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
    """What a module's function gives in a process that has done nothing else, on one thread.

    Raises:
        SpeechRnnError: the process was killed.
    """
    with _fresh_process() as process:
        return process.submit(function, *arguments, **options).result()


@contextmanager
def _fresh_process() -> Iterator[ProcessPoolExecutor]:
    with quiet():  # what libraries print when they are imported there
        pool = process_pool(1, _on_one_thread)
    try:
        yield pool
    except BrokenProcessPool:
        raise SpeechRnnError(
            "a process that measures ended before its work was done, killed for want of memory perhaps; the same "
            "command goes on"
        ) from None
    except BaseException:
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _on_one_thread() -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


# Of a process that measures times: the calls of all cells. As many a turn as a millisecond or two hold.
_turns = {
    "training": Interleaved(clock=time.process_time),
    **{f"step {form}": Interleaved(calls_a_turn=200) for form in FORMS},
    **{f"clip {form}": Interleaved(calls_a_turn=5) for form in FORMS},
}


def _take_part(header: Header, key: str, contender: Contender, folder: Path) -> None:
    _turns["training"].add(key, training_step(header, contender))
    for form in FORMS:
        for what, call in ((f"step {form}", step_call(folder, form)), (f"clip {form}", clip_call(folder, form))):
            if call is not None:
                _turns[what].add(key, call)


def _round(what: str) -> float:
    # Where no cell has that form a round would take no time, and there would be no last one.
    return _turns[what].round() if len(_turns[what]) else float("inf")


def _least() -> dict[str, dict[str, float]]:
    return {what: turns.least_s for what, turns in _turns.items()}
