from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from speech_rnn.errors import SpeechRnnError
from speech_rnn.processes import map_in_order, n_cores, one_at_a_time

FOLLOWER = """
import os
import sys
import threading
from speech_rnn.processes import leave_with

leave_with(int(sys.argv[1]))
print("here", flush=True)
threading.Event().wait()
"""

WATCHER = """
import os
import sys
import threading
from speech_rnn.processes import process_pool

if __name__ == "__main__":
    pool = process_pool(2)
    print(*{pool.submit(os.getpid).result() for _ in range(20)}, flush=True)
    sys.stdin.read()
"""


def test_a_process_can_leave_with_another_that_is_not_its_parent() -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        command = [sys.executable, "-c", FOLLOWER, str(other.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "here\n"
            other.kill()

            assert follower.wait(30.0) == 1


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(map_in_order(abs, range(-50, 50), workers=2)) == [abs(item) for item in range(-50, 50)]


def test_one_worker_is_this_process() -> None:
    assert set(map_in_order(_own_id, range(3), workers=1)) == {os.getpid()}


def _own_id(_: int) -> int:
    return os.getpid()


def test_items_are_taken_only_as_results_are() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1_000):
            taken.append(item)
            yield item

    results = map_in_order(abs, items(), workers=2)
    assert next(results) == 0
    assert len(taken) == 4
    assert next(results) == 1
    assert len(taken) == 5
    results.close()


def test_an_error_of_the_work_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_in_order(int, ["1", "x", "2"], workers=2))


def test_a_killed_worker_is_an_error_of_one_line() -> None:
    with pytest.raises(SpeechRnnError, match="a worker process ended before its work was done") as found:
        list(map_in_order(os._exit, [3, 3], workers=2))

    assert "\n" not in str(found.value)


def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "watcher.py"
    script.write_text(WATCHER)
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
        assert workers

        parent.send_signal(signal.SIGKILL)
        parent.wait()

        gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (len(workers), [])


def test_the_cores_are_those_this_process_may_use() -> None:
    assert n_cores() == len(psutil.Process().cpu_affinity() or [])


def test_a_script_that_works_when_a_worker_imports_it_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib\n"
        "from speech_rnn.processes import map_in_order, one_at_a_time, process_pool\n"
        f"with one_at_a_time(pathlib.Path({str(tmp_path / 'lock')!r})):\n"
        "    print(list(map_in_order(abs, [-1, -2], 1, process_pool(1))))\n"
    )

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "put what it does under  if __name__ == '__main__':" in done.stderr


def test_who_has_to_wait_is_told_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with one_at_a_time(tmp_path / "lock"):
            order.append("second")

    with one_at_a_time(tmp_path / "lock"):
        waiting = threading.Thread(target=second)
        waiting.start()
        while not (said := capfd.readouterr().err):
            pass
        order.append("first")
    waiting.join()

    assert order == ["first", "second"]
    assert said == f"waiting for another process that works in {tmp_path}\n"
