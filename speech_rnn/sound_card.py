"""The sound card by PortAudio: which devices there are, how to name one, how to play a clip.

Everything that can be missing (the package, the library, the device) is a :class:`~speech_rnn.errors.DeviceError`
that says what to do.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn.errors import DeviceError
from speech_rnn.text import plain

LONGEST_NAME = 60  # shown of a device's name

_LATE_S = 2.0  # that playing may take longer than the sound
_LOOK_S = 0.02
_SHOW = "'speech-rnn listen --list-devices' shows what there is"
NO_DEVICE = (
    "no microphone is found; plug one in, start the sound server (PulseAudio or PipeWire), or allow this "
    "terminal to use the microphone"
)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that PortAudio can record from.

    Attributes:
        index: PortAudio's number of it; another one after a device came or went.
        name: as the system calls it.
        channels: how many it records at most.
        rate: what it works at by itself, in Hz.
        system: the interface that offers it: ALSA, Core Audio, …
        default: whether it is taken where none is named.
    """

    index: int
    name: str
    channels: int
    rate: float
    system: str
    default: bool

    @property
    def title(self) -> str:
        """Its name for a message: printable, short, in quotes."""
        return repr(plain(self.name, LONGEST_NAME))


def portaudio() -> Any:
    """The module ``sounddevice``, with PortAudio started.

    Raises:
        DeviceError: the package or the library is missing, or PortAudio doesn't start.
    """
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise DeviceError("the microphone needs the package sounddevice; pip install 'speech-rnn[mic]'") from None
    except OSError:  # what sounddevice raises where it finds no library
        raise DeviceError(
            "the microphone needs the library PortAudio; 'sudo apt install libportaudio2' on Debian and Ubuntu, "
            "'sudo dnf install portaudio' on Fedora, 'brew install portaudio' on macOS"
        ) from None
    except Exception as error:  # sounddevice.PortAudioError, which can't be named where the import failed
        raise DeviceError(f"PortAudio doesn't start ({one_line(error)}); is the sound system running?") from None
    return sounddevice


def list_devices(card: Any = None) -> list[Device]:
    """All that can be recorded from, in PortAudio's order.

    Args:
        card: the module that :func:`portaudio` gives.

    Raises:
        DeviceError: PortAudio is missing or fails.
    """
    card = card or portaudio()
    try:
        found, systems = list(card.query_devices()), card.query_hostapis()
        default = int(card.default.device[0])
    except card.PortAudioError as error:
        raise DeviceError(
            f"PortAudio can't list its devices ({one_line(error)}); is the sound system running?"
        ) from None
    default = next((system["default_input_device"] for system in systems), -1) if default < 0 else default
    return [
        Device(
            index=index,
            name=str(entry["name"]),
            channels=int(entry["max_input_channels"]),
            rate=float(entry["default_samplerate"]),
            system=str(systems[entry["hostapi"]]["name"]),
            default=index == default,
        )
        for index, entry in enumerate(found)
        if entry["max_input_channels"] > 0
    ]


def list_devices_in_time(wait_s: float = 15.0) -> list[Device]:
    """:func:`list_devices`, for a program that uses PortAudio for nothing else.

    Raises:
        DeviceError: PortAudio is missing, fails, or doesn't answer, as with a sound server that hangs; and where
            there is no device.
    """
    answer: list[list[Device] | DeviceError] = []

    def ask() -> None:
        try:
            answer.append(list_devices() or DeviceError(NO_DEVICE))
        except DeviceError as error:
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(wait_s)
    found = answer[0] if answer else DeviceError(no_answer(wait_s))
    if isinstance(found, DeviceError):
        raise found
    return found


def no_answer(wait_s: float) -> str:
    """What to say where PortAudio hangs."""
    return (
        f"the sound system has not answered for {wait_s:g} s; restart PulseAudio or PipeWire, or plug the microphone "
        "in again"
    )


def find_device(wanted: str | int | None, devices: list[Device]) -> Device:
    """The device that someone means.

    Args:
        wanted: its index, its name or a part of it (in any case of letters); ``None`` for the default one.
        devices: as :func:`list_devices` gives them.

    Raises:
        DeviceError: there is none, no such one, or several are meant.
    """
    if not devices:
        raise DeviceError(NO_DEVICE)
    if wanted is None:
        return next((device for device in devices if device.default), devices[0])
    if isinstance(wanted, str) and wanted.strip().isdecimal():
        wanted = int(wanted)
    if isinstance(wanted, int):
        found = [device for device in devices if device.index == wanted]
    else:
        found = [device for device in devices if device.name == wanted] or [
            device for device in devices if wanted.casefold() in device.name.casefold()
        ]
    shown = repr(plain(str(wanted), LONGEST_NAME))
    if not found:
        raise DeviceError(f"no microphone is number or name {shown}; {_SHOW}")
    if len(found) > 1:
        names = ", ".join(f"{device.index} {device.title}" for device in found[:4])
        raise DeviceError(f"device {shown} may be any of {names}; give the number")
    return found[0]


def play(samples: NDArray[np.float32], rate: float, card: Any = None) -> None:
    """Play a clip on the default output and wait for its end.

    Args:
        samples: float32 [samples], full scale ±1.
        rate: in Hz.
        card: the module that :func:`portaudio` gives.

    Raises:
        DeviceError: there is nothing to play on.
    """
    card = card or portaudio()
    try:
        card.play(samples, rate)
        # Not its own wait(), which never returns when the device goes away meanwhile.
        end_s = time.monotonic() + len(samples) / rate + _LATE_S
        while card.get_stream().active and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        card.stop()
    except (card.PortAudioError, ValueError) as error:
        raise DeviceError(f"nothing to play the sound on ({one_line(error)}); plug in a loudspeaker") from None


@contextmanager
def hushed() -> Iterator[int]:
    """Keep what PortAudio and ALSA write to standard error off it; Python's own words still get there.

    They write from threads of their own, whenever a device goes away: into the middle of a live view. For a command
    line, not for a library: the descriptor is the whole process's. Gives the descriptor that still leads there.
    """
    before = sys.stderr
    before.flush()
    kept = os.dup(2)
    with os.fdopen(kept, "w", encoding=before.encoding or "utf-8", errors="backslashreplace", buffering=1) as ours:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        os.close(sink)
        # Where a caller has put something else in place of sys.stderr, that stays.
        is_descriptor = _leads_to_descriptor(before)
        if is_descriptor:
            sys.stderr = ours
        try:
            yield kept
        finally:
            ours.flush()
            if is_descriptor:
                sys.stderr = before
            os.dup2(kept, 2)


def _leads_to_descriptor(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 2)
    except (OSError, ValueError, AttributeError):
        return False


def one_line(error: BaseException) -> str:
    """What PortAudio says, on one line, in characters that any terminal can bear."""
    return plain(" ".join(str(error).split()), 200) or type(error).__name__
