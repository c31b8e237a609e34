from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from speech_rnn.card import Card
from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.networks import arrange
from speech_rnn.features import mfcc
from speech_rnn.tflite_file import operators
from tests.export.conftest import SHAPES, Board, make_card, sounds
from tests.export.runs_in_memory import make_run

pytestmark = pytest.mark.usefixtures("forked_conversions")

Boards = Callable[[str], Board]

ATOL = 0.1  # a board hears in eight bits


def frames_of(card: Card) -> NDArray[np.float32]:
    """Other sounds than those of the calibration."""
    return mfcc(sounds(card.features, range(20, 24)), card.features)


def keras_softmax(classifier: keras.Model, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(keras.ops.softmax(classifier(frames, training=False)))


@pytest.mark.parametrize("cell", SHAPES)
def test_every_model_of_every_cell_gives_keras_scores_as_near_as_its_integers_come(boards: Boards, cell: str) -> None:
    board = boards(cell)
    frames = frames_of(board.card)
    expected = keras_softmax(board.run.classifier, frames)

    assert np.ptp(expected, axis=0).max() > 0.1
    assert board.models == (["clip_int8", "step_int8"] if cell == "lstm" else ["step_int8"])
    for model in board.models:
        scores = BoardModel(board.content(model)).scores(board.network.steps(frames))
        np.testing.assert_allclose(scores, expected, atol=ATOL)
        assert np.abs(scores - expected).mean() < 0.1 * ATOL


@pytest.mark.parametrize("cell", SHAPES)
def test_everything_is_integers_and_built_in(boards: Boards, cell: str) -> None:
    board = boards(cell)

    for model in board.models:
        graph = board.graph(model)
        kinds = set(operators(board.content(model)))
        assert not [kind for kind in kinds if kind.startswith(("custom", "operator"))]
        assert "DEQUANTIZE" not in kinds
        for part in graph.model.subgraphs:
            used = {int(index) for one in part.operators for index in [*one.inputs, *one.outputs] if index >= 0}
            assert schema.TensorType.FLOAT32 not in {part.tensors[index].type for index in used}
        assert ("WHILE" in kinds) == (model == "clip_int8")


@pytest.mark.parametrize("cell", SHAPES)
def test_states_go_out_as_they_come_in_in_the_order_of_the_card(boards: Boards, cell: str) -> None:
    board = boards(cell)
    settings = board.card.model

    model = BoardModel(board.content("step_int8"))

    assert [tuple(state.shape) for state in model.zero_states()] == [(1, size) for size in board.card.states]
    assert model.inputs[1:] == model.outputs[1:]
    assert {state.dtype for state in model.inputs[1:]} == {"int16"}
    assert model.inputs[0].dtype == model.outputs[0].dtype == "int8"
    assert len(model.inputs) == 1 + settings.layers * (2 if cell == "lstm" else 1)
    assert (model.outputs[0].scale, model.outputs[0].zero_point) == (1 / 256, -128)


def test_states_are_those_of_keras_step_by_step(boards: Boards) -> None:
    board = boards("gru")
    steps = board.network.steps(frames_of(board.card)[:1])[0]
    layers = [layer for layer in board.run.classifier.layers if layer.name.startswith("recurrent_")]
    first = keras.layers.RNN(layers[0].cell, return_sequences=True)
    normalized = board.run.classifier.get_layer("normalization")(frames_of(board.card)[:1])
    expected = np.asarray(first(keras.ops.reshape(normalized, (1, *steps.shape))))[0]

    model = BoardModel(board.content("step_int8"))
    states, found = model.zero_states(), []
    for step in model.inputs[0].quantize(steps):
        _, *states = model.call([step[np.newaxis], *states])
        found.append(model.outputs[1].dequantize(states[0][0]))

    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_layers_whose_biases_are_equal_add_each_its_own() -> None:
    run = make_run(cell="lstm", layers=2)  # untrained: all biases are 0, but 1 of the gate that forgets
    card = make_card(run)
    network = arrange(run.classifier, card, mfcc(sounds(card.features, range(10)), card.features))
    frames = frames_of(card)

    scores = BoardModel(convert(network).board["step_int8"].to_bytes()).scores(network.steps(frames))

    np.testing.assert_allclose(scores, keras_softmax(run.classifier, frames), atol=ATOL)
