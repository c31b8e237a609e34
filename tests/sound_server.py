"""A real PortAudio device without a sound card: a private PulseAudio, whose null sink's monitor is the microphone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

PROGRAMS = ("pulseaudio", "pactl", "pacat")
RATE = 16_000


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that other threads or processes do; fail where it doesn't happen."""
    pause = threading.Event()
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"not within {seconds:g} s")


class SoundServer:
    """PulseAudio in a folder of its own; this process's PortAudio finds it while it is entered."""

    def __init__(self) -> None:
        if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
            pytest.skip(f"{', '.join(missing)} not installed; apt-get install pulseaudio pulseaudio-utils")
        try:
            import sounddevice  # noqa: F401
        except (ImportError, OSError) as error:
            pytest.skip(f"no PortAudio here ({error}); apt-get install libportaudio2, pip install sounddevice")
        self._folder = Path(tempfile.mkdtemp(prefix="pulse_"))
        self._server: subprocess.Popen[bytes] | None = None
        self._hum: subprocess.Popen[bytes] | None = None
        self._before = {name: os.environ.get(name) for name in ("XDG_RUNTIME_DIR", "PULSE_SERVER")}

    def __enter__(self) -> SoundServer:
        os.environ.update(XDG_RUNTIME_DIR=str(self._folder), PULSE_SERVER=f"unix:{self._folder}/native")
        try:
            self.start()
        except AssertionError:
            self.__exit__()
            pytest.skip("PulseAudio doesn't start here")
        restart_portaudio()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def start(self) -> None:
        """Start the server, and silence that is played all the time: without it, sound begins seconds late."""
        socket = self._folder / "native"
        socket.unlink(missing_ok=True)
        self._server = subprocess.Popen(
            [
                *("pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "-n"),
                *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket}"),
                *("-L", f"module-null-sink sink_name=vmic rate={RATE} channels=1"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(socket.exists)
        wait_until(lambda: self._has_sink("vmic"))
        self.hum()

    def stop(self) -> None:
        """End the server."""
        for process in (self._hum, self._server):
            if process is not None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self._hum = self._server = None

    def freeze(self) -> None:
        """The server no longer answers, to anyone."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def unplug(self) -> None:
        """Take the microphone away."""
        self.control("unload-module", "module-null-sink")

    def plug(self) -> None:
        """Bring it back."""
        self.control("load-module", "module-null-sink", "sink_name=vmic", f"rate={RATE}", "channels=1")
        self.hum()

    def control(self, *command: str) -> str:
        """``pactl``."""
        return subprocess.run(["pactl", *command], capture_output=True, text=True, check=True, timeout=10).stdout

    def hum(self) -> None:
        if self._hum is not None:
            self._hum.kill()
            self._hum.wait()
        with Path("/dev/zero").open("rb") as zeros:
            self._hum = subprocess.Popen(self._pacat(latency_ms=20), stdin=zeros, stderr=subprocess.DEVNULL)

    def play(self, samples: NDArray[np.floating]) -> None:
        """Speak into the microphone, float32 [samples] at 16 kHz; returns when it has been said."""
        # The first samples of a stream are lost, and a busy machine needs a long buffer to play without holes.
        quiet = np.zeros(RATE // 10)
        sound = np.clip(np.rint(np.concatenate([quiet, samples]) * 32_768), -32_768, 32_767).astype("<i2").tobytes()
        subprocess.run(self._pacat(latency_ms=500), input=sound, check=True, timeout=2 * len(samples) / RATE + 60)

    def _pacat(self, latency_ms: int) -> list[str]:
        return [
            *("pacat", f"--latency-msec={latency_ms}", "--device=vmic"),
            *(f"--rate={RATE}", "--channels=1", "--format=s16le"),
        ]

    def _has_sink(self, name: str) -> bool:
        done = subprocess.run(
            ["pactl", "list", "short", "sinks"], capture_output=True, text=True, check=False, timeout=10
        )
        return name in done.stdout


def restart_portaudio() -> None:
    """PortAudio looks for devices only when it starts."""
    import sounddevice

    sounddevice._terminate()
    sounddevice._initialize()
