"""A long recording -> which words are heard in it and when, as a table, JSON lines, CSV or an Audacity label track."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_blocks
from speech_rnn.errors import AudioError, DataError
from speech_rnn.progress import progress
from speech_rnn.streaming import Detection
from speech_rnn.text import plain

Format = Literal["table", "json", "csv", "audacity"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv", "audacity")
# "monday.txt" may be labels that someone set by hand, the truth of monday.flac.
SUFFIXES: dict[Format, str] = {
    "table": ".heard.table.txt",
    "json": ".heard.jsonl",
    "csv": ".heard.csv",
    "audacity": ".heard.txt",
}

BLOCK_S = 10.0  # decoded and recognized at a time
LARGEST_TRACK = 64_000_000  # bytes; 40 are a label

_LONGEST_NAME = 300
_FORMULA = tuple("=+-@＝＋－＠")  # what begins one; the wide ones where Japanese or Chinese is set


class Listening(Protocol):
    """What hears a recording: a :class:`speech_rnn.streaming.Stream`."""

    def accept(self, samples: NDArray[np.float32], rate: float) -> list[Detection]:
        """Take some sound."""

    def finish(self) -> list[Detection]:
        """Take the end."""


def transcribe(stream: Listening, path: str | Path, sample_rate: int) -> Iterator[Detection]:
    """What is heard in a sound file, in constant memory, with progress.

    Args:
        stream: a new one.
        path: a sound file of any format, rate and length; see :func:`speech_rnn.audio.read_audio`.
        sample_rate: the model's rate in Hz; what the file is resampled to.

    Yields:
        Detections, in the order of their times.

    Raises:
        AudioError: the file isn't the sound it should be; damage in the middle when the iteration gets there.
    """
    for block in read_with_progress(path, sample_rate):
        yield from stream.accept(block, sample_rate)
    yield from stream.finish()


def read_with_progress(path: str | Path, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """The samples of a sound file in blocks, and how long what is done with them will still take.

    Args:
        path: see :func:`speech_rnn.audio.read_audio`.
        sample_rate: the wanted rate in Hz.

    Raises:
        AudioError: as :func:`speech_rnn.audio.read_blocks`.
    """
    blocks = read_blocks(path, sample_rate, BLOCK_S)
    # The first block is read before the header is asked: it brings the errors that name the file and what to do.
    block: NDArray[np.float32] | None = next(blocks)
    taken, told = 0, 0
    with progress(f"{plain(Path(path).name, 40)}, seconds", promised_s(path)) as report:
        while block is not None:
            yield block
            taken += len(block)
            report.advance(taken // sample_rate - told)
            told = taken // sample_rate
            block = next(blocks, None)


def promised_s(path: str | Path) -> int | None:
    """Seconds that a file has by its header; ``None`` where it doesn't say or can't be believed."""
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return None
    seconds = info.frames / info.samplerate if info.samplerate else math.inf
    return math.ceil(seconds) if 0 < seconds < 1e7 else None  # a third of a year


class Transcript:
    """Writes detections as they come, in one format.

    A label or a file's name comes from outside. In JSON it stands as it is; in the other formats it can neither end
    its line nor its field, and in CSV no spreadsheet takes it for a formula: a cell that begins with ``=``, ``+``,
    ``-`` or ``@`` gets an apostrophe in front (OWASP, "CSV Injection").
    """

    def __init__(self, write: Callable[[str], object], form: Format, *, names: bool = True) -> None:
        """Write what stands at the top.

        Args:
            write: takes text, whole lines of it.
            form: one of :data:`FORMATS`.
            names: whether a table names the files; JSON and CSV always do, a label track never.
        """
        self._write, self._form, self._names = write, form, names
        self._file: str | Path | None = None  # of which a table has the head already
        if form == "csv":
            write(_csv_line("file", "label", "score", "start", "time"))

    def add(self, file: str | Path, heard: Detection) -> None:
        """A detection in a file; those of a file come together."""
        if self._form == "table":
            self._head(file)
            self._write(f"{clock(heard.time):>13}  {heard.score:5.3f}  {plain(heard.label, 64)}\n")
        elif self._form == "json":
            line = {
                "file": str(file),
                "label": heard.label,
                "score": round(heard.score, 6),
                "start": round(heard.start, 3),
                "time": round(heard.time, 3),
            }
            self._write(json.dumps(line) + "\n")
        elif self._form == "csv":
            numbers = (f"{heard.score:.6f}", f"{heard.start:.3f}", f"{heard.time:.3f}")
            self._write(_csv_line(_cell(str(file)), _cell(heard.label), *numbers))
        else:
            self._write(audacity_line(heard.start, heard.time, heard.label))

    def end(self, file: str | Path) -> None:
        """The file has been heard to its end."""
        if self._form == "table" and self._file != file:
            self._head(file)
            self._write(f"{'–':>13}  nothing was heard\n")
        self._file = None

    def _head(self, file: str | Path) -> None:
        if self._file == file:
            return
        self._file = file
        if self._names:
            self._write(f"{plain(str(file), _LONGEST_NAME)}\n")
        self._write(f"{'time':>13}  score  label\n")


def clock(seconds: float) -> str:
    """A time in a recording.

    >>> clock(3_725.25), clock(59.9996)
    ('1:02:05.250', '0:01:00.000')
    """
    thousandths = round(seconds * 1_000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 1_000:02d}.{rest % 1_000:03d}"


def audacity_line(start: float, end: float, label: str) -> str:
    r"""A line of a label track (Audacity's manual, "Importing and Exporting Labels"): start, end, label.

    A label can hold no tabulator and no line's end, and lone surrogates can't be written; they become a replacement
    character, as other characters that can't be printed do.

    >>> audacity_line(0.5, 1.5, "ye\ts")
    '0.500000\t1.500000\tye�s\n'
    """
    return f"{start:.6f}\t{end:.6f}\t{plain(label, 64)}\n"


def read_label_track(path: Path) -> list[tuple[float, float, str]]:
    """The labels of a track that Audacity has exported, or :func:`audacity_line` made.

    Args:
        path: a text file in UTF-8.

    Returns:
        (start, end, label), seconds, in the file's order; a label of a point has equal ends, one without a text ``""``.

    Raises:
        DataError: the file can't be read, or a line is no label.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_TRACK + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"{str(path)!r} can't be read as a label track ({reason}); export it again") from None
    if len(content) > LARGEST_TRACK:
        raise DataError(f"{str(path)!r} is over {LARGEST_TRACK:,} bytes, no label track is; give the right file")
    labels = []
    # Not splitlines: a label may hold characters that it takes for a line's end.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip() or line.startswith("\\"):  # the frequencies of a spectral label
            continue
        fields = line.split("\t", 2)
        try:
            # A comma where Audacity ran in a country that writes 0,5.
            start, end = (float(field.replace(",", ".")) for field in fields[:2])
        except ValueError:
            start, end = math.nan, math.nan
        if not 0.0 <= start <= end < math.inf:
            raise DataError(
                f"{str(path)!r}, line {number}: {line[:80]!r} must be start, end and label with tabulators between, in "
                "seconds, the end not before the start"
            )
        labels.append((start, end, fields[2].strip() if len(fields) > 2 else ""))
    return labels


def track_name(sound: Path, form: Format) -> str:
    """The name of the transcript of a sound file.

    >>> track_name(Path("talks/monday.flac"), "audacity")
    'monday.heard.txt'
    """
    return sound.stem + SUFFIXES[form]


def _csv_line(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(text: str) -> str:
    """A cell that is a text to every spreadsheet and one line to every reader."""
    # A file's name may hold bytes that are no UTF-8; they can't be written.
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return f"'{shown}" if shown.lstrip()[:1] in _FORMULA else shown


def check_names(files: tuple[Path, ...], form: Format) -> None:
    """Whether each file's transcript gets a name of its own; :class:`AudioError` where two would meet."""
    names: dict[str, Path] = {}
    for file in files:
        other = names.setdefault(track_name(file, form), file)
        if other is not file:
            raise AudioError(
                f"{str(other)!r} and {str(file)!r} would both be written as {track_name(file, form)!r}; rename one, or "
                "name one folder each"
            )
