"""What ``speech-rnn evaluate`` measures, and how it prints it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_rnn import atomic, runtime
from speech_rnn.card import CARD_FILE
from speech_rnn.cli.tables import table
from speech_rnn.data.clips import JudgedPart
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import open_store
from speech_rnn.errors import DataError
from speech_rnn.evaluation import Evaluation, evaluate
from speech_rnn.runs import load_run
from speech_rnn.scoring import Form, score_model, score_run
from speech_rnn.text import interval, percent, plain

LIBRARIES = ("speech-rnn", "tensorflow", "keras", "librosa", "numpy", "ai-edge-litert")
MISTAKES = 8
SPEAKERS = 5
LONGEST_LINE = 300


def evaluate_and_print(
    model: str,
    names: Sequence[str],
    part: JudgedPart,
    cache: Path,
    workers: int | None,
    *,
    form: Form = "clip",
    as_json: bool,
    page: Path | None,
) -> None:
    """Score a part of the recordings, then print the figures and write the page.

    Args:
        model: folder of a run or a model, or a shipped model's name.
        names: of sources; none of them: those that a run was trained on.
        part: of the recordings.
        cache: folder of decoded clips.
        workers: processes that prepare sound.
        form: which file of a model.
        as_json: print JSON instead of tables.
        page: file of the page, if one is wanted.
    """
    if page is not None and not page.parent.is_dir():  # known before minutes are spent
        raise DataError(f"{page} can't be written, there is no folder {str(page.parent)!r}; make it first")
    evaluation = measure(model, names, part, cache, workers, form=form)
    if page is not None:
        from speech_rnn.report import evaluation_page

        atomic.write_text(page, evaluation_page(evaluation, {library: version(library) for library in LIBRARIES}))
    if as_json:
        print(evaluation.to_json())
        return
    console = Console(highlight=False)
    for element in tables(evaluation, console.width):
        console.print(element, soft_wrap=isinstance(element, Text))
    if page is not None:
        console.print(Text(f"drawn in {page}"), soft_wrap=True)


def measure(
    model: str, names: Sequence[str], part: JudgedPart, cache: Path, workers: int | None, *, form: Form = "clip"
) -> Evaluation:
    """The figures of a run or a model on a part of some recordings."""
    folder = Path(model)
    if (folder / "run.json").is_file() and not (folder / CARD_FILE).is_file():
        if form != "clip":
            raise click.UsageError(f"--form {form} is for a model; 'speech-rnn export {model} -o DIR' makes one.")
        run = load_run(folder)
        names = names or [source.name for source in run.record.sources]
        sources = open_sources(names)
        store = open_store(sources, run.settings.features, cache)
        scored, labels, kind = score_run(run, store, part, workers=workers), run.labels, "run"
    else:
        if not names:
            raise click.UsageError("--data is missing: a folder with a sub-folder a word, 'corpus' or 'tfds'.")
        recognizer = runtime.load(model) if form == "clip" else runtime.load(model, form)
        sources = open_sources(names)
        store = open_store(sources, recognizer.card.features, cache)
        scored, labels, kind = score_model(recognizer, store, part, streamed=form != "clip"), recognizer.labels, "model"
    command = ["speech-rnn", "evaluate", model, *(word for name in names for word in ("--data", name)), "--part", part]
    if form != "clip":
        command += ["--form", form]
        kind = f"{form} {kind}"
    return evaluate(
        scored.logits,
        scored.targets,
        labels,
        scored.speakers,
        model=f"{kind} {model}",
        data=", ".join(source.title for source in sources),
        synthetic=any(source.synthetic for source in sources),
        command=shlex.join(command),
        part=part,
    )


def tables(evaluation: Evaluation, width: int) -> Iterator[Table | Text]:
    """What is printed, in at most ``width`` columns; names come from outside and are shown as plain text."""
    kind = " (synthetic corpus: machines speak)" if evaluation.synthetic else ""
    heading = f"{evaluation.model} on the {evaluation.part} part of {evaluation.data}"
    yield Text(f"{plain(heading, LONGEST_LINE)}{kind}\n")
    yield _accuracy(evaluation)
    yield Text(f"mean cross-entropy {evaluation.cross_entropy:.3f}\n")
    yield _labels(evaluation)
    matrix = _confusion(evaluation)
    if Console(width=10_000).measure(matrix).maximum <= width:
        yield Text("\nsaid (rows) and taken for (columns)")
        yield matrix
    else:
        yield Text(f"\nthe matrix of {len(evaluation.labels)} labels is too wide for here; --page draws it")
    if mistakes := evaluation.confusions(MISTAKES):
        yield Text("\ncommonest mistakes")
        yield table(("said", "taken for", ">clips"), ((one.label, one.taken_for, f"{one.n:,}") for one in mistakes))
    if evaluation.spread is not None:
        quantiles = dict(evaluation.spread.quantiles)
        yield Text(
            f"\n{evaluation.spread.n_speakers:,} speakers with {evaluation.spread.min_clips} clips or more: "
            f"the worst has {percent(quantiles[0.0])}, a quarter at most {percent(quantiles[0.25])}, "
            f"half at most {percent(quantiles[0.5])}; least understood, surest first:"
        )
        yield table(
            ("speaker", ">right", ">accuracy"),
            (
                (one.speaker, f"{one.correct:,} of {one.n:,}", percent(one.accuracy))
                for one in evaluation.speakers[:SPEAKERS]
            ),
        )


def _accuracy(evaluation: Evaluation) -> Table:
    confidence = f"{100 * evaluation.confidence:.3g} %"
    return table(
        ("clips", ">right", ">accuracy", f">{confidence} interval", ">over speakers"),
        (
            (
                name,
                f"{share.correct:,} of {share.n:,}",
                percent(share.value),
                interval(share.low, share.high),
                interval(share.speaker_low, share.speaker_high),
            )
            for name, share in evaluation.groups
        ),
    )


def _labels(evaluation: Evaluation) -> Table:
    return table(
        ("label", ">clips", ">recall", ">precision", ">F1"),
        (
            (one.label, f"{one.support:,}", percent(one.recall), percent(one.precision), percent(one.f1))
            for one in evaluation.per_label
        ),
    )


def _confusion(evaluation: Evaluation) -> Table:
    return table(
        ("", *(f">{plain(label, 5)}" for label in evaluation.labels)),
        (
            (label, *(f"{count}" if count else "·" for count in row))
            for label, row in zip(evaluation.labels, evaluation.confusion, strict=True)
        ),
        gap=1,
    )
