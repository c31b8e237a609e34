"""A command at a terminal of its own, with someone at its keys."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.sound_server import wait_until

SPEECH_RNN = (sys.executable, "-m", "speech_rnn.cli.main")


class Terminal:
    """A command in a pseudo-terminal of 100 columns; ``seen`` is all that it has written."""

    def __init__(self, *command: str | Path) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = ""
        self._passed = 0
        # Whoever runs the tests in the background has Ctrl-C ignored, and a program inherits that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [*map(str, command)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm"},
        )
        signal.signal(signal.SIGINT, before)
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def expect(self, text: str, seconds: float = 60.0) -> None:
        """Wait until a text is seen behind what was expected before."""
        self.expect_one_of(text, seconds=seconds)

    def expect_one_of(self, *texts: str, seconds: float = 60.0) -> str:
        """The same for the first of several texts that is seen; of two at once, the one named first."""
        end = time.monotonic() + seconds
        while not (found := [text for text in texts if text in self.seen[self._passed :]]):
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"none of {texts} seen, but {self.seen[self._passed :]!r}")
        self._passed = self.seen.index(found[0], self._passed) + len(found[0])
        return found[0]

    def press(self, key: str) -> None:
        """Press a key, as soon as single keys are waited for."""
        self._wait_for_mode(lines=False)
        os.write(self._ours, key.encode())

    def type(self, line: str) -> None:
        """Type a line, as soon as one is waited for."""
        self._wait_for_mode(lines=True)
        os.write(self._ours, f"{line}\r".encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds: float = 60.0) -> int:
        """The exit code, all having been read."""
        limit = time.monotonic() + seconds
        while self._read(limit - time.monotonic()):
            pass
        return self.process.wait(max(0.1, limit - time.monotonic()))

    def _wait_for_mode(self, *, lines: bool) -> None:
        """Until the command reads the terminal; what was typed before, it throws away."""
        wait_until(lambda: bool(termios.tcgetattr(self._ours)[3] & termios.ICANON) is lines, 30)

    def _read(self, wait_s: float) -> bool:
        """Read what comes within some seconds; whether something came."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, wait_s))
        data = b""
        if ready:
            with contextlib.suppress(OSError):  # EIO: the other end is closed
                data = os.read(self._ours, 65_536)
        self.seen += data.decode(errors="replace")
        return bool(data)
