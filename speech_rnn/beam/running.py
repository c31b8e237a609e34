"""Running a pipeline of Apache Beam: on this machine, or by its options alone anywhere; quietly, with progress."""

from __future__ import annotations

import _thread
import io
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner

from speech_rnn.errors import SettingsError, SpeechRnnError
from speech_rnn.processes import n_cores
from speech_rnn.progress import progress

HERE = ("DirectRunner", "FnApiRunner")  # DirectRunner as such would look for its newest engine on the net first
FEW_CLIPS = 20_000  # take one process about as long as two need to start and to do them
POLL_S = 0.5

GOES_ON = "goes on where this run stopped"
_WORKER_ENDED = "Worker subprocess exited"  # apache_beam/runners/portability/local_job_service.py


@dataclass(frozen=True)
class Engine:
    """What runs pipelines.

    Attributes:
        runner: Beam's name of it.
        arguments: of Beam, as on a command line.
        here: whether it is this machine alone.
        workers: processes here; ``None``: by the clips.
    """

    runner: str
    arguments: tuple[str, ...]
    here: bool
    workers: int | None = None

    def options(self, workers: int = 1) -> PipelineOptions:
        """Beam's options, with so many processes on this machine."""
        options = PipelineOptions(list(self.arguments), runner=self.runner)
        given = {argument.partition("=")[0].lstrip("-") for argument in self.arguments}
        direct = options.view_as(DirectOptions)
        if self.here and "direct_num_workers" not in given:
            direct.direct_num_workers = workers
        if self.here and "direct_running_mode" not in given and direct.direct_num_workers != 1:
            direct.direct_running_mode = "multi_processing"
        return options

    def workers_for(self, n_clips: int) -> int:
        """How many processes so many clips are worth on this machine."""
        if self.workers is not None:
            return self.workers
        return n_cores() if n_clips > FEW_CLIPS else 1


def engine(runner: str | None, arguments: Sequence[str], workers: int | None) -> Engine:
    """The engine that a runner's name and Beam's own options ask for.

    Args:
        runner: Beam's name, ``FlinkRunner``; this machine where not given, unless the options name one.
        arguments: options of Beam, ``--flink_master=localhost:8081``.
        workers: processes on this machine.

    Raises:
        SettingsError: no such runner, it isn't installed, or the options are wrong.
    """
    try:
        with _argparse_caught() as words:  # it looks at the options when they are asked for
            options = PipelineOptions(list(arguments))
            known = options.get_all_options()
            unknown = [one for one in options.get_all_options(retain_unknown_options=True) if one not in known]
            name = runner or options.view_as(StandardOptions).runner or HERE[0]
    except SystemExit:
        raise SettingsError(f"{' '.join(arguments)!r} can't be options of Beam ({_last(words.getvalue())})") from None
    here = name.lower() in {one.lower() for one in HERE}
    if here:
        name = "FnApiRunner"
        if unknown:
            raise SettingsError(f"--{unknown[0]} is not an option of Beam on this machine; leave it out")
    elif workers is not None:
        raise SettingsError(f"--workers={workers} is for this machine; give {name} its own option behind --")
    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise SettingsError(f"runner {name!r} can't be used ({_last(str(error))}); DirectRunner is usual") from None
    return Engine(name, tuple(arguments), here, workers)


@contextmanager
def _argparse_caught() -> Iterator[io.StringIO]:
    """Catch what argparse says before it ends the process."""
    words, before = io.StringIO(), sys.stderr
    sys.stderr = words
    try:
        yield words
    finally:
        sys.stderr = before


