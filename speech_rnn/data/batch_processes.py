"""Processes that make batches ahead, while the model learns from the batch before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from threadpoolctl import threadpool_limits

from speech_rnn import features
from speech_rnn.config import RunSettings
from speech_rnn.data.bending import Batch
from speech_rnn.processes import map_in_order, n_cores, process_pool

Asked = TypeVar("Asked")
Asked_contra = TypeVar("Asked_contra", contravariant=True)


class Maker(Protocol[Asked_contra]):
    """What makes a batch of what is asked; picklable."""

    settings: RunSettings

    def make(self, asked: Asked_contra) -> Batch:
        """A batch."""


class BatchProcesses(Generic[Asked]):
    """They are started once; with none, batches are made where they are asked for."""

    def __init__(self, maker: Maker[Asked], workers: int | None = None) -> None:
        """Start them.

        Args:
            maker: makes the batches.
            workers: how many processes; as many as there are cores where not given.
        """
        self._maker = maker
        self._workers = n_cores() if workers is None else workers
        basis = features.basis(maker.settings.features)
        self._pool = process_pool(self._workers, _take, maker, basis) if self._workers else None

    def made(self, asked: Iterable[Asked]) -> Iterator[Batch]:
        """A batch of each, in order.

        Raises:
            SpeechRnnError: a process was killed.
        """
        if self._pool is None:
            return map(self._maker.make, asked)
        return map_in_order(_make, asked, self._workers, self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_maker: Maker[Any] | None = None  # of this process


def _take(maker: Maker[Any], basis: features.Basis) -> None:
    global _maker  # noqa: PLW0603  # what prepares a worker has no other place to leave it
    _maker = maker
    # Made here it would cost each worker the start of librosa, 2.6 s.
    features.adopt(basis)
    # A worker a core: threads of the matrix library beside them only cost.
    threadpool_limits(1)


def _make(asked: Any) -> Batch:  # of the maker's kind
    if _maker is None:
        raise RuntimeError("a worker of another pool")
    return _maker.make(asked)
