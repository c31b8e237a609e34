"""Many long recordings -> a transcript each, as an Apache Beam pipeline: here, or on Flink, Spark or Dataflow.

A worker loads the model once. Recordings are read from any file system that Beam reads; one that can't be heard to its
end is listed in the summary and doesn't stop the others. Nothing of TensorFlow is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.transforms.combiners import ToList

from speech_rnn.audio import read_blocks
from speech_rnn.beam.files import is_remote, join, local_copy, matching, read_bytes, reason, write_bytes
from speech_rnn.beam.running import Engine, running
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, DataError
from speech_rnn.processes import leave_with
from speech_rnn.runtime import Recognizer, load
from speech_rnn.transcript import BLOCK_S, Format, Transcript, check_names, track_name

SUMMARY = "recordings.heard.json"


@dataclass(frozen=True)
class Heard:
    """What became of a recording.

    Attributes:
        file: its name.
        seconds: of sound, as far as it could be heard.
        detections: words in it.
        error: why it couldn't be heard to its end; empty if it could.
    """

    file: str
    seconds: float
    detections: int
    error: str = ""


def transcribe_many(
    names: Sequence[str], model: str, config: DetectorConfig, *, form: Format, folder: str, engine: Engine
) -> list[Heard]:
    """Write what is heard in each recording into a folder, and a summary beside.

    Args:
        names: files; on another file system than this machine's patterns too, ``gs://bucket/monday/*.flac``.
        model: of a shipped model, or its folder, as every worker sees it.
        config: of the detector.
        form: of the transcripts.
        folder: for the transcripts; made where it isn't there.
        engine: what computes.

    Returns:
        What became of each, in the order of the names.

    Raises:
        DataError: no recording has such a name, a file system isn't known, or the folder can't be written.
        AudioError: two transcripts would have the same name.
        SpeechRnnError: the pipeline failed.
    """
    files = found(names)
    check_names(tuple(Path(file) for file in files), form)
    if not is_remote(folder):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder!r} can't be a folder ({reason(error)}); give another -o") from None
    summary = join(folder, SUMMARY)
    paths = [Path(join(folder, track_name(Path(file), form))) for file in files]
    before = [_written_at(path) for path in paths]

    def n_done() -> int:
        return sum(_written_at(path) != time for path, time in zip(paths, before, strict=True))

    workers = engine.workers or 1
    with (
        running("recordings", len(files), n_done, again="hears all recordings again"),
        beam.Pipeline(runner=engine.runner, options=engine.options(workers)) as pipeline,
    ):
        _ = (
            pipeline
            | beam.Create(files, reshuffle=False)
            | beam.Reshuffle()
            | beam.ParDo(_Transcribe(model, config.to_json(), form, folder, os.getpid() if engine.here else None))
            | ToList()
            | beam.Map(_write_summary, summary, files)
        )
    return [Heard(**one) for one in json.loads(read_bytes(summary))["recordings"]]


def found(names: Sequence[str]) -> list[str]:
    """The files that names are of; a name of this machine is one as it stands, others may be patterns.

    Raises:
        DataError: a pattern matches nothing, or its file system isn't known.
    """
    files: list[str] = []
    for name in names:
        of_name = [state.path for state in matching(name)] if is_remote(name) else [name]
        if not of_name:
            raise DataError(f"{name!r} is the name of no file; check it")
        files += of_name
    return list(dict.fromkeys(files))


class _Transcribe(beam.DoFn):
    def __init__(self, model: str, config: str, form: Format, folder: str, owner: int | None) -> None:
        super().__init__()
        self._model, self._config, self._form, self._folder, self._owner = model, config, form, folder, owner
        self._recognizer: Recognizer | None = None

    def setup(self) -> None:
        """Once a worker, which has nothing to work for without the process that began it on this machine."""
        if self._owner is not None and self._owner != os.getpid():
            leave_with(self._owner)
        self._recognizer = load(self._model)

    def process(self, file: str) -> Iterator[Heard]:
        """A recording."""
        if self._recognizer is None:
            raise RuntimeError("a worker that was not set up")
        rate, n_samples, n_detections = self._recognizer.sample_rate, 0, 0
        stream = self._recognizer.stream(DetectorConfig.from_json(self._config))
        lines: list[str] = []
        path = join(self._folder, track_name(Path(file), self._form))
        transcript = Transcript(lines.append, self._form, names=False)
        try:
            for block in _blocks(file, rate):
                n_samples += len(block)
                for detection in stream.accept(block, rate):
                    transcript.add(file, detection)
                    n_detections += 1
            for detection in stream.finish():
                transcript.add(file, detection)
                n_detections += 1
            transcript.end(file)
        except AudioError as error:
            if not is_remote(path):
                Path(path).unlink(missing_ok=True)  # of an earlier run; the summary says that there is none
            yield Heard(file, round(n_samples / rate, 3), n_detections, str(error))
            return
        write_bytes(path, "".join(lines).encode())
        yield Heard(file, round(n_samples / rate, 3), n_detections)


def _blocks(file: str, rate: int) -> Iterator[Any]:
    """The samples of a file of any file system; decoders go back and forth in it, so it is copied here first."""
    try:
        with local_copy(file) as copy:
            try:
                yield from read_blocks(copy, rate, BLOCK_S)
            except AudioError as error:
                raise AudioError(str(error).replace(str(copy), file)) from None
    except OSError as error:
        raise AudioError(f"{file!r} can't be read ({reason(error)}); mend or remove it") from None


def _write_summary(heard: list[Heard], path: str, files: list[str]) -> None:
    by_file = {one.file: one for one in heard}
    write_bytes(path, (json.dumps({"recordings": [vars(by_file[file]) for file in files]}, indent=1) + "\n").encode())


def _written_at(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 where it isn't there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
