"""``speech-rnn evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from speech_rnn.cli.detector_options import detector_rules
from speech_rnn.cli.options import cache_option, data_option, workers_option
from speech_rnn.quiet import quiet

if TYPE_CHECKING:
    from speech_rnn.data.clips import JudgedPart
    from speech_rnn.scoring import Form


@click.command(short_help="Measure how good a run or a model is, with intervals.")
@click.argument("model", metavar="RUN|MODEL")
@click.argument("recordings", nargs=-1, type=click.Path(path_type=Path), metavar="[RECORDING]...")
@data_option
@click.option(
    "--part",
    type=click.Choice(["validation", "testing"]),
    default="validation",
    show_default=True,
    help="Which clips: those that training chose its best weights by, or those it has never met.",
)
@click.option(
    "--form",
    type=click.Choice(["clip", "float32", "float16", "dynamic", "int8"]),
    default="clip",
    show_default=True,
    help="Which file of a MODEL: the clip file, or a stream file by the precision of its weights.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write them as a page too, with drawings; one file that needs no network.",
)
@click.option(
    "--conditions",
    is_flag=True,
    help="The same clips soft, clipped, noisy, off the middle, cut, by other microphones and codecs, with echo.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="Misses and false alarms an hour in long sound: streams put together from --data, or RECORDINGs.",
)
@click.option(
    "--distractors",
    multiple=True,
    metavar="SOURCE",
    help="With --stream: recordings of another language, none of them a label. May be given several times.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0.01, 10_000.0),
    default=5.0,
    show_default=True,
    help="With --stream: length of what is put together, in streams of ten minutes.",
)
@click.option(
    "--mode",
    type=click.Choice(["window", "carry", "both"]),
    default=None,
    help="With --stream: how it is heard.  [default: the model's]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="With --stream: of all draws.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="With --stream: keep what was put together, as FLAC with the truth beside (JSON, Audacity labels).",
)
@click.option(
    "--truth",
    "truths",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="LABELS.txt",
    help="With RECORDINGs: what is said in each, in their order; a label track as Audacity exports it, or JSON as "
    "--keep writes it.  [default: the file of that name beside the recording]",
)
@detector_rules
@cache_option
@workers_option
def command(
    *,
    model: str,
    recordings: tuple[Path, ...],
    sources: tuple[str, ...],
    part: JudgedPart,
    form: Form,
    as_json: bool,
    page: Path | None,
    conditions: bool,
    stream: bool,
    distractors: tuple[str, ...],
    hours: float,
    mode: Literal["window", "carry", "both"] | None,
    seed: int,
    keep: Path | None,
    truths: tuple[Path, ...],
    cache: Path,
    workers: int | None,
    **rules: Any,
) -> None:
    """Measure how good a run or a model is: accuracy with intervals, labels, confusions, speakers.

    RUN is a folder of speech-rnn train, evaluated on its own recordings unless --data names others. MODEL is a folder
    of speech-rnn export, or the name of a model that is shipped; it is given the sound, as an app would.

    With --conditions it hears them as other rooms, microphones and codecs would have given them: a validation part
    alone flatters, since its sound is that of the training part.

    With --stream a MODEL listens for hours: to words, talk, other languages and noise put together by seed, or to
    RECORDINGs of your own whose words you know. Misses against false alarms an hour at every threshold tell which
    to choose. A run that was interrupted goes on where it was.

    \b
    speech-rnn evaluate runs/gru-12
    speech-rnn evaluate runs/gru-12 --data other_recordings --part testing
    speech-rnn evaluate my-model --data speech_commands --page figures.html
    speech-rnn evaluate my-model --data speech_commands --conditions
    speech-rnn evaluate my-model --data speech_commands --stream --hours 5 --mode both --page stream.html
    speech-rnn evaluate my-model --stream kitchen.flac --truth kitchen_labels.txt
    """
    if not stream:
        of_stream = recordings or distractors or truths or keep or mode
        if of_stream or any(value not in (None, ()) for value in rules.values()):
            raise click.UsageError(
                "RECORDING, --distractors, --truth, --keep, --mode and what is asked of the detector are for --stream; "
                "add it."
            )
        if conditions and page is not None:
            raise click.UsageError("--page draws accuracy or --stream; --conditions are printed, or --json.")
        if conditions:
            with quiet():
                from speech_rnn.cli.condition_report import conditions_and_print

            conditions_and_print(model, sources, part, cache, form=form, as_json=as_json)
            return
        with quiet():
            from speech_rnn.cli.evaluation_report import evaluate_and_print

        evaluate_and_print(model, sources, part, cache, workers, form=form, as_json=as_json, page=page)
        return

    if conditions:
        raise click.UsageError("--conditions and --stream are two measurements; ask for one at a time.")
    from speech_rnn.cli.stream_report import BuiltStreams, OwnRecordings, evaluate_streams_and_print

    streams: BuiltStreams | OwnRecordings
    if recordings:
        if sources or distractors or keep:
            raise click.UsageError("--data, --distractors and --keep are for streams put together, not for RECORDINGs.")
        if len(truths) not in (0, len(recordings)):
            raise click.UsageError(f"--truth is given {len(truths)} times for {len(recordings)} RECORDINGs; one each.")
        streams = OwnRecordings(recordings, truths)
    else:
        if not sources or truths:
            raise click.UsageError("--stream needs --data SOURCE to put streams together, or RECORDINGs and --truth.")
        streams = BuiltStreams(sources, distractors, part, hours, seed, keep)
    evaluate_streams_and_print(
        model, streams, mode, rules=rules, cache=cache, workers=workers, as_json=as_json, page=page
    )
