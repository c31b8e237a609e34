"""Sources of clips, cut into units of work that any process can do by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_audio, to_mono
from speech_rnn.beam.files import FileState, content_digest, is_remote, local_copy, state_of
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Clip, Part, Source
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.folder import FolderSource, digest_of
from speech_rnn.data.segments import SegmentsSource, segments_digest
from speech_rnn.data.sources import OtherWords, other_digest
from speech_rnn.data.tfds_source import RECORDED_RATE, TfdsSource
from speech_rnn.data.tfrecord import integers
from speech_rnn.errors import AudioError, DataError, SpeechRnnError
from speech_rnn.feature_cache import CACHE_VERSION
from speech_rnn.prepared.remote import RemoteFolder, content_of, cut_anywhere, unreadable

PIECE_VERSION = 1  # to be raised when pieces of the same clips and settings are others
CLIPS_A_UNIT = 256  # 2 MB of features
SEGMENTS_A_UNIT = 1_024  # 64 MB of decoded sound; a recording is decoded once a unit


class Sound(NamedTuple):
    """float32 [samples], or why there is none; and the SHA-256 of the file, empty where it doesn't count."""

    samples: NDArray[np.float32] | SpeechRnnError
    content: str = ""


class Reader(Protocol):
    """Decodes clips of one kind of place; picklable, and equal to others that read the same."""

    @property
    def clips_a_unit(self) -> int:
        """The most clips that are read together."""

    def sounds(self, places: Sequence[Hashable], sample_rate: int) -> Iterator[Sound]:
        """The sound of each place at ``sample_rate``."""


@dataclass(frozen=True)
class Files:
    """A file a clip; a place is its path."""

    clips_a_unit: ClassVar[int] = CLIPS_A_UNIT

    def sounds(self, places: Sequence[Hashable], sample_rate: int) -> Iterator[Sound]:
        """See :class:`Reader`."""
        for place in places:
            path = str(place)
            try:
                with local_copy(path) as copy:
                    yield Sound(_read(copy, path, sample_rate), content_digest(copy))
            except OSError as error:
                yield Sound(unreadable(path, error))


@dataclass(frozen=True)
class Recording:
    """A long recording; a place is start and stop in seconds."""

    path: str
    clips_a_unit: ClassVar[int] = SEGMENTS_A_UNIT

    def sounds(self, places: Sequence[Hashable], sample_rate: int) -> Iterator[Sound]:
        """See :class:`Reader`."""
        times = [place for place in places if isinstance(place, tuple)]
        content = content_of(self.path)
        return (Sound(found, content) for found in cut_anywhere(self.path, times, sample_rate))


@dataclass(frozen=True)
class CorpusFile:
    """A file of the embedded corpus; a place is a clip's number in it."""

    number: int
    clips_a_unit: ClassVar[int] = SEGMENTS_A_UNIT

    def sounds(self, places: Sequence[Hashable], sample_rate: int) -> Iterator[Sound]:
        """See :class:`Reader`."""
        try:
            decoded = list(CorpusSource().waveforms_of(self.number, sample_rate))
        except SpeechRnnError as error:
            yield from (Sound(error) for _ in places)
            return
        for place in places:
            yield Sound(decoded[int(str(place))])


@dataclass(frozen=True)
class Records:
    """A TFRecord file of TensorFlow Datasets; a place is the byte at which a record begins."""

    path: str
    clips_a_unit: ClassVar[int] = CLIPS_A_UNIT

    def sounds(self, places: Sequence[Hashable], sample_rate: int) -> Iterator[Sound]:
        """See :class:`Reader`."""
        for place in places:
            try:
                samples = integers(Path(self.path), int(str(place)), "audio").astype(np.int16)
                yield Sound(to_mono(samples, RECORDED_RATE, sample_rate))
            except SpeechRnnError as error:
                yield Sound(error)
            except OSError as error:
                yield Sound(unreadable(self.path, error))


@dataclass(frozen=True, slots=True)
class Take:
    """A clip of a unit: its name, the number of the source in front, and where its sound is."""

    name: str
    word: str
    speaker: str
    place: Hashable


@dataclass(frozen=True, slots=True)
class Unit:
    """Clips of one source and part that are read together.

    Attributes:
        key: 32 hexadecimal digits, others when settings, names, or the files behind the clips are others.
        source: its number.
        part: of all clips.
        reader: decodes them.
        takes: the clips.
    """

    key: str
    source: int
    part: Part
    reader: Reader
    takes: tuple[Take, ...]


