from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.data.augmentation import augment, mask
from speech_rnn.data.batches import Batch, BatchMaker, BatchWorkers, PartRows
from speech_rnn.data.clips import SILENCE, UNKNOWN, Part
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import Store, open_store
from speech_rnn.data.task import Items, Task
from speech_rnn.errors import SpeechRnnError
from tests.tones import FEATURES, LENGTH, RATE, tone_settings, write_tones

BATCH = 8

ORPHANS = """
import os, sys
from pathlib import Path
import psutil
from speech_rnn.data.batches import BatchMaker, BatchWorkers
from speech_rnn.data.store import Store
from speech_rnn.data.task import Task
from tests.tones import tone_settings

if __name__ == "__main__":
    store = Store(Path(sys.argv[1]))
    task = Task.to_learn(tone_settings().task, store.clips)
    workers = BatchWorkers(BatchMaker(store, task, tone_settings()), 1)
    next(workers.batches(task.items("training", 0, 1), "training", batch_size=2))
    print(*[process.pid for process in psutil.Process().children()], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("tones")
    return open_store([FolderSource(write_tones(folder / "data"))], FEATURES, folder / "cache")


def maker_of(store: Store, settings: RunSettings | None = None) -> BatchMaker:
    settings = settings or tone_settings()
    return BatchMaker(store, Task.to_learn(settings.task, store.clips), settings)


@pytest.fixture(scope="module")
def maker(store: Store) -> BatchMaker:
    return maker_of(store)


@pytest.fixture(scope="module")
def two_workers(maker: BatchMaker) -> Iterator[BatchWorkers]:
    with BatchWorkers(maker, 2) as workers:
        yield workers


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.tobytes() == c.tobytes() and b.tobytes() == d.tobytes() for (a, b), (c, d) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("part", ["training", "validation"])
def test_batches_are_the_same_to_the_bit_with_any_number_of_workers(
    maker: BatchMaker, two_workers: BatchWorkers, part: Part
) -> None:
    items = maker.task.items(part, 1, 1)

    without = list(BatchWorkers(maker, 0).batches(items, part, batch_size=BATCH, epoch=1))

    assert [len(labels) for _, labels in without[:-1]] == [BATCH] * (len(items) // BATCH)
    assert sum(len(labels) for _, labels in without) == len(items)
    assert same(list(two_workers.batches(items, part, batch_size=BATCH, epoch=1)), without)


def test_one_worker_makes_the_same_batches_and_is_missed_when_it_is_killed(maker: BatchMaker) -> None:
    items = maker.task.items("training", 1, 1)
    before = {process.pid for process in psutil.Process().children()}

    with BatchWorkers(maker, 1) as workers:
        made = list(workers.batches(items[:20], "training", batch_size=BATCH, epoch=1))
        assert same(made, list(BatchWorkers(maker, 0).batches(items[:20], "training", batch_size=BATCH, epoch=1)))

        batches = workers.batches(items, "training", batch_size=1)
        next(batches)
        (worker,) = [process for process in psutil.Process().children() if process.pid not in before]
        worker.kill()
        with pytest.raises(SpeechRnnError, match="a worker process ended before its work was done") as found:
            list(batches)

    assert "\n" not in str(found.value)


def test_a_batch_is_the_same_wherever_one_begins(maker: BatchMaker, two_workers: BatchWorkers) -> None:
    items = maker.task.items("training", 2, 1)
    whole = list(BatchWorkers(maker, 0).batches(items, "training", batch_size=BATCH, epoch=2))

    for first in (1, len(whole) - 1, len(whole)):
        rest = list(two_workers.batches(items, "training", batch_size=BATCH, epoch=2, first_batch=first))
        assert same(rest, whole[first:])


def test_items_in_another_order_give_the_same_sound(maker: BatchMaker) -> None:
    items = maker.task.items("training", 0, 1)
    order = np.random.default_rng(0).permutation(len(items))

    shuffled = maker.waveforms(items[order], "training", 0)

    np.testing.assert_array_equal(shuffled, maker.waveforms(items, "training", 0)[order])


def words_only(maker: BatchMaker, part: Part) -> Items:
    items = maker.task.items(part, 0, 1)
    return items[np.flatnonzero(items.clip >= 0)]


def librosa_mfcc(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(
        y=sound, sr=RATE, n_fft=256, win_length=240, hop_length=128, center=False, n_mels=20, fmin=20.0, fmax=3_800.0
    )
    log_mel = librosa.power_to_db(power, ref=1.0, amin=1e-8, top_db=None)
    return librosa.feature.mfcc(S=log_mel, n_mfcc=13).T


def test_what_is_validated_on_is_librosas_mfcc_of_the_clips_as_they_are(store: Store, maker: BatchMaker) -> None:
    items = words_only(maker, "validation")

    mfcc, labels = maker.batch(items, "validation", 0)

    assert mfcc.shape == (len(items), FEATURES.n_frames, 13)
    assert mfcc.dtype == np.float32
    for found, label, index in zip(mfcc, labels, items.clip, strict=True):
        expected = librosa_mfcc(store.read(np.array([index]))[0] / np.float32(32_768))
        np.testing.assert_allclose(found, expected, atol=1e-3)
        word = store.clips[index].word
        assert maker.task.labels[label] == (word if word in ("low", "high") else UNKNOWN)


def test_without_augmentation_training_hears_the_clips_as_they_are(store: Store) -> None:
    maker = maker_of(store, tone_settings().changed(augmentation=AugmentationSettings.off()))
    items = words_only(maker, "training")

    for epoch in (0, 5):
        mfcc, _ = maker.batch(items, "training", epoch)
        for found, index in zip(mfcc, items.clip, strict=True):
            np.testing.assert_allclose(found, librosa_mfcc(store.read(np.array([index]))[0] / 32_768), atol=1e-3)


def test_with_augmentation_training_hears_them_bent_and_masked(store: Store) -> None:
    settings = tone_settings()
    settings = settings.changed(augmentation=settings.augmentation.changed(splice_probability=0.0))
    maker = maker_of(store, settings)
    items = words_only(maker, "training")
    clips = (store.read(items.clip) / 32_768).astype(np.float32)

    mfcc, _ = maker.batch(items, "training", 3)

    bent = augment(
        clips,
        items.key,
        seed=settings.training.seed,
        epoch=3,
        settings=settings.augmentation,
        noise=maker.noise,
        sample_rate=RATE,
    )
    masked = mask(
        features.log_mel(bent, FEATURES),
        items.key,
        seed=settings.training.seed,
        epoch=3,
        settings=settings.augmentation,
    )
    np.testing.assert_array_equal(mfcc, features.mfcc_from_log_mel(masked, FEATURES))
    assert not np.allclose(mfcc, features.mfcc(clips, FEATURES))


def test_an_epoch_bends_otherwise_than_the_one_before_and_so_does_another_seed(store: Store, maker: BatchMaker) -> None:
    items = maker.task.items("training", 0, 1)
    settings = tone_settings()
    other = maker_of(store, settings.changed(training=settings.training.changed(seed=2)))

    sound = maker.waveforms(items, "training", 0)

    for bent in (maker.waveforms(items, "training", 1), other.waveforms(items, "training", 0)):
        assert (np.abs(bent - sound).max(axis=1) > 0).all()


def test_the_rows_of_a_part_are_its_sound_in_sixteen_bits(maker: BatchMaker) -> None:
    items = maker.task.items("validation", 0, 1)
    rows: PartRows = pickle.loads(pickle.dumps(PartRows(maker, items, "validation")))

    read = rows.read(np.array([5, 0, len(items) - 1]))

    assert len(rows) == len(items)
    assert read.dtype == np.int16
    sound = maker.waveforms(items, "validation", 0)[[5, 0, -1]]
    np.testing.assert_allclose(read / 32_768, sound, atol=0.5001 / 32_768)


def test_rows_have_another_digest_when_their_sound_is_another_and_the_same_for_any_seed(
    store: Store, maker: BatchMaker
) -> None:
    items = maker.task.items("validation", 0, 1)
    settings = tone_settings()
    seed = settings.changed(training=settings.training.changed(seed=2))
    level = settings.changed(task=settings.task.changed(silence_high_db=-20.0))

    digests = [
        PartRows(maker, items, "validation").digest,
        PartRows(maker, items[:-1], "validation").digest,
        PartRows(maker, items, "testing").digest,
        PartRows(maker_of(store, level), items, "validation").digest,
    ]

    assert len(set(digests)) == 4
    assert PartRows(maker_of(store, seed), items, "validation").digest == digests[0]
    assert PartRows(maker_of(store), maker.task.items("validation", 7, 1), "validation").digest == digests[0]


def test_some_unknown_clips_are_spliced_and_no_others(store: Store) -> None:
    plain = AugmentationSettings.off()
    settings = tone_settings()
    maker = maker_of(store, settings.changed(augmentation=plain.changed(splice_probability=0.5)))
    items = maker.task.items("training", 0, 1)
    unspliced = maker_of(store, settings.changed(augmentation=plain)).waveforms(items, "training", 0)

    changed = (maker.waveforms(items, "training", 0) != unspliced).any(axis=1)

    is_unknown = items.label == maker.task.labels.index(UNKNOWN)
    assert not changed[~is_unknown].any()
    assert 0.2 < changed[is_unknown].mean() < 0.8


def silence(n: int, maker: BatchMaker) -> Items:
    keys = -1 - np.arange(n, dtype=np.int64)
    return Items(np.full(n, -1, np.int64), np.full(n, maker.task.labels.index(SILENCE), np.int64), keys)


@pytest.mark.parametrize("part", ["training", "validation", "testing"])
def test_silence_is_noise_at_any_level_of_its_range(maker: BatchMaker, part: Part) -> None:
    sound = maker.waveforms(silence(300, maker), part, 0)

    level_db = 10 * np.log10(np.mean(np.square(sound, dtype=np.float64), axis=1))
    # Loud noise is clipped at full scale, so its level may come out a little lower, never higher.
    assert level_db.min() > -90.01
    assert level_db.max() < -7.99
    counts, _ = np.histogram(level_db, bins=np.linspace(-90, -8, 5))
    assert counts.min() > 50
    assert sound.shape == (300, LENGTH)
    assert len(np.unique(sound[:, :5], axis=0)) == 300


def test_validation_hears_the_same_silence_always_and_training_a_new_one(maker: BatchMaker) -> None:
    items = silence(4, maker)

    validation = [maker.waveforms(items, "validation", 0) for _ in range(2)]
    training = [maker.waveforms(items, "training", epoch) for epoch in range(2)]

    np.testing.assert_array_equal(validation[0], validation[1])
    assert (training[0] != training[1]).any(axis=1).all()
    assert (training[0] != validation[0]).any(axis=1).all()


def test_workers_leave_when_the_training_is_killed(store: Store, tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    command = [sys.executable, str(script), str(store.folder)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as training:
        assert training.stdout is not None
        workers = [psutil.Process(int(number)) for number in training.stdout.readline().split()]
        assert workers

        training.send_signal(signal.SIGKILL)
        training.wait()

        _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
