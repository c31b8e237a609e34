"""The file of a comparison's results: a line that says what is compared, and a line for each training that is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from speech_rnn import atomic
from speech_rnn.comparison.plan import ComparisonPlan, Contender, Trial
from speech_rnn.config import Words
from speech_rnn.errors import DataError, SettingsError
from speech_rnn.processes import alone
from speech_rnn.runs import SourceRecord
from speech_rnn.settings import Settings, shown
from speech_rnn.training import Epoch

RESULTS_VERSION = 1
S = TypeVar("S", bound=Settings)


class Header(Settings):
    """What is compared, on what.

    Attributes:
        version: of this format.
        plan: all settings.
        labels: in the order of the scores.
        contenders: the cells at each budget.
        recordings: what they were trained and judged on.
        judged_clips: clips by which each is judged.
        made_with: versions of the libraries.
    """

    version: int = RESULTS_VERSION
    plan: ComparisonPlan
    labels: Words
    contenders: Annotated[tuple[Contender, ...], Field(strict=False)]
    recordings: Annotated[tuple[SourceRecord, ...], Field(strict=False)]
    judged_clips: int
    made_with: dict[str, str]

    @property
    def trials(self) -> list[Trial]:
        """All trainings, in their order."""
        return self.plan.trials(self.contenders)


class Finished(Settings):
    """What came of a training.

    Attributes:
        key: of the trial.
        units: of a recurrent layer.
        parameters, int8_bytes, macs_per_second: what the classifier costs.
        history: an entry an epoch.
        right: which of the judged clips the weights of the last epoch have right, a bit each, in hexadecimal.
        n: judged clips.
        seconds: of all epochs; what lies between a stop and going on doesn't count.
    """

    key: str
    units: int
    parameters: int
    int8_bytes: int
    macs_per_second: float
    history: Annotated[tuple[Epoch, ...], Field(strict=False, min_length=1)]
    right: str
    n: int = Field(ge=1)
    seconds: float

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            n_bytes = len(bytes.fromhex(self.right))
        except ValueError:
            n_bytes = -1
        if n_bytes != (self.n + 7) // 8:
            raise ValueError(f"right={shown(self.right)} must be n={self.n} bits in hexadecimal")
        return self

    def right_answers(self) -> NDArray[np.bool_]:
        """Which clips are right: bool [n]."""
        return np.unpackbits(np.frombuffer(bytes.fromhex(self.right), np.uint8), count=self.n).astype(np.bool_)


def packed(right: NDArray[np.bool_]) -> str:
    """Bool [n] as :class:`Finished` has it.

    >>> packed(np.array([True, False, True, False, False, False, False, False, True]))
    'a080'
    """
    return np.packbits(right).tobytes().hex()


@dataclass(frozen=True)
class Results:
    """A comparison as far as it is done.

    Attributes:
        header: what is compared.
        finished: by key, in the order in which they were done.
    """

    header: Header
    finished: Mapping[str, Finished]

    @property
    def missing(self) -> list[Trial]:
        """What is to be trained yet, in its order."""
        return [trial for trial in self.header.trials if trial.key not in self.finished]


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
    keys = {trial.key for trial in header.trials}
    finished: dict[str, Finished] = {}
    for number, line in enumerate(lines, 2):
        one = _parsed(path, number, Finished, line)
        if one.key not in keys or one.key in finished or one.n != header.judged_clips:
            raise SettingsError(
                f"line {number} of {path} has key={shown(one.key)} and n={one.n}, which must be of this comparison, "
                "and there once; remove that line"
            )
        finished[one.key] = one
    return Results(header, finished)


class ResultsFile:
    """A file of results that this process alone adds to; :func:`open_results` gives it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results = read_results(path)
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)

    def add(self, finished: Finished) -> None:
        """Add a line, on the disk when this returns."""
        with self._path.open("ab") as file:
            file.write(finished.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.results = Results(self.results.header, {**self.results.finished, finished.key: finished})


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
    try:
        values = json.loads(line)
    except ValueError:
        values = None
    version = values.get("version") if isinstance(values, dict) else None
    if version != RESULTS_VERSION:
        raise DataError(
            f"{path} has version {shown(version)}, this program reads {RESULTS_VERSION}; give another -o folder"
        )
    return _parsed(path, 1, Header, line)


def _parsed(path: Path, number: int, kind: type[S], line: bytes) -> S:
    try:
        return kind.from_json(line)
    except SettingsError as error:
        raise SettingsError(f"line {number} of {path}: {error}") from None
