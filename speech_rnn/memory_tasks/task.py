"""What a memory task is: endless sequences drawn by key, a loss, figures, and a rule for when it is solved."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

# Training sees the first, early stopping the second, the result the third: no sequence is drawn for two of them.
Part = Literal["training", "checking", "test"]
# Inputs float32 [sequences, steps, features] -> outputs float32, [sequences, outputs] or [sequences, steps, outputs].
Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Sequences(NamedTuple):
    """A batch.

    Attributes:
        inputs: float32 [sequences, steps, features].
        targets: what the loss compares the outputs with; a task says of what shape.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32] | NDArray[np.int64]


class MemoryTask(Protocol):
    """A task; settings say how long it must be remembered."""

    n_features: ClassVar[int]
    n_outputs: ClassVar[int]
    every_step: ClassVar[bool]
    """Whether there is an output after every step or only after the last."""

    @property
    def n_steps(self) -> int:
        """Steps of a training sequence."""

    @property
    def baseline(self) -> dict[str, float]:
        """The figures of the best that remembers nothing, or of a constant."""

    def batch(self, seed: int, step: int, n: int, part: Part = "training") -> Sequences:
        """``n`` sequences; the same ones for whoever asks with the same seed, step and part."""

    def loss(self, targets: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """What training makes small: a scalar."""

    def figures(self, answers: Answers, seed: int, number: int, part: Part) -> dict[str, float]:
        """How good answers are.

        Args:
            answers: of a network.
            seed: of the sequences.
            number: which of the part's drawings; counted from 0.
            part: ``checking`` or ``test``.
        """

    def is_solved(self, figures: dict[str, float]) -> bool:
        """Whether figures mean that the task is solved."""

    def is_enough(self, figures: dict[str, float]) -> bool:
        """Whether training may stop: solved with something to spare, or a lucky check would stop it too early."""
