"""A board's model run on this machine by LiteRT, int8 in and out, as a board runs it; states are of any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantization:
    """What the integers of a tensor are, and mean: ``(q - zero_point) * scale``."""

    scale: float
    zero_point: int
    dtype: Literal["int8", "int16"] = "int8"

    def quantize(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """The nearest integer of each value."""
        limits = np.iinfo(self.dtype)
        nearest = np.rint(values / self.scale) + self.zero_point
        quantized: NDArray[Any] = np.clip(nearest, limits.min, limits.max).astype(self.dtype)
        return quantized

    def zeros(self, shape: Sequence[int]) -> NDArray[Any]:
        """Integers that stand for 0."""
        return np.full(tuple(shape), self.zero_point, self.dtype)

    def dequantize(self, values: NDArray[np.integer]) -> NDArray[np.float32]:
        """What integers stand for."""
        return ((values.astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


class BoardModel:
    """One of ``mcu/``'s models: a step, whose states are fed back as they come, or a whole clip."""

    def __init__(self, content: bytes) -> None:
        """Load the bytes of a .tflite file."""
        self._interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self.inputs = [_quantization(one) for one in self._inputs]
        self.outputs = [_quantization(one) for one in self._outputs]

    @property
    def takes_clips(self) -> bool:
        """Whether a call takes a whole clip and no states."""
        return len(self._inputs[0]["shape"]) == 3

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """One clip from zero states.

        Args:
            x: int8 [n_steps, stack * n_mfcc].

        Returns:
            Scores int8 [n_steps, labels], after each step; of a whole clip [1, labels].
        """
        if self.takes_clips:
            return self.call([x[np.newaxis]])[0]
        states: Sequence[NDArray[np.integer]] = self.zero_states()
        scores = []
        for step in x:
            step_scores, *states = self.call([step[np.newaxis], *states])
            scores.append(step_scores[0])
        return np.stack(scores)

    def zero_states(self) -> list[NDArray[np.integer]]:
        """States at the start of a clip: [1, size] each, the integer that stands for 0."""
        return [one.zeros(details["shape"]) for details, one in zip(self._inputs[1:], self.inputs[1:], strict=True)]

    def scores(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of clips.

        Args:
            clips: float32 [clips, n_steps, stack * n_mfcc], normalized frames of steps.

        Returns:
            float32 [clips, labels], 0 to 1.
        """
        quantized = self.inputs[0].quantize(clips)
        return np.stack([self.outputs[0].dequantize(self.run(x)[-1]) for x in quantized])

    def call(self, inputs: Sequence[NDArray[np.integer]]) -> list[NDArray[Any]]:
        """One call: inputs in their order -> outputs in theirs."""
        for details, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(details["index"], values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self._outputs]


def _quantization(details: dict[str, Any]) -> Quantization:
    scale, zero_point = details["quantization"]
    return Quantization(float(scale), int(zero_point), np.dtype(details["dtype"]).name)
