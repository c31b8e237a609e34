"""A step of training by several at once, the same as one alone would make.

Each replica hears its rows of the batch. What it adds to the loss is divided by the rows of the whole batch, gradients
are summed, and only then clipped. Of dropout each takes its rows of the mask that one alone would draw.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple, cast

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.distributed.team import Team, noticing_lost_workers

Tensor = Any  # TensorFlow's own types know no shapes


class Stepped(NamedTuple):
    """What came of a step, the same for all workers: the mean loss of the batch, and whether any wants to stop."""

    loss: float
    stops: bool


class SharedStep:
    """Makes the steps of a learner together with the other workers, all of whom must make each."""

    def __init__(self, team: Team, learner: keras.Model, loss_weights: Sequence[float] = (1.0,)) -> None:
        """Prepare a step.

        Args:
            team: with a strategy.
            learner: a functional model, made within the team's scope, with a built optimizer that takes gradients for
                sums over all replicas.
            loss_weights: of the cross-entropy of each output.
        """
        if team.strategy is None:
            raise ValueError("who trains alone makes Keras' own steps")
        self._strategy, self._replicas = team.strategy, team.replicas
        self._has_others = team.size > 1
        self._learner, self._loss_weights = learner, loss_weights
        self._place = _Place()
        self._twin = _with_rows_of_masks(learner, self._place)
        # One signature: were it traced again by one worker alone, its sums would no longer meet those of the others.
        self._step = tf.function(
            self._on_worker,
            autograph=False,
            input_signature=[
                _rows_like(learner.inputs[0]),
                [_rows_like(output) for output in learner.outputs],
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec((), tf.float32),
            ],
        )

    def __call__(
        self,
        features: NDArray[np.float32],
        targets: Sequence[NDArray[np.float32]],
        *,
        first: int,
        n: int,
        stops: bool = False,
    ) -> Stepped:
        """Make one step of the optimizer, the same that one worker would make of the whole batch.

        Args:
            features: what this worker hears of the batch: float32 [rows, ...], and there may be none.
            targets: what each output is to say of it: float32 [rows, ..., size].
            first: which row of the whole batch is this worker's first.
            n: rows of the whole batch.
            stops: whether this worker wants all to stop.

        Raises:
            WorkerLostError: another worker has gone.
        """
        # Where there are no others, an error is this worker's own.
        with noticing_lost_workers() if self._has_others else nullcontext():
            loss, stopping = self._step(features, list(targets), first, n, float(stops))
            return Stepped(float(loss), float(stopping) > 0)

    def _on_worker(
        self, features: Tensor, targets: list[Tensor], first: Tensor, n: Tensor, stops: Tensor
    ) -> tuple[Tensor, Tensor]:
        told = self._strategy.run(self._on_replica, args=(features, targets, first, n, stops))
        told = self._strategy.experimental_local_results(told)[0]
        return told[0], told[1]

    def _on_replica(self, features: Tensor, targets: list[Tensor], first: Tensor, n: Tensor, stops: Tensor) -> Tensor:
        context = tf.distribute.get_replica_context()
        replica, rows = context.replica_id_in_sync_group % self._replicas, tf.shape(features)[0]
        begin, end = rows * replica // self._replicas, rows * (replica + 1) // self._replicas
        self._place.first, self._place.n = tf.minimum(first + begin, n - 1), n
        with tf.GradientTape() as tape:
            outputs = keras.tree.flatten(self._twin(_some(features, begin, end), training=True))
            heard = _some(tf.ones(rows), begin, end)
            loss = sum(
                weight * tf.reduce_sum(heard * _losses(_some(target, begin, end), output))
                for weight, target, output in zip(self._loss_weights, targets, outputs, strict=True)
            ) / tf.cast(n, tf.float32)
            scaled = self._learner.optimizer.scale_loss(loss)
        variables = self._learner.trainable_variables
        *gradients, told = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [*tape.gradient(scaled, variables), tf.stack([loss, stops])]
        )
        self._learner.optimizer.apply(gradients, variables)
        return told


def forward(model: keras.Model) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What gives a model's outputs on this worker alone; Keras' own ``predict_on_batch`` can't, under a strategy."""
    call = tf.function(partial(model, training=False), autograph=False, reduce_retracing=True)
    return lambda features: cast("NDArray[np.float32]", call(tf.constant(features)).numpy())


def _rows_like(tensor: keras.KerasTensor) -> tf.TensorSpec:
    return tf.TensorSpec((None, *tensor.shape[1:]), tf.float32)


def _some(rows: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Some rows; one of zeros where there are none, for not every kernel takes nothing."""
    missing = 1 - tf.minimum(end - begin, 1)
    return tf.concat([rows[begin:end], tf.zeros((missing, *rows.shape[1:]))], axis=0)


def _losses(targets: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of each row: [rows, ..., size] -> [rows]."""
    losses = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
    return tf.reduce_mean(losses, axis=list(range(1, losses.shape.rank)))


class _Place(threading.local):
    """Where in the whole batch a replica's rows are, while its step is traced: each in a thread of its own."""

    first: Tensor = 0
    n: Tensor = 0


def _with_rows_of_masks(learner: keras.Model, place: _Place) -> keras.Model:
    """A learner's twin that has, where that one drops out, rows of the whole batch's mask; it shares all variables."""
    # Not the learner itself: Keras would clone its optimizer too.
    return keras.models.clone_model(
        keras.Model(learner.inputs, learner.outputs),
        clone_function=lambda layer: _RowsOfMask(layer, place) if _drops_out(layer) else layer,
    )


def _drops_out(layer: keras.layers.Layer) -> bool:
    return type(layer) is keras.layers.Dropout and layer.rate > 0


class _RowsOfMask(keras.layers.Layer):
    """Dropout of some rows of a batch, as it would be in the whole of it; the state stays that of Keras' layer."""

    def __init__(self, dropout: keras.layers.Dropout, place: _Place) -> None:
        super().__init__(name=f"{dropout.name}_rows", dtype=dropout.dtype_policy)
        self.dropout, self.place = dropout, place

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if not training:
            return x
        first, rows = self.place.first, tf.shape(x)
        ones = tf.ones(tf.concat([[self.place.n], rows[1:]], axis=0), x.dtype)
        mask = keras.random.dropout(ones, self.dropout.rate, seed=self.dropout.seed_generator)
        return x * mask[first : first + rows[0]]
