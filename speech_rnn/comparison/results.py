"""The file of a comparison's results: a line that says what is compared, and a line for each training that is done."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product, zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from speech_rnn import atomic
from speech_rnn.comparison.plan import ComparisonPlan, Contender, Trial
from speech_rnn.config import Words
from speech_rnn.data.clips import SourceRecord
from speech_rnn.errors import DataError, SettingsError
from speech_rnn.history import Epoch, score
from speech_rnn.processes import alone
from speech_rnn.settings import Settings, shown

RESULTS_VERSION = 2
RESULTS = "results.jsonl"  # in the folder of a comparison
RUNS = "runs"  # beside it, a folder a trial
LOG = "trainings.log"
AGAIN = "run speech-rnn compare again, into another folder"
NAME_OF_ANSWERS = re.compile(r"[a-z][a-z0-9_]*:(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)")
S = TypeVar("S", bound=Settings)


class Header(Settings):
    """What is compared, on what.

    Attributes:
        version: of this format.
        plan: all settings.
        labels: in the order of the scores.
        contenders: the cells at each budget.
        recordings: what they were trained and judged on.
        targets: of the clips by which each is judged, indices of the right labels.
        made_with: versions of the libraries.
    """

    version: int = RESULTS_VERSION
    plan: ComparisonPlan
    labels: Words
    contenders: Annotated[tuple[Contender, ...], Field(strict=False)]
    recordings: Annotated[tuple[SourceRecord, ...], Field(strict=False)]
    targets: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
    made_with: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        most = len(self.labels) - 1
        outside = [target for target in self.targets if not 0 <= target <= most]
        if outside:
            raise ValueError(f"targets has {outside[0]}, which must be the place of a label, 0 to {most}; {AGAIN}")
        return self

    @property
    def trials(self) -> list[Trial]:
        """All trainings, in their order."""
        return self.plan.trials(self.contenders)

    @property
    def judged_clips(self) -> int:
        """Clips by which each is judged."""
        return len(self.targets)


class Answers(Settings):
    """Which of some clips are right.

    Attributes:
        n: clips.
        right: a bit each, in hexadecimal.
    """

    n: int = Field(ge=1)
    right: str

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            n_bytes = len(bytes.fromhex(self.right))
        except ValueError:
            n_bytes = -1
        if n_bytes != (self.n + 7) // 8:
            raise ValueError(f"right={shown(self.right)} must be n={self.n} bits in hexadecimal")
        return self

    @classmethod
    def of(cls, right: NDArray[np.bool_]) -> Self:
        """From bool [n].

        >>> Answers.of(np.array([True, False, True, False, False, False, False, False, True])).right
        'a080'
        """
        return cls(n=len(right), right=np.packbits(right).tobytes().hex())

    def bits(self) -> NDArray[np.bool_]:
        """Which clips are right: bool [n]."""
        return np.unpackbits(np.frombuffer(bytes.fromhex(self.right), np.uint8), count=self.n).astype(np.bool_)


class Finished(Settings):
    """What came of a training.

    Attributes:
        key: of the trial.
        units: of a recurrent layer.
        parameters, int8_bytes, macs_per_second: what the classifier costs.
        history: an entry an epoch.
        answers: which of the judged clips the weights of the last epoch have right; ``None`` where it was judged by
            other clips, in choosing a learning rate.
        seconds: of all epochs; what lies between a stop and going on doesn't count.
    """

    kind: Literal["trained"] = "trained"
    key: str
    units: int
    parameters: int
    int8_bytes: int
    macs_per_second: float
    history: Annotated[tuple[Epoch, ...], Field(strict=False, min_length=1)]
    answers: Answers | None
    seconds: float

    def right_answers(self) -> NDArray[np.bool_]:
        """Which of the judged clips are right: bool [n].

        Raises:
            DataError: it was not judged by them.
        """
        if self.answers is None:
            raise DataError(f"{self.key} chose a learning rate, and was not judged by the clips that judge the cells")
        return self.answers.bits()


class Measured(Settings):
    """What a trained cell does with other sound than the judged clips as they are.

    Attributes:
        key: of the trial.
        answers: ``WHAT:NUMBER`` -> which of its clips are right, the same clips for all trials: ``recorded:0``,
            ``snr:10`` (dB), ``speed:0.8``, ``level:-30`` (dB), ``int8:0`` (weights and products of 8 bits),
            ``gap_silence:2``, ``gap_noise:2``, ``gap_words:2`` (asked so many seconds after the word), and
            ``taught_gap_silence:2`` and so on, after further training with such gaps.
        gradient_norms: mean norm of the gradient of the right label's logit by a frame, logits a unit of MFCC, first
            the last frame, then the one before it and so on.
    """

    kind: Literal["measured"] = "measured"
    key: str
    answers: Mapping[str, Answers]
    gradient_norms: Annotated[tuple[float, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.answers:
            found = NAME_OF_ANSWERS.fullmatch(name)
            # Written in one way only, so that no condition has two names.
            if found is None or f"{float(found[1]):g}" != found[1]:
                raise ValueError(f"answers has {shown(name)}, which must be WHAT:NUMBER; 'snr:10' is an example")
        return self


class Costs(Settings):
    """What a cell of some units costs in training and on a device, taken beside the others in one run.

    Figures of a form are ``None`` where the cell can't be converted to it; see
    :mod:`speech_rnn.comparison.costs.cell_costs`.

    Attributes:
        cell, units: of which.
        training_step_s: of the processor, for a batch on one thread; the least of many, as are all times here.
        training_memory_bytes: highest resident size of a process that trains it, over one that only has the libraries;
            most of it is graph.
        training_step_memory_bytes: what a step takes and gives back, which grows with batch, steps and units; ``None``
            on other systems than Linux.
        step_us_float32, step_us_int8: of LiteRT with XNNPACK, as streams run it; a step is ``stack`` frames. From
            features to scores and new states, all of which are in its memory.
        clip_us_float32, clip_us_int8: of LiteRT without XNNPACK, as clips are run; from features to scores, all steps
            in one graph.
        file_bytes_float32, file_bytes_int8: of the stream file, without front end and card.
        board_bytes: of the step for a board, in integers.
        arena_bytes: memory that TensorFlow Lite for Microcontrollers needs for it, on this machine; ``None`` also where
            the package isn't there.
        state_bytes_float32: what a stream remembers from step to step.
        machine: on which; see :func:`speech_rnn.processes.this_machine`. Empty where that isn't known.
    """

    kind: Literal["costs"] = "costs"
    cell: str
    units: int
    training_step_s: float
    training_memory_bytes: int
    training_step_memory_bytes: int | None
    step_us_float32: float | None
    step_us_int8: float | None
    clip_us_float32: float | None
    clip_us_int8: float | None
    file_bytes_float32: int | None
    file_bytes_int8: int | None
    board_bytes: int | None
    arena_bytes: int | None
    state_bytes_float32: int
    machine: str = ""

    @property
    def key(self) -> str:
        """Its name."""
        return f"{self.cell}-{self.units}"


Line = Finished | Measured | Costs
KINDS: dict[str, type[Line]] = {"trained": Finished, "measured": Measured, "costs": Costs}


@dataclass(frozen=True)
class Results:
    """A comparison as far as it is done.

    Attributes:
        header: what is compared.
        finished: by key, in the order in which they were done.
        measured: likewise; not all trials are.
        costs: by ``CELL-UNITS``.
    """

    header: Header
    finished: Mapping[str, Finished]
    measured: Mapping[str, Measured] = field(default_factory=dict)
    costs: Mapping[str, Costs] = field(default_factory=dict)

    @property
    def learning_rates(self) -> dict[str, float]:
        """By cell: what was given, else the best in the trainings that choose it; of equally good ones the smallest.

        Cells whose trainings aren't all done are left out.

        Raises:
            DataError: one of these trainings was judged by no clips.
        """
        tried: dict[str, list[Trial]] = {}
        for trial in self.header.trials:
            if trial.study == "rates":
                tried.setdefault(trial.cell, []).append(trial)
        done = {cell: trials for cell, trials in tried.items() if all(trial.key in self.finished for trial in trials)}
        best = {
            cell: max(trials, key=lambda trial: (_tuned(self.finished[trial.key]), -trial.value)).value
            for cell, trials in done.items()
        }
        return {**best, **self.header.plan.learning_rates}

    @property
    def missing(self) -> list[Trial]:
        """What is to be trained yet, in its order."""
        return [trial for trial in self.header.trials if trial.key not in self.finished]


def _tuned(finished: Finished) -> float:
    """How good a learning rate is."""
    last = finished.history[-1]
    if last.validation_accuracy is None:
        raise DataError(
            f"{finished.key} was judged by {last.validation_clips} tuning clips; a learning rate is chosen by one or "
            "more: give the learning rates, and another -o folder"
        )
    return score(last)


def read_results(path: Path) -> Results:
    """The results in a file; a last line without an end was cut off, and isn't there.

    Raises:
        DataError: there is no such file, or it has another version.
        SettingsError: a line that doesn't belong there.
    """
    try:
        # Not readlines: what follows the last end of a line is no line.
        first, *lines = path.read_bytes().split(b"\n")[:-1] or [b""]
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror}); give a folder of speech-rnn compare") from None
    header = _header(path, first)
    results = Results(header, {})
    for number, line in enumerate(lines, 2):
        one = _parsed_line(path, number, line)
        if (fault := _fault(results, one)) is not None:
            raise SettingsError(f"line {number} of {path} {fault}; remove that line")
        results = _with(results, one)
    return results


def _with(results: Results, line: Line) -> Results:
    if isinstance(line, Finished):
        return replace(results, finished={**results.finished, line.key: line})
    if isinstance(line, Measured):
        return replace(results, measured={**results.measured, line.key: line})
    return replace(results, costs={**results.costs, line.key: line})


def _fault(results: Results, line: Line) -> str | None:
    """Why a line doesn't belong to some results, in words."""
    header = results.header
    keys, there = {trial.key for trial in header.trials}, set(results.finished)
    if isinstance(line, Measured):
        there = set(results.measured)
    elif isinstance(line, Costs):
        keys, there = {f"{one.cell}-{one.units}" for one in header.contenders}, set(results.costs)
    if line.key in there or line.key not in keys:
        return f"has key={shown(line.key)}, which must be of this comparison, and there once"
    if isinstance(line, Finished) and line.answers is not None and line.answers.n != header.judged_clips:
        return f"has n={line.answers.n} clips, which must be the {header.judged_clips} of this comparison"
    return _other_clips(results, line) if isinstance(line, Measured) else None


