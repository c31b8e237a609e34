from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest

from speech_rnn.errors import DeviceError
from speech_rnn.sound_card import Device, find_device, hushed, list_devices, list_devices_in_time, play, portaudio
from tests.fake_card import FakeCard
from tests.sound_server import SoundServer


def test_only_what_records_is_listed_with_its_number_and_which_is_the_default() -> None:
    card = FakeCard(desk=(1, 44_100.0), array=(6, 16_000.0))

    first, second = list_devices(card)

    assert first == Device(0, "desk", 1, 44_100.0, "Fake", default=True)
    assert second == Device(1, "array", 6, 16_000.0, "Fake", default=False)


DEVICES = [
    Device(0, "USB Mic", 1, 48_000.0, "ALSA", default=False),
    Device(3, "usb mic (hw:1)", 2, 48_000.0, "ALSA", default=True),
    Device(4, "Webcam", 1, 16_000.0, "ALSA", default=False),
]


@pytest.mark.parametrize(("wanted", "index"), [(None, 3), (4, 4), ("4", 4), ("USB Mic", 0), ("hw:1", 3), ("webcam", 4)])
def test_a_device_is_found_by_number_whole_name_and_part_of_it(wanted: str | int | None, index: int) -> None:
    assert find_device(wanted, DEVICES).index == index


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("usb", r"device 'usb' may be any of 0 'USB Mic', 3 'usb mic \(hw:1\)'; give the number"),
        (7, "no microphone is number or name '7'; 'speech-rnn listen --list-devices'"),
        ("\x1b[31mred", "number or name '\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_no_device_or_several_are_a_clear_error(wanted: str | int, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        find_device(wanted, DEVICES)


def test_without_devices_it_says_what_to_do() -> None:
    with pytest.raises(DeviceError, match="plug one in, start the sound server"):
        find_device("webcam", [])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    with pytest.raises(DeviceError, match=r"package sounddevice; pip install 'speech-rnn\[mic\]'"):
        portaudio()


class _Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == "sounddevice" else None

    def exec_module(self, module: ModuleType) -> None:
        raise OSError("PortAudio library not found")


def test_a_missing_library_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Broken(), *sys.meta_path])

    with pytest.raises(DeviceError, match="library PortAudio; 'sudo apt install libportaudio2'"):
        portaudio()


def test_a_clip_is_played_to_its_end() -> None:
    card, clip = FakeCard(), np.zeros(1_600, np.float32)
    card.stop = lambda: ends.append(card.playing_s)  # type: ignore[method-assign]
    ends: list[float] = []

    play(clip, 16_000, card)

    assert card.played == [(clip, 16_000)]
    assert ends == [pytest.approx(0.0, abs=0.021)]


def test_a_loudspeaker_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speech_rnn.sound_card._LATE_S", 0.05)
    card = FakeCard()
    card.hangs.set()

    play(np.zeros(160, np.float32), 16_000, card)

    assert card.playing_s == 0.0


def test_without_a_loudspeaker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    card = FakeCard()

    def fails(*_: object, **__: object) -> None:
        raise card.PortAudioError("Error querying device -1")

    monkeypatch.setattr(card, "play", fails)

    with pytest.raises(DeviceError, match=r"Error querying device -1.*loudspeaker"):
        play(np.zeros(10, np.float32), 16_000, card)


def test_a_real_portaudio_lists_the_sound_servers_microphone(sound_server: SoundServer) -> None:
    del sound_server

    devices = list_devices_in_time()

    assert [device.system for device in devices if device.default] == ["ALSA"]
    assert all(device.channels >= 1 and device.rate > 0 for device in devices)


NOISE = """
import os, sys
from speech_rnn.sound_card import hushed

with hushed():
    os.write(2, b"Expression failed in pa_linux_alsa.c")
    print("ours", file=sys.stderr)
os.write(2, b"after")
"""


def test_only_what_libraries_write_to_standard_error_is_hushed() -> None:
    done = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True, check=True)

    assert done.stderr == "ours\nafter"


def test_an_exchanged_standard_error_stays_and_nothing_is_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked

    with hushed():
        print("kept", file=sys.stderr)

    assert capsys.readouterr().err == "kept\n"
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
