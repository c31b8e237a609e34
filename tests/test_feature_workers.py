from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.errors import AudioError, DataError, SpeechRnnError
from speech_rnn.feature_workers import FeatureWorkers, mfcc_parallel
from speech_rnn.features import log_mel, mfcc

SETTINGS = FeatureSettings(clip_length=2_000, n_mels=20, n_mfcc=13)


@dataclass(frozen=True)
class FileOfClips:
    """Rows of a file, as the decoded store has them."""

    path: Path
    broken_at: int = -1

    def __len__(self) -> int:
        return self.path.stat().st_size // 4_000

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        if self.broken_at in indices:
            raise DataError(f"clip {self.broken_at} can't be read")
        return np.fromfile(self.path, np.int16).reshape(-1, 2_000)[indices]


def noise(clips: int) -> NDArray[np.float32]:
    return (np.random.default_rng(0).standard_normal((clips, 2_000)) * 0.1).astype(np.float32)


def test_an_array_gives_the_same_bits_with_any_number_of_workers() -> None:
    samples = noise(700)  # more tasks than places in shared memory, the last one not full

    expected = mfcc(samples, SETTINGS)

    for workers in (1, 3):
        np.testing.assert_array_equal(mfcc_parallel(samples, SETTINGS, workers), expected)


def test_rows_are_read_by_the_workers_and_scaled(tmp_path: Path) -> None:
    whole = np.rint(noise(300) * 32_768).astype(np.int16)
    whole.tofile(tmp_path / "clips.i16")

    result = mfcc_parallel(FileOfClips(tmp_path / "clips.i16"), SETTINGS, 2)

    np.testing.assert_array_equal(result, mfcc((whole / 32_768).astype(np.float32), SETTINGS))
    np.testing.assert_array_equal(mfcc_parallel(FileOfClips(tmp_path / "clips.i16"), SETTINGS, 1), result)


def test_log_mel_frames_are_made_likewise(tmp_path: Path) -> None:
    whole = np.rint(noise(300) * 32_768).astype(np.int16)
    whole.tofile(tmp_path / "clips.i16")

    for workers in (1, 2):
        with FeatureWorkers(FileOfClips(tmp_path / "clips.i16"), SETTINGS, workers, "log_mel") as at_work:
            result = np.concatenate([block.copy() for _, block in at_work.blocks()])

        assert at_work.shape == result.shape == (300, 10, 20)
        np.testing.assert_array_equal(result, log_mel((whole / 32_768).astype(np.float32), SETTINGS))


def test_workers_are_kept_for_a_second_round() -> None:
    samples = noise(300)

    with FeatureWorkers(samples, SETTINGS, 2) as workers:
        first = np.concatenate([block.copy() for _, block in workers.blocks()])
        samples[:] = samples[::-1].copy()
        second = np.concatenate([block.copy() for _, block in workers.blocks()])

    assert workers.shape == first.shape == (300, 10, 13)
    np.testing.assert_array_equal(second, first[::-1])


def test_clips_that_fit_no_block_go_one_by_one() -> None:
    settings = FeatureSettings(clip_length=200_000, hop_length=4, n_fft=32, win_length=32, n_mels=4, n_mfcc=4)
    samples = np.tile(noise(1), (3, 100))

    result = mfcc_parallel(samples, settings, 2)

    np.testing.assert_array_equal(result, mfcc(samples, settings))


def test_no_clips_give_no_features() -> None:
    assert mfcc_parallel(np.zeros((0, 2_000), np.float32), SETTINGS, 2).shape == (0, 10, 13)


def test_a_mistake_in_the_sound_or_the_rows_is_told_as_it_is(tmp_path: Path) -> None:
    samples = noise(300)
    samples[250, 7] = np.nan
    noise(150).tofile(tmp_path / "clips.i16")

    with pytest.raises(AudioError, match="sample nan must be a number"):
        mfcc_parallel(samples, SETTINGS, 2)
    with pytest.raises(DataError, match="clip 250 can't be read"):
        mfcc_parallel(FileOfClips(tmp_path / "clips.i16", broken_at=250), SETTINGS, 2)
    with pytest.raises(AudioError, match="n_fft=512"):
        mfcc_parallel(samples[:, :500], SETTINGS, 2)


def test_a_killed_worker_is_told() -> None:
    with FeatureWorkers(noise(3_000), SETTINGS, 2) as workers:
        blocks = workers.blocks()
        next(blocks)
        for process in psutil.Process().children():
            if "spawn_main" in " ".join(process.cmdline()):
                process.kill()

        with pytest.raises(SpeechRnnError, match="a worker process ended"):
            list(blocks)


def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        "import numpy as np\n"
        "from speech_rnn.config import FeatureSettings\n"
        "from speech_rnn.feature_workers import FeatureWorkers\n"
        "if __name__ == '__main__':\n"
        "    workers = FeatureWorkers(np.zeros((300, 16_000), np.float32), FeatureSettings(), 2)\n"
        "    while True:\n"
        "        list(workers.blocks())\n"
        "        print('round', flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "round\n"
    children = psutil.Process(parent.pid).children()

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
