from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import pytest

from speech_rnn.errors import ModelError
from speech_rnn.export.front_end import FrontEnd
from speech_rnn.export.tflite import convert_clip
from speech_rnn.models import CELLS
from tests.export.runs_in_memory import FEATURES, make_run


class InverseErrorCell(keras.layers.SimpleRNNCell):
    """A cell with an operator that TFLite doesn't have."""

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        output, states = super().call(inputs, states, training=training)
        output = keras.ops.erfinv(0.9 * output)
        return output, [output]


@pytest.fixture
def inverse() -> Iterator[None]:
    CELLS["inverse"] = lambda units, **options: keras.layers.RNN(InverseErrorCell(units), **options)
    yield
    del CELLS["inverse"]


@pytest.mark.usefixtures("inverse")
def test_a_cell_that_tflite_has_no_operators_for_is_refused_on_one_line_and_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    classifier = make_run(cell="inverse").classifier

    with pytest.raises(
        ModelError, match=r"'inverse_classifier' can't be converted to TFLite \(.*take a cell"
    ) as caught:
        convert_clip(classifier, FrontEnd(FEATURES), FEATURES.clip_length, "{}")

    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_the_same_model_gives_the_same_bytes() -> None:
    arguments = make_run().classifier, FrontEnd(FEATURES), FEATURES.clip_length, "{}"

    assert convert_clip(*arguments) == convert_clip(*arguments)
