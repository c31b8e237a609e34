"""A comparison is run: what is missing is trained, side by side where asked for, and judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import keras
import numpy as np

from speech_rnn import training
from speech_rnn.comparison.costs.cell_costs import measure_costs
from speech_rnn.comparison.measures.measuring import is_measured, measure, to_measure
from speech_rnn.comparison.plan import TUNING_SHARE, ComparisonPlan, Trial
from speech_rnn.comparison.results import (
    LOG,
    RESULTS,
    RUNS,
    Answers,
    Finished,
    Header,
    Measured,
    Results,
    ResultsFile,
    open_results,
)
from speech_rnn.comparison.side_by_side import as_done, shared_store, side_by_side
from speech_rnn.config import RunSettings
from speech_rnn.data.batch_files import bytes_of
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.store import Store
from speech_rnn.data.task import Task
from speech_rnn.errors import ModelError
from speech_rnn.history import Epoch
from speech_rnn.preparation import Prepared
from speech_rnn.progress import duration
from speech_rnn.runs import RunRecord, load_run
from speech_rnn.scoring import judged_clips, score_run

BATCHES = "batches"
PASSING = ".passing"  # in the folder of a run that goes when its line is in the results
LIBRARIES = ("speech-rnn", "keras", "tensorflow", "librosa", "numpy")
MOST_BATCH_BYTES = 8 * 2**30  # of one seed's batches on disk; where there are more, each training makes its own


def run_comparison(
    folder: Path,
    plan: ComparisonPlan,
    prepared: Prepared,
    *,
    jobs: int = 0,
    workers: int | None = None,
    keep_runs: bool = False,
    measured: bool = False,
    costs: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Results:
    """Train and judge what a folder doesn't hold yet.

    Args:
        folder: of the comparison; made where it isn't there, gone on with where it is.
        plan: what is compared.
        prepared: the recordings.
        jobs: trainings side by side, each in a process of its own with one thread; 0: in this process.
        workers: processes that make batches for a training in this process; as many as there are cores where not
            given.
        keep_runs: whether a run stays in ``runs/KEY`` when its line is in the results.
        measured: whether each cell is measured too, see :mod:`speech_rnn.comparison.measures.measuring`, also those
            that were trained before and are kept; half a minute a training, one or two where it is taught to remember.
        costs: whether what the cells cost is measured at the end; see :mod:`speech_rnn.comparison.costs.cell_costs`.
        say: told a line before and after each training.

    Raises:
        DataError: the task's words aren't there, the part to judge by is empty, the folder holds another comparison, or
            another process is at it.
        ModelError: a loss that is no number any more, or a run's files are damaged.
        SpeechRnnError: a training's process was killed.
        Interrupted: Ctrl-C; what was done is saved.
    """
    header = _header(plan, prepared)
    with open_results(folder / RESULTS, header) as file:
        comparison = _Comparison(folder, file, prepared, say, jobs=jobs, keep_runs=keep_runs, measured=measured)
        with _saying_how_to_go_on(folder):
            comparison.remove_leftovers()
            if measured:
                comparison.measure_kept(workers)
            if not jobs:
                comparison.run_here(workers)
            elif file.results.missing:
                comparison.run_side_by_side()
            if costs:
                measure_costs(file, folder)
        return file.results


@contextmanager
def _saying_how_to_go_on(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise training.Interrupted(f"stopped and saved; the same command with -o {folder} goes on from there") from None


def seconds_left(results: Results, jobs: int = 1) -> float | None:
    """How long what is missing will take at the pace of what was done; ``None`` if nothing was.

    Args:
        results: as far as they are done.
        jobs: trainings side by side; 0 and 1: one after another.
    """
    if not results.finished:
        return None
    header = results.header
    trials = {trial.key: trial for trial in header.trials}
    paces: dict[tuple[str, int], list[float]] = {}
    for key, one in results.finished.items():
        paces.setdefault((trials[key].cell, trials[key].units), []).append(one.seconds / _length(header, trials[key]))
    usual = float(np.mean([pace for some in paces.values() for pace in some]))
    serial = sum(
        _length(header, trial) * float(np.mean(paces.get((trial.cell, trial.units), usual)))
        for trial in results.missing
    )
    return serial / max(1, min(jobs, len(results.missing)))


def _length(header: Header, trial: Trial) -> float:
    """Of a training, in epochs that hear all clips."""
    settings = header.plan.settings_of(trial, {})
    return settings.training.epochs * settings.task.heard_share * settings.task.heard_times


def _header(plan: ComparisonPlan, prepared: Prepared) -> Header:
    labels = Task.to_learn(plan.base.task, prepared.store.clips).labels
    contenders = plan.contenders(len(labels))
    # The task of the trainings that choose a rate, as that of the others: refused before anything is written.
    if any(trial.study == "rates" for trial in plan.trials(contenders)):
        Task.to_learn(plan.base.task.changed(tuning_share=TUNING_SHARE), prepared.store.clips)
    return Header(
        plan=plan,
        labels=labels,
        contenders=contenders,
        recordings=_recordings(prepared),
        targets=tuple(judged_clips(labels, plan.base, prepared.store, plan.part).items.label.tolist()),
        made_with={library: version(library) for library in LIBRARIES},
    )


def _recordings(prepared: Prepared) -> tuple[SourceRecord, ...]:
    return tuple(
        SourceRecord(name=name, origin=source.origin, digest=source.digest(), synthetic=source.synthetic)
        for name, source in zip(prepared.names, prepared.sources, strict=True)
    )


class _Comparison:
    """A comparison at work."""

    def __init__(
        self,
        folder: Path,
        file: ResultsFile,
        prepared: Prepared,
        say: Callable[[str], None],
        *,
        jobs: int,
        keep_runs: bool,
        measured: bool,
    ) -> None:
        self._jobs = jobs
        self._folder, self._file, self._prepared = folder, file, prepared
        self._keep_runs, self._measured, self._say = keep_runs, measured, say

    def remove_leftovers(self) -> None:
        """Remove what a kill has left: batches that nobody hears any more or that aren't whole, runs that are done.

        Runs that were kept when they were trained stay.
        """
        results, runs = self._file.results, self._folder / RUNS
        needed = {_heard_by(one) for one in results.missing}
        for batches in (self._folder / BATCHES).glob("*"):
            if batches.name not in needed:
                shutil.rmtree(batches, ignore_errors=True)
            for half in batches.glob(".*"):
                half.unlink(missing_ok=True)
        if self._keep_runs:
            return
        asked = {one.key for one in to_measure(results, runs)} if self._measured else set[str]()
        for key in results.finished:
            if key not in asked and (runs / key / PASSING).exists():
                shutil.rmtree(runs / key, ignore_errors=True)

    def measure_kept(self, workers: int | None) -> None:
        """Measure what was trained before; ``workers`` are those of :func:`run_comparison`."""
        results, runs = self._file.results, self._folder / RUNS
        asked = [_Asked(runs / one.key, results.header, one, None, True) for one in to_measure(results, runs)]
        for one in asked:
            settings = results.header.plan.settings_of(one.trial, results.learning_rates)
            _lay_down(one.run, settings, results.header, one.trial, self._prepared)
        if not self._jobs:
            for one in asked:
                keras.backend.clear_session()
                self._add_measured(_measured(one, self._prepared.store, workers))
        elif asked:
            with side_by_side(self._jobs, self._prepared.store, self._folder / LOG) as pool:
                for done in as_done(pool, self._jobs, _measured_there, asked):
                    self._add_measured(done)

    def _add_measured(self, measured: Measured) -> None:
        self._file.add(measured)
        self._say(f"  {measured.key} is measured")

    def run_here(self, workers: int | None) -> None:
        """Train what is missing, one after another."""
        for _, trials in self._studies():
            for trial in trials:
                asked = self._begin(trial)
                # Nothing of the training before: its graphs would stay in memory until the last.
                keras.backend.clear_session()
                self._finish(*train_and_judge(asked, self._prepared.store, workers=workers))

    def run_side_by_side(self) -> None:
        """Train what is missing in processes; at Ctrl-C they are ended, and lose what came after their checkpoints."""
        with side_by_side(self._jobs, self._prepared.store, self._folder / LOG) as pool:
            for _, trials in self._studies():
                for done in as_done(pool, self._jobs, _train_and_judge_there, map(self._begin, trials)):
                    self._finish(*done)

    def _studies(self) -> Iterator[tuple[str, list[Trial]]]:
        """What is missing; a study begins when the one before it is done, since the first chooses learning rates."""
        for study, trials in groupby(self._file.results.missing, lambda trial: trial.study):
            yield study, list(trials)

    def _begin(self, trial: Trial) -> _Asked:
        results = self._file.results
        header, left = results.header, seconds_left(results, self._jobs)
        number = 1 + [one.key for one in header.trials].index(trial.key)
        of_time = "" if left is None else f", {duration(left)} left"
        self._say(f"{number} of {len(header.trials)}: {_in_words(trial)}{of_time}")
        run = self._folder / RUNS / trial.key
        settings = header.plan.settings_of(trial, results.learning_rates)
        _lay_down(run, settings, header, trial, self._prepared)
        if self._keep_runs:
            (run / PASSING).unlink(missing_ok=True)
        else:
            (run / PASSING).touch()
        return _Asked(run, header, trial, self._batch_folder(trial), self._measured and is_measured(header, trial))

    def _batch_folder(self, trial: Trial) -> Path | None:
        """Where batches are kept for all cells that hear the same; ``None`` where they would be too many."""
        record = RunRecord.read(self._folder / RUNS / trial.key)
        size = bytes_of(record.settings, record.clips)
        # Twice, so that something is left.
        if size > MOST_BATCH_BYTES or 2 * size > shutil.disk_usage(self._folder).free:
            return None
        return self._folder / BATCHES / _heard_by(trial)

    def _finish(self, finished: Finished, measured: Measured | None) -> None:
        self._file.add(finished, *([] if measured is None else [measured]))
        header = self._file.results.header
        trial = next(one for one in header.trials if one.key == finished.key)
        if not self._keep_runs:
            shutil.rmtree(self._folder / RUNS / trial.key, ignore_errors=True)
        needed = {_heard_by(one) for one in self._file.results.missing}
        if _heard_by(trial) not in needed:
            shutil.rmtree(self._folder / BATCHES / _heard_by(trial), ignore_errors=True)
        self._say(f"  {_in_words(trial)}: {_figure(finished)}, {duration(finished.seconds)}")


@dataclass(frozen=True)
class _Asked:
    """A training that is laid down.

    Attributes:
        run: its folder.
        header: of the comparison.
        trial: which.
        batches: folder of batches that others hear too.
        measured: whether the cell is measured when it is trained.
    """

    run: Path
    header: Header
    trial: Trial
    batches: Path | None
    measured: bool


def train_and_judge(asked: _Asked, store: Store, *, workers: int | None) -> tuple[Finished, Measured | None]:
    """Run a training to its end, from wherever it is, judge its last weights, and measure them where that is asked."""
    header, trial = asked.header, asked.trial
    try:
        history = training.train(asked.run, store, workers=workers, batch_folder=asked.batches)
    except ModelError as error:
        raise ModelError(f"{trial.key}: {error}") from None
    answers = None
    if trial.study != "rates":
        scored = score_run(load_run(asked.run, "final"), store, header.plan.part, workers=workers)
        answers = Answers.of(np.asarray(scored.logits.argmax(axis=1) == scored.targets))
    measured = _measured(asked, store, workers) if asked.measured else None
    return _finished(header, trial, history, answers), measured


def _measured(asked: _Asked, store: Store, workers: int | None) -> Measured:
    try:
        return measure(asked.run, asked.header, asked.trial, store, workers=workers)
    except ModelError as error:
        raise ModelError(f"{asked.trial.key}: {error}") from None


def _measured_there(asked: _Asked) -> Measured:
    keras.backend.clear_session()
    return _measured(asked, shared_store(), 0)


def _train_and_judge_there(asked: _Asked) -> tuple[Finished, Measured | None]:
    keras.backend.clear_session()
    return train_and_judge(asked, shared_store(), workers=0)


def _lay_down(run: Path, settings: RunSettings, header: Header, trial: Trial, prepared: Prepared) -> None:
    """Begin a training's run, or make sure that the one which is there is of this comparison."""
    if not (run / "run.json").exists():
        training.start(run, settings, prepared.sources, prepared.names, prepared.store)
        return
    record = RunRecord.read(run)
    digests = [[source.digest for source in sources] for sources in (record.sources, header.recordings)]
    if record.settings != settings or digests[0] != digests[1]:
        raise ModelError(f"{run} is a run of another comparison; remove it, or give another -o folder")


