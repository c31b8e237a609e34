"""The folder ``mcu/`` of a model: what a microcontroller needs, each model held to Keras before it ships."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.card import Agreement, Card
from speech_rnn.errors import ModelError
from speech_rnn.export.board import c_files
from speech_rnn.export.board.readme import readme
from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.integers.graph import Graph
from speech_rnn.export.integers.networks import Network
from speech_rnn.export.probes import check, keras_scores, make_probes
from speech_rnn.features import mfcc

FOLDER = "mcu"

# How far a score may be off Keras: on a probe, where a score between two labels is moved far by an input of eight bits,
# and in the mean over the calibration clips.
BOUND, MEAN_BOUND = 0.3, 0.03
TOLERANCE_LSB = 2  # kernels of different makers round differently
TOLERANCE_MFCC = 1e-3

_WRITTEN = Path(__file__).parent
_C_FILES = ("front_end.h", "front_end.c", "main.c")


def write_board_files(
    folder: Path,
    classifier: keras.Model,
    calibration: NDArray[np.float32],
    network: Network,
    graphs: Mapping[str, Graph],
) -> dict[str, dict[str, Agreement]]:
    """Write ``mcu/`` into a model's folder.

    Args:
        folder: of the model; ``mcu/`` is made in it.
        classifier: MFCC -> logits, in float32.
        calibration: float32 [clips, n_frames, n_mfcc], MFCC of training clips, as loud and as noisy as in training.
        network: the classifier, arranged for eight bits.
        graphs: its models for boards, see :func:`speech_rnn.export.integers.conversion.convert`.

    Returns:
        Each model's file, ``mcu/step_int8.tflite``, and for LSTM layers ``mcu/clip_int8.tflite`` -> probe -> how near
        it comes to Keras.

    Raises:
        ModelError: a model differs from Keras beyond its bound.
    """
    card = network.card
    models = {name: BoardModel(graph.to_bytes()) for name, graph in graphs.items()}
    agreements = {}
    for name, model in models.items():

        def score(frames: NDArray[np.float32], model: BoardModel = model) -> NDArray[np.float32]:
            return model.scores(network.steps(frames))

        file = f"{FOLDER}/{name}.tflite"
        agreements[file] = _check(file, score, classifier, card, calibration)
    board = folder / FOLDER
    board.mkdir()
    for file in _C_FILES:
        (board / file).write_bytes((_WRITTEN / file).read_bytes())
    texts = {
        "front_end_settings.h": c_files.front_end_settings(card),
        "front_end_tables.h": c_files.front_end_tables(card, network.mean, network.factor),
        "front_end_golden.h": _front_end_golden(card),
        "labels.h": c_files.labels_header(card.labels),
        "README.md": readme(card, graphs),
    }
    vectors = {}
    for name, graph in graphs.items():
        content = graph.to_bytes()
        (board / f"{name}.tflite").write_bytes(content)
        texts[f"{name}.h"] = c_files.model_header(name, content, _macros(graph, models[name]))
        source = c_files.included_model_source if card.compact else c_files.model_source
        texts[f"{name}.c"] = source(name, content)
        vectors[name] = _golden(models[name], network)
        texts[f"{name}_golden.h"] = c_files.golden_header(name, vectors[name], {"TOLERANCE": TOLERANCE_LSB})
    texts["golden.json"] = _golden_json(models, vectors)
    for file, text in texts.items():
        (board / file).write_text(text, encoding="utf-8")
    return agreements


def _check(
    file: str,
    score: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    classifier: keras.Model,
    card: Card,
    calibration: NDArray[np.float32],
) -> dict[str, Agreement]:
    """Hold a model to Keras: on the probes one by one, on calibration clips in the mean."""
    probes = make_probes(card.features)
    expected = keras_scores(classifier, card.features, np.stack(list(probes.values())))
    agreements = check(file, lambda clips: score(mfcc(clips, card.features)), probes, expected, BOUND)
    expected = np.asarray(keras.ops.softmax(classifier(calibration, training=False)))
    mean = float(np.abs(score(calibration) - expected).max(axis=1).mean())
    if not mean <= MEAN_BOUND:
        raise ModelError(
            f"{file} is not shipped: on {len(calibration)} training clips a score is {mean:.2g} off Keras in the mean, "
            f"and {MEAN_BOUND:g} is allowed; train longer, or take more units"
        )
    return agreements


def _macros(graph: Graph, model: BoardModel) -> dict[str, int | np.float32]:
    return {
        "ARENA": graph.arena_bound(),
        "INPUT_SCALE": np.float32(model.inputs[0].scale),
        "INPUT_ZERO_POINT": model.inputs[0].zero_point,
    }


def _golden(model: BoardModel, network: Network) -> dict[str, NDArray[np.int8]]:
    """The speech probe as the model takes it, and what it gives."""
    features = network.card.features
    speech = make_probes(features)["speech"][np.newaxis]
    x = model.inputs[0].quantize(network.steps(mfcc(speech, features))[0])
    return {"x": x, "scores": model.run(x)}


def _golden_json(models: Mapping[str, BoardModel], vectors: Mapping[str, Mapping[str, NDArray[np.int8]]]) -> str:
    content: dict[str, Any] = {
        name: {
            "file": f"{name}.tflite",
            "inputs": [asdict(one) for one in models[name].inputs],
            "outputs": [asdict(one) for one in models[name].outputs],
            "tolerance_lsb": TOLERANCE_LSB,
            **{key: values.tolist() for key, values in arrays.items()},
        }
        for name, arrays in vectors.items()
    }
    return json.dumps(content) + "\n"


def _front_end_golden(card: Card) -> str:
    """The loudest bit of the speech probe in 16 bits, two steps long, and its MFCC by librosa's arithmetic."""
    settings, stack = card.features, card.model.stack
    speech = make_probes(settings)["speech"]
    samples = np.rint(np.clip(speech * FULL_SCALE_INT16, -FULL_SCALE_INT16, FULL_SCALE_INT16 - 1)).astype(np.int16)
    steps = min(2, card.n_steps)
    length = settings.n_fft + (steps * stack - 1) * settings.hop_length
    energy = np.concatenate([[0.0], np.cumsum(np.square(speech, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    heard = samples[start : start + length]
    frames = mfcc((heard / np.float32(FULL_SCALE_INT16))[np.newaxis].astype(np.float32), settings)
    arrays: dict[str, NDArray[Any]] = {"samples": heard, "mfcc": frames.reshape(steps, -1)}
    return c_files.golden_header("front_end", arrays, {"TOLERANCE": TOLERANCE_MFCC})
