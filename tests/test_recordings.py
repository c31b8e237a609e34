from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn import checkpoint
from speech_rnn.adaptation import Others
from speech_rnn.config import RunSettings
from speech_rnn.data.bending import Batch
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.inputs import StoreInput
from speech_rnn.data.store import open_store
from speech_rnn.errors import DataError
from speech_rnn.export.calibration import CLIPS, calibration_features
from speech_rnn.prepared.lane_batches import LaneBatchMaker, RawBatch
from speech_rnn.prepared.shard_input import ShardInput
from speech_rnn.prepared.shards import Shards
from speech_rnn.recordings import open_recordings, open_shards, training_input
from speech_rnn.runs import load_run
from speech_rnn.training import Interrupted, start, train, with_usual_epochs
from tests.prepared.tone_shards import write_shards
from tests.tones import FEATURES, small_settings, tone_settings, write_tones


def of_shards(settings: RunSettings) -> RunSettings:
    return settings.changed(augmentation=settings.augmentation.changed(renderings=1))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones") / "data")


@pytest.fixture(scope="module")
def shards(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    store = open_store([FolderSource(tones)], FEATURES, tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("shards") / "prepared"
    return Shards(str(write_shards(folder, store, FEATURES, {"training": 2, "validation": 1})))


def weights(folder: Path) -> list[NDArray[np.float32]]:
    return checkpoint.read(folder / "final.npz")[1]


def test_a_run_learns_from_shards_as_from_recordings(shards: Shards, tmp_path: Path) -> None:
    start(tmp_path / "run", of_shards(tone_settings()), [shards], [shards.folder], shards)

    history = train(tmp_path / "run", shards, workers=0)

    assert max(entry.validation_accuracy or 0.0 for entry in history) > 0.9
    assert history[-1].clips % 8 == 0
    record = load_run(tmp_path / "run").record
    assert (record.sources[0].name, record.sources[0].digest) == (shards.folder, shards.digest())


def test_a_run_on_shards_that_was_stopped_ends_with_the_same_weights(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_shards(small_settings())
    for name in ("whole", "stopped"):
        start(tmp_path / name, settings, [shards], [shards.folder], shards)
    train(tmp_path / "whole", shards, workers=0)
    make, made = LaneBatchMaker.make, 0

    def interrupting(self: LaneBatchMaker, asked: RawBatch) -> Batch:
        nonlocal made
        made += 1
        if made == 6:  # of the second epoch; the first ones are for the normalization
            signal.raise_signal(signal.SIGINT)
        return make(self, asked)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(LaneBatchMaker, "make", interrupting)
        train(tmp_path / "stopped", shards, workers=0)
    _, opened = open_recordings([shards.folder], FEATURES, tmp_path)
    train(tmp_path / "stopped", opened, workers=0)

    for mine, theirs in zip(weights(tmp_path / "stopped"), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_export_takes_what_it_needs_from_shards(shards: Shards, tmp_path: Path) -> None:
    settings = of_shards(small_settings())
    start(tmp_path / "run", settings, [shards], [shards.folder], shards)
    train(tmp_path / "run", shards, workers=0)
    run = load_run(tmp_path / "run")

    calibration = calibration_features(settings, shards)
    others = Others.of(run, shards)

    assert calibration.shape[1:] == (FEATURES.n_frames, FEATURES.n_mfcc)
    assert 0 < len(calibration) <= CLIPS
    np.testing.assert_array_equal(calibration, calibration_features(settings, shards))
    assert set(others.words) == {"low", "middle", "high"}
    assert others.states.shape == (len(others.words), settings.model.units)


def test_names_are_opened_as_what_they_are(shards: Shards, tones: Path, tmp_path: Path) -> None:
    _, of_recordings = open_recordings([str(tones)], FEATURES, tmp_path)
    origins, of_features = open_recordings([shards.folder], FEATURES, tmp_path)

    assert open_shards([str(tones)]) is None
    assert isinstance(training_input(of_recordings, tone_settings()), StoreInput)
    assert isinstance(training_input(of_features, of_shards(tone_settings())), ShardInput)
    assert [origin.digest() for origin in origins] == [shards.digest()]


def test_shards_beside_other_recordings_are_refused(shards: Shards, tones: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds prepared features, which are learned from alone"):
        open_recordings([str(tones), shards.folder], FEATURES, tmp_path)


def test_one_epoch_may_be_enough_of_shards(shards: Shards) -> None:
    settings = of_shards(tone_settings())

    assert with_usual_epochs(settings, shards, clips_heard=1).training.epochs == 1
