"""A ``sounddevice`` whose microphone a test holds in its hand: plugs, unplugs, speaks into, lets hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FakeCard:
    """What :mod:`speech_rnn.microphone` uses of ``sounddevice``.

    Attributes:
        microphones: name -> (channels, rate) of what is plugged in; PortAudio sees a change when it starts anew.
        refused: settings (rate, channels) that no device takes.
        streams: all that were ever opened.
        hangs: while set, opening, closing and starting anew never return.
    """

    class PortAudioError(Exception):
        """As sounddevice's."""

    def __init__(self, **microphones: tuple[int, float]) -> None:
        self.microphones = microphones or {"desk": (1, 16_000.0)}
        self.refused: set[tuple[float, int]] = set()
        self.streams: list[FakeStream] = []
        self.starts = 1
        self.played: list[tuple[NDArray[np.float32], float]] = []
        self.playing_s = 0.0
        self.hangs = threading.Event()
        self._seen = dict(self.microphones)

    @property
    def default(self) -> Any:
        return SimpleNamespace(device=[0 if self._seen else -1, -1])

    def query_devices(self) -> list[dict[str, Any]]:
        loudspeaker = {"name": "loudspeaker", "max_input_channels": 0, "default_samplerate": 48_000.0, "hostapi": 0}
        found = [
            {"name": name, "max_input_channels": channels, "default_samplerate": rate, "hostapi": 0}
            for name, (channels, rate) in self._seen.items()
        ]
        return [*found, loudspeaker]

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "Fake", "default_input_device": 0 if self._seen else -1}]

    def InputStream(self, **settings: Any) -> FakeStream:  # noqa: N802 - sounddevice's name
        self._wait_if_hanging()
        if (settings["samplerate"], settings["channels"]) in self.refused:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        stream = FakeStream(self, **settings)
        self.streams.append(stream)
        return stream

    def play(self, samples: NDArray[np.float32], rate: float) -> None:
        self.played.append((samples, rate))
        self.playing_s = len(samples) / rate

    def get_stream(self) -> Any:
        """Plays for as long as it is asked every 20 ms; for ever where it hangs."""
        self.playing_s -= 0.0 if self.hangs.is_set() else 0.02
        return SimpleNamespace(active=self.playing_s > 0)

    def stop(self) -> None:
        self.playing_s = 0.0

    def unplug(self) -> None:
        self.microphones = {}
        self.streams[-1].active = False

    def _terminate(self) -> None:
        self._wait_if_hanging()

    def _initialize(self) -> None:
        self.starts += 1
        self._seen = dict(self.microphones)

    def _exit_handler(self) -> None:
        raise AssertionError("must not be called")

    def _wait_if_hanging(self) -> None:
        if self.hangs.is_set():
            threading.Event().wait()  # for ever


class FakeStream:
    def __init__(
        self, card: FakeCard, *, samplerate: float, channels: int, callback: Callable[..., None], **rest: Any
    ) -> None:
        self.card, self.rate, self.channels, self.callback, self.rest = card, samplerate, channels, callback, rest
        self.active = False

    def start(self) -> None:
        self.active = True

    def abort(self, *, ignore_errors: bool) -> None:
        assert ignore_errors
        self.card._wait_if_hanging()
        self.active = False

    def close(self, *, ignore_errors: bool) -> None:
        assert ignore_errors

    def speak(self, samples: NDArray[np.float32], *, overflow: bool = False) -> None:
        """Call back as PortAudio does: with memory that it will use again."""
        memory = np.repeat(samples[:, np.newaxis], self.channels, axis=1)
        self.callback(memory, len(samples), None, SimpleNamespace(input_overflow=overflow) if overflow else None)
        memory[:] = 7.0
