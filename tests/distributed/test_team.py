from __future__ import annotations

import os
import signal
from contextlib import nullcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.distributed.team import Team, WorkerLostError
from speech_rnn.errors import SettingsError
from tests.distributed.members import together


def test_one_alone_is_the_chief_and_adds_up_nothing() -> None:
    team = Team()

    assert team.is_chief
    assert (team.index, team.size, team.replicas) == (0, 1, 1)
    assert isinstance(team.scope(), nullcontext)
    np.testing.assert_array_equal(team.sum(np.array([1.0, 0.1])), [1.0, 0.1])
    np.testing.assert_array_equal(team.of_chief(np.array([2.0])), [2.0])
    team.wait()


def test_without_a_gpu_there_is_nothing_to_mirror() -> None:
    with pytest.raises(SettingsError, match="strategy mirrored needs a GPU, and TensorFlow sees none; leave"):
        Team.of_devices()


def _sums(team: Team) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    team.wait()
    # The second is more than float32 holds.
    values = np.array([10.0**team.index, 2.0**-40 if team.index else 1.0])
    return team.sum(values), team.of_chief(np.array([team.index, 0.1 + team.index])), team.is_chief


@pytest.mark.slow
def test_workers_add_up_and_hear_from_the_chief() -> None:
    told = together(3, _sums)

    for sums, of_chief, _ in told:
        np.testing.assert_array_equal(sums, [111.0, 1.0 + 2.0**-39])
        np.testing.assert_array_equal(of_chief, [0.0, 0.1])
    assert [is_chief for *_, is_chief in told] == [True, False, False]


def _terminated(team: Team) -> str:
    team.wait()
    if not team.is_chief:
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        team.wait()
    except WorkerLostError as error:
        return str(error)
    return "nobody has gone"


@pytest.mark.slow
def test_a_worker_ends_when_it_is_asked_to_and_the_others_know() -> None:
    assert together(2, _terminated) == ["another worker has gone", None]
