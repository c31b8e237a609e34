"""Processes forked from one that has imported TensorFlow: what takes four seconds is done once, not each time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from speech_rnn.export import conversion


def forking() -> ForkServerContext:
    """Starts processes; the one that they are forked from has only the one thread, as long as it only imports."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["speech_rnn.training"])
    return context


@contextmanager
def forked_converter() -> Iterator[None]:
    """Conversions run in a process of their own as ever, which is forked and not started anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "_run_child", _run_forked)
        yield


def _run_forked(folder: Path) -> subprocess.CompletedProcess[bytes]:
    said = folder / "said"
    process = forking().Process(target=_convert, args=(folder, said))
    process.start()
    process.join(conversion.LONGEST_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired("conversion", conversion.LONGEST_S)
    return subprocess.CompletedProcess([], process.exitcode, b"", said.read_bytes())


def _convert(folder: Path, said: Path) -> None:
    with said.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        conversion._main(folder)
