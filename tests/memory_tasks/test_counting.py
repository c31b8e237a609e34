from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.errors import SettingsError
from speech_rnn.memory_tasks.counting import CountingTask, strings

TASK = CountingTask(longest_learned=4, longest_tested=60)
SYMBOLS = "$ab"


def count(inputs: NDArray[np.float32], up_to: float = np.inf) -> NDArray[np.float32]:
    """What a counter that stops at a number says of what may come next."""
    a, b = (np.minimum(np.cumsum(inputs[:, :, symbol], axis=1), up_to) for symbol in (1, 2))
    now = inputs.argmax(axis=2)
    may = np.stack([(now == 2) & (a == b), now < 2, (now == 1) | ((now == 2) & (b < a))], axis=2)
    return np.where(may, 1.0, -1.0).astype(np.float32)


def spelled(row: NDArray[np.float32]) -> list[str]:
    return ["".join(SYMBOLS[i] for i in np.flatnonzero(step)) for step in row]


def test_a_string_is_spelled_with_what_may_come_next() -> None:
    inputs, targets = strings([2, 3], 3)

    assert spelled(inputs[0]) == ["$", "a", "a", "b", "b", "", ""]
    assert spelled(targets[0]) == ["a", "ab", "ab", "b", "$", "", ""]
    assert spelled(inputs[1]) == ["$", "a", "a", "a", "b", "b", "b"]
    assert spelled(targets[1]) == ["a", "ab", "ab", "ab", "b", "b", "$"]


@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_what_comes_is_among_what_may_come(counts: list[int]) -> None:
    inputs, targets = strings(counts, 12)

    for row, n in enumerate(counts):
        assert (targets[row, : 2 * n][inputs[row, 1 : 2 * n + 1] == 1] == 1).all()
        assert targets[row, 2 * n].tolist() == [1, 0, 0]
        assert not targets[row, 2 * n + 1 :].any()


def test_strings_of_every_length_are_learned() -> None:
    inputs, _ = TASK.batch(1, 0, 200)

    assert inputs.shape == (200, TASK.n_steps, 3)
    assert TASK.batch(1, 0, 1).inputs.shape == (1, TASK.n_steps, 3)
    assert set(inputs[:, :, 1].sum(axis=1)) == {1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize("up_to", [1, 2, 3, 4, 5, 11, 12, 13, 40, 59])
def test_the_largest_n_is_the_one_up_to_which_a_counter_counts(up_to: int) -> None:
    figures = TASK.figures(lambda inputs: count(inputs, up_to), 1, 0, "test")

    assert figures == {"largest_n": float(up_to)}
    assert TASK.is_solved(figures) == (up_to >= 8)


def test_one_that_counts_without_end_is_right_as_far_as_is_asked() -> None:
    assert TASK.figures(count, 1, 0, "test") == {"largest_n": 60.0}
    assert TASK.figures(count, 1, 0, "checking") == {"largest_n": 8.0}


def test_a_longer_string_that_is_right_by_chance_does_not_count() -> None:
    def wrong_for_three(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        answers = count(inputs)
        answers[inputs[:, :, 1].sum(axis=1) == 3] *= -1
        return answers

    assert TASK.figures(wrong_for_three, 1, 0, "test") == {"largest_n": 2.0}


def test_who_looks_at_the_last_symbol_only_has_the_baseline() -> None:
    def memoryless(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        table = np.array([[-1, 1, -1], [-1, 1, 1], [1, -1, -1]], np.float32)
        return np.asarray(table[inputs.argmax(axis=2)])

    assert TASK.figures(memoryless, 1, 0, "test") == TASK.baseline


def test_the_loss_is_a_cross_entropy_and_what_stands_behind_a_string_does_not_count() -> None:
    _, targets = strings([1, 3], 3)
    outputs = np.random.default_rng(1).normal(size=targets.shape).astype(np.float32)
    shares = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    each = -np.where(targets > 0, np.log(shares), np.log(1 - shares)).mean(axis=2)

    loss = float(TASK.loss(targets, outputs))
    outputs[0, 3:] = 99.0

    assert loss == pytest.approx(np.concatenate([each[0, :3], each[1]]).mean(), abs=1e-6)
    assert float(TASK.loss(targets, outputs)) == pytest.approx(loss)


def test_strings_must_be_tested_that_are_twice_as_long() -> None:
    with pytest.raises(SettingsError, match="longest_tested=19 must be at least twice longest_learned=10"):
        CountingTask(longest_learned=10, longest_tested=19)
