"""A folder of one's own words, in the layout of Speech Commands, that grows: by recording and by review.

Speech Commands decides by a hash of the speaker who is in which part. A folder of one speaker would lie in one part
as a whole: without validation, or without training. So here lists decide: of each speaker and word every fifth take
is kept from training, by turns for validation and for testing. What they measure is how well these voices are heard,
not others.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speech_rnn import atomic
from speech_rnn.config import is_label
from speech_rnn.data.clips import BACKGROUND_NOISE, Part
from speech_rnn.data.split import (
    AUDIO_SUFFIXES,
    is_global_speaker,
    official_part,
    read_list,
    speaker_of,
    without_suffix,
)
from speech_rnn.errors import DataError

SAMPLE_RATE = 16_000
CLIP_LENGTH = 16_000
OTHER = "other"  # speech that is none of the words; no label, so training takes it for unknown
_LISTS: dict[Part, str] = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
_README = """# Own recordings, made with speech-rnn

A folder a word, a file a take (WAV, 16 kHz, 16 bits), named as in Speech Commands: speaker, `_nohash_`, take.
`validation_list.txt` and `testing_list.txt` keep every fifth take of a word from training, by turns; these figures say
how well the voices in this folder are heard, not others. A folder that is not a label of the model, such as `other`,
is unknown speech to it; `_background_noise_` is no speech.
"""


class OwnWords:
    """The folder, and who speaks now.

    Attributes:
        folder: where it is.
        speaker: eight hexadecimal digits, as in Speech Commands.
    """

    def __init__(self, folder: Path, speaker: str | None = None) -> None:
        """Look at what is there; nothing is written before the first take.

        Args:
            folder: a folder of this layout, or none yet.
            speaker: a name, of which only a hash is kept, or an id; ``None``: the one who is there already, or
                someone new.

        Raises:
            DataError: the folder can't be used, or several speakers are there and none is named.
        """
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{str(folder)!r} is a file, where a folder of recordings is wanted; give another name")
        self.speaker = self._speaker(speaker)

    def words(self) -> list[str]:
        """The words that have recordings, in order."""
        folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [folder.name for folder in folders if is_label(folder.name) and folder.is_dir() and _sounds(folder)]

    def takes(self, word: str) -> int:
        """How many takes of a word this speaker has."""
        return len(self._numbers(word))

    def add(self, word: str, samples: NDArray[np.float32], *, stem: str | None = None) -> Path:
        """Write a recording of a word.

        Args:
            word: its label.
            samples: float32 [samples] at 16 kHz, full scale ±1.
            stem: of the file's name where the speaker is not known; else the name says speaker and take.

        Returns:
            The file.

        Raises:
            DataError: the word can't be a label.
        """
        check_word(word)
        lists = self._lists()
        if stem is None:
            number = max(self._numbers(word), default=-1) + 1
            name, part = f"{self.speaker}_nohash_{number}.wav", _part_of_take(number)
        else:
            name = f"{self._free_stem(self.folder / word, stem)}.wav"
            part = official_part(name)
        path = self.folder / word / name
        _write(path, samples)
        if part in lists:
            self._write_lists({**lists, part: lists[part] | {without_suffix(f"{word}/{name}")}})
        else:
            self._write_lists(lists)
        return path

    def add_noise(self, samples: NDArray[np.float32], stem: str) -> Path:
        """Write a stretch of background noise, float32 [samples] at 16 kHz."""
        self._write_lists(self._lists())
        folder = self.folder / BACKGROUND_NOISE
        path = folder / f"{self._free_stem(folder, stem)}.wav"
        _write(path, samples)
        return path

    def remove(self, path: Path) -> None:
        """Take a recording back that was added."""
        path.unlink(missing_ok=True)
        name = without_suffix(f"{path.parent.name}/{path.name}")
        self._write_lists({part: names - {name} for part, names in self._lists().items()})
        if not any(path.parent.iterdir()):
            path.parent.rmdir()

    def training_command(self, labels: Sequence[str] | None = None, sources: Sequence[str] = ("corpus",)) -> str:
        """What trains on this folder.

        Args:
            labels: the words to be told apart; ``None``: those of the folder.
            sources: further recordings; all their words that are no labels are unknown speech.
        """
        words = [word for word in self.words() if word != OTHER] if labels is None else labels
        data = " ".join(f"--data {shlex.quote(str(source))}" for source in (*sources, self.folder))
        return f"speech-rnn train {data} --labels {shlex.quote(','.join(words))} -o runs/{_run_name(self.folder)}"

    def _speaker(self, speaker: str | None) -> str:
        if speaker is not None and is_global_speaker(speaker):
            return speaker
        if speaker is not None:
            name = unicodedata.normalize("NFC", speaker).casefold().strip()
            if not name:
                raise DataError("speaker '' must be a name; it is kept as a hash only")
            # With the folder's name: of a speaker who is evaluated in one source, training takes nothing from another.
            return hashlib.sha256(f"{self.folder.resolve().name}/{name}".encode()).hexdigest()[:8]
        there = {
            speaker_of(file.name)
            for word in self.words()
            for file in _sounds(self.folder / word)
            if "_nohash_" in file.name
        }
        there = {one for one in there if is_global_speaker(one)}
        if len(there) > 1:
            raise DataError(
                f"{str(self.folder)!r} has {len(there)} speakers; say who speaks now: --speaker NAME, or an id such as "
                f"{min(there)}"
            )
        return there.pop() if there else secrets.token_hex(4)

    def _numbers(self, word: str) -> list[int]:
        form = re.compile(rf"{self.speaker}_nohash_(\d{{1,9}})")
        found = [form.fullmatch(file.stem) for file in _sounds(self.folder / word)]
        return [int(match[1]) for match in found if match]

    def _free_stem(self, folder: Path, stem: str) -> str:
        taken = {file.stem for file in _sounds(folder)}
        names = (stem if not n else f"{stem}-{n}" for n in range(1_000_000))
        return next(name for name in names if name not in taken)

    def _lists(self) -> dict[Part, frozenset[str]]:
        """What the lists say; without lists, what the hash says, which they then go on to say."""
        there = {part: self.folder / name for part, name in _LISTS.items()}
        if any(path.exists() for path in there.values()):
            return {part: read_list(path) if path.exists() else frozenset() for part, path in there.items()}
        files = [f"{word}/{file.name}" for word in self.words() for file in _sounds(self.folder / word)]
        return {
            part: frozenset(without_suffix(name) for name in files if official_part(name) == part) for part in _LISTS
        }

    def _write_lists(self, lists: dict[Part, frozenset[str]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for part, name in _LISTS.items():
            text = "".join(f"{entry}.wav\n" for entry in sorted(lists[part]))
            path = self.folder / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                atomic.write_text(path, text)
        if not (self.folder / "README.md").exists():
            atomic.write_text(self.folder / "README.md", _README)


def check_word(word: str) -> None:
    """Whether a word can be a folder, a label, and one of ``--labels``.

    Raises:
        DataError: it can't.
    """
    if not is_label(word) or "," in word:
        raise DataError(
            f"word {word[:80]!r} must be 1 to 64 printable characters, without '/' and ',', without blanks at its ends "
            "and without '_' or '.' in front; choose another spelling"
        )


def _part_of_take(number: int) -> Part:
    return "training" if number % 5 != 4 else "validation" if number % 10 == 4 else "testing"


def _sounds(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".")
    )


def _write(path: Path, samples: NDArray[np.float32]) -> None:
    with atomic.new_file(path) as beside:
        soundfile.write(beside, np.clip(samples, -1.0, 1.0), SAMPLE_RATE, subtype="PCM_16", format="WAV")


def _run_name(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-") or "own-words"
