"""A file of outcomes, a line each: what is in it isn't done again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from speech_rnn.errors import SettingsError
from speech_rnn.memory_tasks.experiment import Experiment, Outcome, run


def read_outcomes(path: Path) -> list[Outcome]:
    """The outcomes of a file, none where there is no file; a last line without an end is one that was cut off.

    Raises:
        SettingsError: a line that is no outcome.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_outcome(path, number, line) for number, line in enumerate(lines, 1)]


def append_outcome(path: Path, outcome: Outcome) -> None:
    """Add a line, whole or not at all, whoever else adds some; what was cut off before is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.write(outcome.model_dump_json().encode() + b"\n")
        os.fsync(file.fileno())


def run_missing(
    experiments: Iterable[Experiment],
    path: Path,
    report: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run those experiments that a file doesn't hold yet, adding each as soon as it is done.

    Args:
        experiments: in the order in which they are run.
        path: of the file.
        report: called for each that was run.

    Returns:
        The outcomes of all of them, in their order.

    Raises:
        ModelError: an unknown cell, or a loss that is no number any more.
        SettingsError: a line of the file is no outcome.
    """
    wanted = list(experiments)
    done = {outcome.experiment.to_json(): outcome for outcome in read_outcomes(path)}
    for experiment in wanted:
        if experiment.to_json() not in done:
            outcome = run(experiment)
            append_outcome(path, outcome)
            done[experiment.to_json()] = outcome
            report(outcome)
    return [done[experiment.to_json()] for experiment in wanted]


def _outcome(path: Path, number: int, line: bytes) -> Outcome:
    try:
        return Outcome.from_json(line)
    except SettingsError as error:
        raise SettingsError(f"line {number} of {path}: {error}") from None
