"""A folder of recordings, a sub-folder a word: Speech Commands, a part of it, or one's own words."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_audio
from speech_rnn.config import is_label
from speech_rnn.data.clips import BACKGROUND_NOISE, Clip, Part
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
        if both := lists.get("validation", frozenset()) & lists.get("testing", frozenset()):
            raise DataError(f"{min(both)!r} of {self.title!r} is in both lists; take it out of one")
        clips = []
        for word, found in files.items():
            _check_word(word, self.title)
            clips += [self._clip(word, file_name, lists) for file_name in found]
        self.clips: Sequence[Clip] = tuple(clips)
        noise_folder = self._folder / BACKGROUND_NOISE
        noises = _sound_files(noise_folder) if noise_folder.is_dir() else []
        self.noises: Sequence[str] = tuple(f"{BACKGROUND_NOISE}/{name}" for name in noises)

    @property
    def origin(self) -> str:
        """The heading of the folder's README.md, or that there is none."""
        try:
            with (self._folder / "README.md").open(encoding="utf-8", errors="replace") as readme:
                first = next((line.strip("# \t\n") for line in readme if line.strip("# \t\n")), "")
        except OSError:
            first = ""
        name = self._folder.resolve().name
        heading = "".join(character for character in first if character.isprintable())[:200]
        return f"{heading} (folder {name!r})" if heading else f"recordings in folder {name!r}, which has no README.md"

    def digest(self) -> str:
        """SHA-256 of names, parts and contents; a copy of the folder has the same."""
        files = [(clip.name, clip.part) for clip in self.clips] + [(name, "") for name in self.noises]
        digest = hashlib.sha256()
        for name, part in files:
            try:
                with (self._folder / name).open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise DataError(f"{str(self._folder / name)!r} can't be read ({error.strerror})") from None
            digest.update(f"{name}\t{part}\t{content}\n".encode())
        return digest.hexdigest()

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

    def _clip(self, word: str, file_name: str, lists: dict[Part, frozenset[str]]) -> Clip:
        name = f"{word}/{file_name}"
        speaker = speaker_of(file_name)
        if speaker and not is_global_speaker(speaker):
            speaker = f"{self._folder.resolve().name}/{speaker}"
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
    found: list[str] = []
    forms: dict[str, str] = {}
    for entry in sorted(_entries(folder, f"{str(folder)!r}"), key=lambda entry: entry.name):
        stem, suffix = Path(entry.name).stem, Path(entry.name).suffix
        if suffix.lower() not in AUDIO_SUFFIXES or entry.name.startswith(".") or entry.is_dir():
            continue
        if not entry.name.isprintable():
            raise DataError(f"{entry.path!r} has a name that can't be printed; rename it")
        if stem in forms:
            raise DataError(f"{entry.path!r} and {forms[stem]!r} are one recording in two forms; remove one of them")
        forms[stem] = entry.name
        try:
            entry.stat()
        except OSError as error:
            raise DataError(f"{entry.path!r} can't be opened ({error.strerror}); mend or remove it") from None
        found.append(entry.name)
    return found


def _check_word(word: str, title: str) -> None:
    if not is_label(word):
        raise DataError(
            f"folder {word!r} of {title!r} can't be a label; give it a name of 1 to 64 printable characters, "
            "without blanks at its ends"
        )
