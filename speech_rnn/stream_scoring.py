"""Streams through a model: raw scores, computed once, kept in files, and taken up again where a killed run ended.

What is kept is a file a stream. It lies under a name made from all that decides it (the model's digests, the way to
hear, the stream), is written beside and renamed, and one that can't be read is made anew.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_rnn import atomic
from speech_rnn.config import DetectorConfig
from speech_rnn.data.stream_files import read_truth, write_stream
from speech_rnn.data.streams import StreamBuilder
from speech_rnn.detection_sweep import ScoredStream
from speech_rnn.errors import DataError
from speech_rnn.processes import map_in_order, n_cores
from speech_rnn.progress import progress
from speech_rnn.runtime import Recognizer
from speech_rnn.transcript import read_with_progress

SCORES_VERSION = 1  # another one whenever the same model and stream give other scores


@dataclass(frozen=True, slots=True)
class _Task:
    """A stream to be scored: one that is built, or a file."""

    recognizer: Recognizer
    config: DetectorConfig
    source: StreamBuilder | Path
    number: int
    place: Path


@dataclass(frozen=True, slots=True)
class _Heard:
    """Raw scores of a stream, as they are kept."""

    times: NDArray[np.float64]
    scores: NDArray[np.float32]
    seconds: float


def score_built(
    recognizer: Recognizer,
    config: DetectorConfig,
    builder: StreamBuilder,
    numbers: Sequence[int],
    cache: Path,
    *,
    workers: int | None = None,
    keep: Path | None = None,
) -> Iterator[ScoredStream]:
    """Streams that are put together, heard by a model.

    Args:
        recognizer: the model.
        config: of the detector: which way to hear, how often.
        builder: of the streams.
        numbers: which of them.
        cache: folder under which scores are kept.
        workers: processes; one a core where not given.
        keep: folder that gets the streams' sound and truth too.

    Raises:
        DataError: a file can't be written.
        ModelError: the model has no stream file.
    """
    place = _folder(recognizer, config, builder.identity(), cache)
    tasks = [_Task(recognizer, config, builder, number, place / f"{number:06d}.npz") for number in numbers]
    if keep is not None:
        with progress("writing streams", len(tasks)) as report:
            for _ in map_in_order(_Keeping(builder, keep), numbers, _n_workers(workers, len(tasks))):
                report.advance()
    missing = [task for task in tasks if _read(task.place, len(recognizer.labels)) is None]
    with progress(f"hearing streams, {config.mode}", len(missing)) as report:
        for _ in map_in_order(_make_file, missing, _n_workers(workers, len(missing))):
            report.advance()
    for task in tasks:
        heard = _read(task.place, len(recognizer.labels)) or _make(task)
        yield ScoredStream(heard.times, heard.scores, heard.seconds, builder.truth(task.number))


def score_files(
    recognizer: Recognizer,
    config: DetectorConfig,
    sounds: Sequence[Path],
    truths: Sequence[Path],
    cache: Path,
) -> Iterator[ScoredStream]:
    """Recordings with known words, heard by a model.

    Args:
        recognizer: the model.
        config: of the detector: which way to hear, how often.
        sounds: sound files of any format, rate and length.
        truths: what is said in each; see :func:`speech_rnn.data.stream_files.read_truth`.
        cache: folder under which scores are kept.

    Raises:
        AudioError: a sound file isn't what it should be.
        DataError: a truth isn't, or scores can't be written.
    """
    said = [read_truth(truth, recognizer.labels) for truth in truths]  # what is wrong there is said at once
    for sound, words in zip(sounds, said, strict=True):
        place = _folder(recognizer, config, _digest(sound), cache) / "scores.npz"
        task = _Task(recognizer, config, sound, 0, place)
        heard = _read(place, len(recognizer.labels)) or _make(task)
        yield ScoredStream(heard.times, heard.scores, heard.seconds, words)


def score(
    recognizer: Recognizer, config: DetectorConfig, blocks: Iterable[NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float32], float]:
    """The raw scores of one stream.

    Args:
        recognizer: the model.
        config: of the detector.
        blocks: float32 [samples] each, at the model's rate, any number of any length.

    Returns:
        Times float64 [scores] in s, scores float32 [scores, labels], and how many seconds the blocks are; behind them
        half a clip of silence is heard, as :meth:`speech_rnn.streaming.Stream.finish` has it.
    """
    stream = recognizer.stream(config)
    rate = recognizer.sample_rate
    taken, heard = 0, []
    for block in blocks:
        heard.append(stream.accept_scores(block, rate))
        taken += len(block)
    heard.append(stream.accept_scores(np.zeros(recognizer.clip_length // 2, np.float32), rate))
    times, scores = zip(*heard, strict=True)
    return np.concatenate(times), np.concatenate(scores), taken / rate


def _n_workers(workers: int | None, most: int) -> int:
    return max(1, min(n_cores() if workers is None else workers, most))


def _make_file(task: _Task) -> None:
    """Score a stream into its file, and send nothing back to the process that asked."""
    _make(task)


def _make(task: _Task) -> _Heard:
    heard = _Heard(*score(task.recognizer, task.config, _blocks(task)))
    try:
        with atomic.new_file(task.place) as beside, beside.open("wb") as file:
            np.savez(file, times=heard.times, scores=heard.scores, seconds=heard.seconds)
    except OSError as error:
        raise DataError(f"{task.place} can't be written ({error.strerror}); set --cache to another folder") from None
    return heard


def _blocks(task: _Task) -> Iterator[NDArray[np.float32]]:
    if isinstance(task.source, StreamBuilder):
        for scene in task.source.scenes(task.number):
            yield scene.samples
    else:
        yield from read_with_progress(task.source, task.recognizer.sample_rate)


def _read(path: Path, n_labels: int) -> _Heard | None:
    """Scores that were kept; ``None`` where there are none, or they are damaged."""
    try:
        # Opened here: of a damaged file NumPy would leave it open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            heard = _Heard(arrays["times"], arrays["scores"], float(arrays["seconds"]))
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    times, scores = heard.times, heard.scores
    fits = times.dtype == np.float64 and times.ndim == 1 and scores.dtype == np.float32
    if not fits or scores.shape != (len(times), n_labels) or not np.isfinite(scores).all():
        return None
    return heard


def _folder(recognizer: Recognizer, config: DetectorConfig, stream: str, cache: Path) -> Path:
    """Where the scores of a stream, or of several, are kept."""
    what = [SCORES_VERSION, recognizer.card.to_json(), config.mode, config.interval_s, stream]
    return cache / "streams" / hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{str(path)!r} can't be read ({error.strerror}); check path and permissions") from None


@dataclass(frozen=True, slots=True)
class _Keeping:
    """Writes a stream; picklable."""

    builder: StreamBuilder
    folder: Path

    def __call__(self, number: int) -> Path:
        return write_stream(self.builder, number, self.folder)
