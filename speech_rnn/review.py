"""Sorting what a listener kept: each sound becomes a training recording of the word that it was, or is dropped.

False alarms are the best recordings to learn from: as another word, as other speech, as noise. What was decided
stands in a journal beside the sounds, so that one can stop and go on later; nothing of what was kept is deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from speech_rnn import atomic
from speech_rnn.audio import read_audio
from speech_rnn.errors import DataError
from speech_rnn.kept import Note, read_kept
from speech_rnn.own_words import CLIP_LENGTH, OTHER, SAMPLE_RATE, OwnWords
from speech_rnn.takes import centred

JOURNAL = "reviewed.jsonl"
LARGEST_JOURNAL = 10_000_000  # bytes; 2,000 decisions take 200,000


class _Decision(BaseModel):
    """A line of the journal: a sound, and what it was found to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sound: Annotated[str, Field(min_length=1, max_length=130)]
    decision: Literal["word", "other", "noise", "drop"]
    word: Annotated[str, Field(max_length=64)] = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A sound to be looked at."""

    sound: Path
    note: Note

    @property
    def label(self) -> str:
        """What the model took it for."""
        return self.note.label

    def samples(self) -> NDArray[np.float32]:
        """All that was kept of it, float32 [samples] at 16 kHz.

        Raises:
            AudioError: the file isn't the sound it should be.
        """
        return read_audio(self.sound, SAMPLE_RATE)


class Review:
    """A session of sorting.

    Attributes:
        total: sounds in the folder.
        labels: words that the model which listened knows.
        added: files written in this session.
    """

    def __init__(self, kept: Path, words: OwnWords, *, speaker_is_known: bool = False) -> None:
        """Look through the folder.

        Args:
            kept: what ``speech-rnn listen --save`` filled.
            words: where the recordings go.
            speaker_is_known: whether the speaker of ``words`` has said it all.

        Raises:
            DataError: no such folder, or a note or a journal that isn't one.
        """
        self.added: list[Path] = []
        self._journal_path = kept / JOURNAL
        self._words, self._speaker_is_known = words, speaker_is_known
        self._journal = _read_journal(self._journal_path) if kept.is_dir() else []
        seen = {decision.sound for decision in self._journal}
        items = [Item(sound, note) for sound, note in read_kept(kept)]
        self.total = len(items)
        self.labels = sorted({label for item in items for label in item.note.scores if not label.startswith("_")})
        self._pending = [item for item in items if item.sound.name not in seen]
        self._done: list[tuple[Item, Path | None]] = []

    @property
    def pending(self) -> int:
        """Sounds not yet decided on."""
        return len(self._pending)

    @property
    def current(self) -> Item | None:
        """The next one; ``None`` at the end."""
        return self._pending[0] if self._pending else None

    def is_word(self, word: str) -> Path:
        """The current sound is that word.

        Raises:
            DataError: the word can't be a label.
        """
        item = self._item()
        stem = None if self._speaker_is_known else _stem(item)
        return self._decided("word", self._words.add(word, self._clip(item), stem=stem), word)

    def is_other(self) -> Path:
        """It is speech, and none of the words."""
        item = self._item()
        return self._decided("other", self._words.add(OTHER, self._clip(item), stem=_stem(item)))

    def is_noise(self) -> Path:
        """It is no speech."""
        item = self._item()
        return self._decided("noise", self._words.add_noise(item.samples(), _stem(item)))

    def drop(self) -> None:
        """It is of no use; it stays where it is and isn't asked for again."""
        self._item()
        self._decided("drop", None)

    def undo(self) -> bool:
        """Take the last decision of this session back; whether there was one."""
        if not self._done:
            return False
        item, path = self._done.pop()
        if path is not None:
            self._words.remove(path)
            self.added.remove(path)
        self._journal.pop()
        self._write_journal()
        self._pending.insert(0, item)
        return True

    def training_command(self, source: str) -> str:
        """What trains with these recordings and those of another source, for the labels of the model that listened."""
        return self._words.training_command(self.labels, sources=(source,))

    def _item(self) -> Item:
        if self.current is None:
            raise DataError("all sounds have been looked at; listen on with --save")
        return self.current

    def _clip(self, item: Item) -> NDArray[np.float32]:
        middle_s = (item.note.start_s + item.note.end_s) / 2
        return centred(item.samples(), SAMPLE_RATE, CLIP_LENGTH, middle_s)

    def _decided(self, decision: Literal["word", "other", "noise", "drop"], path: Path | None, word: str = "") -> Path:
        item = self._pending.pop(0)
        self._done.append((item, path))
        self._journal.append(_Decision(sound=item.sound.name, decision=decision, word=word))
        self._write_journal()
        if path is not None:
            self.added.append(path)
        return path or item.sound

    def _write_journal(self) -> None:
        atomic.write_text(self._journal_path, "".join(f"{line.model_dump_json()}\n" for line in self._journal))


def _read_journal(path: Path) -> list[_Decision]:
    if not path.exists():
        return []
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_JOURNAL + 1)
        if len(content) > LARGEST_JOURNAL:
            raise ValueError("too large")
        return [_Decision.model_validate(json.loads(line)) for line in content.splitlines() if line.strip()]
    except (ValidationError, ValueError, RecursionError, OSError):
        raise DataError(f"{str(path)!r} is not the journal of a review; remove it to begin anew") from None


def _stem(item: Item) -> str:
    """A file's name that tells no speaker: it isn't known who spoke."""
    return f"kept-{item.sound.stem}"
