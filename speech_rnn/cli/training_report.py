"""What ``speech-rnn train`` says while a run goes on and when it has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from speech_rnn import training
from speech_rnn.config import RunSettings
from speech_rnn.data.sources import lasting_name
from speech_rnn.errors import DataError
from speech_rnn.evaluation import wilson_interval
from speech_rnn.history import Epoch, score
from speech_rnn.models import check_cell
from speech_rnn.preparation import Prepared, prepare
from speech_rnn.prepared.shards import Shards
from speech_rnn.progress import duration
from speech_rnn.recordings import Origin, Recordings, open_recordings, open_shards
from speech_rnn.runs import RunRecord
from speech_rnn.trained import open_trained


def new_run(
    folder: Path,
    names: Sequence[str],
    settings: RunSettings,
    cache: Path,
    workers: int | None,
    *,
    auto_f_max: bool,
    features_given: bool,
    clips_heard: int | None,
    begin_from: Path | None = None,
    teachers: Sequence[str] = (),
) -> None:
    """Prepare, lay down and run a run; with ``clips_heard`` the epochs follow from the number of clips."""
    initial = None if begin_from is None else open_trained(str(begin_from))
    teaching = [open_trained(teacher) for teacher in teachers]
    training.refuse_taken(folder)
    check_cell(settings.model.cell)  # before minutes of decoding
    shards = open_shards(names)
    recordings: Recordings
    if shards is None:
        prepared = _prepared(names, settings, cache, auto_f_max=auto_f_max)
        settings, recordings, lasting = prepared.settings, prepared.store, prepared.names
        sources: Sequence[Origin] = prepared.sources
    else:
        settings = _settings_for(shards, settings, features_given=features_given)
        sources, recordings, lasting = [shards], shards, [lasting_name(shards.folder)]
    if clips_heard is not None:
        settings = training.with_usual_epochs(settings, recordings, clips_heard)
    record = training.start(folder, settings, sources, lasting, recordings, begin_from=initial, teachers=teaching)
    _run(folder, record, recordings, workers)


def _prepared(names: Sequence[str], settings: RunSettings, cache: Path, *, auto_f_max: bool) -> Prepared:
    """Decoded recordings, after a word on what they can't bear."""
    prepared = prepare(names, settings, cache, auto_f_max=auto_f_max)
    for warning in prepared.inspection.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    f_max = prepared.settings.features.f_max
    if f_max != settings.features.f_max:
        print(f"f_max is {f_max:.0f} Hz: some of the recordings carry nothing above")
    return prepared


def _settings_for(shards: Shards, settings: RunSettings, *, features_given: bool) -> RunSettings:
    """Settings that shards can follow: their front end, unless another was asked for, which is refused later."""
    features = settings.features if features_given else shards.record.features
    augmentation = settings.augmentation
    if augmentation.renderings > 1:
        print("clips are heard without other rooms, speeds and overloaded microphones, which need sound")
        augmentation = augmentation.changed(renderings=1)
    return settings.changed(features=features, augmentation=augmentation)


def resume_run(folder: Path, cache: Path, workers: int | None) -> None:
    """Open what a run was trained on and go on with it."""
    record = RunRecord.read(folder)
    names = [source.name for source in record.sources]
    sources, recordings = open_recordings(names, record.settings.features, cache)
    for source, known in zip(sources, record.sources, strict=True):
        if source.digest() != known.digest:
            raise DataError(f"the recordings in {known.name} have changed since {folder} began; train anew with -o")
    _run(folder, record, recordings, workers)


def _run(folder: Path, record: RunRecord, recordings: Recordings, workers: int | None) -> None:
    model, epochs = record.settings.model, record.settings.training.epochs
    print(
        f"training {model.cell}, {model.layers} x {model.units} units, on {record.clips:,} clips an epoch, "
        f"{len(record.labels)} labels, in {folder}",
        flush=True,
    )
    history = training.train(folder, recordings, workers=workers, report=_line(epochs))
    print(_summary(folder, record, history))


def _line(epochs: int) -> Callable[[Epoch], None]:
    """What prints an epoch, with the time that is left at the pace of this run so far."""
    seconds: list[float] = []

    def report(entry: Epoch) -> None:
        seconds.append(entry.seconds)
        left = sum(seconds) / len(seconds) * (epochs - entry.epoch)
        validation = (
            "no validation part" if entry.validation_accuracy is None else f"validation {entry.validation_accuracy:.2%}"
        )
        print(
            f"epoch {entry.epoch:>{len(str(epochs))}} of {epochs}  loss {entry.loss:.3f}  {validation}  "
            f"{entry.seconds:.1f} s  {duration(left)} left",
            flush=True,
        )

    return report


def _summary(folder: Path, record: RunRecord, history: Sequence[Epoch]) -> str:
    best = max(history, key=score)
    total = duration(sum(entry.seconds for entry in history))
    if best.validation_accuracy is None:
        return f"trained in {total}; the data have no validation part, so nothing was measured"
    n = best.validation_clips
    low, high = wilson_interval(round(best.validation_accuracy * n), n)
    kind = "synthetic " if record.synthetic else ""
    return (
        f"trained in {total}; validation accuracy {best.validation_accuracy:.2%} in its best epoch, {best.epoch} "
        f"({low:.2%} to {high:.2%} at 95 %, {n:,} {kind}clips)\n"
        f"speech-rnn export {folder} -o my-model   makes files for apps of it"
    )
