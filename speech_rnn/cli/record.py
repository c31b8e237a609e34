"""``speech-rnn record``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from speech_rnn.microphone import Microphone
from speech_rnn.own_words import OwnWords, check_word
from speech_rnn.recording import WINDOW_S, Choice, Recorder
from speech_rnn.sound_card import hushed, play
from speech_rnn.takes import Take
from speech_rnn.text import plain

_KEYS: dict[str, Choice] = {
    "\r": "record",
    "\n": "record",
    " ": "record",
    "u": "undo",
    "p": "play",
    "s": "skip",
    "q": "quit",
}
_BAR = 30


@click.command(short_help="Record words of your own, to train with.")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("my_words"),
    show_default=True,
    metavar="DIR",
    help="Folder of the recordings; what is there stays, and is gone on with.",
)
@click.option(
    "--takes",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Of each word, those of earlier sessions included.",
)
@click.option(
    "--speaker",
    metavar="NAME|ID",
    help="Who speaks; only a hash of the name is kept.  [default: the one who is in the folder, or a new one]",
)
@click.option("--device", metavar="NUMBER|NAME", help="Microphone; see 'speech-rnn listen --list-devices'.")
@click.option("--no-playback", is_flag=True, help="Don't play each take back.")
@click.option("--hands-free", is_flag=True, help="Go from take to take without waiting for a key.")
def command(
    *,
    words: tuple[str, ...],
    output: Path,
    takes: int,
    speaker: str | None,
    device: str | None,
    no_playback: bool,
    hands_free: bool,
) -> None:
    """Record words of your own, take by take, in the layout of Speech Commands; then train with them.

    Each take is counted down, and looked at: one that is clipped, silent, cut off or drowned in noise is refused and
    said again. Twenty takes a word are a beginning; say them as they will be said, near and far, soft and loud.
    Every fifth take is kept from training, to measure with.

    \b
    speech-rnn record lamp music stop -o my_words
    speech-rnn record lamp --takes 40 --speaker anna
    """
    words = tuple(dict.fromkeys(words))
    for word in words:
        check_word(word)
    if not hands_free and not sys.stdin.isatty():
        raise click.UsageError("keys are wanted, and standard input is no terminal; take --hands-free.")
    own = OwnWords(output, speaker)
    guide = TerminalGuide(asks=not hands_free)
    with ExitStack() as stack:
        stack.enter_context(hushed())
        microphone = stack.enter_context(Microphone(device))
        recorder = Recorder(own, microphone, guide, player=play, play_each=not no_playback)
        try:
            recorder.record(words, takes)
        except (KeyboardInterrupt, EOFError):
            raise KeyboardInterrupt(
                f"stopped; {_counted(len(recorder.added))} of this session kept, the same command goes on"
            ) from None
    click.echo(f"\n{_counted(len(recorder.added))} added to {output}, of speaker {own.speaker}; there are now:")
    for word in own.words():
        click.echo(f"  {plain(word):<16} {own.takes(word)}")
    click.echo(
        "Train with them, all other words of the corpus being unknown speech (real speech is better, if you have"
    )
    click.echo("any: a folder of Speech Commands in the place of 'corpus'):")
    click.echo(f"  {own.training_command()}")


class TerminalGuide:
    """Lines, a bar, and single keys."""

    def __init__(self, *, asks: bool) -> None:
        self.asks = asks

    def choose(self, word: str, take: int, takes: int, *, can_undo: bool) -> Choice:
        """Ask for a key."""
        title = f"{plain(word)}, take {take} of {takes}"
        if not self.asks:
            click.echo(title)
            return "record"
        keys = "Enter records, s skips the word, q quits" + (", p plays, u takes back the last" if can_undo else "")
        click.echo(f"{title}   ({keys})")
        while True:
            key = click.getchar().lower()
            if key in _KEYS:
                return _KEYS[key]

    def choose_at_end(self) -> Choice:
        """Ask for a key."""
        click.echo("that was the last   (Enter ends, p plays, u takes back the last)")
        return _KEYS.get(click.getchar().lower(), "play")

    def count_down(self, word: str, left_s: float) -> None:
        """Count on one line."""
        sign = f"say '{plain(word)}' in {left_s:.1f} s" if left_s > 0 else f"say '{plain(word)}' NOW"
        click.echo(f"\r  {sign:<50}", nl=False)

    def level(self, level_db: float, left_s: float) -> None:
        """A bar on the same line."""
        filled = round(min(max((level_db + 60.0) / 60.0, 0.0), 1.0) * _BAR)
        bar = "█" * filled + "·" * (_BAR - filled)
        click.echo(f"\r  NOW {bar} {max(level_db, -99.0):4.0f} dB  {left_s / WINDOW_S:4.0%}", nl=False)

    def accepted(self, word: str, path: Path, take: Take) -> None:
        """Say how it is."""
        click.echo(f"\r  kept: {take.end_s - take.start_s:.2f} s at {take.level_db:.0f} dB, {path}{'':<10}")

    def refused(self, reason: str) -> None:
        """Say why."""
        click.echo(f"\r  not kept, {reason}{'':<20}")

    def undone(self, path: Path) -> None:
        """Say which."""
        click.echo(f"  taken back: {path}")

    def cannot_play(self, reason: str) -> None:
        """Say why."""
        click.echo(f"  {reason}")


def _counted(n: int) -> str:
    return f"{n} take{'' if n == 1 else 's'}"
