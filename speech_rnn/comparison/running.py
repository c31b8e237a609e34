"""A comparison is run: what is missing is trained, one after another, and judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn import training
from speech_rnn.comparison.plan import ComparisonPlan, Trial
from speech_rnn.comparison.results import Finished, Header, Results, ResultsFile, open_results, packed
from speech_rnn.data.store import Store
from speech_rnn.data.task import Task
from speech_rnn.errors import ModelError
from speech_rnn.preparation import Prepared
from speech_rnn.progress import duration
from speech_rnn.runs import RunRecord, SourceRecord, load_run
from speech_rnn.scoring import JudgedPart, judged_clips, score_run

RESULTS = "results.jsonl"
RUNS = "runs"
LIBRARIES = ("speech-rnn", "keras", "tensorflow", "librosa", "numpy")


def run_comparison(
    folder: Path,
    plan: ComparisonPlan,
    prepared: Prepared,
    *,
    workers: int | None = None,
    keep_runs: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Results:
    """Train and judge what a folder doesn't hold yet.

    Args:
        folder: of the comparison; made where it isn't there, gone on with where it is.
        plan: what is compared.
        prepared: the recordings.
        workers: processes that make batches; as many as there are cores where not given.
        keep_runs: whether a run stays in ``runs/KEY`` when its line is in the results.
        say: told a line before and after each training.

    Raises:
        DataError: the task's words aren't there, the part to judge by is empty, the folder holds another comparison, or
            another process is at it.
        ModelError: a loss that is no number any more, or a run's files are damaged.
        Interrupted: Ctrl-C; what was done is saved.
    """
    header = _header(plan, prepared)
    with open_results(folder / RESULTS, header) as file:
        try:
            _run_missing(folder, file, prepared, workers=workers, keep_runs=keep_runs, say=say)
        except KeyboardInterrupt:
            raise training.Interrupted(
                f"stopped and saved; the same command with -o {folder} goes on from there"
            ) from None
        return file.results


def seconds_left(results: Results) -> float | None:
    """How long what is missing will take, at the pace of what was done; ``None`` where nothing was."""
    if not results.finished:
        return None
    trials = {trial.key: trial for trial in results.header.trials}
    paces: dict[tuple[str, int], list[float]] = {}
    for key, one in results.finished.items():
        paces.setdefault((trials[key].cell, trials[key].units), []).append(one.seconds)
    usual = float(np.mean([one.seconds for one in results.finished.values()]))
    return sum(float(np.mean(paces.get((trial.cell, trial.units), usual))) for trial in results.missing)


def _header(plan: ComparisonPlan, prepared: Prepared) -> Header:
    labels = Task.to_learn(plan.base.task, prepared.store.clips).labels
    return Header(
        plan=plan,
        labels=labels,
        contenders=plan.contenders(len(labels)),
        recordings=tuple(
            SourceRecord(name=name, origin=source.origin, digest=source.digest(), synthetic=source.synthetic)
            for name, source in zip(prepared.names, prepared.sources, strict=True)
        ),
        judged_clips=len(judged_clips(labels, plan.base, prepared.store, plan.part).items),
        made_with={library: version(library) for library in LIBRARIES},
    )


def _run_missing(
    folder: Path,
    file: ResultsFile,
    prepared: Prepared,
    *,
    workers: int | None,
    keep_runs: bool,
    say: Callable[[str], None],
) -> None:
    header = file.results.header
    total = len(header.trials)
    for trial in file.results.missing:
        done, left = len(file.results.finished), seconds_left(file.results)
        of_time = "" if left is None else f", {duration(left)} left"
        say(f"{done + 1} of {total}: {trial.cell}, {trial.units} units, seed {trial.seed}{of_time}")
        run = folder / RUNS / trial.key
        _lay_down(run, header, trial, prepared)
        # Nothing of the training before: its graphs would stay in memory until the last.
        keras.backend.clear_session()
        try:
            history = training.train(run, prepared.store, workers=workers)
        except ModelError as error:
            raise ModelError(f"{trial.key}: {error}") from None
        right = _right(run, header.plan.part, prepared.store, workers)
        finished = _finished(header, trial, history, right)
        file.add(finished)
        if not keep_runs:
            shutil.rmtree(run, ignore_errors=True)
        say(f"  {np.mean(finished.right_answers()):.2%} of {finished.n:,} clips right, {duration(finished.seconds)}")


def _lay_down(run: Path, header: Header, trial: Trial, prepared: Prepared) -> None:
    """Begin a training's run, or make sure that the one which is there is of this comparison."""
    settings = header.plan.settings_of(trial)
    if not (run / "run.json").exists():
        training.start(run, settings, prepared.sources, prepared.names, prepared.store)
        return
    record = RunRecord.read(run)
    digests = [[source.digest for source in sources] for sources in (record.sources, header.recordings)]
    if record.settings != settings or digests[0] != digests[1]:
        raise ModelError(f"{run} is a run of another comparison; remove it, or give another -o folder")


def _right(run: Path, part: JudgedPart, store: Store, workers: int | None) -> NDArray[np.bool_]:
    """What the last weights of a run have right: bool [clips]."""
    scored = score_run(load_run(run, "final"), store, part, workers=workers)
    return np.asarray(scored.logits.argmax(axis=1) == scored.targets)


def _finished(header: Header, trial: Trial, history: Sequence[training.Epoch], right: NDArray[np.bool_]) -> Finished:
    contender = next(one for one in header.contenders if one.trial(trial.seed) == trial)
    return Finished(
        key=trial.key,
        units=contender.units,
        parameters=contender.parameters,
        int8_bytes=contender.int8_bytes,
        macs_per_second=contender.macs_per_second,
        history=tuple(history),
        right=packed(right),
        n=len(right),
        seconds=round(sum(entry.seconds for entry in history), 3),
    )
