"""The embedded corpus as it lies in the repository, and what happens to damaged ones."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.data.clips import PARTS, Source
from speech_rnn.data.corpus import CorpusSource, corpus_folder
from speech_rnn.errors import DataError

REPOSITORY = Path(__file__).parents[2]
COMMANDS = {"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"}
RATE = 16_000


@pytest.fixture(scope="module")
def source() -> CorpusSource:
    return CorpusSource()


@pytest.fixture(scope="module")
def waveforms(source: CorpusSource) -> list[NDArray[np.float32]]:
    return list(source.waveforms(RATE))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A corpus of one word in each part and one noise, to be damaged."""
    whole = corpus_folder()
    index = json.loads((whole / "index.json").read_text(encoding="utf-8"))
    index["files"] = [entry for entry in index["files"] if entry["word"] == "bed"]
    index["noises"] = index["noises"][:1]
    for entry in (*index["files"], *index["noises"]):
        (tmp_path / entry["path"]).parent.mkdir(exist_ok=True)
        shutil.copy(whole / entry["path"], tmp_path / entry["path"])
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    """Change values of the first file's entry in an index."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    index["files"][0].update(values)
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def test_the_embedded_corpus_is_a_source_of_synthetic_speech(source: CorpusSource) -> None:
    as_source: Source = source

    assert as_source.synthetic
    assert as_source.title == "corpus"
    assert "synthetic" in as_source.origin
    assert "\n" not in as_source.origin


def test_every_part_has_the_ten_commands_and_twenty_other_words(source: CorpusSource) -> None:
    words = {part: {clip.word for clip in source.clips if clip.part == part} for part in PARTS}

    assert words["training"] == words["validation"] == words["testing"]
    assert words["training"] >= COMMANDS
    assert len(words["training"] - COMMANDS) == 20


def test_no_voice_is_in_two_parts(source: CorpusSource) -> None:
    parts = defaultdict(set)
    for clip in source.clips:
        parts[clip.speaker].add(clip.part)

    assert all(len(of_speaker) == 1 for of_speaker in parts.values())
    voices = Counter(part for (part,) in parts.values())
    assert min(voices.values()) >= 10


def test_there_are_four_thousand_clips_under_names_of_their_own(source: CorpusSource) -> None:
    assert len(source.clips) >= 4_000
    assert len({clip.name for clip in source.clips}) == len(source.clips)


def test_all_of_datasets_takes_at_most_six_megabytes() -> None:
    files = [
        file for file in (REPOSITORY / "datasets").rglob("*") if file.is_file() and "__pycache__" not in file.parts
    ]

    assert sum(file.stat().st_size for file in files) <= 6_000_000


def test_clips_of_a_file_neither_overlap_nor_lie_beyond_its_end() -> None:
    index = json.loads((corpus_folder() / "index.json").read_text(encoding="utf-8"))

    for entry in index["files"]:
        ends = [start + length for start, length in zip(entry["starts"], entry["lengths"], strict=True)]
        spans = list(zip(entry["starts"], ends, strict=True))
        assert all(end < start for (_, end), (start, _) in pairwise(spans))
        assert ends[-1] <= entry["samples"]


def test_words_are_trimmed_loud_enough_and_not_clipped(
    source: CorpusSource, waveforms: list[NDArray[np.float32]]
) -> None:
    seconds = np.array([len(samples) / RATE for samples in waveforms])
    peaks = np.array([np.abs(samples).max() for samples in waveforms])
    levels_db = np.array([20.0 * np.log10(np.sqrt(np.mean(np.square(samples)))) for samples in waveforms])

    assert len(waveforms) == len(source.clips)
    assert all(samples.dtype == np.float32 and samples.ndim == 1 for samples in waveforms)
    assert 0.1 < seconds.min() < seconds.max() < 1.0
    assert 0.3 < np.median(seconds) < 0.6
    assert peaks.max() < 0.95
    assert -40.0 < levels_db.min() < levels_db.max() < -8.0
    assert levels_db.std() > 3.0


def test_clips_begin_and_end_quietly_since_no_word_is_cut(waveforms: list[NDArray[np.float32]]) -> None:
    def loudness(samples: NDArray[np.float32]) -> float:
        return float(np.sqrt(np.mean(np.square(samples))))

    whole = np.array([loudness(samples) for samples in waveforms])
    first = np.array([loudness(samples[:48]) for samples in waveforms])
    last = np.array([loudness(samples[-48:]) for samples in waveforms])

    assert np.median(first / whole) < 0.1
    assert np.median(last / whole) < 0.1
    # Some words begin with a bang: up, two.
    assert np.mean(first < 0.5 * whole) > 0.9
    assert np.mean(last < 0.5 * whole) > 0.98


def test_speech_reaches_beyond_the_band_of_a_telephone(waveforms: list[NDArray[np.float32]]) -> None:
    spoken = np.concatenate(waveforms[::20])
    frames = spoken[: len(spoken) // 512 * 512].reshape(-1, 512) * np.hanning(512).astype(np.float32)
    power = np.mean(np.square(np.abs(np.fft.rfft(frames))), axis=0)
    bin_hz = RATE / 512

    low = power[int(300 / bin_hz) : int(3_400 / bin_hz)].mean()
    high = power[int(5_000 / bin_hz) : int(7_500 / bin_hz)].mean()
    assert 10.0 * np.log10(high / low) > -35.0


def test_noises_are_twenty_seconds_each_and_not_silent(source: CorpusSource) -> None:
    noises = list(source.noise_waveforms(RATE))

    assert len(noises) == len(source.noises) >= 6
    for samples in noises:
        assert len(samples) == 20 * RATE
        seconds = samples.reshape(20, RATE)
        assert np.abs(samples).max() < 0.95
        assert 20.0 * np.log10(seconds.std(axis=1).min()) > -60.0


def test_clips_are_the_slices_of_the_files_that_the_index_names(small: Path) -> None:
    entry = json.loads((small / "index.json").read_text(encoding="utf-8"))["files"][1]
    decoded, rate = soundfile.read(small / entry["path"], dtype="float32")
    source = CorpusSource(small)
    at = [i for i, clip in enumerate(source.clips) if clip.part == entry["part"]]

    waveforms = list(source.waveforms(rate))

    assert [source.clips[i].speaker for i in at] == entry["speakers"]
    for i, start, length in zip(at, entry["starts"], entry["lengths"], strict=True):
        np.testing.assert_array_equal(waveforms[i], decoded[start : start + length])


def test_another_rate_gives_the_same_words_at_that_rate(small: Path) -> None:
    source = CorpusSource(small)

    for wide, narrow in zip(source.waveforms(16_000), source.waveforms(8_000), strict=True):
        assert abs(len(narrow) - len(wide) / 2) <= 1


def test_the_digest_changes_with_what_is_recorded(small: Path) -> None:
    before = CorpusSource(small).digest()

    change(small, sha256="0" * 64)

    assert len(before) == 64
    assert CorpusSource(small).digest() != before


def test_a_damaged_file_is_refused_with_its_name(small: Path) -> None:
    file = small / "validation" / "bed.opus"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    with pytest.raises(DataError, match=r"validation/bed\.opus' is damaged.*get the corpus again") as caught:
        list(CorpusSource(small).waveforms(RATE))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_with_its_name(small: Path) -> None:
    (small / "testing" / "bed.opus").unlink()

    with pytest.raises(DataError, match=r"testing/bed\.opus' can't be read: No such file.*get the corpus again"):
        list(CorpusSource(small).waveforms(RATE))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"starts": []}, "as many speakers as starts"),
        ({"samples": 1_000}, "beyond its 1000 samples"),
        ({"path": "../../secret.opus"}, "damaged at files.0.path"),
        ({"part": "other"}, "damaged at files.0.part"),
        ({"more": 1}, "damaged at files.0.more"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(small: Path, values: dict[str, Any], message: str) -> None:
    change(small, **values)

    with pytest.raises(DataError, match=message) as caught:
        CorpusSource(small)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the index of a corpus"),
        ("[]", "not the index of a corpus"),
        ('{"version": 1', "not the index of a corpus"),
        ('{"version": 2}', "version 2, must be 1"),
        ('{"version": 1}', "damaged at"),
    ],
)
def test_what_is_no_index_of_this_version_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "index.json").write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=message):
        CorpusSource(tmp_path)


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.json' can't be read"):
        CorpusSource(tmp_path)


def test_it_is_found_inside_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "speech_rnn" / "datasets" / "corpus"
    installed.mkdir(parents=True)
    (installed / "index.json").touch()
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package)

    assert corpus_folder() == installed


def test_an_installation_without_a_corpus_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package)

    with pytest.raises(DataError, match=r"embedded corpus is neither in .*speech_rnn/datasets.* nor in"):
        corpus_folder()
