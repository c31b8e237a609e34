"""A training run on disk: what it is, and the classifier it has come to.

A run is a folder: ``run.json`` (what decides it), ``checkpoint.npz`` (where it is), ``best.npz`` and ``final.npz`` (the
weights), ``history.jsonl`` (a line an epoch) and ``tensorboard/``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import keras
import numpy as np
from pydantic import BeforeValidator, Field

from speech_rnn import atomic, checkpoint
from speech_rnn.config import RunSettings, Words
from speech_rnn.data.clips import SourceRecord
from speech_rnn.errors import ModelError, SettingsError
from speech_rnn.models import build_classifier
from speech_rnn.settings import Settings

RUN_VERSION = 1


class RunRecord(Settings):
    """What a run is: everything that decides its weights, and what was used.

    Attributes:
        version: of this format.
        settings: all of them.
        labels: in the order of the scores.
        sources: the recordings.
        clips: number of items a training epoch hears.
        begun_from: SHA-256 of the weights that the run began with; empty where they were drawn.
        taught_by: SHA-256 of the weights of each teacher.
        made_with: versions of the libraries.
    """

    version: int
    settings: RunSettings
    labels: Words
    sources: Annotated[tuple[SourceRecord, ...], Field(strict=False)]
    clips: int
    begun_from: str = ""
    # "" is how runs had it that had no teacher, when there was one at most.
    taught_by: Annotated[tuple[str, ...], BeforeValidator(lambda given: given or ()), Field(strict=False)] = ()
    made_with: dict[str, str]

    @property
    def synthetic(self) -> bool:
        """Whether any of the training recordings is spoken by a machine."""
        return any(source.synthetic for source in self.sources)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record of a run; :class:`ModelError` where the folder is no run, or one of another version."""
        path = folder / "run.json"
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ModelError(
                f"{folder} is not a training run; give a folder that speech-rnn train has written"
            ) from None
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} can't be read ({error}); train again") from None
        found = values.get("version") if isinstance(values, dict) else None
        if found != RUN_VERSION:
            raise ModelError(f"{path} has version {found!r}, this program reads {RUN_VERSION}; train again")
        try:
            return cls.from_json(json.dumps(values))
        except SettingsError as error:
            raise ModelError(f"{path} is damaged: {error}") from None


@dataclass(frozen=True)
class Run:
    """A trained run, ready to be evaluated and exported.

    Attributes:
        folder: where it is.
        record: what it is.
        classifier: MFCC float32 [batch, frames, n_mfcc] -> logits float32 [batch, labels].
        history: an entry an epoch; see :class:`speech_rnn.history.Epoch`.
    """

    folder: Path
    record: RunRecord
    classifier: keras.Model
    history: Sequence[dict[str, Any]]

    @property
    def settings(self) -> RunSettings:
        """All settings of the run."""
        return self.record.settings

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the scores."""
        return self.record.labels


def load_run(folder: Path, which: Literal["best", "final"] = "best") -> Run:
    """Load a run with the weights that were best on the validation part, or those of the end.

    Raises:
        ModelError: the folder is no run, it has not finished an epoch yet, or a file is damaged.
    """
    record = RunRecord.read(folder)
    path = folder / f"{which}.npz"
    if not path.exists():
        raise ModelError(f"{folder} has no {path.name} yet; go on with speech-rnn train --resume {folder}")
    state, _ = checkpoint.read(path)
    classifier = classifier_of(record, state)
    checkpoint.load(path, classifier.weights)
    return Run(folder, record, classifier, _read_history(folder / "history.jsonl"))


def _read_history(path: Path) -> list[dict[str, Any]]:
    try:
        history = [json.loads(line) for line in path.read_text().splitlines()]
        if not all(isinstance(entry, dict) for entry in history):
            raise ValueError("a line is no JSON object")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}); train again") from None
    return history


def classifier_of(record: RunRecord, state: dict[str, Any]) -> keras.Model:
    """The run's classifier, its weights not yet set.

    Args:
        record: of the run.
        state: of one of its checkpoints; ``mean`` and ``variance`` are what the normalization takes.
    """
    settings = record.settings
    try:
        mean, variance = (
            np.array(state[name], np.float32).reshape(settings.features.n_mfcc) for name in ("mean", "variance")
        )
    except (KeyError, TypeError, ValueError):
        raise ModelError("the checkpoint has no normalization for these features; train again") from None
    return build_classifier(
        settings.model,
        settings.features.n_frames,
        settings.features.n_mfcc,
        len(record.labels),
        mean=mean,
        variance=variance,
    )


def new_record(
    settings: RunSettings,
    labels: tuple[str, ...],
    sources: Sequence[SourceRecord],
    clips: int,
    *,
    begun_from: str = "",
    taught_by: tuple[str, ...] = (),
) -> RunRecord:
    """The record of a run that begins now."""
    libraries = ("speech-rnn", "keras", "tensorflow", "librosa", "numpy")
    return RunRecord(
        version=RUN_VERSION,
        settings=settings,
        labels=labels,
        sources=tuple(sources),
        clips=clips,
        begun_from=begun_from,
        taught_by=taught_by,
        made_with={library: version(library) for library in libraries},
    )


def write_record(folder: Path, record: RunRecord) -> None:
    """Write a record into a run's folder."""
    atomic.write_text(folder / "run.json", record.to_json())
