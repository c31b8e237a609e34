"""What stands in a .tflite file, read without running it, and what must stand there before it may run."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.card import Card, clipped
from speech_rnn.errors import ModelError

CARD_METADATA = "speech_rnn_card"  # the metadata buffer that holds the card

_IDENTIFIER = b"TFL3"
# What the flatbuffer reader raises on bytes that are no flatbuffer.
_MALFORMED = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError, MemoryError)
_AGAIN = "export the model again"

_BUILTIN = {
    name: code
    for name, code in vars(schema.BuiltinOperator).items()
    if isinstance(code, int) and name not in ("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES")
}
_OPERATOR_NAMES = {code: name for name, code in _BUILTIN.items()}
_TYPE_NAMES = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}


def check_clip_file(model: bytes, card: Card, where: str) -> None:
    """Refuse bytes that are not the clip model that the card describes.

    Args:
        model: the bytes of a .tflite file.
        card: what it should be.
        where: what errors call it.

    Raises:
        ModelError: not a TFLite file, operators that aren't built in, other inputs or outputs, or another card inside.
    """
    if model[4:8] != _IDENTIFIER:
        raise ModelError(f"{where} is not a TFLite file (no {_IDENTIFIER.decode()} in it); {_AGAIN}")
    try:
        root = schema.Model.GetRootAs(model, 0)
        kinds = _operators(root)
        graph = root.Subgraphs(0)
        inputs = [_tensor(graph, graph.Inputs(i)) for i in range(graph.InputsLength())]
        outputs = [_tensor(graph, graph.Outputs(i)) for i in range(graph.OutputsLength())]
        inside = metadata(root, CARD_METADATA)
    except _MALFORMED:
        raise ModelError(f"{where} is not a readable TFLite file; {_AGAIN}") from None
    foreign = [name for name in kinds if name not in _BUILTIN]
    if foreign:
        raise ModelError(
            f"{where} has the operator {clipped(foreign[0])}, and only those built into TFLite may be run; {_AGAIN}"
        )
    for what, found, wanted in (
        ("input", inputs, [("FLOAT32", [1, card.features.clip_length])]),
        ("output", outputs, [("FLOAT32", [1, len(card.labels)])]),
    ):
        if found != wanted:
            raise ModelError(
                f"{where} has the {what} {clipped(_described(found))}, its card says {_described(wanted)}; "
                f"card and file are of different models: {_AGAIN}"
            )
    if inside is None:
        raise ModelError(f"{where} has no card inside, so it is not from 'speech-rnn export'; {_AGAIN} with it")
    _compare(Card.from_json(inside, f"the card inside {where}"), card, where)


def operators(model: bytes) -> list[str]:
    """The kinds of operators in a .tflite file; a custom one as ``custom:NAME``."""
    return _operators(schema.Model.GetRootAs(model, 0))


def metadata(root: Any, name: str) -> bytes | None:
    """A metadata buffer of a TFLite model (``schema.Model``), ``None`` where there is none of that name."""
    for i in range(root.MetadataLength()):
        entry = root.Metadata(i)
        if entry.Name() == name.encode():
            data = root.Buffers(entry.Buffer()).DataAsNumpy()
            return data.tobytes() if isinstance(data, np.ndarray) else b""
    return None


def _operators(root: Any) -> list[str]:
    names = []
    for i in range(root.OperatorCodesLength()):
        code = root.OperatorCodes(i)
        # Codes below 127 stand in the older field too, or only there.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        if custom is not None:
            names.append(f"custom:{custom.decode(errors='replace')}")
        else:
            names.append(_OPERATOR_NAMES.get(number, f"operator {number}"))
    return names


def _tensor(graph: Any, index: int) -> tuple[str, list[int]]:
    tensor = graph.Tensors(index)
    return _TYPE_NAMES.get(tensor.Type(), "?"), [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]


def _described(tensors: list[tuple[str, list[int]]]) -> str:
    return ", ".join(f"{kind.lower()} {shape}" for kind, shape in tensors) or "none"


def _compare(inside: Card, beside: Card, where: str) -> None:
    """Figures may be added beside later; what decides on scores and their meaning must agree."""
    for part in ("labels", "features", "model", "scores", "clip", "window"):
        if getattr(inside, part) != getattr(beside, part):
            raise ModelError(
                f"{where} and the card beside it disagree on {part}; one was changed or is another model's: {_AGAIN}"
            )
