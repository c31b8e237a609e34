"""A step's model -> the model of a whole clip: a loop around the step, within the file.

TFLite has an operator for a whole LSTM layer. It isn't used: between steps it remembers in 8 bits, and kernels of two
makers, whose sigmoid and tanh differ by a few of 32,768, come to states of which one in forty differs, and to scores
that are up to 4 of 256 apart. With 16 bits it runs on boards only. The step remembers in 16 bits everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.export.flatbuffer import packed
from speech_rnn.export.integers.graph import Graph

_Kind = schema.BuiltinOperator
_MAIN, _CONDITION, _BODY = range(3)  # places of the graphs in the file


def clip_of(step: Graph, n_steps: int) -> Graph:
    """Run a step over all of a clip, from zero states on.

    Args:
        step: inputs ``x`` [1, size] and states whose zero is the integer 0; outputs ``scores`` and the new states.
        n_steps: of a clip.

    Returns:
        ``x`` [1, n_steps, size] -> ``scores`` after the last step, in the same integers.
    """
    file = Graph(step.to_bytes())
    recurrent, head = _parts(file)
    x, *states = map(int, file.graph.inputs)
    scores, *new_states = map(int, file.graph.outputs)
    shape = [1, n_steps, int(file.graph.tensors[x].shape[1])]

    condition = _Part(file)
    number, clip = condition.scalar(), condition.like(x, shape)
    goes_on = condition.scalar(schema.TensorType.BOOL)
    condition.add(_Kind.LESS, [number, condition.scalar(value=n_steps)], [goes_on], "LessOptions")
    condition.finish([number, clip, *map(condition.place, states)], [goes_on])

    body = _Part(file)
    number, clip, next_number = body.scalar(), body.like(x, shape), body.scalar()
    # Version 2 is the first that knows int8.
    body.add(_Kind.GATHER, [clip, number], [body.place(x)], "GatherOptions", version=2, axis=1)
    body.copy(recurrent)
    body.add(_Kind.ADD, [number, body.scalar(value=1)], [next_number], "AddOptions")
    body.finish([number, clip, *map(body.place, states)], [next_number, clip, *map(body.place, new_states)])

    main = _Part(file)
    clip = main.like(x, shape, "x")
    last = [main.scalar(), main.like(x, shape), *map(main.place, new_states)]
    options = {"condSubgraphIndex": _CONDITION, "bodySubgraphIndex": _BODY}
    main.add(_Kind.WHILE, [main.scalar(value=0), clip, *main.zeros(states)], last, "WhileOptions", **options)
    main.copy(head)
    main.graph.tensors[main.place(scores)].name = b"scores"
    main.finish([clip], [main.place(scores)])

    (signature,) = file.model.signatureDefs
    signature.subgraphIndex = _MAIN
    signature.inputs, signature.outputs = [_named("x", clip)], [_named("scores", main.place(scores))]
    file.model.subgraphs = [main.graph, condition.graph, body.graph]
    return Graph(packed(file.model))


def _parts(step: Graph) -> tuple[list[Any], list[Any]]:
    """Operators that the new states need, and those that make scores of them."""
    new_states = set(map(int, step.graph.outputs[1:]))
    needed = set(new_states)
    recurrent: list[Any] = []
    head: list[Any] = []
    for operator in reversed(step.graph.operators):
        is_needed = not needed.isdisjoint(map(int, operator.outputs))
        needed.update(map(int, operator.inputs) if is_needed else ())
        (recurrent if is_needed else head).insert(0, operator)
    made = {int(index) for operator in head for index in operator.outputs}
    taken = {int(index) for operator in head for index in operator.inputs} - made - {-1}
    if not new_states.issuperset(index for index in taken if not step.is_constant(step.graph.tensors[index])):
        raise ValueError("scores are made of something else than the new states, and a loop hands on only these")
    return recurrent, head


class _Part:
    """A graph of the loop in the making; the step's tensors come into it as they are needed."""

    def __init__(self, file: Graph) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self._file, self._tensors = file, file.graph.tensors
        self._places = {-1: -1}  # an optional input that isn't there

    def place(self, index: int) -> int:
        """Where a tensor of the step is here."""
        if index not in self._places:
            self._places[index] = self.like(index)
        return self._places[index]

    def like(self, index: int, shape: Sequence[int] | None = None, name: str | None = None) -> int:
        """A new tensor, quantized as one of the step."""
        tensor = copy.copy(self._tensors[index])
        tensor.shape = tensor.shape if shape is None else np.array(shape, np.int32)
        tensor.name, tensor.shapeSignature = name, None
        return self._new(tensor)

    def zeros(self, indices: Sequence[int]) -> list[int]:
        """Constants of zeros, like int16 tensors of the step; those of one size are the same bytes."""
        sizes = [2 * int(np.prod(self._tensors[index].shape)) for index in indices]
        buffers = {size: self._file.add_buffer(bytes(size)) for size in dict.fromkeys(sizes)}
        constants = [self.like(index) for index in indices]
        for constant, size in zip(constants, sizes, strict=True):
            self.graph.tensors[constant].buffer = buffers[size]
        return constants

    def scalar(self, kind: int = schema.TensorType.INT32, value: int | None = None) -> int:
        """A number, constant where its value is given."""
        tensor = schema.TensorT()
        tensor.type, tensor.shape = kind, np.array([], np.int32)
        tensor.buffer = 0 if value is None else self._file.add_buffer(np.array(value, "<i4").tobytes())
        return self._new(tensor)

    def add(
        self, kind: int, inputs: Sequence[int], outputs: Sequence[int], options: str, *, version: int = 1, **values: int
    ) -> None:
        """A new operator; ``options`` is the name of their class."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._file.opcode(kind, version)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        vars(operator.builtinOptions).update(values)
        self.graph.operators.append(operator)

    def copy(self, operators: Sequence[Any]) -> None:
        """Operators of the step."""
        for original in operators:
            operator = copy.copy(original)
            operator.inputs = np.array([self.place(int(index)) for index in original.inputs], np.int32)
            operator.outputs = np.array([self.place(int(index)) for index in original.outputs], np.int32)
            self.graph.operators.append(operator)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """State what goes in and out, in the order of the loop's variables."""
        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)

    def _new(self, tensor: Any) -> int:
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def _named(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
