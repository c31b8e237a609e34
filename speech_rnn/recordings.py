"""Recordings by their names, decoded or prepared as features, and what a run hears of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from speech_rnn.config import FeatureSettings, RunSettings
from speech_rnn.data.inputs import StoreInput, TrainingInput
from speech_rnn.data.sources import open_sources
from speech_rnn.data.store import Store, open_store
from speech_rnn.errors import DataError
from speech_rnn.prepared.shard_input import ShardInput
from speech_rnn.prepared.shards import Shards, is_prepared

Recordings = Store | Shards


class Origin(Protocol):
    """Where recordings are from. A source is such, and so are shards."""

    @property
    def origin(self) -> str:
        """Where, and under which license, on one line."""

    @property
    def synthetic(self) -> bool:
        """Whether machines speak."""

    def digest(self) -> str:
        """SHA-256 in hexadecimal, another one whenever the recordings are others."""


def open_shards(names: Sequence[str]) -> Shards | None:
    """The prepared features that a name is of; ``None`` where recordings are named.

    Raises:
        DataError: more is named beside, or the features are damaged.
    """
    prepared = [name for name in names if is_prepared(name)]
    if not prepared:
        return None
    if len(names) > 1:
        raise DataError(
            f"{prepared[0]!r} holds prepared features, which are learned from alone; leave the other --data out, or "
            "prepare all of them together"
        )
    return Shards(prepared[0])


def open_recordings(
    names: Sequence[str], settings: FeatureSettings, cache: Path
) -> tuple[Sequence[Origin], Recordings]:
    """Recordings and their origins, from the names of sources or that of prepared features.

    Args:
        names: see :func:`speech_rnn.data.sources.open_source`; or the folder of a prepared data set.
        settings: the front end.
        cache: folder of decoded clips.

    Raises:
        DataError: a source can't be used.
        AudioError: a recording can't be decoded.
    """
    shards = open_shards(names)
    if shards is not None:
        return [shards], shards
    sources = open_sources(names)
    return sources, open_store(sources, settings, cache)


def training_input(
    recordings: Recordings, settings: RunSettings, *, workers: int | None = None, batch_folder: Path | None = None
) -> TrainingInput:
    """What a run hears of recordings.

    Args:
        recordings: decoded, or prepared as features.
        settings: of the run.
        workers: processes that make batches; as many as there are cores where not given.
        batch_folder: where batches are kept for other runs that hear the same; shards need none.

    Raises:
        DataError: the task's words aren't there, or the settings don't fit the recordings.
    """
    if isinstance(recordings, Shards):
        return ShardInput(recordings, settings, workers=workers)
    return StoreInput(recordings, settings, workers=workers, batch_folder=batch_folder)
