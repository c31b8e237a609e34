from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_rnn.errors import ModelError
from speech_rnn.export.board import folder
from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.networks import arrange
from speech_rnn.tflite_file import operators
from tests.export.conftest import SHAPES, Board

pytestmark = pytest.mark.usefixtures("forked_conversions")

Boards = Callable[[str], Board]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_folder_holds_each_model_as_file_array_and_golden_vectors_and_the_front_end(
    boards: Boards, cell: str
) -> None:
    models = ["step_int8", "clip_int8"] if cell == "lstm" else ["step_int8"]

    files = {path.name for path in boards(cell).folder.iterdir()}

    assert files == {
        *(f"{model}{end}" for model in models for end in (".tflite", ".c", ".h", "_golden.h")),
        "front_end.c",
        "front_end.h",
        "front_end_golden.h",
        "front_end_settings.h",
        "front_end_tables.h",
        "golden.json",
        "labels.h",
        "main.c",
        "README.md",
    }


@pytest.mark.parametrize("cell", SHAPES)
def test_each_model_is_held_to_keras_on_the_probes_within_a_stated_bound(boards: Boards, cell: str) -> None:
    board = boards(cell)

    assert set(board.agreements) == {f"mcu/{model}.tflite" for model in board.models}
    for file, probes in board.agreements.items():
        bounds = {"speech": 0.3, "noise": 0.3, "silence": 0.3, "chirp": 0.5}
        assert {name: one.bound for name, one in probes.items()} == bounds, file
        assert all(0.0 <= one.error <= one.bound for one in probes.values())


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_golden_vectors_are_what_the_model_gives_and_the_header_holds_the_same(boards: Boards, cell: str) -> None:
    board = boards(cell)
    golden = json.loads((board.folder / "golden.json").read_text())

    for model in board.models:
        entry = golden[model]
        x, scores = np.array(entry["x"], np.int8), np.array(entry["scores"], np.int8)
        runner = BoardModel(board.content(model))
        np.testing.assert_array_equal(runner.run(x), scores)
        x_is = runner.inputs[0]
        assert entry["inputs"][0] == {"scale": x_is.scale, "zero_point": x_is.zero_point, "dtype": "int8"}
        assert {one["dtype"] for one in entry["inputs"][1:]} == ({"int16"} if model == "step_int8" else set())
        assert entry["tolerance_lsb"] == 2
        assert array(board.folder / f"{model}_golden.h", f"{model}_golden_x") == x.ravel().tolist()
        assert array(board.folder / f"{model}_golden.h", f"{model}_golden_scores") == scores.ravel().tolist()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_page_registers_the_operators_that_the_models_have(boards: Boards, cell: str) -> None:
    board = boards(cell)
    page = (board.folder / "README.md").read_text()

    for model in board.models:
        section = page[page.index(f": `{model}.tflite`") :].split("\n## ")[0]
        kinds = sorted(set(operators(board.content(model))))
        registered = re.findall(r"resolver\.Add(\w+)\(\);", section)
        assert [name.lower() for name in registered] == [kind.replace("_", "").lower() for kind in kinds]
        assert f"MicroMutableOpResolver<{len(kinds)}>" in section
    assert not re.search(r"[{}]\w*[{}]", page.split("```")[0])


def test_the_same_model_gives_the_same_files(boards: Boards, tmp_path: Path) -> None:
    board = boards("rnn")

    graphs = convert(arrange(board.run.classifier, board.card, board.calibration)).board
    folder.write_board_files(tmp_path, board.run.classifier, board.calibration, board.network, graphs)

    for path in board.folder.iterdir():
        assert (tmp_path / "mcu" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("shift", "finding"),
    [
        (0.5, r"mcu/step_int8\.tflite is not shipped: on the probe 'speech' a score is 0\.\d+ off Keras, and 0\.3 is"),
        (0.05, r"mcu/step_int8\.tflite is not shipped: on \d+ training clips a score is 0\.0\d+ off Keras in the mean"),
    ],
)
def test_a_model_that_differs_from_keras_is_not_shipped(
    boards: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float, finding: str
) -> None:
    board = boards("rnn")
    graphs = {"step_int8": board.graph("step_int8")}
    scores = BoardModel.scores

    def shifted(self: BoardModel, clips: Any) -> Any:
        return scores(self, clips) + np.float32(shift)

    monkeypatch.setattr(BoardModel, "scores", shifted)

    with pytest.raises(ModelError, match=finding):
        folder.write_board_files(tmp_path, board.run.classifier, board.calibration, board.network, graphs)

    assert list(tmp_path.iterdir()) == []


def array(header: Path, name: str) -> list[int]:
    """The numbers of an array in a header."""
    found = re.search(rf"{name}(\[\d+\])+ = \{{(.*?)\}};", header.read_text(), re.DOTALL)
    assert found is not None
    return [int(number) for number in re.findall(r"-?\d+", found[2])]
