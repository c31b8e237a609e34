"""Counting: strings a^n b^n, and after each symbol the question which ones may come next.

Gers & Schmidhuber 2001, doi:10.1109/72.963769. Learned on short strings, judged on longer ones: only who counts knows
when the last b has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import keras
import numpy as np
from pydantic import Field, model_validator

from speech_rnn.draws import generator
from speech_rnn.memory_tasks.task import Answers, Part, Sequences
from speech_rnn.settings import Settings

END, A, B = range(3)


class CountingTask(Settings):
    """Strings of up to ``longest_learned`` a's and as many b's.

    Inputs: one-hot of three, the end (it begins the string too), a and b. Targets float32 [sequences, steps, 3]: 1 for
    what may come next; all zeros behind the string, which doesn't count.
    """

    UNITS: ClassVar[dict[str, str]] = {"longest_learned": "a's", "longest_tested": "a's"}

    name: Literal["counting"] = "counting"
    longest_learned: int = Field(default=10, ge=1, le=1_000)
    longest_tested: int = Field(default=500, ge=2, le=10_000)

    n_features: ClassVar[int] = 3
    n_outputs: ClassVar[int] = 3
    every_step: ClassVar[bool] = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.longest_tested < 2 * self.longest_learned:
            raise ValueError(
                f"longest_tested={self.longest_tested} must be at least twice longest_learned={self.longest_learned}; "
                "50 times is usual"
            )
        return self

    @property
    def n_steps(self) -> int:
        """The end that begins a string, its a's and its b's."""
        return 1 + 2 * self.longest_learned

    @property
    def baseline(self) -> dict[str, float]:
        """Whoever says after each b that the end comes has a^1 b^1 right, and nothing else."""
        return {"largest_n": 1.0}

    def batch(self, seed: int, step: int, n: int, part: Part = "training") -> Sequences:
        """See :class:`~speech_rnn.memory_tasks.task.MemoryTask`."""
        rng = generator(seed, f"counting, {part}", step)
        return strings(rng.integers(1, self.longest_learned + 1, size=n).tolist(), self.longest_learned)

    def loss(self, targets: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
        """The mean cross-entropy of what may come and what may not, over the steps of the strings."""
        counts = keras.ops.max(targets, axis=-1)
        each = keras.losses.binary_crossentropy(targets, outputs, from_logits=True)
        return keras.ops.sum(each * counts) / keras.ops.sum(counts)

    def figures(self, answers: Answers, seed: int, number: int, part: Part) -> dict[str, float]:
        """``largest_n``: all strings up to a^n b^n have every step right; 0 where the first has not.

        Nothing is drawn: every string up to ``longest_tested``, while it is checked up to twice ``longest_learned``.
        """
        del seed, number
        limit = self.longest_tested if part == "test" else 2 * self.longest_learned
        largest = 0
        while largest < limit:
            some = range(largest + 1, min(2 * largest + self.longest_learned, limit) + 1)
            inputs, targets = strings(some, some[-1])
            right = ((answers(inputs) > 0) == (targets > 0)) | (targets.max(axis=2, keepdims=True) == 0)
            is_right = right.all(axis=(1, 2))
            if not is_right.all():
                return {"largest_n": float(largest + int(is_right.argmin()))}
            largest = some[-1]
        return {"largest_n": float(limit)}

    def is_solved(self, figures: dict[str, float]) -> bool:
        """Strings twice as long as the longest learned."""
        return figures["largest_n"] >= 2 * self.longest_learned

    def is_enough(self, figures: dict[str, float]) -> bool:
        """The same: nothing is drawn, so no luck is in it."""
        return self.is_solved(figures)


def strings(counts: Sequence[int], longest: int) -> Sequences:
    """The strings a^n b^n, each behind an end, with what may come after each symbol.

    Args:
        counts: n of each, at least 1.
        longest: the n that there is room for.

    Returns:
        Inputs and targets float32 [strings, 1 + 2 * longest, 3], zeros behind each string.
    """
    inputs = np.zeros((len(counts), 1 + 2 * longest, 3), np.float32)
    targets = np.zeros_like(inputs)
    for row, n in enumerate(counts):
        inputs[row, 0, END] = inputs[row, 1 : n + 1, A] = inputs[row, n + 1 : 2 * n + 1, B] = 1
        targets[row, : n + 1, A] = 1  # after the end, and after each a
        targets[row, 1 : 2 * n, B] = 1  # after each a and each b but the last
        targets[row, 2 * n, END] = 1
    return Sequences(inputs, targets)
