"""The loop: repeatable, and resumable at any step.

What an epoch hears is a function of (seed, epoch), a batch one of its place in the epoch, the learning rate one of the
step. So the checkpoint (all variables, the step) is all there is to a run's state, and a run that was killed ends with
the same weights as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic, checkpoint
from speech_rnn.config import RunSettings
from speech_rnn.data.bending import ALL, Batch, Share
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.inputs import TrainingInput
from speech_rnn.data.store import Store
from speech_rnn.distributed.step import SharedStep, forward
from speech_rnn.distributed.team import Team
from speech_rnn.errors import DataError, ModelError
from speech_rnn.history import Epoch, score
from speech_rnn.learner import compiled_learner
from speech_rnn.models import check_cell
from speech_rnn.processes import alone
from speech_rnn.progress import progress
from speech_rnn.recordings import Origin, Recordings, training_input
from speech_rnn.runs import RunRecord, classifier_of, new_record, write_record
from speech_rnn.teaching import Teachers, keep, keep_teachers
from speech_rnn.trained import Trained

CHECKPOINT_EVERY_S = 60.0
INITIAL = "initial.npz"
NORMALIZATION_ITEMS = 2_000
USUAL_EPOCHS = (40, 150)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came; everything is saved."""


@dataclass
class _State:
    """What the checkpoint holds beside the variables."""

    step: int
    loss_sum: float  # of the epoch so far
    seconds: float  # of the epoch so far
    history: list[dict[str, Any]]
    mean: list[float]
    variance: list[float]
    norm_sum: float = 0.0  # of the epoch so far

    def score(self) -> float:
        """The best validation so far."""
        return max((score(Epoch(**entry)) for entry in self.history), default=-math.inf)


def refuse_taken(folder: Path) -> None:
    """Raise :class:`ModelError` if there is a run in the folder already, or no run can be there."""
    if (folder / "run.json").exists():
        raise ModelError(f"{folder} holds a run already; go on with --resume {folder}, or give another -o folder")
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ModelError(f"{folder} can't be made, {nearest} is no folder to write in; give another -o folder")


def with_usual_epochs(settings: RunSettings, recordings: Recordings, clips_heard: int) -> RunSettings:
    """Settings with so many epochs that about so many clips are heard: few recordings are heard more often.

    Of shards, which are prepared where clips are many, one epoch may be enough.

    Raises:
        DataError: the task's words aren't there.
    """
    clips = training_input(recordings, settings).clips
    fewest, most = USUAL_EPOCHS if isinstance(recordings, Store) else (1, USUAL_EPOCHS[1])
    epochs = min(max(math.ceil(clips_heard / max(clips, 1)), fewest), most)
    return settings.changed(training=settings.training.changed(epochs=epochs))


def start(
    folder: Path,
    settings: RunSettings,
    sources: Sequence[Origin],
    names: Sequence[str],
    recordings: Recordings,
    *,
    begin_from: Trained | None = None,
    teachers: Sequence[Trained] = (),
) -> RunRecord:
    """Lay down a new run; :func:`train` then runs it.

    Args:
        folder: of the run; must not hold one yet.
        settings: everything that decides it.
        sources: where the recordings are from.
        names: what opens them again, one each.
        recordings: of those sources, decoded or prepared.
        begin_from: a trained classifier whose weights and normalization this one begins with; drawn where not given.
        teachers: trained classifiers; the mean of their scores is learned beside the labels.

    Raises:
        ModelError: there is a run in the folder, the cell is unknown, it can't hear clips in a row, or the run to begin
            from, or a teacher, is of another kind.
        DataError: the task's words aren't there.
    """
    refuse_taken(folder)
    check_cell(settings.model.cell)
    if settings.training.clips_in_a_row > 1 and (
        settings.model.both_ways or settings.model.precision == "bfloat16_products"
    ):
        raise ModelError(
            f"clips_in_a_row={settings.training.clips_in_a_row} needs a model that hears forward only, in another "
            "precision than bfloat16_products; leave both_ways and that precision out"
        )
    heard = training_input(recordings, settings)
    if not heard.clips:
        raise DataError("no training clips; add recordings")
    records = [
        SourceRecord(name=name, origin=source.origin, digest=source.digest(), synthetic=source.synthetic)
        for name, source in zip(names, sources, strict=True)
    ]
    if begin_from is not None:
        _check_alike(begin_from, settings, heard.labels, ("labels", "features", "model"))
    for teacher in teachers:
        _check_alike(teacher, settings, heard.labels, ("labels", "features"))
    folder.mkdir(parents=True, exist_ok=True)
    record = new_record(
        settings,
        heard.labels,
        records,
        heard.clips,
        begun_from="" if begin_from is None else keep(folder / INITIAL, begin_from),
        taught_by=keep_teachers(folder, teachers),
    )
    write_record(folder, record)
    return record


