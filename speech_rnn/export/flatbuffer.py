"""A TFLite model's objects -> the bytes of a .tflite file, as the format wants them."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

ALIGNMENT = 16  # bytes; what the format promises for every buffer


def packed(model: Any) -> bytes:
    """The file, its buffers on boundaries of 16 bytes, which the schema's own Python classes forget.

    Equal shapes, scales and zero points are written once: of a graph of many steps or rows that is most of what is not
    weights.

    Args:
        model: a ``ModelT``.
    """
    model.buffers = [_AlignedBuffer(buffer) for buffer in model.buffers]
    builder = _SharingBuilder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors of numbers once, and lets all who have them point there."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802  # the name in the base class
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


class _AlignedBuffer(schema.BufferT):
    """A buffer that is written where the format wants it."""

    def __init__(self, buffer: Any) -> None:
        super().__init__()
        self.data, self.offset, self.size = buffer.data, buffer.offset, buffer.size

    def Pack(self, builder: Any) -> Any:  # noqa: N802  # the name in the generated classes
        vector = None
        if self.data is not None:
            data = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        schema.BufferAddOffset(builder, self.offset)
        schema.BufferAddSize(builder, self.size)
        return schema.BufferEnd(builder)
