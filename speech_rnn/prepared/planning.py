"""From names of sources to units of work, and to settings that the recordings can bear."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import fit
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Clip, Source
from speech_rnn.data.inspection import inspect
from speech_rnn.data.sources import lasting_name
from speech_rnn.data.store import merged, to_int16
from speech_rnn.draws import generator
from speech_rnn.errors import DataError, SpeechRnnError
from speech_rnn.prepared.pipeline import Plan
from speech_rnn.prepared.remote import open_anywhere
from speech_rnn.prepared.units import Unit, cut_into_units
from speech_rnn.progress import progress

SAMPLE = 2_000  # clips whose bandwidth is measured


@dataclass(frozen=True)
class Opened:
    """Sources, and which of their clips are used.

    Attributes:
        names: what opens them again from anywhere.
        sources: opened.
        kept: clips of each source that are used.
        left_out: training clips of speakers who are in an evaluation part of another source.
    """

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    kept: tuple[tuple[Clip, ...], ...]
    left_out: int


def open_all(names: Sequence[str]) -> Opened:
    """Open sources, each once, by the rule for speakers that training has.

    Raises:
        DataError: a source can't be used, is named twice, or none has a clip.
    """
    lasting = tuple(lasting_name(name) for name in names)
    if len(set(lasting)) < len(lasting):
        raise DataError(f"a source is named twice among {', '.join(map(repr, names))}; name each once")
    sources = tuple(open_anywhere(name) for name in names)
    rows = merged(sources)
    kept = tuple(tuple(row.clip for row in rows if row.source == number and row.kept) for number in range(len(sources)))
    if not any(kept):
        raise DataError(f"no clips in {', '.join(source.title for source in sources)}; give a folder of word folders")
    return Opened(lasting, sources, kept, sum(not row.kept for row in rows))


def plan(opened: Opened, settings: FeatureSettings, pieces: str) -> Plan:
    """The work that some sources make.

    Args:
        opened: the sources.
        settings: the front end.
        pieces: folder of the pieces.
    """
    units = [
        unit
        for number, (source, kept) in enumerate(zip(opened.sources, opened.kept, strict=True))
        for unit in cut_into_units(source, number, kept, settings)
    ]
    return Plan(settings, tuple(units), pieces)


def plan_digest(plan: Plan) -> str:
    """SHA-256 in hexadecimal of what is to be prepared: settings, clips, sizes and times of the files behind them."""
    return hashlib.sha256("".join(sorted(unit.key for unit in plan.units)).encode()).hexdigest()


def suggested_f_max(plan: Plan) -> float:
    """Up to where features of the recordings should look, in Hz, by a sample of them.

    The rule is that of :class:`speech_rnn.data.inspection.Inspection`; clips that can't be read don't count.
    """
    takes = [(unit, number) for unit in plan.units for number in range(len(unit.takes))]
    chosen = np.arange(len(takes))
    if len(takes) > SAMPLE:
        chosen = np.sort(generator(0, "clips for bandwidth").choice(len(takes), SAMPLE, replace=False))
    sample = _Sample(plan.settings)
    with progress("looking at the clips", len(chosen)) as report:
        for _, group in groupby((takes[index] for index in chosen.tolist()), key=lambda take: take[0].key):
            some = list(group)
            _read(some[0][0], [number for _, number in some], sample)
            report.advance(len(some))
    return inspect(sample, plan.settings).suggested_f_max if sample.clips else plan.settings.f_max


class _Sample:
    """Some decoded clips in memory; see :class:`speech_rnn.data.inspection.Recordings`."""

    def __init__(self, settings: FeatureSettings) -> None:
        self.sample_rate, self.clip_length = settings.sample_rate, settings.clip_length
        self.clips: list[Clip] = []
        self._lengths: list[int] = []
        self._rows: list[NDArray[np.int16]] = []

    def add(self, clip: Clip, samples: NDArray[np.float32]) -> None:
        self.clips.append(clip)
        self._lengths.append(len(samples))
        self._rows.append(to_int16(fit(samples, self.clip_length)))

    @property
    def lengths(self) -> NDArray[np.int32]:
        return np.array(self._lengths, np.int32)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        return np.stack([self._rows[index] for index in indices.tolist()])


def _read(unit: Unit, numbers: Sequence[int], sample: _Sample) -> None:
    takes = [unit.takes[number] for number in numbers]
    sounds = unit.reader.sounds([take.place for take in takes], sample.sample_rate)
    for take, sound in zip(takes, sounds, strict=True):
        if not isinstance(sound.samples, SpeechRnnError):
            sample.add(Clip(take.name, take.word, take.speaker, unit.part), sound.samples)
