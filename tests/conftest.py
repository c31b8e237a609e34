"""What every test runs in: one thread a library, a home of its own, no GPU, a quiet TensorFlow."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.sound_server import SoundServer

# Before any test imports NumPy or TensorFlow. The tests run two at a time; more threads would only wait for each other.
os.environ.update(
    CUDA_VISIBLE_DEVICES="-1",
    GRPC_VERBOSITY="ERROR",
    MKL_NUM_THREADS="1",
    NUMEXPR_NUM_THREADS="1",
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    TF_CPP_MIN_LOG_LEVEL="3",
    TF_NUM_INTEROP_THREADS="1",
    TF_NUM_INTRAOP_THREADS="1",
)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nothing of the user's is read, nothing is left behind.
_home = tempfile.mkdtemp(prefix="speech_rnn_home_")
os.environ.update(
    HOME=_home,
    MPLCONFIGDIR=f"{_home}/matplotlib",
    XDG_CACHE_HOME=f"{_home}/.cache",
    XDG_CONFIG_HOME=f"{_home}/.config",
    XDG_DATA_HOME=f"{_home}/.local/share",
)

hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, print_blob=False, max_examples=50
)
hypothesis.settings.load_profile("repeatable")


def pytest_unconfigure() -> None:
    shutil.rmtree(_home, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, then those with many: at the end no process is left alone with a long one."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    size = Counter(item.path for item in items)
    items.sort(key=lambda item: (-slow[item.path], -size[item.path]))


@pytest.fixture
def eager() -> Iterator[None]:
    """TensorFlow without graphs: no second is spent on drawing them, but each step takes longer."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def forked_conversions() -> Iterator[None]:
    """The converter's process is forked from one that has TensorFlow, which saves seconds each time."""
    from tests.forked import forked_converter

    with forked_converter():
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Whoever runs the tests in the background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def sound_server() -> Iterator[SoundServer]:
    """PulseAudio with a microphone that the test speaks into; the test skips where it can't be installed."""
    from tests.sound_server import SoundServer

    with SoundServer() as server:
        yield server


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder that holds speech_commands_original/ and others: ``SPEECH_RNN_DATA``, or ``shared`` beside the
    checkout; the test skips where there is none.
    """
    beside = Path(__file__).resolve().parent.parent.parent / "shared"
    folder = Path(os.environ.get("SPEECH_RNN_DATA") or beside)
    if not (folder / "speech_commands_original").is_dir():
        pytest.skip(f"{folder} has no speech_commands_original/; SPEECH_RNN_DATA names a folder that has")
    return folder
