from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.audio import read_audio, to_mono
from speech_rnn.errors import AudioError, DeviceError
from speech_rnn.microphone import Block, FileInput, Microphone
from tests.fake_card import FakeCard
from tests.sound_server import SoundServer, wait_until
from tests.terminal import Terminal

SPEECH = np.random.default_rng(0).normal(0, 0.1, 320).astype(np.float32)


@pytest.fixture
def card() -> FakeCard:
    return FakeCard()


def opened(card: FakeCard, **settings: Any) -> Microphone:
    times: dict[str, float] = {"retry_s": 0.02, "stalled_s": 5.0, "reopen_s": 10.0}
    return Microphone(card=lambda: card, **{**times, **settings})


def test_what_is_spoken_is_read_copied_and_joined(card: FakeCard) -> None:
    with opened(card) as microphone:
        for part in range(3):
            card.streams[0].speak(SPEECH + part)

        block = microphone.read()

    np.testing.assert_array_equal(block.samples[:, 0], np.concatenate([SPEECH, SPEECH + 1, SPEECH + 2]))
    assert (block.rate, block.gap, microphone.overruns) == (16_000.0, False, 0)


def test_where_nothing_is_spoken_a_read_is_empty_and_comes_in_time(card: FakeCard) -> None:
    with opened(card) as microphone:
        start_s = time.monotonic()

        assert len(microphone.read(0.05).samples) == 0

        assert 0.04 < time.monotonic() - start_s < 1.0
        assert len(microphone.read(0).samples) == 0


def test_a_block_of_no_samples_is_no_end_and_no_error(card: FakeCard) -> None:
    with opened(card) as microphone:
        card.streams[0].speak(SPEECH[:0])
        card.streams[0].speak(SPEECH)

        assert len(microphone.read().samples) == len(SPEECH)


def test_a_reader_who_sleeps_never_holds_up_the_sound_and_the_overruns_are_counted(card: FakeCard) -> None:
    with opened(card, queue_s=0.1) as microphone:
        for part in range(8):
            card.streams[0].speak(SPEECH + part)
        card.streams[0].speak(SPEECH, overflow=True)

        assert microphone.overruns == 3 + 1 + 1  # no room for three and the last, which besides told of an overflow
        assert len(microphone.read().samples) == 5 * len(SPEECH)


def test_discarded_sound_is_not_read(card: FakeCard) -> None:
    with opened(card) as microphone:
        card.streams[0].speak(SPEECH)
        microphone.discard()
        card.streams[0].speak(SPEECH + 1)

        np.testing.assert_array_equal(microphone.read().samples[:, 0], SPEECH + 1)


def test_the_device_is_opened_at_its_own_rate_and_as_one_channel() -> None:
    card = FakeCard(desk=(2, 44_100.0))

    with opened(card) as microphone:
        assert (card.streams[0].rate, card.streams[0].channels) == (44_100.0, 1)
        assert microphone.rate == 44_100.0


def test_a_device_that_gives_only_all_its_channels_is_opened_so() -> None:
    card = FakeCard(array=(6, 48_000.0))
    card.refused = {(rate, channels) for rate in (48_000.0, 44_100.0, 16_000.0) for channels in (1, 2)}

    with opened(card) as microphone:
        card.streams[0].speak(SPEECH)

        assert microphone.read().samples.shape == (320, 6)


def test_a_rate_that_the_device_does_not_offer_is_a_clear_error() -> None:
    card = FakeCard()
    card.refused = {(11_025.0, 1)}

    with pytest.raises(
        DeviceError, match=r"'desk' can't be opened \(Invalid sample rate.*leave the rate to the device"
    ):
        opened(card, rate=11_025.0).__enter__()


def test_without_any_microphone_it_says_what_to_do() -> None:
    card = FakeCard()
    card.microphones = card._seen = {}

    with pytest.raises(DeviceError, match="no microphone is found; plug one in"):
        opened(card).__enter__()


