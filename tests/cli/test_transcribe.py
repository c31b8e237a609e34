from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from speech_rnn.cli import recognize
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, SettingsError
from speech_rnn.transcript import read_label_track
from tests.tone_listener import tone_recognizer
from tests.tones import RATE, WORDS

OWN = DetectorConfig(threshold=0.6, smoothing_s=0.2, refractory_s=1.9)
WORDS_AT = [(1.0, "low"), (3.0, "high"), (5.0, "middle"), (7.0, "low")]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognize, "load", lambda _: tone_recognizer(detector=OWN))


def write_words(path: Path, words: list[tuple[float, str]], seconds: float = 10.0, rate: int = RATE) -> Path:
    samples = 0.001 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    for start, word in words:
        times = np.arange(rate // 2) / rate
        samples[round(start * rate) :][: len(times)] += 0.5 * np.sin(2 * np.pi * WORDS[word] * times)
    soundfile.write(path, samples, rate)
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(recognize.command, [*map(str, arguments), "--model", "m", "--stream"])


def test_words_of_a_long_file_come_with_their_times(tmp_path: Path) -> None:
    result = invoke(write_words(tmp_path / "a.wav", WORDS_AT))

    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["time", "score", "label"]
    assert [line[2] for line in lines[1:]] == ["low", "high", "low"]
    for line, start in zip(lines[1:], (1.0, 3.0, 7.0), strict=True):
        assert start < float(line[0].rpartition(":")[2]) < start + 1.0


def test_each_format_says_the_same(tmp_path: Path) -> None:
    sound = write_words(tmp_path / "a.flac", WORDS_AT, rate=22_050)

    from_json = [json.loads(line) for line in invoke(sound, "--json").stdout.splitlines()]
    from_csv = list(csv.DictReader(io.StringIO(invoke(sound, "--format", "csv").stdout)))
    (tmp_path / "track.txt").write_text(invoke(sound, "--format", "audacity").stdout)
    from_track = read_label_track(tmp_path / "track.txt")

    assert [one["label"] for one in from_json] == ["low", "high", "low"]
    assert [(row["file"], row["label"], float(row["time"])) for row in from_csv] == [
        (str(sound), one["label"], one["time"]) for one in from_json
    ]
    assert [(round(start, 3), round(end, 3), label) for start, end, label in from_track] == [
        (one["start"], one["time"], one["label"]) for one in from_json
    ]


def test_the_options_change_the_detector(tmp_path: Path) -> None:
    sound = write_words(tmp_path / "a.wav", [(1.0, "low"), (2.0, "high"), (4.0, "low")])

    def heard(*options: object) -> list[str]:
        return [json.loads(line)["label"] for line in invoke(sound, "--json", *options).stdout.splitlines()]

    assert heard() == ["low", "low"]
    assert heard("--refractory", 0.9) == ["low", "high", "low"]
    assert heard("--refractory", 0.9, "--threshold", "low=1") == ["high"]
    assert heard("--threshold", 1) == []
    assert heard("--smoothing", 1.5) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threshold", "loud"], "'loud' must be a number"),
        (["--threshold", "maybe=0.5"], "'maybe' is no word of this model; it has low, high."),
        (["--threshold", "_silence_=0.5"], "'_silence_' is no word"),
        (["--json", "--format", "csv"], "contradict each other"),
        (["--format", "yaml"], "yaml"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(options: list[str], words: str, tmp_path: Path) -> None:
    result = invoke(write_words(tmp_path / "a.wav", []), *options)

    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_a_threshold_beyond_one_is_refused(tmp_path: Path) -> None:
    result = invoke(write_words(tmp_path / "a.wav", []), "--threshold", 7)

    assert isinstance(result.exception, SettingsError)


def test_options_of_streams_need_stream(tmp_path: Path) -> None:
    for options in (
        ["--format", "csv"],
        ["-o", "x"],
        ["--threshold", "0.5"],
        ["--refractory", "0"],
        ["--mode", "carry"],
    ):
        result = CliRunner().invoke(recognize.command, [str(tmp_path / "a.wav"), "--model", "m", *options])

        assert result.exit_code == 2
        assert "for --stream" in result.output


def test_several_files_are_told_apart(tmp_path: Path) -> None:
    first = write_words(tmp_path / "a.wav", [(1.0, "low")])
    second = write_words(tmp_path / "b.wav", [])

    lines = invoke(first, second).stdout.splitlines()

    assert lines[0] == str(first)
    assert lines[2].split()[2] == "low"
    assert lines[3] == str(second)
    assert lines[5].split()[1:] == ["nothing", "was", "heard"]


def test_a_folder_gets_a_transcript_for_each_file(tmp_path: Path) -> None:
    files = [write_words(tmp_path / name, [(1.0, "low")]) for name in ("a.wav", "b.wav")]
    (tmp_path / "tracks").mkdir()

    result = invoke(*files, "--format", "audacity", "-o", tmp_path / "tracks")

    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert sorted(file.name for file in (tmp_path / "tracks").iterdir()) == ["a.heard.txt", "b.heard.txt"]
    assert [label for *_, label in read_label_track(tmp_path / "tracks" / "b.heard.txt")] == ["low"]


def test_several_files_are_no_label_track(tmp_path: Path) -> None:
    files = [write_words(tmp_path / name, []) for name in ("a.wav", "b.wav")]

    result = invoke(*files, "--format", "audacity")

    assert result.exit_code == 2
    assert "-o DIR" in result.output


def test_a_recording_is_not_written_over(tmp_path: Path) -> None:
    sound = write_words(tmp_path / "a.wav", [])
    before = sound.read_bytes()

    result = invoke(sound, "-o", tmp_path / "." / "a.wav")

    assert result.exit_code == 2
    assert "is the recording itself" in result.output
    assert sound.read_bytes() == before


def test_one_file_takes_them_all(tmp_path: Path) -> None:
    files = [write_words(tmp_path / name, [(1.0, "low")]) for name in ("a.wav", "b.wav")]

    invoke(*files, "--format", "csv", "-o", tmp_path / "all.csv")

    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [row["file"] for row in rows] == [str(file) for file in files]


def test_what_cannot_be_heard_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    good, bad = write_words(tmp_path / "good.wav", [(1.0, "low")]), tmp_path / "bad.wav"
    bad.write_text("no sound")
    (tmp_path / "out").mkdir()

    result = invoke(bad, good, "--format", "csv", "-o", tmp_path / "out")
    alone = invoke(bad, "--format", "csv", "-o", tmp_path / "alone.csv")

    assert isinstance(result.exception, AudioError)
    assert "1 of 2 files could not be heard" in str(result.exception)
    assert "bad.wav' is not a sound file" in result.stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["good.heard.csv"]
    assert "is not a sound file" in str(alone.exception)
    assert not (tmp_path / "alone.csv").exists()
    assert not list(tmp_path.rglob(".*"))
