from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import psutil
import pytest
import scipy.fft
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.data.augmentation import NoiseFrames, bend, draw_bends, mask
from speech_rnn.data.batches import BatchMaker, BatchWorkers, PartRows
from speech_rnn.data.bending import Batch
from speech_rnn.data.clips import SILENCE, UNKNOWN, Part
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.renderings import Renderings, draw_scene, render
from speech_rnn.data.store import Store, open_store
from speech_rnn.data.task import Items, Task
from speech_rnn.errors import SpeechRnnError
from tests.tones import FEATURES, LENGTH, RATE, tone_settings, write_tones

BATCH = 8
OFF = AugmentationSettings.off()

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
def rendered(store: Store) -> BatchMaker:
    maker = maker_of(store)
    maker.render()
    return maker


@pytest.fixture(scope="module")
def two_workers(maker: BatchMaker) -> Iterator[BatchWorkers]:
    with BatchWorkers(maker, 2) as workers:
        yield workers


@pytest.fixture(scope="module")
def two_rendered(rendered: BatchMaker) -> Iterator[BatchWorkers]:
    with BatchWorkers(rendered, 2) as workers:
        yield workers


def parts_of(batch: Batch) -> tuple[NDArray[Any], ...]:
    return batch


def same(one: list[Batch], other: list[Batch]) -> bool:
    one_bytes, other_bytes = ([[part.tobytes() for part in parts_of(batch)] for batch in some] for some in (one, other))
    return one_bytes == other_bytes


