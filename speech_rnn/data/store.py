"""The decoded store: every clip once decoded, as int16 rows of one file, read by row from any process.

Rows are read with ``pread`` and not through a memory map, so that no process's memory grows with the data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic, audio
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Clip, Source
from speech_rnn.errors import DataError
from speech_rnn.processes import one_at_a_time
from speech_rnn.progress import progress

STORE_VERSION = 1


class Store:
    """Decoded clips and background noise of one or more sources, at one rate and clip length.

    Picklable: another process opens the files anew.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store that :func:`open_store` has built; :class:`DataError` where it is damaged."""
        self.folder = folder
        try:
            index = json.loads((folder / "index.json").read_text())
            self.sample_rate = int(index["sample_rate"])
            self.clip_length = int(index["clip_length"])
            self.clips = [Clip(*row) for row in index["clips"]]
            self.lengths: NDArray[np.int32] = np.asarray(index["lengths"], np.int32)
            self.source_of: NDArray[np.int32] = np.asarray(index["source_of"], np.int32)
            if not len(self.clips) == len(self.lengths) == len(self.source_of):
                raise ValueError("its index contradicts itself")
            noise_lengths = [int(n) for n in index["noise_lengths"]]
            sizes = (folder / "clips.i16").stat().st_size, (folder / "noise.i16").stat().st_size
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"the decoded store {folder} is damaged ({error}); remove that folder") from None
        if sizes != (2 * len(self.clips) * self.clip_length, 2 * sum(noise_lengths)):
            raise DataError(f"the decoded store {folder} has not the size its index says; remove that folder")
        flat = np.memmap(folder / "noise.i16", np.int16, mode="r") if sum(noise_lengths) else np.empty(0, np.int16)
        self.noise: list[NDArray[np.int16]] = np.split(flat, np.cumsum(noise_lengths)[:-1]) if noise_lengths else []
        self._descriptor: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what the store was built from."""
        return self.folder.name

    @property
    def cache(self) -> Path:
        """The folder in which this and what else is made of recordings is kept."""
        return self.folder.parent.parent

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Clips as int16 [n, clip_length], full scale 32,768, padded or cut to the clip about their middle."""
        if self._descriptor is None:
            self._descriptor = os.open(self.folder / "clips.i16", os.O_RDONLY)
        rows = np.empty((len(indices), self.clip_length), np.int16)
        for row, index in zip(rows, indices, strict=True):
            if os.preadv(self._descriptor, [row.data], 2 * self.clip_length * int(index)) != row.nbytes:
                raise DataError(f"the decoded store {self.folder} ends before clip {index}; remove that folder")
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]  # opening anew is the whole of unpickling

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)  # type: ignore[arg-type]  # not None here


def open_store(sources: Sequence[Source], settings: FeatureSettings, cache: Path) -> Store:
    """Open the decoded store of some sources, building it where it isn't there yet.

    A speaker who is in an evaluation part of one source is left out of the training part of the others.

    Args:
        sources: where the clips come from, in an order that matters for the rows.
        settings: ``sample_rate`` and ``clip_length`` decide; other settings share a store.
        cache: folder of all stores; a store is about 32 kB a clip of a second at 16 kHz.

    Raises:
        DataError: a source holds no clips, or the disk is full.
        AudioError: a recording can't be decoded.
    """
    rows = merged(sources)
    if not rows:
        raise DataError(f"no clips in {', '.join(source.title for source in sources)}; give a folder of word folders")
    identity = hashlib.sha256(
        json.dumps(
            [
                STORE_VERSION,
                settings.sample_rate,
                settings.clip_length,
                [source.digest() for source in sources],
                [astuple(row) for row in rows],
            ]
        ).encode()
    ).hexdigest()[:32]
    folder = cache / "decoded" / identity
    try:
        with one_at_a_time(cache / "decoded" / f"{identity}.lock"):
            if not folder.is_dir():
                atomic.remove_leftovers(folder)
                with atomic.new_folder(folder) as beside:
                    _build(beside, sources, rows, settings)
    except OSError as error:
        raise DataError(f"{folder} can't be written ({error.strerror}); set --cache to another folder") from None
    return Store(folder)


@dataclass(frozen=True)
class Row:
    """A clip, the number of its source, and whether it may be used beside the other sources."""

    clip: Clip
    source: int
    kept: bool


def merged(sources: Sequence[Source]) -> list[Row]:
    """The clips of all sources in order; not kept are training clips of speakers evaluated in another source."""
    merged = [(clip, number) for number, source in enumerate(sources) for clip in source.clips]
    evaluated_in: dict[str, set[int]] = {}
    for clip, number in merged:
        if clip.speaker and clip.part != "training":
            evaluated_in.setdefault(clip.speaker, set()).add(number)
    return [
        Row(clip, number, clip.part != "training" or not evaluated_in.get(clip.speaker, set()) - {number})
        for clip, number in merged
    ]


def _build(folder: Path, sources: Sequence[Source], rows: Sequence[Row], settings: FeatureSettings) -> None:
    lengths: list[int] = []
    with (folder / "clips.i16").open("wb") as file, progress("decoding", len(rows)) as report:
        waveforms = chain.from_iterable(source.waveforms(settings.sample_rate) for source in sources)
        for row, waveform in zip(rows, waveforms, strict=True):
            if row.kept:
                file.write(to_int16(audio.fit(waveform, settings.clip_length)).tobytes())
                lengths.append(len(waveform))
            report.advance()
    noise_lengths: list[int] = []
    with (folder / "noise.i16").open("wb") as file:
        for source in sources:
            for noise in source.noise_waveforms(settings.sample_rate):
                file.write(to_int16(noise).tobytes())
                noise_lengths.append(len(noise))
    kept = [row for row in rows if row.kept]
    index = {
        "sample_rate": settings.sample_rate,
        "clip_length": settings.clip_length,
        "clips": [astuple(row.clip) for row in kept],
        "source_of": [row.source for row in kept],
        "lengths": lengths,
        "noise_lengths": noise_lengths,
    }
    (folder / "index.json").write_text(json.dumps(index))


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples of full scale ±1 as 16 bits, rounded and clipped."""
    return np.clip(np.rint(samples * audio.FULL_SCALE_INT16), -32_768, 32_767).astype(np.int16)
