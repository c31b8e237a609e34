"""Small .tflite models put together by hand, whose scores NumPy can tell; no converter, no TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from speech_rnn.card import Card, FileEntry, TrainingSummary
from speech_rnn.config import FeatureSettings, ModelSettings

LABELS = ("yes", "no", "up")
CLIP_LENGTH = 800


def make_card(**values: Any) -> Card:
    full: dict[str, Any] = {
        "name": "by-hand",
        "labels": LABELS,
        "features": FeatureSettings(clip_length=CLIP_LENGTH),
        "model": ModelSettings(),
        "parameters": 1,
        "macs_per_second": 1.0,
        "synthetic": True,
        "training": TrainingSummary(weights="untrained"),
    }
    return Card.make(**{**full, **values})


def make_weights(seed: int = 0, n_labels: int = len(LABELS), length: int = CLIP_LENGTH) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, (n_labels, length)).astype(np.float32)


def expected_scores(weights: NDArray[np.float32], clip: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(weights.astype(np.float64) @ clip.astype(np.float64))
    return np.asarray(powers / powers.sum())


def make_model(weights: NDArray[np.float32], card_inside: str | None, *, custom: str | None = None) -> bytes:
    """scores [1, labels] = softmax(weights @ waveform [1, samples]), as a .tflite file."""
    n_labels, length = weights.shape
    model = schema.ModelT()
    model.version = 3
    model.buffers = [_buffer(b""), _buffer(weights.astype("<f4").tobytes()), _buffer(b"\0" * 4 * n_labels)]
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("waveform", [1, length], 0),
        _tensor("weights", [n_labels, length], 1),
        _tensor("bias", [n_labels], 2),
        _tensor("logits", [1, n_labels], 0),
        _tensor("scores", [1, n_labels], 0),
    ]
    graph.inputs, graph.outputs = _indices([0]), _indices([4])
    builtin, options = schema.BuiltinOperator, schema.BuiltinOptions
    model.operatorCodes = [_code(builtin.FULLY_CONNECTED), _code(builtin.SOFTMAX)]
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    graph.operators = [
        _operator(0, [0, 1, 2], 3, options.FullyConnectedOptions, schema.FullyConnectedOptionsT()),
        _operator(1, [3], 4, options.SoftmaxOptions, softmax),
    ]
    if custom is not None:
        model.operatorCodes.append(_code(builtin.CUSTOM, custom))
    model.subgraphs = [graph]
    if card_inside is not None:
        model.buffers.append(_buffer(card_inside.encode()))
        entry = schema.MetadataT()
        entry.name, entry.buffer = b"speech_rnn_card", len(model.buffers) - 1
        model.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def write_model(folder: Path, *, weights: NDArray[np.float32] | None = None, **values: Any) -> Path:
    """A model folder as an export leaves it; ``values`` go into its card."""
    card = make_card(**values)
    if weights is None:
        weights = make_weights(n_labels=len(card.labels), length=card.features.clip_length)
    model = make_model(weights, card.to_json())
    entry = FileEntry(sha256=hashlib.sha256(model).hexdigest(), bytes=len(model), form="clip")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clip.tflite").write_bytes(model)
    (folder / "card.json").write_text(card.with_files({"clip.tflite": entry}).to_json())
    return folder


def _buffer(content: bytes) -> Any:
    buffer = schema.BufferT()
    if content:
        buffer.data = np.frombuffer(content, np.uint8)
    return buffer


def _tensor(name: str, shape: Sequence[int], buffer: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, _indices(shape), schema.TensorType.FLOAT32, buffer
    return tensor


def _indices(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _code(builtin: int, custom: str | None = None) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.customCode, code.version = custom, 1
    return code


def _operator(code: int, inputs: Sequence[int], output: int, kind: int, options: Any) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, _indices(inputs), _indices([output])
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator
