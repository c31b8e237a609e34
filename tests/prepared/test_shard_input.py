from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.data.bending import ALL, Batch, Share
from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.inputs import StoreInput
from speech_rnn.data.store import Store, open_store
from speech_rnn.errors import DataError
from speech_rnn.prepared.record import NOISE, RECORD, PreparedRecord
from speech_rnn.prepared.shard_input import ShardInput
from speech_rnn.prepared.shards import Shards
from tests.prepared.tone_shards import key_of, write_shards
from tests.tones import FEATURES, tone_settings, write_tones

BATCH = 32
SHARDS = 6


def run_settings(augmentation: AugmentationSettings | None = None) -> RunSettings:
    settings = tone_settings()
    return settings.changed(
        augmentation=(augmentation or settings.augmentation.changed(neighbour_probability=0.5)).changed(renderings=1),
        training=settings.training.changed(batch_size=BATCH),
    )


BENT = run_settings()
AS_RECORDED = run_settings(AugmentationSettings.off())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("tones")
    return open_store([FolderSource(write_tones(folder / "data", takes=4))], FEATURES, folder / "cache")


@pytest.fixture(scope="module")
def shards(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("shards") / "prepared"
    return Shards(str(write_shards(folder, store, FEATURES, {"training": SHARDS, "validation": 2})))


def batches(
    shards: Shards, settings: RunSettings = BENT, epoch: int = 0, *, first_batch: int = 0, share: Share = ALL
) -> list[Batch]:
    with ShardInput(shards, settings, workers=0) as heard:
        return list(heard.training(epoch, first_batch=first_batch, share=share))


def joined(some: Sequence[Batch]) -> Batch:
    return Batch(*(np.concatenate(parts) for parts in zip(*some, strict=True)))


def assert_same(one: Sequence[Batch], other: Sequence[Batch]) -> None:
    for mine, yours in zip(one, other, strict=True):
        for left, right in zip(mine, yours, strict=True):
            np.testing.assert_array_equal(left, right)


def sorted_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = rows.reshape(len(rows), -1)
    return flat[np.lexsort(flat.T[::-1])]


def assert_alike(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """The same clips in any order, but for sixteen bits, 0.03 dB in a band: the transform is orthonormal."""
    distances = np.abs(found[:, np.newaxis] - expected).max(axis=(2, 3))
    assert len(found) == len(expected)
    assert distances.min(axis=0).max() < 0.03 * np.sqrt(FEATURES.n_mels)
    assert distances.min(axis=1).max() < 0.03 * np.sqrt(FEATURES.n_mels)


def one_shard(store: Store, folder: Path) -> Shards:
    return Shards(str(write_shards(folder / "prepared", store, FEATURES, {"training": 1, "validation": 1})))


def test_an_epoch_of_one_lane_hears_every_clip_of_the_words_as_it_is_in_the_recordings(
    store: Store, tmp_path: Path
) -> None:
    heard = joined(batches(one_shard(store, tmp_path), AS_RECORDED))
    with StoreInput(store, AS_RECORDED, workers=0) as from_store:
        expected = joined(list(from_store.training(0)))
        labels = from_store.labels
    of_words = [labels.index("low"), labels.index("high")]
    n = int(np.isin(expected.labels, of_words).sum())

    # The epoch is rounded up to whole batches, which hear some a second time.
    clips = heard.features[np.isin(heard.labels, of_words)]
    assert len(clips) - n < BATCH
    assert_alike(np.unique(clips, axis=0), expected.features[np.isin(expected.labels, of_words)])


def test_labels_come_as_often_as_the_task_asks(shards: Shards, store: Store) -> None:
    with ShardInput(shards, BENT, workers=0) as heard:
        found = joined([batch for epoch in range(4) for batch in heard.training(epoch)])
        clips, labels = heard.clips, heard.labels
    with StoreInput(store, BENT, workers=0) as from_store:
        expected = from_store.clips

    assert len(found.labels) == 4 * clips
    assert expected <= clips < expected + BATCH
    counts = Counter(labels[label] for label in found.labels.tolist())
    words = counts["low"] + counts["high"]
    assert counts[SILENCE] / words == pytest.approx(0.5, abs=0.02)
    assert counts[UNKNOWN] / words == pytest.approx(0.6, abs=0.15)  # a fifth, three times; each clip by its luck
    assert counts["low"] == pytest.approx(counts["high"], rel=0.1)


def test_words_are_told_beside_labels(shards: Shards) -> None:
    with ShardInput(shards, AS_RECORDED, workers=0) as heard:
        batch = joined(list(heard.training(0)))
        names = (*heard.heard_words, None)
        labels = heard.labels

    told = {(labels[label], names[word]) for label, word in zip(*batch[1:], strict=True)}
    assert told == {(SILENCE, None), (UNKNOWN, "middle"), ("low", "low"), ("high", "high")}


@pytest.mark.parametrize("workers", [2])
def test_workers_that_share_lanes_hear_together_what_one_alone_hears(shards: Shards, workers: int) -> None:
    alone = batches(shards, epoch=1)
    shares = [batches(shards, epoch=1, share=Share(worker, workers)) for worker in range(workers)]

    rows = ShardInput(shards, BENT).rows
    for number, batch in enumerate(alone):
        assert_same([joined([share[number] for share in shares])], [batch])
        for worker, share in enumerate(shares):
            np.testing.assert_array_equal(share[number].features, batch.features[rows(BATCH, Share(worker, workers))])


def test_where_files_do_not_divide_by_the_lanes_no_clip_is_heard_less_in_the_long_run(
    store: Store, tmp_path: Path
) -> None:
    uneven = Shards(str(write_shards(tmp_path / "prepared", store, FEATURES, {"training": 3, "validation": 1})))

    with ShardInput(uneven, AS_RECORDED, workers=0) as heard:
        keys = np.concatenate([raw.keys[raw.words >= 0] for epoch in range(30) for raw in heard.raw(epoch)])

    trained = [clip for clip in store.clips if clip.part == "training"]
    file_of = {key_of(clip.name): row % 3 for row, clip in enumerate(trained)}
    # Dealt alike in each epoch, the file that is alone in its lane would be heard 4 times where the others are 3 times.
    of_files = Counter(file_of[key] for key in keys.tolist() if key in file_of)
    assert min(of_files.values()) / max(of_files.values()) > 0.85


def test_a_worker_too_many_is_refused(shards: Shards) -> None:
    with pytest.raises(DataError, match="3 workers can't share 6 shards and batches of 32 clips; at most 2 can"):
        batches(shards, share=Share(0, 3))


def test_batches_are_the_same_again_and_others_in_another_epoch(shards: Shards) -> None:
    first = batches(shards, epoch=2)

    assert_same(batches(shards, epoch=2), first)
    other = batches(shards, epoch=3)
    assert not np.array_equal(sorted_rows(joined(first).features), sorted_rows(joined(other).features))


def test_an_epoch_goes_on_after_some_batches_as_if_they_had_been_heard(shards: Shards) -> None:
    assert_same(batches(shards, first_batch=3), batches(shards)[3:])


@pytest.mark.slow
def test_batches_are_the_same_with_any_number_of_processes(shards: Shards) -> None:
    with ShardInput(shards, BENT, workers=2) as heard:
        assert_same(list(heard.training(1)), batches(shards, epoch=1))


def test_validation_is_as_in_the_recordings(shards: Shards, store: Store) -> None:
    with ShardInput(shards, AS_RECORDED, workers=0) as heard:
        found = [joined([Batch(*part, part.labels) for part in heard.validation()]) for _ in range(2)]
        labels = heard.labels
    with StoreInput(store, AS_RECORDED, workers=0) as from_store:
        expected = joined([Batch(*part, part.labels) for part in from_store.validation()])

    assert_same(found[:1], found[1:])
    for label in ("low", "high", SILENCE):
        assert_alike(*(one.features[one.labels == labels.index(label)] for one in (found[0], expected)))
    assert (found[0].labels == labels.index(UNKNOWN)).any()


def test_what_is_heard_beside_a_clip_is_of_its_own_lane(shards: Shards) -> None:
    loud = run_settings(AugmentationSettings.off().changed(neighbour_probability=1.0))
    alone, half = batches(shards, loud), batches(shards, loud, share=Share(0, 2))

    of_alone = {row.tobytes() for batch in alone for row in batch.features}
    assert {row.tobytes() for batch in half for row in batch.features} <= of_alone


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            BENT.changed(features=FEATURES.changed(n_mfcc=10)),
            "the features of .* are others than the run's; prepare them with the same settings",
        ),
        (BENT.changed(augmentation=AugmentationSettings()), "renderings=4 needs recordings"),
        (BENT.changed(task=BENT.task.changed(heard_share=0.5)), "heard_share=0.5 needs recordings"),
        (BENT.changed(task=BENT.task.changed(tuning_share=0.1)), "tuning_share=0.1 needs recordings"),
        (BENT.changed(task=BENT.task.changed(labels=("yes",))), "labels=.* needs training clips of yes"),
    ],
)
def test_settings_that_shards_cannot_follow_are_refused(shards: Shards, settings: RunSettings, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ShardInput(shards, settings)


def test_a_word_that_is_left_out_is_not_heard(shards: Shards) -> None:
    settings = BENT.changed(task=BENT.task.changed(left_out=("middle",), unknown_share=0.0))

    heard = joined(batches(shards, settings))

    with ShardInput(shards, settings, workers=0) as named:
        assert named.heard_words == ("high", "low")
    assert set(heard.words.tolist()) == {-1, 0, 1}


def test_a_damaged_shard_is_said_in_one_line(store: Store, tmp_path: Path) -> None:
    shards = one_shard(store, tmp_path)
    path = Path(shards.paths("training")[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"can't be read .*; remove the folder and prepare anew"):
        batches(shards)


def test_a_frame_too_few_is_found(store: Store, tmp_path: Path) -> None:
    shards = one_shard(store, tmp_path)
    other = FEATURES.changed(hop_length=100)
    record = shards.record.changed(features=other)
    (Path(shards.folder) / RECORD).write_text(record.to_json())

    with pytest.raises(DataError, match="remove the folder and prepare anew"):
        batches(Shards(shards.folder), BENT.changed(features=other))


def test_missing_files_and_noise_of_another_size_are_found(store: Store, tmp_path: Path) -> None:
    shards = one_shard(store, tmp_path)
    (Path(shards.folder) / NOISE).write_bytes(b"12")
    with pytest.raises(DataError, match=r"noise\.i16 has not the size that prepared\.json says"):
        _ = shards.noise

    Path(shards.paths("validation")[0]).unlink()
    with pytest.raises(DataError, match="is missing, one of 1 files; remove the folder and prepare anew"):
        Shards(shards.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no prepared features; give a folder that speech-rnn prepare has finished"),
        ("[]", "has version None, this program reads 1; remove the folder and prepare anew"),
        ("{", "can't be read"),
        (json.dumps({"version": 1}), "is damaged"),
    ],
)
def test_a_record_that_is_none_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / RECORD).write_text(content)

    with pytest.raises(DataError, match=message):
        PreparedRecord.read(str(tmp_path))


def test_features_of_a_batch_are_the_transform_of_what_is_in_the_shards(shards: Shards, store: Store) -> None:
    numbers = np.array([number for number, clip in enumerate(store.clips) if clip.part == "training"])
    log_mel = features.log_mel(store.read(numbers) * np.float32(1 / 32_768), FEATURES).astype(np.float16)
    known = features.mfcc_from_log_mel(log_mel.astype(np.float32), FEATURES)

    heard = joined(batches(shards, AS_RECORDED))

    clips = heard.features[heard.words >= 0]
    distances = np.abs(clips[:, np.newaxis] - known).max(axis=(2, 3))
    assert distances.min(axis=1).max() < 1e-3  # powers were taken, and logarithms again
