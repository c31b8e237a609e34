"""``speech-rnn listen``."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from speech_rnn.actions import Acting, Runner, parse_action
from speech_rnn.cli.listen_view import make_view, show_devices
from speech_rnn.kept import Keeper
from speech_rnn.listening import Listener, changed_detector, run
from speech_rnn.microphone import FileInput, Microphone
from speech_rnn.runtime import DEFAULT_MODEL, load
from speech_rnn.sound_card import hushed
from speech_rnn.stream_model import StreamForm


@click.command(short_help="Listen at the microphone and say which words are heard.")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME|DIR",
    help="A model that comes with the package, or a folder that 'speech-rnn export' wrote.",
)
@click.option(
    "--form",
    type=click.Choice(["float32", "float16", "dynamic", "int8"]),
    default="float32",
    show_default=True,
    help="Which of the model's stream files listens.",
)
@click.option(
    "--device", metavar="NUMBER|NAME", help="Microphone, by number or a part of its name.  [default: system's]"
)
@click.option(
    "--rate", type=click.FloatRange(1_000, 768_000), metavar="HZ", help="Its rate.  [default: the device's own]"
)
@click.option("--list-devices", is_flag=True, help="List the microphones and end.")
@click.option(
    "--wav", type=click.Path(path_type=Path), metavar="FILE", help="Play a sound file in the place of the microphone."
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long.  [default: at Ctrl-C]")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON a word, with all scores.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the sound around each word, with its scores; 'speech-rnn review' sorts it.",
)
@click.option(
    "--run",
    "commands",
    multiple=True,
    metavar="LABEL=COMMAND",
    help="Start a program at a word, without a shell; * for any word. {label}, {score}, {time} in an argument, and "
    "SPEECH_RNN_LABEL, _SCORE, _TIME in its environment, say what was heard. May be given several times.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="SCORE|LABEL=SCORE",
    help="Score from which a word counts, for all or for one.  [default: the model's]",
)
@click.option("--smoothing", "smoothing_s", type=float, metavar="SECONDS", help="Time over which scores are averaged.")
@click.option(
    "--refractory",
    "refractory_s",
    type=float,
    metavar="SECONDS",
    help="Time after a word in which no other is reported.",
)
@click.option("--mode", type=click.Choice(["window", "carry"]), help="Score the last second, or carry the state on.")
def command(
    *,
    model: str,
    form: StreamForm,
    device: str | None,
    rate: float | None,
    list_devices: bool,
    wav: Path | None,
    seconds: float | None,
    as_json: bool,
    save: Path | None,
    commands: tuple[str, ...],
    thresholds: tuple[str, ...],
    **detector: Any,
) -> None:
    """Listen at the microphone and say which words are heard, until Ctrl-C.

    On a terminal there is a live view with level, scores and what was heard; elsewhere a line a word. A device that
    goes away is waited for.

    \b
    speech-rnn listen --model my-model
    speech-rnn listen --threshold 0.9 --run 'on=notify-send light {label}' --save kept
    speech-rnn listen --json --seconds 60 | jq -r .label
    speech-rnn listen --list-devices
    """
    if wav is not None and (device is not None or rate is not None):
        raise click.UsageError("--wav plays a file; give no --device and no --rate with it.")
    with ExitStack() as stack:
        # Before all else: PortAudio writes to standard error when it is loaded.
        errors = stack.enter_context(hushed())
        if list_devices:
            show_devices(as_json=as_json)
            return
        recognizer = load(model, form)
        config = changed_detector(recognizer.card.detector, thresholds, recognizer.labels, **detector)
        actions = [parse_action(text, recognizer.labels) for text in commands]
        view = make_view(recognizer.card.name, config, as_json=as_json)
        source = (
            FileInput(wav, recognizer.sample_rate)
            if wav is not None
            else stack.enter_context(Microphone(device, rate=rate))
        )
        keeper = None
        if save is not None:
            keeper = Keeper(save, model=recognizer.card.name, clip_s=recognizer.card.features.clip_s)
            stack.callback(keeper.close)
        # Standard output is the view's, and beside a live view there is no place for what programs print.
        runner = Runner(actions, os.environ, subprocess.DEVNULL if view.live else errors)
        listener = Listener(recognizer, source, config, keeper=keeper)
        try:
            with view:
                run(listener, Acting(view, runner), seconds=seconds)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(view.summary(listener, keeper)) from None
        finally:
            view.outcomes(runner.close())
        view.end(listener, keeper)
