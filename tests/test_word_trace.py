from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import speech_rnn
from speech_rnn.audio import fit
from speech_rnn.errors import AudioError, ModelError
from speech_rnn.features import mfcc
from speech_rnn.gates import LayerTrace
from speech_rnn.models import CELLS, build_step, state_sizes
from speech_rnn.trained import Trained, open_trained
from speech_rnn.word_trace import trace_word
from tests.results import word_trace
from tests.untrained import FEATURES, write_run

RATE = FEATURES.sample_rate
SHAPES = [(cell, layers) for cell in ("lstm", "gru", "rnn") for layers in (1, 2, 3)]


def sound(path: Path, samples: int = FEATURES.clip_length) -> tuple[Path, NDArray[np.float32]]:
    """A file, and what is in it."""
    noise = np.random.default_rng(samples).normal(0, 0.1, samples) * np.hanning(samples)
    soundfile.write(path, noise, RATE, subtype="PCM_16")
    return path, soundfile.read(path, dtype="float32")[0]


def trained(folder: Path, cell: str = "gru", layers: int = 1) -> Trained:
    return open_trained(str(write_run(folder / cell, cell, layers=layers)))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.exp(logits.astype(np.float64))
    total: NDArray[np.float64] = odds.sum(axis=-1, keepdims=True)
    return odds / total


@pytest.mark.parametrize(("cell", "layers"), SHAPES)
def test_states_and_scores_of_every_step_are_those_of_keras(cell: str, layers: int, tmp_path: Path) -> None:
    body = trained(tmp_path, cell, layers)
    path, samples = sound(tmp_path / "a.wav")

    trace = trace_word(body, path)

    frames = mfcc(samples[np.newaxis], FEATURES)
    twin = build_step(body.classifier)
    states = [keras.ops.zeros((1, size)) for size in state_sizes(body.classifier)]
    ours = [layer.signals[name] for layer in trace.layers for name in ("h", "c") if name in layer.signals]
    assert trace.scores.shape == (FEATURES.n_frames // 2, 3)
    for step in range(len(trace.scores)):
        logits, *states = twin([keras.ops.convert_to_tensor(frames[:, 2 * step : 2 * step + 2]), *states])
        np.testing.assert_allclose(trace.scores[step], softmax(np.asarray(logits))[0], atol=1e-5)
        for values, state in zip(ours, states, strict=True):
            np.testing.assert_allclose(values[step], np.asarray(state)[0], atol=1e-5)
    whole = softmax(np.asarray(body.classifier(frames, training=False)))[0]
    np.testing.assert_allclose(trace.scores[-1], whole, atol=1e-5)
    assert trace.heard[0] == body.labels[whole.argmax()]
    assert trace.heard[1] == pytest.approx(whole.max(), abs=1e-5)


@pytest.mark.parametrize("samples", [7_000, 16_000])
def test_a_shipped_model_hears_a_clip_and_a_shorter_sound_as_its_recognizer_does(samples: int, tmp_path: Path) -> None:
    path, heard = sound(tmp_path / "a.wav", samples)

    trace = trace_word(open_trained("gru-12-small"), path)

    expected = speech_rnn.load("gru-12-small").predict(heard, RATE).scores
    np.testing.assert_allclose(trace.scores[-1], [expected[label] for label in trace.labels], atol=1e-3)
    np.testing.assert_array_equal(trace.samples, fit(heard, 16_000))
    assert (trace.model, trace.cell, trace.synthetic, trace.heard_s) == ("gru-12-small", "gru", False, 1.0)
    assert trace.file_s == samples / RATE


def test_longer_sound_is_one_sequence_whose_beginning_is_heard_as_if_it_were_alone(tmp_path: Path) -> None:
    body = trained(tmp_path)
    path, samples = sound(tmp_path / "long.wav", 9_000)
    soundfile.write(tmp_path / "start.wav", samples[: FEATURES.clip_length], RATE, subtype="PCM_16")

    long, start = trace_word(body, path), trace_word(body, tmp_path / "start.wav")

    assert len(long.scores) == (1 + (9_000 - FEATURES.n_fft) // FEATURES.hop_length) // 2
    np.testing.assert_allclose(long.scores[: len(start.scores)], start.scores, atol=1e-6)
    assert np.ptp(long.scores[len(start.scores) :], axis=0).max() > 0.01


def test_sound_of_another_rate_is_heard_at_the_models_own(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.full((11_025, 2), 0.1), 44_100)

    trace = trace_word(trained(tmp_path), tmp_path / "a.flac")

    assert trace.samples.shape == (4_000,)
    assert trace.file_s == pytest.approx(0.25, abs=1e-3)


def test_a_step_stands_in_the_middle_of_its_frames(tmp_path: Path) -> None:
    path, _ = sound(tmp_path / "a.wav")

    times = trace_word(trained(tmp_path), path).times_s

    first_frame, second_frame = FEATURES.n_fft / 2 / RATE, (FEATURES.n_fft / 2 + FEATURES.hop_length) / RATE
    assert times[0] == pytest.approx((first_frame + second_frame) / 2)
    np.testing.assert_allclose(np.diff(times), 2 * FEATURES.hop_s)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (671, "lasts 41.9 ms, which must be at least the 42.0 ms of one step"),
        (160_001, "is longer than the 10 s that can be drawn; cut the word out of it"),
    ],
)
def test_sound_that_is_too_short_or_too_long_is_refused(samples: int, says: str, tmp_path: Path) -> None:
    path, _ = sound(tmp_path / "a.wav", samples)
    body = trained(tmp_path)

    with pytest.raises(AudioError, match=says):
        trace_word(body, path)


