from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn import atomic, checkpoint, training
from speech_rnn.config import RunSettings
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.bending import Batch
from speech_rnn.data.clips import Part
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import Store, open_store
from speech_rnn.data.task import Items, Task
from speech_rnn.errors import DataError, ModelError
from speech_rnn.export.artefact import export_run
from speech_rnn.history import Epoch
from speech_rnn.runs import RunRecord, load_run
from speech_rnn.trained import open_trained
from speech_rnn.training import Interrupted, start, train
from tests.forked import forking
from tests.tones import FEATURES, interrupt, small_settings, tone_settings, write_tones

WEIGHTS = ("best.npz", "final.npz")


class Recordings:
    """Tones, decoded, and runs on them."""

    def __init__(self, folder: Path) -> None:
        self.source = FolderSource(write_tones(folder / "tones"))
        self.store = open_store([self.source], FEATURES, folder / "cache")

    def start(self, folder: Path, settings: RunSettings, **others: Any) -> Path:
        start(folder, settings, [self.source], [self.source.title], self.store, **others)
        return folder

    def run(self, folder: Path, settings: RunSettings, workers: int = 0) -> Path:
        train(self.start(folder, settings), self.store, workers=workers)
        return folder


@pytest.fixture(scope="module")
def recordings_of_tones(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def never_killed(recordings_of_tones: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs that went through, by cell; each is trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("never_killed")

    def run(cell: str) -> Path:
        if not (folder / cell).exists():
            recordings_of_tones.run(folder / cell, tone_settings(cell))
        return folder / cell

    return run


@pytest.fixture(scope="module")
def undisturbed(recordings_of_tones: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run without graphs that went through; only read."""
    tf.config.run_functions_eagerly(True)
    folder = recordings_of_tones.run(tmp_path_factory.mktemp("undisturbed") / "run", small_settings())
    tf.config.run_functions_eagerly(False)
    return folder


def history(folder: Path) -> list[dict[str, Any]]:
    """Without what differs from machine to machine."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for line in lines:
        assert line.pop("seconds") >= 0
    return lines


def arrays(path: Path) -> list[bytes]:
    return [array.tobytes() for array in checkpoint.read(path)[1]]


def assert_same_run(one: Path, other: Path) -> None:
    assert history(one) == history(other)
    for name in WEIGHTS:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    # The optimizer's variables and dropout's generators too.
    assert arrays(one / "checkpoint.npz") == arrays(other / "checkpoint.npz")


def train_until_killed(folder: Path, store: Store, save: int, delay_s: float) -> None:
    """Trains with a checkpoint after every step, and ends by SIGKILL some time after a number of saves."""
    whole_save, saves = checkpoint.save, 0

    def counted_save(path: Path, variables: Sequence[checkpoint.Variable], state: dict[str, Any]) -> None:
        nonlocal saves
        saves += 1
        if saves == save:
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        whole_save(path, variables, state)

    training.CHECKPOINT_EVERY_S = 0.0
    checkpoint.save = counted_save
    train(folder, store, workers=0)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_killed_at_three_moments_and_resumed_it_ends_as_if_never_killed(
    cell: str, recordings_of_tones: Recordings, never_killed: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", tone_settings(cell))
    context = forking()
    rng = np.random.default_rng(list(cell.encode()))

    steps = []
    for save, delay_s in zip(rng.integers(1, 10, 3).tolist(), rng.uniform(0, 0.02, 3).tolist(), strict=True):
        process = context.Process(target=train_until_killed, args=(folder, recordings_of_tones.store, save, delay_s))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (folder / "final.npz").exists()
        saved = folder / "checkpoint.npz"
        steps.append(checkpoint.read(saved)[0]["step"] if saved.exists() else 0)

    assert steps == sorted(steps)
    assert len({*steps}) > 1
    train(folder, recordings_of_tones.store, workers=0)

    assert_same_run(folder, never_killed(cell))
    assert not list(folder.glob(".*.npz"))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_seed_gives_the_same_weights_whatever_makes_the_batches(
    workers: int, recordings_of_tones: Recordings, never_killed: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = recordings_of_tones.run(tmp_path / "run", tone_settings("gru"), workers)

    assert_same_run(folder, never_killed("gru"))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_loss_falls_and_words_are_learned(cell: str, never_killed: Callable[[str], Path]) -> None:
    epochs = [Epoch(**entry, seconds=0.0) for entry in history(never_killed(cell))]

    assert [entry.epoch for entry in epochs] == list(range(1, len(epochs) + 1))
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    best = max(entry.validation_accuracy or 0 for entry in epochs)
    assert best > 0.9  # by chance 0.3: the largest of the four labels
    losses = [entry.validation_loss or 0 for entry in epochs]
    assert losses[-1] < 0.5 * losses[0]


def test_the_learning_rate_rises_and_then_falls_to_nothing(never_killed: Callable[[str], Path]) -> None:
    rates = [entry["learning_rate"] for entry in history(never_killed("gru"))]

    # One step before the end of a cosine.
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < tone_settings().training.learning_rate
    assert rates[-1] < 0.02 * tone_settings().training.learning_rate


def test_the_best_weights_are_those_of_the_best_epoch(
    recordings_of_tones: Recordings, never_killed: Callable[[str], Path]
) -> None:
    run = load_run(never_killed("gru"))
    maker = BatchMaker(
        recordings_of_tones.store,
        Task.to_learn(run.settings.task, recordings_of_tones.store.clips),
        run.settings,
    )
    items = maker.task.items("validation", 0, run.settings.training.seed)

    mfcc, labels, _ = maker.batch(items, "validation", 0)
    logits = np.asarray(run.classifier(mfcc, training=False), np.float64)

    best = max(run.history, key=lambda entry: (entry["validation_accuracy"], -entry["validation_loss"]))
    assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(best["validation_accuracy"])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    cross_entropy = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert cross_entropy == pytest.approx(best["validation_loss"], rel=1e-4)
    assert best["validation_clips"] == len(items)
    assert best["clips"] == len(maker.task.items("training", 3, 1))


def test_tensorboard_finds_the_curves(never_killed: Callable[[str], Path]) -> None:
    (events,) = (never_killed("gru") / "tensorboard").iterdir()

    found: dict[str, list[float]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(events)):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))

    for name in ("loss", "validation_loss", "validation_accuracy", "learning_rate"):
        assert found[name] == pytest.approx([entry[name] for entry in history(never_killed("gru"))], rel=1e-6)


# What follows runs without graphs: quicker to begin, and a run is compared with others of that kind only.


class Crash(BaseException):
    """Nobody catches it: as near to a kill as one gets without a process."""


@pytest.mark.usefixtures("eager")
def test_a_run_that_crashes_before_and_after_its_writes_ends_as_if_it_never_had(
    recordings_of_tones: Recordings, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    write_bytes, left = atomic.write_bytes, 0

    def write_or_crash(path: Path, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash
        write_bytes(path, data)
        if left == 1 and path.name != "checkpoint.npz":
            left = 0
            raise Crash

    monkeypatch.setattr(atomic, "write_bytes", write_or_crash)
    rng, crashes = np.random.default_rng(0), 0
    while True:
        left = int(rng.integers(1, 7))
        try:
            train(folder, recordings_of_tones.store, workers=0)
        except Crash:
            crashes += 1
            assert crashes < 30
        else:
            break

    assert crashes > 4
    assert_same_run(folder, undisturbed)


@pytest.mark.usefixtures("eager")
def test_a_crash_before_any_write_at_the_end_of_an_epoch_does_no_harm(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = recordings_of_tones.run(tmp_path / "undisturbed", small_settings(epochs=1))
    write_bytes = atomic.write_bytes

    for name in ("history.jsonl", "best.npz", "checkpoint.npz", "final.npz"):

        def write_or_crash(path: Path, data: bytes, name: str = name) -> None:
            if path.name == name:
                raise Crash
            write_bytes(path, data)

        folder = recordings_of_tones.start(tmp_path / name, small_settings(epochs=1))
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(atomic, "write_bytes", write_or_crash)
            train(folder, recordings_of_tones.store, workers=0)
        train(folder, recordings_of_tones.store, workers=0)
        assert_same_run(folder, undisturbed)


@pytest.mark.usefixtures("eager")
def test_a_run_killed_while_it_validates_validates_again(
    recordings_of_tones: Recordings, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)

    def crash(*arguments: Any, **options: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(keras.Model, "predict_on_batch", crash)
        train(folder, recordings_of_tones.store, workers=0)
    train(folder, recordings_of_tones.store, workers=0)

    assert_same_run(folder, undisturbed)


@pytest.mark.usefixtures("eager", "ctrl_c")
@pytest.mark.parametrize("at_step", [2, 4, 6, 8])
def test_ctrl_c_saves_says_how_to_go_on_and_changes_nothing(
    at_step: int,
    recordings_of_tones: Recordings,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as found:
        patch.setattr(BatchMaker, "batch", interrupt(at_step))
        train(folder, recordings_of_tones.store, workers=0)

    assert f"speech-rnn train --resume {folder} goes on" in str(found.value)
    assert isinstance(found.value, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (folder / "checkpoint.npz").exists() == (at_step > 3)
    train(folder, recordings_of_tones.store, workers=0)
    assert_same_run(folder, undisturbed)


@pytest.mark.usefixtures("eager", "ctrl_c")
def test_in_half_precision_a_resumed_run_is_the_same_too(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings()
    settings = settings.changed(model=settings.model.changed(precision="mixed_float16"))
    undisturbed = recordings_of_tones.run(tmp_path / "undisturbed", settings)
    folder = recordings_of_tones.start(tmp_path / "run", settings)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(BatchMaker, "batch", interrupt(at_step=5))
        train(folder, recordings_of_tones.store, workers=0)
    train(folder, recordings_of_tones.store, workers=0)

    assert_same_run(folder, undisturbed)
    assert history(folder)[1]["loss"] < history(folder)[0]["loss"]
    # Where Keras' scale of the loss begins, which keeps small gradients above the smallest half-precision number.
    saved = checkpoint.read(folder / "checkpoint.npz")[1]
    assert [array for array in saved if array.shape == () and array == 2.0**15]


@pytest.mark.usefixtures("eager", "ctrl_c")
def test_with_products_in_bfloat16_a_resumed_run_is_the_same_too_and_not_that_of_float32(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings("gru")
    whole = recordings_of_tones.run(tmp_path / "float32", settings)
    settings = settings.changed(model=settings.model.changed(precision="bfloat16_products"))
    undisturbed = recordings_of_tones.run(tmp_path / "undisturbed", settings)
    folder = recordings_of_tones.start(tmp_path / "run", settings)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(BatchMaker, "batch", interrupt(at_step=5))
        train(folder, recordings_of_tones.store, workers=0)
    train(folder, recordings_of_tones.store, workers=0)

    assert_same_run(folder, undisturbed)
    losses = [[epoch["loss"] for epoch in history(one)] for one in (folder, whole)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-2)


@pytest.mark.usefixtures("eager")
def test_another_seed_gives_other_weights(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    one, other = (recordings_of_tones.run(tmp_path / str(seed), small_settings(seed=seed, epochs=1)) for seed in (1, 2))

    assert all(a != b for a, b in zip(arrays(one / "final.npz"), arrays(other / "final.npz"), strict=True) if any(a))


@pytest.mark.usefixtures("eager", "ctrl_c")
def test_clips_in_a_row_are_learned_together_and_a_stopped_run_of_them_is_the_same_too(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings("gru", clips_in_a_row=4)
    whole = recordings_of_tones.run(tmp_path / "whole", settings)
    alone = recordings_of_tones.run(tmp_path / "alone", small_settings("gru"))
    folder = recordings_of_tones.start(tmp_path / "stopped", settings)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(BatchMaker, "batch", interrupt(5))
        train(folder, recordings_of_tones.store, workers=0)

    train(folder, recordings_of_tones.store, workers=0)

    assert_same_run(folder, whole)
    assert arrays(whole / "final.npz") != arrays(alone / "final.npz")


@pytest.mark.parametrize("changed", [{"both_ways": True}, {"precision": "bfloat16_products"}])
def test_what_can_t_hear_clips_in_a_row_leaves_no_run(
    changed: dict[str, Any], recordings_of_tones: Recordings, tmp_path: Path
) -> None:
    settings = small_settings("gru", clips_in_a_row=4)

    with pytest.raises(ModelError, match=r"clips_in_a_row=4 needs a model that hears forward only, .* leave both_ways"):
        recordings_of_tones.start(tmp_path / "run", settings.changed(model=settings.model.changed(**changed)))
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eager")
def test_a_run_can_begin_with_the_weights_of_another(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    first = open_trained(str(recordings_of_tones.run(tmp_path / "first", small_settings(epochs=1))))
    still = small_settings(epochs=1, learning_rate=1e-12, weight_decay=0.0)

    folder = recordings_of_tones.start(tmp_path / "second", still, begin_from=first)
    train(folder, recordings_of_tones.store, workers=0)

    second = load_run(folder)
    for now, then in zip(second.classifier.get_weights(), first.classifier.get_weights(), strict=True):
        np.testing.assert_allclose(now, then, atol=1e-6)
    assert RunRecord.read(folder).begun_from == hashlib.sha256((folder / "initial.npz").read_bytes()).hexdigest()
    normalizations = [run.classifier.get_layer("normalization") for run in (first, second)]
    np.testing.assert_array_equal(*(one.mean for one in normalizations))


def test_a_run_of_another_kind_is_not_begun_from(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    first = open_trained(str(recordings_of_tones.run(tmp_path / "first", small_settings(epochs=1))))

    with pytest.raises(ModelError, match="first has other model than this run, which can't begin from it"):
        recordings_of_tones.start(tmp_path / "second", small_settings("gru"), begin_from=first)

    assert not (tmp_path / "second").exists()


@pytest.mark.usefixtures("eager")
def test_a_run_that_has_ended_is_left_as_it_is(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.run(tmp_path / "run", small_settings(epochs=1))
    before = {name: (folder / name).read_bytes() for name in (*WEIGHTS, "checkpoint.npz", "history.jsonl")}
    reported: list[Epoch] = []

    epochs = train(folder, recordings_of_tones.store, workers=0, report=reported.append)

    assert len(epochs) == 1
    assert reported == []
    assert {name: (folder / name).read_bytes() for name in before} == before


@pytest.mark.usefixtures("eager")
def test_a_second_training_of_the_same_run_is_refused(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings(epochs=1))
    refusals = []

    def train_too(_: Epoch) -> None:
        with pytest.raises(ModelError) as found:
            train(folder, recordings_of_tones.store, workers=0)
        refusals.append(str(found.value))

    train(folder, recordings_of_tones.store, workers=0, report=train_too)

    assert refusals == [f"another process trains {folder}; wait for it, or give another -o folder"]
    assert len(history(folder)) == 1


@pytest.mark.usefixtures("eager")
def test_a_loss_that_is_no_number_ends_the_run_with_a_remedy_and_keeps_what_was_good(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    batch = BatchMaker.batch

    def spoiled(self: BatchMaker, items: Items, part: Part, epoch: int) -> Batch:
        made = batch(self, items, part, epoch)
        spoils = part == "training" and epoch == 1
        return made._replace(features=made.features * np.float32(np.nan)) if spoils else made

    monkeypatch.setattr(BatchMaker, "batch", spoiled)
    with pytest.raises(ModelError, match=r"the loss became nan at step 3; a learning rate below 0\.05 is the remedy"):
        train(folder, recordings_of_tones.store, workers=0)

    assert len(history(folder)) == 1
    for which in ("best.npz", "checkpoint.npz"):
        assert all(np.isfinite(array).all() for array in checkpoint.read(folder / which)[1])


@pytest.mark.usefixtures("eager")
def test_without_a_validation_part_the_last_epoch_is_the_best(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = Task.items
    nothing = np.empty(0, np.int64)

    def only_training(self: Task, part: Part, epoch: int, seed: int) -> Items:
        return items(self, part, epoch, seed) if part == "training" else Items(nothing, nothing, nothing)

    monkeypatch.setattr(Task, "items", only_training)
    folder = recordings_of_tones.run(tmp_path / "run", small_settings())

    assert [entry["validation_accuracy"] for entry in history(folder)] == [None, None]
    assert (folder / "best.npz").read_bytes() == (folder / "final.npz").read_bytes()


@pytest.mark.usefixtures("eager")
def test_where_ctrl_c_is_ignored_it_stays_ignored(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings(epochs=1))
    monkeypatch.setattr(BatchMaker, "batch", interrupt(at_step=5))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    try:
        train(folder, recordings_of_tones.store, workers=0)
    finally:
        signal.signal(signal.SIGINT, before)

    assert len(history(folder)) == 1


@pytest.mark.usefixtures("eager")
def test_it_trains_in_a_thread_too(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings(epochs=1))
    thread = threading.Thread(target=train, args=(folder, recordings_of_tones.store), kwargs={"workers": 0})

    thread.start()
    thread.join()

    assert len(history(folder)) == 1


def test_a_folder_with_a_run_is_not_taken_for_another(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    before = (folder / "run.json").read_bytes()

    with pytest.raises(ModelError, match=r"holds a run already; go on with --resume .*/run, or give another -o"):
        recordings_of_tones.start(folder, small_settings(seed=2))

    assert (folder / "run.json").read_bytes() == before


def test_a_file_is_not_taken_for_a_folder(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")

    for folder in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(ModelError, match=r"can't be made, .*/run is no folder to write in; give another -o folder"):
            recordings_of_tones.start(folder, small_settings())

    assert (tmp_path / "run").read_text() == "mine"


def test_an_unknown_cell_leaves_no_run(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cell='mamba' is not known; take one of lstm, gru, rnn"):
        recordings_of_tones.start(tmp_path / "run", tone_settings("mamba"))

    assert not (tmp_path / "run").exists()


def test_a_missing_word_leaves_no_run(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    settings = small_settings()
    settings = settings.changed(task=settings.task.changed(labels=("low", "yes")))

    with pytest.raises(DataError, match="needs training clips of yes; there are high, low, middle"):
        recordings_of_tones.start(tmp_path / "run", settings)

    assert not (tmp_path / "run").exists()


def test_other_recordings_are_refused(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    record = RunRecord.read(folder)
    settings = record.settings.changed(task=record.settings.task.changed(labels=("low", "middle")))
    (folder / "run.json").write_text(record.changed(settings=settings).to_json())

    with pytest.raises(DataError, match=f"the recordings no longer give the labels of {folder}; train anew"):
        train(folder, recordings_of_tones.store, workers=0)


@pytest.mark.parametrize("name", ["checkpoint.npz"])
def test_a_damaged_checkpoint_is_refused(name: str, recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    (folder / name).write_bytes(b"half")

    with pytest.raises(ModelError, match=r"checkpoint\.npz is damaged"):
        train(folder, recordings_of_tones.store, workers=0)


def test_a_checkpoint_of_another_version_is_refused(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    folder = recordings_of_tones.start(tmp_path / "run", small_settings())
    checkpoint.save(folder / "checkpoint.npz", [], {"step": 3})

    with pytest.raises(ModelError, match=r"checkpoint\.npz is of another version"):
        train(folder, recordings_of_tones.store, workers=0)


@pytest.mark.usefixtures("eager", "ctrl_c")
def test_a_second_output_for_words_is_learned_with_the_labels_and_not_kept(
    recordings_of_tones: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, without = small_settings("gru", word_weight=0.5), small_settings("gru", word_weight=0.0)
    whole = recordings_of_tones.run(tmp_path / "whole", settings)
    alone = recordings_of_tones.run(tmp_path / "alone", without)
    folder = recordings_of_tones.start(tmp_path / "stopped", settings)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(BatchMaker, "batch", interrupt(5))
        train(folder, recordings_of_tones.store, workers=0)

    train(folder, recordings_of_tones.store, workers=0)

    assert_same_run(folder, whole)
    shapes = [[array.shape for array in checkpoint.read(run / "final.npz")[1]] for run in (whole, alone)]
    assert shapes[0] == shapes[1]
    assert arrays(whole / "final.npz") != arrays(alone / "final.npz")
    n_words = 3
    heads = [array for array in checkpoint.read(whole / "checkpoint.npz")[1] if array.shape == (4, n_words)]
    assert len(heads) == 3  # the weights, and AdamW's two moments of them
    assert history(whole)[0]["loss"] > history(alone)[0]["loss"]


@pytest.mark.usefixtures("eager")
def test_the_mean_of_the_teachers_scores_is_learned_where_they_weigh_all(
    recordings_of_tones: Recordings, tmp_path: Path
) -> None:
    teacher = open_trained(str(recordings_of_tones.run(tmp_path / "teacher", small_settings("gru"))))
    second = open_trained(str(recordings_of_tones.run(tmp_path / "second", small_settings("rnn", seed=2))))
    settings = small_settings("rnn", teacher_weight=1.0, word_weight=0.0, epochs=1)
    folder = recordings_of_tones.start(tmp_path / "pupil", settings, teachers=[teacher, second])
    targets: list[NDArray[np.float32]] = []
    batches: list[NDArray[np.float32]] = []
    step = keras.Model.train_on_batch

    def watched(model: keras.Model, x: NDArray[np.float32], y: NDArray[np.float32]) -> Any:
        batches.append(x)
        targets.append(y)
        return step(model, x, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "train_on_batch", watched)
        train(folder, recordings_of_tones.store, workers=0)

    kept = [hashlib.sha256((folder / f"teacher_{number}.npz").read_bytes()).hexdigest() for number in (0, 1)]
    assert list(RunRecord.read(folder).taught_by) == kept
    for x, y in zip(batches, targets, strict=True):
        expected = (keras.ops.softmax(teacher.classifier(x)) + keras.ops.softmax(second.classifier(x))) / 2
        np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.usefixtures("eager")
def test_a_teacher_hears_both_ways_and_can_t_be_exported(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    settings = small_settings("gru", epochs=1)
    both_ways = settings.changed(model=settings.model.changed(both_ways=True))
    teacher = open_trained(str(recordings_of_tones.run(tmp_path / "teacher", both_ways)))

    folder = recordings_of_tones.start(tmp_path / "pupil", settings, teachers=[teacher])
    train(folder, recordings_of_tones.store, workers=0)

    assert load_run(folder).classifier.count_params() < teacher.classifier.count_params()
    with pytest.raises(ModelError, match="both_ways can't stream or be exported, it is there to teach; give it to"):
        export_run(
            load_run(tmp_path / "teacher"),
            tmp_path / "model",
            name="teacher",
            calibration=np.zeros((1, 4, 4), np.float32),
        )
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("eager")
def test_a_teacher_of_other_labels_is_refused(recordings_of_tones: Recordings, tmp_path: Path) -> None:
    settings = small_settings("gru", epochs=1)
    other = settings.changed(task=settings.task.changed(labels=("low",)))
    teacher = open_trained(str(recordings_of_tones.run(tmp_path / "teacher", other)))

    with pytest.raises(ModelError, match="has other labels than this run, which can't begin from it or learn from it"):
        recordings_of_tones.start(tmp_path / "pupil", settings, teachers=[teacher])
    assert not (tmp_path / "pupil").exists()


@pytest.mark.usefixtures("eager")
def test_the_history_says_how_long_the_gradients_were_before_they_were_clipped(
    recordings_of_tones: Recordings, tmp_path: Path
) -> None:
    # One step that hardly moves the weights.
    settings = small_settings(epochs=1, batch_size=1_000, learning_rate=1e-12, weight_decay=0.0, clip_norm=1e-3)
    settings = settings.changed(model=settings.model.changed(dropout=0.0))

    run = load_run(recordings_of_tones.run(tmp_path / "run", settings), "final")

    maker = BatchMaker(
        recordings_of_tones.store, Task.to_learn(settings.task, recordings_of_tones.store.clips), settings
    )
    maker.render()
    batch = maker.batch(maker.task.items("training", 0, settings.training.seed), "training", 0)
    targets = np.eye(len(run.labels))[batch.labels] * 0.95 + 0.05 / len(run.labels)
    with tf.GradientTape() as tape:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, run.classifier(batch.features))
    gradients = tape.gradient(loss, [weight.value for weight in run.classifier.trainable_weights])
    (entry,) = run.history
    assert entry["gradient_norm"] == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-4)
    assert entry["gradient_norm"] > 10 * settings.training.clip_norm
