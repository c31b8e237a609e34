"""``speech-rnn prepare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from speech_rnn.cli.options import assigned_value, data_option, f_max_option, settings_in, settings_option
from speech_rnn.config import FeatureSettings
from speech_rnn.errors import SettingsError


@click.command(short_help="Make features beforehand, with Apache Beam.")
@data_option
@click.option(
    "-o",
    "--out",
    "folder",
    required=True,
    metavar="DIR",
    help="Folder of the features: a new or empty one, or one that a stopped run has begun.",
)
@click.option(
    "--runner",
    metavar="NAME",
    help="What computes, by Beam's name: FlinkRunner, SparkRunner, DataflowRunner.  [default: this machine]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    show_default="one, or one a core for over 20,000 clips",
    help="Processes on this machine; two or more take 20 seconds to start.",
)
@f_max_option
@settings_option
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="features.NAME=VALUE",
    help="Any other setting of the features, such as features.n_mels=48.",
)
@click.option(
    "--pipeline-option",
    "single_options",
    multiple=True,
    metavar="--NAME=VALUE",
    help="An option of Beam; the same as behind --. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_OPTION...]")
def command(
    *,
    sources: tuple[str, ...],
    folder: str,
    runner: str | None,
    workers: int | None,
    f_max: float | str | None,
    settings_file: Path | None,
    assignments: tuple[str, ...],
    single_options: tuple[str, ...],
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    """Make features of recordings beforehand, with Apache Beam, on this machine or on a cluster.

    SOURCE is also segments:LIST.csv: long recordings, and which parts of them are clips (columns file, start_s, stop_s,
    word, speaker, part). A folder or a list may be on any file system that Beam reads (gs://, hdfs://). Clips that
    can't be read are listed in DIR/rejects.jsonl; a run that was stopped is finished by the same command.

    \b
    speech-rnn prepare --data speech_commands --out features
    speech-rnn prepare --data my_words --data segments:talks.csv --out features --workers 2
    speech-rnn prepare --data gs://bucket/words --out gs://bucket/features --runner DataflowRunner -- \\
        --project=mine --region=europe-west1 --temp_location=gs://bucket/tmp
    """
    if not sources:
        raise click.UsageError(
            "--data is missing: a folder with a sub-folder a word, 'corpus', 'tfds' or segments:LIST."
        )
    stray = next((option for option in options[:1] if not option.startswith("--")), None)
    if stray is not None:
        raise click.UsageError(f"{stray!r} is not an option; sources go behind --data, Beam's options behind --.")
    settings, auto_f_max = _settings(settings_file, assignments, f_max)
    from speech_rnn.cli.prepare_report import prepare_and_print

    prepare_and_print(
        sources,
        settings,
        folder,
        runner=runner,
        workers=workers,
        arguments=(*single_options, *options),
        auto_f_max=auto_f_max,
        as_json=as_json,
    )


def _settings(
    file: Path | None, assignments: tuple[str, ...], f_max: float | str | None
) -> tuple[FeatureSettings, bool]:
    """The settings of a file, then of options, of ``--set``; and whether the recordings choose ``f_max``."""
    settings = FeatureSettings() if file is None else _features_in(file)
    values: dict[str, Any] = {} if f_max is None or f_max == "auto" else {"f_max": f_max}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        part, dot, field = name.partition(".")
        if not equals or not dot:
            raise click.UsageError(f"--set {assignment!r} must be features.NAME=VALUE, such as features.n_mels=48.")
        if part != "features":
            raise SettingsError(f"{part!r} is not a part of the settings of features; give features.NAME=VALUE")
        values[field] = assigned_value(text)
    auto = f_max == "auto" or (f_max is None and file is None and "f_max" not in values)
    rate = values.get("sample_rate")
    if auto and isinstance(rate, int):
        values.setdefault("f_max", min(settings.f_max, 0.475 * rate))  # what a rate can't carry recordings can't either
    return settings.changed(**values), auto


def _features_in(file: Path) -> FeatureSettings:
    """The features of a run's settings, or settings of features themselves."""
    try:
        content = settings_in(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"{file} can't be read ({error.strerror}); give a file of settings") from None
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and isinstance(values.get("features"), dict):
        content = json.dumps(values["features"]).encode()
    return FeatureSettings.from_json(content)
