"""A folder of recordings, a sub-folder a word: Speech Commands, a part of it, or one's own words."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_audio
from speech_rnn.config import is_label
from speech_rnn.data.clips import BACKGROUND_NOISE, Clip, Part, Source
from speech_rnn.data.split import (
    AUDIO_SUFFIXES,
    is_global_speaker,
    official_part,
    read_list,
    speaker_of,
    without_suffix,
)
from speech_rnn.errors import DataError
from speech_rnn.processes import map_in_order, n_cores

LISTS: dict[Part, str] = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
README = "README.md"
CLIPS_A_TASK = 64  # decoded by a process at a time: 4 MB of samples
FEW_CLIPS = 256  # decoded sooner in this process than another has started

_WANTED = "a sub-folder a word is wanted, with WAV, FLAC, Ogg Vorbis, Opus or MP3 in it, as in yes/anna_nohash_0.wav"


class FolderSource:
    """Recordings in the layout of Speech Commands.

    ``word/speaker_nohash_take.wav``, in any format that :mod:`speech_rnn.audio` reads, whole or partial; noise in
    ``_background_noise_``. Other folders that begin with ``_``, hidden files and other files are left alone. Where
    ``validation_list.txt`` or ``testing_list.txt`` is there, the lists decide who is in which part and all others
    are for training; otherwise :func:`~speech_rnn.data.split.official_part` does.

    A speaker of eight hexadecimal digits is the same person in every folder; another name is a person of this
    folder only; a file without ``_nohash_`` tells none.
    """

    synthetic = False

    def __init__(self, path: str | Path) -> None:
        """Look through the folder; nothing is decoded yet.

        Raises:
            DataError: no folder, no recordings of words in it, a name that can't be a label, two files of one name,
                or a list that can't be read.
        """
        self._folder = Path(path)
        self.title = str(path)
        words = sorted(entry.name for entry in _entries(self._folder, f"{self.title!r}") if entry.is_dir())
        files = {word: _sound_files(self._folder / word) for word in words if not word.startswith(("_", "."))}
        files = {word: found for word, found in files.items() if found}
        if not files:
            raise DataError(f"{self.title!r} has no recordings of words; {_WANTED}")
        lists = {part: read_list(self._folder / name) for part, name in LISTS.items() if (self._folder / name).exists()}
        self.clips: Sequence[Clip] = listed(files, lists, self.title, self._folder.resolve().name)
        noise_folder = self._folder / BACKGROUND_NOISE
        noises = _sound_files(noise_folder) if noise_folder.is_dir() else []
        self.noises: Sequence[str] = tuple(f"{BACKGROUND_NOISE}/{name}" for name in noises)

    @property
    def origin(self) -> str:
        """The heading of the folder's README.md, or that there is none."""
        name = self._folder.resolve().name
        try:
            with (self._folder / README).open(encoding="utf-8", errors="replace") as readme:
                return origin_of(readme, name)
        except OSError:
            return origin_of((), name)

    def digest(self) -> str:
        """SHA-256 of names, parts and contents; a copy of the folder has the same."""
        names = [clip.name for clip in self.clips] + list(self.noises)
        return digest_of(self, (file_digest(self._folder / name) for name in names))

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Decoded clips in the order of ``clips``: float32 [samples] at ``sample_rate``, natural length.

        Raises:
            AudioError: a file is not the sound it should be; its name is in the error.
        """
        paths = [str(self._folder / clip.name) for clip in self.clips]
        tasks = [(paths[start : start + CLIPS_A_TASK], sample_rate) for start in range(0, len(paths), CLIPS_A_TASK)]
        workers = min(n_cores(), len(tasks)) if len(paths) > FEW_CLIPS else 1
        for decoded in map_in_order(_decode, tasks, workers):
            yield from decoded

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Decoded background noise in the order of ``noises``: float32 [samples] at ``sample_rate``."""
        for name in self.noises:
            yield read_audio(self._folder / name, sample_rate)

    def path_of(self, name: str) -> Path:
        """The file of a clip or of background noise."""
        return self._folder / name


