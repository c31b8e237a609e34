from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import pytest

from speech_rnn.comparison.costs.cell_costs import in_fresh_process
from speech_rnn.comparison.costs.interleaving import Interleaved
from speech_rnn.comparison.costs.training_steps import (
    highest_resident_bytes,
    memory_of,
    training_memory,
    training_step,
    untrained,
)
from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.results import Header
from speech_rnn.models import CELLS
from tests.comparison.planted import planted_header
from tests.comparison.slow_cell import slow
from tests.tones import small_settings

MB = 1_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def header_of(*cells: str, **training: Any) -> Header:
    base = small_settings(**training)
    return planted_header(ComparisonPlan(cells=cells, budgets=("units",), sizes=(4,), base=base), 9)


def hog() -> int:
    """Take 200 MB, give them back, and say how much there was at most."""
    np.ones(200 * MB, np.uint8)
    return highest_resident_bytes()


def test_a_cell_that_computes_much_more_has_a_longer_step_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "slow", slow)
    # So many clips that what a step costs besides doesn't count.
    header, turns = header_of("rnn", "slow", batch_size=400), Interleaved(clock=time.process_time)
    for contender in header.contenders:
        turns.add(contender.cell, training_step(header, contender))

    for _ in range(5):
        turns.round()

    assert turns.least_s["slow"] > 2 * turns.least_s["rnn"]


def test_the_step_trains_a_batch_of_the_size_that_the_plan_has(monkeypatch: pytest.MonkeyPatch) -> None:
    header = header_of("gru", "lstm", learning_rate=0.05)
    shapes: list[tuple[int, ...]] = []
    learned = untrained(header, header.contenders[0])
    monkeypatch.setattr("speech_rnn.comparison.costs.training_steps.untrained", lambda *_: learned)
    train_on_batch = learned.train_on_batch

    def watched(x: np.ndarray, y: np.ndarray) -> Any:
        shapes.append(x.shape)
        return train_on_batch(x, y)

    monkeypatch.setattr(learned, "train_on_batch", watched)
    step = training_step(header, header.contenders[0])

    losses = [step() for _ in range(40)]

    assert set(shapes) == {(24, header.plan.base.features.n_frames, 13)}
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.usefixtures("eager")
def test_clips_in_a_row_are_stepped_through_as_rows() -> None:
    header = header_of("gru", "lstm", clips_in_a_row=2)

    assert np.isfinite(training_step(header, header.contenders[0])())


@linux
def test_what_a_call_takes_and_gives_back_is_seen_each_time() -> None:
    measured = [memory_of(lambda: np.ones(100 * MB, np.uint8)) for _ in range(3)]

    assert all(one is not None and 99 * MB < one < 110 * MB for one in measured)
    assert (memory_of(lambda: None) or 0) < MB


@linux
@pytest.mark.slow
def test_a_process_has_the_memory_it_took_and_none_of_the_process_that_began_it() -> None:
    held = np.ones(1_500 * MB, np.uint8)

    nothing, taken = in_fresh_process(highest_resident_bytes), in_fresh_process(hog)

    assert nothing < held.nbytes
    assert 190 * MB < taken - nothing < 230 * MB


@linux
@pytest.mark.slow
def test_a_longer_batch_takes_more_memory_in_a_step() -> None:
    # Nine times the clips: the values of each step that the way back needs are nine times as many.
    few, many = (
        training_memory(header, header.contenders[0])
        for header in (header_of("lstm", "gru", batch_size=200), header_of("lstm", "gru", batch_size=20_000))
    )

    assert few.step_bytes is not None
    assert many.step_bytes is not None
    assert many.step_bytes > 5 * few.step_bytes
