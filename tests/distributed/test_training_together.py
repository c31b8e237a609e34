from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from speech_rnn import checkpoint, training
from speech_rnn.config import RunSettings
from speech_rnn.data.bending import Batch
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import Store, open_store
from speech_rnn.distributed.team import Team, WorkerLostError
from speech_rnn.errors import ModelError
from speech_rnn.prepared.shard_input import LANE_CLIPS
from speech_rnn.prepared.shards import Shards
from speech_rnn.trained import open_trained
from speech_rnn.training import Interrupted, start, train
from tests.distributed.members import together, with_two_devices
from tests.prepared.tone_shards import write_shards
from tests.tones import FEATURES, small_settings, write_tones

RUNS = {
    "usual": small_settings(),
    "taught": small_settings(teacher_weight=0.5),
    "in a row": small_settings(clips_in_a_row=4),
}
AT_STEP = 4  # the first of the second epoch


class Recordings(NamedTuple):
    """Tones, decoded."""

    source: FolderSource
    store: Store

    def start(self, folder: Path, settings: RunSettings, **others: Any) -> Path:
        start(folder, settings, [self.source], [self.source.title], self.store, **others)
        return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    folder = tmp_path_factory.mktemp("recordings")
    source = FolderSource(write_tones(folder / "tones"))
    return Recordings(source, open_store([source], FEATURES, folder / "cache"))


@pytest.fixture(scope="module")
def alone(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that one process has trained."""
    folder = tmp_path_factory.mktemp("alone")
    for name, settings in RUNS.items():
        teachers = [open_trained(str(folder / "usual"))] if name == "taught" else []
        train(recordings.start(folder / name, settings, teachers=teachers), recordings.store, workers=0)
    return folder


@pytest.fixture(scope="module")
def of_two(recordings: Recordings, alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same runs that two workers have trained, and of one that was stopped at one of them."""
    folder = tmp_path_factory.mktemp("of_two")
    for name, settings in RUNS.items():
        teachers = [open_trained(str(alone / "usual"))] if name == "taught" else []
        recordings.start(folder / name, settings, teachers=teachers)
    recordings.start(folder / "stopped", RUNS["usual"])
    said = together(2, _train_and_stop, folder, recordings.store)
    assert said == [f"stopped and saved; speech-rnn train --resume {folder / 'stopped'} goes on"] * 2
    return folder


def _train_and_stop(team: Team, folder: Path, store: Store) -> str:
    for name in RUNS:
        train(folder / name, store, workers=0, team=team)
    said = _train_stopped(team, folder / "stopped", store)
    train(folder / "stopped", store, workers=0, team=team)
    return said


def _train_stopped(team: Team, folder: Path, store: Store) -> str:
    """Ctrl-C comes to the last worker in the middle of a step."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    step, made = training._Trainer._step, 0

    def interrupted(self: training._Trainer, batch: Batch) -> float:
        nonlocal made
        made += 1
        if made == AT_STEP and team.index == team.size - 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted) as found:
        patch.setattr(training._Trainer, "_step", interrupted)
        train(folder, store, workers=0, team=team)
    return str(found.value)


def _train(team: Team, folder: Path, store: Store, *, dies: int = -1, at_step: int = AT_STEP) -> str:
    """Saves after each step; one worker may die in the middle of it all."""
    step, made = training._Trainer._step, 0

    def deadly(self: training._Trainer, batch: Batch) -> float:
        nonlocal made
        made += 1
        if made == at_step and team.index == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
        patch.setattr(training._Trainer, "_step", deadly)
        try:
            train(folder, store, workers=0, team=team)
        except WorkerLostError as error:
            return str(error)
    return "trained"


def history(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def assert_alike(one: Path, other: Path, tolerance: float = 0.0) -> None:
    assert len(history(one)) == len(history(other))
    for entry, expected in zip(history(one), history(other), strict=True):
        assert entry == pytest.approx(expected, rel=20 * tolerance)
    for name in ("checkpoint.npz", "best.npz", "final.npz"):
        state, arrays = checkpoint.read(one / name)
        expected_state, expected_arrays = checkpoint.read(other / name)
        assert state.get("step") == expected_state.get("step")
        for array, expected_array in zip(arrays, expected_arrays, strict=True):
            np.testing.assert_allclose(np.asarray(array, np.float64), expected_array, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_workers_train_what_one_alone_does(name: str, of_two: Path, alone: Path) -> None:
    assert_alike(of_two / name, alone / name, 5e-6)


@pytest.mark.slow
def test_ctrl_c_at_one_stops_all_and_the_run_goes_on_as_if_it_never_had(of_two: Path) -> None:
    assert_alike(of_two / "stopped", of_two / "usual")


@pytest.mark.slow
def test_two_devices_train_what_one_alone_does(recordings: Recordings, alone: Path, tmp_path: Path) -> None:
    folder = recordings.start(tmp_path / "run", RUNS["usual"])

    assert with_two_devices(_train, folder, recordings.store) == "trained"

    assert_alike(folder, alone / "usual", 5e-6)


@pytest.mark.slow
def test_two_workers_share_shards_of_features(recordings: Recordings, tmp_path: Path) -> None:
    store = recordings.store
    shards = Shards(str(write_shards(tmp_path / "shards", store, FEATURES, {"training": 2, "validation": 1})))
    settings = small_settings(batch_size=2 * LANE_CLIPS)
    for name in ("alone", "of_two"):
        start(tmp_path / name, settings, [shards], ["shards"], shards)

    train(tmp_path / "alone", shards, workers=0)
    assert together(2, _train_on_shards, tmp_path / "of_two", tmp_path / "shards") == ["trained"] * 2

    assert_alike(tmp_path / "of_two", tmp_path / "alone", 5e-6)


def _train_on_shards(team: Team, folder: Path, shards: Path) -> str:
    train(folder, Shards(str(shards)), workers=0, team=team)
    return "trained"


@pytest.mark.slow
@pytest.mark.parametrize("dies", [0, 1])
def test_where_a_worker_is_killed_the_others_know_and_the_run_ends_as_if_it_never_was(
    dies: int, recordings: Recordings, of_two: Path, tmp_path: Path
) -> None:
    folder = recordings.start(tmp_path / "run", RUNS["usual"])

    said = together(2, _train, folder, recordings.store, dies=dies)
    assert said[1 - dies] == "another worker has gone"
    assert said[dies] is None
    assert checkpoint.read(folder / "checkpoint.npz")[0]["step"] == AT_STEP - 1

    assert together(2, _train, folder, recordings.store) == ["trained"] * 2
    assert_alike(folder, of_two / "usual")


@pytest.mark.slow
def test_workers_that_see_other_folders_are_told_so(recordings: Recordings, tmp_path: Path) -> None:
    for number in range(2):
        recordings.start(tmp_path / str(number) / "run", small_settings("rnn", seed=number))

    chief, other = together(2, _train_each_its_own, tmp_path, recordings.store)

    assert chief == "WorkerLostError: another worker has gone"
    assert other is None
    assert (tmp_path / "said").read_text() == (
        f"ModelError: {tmp_path / '1' / 'run'} holds another run here than where the chief is, or another step of it; "
        "give all workers one folder that all of them see"
    )


def _train_each_its_own(team: Team, folder: Path, store: Store) -> str:
    try:
        train(folder / str(team.index) / "run", store, workers=0, team=team)
    except (ModelError, WorkerLostError) as error:
        said = f"{type(error).__name__}: {error}"
        if team.is_chief:
            return said
        # What a command does: it ends, and the others see it.
        Path(folder / "said").write_text(said)
        os._exit(1)
    return "trained"
