"""What a listener keeps: the sound around each word that it heard, with its scores, to be looked through later.

A word is two files of one name in one folder: the sound (FLAC, 16 bits) and a JSON object, written last, so that what
has its JSON is whole.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from speech_rnn import atomic
from speech_rnn.errors import DataError

if TYPE_CHECKING:
    from speech_rnn.listening import Heard

MOST_KEPT = 2_000  # in a folder: at 100 kB each, 200 MB; someone who forgets the listener keeps a disk
BEFORE_S = 0.5
AFTER_S = 0.3
LARGEST_NOTE = 200_000  # bytes; 1,000 labels of 64 characters take 100,000

_Score = Annotated[float, Field(ge=0.0, le=1.0)]
_Seconds = Annotated[float, Field(ge=0.0)]
_Label = Annotated[str, Field(min_length=1, max_length=64)]


class Note(BaseModel):
    """What is known of a kept sound.

    Attributes:
        version: of this form.
        sound: the name of the sound's file, in the same folder.
        label: the word that was heard.
        score: its smoothed score.
        time: seconds from the listener's start to the end of what was heard.
        start_s: where in the sound's file the clip that decided begins.
        end_s: where it ends.
        clock: time of day, ISO 8601.
        model: name of the model that heard it.
        scores: all smoothed scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    sound: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,120}\.flac$")]
    label: _Label
    score: _Score
    time: _Seconds
    start_s: _Seconds
    end_s: _Seconds
    clock: Annotated[str, Field(max_length=40)]
    model: Annotated[str, Field(max_length=64)]
    scores: dict[_Label, _Score]


class Keeper:
    """Keeps the sound of the last seconds, and writes it when a word was heard in it.

    Attributes:
        kept: sounds written.
        trouble: why sounds aren't kept, on one line; empty where they are.
    """

    def __init__(self, folder: Path, *, model: str, clip_s: float, most: int = MOST_KEPT) -> None:
        """Make the folder.

        Args:
            folder: where the files go; what is there stays.
            model: name of the model.
            clip_s: seconds that the model hears at once.
            most: sounds that the folder may hold.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.kept = 0
        self.trouble = ""
        self._folder, self._model = folder, model
        self._there, self._most = sum(1 for _ in folder.glob("*.flac")), most
        self._longest_s = clip_s + BEFORE_S + AFTER_S + 1.0
        self._ring: deque[tuple[NDArray[np.float32], float]] = deque()  # sound, and when it ends
        self._rate = 0.0
        self._waiting: list[Heard] = []

    def feed(self, samples: NDArray[np.float32], rate: float, end_s: float) -> None:
        """Take sound; write what was waiting for it."""
        if rate != self._rate:
            self.gap()
            self._rate = rate
        self._ring.append((samples, end_s))
        while len(self._ring) > 1 and end_s - self._ring[0][1] > self._longest_s:
            self._ring.popleft()
        while self._waiting and end_s >= self._waiting[0].time + AFTER_S:
            self._write(self._waiting.pop(0))

    def heard(self, heard: Heard) -> None:
        """Write the sound around a word, as soon as what follows it has come."""
        self._waiting.append(heard)

    def gap(self) -> None:
        """Write what is waiting; what comes next doesn't continue it."""
        while self._waiting:
            self._write(self._waiting.pop(0))
        self._ring.clear()

    def close(self) -> None:
        """Write what is waiting."""
        self.gap()

    def _write(self, heard: Heard) -> None:
        if not self._ring:
            return
        if self._there + self.kept >= self._most:
            self.trouble = (
                f"{str(self._folder)!r} holds {self._most:,} sounds, so no more are kept; review or move them"
            )
            return
        try:
            self._write_files(heard)
        except (OSError, soundfile.SoundFileError) as error:
            # A full disk is no reason to stop listening.
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            self.trouble = f"sound can't be kept in {str(self._folder)!r} ({reason}); make room"
        else:
            self.kept += 1
            self.trouble = ""

    def _write_files(self, heard: Heard) -> None:
        samples = np.concatenate([block for block, _ in self._ring])
        begin_s = self._ring[-1][1] - len(samples) / self._rate
        first = max(0, round((heard.start - BEFORE_S - begin_s) * self._rate))
        sound = samples[first : max(1, round((heard.time + AFTER_S - begin_s) * self._rate))]
        first_s = begin_s + first / self._rate
        name = self._free_name(heard.clock, heard.label)
        with atomic.new_file(self._folder / f"{name}.flac") as beside:
            soundfile.write(beside, np.clip(sound, -1.0, 1.0), round(self._rate), subtype="PCM_16", format="FLAC")
        note = Note(
            sound=f"{name}.flac",
            label=heard.label,
            score=heard.score,
            time=round(heard.time, 3),
            start_s=round(max(0.0, heard.start - first_s), 3),
            end_s=round(max(0.0, heard.time - first_s), 3),
            clock=heard.clock.isoformat(timespec="milliseconds"),
            model=self._model,
            scores={label: round(score, 6) for label, score in heard.scores.items()},
        )
        atomic.write_text(self._folder / f"{name}.json", note.model_dump_json(indent=2))

    def _free_name(self, clock: datetime, label: str) -> str:
        """A name of time and word; of a label only what can do no harm in a file's name."""
        word = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:24]
        stem = f"{clock:%Y%m%dT%H%M%S}{clock.microsecond // 1_000:03d}" + (f"-{word}" if word else "")
        names = (stem if not n else f"{stem}-{n}" for n in range(1_000_000))
        return next(name for name in names if not (self._folder / f"{name}.flac").exists())


def read_kept(folder: Path) -> Iterator[tuple[Path, Note]]:
    """The kept sounds of a folder, oldest first: path of the sound, and its note.

    Raises:
        DataError: no such folder, or a note that isn't one.
    """
    if not folder.is_dir():
        raise DataError(f"{str(folder)!r} is not a folder; give the one that 'speech-rnn listen --save' filled")
    for path in sorted(folder.glob("*.json")):
        note = read_note(path)
        sound = folder / note.sound
        if not sound.is_file():
            raise DataError(f"{str(sound)!r} is missing, and {path.name!r} speaks of it; remove the latter")
        yield sound, note


def read_note(path: Path) -> Note:
    """The note of a kept sound.

    Raises:
        DataError: it can't be read, or isn't one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_NOTE + 1)
        if len(content) > LARGEST_NOTE:
            raise ValueError(f"it is larger than {LARGEST_NOTE} bytes")
        json.loads(content)
        return Note.model_validate_json(content)
    except ValidationError as error:
        finding = error.errors(include_url=False)[0]
        reason = f"{'.'.join(str(part) for part in finding['loc'])[:40]}: {finding['msg']}"
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise DataError(f"{str(path)!r} is not the note of a kept sound ({' '.join(reason.split())[:200]}); remove it")
