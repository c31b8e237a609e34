"""``speech-rnn review``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from speech_rnn.errors import AudioError, DataError, DeviceError
from speech_rnn.own_words import SAMPLE_RATE, OwnWords
from speech_rnn.review import Item, Review
from speech_rnn.sound_card import hushed, play
from speech_rnn.text import plain

_HELP = (
    "Enter: it is that word   r: it is another word   o: other speech   n: noise   d: drop   p: play again   u: undo"
    "   q: quit"
)


@click.command(short_help="Sort what 'listen --save' kept into training recordings.")
@click.argument("kept", type=click.Path(path_type=Path), metavar="KEPT")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("my_words"),
    show_default=True,
    metavar="DIR",
    help="Folder of the recordings, as of 'speech-rnn record'; what is there stays.",
)
@click.option("--speaker", metavar="NAME|ID", help="Who has said it all.  [default: not known]")
@click.option("--no-playback", is_flag=True, help="Show the sounds without playing them.")
def command(*, kept: Path, output: Path, speaker: str | None, no_playback: bool) -> None:
    """Listen to what 'speech-rnn listen --save KEPT' has kept, say what each was, and train with that.

    A word rightly heard, a word heard for another, other speech, noise: each becomes a recording where training looks
    for it. Nothing in KEPT is deleted; one may quit and go on later.

    \b
    speech-rnn review kept -o my_words
    """
    if not sys.stdin.isatty():
        raise click.UsageError("keys are wanted, and standard input is no terminal.")
    review = Review(
        kept, OwnWords(output, speaker if speaker is not None else "unknown"), speaker_is_known=speaker is not None
    )
    click.echo(f"{review.pending} of {review.total} sounds to look at. {_HELP}")
    try:
        _go_through(review, plays=not no_playback)
    except (KeyboardInterrupt, EOFError):
        raise KeyboardInterrupt(f"stopped; {review.pending} left, the same command goes on") from None
    click.echo(f"\n{len(review.added)} recordings added to {output}, {review.pending} sounds left.")
    if review.added:
        click.echo("Train with them and with what the model was trained on, SPEECH:")
        click.echo(f"  {review.training_command('SPEECH')}")


def _go_through(review: Review, *, plays: bool) -> None:
    shown: Item | None = None
    while (item := review.current) is not None:
        if item is not shown:
            shown = item
            click.echo(_title(item, review))
            plays = plays and _play(item)
        key = click.getchar().lower()
        try:
            if key == "q":
                return
            if key == "p":
                _play(item)
            elif key == "u":
                click.echo("  undone" if review.undo() else "  nothing to undo")
            else:
                click.echo(f"  {_decide(review, item, key)}")
        except (AudioError, DataError) as error:
            click.echo(f"  {error}")


def _decide(review: Review, item: Item, key: str) -> str:
    """What was decided by a key, in words; of another key, which there are."""
    if key in ("\r", "\n", "y"):
        return f"{plain(item.label)}: {review.is_word(item.label)}"
    if key == "r":
        word = str(click.prompt("  the word", default="", show_default=False)).strip()
        return f"{plain(word)}: {review.is_word(word)}" if word else "no word, so nothing was decided"
    if key == "o":
        return f"other speech: {review.is_other()}"
    if key == "n":
        return f"noise: {review.is_noise()}"
    if key == "d":
        review.drop()
        return "dropped"
    return _HELP


def _title(item: Item, review: Review) -> str:
    note = item.note
    others = sorted(((score, label) for label, score in note.scores.items() if label != note.label), reverse=True)
    behind = f", then {plain(others[0][1])} {others[0][0]:.2f}" if others else ""
    number = review.total - review.pending + 1
    return f"{number} of {review.total}  {plain(note.label)} {note.score:.2f}{behind}  {plain(note.clock, 40)}"


def _play(item: Item) -> bool:
    """Play a sound; whether that worked."""
    try:
        # Not around all: a line is asked for on standard error.
        with hushed():
            play(item.samples(), SAMPLE_RATE)
    except DeviceError as error:
        click.echo(f"  {error}")
        return False
    except AudioError as error:
        click.echo(f"  {error}; d drops it")
    return True
