from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from speech_rnn.comparison.costs.interleaving import Interleaved


def test_every_call_has_a_turn_in_every_round_in_an_order_that_changes() -> None:
    called: list[str] = []
    turns = Interleaved(calls_a_turn=2)
    for name in "abc":
        turns.add(name, lambda name=name: called.append(name))  # type: ignore[misc]  # mypy knows no such lambda
    assert called == ["a", "b", "c"]
    assert turns.least_s == {}
    called.clear()

    for _ in range(20):
        assert turns.round() > 0

    rounds = [called[start : start + 6] for start in range(0, len(called), 6)]
    assert len(rounds) == 20
    assert all(one[::2] == one[1::2] and sorted(one[::2]) == ["a", "b", "c"] for one in rounds)
    assert len({"".join(one) for one in rounds}) > 3
    assert sorted(turns.least_s) == ["a", "b", "c"]


def test_the_least_time_of_each_counts_and_the_first_call_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def takes(*seconds: float) -> Callable[[], None]:
        left = iter(seconds)

        def call() -> None:
            nonlocal now
            now += next(left)

        return call

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    turns = Interleaved(calls_a_turn=2, clock=lambda: now)
    turns.add("slow", takes(0.5, 8.0, 4.0, 16.0, 2.0))
    turns.add("quick", takes(9.0, 1.0, 1.0, 2.0, 3.0))

    assert turns.round() == 14.0
    assert turns.least_s == {"slow": 4.0, "quick": 1.0}
    assert turns.round() == 23.0
    assert turns.least_s == {"slow": 2.0, "quick": 1.0}


def test_what_other_processes_do_meanwhile_is_not_counted_by_the_clock_of_the_process() -> None:
    turns = Interleaved(clock=time.process_time)
    turns.add("waits", lambda: subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True))

    assert turns.round() > 2 * turns.least_s["waits"]
