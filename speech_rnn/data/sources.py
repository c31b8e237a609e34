"""From the name of a source to the source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_rnn.data.clips import Clip, Source
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.segments import SegmentsSource
from speech_rnn.data.tfds_source import TfdsSource
from speech_rnn.errors import DataError

OTHER = "other:"
SEGMENTS = "segments:"
PREPARED = "prepared.json"  # in a folder of features that were made beforehand


class OtherWords:
    """A source none of whose words is to be recognized; they are named ``_folder:word``."""

    def __init__(self, source: Source) -> None:
        """Stand before a source."""
        self.source = source
        self.title, self.synthetic, self.noises = f"{OTHER}{source.title}", source.synthetic, source.noises
        name = Path(source.title).name
        self.clips: Sequence[Clip] = tuple(
            # Words that begin with _ are never labels; where the source doesn't tell the word, it stays so.
            clip if clip.word.startswith("_") else replace(clip, word=f"_{name}:{clip.word}")
            for clip in source.clips
        )

    @property
    def origin(self) -> str:
        """The source's own."""
        return self.source.origin

    def digest(self) -> str:
        """Another one than the source's own, since the words have other names."""
        return other_digest(self.source.digest())

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The source's own."""
        return self.source.waveforms(sample_rate)

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The source's own."""
        return self.source.noise_waveforms(sample_rate)


def other_digest(digest: str) -> str:
    """The digest of a source whose words are other words, by its own."""
    return hashlib.sha256(f"{OTHER}{digest}".encode()).hexdigest()


def open_source(name: str) -> Source:
    """A source of recordings by its name.

    Args:
        name: ``corpus`` (the embedded synthetic one), ``tfds`` or ``tfds:DIR`` (Speech Commands by TensorFlow
            Datasets, kept in DIR), ``segments:LIST.csv`` (long recordings and which parts of them are clips), or a
            folder in the official layout; ``other:`` before it makes all its words other words, never labels: those
            of another language, which may have the same names.

    Raises:
        DataError: there is no such folder, or it holds no words.
    """
    if name.startswith(OTHER):
        return OtherWords(open_source(name.removeprefix(OTHER)))
    if name == "corpus":
        return CorpusSource()
    if name == "tfds" or name.startswith("tfds:"):
        directory = name.removeprefix("tfds").removeprefix(":")
        return TfdsSource(Path(directory).expanduser() if directory else None)
    if name.startswith(SEGMENTS):
        return SegmentsSource(Path(name.removeprefix(SEGMENTS)).expanduser())
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DataError(f"{name!r} is not a source of recordings; give a folder, 'corpus' or 'tfds'")
    if (folder / PREPARED).is_file():
        raise DataError(f"{name!r} holds prepared features and no sound, which is needed here; give recordings")
    return FolderSource(folder)


def open_sources(names: Sequence[str]) -> list[Source]:
    """Several sources, each once."""
    if len({lasting_name(name) for name in names}) < len(names):
        raise DataError(f"a source is named twice among {', '.join(map(repr, names))}; name each once")
    return [open_source(name) for name in names]


def lasting_name(name: str) -> str:
    """A source's name that means the same in every working directory."""
    if name.startswith(OTHER):
        return f"{OTHER}{lasting_name(name.removeprefix(OTHER))}"
    if name in ("corpus", "tfds") or "://" in name:
        return name
    kind = next((kind for kind in ("tfds:", SEGMENTS) if name.startswith(kind)), "")
    return f"{kind}{Path(name.removeprefix(kind)).expanduser().resolve()}"
