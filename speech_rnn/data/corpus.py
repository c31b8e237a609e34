"""The embedded corpus: synthetic words in Ogg/Opus files, many to a file, and what the index says of them.

``datasets/README.md`` says how it is made.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from speech_rnn.audio import to_mono
from speech_rnn.data.clips import Clip, Part
from speech_rnn.errors import DataError

INDEX_VERSION = 1
INDEX = "index.json"

_Count = Annotated[int, Field(ge=0)]
_Length = Annotated[int, Field(ge=1)]
# Below the corpus's folder, in a folder of its own.
_FilePath = Annotated[str, Field(pattern=r"^[a-z_]+/[a-z_]+\.opus$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _File(_Strict):
    path: _FilePath
    samples: _Length
    sha256: _Sha256


F = TypeVar("F", bound=_File)


class _WordFile(_File):
    """Many clips of one word; a clip is the decoded samples from start to start + length."""

    part: Part
    word: str
    speakers: list[str]
    starts: list[_Count]
    lengths: list[_Length]

    @model_validator(mode="after")
    def _clips_lie_in_the_file(self) -> _WordFile:
        if not len(self.speakers) == len(self.starts) == len(self.lengths) > 0:
            raise ValueError(f"{self.path} must have as many speakers as starts and lengths, and at least one")
        if any(start + length > self.samples for start, length in zip(self.starts, self.lengths, strict=True)):
            raise ValueError(f"{self.path} has a clip that goes beyond its {self.samples} samples")
        return self


class _Noise(_File):
    name: str


class _Index(_Strict):
    version: int
    origin: str
    sample_rate: Annotated[int, Field(ge=8_000, le=48_000)]
    seed: int
    made_with: dict[str, str]
    files: Annotated[list[_WordFile], Field(min_length=1)]
    noises: list[_Noise]


class CorpusSource:
    """The embedded corpus as a source of clips; it fulfils :class:`speech_rnn.data.clips.Source`.

    Args:
        folder: another corpus of the same form; else the one that came with the package.

    Raises:
        DataError: there is none, or its index is damaged or of another version.
    """

    synthetic = True

    def __init__(self, folder: Path | None = None) -> None:
        self.title = "corpus" if folder is None else str(folder)
        self._folder = corpus_folder() if folder is None else folder
        self._index_bytes = self._bytes(INDEX)
        self._index = self._read_index()
        self.origin = self._index.origin
        self.clips = tuple(self._list_clips())
        self.noises = tuple(noise.name for noise in self._index.noises)

    def digest(self) -> str:
        """SHA-256 of the index, which holds that of each file; a file that isn't as it says is refused when read."""
        return hashlib.sha256(self._index_bytes).hexdigest()

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The words, trimmed, in the order of ``clips``: float32 [samples] at ``sample_rate``.

        Raises:
            DataError: a file is missing or damaged.
        """
        for file, samples in self._decoded(self._index.files):
            yield from self._cut(file, samples, sample_rate)

    @property
    def clips_of_files(self) -> list[int]:
        """How many clips each file holds, in the order of ``clips``."""
        return [len(file.starts) for file in self._index.files]

    def waveforms_of(self, file: int, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """Those of :meth:`waveforms` that one file holds, by its number; nothing else is decoded."""
        return self._cut(self._index.files[file], self._decode(self._index.files[file]), sample_rate)

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The background noise in the order of ``noises``: float32 [samples] at ``sample_rate``.

        Raises:
            DataError: a file is missing or damaged.
        """
        for _, samples in self._decoded(self._index.noises):
            yield to_mono(samples, self._index.sample_rate, sample_rate)

    def _cut(self, file: _WordFile, samples: NDArray[np.float32], sample_rate: int) -> Iterator[NDArray[np.float32]]:
        for start, length in zip(file.starts, file.lengths, strict=True):
            yield to_mono(samples[start : start + length], self._index.sample_rate, sample_rate)

    def _list_clips(self) -> Iterator[Clip]:
        takes: Counter[tuple[str, str]] = Counter()
        for file in self._index.files:
            for speaker in file.speakers:
                # As Speech Commands names its clips: word, speaker, how many of the two before.
                name = f"{file.word}/{speaker}_nohash_{takes[file.word, speaker]}"
                takes[file.word, speaker] += 1
                yield Clip(name=name, word=file.word, speaker=speaker, part=file.part)

    def _decoded(self, files: list[F]) -> Iterator[tuple[F, NDArray[np.float32]]]:
        """Each file decoded, in order; the next ones are being decoded meanwhile (libsndfile needs no GIL)."""
        n_workers = os.cpu_count() or 1
        waiting: deque[tuple[F, Future[NDArray[np.float32]]]] = deque()
        with ThreadPoolExecutor(n_workers) as pool:
            try:
                for file in files:
                    waiting.append((file, pool.submit(self._decode, file)))
                    if len(waiting) > n_workers:
                        done, future = waiting.popleft()
                        yield done, future.result()
                for done, future in waiting:
                    yield done, future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _decode(self, file: _File) -> NDArray[np.float32]:
        data = self._bytes(file.path)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DataError(
                f"{str(self._folder / file.path)!r} is damaged: its SHA-256 is not the one in {INDEX}; "
                "get the corpus again, or build it with datasets/build_corpus.py"
            )
        try:
            samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise DataError(
                f"{str(self._folder / file.path)!r} can't be decoded: {error}; build the corpus again"
            ) from None
        if samples.shape != (file.samples,) or rate != self._index.sample_rate:
            raise DataError(
                f"{str(self._folder / file.path)!r} holds {samples.shape} samples at {rate} Hz, {INDEX} says "
                f"{file.samples} at {self._index.sample_rate} Hz; build the corpus again"
            )
        decoded: NDArray[np.float32] = samples
        return decoded

    def _bytes(self, path: str) -> bytes:
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            raise DataError(
                f"{str(self._folder / path)!r} can't be read: {error.strerror}; get the corpus again, or build it "
                "with datasets/build_corpus.py"
            ) from None

    def _read_index(self) -> _Index:
        where = repr(str(self._folder / INDEX))
        try:
            version = json.loads(self._index_bytes)["version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{where} is not the index of a corpus; get the corpus again") from None
        if version != INDEX_VERSION:
            raise DataError(f"{where} has version {version!r}, must be {INDEX_VERSION}; update speech_rnn")
        try:
            return _Index.model_validate_json(self._index_bytes)
        except ValidationError as error:
            finding = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in finding["loc"])
            raise DataError(f"{where} is damaged at {name}: {finding['msg']}; get the corpus again") from None


def corpus_folder() -> Path:
    """Where the embedded corpus is: inside the installed package, or beside the package in a checkout.

    Raises:
        DataError: in neither place.
    """
    package = Path(str(resources.files("speech_rnn")))
    for folder in (package / "datasets" / "corpus", package.parent / "datasets" / "corpus"):
        if (folder / INDEX).is_file():
            return folder
    raise DataError(
        f"the embedded corpus is neither in {str(package / 'datasets')!r} nor in {str(package.parent / 'datasets')!r}; "
        "install speech_rnn again, or build it with datasets/build_corpus.py"
    )
