from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn import checkpoint
from speech_rnn.config import RunSettings
from speech_rnn.data.clips import SourceRecord
from speech_rnn.errors import ModelError
from speech_rnn.models import build_classifier
from speech_rnn.runs import RunRecord, load_run, new_record, write_record
from tests.strategies import run_settings
from tests.tones import FEATURES, small_settings

LABELS = ("_silence_", "_unknown_", "low", "high")
MEAN = np.linspace(-30, 5, FEATURES.n_mfcc, dtype=np.float32)
VARIANCE = np.linspace(20, 90, FEATURES.n_mfcc, dtype=np.float32)
STATE = {"mean": MEAN.tolist(), "variance": VARIANCE.tolist()}
HISTORY = [{"epoch": 1, "loss": 1.5}, {"epoch": 2, "loss": 0.5}]


def source(*, synthetic: bool = False) -> SourceRecord:
    return SourceRecord(name="/data/tones", origin="made by a test", digest="ab" * 32, synthetic=synthetic)


def record(settings: RunSettings | None = None) -> RunRecord:
    return new_record(settings or small_settings(), LABELS, [source()], 47)


def classifier(fill: float) -> keras.Model:
    settings = small_settings()
    model = build_classifier(settings.model, FEATURES.n_frames, FEATURES.n_mfcc, 4, mean=MEAN, variance=VARIANCE)
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, fill, np.float32))
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_record(folder, record())
    checkpoint.save(folder / "best.npz", classifier(0.1).weights, STATE)
    checkpoint.save(folder / "final.npz", classifier(-0.1).weights, STATE)
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in HISTORY))
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


@given(settings=run_settings(), synthetic=st.lists(st.booleans(), min_size=1, max_size=3))
def test_a_record_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, settings: RunSettings, synthetic: list[bool]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    written = new_record(settings, LABELS, [source(synthetic=one) for one in synthetic], 47)

    write_record(folder, written)
    read = RunRecord.read(folder)

    assert read == written
    assert read.synthetic == any(synthetic)


def test_a_record_says_what_it_was_made_with() -> None:
    made_with = record().made_with

    assert set(made_with) == {"speech-rnn", "keras", "tensorflow", "librosa", "numpy"}
    assert made_with["numpy"] == np.__version__


def test_a_run_is_loaded_with_the_weights_asked_for(whole: Path) -> None:
    features = np.random.default_rng(0).normal(-10, 5, (3, FEATURES.n_frames, FEATURES.n_mfcc)).astype(np.float32)

    best, final = load_run(whole), load_run(whole, "final")

    for run, fill in ((best, 0.1), (final, -0.1)):
        expected = np.asarray(classifier(fill)(features, training=False))
        np.testing.assert_array_equal(np.asarray(run.classifier(features, training=False)), expected)
    assert best.folder == whole
    assert best.labels == LABELS
    assert best.settings == small_settings()
    assert list(best.history) == HISTORY


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ModelError, match=f"{folder} is not a training run; give a folder that speech-rnn train"):
            load_run(folder)


def test_a_run_that_has_not_finished_an_epoch_says_how_to_go_on(folder: Path) -> None:
    (folder / "best.npz").unlink()

    with pytest.raises(
        ModelError, match=f"{folder} has no best.npz yet; go on with speech-rnn train --resume {folder}"
    ):
        load_run(folder)


def change(**values: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        found = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**found, **values}))

    return damage


def replace(name: str, content: bytes | None) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)

    return damage


def save(model: Callable[[], keras.Model], state: dict[str, Any]) -> Callable[[Path], None]:
    return lambda folder: checkpoint.save(folder / "best.npz", model().weights, state)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (replace("run.json", b""), "can't be read"),
        (replace("run.json", b"\xff\x00"), "can't be read"),
        (replace("run.json", None), "can't be read"),
        (replace("run.json", b"[1]"), "has version None, this program reads 1; train again"),
        (change(version=2), "has version 2, this program reads 1; train again"),
        (change(version="1"), "has version '1', this program reads 1; train again"),
        (change(labels=[3]), "is damaged: labels"),
        (change(more=1), "is damaged: 'more' is not a setting"),
        (change(settings={"features": {"hop_length": 0}}), "is damaged"),
        (replace("best.npz", b"PK"), "best.npz is damaged"),
        (replace("history.jsonl", b'{"epoch": 1'), "history.jsonl is damaged"),
        (replace("history.jsonl", b"\xff\n"), "history.jsonl is damaged"),
        (replace("history.jsonl", b"3\n"), "history.jsonl is damaged"),
        (replace("history.jsonl", None), "history.jsonl is damaged"),
        (lambda folder: (folder / "history.jsonl").unlink(), "history.jsonl is damaged"),
        (change(labels=["low", "high"]), "holds the variables of another model"),
        (save(lambda: classifier(0.1), {}), "has no normalization for these features; train again"),
        (
            save(lambda: classifier(0.1), {"mean": "x", "variance": [1.0]}),
            "has no normalization for these features; train again",
        ),
        (save(lambda: classifier(0.1), {"mean": [1.0, 2.0], "variance": [1.0, 2.0]}), "has no normalization"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(damage: Callable[[Path], None], says: str, folder: Path) -> None:
    damage(folder)

    with pytest.raises(ModelError, match=says) as found:
        load_run(folder)

    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 500
