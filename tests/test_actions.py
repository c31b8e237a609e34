from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from speech_rnn.actions import MOST_RUNNING, Acting, Action, Outcome, Runner, parse_action
from speech_rnn.errors import SettingsError
from speech_rnn.listening import Heard, Listener
from tests.sound_server import wait_until
from tests.tone_model import ToneModel, TypedInput

LABELS = ("_silence_", "yes", "no", "a=b", "a")
SHELL = "$(touch pwned); `touch pwned` | touch pwned & > pwned {time} ' \""


def heard(label: str, score: float = 0.9) -> Heard:
    return Heard(label, score, 12.345, 11.345, datetime.now(UTC), {})


def writes(path: Path, *arguments: str) -> str:
    """A command that writes its arguments and what it was told into a file."""
    program = (
        "import os, sys; names = ('LABEL', 'SCORE', 'TIME');"
        "told = [os.environ['SPEECH_RNN_' + name] for name in names];"
        "open(sys.argv[1], 'a').write(repr(sys.argv[2:] + told) + chr(10))"
    )
    return " ".join(f"'{word}'" for word in (sys.executable, "-c", program.replace("'", '"'), str(path), *arguments))


def done(runner: Runner, n: int) -> list[Outcome]:
    outcomes: list[Outcome] = []

    def all_there() -> bool:
        outcomes.extend(runner.ended())
        return len(outcomes) >= n

    wait_until(all_there, 20)
    return outcomes


def test_a_command_is_split_once_and_quotes_hold() -> None:
    assert parse_action("yes=say 'a  b' {label}", LABELS) == Action("yes", ("say", "a  b", "{label}"))
    assert parse_action("a=b=say x", LABELS) == Action("a=b", ("say", "x"))
    assert parse_action("a=b", LABELS) == Action("a", ("b",))
    assert parse_action("*=say", LABELS).label == "*"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("maybe=say", "must begin with a label of the model and '='; those are yes, no, a=b, a, and"),
        ("_silence_=say", "must begin with a label"),
        ("yes", "must begin with a label"),
        ("yes=", "has no command"),
        ("yes=''", "has no command"),
        ("yes=say 'x", "close the quotes"),
        ("*={label} x", "the program itself must be named"),
        ("*=/bin/{label}", "the program itself must be named"),
    ],
)
def test_what_can_not_be_done_is_said_before_the_listening(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        parse_action(text, LABELS)


def test_a_label_that_a_program_would_take_for_an_option_is_refused() -> None:
    labels = ("yes", "-rf")

    with pytest.raises(SettingsError, match="label '-rf' for an option; let it read the variable SPEECH_RNN_LABEL"):
        parse_action("*=rm {label}", labels)
    with pytest.raises(SettingsError, match="for an option"):
        parse_action("-rf=rm {label}/x", labels)

    assert parse_action("yes=rm {label}", labels).label == "yes"
    assert parse_action("*=say word:{label}", labels).label == "*"


def test_a_program_gets_what_was_heard_in_its_arguments_and_its_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner = Runner([parse_action(f"yes={writes(out, '{label}:{score}', '{time}', '{other}')}", LABELS)], os.environ)

    runner.heard(heard("no"))
    runner.heard(heard("yes"))

    assert done(runner, 1)[0].problem == ""
    assert out.read_text() == "['yes:0.900', '12.35', '{other}', 'yes', '0.900', '12.35']\n".replace(
        "12.35", f"{12.345:.2f}"
    )


def test_a_label_full_of_shell_is_one_argument_and_nothing_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    runner = Runner([parse_action(f"*={writes(out, '{label}')}", (SHELL,))], os.environ)

    runner.heard(heard(SHELL))
    done(runner, 1)

    assert out.read_text() == f"{[SHELL, SHELL, '0.900', f'{12.345:.2f}']!r}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_how_programs_end_is_told_and_none_is_waited_for() -> None:
    python = sys.executable
    actions = [
        parse_action(text, LABELS)
        for text in (
            f"yes={python} -c 'import sys; sys.exit(3)'",
            f"yes={python} -c 'import os; os.kill(os.getpid(), 9)'",
            "yes=/no/such/program x",
        )
    ]
    runner = Runner(actions, os.environ)

    runner.heard(heard("yes"))

    problems = {outcome.problem for outcome in done(runner, 3)}
    assert problems == {"exit code 3", "ended by signal 9", "can't be started (No such file or directory)"}
    assert runner.close() == []


def test_no_more_than_some_run_at_once_and_those_that_take_long_are_not_waited_for() -> None:
    runner = Runner([Action("yes", ("sleep", "600"))], os.environ)

    for _ in range(MOST_RUNNING + 3):
        runner.heard(heard("yes"))

    skipped = runner.close(wait_s=0.0)
    assert [outcome.problem for outcome in skipped] == ["not started, since 8 others are running"] * 3
    for _, _, process in runner._running:
        process.kill()
    assert {outcome.problem for outcome in done(runner, MOST_RUNNING)} == {"ended by signal 9"}


def test_a_view_hears_of_words_troubles_and_the_ends_of_commands() -> None:
    class View:
        def __init__(self) -> None:
            self.calls: list[object] = []

        def heard(self, heard: Heard) -> None:
            self.calls.append(heard.label)

        def update(self, listener: Listener) -> None:
            pass

        def trouble(self, message: str) -> None:
            self.calls.append(message)

        def outcomes(self, outcomes: object) -> None:
            self.calls.append(outcomes)

    view = View()
    acting = Acting(view, Runner([Action("yes", ("/no/such/program",))], {}))
    listener = Listener(ToneModel(), TypedInput([]))

    acting.heard(heard("yes"))
    acting.trouble("gone")
    acting.update(listener)
    acting.update(listener)

    missing = Outcome("yes", "/no/such/program", "can't be started (No such file or directory)")
    assert view.calls == ["yes", "gone", [missing]]
