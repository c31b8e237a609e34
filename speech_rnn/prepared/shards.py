"""A prepared data set, opened: what a run learns from in the place of recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from numpy.typing import NDArray

from speech_rnn.data.clips import Clip, Part
from speech_rnn.errors import DataError
from speech_rnn.prepared.record import NOISE, RECORD, PreparedRecord, shard_paths


class Shards:
    """The shards of a prepared data set; picklable, and no larger however many clips there are.

    Attributes:
        folder: of the data set.
        record: what it is.
    """

    def __init__(self, folder: str) -> None:
        """Open a data set.

        Args:
            folder: on any file system that TensorFlow Datasets writes to.

        Raises:
            DataError: there is none, or files of it are missing.
        """
        self.folder = self.title = _expanded(folder)
        self.record = PreparedRecord.read(self.folder)
        wanted = [path for part in self.record.shards for path in self.paths(part)]
        there = {path.name for path in epath.Path(wanted[0]).parent.iterdir()} if wanted else set()
        missing = [path for path in wanted if epath.Path(path).name not in there]
        if missing:
            raise DataError(f"{missing[0]} is missing, one of {len(missing)} files; remove the folder and prepare anew")

    @property
    def synthetic(self) -> bool:
        """Whether any of the recordings is spoken by a machine."""
        return any(source.synthetic for source in self.record.sources)

    @property
    def origin(self) -> str:
        """Where the recordings are from, and their license."""
        return "; ".join(source.origin for source in self.record.sources)

    def digest(self) -> str:
        """SHA-256 in hexadecimal, another one when a clip, what it is called, or the background noise is another."""
        return hashlib.sha256(f"{self.record.digest} {self.record.noise_digest}".encode()).hexdigest()

    def paths(self, part: Part) -> list[str]:
        """The files of a part, in order."""
        return shard_paths(self.folder, self.record, part)

    @property
    def noise(self) -> Sequence[NDArray[np.int16]]:
        """Background noise: int16 [samples] each, at the features' sample rate.

        Raises:
            DataError: the file has another size than the record says.
        """
        lengths = [noise.length for noise in self.record.noises]
        if not sum(lengths):
            return []
        path = epath.Path(self.folder) / NOISE
        local = Path(str(path))
        try:
            # Mapped where that can be: many processes hear it, and it may be hours.
            flat = np.memmap(local, np.int16, "r") if local.is_file() else np.frombuffer(path.read_bytes(), np.int16)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} can't be read ({error}); remove the folder and prepare anew") from None
        if len(flat) != sum(lengths):
            raise DataError(f"{path} has not the size that {RECORD} says; remove the folder and prepare anew")
        return np.split(flat, np.cumsum(lengths)[:-1])

    def words_as_clips(self) -> list[Clip]:
        """A clip for each word of each part, to stand for all of them: enough to find a task's labels."""
        return [
            Clip(name=f"{word}/{part}", word=word, speaker=f"{part} {word}", part=part)
            for part, words in self.record.words.items()
            for word, count in sorted(words.items())
            if count
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.folder = self.title = state["folder"]
        self.record = PreparedRecord.read(self.folder)


def _expanded(name: str) -> str:
    return name if "://" in name else str(Path(name).expanduser())


def is_prepared(name: str) -> bool:
    """Whether a source's name is that of a folder of prepared features."""
    try:
        return bool((epath.Path(_expanded(name)) / RECORD).exists())
    except (OSError, ValueError, ImportError):  # a file system that is not there, or of which the library is not there
        return False
