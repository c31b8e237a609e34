"""Weights that are numbers of half precision, stored as such in a file that computes in float32.

The converter's own float16 rounds every constant, the normalization too; this takes those that lose nothing, and so
changes no score.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.export.flatbuffer import packed

LEAST_VALUES = 1_024  # of a constant that is worth an operator
_VERSION = 3  # of DEQUANTIZE, the first that takes float16


def with_half_weights(content: bytes) -> bytes:
    """A .tflite file that stores large float32 constants as float16 where that is the same.

    Args:
        content: of a file that computes in float32.

    Raises:
        ValueError: a constant stands twice in one graph.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    halves: dict[int, int] = {}  # buffer -> that of the same values in half precision
    for graph in model.subgraphs:
        taken: set[int] = set()  # buffers
        added: list[Any] = []
        for index, tensor in enumerate(list(graph.tensors)):
            data = model.buffers[tensor.buffer].data
            if tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) < 4 * LEAST_VALUES:
                continue
            if tensor.buffer not in halves:
                half = _half(np.asarray(data, np.uint8).tobytes())
                if half is None:
                    continue
                model.buffers.append(half)
                halves[tensor.buffer] = len(model.buffers) - 1
            if tensor.buffer in taken:
                raise ValueError("a constant stands twice in one graph")
            taken.add(tensor.buffer)
            stored = copy.copy(tensor)
            stored.type, stored.buffer = schema.TensorType.FLOAT16, halves[tensor.buffer]
            graph.tensors.append(stored)
            added.append(_dequantize(_code(model), len(graph.tensors) - 1, index))
            tensor.buffer = 0
        graph.operators = [*added, *graph.operators]
    for whole in halves:
        model.buffers[whole].data = None
    return packed(model)


def _half(data: bytes) -> Any | None:
    """A buffer of the same values in half precision; ``None`` where some have more digits than that."""
    whole = np.frombuffer(data, np.float32)
    with np.errstate(over="ignore"):
        half = whole.astype(np.float16)
    if (half.astype(np.float32) != whole).any():
        return None
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(half.tobytes(), np.uint8)
    return buffer


def _code(model: Any) -> int:
    """The index of the operator's code, added where it isn't there yet."""
    kind = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == kind and code.version >= _VERSION:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = _VERSION
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _dequantize(code: int, stored: int, whole: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = [stored], [whole]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return operator
