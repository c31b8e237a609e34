"""Two workers train a run; both are killed in turn, then one is interrupted, and it ends as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from speech_rnn import checkpoint
from tests.distributed.addresses import free_addresses, tf_config
from tests.sound_server import wait_until
from tests.terminal import SPEECH_RNN
from tests.tones import small_settings, write_tones

EPOCHS = 40
LONGEST_S = 600.0
ANEW = ("--data", "tones", "--settings", "settings.json", "--cache", "cache", "--workers", "0", "-o")


class Workers:
    """Two workers on this machine, each as it would be started in a shell of its own."""

    def __init__(self, here: Path) -> None:
        self._here, self._addresses = here, free_addresses(2)
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, index: int, *options: str) -> subprocess.Popen[str]:
        # Whoever runs the tests in the background has Ctrl-C ignored, and a program inherits that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [*SPEECH_RNN, "train", *options, "--strategy", "multi-worker"],
            cwd=self._here,
            env={**os.environ, "TF_CONFIG": tf_config(self._addresses, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        self.processes.append(process)
        return process

    def wait_for(self, epochs: int) -> None:
        """Until so many epochs are over."""
        history = self._here / "run" / "history.jsonl"
        wait_until(lambda: history.exists() and len(history.read_text().splitlines()) >= epochs, LONGEST_S)


@contextmanager
def workers(here: Path) -> Iterator[Workers]:
    them = Workers(here)
    try:
        yield them
    finally:
        for process in them.processes:
            process.kill()
            process.communicate()


def lines_of(err: str) -> list[str]:
    """What is said of workers; TensorFlow says something too where one has gone, so does who waits for the cache."""
    ours = ("speech-rnn: ", "waiting for worker", "waiting for the chief")
    return [line for line in err.splitlines() if line.startswith(ours)]


@pytest.mark.slow
def test_two_workers_of_whom_each_dies_once_and_one_is_interrupted(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    settings = small_settings("gru", epochs=EPOCHS, learning_rate=0.005)
    (tmp_path / "settings.json").write_text(settings.to_json())
    lost = "speech-rnn: another worker has gone; beginning again from the last checkpoint when all are there"
    stopped = "speech-rnn: stopped and saved; speech-rnn train --resume run goes on"
    with workers(tmp_path) as them:
        chief, other = (them.begin(index, *ANEW, "run") for index in (0, 1))

        them.wait_for(2)
        other.kill()
        other = them.begin(1, *ANEW, "run")
        them.wait_for(len(_history(tmp_path)) + 2)
        chief.kill()
        before, after = chief, them.begin(0, *ANEW, "run")
        them.wait_for(len(_history(tmp_path)) + 2)
        other.send_signal(signal.SIGINT)

        _, err_before = before.communicate(timeout=LONGEST_S)
        out_after, err_after = after.communicate(timeout=LONGEST_S)
        _, err_other = other.communicate(timeout=LONGEST_S)
        assert (before.returncode, after.returncode, other.returncode) == (-signal.SIGKILL, 130, 130)
        awaited = [line for line in lines_of(err_before) if line.startswith("waiting for worker 1 at ")]
        assert lines_of(err_before) == [awaited[0], lost, awaited[0]]
        assert lines_of(err_after) == [awaited[0], stopped]
        assert [line for line in lines_of(err_other) if line.startswith("speech-rnn")] == [lost, stopped]
        assert "Traceback" not in err_before + err_after + err_other
        assert out_after.splitlines()[1].startswith("epoch ")
        done = len(_history(tmp_path))
        assert done < EPOCHS

        resumed = [them.begin(index, "--resume", "run") for index in (0, 1)]
        told = [process.communicate(timeout=LONGEST_S) for process in resumed]
        assert [process.returncode for process in resumed] == [0, 0]
        assert "validation accuracy" in told[0][0].splitlines()[-2]
        assert told[1][0] == "worker 1 of 2 trains with the chief, in run\n"

    alone = [*SPEECH_RNN, "train", *ANEW, "alone"]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True, timeout=LONGEST_S)
    assert [entry["epoch"] for entry in _history(tmp_path)] == list(range(1, EPOCHS + 1))
    for name in ("final.npz", "best.npz"):
        for one, other_one in zip(
            checkpoint.read(tmp_path / "run" / name)[1], checkpoint.read(tmp_path / "alone" / name)[1], strict=True
        ):
            np.testing.assert_allclose(one, other_one, atol=1e-4)


def _history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]
