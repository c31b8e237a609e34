"""A stream file, run: frames of many streams in one call, and a step of many states in one call.

The file is checked (form, operators, signatures, the card inside) before the interpreter sees it. A
:class:`StreamModel` never changes and may be shared by threads: LiteRT's interpreter may not, so each thread gets its
own, some milliseconds and megabytes each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from speech_rnn.card import AGAIN, Card, clipped
from speech_rnn.errors import ModelError
from speech_rnn.tflite_file import FEATURES, SCORES, STEP, check_stream_file

# Precision of the classifier's weights -> file. The front end is float32 in all, and so are inputs and outputs.
StreamForm = Literal["float32", "float16", "dynamic", "int8"]
STREAM_FILES: Mapping[StreamForm, str] = {
    "float32": "stream.tflite",
    "float16": "stream_float16.tflite",
    "dynamic": "stream_dynamic.tflite",
    "int8": "stream_int8.tflite",
}

ROWS_AT_ONCE = 512  # more would only take memory: LiteRT keeps what a call needed

_REMARK = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
_starting = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StreamModel:
    """One of a model's stream files; immutable, and safe to share between threads.

    Attributes:
        card: what is known of the model.
        content: the bytes of the file.
        where: what errors call it.
    """

    card: Card
    content: bytes
    where: str = STREAM_FILES["float32"]
    _of_thread: threading.local = field(default_factory=threading.local, init=False)

    def __post_init__(self) -> None:
        check_stream_file(self.content, self.card, self.where)

    def __reduce__(self) -> tuple[Any, ...]:
        return StreamModel, (self.card, self.content, self.where)

    def zero_states(self, rows: int) -> list[NDArray[np.float32]]:
        """The states of so many recognizers that have heard nothing: float32 [rows, size] each."""
        return [np.zeros((rows, size), np.float32) for size in self.card.states]

    def features(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """MFCC of some steps.

        Args:
            windows: float32 [steps, kept_length + step_length], at the model's rate, full scale ±1.

        Returns:
            float32 [steps, stack, n_mfcc].
        """
        frames: NDArray[np.float32] = self._run(FEATURES, window=windows)["frames"]
        return frames

    def step(
        self, frames: NDArray[np.float32], states: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """One step of some recognizers.

        Args:
            frames: float32 [rows, stack, n_mfcc].
            states: float32 [rows, size] each.

        Returns:
            Scores float32 [rows, labels], 0 to 1, each row's sum is 1; and the new states.

        Raises:
            ModelError: states of other sizes, or the model gives something that isn't a number.
        """
        shapes, right = [state.shape for state in states], [(len(frames), size) for size in self.card.states]
        if shapes != right:
            raise ModelError(f"states of shapes {clipped(shapes)} must be {clipped(right)}; take those of this model")
        if len(frames) > ROWS_AT_ONCE:
            parts = [
                self.step(
                    frames[start : start + ROWS_AT_ONCE], [state[start : start + ROWS_AT_ONCE] for state in states]
                )
                for start in range(0, len(frames), ROWS_AT_ONCE)
            ]
            new = [np.concatenate(some) for some in zip(*(states for _, states in parts), strict=True)]
            return np.concatenate([scores for scores, _ in parts]), new
        named = {f"state_{i}": state for i, state in enumerate(states)}
        found = self._run(STEP, frames=frames, **named)
        scores: NDArray[np.float32] = found[SCORES]
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.where} gives scores that are not numbers; its weights are broken: {AGAIN}")
        return scores, [found[f"new_{name}"] for name in named]

    def clip_scores(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whole clips, step by step, all in one batch: what *window* mode says of them.

        Args:
            clips: float32 [clips, clip_length], at the model's rate, full scale ±1.

        Returns:
            float32 [clips, labels], 0 to 1.
        """
        states = self.zero_states(len(clips))
        for step in range(self.card.n_steps):
            windows = clips[:, step * self.card.step_length :][:, : self.card.kept_length + self.card.step_length]
            scores, states = self.step(self.features(np.ascontiguousarray(windows)), states)
        return scores

    def _run(self, signature: str, **inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a signature in this thread's interpreter."""
        try:
            runners = getattr(self._of_thread, "runners", None)
            if runners is None:
                runners = self._of_thread.runners = _new_runners(self.content)
            found: dict[str, NDArray[np.float32]] = runners[signature](**inputs)
        except (RuntimeError, ValueError) as error:
            reason = clipped(" ".join(str(error).split()))
            raise ModelError(f"{self.where} can't be run by LiteRT ({reason}); {AGAIN}") from None
        return found


def _new_runners(content: bytes) -> dict[str, Any]:
    with _without_remark():
        # With the default delegate, XNNPACK: a batch of states in a quarter of the time, for 14 MB.
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        return {key: interpreter.get_signature_runner(key) for key in (FEATURES, STEP)}


@contextmanager
def _without_remark() -> Iterator[None]:
    """LiteRT says on descriptor 2 that it has a delegate; what else is written there meanwhile is passed on."""
    with _starting, tempfile.TemporaryFile() as caught:
        try:
            sys.stderr.flush()
            original = os.dup(2)
        except (AttributeError, OSError, ValueError):  # a program without standard error
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            caught.seek(0)
            others = caught.read().replace(_REMARK, b"")
            if others:
                os.write(2, others)
            os.close(original)
