"""SavedModel -> .tflite in a process of its own: the converter is C++, and with some models it dies of a signal.

Quantizing a loop (WHILE) to full int8 is one such case (TensorFlow 2.21: SIGSEGV). In a child that is an error with a
name; here it would take the whole program along, without a word.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from speech_rnn.card import clipped
from speech_rnn.errors import ModelError

if TYPE_CHECKING:
    import tensorflow as tf

Mode = Literal["float32", "float16", "dynamic", "int8", "int16"]

LONGEST_S = 900.0  # a conversion takes seconds

_INTEGERS = ("int8", "int16")
_REQUEST = "request.json"


@dataclass(frozen=True, eq=False)
class Conversion:
    """What is to be converted.

    Attributes:
        what: the file's name, for errors.
        saved_model: the folder of a SavedModel.
        mode: of weights and arithmetic: ``float32``; ``float16`` (weights, arithmetic in float32); ``dynamic``
            (weights in 8 bits, activations quantized as they come); ``int8`` (both, and integer operators only);
            ``int16`` (weights in 8 bits, activations in 16, and integer operators only).
        calibration: for integers: input's name -> float32 [examples, *the input's shape], from which the ranges are
            taken; as many examples for every input.
        integer_io: for integers: inputs and outputs are integers of the activations' width too, otherwise float32.
        row_scales: for integers: each row of a matrix of weights has a scale of its own; without, a matrix has one,
            which spares a board's memory 8 bytes a row, and its flash 20.
        signature: the signature that is converted; it stays the file's only one.
    """

    what: str
    saved_model: Path
    mode: Mode = "float32"
    calibration: Mapping[str, NDArray[np.float32]] | None = None
    integer_io: bool = False
    row_scales: bool = True
    signature: str = "serving_default"


def save_function(function: tf.types.experimental.PolymorphicFunction, variables: Iterable[Any], folder: Path) -> Path:
    """Write a function as the SavedModel that a :class:`Conversion` takes; its signature is ``serving_default``.

    Args:
        function: a ``tf.function`` with an input signature whose shapes are fixed, which gives a dictionary.
        variables: those that it reads, ``variable.value`` of Keras' ones; none where weights are constants.
        folder: to be made.

    Returns:
        The folder.
    """
    import tensorflow as tf

    module = tf.Module()
    # The variables only: tracked whole, a Keras model would be traced a second time.
    module.variables_read = list(variables)
    module.function = function
    tf.saved_model.save(module, str(folder), signatures=function.get_concrete_function())
    return folder


def convert_in_child(*conversions: Conversion) -> list[bytes]:
    """Convert one model after another in one child process, which takes seconds to start.

    Args:
        conversions: what is to be converted.

    Returns:
        The bytes of a .tflite file for each, in their order.

    Raises:
        ModelError: the converter refuses a model, dies of it, or doesn't end within :data:`LONGEST_S`; or there is no
            calibration where it is needed.
    """
    for one in conversions:
        _check(one)
    with tempfile.TemporaryDirectory(prefix="speech_rnn_conversion_") as name:
        folder = Path(name)
        _write_request(folder, conversions)
        try:
            child = _run_child(folder)
        except subprocess.TimeoutExpired:
            what = _unfinished(folder, conversions).what
            raise ModelError(
                f"{what} can't be converted to TFLite (not done after {LONGEST_S:g} s); take fewer units or layers"
            ) from None
        if child.returncode != 0:
            raise _failure(folder, _unfinished(folder, conversions), child)
        return [_result(folder, index).read_bytes() for index in range(len(conversions))]


def _run_child(folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", __name__, str(folder)],
        check=False,
        capture_output=True,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        timeout=LONGEST_S,
    )


def _check(one: Conversion) -> None:
    if one.mode in _INTEGERS and not one.calibration:
        raise ModelError(f"{one.what} needs calibration for {one.mode}; give features of some training clips")
    counts = {len(values) for values in (one.calibration or {}).values()}
    if len(counts) > 1 or 0 in counts:
        raise ModelError(
            f"{one.what}: calibration has {sorted(counts)} examples; give one or more, and as many an input"
        )


def _write_request(folder: Path, conversions: tuple[Conversion, ...]) -> None:
    request = [
        {
            "saved_model": str(one.saved_model.resolve()),
            "mode": one.mode,
            "integer_io": one.integer_io,
            "row_scales": one.row_scales,
            "signature": one.signature,
        }
        for one in conversions
    ]
    for index, one in enumerate(conversions):
        arrays: dict[str, Any] = dict(one.calibration or {})
        np.savez(folder / f"{index}.npz", **arrays)
    (folder / _REQUEST).write_text(json.dumps(request), encoding="utf-8")


def _environment() -> dict[str, str]:
    """This process's, but with its module path, no GPU, and TensorFlow silent."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _result(folder: Path, index: int) -> Path:
    return folder / f"{index}.tflite"


def _unfinished(folder: Path, conversions: tuple[Conversion, ...]) -> Conversion:
    """The first without a result."""
    return next((one for i, one in enumerate(conversions) if not _result(folder, i).exists()), conversions[-1])


def _failure(folder: Path, one: Conversion, child: subprocess.CompletedProcess[bytes]) -> ModelError:
    said = folder / "error"
    if child.returncode < 0:
        try:
            reason = f"the converter died of {signal.Signals(-child.returncode).name}"
        except ValueError:
            reason = f"the converter died of signal {-child.returncode}"
    elif said.exists():
        reason = clipped(said.read_text(encoding="utf-8"))
    else:
        reason = f"the converter ended with exit code {child.returncode}"
    error = ModelError(
        f"{one.what} can't be converted to TFLite {one.mode} ({reason}); take a cell made of operators that TFLite has"
    )
    error.add_note(child.stderr.decode(errors="replace")[-2_000:])
    return error


def _main(folder: Path) -> None:
    """What the child does."""
    for index, request in enumerate(json.loads((folder / _REQUEST).read_bytes())):
        with np.load(folder / f"{index}.npz") as archive:
            calibration = dict(archive)
        try:
            content = _convert(request, calibration)
        except Exception as error:  # the converter raises many kinds
            (folder / "error").write_text(str(error).strip().split("\n")[0], encoding="utf-8")
            raise
        beside = folder / "unfinished"
        beside.write_bytes(content)
        beside.rename(_result(folder, index))


def _convert(request: Mapping[str, Any], calibration: Mapping[str, NDArray[np.float32]]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        request["saved_model"], signature_keys=[request["signature"]], tags=[tf.saved_model.SERVING]
    )
    mode: Mode = request["mode"]
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in _INTEGERS:

        def examples() -> Iterator[dict[str, NDArray[np.float32]]]:
            for row in range(len(next(iter(calibration.values())))):
                yield {name: values[row] for name, values in calibration.items()}

        converter.representative_dataset = examples
        operators, activations = {
            "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
            "int16": (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
        }[mode]
        converter.target_spec.supported_ops = [operators]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = not request["row_scales"]
        if request["integer_io"]:
            converter.inference_input_type = converter.inference_output_type = activations
    return bytes(converter.convert())


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
