"""What is trained in a classifier's place: its twin for training, with optimizer and loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from speech_rnn.config import RunSettings, TrainingSettings
from speech_rnn.models import build_in_a_row, build_with_words, build_written_out

Pairs = list[tuple[keras.KerasTensor, keras.Variable]]


def compiled_learner(
    classifier: keras.Model, settings: RunSettings, *, steps_an_epoch: int, n_words: int = 0
) -> tuple[keras.Model, keras.Variable]:
    """What is trained in a classifier's place, with its optimizer and loss; the weights are the same.

    Args:
        classifier: made by :func:`speech_rnn.models.build_classifier`.
        settings: of the run; the classifier itself is trained where they ask for nothing else.
        steps_an_epoch: from which follows when the learning rate is which.
        n_words: that a second output learns to tell apart; 0: there is none.

    Returns:
        The learner, and the norm of its last gradient, before it was clipped.
    """
    optimizer = inner = _optimizer(settings.training, steps_an_epoch)
    if settings.model.precision == "mixed_float16":
        # Keras does this by itself only where the whole model has that policy.
        optimizer = keras.optimizers.LossScaleOptimizer(inner)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    rows = settings.training.clips_in_a_row
    twin = build_written_out(classifier) if settings.model.precision == "bfloat16_products" else classifier
    if n_words:
        learner = build_with_words(twin, n_words)
        learner.compile(optimizer, [loss, loss], loss_weights=[1.0, settings.training.word_weight])
    else:
        learner = twin if rows == 1 else build_in_a_row(classifier, rows)
        learner.compile(optimizer, loss)
    return learner, inner.gradient_norm


def _optimizer(settings: TrainingSettings, steps_an_epoch: int) -> _AdamW:
    steps = steps_an_epoch * settings.epochs
    warmup = round(settings.warmup_share * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate / 20 if warmup else settings.learning_rate,
        decay_steps=max(1, steps - warmup),
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = _AdamW(schedule, weight_decay=settings.weight_decay, global_clipnorm=settings.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


class _AdamW(keras.optimizers.AdamW):
    """AdamW that says how long the last gradient was: all of it together, before it is clipped.

    Where several train together, it takes gradients for sums over all of them: Keras' own sums what it has clipped.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, **options: Any) -> None:
        super().__init__(schedule, name="adamw", **options)
        # Not tracked: no part of the optimizer's state.
        self.gradient_norm = keras.Variable(0.0, trainable=False, name="gradient_norm")

    def apply(
        self, grads: Sequence[keras.KerasTensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        squares = [keras.ops.sum(keras.ops.square(grad)) for grad in grads if grad is not None]
        self.gradient_norm.assign(keras.ops.sqrt(sum(squares)))
        super().apply(grads, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars: Pairs) -> Pairs:
        return grads_and_vars
