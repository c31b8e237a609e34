"""The folder ``mcu/`` of a model: what a microcontroller needs, each model held to Keras before it ships."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import FULL_SCALE_INT16
from speech_rnn.card import Agreement, Card
from speech_rnn.errors import ModelError
from speech_rnn.export.board import c_files
from speech_rnn.export.board.conversion import convert, steps_of
from speech_rnn.export.board.graph import Graph
from speech_rnn.export.board.readme import readme
from speech_rnn.export.board.running import BoardModel
from speech_rnn.export.probes import keras_scores, make_probes
from speech_rnn.export.quantization import IntegerCore, integer_core
from speech_rnn.features import mfcc

FOLDER = "mcu"

# Eight bits may move a score that stands between two labels far, so what no recording is may be far off, too.
BOUNDS = {"speech": 0.3, "noise": 0.3, "silence": 0.3, "chirp": 0.5}
MEAN_BOUND = 0.05  # of the largest difference of a score, over the calibration clips
TOLERANCE_LSB = 2  # kernels of different makers round differently
TOLERANCE_MFCC = 1e-3

_WRITTEN = Path(__file__).parent
_C_FILES = ("features.h", "features.c", "main.c")


def write_board_files(
    folder: Path, classifier: keras.Model, card: Card, calibration: NDArray[np.float32]
) -> dict[str, dict[str, Agreement]]:
    """Write ``mcu/`` into a model's folder.

    Args:
        folder: of the model; ``mcu/`` is made in it.
        classifier: MFCC -> logits, in float32.
        card: of the model; travels inside the files without its digests.
        calibration: float32 [clips, n_frames, n_mfcc], MFCC of training clips, as loud and as noisy as in training.

    Returns:
        Each model's file, ``mcu/step_int8.tflite``, and for LSTM layers ``mcu/clip_int8.tflite`` -> probe -> how near
        it comes to Keras.

    Raises:
        ModelError: the classifier can't be converted to integers, or the result differs from Keras beyond its bound.
    """
    integers = integer_core(classifier, card, calibration)
    graphs = convert(integers, calibration, card)
    models = {name: BoardModel(graph.to_bytes()) for name, graph in graphs.items()}
    agreements = {
        f"{FOLDER}/{name}.tflite": _check(name, model, classifier, card, integers, calibration)
        for name, model in models.items()
    }
    board = folder / FOLDER
    board.mkdir()
    for file in _C_FILES:
        (board / file).write_bytes((_WRITTEN / file).read_bytes())
    texts = {
        "feature_settings.h": c_files.feature_settings(card),
        "feature_tables.h": c_files.feature_tables(card, integers.mean, integers.factor),
        "features_golden.h": _features_golden(card),
        "labels.h": c_files.labels_header(card.labels),
        "README.md": readme(card, graphs),
    }
    vectors = {}
    for name, graph in graphs.items():
        content = graph.to_bytes()
        (board / f"{name}.tflite").write_bytes(content)
        texts[f"{name}.h"] = c_files.model_header(name, content, _macros(graph, models[name]))
        texts[f"{name}.c"] = c_files.model_source(name, content)
        vectors[name] = _golden(models[name], card, integers)
        texts[f"{name}_golden.h"] = c_files.golden_header(name, vectors[name], {"TOLERANCE": TOLERANCE_LSB})
    texts["golden.json"] = _golden_json(models, vectors)
    for file, text in texts.items():
        (board / file).write_text(text, encoding="utf-8")
    return agreements


def _check(
    name: str,
    model: BoardModel,
    classifier: keras.Model,
    card: Card,
    integers: IntegerCore,
    calibration: NDArray[np.float32],
) -> dict[str, Agreement]:
    """Hold a model to Keras: on the probes one by one, on calibration clips in the mean."""
    probes = make_probes(card.features)
    clips = np.stack(list(probes.values()))
    scores = model.scores(steps_of(mfcc(clips, card.features), integers, card))
    errors = np.abs(scores - keras_scores(classifier, card.features, clips)).max(axis=1)
    agreements = {}
    for probe, error in zip(probes, errors.tolist(), strict=True):
        if not error <= BOUNDS[probe]:
            raise ModelError(
                f"{FOLDER}/{name}.tflite is not shipped: on the probe {probe!r} a score is {error:.2g} off Keras, and "
                f"{BOUNDS[probe]:g} is allowed; train longer, or take more units"
            )
        agreements[probe] = Agreement(error=error, bound=BOUNDS[probe])
    logits = np.asarray(classifier(calibration, training=False), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    off = np.abs(model.scores(steps_of(calibration, integers, card)) - powers / powers.sum(axis=1, keepdims=True))
    mean = float(off.max(axis=1).mean())
    if not mean <= MEAN_BOUND:
        raise ModelError(
            f"{FOLDER}/{name}.tflite is not shipped: on {len(calibration)} training clips a score is {mean:.2g} off "
            f"Keras in the mean, and {MEAN_BOUND:g} is allowed; train longer, or take more units"
        )
    return agreements


def _macros(graph: Graph, model: BoardModel) -> dict[str, int | np.float32]:
    return {
        "ARENA": graph.arena_bound(),
        "INPUT_SCALE": np.float32(model.inputs[0].scale),
        "INPUT_ZERO_POINT": model.inputs[0].zero_point,
    }


def _golden(model: BoardModel, card: Card, integers: IntegerCore) -> dict[str, NDArray[np.int8]]:
    """The speech probe as the model takes it, and what it gives."""
    speech = make_probes(card.features)["speech"][np.newaxis]
    x = model.inputs[0].quantize(steps_of(mfcc(speech, card.features), integers, card)[0])
    return {"x": x, "scores": model.run(x)}


def _golden_json(models: Mapping[str, BoardModel], vectors: Mapping[str, Mapping[str, NDArray[np.int8]]]) -> str:
    content: dict[str, Any] = {
        name: {
            "file": f"{name}.tflite",
            "inputs": [{"scale": one.scale, "zero_point": one.zero_point} for one in models[name].inputs],
            "outputs": [{"scale": one.scale, "zero_point": one.zero_point} for one in models[name].outputs],
            "tolerance_lsb": TOLERANCE_LSB,
            **{key: values.tolist() for key, values in arrays.items()},
        }
        for name, arrays in vectors.items()
    }
    return json.dumps(content) + "\n"


def _features_golden(card: Card) -> str:
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
    arrays = {"samples": heard, "mfcc": frames.reshape(steps, -1)}
    return c_files.golden_header("features", arrays, {"TOLERANCE": TOLERANCE_MFCC})
