"""How words are detected in a stream: the options that several commands share, and what they make of a model's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from speech_rnn.config import DetectorConfig

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_MODE: Decorator = click.option(
    "--mode",
    type=click.Choice(["window", "carry"]),
    default=None,
    help="Hear the last second anew several times a second, or carry the state on for ever: cheaper, for models "
    "that were trained so.  [default: the model's]",
)
_RULES: tuple[Decorator, ...] = (
    click.option(
        "--threshold",
        "thresholds",
        multiple=True,
        metavar="SCORE|LABEL=SCORE",
        help="From which smoothed score on a label is reported, 0 to 1; all labels, or one. May be given several "
        "times.  [default: the model's]",
    ),
    click.option(
        "--smoothing",
        "smoothing_s",
        type=float,
        metavar="SECONDS",
        help="Time over which scores are averaged.  [default: the model's]",
    ),
    click.option(
        "--refractory",
        "refractory_s",
        type=float,
        metavar="SECONDS",
        help="Time after a detection in which nothing is reported.  [default: the model's]",
    ),
)


def detector_rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that :func:`detector_config` takes, but for ``--mode``."""
    for option in reversed(_RULES):
        command = option(command)
    return command


def detector_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that :func:`detector_config` takes."""
    return _MODE(detector_rules(command))


def detector_config(
    config: DetectorConfig,
    labels: Sequence[str],
    *,
    mode: str | None = None,
    thresholds: Sequence[str] = (),
    smoothing_s: float | None = None,
    refractory_s: float | None = None,
) -> DetectorConfig:
    """A model's own way to detect, with what the command line changes of it.

    Args:
        config: the model's.
        labels: the model's.
        mode: as ``--mode`` has it.
        thresholds: as ``--threshold`` has them; one for all labels replaces the model's of single labels too.
        smoothing_s: as ``--smoothing`` has it.
        refractory_s: as ``--refractory`` has it.

    Raises:
        click.UsageError: a threshold that is no number, or of a label that the model doesn't report.
        SettingsError: a value out of its range.
    """
    given: dict[str, Any] = {"mode": mode, "smoothing_s": smoothing_s, "refractory_s": refractory_s}
    changes = {name: value for name, value in given.items() if value is not None}
    # From the right: a label may hold an equals sign, a score can't.
    split = [text.rpartition("=") for text in thresholds]
    for_all = [score for _, equals, score in split if not equals]
    if for_all:
        changes["threshold"] = _score(for_all[-1])
    of_labels = {} if for_all else dict(config.thresholds)
    for label, equals, score in split:
        if equals and (label not in labels or label.startswith("_")):
            known = ", ".join(one for one in labels if not one.startswith("_"))
            raise click.UsageError(f"--threshold: {label!r} is no word of this model; it has {known}.")
        if equals:
            of_labels[label] = _score(score)
    return config.changed(**changes, thresholds=of_labels)


def _score(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--threshold: {text!r} must be a number from 0 to 1, as in 0.8 or yes=0.8.") from None
