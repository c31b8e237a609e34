from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.card import Card
from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.graph import Graph
from speech_rnn.tflite_file import CARD_METADATA, metadata
from tests.export.conftest import SHAPES, Board

pytestmark = pytest.mark.usefixtures("forked_conversions")

Boards = Callable[[str], Board]
MODELS = [(cell, "step_int8") for cell in SHAPES] + [("lstm", "clip_int8")]


@pytest.mark.parametrize(("cell", "model"), MODELS)
def test_every_buffer_lies_on_a_boundary_of_sixteen_bytes(boards: Boards, cell: str, model: str) -> None:
    content = boards(cell).content(model)
    root = schema.Model.GetRootAs(content, 0)
    whole = np.frombuffer(content, np.uint8)

    buffers = [root.Buffers(i).DataAsNumpy() for i in range(root.BuffersLength()) if root.Buffers(i).DataLength()]

    assert len(buffers) > 4
    assert [(one.ctypes.data - whole.ctypes.data) % 16 for one in buffers] == [0] * len(buffers)


@pytest.mark.parametrize(("cell", "model"), MODELS)
def test_every_constant_is_used(boards: Boards, cell: str, model: str) -> None:
    for graph in boards(cell).graph(model).model.subgraphs:
        used = {int(index) for one in graph.operators for index in [*one.inputs, *one.outputs]}

        ends = {int(index) for index in [*graph.inputs, *graph.outputs]}
        assert not [tensor.name for index, tensor in enumerate(graph.tensors) if index not in used | ends]


@pytest.mark.parametrize(("cell", "model"), MODELS)
def test_the_card_travels_inside(boards: Boards, cell: str, model: str) -> None:
    board = boards(cell)

    inside = metadata(schema.Model.GetRootAs(board.content(model), 0), CARD_METADATA)

    assert inside is not None
    assert Card.from_json(inside) == board.card.without_files()


def test_reading_and_writing_changes_nothing(boards: Boards) -> None:
    content = boards("gru").content("step_int8")

    assert Graph(Graph(content).to_bytes()).to_bytes() == Graph(content).to_bytes()


def test_another_scale_changes_what_integers_mean_and_not_what_is_computed(boards: Boards) -> None:
    board = boards("fading")
    content = board.content("step_int8")
    x = BoardModel(content).inputs[0].quantize(board.network.steps(board.calibration)[:, 3])
    graph = Graph(content)

    graph.set_scale("new_state_0", 3 * BoardModel(content).outputs[1].scale)

    before, after = BoardModel(content), BoardModel(graph.to_bytes())
    assert after.outputs[1].scale == pytest.approx(3 * before.outputs[1].scale)
    for one in x:
        scores, state = before.call([one[np.newaxis], *before.zero_states()])
        same_scores, same_state = after.call([one[np.newaxis], *after.zero_states()])
        off = np.abs(after.outputs[1].dequantize(same_state) - before.outputs[1].dequantize(state))
        assert off.max() <= 0.55 * (after.outputs[1].scale + before.outputs[1].scale)
        # The logits' bias is in units of that scale: left as it was, it would count three times.
        np.testing.assert_allclose(same_scores.astype(int), scores.astype(int), atol=1)


def test_narrowed_ends_are_what_a_wide_graph_would_take_and_give(boards: Boards) -> None:
    board = boards("gru")
    narrow = BoardModel(board.content("step_int8"))
    graph = board.graph("step_int8")
    first, last = graph.graph.operators[0], graph.graph.operators[-1]
    graph.graph.inputs = np.array([first.outputs[0], *graph.graph.inputs[1:]], np.int32)
    graph.graph.outputs = np.array([last.inputs[0], *graph.graph.outputs[1:]], np.int32)
    graph.graph.operators = graph.graph.operators[1:-1]
    wide = BoardModel(graph.to_bytes())
    x = narrow.inputs[0].quantize(board.network.steps(board.calibration)[:, 3])

    assert (wide.inputs[0].dtype, wide.outputs[0].dtype) == ("int16", "int16")
    for one in x:
        scores, *states = narrow.call([one[np.newaxis], *narrow.zero_states()])
        wide_scores, *wide_states = wide.call([256 * one[np.newaxis].astype(np.int16), *wide.zero_states()])
        for state, wide_state in zip(states, wide_states, strict=True):
            np.testing.assert_array_equal(state, wide_state)
        expected = np.clip(np.round(wide.outputs[0].dequantize(wide_scores) * 256) - 128, -128, 127)
        np.testing.assert_allclose(scores, expected, atol=1)


def test_gates_hear_finer_steps_where_they_change(boards: Boards) -> None:
    board = boards("lstm")
    n_layers = board.card.model.layers

    graph = convert(board.network).logits

    products = [one for one in graph.graph.operators if graph.kind(one) == schema.BuiltinOperator.FULLY_CONNECTED]
    *of_cells, _ = [float(graph.graph.tensors[one.outputs[0]].quantization.scale[0]) for one in products]
    assert sorted(of_cells) == [4 / 128] * n_layers + [8 / 128] * n_layers
