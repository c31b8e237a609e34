from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from rich.console import Console

from speech_rnn import runtime
from speech_rnn.cli.evaluate import command
from speech_rnn.cli.stream_report import BuiltStreams, evaluate_streams_and_print, tables
from speech_rnn.config import DetectorConfig
from speech_rnn.data import streams
from speech_rnn.detection_scoring import DetectionReports
from speech_rnn.errors import DataError
from tests.results import HOSTILE, detection_report
from tests.tone_listener import tone_recognizer
from tests.tones import RATE, WORDS, write_tones

OWN = DetectorConfig(threshold=0.6, smoothing_s=0.2, refractory_s=1.0)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones") / "words")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "load", lambda _: tone_recognizer(detector=OWN))


def invoke(cache: Path, *arguments: object) -> Result:
    given = ["m", "--stream", *map(str, arguments), "--cache", str(cache), "--workers", "1"]
    return CliRunner(env={"COLUMNS": "120"}).invoke(command, given)


def test_streams_are_put_together_heard_and_judged(cache: Path, recordings: Path) -> None:
    result = invoke(cache, "--data", recordings, "--hours", 0.3, "--json")

    assert result.exit_code == 0, result.output
    (report,) = DetectionReports.from_json(result.stdout).reports
    assert report.hours == pytest.approx(1 / 3)
    assert report.words > 30
    assert report.default.miss is not None
    assert report.default.miss < 0.5
    assert [label.label for label in report.labels] == ["low", "high"]
    assert report.command == (
        f"speech-rnn evaluate m --stream --data {recordings} --part validation --hours 0.3 --seed 0 --mode window"
    )
    assert "2 streams put together from the validation part" in report.data


def test_the_detector_can_be_asked_for_other_than_its_own_rules(cache: Path, recordings: Path) -> None:
    own = invoke(cache, "--data", recordings, "--hours", 0.1, "--json")

    other = invoke(cache, *("--data", recordings, "--hours", 0.1, "--json"), *("--threshold", 0.95, "--smoothing", 0.4))

    (first,), (second,) = (DetectionReports.from_json(one.stdout).reports for one in (own, other))
    assert (second.config.threshold, second.config.smoothing_s) == (0.95, 0.4)
    assert second.default.missed > first.default.missed
    assert second.command.endswith("--mode window --threshold 0.95 --smoothing 0.4")


def test_both_ways_are_two_reports_and_a_page_shows_them(cache: Path, recordings: Path, tmp_path: Path) -> None:
    page = tmp_path / "streams.html"

    result = invoke(cache, "--data", recordings, "--hours", 0.1, "--mode", "both", "--page", page)

    assert result.exit_code == 0, result.output
    assert "Window: the last clip" in result.stdout
    assert "Carry: one state" in result.stdout
    assert result.stdout.count("Suggested threshold") + result.stdout.count("No threshold keeps") == 2
    assert f"drawn in {page}" in result.stdout
    assert "Misses against false alarms" in page.read_text()


def test_what_is_kept_can_be_evaluated_again_with_the_same_figures(
    cache: Path, recordings: Path, tmp_path: Path
) -> None:
    built = invoke(cache, "--data", recordings, "--hours", 0.1, "--keep", tmp_path / "kept", "--json")
    sounds = sorted((tmp_path / "kept").glob("*.flac"))

    kept = invoke(cache, *sounds, "--json")

    assert kept.exit_code == 0, kept.output
    (first,), (second,) = (DetectionReports.from_json(one.stdout).reports for one in (built, kept))
    assert (first.curve, first.default, first.labels) == (second.curve, second.default, second.labels)


def test_a_recording_of_ones_own_is_judged_by_its_label_track(cache: Path, tmp_path: Path) -> None:
    samples = 0.001 * np.random.default_rng(0).standard_normal(30 * RATE)
    times = np.arange(RATE // 2) / RATE
    for start, word in ((3, "low"), (10, "high"), (20, "low"), (25, "middle")):
        samples[start * RATE :][: len(times)] += 0.5 * np.sin(2 * np.pi * WORDS[word] * times)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    (tmp_path / "labels.txt").write_text("3\t3.5\tlow\n10\t10.5\thigh\n25\t25.5\tmiddle\n27\t27.5\thigh\n")

    result = invoke(cache, tmp_path / "a.wav", "--truth", tmp_path / "labels.txt", "--json")

    assert result.exit_code == 0, result.output
    (report,) = DetectionReports.from_json(result.stdout).reports
    assert (report.words, report.default.missed, report.default.false_alarms) == (3, 1, 1)
    assert report.causes == {"word": 0, "other word": 0, "other language": 0, "noise": 1}
    assert report.default.per_hour == pytest.approx(120.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--stream needs --data SOURCE"),
        (["--data", "x", "--truth", "a.txt"], "--stream needs --data SOURCE"),
        (["a.wav", "--data", "x"], "not for RECORDINGs"),
        (["a.wav", "--keep", "x"], "not for RECORDINGs"),
        (["a.wav", "b.wav", "--truth", "a.txt"], "--truth is given 1 times for 2 RECORDINGs"),
    ],
)
def test_what_contradicts_itself_is_wrong_usage(arguments: list[str], words: str, cache: Path) -> None:
    result = invoke(cache, *arguments)

    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_options_of_streams_need_stream() -> None:
    for options in (
        ["a.wav"],
        ["--truth", "a.txt"],
        ["--keep", "x"],
        ["--mode", "both"],
        ["--distractors", "x"],
        ["--threshold", "0"],
    ):
        result = CliRunner().invoke(command, ["m", *options])

        assert result.exit_code == 2
        assert "for --stream" in result.output


def test_a_recording_without_truth_says_what_to_give(cache: Path, tmp_path: Path) -> None:
    result = invoke(cache, tmp_path / "a.wav")

    assert isinstance(result.exception, DataError)
    assert "--truth LABELS.txt" in str(result.exception)


def test_an_interrupt_says_how_to_go_on(cache: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(streams.StreamBuilder, "scenes", interrupted)

    built = BuiltStreams([str(recordings)], [], "validation", hours=0.1, seed=9)
    with pytest.raises(KeyboardInterrupt, match="goes on where it was"):
        evaluate_streams_and_print("m", built, None, rules={}, cache=cache, workers=1, as_json=True, page=None)


def test_tables_fit_the_terminal_and_show_names_as_text() -> None:
    console = Console(width=100, file=io.StringIO())

    for element in tables([detection_report(labels=HOSTILE, model=HOSTILE[0])]):
        console.print(element, soft_wrap=True)

    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert HOSTILE[0] in shown
    assert "\x00" not in shown
    assert "\u202e" not in shown


def test_a_threshold_that_is_not_reached_is_a_dash() -> None:
    console = Console(width=120, file=io.StringIO())

    for element in tables([detection_report(false_alarms=900)]):
        console.print(element, soft_wrap=True)

    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["≤", "0.5", "false/h", *["–"] * 7] in lines


def test_listening_needs_no_tensorflow() -> None:
    code = (
        "import sys, json; import speech_rnn.cli.stream_report; "
        "print(json.dumps([name for name in ('tensorflow', 'keras', 'jinja2', 'matplotlib') if name in sys.modules]))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == []
