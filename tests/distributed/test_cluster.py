from __future__ import annotations

import json
from typing import Any

import pytest

from speech_rnn.distributed.cluster import EXAMPLE, Cluster, split_address
from speech_rnn.errors import SettingsError


def config(cluster: Any, kind: Any = "worker", index: Any = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_workers_are_numbered_in_their_order() -> None:
    found = Cluster.from_tf_config(config({"worker": ["one:1", "two:2"]}, index=1))

    assert found.addresses == ("one:1", "two:2")
    assert found.index == 1
    assert (found.job, found.task, found.jobs) == ("worker", 1, {"worker": ("one:1", "two:2")})


@pytest.mark.parametrize(("kind", "index", "number"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_a_chief_of_its_own_comes_first(kind: str, index: int, number: int) -> None:
    cluster = {"worker": ["one:1", "two:2"], "chief": ["zero:3"]}

    found = Cluster.from_tf_config(config(cluster, kind, index))

    assert found.addresses == ("zero:3", "one:1", "two:2")
    assert found.index == number


def test_what_kubeflow_adds_is_no_error() -> None:
    values = {**json.loads(EXAMPLE), "environment": "cloud"}

    assert Cluster.from_tf_config(json.dumps(values)).addresses == ("one:2222", "two:2222")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, f"TF_CONFIG is not set; it says who trains together, such as {EXAMPLE}"),
        ("", f"TF_CONFIG is not set; it says who trains together, such as {EXAMPLE}"),
        ("{'cluster'", "TF_CONFIG is no JSON (Expecting property name enclosed in double quotes"),
        ("[" * 100_000, "TF_CONFIG is no JSON (maximum recursion depth exceeded"),
        ("[]", "TF_CONFIG must have 'cluster' and 'task', each a dictionary; such as"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG must have 'cluster' and 'task', each a dictionary; such as"),
        (config({}), "TF_CONFIG names no worker in its cluster; such as"),
        (config({"worker": "a:1"}), "TF_CONFIG: worker='a:1' must be a list of 'host:port'; such as"),
        (config({"worker": ["a"]}), "TF_CONFIG: 'a' must be 'host:port' with a port from 1 to 65535; 'one:2222' would"),
        (config({"worker": ["a:0"]}), "TF_CONFIG: 'a:0' must be 'host:port' with a port from 1 to 65535; 'one:2222'"),
        (config({"worker": ["a:70000"]}), "TF_CONFIG: 'a:70000' must be 'host:port' with a port from 1 to 65535; "),
        (config({"worker": ["a:" + "9" * 5_000]}), "TF_CONFIG: 'a:999"),
        (config({"worker": ["a:٣"]}), "TF_CONFIG: 'a:٣' must be 'host:port' with a port from 1 to 65535; "),
        (config({"worker": [":1"]}), "TF_CONFIG: ':1' must be 'host:port' with a port from 1 to 65535; "),
        (config({"worker": [7]}), "TF_CONFIG: 7 must be 'host:port' with a port from 1 to 65535; "),
        (
            config({"worker": ["a:1", "b:1", "a:1"]}),
            "TF_CONFIG names a:1 twice, each worker must have an address of its own; change one",
        ),
        (
            config({"worker": ["a:1"], "ps": ["b:1"]}),
            "TF_CONFIG names 'ps' in its cluster, which must have only chief and worker; all of them learn, leave the "
            "others out",
        ),
        (
            config({"worker": ["a:1"], "chief": ["b:1", "c:1"]}),
            "TF_CONFIG names 2 chiefs, at most one may be; make the others worker",
        ),
        (
            config({"worker": ["a:1"]}, "chief"),
            "TF_CONFIG: task type 'chief' must be one of the cluster's, here 'worker'",
        ),
        (
            config({"worker": ["a:1"], "chief": ["b:1"]}, "evaluator"),
            "TF_CONFIG: task type 'evaluator' must be one of the cluster's, here 'chief' or 'worker'",
        ),
        (
            config({"worker": ["a:1", "b:1"]}, index=2),
            "TF_CONFIG: task index 2 must be from 0 to 1, for the cluster has 2 of type worker; each has its own",
        ),
        (config({"worker": ["a:1"]}, index="0"), "TF_CONFIG: task index '0' must be from 0 to 0"),
        (config({"worker": ["a:1"]}, index=True), "TF_CONFIG: task index True must be from 0 to 0"),
        (config({"worker": ["a:1"]}, index=-1), "TF_CONFIG: task index -1 must be from 0 to 0"),
    ],
)
def test_a_mistake_is_named_on_one_line(text: str | None, message: str) -> None:
    with pytest.raises(SettingsError) as found:
        Cluster.from_tf_config(text)

    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)


def test_an_address_is_split_at_its_last_colon() -> None:
    assert split_address("one:2222") == ("one", 2222)
    assert split_address("[::1]:2222") == ("::1", 2222)