def test_a_missing_package_is_the_error_of_opening() -> None:
    def missing() -> Any:
        raise DeviceError("the microphone needs the package sounddevice; pip install 'speech-rnn[mic]'")

    with pytest.raises(DeviceError, match=r"speech-rnn\[mic\]"):
        Microphone(card=missing).__enter__()


def test_a_device_that_goes_away_is_found_again_by_name_and_the_gap_is_told(card: FakeCard) -> None:
    with opened(card) as microphone:
        card.streams[0].speak(SPEECH)
        wait_until(lambda: microphone.state == "listening")
        card.unplug()
        wait_until(lambda: microphone.state == "lost")
        assert "went away" in microphone.trouble or "no microphone is found" in microphone.trouble
        starts = card.starts
        wait_until(lambda: card.starts > starts + 2)
        assert len(card.streams) == 1

        card.microphones = {"another": (1, 8_000.0), "desk": (1, 48_000.0)}
        wait_until(lambda: len(card.streams) == 2)
        card.streams[1].speak(SPEECH + 1)
        wait_until(lambda: microphone.state == "listening")

        first, second = microphone.read(), microphone.read()
        assert (first.gap, first.rate, second.gap, second.rate) == (False, 16_000.0, True, 48_000.0)
        assert card.streams[1].rest["device"] == 1
        assert (microphone.trouble, microphone.reopened >= 3) == ("", True)


def test_a_device_that_falls_silent_is_told_of_and_opened_anew(card: FakeCard) -> None:
    def speaks_and_is_heard() -> bool:
        card.streams[-1].speak(SPEECH)
        return microphone.state == "listening"

    with opened(card, stalled_s=0.3, reopen_s=0.6) as microphone:
        wait_until(speaks_and_is_heard)

        wait_until(lambda: microphone.state == "silent")
        assert "no sound comes from 'desk'" in microphone.trouble
        wait_until(lambda: len(card.streams) == 2)
        wait_until(speaks_and_is_heard)
        assert microphone.trouble == ""


def test_a_device_that_is_slow_to_begin_gets_more_time_with_each_attempt(card: FakeCard) -> None:
    opened_s: list[float] = []

    with opened(card, reopen_s=0.1):
        for n in range(2, 6):
            wait_until(lambda n=n: len(card.streams) >= n)  # type: ignore[misc]
            opened_s.append(time.monotonic())

    # 0.2, 0.4 and 0.8 s, and none shorter, however busy the machine.
    assert np.all(np.diff(opened_s) > [0.15, 0.35, 0.75])


def test_a_sound_system_that_does_not_answer_is_an_error_and_not_a_hang(card: FakeCard) -> None:
    card.hangs.set()

    with pytest.raises(DeviceError, match=r"has not answered for 0.1 s; restart"):
        opened(card, start_s=0.1).__enter__()


