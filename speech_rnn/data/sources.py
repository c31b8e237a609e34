"""From the name of a source to the source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speech_rnn.data.clips import Source
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.tfds_source import TfdsSource
from speech_rnn.errors import DataError


def open_source(name: str) -> Source:
    """A source of recordings by its name.

    Args:
        name: ``corpus`` (the embedded synthetic one), ``tfds`` or ``tfds:DIR`` (Speech Commands by TensorFlow
            Datasets, kept in DIR), or a folder in the official layout.

    Raises:
        DataError: there is no such folder, or it holds no words.
    """
    if name == "corpus":
        return CorpusSource()
    if name == "tfds" or name.startswith("tfds:"):
        directory = name.removeprefix("tfds").removeprefix(":")
        return TfdsSource(Path(directory).expanduser() if directory else None)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DataError(f"{name!r} is not a source of recordings; give a folder, 'corpus' or 'tfds'")
    return FolderSource(folder)


def open_sources(names: Sequence[str]) -> list[Source]:
    """Several sources, each once."""
    if len({lasting_name(name) for name in names}) < len(names):
        raise DataError(f"a source is named twice among {', '.join(map(repr, names))}; name each once")
    return [open_source(name) for name in names]


def lasting_name(name: str) -> str:
    """A source's name that means the same in every working directory."""
    if name in ("corpus", "tfds"):
        return name
    kind = "tfds:" if name.startswith("tfds:") else ""
    return f"{kind}{Path(name.removeprefix(kind)).expanduser().resolve()}"
