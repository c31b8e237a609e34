"""What stands in a .tflite file, read without running it, and what must stand there before it may run."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speech_rnn.card import AGAIN, Card, clipped
from speech_rnn.errors import ModelError

CARD_METADATA = "speech_rnn_card"  # the metadata buffer that holds the card
# Signatures: of the clip file, and of the stream files; an output's name.
CLIP_SIGNATURE = "serving_default"
STREAM = "stream"
FEATURES = "features"
STEP = "step"
SCORES = "scores"

_Shapes = Mapping[str, list[int]]
_Tensors = dict[str, tuple[str, list[int]]]

_IDENTIFIER = b"TFL3"
# What the flatbuffer reader raises on bytes that are no flatbuffer.
_MALFORMED = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError, MemoryError)

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
    scores = {SCORES: [1, len(card.labels)]}
    _check(model, card, where, {CLIP_SIGNATURE: ({"waveform": [1, card.features.clip_length]}, scores)})


def check_stream_file(model: bytes, card: Card, where: str) -> None:
    """Refuse bytes that are not a stream model that the card describes; arguments and errors as above."""
    samples, kept = {"samples": [1, card.step_length]}, {"kept": [1, card.kept_length]}
    frames = {"frames": [1, card.model.stack, card.features.n_mfcc]}
    states = {f"state_{i}": [1, size] for i, size in enumerate(card.states)}
    new_states = {f"new_{name}": shape for name, shape in states.items()}
    scores = {SCORES: [1, len(card.labels)]}
    if card.kept_length == 0:
        kept = {}
    new_kept = {f"new_{name}": shape for name, shape in kept.items()}
    _check(
        model,
        card,
        where,
        {
            STREAM: (samples | kept | states, scores | new_kept | new_states),
            FEATURES: ({"window": [1, card.kept_length + card.step_length]}, frames),
            STEP: (frames | states, scores | new_states),
        },
    )


def _check(model: bytes, card: Card, where: str, wanted: Mapping[str, tuple[_Shapes, _Shapes]]) -> None:
    """Form, operators, signatures (name -> shapes of inputs and outputs, all float32) and the card inside."""
    if model[4:8] != _IDENTIFIER:
        raise ModelError(f"{where} is not a TFLite file (no {_IDENTIFIER.decode()} in it); {AGAIN}")
    try:
        root = schema.Model.GetRootAs(model, 0)
        kinds = _operators(root)
        signatures = _signatures(root)
        inside = metadata(root, CARD_METADATA)
    except _MALFORMED:
        raise ModelError(f"{where} is not a readable TFLite file; {AGAIN}") from None
    foreign = [name for name in kinds if name not in _BUILTIN]
    if foreign:
        raise ModelError(
            f"{where} has the operator {clipped(foreign[0])}, and only those built into TFLite may be run; {AGAIN}"
        )
    if set(signatures) != set(wanted):
        raise ModelError(
            f"{where} has the signatures {clipped(sorted(signatures))} and must have {sorted(wanted)}; {AGAIN}"
        )
    for key, shapes in wanted.items():
        for what, found, right in zip(("inputs", "outputs"), signatures[key], shapes, strict=True):
            described = {name: ("FLOAT32", shape) for name, shape in right.items()}
            if found != described:
                name = next(name for name in {**found, **described} if found.get(name) != described.get(name))
                raise ModelError(
                    f"{where} has among the {what} of {key!r} {clipped(name)}: {_described(found.get(name))}, its card "
                    f"says {_described(described.get(name))}; card and file are of different models: {AGAIN}"
                )
    if inside is None:
        raise ModelError(f"{where} has no card inside, so it is not from 'speech-rnn export'; {AGAIN} with it")
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


def _signatures(root: Any) -> dict[str, tuple[_Tensors, _Tensors]]:
    """Signature -> inputs and outputs, each name -> type and shape."""
    found = {}
    for i in range(root.SignatureDefsLength()):
        signature = root.SignatureDefs(i)
        graph = root.Subgraphs(signature.SubgraphIndex())
        inputs = [signature.Inputs(j) for j in range(signature.InputsLength())]
        outputs = [signature.Outputs(j) for j in range(signature.OutputsLength())]
        found[signature.SignatureKey().decode()] = (
            {one.Name().decode(): _tensor(graph, one.TensorIndex()) for one in inputs},
            {one.Name().decode(): _tensor(graph, one.TensorIndex()) for one in outputs},
        )
    return found


def _tensor(graph: Any, index: int) -> tuple[str, list[int]]:
    tensor = graph.Tensors(index)
    return _TYPE_NAMES.get(tensor.Type(), "?"), [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]


def _described(tensor: tuple[str, list[int]] | None) -> str:
    return "none of that name" if tensor is None else f"{tensor[0].lower()} {clipped(tensor[1])}"


def _compare(inside: Card, beside: Card, where: str) -> None:
    """Figures may be added beside later; what decides on scores and their meaning must agree."""
    for part in ("labels", "features", "model", "scores", "clip", "window", "states"):
        if getattr(inside, part) != getattr(beside, part):
            raise ModelError(
                f"{where} and the card beside it disagree on {part}; one was changed or is another model's: {AGAIN}"
            )
