from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_rnn import atomic
from speech_rnn.config import RunSettings
from speech_rnn.data.batch_files import BatchFiles, bytes_of
from speech_rnn.data.batches import BatchMaker, BatchWorkers
from speech_rnn.data.bending import Batch
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import Store, open_store
from speech_rnn.data.task import Items, Task
from tests.tones import FEATURES, tone_settings, write_tones

SETTINGS = tone_settings()
SIZE = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("recordings")
    return open_store([FolderSource(write_tones(folder / "tones"))], FEATURES, folder / "cache")


class Counting(BatchWorkers):
    """Makes batches in this process, and counts those that it was asked for."""

    made = 0

    def batches(self, *arguments: Any, **options: Any) -> Iterator[Batch]:
        for batch in super().batches(*arguments, **options):
            self.made += 1
            yield batch


class Heard:
    """What an epoch hears with some settings, from files in a folder."""

    def __init__(self, store: Store, folder: Path, settings: RunSettings = SETTINGS) -> None:
        self.maker = BatchMaker(store, Task.to_learn(settings.task, store.clips), settings)
        self.workers = Counting(self.maker, 0)
        self.files = BatchFiles(folder, self.maker, self.workers)

    def items(self, epoch: int) -> Items:
        return self.maker.task.items("training", epoch, self.maker.settings.training.seed)

    def epoch(self, epoch: int = 0, first_batch: int = 0) -> Iterator[Batch]:
        return self.files.batches(self.items(epoch), "training", batch_size=SIZE, epoch=epoch, first_batch=first_batch)

    def made_anew(self, epoch: int = 0) -> list[Batch]:
        return list(BatchWorkers(self.maker, 0).batches(self.items(epoch), "training", batch_size=SIZE, epoch=epoch))


def same(some: list[Batch], others: list[Batch]) -> bool:
    return len(some) == len(others) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for one, other in zip(some, others, strict=True)
        for name in Batch._fields
    )


def test_batches_that_are_read_are_those_that_were_made(store: Store, tmp_path: Path) -> None:
    first, second = Heard(store, tmp_path), Heard(store, tmp_path)

    made, read = list(first.epoch(1)), list(second.epoch(1))

    assert same(made, first.made_anew(1))
    assert same(read, made)
    assert (first.workers.made, second.workers.made) == (len(made), 0)
    assert len(made) > 2
    assert read[0].features.flags.writeable


def test_who_goes_on_in_the_middle_hears_the_rest(store: Store, tmp_path: Path) -> None:
    heard = Heard(store, tmp_path)

    before = list(heard.epoch(first_batch=2))
    assert list(tmp_path.iterdir()) == []  # an epoch that isn't whole is not kept
    whole = list(heard.epoch())
    after = list(heard.epoch(first_batch=2))

    assert same(before, whole[2:])
    assert same(after, whole[2:])


def test_an_epoch_that_was_not_heard_to_its_end_leaves_no_file(store: Store, tmp_path: Path) -> None:
    heard = Heard(store, tmp_path)

    batches = heard.epoch()
    list(islice(batches, 2))
    del batches

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["mkdir", "write", "flush"])
def test_a_disk_that_takes_no_more_costs_the_file_and_not_the_epoch(
    where: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, folder = Heard(store, tmp_path / "batches"), tmp_path / "batches"

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "mkdir":
        folder.write_text("a file is in the way")
    elif where == "flush":
        monkeypatch.setattr(atomic, "_flush", full)
    else:
        open_file = Path.open
        monkeypatch.setattr(Path, "open", lambda *_: open_file(Path("/dev/full"), "wb"))

    assert same(list(heard.epoch()), heard.made_anew())
    assert where == "mkdir" or list(folder.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_file_of_another_size_is_made_anew(cut: int, store: Store, tmp_path: Path) -> None:
    whole = list(Heard(store, tmp_path).epoch())
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: -cut or size] + (b"" if cut else b"more"))

    heard = Heard(store, tmp_path)

    assert same(list(heard.epoch()), whole)
    assert heard.workers.made == len(whole)
    assert file.stat().st_size == size


@pytest.mark.parametrize(
    "other",
    [
        SETTINGS.changed(training=SETTINGS.training.changed(seed=2)),
        SETTINGS.changed(augmentation=SETTINGS.augmentation.changed(shift_ms=0.0)),
        SETTINGS.changed(task=SETTINGS.task.changed(silence_low_db=-40.0)),
        SETTINGS.changed(features=SETTINGS.features.changed(n_mfcc=9)),
    ],
)
def test_other_settings_have_files_of_their_own(store: Store, tmp_path: Path, other: RunSettings) -> None:
    list(Heard(store, tmp_path).epoch())

    heard = Heard(store, tmp_path, other)

    assert same(list(heard.epoch()), heard.made_anew())
    assert len(list(tmp_path.iterdir())) == 2


def test_cells_that_differ_in_model_and_learning_rate_hear_the_same_file(store: Store, tmp_path: Path) -> None:
    list(Heard(store, tmp_path).epoch())
    model = SETTINGS.model.changed(cell="lstm", units=3)
    other = SETTINGS.changed(model=model, training=SETTINGS.training.changed(learning_rate=0.5, epochs=3))

    heard = Heard(store, tmp_path, other)
    list(heard.epoch())

    assert heard.workers.made == 0


def test_epochs_have_files_of_their_own_as_large_as_was_said(store: Store, tmp_path: Path) -> None:
    heard = Heard(store, tmp_path)
    settings = SETTINGS.changed(training=SETTINGS.training.changed(epochs=2))

    for epoch in range(2):
        assert same(list(heard.epoch(epoch)), heard.made_anew(epoch))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == bytes_of(settings, len(heard.items(0)))
