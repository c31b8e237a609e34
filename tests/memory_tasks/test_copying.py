from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.memory_tasks.copying import BLANK, SIGN, CopyTask

TASK = CopyTask(delay=5, n_items=3)


def one_who_remembers_nothing(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits: sure of blanks until the sign was heard, then every symbol alike."""
    heard = inputs.argmax(axis=2)
    after = np.cumsum(heard == SIGN, axis=1) - (heard == SIGN) > 0
    logits = np.zeros((*heard.shape, BLANK + 1), np.float32)
    logits[:, :, BLANK] = np.where(after, -50.0, 50.0)
    return logits


def test_items_are_heard_first_and_said_last_with_the_sign_just_before() -> None:
    inputs, targets = TASK.batch(1, 0, 20)

    heard = inputs.argmax(axis=2)
    assert inputs.shape == (20, 11, 10)
    assert (inputs.sum(axis=2) == 1).all()
    assert (heard[:, :3] < BLANK).all()
    assert (heard[:, 3:7] == BLANK).all()
    assert (heard[:, 7] == SIGN).all()
    assert (heard[:, 8:] == BLANK).all()
    assert (targets[:, :8] == BLANK).all()
    np.testing.assert_array_equal(targets[:, 8:], heard[:, :3])


def test_all_eight_symbols_are_drawn_alike() -> None:
    _, targets = TASK.batch(1, 0, 4_000)

    counts = np.bincount(targets[:, 8:].ravel(), minlength=8)
    assert len(counts) == 8
    assert (abs(counts - 1_500) < 150).all()


def test_an_item_comes_back_after_the_delay() -> None:
    inputs, targets = CopyTask().batch(1, 0, 4)

    first, last = inputs.argmax(axis=2)[:, 0], inputs.argmax(axis=2)[:, 9]
    assert inputs.shape == (4, 70, 10)
    np.testing.assert_array_equal(first, targets[:, 60])  # 10 heard, 50 waited
    np.testing.assert_array_equal(last, targets[:, 69])


def test_who_remembers_nothing_has_the_cross_entropy_of_the_baseline() -> None:
    task = CopyTask()

    figures = task.figures(one_who_remembers_nothing, 1, 0, "test")

    assert task.baseline["cross_entropy"] == pytest.approx(10 * math.log(8) / (50 + 20))
    assert figures["cross_entropy"] == pytest.approx(task.baseline["cross_entropy"], abs=1e-6)
    assert figures["recall_accuracy"] == pytest.approx(1 / 8, abs=0.01)  # all alike: the first symbol is said
    assert not task.is_solved(figures)


def test_who_says_the_items_again_is_right_and_solves_the_task() -> None:
    def copies(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = np.zeros((len(inputs), TASK.n_steps, BLANK + 1), np.float32)
        logits[:, :8, BLANK] = 50
        logits[:, 8:, :BLANK] = 50 * inputs[:, :3, :BLANK]
        return logits

    figures = TASK.figures(copies, 1, 0, "checking")

    assert figures["recall_accuracy"] == 1.0
    assert figures["cross_entropy"] == pytest.approx(0.0, abs=1e-6)
    assert TASK.is_solved(figures)


def test_it_is_enough_to_stop_when_half_as_many_are_wrong_as_count_as_solved() -> None:
    assert [TASK.is_solved({"recall_accuracy": share}) for share in (0.996, 0.991, 0.98)] == [True, True, False]
    assert [TASK.is_enough({"recall_accuracy": share}) for share in (0.996, 0.991, 0.98)] == [True, False, False]


def test_the_loss_is_the_cross_entropy_of_the_figures() -> None:
    inputs, targets = TASK.batch(1, 0, 100, "checking")
    logits = np.random.default_rng(1).normal(size=(100, 11, 9)).astype(np.float32)

    figures = TASK.figures(lambda _: logits, 1, 0, "checking")

    assert len(inputs) == 100
    assert float(TASK.loss(targets, logits)) == pytest.approx(figures["cross_entropy"], abs=1e-5)
