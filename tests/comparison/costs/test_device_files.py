from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from speech_rnn.comparison.costs import device_files as device
from speech_rnn.comparison.costs.device_files import clip_call, device_files, step_call
from speech_rnn.comparison.costs.interleaving import Interleaved
from speech_rnn.comparison.costs.training_steps import untrained
from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.results import Header
from speech_rnn.errors import ModelError
from speech_rnn.export.tflite import bare_step_file, convert_step
from speech_rnn.models import CELLS
from tests.comparison.planted import planted_header
from tests.comparison.slow_cell import SIZE, slow
from tests.tones import small_settings

UNITS, LAYERS = 16, 2


def header_of(*cells: str, units: int = UNITS) -> Header:
    base = small_settings()
    base = base.changed(model=base.model.changed(layers=LAYERS))
    return planted_header(ComparisonPlan(cells=cells, budgets=("units",), sizes=(units,), base=base), 9)


@pytest.mark.slow
def test_every_cell_has_every_form_and_states_of_the_size_that_its_formula_says(tmp_path: Path) -> None:
    n_states = {"lstm": 2, "gru": 1, "rnn": 1}
    header = header_of(*n_states)

    for contender in header.contenders:
        folder = tmp_path / contender.cell
        sizes = device_files(folder, header, contender)
        n_parameters = untrained(header, contender).count_params() - 2 * 13 - 1  # less the normalization's

        assert sizes.state_bytes_float32 == n_states[contender.cell] * UNITS * LAYERS * 4
        assert sizes.file_bytes_float32 is not None
        assert 4 * n_parameters < sizes.file_bytes_float32 < 4 * n_parameters + 12_000
        assert sizes.file_bytes_int8 is not None
        assert n_parameters < sizes.file_bytes_int8 < sizes.file_bytes_float32
        assert sizes.board_bytes is not None
        assert n_parameters < sizes.board_bytes < sizes.file_bytes_float32
        assert sizes.arena_bytes is None or sizes.arena_bytes > sizes.state_bytes_float32 / 2  # states of 16 bits
        for call in (step_call, clip_call):
            for form in device.FORMS:
                run = call(folder, form)
                assert run is not None
                run()


def test_a_cell_that_can_not_be_converted_has_its_states_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ModelError("no such operator")

    monkeypatch.setattr(device, "convert_step", refuse)
    monkeypatch.setattr(device, "convert", refuse)
    header = header_of("lstm", "gru")

    sizes = device_files(tmp_path / "lstm", header, header.contenders[0])

    assert sizes.model_dump() == {
        "file_bytes_float32": None,
        "file_bytes_int8": None,
        "board_bytes": None,
        "arena_bytes": None,
        "state_bytes_float32": 2 * UNITS * LAYERS * 4,
    }
    assert step_call(tmp_path / "lstm", "float32") is None
    assert clip_call(tmp_path / "lstm", "int8") is None
    monkeypatch.setattr(device, "untrained", refuse)
    assert device_files(tmp_path / "lstm", header, header.contenders[0]) == sizes


def test_a_cell_that_computes_much_more_has_a_longer_step_in_its_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS, "slow", slow)
    header, turns = header_of("rnn", "slow", units=4), Interleaved(calls_a_turn=50)
    for contender in header.contenders:
        classifier: keras.Model = untrained(header, contender)
        folder = tmp_path / contender.cell
        folder.mkdir()
        (folder / "step_float32.tflite").write_bytes(bare_step_file(convert_step(classifier)))
        call = step_call(folder, "float32")
        assert call is not None
        turns.add(contender.cell, call)

    for _ in range(20):
        turns.round()

    assert (tmp_path / "slow" / "step_float32.tflite").stat().st_size > 4 * LAYERS * SIZE**2
    assert turns.least_s["slow"] > 3 * turns.least_s["rnn"]
