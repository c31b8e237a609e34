"""Streams and their truth in files: sound, and beside it what is said when, as JSON and as an Audacity label track."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import soundfile
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from speech_rnn import atomic
from speech_rnn.data.clips import UNKNOWN
from speech_rnn.data.streams import Kind, Said, StreamBuilder
from speech_rnn.errors import DataError
from speech_rnn.transcript import audacity_line, read_label_track

LARGEST_TRUTH = 64_000_000  # bytes; an hour of talk takes 1 MB
SUFFIXES = (".json", ".txt")

_Text = Annotated[str, Field(max_length=1_000)]
_Seconds = Annotated[float, Field(ge=0.0, le=1e9)]


class _Word(BaseModel):
    """A word as the JSON has it; see :class:`~speech_rnn.data.streams.Said`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    label: _Text
    start: _Seconds
    end: _Seconds
    kind: Kind = "word"
    name: _Text = ""
    snr_db: float | None = None


_WORDS = TypeAdapter(tuple[_Word, ...])


def write_stream(builder: StreamBuilder, number: int, folder: Path) -> Path:
    """Write a stream as FLAC of 16 bits, and its truth beside it, in constant memory; whole or not at all.

    Args:
        builder: makes it.
        number: of the stream.
        folder: gets ``stream-0000.flac``, ``.json`` and ``.txt``.

    Returns:
        The path of the sound.

    Raises:
        DataError: the folder can't be written.
    """
    path = folder / f"stream-{number:04d}.flac"
    try:
        # The truth last: where it is there, the sound is.
        with (
            atomic.new_file(path) as beside,
            soundfile.SoundFile(beside, "w", builder.sample_rate, 1, subtype="PCM_16", format="FLAC") as file,
        ):
            for scene in builder.scenes(number):
                file.write(scene.samples)
        said = builder.truth(number)
        atomic.write_text(path.with_suffix(".txt"), "".join(audacity_line(w.start, w.end, w.label) for w in said))
        words = [{name: getattr(word, name) for name in _Word.model_fields} for word in said]
        atomic.write_text(path.with_suffix(".json"), json.dumps(words, ensure_ascii=False, indent=1) + "\n")
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{str(path)!r} can't be written ({reason}); choose another folder") from None
    return path


def truth_beside(sound: Path) -> Path:
    """The truth that lies beside a sound file under its name: ``.json``, else ``.txt``.

    Raises:
        DataError: neither is there.
    """
    for suffix in SUFFIXES:
        if (found := sound.with_suffix(suffix)).is_file():
            return found
    raise DataError(
        f"what is said in {str(sound)!r} is not known: there is no {sound.with_suffix('.txt').name!r} beside it; give "
        "--truth LABELS.txt, a label track as Audacity exports it"
    )


def read_truth(path: Path, labels: Sequence[str]) -> tuple[Said, ...]:
    """What is said in a recording.

    Args:
        path: JSON as :func:`write_stream` writes it, or, by the suffix ``.txt``, a label track of Audacity.
        labels: those that a model reports; words of other labels are kept as other words.

    Returns:
        By start.

    Raises:
        DataError: the file can't be read or isn't what it should be.
    """
    if path.suffix.lower() != ".json":
        words = [Said(label, start, end) for start, end, label in read_label_track(path)]
    else:
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_TRUTH + 1)
        except OSError as error:
            raise DataError(f"{str(path)!r} can't be read ({error.strerror}); check path and permissions") from None
        if len(text) > LARGEST_TRUTH:
            raise DataError(f"{str(path)!r} is over {LARGEST_TRUTH:,} bytes, no truth is; give the right file")
        try:
            words = [Said(**word.model_dump()) for word in _WORDS.validate_json(text)]
        except ValidationError as error:
            finding = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in finding["loc"])
            raise DataError(
                f"{str(path)!r} is no truth as --keep writes it: {place}: {finding['msg']}; mend it, or give a label "
                "track"
            ) from None
        for number, word in enumerate(words):
            if word.end < word.start:
                raise DataError(f"{str(path)!r}: word {number} ends at {word.end} s, before it starts; mend it")
    known = set(labels)
    return tuple(
        sorted(
            (
                word
                if word.label in known and word.kind == "word"
                else Said(UNKNOWN, word.start, word.end, _other(word.kind), word.name, word.snr_db)
                for word in words
            ),
            key=lambda word: (word.start, word.end),
        )
    )


def _other(kind: Kind) -> Kind:
    return "other word" if kind == "word" else kind
