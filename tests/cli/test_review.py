from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from speech_rnn.cli.review import command
from speech_rnn.data.folder import FolderSource
from tests.terminal import SPEECH_RNN, Terminal
from tests.test_review import keep


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    for n in range(5):
        keep(tmp_path / "kept", f"2026112{n}T120000000")
    return tmp_path / "kept"


def test_sounds_are_sorted_by_single_keys_left_and_gone_on_with(kept: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"

    with Terminal(*SPEECH_RNN, "review", kept, "-o", mine, "--no-playback") as terminal:
        terminal.expect("5 of 5 sounds to look at")
        terminal.expect("1 of 5  yes 0.90, then no 0.05")
        terminal.press("\r")
        terminal.expect("2 of 5")
        terminal.press("x")
        terminal.expect("Enter: it is that word")
        terminal.press("r")
        terminal.expect("the word")
        terminal.type("../evil")
        terminal.expect("choose another spelling")
        terminal.press("r")
        terminal.expect("the word")
        terminal.type("guess")
        terminal.expect("3 of 5")
        terminal.press("n")
        terminal.expect("4 of 5")
        terminal.press("u")
        terminal.expect("undone")
        terminal.expect("3 of 5")
        terminal.press("o")
        terminal.expect("4 of 5")
        terminal.press("q")
        terminal.expect("3 recordings added")
        terminal.expect(f"speech-rnn train --data SPEECH --data {mine} --labels no,yes -o runs/mine")
        assert terminal.end() == 0
    assert sorted(clip.word for clip in FolderSource(mine).clips) == ["guess", "other", "yes"]

    with Terminal(*SPEECH_RNN, "review", kept, "-o", mine, "--no-playback") as terminal:
        terminal.expect("2 of 5 sounds to look at")
        terminal.expect("4 of 5")
        terminal.interrupt()
        terminal.expect("speech-rnn: stopped; 2 left, the same command goes on")
        assert terminal.end() == 130


def test_where_nothing_can_be_played_it_says_so_and_goes_on(kept: Path, tmp_path: Path) -> None:
    with Terminal(*SPEECH_RNN, "review", kept, "-o", tmp_path / "mine") as terminal:
        terminal.expect("1 of 5")
        terminal.press("d")
        terminal.expect("dropped")
        terminal.expect("2 of 5")
        terminal.press("q")
        terminal.expect("0 recordings added")
        assert terminal.end() == 0


def test_without_a_terminal_it_is_wrong_usage(kept: Path) -> None:
    result = CliRunner().invoke(command, [str(kept)])

    assert result.exit_code == 2
    assert "standard input is no terminal" in result.output
