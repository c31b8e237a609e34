"""Clusters on this machine."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

from speech_rnn.distributed.cluster import Cluster


def free_addresses(n: int) -> list[str]:
    """Addresses of this machine that nobody listens at."""
    with ExitStack() as sockets:
        servers = [sockets.enter_context(socket.create_server(("localhost", 0))) for _ in range(n)]
        return [f"localhost:{server.getsockname()[1]}" for server in servers]


def tf_config(addresses: list[str], index: int) -> str:
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


def cluster_of(addresses: list[str], index: int) -> Cluster:
    return Cluster.from_tf_config(tf_config(addresses, index))