def listed(
    files: Mapping[str, Sequence[str]], lists: Mapping[Part, frozenset[str]], title: str, folder: str
) -> tuple[Clip, ...]:
    """The clips of a folder.

    Args:
        files: word -> names of its sound files.
        lists: who is in which part, where lists say so.
        title: what messages call the folder.
        folder: its last name; speakers without a global name are people of it.

    Raises:
        DataError: a word that can't be a label, or a recording in both lists.
    """
    if both := lists.get("validation", frozenset()) & lists.get("testing", frozenset()):
        raise DataError(f"{min(both)!r} of {title!r} is in both lists; take it out of one")
    clips = []
    for word, found in files.items():
        _check_word(word, title)
        clips += [_clip(word, file_name, lists, folder) for file_name in found]
    return tuple(clips)


def origin_of(readme: Iterable[str], folder: str) -> str:
    """Where recordings are from, by the first line of their README.md that says anything."""
    first = next((line.strip("# \t\r\n") for line in readme if line.strip("# \t\r\n")), "")
    heading = "".join(character for character in first if character.isprintable())[:200]
    return f"{heading} (folder {folder!r})" if heading else f"recordings in folder {folder!r}, which has no README.md"


def digest_of(source: Source, contents: Iterable[str]) -> str:
    """The digest of a source of files: SHA-256 of names, parts and contents.

    Args:
        source: with its clips and noises.
        contents: SHA-256 in hexadecimal of the file of each clip, then of each noise.
    """
    files = [(clip.name, str(clip.part)) for clip in source.clips] + [(name, "") for name in source.noises]
    digest = hashlib.sha256()
    for (name, part), content in zip(files, contents, strict=True):
        digest.update(f"{name}\t{part}\t{content}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; :class:`DataError` where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{str(path)!r} can't be read ({error.strerror})") from None


def _clip(word: str, file_name: str, lists: Mapping[Part, frozenset[str]], folder: str) -> Clip:
    name = f"{word}/{file_name}"
    speaker = speaker_of(file_name)
    if speaker and not is_global_speaker(speaker):
        speaker = f"{folder}/{speaker}"
    if not lists:
        return Clip(name, word, speaker, official_part(file_name))
    part: Part = next((part for part, names in lists.items() if without_suffix(name) in names), "training")
    return Clip(name, word, speaker, part)


def _decode(task: tuple[list[str], int]) -> list[NDArray[np.float32]]:
    paths, sample_rate = task
    return [read_audio(path, sample_rate) for path in paths]


def _entries(folder: Path, name: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        raise DataError(f"{name} does not exist; check the path, or use 'corpus' for the embedded recordings") from None
    except NotADirectoryError:
        raise DataError(f"{name} is a file, where a folder of recordings is wanted; {_WANTED}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name} can't be looked through ({reason}); check path and permissions") from None


def _sound_files(folder: Path) -> list[str]:
    """Names of the sound files of a folder, in order."""
    entries = {entry.name: entry for entry in _entries(folder, f"{str(folder)!r}")}
    found = sound_files((name for name, entry in entries.items() if not entry.is_dir()), str(folder))
    for name in found:
        try:
            entries[name].stat()
        except OSError as error:
            raise DataError(f"{entries[name].path!r} can't be opened ({error.strerror}); mend or remove it") from None
    return found


def sound_files(names: Iterable[str], folder: str) -> list[str]:
    """Those names among the files of a folder that are of sound files, in order.

    Raises:
        DataError: a name that can't be printed, or a recording in two forms.
    """
    found: list[str] = []
    forms: dict[str, str] = {}
    for name in sorted(names):
        stem, suffix = Path(name).stem, Path(name).suffix
        if suffix.lower() not in AUDIO_SUFFIXES or name.startswith("."):
            continue
        path = f"{folder}/{name}"
        if not name.isprintable():
            raise DataError(f"{path!r} has a name that can't be printed; rename it")
        if stem in forms:
            raise DataError(f"{path!r} and {forms[stem]!r} are one recording in two forms; remove one of them")
        forms[stem] = name
        found.append(name)
    return found


def _check_word(word: str, title: str) -> None:
    if not is_label(word):
        raise DataError(
            f"folder {word!r} of {title!r} can't be a label; give it a name of 1 to 64 printable characters, "
            "without blanks at its ends"
        )
