"""The command ``speech-rnn``: which commands there are, and how each ends.

Exit codes: 0 done; 1 failed, one line says why; 2 wrong usage; 130 interrupted, one line says how to go on.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from speech_rnn import __version__
from speech_rnn.errors import SpeechRnnError

# Kept here, not in the modules, so that --help needs none of them.
COMMANDS = {
    "demo": "Train both cells on synthetic words, export and compare them, in about two minutes.",
    "data": "Look at recordings before training: level, speakers, doubles, bandwidth.",
    "train": "Train a recognizer of words.",
    "adapt": "Teach a trained model other words, from a few clips a word.",
    "evaluate": "Measure how good a run or a model is, with intervals.",
    "compare": "LSTM or GRU: train cells from several seeds at equal cost, and say which is better, if any.",
    "advise": "LSTM or GRU for a device: which, how large and in which form, by measured results.",
    "inspect": "Draw what the gates of a model do while it hears a word.",
    "export": "Turn a run into files for apps: SavedModel and TFLite, checked.",
    "models": "List the models that come with this package.",
    "recognize": "Say which words are heard in sound files.",
    "listen": "Listen at the microphone and say which words are heard.",
    "record": "Record words of your own, to train with.",
    "review": "Sort what 'listen --save' kept into training recordings.",
    "prepare": "Make features beforehand, with Apache Beam, on this machine or on a cluster.",
    "web": "Write a model as one page that listens in a browser, without a server.",
}

# Package -> the smallest extra that brings it; the others come with "train".
EXTRAS = {"apache_beam": "train,scale", "jinja2": "web", "markupsafe": "web"}


class _LazyGroup(click.Group):
    """Imports a command when it is called: ``recognize`` starts without what ``train`` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"speech_rnn.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="speech-rnn")
def speech_rnn() -> None:
    """Teach a device a handful of words: Keras LSTM and GRU on MFCCs, the same in every form.

    \b
    speech-rnn demo                                  see it all in two minutes
    speech-rnn train --data FOLDER --cell gru        FOLDER: a sub-folder a word
    speech-rnn export runs/gru-12 -o my-model
    speech-rnn recognize hello.wav --model my-model
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    # Libraries log to standard error before anyone can tell them not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        # Not click's own main: it forgets what an interrupt says, and counts a closed pipe as a failure.
        with speech_rnn.make_context("speech-rnn", sys.argv[1:]) as context:
            speech_rnn.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "speech-rnn"
        _end(2, f"{command}: {error.format_message()} Try '{command} --help'.")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("speech_rnn"):
            raise
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package, "train")
        _end(1, f"speech-rnn: this needs the package {package}; pip install 'speech-rnn[{extra}]' brings it")
    except SpeechRnnError as error:
        _end(1, f"speech-rnn: {error}")
    except (KeyboardInterrupt, click.Abort) as error:
        _end(130, f"speech-rnn: {error}" if str(error) else "speech-rnn: interrupted")
    except BrokenPipeError:
        # Whoever read our output has closed it (head, less): not an error, and Python must not flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # The disk is full, or a folder can't be written: nothing that a traceback explains.
        place = "" if error.filename is None else f"{error.filename}: "
        _end(1, f"speech-rnn: {place}{error.strerror or error}; mend that and try again")
    sys.exit(0)


def _end(code: int, message: str) -> NoReturn:
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
