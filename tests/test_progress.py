from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn import progress as progress_module
from speech_rnn.progress import duration, progress


class Clock:
    """A monotonic clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    yield clock


def test_what_is_done_in_two_seconds_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("decoding", 100) as report:
        for _ in range(100):
            clock.now += 0.019
            report.advance()

    assert capsys.readouterr() == ("", "")


def test_what_takes_longer_says_how_far_it_is_and_how_long_it_will_take(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("decoding", 4_000) as report:
        for _ in range(40):
            clock.now += 3.0
            report.advance(100)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "decoding: 200 of 4,000, 1 min 54 s left"
    assert lines[1] == "decoding: 700 of 4,000, 1 min 39 s left"
    assert 5 <= len(lines) <= 10


def test_a_slow_start_does_not_make_the_time_left_long(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("decoding", 1_000) as report:
        clock.now += 60.0
        report.advance(1)
        clock.now += 2.0
        report.advance(99)

    assert capsys.readouterr().err == "decoding: 100 of 1,000, 18 s left\n"


def test_a_line_is_not_worth_the_last_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("decoding", 10) as report:
        for _ in range(10):
            clock.now += 1.0
            report.advance()

    assert capsys.readouterr() == ("", "")


def test_without_a_total_it_says_how_far_it_is(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", None) as report:
        report.advance(1_000)
        clock.now += 3.0
        report.advance(234)

    assert capsys.readouterr() == ("", "reading: 1,234\n")


def test_the_end_and_an_error_leave_no_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress("decoding", 2) as report:
        clock.now += 100.0
        report.advance(2)
        raise KeyError

    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("seconds_each", "shown"), [(0.1, False), (1.5, True)])
def test_on_a_terminal_a_bar_is_drawn_and_removed(
    seconds_each: float, shown: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with progress("reading [bold]yes[/bold]", 10) as report:
        for _ in range(10):
            clock.now += seconds_each
            report.advance()

    text = terminal.getvalue()
    assert ("reading [bold]yes[/bold]" in text) == shown
    # The cursor is shown again and the line erased, so the terminal is as it was.
    assert text.endswith("\x1b[2K") == shown
    assert ("\x1b[?25h" in text) == shown


@pytest.mark.parametrize("kind", [io.StringIO, Terminal], ids=["a pipe", "the terminal"])
def test_what_is_printed_beside_a_bar_goes_where_it_belongs(
    kind: type[io.StringIO], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, output = Terminal(), kind()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("TERM", "xterm")

    with progress("hearing", 10) as report:
        clock.now += 10.0
        report.advance()
        print("yes at 1 s")

    # On the terminal itself it is printed above the bar, by the bar.
    assert output.getvalue() == ("yes at 1 s\n" if kind is io.StringIO else "")
    assert ("yes at 1 s" in terminal.getvalue()) == (kind is Terminal)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3_599.6, "1 h 00 min"),
        (7_500, "2 h 05 min"),
    ],
)
def test_seconds_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(0, 1e6))
def test_what_is_said_is_near_what_is_meant(seconds: float) -> None:
    units = {"s": 1, "min": 60, "h": 3_600}
    said = sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h)", duration(seconds)))

    assert abs(said - seconds) <= max(0.5, 0.02 * seconds)