def _other_clips(results: Results, line: Measured) -> str | None:
    """As :func:`_fault`, where a cell was asked of fewer or more clips than the others."""
    for other in results.measured.values():
        for name in line.answers.keys() & other.answers.keys():
            n, usual = line.answers[name].n, other.answers[name].n
            if n != usual:
                return f"has n={n} clips of {shown(name)}, which must be the {usual} of {other.key}"
    return None


class ResultsFile:
    """A file of results that this process alone adds to; :func:`open_results` gives it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results = read_results(path)
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)

    def add(self, *lines: Line) -> None:
        """Add lines, on the disk when this returns."""
        with self._path.open("ab") as file:
            file.write(b"".join(line.model_dump_json().encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        for line in lines:
            self.results = _with(self.results, line)


@contextmanager
def open_results(path: Path, header: Header) -> Iterator[ResultsFile]:
    """Go on with a file of results, or begin it.

    Args:
        path: of the file; its folder is made.
        header: what is compared now.

    Raises:
        DataError: another process is at it, or it holds another comparison.
        SettingsError: it has a line that doesn't belong there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent
    taken = DataError(f"another process runs the comparison in {folder}; wait for it, or give another -o folder")
    with alone(folder / ".lock", taken):
        atomic.remove_leftovers(path)
        if not path.exists():
            atomic.write_text(path, header.model_dump_json() + "\n")
        file = ResultsFile(path)
        _refuse_another(path, file.results.header, header)
        yield file


