from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from speech_rnn.errors import ModelError, SettingsError
from speech_rnn.memory_tasks import adding, experiment
from speech_rnn.memory_tasks.adding import AddingTask
from speech_rnn.memory_tasks.copying import CopyTask
from speech_rnn.memory_tasks.counting import CountingTask
from speech_rnn.memory_tasks.experiment import AnyTask, Experiment, LearningSettings, Outcome, build_networks, run
from speech_rnn.models import CELLS

TINY = LearningSettings(units=4, batch_size=3, max_steps=3, check_every=2)


@pytest.fixture
def own_cell() -> Iterator[str]:
    CELLS["own"] = lambda units, **options: keras.layers.RNN(keras.layers.SimpleRNNCell(units), **options)
    yield "own"
    del CELLS["own"]


@pytest.mark.parametrize("task", [AddingTask(length=6), CopyTask(delay=2, n_items=2), CountingTask(longest_learned=3)])
def test_outputs_of_both_networks_are_the_same_and_have_the_shape_of_the_targets(task: AnyTask) -> None:
    learner, judged = build_networks(task, "gru", 4)
    inputs, targets = task.batch(1, 0, 5)

    outputs = np.asarray(learner(inputs))

    assert outputs.shape[:-1] == targets.shape[: outputs.ndim - 1]
    np.testing.assert_allclose(judged(inputs), outputs, atol=1e-6)
    assert learner.trainable_variables == judged.trainable_variables


def test_parameters_are_those_of_the_formula() -> None:
    learner, _ = build_networks(AddingTask(length=4), "lstm", 4)

    assert learner.count_params() == 4 * (2 * 4 + 4 * 4 + 4) + 4 + 1


def test_the_same_seed_gives_the_same_outcome_and_another_one_another(own_cell: str) -> None:
    def outcome(seed: int) -> Outcome:
        return run(Experiment(task=CopyTask(delay=2, n_items=2), cell=own_cell, seed=seed, learning=TINY))

    first, again, other = outcome(1), outcome(1), outcome(2)

    assert again.changed(cpu_seconds=first.cpu_seconds, figures=first.figures) == first
    assert again.figures == pytest.approx(first.figures, rel=1e-5)
    assert other.figures["cross_entropy"] != pytest.approx(first.figures["cross_entropy"], rel=1e-3)
    assert first.steps == 3  # it isn't solved
    assert not first.solved


@pytest.mark.parametrize("open_gates", [True, False])
def test_gates_begin_open_where_settings_say_so(monkeypatch: pytest.MonkeyPatch, open_gates: bool) -> None:
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(
        experiment, "begin_remembering", lambda layer, n_steps, seed: asked.append((layer.name, n_steps, seed))
    )
    monkeypatch.setattr(AddingTask, "loss", lambda self, targets, outputs: keras.ops.mean(outputs) * np.float32("nan"))

    # A loss that is no number ends it at once.
    with pytest.raises(ModelError, match=r"the loss became nan at step 0; a learning rate below 0\.01 is the remedy"):
        run(Experiment(task=AddingTask(length=3), cell="rnn", learning=TINY.changed(open_gates=open_gates)))

    assert asked == ([("recurrent", 3, 1)] if open_gates else [])


def test_the_learning_rate_stays_or_falls_in_a_straight_line_to_a_hundredth() -> None:
    settings = LearningSettings(learning_rate=0.02, max_steps=1_000)
    falling = settings.changed(decay=True).rate()

    assert settings.rate() == 0.02
    assert not isinstance(falling, float)
    assert [float(falling(step)) for step in (0, 500, 1_000, 2_000)] == pytest.approx([0.02, 0.0101, 0.0002, 0.0002])


def test_a_rate_that_falls_is_the_one_that_is_learned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Experiment(task=CopyTask(delay=2, n_items=2), cell="rnn", learning=TINY.changed(learning_rate=0.5))
    steady = run(one).figures["cross_entropy"]
    monkeypatch.setattr(experiment, "LOWEST_RATE", 1.0)
    level = run(one.changed(learning=one.learning.changed(decay=True))).figures["cross_entropy"]
    monkeypatch.undo()
    falling = run(one.changed(learning=one.learning.changed(decay=True))).figures["cross_entropy"]

    assert level == pytest.approx(steady, rel=1e-5)
    assert falling != pytest.approx(steady, rel=1e-3)


def test_training_ends_at_the_first_check_that_finds_it_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "SOLVED_BELOW", 1e6)

    outcome = run(Experiment(task=AddingTask(length=2), cell="rnn", learning=TINY))

    assert outcome.steps == 2
    assert outcome.solved


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ModelError, match="cell='elman' is not known"):
        run(Experiment(task=AddingTask(length=3), cell="elman", learning=TINY))


@pytest.mark.parametrize("task", [AddingTask(length=6), CopyTask(delay=2), CountingTask(longest_learned=3)])
def test_an_outcome_travels_through_json_unchanged(task: AnyTask) -> None:
    one = Experiment(task=task, cell="gru", seed=3, learning=TINY)
    outcome = Outcome(experiment=one, parameters=7, steps=3, cpu_seconds=0.5, figures={"mse": 0.1}, solved=False)

    assert Outcome.from_json(outcome.to_json()) == outcome


def test_an_unknown_task_is_refused() -> None:
    values: dict[str, Any] = {"task": {"name": "juggling"}, "cell": "gru"}

    with pytest.raises(SettingsError, match="task="):
        Experiment(**values)
