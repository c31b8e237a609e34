from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.results import Answers, Costs, Finished, Line, Measured, Results, open_results, read_results
from speech_rnn.errors import DataError, SettingsError
from tests.comparison.planted import planted, planted_header, planted_rate
from tests.tones import small_settings

PLAN = ComparisonPlan(cells=("lstm", "gru"), budgets=("units",), sizes=(4,), seeds=(1, 2), base=small_settings())
HEADER = planted_header(PLAN, 9)
RIGHT = np.array([True, False, True, True, False, False, True, False, True])
LINES = [planted(key, RIGHT) for key in ("lstm-4-seed1", "gru-4-seed1", "lstm-4-seed2")]

MEASURED = Measured(key="lstm-4-seed1", answers={"snr:10": Answers.of(RIGHT[:5])}, gradient_norms=(0.5, 0.25))
COSTS = Costs(
    cell="gru",
    units=4,
    training_step_s=0.02,
    training_memory_bytes=1_000_000,
    training_step_memory_bytes=None,
    step_us_float32=9.0,
    step_us_int8=8.0,
    clip_us_float32=441.0,
    clip_us_int8=392.0,
    file_bytes_float32=40_000,
    file_bytes_int8=20_000,
    board_bytes=15_000,
    arena_bytes=None,
    state_bytes_float32=32,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "results.jsonl"


def write(path: Path, *lines: Line) -> None:
    with open_results(path, HEADER) as file:
        for line in lines:
            file.add(line)


@settings(max_examples=20)
@given(arrays(np.bool_, st.integers(1, 70)))
def test_what_was_right_is_right_when_it_is_read(right: np.ndarray) -> None:
    line = Finished.from_json(planted("gru-4-seed1", right).to_json())

    np.testing.assert_array_equal(line.right_answers(), right)


def test_what_was_added_is_read_again_and_the_rest_is_missing(path: Path) -> None:
    write(path, LINES[0])
    write(path, LINES[1])

    results = read_results(path)

    assert results.header == HEADER
    assert list(results.finished.values()) == LINES[:2]
    assert [trial.key for trial in results.missing] == ["lstm-4-seed2", "gru-4-seed2"]
    assert path.read_text().count("\n") == 3


def test_measurements_and_costs_stand_beside_the_trainings_they_are_of(path: Path) -> None:
    write(path, LINES[0], MEASURED, COSTS)

    results = read_results(path)

    assert results.measured == {"lstm-4-seed1": MEASURED}
    assert results.costs == {"gru-4": COSTS}
    np.testing.assert_array_equal(results.measured["lstm-4-seed1"].answers["snr:10"].bits(), RIGHT[:5])
    assert list(results.finished) == ["lstm-4-seed1"]


def test_the_rate_with_the_best_tuning_accuracy_is_chosen_when_all_were_tried() -> None:
    plan = PLAN.changed(rates=(0.3, 0.1, 0.2))
    header = planted_header(plan, 9)

    def results(*accuracies: float, given: dict[str, float] | None = None) -> Results:
        keys = [trial.key for trial in header.trials if (trial.cell, trial.study) == ("gru", "rates")]
        lines = [planted_rate(key, accuracy) for key, accuracy in zip(keys, accuracies, strict=False)]
        changed = header.changed(plan=plan.changed(learning_rates=given or {}))
        return Results(changed, {line.key: line for line in lines})

    assert results(0.5, 0.7).learning_rates == {}
    assert results(0.5, 0.7, 0.6).learning_rates == {"gru": 0.1}
    assert results(0.7, 0.5, 0.7).learning_rates == {"gru": 0.2}  # of equally good ones the smaller
    assert results(0.5, 0.7, 0.6, given={"lstm": 0.9}).learning_rates == {"gru": 0.1, "lstm": 0.9}
    with pytest.raises(DataError, match="chose a learning rate, and was not judged by the clips that judge the cells"):
        planted_rate("gru-4-seed0-rate0.1", 0.5).right_answers()


def test_rates_that_no_clip_judged_are_not_ranked() -> None:
    header = planted_header(PLAN.changed(rates=(0.3, 0.1)), 9)
    keys = [trial.key for trial in header.trials if trial.study == "rates"]
    unjudged = planted_rate(keys[0], 0.5).history[0].changed(validation_accuracy=None, validation_clips=0)
    lines = [planted_rate(key, 0.5).changed(history=(unjudged,)) for key in keys]

    with pytest.raises(DataError, match=r"seed0-rate0.3 was judged by 0 tuning clips; .* give the learning rates"):
        _ = Results(header, {line.key: line for line in lines}).learning_rates


@pytest.mark.parametrize("left", [1, 50, -1])
def test_a_line_that_was_cut_off_is_not_there_and_the_next_one_takes_its_place(path: Path, left: int) -> None:
    write(path, LINES[0])
    line = LINES[1].model_dump_json().encode() + b"\n"
    path.write_bytes(path.read_bytes() + line[:left])

    assert list(read_results(path).finished.values()) == LINES[:1]
    write(path, LINES[2])
    assert list(read_results(path).finished.values()) == [LINES[0], LINES[2]]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (HEADER.changed(plan=PLAN.changed(seeds=(1, 2, 3))), "seeds is [1, 2] there and [1, 2, 3] here"),
        (
            HEADER.changed(plan=PLAN.changed(base=small_settings(epochs=7))),
            "base.training.epochs is 2 there and 7 here",
        ),
        (planted_header(PLAN, 9, digest="1"), "digest of recordings is ['0'] there and ['1'] here"),
        (planted_header(PLAN, 8), "targets is [0, 1, 0, 1, 0, 1, 0, 1, 0] there and [0, 1, 0, 1, 0, 1, 0, 1] here"),
    ],
)
def test_another_comparison_is_refused_and_nothing_is_changed(path: Path, other: object, says: str) -> None:
    write(path, LINES[0])
    before = path.read_bytes()

    with pytest.raises(DataError) as error, open_results(path, other):  # type: ignore[arg-type]  # mypy: object
        pass

    assert str(error.value) == (
        f"{path} holds another comparison: {says}; give the options that it was begun with, or another -o folder"
    )
    assert path.read_bytes() == before


