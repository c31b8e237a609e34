"""What ``speech-rnn listen`` shows: a live view on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import click

from speech_rnn.actions import Outcome
from speech_rnn.config import DetectorConfig
from speech_rnn.listening import LOWEST_DB, Heard, Listener
from speech_rnn.sound_card import list_devices_in_time
from speech_rnn.text import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from speech_rnn.kept import Keeper

_BAR = 30  # characters
_MOST_LABELS = 14
_LAST_HEARD = 6
_DRAWN_EVERY_S = 0.09
_OVERRUNS_EVERY = 50  # a line on standard error


def make_view(model: str, config: DetectorConfig, *, as_json: bool) -> Lines:
    """The view for this terminal, or for no terminal."""
    if as_json:
        return JsonLines(model, config)
    return LiveView(model, config) if sys.stdout.isatty() else Lines(model, config)


class Lines:
    """A line a word on standard output, what is wrong on standard error."""

    live = False

    def __init__(self, model: str, config: DetectorConfig) -> None:
        self._model, self._config = model, config
        self._n_heard = 0
        self._told_overruns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def heard(self, heard: Heard) -> None:
        """Show a word."""
        self._n_heard += 1
        click.echo(self._line(heard))
        sys.stdout.flush()

    def update(self, listener: Listener) -> None:
        """Tell of overruns, now and then."""
        if listener.source.overruns >= self._told_overruns + (_OVERRUNS_EVERY if self._told_overruns else 1):
            self._told_overruns = listener.source.overruns
            _complain(f"{self._told_overruns} overruns: this machine is too slow or too busy, and sound was lost")

    def trouble(self, message: str) -> None:
        """Tell what is wrong."""
        _complain(message or "all is well again")

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Tell of commands that failed."""
        for outcome in outcomes:
            if outcome.problem:
                _complain(f"command {outcome.program!r} of {plain(outcome.label)!r}: {outcome.problem}")

    def end(self, listener: Listener, keeper: Keeper | None) -> None:
        """The time is over."""

    def summary(self, listener: Listener, keeper: Keeper | None) -> str:
        """What it was, on one line."""
        words = "word" if self._n_heard == 1 else "words"
        parts = [f"listened for {listener.taken_s:.0f} s", f"{self._n_heard} {words} heard"]
        if keeper is not None:
            parts.append(f"{keeper.kept} kept")
        if listener.source.overruns:
            parts.append(f"{listener.source.overruns} overruns")
        if listener.refused:
            parts.append(f"{listener.refused} blocks that were no sound left out")
        return ", ".join(parts)

    def _line(self, heard: Heard) -> str:
        return f"{heard.time:9.2f} s  {plain(heard.label):<12} {heard.score:.3f}"


class JsonLines(Lines):
    """A line of JSON a word."""

    def _line(self, heard: Heard) -> str:
        return json.dumps(
            {
                "label": heard.label,
                "score": round(heard.score, 6),
                "time": round(heard.time, 3),
                "start": round(heard.start, 3),
                "clock": heard.clock.isoformat(timespec="milliseconds"),
                "scores": {label: round(score, 6) for label, score in heard.scores.items()},
            }
        )