@pytest.mark.parametrize("part", ["training", "validation"])
@pytest.mark.parametrize(("making", "workers"), [("maker", "two_workers"), ("rendered", "two_rendered")])
def test_batches_are_the_same_to_the_bit_with_any_number_of_workers(
    making: str, workers: str, part: Part, request: pytest.FixtureRequest
) -> None:
    maker: BatchMaker = request.getfixturevalue(making)
    two_workers: BatchWorkers = request.getfixturevalue(workers)
    items = maker.task.items(part, 1, 1)

    without = list(BatchWorkers(maker, 0).batches(items, part, batch_size=BATCH, epoch=1))

    assert [len(batch.labels) for batch in without[:-1]] == [BATCH] * (len(items) // BATCH)
    assert sum(len(batch.labels) for batch in without) == len(items)
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

    shuffled = maker.batch(items[order], "training", 0)

    for found, expected in zip(parts_of(shuffled), parts_of(maker.batch(items, "training", 0)), strict=True):
        np.testing.assert_array_equal(found, expected[order])


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

    mfcc, labels, words = maker.batch(items, "validation", 0)

    assert mfcc.shape == (len(items), FEATURES.n_frames, 13)
    assert mfcc.dtype == np.float32
    for found, label, index, said in zip(mfcc, labels, items.clip, words, strict=True):
        expected = librosa_mfcc(store.read(np.array([index]))[0] / np.float32(32_768))
        np.testing.assert_allclose(found, expected, atol=1e-3)
        word = store.clips[index].word
        assert maker.task.labels[label] == (word if word in ("low", "high") else UNKNOWN)
        assert maker.task.heard_words[said] == word


def off_but(**settings: Any) -> RunSettings:
    return tone_settings().changed(augmentation=OFF.changed(**settings))


def test_without_augmentation_training_hears_the_clips_as_they_are(store: Store) -> None:
    maker = maker_of(store, off_but())
    items = words_only(maker, "training")

    for epoch in (0, 5):
        mfcc = maker.batch(items, "training", epoch).features
        for found, index in zip(mfcc, items.clip, strict=True):
            np.testing.assert_allclose(found, librosa_mfcc(store.read(np.array([index]))[0] / 32_768), atol=1e-3)


def test_with_augmentation_training_hears_renderings_bent_beside_others_and_masked(store: Store) -> None:
    settings = tone_settings()
    settings = settings.changed(
        augmentation=settings.augmentation.changed(
            splice_probability=0.0, reverse_probability=0.0, neighbour_probability=0.5
        )
    )
    maker = maker_of(store, settings)
    items = words_only(maker, "training")
    augmentation, seed = settings.augmentation, settings.training.seed

    mfcc = maker.batch(items, "training", 3).features

    def log_mel_of(clip: int, number: int) -> NDArray[np.float32]:
        recorded = (store.read(np.array([clip]))[0] / 32_768).astype(np.float32)
        sound = render(recorded, draw_scene(number, clip, augmentation), RATE, FEATURES.hop_length)
        # To steps of 16 bits, in which renderings are kept.
        (log_mel,) = features.log_mel((np.rint(sound * 32_768) / 32_768).astype(np.float32)[np.newaxis], FEATURES)
        return np.asarray(log_mel)

    bends = draw_bends(items.key, seed=seed, epoch=3, settings=augmentation, features=FEATURES)
    partners = maker.task.splice_partners()
    bent = bend(
        np.stack([log_mel_of(*pair) for pair in zip(items.clip.tolist(), bends.rendering.tolist(), strict=True)]),
        bends,
        FEATURES,
        neighbours=np.stack(
            [
                log_mel_of(int(partners[int(share * len(partners))]), number)
                for share, number in zip(bends.neighbour, bends.rendering.tolist(), strict=True)
                if not np.isnan(share)
            ]
        ),
        noise=NoiseFrames(maker.noise, FEATURES),
    )
    masked = mask(bent, items.key, seed=seed, epoch=3, settings=augmentation)
    np.testing.assert_allclose(mfcc, features.mfcc_from_log_mel(masked, FEATURES), rtol=0, atol=1e-3)
    assert not np.allclose(mfcc, features.mfcc(maker.waveforms(items, "training", 3), FEATURES), atol=1.0)


def test_an_epoch_bends_otherwise_than_the_one_before_and_so_does_another_seed(store: Store, maker: BatchMaker) -> None:
    items = maker.task.items("training", 0, 1)
    settings = tone_settings()
    other = maker_of(store, settings.changed(training=settings.training.changed(seed=2)))

    heard = maker.batch(items, "training", 0).features

    for bent in (maker.batch(items, "training", 1).features, other.batch(items, "training", 0).features):
        assert (np.abs(bent - heard).max(axis=(1, 2)) > 0).all()


def test_what_was_rendered_before_sounds_like_what_is_rendered_when_it_is_heard(
    maker: BatchMaker, rendered: BatchMaker
) -> None:
    items = maker.task.items("training", 2, 1)

    heard, read = (one.batch(items, "training", 2) for one in (maker, rendered))

    # 16 bits cost 2**-5 dB in a band; the DCT is orthonormal.
    np.testing.assert_allclose(read.features, heard.features, rtol=0, atol=2**-5 * 20**0.5)
    assert np.abs(read.features - heard.features).max() > 1e-3, "the cache was not read"
    for name in ("labels", "words"):
        np.testing.assert_array_equal(getattr(read, name), getattr(heard, name))


def test_renderings_are_made_once_for_all_seeds_and_all_that_is_bent_later(
    store: Store, rendered: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tone_settings()
    other = settings.changed(
        training=settings.training.changed(seed=2), augmentation=settings.augmentation.changed(shift_ms=0.0)
    )

    def made_again(*_: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(Renderings, "read", made_again)
    maker = maker_of(store, other)
    maker.render()

    for one in (maker, rendered):
        one.batch(one.task.items("training", 0, 1), "training", 0)


def test_training_hears_clips_of_training_and_no_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = maker_of(store, off_but(neighbour_probability=1.0, splice_probability=0.5))
    read: list[int] = []
    read_clips = Store.read

    def spy(self: Store, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        read.extend(indices.tolist())
        return read_clips(self, indices)

    monkeypatch.setattr(Store, "read", spy)
    items = maker.task.items("training", 0, 1)
    maker.batch(items, "training", 0)

    assert len(read) > 1.5 * len(items)
    assert {store.clips[index].part for index in read} == {"training"}


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


def heard(store: Store, **settings: Any) -> tuple[NDArray[np.float32], Batch, NDArray[np.bool_]]:
    """Log-mel of training items, as far as their MFCC hold it, their batch, and which are unknown."""
    changed = off_but(**settings)
    maker = maker_of(store, changed.changed(task=changed.task.changed(unknown_share=2.0)))
    items = maker.task.items("training", 0, 1)
    batch = maker.batch(items, "training", 0)
    log_mel: NDArray[np.float32] = scipy.fft.idct(batch.features, n=FEATURES.n_mels, axis=-1, norm="ortho")
    return log_mel, batch, items.label == maker.task.labels.index(UNKNOWN)


@pytest.mark.parametrize("kind", ["splice_probability", "reverse_probability"])
def test_some_unknown_clips_are_disguised_and_no_others(store: Store, kind: str) -> None:
    plain, expected, is_unknown = heard(store)

    found, batch, _ = heard(store, **{kind: 0.5})

    changed = (found != plain).any(axis=(1, 2))
    assert not changed[~is_unknown].any()
    assert 0.3 < changed[is_unknown].mean() < 0.7
    np.testing.assert_array_equal(batch.labels, expected.labels)
    np.testing.assert_array_equal(batch.words, np.where(changed, -1, expected.words))


def test_a_word_in_reverse_has_its_frames_from_the_last_to_the_first(store: Store) -> None:
    plain, _, is_unknown = heard(store)

    reversed_, _, _ = heard(store, reverse_probability=1.0)

    np.testing.assert_array_equal(reversed_[is_unknown], plain[is_unknown, ::-1])


def test_a_splice_has_halves_of_two_words(store: Store) -> None:
    plain, batch, is_unknown = heard(store)
    bands = {word: set(plain[batch.words == word, 7].argmax(axis=1)) for word in range(3)}
    assert not bands[0] & bands[1] and not bands[0] & bands[2] and not bands[1] & bands[2]

    spliced, after, _ = heard(store, splice_probability=1.0)

    def word_of(frames: NDArray[np.float32]) -> list[int]:
        return [next(word for word, those in bands.items() if band in those) for band in frames.argmax(axis=1)]

    made = is_unknown & (after.words == -1)
    assert 0.4 < made[is_unknown].mean() < 0.9, "but where the draw was one word twice"
    first, second = word_of(spliced[made, 6]), word_of(spliced[made, 7])
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert set(first) == set(second) == {0, 1, 2}


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


def test_silence_is_neither_moved_nor_made_louder_nor_put_under_noise(store: Store) -> None:
    settings = AugmentationSettings(gain_probability=1.0, noise_probability=1.0, neighbour_probability=1.0)
    unmasked = settings.changed(shift_ms=1_000.0, time_masks=0, frequency_masks=0)
    maker = maker_of(store, tone_settings().changed(augmentation=unmasked.changed(colour_db=0.0)))
    coloured = maker_of(store, tone_settings().changed(augmentation=unmasked))
    items = silence(50, maker)
    recorded = features.log_mel(maker.waveforms(items, "training", 0), FEATURES)

    found = maker.batch(items, "training", 0)

    np.testing.assert_allclose(found.features, features.mfcc_from_log_mel(recorded, FEATURES), rtol=0, atol=1e-3)
    assert (found.words == -1).all()
    loud = recorded.min(axis=(1, 2)) > -70
    response = coloured.batch(items, "training", 0).features[loud] - found.features[loud]
    # The same in all frames.
    np.testing.assert_allclose(response, response[:, :1].repeat(FEATURES.n_frames, axis=1), rtol=0, atol=1e-3)
    assert (np.abs(response).max(axis=(1, 2)) > 0.5).all()


def test_validation_hears_the_same_silence_always_and_training_a_new_one(store: Store, maker: BatchMaker) -> None:
    items = silence(4, maker)
    settings = tone_settings()
    other_seed = maker_of(store, settings.changed(training=settings.training.changed(seed=2)))

    validation = [maker.waveforms(items, "validation", 0) for _ in range(2)]
    training = [maker.waveforms(items, "training", epoch) for epoch in range(2)]

    np.testing.assert_array_equal(validation[0], validation[1])
    assert (training[0] != training[1]).any(axis=1).all()
    assert (training[0] != validation[0]).any(axis=1).all()
    np.testing.assert_array_equal(other_seed.waveforms(items, "validation", 0), validation[0])
    assert (other_seed.waveforms(items, "training", 0) != training[0]).any(axis=1).all()


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
