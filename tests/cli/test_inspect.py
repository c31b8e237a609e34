from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from speech_rnn.cli.inspect import command
from speech_rnn.cli.main import main
from speech_rnn.trained import open_trained
from speech_rnn.word_trace import trace_word
from tests.untrained import FEATURES, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs and a sound."""
    folder = tmp_path_factory.mktemp("inspected")
    write_run(folder / "lstm", "lstm")
    write_run(folder / "gru", "gru")
    noise = np.random.default_rng(0).normal(0, 0.1, FEATURES.clip_length)
    soundfile.write(folder / "yes.wav", noise, FEATURES.sample_rate)
    return folder


def inspect(folder: Path, *arguments: object, models: tuple[str, ...] = ("lstm", "gru")) -> Result:
    names = [str(folder / model) for model in models]
    return CliRunner(env={"COLUMNS": "100"}).invoke(
        command, [*names, str(folder / "yes.wav"), *map(str, arguments)], catch_exceptions=False
    )


def test_the_gates_of_each_model_are_printed(folder: Path) -> None:
    result = inspect(folder)

    traces = [trace_word(open_trained(str(folder / cell)), folder / "yes.wav") for cell in ("lstm", "gru")]
    lines = [line.split() for line in result.stdout.splitlines()]
    for trace in traces:
        label, score = trace.heard
        assert f"{trace.model} hears {label!r}, score {score:.2f}" in result.stdout
        for one in trace.figures():
            row = [f"{one.layer}", one.signal, f"{one.mean:z.2f}", f"{one.low:z.2f}", f"{one.high:z.2f}"]
            assert any(line[:5] == row for line in lines), row


def test_json_is_all_that_is_drawn(folder: Path) -> None:
    result = inspect(folder, "--json", models=("lstm",))

    (model,) = json.loads(result.stdout)["models"]
    trace = trace_word(open_trained(str(folder / "lstm")), folder / "yes.wav")
    assert model == json.loads(json.dumps(trace.as_json()))


def test_a_page_is_written_in_a_folder_that_is_made_and_names_its_command(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "made" / "inside.html"

    result = inspect(folder, "-o", page)

    assert f"drawn in {page}" in result.stdout
    root = ElementTree.fromstring(page.read_text())
    text = "".join(root.itertext())
    assert f"Inside {folder / 'lstm'} and {folder / 'gru'}" in text
    assert f"speech-rnn inspect {folder / 'lstm'} {folder / 'gru'} {folder / 'yes.wav'} -o {page}" in text
    assert len([svg for svg in root.iter() if svg.tag.endswith("}svg")]) == 2 * (1 + 2 * 2)


def end_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code of a command line, and the one line that it says."""
    monkeypatch.setattr(sys, "argv", ["speech-rnn", "inspect", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert isinstance(end.value.code, int)
    return end.value.code, err


def test_what_can_not_be_inspected_is_said_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(100), FEATURES.sample_rate)
    gru, yes = folder / "gru", folder / "yes.wav"

    for arguments, code, says in (
        ((gru, tmp_path / "no.wav"), 1, "does not exist; check the path"),
        ((gru, tmp_path / "short.wav"), 1, "lasts 6.2 ms, which must be at least"),
        (("gru-13", yes), 1, "is neither a folder nor a name"),
        ((yes, yes), 1, "is a file, and a model is a folder"),
        ((gru, yes, "-o", yes / "page.html"), 1, "yes.wav"),
        ((gru, gru, gru, gru, yes), 2, "4 models are given, at most 3 fit side by side"),
        ((gru,), 2, "Missing argument"),
    ):
        found, said = end_of(monkeypatch, capsys, *arguments)
        assert found == code
        assert says in said
