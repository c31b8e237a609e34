from __future__ import annotations

import pytest

from speech_rnn.errors import SettingsError
from speech_rnn.memory_tasks.experiment import TASKS
from speech_rnn.memory_tasks.usual import usual_experiment
from speech_rnn.models import CELLS


@pytest.mark.parametrize("task", TASKS)
def test_cells_differ_in_nothing_but_the_learning_rate(task: str) -> None:
    alike = {
        one.changed(cell="any", learning=one.learning.changed(learning_rate=1.0))
        for one in [usual_experiment(task, cell, 4) for cell in CELLS]
    }

    assert len(alike) == 1
    assert alike.pop().seed == 4


def test_a_cell_of_ones_own_has_a_usual_experiment_too() -> None:
    assert usual_experiment("adding", "own", 1).learning.learning_rate == 0.01


def test_an_unknown_task_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingsError, match="task='xor' is not known; take one of adding, copying, counting"):
        usual_experiment("xor", "gru", 1)
