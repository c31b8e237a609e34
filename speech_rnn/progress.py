"""Progress with time left, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

QUIET_S = 2.0  # what is done sooner says nothing
LINE_EVERY_S = 15.0  # without a terminal
WORTH_SAYING_S = 10.0  # left, for a line


class Progress(Protocol):
    """What work reports to."""

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Progress]:
    """Report work of ``total`` units (``None``: unknown) that takes over two seconds."""
    if sys.stderr.isatty():
        bar = _Bar(title, total)
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield _Lines(title, total)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"


class _Lines:
    """Without a terminal: a line now and then, none where the end is near."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title, self._total = title, total
        self._done = 0
        self._next = time.monotonic() + QUIET_S
        # Speed is measured from the first unit on: what comes before it is starting.
        self._first: tuple[float, int] | None = None

    def advance(self, n: int = 1) -> None:
        self._done += n
        now = time.monotonic()
        if self._first is None:
            self._first = now, self._done
            return
        if now < self._next:
            return
        if self._total is None:
            self._say(now, f"{self._title}: {self._done:,}")
            return
        started, before = self._first
        left = (now - started) * (self._total - self._done) / max(self._done - before, 1)
        if left >= WORTH_SAYING_S:
            self._say(now, f"{self._title}: {self._done:,} of {self._total:,}, {duration(left)} left")

    def _say(self, now: float, line: str) -> None:
        self._next = now + LINE_EVERY_S
        print(line, file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, title: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            # Else what is printed while the bar stands would go to standard error with it, out of a pipe or a file.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._rich.add_task(title, total=total)
        self._start = time.monotonic()
        self._shown = False

    def advance(self, n: int = 1) -> None:
        self._rich.advance(self._task, n)
        if not self._shown and time.monotonic() - self._start > QUIET_S:
            self._shown = True
            self._rich.start()

    def close(self) -> None:
        if self._shown:
            self._rich.stop()
