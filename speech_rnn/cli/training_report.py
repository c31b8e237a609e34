"""What ``speech-rnn train`` says while a run goes on and when it has ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from speech_rnn import training
from speech_rnn.config import RunSettings
from speech_rnn.data.sources import lasting_name
from speech_rnn.distributed.cluster import Cluster
from speech_rnn.distributed.team import Team, WorkerLostError
from speech_rnn.errors import DataError, ModelError
from speech_rnn.evaluation import wilson_interval
from speech_rnn.history import Epoch, score
from speech_rnn.models import check_cell
from speech_rnn.preparation import Prepared, prepare
from speech_rnn.prepared.shards import Shards
from speech_rnn.progress import duration
from speech_rnn.recordings import Origin, Recordings, open_recordings, open_shards
from speech_rnn.runs import RunRecord
from speech_rnn.trained import open_trained


@contextmanager
def team_of(strategy: str | None) -> Iterator[Team]:
    """Those who train together by a strategy; where another worker is lost, this process begins again.

    To be entered before anything of TensorFlow runs.
    """
    try:
        if strategy == "multi-worker":
            yield Team.of_cluster(Cluster.from_tf_config(os.environ.get("TF_CONFIG")))
        else:
            yield Team.of_devices() if strategy == "mirrored" else Team()
    except WorkerLostError as error:
        sys.stdout.flush()
        sys.stderr.write(f"speech-rnn: {error}; beginning again from the last checkpoint when all are there\n")
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def new_run(
    folder: Path,
    names: Sequence[str],
    settings: RunSettings,
    cache: Path,
    workers: int | None,
    *,
    team: Team,
    auto_f_max: bool,
    features_given: bool,
    clips_heard: int | None,
    begin_from: Path | None = None,
    teachers: Sequence[str] = (),
) -> None:
    """Prepare, lay down and run a run; with ``clips_heard`` the epochs follow from the number of clips.

    Of several workers the chief lays it down. Each is started anew with the same command where it ended, so that a run
    which is there already is gone on with if it is the same.
    """
    if not team.is_chief:
        resume_run(folder, cache, workers, team)
        return
    initial = None if begin_from is None else open_trained(str(begin_from))
    teaching = [open_trained(teacher) for teacher in teachers]
    is_there = team.is_started_again and (folder / "run.json").exists()
    if not is_there:
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
    if is_there:
        record = _same_run(folder, settings, sources)
    else:
        record = training.start(folder, settings, sources, lasting, recordings, begin_from=initial, teachers=teaching)
    team.wait()
    _run(folder, record, recordings, workers, team)


def _same_run(folder: Path, settings: RunSettings, sources: Sequence[Origin]) -> RunRecord:
    """The record of a run that is there, if a command asks for the same."""
    record = RunRecord.read(folder)
    digests = [source.digest() for source in sources]
    if record.settings != settings or [source.digest for source in record.sources] != digests:
        raise ModelError(f"{folder} holds a run of other settings or recordings; give another -o folder")
    return record


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


def resume_run(folder: Path, cache: Path, workers: int | None, team: Team) -> None:
    """Open what a run was trained on and go on with it, as soon as it has been laid down."""
    team.wait()
    record = RunRecord.read(folder)
    names = [source.name for source in record.sources]
    sources, recordings = open_recordings(names, record.settings.features, cache)
    for source, known in zip(sources, record.sources, strict=True):
        if source.digest() != known.digest:
            raise DataError(f"the recordings in {known.name} have changed since {folder} began; train anew with -o")
    _run(folder, record, recordings, workers, team)


def _run(folder: Path, record: RunRecord, recordings: Recordings, workers: int | None, team: Team) -> None:
    if not team.is_chief:
        print(f"worker {team.index} of {team.size} trains with the chief, in {folder}", flush=True)
        training.train(folder, recordings, workers=workers, team=team)
        return
    model, epochs = record.settings.model, record.settings.training.epochs
    print(
        f"training {model.cell}, {model.layers} x {model.units} units, on {record.clips:,} clips an epoch, "
        f"{len(record.labels)} labels, in {folder}",
        flush=True,
    )
    history = training.train(folder, recordings, workers=workers, team=team, report=_line(epochs))
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
