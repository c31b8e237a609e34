"""Edits of a converted model that the converter has no option for: order, scales, widths, what stays in float32."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from speech_rnn.export.flatbuffer import ALIGNMENT, packed
from speech_rnn.tflite_file import CARD_METADATA, operators

_SIGMOID, _TANH = schema.BuiltinOperator.LOGISTIC, schema.BuiltinOperator.TANH
# What multiplies with weights, and adds a bias in 32 bits; their inputs are what is taken, weights, bias.
_PRODUCTS = (
    schema.BuiltinOperator.FULLY_CONNECTED,
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
)
# What goes into a gate. In 8 bits each value counts: sigmoid(8) is 1 but for 3e-4, tanh(4) but for 7e-4. In 16 bits
# there are values enough for all that ever comes, and kernels know powers of two best.
GATE_STEPS = {
    schema.TensorType.INT8: {_SIGMOID: 8 / 128, _TANH: 4 / 128},
    schema.TensorType.INT16: {_SIGMOID: 16 / 32_768, _TANH: 16 / 32_768},
}


class Graph:
    """A .tflite file of one signature, taken apart: its graph; further ones are of loops in it."""

    def __init__(self, content: bytes) -> None:
        """Read the bytes of a .tflite file."""
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph = self.model.subgraphs[0]
        (signature,) = self.model.signatureDefs
        self._inputs, self._outputs = signature.inputs, signature.outputs

    def set_order(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Put inputs and outputs into an order: on a board they have no names, and the converter's own is by chance."""
        self.graph.inputs = np.array([_index(self._inputs, name) for name in inputs], np.int32)
        self.graph.outputs = np.array([_index(self._outputs, name) for name in outputs], np.int32)
        for maps, names in ((self._inputs, inputs), (self._outputs, outputs)):
            for name in names:
                self.graph.tensors[_index(maps, name)].name = name.encode()
            maps.sort(key=lambda one, names=names: names.index(one.name.decode()))

    def share_scale(self, output: str, with_input: str) -> None:
        """Quantize an output as an input is, so that it can be fed back by copying its bytes."""
        wanted = self.graph.tensors[_index(self._inputs, with_input)].quantization
        self.set_scale(output, float(wanted.scale[0]), int(wanted.zeroPoint[0]))

    def set_scale(self, output: str, scale: float, zero_point: int = 0) -> None:
        """Quantize an output otherwise than the converter has."""
        self._set_scale(_index(self._outputs, output), scale, zero_point)

    def fit_biases(self) -> None:
        """Give each product a bias of its own, in its own scale.

        In 16 bits the converter lets products whose biases are equal share one, in the scale of the first.
        """
        for operator in self.graph.operators:
            if self.kind(operator) == schema.BuiltinOperator.FULLY_CONNECTED:
                self._fit_bias(operator)

    def set_unit_range(self, inputs: Sequence[str]) -> None:
        """Quantize some inputs, and all that is put side by side, from -1 to 1.

        One product takes input and state side by side, and there must be one scale for both.
        """
        tensors = {_index(self._inputs, name) for name in inputs}
        for operator in self.graph.operators:
            if self.kind(operator) == schema.BuiltinOperator.CONCATENATION:
                tensors |= {int(index) for index in [*operator.inputs, *operator.outputs]}
        for index in tensors:
            # The kernels of tanh in 16 bits know one scale only, which doesn't quite reach 1.
            is_wide = self.graph.tensors[index].type == schema.TensorType.INT16
            self._set_scale(index, 1 / 32_768 if is_wide else 1 / 127)

    def bound_gates(self) -> None:
        """Quantize what goes into a sigmoid or a tanh by :data:`GATE_STEPS`; beyond, they hardly change.

        The converter would cover all that it has seen, and no more.
        """
        outputs = set(map(int, self.graph.outputs))
        for operator in self.graph.operators:
            index = int(operator.inputs[0])
            step = GATE_STEPS.get(self.graph.tensors[index].type, {}).get(self.kind(operator))
            # An LSTM's cell is an output, and goes on from step to step.
            if step is not None and index not in outputs:
                self._set_scale_of_all(index, step)

    def narrow_input(self, name: str) -> None:
        """Take an int16 input in int8, of the same range."""
        wide = _index(self._inputs, name)
        narrow = self._narrow_beside(wide, 256 * float(self.graph.tensors[wide].quantization.scale[0]), 0)
        self.graph.operators.insert(0, self._single(schema.BuiltinOperator.QUANTIZE, narrow, wide))
        self.graph.inputs = _with(self.graph.inputs, self._inputs, wide, narrow)

    def narrow_output(self, name: str, scale: float, zero_point: int) -> None:
        """Give an int16 output in int8."""
        wide = _index(self._outputs, name)
        narrow = self._narrow_beside(wide, scale, zero_point)
        self.graph.operators.append(self._single(schema.BuiltinOperator.QUANTIZE, wide, narrow))
        self.graph.outputs = _with(self.graph.outputs, self._outputs, wide, narrow)

    def drop_what_no_kernel_reads(self) -> None:
        """Leave out ranges that were seen, and scales of biases: 20 bytes a channel, and a board's flash is small."""
        for operator in self.graph.operators:
            if self.kind(operator) == schema.BuiltinOperator.FULLY_CONNECTED and len(operator.inputs) > 2:
                bias = self.graph.tensors[int(operator.inputs[2])]
                if int(operator.inputs[2]) >= 0 and bias.type == schema.TensorType.INT64:
                    bias.quantization = None
        for tensor in self.graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization.min = tensor.quantization.max = None

    def float_but_products(self) -> None:
        """Of a graph in int8, compute in float32 all but products with weights; inputs and outputs are float32 then.

        What a product takes and gives stays quantized as it was: the one is quantized ahead of it, the other
        dequantized behind.
        """
        twins: dict[int, int] = {}  # what products take -> the same in int8
        same: dict[int, int] = {}  # what differed in its scale only -> what from
        stays, operators = set[int](), []
        for operator in self.graph.operators:
            operator.inputs = np.array([same.get(int(index), index) for index in operator.inputs], np.int32)
            taken, given = int(operator.inputs[0]), int(operator.outputs[0])
            if self.kind(operator) == schema.BuiltinOperator.QUANTIZE:
                same[given] = taken
            elif self.kind(operator) in _PRODUCTS:
                if taken not in twins:
                    twins[taken] = self._twin(taken)
                    operators.append(self._single(schema.BuiltinOperator.QUANTIZE, taken, twins[taken]))
                product = self._twin(given)
                stays |= {twins[taken], product, *map(int, operator.inputs[1:])}
                operator.inputs = np.array([twins[taken], *operator.inputs[1:]], np.int32)
                operator.outputs = np.array([product], np.int32)
                operators += [operator, self._single(schema.BuiltinOperator.DEQUANTIZE, product, given)]
            else:
                operators.append(operator)
        for old, new in same.items():
            self.graph.outputs = _with(self.graph.outputs, self._outputs, old, new)
        self.graph.operators = operators
        for index in set(range(len(self.graph.tensors))) - stays:
            self._make_float(self.graph.tensors[index])

    def add_card(self, card: str) -> None:
        """Let the card travel inside, as a metadata buffer."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = CARD_METADATA, self.add_buffer(card.encode())
        self.model.metadata = [*(self.model.metadata or []), entry]

    def kind(self, operator: Any) -> int:
        """An operator's ``BuiltinOperator``."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def is_constant(self, tensor: Any) -> bool:
        """Whether a tensor stands in the file."""
        data = self.model.buffers[tensor.buffer].data
        return data is not None and len(data) > 0

    def opcode(self, kind: int, version: int = 1) -> int:
        """The index of an operator's code, which is entered if there is none.

        Args:
            kind: ``BuiltinOperator``.
            version: the first that knows the types that it is used with.
        """
        codes = self.model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
                code.version = max(code.version, version)
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, kind, version
        codes.append(code)
        return len(codes) - 1

    def add_buffer(self, content: bytes) -> int:
        """Further bytes in the file; gives their index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def to_bytes(self) -> bytes:
        """The .tflite file."""
        return packed(self.model)

    def operator_names(self) -> list[str]:
        """The kinds of operators in it, each once, sorted."""
        return sorted(set(operators(self.to_bytes())))

    def arena_bound(self) -> int:
        """Bytes that TensorFlow Lite Micro's arena takes at most, on a machine of 64 bits; a whole number of KiB.

        What is alive at once, what kernels keep a channel, and what the interpreter keeps a tensor and an operator. Of
        a loop's two graphs one is alive, and the main graph with it.
        """
        main, *of_loops = map(self._largest_alive, self.model.subgraphs)
        kept = sum(self._kept(operator, graph) for graph in self.model.subgraphs for operator in graph.operators)
        n_tensors = sum(len(graph.tensors) for graph in self.model.subgraphs)
        n_operators = sum(len(graph.operators) for graph in self.model.subgraphs)
        io = len(self.graph.inputs) + len(self.graph.outputs)
        own = 24 * n_tensors + 64 * n_operators + 96 * io + 1024
        return _ceil(main + max(of_loops, default=0) + kept + own, 1024)

    def _largest_alive(self, graph: Any) -> int:
        """Bytes of the tensors that are needed at the same time, where there are most."""
        end = len(graph.operators)
        first: dict[int, int] = dict.fromkeys(map(int, graph.inputs), 0)
        last: dict[int, int] = dict.fromkeys(map(int, graph.outputs), end)
        for place, operator in enumerate(graph.operators):
            for index in map(int, operator.outputs):
                first.setdefault(index, place)
                last.setdefault(index, place)
            for index in map(int, operator.inputs):
                if index >= 0 and not self.is_constant(graph.tensors[index]):
                    first.setdefault(index, place)
                    last[index] = end if last.get(index) == end else place
        sizes = {index: self._bytes(graph.tensors[index]) for index in first}
        return max(
            sum(size for index, size in sizes.items() if first[index] <= place <= last.get(index, 0))
            for place in range(end + 1)
        )

    def _bytes(self, tensor: Any) -> int:
        return _ceil(int(np.prod(tensor.shape)) * _BYTES.get(tensor.type, 4))

    def _kept(self, operator: Any, graph: Any) -> int:
        """Bytes that an operator's kernel keeps for itself or asks for as scratch."""
        kind = self.kind(operator)
        if kind == schema.BuiltinOperator.FULLY_CONNECTED:
            scales = len(graph.tensors[operator.inputs[1]].quantization.scale)
            # A multiplier and a shift for each row of weights, where each has a scale.
            return (2 * _ceil(4 * scales) if scales > 1 else 0) + 160
        is_wide = graph.tensors[operator.outputs[0]].type == schema.TensorType.INT16
        if kind == schema.BuiltinOperator.SOFTMAX and is_wide:
            return 2 * _ceil(2 * 513) + 160  # tables of the exponential and of 1 / (1 + x)
        return 96

    def _narrow_beside(self, index: int, scale: float, zero_point: int) -> int:
        """A new int8 tensor that takes another's name."""
        wide = self.graph.tensors[index]
        narrow = copy.deepcopy(wide)
        narrow.type = schema.TensorType.INT8
        narrow.quantization.scale = np.array([scale], np.float32)
        narrow.quantization.zeroPoint = np.array([zero_point], np.int64)
        wide.name = b"wide_" + wide.name
        self.graph.tensors.append(narrow)
        return len(self.graph.tensors) - 1

    def _twin(self, index: int) -> int:
        """A new tensor like another."""
        self.graph.tensors.append(copy.deepcopy(self.graph.tensors[index]))
        return len(self.graph.tensors) - 1

    def _make_float(self, tensor: Any) -> None:
        """Turn a tensor in int8, and what it holds, into float32; others stay."""
        if tensor.type != schema.TensorType.INT8:
            return
        if self.is_constant(tensor):
            values = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
            scale, zero_point = tensor.quantization.scale[0], tensor.quantization.zeroPoint[0]
            tensor.buffer = self.add_buffer(((values - np.float32(zero_point)) * scale).astype("<f4").tobytes())
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None

    def _single(self, kind: int, source: int, target: int) -> Any:
        """An operator of one input and one output, without options."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.opcode(kind, 2)  # the first version that knows int8
        operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
        return operator

    def _set_scale_of_all(self, index: int, scale: float) -> None:
        """The same for a tensor and for what it is only a part of."""
        parts = {schema.BuiltinOperator.SPLIT: 1, schema.BuiltinOperator.STRIDED_SLICE: 0}
        self._set_scale(index, scale)
        for operator in self.graph.operators:
            if self.kind(operator) in parts and index in operator.outputs:
                self._set_scale_of_all(int(operator.inputs[parts[self.kind(operator)]]), scale)

    def _set_scale(self, index: int, scale: float, zero_point: int = 0) -> None:
        """Quantize a tensor otherwise.

        Kernels take their multipliers from the tensors when they are prepared, so the scale is all there is to
        change, but for a bias, whose scale is that of its input times that of the weights.
        """
        quantization = self.graph.tensors[index].quantization
        was = float(quantization.scale[0])
        quantization.scale = np.array([scale], np.float32)
        quantization.zeroPoint = np.array([zero_point], np.int64)
        for operator in self.graph.operators:
            if self.kind(operator) == schema.BuiltinOperator.FULLY_CONNECTED and operator.inputs[0] == index:
                self._fit_bias(operator, was / scale)

    def _fit_bias(self, operator: Any, change: float = 1.0) -> None:
        """Give a product's bias the scale that it is added in; ``change`` is by how much that is finer now.

        A bias whose scale was left out had the scale that it was added in.
        """
        if len(operator.inputs) < 3 or operator.inputs[2] < 0:
            return
        taken, weights, bias = (self.graph.tensors[int(index)] for index in operator.inputs[:3])
        wanted = float(taken.quantization.scale[0]) * np.asarray(weights.quantization.scale, np.float64)
        if self._is_shared(int(operator.inputs[2])):
            bias = copy.deepcopy(bias)
            self.model.buffers.append(schema.BufferT())
            self.graph.tensors.append(bias)
            shared, bias.buffer = bias.buffer, len(self.model.buffers) - 1
            self.model.buffers[bias.buffer].data = self.model.buffers[shared].data
            operator.inputs = np.array([*operator.inputs[:2], len(self.graph.tensors) - 1], np.int32)
        buffer = self.model.buffers[bias.buffer]
        integers = {schema.TensorType.INT32: "<i4", schema.TensorType.INT64: "<i8"}[bias.type]
        values = np.asarray(buffer.data, np.uint8).view(integers)
        finer = change if bias.quantization is None else bias.quantization.scale / wanted
        buffer.data = np.round(values * finer).astype(integers).view(np.uint8)
        if bias.quantization is not None:
            bias.quantization.scale = wanted.astype(np.float32)

    def _is_shared(self, index: int) -> bool:
        """Whether two operators take a constant, or two tensors its buffer."""
        takers = sum(int(taken) == index for operator in self.graph.operators for taken in operator.inputs)
        holders = sum(tensor.buffer == self.graph.tensors[index].buffer for tensor in self.graph.tensors)
        return takers > 1 or holders > 1


_BYTES = {schema.TensorType.INT8: 1, schema.TensorType.INT16: 2}


def _index(maps: Sequence[Any], name: str) -> int:
    return next(int(one.tensorIndex) for one in maps if one.name == name.encode())


def _with(places: NDArray[np.int32], maps: Sequence[Any], old: int, new: int) -> NDArray[np.int32]:
    """Inputs or outputs with one tensor in place of another, in the signature's maps too."""
    for one in maps:
        if one.tensorIndex == old:
            one.tensorIndex = new
    return np.where(np.asarray(places) == old, new, places).astype(np.int32)


def _ceil(n: int, unit: int = ALIGNMENT) -> int:
    return -(-n // unit) * unit
