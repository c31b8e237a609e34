"""Features of many clips on all cores, the same to the bit as on one.

Clips go to the workers and features come back through a few places in shared memory, each used again and again: what
is passed through a pipe instead is copied five times.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.config import FeatureSettings
from speech_rnn.features import Basis, adopt, basis, log_mel, mfcc
from speech_rnn.processes import map_in_order, n_cores, process_pool
from speech_rnn.progress import progress

Kind = Literal["mfcc", "log_mel"]

TASK_CLIPS = 64
TASK_BYTES = 2**22  # of samples or features, whichever are more
FEW_CLIPS = 4_000  # take a second in one process, about as long as two need to start


class Rows(Protocol):
    """Clips that are read by number, in whichever process; picklable. The decoded store is one."""

    def __len__(self) -> int:
        """Number of clips."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """Clips as int16 [n, samples], full scale 32,768, all of one length."""


def mfcc_parallel(
    samples: NDArray[np.float32] | Rows, settings: FeatureSettings, workers: int | None = None
) -> NDArray[np.float32]:
    """MFCC of many clips on all cores, with progress; the same to the bit as ``features.mfcc``.

    Args:
        samples: float32 [clips, samples], full scale ±1, or rows, which the workers read themselves.
        settings: the front end.
        workers: processes. Where not given, one a core, or this one alone for less than 4,000 clips.

    Returns:
        float32 [clips, frames, n_mfcc].

    Raises:
        AudioError: shorter than a frame, NaN or infinity, or integers that were not scaled.
        SpeechRnnError: a worker was killed.
    """
    with FeatureWorkers(samples, settings, workers) as at_work, progress("features", len(samples)) as report:
        result = np.empty(at_work.shape, np.float32)
        for clips, features in at_work.blocks():
            result[clips] = features
            report.advance(len(features))
    return result


class FeatureWorkers:
    """Processes that transform one array or rows; they are started once and can be used again."""

    def __init__(
        self,
        samples: NDArray[np.float32] | Rows,
        settings: FeatureSettings,
        workers: int | None = None,
        kind: Kind = "mfcc",
    ) -> None:
        """Get ready; arguments as for :func:`mfcc_parallel`. ``shape`` is that of the whole result."""
        self._samples, self._settings, self._kind = samples, settings, kind
        # The first clip shows what is wrong with all of them, and how long they are.
        first = _read(samples, slice(0, min(1, len(samples))))
        clip_length, shape = first.shape[-1], _transform(first, settings, kind).shape[1:]
        self.shape = (len(samples), *shape)
        self._step = min(TASK_CLIPS, max(1, TASK_BYTES // (4 * max(clip_length, int(np.prod(shape))))))
        if workers is None:
            workers = n_cores() if len(samples) > FEW_CLIPS else 1
        self._workers = min(workers, -(-len(samples) // self._step))
        self._buffers: _SharedBuffers | None = None
        self._pool: ProcessPoolExecutor | None = None
        if self._workers > 1:
            rows = None if isinstance(samples, np.ndarray) else samples
            self._buffers = _SharedBuffers(
                places=2 * self._workers,  # map_in_order has no more tasks than these under way
                samples=(self._step, clip_length if rows is None else 0),
                features=(self._step, *shape),
            )
            self._pool = process_pool(self._workers, _start_worker, self._buffers, basis(settings), rows, kind)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Which clips, and their features, in order; the array is written over when the next are asked for."""
        n_clips = len(self._samples)
        starts = range(0, n_clips, self._step)
        if self._pool is None or self._buffers is None:
            for start in starts:
                clips = slice(start, min(start + self._step, n_clips))
                yield clips, _transform(_read(self._samples, clips), self._settings, self._kind)
            return
        samples, features = self._buffers.arrays()

        def tasks() -> Iterator[_Task]:
            for number, start in enumerate(starts):
                task = _Task(number % len(samples), start, min(start + self._step, n_clips))
                if isinstance(self._samples, np.ndarray):
                    samples[task.place, : task.n_clips] = self._samples[task.start : task.stop]
                yield task

        for task in map_in_order(_compute, tasks(), self._workers, self._pool):
            yield slice(task.start, task.stop), features[task.place, : task.n_clips]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Task:
    place: int
    start: int
    stop: int

    @property
    def n_clips(self) -> int:
        return self.stop - self.start


class _SharedBuffers:
    """Places in memory that this process and its workers share; picklable while a process starts."""

    def __init__(self, places: int, samples: tuple[int, int], features: tuple[int, int, int]) -> None:
        self._shapes = (places, *samples), (places, *features)
        # A RawArray is an unlinked file: nothing stays when all are killed, and a small /dev/shm is no limit.
        self._memory: Any = get_context("spawn").RawArray("f", sum(int(np.prod(shape)) for shape in self._shapes))

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Samples [places, clips, samples] and features [places, clips, frames, n_mfcc]."""
        flat = np.frombuffer(self._memory, np.float32)
        end = int(np.prod(self._shapes[0]))
        return flat[:end].reshape(self._shapes[0]), flat[end:].reshape(self._shapes[1])


@dataclass(frozen=True)
class _WorkerState:
    """What a worker has before it."""

    samples: NDArray[np.float32]
    features: NDArray[np.float32]
    rows: Rows | None
    settings: FeatureSettings
    kind: Kind


_state: _WorkerState | None = None


def _start_worker(buffers: _SharedBuffers, basis: Basis, rows: Rows | None, kind: Kind) -> None:
    global _state  # noqa: PLW0603  # what prepares a worker has no other place to leave it
    adopt(basis)
    # A worker a core: threads of the matrix library beside them only cost.
    threadpool_limits(1)
    # glibc gives memory back, and takes it anew page by page, beyond twice the largest piece freed so far.
    np.empty(2**24, np.uint8)
    _state = _WorkerState(*buffers.arrays(), rows, basis.settings, kind)


def _compute(task: _Task) -> _Task:
    if _state is None:
        raise RuntimeError("a worker of another pool")
    if _state.rows is None:
        samples = _state.samples[task.place, : task.n_clips]
    else:
        samples = _read(_state.rows, slice(task.start, task.stop))
    _state.features[task.place, : task.n_clips] = _transform(samples, _state.settings, _state.kind)
    return task


def _transform(samples: NDArray[np.float32], settings: FeatureSettings, kind: Kind) -> NDArray[np.float32]:
    return mfcc(samples, settings) if kind == "mfcc" else log_mel(samples, settings)


def _read(samples: NDArray[np.float32] | Rows, clips: slice) -> NDArray[np.float32]:
    if isinstance(samples, np.ndarray):
        return samples[clips]
    return samples.read(np.arange(clips.start, clips.stop)) * np.float32(1 / FULL_SCALE_INT16)
