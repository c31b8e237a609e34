"""Workers as processes of this machine, forked from one that has imported TensorFlow."""

from __future__ import annotations

import multiprocessing.connection
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from speech_rnn.distributed.team import Team
from tests.distributed.addresses import cluster_of, free_addresses
from tests.forked import forking

PATIENCE_S = 120.0
LONGEST_S = 900.0


class Failed(NamedTuple):
    """What an error of a worker was."""

    told: str


def together(n: int, work: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """What ``work(team, ...)`` returns in each of ``n`` workers, ``None`` for one that dies; errors are raised here."""
    addresses = free_addresses(n)
    call = partial(work, **options)
    return _results([(_as_worker, (addresses, index, call, arguments)) for index in range(n)])


def with_two_devices(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work(team, *arguments)`` returns in a worker whose processor passes for two."""
    return _results([(_with_two_devices, (work, arguments))])[0]


def _results(members: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    context = forking()
    pipes = [context.Pipe(duplex=False) for _ in members]
    processes = [
        context.Process(target=_answer, args=(sending, function, arguments))
        for (_, sending), (function, arguments) in zip(pipes, members, strict=True)
    ]
    for process in processes:
        process.start()
    for _, sending in pipes:
        sending.close()
    waiting = {receiving: number for number, (receiving, _) in enumerate(pipes)}
    answers: list[Any] = [None] * len(members)
    try:
        while waiting:
            ready = multiprocessing.connection.wait(list(waiting), LONGEST_S)
            assert ready, f"no answer within {LONGEST_S:g} s"
            for receiving in [one for one in waiting if one in ready]:
                # Nothing comes from one who dies.
                with suppress(EOFError):
                    answers[waiting[receiving]] = receiving.recv()
                if isinstance(answer := answers[waiting.pop(receiving)], Failed):
                    raise AssertionError(answer.told)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return answers


def _answer(
    sending: multiprocessing.connection.Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    try:
        sending.send(function(*arguments))
    except Exception as error:
        sending.send(Failed("".join(traceback.format_exception(error))[-8_000:]))
    # Who answers first must not leave first: the others may still need it.
    os.read(os.pipe()[0], 1)


def _as_worker(addresses: list[str], index: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return work(Team.of_cluster(cluster_of(addresses, index), PATIENCE_S), *arguments)


def _with_two_devices(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    return work(Team.of_devices(["CPU:0", "CPU:1"]), *arguments)
