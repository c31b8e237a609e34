"""``speech-rnn adapt``."""

from __future__ import annotations

from pathlib import Path

import click

from speech_rnn.cli.options import cache_option, data_option
from speech_rnn.quiet import quiet


@click.command(short_help="Teach a trained model other words, from a few clips a word.")
@click.argument("model", metavar="MODEL|RUN")
@data_option
@click.option("--labels", metavar="WORD,WORD…", help="The new words.  [default: every folder]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of all draws.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Folder of the run.  [default: runs/MODEL-adapted]",
)
@cache_option
def command(
    *, model: str, sources: tuple[str, ...], labels: str | None, seed: int, output: Path | None, cache: Path
) -> None:
    """Keep a trained model's recurrent layers, and learn other words from 5 to 20 clips of each, in a minute.

    MODEL is a model's name or folder, or a run. The new labels are the words of the recordings, beside silence and
    unknown; what else people say the model knows from its own training. The result is a run: evaluate and export it.

    \b
    speech-rnn record lamp music -o my_words
    speech-rnn adapt gru-12-large --data my_words -o runs/mine
    speech-rnn evaluate runs/mine
    speech-rnn export runs/mine -o my-model
    """
    if not sources:
        raise click.UsageError("--data is missing: a folder with a sub-folder a word.")
    with quiet():
        from speech_rnn.cli.adaptation_report import adapt_and_print

    words = None if labels is None else tuple(word.strip() for word in labels.split(",") if word.strip())
    folder = output or Path("runs") / f"{Path(model).name}-adapted"
    adapt_and_print(model, sources, folder, cache, labels=words, seed=seed)
