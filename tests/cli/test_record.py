from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from speech_rnn.cli.record import command
from speech_rnn.data.folder import FolderSource
from speech_rnn.errors import DataError
from tests.sound_server import SoundServer
from tests.terminal import SPEECH_RNN, Terminal
from tests.test_takes import word

RATE = 16_000


def say(server: SoundServer, peak: float = 0.5) -> threading.Thread:
    """Say a word into the microphone, in the background."""
    sound = np.concatenate([np.zeros(RATE // 4, np.float32), np.clip(word(0.4, peak), -1, 1)])
    voice = threading.Thread(target=server.play, args=(sound,))
    voice.start()
    return voice


def take(terminal: Terminal, server: SoundServer, wanted: str, peak: float = 0.5) -> None:
    """Record until it goes as wanted: on a busy machine a word comes late or with holes."""
    for _ in range(8):
        terminal.expect("NOW")
        say(server, peak).join()
        if terminal.expect_one_of(wanted, "not kept") == wanted:
            return
        terminal.press("\r")
    raise AssertionError(f"{wanted!r} did not come")


@pytest.mark.slow
def test_a_word_is_recorded_refused_taken_back_and_gone_on_with(tmp_path: Path, sound_server: SoundServer) -> None:
    mine = tmp_path / "mine"

    with Terminal(*SPEECH_RNN, "record", "lamp", "--takes", "2", "-o", mine, "--no-playback") as terminal:
        terminal.expect("lamp, take 1 of 2   (Enter records")
        terminal.press("\r")
        terminal.expect("say 'lamp' in 1.0 s")
        terminal.expect("not kept, silent")
        terminal.press("\r")
        take(terminal, sound_server, "not kept, clipped", peak=4.0)
        terminal.press("\r")
        take(terminal, sound_server, "  kept: 0.")
        terminal.expect("lamp, take 2 of 2")
        terminal.press("u")
        terminal.expect("taken back")
        terminal.expect("lamp, take 1 of 2")
        terminal.press("\r")
        take(terminal, sound_server, "  kept: 0.")
        terminal.interrupt()
        terminal.expect("speech-rnn: stopped; 1 take of this session kept, the same command goes on")
        assert terminal.end() == 130

    with Terminal(
        *SPEECH_RNN, "record", "lamp", "--takes", "2", "-o", mine, "--no-playback", "--hands-free"
    ) as terminal:
        terminal.expect("lamp, take 2 of 2")
        for _ in range(8):
            terminal.expect("NOW")
            say(sound_server).join()
            if terminal.expect_one_of("1 take added", "not kept") == "1 take added":
                break
        terminal.expect(f"speech-rnn train --data corpus --data {mine} --labels lamp -o runs/mine")
        assert terminal.end() == 0
    assert len(FolderSource(mine).clips) == 2


@pytest.mark.parametrize("word", ["_unknown_", "a/b", "a,b"])
def test_what_can_be_no_word_is_refused_before_anything_is_opened(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="choose another spelling"):
        CliRunner().invoke(command, [word, "-o", str(tmp_path / "mine"), "--hands-free"], catch_exceptions=False)


def test_without_a_terminal_it_is_wrong_usage_unless_hands_free(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["lamp", "-o", str(tmp_path / "mine")])

    assert result.exit_code == 2
    assert "take --hands-free" in result.output
    assert not (tmp_path / "mine").exists()
