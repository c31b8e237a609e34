"""Sources of recordings on any file system that Apache Beam reads, by the same rules as local ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_audio
from speech_rnn.beam.files import content_digest, is_remote, join, local_copy, matching, read_bytes, reason
from speech_rnn.data.clips import BACKGROUND_NOISE, Clip, Part, Source
from speech_rnn.data.folder import LISTS, README, digest_of, listed, origin_of, sound_files
from speech_rnn.data.segments import Segment, SegmentsSource, cut, parse_segments, segments_digest
from speech_rnn.data.sources import OTHER, SEGMENTS, OtherWords, open_source
from speech_rnn.data.split import parse_list
from speech_rnn.errors import AudioError, DataError


class RemoteFolder:
    """A folder in the layout of Speech Commands; see :class:`speech_rnn.data.folder.FolderSource`.

    Raises:
        DataError: no such folder, no recordings of words in it, a name that can't be a label, two files of one name,
            or a list that can't be read.
    """

    synthetic = False

    def __init__(self, url: str) -> None:
        self.title = url.rstrip("/")
        self._name = PurePosixPath(self.title).name
        files: dict[str, list[str]] = {}
        self.states = {}
        for state in matching(join(self.title, "*/*")):
            word, name = PurePosixPath(state.path).parts[-2:]
            files.setdefault(word, []).append(name)
            self.states[f"{word}/{name}"] = state
        found = {word: sound_files(names, join(self.title, word)) for word, names in sorted(files.items())}
        words = {word: names for word, names in found.items() if names and not word.startswith(("_", "."))}
        if not words:
            raise DataError(
                f"{url!r} has no recordings of words; a sub-folder a word is wanted, with sound files in it"
            )
        self._lists_found = {state.path for state in matching(join(self.title, "*"))}
        lists: dict[Part, frozenset[str]] = {}
        for part, name in LISTS.items():
            content = self._beside(name)
            if content is not None:
                lists[part] = parse_list(content, join(self.title, name))
        self.clips: Sequence[Clip] = listed(words, lists, self.title, self._name)
        self.noises: Sequence[str] = tuple(f"{BACKGROUND_NOISE}/{name}" for name in found.get(BACKGROUND_NOISE, []))

    @property
    def origin(self) -> str:
        """The heading of the folder's README.md, or that there is none."""
        return origin_of((self._beside(README) or b"").decode(errors="replace").splitlines(), self._name)

    def path_of(self, name: str) -> str:
        """The file of a clip or of background noise."""
        return join(self.title, name)

    def digest(self) -> str:
        """That of a local copy of the folder."""
        names = [clip.name for clip in self.clips] + list(self.noises)
        return digest_of(self, (content_of(self.path_of(name)) for name in names))

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Decoded clips in the order of ``clips``: float32 [samples] at ``sample_rate``, natural length."""
        return (read_anywhere(self.path_of(clip.name), sample_rate) for clip in self.clips)

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Decoded background noise in the order of ``noises``: float32 [samples] at ``sample_rate``."""
        return (read_anywhere(self.path_of(name), sample_rate) for name in self.noises)

    def _beside(self, name: str) -> bytes | None:
        path = join(self.title, name)
        if path not in self._lists_found:
            return None
        try:
            return read_bytes(path)
        except OSError as error:
            raise DataError(f"{path!r} can't be read ({reason(error)}); mend or remove it") from None


class RemoteSegments(SegmentsSource):
    """A list of segments and its recordings; see :class:`speech_rnn.data.segments.SegmentsSource`."""

    def __init__(self, url: str) -> None:
        self.title = f"{SEGMENTS}{url}"
        self._url = url
        try:
            content = read_bytes(url)
        except (OSError, ValueError) as error:
            raise DataError(f"{url!r} can't be read ({reason(error)}); give a list of segments") from None
        self.segments: tuple[Segment, ...] = parse_segments(content, url)
        self.clips: Sequence[Clip] = tuple(segment.clip for segment in self.segments)

    @property
    def origin(self) -> str:
        """Which list it is."""
        return f"segments of {PurePosixPath(self._url).name}"

    def digest(self) -> str:
        """That of a local copy of list and recordings."""
        contents = {file: content_of(self.path_of(file)) for file in sorted({one.file for one in self.segments})}
        return segments_digest(self, self.segments, (contents[segment.file] for segment in self.segments))

    def cut(
        self, file: str, times: Sequence[tuple[float, float]], sample_rate: int
    ) -> Iterator[NDArray[np.float32] | AudioError]:
        """Segments of one recording; see :func:`speech_rnn.data.segments.cut`."""
        return cut_anywhere(self.path_of(file), times, sample_rate)

    def path_of(self, file: str) -> str:
        """Where a recording of the list is."""
        return join(self._url.rpartition("/")[0], file)


def open_anywhere(name: str) -> Source:
    """A source by its name, as :func:`speech_rnn.data.sources.open_source`, or with a URL for its folder or list."""
    if name.startswith(OTHER):
        return OtherWords(open_anywhere(name.removeprefix(OTHER)))
    if name.startswith(SEGMENTS) and is_remote(name):
        return RemoteSegments(name.removeprefix(SEGMENTS))
    if is_remote(name):
        return RemoteFolder(name)
    return open_source(name)


def read_anywhere(path: str, sample_rate: int) -> NDArray[np.float32]:
    """As :func:`speech_rnn.audio.read_audio`; errors name the path."""
    try:
        with local_copy(path) as copy:
            try:
                return read_audio(copy, sample_rate)
            except AudioError as error:
                raise AudioError(str(error).replace(str(copy), path)) from None
    except OSError as error:
        raise unreadable(path, error) from None


def cut_anywhere(
    path: str, times: Sequence[tuple[float, float]], sample_rate: int
) -> Iterator[NDArray[np.float32] | AudioError]:
    """As :func:`speech_rnn.data.segments.cut`; errors name the path."""
    try:
        with local_copy(path) as copy:
            for found in cut(copy, times, sample_rate):
                yield AudioError(str(found).replace(str(copy), path)) if isinstance(found, AudioError) else found
    except OSError as error:
        failure = unreadable(path, error)
        yield from (failure for _ in times)


def content_of(path: str) -> str:
    """SHA-256 of a file's bytes in hexadecimal; empty where it can't be read."""
    try:
        with local_copy(path) as copy:
            return content_digest(copy)
    except OSError:
        return ""


def unreadable(path: str, error: OSError) -> AudioError:
    """What to say of a file that can't be opened."""
    return AudioError(f"{path!r} can't be read ({reason(error)}); mend or remove it")
