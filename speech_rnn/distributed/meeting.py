"""All workers meet before TensorFlow connects them.

TensorFlow waits for who is missing for an hour, and neither Ctrl-C nor SIGTERM ends it. So the chief listens at its own
address first, lets each of the others say who it is, and tells them when all are there. Nothing secret is said, and who
listens believes no one: a stranger is left alone.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from speech_rnn.distributed.cluster import Cluster, split_address
from speech_rnn.errors import SettingsError, SpeechRnnError

PATIENCE_S = 600.0
RETRY_S = 0.2
LOOK_EVERY_S = 1.0  # whether those who came are still there
HELLO_S = 2.0  # within which one who comes says who it is
LONGEST_LINE = 65_536  # bytes
ALL_HERE = b"all are here\n"
OTHERS = b"you know others\n"


def meet(cluster: Cluster, patience_s: float = PATIENCE_S) -> None:
    """Come back when all workers are there.

    Args:
        cluster: the workers.
        patience_s: how long is waited for them.

    Raises:
        SpeechRnnError: some haven't come, or another program has the chief's port.
        SettingsError: this worker and the chief were told of other workers.
    """
    if len(cluster.addresses) == 1:
        return
    until = time.monotonic() + patience_s
    if cluster.index == 0:
        _receive(cluster, until, patience_s)
    else:
        _report(cluster, until, patience_s)


def _receive(cluster: Cluster, until: float, patience_s: float) -> None:
    """As the chief: wait for the others, then send them on together."""
    others = set(range(1, len(cluster.addresses)))
    _say_who_is_awaited(cluster, others)
    here: dict[int, socket.socket] = {}
    try:
        with _listening(cluster, until) as server:
            while others - set(here):
                left = until - time.monotonic()
                if left <= 0:
                    raise _nobody(cluster, others - set(here), patience_s)
                server.settimeout(min(left, LOOK_EVERY_S))
                with suppress(TimeoutError):
                    _greet(server.accept()[0], cluster, others, here)
                for index in [index for index, connection in here.items() if _has_gone(connection)]:
                    here.pop(index).close()
        for connection in here.values():
            _send(connection, ALL_HERE)
    finally:
        for connection in here.values():
            connection.close()


def _greet(connection: socket.socket, cluster: Cluster, others: set[int], here: dict[int, socket.socket]) -> None:
    """Keep the connection of one of the others among those who are here; close any other."""
    index = _index(_line(connection, HELLO_S), cluster)
    if index in others:
        if index in here:  # begun anew
            here[index].close()
        here[index] = connection
        return
    if index is not None:
        _send(connection, OTHERS)
    connection.close()


def _index(hello: bytes, cluster: Cluster) -> int | None:
    """Who says so: -1 for one who was told of other workers, ``None`` for a stranger."""
    try:
        values = json.loads(hello)
        workers, index = values["workers"], values["index"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(index, int):
        return None
    return index if workers == list(cluster.addresses) else -1


def _has_gone(connection: socket.socket) -> bool:
    """Whether the other end is closed; who waits says nothing more."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _send(connection: socket.socket, line: bytes) -> None:
    with suppress(OSError):
        connection.sendall(line)


def _line(connection: socket.socket, within_s: float) -> bytes:
    """What the other end says, to the end of the line; less where it ends, is silent or says too much."""
    said, until = b"", time.monotonic() + within_s
    with suppress(OSError):
        while not said.endswith(b"\n") and len(said) < LONGEST_LINE and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            part = connection.recv(LONGEST_LINE - len(said))
            if not part:
                break
            said += part
    return said


@contextmanager
def _listening(cluster: Cluster, until: float) -> Iterator[socket.socket]:
    """A socket at the chief's port, once nobody else has it: a worker that was killed holds it for a moment."""
    _, port = split_address(cluster.addresses[0])
    dual = socket.has_dualstack_ipv6()
    while True:
        try:
            server = socket.create_server(
                ("", port), family=socket.AF_INET6 if dual else socket.AF_INET, dualstack_ipv6=dual
            )
            break
        except OSError as error:
            if time.monotonic() > until:
                raise SpeechRnnError(
                    f"port {port} of {cluster.addresses[0]} can't be listened at ({error.strerror}); give the chief "
                    "another one in TF_CONFIG"
                ) from None
        time.sleep(RETRY_S)
    with server:
        yield server


def _report(cluster: Cluster, until: float, patience_s: float) -> None:
    """As another worker: say to the chief that this one is there, until it says that all are."""
    _say_who_is_awaited(cluster, {0})
    chief = split_address(cluster.addresses[0])
    hello = json.dumps({"workers": cluster.addresses, "index": cluster.index}).encode() + b"\n"
    while (left := until - time.monotonic()) > 0:
        answer = b""
        with suppress(OSError), socket.create_connection(chief, timeout=left) as connection:
            connection.sendall(hello)
            answer = _line(connection, until - time.monotonic())
        if answer == ALL_HERE:
            return
        if answer == OTHERS:
            raise SettingsError(
                "TF_CONFIG names other workers, or in another order, than that of the chief at "
                f"{cluster.addresses[0]}; give all the same cluster, and each its own index"
            )
        time.sleep(min(RETRY_S, max(0.0, left)))
    raise _nobody(cluster, {0}, patience_s)


def _names(cluster: Cluster, workers: set[int]) -> str:
    return ", ".join(
        f"{'the chief' if worker == 0 else f'worker {worker}'} at {cluster.addresses[worker]}"
        for worker in sorted(workers)
    )


def _say_who_is_awaited(cluster: Cluster, missing: set[int]) -> None:
    # In one piece: print writes the end of the line by itself.
    sys.stderr.write(f"waiting for {_names(cluster, missing)}\n")
    sys.stderr.flush()


def _nobody(cluster: Cluster, missing: set[int], patience_s: float) -> SpeechRnnError:
    return SpeechRnnError(
        f"{_names(cluster, missing)} did not come within {patience_s:g} s; start all workers, each with its TF_CONFIG, "
        "and see that they reach each other"
    )
