from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from speech_rnn.errors import ModelError
from speech_rnn.export import conversion
from speech_rnn.export.conversion import Conversion, convert_in_child, save_function
from speech_rnn.tflite_file import operators
from tests.export.runs_in_memory import FEATURES, make_run

SHAPE = (1, 6)


@pytest.fixture(scope="module")
def weights() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 1, (SHAPE[1], 40)).astype(np.float32)


@pytest.fixture(scope="module")
def layer(weights: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(lambda x: tf.nn.tanh(x @ weights), SHAPE, tmp_path_factory.mktemp("layer"))


def save(function: Callable[[Any], Any], shape: tuple[int, ...], folder: Path, variables: Sequence[Any] = ()) -> Path:
    traced = tf.function(lambda x: {"y": function(x)}, input_signature=[tf.TensorSpec(shape, tf.float32, name="x")])
    return save_function(traced, variables, folder)


def run(model: bytes, x: NDArray[Any]) -> NDArray[Any]:
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    result: NDArray[Any] = interpreter.get_signature_runner()(x=x)["y"]
    return result


def test_each_mode_gives_the_layer_as_near_as_its_numbers_allow(layer: Path, weights: NDArray[np.float32]) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (100, *SHAPE)).astype(np.float32)
    calibration = {"x": x}

    float32, float16, int8, all_int8, all_int16 = convert_in_child(
        Conversion("float32", layer),
        Conversion("float16", layer, "float16"),
        Conversion("int8", layer, "int8", calibration),
        Conversion("all int8", layer, "int8", calibration, integer_io=True),
        Conversion("all int16", layer, "int16", calibration, integer_io=True),
    )

    expected = np.tanh(x[0] @ weights)
    np.testing.assert_allclose(run(float32, x[0]), expected, atol=1e-6)
    assert 1e-6 < np.abs(run(float16, x[0]) - expected).max() < 2e-3
    assert 1e-4 < np.abs(run(int8, x[0]) - expected).max() < 0.1
    assert {"QUANTIZE", "DEQUANTIZE"} <= set(operators(int8))
    assert set(operators(all_int8)) == {"FULLY_CONNECTED", "TANH"}
    assert run(all_int8, np.round(x[0] * 127).astype(np.int8)).dtype == np.int8
    assert set(operators(all_int16)) == {"FULLY_CONNECTED", "TANH"}
    wide = run(all_int16, np.round(x[0] * 32_767).astype(np.int16))
    assert wide.dtype == np.int16
    # Weights have 8 bits; what is added to their error by the rest is nothing.
    assert 1e-4 < np.abs(wide / 32_768 - expected).max() < 0.03


@pytest.mark.usefixtures("forked_conversions")
@pytest.mark.parametrize("row_scales", [True, False])
def test_a_matrix_has_a_scale_for_each_row_or_one_for_all(layer: Path, *, row_scales: bool) -> None:
    calibration = {"x": np.random.default_rng(1).uniform(-1, 1, (100, *SHAPE)).astype(np.float32)}

    (model,) = convert_in_child(Conversion("all int16", layer, "int16", calibration, True, row_scales))

    details = Interpreter(model_content=model).get_tensor_details()
    (matrix,) = (one for one in details if one["dtype"] == np.int8)
    assert len(matrix["quantization_parameters"]["scales"]) == (40 if row_scales else 1)


def test_a_model_that_kills_the_converter_is_an_error_that_names_file_and_signal(layer: Path, tmp_path: Path) -> None:
    classifier = make_run(cell="gru").classifier
    shape = (1, FEATURES.n_frames, FEATURES.n_mfcc)
    loop = save(
        lambda x: classifier(x, training=False),
        shape,
        tmp_path / "loop",
        [variable.value for variable in classifier.variables],
    )
    calibration = {"x": np.random.default_rng(0).normal(0, 50, (4, *shape)).astype(np.float32)}

    with pytest.raises(
        ModelError, match=r"loop\.tflite can't be converted to TFLite int8 \(.*died of SIG.*take a cell"
    ):
        convert_in_child(Conversion("layer.tflite", layer), Conversion("loop.tflite", loop, "int8", calibration))


def test_what_the_converter_refuses_is_told_on_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    erfinv = save(tf.math.erfinv, SHAPE, tmp_path / "erfinv")

    with pytest.raises(
        ModelError, match=r"erfinv\.tflite can't be converted to TFLite float32 \(.*take a cell"
    ) as caught:
        convert_in_child(Conversion("erfinv.tflite", erfinv))

    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_a_conversion_that_does_not_end_is_ended(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "LONGEST_S", 0.1)

    with pytest.raises(ModelError, match=r"layer\.tflite can't be converted to TFLite \(not done after 0\.1 s\)"):
        convert_in_child(Conversion("layer.tflite", layer))


@pytest.mark.parametrize(
    ("calibration", "finding"),
    [
        (None, "needs calibration for int8"),
        ({}, "needs calibration for int8"),
        ({"x": np.zeros((0, 1, 6), np.float32)}, r"calibration has \[0\] examples"),
        (
            {"x": np.zeros((2, 1, 6), np.float32), "y": np.zeros((3, 1), np.float32)},
            r"calibration has \[2, 3\] examples",
        ),
    ],
)
def test_calibration_that_is_missing_or_uneven_is_refused_before_a_process_starts(
    calibration: dict[str, NDArray[np.float32]] | None, finding: str, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)

    with pytest.raises(ModelError, match=finding):
        convert_in_child(Conversion("layer.tflite", layer, "int8", calibration))
