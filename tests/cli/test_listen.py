from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from rich.console import Console

from speech_rnn.actions import Outcome
from speech_rnn.cli import listen as module
from speech_rnn.cli.listen import command
from speech_rnn.cli.listen_view import LiveView, make_view
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import DeviceError, SettingsError
from speech_rnn.kept import read_kept
from speech_rnn.listening import Heard, Listener
from tests.sound_server import SoundServer
from tests.tone_model import RATE, ToneModel, TypedInput, blocks, silence, tone

SHELL = "$(touch pwned)"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ToneModel:
    made = ToneModel(high=SHELL)
    card = SimpleNamespace(name="tones", features=SimpleNamespace(clip_s=1.0), detector=DetectorConfig())
    monkeypatch.setattr(made, "card", card, raising=False)
    monkeypatch.setattr(module, "load", lambda name, form: made)
    return made


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    sound = [silence(0.3), tone("low", 0.4), silence(0.8), tone("high", 0.4), silence(0.2)]
    soundfile.write(path, np.concatenate(sound), RATE)
    return path


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_without_a_terminal_a_word_is_a_line(model: ToneModel, speech: Path) -> None:
    result = invoke("--wav", speech)

    low, high = result.stdout.splitlines()
    assert low.split()[2:] == ["low", "0.800"]
    assert float(low.split()[0]) == pytest.approx(0.49, abs=0.03)
    assert SHELL in high
    assert result.exit_code == 0


def test_as_json_a_word_is_an_object_with_all_scores(model: ToneModel, speech: Path) -> None:
    lines = [json.loads(line) for line in invoke("--wav", speech, "--json").stdout.splitlines()]

    assert [line["label"] for line in lines] == ["low", SHELL]
    assert list(lines[0]["scores"]) == ["_silence_", "low", SHELL]
    assert lines[0]["start"] <= lines[0]["time"] < 1.0
    assert abs(datetime.fromisoformat(lines[0]["clock"]) - datetime.now(UTC)).total_seconds() < 60


def test_it_stops_after_the_seconds_asked_for(model: ToneModel, speech: Path) -> None:
    assert len(invoke("--wav", speech, "--seconds", "0.7").stdout.splitlines()) == 1


def test_what_is_heard_is_kept_and_starts_its_program(
    model: ToneModel, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    result = invoke("--wav", speech, "--save", "kept", "--run", "*=mkdir {label}", "--run", "low=false")

    assert sorted(path.name for path in work.iterdir()) == [SHELL, "kept", "low"]
    assert [note.label for _, note in read_kept(work / "kept")] == ["low", SHELL]
    assert "command 'false' of 'low': exit code 1" in result.stderr


def test_settings_of_the_detector_reach_it(model: ToneModel, speech: Path) -> None:
    options = [
        "--threshold",
        "0.6",
        "--threshold",
        "low=0.7",
        "--smoothing",
        "0.2",
        "--refractory",
        "2",
        "--mode",
        "carry",
    ]

    invoke("--wav", speech, "--seconds", "0.1", *options)

    assert model.streams[0].config == DetectorConfig(
        mode="carry", threshold=0.6, thresholds={"low": 0.7}, smoothing_s=0.2, refractory_s=2.0
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--threshold", "loud=0.5"], "names no label"),
        (["--run", "loud=say"], "must begin with a label"),
    ],
)
def test_labels_that_the_model_has_not_are_refused(
    options: list[str], says: str, model: ToneModel, speech: Path
) -> None:
    with pytest.raises(SettingsError, match=says):
        invoke("--wav", speech, *options)


def test_a_file_and_a_device_together_are_wrong_usage(model: ToneModel, speech: Path) -> None:
    assert invoke("--wav", speech, "--device", "0").exit_code == 2


def test_ctrl_c_ends_it_with_what_it_was(
    model: ToneModel, speech: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from speech_rnn.cli.main import main

    def interrupted(listener: Listener, audience: Any, *, seconds: float | None) -> None:
        for _ in range(30):
            for heard in listener.step():
                audience.heard(heard)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupted)
    monkeypatch.setattr(sys, "argv", ["speech-rnn", "listen", "--wav", str(speech)])

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 130
    assert capsys.readouterr().err == "speech-rnn: listened for 1 s, 1 word heard\n"


