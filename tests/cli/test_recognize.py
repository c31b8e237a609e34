from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from speech_rnn import runtime
from speech_rnn.cli.recognize import command
from speech_rnn.errors import AudioError, ModelError
from speech_rnn.runtime import load
from tests.tflite_models import CLIP_LENGTH, LABELS, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def write_sound(path: Path, seed: int, length: int = CLIP_LENGTH) -> Path:
    samples = np.random.default_rng(seed).uniform(-1, 1, length)
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    return path


def test_each_file_gets_the_label_and_score_of_the_recognizer_as_a_line_of_json(tmp_path: Path, model: Path) -> None:
    files = [str(write_sound(tmp_path / f"{seed}.wav", seed)) for seed in range(3)]

    result = CliRunner().invoke(command, [*files, "--model", str(model), "--json"], catch_exceptions=False)

    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["file"] for line in lines] == files
    for line in lines:
        expected = load(model).predict(*soundfile.read(line["file"]))
        assert line["label"] == expected.label
        assert line["score"] == pytest.approx(expected.score, abs=1e-6)
        assert tuple(line["scores"]) == LABELS
        assert line["seconds"] == 0.05


def test_a_table_shows_file_label_score_and_what_was_heard(tmp_path: Path, model: Path) -> None:
    short, long = write_sound(tmp_path / "short.wav", 1), write_sound(tmp_path / "long.wav", 2, 40_000)

    result = CliRunner().invoke(command, [str(short), str(long), "--model", str(model)], catch_exceptions=False)

    header, first, second = result.stdout.splitlines()
    assert header.split() == ["file", "label", "score", "next", "heard"]
    expected = load(model).predict(*soundfile.read(short))
    assert first.split()[:3] == [str(short), expected.label, f"{expected.score:.3f}"]
    assert first.rstrip().endswith("all 0.05 s")
    assert second.rstrip().endswith("middle 0.05 of 2.50 s")


def test_one_bad_file_is_named_and_the_others_are_answered(
    tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = write_sound(tmp_path / "good.wav", 1), tmp_path / "bad.wav"
    bad.write_text("not a sound")

    with pytest.raises(AudioError, match="1 of 3 files could not be heard"):
        command.main([str(good), str(bad), str(good), "--model", str(model), "--json"], standalone_mode=False)

    out, err = capfd.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(good)] * 2
    assert len(err.splitlines()) == 1
    assert err.startswith("speech-rnn: ")
    assert str(bad) in err


def test_a_single_bad_file_is_the_commands_own_error(tmp_path: Path, model: Path) -> None:
    with pytest.raises(AudioError, match="does not exist"):
        command.main([str(tmp_path / "nowhere.wav"), "--model", str(model)], standalone_mode=False)


def test_names_full_of_markup_and_escapes_are_printed_as_they_are_or_quoted(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", labels=("[bold]yes[/bold]", "<b>no</b>", "$(reboot)"))
    markup, escape = write_sound(tmp_path / "[red]a.wav", 1), write_sound(tmp_path / "\x1b[31mb.wav", 1)

    result = CliRunner().invoke(command, [str(markup), str(escape), "--model", str(model)], catch_exceptions=False)

    assert "[red]a.wav" in result.stdout
    assert r"\x1b[31mb.wav" in result.stdout
    assert "\x1b" not in result.stdout
    assert any(label in result.stdout for label in load(model).labels)


def test_without_a_model_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_PACKAGE", tmp_path)
    sound = str(write_sound(tmp_path / "a.wav", 1))

    with pytest.raises(ModelError, match=r"no model 'gru-12-small' comes with this install; give --model DIR.*export"):
        command.main([sound], standalone_mode=False)

    write_model(tmp_path / "exported" / "gru-12-small")

    command.main([sound], standalone_mode=False)


def test_the_shell_sees_exit_code_1_one_line_and_no_traceback(tmp_path: Path, model: Path) -> None:
    content = (model / "clip.tflite").read_bytes()
    (model / "clip.tflite").write_bytes(content[: len(content) // 2])
    arguments = ["recognize", str(write_sound(tmp_path / "a.wav", 1)), "--model", str(model)]

    done = subprocess.run(
        [sys.executable, "-m", "speech_rnn.cli.main", *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("speech-rnn: ")
    assert "its card says" in done.stderr


def test_the_shell_sees_exit_code_1_after_one_bad_file_of_two(tmp_path: Path, model: Path) -> None:
    good = write_sound(tmp_path / "a.wav", 1)
    arguments = ["recognize", str(good), str(tmp_path / "b.wav"), "--model", str(model), "--json"]

    done = subprocess.run(
        [sys.executable, "-m", "speech_rnn.cli.main", *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["file"] == str(good)
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["speech-rnn"] * 2
