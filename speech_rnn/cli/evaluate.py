"""``speech-rnn evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from speech_rnn.cli.options import cache_option, data_option, workers_option
from speech_rnn.quiet import quiet

if TYPE_CHECKING:
    from speech_rnn.scoring import JudgedPart


@click.command(short_help="Measure how good a run or a model is, with intervals.")
@click.argument("model", metavar="RUN|MODEL")
@data_option
@click.option(
    "--part",
    type=click.Choice(["validation", "testing"]),
    default="validation",
    show_default=True,
    help="Which clips: those that training chose its best weights by, or those it has never met.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write them as a page too, with drawings; one file that needs no network.",
)
@cache_option
@workers_option
def command(
    *,
    model: str,
    sources: tuple[str, ...],
    part: JudgedPart,
    as_json: bool,
    page: Path | None,
    cache: Path,
    workers: int | None,
) -> None:
    """Measure how good a run or a model is: accuracy with intervals, labels, confusions, speakers.

    RUN is a folder of speech-rnn train, evaluated on its own recordings unless --data names others. MODEL is a folder
    of speech-rnn export, or the name of a model that is shipped; it is given the sound, as an app would.

    \b
    speech-rnn evaluate runs/gru-12
    speech-rnn evaluate runs/gru-12 --data other_recordings --part testing
    speech-rnn evaluate my-model --data speech_commands --page figures.html
    """
    with quiet():
        from speech_rnn.cli.evaluation_report import evaluate_and_print

    evaluate_and_print(model, sources, part, cache, workers, as_json=as_json, page=page)