@dataclass(frozen=True, slots=True)
class _Located:
    reader: Reader
    place: Hashable
    state: tuple[str | float, ...]  # what changes when the recording does


def cut_into_units(source: Source, number: int, kept: Sequence[Clip], settings: FeatureSettings) -> list[Unit]:
    """The units of a source.

    Args:
        source: one of those that :func:`speech_rnn.prepared.remote.open_anywhere` opens.
        number: of it.
        kept: those of its clips that are wanted.
        settings: of the features.
    """
    wanted = {clip.name for clip in kept}
    heaps: dict[tuple[Part, Reader], list[tuple[Take, _Located]]] = {}
    for clip, located in zip(source.clips, _located(source), strict=True):
        if clip.name in wanted:
            take = Take(f"{number}/{clip.name}", clip.word, clip.speaker, located.place)
            heaps.setdefault((clip.part, located.reader), []).append((take, located))
    units = []
    for (part, reader), heap in heaps.items():
        for start in range(0, len(heap), reader.clips_a_unit):
            some = heap[start : start + reader.clips_a_unit]
            takes = tuple(take for take, _ in some)
            units.append(Unit(_key(some, part, settings), number, part, reader, takes))
    return units


def source_digest(source: Source, contents: Mapping[str, str]) -> str:
    """The digest of a source, by contents that were seen when its clips were read.

    Args:
        source: one of those that :func:`speech_rnn.prepared.remote.open_anywhere` opens.
        contents: SHA-256 in hexadecimal by the clip's name within the source; what is missing is read now.
    """
    if isinstance(source, OtherWords):
        return other_digest(source_digest(source.source, contents))
    if isinstance(source, (FolderSource, RemoteFolder)):
        names = [clip.name for clip in source.clips] + list(source.noises)
        known = (contents.get(name) for name in names)
        digests = (
            content_of(str(source.path_of(name))) if one is None else one
            for name, one in zip(names, known, strict=True)
        )
        return digest_of(source, digests)
    if isinstance(source, SegmentsSource):
        of_file = {one.file: contents[one.clip.name] for one in source.segments if one.clip.name in contents}
        read = cache(lambda file: content_of(source.path_of(file)))
        return segments_digest(source, source.segments, (of_file.get(s.file) or read(s.file) for s in source.segments))
    return source.digest()


def _located(source: Source) -> Iterator[_Located]:
    """Where each clip of a source is, in the order of ``clips``."""
    if isinstance(source, OtherWords):
        yield from _located(source.source)
    elif isinstance(source, FolderSource):
        for clip in source.clips:
            path = str(source.path_of(clip.name).resolve())
            yield _Located(Files(), path, _state(state_of(path)))
    elif isinstance(source, RemoteFolder):
        for clip in source.clips:
            yield _Located(Files(), source.path_of(clip.name), _state(source.states[clip.name]))
    elif isinstance(source, SegmentsSource):
        state = cache(lambda path: _state(state_of(path)))
        for segment in source.segments:
            path = source.path_of(segment.file)
            path = path if is_remote(path) else str(Path(path).resolve())
            yield _Located(Recording(path), (segment.start_s, segment.stop_s), state(path))
    elif isinstance(source, CorpusSource):
        digest = source.digest()
        for file, n_clips in enumerate(source.clips_of_files):
            yield from (_Located(CorpusFile(file), clip, (digest,)) for clip in range(n_clips))
    elif isinstance(source, TfdsSource):
        for record in source.records:
            yield _Located(Records(str(record.path.resolve())), record.start, (record.checksum.hex(),))
    else:
        raise DataError(f"{source.title!r} can't be prepared; give a folder, 'corpus', 'tfds' or 'segments:LIST.csv'")


def _key(heap: Sequence[tuple[Take, _Located]], part: Part, settings: FeatureSettings) -> str:
    what = [
        PIECE_VERSION,
        CACHE_VERSION,
        settings.model_dump(mode="json"),
        part,
        [[take.name, take.word, take.speaker, str(take.place), *located.state] for take, located in heap],
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _state(state: FileState) -> tuple[str | float, ...]:
    return state.size, state.written_s


def _read(copy: Path, path: str, sample_rate: int) -> NDArray[np.float32] | SpeechRnnError:
    try:
        return read_audio(copy, sample_rate)
    except AudioError as error:
        return AudioError(str(error).replace(str(copy), path))
