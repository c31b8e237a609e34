from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from speech_rnn.errors import ModelError
from speech_rnn.stream_model import StreamModel
from tests.tflite_models import expected_stream_scores, make_card, make_stream_model, make_stream_weights, write_model

card = make_card()
weights = make_stream_weights(card)
model = StreamModel(card, make_stream_model(weights, card, card.to_json()))


def windows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (n, 512)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_frames_of_any_number_of_steps_are_those_of_the_formula(n: int) -> None:
    frames = model.features(windows(n))

    assert frames.shape == (n, 1, 40)
    np.testing.assert_allclose(frames[:, 0], windows(n).astype(np.float64) @ weights.frames.T, atol=1e-5)


def test_each_row_of_a_batch_is_a_stream_of_its_own() -> None:
    samples = np.random.default_rng(3).normal(0, 0.3, (4, 352 + 5 * 160)).astype(np.float32)
    states = model.zero_states(4)

    found = []
    for step in range(5):
        window = np.ascontiguousarray(samples[:, step * 160 :][:, :512])
        scores, states = model.step(model.features(window), states)
        found.append(scores)

    expected = [expected_stream_scores(weights, card, one) for one in samples]
    np.testing.assert_allclose(np.array(found).swapaxes(0, 1), expected, atol=1e-5)


def test_threads_that_share_a_model_get_the_answers_of_a_single_one() -> None:
    frames = [model.features(windows(1 + seed % 3, seed)) for seed in range(40)]
    alone = [model.step(one, model.zero_states(len(one)))[0] for one in frames]

    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda i: model.step(frames[i % 40], model.zero_states(len(frames[i % 40])))[0], range(10_000))
        )

    assert all(np.array_equal(scores, alone[i % 40]) for i, scores in enumerate(together))


def test_scores_that_are_no_numbers_are_an_error_not_an_answer() -> None:
    broken = replace(weights, scores=np.full_like(weights.scores, np.nan))
    model = StreamModel(card, make_stream_model(broken, card, card.to_json()))

    with pytest.raises(ModelError, match=r"stream\.tflite gives scores that are not numbers"):
        model.step(model.features(windows(1)), model.zero_states(1))


def test_a_model_is_immutable_and_survives_pickling() -> None:
    with pytest.raises(FrozenInstanceError):
        model.card = card  # type: ignore[misc]  # that is what is tested
    copied = pickle.loads(pickle.dumps(model))

    np.testing.assert_array_equal(copied.features(windows(2)), model.features(windows(2)))


def test_what_is_no_stream_file_of_this_card_is_refused() -> None:
    with pytest.raises(ModelError, match="has no card inside"):
        StreamModel(card, make_stream_model(weights, card, None))
    with pytest.raises(ModelError, match="is not a TFLite file"):
        StreamModel(card, b"PK\x03\x04" + b"\0" * 100)
    other = make_card(states=(6,))
    with pytest.raises(
        ModelError, match=r"inputs of 'stream' 'state_0': float32 \[1, 5\], its card says float32 \[1, 6"
    ):
        StreamModel(other, make_stream_model(weights, card, card.to_json()))


def test_states_of_another_model_are_refused() -> None:
    with pytest.raises(ModelError, match=r"states of shapes \[\(1, 6\)\] must be \[\(1, 5\)\]"):
        model.step(model.features(windows(1)), [np.zeros((1, 6), np.float32)])


def test_litert_is_not_heard_and_other_words_on_standard_error_are(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    program = f"""
import os, sys, threading, numpy as np, speech_rnn
def speak():
    while not done.is_set():
        os.write(2, b"x")
done = threading.Event()
speaker = threading.Thread(target=speak)
if len(sys.argv) > 1:
    speaker.start()
stream = speech_rnn.load({str(folder)!r}).stream()
stream.accept(np.zeros(2_000, np.float32), 16_000)
done.set()
"""

    silent, spoken = (
        subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=True)
        for words in ([], ["speak"])
    )

    assert silent.stderr == b""
    assert set(spoken.stderr) == set(b"x")
