from __future__ import annotations

import pytest

from speech_rnn.errors import SettingsError
from speech_rnn.memory_tasks.adding import AddingTask
from speech_rnn.memory_tasks.copying import CopyTask
from speech_rnn.memory_tasks.experiment import AnyTask, Experiment, LearningSettings, Outcome
from speech_rnn.memory_tasks.summary import CellSummary, summarize_cells

LEARNING = LearningSettings(units=12, learning_rate=0.02, max_steps=900)


def outcome(
    seed: int,
    figures: dict[str, float],
    *,
    cell: str = "lstm",
    task: AnyTask | None = None,
    learning: LearningSettings = LEARNING,
    steps: int = 900,
    solved: bool = False,
) -> Outcome:
    return Outcome(
        experiment=Experiment(task=task or AddingTask(), cell=cell, seed=seed, learning=learning),
        parameters=77,
        steps=steps,
        cpu_seconds=steps / 100,
        figures=figures,
        solved=solved,
    )


def test_seeds_are_counted_and_a_figure_has_its_median_and_its_range() -> None:
    (one,) = summarize_cells(
        [
            outcome(3, {"mse": 0.17}),
            outcome(1, {"mse": 0.004}, steps=300, solved=True),
            outcome(2, {"mse": 0.002}, steps=500, solved=True),
        ]
    )

    assert (one.task, one.cell, one.learning, one.parameters) == (AddingTask(), "lstm", LEARNING, 77)
    assert (one.seeds, one.solved, one.n_solved) == ((1, 2, 3), (True, True, False), 2)
    assert (one.steps, one.cpu_seconds) == (500.0, 5.0)
    spread = one.spread("mse")
    assert spread.values == (0.004, 0.002, 0.17)
    assert (spread.median, spread.low, spread.high) == (0.004, 0.002, 0.17)
    assert spread.baseline == pytest.approx(0.167, abs=5e-4)


def test_between_two_seeds_the_median_is_in_the_middle() -> None:
    (one,) = summarize_cells([outcome(1, {"mse": 0.1}, steps=100), outcome(2, {"mse": 0.2}, steps=201)])

    assert one.spread("mse").median == pytest.approx(0.15)
    assert one.steps == 150.5


def test_of_one_seed_the_range_is_its_figure() -> None:
    (one,) = summarize_cells([outcome(4, {"mse": 0.1})])

    assert one.spread("mse").low == one.spread("mse").median == one.spread("mse").high == 0.1


def test_every_figure_of_a_task_has_its_own_baseline() -> None:
    (one,) = summarize_cells(
        [outcome(1, {"cross_entropy": 0.3, "recall_accuracy": 0.2, "novel": 1.0}, task=CopyTask(delay=80))]
    )

    assert [spread.name for spread in one.spreads] == ["cross_entropy", "recall_accuracy", "novel"]
    assert one.spread("cross_entropy").baseline == pytest.approx(0.2079, abs=1e-4)  # 10 log 8 / 100
    assert one.spread("recall_accuracy").baseline == 1 / 8
    assert one.spread("novel").baseline is None


def test_what_differs_in_more_than_the_seed_stays_apart_in_the_order_of_its_first() -> None:
    some = {"mse": 0.1}
    summaries = summarize_cells(
        [
            outcome(2, some, cell="rnn"),
            outcome(1, some),
            outcome(1, some, task=AddingTask(length=50)),
            outcome(1, some, learning=LEARNING.changed(learning_rate=0.001)),
            outcome(1, some, cell="rnn"),
        ]
    )

    assert [(one.cell, one.task.n_steps, one.learning.learning_rate, len(one.seeds)) for one in summaries] == [
        ("rnn", 100, 0.02, 2),
        ("lstm", 100, 0.02, 1),
        ("lstm", 50, 0.02, 1),
        ("lstm", 100, 0.001, 1),
    ]


def test_of_no_outcomes_there_is_no_summary() -> None:
    assert summarize_cells([]) == []


def test_a_seed_must_not_count_for_two() -> None:
    with pytest.raises(SettingsError, match="seed=2 of adding with lstm must be there once"):
        summarize_cells([outcome(1, {"mse": 0.1}), outcome(2, {"mse": 0.1}), outcome(2, {"mse": 0.3})])


def test_a_figure_that_a_task_lacks_is_refused_with_those_it_has() -> None:
    (one,) = summarize_cells([outcome(1, {"mse": 0.1})])

    with pytest.raises(SettingsError, match="name='accuracy' is no figure of adding; take one of mse"):
        one.spread("accuracy")


def test_a_summary_travels_through_json_unchanged() -> None:
    (one,) = summarize_cells([outcome(1, {"mse": 1 / 3}), outcome(2, {"mse": 0.1}, solved=True)])

    assert CellSummary.from_json(one.to_json()) == one
