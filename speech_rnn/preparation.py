"""From names of sources to what training needs: decoded clips, and settings that the recordings can bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speech_rnn.config import RunSettings
from speech_rnn.data.clips import Source
from speech_rnn.data.inspection import Inspection, inspect
from speech_rnn.data.sources import lasting_name, open_sources
from speech_rnn.data.store import Store, open_store


@dataclass(frozen=True)
class Prepared:
    """Recordings, ready for training.

    Attributes:
        sources: opened.
        names: what opens them again from anywhere.
        store: their decoded clips.
        inspection: what they can bear, under the settings.
        settings: with an ``f_max`` chosen where it was left to the recordings.
    """

    sources: Sequence[Source]
    names: Sequence[str]
    store: Store
    inspection: Inspection
    settings: RunSettings


def prepare(names: Sequence[str], settings: RunSettings, cache: Path, *, auto_f_max: bool = False) -> Prepared:
    """Open and decode sources, and look at what they can bear.

    Args:
        names: of sources; see :func:`speech_rnn.data.sources.open_source`.
        settings: of the run.
        cache: folder of decoded clips.
        auto_f_max: whether the recordings choose ``f_max``: not above what they carry.

    Raises:
        DataError: a source can't be used.
        AudioError: a recording can't be decoded.
    """
    sources = open_sources(names)
    store = open_store(sources, settings.features, cache)
    inspection = inspect(store, settings.features)
    if auto_f_max and inspection.suggested_f_max != settings.features.f_max:
        settings = settings.changed(features=settings.features.changed(f_max=inspection.suggested_f_max))
        inspection = inspection.at(settings.features.f_max)
    return Prepared(sources, [lasting_name(name) for name in names], store, inspection, settings)
