"""A cell learns a memory task: what decides it, the loop, what came of it."""

from __future__ import annotations

import math
import time
from typing import Annotated, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speech_rnn.errors import ModelError
from speech_rnn.memory_tasks.adding import AddingTask
from speech_rnn.memory_tasks.copying import CopyTask
from speech_rnn.memory_tasks.counting import CountingTask
from speech_rnn.memory_tasks.forgetting import begin_remembering
from speech_rnn.memory_tasks.task import Answers, MemoryTask
from speech_rnn.models import recurrent_layer
from speech_rnn.progress import progress
from speech_rnn.settings import Settings

AnyTask = AddingTask | CopyTask | CountingTask
TASKS: dict[str, type[AnyTask]] = {"adding": AddingTask, "copying": CopyTask, "counting": CountingTask}
LOWEST_RATE = 0.01  # of the learning rate, at the end of its decay


class LearningSettings(Settings):
    """How a task is learned: Adam, gradients clipped by their norm, a check now and then that stops what is solved.

    With ``open_gates`` the gates of LSTM and GRU begin so that they keep what they have for up to a whole sequence; see
    :mod:`speech_rnn.memory_tasks.forgetting`. With ``decay`` the learning rate falls in a straight line, to a hundredth
    after ``max_steps``.
    """

    UNITS: ClassVar[dict[str, str]] = {"batch_size": "sequences", "max_steps": "steps", "check_every": "steps"}

    units: int = Field(default=64, ge=1, le=4_096)
    learning_rate: float = Field(default=1e-2, gt=0.0, le=1.0)
    batch_size: int = Field(default=32, ge=1, le=4_096)
    max_steps: int = Field(default=3_000, ge=1)
    check_every: int = Field(default=100, ge=1)
    clip_norm: float = Field(default=1.0, gt=0.0)
    open_gates: bool = False
    decay: bool = False

    def rate(self) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """What Keras' optimizer takes: the learning rate, or how it falls."""
        if not self.decay:
            return self.learning_rate
        return keras.optimizers.schedules.PolynomialDecay(
            self.learning_rate, self.max_steps, self.learning_rate * LOWEST_RATE
        )


class Experiment(Settings):
    """Everything that decides what a cell learns; the sequences are the same for every cell with that seed."""

    REMEDIES: ClassVar[dict[str, str]] = {"cell": "'lstm', 'gru' and 'rnn' are built in"}

    task: Annotated[AnyTask, Field(discriminator="name")]
    cell: str = Field(min_length=1, max_length=64)
    seed: int = Field(default=1, ge=0, lt=2**32)
    learning: LearningSettings = Field(default_factory=LearningSettings)


class Outcome(Settings):
    """What came of an experiment.

    Attributes:
        experiment: what was done.
        parameters: trainable ones.
        steps: of training that were taken.
        cpu_seconds: of the process, compilation and checks included; other work on the machine doesn't count.
        figures: on sequences that neither training nor early stopping has seen; a task says which.
        solved: whether those figures mean so.
    """

    experiment: Experiment
    parameters: int
    steps: int
    cpu_seconds: float
    figures: dict[str, float]
    solved: bool


def build_networks(task: MemoryTask, cell: str, units: int) -> tuple[keras.Model, keras.Model]:
    """A recurrent layer and a linear one behind it, twice, with the same weights.

    Args:
        task: what the inputs and outputs are of.
        cell: of :data:`~speech_rnn.models.CELLS`.
        units: of the recurrent layer.

    Returns:
        What is trained, on sequences of the task's length, and what is judged, on those of any: float32
        [batch, steps, features] -> float32 [batch, outputs], or [batch, steps, outputs] where the task asks at every
        step.

    Raises:
        ModelError: the cell is unknown.
    """
    layers = [
        recurrent_layer(cell, units, return_sequences=task.every_step, name="recurrent"),
        keras.layers.Dense(task.n_outputs, name="outputs"),
    ]

    def network(n_steps: int | None) -> keras.Model:
        inputs = x = keras.Input((n_steps, task.n_features))
        for layer in layers:
            x = layer(x)
        return keras.Model(inputs, x)

    return network(task.n_steps), network(None)


def run(experiment: Experiment) -> Outcome:
    """Learn a task until it is solved or the steps are used up, and judge on sequences that are new.

    Raises:
        ModelError: the cell is unknown, or the loss is no number any more.
    """
    task, settings, seed = experiment.task, experiment.learning, experiment.seed
    started = time.process_time()
    keras.utils.set_random_seed(seed)
    learner, judged = build_networks(task, experiment.cell, settings.units)
    if settings.open_gates:
        begin_remembering(learner.get_layer("recurrent"), task.n_steps, seed)
    optimizer = keras.optimizers.Adam(settings.rate(), global_clipnorm=settings.clip_norm)
    # So small a layer spends its time between the operations; XLA puts them together: a third of the seconds.
    learner.compile(optimizer, task.loss, jit_compile=True)
    judged.compile(jit_compile=False)  # each length would be compiled anew
    answers = _answers(judged)
    steps = 0
    with progress(f"{task.name}, {experiment.cell}, seed {seed}", settings.max_steps) as bar:
        while steps < settings.max_steps:
            loss = float(learner.train_on_batch(*task.batch(seed, steps, settings.batch_size)))
            if not math.isfinite(loss):
                raise ModelError(
                    f"the loss became {loss} at step {steps}; a learning rate below {settings.learning_rate} is the "
                    "remedy"
                )
            steps += 1
            bar.advance()
            number, between = divmod(steps, settings.check_every)
            if not between and task.is_enough(task.figures(answers, seed, number, "checking")):
                break
    figures = task.figures(answers, seed, 0, "test")
    return Outcome(
        experiment=experiment,
        parameters=learner.count_params(),
        steps=steps,
        cpu_seconds=round(time.process_time() - started, 1),
        figures=figures,
        solved=task.is_solved(figures),
    )


def _answers(judged: keras.Model) -> Answers:
    def answers(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(judged.predict_on_batch(inputs), np.float32)

    return answers
