"""Results of a comparison that never was, with all that one may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.plan import ComparisonPlan, Contender, Trial
from speech_rnn.comparison.results import Answers, Costs, Finished, Header, Measured, Results
from speech_rnn.data.clips import SourceRecord
from speech_rnn.history import Epoch
from speech_rnn.memory_tasks.experiment import Outcome
from speech_rnn.memory_tasks.usual import usual_experiment
from tests.tones import small_settings

LABELS = ("_silence_", "_unknown_", "yes", "no", "up", "down")
SKILL = {"lstm": 1.75, "gru": 1.85, "rnn": 1.2}
MATRICES = {"lstm": 4, "gru": 3, "rnn": 1}
SEEDS = (1, 2, 3, 4, 5)
CONDITIONS = {
    "snr": (0, 5, 10, 20),
    "speed": (0.7, 0.85, 1.15, 1.3),
    "level": (-40, -30, -20, -10),
    "gap_silence": (0, 0.5, 1, 2, 4),
    "gap_noise": (0, 0.5, 1, 2, 4),
    "gap_words": (0, 0.5, 1, 2, 4),
}


def whole_results(
    *,
    labels: Sequence[str] = LABELS,
    source: SourceRecord | None = None,
    n: int = 600,
    epochs: int = 30,
    sizes: Sequence[int] = (16, 32, 64),
) -> Results:
    """Three cells at two budgets and three sizes, with rates, shares, measures and costs.

    Args:
        labels: of the task.
        source: of the recordings; a rebuilt one where not given.
        n: clips that judge.
        epochs: of each training.
        sizes: units of the first cell.
    """
    plan = ComparisonPlan(
        cells=tuple(SKILL),
        budgets=("units", "parameters"),
        sizes=tuple(sizes),
        seeds=SEEDS,
        rates=(0.001, 0.003, 0.01),
        shares=(0.1, 0.3),
        base=small_settings(),
    )
    plan = plan.changed(base=plan.base.changed(training=plan.base.training.changed(epochs=epochs)))
    rng = np.random.default_rng(1)
    header = Header(
        plan=plan,
        labels=tuple(labels),
        contenders=_contenders(plan, len(labels)),
        recordings=(
            source
            or SourceRecord(name="words", origin="Words V2, rebuilt (folder 'words')", digest="0", synthetic=False),
        ),
        targets=tuple(rng.integers(0, len(labels), n).tolist()),
        made_with={"speech-rnn": "1.0", "keras": "3.15.1"},
    )
    hardness = rng.standard_normal(n)
    sizes_of = {(one.cell, one.units): one for one in header.contenders}
    finished = {
        trial.key: _finished(plan, trial, sizes_of[trial.cell, trial.units], hardness, rng) for trial in header.trials
    }
    middle = plan.middle(header.contenders)
    measured = [_measured(one.trial(seed), hardness, rng) for one in middle for seed in plan.seeds]
    return Results(
        header,
        finished,
        {one.key: one for one in measured},
        {f"{cell}-{units}": _costs(one) for (cell, units), one in sizes_of.items()},
    )


class PlantedClaim(NamedTuple):
    """A claim with whatever verdict."""

    sentence: str
    verdict: str
    budget: str | None = "parameters"
    figure: str = "–"
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    shows: str = "what would show it"
    interval: str = ""
    over: str = ""
    rule: str = "holds where the whole interval is above 0"
    why: str = ""


def claims() -> list[PlantedClaim]:
    """One that holds, one that doesn't, and one that wasn't measured."""
    return [
        PlantedClaim(
            sentence="GRU hears better",
            verdict="holds",
            figure="+1.70 (+0.40 to +3.00) points",
            effect=1.7,
            low=0.4,
            high=3.0,
            unit="points",
            over="all sizes",
            interval="95 % for all claims together",
        ),
        PlantedClaim("LSTM remembers longer", "undecided", figure="+12.00 (−1.00 to +25.00) points", effect=12.0),
        PlantedClaim("RNN can't count", "not measured", budget=None, why="no memory tasks were run"),
    ]


def outcomes() -> list[Outcome]:
    """Two cells at the adding task, three seeds each."""
    return [
        Outcome(
            experiment=usual_experiment("adding", cell, seed),
            parameters=4_417,
            steps=1_000 + 100 * seed,
            cpu_seconds=9.0,
            figures={"mse": 0.001 * seed},
            solved=seed < 3 or cell == "lstm",
        )
        for cell in ("lstm", "gru")
        for seed in (1, 2, 3)
    ]


def _contenders(plan: ComparisonPlan, n_labels: int) -> tuple[Contender, ...]:
    """As the plan's own, by the formula of one layer over 39 inputs: without a network being built."""

    def parameters(cell: str, units: int) -> int:
        return MATRICES[cell] * units * (39 + units + 1) + n_labels * (units + 1)

    def contender(budget: Budget, size: int, cell: str) -> Contender:
        wanted = parameters("lstm", size)
        units = size
        if budget == "parameters":
            units = min(range(1, 4 * size), key=lambda units: abs(parameters(cell, units) - wanted))
        n = parameters(cell, units)
        return Contender(
            budget=budget,
            size=size,
            cell=cell,
            units=units,
            parameters=n,
            int8_bytes=n + 3 * MATRICES[cell] * units,
            macs_per_second=33.0 * n,
        )

    return tuple(contender(*place) for place in product(plan.budgets, plan.sizes, plan.cells))


