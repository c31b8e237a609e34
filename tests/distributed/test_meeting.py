from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from speech_rnn.distributed import meeting
from speech_rnn.distributed.cluster import split_address
from speech_rnn.distributed.meeting import meet
from speech_rnn.errors import SettingsError, SpeechRnnError
from tests.distributed.addresses import cluster_of, free_addresses

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "RETRY_S", 0.01)
    monkeypatch.setattr(meeting, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(meeting, "HELLO_S", 0.2)


def connected(address: str) -> socket.socket:
    """A connection to the chief, as soon as it listens."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_connection(split_address(address))
        except OSError:
            assert time.monotonic() < until
            threading.Event().wait(0.01)


def hello(addresses: list[str], index: int) -> bytes:
    return json.dumps({"workers": addresses, "index": index}).encode() + b"\n"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_all_go_on_when_the_last_has_come_in_whatever_order(order: tuple[int, ...]) -> None:
    addresses = free_addresses(3)
    with ThreadPoolExecutor() as pool:
        come: list[Future[None]] = []

        for index in order:
            assert not any(one.done() for one in come)
            come.append(pool.submit(meet, cluster_of(addresses, index), PATIENCE_S))

        for one in come:
            one.result()


def test_one_alone_waits_for_nobody() -> None:
    meet(cluster_of(free_addresses(1), 0), 0.0)


def test_the_port_is_free_when_all_have_met() -> None:
    addresses = free_addresses(2)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda index: meet(cluster_of(addresses, index), PATIENCE_S), range(2)))

    socket.create_server(("", split_address(addresses[0])[1])).close()


def test_one_who_came_and_went_is_waited_for_again() -> None:
    addresses = free_addresses(3)
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meet, cluster_of(addresses, 0), PATIENCE_S)
        with connected(addresses[0]) as killed:
            killed.sendall(hello(addresses, 1))
        second = pool.submit(meet, cluster_of(addresses, 2), PATIENCE_S)

        threading.Event().wait(0.2)
        assert not chief.done()
        assert not second.done()
        meet(cluster_of(addresses, 1), PATIENCE_S)

        chief.result()
        second.result()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"PRI * HTTP/2.0\r\n",
        b"[1]\n",
        b'{"workers": 1, "index": []}\n',
        b'{"workers": [], "index": Infinity}\n',
        b"\xff" * 99,
    ],
)
def test_strangers_are_left_alone(said: bytes) -> None:
    addresses = free_addresses(2)
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meet, cluster_of(addresses, 0), PATIENCE_S)
        with connected(addresses[0]) as stranger:
            stranger.sendall(said)

            meet(cluster_of(addresses, 1), PATIENCE_S)

            assert stranger.recv(99) == b""
        chief.result()


def test_a_worker_that_meets_another_program_tries_again() -> None:
    addresses = free_addresses(2)
    with ThreadPoolExecutor() as pool:
        with socket.create_server(("", split_address(addresses[0])[1])) as other_program:
            worker = pool.submit(meet, cluster_of(addresses, 1), PATIENCE_S)
            connection, _ = other_program.accept()
            with connection:
                connection.sendall(b"\x00\x00\x12\x04 what HTTP/2 begins with")

        meet(cluster_of(addresses, 0), PATIENCE_S)

        worker.result()


@pytest.mark.parametrize(("index", "missing"), [(0, "worker 1 at {}, worker 2 at {}"), (2, "the chief at {}")])
def test_who_does_not_come_in_time_is_named(index: int, missing: str) -> None:
    addresses = free_addresses(3)
    missing = missing.format(*(addresses[1:] if index == 0 else addresses[:1]))

    with pytest.raises(SpeechRnnError) as found:
        meet(cluster_of(addresses, index), 0.1)

    assert str(found.value) == (
        f"{missing} did not come within 0.1 s; start all workers, each with its TF_CONFIG, and see that they reach "
        "each other"
    )


def test_who_was_told_of_other_workers_is_told_so() -> None:
    addresses = free_addresses(3)
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meet, cluster_of(addresses[:2], 0), 2.0)

        with pytest.raises(SettingsError, match="names other workers, or in another order, than that of the chief at"):
            meet(cluster_of([addresses[0], addresses[2]], 1), PATIENCE_S)

        with pytest.raises(SpeechRnnError, match=r"worker 1 at .* did not come within"):
            chief.result()


def test_a_port_that_another_program_holds_is_named() -> None:
    addresses = free_addresses(2)
    with (
        socket.create_server(("", split_address(addresses[0])[1])),
        pytest.raises(SpeechRnnError, match=r"port \d+ of localhost:\d+ can't be listened at \(Address already in use"),
    ):
        meet(cluster_of(addresses, 0), 0.1)


def test_it_says_once_for_whom_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    addresses = free_addresses(2)

    with pytest.raises(SpeechRnnError):
        meet(cluster_of(addresses, 1), 0.1)

    assert capsys.readouterr().err == f"waiting for the chief at {addresses[0]}\n"
