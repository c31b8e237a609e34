"""Options that several commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def default_cache() -> Path:
    """Where decoded recordings are kept: ``$XDG_CACHE_HOME/speech_rnn``, usually ``~/.cache/speech_rnn``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speech_rnn"


class Labels(click.ParamType[str | tuple[str, ...]]):
    """Labels by a common name, or words with commas between."""

    name = "12|35|all|WORD,WORD…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | tuple[str, ...]:
        """As :class:`speech_rnn.config.TaskSettings` wants them, which checks them."""
        if isinstance(value, tuple):
            return value
        if value in ("12", "35", "all"):
            return str(value)
        return tuple(word.strip() for word in str(value).split(","))


class FMax(click.ParamType[float | str]):
    """The highest frequency heard, or that the recordings choose it."""

    name = "auto|HZ"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """``auto``, or a number that the settings check."""
        if value == "auto":
            return "auto"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} must be 'auto' or a frequency in Hz, such as 4000.", param, ctx)


def settings_in(content: bytes) -> bytes:
    """Settings as they are, or those in a run's ``run.json``."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if isinstance(values, dict) and isinstance(values.get("settings"), dict):
        return json.dumps(values["settings"]).encode()
    return content


def assigned_value(text: str) -> Any:
    """A value as JSON has it; what is not JSON is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_option: Decorator = click.option(
    "--data",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Recordings: a folder with a sub-folder a word, 'corpus' (embedded, synthetic), 'tfds' or 'tfds:DIR' "
    "(Google Speech Commands by TensorFlow Datasets), 'segments:LIST.csv' (clips within long recordings). May be given "
    "several times.",
)
f_max_option: Decorator = click.option(
    "--f-max",
    type=FMax(),
    metavar="auto|HZ",
    help="Highest frequency heard; auto: 7600 Hz, or less if the recordings carry less.  [default: auto]",
)
settings_option: Decorator = click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Settings to start from, a run's run.json for instance; options go before them.",
)
cache_option: Decorator = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_cache,
    show_default="~/.cache/speech_rnn",
    help="Folder for decoded recordings (32 kB a second of sound).",
)
workers_option: Decorator = click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=None,
    show_default="one a core",
    help="Processes that prepare sound beside the training; 0: none.",
)