def _right(
    trial: Trial, hardness: NDArray[np.float64], rng: np.random.Generator, *, worse: float = 0.0
) -> NDArray[np.bool_]:
    skill = SKILL[trial.cell] + 0.3 * np.log2(trial.units / 16) - worse + 0.06 * rng.standard_normal()
    return np.asarray(skill - hardness + 0.7 * rng.standard_normal(len(hardness)) > 0)


def _finished(
    plan: ComparisonPlan,
    trial: Trial,
    contender: Contender,
    hardness: NDArray[np.float64],
    rng: np.random.Generator,
) -> Finished:
    epochs = plan.base.training.epochs
    worse = {"rates": 0.4 * abs(np.log(trial.value / 0.003)) if trial.value else 0.0, "cells": 0.0}.get(
        trial.study, -0.5 * np.log(trial.value or 1.0)
    )
    right = _right(trial, hardness, rng, worse=worse)
    learned = right.mean() * (1 - 0.7 * np.exp(-np.arange(1, epochs + 1) / (4 if trial.cell == "gru" else 6)))
    history = tuple(
        Epoch(
            epoch=number,
            loss=float(2.0 - accuracy),
            validation_loss=float(2.0 - accuracy),
            validation_accuracy=float(np.clip(accuracy + 0.01 * rng.standard_normal(), 0.0, 1.0)),
            learning_rate=0.001,
            seconds={"lstm": 4.0, "gru": 3.5, "rnn": 2.0}[trial.cell],
            clips=4_800,
            validation_clips=240,
            gradient_norm=float(
                (2.0 if trial.cell == "rnn" else 1.0) * np.exp(-number / 40 + 0.1 * rng.standard_normal())
            ),
        )
        for number, accuracy in enumerate(learned, 1)
    )
    return Finished(
        key=trial.key,
        units=trial.units,
        parameters=contender.parameters,
        int8_bytes=contender.int8_bytes,
        macs_per_second=contender.macs_per_second,
        history=history if trial.study != "shares" else history[-1:],
        answers=None if trial.study == "rates" else Answers.of(right),
        seconds=sum(entry.seconds for entry in history),
    )


def _measured(trial: Trial, hardness: NDArray[np.float64], rng: np.random.Generator) -> Measured:
    def answers(worse: float) -> Answers:
        return Answers.of(_right(trial, hardness, rng, worse=worse))

    forgetful = {"lstm": 0.3, "gru": 0.4, "rnn": 1.5}[trial.cell]
    worse_by: Mapping[str, float] = {
        "snr": 1.0,
        "speed": 0.5,
        "level": 0.1,
    }
    found = {"recorded:0": answers(0.0), "int8:0": answers(0.06)}
    for kind, values in CONDITIONS.items():
        for number, value in enumerate(values):
            if kind.startswith("gap"):
                found[f"{kind}:{value:g}"] = answers(2 * forgetful * value)
                found[f"taught_{kind}:{value:g}"] = answers(0.2 * forgetful * value)
            else:
                found[f"{kind}:{value:g}"] = answers(worse_by[kind] * abs(number - len(values)))
    norms = np.exp(-np.arange(90) * {"lstm": 0.04, "gru": 0.05, "rnn": 0.2}[trial.cell] + 0.1 * rng.standard_normal(90))
    return Measured(key=trial.key, answers=found, gradient_norms=tuple(norms.tolist()))


def _costs(one: Contender) -> Costs:
    us = one.macs_per_second / 40_000
    return Costs(
        cell=one.cell,
        units=one.units,
        training_step_s=us / 1_000,
        training_memory_bytes=200_000_000 + 40 * one.parameters,
        training_step_memory_bytes=None,
        step_us_float32=2 * us,
        step_us_int8=us,
        clip_us_float32=66 * us,
        clip_us_int8=33 * us,
        file_bytes_float32=4 * one.parameters + 6_000,
        file_bytes_int8=one.int8_bytes + 9_000,
        board_bytes=one.int8_bytes + 8_000 if one.cell != "rnn" else None,
        arena_bytes=24_000 if one.cell != "rnn" else None,
        state_bytes_float32=4 * one.units * (2 if one.cell == "lstm" else 1),
    )
