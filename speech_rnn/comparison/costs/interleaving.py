"""Calls that take turns: what slows a shared machine for a while slows all of them, so their ratios are fair."""

from __future__ import annotations

import time
from collections.abc import Callable

from speech_rnn.draws import generator


class Interleaved:
    """The least time of each of some calls.

    Attributes:
        least_s: name -> seconds; nothing before the first round.
    """

    def __init__(self, calls_a_turn: int = 1, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """No call yet.

        Args:
            calls_a_turn: each is timed by itself; the first finds the processor's caches full of what others left.
            clock: in seconds. A call of microseconds is over before another process has its turn; one of many
                milliseconds never is where others work too, and needs :func:`time.process_time`.
        """
        self.least_s: dict[str, float] = {}
        self._clock = clock
        self._calls_a_turn = calls_a_turn
        self._calls: dict[str, Callable[[], object]] = {}
        # Not always after the same one.
        self._rng = generator(0, "order of turns")

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, name: str, call: Callable[[], object]) -> None:
        """Let a call take part; it is called once, for what only a first call does."""
        call()
        self._calls[name] = call

    def round(self) -> float:
        """A turn of each, in an order that is drawn; the seconds that it took on the wall."""
        start = time.perf_counter()
        names = list(self._calls)
        for index in self._rng.permutation(len(names)).tolist():
            name = names[index]
            least = min(self._timed(self._calls[name]) for _ in range(self._calls_a_turn))
            self.least_s[name] = min(least, self.least_s.get(name, least))
        return time.perf_counter() - start

    def _timed(self, call: Callable[[], object]) -> float:
        start = self._clock()
        call()
        return self._clock() - start
