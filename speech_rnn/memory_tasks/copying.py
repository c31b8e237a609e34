"""Copying: a few symbols, a long pause, a sign, and then the symbols again, in the same order.

In the form of Arjovsky, Shah & Bengio 2016, arXiv:1511.06464, section 4.1.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import keras
import numpy as np
from pydantic import Field

from speech_rnn.draws import generator
from speech_rnn.memory_tasks.task import Answers, Part, Sequences
from speech_rnn.settings import Settings

N_SYMBOLS = 8
BLANK, SIGN = N_SYMBOLS, N_SYMBOLS + 1
N_JUDGED = {"training": 0, "checking": 100, "test": 1_000}
SOLVED_FROM = 0.99


class CopyTask(Settings):
    """``n_items`` symbols of eight, to be said again after ``delay`` steps.

    Inputs: one-hot of ten, the symbols, the blank and the sign: the items, ``delay`` - 1 blanks, the sign, blanks.
    Targets int64 [sequences, steps]: blanks, and in the last ``n_items`` steps the items.
    """

    UNITS: ClassVar[dict[str, str]] = {"delay": "steps", "n_items": "symbols"}

    name: Literal["copying"] = "copying"
    delay: int = Field(default=50, ge=1, le=10_000)
    n_items: int = Field(default=10, ge=1, le=100)

    n_features: ClassVar[int] = N_SYMBOLS + 2
    n_outputs: ClassVar[int] = N_SYMBOLS + 1  # the sign is never an answer
    every_step: ClassVar[bool] = True

    @property
    def n_steps(self) -> int:
        """Those of hearing, waiting and saying."""
        return self.delay + 2 * self.n_items

    @property
    def baseline(self) -> dict[str, float]:
        """Blanks where blanks belong, then guessing: 10 log 8 / (delay + 20) with ten items."""
        return {
            "cross_entropy": self.n_items * math.log(N_SYMBOLS) / self.n_steps,
            "recall_accuracy": 1 / N_SYMBOLS,
        }

    def batch(self, seed: int, step: int, n: int, part: Part = "training") -> Sequences:
        """See :class:`~speech_rnn.memory_tasks.task.MemoryTask`."""
        items = generator(seed, f"copying, {part}", step).integers(N_SYMBOLS, size=(n, self.n_items))
        heard = np.full((n, self.n_steps), BLANK)
        heard[:, : self.n_items] = items
        heard[:, self.n_items + self.delay - 1] = SIGN
        targets = np.full((n, self.n_steps), BLANK)
        targets[:, -self.n_items :] = items
        return Sequences(np.eye(self.n_features, dtype=np.float32)[heard], targets)

    def loss(self, targets: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """The mean cross-entropy of all steps."""
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True))

    def figures(self, answers: Answers, seed: int, number: int, part: Part) -> dict[str, float]:
        """``cross_entropy`` of all steps, nats, and ``recall_accuracy``, the share of the items that are said right."""
        inputs, targets = self.batch(seed, number, N_JUDGED[part], part)
        logits = answers(inputs).astype(np.float64)
        shares = np.log(np.exp(logits - logits.max(axis=2, keepdims=True)).sum(axis=2)) + logits.max(axis=2)
        said = np.take_along_axis(logits, targets[:, :, None].astype(np.int64), axis=2)[:, :, 0]
        right = (logits.argmax(axis=2) == targets)[:, -self.n_items :]
        return {"cross_entropy": float((shares - said).mean()), "recall_accuracy": float(right.mean())}

    def is_solved(self, figures: dict[str, float]) -> bool:
        """99 of 100 items are said right."""
        return figures["recall_accuracy"] >= SOLVED_FROM

    def is_enough(self, figures: dict[str, float]) -> bool:
        """Half as many wrong ones."""
        return figures["recall_accuracy"] >= (1 + SOLVED_FROM) / 2