class LiveView(Lines):
    """A view that is drawn anew ten times a second."""

    live = True

    def __init__(self, model: str, config: DetectorConfig, console: Console | None = None) -> None:
        super().__init__(model, config)
        self._last: deque[Text] = deque(maxlen=_LAST_HEARD)
        self._words: Counter[str] = Counter()
        self._trouble = ""
        self._console = console
        self._drawn: Live | None = None
        self._drawn_s = -math.inf

    def __enter__(self) -> Self:
        from rich.live import Live

        self._drawn = Live(console=self._console, auto_refresh=False)
        self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn is not None:
            self._drawn.stop()

    def heard(self, heard: Heard) -> None:
        """Show a word."""
        from rich.text import Text

        self._n_heard += 1
        self._words[heard.label] += 1
        line = Text(f"{heard.clock:%H:%M:%S}  ", style="dim")
        line.append(f"{plain(heard.label):<14}", style="bold green").append(f" {heard.score:.3f}", style="default")
        self._last.appendleft(line)

    def update(self, listener: Listener) -> None:
        """Draw, if that was some time ago."""
        now = time.monotonic()
        if self._drawn is not None and now - self._drawn_s > _DRAWN_EVERY_S:
            self._drawn_s = now
            self._drawn.update(self.drawing(listener), refresh=True)

    def trouble(self, message: str) -> None:
        """Show what is wrong in the next drawing."""
        self._trouble = message

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Show how commands ended."""
        from rich.text import Text

        for outcome in outcomes:
            how, style = (outcome.problem, "red") if outcome.problem else ("done", "dim")
            self._last.appendleft(Text(f"          {plain(outcome.label)} → {outcome.program}: {how}", style=style))

    def end(self, listener: Listener, keeper: Keeper | None) -> None:
        """Say what it was."""
        click.echo(self.summary(listener, keeper))

    def drawing(self, listener: Listener) -> RenderableType:
        """All that is to be seen now."""
        from rich.console import Group
        from rich.text import Text

        source = listener.source
        rows: list[RenderableType] = [
            Text.assemble((self._model, "bold"), f" at {source.title}, {source.state}; Ctrl-C ends", no_wrap=True),
            _bar("level", (listener.level_db - LOWEST_DB) / -LOWEST_DB, f"{listener.level_db:4.0f} dB", style="cyan"),
            Text(""),
        ]
        scores = listener.scores or dict.fromkeys(listener.labels, 0.0)
        shown = sorted(sorted(scores, key=scores.__getitem__)[-_MOST_LABELS:], key=list(listener.labels).index)
        best = max(scores, key=scores.__getitem__)
        for label in shown:
            threshold = self._config.thresholds.get(label, self._config.threshold)
            rows.append(_bar(label, scores[label], f"{scores[label]:.2f}", mark=threshold, bold=label == best))
        rows += [Text(""), *self._last, *([Text("")] * (_LAST_HEARD - len(self._last)))]
        counts = f"{self._n_heard} heard, {source.overruns} overruns"
        if listener.refused:
            counts += f", {listener.refused} bad blocks"
        rows.append(Text(counts, style="red" if source.overruns or listener.refused else "dim"))
        rows.append(Text(plain(self._trouble, 200), style="bold red"))
        return Group(*rows)


def show_devices(*, as_json: bool) -> None:
    """Print the microphones."""
    devices = list_devices_in_time()
    if as_json:
        for device in devices:
            values: dict[str, Any] = {name: getattr(device, name) for name in device.__slots__}
            click.echo(json.dumps(values))
        return
    for device in devices:
        mark = "*" if device.default else " "
        click.echo(
            f"{mark} {device.index:3}  {plain(device.name, 60)}  ({plain(device.system)}, "
            f"{device.channels} channel{'s' * (device.channels > 1)}, {device.rate:g} Hz)"
        )


def _bar(
    name: str, share: float, value: str, *, style: str = "green", mark: float | None = None, bold: bool = False
) -> Text:
    """One line: a name, a bar from 0 to 1, a number; ``mark`` shows a place on the bar."""
    from rich.text import Text

    filled = round(min(max(share, 0.0), 1.0) * _BAR)
    cells = ["█"] * filled + ["·"] * (_BAR - filled)
    if mark is not None:
        place = min(_BAR - 1, int(mark * _BAR))
        cells[place] = "┃" if place < filled else "│"
    line = Text(f"{plain(name, 14):>14} ", style="bold" if bold else "", no_wrap=True)
    return line.append("".join(cells), style=style).append(f" {value}")


def _complain(message: str) -> None:
    click.echo(f"speech-rnn: {plain(message, 300)}", err=True)
