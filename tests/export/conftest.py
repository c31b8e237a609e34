"""Folders ``mcu/`` of small models, one a cell, written once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.card import Agreement, Card, TrainingSummary
from speech_rnn.config import FeatureSettings
from speech_rnn.export.board.folder import write_board_files
from speech_rnn.export.integers.conversion import convert
from speech_rnn.export.integers.graph import Graph
from speech_rnn.export.integers.networks import Network, arrange
from speech_rnn.features import mfcc
from speech_rnn.models import CELLS, state_sizes
from speech_rnn.runs import Run
from tests.export.runs_in_memory import make_run
from tests.forked import forked_converter
from tests.sounds import real_sounds


class FadingCell(keras.layers.Layer):
    """A state that fades by a fixed share: a cell that Keras doesn't have, nor the board's arrangement."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        state = 0.5 * states[0] + 0.5 * keras.ops.tanh(inputs @ self.kernel)
        return state, [state]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


# Cell -> layers and stack.
SHAPES = {"lstm": (2, 2), "gru": (3, 1), "rnn": (1, 3), "fading": (1, 2)}


@dataclass(frozen=True)
class Board:
    """A model, and what was written for a board."""

    run: Run
    card: Card
    calibration: NDArray[np.float32]
    network: Network
    folder: Path
    agreements: Mapping[str, Mapping[str, Agreement]]

    @property
    def models(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.tflite"))

    def graph(self, model: str) -> Graph:
        return Graph(self.content(model))

    def content(self, model: str) -> bytes:
        return (self.folder / f"{model}.tflite").read_bytes()


def sounds(settings: FeatureSettings, seeds: range) -> NDArray[np.float32]:
    """Vowels, noise and silence at many levels, float32 [clips, clip_length]."""
    levels_db = (-50.0, -30.0, -10.0)
    return np.concatenate([real_sounds(settings, level_db, seed) for seed in seeds for level_db in levels_db])


def make_card(run: Run, **values: Any) -> Card:
    full: dict[str, Any] = {
        "name": "by-test",
        "labels": run.labels,
        "features": run.settings.features,
        "model": run.settings.model,
        "states": tuple(state_sizes(run.classifier)),
        "parameters": 1,
        "macs_per_second": 1.0,
        "synthetic": True,
        "training": TrainingSummary(weights="untrained"),
    }
    return Card.make(**{**full, **values})


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Board]]:
    """Makes the board of a cell of :data:`SHAPES`, or gives the one made before."""
    CELLS["fading"] = lambda units, **options: keras.layers.RNN(FadingCell(units), **options)

    @cache
    def make(cell: str) -> Board:
        layers, stack = SHAPES[cell]
        run = make_run(cell=cell, layers=layers, stack=stack)
        rng = np.random.default_rng(0)
        for weight in run.classifier.trainable_weights:
            if "bias" in weight.path:  # Keras begins with zeros, which no mistake shows in
                weight.assign(rng.normal(0.0, 0.5, weight.shape))
        card = make_card(run)
        calibration = mfcc(sounds(card.features, range(10)), card.features)
        folder = tmp_path_factory.mktemp(cell)
        network = arrange(run.classifier, card, calibration)
        with forked_converter():
            graphs = convert(network).board
        agreements = write_board_files(folder, run.classifier, calibration, network, graphs)
        return Board(run, card, calibration, network, folder / "mcu", agreements)

    yield make
    del CELLS["fading"]
