"""``speech-rnn web``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from speech_rnn import atomic
from speech_rnn.runtime import load
from speech_rnn.stream_model import STREAM_FILES

if TYPE_CHECKING:
    from speech_rnn.stream_model import StreamForm


@click.command(short_help="Write a model as one page that listens in a browser, without a server.")
@click.argument("model", metavar="MODEL")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PAGE.html",
    help="The page; one that is there already is replaced, folders that aren't there are made.",
)
@click.option(
    "--form",
    type=click.Choice(list(STREAM_FILES)),
    default="float32",
    show_default=True,
    help="Precision of the model in the page: float16 and the 8-bit ones are smaller.",
)
def command(*, model: str, output: Path, form: StreamForm) -> None:
    """Write a model as one HTML file that listens to a microphone or a sound file, by a double-click or over https.

    Everything is in the file, LiteRT's WebAssembly too, about 5 MB. It asks no server for anything, and its content
    policy forbids it to: what it hears stays where it is heard. MODEL is a folder of speech-rnn export, or the name of
    a model that is shipped.

    \b
    speech-rnn web my-model -o listen.html
    speech-rnn web my-model -o small.html --form dynamic
    """
    from speech_rnn.web.listening_page import listening_page

    recognizer = load(model, form)
    page = listening_page(recognizer.stream_model)
    atomic.write_text(output, page)
    words = sum(not label.startswith("_") for label in recognizer.labels)
    click.echo(f"{output}: {len(page.encode()) / 1e6:.2f} MB, {words} words. Open it in a browser, by a double-click.")
