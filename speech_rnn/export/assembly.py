"""TFLite models put together from converted pieces, without converting again.

The converter gives small graphs: the front end of a step, one step of the classifier. A :class:`Graph` is made of
copies of them, joined at their tensors: the clip model is the step model as many times as a clip has steps. Constants
are shared between copies and between the graphs of a file, so a file holds each weight once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from speech_rnn.export.flatbuffer import packed

Tensor = int  # index of a tensor in its graph


class Piece:
    """A converted model of one graph, to be copied into others; inputs and outputs go by their order."""

    def __init__(self, content: bytes, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
        """Read the bytes of a .tflite file.

        Args:
            content: what the converter wrote.
            inputs: names of its signature's inputs in the wanted order; as in the graph where not given.
            outputs: likewise.
        """
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        if len(self.model.subgraphs) != 1:
            raise ValueError(f"a piece has one graph, not {len(self.model.subgraphs)}: it has loops or branches")
        self.graph = self.model.subgraphs[0]
        self.inputs = [int(index) for index in self.graph.inputs]
        self.outputs = [int(index) for index in self.graph.outputs]
        if inputs:
            self.inputs = _ordered(self.model.signatureDefs[0].inputs, inputs)
        if outputs:
            self.outputs = _ordered(self.model.signatureDefs[0].outputs, outputs)

    def content(self, tensor: Tensor) -> NDArray[np.uint8] | None:
        """The bytes of a constant; ``None`` for what is computed."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return None if data is None or not len(data) else np.asarray(data, np.uint8)


