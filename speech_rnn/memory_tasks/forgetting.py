"""Gates that begin open: how long a layer remembers before it has learned anything.

Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", arXiv:1804.11188: a gate that keeps the share f of a
state forgets it within about 1 / (1 - f) steps, so biases are drawn for which that is anything up to the longest
distance there is.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.draws import generator


def begin_remembering(layer: keras.layers.Layer, n_steps: int, seed: int) -> None:
    """Set the biases of a layer's gates so that its units forget within 1 to ``n_steps`` - 1 steps.

    Args:
        layer: built, of Keras' LSTM or GRU; others have no gate that is known to keep, and stay as they are.
        n_steps: of a sequence, at least 3.
        seed: of the draws.
    """
    if type(layer) in _BIASES:
        bias = layer.cell.bias
        keep = np.log(generator(seed, "forgetting").uniform(1, n_steps - 1, size=layer.units))
        bias.assign(_BIASES[type(layer)](np.asarray(bias).copy(), keep))


def _lstm(bias: NDArray[np.float32], keep: NDArray[np.float64]) -> NDArray[np.float32]:
    """Keras' order is input, forget, candidate, output; what is kept long is written to slowly."""
    bias[: len(keep)], bias[len(keep) : 2 * len(keep)] = -keep, keep
    return bias


def _gru(bias: NDArray[np.float32], keep: NDArray[np.float64]) -> NDArray[np.float32]:
    """Keras' order is update, reset, candidate, its update gate is the one that keeps, and there are two biases."""
    bias[0, : len(keep)] = keep
    return bias


_BIASES: dict[type[keras.layers.Layer], Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.float32]]] = {
    keras.layers.LSTM: _lstm,
    keras.layers.GRU: _gru,
}
