from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from speech_rnn.errors import ModelError
from speech_rnn.export.metadata import audio_metadata, with_audio_metadata
from speech_rnn.runtime import Recognizer
from speech_rnn.stream_model import StreamModel
from speech_rnn.tflite_file import operators
from tests.tflite_models import (
    CLIP_LENGTH,
    LABELS,
    expected_scores,
    make_card,
    make_model,
    make_stream_model,
    make_stream_weights,
    make_weights,
)


def described(model: bytes, **changes: Any) -> bytes:
    values = {"name": "by-hand", "description": "Three words.", "sample_rate": 16_000, "labels": LABELS}
    return with_audio_metadata(model, **{**values, **changes})


@pytest.fixture
def plain() -> bytes:
    return make_model(make_weights(), make_card().to_json())


class Table:
    """A flatbuffer's table read by the format's own description: https://flatbuffers.dev/internals/"""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content = content
        self.at = at + self._number("<I", at)

    def _number(self, form: str, at: int) -> int:
        return int(struct.unpack_from(form, self.content, at)[0])

    def place(self, field: int) -> int | None:
        vtable = self.at - self._number("<i", self.at)
        if 4 + 2 * field >= self._number("<H", vtable):
            return None
        offset = self._number("<H", vtable + 4 + 2 * field)
        return self.at + offset if offset else None

    def number(self, field: int, form: str) -> int:
        place = self.place(field)
        assert place is not None
        return self._number(form, place)

    def table(self, field: int) -> Table:
        place = self.place(field)
        assert place is not None
        return Table(self.content, place)

    def text(self, field: int) -> str:
        place = self.place(field)
        assert place is not None
        start = place + self._number("<I", place)
        length = self._number("<I", start)
        return self.content[start + 4 : start + 4 + length].decode()

    def only(self, field: int) -> Table:
        place = self.place(field)
        assert place is not None
        start = place + self._number("<I", place)
        assert self._number("<I", start) == 1
        return Table(self.content, start + 4)


def test_the_metadata_stand_in_the_fields_of_the_published_schema(plain: bytes) -> None:
    content = audio_metadata(described(plain, description="Drei Wörter."))

    assert content is not None
    assert content[4:8] == b"M001"
    model = Table(content)
    assert (model.text(0), model.text(1), model.text(7)) == ("by-hand", "Drei Wörter.", "1.3.0")
    subgraph = model.only(3)
    waveform, scores = subgraph.only(2), subgraph.only(3)
    assert (waveform.text(0), scores.text(0)) == ("waveform", "scores")
    audio_properties, tensor_axis_labels = 4, 2
    assert waveform.table(3).number(0, "<B") == audio_properties
    audio = waveform.table(3).table(1)
    assert (audio.number(0, "<I"), audio.number(1, "<I")) == (16_000, 1)
    labels = scores.only(6)
    assert labels.text(0) == "labels.txt"
    assert labels.number(2, "<b") == tensor_axis_labels


def test_the_labels_lie_behind_the_model_in_a_stored_archive(plain: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(described(plain))) as archive:
        assert archive.testzip() is None
        (member,) = archive.infolist()
        assert member.filename == "labels.txt"
        assert member.compress_type == zipfile.ZIP_STORED
        assert archive.read(member).decode() == "yes\nno\nup\n"


def test_the_model_gives_the_same_scores_and_keeps_its_card(plain: bytes) -> None:
    clip = np.random.default_rng(3).uniform(-1, 1, CLIP_LENGTH).astype(np.float32)

    model = described(plain)

    card = make_card()
    stream = StreamModel(card, make_stream_model(make_stream_weights(card), card, card.to_json()))
    scores = Recognizer(card, model, stream).scores(clip)
    np.testing.assert_allclose(scores, expected_scores(make_weights(), clip), atol=1e-6)
    assert operators(model) == operators(plain)
    interpreter = Interpreter(model_content=model)
    assert [one["name"] for one in interpreter.get_input_details()] == ["waveform"]


def test_the_same_model_gives_the_same_bytes_and_described_again_it_is_described_once(plain: bytes) -> None:
    once = described(plain)
    twice = described(once, sample_rate=8_000)

    assert once == described(plain)
    root = schema.Model.GetRootAs(twice, 0)
    names = [root.Metadata(i).Name() for i in range(root.MetadataLength())]
    assert sorted(names) == [b"TFLITE_METADATA", b"speech_rnn_card"]
    content = audio_metadata(twice)
    assert content is not None
    assert Table(content).only(3).only(2).table(3).table(1).number(0, "<I") == 8_000
    with zipfile.ZipFile(io.BytesIO(twice)) as archive:
        assert archive.namelist() == ["labels.txt"]


def test_a_file_without_metadata_has_none(plain: bytes) -> None:
    assert audio_metadata(plain) is None


@pytest.mark.parametrize("label", ["", "two\nlines", "two\u2028lines", "line\n"])
def test_a_label_that_is_not_a_line_is_refused(label: str, plain: bytes) -> None:
    with pytest.raises(ModelError, match=r"must be one line of text"):
        described(plain, labels=("yes", label, "no"))


def test_labels_must_be_as_many_as_scores(plain: bytes) -> None:
    with pytest.raises(ModelError, match=r"2 labels for 3 scores must be as many"):
        described(plain, labels=("yes", "no"))


def test_a_model_with_states_is_refused(plain: bytes) -> None:
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAs(plain, 0))
    root.subgraphs[0].inputs = np.array([0, 3], np.int32)
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), b"TFL3")

    with pytest.raises(ModelError, match=r"2 inputs and 1 outputs .* give the clip model"):
        described(bytes(builder.Output()))
