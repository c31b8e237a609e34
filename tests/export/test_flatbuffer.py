from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.export.flatbuffer import ALIGNMENT, packed


def model(scales: list[float]) -> Any:
    """Two tensors of 500 rows with these scales, one a tensor."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    graph.inputs = graph.outputs = np.array([0, 1], np.int32)
    graph.operators, graph.tensors, model.buffers = [], [], [schema.BufferT()]
    for number, scale in enumerate(scales):
        tensor, buffer = schema.TensorT(), schema.BufferT()
        buffer.data = np.full(500, number + 1, np.uint8)
        model.buffers.append(buffer)
        tensor.name, tensor.type = f"rows_{number}", schema.TensorType.INT8
        tensor.shape, tensor.buffer = np.array([500, 1], np.int32), number + 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.full(500, scale, np.float32)
        tensor.quantization.zeroPoint = np.zeros(500, np.int64)
        graph.tensors.append(tensor)
    return model


def test_equal_vectors_are_written_once_and_all_is_read_back() -> None:
    equal, unlike = packed(model([0.5, 0.5])), packed(model([0.5, 0.25]))

    # Zero points and shapes of both are the same anyhow.
    assert 4 * 500 <= len(unlike) - len(equal) < 4 * 500 + 64
    assert len(unlike) < 2 * (500 + 4 * 500) + 8 * 500 + 1_000
    for content, scales in ((equal, [0.5, 0.5]), (unlike, [0.5, 0.25])):
        again = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        for number, (tensor, scale) in enumerate(zip(again.subgraphs[0].tensors, scales, strict=True)):
            np.testing.assert_array_equal(tensor.quantization.scale, np.full(500, scale, np.float32))
            np.testing.assert_array_equal(tensor.quantization.zeroPoint, np.zeros(500, np.int64))
            np.testing.assert_array_equal(again.buffers[tensor.buffer].data, np.full(500, number + 1, np.uint8))


def test_buffers_lie_on_boundaries() -> None:
    content = packed(model([0.5, 0.25]))

    for number in (1, 2):
        assert content.index(bytes([number]) * 500) % ALIGNMENT == 0
