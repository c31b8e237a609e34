"""Who trains together, from TF_CONFIG, checked before TensorFlow sees it.

The variable is TensorFlow's own, https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
and what Kubeflow's training operator sets; chief and workers are known here, parameter servers and evaluators are not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from speech_rnn.errors import SettingsError
from speech_rnn.settings import shown

EXAMPLE = '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'
JOBS = ("chief", "worker")  # in the order in which TensorFlow counts them


@dataclass(frozen=True)
class Cluster:
    """Who trains together.

    Attributes:
        jobs: job -> ``host:port`` of each of its tasks; ``chief`` first where there is one.
        job: this process's.
        task: its number in the job.
    """

    jobs: dict[str, tuple[str, ...]]
    job: str
    task: int

    @classmethod
    def from_tf_config(cls, text: str | None) -> Self:
        """What TF_CONFIG says.

        Args:
            text: of the variable; ``None`` where it is not set.

        Raises:
            SettingsError: it is missing, is no JSON, or names no such cluster.
        """
        if not text:
            raise SettingsError(f"TF_CONFIG is not set; it says who trains together, such as {EXAMPLE}")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"TF_CONFIG is no JSON ({error}); such as {EXAMPLE} is meant") from None
        cluster, task = (values.get(name) if isinstance(values, dict) else None for name in ("cluster", "task"))
        if not isinstance(cluster, dict) or not isinstance(task, dict):
            raise SettingsError(f"TF_CONFIG must have 'cluster' and 'task', each a dictionary; such as {EXAMPLE}")
        return cls(_jobs(cluster), *_task(task, cluster))

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of all workers; the first is the chief's."""
        return tuple(address for job in JOBS for address in self.jobs.get(job, ()))

    @property
    def index(self) -> int:
        """This worker's number among all."""
        return self.task + (len(self.jobs.get("chief", ())) if self.job == "worker" else 0)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _jobs(cluster: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    unknown = sorted(set(cluster) - set(JOBS))
    if unknown:
        raise SettingsError(
            f"TF_CONFIG names {shown(unknown[0])} in its cluster, which must have only chief and worker; all of them "
            "learn, leave the others out"
        )
    jobs = {job: cluster[job] for job in JOBS if cluster.get(job)}
    for job, addresses in jobs.items():
        if not isinstance(addresses, list):
            raise SettingsError(f"TF_CONFIG: {job}={shown(addresses)} must be a list of 'host:port'; such as {EXAMPLE}")
        for address in addresses:
            _check_address(address)
    if len(jobs.get("chief", ())) > 1:
        raise SettingsError(f"TF_CONFIG names {len(jobs['chief'])} chiefs, at most one may be; make the others worker")
    addresses = [address for addresses in jobs.values() for address in addresses]
    if not addresses:
        raise SettingsError(f"TF_CONFIG names no worker in its cluster; such as {EXAMPLE} is meant")
    twice = next((address for address in addresses if addresses.count(address) > 1), None)
    if twice is not None:
        raise SettingsError(f"TF_CONFIG names {twice} twice, each worker must have an address of its own; change one")
    return {job: tuple(addresses) for job, addresses in jobs.items()}


def _check_address(address: object) -> None:
    host, colon, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    is_number = port.isascii() and port.isdecimal() and len(port) < 6
    if not (host and colon and is_number and 0 < int(port) < 2**16):
        raise SettingsError(
            f"TF_CONFIG: {shown(address)} must be 'host:port' with a port from 1 to 65535; 'one:2222' would be right"
        )


def _task(task: dict[str, Any], cluster: dict[str, Any]) -> tuple[str, int]:
    job, index = task.get("type"), task.get("index")
    if job not in JOBS or not cluster.get(job):
        known = " or ".join(repr(job) for job in JOBS if cluster.get(job))
        raise SettingsError(f"TF_CONFIG: task type {shown(job)} must be one of the cluster's, here {known}")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(cluster[job]):
        raise SettingsError(
            f"TF_CONFIG: task index {shown(index)} must be from 0 to {len(cluster[job]) - 1}, for the cluster has "
            f"{len(cluster[job])} of type {job}; each has its own"
        )
    return job, index