class Assembly:
    """A TFLite model in the making."""

    def __init__(self) -> None:
        """Nothing in it yet but the empty buffer that every file begins with."""
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = b"speech_rnn"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = []
        self.model.signatureDefs = []
        self.model.metadata = []
        self._buffers: dict[bytes, int] = {}
        self._codes: dict[tuple[int, int, bytes | None], int] = {}

    def graph(self, signature: str, *, any_batch: bool = False) -> Graph:
        """A further graph, to be called by the name of its signature; the first is what ``invoke()`` runs.

        Args:
            signature: its name.
            any_batch: leave the size of the batch open, where the pieces have it open.
        """
        return Graph(self, signature, any_batch)

    def add_metadata(self, name: str, content: bytes) -> None:
        """Further bytes to travel inside, found by name."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self._buffer(content)
        self.model.metadata.append(entry)

    def to_bytes(self) -> bytes:
        """The .tflite file."""
        return packed(self.model)

    def _buffer(self, content: bytes) -> int:
        if content not in self._buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self.model.buffers.append(buffer)
            self._buffers[content] = len(self.model.buffers) - 1
        return self._buffers[content]

    def _code(self, code: Any) -> int:
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        key = builtin, code.version, code.customCode
        if key not in self._codes:
            self.model.operatorCodes.append(copy.copy(code))
            self._codes[key] = len(self.model.operatorCodes) - 1
        return self._codes[key]


@dataclass(frozen=True, slots=True)
class _Copied:
    """A piece's operator, its tensors by their indices in the graph."""

    operator: Any
    code: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Graph:
    """One graph of an :class:`Assembly`: inputs, copies of pieces, outputs."""

    def __init__(self, assembly: Assembly, signature: str, any_batch: bool) -> None:
        """An empty graph; :meth:`finish` puts it into the assembly."""
        self._assembly = assembly
        self._any_batch = any_batch
        self._signature = signature
        self._tensors: list[Any] = []
        self._operators: list[_Copied] = []
        self._inputs: dict[str, Tensor] = {}
        self._constants: dict[tuple[Any, ...], Tensor] = {}

    def input(self, name: str, like: Piece, position: int) -> Tensor:
        """An input of the graph, of the type and shape of a piece's input.

        Args:
            name: what callers call it.
            like: the piece.
            position: which of its inputs.
        """
        tensor = self._computed(like.graph.tensors[like.inputs[position]])
        tensor.name = name
        self._inputs[name] = self._new(tensor)
        return self._inputs[name]

    def constant(self, values: NDArray[np.float32]) -> Tensor:
        """A constant float32 tensor."""
        tensor = schema.TensorT()
        tensor.type = schema.TensorType.FLOAT32
        tensor.shape = np.array(values.shape, np.int32)
        tensor.buffer = self._assembly._buffer(values.astype("<f4").tobytes())
        return self._new(tensor)

    def add(self, piece: Piece, inputs: Sequence[Tensor]) -> list[Tensor]:
        """A copy of a piece.

        Args:
            piece: what to copy.
            inputs: tensors of this graph, in the order of the piece's inputs.

        Returns:
            Its outputs, in their order.
        """
        place: dict[Tensor, Tensor] = dict(zip(piece.inputs, inputs, strict=True))
        place[-1] = -1  # an optional input that isn't there

        def placed(tensor: Tensor) -> Tensor:
            if tensor not in place:
                content = piece.content(tensor)
                place[tensor] = (
                    self._new(self._computed(piece.graph.tensors[tensor]))
                    if content is None
                    else self._constant(piece.graph.tensors[tensor], content)
                )
            return place[tensor]

        for operator in piece.graph.operators:
            self._operators.append(
                _Copied(
                    operator,
                    piece.model.operatorCodes[operator.opcodeIndex],
                    tuple(placed(int(index)) for index in operator.inputs),
                    tuple(placed(int(index)) for index in operator.outputs),
                )
            )
        return [placed(index) for index in piece.outputs]

    def finish(self, outputs: Mapping[str, Tensor]) -> None:
        """Put the graph into the file, without what no output needs.

        Args:
            outputs: name -> tensor.
        """
        needed = set(outputs.values())
        kept: list[_Copied] = []
        for copied in reversed(self._operators):
            if needed.intersection(copied.outputs):
                needed.update(copied.inputs)
                kept.append(copied)
        kept.reverse()
        used = sorted(needed.union(self._inputs.values(), *(copied.outputs for copied in kept)) - {-1})
        index = {-1: -1, **{tensor: position for position, tensor in enumerate(used)}}

        graph = schema.SubGraphT()
        graph.name = self._signature
        graph.tensors = [self._tensors[tensor] for tensor in used]
        graph.inputs = _indices([index[tensor] for tensor in self._inputs.values()])
        graph.outputs = _indices([index[tensor] for tensor in outputs.values()])
        graph.operators = [self._operator(copied, index) for copied in kept]
        for name, tensor in outputs.items():
            self._tensors[tensor].name = name
        self._assembly.model.subgraphs.append(graph)

        signature = schema.SignatureDefT()
        signature.signatureKey = self._signature
        signature.subgraphIndex = len(self._assembly.model.subgraphs) - 1
        signature.inputs = [_named(name, index[tensor]) for name, tensor in self._inputs.items()]
        signature.outputs = [_named(name, index[tensor]) for name, tensor in outputs.items()]
        self._assembly.model.signatureDefs.append(signature)

    def _operator(self, copied: _Copied, index: Mapping[Tensor, Tensor]) -> Any:
        operator = copy.copy(copied.operator)
        operator.opcodeIndex = self._assembly._code(copied.code)
        operator.inputs = _indices([index[tensor] for tensor in copied.inputs])
        operator.outputs = _indices([index[tensor] for tensor in copied.outputs])
        return operator

    def _computed(self, original: Any) -> Any:
        tensor = copy.copy(original)
        tensor.buffer, tensor.name = 0, None  # a thousand names would be a fifth of the file
        if not self._any_batch:
            tensor.shapeSignature = None
        return tensor

    def _constant(self, original: Any, content: NDArray[np.uint8]) -> Tensor:
        buffer = self._assembly._buffer(content.tobytes())
        key = buffer, original.type, tuple(original.shape), _scales(original.quantization)
        if key not in self._constants:
            tensor = self._computed(original)
            tensor.buffer = buffer
            self._constants[key] = self._new(tensor)
        return self._constants[key]

    def _new(self, tensor: Any) -> Tensor:
        self._tensors.append(tensor)
        return len(self._tensors) - 1


def _scales(quantization: Any) -> tuple[Any, ...]:
    """What tells two quantizations apart."""
    if quantization is None or quantization.scale is None:
        return ()
    return tuple(quantization.scale), tuple(quantization.zeroPoint), quantization.quantizedDimension


def _ordered(tensors: Sequence[Any], names: Sequence[str]) -> list[Tensor]:
    index = {tensor.name.decode(): int(tensor.tensorIndex) for tensor in tensors}
    return [index[name] for name in names]


def _indices(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _named(name: str, index: Tensor) -> Any:
    tensor = schema.TensorMapT()
    tensor.name, tensor.tensorIndex = name, index
    return tensor
