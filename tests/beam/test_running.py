from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PortableOptions

from speech_rnn.beam import running as running_module
from speech_rnn.beam.running import engine, running
from speech_rnn.errors import DataError, SettingsError, SpeechRnnError


def test_this_machine_is_the_usual_engine_in_one_process() -> None:
    here = engine(None, [], None)

    assert here.here
    assert here.workers_for(100) == 1
    direct = here.options().view_as(DirectOptions)
    assert (direct.direct_num_workers, direct.direct_running_mode) == (1, "in_memory")


def test_several_processes_are_processes_not_threads() -> None:
    here = engine("DirectRunner", [], 3)

    direct = here.options(here.workers_for(100)).view_as(DirectOptions)
    assert (direct.direct_num_workers, direct.direct_running_mode) == (3, "multi_processing")


def test_many_clips_are_worth_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "n_cores", lambda: 5)

    assert engine(None, [], None).workers_for(1_000_000) == 5


@pytest.mark.parametrize(("workers", "mode"), [(4, "multi_threading"), (1, "in_memory")])
def test_what_is_said_to_beam_itself_is_left_as_it_is(workers: int, mode: str) -> None:
    here = engine(None, [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"], None)

    direct = here.options(2).view_as(DirectOptions)
    assert (direct.direct_num_workers, direct.direct_running_mode) == (workers, mode)


@pytest.mark.parametrize(
    ("runner", "arguments"),
    [("FlinkRunner", []), ("flink", []), (None, ["--runner=FlinkRunner"])],
)
def test_another_runner_gets_the_options_of_beam(runner: str | None, arguments: list[str]) -> None:
    there = engine(runner, [*arguments, "--job_endpoint=localhost:8099"], None)

    assert not there.here
    assert there.runner.lower().startswith("flink")
    assert there.options(8).view_as(PortableOptions).job_endpoint == "localhost:8099"
    assert there.options(8).view_as(DirectOptions).direct_num_workers == 1


@pytest.mark.parametrize(
    ("runner", "arguments", "workers", "says"),
    [
        ("NoRunner", [], None, r"runner 'NoRunner' can't be used \(Unexpected pipeline runner.*\); DirectRunner is"),
        ("no.such.Runner", [], None, "runner 'no.such.Runner' can't be used"),
        (None, ["--direct_num_workers=many"], None, "can't be options of Beam .*invalid int value: 'many'"),
        (None, ["--direct_running_mode=fast"], None, "can't be options of Beam .*invalid choice: 'fast'"),
        (None, ["--nonsense=1"], None, "--nonsense is not an option of Beam on this machine; leave it out"),
        ("FlinkRunner", [], 4, "--workers=4 is for this machine; give FlinkRunner its own option behind --"),
    ],
)
def test_what_can_not_run_is_refused(runner: str | None, arguments: list[str], workers: int | None, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as end:
        engine(runner, arguments, workers)

    assert "\n" not in str(end.value)


def test_only_progress_is_said_while_a_pipeline_runs(capfd: pytest.CaptureFixture[str]) -> None:
    with running("features", 10, lambda: 0):
        print("stdout")
        os.write(1, b"descriptor 1\n")
        os.write(2, b"descriptor 2\n")
        logging.getLogger("apache_beam").error("logged")
        warnings.warn("warned", stacklevel=1)
        print("said", file=sys.stderr)
    print("afterwards")
    logging.getLogger("apache_beam").error("logged afterwards")

    out, err = capfd.readouterr()
    assert out == "afterwards\n"
    assert err.replace("logged afterwards\n", "") in ("said\n", "")


def test_progress_is_asked_for_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "POLL_S", 0.001)
    asked: list[int] = []

    def done() -> int:
        asked.append(len(asked))
        return len(asked)

    with running("features", 10, done):
        deadline = time.monotonic() + 10.0
        while len(asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)

    ended = len(asked)
    assert ended >= 3
    time.sleep(0.01)
    assert len(asked) == ended


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (DataError("x is y; mend it"), DataError, "^x is y; mend it$"),
        (
            RuntimeError("Traceback:\n  File\nOSError: [Errno 28] No space left [while running 'features/ParDo']"),
            SpeechRnnError,
            r"^the pipeline failed \(OSError: \[Errno 28\] No space left\); mend that and run it again, which goes on",
        ),
        (ValueError(), SpeechRnnError, r"^the pipeline failed \(no reason given\)"),
    ],
)
def test_a_failure_is_one_line(error: Exception, kind: type[SpeechRnnError], says: str) -> None:
    with pytest.raises(kind, match=says), running("features", 10, lambda: 0):
        raise error


def test_an_error_that_beam_has_wrapped_is_found() -> None:
    def wrapped() -> None:
        try:
            raise DataError("x is y; mend it")
        except DataError as error:
            raise RuntimeError("Beam's frames [while running 'a']") from error

    with pytest.raises(DataError, match=r"^x is y; mend it$"), running("features", 10, lambda: 0):
        wrapped()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError("Traceback:\n  File\nKeyboardInterrupt [while running 'features']")]
)
def test_ctrl_c_says_how_to_go_on(error: BaseException) -> None:
    with pytest.raises(KeyboardInterrupt, match="stopped; the same command goes on"), running("features", 9, lambda: 0):
        raise error


def end(code: int) -> None:
    """As a thread of Beam does whose worker process has ended."""

    def run() -> None:
        raise RuntimeError(f"Worker subprocess exited with return code {code}")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_a_worker_that_was_killed_ends_the_run_where_beam_would_wait_for_ever(ctrl_c: None) -> None:
    with pytest.raises(SpeechRnnError, match=r"a worker process was killed.*run it again"), running("a", 9, lambda: 0):
        end(-signal.SIGKILL)
        threading.Event().wait(10.0)


def test_a_worker_that_ctrl_c_has_ended_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with running("features", 9, lambda: 0):
        end(-signal.SIGINT)

    assert capfd.readouterr() == ("", "")
