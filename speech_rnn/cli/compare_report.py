"""What ``speech-rnn compare`` runs, and how it prints what was found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn import atomic, training
from speech_rnn.cli.tables import table
from speech_rnn.comparison.claims.table import judge
from speech_rnn.comparison.claims.verdicts import Verdict
from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.report.page import comparison_page
from speech_rnn.comparison.results import RESULTS, Results, read_results
from speech_rnn.comparison.running import run_comparison
from speech_rnn.comparison.summary import Summary, summarize
from speech_rnn.config import AugmentationSettings, ModelSettings, RunSettings, TrainingSettings
from speech_rnn.errors import DataError
from speech_rnn.memory_tasks.outcomes import read_outcomes
from speech_rnn.models import check_cell
from speech_rnn.preparation import prepare
from speech_rnn.presets import USUAL_CLIPS_HEARD, Size, preset
from speech_rnn.text import interval, percent, plain

USUAL_CELLS = ("lstm", "gru", "rnn")
USUAL_SEEDS = 5
RECIPE: Size = "small"
QUICK = {"cells": ("lstm", "gru"), "sizes": (32,), "seeds": 3, "epochs": 8, "measured": "middle", "taught_steps": 60}
QUICK_LEARNING_RATE = 1e-2  # with 0.004 they are far from what they can do after so few epochs
LONGEST_LINE = 300
PAGE = "report.html"
MEMORY_TASKS = "memory-tasks.jsonl"  # of benchmarks/memory_tasks.py -o, where somebody put them there


def compare_and_print(
    folder: Path,
    names: Sequence[str],
    options: Mapping[str, Any],
    cache: Path,
    workers: int | None,
    *,
    jobs: int,
    quick: bool,
    keep_runs: bool,
    as_json: bool,
    command: str,
) -> None:
    """Run what a comparison lacks, then print what it found and write its page.

    Args:
        folder: of the comparison.
        names: of the recordings' sources.
        options: ``cells``, ``budgets``, ``sizes``, ``seeds`` (how many), ``epochs``, ``precision``, ``labels``,
            ``part``, ``learning_rates``, by cell, ``rates`` and ``shares``, as far as they were given.
        cache: folder of decoded clips.
        workers: processes that prepare sound for a training in this process.
        jobs: trainings side by side in processes; 0: in this one.
        quick: whether what wasn't given is that of a small comparison.
        keep_runs: whether each training's run is kept.
        as_json: print JSON instead of tables.
        command: what gives the figures again.
    """
    plan = plan_of(options, quick=quick)  # checked before minutes of decoding
    prepared = prepare(names, plan.base, cache, auto_f_max=True)
    for warning in prepared.inspection.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    base = prepared.settings
    if "epochs" not in options and not quick:
        base = training.with_usual_epochs(base, prepared.store, USUAL_CLIPS_HEARD)
    results = run_comparison(
        folder,
        plan.changed(base=base),
        prepared,
        jobs=jobs,
        workers=workers,
        keep_runs=keep_runs,
        measured=True,
        costs=True,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    show_results(results, folder / PAGE, as_json=as_json, command=command)


def show_file(path: Path, *, as_json: bool, command: str) -> None:
    """Print what a comparison found that was run before, and write its page anew.

    Args:
        path: of its file of results, whose page is beside it under the same name; or of its folder.
        as_json: print JSON instead of tables.
        command: what gives the figures again.

    Raises:
        DataError: there is no such file, its page would take its place, or trainings are missing.
    """
    file, page = (path / RESULTS, path / PAGE) if path.is_dir() else (path, path.with_suffix(".html"))
    if page == file:
        raise DataError(
            f"{file} would be overwritten by its page, which must be another file; rename it to end in .jsonl"
        )
    show_results(read_results(file), page, as_json=as_json, command=command)


def show_results(results: Results, page: Path, *, as_json: bool, command: str) -> None:
    """Print what a comparison found, and write its page.

    Args:
        results: all of them.
        page: where the page is written; outcomes of the memory tasks that lie beside it are shown there too.
        as_json: print JSON instead of tables.
        command: what gives the figures again.

    Raises:
        DataError: trainings are missing.
    """
    summary, outcomes = summarize(results, command=command), read_outcomes(page.parent / MEMORY_TASKS)
    verdicts = judge(results, outcomes)
    console = Console(highlight=False)
    # Before the page: what hours of training found is shown, whatever becomes of the pictures.
    if as_json:
        claims = [json.loads(one.to_json()) for one in verdicts]
        print(json.dumps({**json.loads(summary.to_json()), "claims": claims}), flush=True)
    else:
        for element in tables(summary, verdicts):
            console.print(element, soft_wrap=isinstance(element, Text))
    page.parent.mkdir(parents=True, exist_ok=True)
    machine = ", ".join(dict.fromkeys(one.machine for one in results.costs.values() if one.machine))
    atomic.write_text(page, comparison_page(results, summary, claims=verdicts, outcomes=outcomes, machine=machine))
    if as_json:
        print(f"page: {page}", file=sys.stderr)
    else:
        console.print(Text(f"page: {page}"), soft_wrap=True)


def plan_of(options: Mapping[str, Any], *, quick: bool) -> ComparisonPlan:
    """The plan that options ask for; what they leave out is usual, or ``quick``.

    Raises:
        SettingsError: a value that isn't allowed.
        ModelError: an unknown cell.
    """
    given = {"cells": USUAL_CELLS, "seeds": USUAL_SEEDS, **(QUICK if quick else {}), **options}
    base = _recipe()
    if quick:
        base = RunSettings(
            augmentation=AugmentationSettings.mild(), training=TrainingSettings(learning_rate=QUICK_LEARNING_RATE)
        )
    if "epochs" in given:
        base = base.changed(training=base.training.changed(epochs=given.pop("epochs")))
    if "precision" in given:
        base = base.changed(model=base.model.changed(precision=given.pop("precision")))
    if "labels" in given:
        base = base.changed(task=base.task.changed(labels=given.pop("labels")))
    plan = ComparisonPlan(**{**given, "seeds": tuple(range(1, given["seeds"] + 1))}, base=base)
    for cell in plan.cells:
        check_cell(cell)
    return plan


def _recipe() -> RunSettings:
    """That of the shipped models, without a teacher, and bent less: there is less time to learn."""
    recipe = preset(RECIPE, "gru").settings
    masks = {name: value for name, value in recipe["augmentation"].items() if "mask" in name}
    return RunSettings(
        model=ModelSettings(**recipe["model"]), augmentation=AugmentationSettings.mild().changed(**masks)
    )


def tables(summary: Summary, verdicts: Sequence[Verdict] = ()) -> Iterator[Table | Text]:
    """What is printed; names come from outside and are shown as plain text."""
    kind = " (synthetic corpus: machines speak)" if summary.synthetic else ""
    seeds = f"{len(summary.seeds)} seeds" if len(summary.seeds) > 1 else "one seed"
    yield Text(
        f"{', '.join(cell.upper() for cell in summary.learning_rates)} from {seeds} each, {summary.epochs} epochs, "
        f"judged by their last weights\non {summary.n_clips:,} clips, the {summary.part} part of "
        f"{plain(summary.data, LONGEST_LINE)}{kind}; learning rates: "
        + ", ".join(f"{cell} {rate:g}" for cell, rate in summary.learning_rates.items())
        + "\n"
    )
    yield _costs(summary)
    yield Text()
    yield _accuracies(summary)
    yield Text(
        f"\ndifferences in points; an interval leaves 0 out where Holm's test of all pairs, at "
        f"{100 * summary.confidence:.3g} %, finds one"
    )
    yield _pairs(summary)
    if len(summary.seeds) < 2:
        yield Text("\none seed says nothing of others: nothing is decided; take --seeds 5")
    if any(one.verdict != "not measured" for one in verdicts):
        yield Text("\nwhat is said of LSTM and GRU, with intervals for all claims together; the page has the rules\n")
        yield from _verdicts(verdicts)
    yield Text(f"\nmade by: {summary.command}")


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[Text]:
    """A line for each claim that was measured."""
    for one in verdicts:
        if one.verdict != "not measured":
            at = f" (equal {one.budget})" if one.budget else ""
            yield Text(f"{one.verdict:>14}  {one.sentence}{at}: {one.figure}")


def _costs(summary: Summary) -> Table:
    return table(
        ("equal", ">size", "cell", ">units", ">parameters", ">int8 bytes", ">MACs/s"),
        (
            (
                one.budget,
                f"{one.size}",
                one.cell,
                f"{one.units}",
                f"{one.parameters:,}",
                f"{one.int8_bytes:,}",
                f"{one.macs_per_second:,.0f}",
            )
            for one in (figures.contender for figures in summary.contenders)
        ),
    )


def _accuracies(summary: Summary) -> Table:
    accuracy = ">accuracy, synthetic" if summary.synthetic else ">accuracy"
    return table(
        ("equal", ">size", "cell", ">s/epoch", accuracy, f">{100 * summary.confidence:.3g} % interval"),
        (
            (
                one.contender.budget,
                f"{one.contender.size}",
                one.contender.cell,
                f"{one.seconds_per_epoch:.1f}",
                percent(one.accuracy),
                interval(one.low, one.high),
            )
            for one in summary.contenders
        ),
    )


def _pairs(summary: Summary) -> Table:
    return table(
        ("equal", ">size", "pair", ">points", ">interval", ">McNemar p", "verdict"),
        (
            (
                one.budget,
                f"{one.size}",
                f"{one.first} − {one.second}",
                _points(one.difference),
                "–" if one.low is None or one.high is None else f"{_points(one.low)} to {_points(one.high)}",
                "< 0.001" if one.mcnemar_p < 0.001 else f"{one.mcnemar_p:.3f}",
                one.verdict if one.better is None else f"{one.better} better",
            )
            for one in summary.pairs
        ),
    )


def _points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * difference:+.1f}"
