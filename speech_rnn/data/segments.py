"""Clips cut out of long recordings by a list of segments.

The list is a CSV file, UTF-8, whose first line names its columns, in any order::

    file,start_s,stop_s,word,speaker,part
    talks/monday.flac,12.34,13.10,yes,anna,training
    talks/monday.flac,15.02,15.9,no,anna,

``file`` is below the folder of the list; ``start_s`` and ``stop_s`` are seconds from its beginning. ``speaker`` and
``part`` may be empty or left out. A speaker of eight hexadecimal digits is the same person everywhere, another name a
person of this list. Where no part is given, the rule of Speech Commands decides by the speaker, or by the file where
that is unknown; one file may so be in several parts, by its speakers.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_blocks
from speech_rnn.config import is_label
from speech_rnn.data.clips import PARTS, UNKNOWN, Clip, Part
from speech_rnn.data.folder import digest_of, file_digest
from speech_rnn.data.split import is_global_speaker, official_part
from speech_rnn.errors import AudioError, DataError

NEEDED, OPTIONAL = ("file", "start_s", "stop_s", "word"), ("speaker", "part")
ROUNDING_S = 0.01  # by so much a segment may end behind its recording: lists round
SHORTEST_S, LONGEST_S = 0.01, 60.0
LONGEST_NAME = 1_000

_REMEDY = "as in  file,start_s,stop_s,word,speaker,part"


@dataclass(frozen=True, slots=True)
class Segment:
    """A clip within a recording: ``file`` below the list's folder, times in seconds."""

    file: str
    start_s: float
    stop_s: float
    clip: Clip


