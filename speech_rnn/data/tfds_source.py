"""Google Speech Commands through tensorflow-datasets: the path of whoever is online and has no folder yet.

TensorFlow Datasets keeps the label and the samples of a recording, not its file name: the speakers are unknown here,
the parts are those of the official lists, and every word but the ten commands is ``_unknown_``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import to_mono
from speech_rnn.data.clips import BACKGROUND_NOISE, SILENCE, Clip, Part
from speech_rnn.data.tfrecord import Record, scan
from speech_rnn.errors import DataError, SpeechRnnError
from speech_rnn.progress import progress

DATASET = "speech_commands"
PARTS: dict[str, Part] = {"train": "training", "validation": "validation", "test": "testing"}
RECORDED_RATE = 16_000
PIECE_STEP = 8_000  # the builder cuts background noise into seconds, one every half second
CONNECT_S = 15.0
DISK_TO_DOWNLOAD = 5.0  # the archives, and records of 64-bit variable-length integers

REMEDY = "or unpack the archive of Speech Commands into a folder and give that: --data FOLDER"


class TfdsSource:
    """The data set ``speech_commands`` of TensorFlow Datasets, downloaded on first use (2.5 GB, 12 GB on disk).

    Examples labelled ``_silence_`` are pieces of the background noise recordings; those of the training and
    validation split are joined again and offered as ``noises``. Those of the test split are cuts of the same
    recordings and are left out, so that nothing of the test is heard in training.

    Args:
        data_dir: where TensorFlow Datasets keeps its data; ``None``: where it usually does (``~/tensorflow_datasets``).
    """

    synthetic = False

    def __init__(self, data_dir: str | Path | None = None) -> None:
        self._data_dir = None if data_dir is None else Path(data_dir).expanduser()
        self.title = "tfds" if data_dir is None else f"tfds:{data_dir}"

    @property
    def origin(self) -> str:
        """Where the recordings are from, for the card."""
        name = self._builder.info.full_name
        return f"Google Speech Commands V2 through TensorFlow Datasets ({name}), arXiv:1804.03209, CC BY 4.0"

    @cached_property
    def clips(self) -> Sequence[Clip]:
        """All words, in the order of the data set's files."""
        names, silence = self._labels
        return tuple(
            Clip(name=f"{split}/{index:06d}", word=names[record.value], speaker="", part=part)
            for split, part in PARTS.items()
            for index, record in enumerate(self._records[split])
            if record.value != silence
        )

    @property
    def noises(self) -> Sequence[str]:
        """Names of the background noise recordings, in the order of the data set's files."""
        return tuple(f"{BACKGROUND_NOISE}/{index}" for index in range(len(self._noise)))

    def digest(self) -> str:
        """SHA-256 over the checksums that TFRecord files hold of each of their records; reads no recording."""
        digest = hashlib.sha256(self._builder.info.full_name.encode())
        for split, records in self._records.items():
            digest.update(f"\n{split} {len(records)}\n".encode())
            digest.update(b"".join(record.checksum for record in records))
        return digest.hexdigest()

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The words in the order of ``clips``: float32 [samples] at ``sample_rate``, natural length."""
        _, silence = self._labels
        with _data_errors(self.title):
            for split in PARTS:
                words = self._examples(split).filter(lambda example: example["label"] != silence)
                for example in words.as_numpy_iterator():
                    yield to_mono(example["audio"].astype(np.int16), RECORDED_RATE, sample_rate)

    @property
    def records(self) -> list[Record]:
        """The record of each clip, in the order of ``clips``."""
        _, silence = self._labels
        return [record for records in self._records.values() for record in records if record.value != silence]

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        """The background noise in the order of ``noises``: float32 [samples] at ``sample_rate``."""
        for recording in self._noise:
            yield to_mono(recording, RECORDED_RATE, sample_rate)

    @cached_property
    def _noise(self) -> list[NDArray[np.int16]]:
        """The background noise recordings, about seven minutes in all."""
        _, silence = self._labels
        recordings: list[NDArray[np.int16]] = []
        with _data_errors(self.title):
            for split in ("train", "validation"):
                pieces = self._examples(split).filter(lambda example: example["label"] == silence)
                recordings += join_pieces([piece["audio"].astype(np.int16) for piece in pieces.as_numpy_iterator()])
        return recordings

    @cached_property
    def _records(self) -> dict[str, list[Record]]:
        """Label and checksum of every record by split, in the order of the files."""
        splits = self._builder.info.splits
        records: dict[str, list[Record]] = {split: [] for split in PARTS}
        total = sum(splits[split].num_examples for split in PARTS)
        with _data_errors(self.title), progress(f"{self.title}: reading labels", total) as bar:
            for split, found in records.items():
                for path in splits[split].filepaths:
                    for record in scan(Path(path), "label"):
                        found.append(record)
                        bar.advance()
        return records

    @property
    def _labels(self) -> tuple[list[str], int]:
        """All label names in their order, and the number of silence among them."""
        names = list(self._builder.info.features["label"].names)
        return names, names.index(SILENCE)

    def _examples(self, split: str) -> Any:
        """The records of a split as a tf.data.Dataset, in the order of the files."""
        tfds = _tensorflow_datasets()
        return self._builder.as_dataset(
            split=split,
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )

    @cached_property
    def _builder(self) -> Any:
        """The data set's builder, its data on disk."""
        tfds = _tensorflow_datasets()
        if self._data_dir is not None and self._data_dir.exists() and not self._data_dir.is_dir():
            raise DataError(f"{self.title} must name a folder, this is a file; give the folder that holds {DATASET}/")
        with _data_errors(self.title), _quiet_logs():
            with _quiet_descriptor():  # here TensorFlow is imported
                builder = tfds.builder(DATASET, data_dir=self._data_dir)
            if not builder.is_prepared():
                _prepare(builder, tfds)
        return builder


