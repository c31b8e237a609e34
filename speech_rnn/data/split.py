"""Who is in which part: the rule of Speech Commands, and its lists.

The rule is the one of the data set's README and of ``which_set`` in TensorFlow's
``examples/speech_commands/input_data.py``: a hash of the file name up to ``_nohash_``, so that a speaker stays in
one part and a part stays the same when recordings are added.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from speech_rnn.data.clips import Part
from speech_rnn.errors import DataError

MAX_NUM_WAVS_PER_CLASS = 2**27 - 1  # the official constant, about 134 million
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})

_GLOBAL_SPEAKER = re.compile(r"[0-9a-f]{8}")


def official_part(file_name: str, validation_percentage: float = 10.0, testing_percentage: float = 10.0) -> Part:
    """The part of a recording by the SHA-1 of its name.

    Args:
        file_name: with or without folders; what stands behind ``_nohash_`` doesn't matter, a name without
            ``_nohash_`` counts whole, suffix included.
        validation_percentage: of all speakers, 0 to 100.
        testing_percentage: likewise; the two together at most 100.

    Examples:
        >>> official_part("left/1a3b5c7d_nohash_0.wav") == official_part("go/1a3b5c7d_nohash_3.opus")
        True
    """
    speaker = re.sub(r"_nohash_.*$", "", file_name.rpartition("/")[2])
    digest = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)
    percentage = digest % (MAX_NUM_WAVS_PER_CLASS + 1) * (100.0 / MAX_NUM_WAVS_PER_CLASS)
    if percentage < validation_percentage:
        return "validation"
    if percentage < validation_percentage + testing_percentage:
        return "testing"
    return "training"


def speaker_of(file_name: str) -> str:
    """What stands before ``_nohash_`` in a file's name; empty if the name has none, and the speaker is unknown.

    Examples:
        >>> speaker_of("yes/0a7c2a8d_nohash_0.wav"), speaker_of("yes/take 3.wav")
        ('0a7c2a8d', '')
    """
    speaker, separator, _ = file_name.rpartition("/")[2].partition("_nohash_")
    return speaker if separator else ""


def is_global_speaker(speaker: str) -> bool:
    """Whether the speaker is one by the data set's own scheme (eight hexadecimal digits), the same in every folder."""
    return _GLOBAL_SPEAKER.fullmatch(speaker) is not None


def without_suffix(name: str) -> str:
    """``word/file`` without the suffix of a sound file, so that a list for WAV fits a copy in Opus."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in AUDIO_SUFFIXES else name


def read_list(path: Path) -> frozenset[str]:
    """The recordings that a ``validation_list.txt`` or ``testing_list.txt`` names, as ``word/file`` without suffix.

    Raises:
        DataError: the file can't be read, or a line is not ``word/file``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{str(path)!r} can't be read as a list of recordings ({error.strerror}); mend or remove it"
        ) from None
    return parse_list(content, str(path))


def parse_list(content: bytes, path: str) -> frozenset[str]:
    """As :func:`read_list`, of the bytes of a file that ``path`` names in messages."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path!r} can't be read as a list of recordings (not UTF-8); mend or remove it") from None
    names = set()
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip().replace("\\", "/").removeprefix("./")
        if not name:
            continue
        word, _, file_name = name.partition("/")
        if not word or not file_name or "/" in file_name:
            raise DataError(f"{path!r}, line {number}: {line[:80]!r} must be word/file, as in 'yes/anna_nohash_0.wav'")
        names.add(without_suffix(name))
    return frozenset(names)
