from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.errors import AudioError, DataError
from speech_rnn.feature_cache import FeatureFile, cached_features
from speech_rnn.feature_workers import Kind
from speech_rnn.features import basis, log_mel, mfcc

SETTINGS = FeatureSettings(clip_length=2_000, n_mels=20, n_mfcc=13)


@dataclass
class CountedRows:
    """Noise; tells how many clips have been read."""

    n_clips: int = 150
    digest: str = "noise"
    read_so_far: int = 0

    def __len__(self) -> int:
        return self.n_clips

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        self.read_so_far += len(indices)
        return np.random.default_rng(0).integers(-3_000, 3_000, (self.n_clips, 2_000)).astype(np.int16)[indices]

    def expected(self, settings: FeatureSettings = SETTINGS) -> NDArray[np.float32]:
        return mfcc(self.read(np.arange(self.n_clips)) * np.float32(1 / 32_768), settings)


# Another process, which stops at a line on standard input each time it reads clips.
STOPPING = """
import pickle
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_feature_cache import CountedRows, SETTINGS
from speech_rnn.feature_cache import cached_features
from speech_rnn.features import adopt

adopt(pickle.loads(bytes.fromhex(sys.argv[3])))  # or librosa would take most of the time

class StoppingRows(CountedRows):
    def read(self, indices):
        print("reading", flush=True)
        sys.stdin.readline()
        return super().read(indices)

print("ready", flush=True)
features = cached_features(StoppingRows(), SETTINGS, Path(sys.argv[1]))
print("sum", float(features.sum()), flush=True)
"""


def other_process(folder: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        STOPPING,
        str(folder),
        str(Path(__file__).parent),
        pickle.dumps(basis(SETTINGS)).hex(),
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def release(process: subprocess.Popen[str], lines: int) -> None:
    assert process.stdin is not None
    process.stdin.write("\n" * lines)
    process.stdin.flush()


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "features").glob("[!.]*.npy"))


def test_features_are_made_once_and_read_only_ever_after(tmp_path: Path) -> None:
    first = cached_features(CountedRows(), SETTINGS, tmp_path)
    again = CountedRows()
    second = cached_features(again, SETTINGS, tmp_path)

    np.testing.assert_array_equal(first, CountedRows().expected())
    np.testing.assert_array_equal(second, first)
    assert again.read_so_far == 0
    assert isinstance(second, np.memmap) and second.dtype == np.float32 and not second.flags.writeable


def test_an_entry_is_an_ordinary_npy_file(tmp_path: Path) -> None:
    cached_features(CountedRows(), SETTINGS, tmp_path)

    np.testing.assert_array_equal(np.load(entries(tmp_path)[0]), CountedRows().expected())


def test_workers_fill_the_same_entry(tmp_path: Path) -> None:
    features = cached_features(CountedRows(), SETTINGS, tmp_path, workers=2)

    np.testing.assert_array_equal(features, CountedRows().expected())


def test_log_mel_frames_are_an_entry_of_their_own_in_sixteen_bits(tmp_path: Path) -> None:
    coefficients = cached_features(CountedRows(), SETTINGS, tmp_path)

    frames = cached_features(CountedRows(), SETTINGS, tmp_path, kind="log_mel", workers=2)

    expected = log_mel(CountedRows().read(np.arange(150)) * np.float32(1 / 32_768), SETTINGS)
    assert frames.dtype == np.float16 and frames.shape == (150, 10, 20) and not frames.flags.writeable
    np.testing.assert_array_equal(frames, expected.astype(np.float16))
    np.testing.assert_allclose(frames.astype(np.float32), expected, rtol=0, atol=2**-5)
    again = CountedRows()
    np.testing.assert_array_equal(cached_features(again, SETTINGS, tmp_path, kind="log_mel"), frames)
    assert again.read_so_far == 0
    np.testing.assert_array_equal(coefficients, CountedRows().expected())
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize("kind", ["mfcc", "log_mel"])
def test_rows_are_read_from_the_file_in_any_order_also_by_another_process(tmp_path: Path, kind: Kind) -> None:
    features = cached_features(CountedRows(), SETTINGS, tmp_path, kind=kind)
    file = FeatureFile(features)
    indices = np.array([149, 0, 7, 7])

    rows = file.read(indices)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.asarray(features)[indices])
    assert file.read(np.empty(0, np.int64)).shape == (0, *features.shape[1:])

    copy: FeatureFile = pickle.loads(pickle.dumps(file))
    del file
    np.testing.assert_array_equal(copy.read(indices), rows)


def test_a_file_that_was_cut_after_it_was_opened_is_told(tmp_path: Path) -> None:
    file = FeatureFile(cached_features(CountedRows(), SETTINGS, tmp_path, kind="log_mel"))
    entry = entries(tmp_path)[0]
    os.truncate(entry, 128 + 100 * 400)  # the header, and 100 clips of 10 frames of 20 bands

    np.testing.assert_array_equal(file.read(np.array([99])).shape, (1, 10, 20))
    with pytest.raises(DataError) as found:
        file.read(np.array([3, 100]))

    assert str(found.value) == f"the cached features {entry} end before row 100; remove that file"


