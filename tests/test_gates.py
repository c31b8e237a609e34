from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from speech_rnn.errors import ModelError
from speech_rnn.gates import LayerTrace, trace_layer

STEPS, FEATURES, UNITS = 9, 5, 7
LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def layer_with_drawn_weights(cell: str, **options: object) -> keras.layers.Layer:
    layer = LAYERS[cell](UNITS, return_sequences=True, **options)
    layer.build((None, STEPS, FEATURES))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(0, 0.6, weight.shape) for weight in layer.get_weights()])
    return layer


def sequence(steps: int = STEPS) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(steps, FEATURES)).astype(np.float32)


def by_the_papers(cell: str, layer: keras.layers.Layer, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """A matrix a gate, a unit at a time, letters as in the papers; Keras' order of the gates is i f c o, z r h."""
    kernel, recurrent, bias = (weight.astype(np.float64) for weight in layer.get_weights())
    gates = {"lstm": "ifgo", "gru": "zrn", "rnn": "h"}[cell]
    W = {gate: kernel[:, UNITS * n : UNITS * (n + 1)].T for n, gate in enumerate(gates)}
    U = {gate: recurrent[:, UNITS * n : UNITS * (n + 1)].T for n, gate in enumerate(gates)}
    b = {gate: bias[..., UNITS * n : UNITS * (n + 1)] for n, gate in enumerate(gates)}
    names = {
        "lstm": {"i": "input", "f": "forget", "o": "output", "g": "candidate", "c": "c", "h": "h"},
        "gru": {"z": "update", "r": "reset", "n": "candidate", "h": "h"},
        "rnn": {"h": "h"},
    }[cell]
    found = {name: np.zeros((len(inputs), UNITS)) for name in names.values()}
    h, c = np.zeros(UNITS), np.zeros(UNITS)
    for t, x in enumerate(inputs.astype(np.float64)):
        now: dict[str, NDArray[np.float64]] = {}
        for j in range(UNITS):
            if cell == "lstm":
                i, f, g, o = (W[gate][j] @ x + U[gate][j] @ h + b[gate][j] for gate in gates)
                new_c = expit(f) * c[j] + expit(i) * np.tanh(g)
                step = {"i": expit(i), "f": expit(f), "o": expit(o), "g": np.tanh(g), "c": new_c}
                step["h"] = step["o"] * np.tanh(new_c)
            elif cell == "gru":
                z, r = (expit(W[gate][j] @ x + b[gate][0, j] + U[gate][j] @ h + b[gate][1, j]) for gate in "zr")
                n = np.tanh(W["n"][j] @ x + b["n"][0, j] + r * (U["n"][j] @ h + b["n"][1, j]))
                step = {"z": z, "r": r, "n": n, "h": z * h[j] + (1 - z) * n}
            else:
                step = {"h": np.tanh(W["h"][j] @ x + U["h"][j] @ h + b["h"][j])}
            for letter, value in step.items():
                now.setdefault(letter, np.zeros(UNITS))[j] = value
        h, c = now["h"], now.get("c", c)
        for letter, values in now.items():
            found[names[letter]][t] = values
    return found


@pytest.mark.parametrize("cell", LAYERS)
def test_every_signal_of_every_unit_is_that_of_the_papers_formulas(cell: str) -> None:
    layer = layer_with_drawn_weights(cell)

    signals = trace_layer(layer, sequence()).signals

    expected = by_the_papers(cell, layer, sequence())
    assert list(signals) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(signals[name], values, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("cell", LAYERS)
def test_states_are_those_that_keras_gives(cell: str) -> None:
    layer = layer_with_drawn_weights(cell)

    signals = trace_layer(layer, sequence()).signals

    np.testing.assert_allclose(signals["h"], np.asarray(layer(sequence()[np.newaxis]))[0], atol=1e-6)
    if cell == "lstm":
        states = keras.layers.RNN(layer.cell, return_state=True)
        for step in range(STEPS):
            _, _, c = states(sequence()[np.newaxis, : step + 1])
            np.testing.assert_allclose(signals["c"][step], np.asarray(c)[0], atol=1e-6)


def test_a_gate_that_its_bias_holds_open_or_shut_is_so() -> None:
    layer = layer_with_drawn_weights("lstm")
    kernel, recurrent, bias = layer.get_weights()
    bias[: 2 * UNITS] = np.repeat([-1_000.0, 1_000.0], UNITS)  # of the input gate and the forget gate
    layer.set_weights([kernel, recurrent, bias])

    signals = trace_layer(layer, sequence()).signals

    assert (signals["input"] == 0.0).all()
    assert (signals["forget"] == 1.0).all()
    assert (signals["c"] == 0.0).all()


def test_the_norm_is_euclids() -> None:
    trace = LayerTrace({"h": np.array([[3.0, 4.0], [0.0, -2.0]])})

    assert trace.norm("h").tolist() == [5.0, 2.0]
    assert trace.n_units == 2


@pytest.mark.parametrize(
    ("cell", "options", "says"),
    [
        ("gru", {"reset_after": False}, "GRU with reset_after=False"),
        ("lstm", {"recurrent_activation": "hard_sigmoid"}, "LSTM with recurrent_activation='hard_sigmoid'"),
        ("rnn", {"activation": "relu"}, "SimpleRNN with activation='relu'"),
    ],
)
def test_a_layer_that_computes_otherwise_is_refused(cell: str, options: dict[str, object], says: str) -> None:
    layer = LAYERS[cell](UNITS, **options)
    layer.build((None, STEPS, FEATURES))

    with pytest.raises(ModelError, match=says):
        trace_layer(layer, sequence())


def test_a_cell_of_ones_own_is_refused_even_if_it_descends_from_keras() -> None:
    class Own(keras.layers.GRU):
        """May compute anything."""

    with pytest.raises(ModelError, match="is Own, and only Keras' own"):
        trace_layer(Own(3), sequence())