def test_recordings_may_lie_elsewhere_and_libraries_be_newer(path: Path) -> None:
    write(path, LINES[0])
    moved = HEADER.changed(
        recordings=tuple(one.changed(name="elsewhere") for one in HEADER.recordings), made_with={"numpy": "3"}
    )

    with open_results(path, moved) as file:
        assert list(file.results.finished.values()) == LINES[:1]


def test_a_second_process_is_refused(path: Path) -> None:
    program = f"""
from pathlib import Path
from speech_rnn.errors import SpeechRnnError
from speech_rnn.processes import alone
try:
    with alone(Path({str(path.parent / ".lock")!r}), SpeechRnnError("taken")):
        print("free")
except SpeechRnnError as error:
    print(error)
"""

    def other_process() -> str:
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return ended.stdout.strip()

    with open_results(path, HEADER):
        assert other_process() == "taken"
        # A lock belongs to the open file, so this process is refused as another would be.
        with (
            pytest.raises(DataError, match=r"another process runs the comparison in .*new; wait for it, or give an"),
            open_results(path, HEADER),
        ):
            pass
    assert other_process() == "free"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"key": 3}', "has kind None, which must be one of trained, measured, costs; remove"),
        ("[" * 100_000, "has kind None"),
        ('{"kind": "trained"}', "key"),
        ("[]", "has kind None"),
        (LINES[0].model_dump_json(), "has key='lstm-4-seed1', which must be of this comparison, and there once"),
        (planted("rnn-4-seed1", RIGHT).model_dump_json(), "has key='rnn-4-seed1'"),
        (planted("gru-4-seed1", RIGHT[:8]).model_dump_json(), "has n=8 clips, which must be the 9 of this comparison"),
        (MEASURED.changed(key="rnn-4-seed1").model_dump_json(), "has key='rnn-4-seed1'"),
        (MEASURED.model_dump_json().replace("snr:10", "snr:loud"), "answers has 'snr:loud', which must be WHAT:NUMBER"),
        (MEASURED.model_dump_json().replace("snr:10", "snr:10.0"), "answers has 'snr:10.0', which must be WHAT:NUMBER"),
        (COSTS.changed(units=5).model_dump_json(), "has key='gru-5'"),
        (LINES[1].model_dump_json().replace('"n":9', '"n":19'), "must be n=19 bits in hexadecimal"),
    ],
)
def test_a_line_that_doesn_t_belong_there_is_named(path: Path, line: str, says: str) -> None:
    write(path, LINES[0])
    path.write_text(f"{path.read_text()}{line}\n")

    with pytest.raises(SettingsError) as error:
        read_results(path)
    assert says in str(error.value)
    assert f"line 3 of {path}" in str(error.value)


def test_what_is_no_file_of_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"version": 99}\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "deep.jsonl").write_text("[" * 100_000 + "\n")

    for name, says in (
        ("none.jsonl", "can't be read (No such file or directory); give a folder of speech-rnn compare"),
        ("other.jsonl", "has version 99, which must be 2; run speech-rnn compare again, into another folder"),
        ("deep.jsonl", "has version None, which must be 2; run speech-rnn compare again"),
        ("empty.jsonl", "is empty, and must begin with a line of what is compared; run speech-rnn compare again"),
    ):
        with pytest.raises(DataError) as error:
            read_results(tmp_path / name)
        assert says in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contenders": []}, "contenders has none where the plan has lstm at units of size 4, and must be each cell"),
        ({"contenders": HEADER.contenders[:1]}, "contenders has none where the plan has gru at units of size 4"),
        (
            {"contenders": [*HEADER.contenders, HEADER.contenders[0]]},
            "has lstm at units of size 4 where the plan has n",
        ),
        ({"targets": [0, 2, 1]}, "targets has 2, which must be the place of a label, 0 to 1; run speech-rnn compare"),
        ({"targets": [0, -1]}, "targets has -1, which must be the place of a label"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, list[Any]], says: str) -> None:
    values = json.loads(HEADER.model_dump_json())
    plain = {name: [one if isinstance(one, int) else one.model_dump() for one in some] for name, some in change.items()}
    (tmp_path / "results.jsonl").write_text(json.dumps({**values, **plain}) + "\n")

    with pytest.raises(SettingsError) as error:
        read_results(tmp_path / "results.jsonl")
    assert says in str(error.value)


def test_a_cell_that_was_asked_of_other_clips_than_the_others_is_named(path: Path) -> None:
    fewer = MEASURED.changed(key="gru-4-seed1", answers={"level:-30": Answers.of(RIGHT), "snr:10": Answers.of(RIGHT)})
    write(path, MEASURED, fewer)

    with pytest.raises(
        SettingsError, match=r"line 3 of .* has n=9 clips of 'snr:10', which must be the 5 of lstm-4-see"
    ):
        read_results(path)
