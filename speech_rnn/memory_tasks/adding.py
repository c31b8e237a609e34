"""Adding: of a long row of numbers two are marked, and their sum is asked for at the end.

Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, experiment 4; here in the form of Le, Jaitly & Hinton
2015, arXiv:1504.00941: numbers from 0 to 1, one mark in each half.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import keras
import numpy as np
from pydantic import Field

from speech_rnn.draws import generator
from speech_rnn.memory_tasks.task import Answers, Part, Sequences
from speech_rnn.settings import Settings

N_JUDGED = {"training": 0, "checking": 200, "test": 2_000}
SOLVED_BELOW = 0.01


class AddingTask(Settings):
    """``length`` numbers, two of them marked.

    Inputs: the number, 0 to 1, and its mark, 0 or 1. Targets float32 [sequences, 1]: the sum of the two.
    """

    UNITS: ClassVar[dict[str, str]] = {"length": "steps"}

    name: Literal["adding"] = "adding"
    length: int = Field(default=100, ge=2, le=10_000)

    n_features: ClassVar[int] = 2
    n_outputs: ClassVar[int] = 1
    every_step: ClassVar[bool] = False

    @property
    def n_steps(self) -> int:
        """One a number."""
        return self.length

    @property
    def baseline(self) -> dict[str, float]:
        """The variance of the sum of two numbers even between 0 and 1: what a constant 1 gives."""
        return {"mse": 1 / 6}

    def batch(self, seed: int, step: int, n: int, part: Part = "training") -> Sequences:
        """See :class:`~speech_rnn.memory_tasks.task.MemoryTask`."""
        rng = generator(seed, f"adding, {part}", step)
        numbers = rng.random((n, self.length), dtype=np.float32)
        marks = np.zeros_like(numbers)
        half = self.length // 2
        marks[np.arange(n), rng.integers(half, size=n)] = 1
        marks[np.arange(n), rng.integers(half, self.length, size=n)] = 1
        return Sequences(np.stack([numbers, marks], axis=2), (numbers * marks).sum(axis=1, keepdims=True))

    def loss(self, targets: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """The mean squared error."""
        return keras.ops.mean(keras.ops.square(targets - outputs))

    def figures(self, answers: Answers, seed: int, number: int, part: Part) -> dict[str, float]:
        """``mse``: the mean squared error."""
        inputs, sums = self.batch(seed, number, N_JUDGED[part], part)
        return {"mse": float(np.square(answers(inputs).astype(np.float64) - sums).mean())}

    def is_solved(self, figures: dict[str, float]) -> bool:
        """An error that is below 6 % of a constant's."""
        return figures["mse"] < SOLVED_BELOW

    def is_enough(self, figures: dict[str, float]) -> bool:
        """Half of that."""
        return figures["mse"] < SOLVED_BELOW / 2
