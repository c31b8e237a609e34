"""Results of a comparison that never was: what each cell has right is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.plan import ComparisonPlan, Contender
from speech_rnn.comparison.results import Answers, Costs, Finished, Header, Measured, Results
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


SIZES, SEEDS, SHARE, CLIPS, EPOCHS = (4, 8), (1, 2, 3, 4, 5), 0.1, 400, 10
GAPS = tuple(f"gap_{kind}:{seconds}" for kind in ("silence", "noise", "words") for seconds in (4, 10))
OTHER_SOUND = ("recorded:0", "int8:0", "snr:10", "snr:0", *GAPS, *(f"taught_{gap}" for gap in GAPS))


@dataclass(frozen=True)
class Truth:
    """What is so of a cell in a comparison that never was.

    Attributes:
        accuracy: of the judged clips; at the larger size where it differs.
        large_accuracy: at the larger size; ``None``: the same.
        few_accuracy: from a tenth of the clips.
        other: ``WHAT:VALUE`` -> accuracy; 0.8 where not given.
        reach: frames from the end within which half of the gradient lies.
        epochs: until it is as good as in the end, of ten.
        cost: of everything, for as many units.
    """

    accuracy: float = 0.9
    large_accuracy: float | None = None
    few_accuracy: float = 0.7
    other: Mapping[str, float] = field(default_factory=dict)
    reach: float = 10.0
    epochs: float = 5.0
    cost: float = 1.0

    def accuracy_at(self, size: int) -> float:
        """Of the judged clips."""
        return self.accuracy if self.large_accuracy is None or size == SIZES[0] else self.large_accuracy


def planted_comparison(
    truths: Mapping[str, Truth],
    number: int = 0,
    *,
    seeds: Sequence[int] = SEEDS,
    budgets: Sequence[Budget] = ("units", "parameters", "bytes", "macs"),
    measured: bool = True,
    costs: bool = True,
) -> Results:
    """A comparison that is done, of two sizes.

    Args:
        truths: of each cell.
        number: of the drawing.
        seeds: of the trainings.
        budgets: under all but ``units`` the n-th cell has n units more, so that they are other trainings.
        measured: whether all were asked of other sound.
        costs: whether all costs were taken.
    """
    rng = np.random.default_rng(number)
    plan = ComparisonPlan(
        cells=tuple(truths),
        budgets=tuple(budgets),
        sizes=SIZES,
        seeds=tuple(seeds),
        shares=(SHARE,),
        base=small_settings(),
    )
    header = planted_header(plan, CLIPS)
    contenders = tuple(
        one.changed(
            units=one.size if one.budget == "units" else one.size + plan.cells.index(one.cell),
            parameters=round(1_000 * one.size * truths[one.cell].cost),
            int8_bytes=round(1_000 * one.size * truths[one.cell].cost),
            macs_per_second=1e5 * one.size * truths[one.cell].cost,
        )
        for one in header.contenders
    )
    header = header.changed(contenders=contenders)
    sizes = {(one.cell, one.units): one.size for one in contenders}
    hardness = {name: rng.standard_normal(CLIPS) for name in ("", *OTHER_SOUND)}

    def right(accuracy: float, name: str = "") -> NDArray[np.bool_]:
        return _right(rng, accuracy, hardness[name])

    finished, others, of_costs = {}, {}, {}
    for trial in header.trials:
        truth, size = truths[trial.cell], sizes[trial.cell, trial.units]
        accuracy = truth.few_accuracy if trial.study == "shares" else truth.accuracy_at(size)
        line = planted(trial.key, right(accuracy))
        pace = truth.epochs * rng.uniform(0.9, 1.1)
        finished[trial.key] = line.changed(
            history=tuple(
                line.history[0].changed(
                    epoch=epoch, validation_accuracy=0.9 * min(1.0, epoch / pace), validation_loss=1.0
                )
                for epoch in range(1, EPOCHS + 1)
            )
        )
        if measured and trial.study == "cells":
            frames = np.arange(100) / (truth.reach * rng.uniform(0.95, 1.05))
            others[trial.key] = Measured(
                key=trial.key,
                answers={name: Answers.of(right(truth.other.get(name, 0.8), name)) for name in OTHER_SOUND},
                gradient_norms=tuple((0.5**frames).tolist()),
            )
    for one in contenders if costs else ():
        line_of_costs = proportional_costs(one.cell, one.units, one.size * truths[one.cell].cost)
        of_costs[line_of_costs.key] = line_of_costs
    return Results(header, finished, others, of_costs)


def proportional_costs(cell: str, units: int, cost: float) -> Costs:
    """Everything costs in proportion: a step ``cost`` microseconds, a file as many kB; half of that in eight bits."""
    return Costs(
        cell=cell,
        units=units,
        training_step_s=cost / 1e3,
        training_memory_bytes=round(cost * 1e6),
        training_step_memory_bytes=round(cost * 1e5),
        step_us_float32=cost,
        step_us_int8=cost / 2,
        clip_us_float32=cost * 30,
        clip_us_int8=cost * 15,
        file_bytes_float32=round(cost * 1e3),
        file_bytes_int8=round(cost * 500),
        board_bytes=round(cost * 500),
        arena_bytes=round(cost * 300),
        state_bytes_float32=round(cost * 8),
    )


def _right(rng: np.random.Generator, accuracy: float, hardness: NDArray[np.float64]) -> NDArray[np.bool_]:
    skill = stats.norm.ppf(accuracy) * 2**0.5 + 0.03 * rng.standard_normal()
    return np.asarray(skill - hardness + rng.standard_normal(len(hardness)) > 0)
