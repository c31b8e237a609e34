from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.integers.graph import Graph
from speech_rnn.export.integers.loop import clip_of
from tests.export.conftest import Board

Boards = Callable[[str], Board]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("n_steps", [1, 7])
def test_a_clip_scores_as_the_step_does_after_the_last(boards: Boards, cell: str, n_steps: int) -> None:
    board = boards(cell)
    step = BoardModel(board.content("step_int8"))
    clips = step.inputs[0].quantize(board.network.steps(board.calibration[::5]))[:, :n_steps]

    clip = BoardModel(clip_of(board.graph("step_int8"), n_steps).to_bytes())

    assert clip.inputs == step.inputs[:1]
    assert clip.outputs == step.outputs[:1]
    assert len({step.run(x)[-1].tobytes() for x in clips}) > 3
    for x in clips:
        np.testing.assert_array_equal(clip.run(x), step.run(x)[-1:])


def test_the_clip_that_is_written_has_all_steps_of_the_card(boards: Boards) -> None:
    board = boards("lstm")
    step, clip = (BoardModel(board.content(model)) for model in ("step_int8", "clip_int8"))
    x = step.inputs[0].quantize(board.network.steps(board.calibration[:1])[0])

    assert len(x) == board.card.n_steps
    np.testing.assert_array_equal(clip.run(x), step.run(x)[-1:])


def test_nothing_is_kept_from_clip_to_clip(boards: Boards) -> None:
    board = boards("lstm")
    model = BoardModel(board.content("clip_int8"))
    clips = model.inputs[0].quantize(board.network.steps(board.calibration[:10:9]))

    first, other, again = model.run(clips[0]), model.run(clips[1]), model.run(clips[0])

    assert (first != other).any()
    np.testing.assert_array_equal(first, again)


def test_a_clip_holds_each_weight_once(boards: Boards) -> None:
    step = boards("lstm").graph("step_int8")

    clip = clip_of(step, 9)

    assert len(clip.to_bytes()) < len(step.to_bytes()) + 4_000


def test_scores_that_are_made_of_more_than_the_new_states_are_refused(boards: Boards) -> None:
    step = boards("lstm").graph("step_int8")
    without_last_layer = Graph(step.to_bytes())
    without_last_layer.graph.inputs = step.graph.inputs[:-2]
    without_last_layer.graph.outputs = step.graph.outputs[:-2]

    with pytest.raises(ValueError, match="something else than the new states"):
        clip_of(without_last_layer, 9)
