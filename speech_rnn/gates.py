"""What goes on inside a recurrent layer, step by step: gates, candidate and states of every unit.

Computed by the cells' formulas, in float64, from the weights of Keras' own layers: those tell their states, and nothing
of their gates. LSTM: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, with the forget gate of Gers et
al. 2000, doi:10.1162/089976600300015015. GRU: Cho et al. 2014, arXiv:1406.1078, where 1 of the update gate keeps the
state; the reset gate comes after the product, as in Keras and cuDNN. Plain RNN: Elman 1990,
doi:10.1207/s15516709cog1402_1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.errors import ModelError

Array = NDArray[np.float64]
Signals = dict[str, Array]

GATES = ("input", "forget", "output", "update", "reset")  # 0: shut, 1: open; every other signal has a sign
STATES = ("c", "h")
SHUT, OPEN = 0.1, 0.9  # as Karpathy et al. 2015, arXiv:1506.02078, count units that are saturated

_USUAL = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "reset_after": True,
    "go_backwards": False,
}


@dataclass(frozen=True, slots=True, eq=False)
class LayerTrace:
    """What a layer did, step by step.

    Attributes:
        signals: float64 [steps, units] by name, in the order of their making. LSTM: ``input``, ``forget``, ``output``,
            ``candidate``, ``c``, ``h``; GRU: ``update``, ``reset``, ``candidate``, ``h``; plain RNN: ``h``. Gates
            (:data:`GATES`) are 0 to 1, ``candidate`` and ``h`` -1 to 1, ``c`` anything; states as the step leaves them.
    """

    signals: Mapping[str, Array]

    @property
    def n_units(self) -> int:
        """Units of the layer."""
        return int(self.signals["h"].shape[1])

    def norm(self, state: str) -> Array:
        """Euclidean norm of a state over the units: float64 [steps]."""
        norm: Array = np.linalg.norm(self.signals[state], axis=1)
        return norm


def trace_layer(layer: keras.layers.Layer, inputs: NDArray[np.floating]) -> LayerTrace:
    """What a layer does with a sequence; its states begin as zeros.

    Args:
        layer: Keras' own LSTM, GRU or SimpleRNN, built, with the usual activations and biases.
        inputs: [steps, features].

    Raises:
        ModelError: it is another layer, or one with other settings.
    """
    signals_of = _CELLS.get(type(layer))
    config = layer.get_config() if signals_of is not None else {}
    unusual = [name for name, usual in _USUAL.items() if config.get(name, usual) != usual]
    if signals_of is None or unusual:
        what = f"{type(layer).__name__} with {unusual[0]}={config[unusual[0]]!r}" if unusual else type(layer).__name__
        raise ModelError(
            f"layer {layer.name!r} is {what}, and only Keras' own LSTM, GRU and SimpleRNN as they are made by default "
            "can be looked into; take a model of cell lstm, gru or rnn"
        )
    cell = layer.cell
    kernel, recurrent, bias = (np.asarray(one, np.float64) for one in (cell.kernel, cell.recurrent_kernel, cell.bias))
    biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])  # Keras' GRU has two
    return LayerTrace(signals_of(np.asarray(inputs, np.float64) @ kernel + biases[0], recurrent, biases[1]))


def _lstm(projected: Array, recurrent: Array, _: Array) -> Signals:
    """Signals of inputs [steps, 4 * units] that went through the kernel: input, forget, candidate, output."""
    h = c = np.zeros(len(recurrent))
    made: list[tuple[Array, ...]] = []
    for x in projected:
        in_, forget, candidate, out = np.split(x + h @ recurrent, 4)
        in_, forget, candidate, out = _sigmoid(in_), _sigmoid(forget), np.tanh(candidate), _sigmoid(out)
        c = forget * c + in_ * candidate
        h = out * np.tanh(c)
        made.append((in_, forget, out, candidate, c, h))
    return _by_name(("input", "forget", "output", "candidate", "c", "h"), made)


def _gru(projected: Array, recurrent: Array, bias: Array) -> Signals:
    """Signals of inputs [steps, 3 * units] that went through the kernel: update, reset, candidate."""
    h = np.zeros(len(recurrent))
    made: list[tuple[Array, ...]] = []
    for x in projected:
        recalled = h @ recurrent + bias
        (x_update, x_reset, x_word), (h_update, h_reset, h_word) = np.split(x, 3), np.split(recalled, 3)
        update, reset = _sigmoid(x_update + h_update), _sigmoid(x_reset + h_reset)
        candidate = np.tanh(x_word + reset * h_word)
        h = update * h + (1.0 - update) * candidate
        made.append((update, reset, candidate, h))
    return _by_name(("update", "reset", "candidate", "h"), made)


def _rnn(projected: Array, recurrent: Array, _: Array) -> Signals:
    """Signals of inputs [steps, units] that went through the kernel."""
    h = np.zeros(len(recurrent))
    made: list[tuple[Array, ...]] = []
    for x in projected:
        h = np.tanh(x + h @ recurrent)
        made.append((h,))
    return _by_name(("h",), made)


# Inputs that went through the kernel, the recurrent kernel and its bias -> signals.
_CELLS: dict[type[keras.layers.Layer], Callable[[Array, Array, Array], Signals]] = {
    keras.layers.LSTM: _lstm,
    keras.layers.GRU: _gru,
    keras.layers.SimpleRNN: _rnn,
}


def _by_name(names: tuple[str, ...], made: list[tuple[Array, ...]]) -> Signals:
    return {name: np.stack(values) for name, values in zip(names, zip(*made, strict=True), strict=True)}


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # exp would overflow
