"""Small .tflite models put together by hand, whose scores NumPy can tell; no converter, no TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
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
        "model": ModelSettings(stack=1),
        "states": (5,),
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
    made = _Made()
    graph = made.graph("serving_default")
    waveform = graph.tensor([1, length], "waveform")
    logits = graph.dense(waveform, weights)
    graph.finish([waveform], [graph.add("SOFTMAX", [logits], [1, n_labels], "scores")])
    return made.to_bytes(card_inside, custom)


@dataclass(frozen=True)
class StreamWeights:
    """What a hand-made stream model computes with; float32, columns are inputs."""

    frames: NDArray[np.float32]  # [stack * n_mfcc, kept_length + step_length]
    state: NDArray[np.float32]  # [state, stack * n_mfcc + state]
    scores: NDArray[np.float32]  # [labels, state]


def make_stream_weights(card: Card, seed: int = 0) -> StreamWeights:
    rng = np.random.default_rng(seed)
    width, (size,) = card.model.stack * card.features.n_mfcc, card.states

    def normal(rows: int, columns: int, spread: float) -> NDArray[np.float32]:
        return rng.normal(0, spread, (rows, columns)).astype(np.float32)

    return StreamWeights(
        normal(width, card.kept_length + card.step_length, 0.1),
        normal(size, width + size, 0.3),
        normal(len(card.labels), size, 3.0),
    )


def expected_stream_scores(
    weights: StreamWeights, card: Card, samples: NDArray[Any], *, reset_every: int | None = None
) -> NDArray[np.float64]:
    """Scores after each step that the samples hold: float64 [steps, labels]."""
    state = np.zeros(card.states[0])
    found = []
    for step in range((len(samples) - card.kept_length) // card.step_length):
        if reset_every is not None and step % reset_every == 0:
            state = np.zeros(card.states[0])
        window = samples[step * card.step_length :][: card.kept_length + card.step_length].astype(np.float64)
        state = np.tanh(weights.state @ np.concatenate([weights.frames @ window, state]))
        powers = np.exp(weights.scores @ state)
        found.append(powers / powers.sum())
    return np.array(found).reshape(-1, len(card.labels))


def make_stream_model(weights: StreamWeights, card: Card, card_inside: str | None) -> bytes:
    """A stream file of one state: state = tanh(W [frames, state]), scores = softmax(V state)."""
    made = _Made()
    stack, n_mfcc = card.model.stack, card.features.n_mfcc

    def frames_of(graph: _MadeGraph, window: int) -> int:
        return graph.reshape(graph.dense(window, weights.frames), [-1, stack, n_mfcc], [1, stack, n_mfcc], "frames")

    def step_of(graph: _MadeGraph, frames: int, state: int) -> list[int]:
        x = graph.reshape(frames, [-1, stack * n_mfcc], [1, stack * n_mfcc])
        joined = graph.concatenate([x, state], [1, stack * n_mfcc + card.states[0]])
        new_state = graph.add("TANH", [graph.dense(joined, weights.state)], [1, card.states[0]], "new_state_0")
        scores = graph.add("SOFTMAX", [graph.dense(new_state, weights.scores)], [1, len(card.labels)], "scores")
        return [scores, new_state]

    graph = made.graph("stream")
    samples, kept = graph.tensor([1, card.step_length], "samples"), graph.tensor([1, card.kept_length], "kept")
    state = graph.tensor([1, card.states[0]], "state_0")
    window = graph.concatenate([kept, samples], [1, card.kept_length + card.step_length])
    scores, new_state = step_of(graph, frames_of(graph, window), state)
    new_kept = graph.last(window, card.step_length, card.kept_length, "new_kept")
    graph.finish([samples, kept, state], [scores, new_kept, new_state])

    graph = made.graph("features")
    window = graph.tensor([1, card.kept_length + card.step_length], "window")
    graph.finish([window], [frames_of(graph, window)])

    graph = made.graph("step")
    frames, state = graph.tensor([1, stack, n_mfcc], "frames"), graph.tensor([1, card.states[0]], "state_0")
    graph.finish([frames, state], step_of(graph, frames, state))
    return made.to_bytes(card_inside)


def write_model(folder: Path, *, weights: NDArray[np.float32] | None = None, **values: Any) -> Path:
    """A model folder as an export leaves it; ``values`` go into its card."""
    card = make_card(**values)
    if weights is None:
        weights = make_weights(n_labels=len(card.labels), length=card.features.clip_length)
    stream = make_stream_model(make_stream_weights(card), card, card.to_json())
    files = {"clip.tflite": make_model(weights, card.to_json()), "stream.tflite": stream}
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        form = name.removesuffix(".tflite")
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), form=form)
    (folder / "card.json").write_text(card.with_files(entries).to_json())
    return folder


class _Made:
    """A .tflite file in the making."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [_buffer(b"")]
        self.model.operatorCodes, self.model.subgraphs, self.model.signatureDefs = [], [], []

    def graph(self, key: str) -> _MadeGraph:
        return _MadeGraph(self.model, key)

    def to_bytes(self, card_inside: str | None, custom: str | None = None) -> bytes:
        if custom is not None:
            self.model.operatorCodes.append(_code(schema.BuiltinOperator.CUSTOM, custom))
        if card_inside is not None:
            self.model.buffers.append(_buffer(card_inside.encode()))
            entry = schema.MetadataT()
            entry.name, entry.buffer = b"speech_rnn_card", len(self.model.buffers) - 1
            self.model.metadata = [entry]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class _MadeGraph:
    """A graph, its signature, and few operators; the size of the batch is open."""

    def __init__(self, model: Any, key: str) -> None:
        self.model, self.key, self.made = model, key, schema.SubGraphT()
        self.made.tensors, self.made.operators = [], []

    def tensor(self, shape: Sequence[int], name: str = "", content: NDArray[Any] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, _indices(shape), schema.TensorType.FLOAT32, 0
        if content is None:
            tensor.shapeSignature = _indices([-1, *shape[1:]])
        else:
            tensor.type = schema.TensorType.INT32 if content.dtype == np.int32 else schema.TensorType.FLOAT32
            self.model.buffers.append(_buffer(content.tobytes()))
            tensor.buffer = len(self.model.buffers) - 1
        self.made.tensors.append(tensor)
        return len(self.made.tensors) - 1

    def add(self, kind: str, inputs: Sequence[int], shape: Sequence[int], name: str = "", **options: Any) -> int:
        output = self.tensor(shape, name)
        camel = "".join(word.capitalize() for word in kind.split("_"))
        self.model.operatorCodes.append(_code(getattr(schema.BuiltinOperator, kind)))
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = _indices(inputs), _indices([output])
        if hasattr(schema, f"{camel}OptionsT"):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{camel}Options")
            operator.builtinOptions = getattr(schema, f"{camel}OptionsT")()
            for option, value in ({"beta": 1.0} if kind == "SOFTMAX" else options).items():
                setattr(operator.builtinOptions, option, value)
        self.made.operators.append(operator)
        return output

    def dense(self, x: int, weights: NDArray[np.float32]) -> int:
        bias = np.zeros(len(weights), np.float32)
        constants = [self.tensor(one.shape, content=one) for one in (weights, bias)]
        return self.add("FULLY_CONNECTED", [x, *constants], [1, len(weights)])

    def reshape(self, x: int, to: Sequence[int], shape: Sequence[int], name: str = "") -> int:
        return self.add("RESHAPE", [x, self.tensor([len(to)], content=np.array(to, np.int32))], shape, name)

    def concatenate(self, parts: Sequence[int], shape: Sequence[int]) -> int:
        return self.add("CONCATENATION", parts, shape, axis=1)

    def last(self, x: int, begin: int, length: int, name: str) -> int:
        """Columns from ``begin`` on."""
        numbers = [np.array(pair, np.int32) for pair in ([0, begin], [0, 0], [1, 1])]
        constants = [self.tensor([2], content=one) for one in numbers]
        return self.add("STRIDED_SLICE", [x, *constants], [1, length], name, beginMask=1, endMask=3)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        self.made.inputs, self.made.outputs = _indices(inputs), _indices(outputs)
        self.model.subgraphs.append(self.made)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = self.key, len(self.model.subgraphs) - 1
        signature.inputs, signature.outputs = ([self._named(one) for one in some] for some in (inputs, outputs))
        self.model.signatureDefs.append(signature)

    def _named(self, index: int) -> Any:
        tensor = schema.TensorMapT()
        tensor.name, tensor.tensorIndex = self.made.tensors[index].name, index
        return tensor


def _buffer(content: bytes) -> Any:
    buffer = schema.BufferT()
    if content:
        buffer.data = np.frombuffer(content, np.uint8)
    return buffer


def _indices(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def _code(builtin: int, custom: str | None = None) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.customCode, code.version = custom, 1
    return code
