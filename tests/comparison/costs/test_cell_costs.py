from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from speech_rnn.comparison.costs import cell_costs as costs
from speech_rnn.comparison.costs.cell_costs import Pace, cell_costs, distinct, in_fresh_process, measure_costs
from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.results import Costs, ResultsFile, open_results, read_results
from speech_rnn.errors import SpeechRnnError
from speech_rnn.processes import this_machine
from tests.comparison.planted import planted_costs, planted_header
from tests.tones import small_settings

PLAN = ComparisonPlan(cells=("lstm", "rnn"), budgets=("units", "macs"), sizes=(3, 4), base=small_settings())
HEADER = planted_header(PLAN, 9)
KEYS = ["lstm-3", "rnn-3", "lstm-4", "rnn-4"]


class StoppedError(Exception):
    pass


def stop(*_: object, **__: object) -> Any:
    raise StoppedError


def measured(*_: object, **__: object) -> list[Costs]:
    return [planted_costs(one.cell, one.units, training_step_s=one.units) for one in distinct(HEADER).values()]


def measure(folder: Path) -> None:
    with open_results(folder / "results.jsonl", HEADER) as file:
        measure_costs(file, folder)


def test_a_cell_that_several_budgets_give_the_same_units_is_measured_once() -> None:
    assert len(HEADER.contenders) == 8
    assert list(distinct(HEADER)) == KEYS


def test_what_is_there_is_not_measured_again_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "cell_costs", measured)

    measure(tmp_path)

    assert list(read_results(tmp_path / "results.jsonl").costs.values()) == measured()
    assert not (tmp_path / "costs").exists()
    monkeypatch.setattr(costs, "cell_costs", stop)
    measure(tmp_path)


def test_stopped_between_two_lines_the_others_are_those_of_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "cell_costs", measured)
    add = ResultsFile.add
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(ResultsFile, "add", lambda self, line: stop() if line.key == KEYS[2] else add(self, line))
        measure(tmp_path)
    assert list(read_results(tmp_path / "results.jsonl").costs) == KEYS[:2]
    monkeypatch.setattr(costs, "cell_costs", stop)

    measure(tmp_path)

    assert list(read_results(tmp_path / "results.jsonl").costs.values()) == measured()
    assert not (tmp_path / "costs").exists()


@pytest.mark.slow
def test_all_cells_are_measured_in_all_that_they_cost_and_no_library_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    header = planted_header(PLAN.changed(budgets=("units",), sizes=(4,)), 9)
    pace = Pace(training_s=0.1, step_s=0.1, clip_s=0.1)
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(costs, "_times", stop)
        cell_costs(header, tmp_path / "costs", pace=pace)
    # What took long isn't done again.
    monkeypatch.setattr(costs, "in_fresh_process", stop)
    monkeypatch.setattr("speech_rnn.comparison.costs.device_files.convert", stop)
    capfd.readouterr()

    lstm, rnn = cell_costs(header, tmp_path / "costs", pace=pace)

    printed, said = capfd.readouterr()
    assert printed == ""
    assert all(line.startswith("costs, ") for line in said.splitlines())  # progress, where it takes long
    assert [lstm.key, rnn.key] == ["lstm-4", "rnn-4"]
    for one in (lstm, rnn):
        may_be_missing = {"arena_bytes", "training_step_memory_bytes"}
        values = one.model_dump(exclude={"kind", "cell", "machine", *may_be_missing})
        assert all(value > 0 for value in values.values())
        assert one.machine == this_machine()
        # Three steps of a clip take longer than one; in other kernels, so not three times as long.
        assert (one.clip_us_float32 or 0) > (one.step_us_float32 or 0)
        # A step of training is a graph of 24 clips there and back.
        assert 1e6 * one.training_step_s > 10 * (one.clip_us_float32 or 0)
    assert lstm.state_bytes_float32 == 2 * rnn.state_bytes_float32 == 2 * 4 * 4
    assert lstm.training_memory_bytes < 1e9


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_that_says_how_to_go_on() -> None:
    with pytest.raises(SpeechRnnError, match="a process that measures ended before its work was done"):
        in_fresh_process(os._exit, 9)
