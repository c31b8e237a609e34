"""``speech-rnn train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from speech_rnn.cli.options import (
    Labels,
    assigned_value,
    cache_option,
    data_option,
    f_max_option,
    settings_in,
    settings_option,
    workers_option,
)
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.errors import SettingsError
from speech_rnn.presets import SIZES, USUAL_CLIPS_HEARD, Preset, Size, preset
from speech_rnn.quiet import quiet

# Options that are settings by another name: option -> part and field.
_FIELDS = {
    "cell": ("model", "cell"),
    "units": ("model", "units"),
    "layers": ("model", "layers"),
    "precision": ("model", "precision"),
    "labels": ("task", "labels"),
    "unknown": ("task", "unknown_share"),
    "silence": ("task", "silence_share"),
    "f_max": ("features", "f_max"),
    "epochs": ("training", "epochs"),
    "batch_size": ("training", "batch_size"),
    "learning_rate": ("training", "learning_rate"),
    "seed": ("training", "seed"),
    "clips_in_a_row": ("training", "clips_in_a_row"),
}

STRATEGIES = ("multi-worker", "mirrored")


@click.command(short_help="Train a recognizer of words.")
@data_option
@click.option("--cell", metavar="NAME", help="Recurrent cell: lstm, gru or rnn.  [default: gru]")
@click.option(
    "--labels",
    type=Labels(),
    help="12: ten commands, unknown, silence; 35: all words of Speech Commands; "
    "all: every folder; or your own list.  [default: 12]",
)
@click.option("--unknown", type=float, metavar="SHARE", help="Clips of other words, relative to those of the words.")
@click.option(
    "--silence", type=float, metavar="SHARE", help="Clips of background noise, relative to those of the words."
)
@click.option(
    "--preset",
    "size",
    type=click.Choice(SIZES),
    help="The recipe of a shipped model: int8 for a board in 32, 80 or 500 kB; other options go before it.",
)
@click.option("--units", type=int, help="Units of a recurrent layer.  [default: 160]")
@click.option("--layers", type=int, help="Recurrent layers.  [default: 2]")
@f_max_option
@click.option("--epochs", type=int, help="Times that all clips are heard.  [default: 40 to 150, more if clips are few]")
@click.option("--batch-size", type=int, help="Clips a step.  [default: 128]")
@click.option("--learning-rate", type=float, help="At its highest.  [default: 0.002]")
@click.option(
    "--precision",
    metavar="NAME",
    help="float32, bfloat16_products (1.7 times as fast on CPUs with AMX), mixed_float16 or mixed_bfloat16 (for GPUs). "
    " [default: float32]",
)
@click.option("--seed", type=int, help="The same seed gives the same weights.  [default: 1]")
@click.option(
    "--clips-in-a-row",
    type=int,
    help="Clips that are heard one after another without forgetting: above 1 for streams in carry mode.  [default: 1]",
)
@click.option(
    "--begin-from",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Begin with the best weights of a trained run, and with its settings.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="MODEL|RUN",
    help="Learn the scores of a trained one too, a larger one for instance, of the same labels and features. May be "
    "given several times; their mean is learned.",
)
@click.option("--no-augmentation", is_flag=True, help="Leave the training clips as they are.")
@settings_option
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PART.NAME=VALUE",
    help="Any other setting, such as features.n_mels=48 or augmentation.room_probability=0.3.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Folder of the run.  [default: runs/CELL-LABELS]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a run that was stopped; takes everything else from it.",
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    help="Train together, with the same result as alone: multi-worker, by all workers that TF_CONFIG names, each "
    "started with this command; mirrored, by all GPUs of this machine.",
)
@cache_option
@workers_option
def command(
    *,
    sources: tuple[str, ...],
    f_max: float | str | None,
    no_augmentation: bool,
    size: Size | None,
    settings_file: Path | None,
    assignments: tuple[str, ...],
    output: Path | None,
    resume: Path | None,
    begin_from: Path | None,
    teachers: tuple[str, ...],
    strategy: str | None,
    cache: Path,
    workers: int | None,
    **options: Any,
) -> None:
    """Train a recognizer of words.

    The best weights by validation are kept; Ctrl-C keeps them too and says how to go on. Curves:
    tensorboard --logdir runs

    \b
    speech-rnn train --data speech_commands --cell lstm
    speech-rnn train --data my_words --labels all --silence 0.1 -o runs/mine
    speech-rnn train --resume runs/mine

    With --data DIR, a folder that speech-rnn prepare has made, features are read as a stream, whatever their number.
    """
    given = sorted(name for name, value in options.items() if value is not None)
    if resume is not None:
        if (
            sources
            or given
            or f_max
            or assignments
            or settings_file
            or output
            or no_augmentation
            or begin_from
            or teachers
        ):
            raise click.UsageError(
                "--resume takes everything from the run; give only --cache, --workers or --strategy with it."
            )
        with quiet():
            from speech_rnn.cli.training_report import resume_run, team_of

        with team_of(strategy) as team:
            resume_run(resume, cache, workers, team)
        return
    if not sources:
        raise click.UsageError("--data is missing: a folder with a sub-folder a word, 'corpus' or 'tfds'.")
    if begin_from is not None:
        if settings_file is not None:
            raise click.UsageError("--begin-from takes the settings of that run; leave --settings out.")
        settings_file = begin_from / "run.json"
    assigned = {assignment.partition("=")[0] for assignment in assignments}
    auto_f_max = f_max == "auto" or (f_max is None and settings_file is None and "features.f_max" not in assigned)
    auto_epochs = options["epochs"] is None and settings_file is None and "training.epochs" not in assigned
    features_given = not auto_f_max or any(name.startswith("features.") for name in assigned)
    f_max = "auto" if auto_f_max else f_max
    recipe = None if size is None else preset(size, options["cell"] or RunSettings().model.cell)
    settings = _settings(settings_file, recipe, no_augmentation, assignments, {"f_max": f_max, **options})
    if output is None:
        labels = settings.task.labels
        output = Path("runs") / f"{settings.model.cell}-{labels if isinstance(labels, str) else len(labels)}"
    with quiet():
        from speech_rnn.cli.training_report import new_run, team_of

    with team_of(strategy) as team:
        new_run(
            output,
            sources,
            settings,
            cache,
            workers,
            team=team,
            auto_f_max=auto_f_max,
            features_given=features_given,
            clips_heard=None if not auto_epochs else recipe.clips_heard if recipe else USUAL_CLIPS_HEARD,
            begin_from=begin_from,
            teachers=teachers,
        )


def _settings(
    file: Path | None,
    recipe: Preset | None,
    no_augmentation: bool,
    assignments: tuple[str, ...],
    options: dict[str, Any],
) -> RunSettings:
    """The settings of a file, then of a preset, of options, of ``--set``; checked together, so their order is free."""
    if file is None:
        settings = RunSettings()
    else:
        try:
            settings = RunSettings.from_json(settings_in(file.read_bytes()))
        except OSError as error:
            raise SettingsError(f"{file} can't be read ({error.strerror}); give a file of settings") from None
    if no_augmentation:
        settings = settings.changed(augmentation=AugmentationSettings.off())
    values: dict[str, dict[str, Any]] = {name: {} for name in RunSettings.model_fields}
    for part, fields in recipe.settings.items() if recipe else ():
        values[part].update(fields)
    for option, value in options.items():
        if value is not None and value != "auto":
            part, field = _FIELDS[option]
            values[part][field] = value
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        part, dot, field = name.partition(".")
        if not equals or not dot:
            raise click.UsageError(f"--set {assignment!r} must be PART.NAME=VALUE, such as features.n_mels=48.")
        if part not in values:
            raise SettingsError(f"{part!r} is not a part of the settings; those are {', '.join(values)}")
        values[part][field] = assigned_value(text)
    rate = values["features"].get("sample_rate")
    if options["f_max"] == "auto" and isinstance(rate, int):
        # What a rate can't carry the recordings can't either.
        values["features"].setdefault("f_max", min(settings.features.f_max, 0.475 * rate))
    return settings.changed(**{part: getattr(settings, part).changed(**fields) for part, fields in values.items()})
