"""``speech-rnn inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from speech_rnn.quiet import quiet

MOST_MODELS = 3  # side by side, each as wide as a phone


@click.command(short_help="Draw what the gates of a model do while it hears a word.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL|RUN...")
@click.argument("sound", metavar="FILE")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PAGE.html",
    help="Draw it into a page: one file that needs no network; one that is there already is replaced, "
    "folders that aren't there are made.",
)
@click.option("--json", "as_json", is_flag=True, help="Print every gate, state and score of every step as JSON.")
def command(*, models: tuple[str, ...], sound: str, output: Path | None, as_json: bool) -> None:
    """Look inside the cells: what each gate does step by step while a word is heard, and how the scores grow.

    MODEL is a model's name or folder, or a run; two or three are drawn side by side, with one time axis. FILE is a
    sound file of up to 10 s. Shorter than a clip, it gets silence on both sides, as for recognize; longer, all of it is
    heard as one sequence. Gates and states over all steps and units are printed, those of each step drawn.

    \b
    speech-rnn inspect gru-12-small yes.wav -o inside.html
    speech-rnn inspect runs/lstm runs/gru yes.wav -o inside.html
    speech-rnn inspect gru-12-small yes.wav --json > inside.json
    """
    if len(models) > MOST_MODELS:
        raise click.UsageError(
            f"{len(models)} models are given, at most {MOST_MODELS} fit side by side; leave some out."
        )
    with quiet():
        from speech_rnn.cli.inside_report import trace_and_print

    trace_and_print(models, sound, page=output, as_json=as_json)
