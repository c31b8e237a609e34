from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import click
import pytest

from speech_rnn import __version__
from speech_rnn.cli import main as main_module
from speech_rnn.cli.main import COMMANDS, main
from speech_rnn.errors import DataError

# Runs several command lines in one process that has imported nothing else: what each says, its exit code, and which
# heavy packages are loaded in the end.
PROBE = """
import contextlib, io, json, sys
from speech_rnn.cli.main import main

results = []
for line in json.loads(sys.argv[1]):
    sys.argv = ["speech-rnn", *line]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as end:
            results.append([end.code, said.getvalue()])
heavy = [name for name in ("tensorflow", "keras", "librosa", "scipy", "matplotlib", "jinja2") if name in sys.modules]
print(json.dumps([results, heavy]))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    lines = [["--help"], *([command, "--help"] for command in COMMANDS)]
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(lines)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    results, heavy = json.loads(ended.stdout)
    assert heavy == []
    assert [code for code, _ in results] == [0] * len(lines)
    return dict(zip(["", *COMMANDS], [text for _, text in results], strict=True))


def test_the_help_names_every_command_and_shows_how_to_begin(helps: dict[str, str]) -> None:
    for command, summary in COMMANDS.items():
        assert f"  {command} " in helps[""]
        assert summary in helps[""]
    assert "speech-rnn demo" in helps[""]


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_command_helps_with_an_example_and_loads_nothing_heavy_for_it(command: str, helps: dict[str, str]) -> None:
    text = helps[command]

    assert text.startswith(f"Usage: speech-rnn {command} ")
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith(f"speech-rnn {command}")]
    assert examples
    options = {word.rstrip(",") for line in text.splitlines() for word in line.split() if word.startswith("-")}
    for example in examples:
        assert {word for word in example.split() if word.startswith("-")} <= options


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["speech-rnn", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr() == (f"speech-rnn, version {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["listn"], "speech-rnn: No such command 'listn'."),
        (["--nonsense"], "speech-rnn: No such option '--nonsense'. Try 'speech-rnn --help'."),
        (["train", "--nonsense"], "Try 'speech-rnn train --help'."),
        (["train", "--epochs", "many"], "'many' is not a valid integer. Try 'speech-rnn train --help'."),
        (["export"], "Try 'speech-rnn export --help'."),
    ],
)
def test_wrong_usage_is_said_in_one_line_with_code_2(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err


def test_nothing_asked_is_helped_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert "\n  demo " in err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("'x' is\nno folder;\tgive one"), 1, "speech-rnn: 'x' is no folder; give one\n"),
        (KeyboardInterrupt(), 130, "speech-rnn: interrupted\n"),
        (KeyboardInterrupt("stopped and saved"), 130, "speech-rnn: stopped and saved\n"),
        (click.Abort(), 130, "speech-rnn: interrupted\n"),
        (click.UsageError("--x is missing."), 2, "speech-rnn fails: --x is missing. Try 'speech-rnn fails --help'.\n"),
        (
            ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"),
            1,
            "speech-rnn: this needs the package tensorflow; pip install 'speech-rnn[train]' brings it\n",
        ),
        (
            ModuleNotFoundError("No module named 'jinja2'", name="jinja2"),
            1,
            "speech-rnn: this needs the package jinja2; pip install 'speech-rnn[web]' brings it\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/runs/a"),
            1,
            "speech-rnn: /runs/a: No space left on device; mend that and try again\n",
        ),
        (OSError("odd"), 1, "speech-rnn: odd; mend that and try again\n"),
    ],
)
def test_each_way_to_end_has_its_code_and_one_line(
    error: BaseException,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise error

    offer(monkeypatch, click.Command("fails", callback=fails))

    assert run(monkeypatch, "fails") == code
    assert capsys.readouterr() == ("", says)


def offer(monkeypatch: pytest.MonkeyPatch, command: click.Command) -> None:
    module: Any = ModuleType(f"speech_rnn.cli.{command.name}")
    module.command = command
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(main_module.COMMANDS, command.name or "", "Made up.")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    offer(monkeypatch, click.Command("fails", callback=fails))
    monkeypatch.setattr(sys, "argv", ["speech-rnn", "fails"])

    with pytest.raises(ZeroDivisionError):
        main()


def test_a_reader_who_leaves_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "speech_rnn.cli.main", "train", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == b""
        assert process.wait() == 0