@contextmanager
def running(title: str, total: int, done: Callable[[], int], *, again: str = GOES_ON) -> Iterator[None]:
    """Run a pipeline in the block: nothing but progress is printed, and failures become one line.

    Args:
        title: of the progress.
        total: clips.
        done: how many are; asked now and then.
        again: what the same command does when it is given again.

    Raises:
        SpeechRnnError: the pipeline failed.
        KeyboardInterrupt: Ctrl-C; says what the same command does.
    """
    stopped = f"stopped; the same command {again}"
    ended = threading.Event()
    lost = threading.Event()
    with _interrupted_by(signal.SIGUSR1), _quiet_processes(lost) as said, progress(title, total) as report:

        def watch() -> None:
            before = 0
            while not ended.wait(POLL_S):
                now = done()
                if now != before:
                    report.advance(now - before)
                before = now

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        except SpeechRnnError:
            raise
        except KeyboardInterrupt:
            if lost.is_set():
                raise SpeechRnnError(
                    "a worker process was killed, for want of memory perhaps; free some, or take fewer --workers, and "
                    f"run it again, which {again}"
                ) from None
            raise KeyboardInterrupt(stopped) from None
        except Exception as error:
            if _is_interrupt(error, said()):
                raise KeyboardInterrupt(stopped) from None
            raise _one_line(error, said(), again) from error
        finally:
            ended.set()
            watching.join()


@contextmanager
def _interrupted_by(number: signal.Signals) -> Iterator[None]:
    """A signal raises KeyboardInterrupt in the block; of the main thread, where signals are handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def _quiet_processes(lost: threading.Event) -> Iterator[Callable[[], str]]:
    """Send what Beam, TensorFlow and worker processes write to descriptors 1 and 2 into a file; gives what it reads.

    This process's own ``sys.stderr`` goes on to the terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    before, disabled, hook = sys.stderr, logging.root.manager.disable, threading.excepthook
    with tempfile.TemporaryFile() as sink, os.fdopen(os.dup(2), "w", buffering=1) as terminal:
        try:
            for descriptor in (1, 2):
                os.dup2(sink.fileno(), descriptor)
            if _writes_to(before, 2):
                sys.stderr = terminal
            logging.disable(logging.CRITICAL)
            threading.excepthook = partial(_said_by_a_thread, lost)
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                yield lambda: os.pread(sink.fileno(), 2**16, max(0, os.fstat(sink.fileno()).st_size - 2**16)).decode(
                    errors="replace"
                )
        finally:
            logging.disable(disabled)
            threading.excepthook = hook
            sys.stderr = before
            for descriptor, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


def _said_by_a_thread(lost: threading.Event, failure: threading.ExceptHookArgs) -> None:
    """A thread of Beam has ended by an error: for the file, not for the terminal.

    Beam would wait for ever for a worker that was killed; a worker that has ended by Ctrl-C is none.
    """
    os.write(2, f"{failure.exc_type.__name__}: {failure.exc_value}\n".encode(errors="replace"))
    if _WORKER_ENDED in str(failure.exc_value) and not str(failure.exc_value).endswith(f" {-signal.SIGINT}"):
        lost.set()
        # Not by SIGINT, which a shell makes background processes ignore.
        _thread.interrupt_main(signal.SIGUSR1)


def _writes_to(stream: object, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)  # type: ignore[attr-defined]  # what has none is asked too
    except (AttributeError, OSError, ValueError):
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_interrupt(error: BaseException, said: str) -> bool:
    """Whether Ctrl-C is behind an error; Beam makes another one of it."""
    return any(isinstance(one, KeyboardInterrupt) for one in _causes(error)) or _reason(error, said).startswith(
        "KeyboardInterrupt"
    )


def _one_line(error: BaseException, said: str, again: str) -> SpeechRnnError:
    """What went wrong in a pipeline, without Beam's frames around it."""
    for cause in _causes(error):
        if isinstance(cause, SpeechRnnError):
            return type(cause)(str(cause).partition(" [while running")[0])
    return SpeechRnnError(
        f"the pipeline failed ({_reason(error, said)[:300]}); mend that and run it again, which {again}"
    )


def _reason(error: BaseException, said: str) -> str:
    lines = [line.strip() for line in str(error).partition(" [while running")[0].splitlines() if line.strip()]
    return (lines or [_last(said)])[-1]


def _last(text: str) -> str:
    """The last line that says anything."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