def test_devices_are_listed_from_a_real_portaudio(sound_server: SoundServer) -> None:
    del sound_server

    lines = [json.loads(line) for line in invoke("--list-devices", "--json").stdout.splitlines()]
    table = invoke("--list-devices").stdout

    assert [line["default"] for line in lines].count(True) == 1
    for line in lines:
        assert f"{line['index']:3}  {line['name']}  (ALSA, " in table


def test_without_a_microphone_it_says_what_to_do(
    model: ToneModel, sound_server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.sound_server import restart_portaudio

    sound_server.stop()
    restart_portaudio()

    for arguments in ([], ["--list-devices"]):
        with pytest.raises(DeviceError, match="no microphone is found; plug one in"):
            invoke(*arguments)


def drawn(view: LiveView, listener: Listener, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(view.drawing(listener))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_view_shows_level_scores_threshold_words_overruns_and_trouble() -> None:
    source = TypedInput(blocks(np.concatenate([silence(0.1), tone("low", 0.2)])))
    listener = Listener(ToneModel(high="[bold]\x1b[31m"), source)
    view = LiveView("tones", DetectorConfig(threshold=0.5))
    heard = [one for _ in range(15) for one in listener.step()]

    for one in heard:
        view.heard(one)
    view.outcomes([Outcome("low", "mkdir", "exit code 1"), Outcome("low", "say", "")])
    source.overruns = 7
    view.trouble("it went away")
    picture = drawn(view, listener)

    lines = picture.splitlines()
    assert "tones at 'typed', listening" in lines[0]
    assert lines[1].split()[0] == "level"
    assert lines[1].rstrip().endswith("-5 dB")
    (low,) = (line for line in lines if line.strip().startswith("low") and "█" in line)
    assert low.count("█") == pytest.approx(30 * 0.8, abs=1)
    assert low.rstrip().endswith("0.80")
    assert all("┃" in line or "│" in line for line in lines[3:6])
    assert "[bold]" in picture
    assert "\x1b" not in picture
    assert [heard[0].clock.strftime("%H:%M:%S"), "low", "0.800"] in [line.split() for line in lines]
    assert "low → mkdir: exit code 1" in picture
    assert "low → say: done" in picture
    assert "1 heard, 7 overruns" in picture
    assert "it went away" in picture


def test_the_live_view_has_the_same_height_always_and_fits_a_narrow_terminal() -> None:
    listener = Listener(ToneModel(), TypedInput(blocks(np.concatenate([silence(0.2), tone("low", 0.5)]))))
    view = LiveView("tones", DetectorConfig())
    heights = {drawn(view, listener).count("\n")}

    while not listener.ended:
        for one in listener.step():
            for _ in range(20):
                view.heard(one)
        heights.add(drawn(view, listener, width=56).count("\n"))

    assert len(heights) == 1


def test_the_live_view_is_drawn_and_left_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    listener = Listener(ToneModel(), TypedInput(blocks(silence(0.1))))

    with LiveView("tones", DetectorConfig(), console) as view:
        listener.step()
        view.update(listener)

    assert isinstance(console.file, io.StringIO)
    assert "_silence_" in console.file.getvalue()
    assert console.file.getvalue().endswith("\x1b[?25h")


def test_overruns_are_told_once_and_then_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    source = TypedInput([])
    listener = Listener(ToneModel(), source)
    view = make_view("tones", DetectorConfig(), as_json=False)

    for overruns in range(60):
        source.overruns = overruns
        view.update(listener)

    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["1", "51"]


def test_trouble_and_its_end_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view("tones", DetectorConfig(), as_json=True)

    view.trouble("gone\x1b[31m")
    view.trouble("")
    view.heard(Heard("low", 0.5, 1.0, 0.0, datetime.now(UTC), {}))

    out, err = capsys.readouterr()
    assert err == "speech-rnn: gone\N{REPLACEMENT CHARACTER}[31m\nspeech-rnn: all is well again\n"
    assert json.loads(out)["label"] == "low"


def test_nothing_is_left_of_what_hushes_portaudio(model: ToneModel, speech: Path) -> None:
    before = os.fstat(2).st_ino, len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked

    invoke("--wav", speech, "--seconds", "0.05")

    assert (os.fstat(2).st_ino, len(os.listdir("/proc/self/fd"))) == before  # noqa: PTH208
