"""What ``speech-rnn recognize --stream`` does with its files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from speech_rnn import atomic
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, SpeechRnnError
from speech_rnn.progress import duration
from speech_rnn.quiet import quiet
from speech_rnn.runtime import Recognizer
from speech_rnn.transcript import Format, Transcript, check_names, track_name, transcribe

Write = Callable[[str], object]


def transcribe_files(
    recognizer: Recognizer, config: DetectorConfig, files: tuple[Path, ...], form: Format, output: Path | None
) -> None:
    """Write what is heard in each file: to standard output at once, into files when it is all there.

    Args:
        recognizer: the model.
        config: of the detector.
        files: sound files.
        form: of the transcript.
        output: a file, a folder that gets one for each sound file, or ``None``: standard output.

    Raises:
        AudioError: the only file can't be heard, or some of several.
        click.UsageError: several files would be one label track, which has no place for their names, or the output
            is one of the sound files.
    """
    if output is not None and any(output.resolve() == file.resolve() for file in files):
        raise click.UsageError(f"{str(output)!r} is the recording itself; give another --output.")
    into_folder = output is not None and output.is_dir()
    if form == "audacity" and len(files) > 1 and not into_folder:
        raise click.UsageError("a label track is of one recording; make a folder and give it: -o DIR.")

    def hear(file: Path, transcript: Transcript) -> None:
        for detection in transcribe(recognizer.stream(config), file, recognizer.sample_rate):
            transcript.add(file, detection)
        transcript.end(file)

    def hear_into_folder(file: Path) -> None:
        with _new_file((output or Path()) / track_name(file, form)) as write:
            hear(file, Transcript(write, form, names=False))

    if into_folder:
        check_names(files, form)
        _each(files, hear_into_folder)
    elif output is not None:
        with _new_file(output) as write:
            transcript = Transcript(write, form, names=len(files) > 1)
            _each(files, lambda file: hear(file, transcript))
    else:
        transcript = Transcript(_print, form, names=len(files) > 1)
        _each(files, lambda file: hear(file, transcript))


def transcribe_by_beam(
    names: Sequence[str],
    model: str,
    config: DetectorConfig,
    form: Format,
    folder: str,
    *,
    runner: str,
    workers: int | None,
    arguments: Sequence[str],
) -> None:
    """Write a transcript of each recording into a folder by a pipeline, and say how much was heard.

    Args:
        names: of recordings, or patterns.
        model: the model's name or folder.
        config: of the detector.
        form: of the transcripts.
        folder: for them.
        runner: Beam's name of it.
        workers: processes on this machine.
        arguments: options of Beam.

    Raises:
        AudioError: some recordings can't be heard to their end.
    """
    # Beam warns through the root logger when it is imported, and would set that up on standard error.
    logging.root.addHandler(logging.NullHandler())
    try:
        with quiet():
            from speech_rnn.beam.running import engine
            from speech_rnn.transcription import SUMMARY, transcribe_many
    except ImportError as error:
        raise SpeechRnnError(f"--runner needs Apache Beam ({error}); pip install 'speech-rnn[scale]'") from None
    engine_asked = engine(runner, arguments, workers)
    heard = transcribe_many(names, model, config, form=form, folder=folder, engine=engine_asked)
    for one in heard:
        if one.error:
            click.echo(f"speech-rnn: {one.error}", err=True)
    whole = [one for one in heard if not one.error]
    click.echo(
        f"{sum(one.detections for one in whole):,} words heard in {len(whole):,} recordings, "
        f"{duration(sum(one.seconds for one in whole))} of sound; {folder}/{SUMMARY} lists them"
    )
    if len(whole) < len(heard):
        raise AudioError(f"{len(heard) - len(whole)} of {len(heard)} files could not be heard to their end; see above")


def _each(files: tuple[Path, ...], hear: Callable[[Path], None]) -> None:
    """Hear all that can be heard; of several files, name the others as they come, and fail at the end."""
    unheard = 0
    for file in files:
        try:
            hear(file)
        except AudioError as error:
            if len(files) == 1:
                raise
            click.echo(f"speech-rnn: {error}", err=True)
            unheard += 1
    if unheard:
        raise AudioError(f"{unheard} of {len(files)} files could not be heard to their end; see above")


@contextmanager
def _new_file(path: Path) -> Iterator[Write]:
    """Write to a file that appears when it is complete."""
    with atomic.new_file(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        yield file.write


def _print(text: str) -> None:
    """Print at once: what is heard in an hour-long recording is not held back until its end."""
    print(text, end="", flush=True)
