"""A step of training, alone: its call, and the memory it takes."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Header
from speech_rnn.learner import compiled_learner
from speech_rnn.models import build_classifier
from speech_rnn.settings import Settings

WARM_UP = 3  # steps, until all is laid out
STEPS_AN_EPOCH = 100  # of a schedule of the learning rate, which costs the same whatever it is


class TrainingMemory(Settings):
    """What training takes; see :class:`speech_rnn.comparison.results.Costs`.

    Attributes:
        process_bytes: highest resident size of the process, libraries and all.
        step_bytes: highest resident size in a step over that before it; ``None`` on other systems than Linux.
    """

    process_bytes: int
    step_bytes: int | None


def untrained(header: Header, contender: Contender, *, precision: str | None = None) -> keras.Model:
    """The classifier of a contender with the weights that a training begins with, for MFCC that are normalized.

    Args:
        header: of the comparison.
        contender: which.
        precision: another than the plan's.
    """
    base = header.plan.base
    model = base.model.changed(cell=contender.cell, units=contender.units)
    if precision is not None:
        model = model.changed(precision=precision)
    keras.utils.set_random_seed(0)
    return build_classifier(model, base.features.n_frames, base.features.n_mfcc, len(header.labels))


def training_step(header: Header, contender: Contender) -> Callable[[], float]:
    """What does a step of training on a batch of noise, and gives the loss.

    It is that of a training with the plan's settings, but that the second output of ``word_weight`` is left out, which
    is the same for all cells.
    """
    settings = header.plan.base.changed(
        model=header.plan.base.model.changed(cell=contender.cell, units=contender.units)
    )
    learner, _ = compiled_learner(untrained(header, contender), settings, steps_an_epoch=STEPS_AN_EPOCH)
    training, rng = settings.training, np.random.default_rng(0)
    n = training.batch_size // training.clips_in_a_row
    features = rng.normal(size=(n, *learner.input_shape[1:])).astype(np.float32)
    labels = rng.integers(len(header.labels), size=(n, *learner.output_shape[1:-1]))
    targets = np.eye(len(header.labels), dtype=np.float32)[labels]

    def step() -> float:
        learner.reset_metrics()
        return float(learner.train_on_batch(features, targets))

    return step


def training_memory(header: Header, contender: Contender) -> TrainingMemory:
    """Train a few steps in this process, which has done nothing else, and see what that took."""
    step = training_step(header, contender)
    for _ in range(WARM_UP):
        step()
    return TrainingMemory(process_bytes=highest_resident_bytes(), step_bytes=memory_of(step))


def highest_resident_bytes() -> int:
    """The highest resident size that this process ever had, or had since :func:`memory_of`."""
    if sys.platform == "linux":
        # Not getrusage: a process begins with its parent's there (mm_struct's high-water mark outlives exec).
        return _status("VmHWM")
    of_process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return of_process if sys.platform == "darwin" else 1024 * of_process


def memory_of(call: Callable[[], object]) -> int | None:
    """The highest resident size in a call over that before it; ``None`` on other systems than Linux.

    What the process has freed goes back to the system first, so that it counts when it is taken again.
    """
    if sys.platform != "linux":
        return None
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
    # The mark begins anew: proc_pid_clear_refs(5).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    """A size in bytes of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
