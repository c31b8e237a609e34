"""Results of a comparison that never was: what each cell has right is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from speech_rnn.comparison.plan import ComparisonPlan, Contender
from speech_rnn.comparison.results import Answers, Costs, Finished, Header, Results
from speech_rnn.data.clips import SourceRecord
from speech_rnn.history import Epoch
from tests.tones import small_settings


def planted_header(plan: ComparisonPlan, n: int, *, digest: str = "0") -> Header:
    """Each cell with as many units as the size, under every budget; the costs mean nothing."""
    return Header(
        plan=plan,
        labels=("yes", "no"),
        contenders=tuple(
            Contender(budget=budget, size=size, cell=cell, units=size, parameters=9, int8_bytes=9, macs_per_second=9.0)
            for budget in plan.budgets
            for size in plan.sizes
            for cell in plan.cells
        ),
        recordings=(SourceRecord(name="corpus", origin="made up", digest=digest, synthetic=True),),
        targets=tuple(i % 2 for i in range(n)),
        made_with={"numpy": "2"},
    )


def planted(key: str, right: NDArray[np.bool_], *, seconds: float = 2.0) -> Finished:
    """The line of a training that has these clips right."""
    epoch = Epoch(
        epoch=1,
        loss=1 / 3,
        validation_loss=None,
        validation_accuracy=None,
        learning_rate=0.0,
        seconds=seconds,
        clips=4,
        validation_clips=0,
    )
    return Finished(
        key=key,
        units=4,
        parameters=9,
        int8_bytes=9,
        macs_per_second=9.0,
        history=(epoch,),
        answers=Answers.of(right),
        seconds=seconds,
    )


def planted_rate(key: str, accuracy: float) -> Finished:
    """The line of a training that tried a learning rate, and had that accuracy on the tuning clips."""
    line = planted(key, np.ones(1, np.bool_))
    epoch = line.history[-1].changed(validation_accuracy=accuracy, validation_loss=1.0, validation_clips=50)
    return line.changed(history=(epoch,), answers=None)


def planted_results(cells: Mapping[str, NDArray[np.bool_]]) -> Results:
    """Of cells -> what each has right, bool [seeds, clips], under one budget."""
    n_seeds, n = next(iter(cells.values())).shape
    plan = ComparisonPlan(
        cells=tuple(cells), budgets=("units",), sizes=(4,), seeds=tuple(range(1, n_seeds + 1)), base=small_settings()
    )
    lines = [
        planted(f"{cell}-4-seed{seed}", right)
        for cell, of_seeds in cells.items()
        for seed, right in enumerate(of_seeds, 1)
    ]
    return Results(planted_header(plan, n), {line.key: line for line in lines})


def planted_costs(cell: str, units: int, *, training_step_s: float = 0.1) -> Costs:
    """Costs that mean nothing but the seconds of a step of training."""
    return Costs(
        cell=cell,
        units=units,
        training_step_s=training_step_s,
        training_memory_bytes=9,
        training_step_memory_bytes=None,
        step_us_float32=9.0,
        step_us_int8=None,
        clip_us_float32=9.0,
        clip_us_int8=None,
        file_bytes_float32=9,
        file_bytes_int8=None,
        board_bytes=None,
        arena_bytes=None,
        state_bytes_float32=9,
    )
