from __future__ import annotations

import numpy as np
import pytest

from speech_rnn.memory_tasks.adding import AddingTask

TASK = AddingTask(length=30)


def test_a_target_is_the_sum_of_two_marked_numbers_one_in_each_half() -> None:
    inputs, targets = TASK.batch(1, 0, 50)

    numbers, marks = inputs[:, :, 0], inputs[:, :, 1]
    assert inputs.shape == (50, 30, 2)
    assert targets.shape == (50, 1)
    assert set(np.unique(marks)) == {0.0, 1.0}
    for row in range(50):
        first, second = np.flatnonzero(marks[row])
        assert first < 15 <= second
        assert targets[row, 0] == pytest.approx(numbers[row, first] + numbers[row, second])


def test_numbers_are_even_from_0_to_1_and_marks_stand_everywhere() -> None:
    inputs, _ = TASK.batch(1, 0, 4_000)

    assert abs(inputs[:, :, 0].mean() - 0.5) < 0.005
    assert abs(inputs[:, :, 0].var() - 1 / 12) < 0.001
    assert (inputs[:, :, 1].sum(axis=0) > 4_000 / 15 / 2).all()


def test_a_constant_1_has_the_error_of_the_baseline() -> None:
    figures = AddingTask().figures(lambda inputs: np.ones((len(inputs), 1), np.float32), 1, 0, "test")

    assert figures["mse"] == pytest.approx(0.167, abs=0.015)  # 2,000 sequences
    assert AddingTask().baseline["mse"] == pytest.approx(0.167, abs=5e-4)
    assert not TASK.is_solved(figures)


def test_who_adds_the_marked_numbers_has_no_error() -> None:
    figures = TASK.figures(lambda inputs: inputs.prod(axis=2).sum(axis=1, keepdims=True), 1, 0, "checking")

    assert figures["mse"] == pytest.approx(0.0, abs=1e-12)
    assert TASK.is_solved(figures)


def test_it_is_enough_to_stop_when_the_error_is_half_of_what_counts_as_solved() -> None:
    assert [TASK.is_solved({"mse": mse}) for mse in (0.004, 0.006, 0.01)] == [True, True, False]
    assert [TASK.is_enough({"mse": mse}) for mse in (0.004, 0.006, 0.01)] == [True, False, False]


def test_the_loss_is_the_mean_squared_error() -> None:
    loss = TASK.loss(np.array([[1.0], [0.5]], np.float32), np.array([[0.0], [1.5]], np.float32))

    assert float(loss) == pytest.approx(1.0)


def test_other_seeds_steps_and_parts_have_other_sequences_and_the_same_have_the_same() -> None:
    sums = [
        TASK.batch(1, 0, 3).targets,
        TASK.batch(2, 0, 3).targets,
        TASK.batch(1, 1, 3).targets,
        TASK.batch(1, 0, 3, "checking").targets,
        TASK.batch(1, 0, 3, "test").targets,
    ]

    assert len(np.unique(np.concatenate(sums))) == 15
    np.testing.assert_array_equal(TASK.batch(1, 0, 3).targets, sums[0])