def join_pieces(pieces: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
    """Put recordings together again that were cut into pieces of which each begins in the middle of the one before.

    Args:
        pieces: int16 [samples] each, in any order; those of ``2 * PIECE_STEP`` samples are joined where the second half
            of exactly one is the first half of exactly one other. The rest comes back as it is.

    Returns:
        The recordings, in the order in which their first pieces stand.
    """
    whole = [index for index, piece in enumerate(pieces) if len(piece) == 2 * PIECE_STEP]
    heads = _only_one({index: pieces[index][:PIECE_STEP].tobytes() for index in whole})
    tails = _only_one({index: pieces[index][PIECE_STEP:].tobytes() for index in whole})
    follower = {index: heads[half] for half, index in tails.items() if half in heads}
    followers = set(follower.values())

    recordings = []
    seen: set[int] = set()
    # A loop has no first piece: what is left after the chains begins anywhere.
    for start in [index for index in range(len(pieces)) if index not in followers] + sorted(followers):
        if start in seen:
            continue
        seen.add(start)
        parts, last = [pieces[start]], start
        while (following := follower.get(last)) is not None and following not in seen:
            parts.append(pieces[following][PIECE_STEP:])
            seen.add(following)
            last = following
        recordings.append((start, np.concatenate(parts)))
    return [recording for _, recording in sorted(recordings, key=lambda entry: entry[0])]


def _only_one(halves: dict[int, bytes]) -> dict[bytes, int]:
    """Which piece has a half, for the halves that exactly one piece has."""
    owner: dict[bytes, int] = {}
    doubled: set[bytes] = set()
    for index, half in halves.items():
        if half in owner:
            doubled.add(half)
        owner[half] = index
    return {half: index for half, index in owner.items() if half not in doubled}


def _prepare(builder: Any, tfds: Any) -> None:
    """Download the archives, check their digests, write the records."""
    import requests

    folder = Path(builder.data_path)
    needed = DISK_TO_DOWNLOAD * sum(info.size for info in builder.url_infos.values())
    free = shutil.disk_usage(next(parent for parent in folder.parents if parent.is_dir())).free
    if free < needed:
        raise DataError(
            f"{str(folder)!r} needs {needed / 1e9:.1f} GB of disk for download and records, "
            f"{free / 1e9:.1f} GB are free; give a folder on another disk: --data tfds:DIR, {REMEDY}"
        )
    for url in builder.url_infos:  # said at once; the builder itself tries for minutes
        requests.head(url, timeout=CONNECT_S, allow_redirects=True).raise_for_status()
    if sys.stderr.isatty():
        tfds.enable_progress_bar()
    else:
        tfds.disable_progress_bar()
        print(f"tfds: downloading {DATASET} into {builder.data_path}; this takes a while", file=sys.stderr, flush=True)
    with redirect_stdout(StringIO()):  # what it prints there would stand in the way of --json
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False, force_checksums_validation=True)
        )


def _tensorflow_datasets() -> Any:
    with _quiet_logs(), _quiet_descriptor(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub's: escapes that Python no longer likes, and that it found no ffmpeg
        try:
            import pydub  # noqa: F401  # what decodes WAV there, and is imported only then
            import tensorflow_datasets
        except ImportError as error:
            raise DataError(
                f"--data tfds needs tensorflow-datasets ({error}); pip install 'speech-rnn[train]', {REMEDY}"
            ) from None
    return tensorflow_datasets


@contextmanager
def _data_errors(title: str) -> Iterator[None]:
    """Turn whatever the network, the disk or TensorFlow raise into one line."""
    try:
        yield
    except SpeechRnnError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if len(reason) > 240:
            reason = f"{reason[:240]}…"
        raise DataError(
            f"{title} can't be used: {type(error).__name__}: {reason}; mend that and try again, {REMEDY}"
        ) from error


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """TFDS reports each retry and each absent file as a warning; what matters arrives as an exception."""
    loggers = [logging.getLogger(name) for name in ("absl", "urllib3", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _quiet_descriptor() -> Iterator[None]:
    """Close standard error to TensorFlow's C++, which writes to it before its own log level can be set."""
    try:
        kept = os.dup(2)
    except OSError:  # a process without standard error
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
