from __future__ import annotations

import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.config import FeatureSettings
from speech_rnn.errors import ModelError
from speech_rnn.tflite_file import check_clip_file, metadata, operators
from tests.tflite_models import CLIP_LENGTH, make_card, make_model, make_weights

weights = make_weights()
good = make_model(weights, make_card().to_json())


def test_operators_are_listed_by_name() -> None:
    assert operators(good) == ["FULLY_CONNECTED", "SOFTMAX"]
    assert operators(make_model(weights, None, custom="Flex\xff")) == ["FULLY_CONNECTED", "SOFTMAX", "custom:Flex\xff"]


def test_metadata_are_found_by_name() -> None:
    root = schema.Model.GetRootAs(good, 0)

    assert metadata(root, "speech_rnn_card") == make_card().to_json().encode()
    assert metadata(root, "other") is None


def test_the_file_that_the_card_describes_passes() -> None:
    check_clip_file(good, make_card(), "clip.tflite")


def test_a_card_with_another_front_end_is_refused() -> None:
    model = make_model(weights, make_card().to_json())

    with pytest.raises(ModelError, match="disagree on features"):
        check_clip_file(
            model, make_card(features=FeatureSettings(clip_length=CLIP_LENGTH, f_max=4_000.0)), "clip.tflite"
        )
    with pytest.raises(
        ModelError,
        match=r"inputs of 'serving_default' 'waveform': float32 \[1, 800\], its card says float32 \[1, 900\]",
    ):
        check_clip_file(model, make_card(features=FeatureSettings(clip_length=900)), "clip.tflite")


def test_a_model_without_our_card_inside_is_refused() -> None:
    with pytest.raises(ModelError, match="has no card inside"):
        check_clip_file(make_model(weights, None), make_card(), "clip.tflite")


def test_an_operator_that_is_not_built_in_is_refused() -> None:
    model = make_model(weights, make_card().to_json(), custom="FlexTensorListReserve")

    with pytest.raises(ModelError, match="operator 'custom:FlexTensorListReserve', and only those built into TFLite"):
        check_clip_file(model, make_card(), "clip.tflite")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\x03\x04" + b"\0" * 100, b"<html>" * 100])
def test_what_is_no_tflite_file_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="is not a TFLite file"):
        check_clip_file(content, make_card(), "clip.tflite")


@given(st.binary(max_size=200))
def test_bytes_that_only_begin_like_a_model_are_refused(tail: bytes) -> None:
    with pytest.raises(ModelError):
        check_clip_file(b"\x1c\0\0\0TFL3" + tail, make_card(), "clip.tflite")


@given(st.lists(st.tuples(st.integers(8, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_passed_or_refused_but_never_anything_else(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(good)
    for place, value in changes:
        damaged[place] = value

    try:
        check_clip_file(bytes(damaged), make_card(), "clip.tflite")
    except ModelError as error:
        assert str(error).isprintable()
