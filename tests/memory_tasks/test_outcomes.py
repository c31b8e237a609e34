from __future__ import annotations

from pathlib import Path

import pytest

from speech_rnn.errors import SettingsError
from speech_rnn.memory_tasks import outcomes
from speech_rnn.memory_tasks.adding import AddingTask
from speech_rnn.memory_tasks.experiment import Experiment, LearningSettings, Outcome
from speech_rnn.memory_tasks.outcomes import append_outcome, read_outcomes, run_missing


def experiment(seed: int, *, length: int = 100) -> Experiment:
    return Experiment(task=AddingTask(length=length), cell="gru", seed=seed)


def outcome_of(one: Experiment) -> Outcome:
    return Outcome(experiment=one, parameters=7, steps=3, cpu_seconds=0.5, figures={"mse": 1 / 3}, solved=False)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """The experiments that were run, in their order; none of them takes time."""
    run: list[Experiment] = []

    def run_one(one: Experiment) -> Outcome:
        run.append(one)
        return outcome_of(one)

    monkeypatch.setattr(outcomes, "run", run_one)
    return run


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "outcomes.jsonl"

    for seed in (1, 2):
        append_outcome(path, outcome_of(experiment(seed)))

    assert read_outcomes(path) == [outcome_of(experiment(1)), outcome_of(experiment(2))]
    assert path.read_text().count("\n") == 2


def test_where_there_is_no_file_there_are_no_outcomes(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("left", [1, 50, -1])
def test_a_line_that_was_cut_off_is_not_there_and_the_next_one_takes_its_place(tmp_path: Path, left: int) -> None:
    path = tmp_path / "outcomes.jsonl"
    append_outcome(path, outcome_of(experiment(1)))
    line = path.read_bytes()
    path.write_bytes(line + line[:left])

    assert read_outcomes(path) == [outcome_of(experiment(1))]
    append_outcome(path, outcome_of(experiment(2)))
    assert read_outcomes(path) == [outcome_of(experiment(1)), outcome_of(experiment(2))]


def test_a_line_that_is_no_outcome_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    append_outcome(path, outcome_of(experiment(1)))
    path.write_text(path.read_text() + '{"steps": 3}\n')

    with pytest.raises(SettingsError, match=r"line 2 of .*outcomes\.jsonl: experiment is missing"):
        read_outcomes(path)


def test_a_finished_experiment_is_not_run_again_and_all_come_back_in_order(
    tmp_path: Path, ran: list[Experiment]
) -> None:
    path = tmp_path / "outcomes.jsonl"
    append_outcome(path, outcome_of(experiment(2)))
    wanted = [experiment(seed) for seed in (1, 2, 3)]

    said: list[Outcome] = []
    all_of_them = run_missing(wanted, path, said.append)
    again = run_missing(wanted, path)

    assert ran == [experiment(1), experiment(3)]
    assert said == [outcome_of(experiment(1)), outcome_of(experiment(3))]
    assert all_of_them == again == [outcome_of(one) for one in wanted]


def test_other_settings_are_another_experiment(tmp_path: Path, ran: list[Experiment]) -> None:
    path = tmp_path / "outcomes.jsonl"
    others = [
        experiment(1),
        experiment(1, length=50),
        experiment(1).changed(cell="lstm"),
        experiment(1).changed(learning=LearningSettings(units=3)),
    ]

    run_missing(others, path)

    assert ran == others


def test_what_was_done_before_an_interruption_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outcomes.jsonl"

    def run_one(one: Experiment) -> Outcome:
        if one.seed == 2:
            raise KeyboardInterrupt
        return outcome_of(one)

    monkeypatch.setattr(outcomes, "run", run_one)

    with pytest.raises(KeyboardInterrupt):
        run_missing([experiment(1), experiment(2)], path)

    assert read_outcomes(path) == [outcome_of(experiment(1))]