def _refuse_another(path: Path, there: Header, here: Header) -> None:
    """Raise :class:`DataError` where results would be put together that can't be compared."""
    differing = _first_difference(_decisive(there), _decisive(here))
    if differing is not None:
        name, one, other = differing
        raise DataError(
            f"{path} holds another comparison: {name} is {shown(one)} there and {shown(other)} here; "
            "give the options that it was begun with, or another -o folder"
        )


def _decisive(header: Header) -> dict[str, Any]:
    """What must be equal, as JSON has it; where recordings lie doesn't matter, nor what they are called."""
    values: dict[str, Any] = json.loads(header.model_dump_json(exclude={"made_with", "recordings"}))
    return {**values.pop("plan"), **values, "digest of recordings": [one.digest for one in header.recordings]}


def _first_difference(one: object, other: object, name: str = "") -> tuple[str, object, object] | None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            found = _first_difference(one.get(key), other.get(key), f"{name}.{key}" if name else key)
            if found is not None:
                return found
        return None
    return None if one == other else (name, one, other)


def _header(path: Path, line: bytes) -> Header:
    if not line:
        raise DataError(f"{path} is empty, and must begin with a line of what is compared; {AGAIN}")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    version = values.get("version") if isinstance(values, dict) else None
    if version != RESULTS_VERSION:
        raise DataError(f"{path} has version {shown(version)}, which must be {RESULTS_VERSION}; {AGAIN}")
    header = _parsed(path, 1, Header, line)
    there = [(one.budget, one.size, one.cell) for one in header.contenders]
    wanted = list(product(header.plan.budgets, header.plan.sizes, header.plan.cells))
    for one, other in zip_longest(there, wanted):
        if one != other:
            raise SettingsError(
                f"line 1 of {path}: contenders has {_in_words(one)} where the plan has {_in_words(other)}, and must be "
                f"each cell at each budget and size; {AGAIN}"
            )
    return header


def _in_words(place: tuple[str, int, str] | None) -> str:
    return "none" if place is None else "{2} at {0} of size {1}".format(*place)


def _parsed_line(path: Path, number: int, line: bytes) -> Line:
    try:
        kind = json.loads(line)["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        kind = None
    if not isinstance(kind, str) or kind not in KINDS:
        raise SettingsError(
            f"line {number} of {path} has kind {shown(kind)}, which must be one of {', '.join(KINDS)}; remove that line"
        )
    return _parsed(path, number, KINDS[kind], line)


def _parsed(path: Path, number: int, kind: type[S], line: bytes) -> S:
    try:
        return kind.from_json(line)
    except SettingsError as error:
        raise SettingsError(f"line {number} of {path}: {error}") from None