def test_reading_keeps_one_file_open_and_leaves_none(tmp_path: Path) -> None:
    file = FeatureFile(cached_features(CountedRows(), SETTINGS, tmp_path, kind="log_mel"))

    def open_files() -> int:
        return sum(one.path == str(entries(tmp_path)[0]) for one in psutil.Process().open_files())

    before = open_files()
    for _ in range(3):
        file.read(np.arange(5))
    during = open_files()
    del file

    assert (before, during, open_files()) == (0, 1, 0)


def test_other_settings_or_other_clips_are_another_entry(tmp_path: Path) -> None:
    cached_features(CountedRows(), SETTINGS, tmp_path)
    for changed in ({"hop_length": 100}, {"power_floor": 1e-6}, {"f_max": 4_000.0}, {"win_length": 400}):
        settings = SETTINGS.changed(**changed)

        features = cached_features(CountedRows(), settings, tmp_path)

        np.testing.assert_array_equal(features, CountedRows().expected(settings))
    cached_features(CountedRows(digest="other noise"), SETTINGS, tmp_path)
    cached_features(CountedRows(n_clips=151), SETTINGS, tmp_path)

    assert len(entries(tmp_path)) == 7


@pytest.mark.parametrize("where", [3, 100, 50_000, -1], ids=["magic", "header", "features", "checksum"])
def test_a_flipped_bit_is_seen_and_mended(where: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached_features(CountedRows(), SETTINGS, tmp_path)
    damaged = bytearray(entries(tmp_path)[0].read_bytes())
    damaged[where] ^= 0x10
    entries(tmp_path)[0].write_bytes(damaged)

    features = cached_features(CountedRows(), SETTINGS, tmp_path)

    assert f"the cached features {entries(tmp_path)[0]} are damaged and are made anew" in capsys.readouterr().err
    np.testing.assert_array_equal(features, CountedRows().expected())
    silent = CountedRows()
    cached_features(silent, SETTINGS, tmp_path)
    assert silent.read_so_far == 0 and not capsys.readouterr().err


@pytest.mark.parametrize("kept", [0, 10, 32, 40_000, -1])
def test_a_truncated_entry_is_seen_and_mended(kept: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached_features(CountedRows(), SETTINGS, tmp_path)
    entries(tmp_path)[0].write_bytes(entries(tmp_path)[0].read_bytes()[:kept])

    features = cached_features(CountedRows(), SETTINGS, tmp_path)

    assert "damaged" in capsys.readouterr().err
    np.testing.assert_array_equal(features, CountedRows().expected())


def test_killed_in_the_middle_no_entry_is_left_and_the_next_process_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_process(tmp_path) as process:
        assert [line_of(process) for _ in range(2)] == ["ready", "reading"]
        release(process, 1)
        assert line_of(process) == "reading"
        release(process, 1)
        assert line_of(process) == "reading"
        left = list((tmp_path / "features").glob(".*.npy"))
        process.kill()
        process.wait()

    assert len(left) == 1 and not entries(tmp_path)

    features = cached_features(CountedRows(), SETTINGS, tmp_path)

    np.testing.assert_array_equal(features, CountedRows().expected())
    assert not left[0].exists() and not capsys.readouterr().err


def test_of_two_processes_one_makes_the_entry_and_both_have_it(tmp_path: Path) -> None:
    with other_process(tmp_path) as maker:
        assert [line_of(maker) for _ in range(2)] == ["ready", "reading"]
        with other_process(tmp_path) as waiting:
            assert line_of(waiting) == "ready"
            release(maker, 100)
            said = [line_of(maker) for _ in range(4)]
            result = line_of(waiting)
            waiting.kill()

    assert said[:3] == ["reading"] * 3
    assert said[3] == result == f"sum {float(CountedRows().expected().sum())}"


def test_two_processes_that_begin_at_once_leave_one_whole_entry(tmp_path: Path) -> None:
    with other_process(tmp_path) as one, other_process(tmp_path) as other:
        for process in (one, other):
            release(process, 100)
        outputs = [process.communicate()[0].splitlines() for process in (one, other)]

    assert outputs[0][-1] == outputs[1][-1] == f"sum {float(CountedRows().expected().sum())}"
    assert len(entries(tmp_path)) == 1 and not list((tmp_path / "features").glob(".*"))


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="0 clips"):
        cached_features(CountedRows(n_clips=0), SETTINGS, tmp_path)
    with pytest.raises(DataError, match=r"can't be written .*; set --cache"):
        cached_features(CountedRows(), SETTINGS, tmp_path / "file")
    with pytest.raises(AudioError, match="2000 samples must be at least one frame, n_fft=4096"):
        cached_features(CountedRows(), SETTINGS.changed(clip_length=4_096, n_fft=4_096), tmp_path)
    assert not entries(tmp_path) and not list((tmp_path / "features").glob(".*"))
