"""Work on all cores: results in order, never more than a few ahead, and no process left behind."""

from __future__ import annotations

import fcntl
import os
import platform
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import connection, current_process, get_context, parent_process
from pathlib import Path
from typing import TypeVar

from speech_rnn.errors import SpeechRnnError

T = TypeVar("T")
R = TypeVar("R")


def n_cores() -> int:
    """Cores that this process may use; a container often gives fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> str:
    """The processor, how many cores of it this process may use, and the system, on one line."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines() if sys.platform == "linux" else []
    names = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name"]
    processor = " ".join(names[0].split()) if names else platform.processor() or platform.machine()
    cores = n_cores()
    return f"{processor}, {cores} core{'' if cores == 1 else 's'}, {platform.system()}"


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Let one process at a time into the block; the lock falls with the process, however it ends.

    Args:
        lock: a file that is made, and its folder, where they aren't there; it stays.

    Raises:
        SpeechRnnError: this is a worker of the process that is in the block, and would wait for it for ever.
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing's own spawn.py finds it out
        raise SpeechRnnError(
            "a worker process is running the script that started it, which must not work when it is imported; "
            "put what it does under  if __name__ == '__main__':"
        )
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # In one piece: print writes the end of the line by itself.
            sys.stderr.write(f"waiting for another process that works in {lock.parent}\n")
            sys.stderr.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(lock: Path, refusal: SpeechRnnError) -> Iterator[None]:
    """Refuse where another process is in the block already; the lock falls with the process, however it ends.

    Args:
        lock: a file that is made where it isn't there; it stays.
        refusal: raised where another process is in the block.
    """
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise refusal from None
        yield


def process_pool(workers: int, prepare: Callable[..., None] | None = None, *arguments: object) -> ProcessPoolExecutor:
    """A pool of spawned processes that ends with this one, however it ends.

    Spawned, because a fork of a process in which TensorFlow runs threads may hang. They ignore Ctrl-C, which is this
    process's to handle, and leave by themselves when it is killed.

    Args:
        workers: processes.
        prepare: a module's function that each process calls first, with the arguments.
        arguments: picklable.
    """
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start, initargs=(prepare, arguments)
    )
    # A child inherits the mask: without it, Ctrl-C while it still imports would end it with a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        for _ in range(workers):
            pool.submit(_be_there)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int, pool: ProcessPoolExecutor | None = None
) -> Generator[R, None, None]:
    """``function(item)`` of each item, computed in ``workers`` processes, in the order of the items.

    At most ``2 * workers`` results are under way or waiting, so memory is bounded however slowly they are taken.

    Args:
        function: a module's function or another picklable callable; its errors are raised here.
        items: picklable; taken one by one, when there is room.
        workers: processes; with 1 and no pool everything happens in this one.
        pool: of that many workers, kept for further calls; one for this call alone where not given.

    Raises:
        SpeechRnnError: a process was killed.
    """
    if workers <= 1 and pool is None:
        yield from map(function, items)
        return
    used = pool or process_pool(workers)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(used.submit(function, item))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise SpeechRnnError(
            "a worker process ended before its work was done: killed for want of memory (then free some), or started "
            "by a script without `if __name__ == '__main__':` (then add it)"
        ) from None
    finally:
        for future in pending:
            future.cancel()
        if pool is None:
            used.shutdown(cancel_futures=True)


def leave_with(process: int) -> None:
    """End this process, from a thread beside its work, when another one of this machine ends, however it does.

    Args:
        process: the other's number.
    """
    threading.Thread(target=_leave_after, args=(process,), daemon=True).start()


def _leave_after(process: int) -> None:
    with suppress(ProcessLookupError):
        if hasattr(os, "pidfd_open"):
            connection.wait([os.pidfd_open(process)])
        else:
            while True:
                os.kill(process, 0)
                time.sleep(1.0)
    os._exit(1)


def _be_there() -> None:
    """Nothing; asked of each worker so that it is started."""


def _start(prepare: Callable[..., None] | None, arguments: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_when_orphaned, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _leave_when_orphaned() -> None:
    parent = parent_process()
    if parent is not None:
        # A pool's worker holds both ends of its queue and would wait for work for ever.
        connection.wait([parent.sentinel])
        os._exit(1)
