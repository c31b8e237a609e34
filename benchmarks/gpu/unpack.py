"""Makes runs of what a training on a GPU has left, for ``speech-rnn evaluate`` and ``export``.

    python -m benchmarks.gpu.unpack PHASE.npz FOLDER

Each learner that streams becomes FOLDER/NAME, as ``speech-rnn train`` leaves a run; there is nothing to go on from.
Where the phase had teachers, what taught it must be beside PHASE.npz. It takes speech_commands,
speech_commands_original and where they were heard arabic_speech_commands of $SPEECH_RNN_DATA.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.pack import ARABIC, REBUILT, SETTINGS, TRUE
from benchmarks.gpu.plan import LEAST_RATE, USUAL_SHARE, LearnerPlan, PhasePlan
from speech_rnn import atomic, checkpoint
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.sources import open_sources
from speech_rnn.history import Epoch
from speech_rnn.runs import RunRecord, classifier_of, new_record, write_record

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def settings_of(phase: PhasePlan, learner: LearnerPlan, epochs: int) -> RunSettings:
    """The plan of a learner in the terms of a run.

    A run draws among renderings evenly, so it can only say whether there was a second one; and words of another
    language are unknown words in it, like others.
    """
    bending = phase.bending
    shared = {name: value for name, value in vars(bending).items() if name in AugmentationSettings.model_fields}
    return RunSettings(
        features=SETTINGS.features,
        task=SETTINGS.task.changed(
            unknown_times=round(phase.unknown_times + phase.foreign / USUAL_SHARE, 6),
            silence_share=round(USUAL_SHARE * phase.silence_times, 6),
            silence_low_db=bending.silence_low_db,
            silence_high_db=bending.silence_high_db,
            left_out=phase.left_out,
        ),
        augmentation=SETTINGS.augmentation.changed(renderings=2 if bending.rendered else 1, **shared),
        model=SETTINGS.model.changed(
            cell=learner.kind, units=learner.units, dropout=learner.dropout, stack=learner.stack
        ),
        training=SETTINGS.training.changed(
            epochs=epochs,
            batch_size=phase.batch,
            learning_rate=learner.learning_rate,
            weight_decay=learner.weight_decay,
            label_smoothing=phase.label_smoothing,
            teacher_weight=phase.teacher_weight,
            seed=learner.seed,
        ),
    )


def record_of(
    outcome: Outcome, learner: LearnerPlan, sources: Sequence[SourceRecord], taught_by: tuple[str, ...]
) -> RunRecord:
    """What the run of a learner is.

    Args:
        outcome: of the phase.
        learner: one of it.
        sources: the recordings.
        taught_by: SHA-256 of what each of its teachers is from.
    """
    settings = settings_of(outcome.phase, learner, outcome.epochs)
    record = new_record(settings, outcome.labels, sources, outcome.clips_an_epoch, taught_by=taught_by)
    return record.model_copy(update={"made_with": {**record.made_with, "torch": outcome.torch}})


def write_run(folder: Path, record: RunRecord, outcome: Outcome, name: str) -> None:
    """Write the run of a learner.

    Raises:
        ValueError: its weights are not those of the classifier that the record describes.
    """
    n_mfcc = record.settings.features.n_mfcc
    state = {"mean": outcome.mean.tolist(), "variance": [float(outcome.variance)] * n_mfcc}
    classifier = classifier_of(record, state)
    _set(classifier.trainable_weights, outcome.weights[name])
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, record)
    for file in ("best.npz", "final.npz"):
        checkpoint.save(folder / file, classifier.weights, state)
    settings = record.settings.training
    last = Epoch(
        epoch=settings.epochs,
        loss=outcome.figures[name]["loss"],
        validation_loss=None,
        validation_accuracy=None,
        learning_rate=settings.learning_rate * LEAST_RATE,
        seconds=outcome.figures["seconds"] / settings.epochs,
        clips=outcome.clips_an_epoch,
        validation_clips=0,
    )
    atomic.write_text(folder / "history.jsonl", json.dumps(last.model_dump()) + "\n")


def _set(variables: Sequence[Any], weights: Sequence[NDArray[np.float32]]) -> None:
    shapes = [weight.shape for weight in weights]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise ValueError(f"weights of shapes {shapes} are not those of this classifier")
    for variable, weight in zip(variables, weights, strict=True):
        variable.assign(weight)


def _sources(phase: PhasePlan, data: Path) -> list[SourceRecord]:
    kinds = {REBUILT: "", TRUE: "", **({ARABIC: "other:"} if phase.foreign else {})}
    missing = [name for name in kinds if not (data / name).is_dir()]
    if missing:
        sys.exit(f"{data} has no {', '.join(missing)}; let SPEECH_RNN_DATA name the folder that has")
    opened = open_sources([f"{kind}{data / name}" for name, kind in kinds.items()])
    return [
        SourceRecord(
            name=f"{kind}{data / name}", origin=source.origin, digest=source.digest(), synthetic=source.synthetic
        )
        for (name, kind), source in zip(kinds.items(), opened, strict=True)
    ]


def _taught_by(phase: PhasePlan, folder: Path) -> tuple[str, ...]:
    files = [folder / f"{teacher.split('/')[0]}.npz" for teacher in phase.teachers]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        sys.exit(f"{phase.name} was taught by {', '.join(missing)}, which {folder} doesn't have; put it there")
    return tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", type=Path, metavar="PHASE.npz")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    data = Path(os.environ.get("SPEECH_RNN_DATA") or CHECKOUT.parent / "shared")
    outcome = Outcome.load(given.phase)
    sources = _sources(outcome.phase, data)
    taught_by = _taught_by(outcome.phase, given.phase.parent)
    for learner in outcome.phase.learners:
        if learner.streams:
            folder = given.folder / learner.name
            write_run(folder, record_of(outcome, learner, sources, taught_by), outcome, learner.name)
            print(folder, json.dumps(outcome.figures[learner.name]))


if __name__ == "__main__":
    main()