def test_closing_a_device_that_hangs_returns(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speech_rnn.microphone._STOP_S", 0.1)
    forgotten: list[Any] = []
    monkeypatch.setattr("atexit.unregister", forgotten.append)

    with opened(card):
        card.hangs.set()

    assert forgotten == [card._exit_handler]


def test_a_device_that_hangs_when_it_is_opened_anew_is_an_error_for_the_reader(card: FakeCard) -> None:
    with opened(card, start_s=0.2) as microphone:
        card.hangs.set()
        card.unplug()

        with pytest.raises(DeviceError, match=r"has not answered for 0.2 s"):
            for _ in range(200):
                microphone.read(0.05)


def test_a_bug_in_the_watching_thread_reaches_the_reader(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(card) as microphone:

        def fails() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(card, "_initialize", fails)
        card.unplug()

        with pytest.raises(ZeroDivisionError):
            for _ in range(200):
                microphone.read(0.05)


class Clock:
    """A time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def write(path: Path, samples: NDArray[np.float32], rate: int = 16_000) -> Path:
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def until_end(source: FileInput, wait_s: float) -> Iterator[Block]:
    while (block := source.read(wait_s)) is not None:
        yield block


@pytest.mark.parametrize("wait_s", [0.001, 0.013, 0.5])
def test_a_file_is_played_whole_and_in_real_time(tmp_path: Path, wait_s: float) -> None:
    clock = Clock()
    path = write(tmp_path / "a.wav", np.random.default_rng(1).uniform(-0.5, 0.5, 22_051).astype(np.float32), 22_050)
    source = FileInput(path, 16_000, clock=clock, sleep=clock.sleep)

    heard = []
    for block in until_end(source, wait_s):
        heard.append(block.samples)
        assert sum(map(len, heard)) / 16_000 <= clock.now - 100.0 + 1e-9

    np.testing.assert_array_equal(np.concatenate(heard), read_audio(path, 16_000))
    assert clock.now - 100.0 == pytest.approx(len(np.concatenate(heard)) / 16_000)
    assert source.state == "ended"


def test_a_reader_who_is_late_gets_a_files_sound_at_once(tmp_path: Path) -> None:
    clock = Clock()
    source = FileInput(write(tmp_path / "a.wav", SPEECH.repeat(10)), 16_000, clock=clock, sleep=clock.sleep)
    source.read()
    clock.now += 60.0
    before = clock.now

    assert sum(len(block.samples) for block in until_end(source, 0.1)) == 3_200 - 320
    assert clock.now == before


def test_a_file_that_is_no_sound_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")

    with pytest.raises(AudioError, match="not a sound file"):
        FileInput(tmp_path / "a.wav", 16_000)


# From here on: a real PortAudio, on a real sound server.


class Recording:
    """Reads a microphone in a thread of its own."""

    def __init__(self, microphone: Microphone) -> None:
        self.blocks: list[Block] = []
        self._microphone = microphone
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._end.is_set():
            block = self._microphone.read(0.1)
            if len(block.samples):
                self.blocks.append(block)

    def __enter__(self) -> Recording:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([block.samples for block in self.blocks]) if self.blocks else np.zeros(0, np.float32)


def tone(frequency_hz: float, seconds: float) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(16_000 * seconds)) / 16_000)).astype(np.float32)


def has_tone(frequency_hz: float) -> Callable[[Recording], bool]:
    def heard(recording: Recording) -> bool:
        blocks = recording.blocks[-15:]
        if not blocks or len({block.rate for block in blocks}) > 1:
            return False
        samples = to_mono(np.concatenate([block.samples for block in blocks]), blocks[0].rate, 16_000)
        spectrum = np.abs(np.fft.rfft(samples))
        return bool(spectrum.max() > 50 and abs(spectrum.argmax() * 16_000 / len(samples) - frequency_hz) < 20)

    return heard


def speak_until(server: SoundServer, recording: Recording, frequency_hz: float, attempts: int = 10) -> None:
    """Play a tone until it is heard: a stream that was just opened may miss the first one."""
    for _ in range(attempts):
        server.play(tone(frequency_hz, 0.5))
        if has_tone(frequency_hz)(recording):
            return
    raise AssertionError(f"{frequency_hz} Hz was not heard")


def test_what_is_played_into_a_real_device_is_taken_bit_for_bit(sound_server: SoundServer) -> None:
    speech = np.round(np.random.default_rng(2).normal(0, 0.1, 16_000).clip(-1, 0.99) * 32_768) / 32_768

    with Microphone(rate=16_000) as microphone, Recording(microphone) as recording:
        wait_until(lambda: recording.blocks)
        # On a very busy machine sound is lost before it comes to the microphone.
        assert any(is_taken_whole(sound_server, recording, speech) for _ in range(5))
        assert microphone.overruns == 0


def is_taken_whole(server: SoundServer, recording: Recording, speech: NDArray[np.float64]) -> bool:
    recording.blocks.clear()
    server.play(speech)
    wait_until(lambda: np.flatnonzero(recording.samples).size and not recording.samples[-1_600:].any())
    taken = recording.samples.mean(axis=1)
    # On a busy machine the player stumbles, and there are holes in what it plays.
    return np.array_equal(taken[taken != 0], speech[speech != 0])


@pytest.mark.parametrize("rate", [None, 8_000, 48_000])
def test_any_rate_that_the_device_offers_is_taken(sound_server: SoundServer, rate: float | None) -> None:
    with Microphone(rate=rate) as microphone, Recording(microphone) as recording:
        wait_until(lambda: recording.blocks)
        assert microphone.rate == rate or rate is None

        speak_until(sound_server, recording, 1_000)


# What disturbs the sound server disturbs PortAudio too, which may then hang: in programs of their own.
EARS = """
import sys
import numpy as np
from speech_rnn.audio import to_mono
from speech_rnn.errors import DeviceError
from speech_rnn.microphone import Microphone
from speech_rnn.sound_card import hushed

said, recent = "", []
with hushed():
    try:
        with Microphone(retry_s=0.2, start_s=float(sys.argv[1])) as microphone:
            while True:
                block = microphone.read(0.1)
                now = f"<{microphone.state}> {microphone.trouble}"
                if now != said:
                    print(now, flush=True)
                    said = now
                if block.gap:
                    print("<gap>", flush=True)
                    recent = []
                if len(block.samples):
                    recent = [*recent[-14:], block.samples]
                    samples = to_mono(np.concatenate(recent), block.rate, 16_000)
                    spectrum = np.abs(np.fft.rfft(samples))
                    if spectrum.max() > 50:
                        print(f"{spectrum.argmax() * 16_000 / len(samples):.0f} Hz", flush=True)
    except DeviceError as error:
        print("error:", error)
"""


def ears(start_s: float = 30.0) -> Terminal:
    """A program that says what state its microphone is in, and which tones it hears."""
    return Terminal(sys.executable, "-c", EARS, str(start_s))


def speak_to(server: SoundServer, listening: Terminal, frequency_hz: int, attempts: int = 10) -> None:
    for _ in range(attempts):
        server.play(tone(frequency_hz, 0.5))
        with contextlib.suppress(AssertionError):
            listening.expect(f"{frequency_hz} Hz", seconds=1.0)
            return
    raise AssertionError(f"{frequency_hz} Hz was not heard; {listening.seen[-500:]}")


def test_a_real_device_that_is_unplugged_is_heard_again_when_it_is_back(sound_server: SoundServer) -> None:
    with ears() as listening:
        listening.expect("<listening>")
        sound_server.unplug()
        listening.expect_one_of("<lost>", "<silent>")
        sound_server.plug()
        listening.expect("<listening>")

        speak_to(sound_server, listening, 700)


def test_a_real_device_that_is_suspended_is_told_of_and_heard_again(sound_server: SoundServer) -> None:
    with ears() as listening:
        listening.expect("<listening>")
        sound_server.control("suspend-sink", "vmic", "1")
        listening.expect("<silent> no sound comes from")
        sound_server.control("suspend-sink", "vmic", "0")
        listening.expect("<listening>")

        speak_to(sound_server, listening, 900)


def test_a_sound_server_that_dies_is_heard_again_when_it_lives_or_the_program_ends(sound_server: SoundServer) -> None:
    with ears(start_s=5.0) as listening:
        listening.expect("<listening>")
        sound_server.stop()
        listening.expect_one_of("<lost>", "<silent>")
        sound_server.start()

        # ALSA's way to PulseAudio sometimes never returns from a call when the server dies.
        if listening.expect_one_of("<listening>", "error: the sound system has not answered for 5 s") == "<listening>":
            speak_to(sound_server, listening, 500)
        else:
            assert listening.end() == 0


@pytest.mark.slow
def test_with_a_sound_server_that_hangs_a_program_says_so_and_ends(sound_server: SoundServer) -> None:
    with ears(start_s=3.0) as listening:
        listening.expect("<listening>")
        sound_server.freeze()
        listening.expect("<silent> no sound comes from")
        listening.expect("error: the sound system has not answered for 3 s; restart")
        assert listening.end() == 0

    with ears(start_s=1.0) as deaf:
        deaf.expect("error: the sound system has not answered for 1 s; restart")
        assert deaf.end() == 0
