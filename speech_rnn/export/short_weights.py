"""Weights of few bits, stored as such in a file that computes in float32.

The converter's own float16 and 8 bits round what they find, and so change scores. Here weights are rounded before any
file is made, and what is stored in fewer bits loses nothing: all files give the same scores.
"""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from speech_rnn.export.flatbuffer import packed

LEAST_VALUES = 1_024  # of a constant that is worth an operator
_LARGEST = 127
# Versions of DEQUANTIZE: the first that takes float16, and the first with a scale for each row.
_OF_HALVES, _OF_ROWS = 3, 5

Floats = NDArray[np.float32]


def shorten_weights(classifier: keras.Model) -> None:
    """Round the weights of a classifier in place: matrices to 8 bits, one scale an output, all else to half precision.

    A scale is a power of two, so that a weight is also a float of 8 digits, which an archive packs well.
    """
    for weight in classifier.weights:
        values = np.asarray(weight, np.float32)
        is_matrix = values.ndim == 2 and "kernel" in weight.path
        weight.assign(_in_eight_bits(values.T).T if is_matrix else values.astype(np.float16).astype(np.float32))


def with_short_weights(content: bytes) -> bytes:
    """A .tflite file that stores large float32 constants in 8 or 16 bits where that is the same.

    Args:
        content: of a file that computes in float32.

    Raises:
        ValueError: a constant stands twice in one graph.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    short: dict[int, Any] = {}  # buffer -> a tensor of the same values in fewer bits
    for graph in model.subgraphs:
        taken: set[int] = set()  # buffers
        added: list[Any] = []
        for index, tensor in enumerate(list(graph.tensors)):
            data = model.buffers[tensor.buffer].data
            if tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) < 4 * LEAST_VALUES:
                continue
            if tensor.buffer not in short:
                values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32).reshape(tensor.shape)
                stored = _in_rows(values, tensor, model) or _in_halves(values, tensor, model)
                if stored is None:
                    continue
                short[tensor.buffer] = stored
            if tensor.buffer in taken:
                raise ValueError("a constant stands twice in one graph")
            taken.add(tensor.buffer)
            graph.tensors.append(copy.copy(short[tensor.buffer]))
            added.append(_dequantize(model, len(graph.tensors) - 1, index, graph.tensors[-1].type))
            tensor.buffer = 0
        graph.operators = [*added, *graph.operators]
        _drop_what_says_nothing(graph)
    for whole in short:
        model.buffers[whole].data = None
    return packed(model)


def _drop_what_says_nothing(graph: Any) -> None:
    """Quantization of tensors that have none, shapes told twice: a twentieth of a graph of many steps."""
    for tensor in graph.tensors:
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
        if tensor.shapeSignature is not None and np.array_equal(tensor.shapeSignature, tensor.shape):
            tensor.shapeSignature = None


def _in_eight_bits(rows: Floats) -> Floats:
    """Each row's values as whole numbers up to 127 of its scale."""
    scales = _scales(rows)[:, np.newaxis]
    return np.asarray(np.rint(rows / scales) * scales, np.float32)


def _scales(rows: Floats) -> Floats:
    """The least power of two a row in which its values are at most 127; 1 for a row of zeros."""
    largest = np.abs(rows).max(axis=1)
    return np.asarray(np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, _LARGEST) / _LARGEST))), np.float32)


def _in_rows(values: Floats, tensor: Any, model: Any) -> Any | None:
    """A tensor of the same values in 8 bits; ``None`` where some have more digits than that."""
    if values.ndim != 2 or not np.isfinite(values).all():
        return None
    scales = _scales(values)
    whole = np.rint(values / scales[:, np.newaxis])
    if (whole * scales[:, np.newaxis] != values).any():
        return None
    stored = _stored(tensor, schema.TensorType.INT8, whole.astype(np.int8), model)
    stored.quantization = schema.QuantizationParametersT()
    stored.quantization.scale = scales
    stored.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    stored.quantization.quantizedDimension = 0
    return stored


def _in_halves(values: Floats, tensor: Any, model: Any) -> Any | None:
    """A tensor of the same values in half precision; ``None`` where some have more digits than that."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if (half.astype(np.float32) != values).any():
        return None
    return _stored(tensor, schema.TensorType.FLOAT16, half, model)


def _stored(tensor: Any, kind: int, values: NDArray[Any], model: Any) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    stored = copy.copy(tensor)
    stored.type, stored.buffer = kind, len(model.buffers) - 1
    return stored


def _dequantize(model: Any, stored: int, whole: int, kind: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = _code(model, _OF_ROWS if kind == schema.TensorType.INT8 else _OF_HALVES)
    operator.inputs, operator.outputs = [stored], [whole]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return operator


def _code(model: Any, version: int) -> int:
    """The index of the operator's code, added where it isn't there yet."""
    kind = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == kind and code.version >= version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
