"""The clip model as a .tflite file: waveform [1, samples] -> scores [1, labels], operators built into TFLite only.

The recurrent layers stay loops (WHILE, a subgraph each), which every Keras cell gives and every TFLite interpreter
runs. Unrolled they would be one subgraph, at six times the time to convert.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.card import clipped
from speech_rnn.errors import ModelError
from speech_rnn.export.front_end import FrontEnd
from speech_rnn.export.saved_model import INPUT, OUTPUT, SIGNATURE, scores_function
from speech_rnn.quiet import quiet
from speech_rnn.tflite_file import CARD_METADATA


def convert_clip(classifier: keras.Model, front_end: FrontEnd, clip_length: int, card: str) -> bytes:
    """Convert the whole model.

    Args:
        classifier: MFCC -> logits, in float32.
        front_end: waveform -> MFCC.
        clip_length: samples of a clip.
        card: the card's JSON, to travel inside.

    Returns:
        The bytes of a .tflite file with one signature, ``serving_default``.

    Raises:
        ModelError: the converter can't express the classifier in built-in operators.
    """
    # A batch of one: the converter wants the shapes of a loop's states.
    function = scores_function(classifier, front_end, clip_length, 1).get_concrete_function()
    try:
        with quiet():
            # Given the trackable too, as the converter advises, the file fails when it is run: "variable != nullptr".
            content = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    except Exception as error:  # the converter raises many kinds
        reason = clipped(str(error).strip().split("\n")[0])
        raise ModelError(
            f"the classifier {classifier.name!r} can't be converted to TFLite ({reason}); "
            "take a cell made of operators that TFLite has"
        ) from error
    return _finished(content, card)


def _finished(content: bytes, card: str) -> bytes:
    """The file with the card as a metadata buffer, and its input and output under their names."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(card.encode(), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = CARD_METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]

    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_named(graph, int(graph.inputs[0]), INPUT)]
    signature.outputs = [_named(graph, int(graph.outputs[0]), OUTPUT)]
    model.signatureDefs = [signature]

    builder = flatbuffers.Builder(len(content) + len(card))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(graph: Any, index: int, name: str) -> Any:
    graph.tensors[index].name = name
    tensor = schema.TensorMapT()
    tensor.name, tensor.tensorIndex = name, index
    return tensor
