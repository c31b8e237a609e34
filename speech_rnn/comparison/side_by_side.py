"""Work of a comparison in processes side by side, one thread each, that share the recordings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path
from typing import TypeVar

from speech_rnn.data.store import Store
from speech_rnn.errors import SpeechRnnError
from speech_rnn.processes import process_pool

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def side_by_side(jobs: int, store: Store, log: Path) -> Iterator[ProcessPoolExecutor]:
    """Processes for a block; at Ctrl-C and any other error they are ended.

    Args:
        jobs: how many.
        store: the recordings; in each process :func:`shared_store` gives them.
        log: a file for what the processes print, appended to.

    Raises:
        SpeechRnnError: a process was killed.
    """
    # Progress of several trainings, and what libraries print, would be a muddle on one terminal.
    with _descriptors_into(log):
        pool = process_pool(jobs, _prepare, store)
    try:
        yield pool
    except BrokenProcessPool:
        raise SpeechRnnError(
            "a training's process ended before its work was done, killed for want of memory perhaps; the same "
            "command goes on, with fewer --jobs it needs less"
        ) from None
    except BaseException:
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def as_done(pool: ProcessPoolExecutor, jobs: int, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``function(item)`` of each item, as soon as it is done.

    Args:
        pool: of :func:`side_by_side`.
        jobs: its processes.
        function: a module's.
        items: picklable; each is taken when a process is free for it.
    """
    running: set[Future[R]] = set()
    for item in items:
        running.add(pool.submit(function, item))
        if len(running) >= jobs:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()
    for one in as_completed(running):
        yield one.result()


def shared_store() -> Store:
    """The recordings that a process was given when it was started."""
    if _store is None:
        raise RuntimeError("a process of another pool")
    return _store


_store: Store | None = None  # of this process


def _prepare(store: Store) -> None:
    global _store  # noqa: PLW0603  # what prepares a process has no other place to leave it
    _store = store
    import tensorflow as tf

    # Other trainings have the other cores; and so figures don't depend on how many there are.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@contextmanager
def _descriptors_into(log: Path) -> Iterator[None]:
    """Processes that are started in the block write into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    try:
        with log.open("ab") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
