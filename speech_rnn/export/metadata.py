"""TFLite metadata: what MediaPipe's AudioClassifier must be told of a file to run it, rate, channels and labels.

A metadata buffer ``TFLITE_METADATA`` holds a flatbuffer of the schema ``metadata_schema.fbs`` 1.3.0, built here field
by field, since the classes generated from it come with MediaPipe's 500 MB only; ``labels.txt`` lies in a zip archive
appended to the file, stored, where TFLite's own reader never looks.
https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.card import clipped
from speech_rnn.errors import ModelError
from speech_rnn.export.flatbuffer import packed
from speech_rnn.tflite_file import metadata

AUDIO_METADATA = "TFLITE_METADATA"
LABELS_MEMBER = "labels.txt"

_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.3.0"  # the first that knows audio
_AUDIO_PROPERTIES = 4  # of the union ContentProperties
_TENSOR_AXIS_LABELS = 2  # of the enumeration AssociatedFileType
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's earliest: the same model gives the same bytes


def with_audio_metadata(model: bytes, *, name: str, description: str, sample_rate: int, labels: Sequence[str]) -> bytes:
    """A clip model that MediaPipe's AudioClassifier runs, if it has one subgraph only.

    Args:
        model: a .tflite file whose first subgraph has one input, the waveform, and one output, the scores; metadata
            of this kind that it has already is replaced.
        name: the model's.
        description: what it does, a line or a few.
        sample_rate: Hz, of the waveform; it has one channel, full scale ±1.
        labels: in the order of the scores, each a line.

    Returns:
        The bytes of the same model with the metadata and, appended, ``labels.txt``.

    Raises:
        ModelError: more than one input or output, or labels that are not as many as the scores or not lines.
    """
    for label in labels:
        if label.splitlines() != [label]:
            raise ModelError(f"label {clipped(label)} must be one line of text, as it stands in labels.txt; rename it")
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    graph = root.subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(
            f"a model with {len(graph.inputs)} inputs and {len(graph.outputs)} outputs can't carry audio metadata, "
            "which is for a waveform in and scores out; give the clip model"
        )
    n_scores = int(graph.tensors[graph.outputs[0]].shape[-1])
    if n_scores != len(labels):
        raise ModelError(f"{len(labels)} labels for {n_scores} scores must be as many; give one label a score")

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_audio_metadata(name, description, sample_rate), np.uint8)
    root.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = AUDIO_METADATA, len(root.buffers) - 1
    others = [one for one in root.metadata or [] if _text(one.name) != AUDIO_METADATA]
    root.metadata = [*others, entry]
    return _with_labels(packed(root), labels)


def audio_metadata(model: bytes) -> bytes | None:
    """The metadata flatbuffer in a .tflite file, ``None`` where there is none."""
    return metadata(schema.Model.GetRootAs(model, 0), AUDIO_METADATA)


def _audio_metadata(name: str, description: str, sample_rate: int) -> bytes:
    """The flatbuffer ModelMetadata; numbers in the comments are those of the schema's fields."""
    builder = flatbuffers.Builder(512)
    waveform = _tensor(builder, "waveform", "Mono sound, full scale ±1.", {3: _audio_content(builder, sample_rate)})
    labels_file = _table(
        builder,
        5,
        {
            0: builder.CreateString(LABELS_MEMBER),
            1: builder.CreateString("The labels, a line each."),
        },  # name, description
        enums={2: _TENSOR_AXIS_LABELS},  # type
    )
    scores = _tensor(builder, "scores", "A score a label, 0 to 1; their sum is 1.", {6: _vector(builder, labels_file)})
    # name, input_tensor_metadata, output_tensor_metadata
    subgraph = _table(
        builder,
        10,
        {0: builder.CreateString(name), 2: _vector(builder, waveform), 3: _vector(builder, scores)},
    )
    # name, description, subgraph_metadata, min_parser_version
    model = _table(
        builder,
        8,
        {
            0: builder.CreateString(name),
            1: builder.CreateString(description),
            3: _vector(builder, subgraph),
            7: builder.CreateString(_MIN_PARSER_VERSION),
        },
    )
    builder.Finish(model, _IDENTIFIER)
    return bytes(builder.Output())


def _audio_content(builder: flatbuffers.Builder, sample_rate: int) -> int:
    """Content: its kind, and AudioProperties with rate and channels."""
    builder.StartObject(2)
    builder.PrependUint32Slot(0, sample_rate, 0)
    builder.PrependUint32Slot(1, 1, 0)
    properties = builder.EndObject()
    builder.StartObject(3)
    builder.PrependUint8Slot(0, _AUDIO_PROPERTIES, 0)
    builder.PrependUOffsetTRelativeSlot(1, properties, 0)
    return int(builder.EndObject())


def _tensor(builder: flatbuffers.Builder, name: str, description: str, more: dict[int, int]) -> int:
    """TensorMetadata: name, description, and one of content (3) and associated_files (6)."""
    return _table(builder, 7, {0: builder.CreateString(name), 1: builder.CreateString(description), **more})


def _table(
    builder: flatbuffers.Builder, n_fields: int, offsets: dict[int, int], enums: dict[int, int] | None = None
) -> int:
    """A table of strings, tables and vectors, which are written already, and of enumerations of a byte."""
    builder.StartObject(n_fields)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in (enums or {}).items():
        builder.PrependInt8Slot(field, value, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, table: int) -> int:
    """A vector of one table."""
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _with_labels(model: bytes, labels: Sequence[str]) -> bytes:
    """The file with a zip archive behind it; MediaPipe reads stored members only."""
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_MEMBER, _EPOCH), "".join(f"{label}\n" for label in labels))
    return content.getvalue()


def _text(name: Any) -> str:
    """A name of the schema's objects, which are bytes when read and text when written."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
