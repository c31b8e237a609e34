from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from speech_rnn.export.short_weights import LEAST_VALUES, shorten_weights, with_short_weights
from speech_rnn.tflite_file import operators
from tests.export.runs_in_memory import make_run


def converted(weights: NDArray[np.float32]) -> bytes:
    """x -> x @ weights + 1/3, a bias that half precision doesn't have."""
    n = weights.shape[0]

    @tf.function(input_signature=[tf.TensorSpec([1, n])], autograph=False)
    def layer(x: tf.Tensor) -> tf.Tensor:
        return x @ weights + tf.constant(1 / 3, shape=[weights.shape[1]])

    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([layer.get_concrete_function()]).convert())


def run(content: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def drawn(n: int, m: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(n, m)).astype(np.float32)


def test_weights_of_half_precision_take_half_the_bytes_and_give_the_same() -> None:
    content = converted(drawn(64, 48).astype(np.float16).astype(np.float32))

    half = with_short_weights(content)

    assert len(content) - len(half) > 1.8 * 64 * 48
    assert "DEQUANTIZE" in operators(half)
    x = drawn(1, 64)
    np.testing.assert_array_equal(run(half, x), run(content, x))


def test_weights_of_eight_bits_take_a_quarter_of_the_bytes_and_give_the_same() -> None:
    exponents = np.random.default_rng(2).integers(-9, -3, 48)
    weights = np.clip(np.rint(40 * drawn(64, 48)), -127, 127) * np.exp2(exponents)
    weights[:, 5] = 0.0
    content = converted(weights.astype(np.float32))

    short = with_short_weights(content)

    assert len(content) - len(short) > 2.7 * 64 * 48
    x = drawn(1, 64)
    np.testing.assert_array_equal(run(short, x), run(content, x))


def test_a_classifier_is_rounded_an_output_at_a_time_by_less_than_the_scale() -> None:
    classifier = make_run(cell="gru", units=24).classifier
    before = {weight.path: np.asarray(weight, np.float32) + 0 for weight in classifier.weights}

    shorten_weights(classifier)

    after = {weight.path: np.asarray(weight, np.float32) + 0 for weight in classifier.weights}
    kernels = [path for path in after if "kernel" in path]
    assert len(kernels) == 3
    for path in kernels:
        largest = np.abs(before[path]).max(axis=0)
        assert (np.abs(after[path] - before[path]) <= largest / 127).all()
        assert (after[path] != before[path]).any()
        steps = after[path] / np.exp2(np.ceil(np.log2(largest / 127)))
        np.testing.assert_array_equal(steps, np.rint(steps))
    for path in set(after) - set(kernels):
        np.testing.assert_allclose(after[path], before[path], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("shape", [(64, 48), (LEAST_VALUES // 8 - 1, 8)])
def test_what_would_be_rounded_or_is_small_stays_as_it_is(shape: tuple[int, int]) -> None:
    exact = shape[1] == 8
    weights = drawn(*shape)
    content = converted(weights.astype(np.float16).astype(np.float32) if exact else weights)

    half = with_short_weights(content)

    assert "DEQUANTIZE" not in operators(half)
    x = drawn(1, shape[0])
    np.testing.assert_array_equal(run(half, x), run(content, x))
