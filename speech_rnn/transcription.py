"""Many long recordings -> a transcript each, as an Apache Beam pipeline: here, or on Flink, Spark or Dataflow.

A worker loads the model once. Recordings are read from any file system that Beam reads; one that can't be heard to its
end is listed in the summary and doesn't stop the others. Nothing of TensorFlow is loaded.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from speech_rnn import atomic
from speech_rnn.audio import read_blocks
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, DataError, SpeechRnnError
from speech_rnn.progress import progress
from speech_rnn.runtime import Recognizer, load
from speech_rnn.transcript import BLOCK_S, Format, Transcript, check_names, track_name

SUMMARY = "recordings.heard.json"
LOOKS_EVERY_S = 0.5  # how far the work is


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
    names: Sequence[str],
    model: str,
    config: DetectorConfig,
    form: Format,
    folder: str,
    *,
    options: PipelineOptions,
) -> list[Heard]:
    """Write what is heard in each recording into a folder, and a summary beside.

    Args:
        names: files; on another file system than this machine's patterns too, ``gs://bucket/monday/*.flac``.
        model: of a shipped model, or its folder, as every worker sees it.
        config: of the detector.
        form: of the transcripts.
        folder: for the transcripts; made where it isn't there.
        options: of the pipeline; its runner among them.

    Returns:
        What became of each, in the order of the names.

    Raises:
        DataError: no recording has such a name, a file system isn't known, or the folder can't be written.
        AudioError: two transcripts would have the same name.
        SpeechRnnError: the runner gave up.
    """
    files = matching(names)
    check_names(tuple(Path(file) for file in files), form)
    if "://" not in folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    summary = joined(folder, SUMMARY)
    with _watched(folder, files, form):
        try:
            with beam.Pipeline(options=options) as pipeline:
                (
                    pipeline
                    | beam.Create(files)
                    | beam.Reshuffle()
                    | beam.ParDo(_Transcribe(model, config.to_json(), form, folder))
                    | beam.combiners.ToList()
                    | beam.Map(_write_summary, summary, files)
                )
        except SpeechRnnError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()).partition(" [while running")[0]
            raise SpeechRnnError(f"the pipeline gave up ({reason[:300]}); mend that and run it again") from error
    with FileSystems.open(summary) as file:
        return [Heard(**one) for one in json.loads(file.read())["recordings"]]


def matching(names: Sequence[str]) -> list[str]:
    """The files that names are of; a name of this machine is one as it stands, others may be patterns.

    Raises:
        DataError: a pattern matches nothing, or its file system isn't known.
    """
    files: list[str] = []
    for name in names:
        if "://" not in name:
            files.append(name)
            continue
        try:
            found = [metadata.path for result in FileSystems.match([name]) for metadata in result.metadata_list]
        except Exception as error:  # each file system has its own
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{name!r} can't be looked up ({reason}); the library of its file system may be missing, as in "
                "pip install 'apache-beam[gcp]'"
            ) from None
        if not found:
            raise DataError(f"{name!r} matches no file; check the name")
        files += sorted(found)
    return list(dict.fromkeys(files))


def joined(folder: str, name: str) -> str:
    """A file in a folder, on whichever file system."""
    return str(FileSystems.join(folder, name)) if "://" in folder else str(Path(folder) / name)


class _Transcribe(beam.DoFn):  # type: ignore[misc]  # Beam's class has no types
    def __init__(self, model: str, config: str, form: Format, folder: str) -> None:
        self._model, self._config, self._form, self._folder = model, config, form, folder
        self._recognizer: Recognizer | None = None

    def setup(self) -> None:
        """Once a worker."""
        self._recognizer = load(self._model)

    def process(self, file: str) -> Iterator[Heard]:
        """A recording."""
        if self._recognizer is None:
            raise RuntimeError("a worker that was not set up")
        config, rate = DetectorConfig.from_json(self._config), self._recognizer.sample_rate
        written: list[str] = []
        transcript = Transcript(written.append, self._form, names=False)
        stream, n_samples, detections, error = self._recognizer.stream(config), 0, 0, ""
        try:
            with _local(file) as path:
                for block in read_blocks(path, rate, BLOCK_S):
                    n_samples += len(block)
                    for detection in stream.accept(block, rate):
                        transcript.add(Path(file), detection)
                        detections += 1
            for detection in stream.finish():
                transcript.add(Path(file), detection)
                detections += 1
            transcript.end(Path(file))
        except (AudioError, OSError) as found:
            error = str(found)
        else:
            _write(joined(self._folder, track_name(Path(file), self._form)), "".join(written))
        yield Heard(file, round(n_samples / rate, 3), detections, error)


@contextmanager
def _local(file: str) -> Iterator[Path]:
    """A file of any file system as one of this machine: decoders want to go back and forth in it."""
    if "://" not in file:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory(prefix="speech_rnn_recording_") as folder:
        path = Path(folder) / f"recording{PurePosixPath(file).suffix}"
        with FileSystems.open(file) as remote, path.open("wb") as local:
            shutil.copyfileobj(remote, local)
        try:
            yield path
        except AudioError as error:
            raise AudioError(str(error).replace(str(path), file)) from None


def _write(path: str, text: str) -> None:
    """Write a file whole or not at all; other file systems show a file when it is closed."""
    if "://" not in path:
        atomic.write_text(Path(path), text)
        return
    with FileSystems.create(path) as file:
        file.write(text.encode())


def _write_summary(heard: list[Heard], path: str, files: list[str]) -> None:
    by_file = {one.file: one for one in heard}
    _write(path, json.dumps({"recordings": [vars(by_file[file]) for file in files]}, indent=1) + "\n")


@contextmanager
def _watched(folder: str, files: Sequence[str], form: Format) -> Iterator[None]:
    """Progress while the runner works, by the transcripts that appear; elsewhere the runner shows its own."""
    if "://" in folder:
        yield
        return
    paths = [Path(folder) / track_name(Path(file), form) for file in files]
    before = {path: _changed(path) for path in paths}
    ended = threading.Event()

    def watch() -> None:
        told = 0
        with progress("recordings", len(files)) as report:
            while not ended.wait(LOOKS_EVERY_S):
                done = sum(_changed(path) != before[path] for path in paths)
                if done > told:
                    report.advance(done - told)
                    told = done

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _changed(path: Path) -> Any:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