@pytest.mark.parametrize("samples", [672, 160_000])
def test_the_shortest_and_the_longest_sound_are_heard(samples: int, tmp_path: Path) -> None:
    path, _ = sound(tmp_path / "a.wav", samples)

    assert trace_word(trained(tmp_path), path).file_s == samples / RATE


def test_a_cell_of_ones_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(keras.layers.GRU):
        """May compute anything."""

    monkeypatch.setitem(CELLS, "own", Own)
    path, _ = sound(tmp_path / "a.wav")

    with pytest.raises(ModelError, match=r"layer 'recurrent_0' is Own, .* take a model of cell lstm, gru or rnn"):
        trace_word(trained(tmp_path, "own"), path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    body = trained(tmp_path)
    body.classifier.trainable_weights[0].assign(np.full(body.classifier.trainable_weights[0].shape, np.nan))
    path, _ = sound(tmp_path / "a.wav")

    with pytest.raises(ModelError, match="not numbers"):
        trace_word(body, path)


def test_a_label_is_the_likeliest_from_when_none_overtakes_it_any_more() -> None:
    trace = word_trace(labels=("a", "b"))
    scores = np.tile([0.2, 0.8], (len(trace.scores), 1))
    always = replace(trace, scores=scores)
    wavering = replace(trace, scores=np.where(np.isin(np.arange(len(scores)), [0, 4])[:, None], 0.5, scores))

    assert always.decided_s == always.times_s[0]
    assert wavering.decided_s == wavering.times_s[5]
    assert wavering.heard == ("b", 0.8)


def test_figures_are_over_all_steps_and_units() -> None:
    update = np.array([[0.05, 0.5, 0.95, 0.99], [0.05, 0.05, 0.5, 0.91]])
    h = np.array([[-1.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 0.5, 0.5]])
    trace = replace(word_trace(layers=1), layers=(LayerTrace({"update": update, "h": h}),))

    gate, state = trace.figures()

    assert (gate.layer, gate.signal, gate.shut, gate.open) == (1, "update", 3 / 8, 3 / 8)
    assert gate.mean == pytest.approx(0.5)
    assert (state.signal, state.mean, state.low, state.shut, state.open) == ("h", 0.0, -1.0, None, None)


def test_json_holds_each_step_of_each_unit() -> None:
    trace = word_trace("lstm")

    values = trace.as_json()

    assert values["times_s"] == pytest.approx(trace.times_s)
    np.testing.assert_allclose(values["scores"], trace.scores, atol=1e-6)
    second = values["layers"][1]
    assert list(second["signals"]) == ["input", "forget", "output", "candidate", "c", "h"]
    np.testing.assert_allclose(second["signals"]["forget"], trace.layers[1].signals["forget"], atol=1e-6)
    np.testing.assert_allclose(
        second["norms"]["c"], np.sqrt((trace.layers[1].signals["c"] ** 2).sum(axis=1)), atol=1e-6
    )
