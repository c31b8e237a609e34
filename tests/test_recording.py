from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.data.folder import FolderSource
from speech_rnn.errors import DeviceError
from speech_rnn.microphone import Block, Microphone, State
from speech_rnn.own_words import OwnWords
from speech_rnn.recording import COUNTDOWN_S, Choice, Recorder
from speech_rnn.takes import Take
from tests.sound_server import SoundServer, wait_until
from tests.test_takes import room, said, word

RATE = 16_000
GOOD = said((0.7, word(0.5)))
CLIPPED = np.clip(said((0.7, word(peak=3.0))), -1, 1)
SILENT = np.zeros(2 * RATE, np.float32)


class Booth:
    """A microphone: what is said begins when the sign to speak comes."""

    title = "'booth'"
    overruns = 0

    def __init__(self, *takes: NDArray[np.float32], rate: float = RATE) -> None:
        self.state: State = "listening"
        self.trouble = ""
        self.rate = rate
        self.discards = 0
        self._takes = list(takes)
        self._now: Iterator[Block] = self._blocks(room(100.0, -20.0))  # noise, until the sign

    def discard(self) -> None:
        self.discards += 1
        self._now = self._blocks(self._takes.pop(0))

    def read(self, wait_s: float) -> Block | None:
        del wait_s
        return next(self._now, Block(np.zeros(0, np.float32), self.rate))

    def _blocks(self, samples: NDArray[np.float32]) -> Iterator[Block]:
        for start in range(0, len(samples), 320):
            yield Block(samples[start : start + 320], self.rate)


class Script:
    """A person who answers as it is written; behind the script, each take is recorded."""

    def __init__(self, *answers: Choice, asks: bool = True) -> None:
        self.asks = asks
        self.answers = list(answers)
        self.asked: list[tuple[str, int, bool]] = []
        self.ends = 0
        self.signs: list[float] = []
        self.levels: list[float] = []
        self.reasons: list[str] = []
        self.kept: list[Path] = []
        self.takes: list[Take] = []
        self.back: list[Path] = []

    def choose(self, word: str, take: int, takes: int, *, can_undo: bool) -> Choice:
        self.asked.append((word, take, can_undo))
        return self.answers.pop(0) if self.answers else "record"

    def choose_at_end(self) -> Choice:
        self.ends += 1
        return self.answers.pop(0) if self.answers else "quit"

    def count_down(self, word: str, left_s: float) -> None:
        self.signs.append(left_s)

    def level(self, level_db: float, left_s: float) -> None:
        self.levels.append(level_db)

    def accepted(self, word: str, path: Path, take: Take) -> None:
        self.kept.append(path)
        self.takes.append(take)

    def refused(self, reason: str) -> None:
        self.reasons.append(reason)

    def undone(self, path: Path) -> None:
        self.back.append(path)

    def cannot_play(self, reason: str) -> None:
        self.reasons.append(reason)


def session(folder: Path, booth: Booth, script: Script, **settings: object) -> tuple[Recorder, list[float]]:
    waits: list[float] = []
    recorder = Recorder(OwnWords(folder, "1a2b3c4d"), booth, script, sleep=waits.append, **settings)  # type: ignore[arg-type]
    return recorder, waits


def test_takes_are_counted_down_recorded_cut_and_kept(tmp_path: Path) -> None:
    booth, script = Booth(*[GOOD] * 4), Script()
    recorder, waits = session(tmp_path, booth, script)

    recorder.record(["lamp", "music"], 2)

    assert script.asked == [("lamp", 1, False), ("lamp", 2, True), ("music", 1, True), ("music", 2, True)]
    assert sum(waits) == pytest.approx(4 * COUNTDOWN_S)
    assert script.signs[:11] == pytest.approx(np.arange(10, -1, -1) / 10)
    assert max(script.levels) > -20
    assert recorder.added == script.kept
    assert [clip.name for clip in FolderSource(tmp_path).clips] == [
        f"{word}/1a2b3c4d_nohash_{n}.wav" for word in ("lamp", "music") for n in (0, 1)
    ]
    samples, _ = soundfile.read(script.kept[0])
    np.testing.assert_allclose(samples, script.takes[0].samples, atol=1 / 32_768)


def test_a_take_of_no_use_is_refused_with_the_reason_and_asked_for_again(tmp_path: Path) -> None:
    booth, script = Booth(CLIPPED, SILENT, said((1.8, word())), np.full(2 * RATE, np.nan, np.float32), GOOD), Script()
    recorder, _ = session(tmp_path, booth, script)

    recorder.record(["lamp"], 1)

    assert [reason.split(":")[0].split(";")[0] for reason in script.reasons[:3]] == [
        "clipped",
        "silent",
        "cut at its end",
    ]
    assert "finite" in script.reasons[3]
    assert [take for _, take, _ in script.asked] == [1] * 5
    assert (recorder.refused, len(recorder.added)) == (4, 1)