def _check_alike(other: Trained, settings: RunSettings, labels: tuple[str, ...], what: Sequence[str]) -> None:
    """Raise :class:`ModelError` where another classifier's weights or scores don't fit a new run."""
    # Neither how it was trained nor in what precision matters to the weights' shapes.
    model = settings.model.changed(dropout=other.model.dropout, precision=other.model.precision)
    ours = {"labels": labels, "features": settings.features, "model": model}
    for name in what:
        if getattr(other, name) != ours[name]:
            raise ModelError(
                f"{other.name} has other {name} than this run, which can't begin from it or learn from it; "
                "make them the same"
            )


def train(
    folder: Path,
    recordings: Recordings,
    *,
    workers: int | None = None,
    batch_folder: Path | None = None,
    team: Team | None = None,
    report: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Run a run to its end, from wherever it is.

    Args:
        folder: of the run, laid down by :func:`start`.
        recordings: of its sources, decoded or prepared.
        workers: processes that make batches; as many as there are cores where not given.
        batch_folder: where batches are kept for other runs that hear the same.
        team: those who train this run together, each calling this with a folder that all see; this process alone where
            not given. The weights are the same but for rounding.
        report: called after each epoch.

    Returns:
        The history, an entry an epoch.

    Raises:
        ModelError: another process trains this run, or its files are damaged.
        Interrupted: Ctrl-C, at any worker; the run is saved at the last step.
        WorkerLostError: another worker has gone; what has been done since the last checkpoint is lost.
    """
    team = Team() if team is None else team
    record = RunRecord.read(folder)
    settings = record.settings
    heard = training_input(recordings, settings, workers=workers, batch_folder=batch_folder)
    if heard.labels != record.labels:
        raise DataError(f"the recordings no longer give the labels of {folder}; train anew with another -o")
    taken = ModelError(f"another process trains {folder}; wait for it, or give another -o folder")
    with alone(folder / ".lock", taken) if team.is_chief else nullcontext(), _interruptible(folder), heard:
        if team.is_chief:
            for name in ("checkpoint.npz", "best.npz", "final.npz", "history.jsonl"):
                atomic.remove_leftovers(folder / name)
        trainer = _Trainer(folder, record, heard, team)
        trainer.run(report)
        return [Epoch(**entry) for entry in trainer.state.history]


class _Trainer:
    def __init__(self, folder: Path, record: RunRecord, heard: TrainingInput, team: Team) -> None:
        self.folder, self.record, self.heard, self.team = folder, record, heard, team
        self.settings = record.settings.training
        self.steps_an_epoch = math.ceil(record.clips / self.settings.batch_size)
        self.rows = self.settings.clips_in_a_row
        # Clips in a row are of one worker, so each makes the whole batch and learns from its rows of clips.
        self.share = ALL if self.rows > 1 else Share(team.index, team.size)
        keras.utils.set_random_seed(self.settings.seed)
        self.resumed = (folder / "checkpoint.npz").exists()
        self.state = self._resumed_state() if self.resumed else self._first_state()
        self.all_stop = False
        self.stopped: Callable[[], bool] = lambda: False
        with team.scope():
            self.model = classifier_of(record, {"mean": self.state.mean, "variance": self.state.variance})
        self.n_words = len(self.heard.heard_words) if self.settings.word_weight and self.rows == 1 else 0
        self.teachers = Teachers(folder, record)
        with team.scope():
            self.learner, self.gradient_norm = compiled_learner(
                self.model, record.settings, steps_an_epoch=self.steps_an_epoch, n_words=self.n_words
            )
            self.optimizer = self.learner.optimizer
            self.optimizer.build(self.learner.trainable_variables)
        if self.resumed:
            checkpoint.load(self._checkpoint, self._variables)
        elif record.begun_from:
            checkpoint.load(folder / INITIAL, self.model.weights)
        self.shared_step = None
        self.logits: Callable[[NDArray[np.float32]], NDArray[np.float32]] = self.model.predict_on_batch
        if team.strategy is not None:
            loss_weights = (1.0, self.settings.word_weight) if self.n_words else (1.0,)
            self.shared_step, self.logits = SharedStep(team, self.learner, loss_weights), forward(self.model)

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.npz"

    @property
    def _variables(self) -> list[keras.Variable]:
        """All that changes; ``model.variables`` holds the state of dropout's generators, ``weights`` does not."""
        return [*self.learner.variables, *self.optimizer.variables]

    def run(self, report: Callable[[Epoch], None]) -> None:
        """Train the epochs that are left and leave ``final.npz``."""
        curves = _tensorboard(self.folder / "tensorboard") if self.team.is_chief else nullcontext(lambda _: None)
        with _stop_flag() as self.stopped, curves as log:
            # Not by the step: after the last step of an epoch its validation may still be to come.
            for epoch in range(len(self.state.history), self.settings.epochs):
                self._train_epoch(epoch)
                entry = self._finish_epoch(epoch)
                log(entry)
                report(entry)
            self._save_weights("final.npz")
            self.team.wait()  # who left sooner could not help a chief that dies while it writes

    def _train_epoch(self, epoch: int) -> None:
        state = self.state
        done = state.step - epoch * self.steps_an_epoch
        batches = self.heard.training(epoch, first_batch=done, share=self.share)
        last = saved = time.monotonic()
        with progress(f"epoch {epoch + 1} of {self.settings.epochs}", self.steps_an_epoch - done) as bar:
            for batch in batches:
                loss = self._step(batch)
                if not math.isfinite(loss):
                    raise ModelError(
                        f"the loss became {loss} at step {state.step}; a learning rate below "
                        f"{self.settings.learning_rate} is the remedy"
                    )
                now = time.monotonic()
                state.loss_sum += loss * self._clips_of_step()
                state.norm_sum += float(np.asarray(self.gradient_norm))
                state.step += 1
                state.seconds, last = state.seconds + now - last, now
                bar.advance()
                # Together: who got Ctrl-C has told the others with the step.
                if self.stopped() if self.shared_step is None else self.all_stop:
                    self._save_checkpoint()
                    self.team.wait()
                    raise Interrupted(f"stopped and saved; speech-rnn train --resume {self.folder} goes on")
                if now - saved > CHECKPOINT_EVERY_S:
                    self._save_checkpoint()
                    saved = now

    def _clips_of_step(self) -> int:
        """Clips of the batch that is next, of all workers."""
        done = self.state.step % self.steps_an_epoch * self.settings.batch_size
        return min(self.settings.batch_size, self.record.clips - done)

    def _step(self, batch: Batch) -> float:
        """One step of the optimizer; the mean loss of the batch, of all workers' rows of it."""
        features, targets = batch.features, [self._targets(batch)]
        if self.n_words:
            # A row of zeros where there is no word: its cross-entropy is 0.
            targets.append(np.eye(self.n_words + 1, dtype=np.float32)[batch.words][:, : self.n_words])
        if self.rows > 1:
            # An epoch's last clips that fill no row are left out, and fewer than a row repeated; they are others in
            # each epoch.
            n = max(1, len(features) // self.rows)
            kept = np.resize(np.arange(len(features)), n * self.rows)
            features, *targets = (part[kept].reshape(n, self.rows, *part.shape[1:]) for part in (features, *targets))
        if self.shared_step is not None:
            return self._step_together(self.shared_step, features, targets)
        self.learner.reset_metrics()
        if self.n_words:
            return float(self.learner.train_on_batch(features, targets)[0])
        return float(self.learner.train_on_batch(features, targets[0]))

    def _step_together(
        self, step: SharedStep, features: NDArray[np.float32], targets: Sequence[NDArray[np.float32]]
    ) -> float:
        if self.rows > 1:
            n = len(features)
            own = Share(self.team.index, self.team.size).rows(n)
            features, targets = features[own], [part[own] for part in targets]
        else:
            n = self._clips_of_step()
            own = self.heard.rows(n, self.share)
        stepped = step(features, targets, first=own.start, n=n, stops=self.stopped())
        self.all_stop = stepped.stops
        return stepped.loss

    def _targets(self, batch: Batch) -> NDArray[np.float32]:
        """What the scores are to be, float32 [n, labels]: the label, smoothed, and what teachers say."""
        n_labels, smoothing = len(self.record.labels), self.settings.label_smoothing
        targets = np.eye(n_labels, dtype=np.float32)[batch.labels] * (1 - smoothing) + smoothing / n_labels
        if self.teachers and len(targets):
            targets += self.settings.teacher_weight * (self.teachers.scores(batch.features) - targets)
        return targets.astype(np.float32)

    def _finish_epoch(self, epoch: int) -> Epoch:
        """Validate, keep the weights if they are the best, save; in an order in which a kill anywhere is harmless."""
        state = self.state
        validation_loss, validation_accuracy, validation_clips = self._validate()
        entry = Epoch(
            epoch=epoch + 1,
            loss=state.loss_sum / self.record.clips,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            learning_rate=float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            seconds=round(state.seconds, 3),
            clips=self.record.clips,
            validation_clips=validation_clips,
            gradient_norm=state.norm_sum / self.steps_an_epoch,
        )
        is_best = score(entry) > state.score()
        state.history.append(entry.model_dump())
        state.loss_sum = state.norm_sum = state.seconds = 0.0
        # The checkpoint last: until it is there, a resumed run does all of this again.
        if self.team.is_chief:
            lines = [json.dumps(line) + "\n" for line in state.history]
            atomic.write_text(self.folder / "history.jsonl", "".join(lines))
        if is_best:
            self._save_weights("best.npz")
        self._save_checkpoint()
        return entry

    def _validate(self) -> tuple[float | None, float | None, int]:
        """Mean loss and accuracy on the validation part, and how many clips it has; ``None`` where it has none."""
        loss, right, n = 0.0, 0, 0
        for number, (features, labels) in enumerate(self.heard.validation()):
            if number % self.team.size != self.team.index:
                continue
            logits = np.asarray(self.logits(features), np.float64)
            top = logits.max(axis=1, keepdims=True)
            log_probabilities = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
            loss -= float(log_probabilities[np.arange(len(labels)), labels].sum())
            right, n = right + int((logits.argmax(axis=1) == labels).sum()), n + len(labels)
        loss, right, n = self.team.sum(np.array([loss, right, n], np.float64)).tolist()
        return (loss / n, right / n, int(n)) if n else (None, None, 0)

    def _first_state(self) -> _State:
        self._check_folder(step=-1)
        if self.record.begun_from:
            initial, _ = checkpoint.read(self.folder / INITIAL)
            return _State(0, 0.0, 0.0, [], initial["mean"], initial["variance"])
        n_mfcc = self.record.settings.features.n_mfcc
        told = self._normalization() if self.team.is_chief else np.zeros((2, n_mfcc))
        mean, variance = self.team.of_chief(told.reshape(-1)).reshape(2, n_mfcc).tolist()
        return _State(0, 0.0, 0.0, [], mean, variance)

    def _normalization(self) -> NDArray[np.float64]:
        """Mean and variance of the features that training begins with; bent as they are, so that they fit: [2, n_mfcc].

        The variance is one for all coefficients. Each brought to its own, the high ones, which are mostly noise, would
        be as loud as those that carry the word: 2.7 points less after eight epochs of Speech Commands.
        """
        n, total, squares, left = 0, np.zeros(1), np.zeros(1), NORMALIZATION_ITEMS
        for batch in self.heard.training(0):
            wide = batch.features[:left].astype(np.float64)
            left -= len(wide)
            n += wide.shape[0] * wide.shape[1]
            total, squares = total + wide.sum(axis=(0, 1)), squares + np.square(wide).sum(axis=(0, 1))
            if not left:
                break
        mean = total / n
        # Recordings that are all silence don't vary at all.
        variance = max(float(np.mean(squares / n - np.square(mean))), 1e-3)
        return np.stack([mean, np.full(len(mean), variance)]).astype(np.float32).astype(np.float64)

    def _resumed_state(self) -> _State:
        saved, _ = checkpoint.read(self._checkpoint)
        try:
            state = _State(**saved)
        except TypeError as error:
            raise ModelError(f"{self._checkpoint} is of another version ({error}); train again") from None
        self._check_folder(state.step)
        return state

    def _check_folder(self, step: int) -> None:
        """Raise :class:`ModelError` where the chief sees another run in the folder, or another step of it."""
        record = hashlib.sha256(self.record.to_json().encode()).digest()
        seen = np.array([int.from_bytes(record[:6]), step], np.float64)
        if not np.array_equal(self.team.of_chief(seen), seen):
            raise ModelError(
                f"{self.folder} holds another run here than where the chief is, or another step of it; give all "
                "workers one folder that all of them see"
            )

    def _save_checkpoint(self) -> None:
        if self.team.is_chief:
            checkpoint.save(self._checkpoint, self._variables, vars(self.state))

    def _save_weights(self, name: str) -> None:
        if self.team.is_chief:
            normalization = {"mean": self.state.mean, "variance": self.state.variance}
            checkpoint.save(self.folder / name, self.model.weights, normalization)


@contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Say how to go on also where Ctrl-C comes before the first step or twice."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; speech-rnn train --resume {folder} goes on from the last checkpoint") from None


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C came, to be asked between steps; a second one interrupts at once."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as nohup has it: then it isn't for us
        yield lambda: False
        return
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread: whoever started this thread answers
        yield lambda: False
        return
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """What writes an epoch's figures where TensorBoard finds them."""
    import tensorflow as tf

    with tf.summary.create_file_writer(str(folder)).as_default():

        def log(entry: Epoch) -> None:
            for name in ("loss", "validation_loss", "validation_accuracy", "learning_rate", "seconds"):
                value = getattr(entry, name)
                if value is not None:
                    tf.summary.scalar(name, value, step=entry.epoch)
            tf.summary.flush()

        yield log