def _heard_by(trial: Trial) -> str:
    """A name for what a training hears, the same for all that hear the same."""
    share = f"-share{trial.value:g}" if trial.study == "shares" else ""
    return f"{'tuning' if trial.study == 'rates' else 'seed'}{trial.seed}{share}"


def _in_words(trial: Trial) -> str:
    of_study = {
        "rates": f"learning rate {trial.value:g}",
        "cells": f"seed {trial.seed}",
        "shares": f"seed {trial.seed}, {trial.value:.3g} of the clips",
    }
    return f"{trial.cell}, {trial.units} units, {of_study[trial.study]}"


def _figure(finished: Finished) -> str:
    if finished.answers is not None:
        return f"{finished.answers.bits().mean():.2%} of {finished.answers.n:,} clips right"
    last = finished.history[-1]
    return f"{last.validation_accuracy or 0.0:.2%} of {last.validation_clips:,} tuning clips right"


def _finished(header: Header, trial: Trial, history: Sequence[Epoch], answers: Answers | None) -> Finished:
    contender = next(one for one in header.contenders if (one.cell, one.units) == (trial.cell, trial.units))
    return Finished(
        key=trial.key,
        units=contender.units,
        parameters=contender.parameters,
        int8_bytes=contender.int8_bytes,
        macs_per_second=contender.macs_per_second,
        history=tuple(history),
        answers=answers,
        seconds=round(sum(entry.seconds for entry in history), 3),
    )