class SegmentsSource:
    """A list of segments as a source of clips; it fulfils :class:`speech_rnn.data.clips.Source`.

    Args:
        path: of the list.

    Raises:
        DataError: there is none, or a line of it is wrong; the line's number is in the error.
    """

    synthetic = False
    noises: Sequence[str] = ()

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self.title = f"segments:{path}"
        try:
            content = self._path.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{str(path)!r} can't be read ({reason}); give a list of segments, {_REMEDY}") from None
        self.segments = parse_segments(content, str(path))
        self.clips: Sequence[Clip] = tuple(segment.clip for segment in self.segments)

    @property
    def origin(self) -> str:
        """Which list it is."""
        return f"segments of {self._path.name}"

    def digest(self) -> str:
        """SHA-256 of the segments and of the recordings' contents."""
        contents = {file: file_digest(Path(self.path_of(file))) for file in sorted({one.file for one in self.segments})}
        return segments_digest(self, self.segments, (contents[segment.file] for segment in self.segments))

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The segments in the order of ``clips``: float32 [samples] at ``sample_rate``.

        Raises:
            AudioError: a recording can't be read, or ends before a segment.
        """
        at = 0
        while at < len(self.segments):  # segments of one recording in a row are cut in one go
            end = at + 1
            while end < len(self.segments) and self.segments[end].file == self.segments[at].file:
                end += 1
            times = [(segment.start_s, segment.stop_s) for segment in self.segments[at:end]]
            for found in self.cut(self.segments[at].file, times, sample_rate):
                if isinstance(found, AudioError):
                    raise found
                yield found
            at = end

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """None."""
        del sample_rate
        return iter(())

    def cut(
        self, file: str, times: Sequence[tuple[float, float]], sample_rate: int
    ) -> Iterator[NDArray[np.float32] | AudioError]:
        """Segments of one recording; see :func:`cut`."""
        return cut(self.path_of(file), times, sample_rate)

    def path_of(self, file: str) -> str:
        """Where a recording of the list is."""
        return str(self._path.parent / file)


def parse_segments(content: bytes, title: str) -> tuple[Segment, ...]:
    """The segments of a list, in its order.

    Args:
        content: of the CSV file.
        title: what messages call it; speakers are people of it.

    Raises:
        DataError: no such list, or a line of it is wrong; the line's number is in the error.
    """
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = [name.strip() for name in next(lines, [])]
        _check_columns(columns, title)
        people = PurePosixPath(title.replace("\\", "/")).stem
        segments: list[Segment] = []
        seen: dict[str, int] = {}
        heard_in: dict[str, tuple[Part, int]] = {}
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{title!r}, line {lines.line_num}"
            if len(cells) != len(columns):
                raise DataError(f"{where}: {len(cells)} values must be {len(columns)}, one a column; mend the line")
            segment = _segment(dict(zip(columns, map(str.strip, cells), strict=True)), where, people)
            if segment.clip.name in seen:
                raise DataError(f"{where}: it is the segment of line {seen[segment.clip.name]} again; remove one")
            seen[segment.clip.name] = lines.line_num
            speaker, part = segment.clip.speaker, segment.clip.part
            before, line = heard_in.setdefault(speaker, (part, lines.line_num))
            if speaker and before != part:
                name = cells[columns.index("speaker")].strip()
                raise DataError(
                    f"{where}: speaker {name!r} is in {part} here and in {before} in line {line}; give each one part"
                )
            segments.append(segment)
    except UnicodeDecodeError:
        raise DataError(f"{title!r} is not UTF-8; save the list of segments as that") from None
    except csv.Error as error:
        raise DataError(f"{title!r}, line {lines.line_num}: {error}; mend the line") from None
    if not segments:
        raise DataError(f"{title!r} has no segments; give a line for each, {_REMEDY}")
    return tuple(segments)


def segments_digest(source: SegmentsSource, segments: Sequence[Segment], contents: Iterable[str]) -> str:
    """The digest of a list, by the SHA-256 of the recording of each segment."""
    said = hashlib.sha256()
    for segment in segments:
        said.update(f"{segment.clip.word}\t{segment.clip.speaker}\n".encode())
    return hashlib.sha256(f"{digest_of(source, contents)}{said.hexdigest()}".encode()).hexdigest()


def cut(
    path: str | Path, times: Sequence[tuple[float, float]], sample_rate: int
) -> Iterator[NDArray[np.float32] | AudioError]:
    """Segments of one recording, decoded once, forward; in memory are the segments, not the rest.

    Args:
        path: of the recording.
        times: start and stop of each in seconds, in any order.
        sample_rate: in Hz.

    Returns:
        In the order of ``times``: float32 [samples], or why there is none.
    """
    bounds = [(round(start * sample_rate), round(stop * sample_rate)) for start, stop in times]
    order = sorted(range(len(bounds)), key=bounds.__getitem__)
    collected: dict[int, list[NDArray[np.float32]]] = {index: [] for index in order}
    open_ones: list[int] = []
    begun, at = 0, 0
    failure: AudioError | None = None
    try:
        for block in read_blocks(path, sample_rate):
            end = at + len(block)
            while begun < len(order) and bounds[order[begun]][0] < end:
                open_ones.append(order[begun])
                begun += 1
            for index in open_ones:
                start, stop = bounds[index]
                collected[index].append(block[max(0, start - at) : max(0, stop - at)].copy())
            open_ones = [index for index in open_ones if bounds[index][1] > end]
            at = end
            if begun == len(order) and not open_ones:
                break
    except AudioError as error:
        failure = error
    for index, (start, stop) in enumerate(bounds):
        pieces = collected.pop(index)
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        whole = len(samples) >= stop - start
        if whole or (failure is None and len(samples) and stop - at <= ROUNDING_S * sample_rate):
            yield samples
        elif failure is not None:
            yield failure
        else:
            seconds = f"{times[index][0]:g} to {times[index][1]:g} s"
            yield AudioError(
                f"{str(path)!r} ends at {at / sample_rate:.2f} s, before its segment of {seconds} does; mend the list"
            )


def _check_columns(columns: Sequence[str], title: str) -> None:
    missing = [name for name in NEEDED if name not in columns]
    unknown = [name for name in columns if name not in (*NEEDED, *OPTIONAL)]
    if missing or unknown or len(set(columns)) < len(columns):
        wrong = f"lacks the column {missing[0]}" if missing else "has a column twice"
        if unknown and not missing:
            wrong = f"has an unknown column {unknown[0][:80]!r}"
        raise DataError(f"{title!r} {wrong} in its first line; name the columns there, {_REMEDY}")


def _segment(cells: dict[str, str], where: str, people: str) -> Segment:
    file, word, speaker = cells["file"], cells["word"], cells.get("speaker", "")
    path = PurePosixPath(file)
    if not file or not file.isprintable() or len(file) > LONGEST_NAME or "\\" in file or "://" in file:
        raise DataError(f"{where}: file {file[:80]!r} can't be a file's name; give a path below the list's folder")
    if path.is_absolute() or ".." in path.parts or str(path) != file:
        raise DataError(f"{where}: file {file[:80]!r} must lie below the list's folder; give a path without '..'")
    start_s, stop_s = (_seconds(cells[name], name, where) for name in ("start_s", "stop_s"))
    if not (start_s >= 0.0 and SHORTEST_S <= stop_s - start_s <= LONGEST_S):
        raise DataError(
            f"{where}: start_s={start_s:g}, stop_s={stop_s:g} must be {SHORTEST_S:g} to {LONGEST_S:g} s of the "
            "recording, from 0 s on; mend the times"
        )
    if word != UNKNOWN and not is_label(word):
        raise DataError(
            f"{where}: word {word[:80]!r} can't be a label; give 1 to 64 printable characters, no _ in front"
        )
    if not speaker.isprintable() or len(speaker) > 64:
        raise DataError(f"{where}: speaker {speaker[:80]!r} must be up to 64 printable characters; shorten it")
    part = cells.get("part", "")
    if part and part not in PARTS:
        raise DataError(f"{where}: part {part[:80]!r} must be {', '.join(PARTS)} or empty; mend it")
    if speaker and not is_global_speaker(speaker):
        speaker = f"{people}/{speaker}"
    by_rule = official_part(f"{speaker}_nohash_" if speaker else file)
    chosen: Part = next((one for one in PARTS if one == part), by_rule)
    return Segment(file, start_s, stop_s, Clip(f"{file}@{start_s!r}-{stop_s!r}", word, speaker, chosen))


def _seconds(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {name}={text[:80]!r} must be a number of seconds; mend it")
    return value
