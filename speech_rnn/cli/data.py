"""``speech-rnn data``."""

from __future__ import annotations

from pathlib import Path

import click

from speech_rnn.cli.options import cache_option


@click.command(short_help="Look at recordings before training.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--f-max", type=float, metavar="HZ", help="Up to where features are going to look.  [default: 7600]")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--chart",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg|FILE.png",
    help="Draw bandwidth, level, clips by word and by speaker.",
)
@cache_option
def command(*, sources: tuple[str, ...], f_max: float | None, as_json: bool, chart: Path | None, cache: Path) -> None:
    """Look at recordings before training: words, parts, speakers, level, clipping, doubles, bandwidth.

    What would spoil a model is named, with what to do about it. SOURCE is a folder with a sub-folder a word, 'corpus'
    (embedded, synthetic), 'tfds' or 'tfds:DIR'; several are looked at together.

    \b
    speech-rnn data my_words
    speech-rnn data speech_commands my_words --chart inspection.svg
    """
    from speech_rnn.cli.data_report import inspect_and_print

    inspect_and_print(sources, f_max, cache, as_json=as_json, chart=chart)