def test_a_later_session_records_what_is_missing(tmp_path: Path) -> None:
    session(tmp_path, Booth(GOOD, GOOD), Script("record", "record", "quit"))[0].record(["lamp"], 5)
    script = Script()

    session(tmp_path, Booth(GOOD, GOOD, GOOD), script)[0].record(["lamp"], 5)

    assert [take for _, take, _ in script.asked] == [3, 4, 5]
    assert len(FolderSource(tmp_path).clips) == 5


def test_the_last_take_can_be_taken_back_also_of_the_word_before_and_at_the_end(tmp_path: Path) -> None:
    script = Script("record", "undo", "undo", "record", "record", "undo", "record", "quit")
    recorder, _ = session(tmp_path, Booth(*[GOOD] * 4), script)

    recorder.record(["lamp", "music"], 1)

    # lamp; back; nothing to take back; lamp, music; at the end music back; music.
    assert [path.parent.name for path in script.back] == ["lamp", "music"]
    assert [word for word, _, _ in script.asked] == ["lamp", "music", "lamp", "lamp", "music", "music"]
    assert script.ends == 2
    assert len(FolderSource(tmp_path).clips) == 2


def test_a_word_can_be_skipped_and_the_session_ended(tmp_path: Path) -> None:
    recorder, _ = session(tmp_path, Booth(GOOD), Script("skip", "record", "quit"))

    recorder.record(["lamp", "music", "stop"], 1)

    assert [path.parent.name for path in recorder.added] == ["music"]


def test_takes_are_played_back_when_they_are_kept_and_when_asked(tmp_path: Path) -> None:
    played: list[NDArray[np.float32]] = []
    script = Script("play", "record", "play", "quit")

    session(tmp_path, Booth(GOOD), script, player=lambda samples, rate: played.append(samples))[0].record(["lamp"], 2)

    assert [len(samples) for samples in played] == [RATE, RATE]
    np.testing.assert_array_equal(played[0], script.takes[0].samples)


def test_without_a_loudspeaker_recording_goes_on_and_it_is_said_once(tmp_path: Path) -> None:
    def fails(samples: NDArray[np.float32], rate: float) -> None:
        raise DeviceError("nothing to play on")

    script = Script()
    recorder, _ = session(tmp_path, Booth(GOOD, GOOD), script, player=fails)

    recorder.record(["lamp"], 2)

    assert (script.reasons, len(recorder.added)) == (["nothing to play on"], 2)


def test_hands_free_it_ends_by_itself_and_does_not_try_for_ever(tmp_path: Path) -> None:
    script = Script(asks=False)
    session(tmp_path / "a", Booth(GOOD), script)[0].record(["lamp"], 1)
    assert script.ends == 0

    with pytest.raises(DeviceError, match="10 takes in a row could not be used"):
        session(tmp_path / "b", Booth(*[SILENT] * 10), script)[0].record(["lamp"], 1)


def test_a_microphone_that_goes_away_spoils_the_take_and_one_that_gives_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loose(Booth):
        def _blocks(self, samples: NDArray[np.float32]) -> Iterator[Block]:
            for n, block in enumerate(super()._blocks(samples)):
                yield Block(block.samples, self.rate, gap=n == 50 and len(self._takes) == 1)

    script = Script()
    session(tmp_path, Loose(GOOD, GOOD), script)[0].record(["lamp"], 1)
    assert script.reasons == ["the microphone was away for a moment; say it again"]

    monkeypatch.setattr("speech_rnn.recording._PATIENCE_S", -2.0)
    booth = Booth(GOOD[:0])
    booth.trouble = "microphone 'booth' went away"
    with pytest.raises(DeviceError, match="'booth' went away; choose another with --device"):
        session(tmp_path, booth, Script())[0].record(["lamp"], 2)


def test_a_word_spoken_into_a_real_device_is_recorded(tmp_path: Path, sound_server: SoundServer) -> None:
    class Speaker(Script):
        def count_down(self, word: str, left_s: float) -> None:
            if left_s == 0.0:
                self.voice = threading.Thread(target=sound_server.play, args=(GOOD[round(0.5 * RATE) :][:RATE],))
                self.voice.start()

    script = Speaker(asks=False)
    with Microphone() as microphone:
        wait_until(lambda: microphone.state == "listening")
        recorder = Recorder(OwnWords(tmp_path), microphone, script, sleep=lambda seconds: None)
        recorder.record(["lamp"], 1)
        script.voice.join()

    # On a busy machine the player stumbles; what of the word comes through is a word.
    assert 0.1 <= script.takes[-1].end_s - script.takes[-1].start_s < 0.7
    assert len(FolderSource(tmp_path).clips) == 1
