"""What is done when a word is heard: a program is started, without a shell.

The command is split into words once, when it is given. A label comes from a model's card, from anywhere: it is only
ever one argument or the value of a variable, whatever is in it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from speech_rnn.errors import SettingsError
from speech_rnn.listening import Audience, Heard, Listener
from speech_rnn.text import plain

ANY = "*"
MOST_RUNNING = 8
_PLACES = ("{label}", "{score}", "{time}")
_END_S = 2.0


@dataclass(frozen=True, slots=True)
class Action:
    """A label and the command that it starts.

    Attributes:
        label: of the model, or ``*`` for each.
        arguments: the program and what it is given; ``{label}``, ``{score}`` and ``{time}`` stand for what was heard.
    """

    label: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        label: the word that started it.
        program: the first word of the command.
        problem: empty where it ended well.
    """

    label: str
    program: str
    problem: str


def parse_action(text: str, labels: Sequence[str]) -> Action:
    """``label=command`` as an action.

    Args:
        text: the label of the model (``*`` for any), ``=``, and a command as one would type it; quotes work as in a
            shell, nothing else does.
        labels: of the model.

    Raises:
        SettingsError: no such label, no command, quotes that don't end, or a label that could be taken for an option.

    Examples:
        >>> parse_action("on=notify-send 'the light' {label}", ["on", "off"]).arguments
        ('notify-send', 'the light', '{label}')
    """
    shown = repr(plain(text, 60))
    heard = [label for label in labels if not label.startswith("_")]
    label = next((one for one in sorted((*heard, ANY), key=len, reverse=True) if text.startswith(f"{one}=")), None)
    if label is None:
        raise SettingsError(
            f"--run {shown} must begin with a label of the model and '='; those are {_listed(heard)}, and * for any"
        )
    try:
        arguments = tuple(shlex.split(text.removeprefix(f"{label}=")))
    except ValueError as error:
        raise SettingsError(f"--run {shown} can't be split into words ({error}); close the quotes") from None
    if not arguments or not arguments[0]:
        raise SettingsError(f"--run {shown} has no command; 'on=notify-send light' is an example")
    if any(place in arguments[0] for place in _PLACES):
        raise SettingsError(f"--run {shown}: the program itself must be named, not be a {arguments[0]}; name it")
    optionlike = [one for one in (heard if label == ANY else [label]) if one.startswith("-")]
    if optionlike and any(argument.startswith("{label}") for argument in arguments):
        raise SettingsError(
            f"--run {shown}: a program would take the label {plain(optionlike[0])!r} for an option; let it read the "
            "variable SPEECH_RNN_LABEL instead"
        )
    return Action(label, arguments)


class Runner:
    """Starts the commands of labels, several at once, and never waits for one."""

    def __init__(
        self,
        actions: Sequence[Action],
        environment: Mapping[str, str],
        output: int = subprocess.DEVNULL,
    ) -> None:
        """Hold the actions.

        Args:
            actions: what is to be done.
            environment: of the programs; what was heard is added to it.
            output: the descriptor that the programs' output and errors go to.
        """
        self._actions = tuple(actions)
        self._environment = dict(environment)
        self._output = output
        self._running: list[tuple[Heard, str, subprocess.Popen[bytes]]] = []
        self._not_started: list[Outcome] = []

    def heard(self, heard: Heard) -> None:
        """Start what belongs to a word."""
        values = {"{label}": heard.label, "{score}": f"{heard.score:.3f}", "{time}": f"{heard.time:.2f}"}
        for action in self._actions:
            if action.label not in (ANY, heard.label):
                continue
            if len(self._running) >= MOST_RUNNING:
                problem = f"not started, since {MOST_RUNNING} others are running"
                self._not_started.append(Outcome(heard.label, plain(action.arguments[0], 40), problem))
                continue
            self._start(heard, [action.arguments[0], *(_filled(word, values) for word in action.arguments[1:])])

    def ended(self) -> list[Outcome]:
        """The commands that have ended, or were not started, since the last call."""
        outcomes, self._not_started = self._not_started, []
        running = []
        for heard, program, process in self._running:
            code = process.poll()
            if code is None:
                running.append((heard, program, process))
            else:
                problem = "" if code == 0 else f"ended by signal {-code}" if code < 0 else f"exit code {code}"
                outcomes.append(Outcome(heard.label, program, problem))
        self._running = running
        return outcomes

    def close(self, wait_s: float = _END_S) -> list[Outcome]:
        """Wait a moment for what is running; what takes longer goes on by itself."""
        for _, _, process in self._running:
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                wait_s = 0.0
        return self.ended()

    def _start(self, heard: Heard, arguments: list[str]) -> None:
        told = {
            "SPEECH_RNN_LABEL": heard.label,
            "SPEECH_RNN_SCORE": f"{heard.score:.3f}",
            "SPEECH_RNN_TIME": f"{heard.time:.2f}",
        }
        program = plain(arguments[0], 40)
        try:
            # A session of its own: Ctrl-C ends the listening, not what it has started.
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={**self._environment, **told},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._not_started.append(Outcome(heard.label, program, f"can't be started ({plain(reason, 80)})"))
        else:
            self._running.append((heard, program, process))


class View(Audience, Protocol):
    """Who is told of commands too."""

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Commands have ended."""


class Acting:
    """Passes on to a view what happens, and starts the commands of what was heard."""

    def __init__(self, view: View, runner: Runner) -> None:
        """Hold both."""
        self._view, self._runner = view, runner

    def heard(self, heard: Heard) -> None:
        """See :class:`~speech_rnn.listening.Audience`."""
        self._runner.heard(heard)
        self._view.heard(heard)

    def update(self, listener: Listener) -> None:
        """Likewise."""
        if ended := self._runner.ended():
            self._view.outcomes(ended)
        self._view.update(listener)

    def trouble(self, message: str) -> None:
        """Likewise."""
        self._view.trouble(message)


def _filled(word: str, values: Mapping[str, str]) -> str:
    """A word of a command with what was heard put in; in one go, so that a label ``{time}`` stays what it is."""
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found.group()], word)


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(plain(label) for label in labels[:12]) + (" …" if len(labels) > 12 else "")
