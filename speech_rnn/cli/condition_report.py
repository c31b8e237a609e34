"""What ``speech-rnn evaluate --conditions`` measures, and how it prints it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from speech_rnn import runtime
from speech_rnn.card import CARD_FILE
from speech_rnn.cli.evaluation_report import LONGEST_LINE
from speech_rnn.cli.tables import table
from speech_rnn.condition_scoring import ConditionReport, UnderCondition, score_conditions
from speech_rnn.data.clips import JudgedPart
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import open_store
from speech_rnn.evaluation import Proportion
from speech_rnn.runs import load_run
from speech_rnn.scoring import Form, Scores, judged_clips, scores_of, settings_of
from speech_rnn.text import interval, percent, plain


def conditions_and_print(
    model: str, names: Sequence[str], part: JudgedPart, cache: Path, *, form: Form = "clip", as_json: bool
) -> None:
    """Score a part of the recordings under every condition, and print the figures.

    Args:
        model: folder of a run or a model, or a shipped model's name.
        names: of sources; none of them: those that a run was trained on.
        part: of the recordings.
        cache: folder of decoded clips.
        form: which file of a model; ``clip`` is heard through the float32 stream file, which gives the same scores.
        as_json: print JSON instead of a table.
    """
    report = measure(model, names, part, cache, form=form)
    if as_json:
        print(report.to_json())
        return
    console = Console(highlight=False)
    kind = " (synthetic corpus: machines speak)" if report.synthetic else ""
    heading = f"{report.model} on the {report.part} part of {report.data}"
    console.print(Text(f"{plain(heading, LONGEST_LINE)}{kind}\n"), soft_wrap=True)
    confidence = f"{100 * report.confidence:.3g} %"
    rows = (_row(one) for one in (report.as_recorded, *report.conditions))
    console.print(table(("condition", ">all", f">{confidence} interval", ">words", ">unknown"), rows))
    console.print(
        Text(
            f"\nover the {len(report.conditions)} conditions {percent(report.mean)} in the mean, "
            f"{report.points_lost:.1f} points under what was recorded; silence is left out"
        )
    )


def measure(model: str, names: Sequence[str], part: JudgedPart, cache: Path, *, form: Form = "clip") -> ConditionReport:
    """The figures of a run or a model on a part of some recordings under every condition."""
    folder = Path(model)
    scores: Scores
    if (folder / "run.json").is_file() and not (folder / CARD_FILE).is_file():
        if form != "clip":
            raise click.UsageError(f"--form {form} is for a model; 'speech-rnn export {model} -o DIR' makes one.")
        run = load_run(folder)
        names = names or [source.name for source in run.record.sources]
        labels, settings, scores, kind = run.labels, run.settings, scores_of(run), "run"
    else:
        if not names:
            raise click.UsageError("--data is missing: a folder with a sub-folder a word, 'corpus' or 'tfds'.")
        recognizer = runtime.load(model) if form == "clip" else runtime.load(model, form)
        labels, settings = recognizer.labels, settings_of(recognizer.card)
        scores, kind = recognizer.stream_model.clip_scores, "model" if form == "clip" else f"{form} model"
    sources = open_sources(names)
    store = open_store(sources, settings.features, cache)
    command = ["speech-rnn", "evaluate", model, *(word for name in names for word in ("--data", name)), "--part", part]
    if form != "clip":
        command += ["--form", form]
    return score_conditions(
        scores,
        judged_clips(labels, settings, store, part),
        tuple(labels),
        settings.features.sample_rate,
        model=f"{kind} {model}",
        data=", ".join(source.title for source in sources),
        part=part,
        synthetic=any(source.synthetic for source in sources),
        command=shlex.join([*command, "--conditions"]),
    )


def _row(one: UnderCondition) -> tuple[str, ...]:
    return (
        one.condition,
        percent(one.accuracy.value),
        interval(one.accuracy.low, one.accuracy.high),
        _share(one.commands),
        _share(one.unknown),
    )


def _share(share: Proportion | None) -> str:
    return percent(None if share is None else share.value)
