"""A model's ``mcu/`` on this machine: its C compiled, its models by TensorFlow Lite Micro's own kernels.

For tests and figures; it takes a C compiler and the package ``tflite-micro``, which a model's user needs neither of.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn.errors import ModelError
from speech_rnn.export.board.running import Quantization

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wdouble-promotion")

_LARGEST_ARENA = 4_000_000
_WRAPPER = """\
#include "front_end.h"
const int n_values = FRONT_END_STEP, n_bytes = sizeof(FrontEnd);
const float *mfcc_of(const FrontEnd *front_end) { return front_end->mfcc; }
int is_ready(const FrontEnd *front_end) { return front_end->ready; }
"""


def compile_c(sources: Sequence[Path], output: Path, *options: str) -> Path:
    """Compile and link C99 without a warning.

    Args:
        sources: C files.
        output: the program or library to make.
        options: further ones for the compiler.

    Returns:
        ``output``.

    Raises:
        ModelError: there is no compiler, or it isn't content.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise ModelError("no C compiler 'cc' is found, and front_end.c wants one; install gcc or clang")
    command = [compiler, *STRICT, *options, "-o", str(output), *map(str, sources), "-lm"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise ModelError(f"{compiler} refuses {sources[0].name}: {' '.join(result.stderr.split())[:500]}")
    return output


class CompiledFrontEnd:
    """``front_end.c`` of a folder ``mcu/``, one stream."""

    def __init__(self, board: Path) -> None:
        """Compile and load it; raises as :func:`compile_c`."""
        with tempfile.TemporaryDirectory(prefix="speech_rnn_c_") as name:
            wrapper = Path(name) / "wrapper.c"
            wrapper.write_text(_WRAPPER)
            library = Path(name) / "front_end.so"
            compile_c([wrapper, board / "front_end.c"], library, "-O2", "-shared", "-fPIC", f"-I{board}")
            self._c = ctypes.CDLL(str(library))
        self._c.mfcc_of.restype = ctypes.POINTER(ctypes.c_float)
        self._c.front_end_push.restype = self._c.front_end_push_float.restype = ctypes.c_size_t
        self._c.front_end_quantize.argtypes = [ctypes.c_void_p, ctypes.c_float, ctypes.c_int, ctypes.c_void_p]
        self._n_values = ctypes.c_int.in_dll(self._c, "n_values").value
        self.n_bytes = ctypes.c_int.in_dll(self._c, "n_bytes").value
        self._stream = ctypes.create_string_buffer(self.n_bytes)
        self.start()

    def start(self) -> None:
        """Begin a new stream."""
        self._c.front_end_start(self._stream)

    def push(self, samples: NDArray[Any], quantization: Quantization | None = None) -> NDArray[Any]:
        """Take sound, and give the steps that are complete.

        Args:
            samples: int16 or float32 [samples].
            quantization: of the model's input, for steps in int8.

        Returns:
            [steps, stack * n_mfcc]: MFCC in float32, or the model's input in int8.
        """
        samples = np.ascontiguousarray(samples)
        push = {"int16": self._c.front_end_push, "float32": self._c.front_end_push_float}[samples.dtype.name]
        steps, at = [], 0
        while at < len(samples):
            left = samples[at:]
            at += push(self._stream, left.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(left)))
            if self._c.is_ready(self._stream):
                steps.append(self._step() if quantization is None else self._quantized(quantization))
        shape = (0, self._n_values)
        return np.stack(steps) if steps else np.empty(shape, np.float32 if quantization is None else np.int8)

    def _step(self) -> NDArray[Any]:
        return np.ctypeslib.as_array(self._c.mfcc_of(self._stream), (self._n_values,)).copy()

    def _quantized(self, quantization: Quantization) -> NDArray[Any]:
        values = np.empty(self._n_values, np.int8)
        self._c.front_end_quantize(
            self._stream, quantization.scale, quantization.zero_point, values.ctypes.data_as(ctypes.c_void_p)
        )
        return values


class MicroModel:
    """One of ``mcu/``'s models on the kernels of TensorFlow Lite Micro."""

    def __init__(self, content: bytes) -> None:
        """Load the bytes of a .tflite file.

        Raises:
            ModelError: the package ``tflite-micro`` is missing, or has no wheel for this machine.
        """
        try:
            from tflite_micro.python.tflite_micro import runtime
        except ImportError:
            raise ModelError(
                "the package tflite-micro is missing, whose kernels are those of a board; pip install tflite-micro"
            ) from None
        self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=_LARGEST_ARENA)
        self.inputs: list[Quantization] = []
        self._shapes: list[tuple[int, ...]] = []
        while True:
            try:
                details = self._interpreter.get_input_details(len(self.inputs))
            except IndexError:
                break
            (scale,), (zero_point,) = (details["quantization_parameters"][key] for key in ("scales", "zero_points"))
            self.inputs.append(Quantization(float(scale), int(zero_point), np.dtype(details["dtype"]).name))
            self._shapes.append(tuple(map(int, details["shape"])))

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """One clip from zero states; as :meth:`speech_rnn.export.board.running.BoardModel.run`."""
        if len(self._shapes[0]) == 3:
            return self.call([x[np.newaxis]])[0]
        states = [one.zeros(shape) for shape, one in zip(self._shapes[1:], self.inputs[1:], strict=True)]
        scores = []
        for step in x:
            step_scores, *states = self.call([step[np.newaxis], *states])
            scores.append(step_scores[0])
        return np.stack(scores)

    def arena_bytes(self) -> int:
        """Bytes of the arena that are used, on this machine; to be asked for after a run."""
        printed = _standard_error_of(self._interpreter.print_allocations)
        found = re.search(r"Arena allocation total (\d+) bytes", printed)
        if found is None:
            raise ModelError("tflite-micro doesn't say what its arena takes; take another version of it")
        return int(found[1])

    def call(self, inputs: Sequence[NDArray[np.integer]]) -> list[NDArray[Any]]:
        """One call: inputs in their order -> outputs in theirs."""
        for index, values in enumerate(inputs):
            self._interpreter.set_input(values, index)
        self._interpreter.invoke()
        n_outputs = len(inputs)  # a new state for each state, and scores for x
        return [self._interpreter.get_output(index).copy() for index in range(n_outputs)]


def _standard_error_of(call: Any) -> str:
    """What a call into C++ writes to the descriptor."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        try:
            os.dup2(sink.fileno(), 2)
            call()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        sink.seek(0)
        return sink.read().decode(errors="replace")
