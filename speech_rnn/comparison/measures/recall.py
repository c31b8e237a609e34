"""Whether a network still knows a word some seconds after it, as it was trained and taught to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.comparison.measures.gaps import GapKind
from speech_rnn.config import TrainingSettings
from speech_rnn.draws import generator
from speech_rnn.feature_cache import FeatureArray, FeatureFile
from speech_rnn.models import recurrent_layers

ASKED_S = (0.0, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0)  # after the end of the clip
TAUGHT_S = 3.0  # the longest gap that is taught; what is asked later shows whether it has understood
TAUGHT_BATCH = 128
TAUGHT_RATE = 0.5  # of the learning rate at its highest
BATCH = 250


def build_longer(classifier: keras.Model) -> keras.Model:
    """A classifier's twin that hears sound of any length and answers after each step; it shares the weights.

    Args:
        classifier: made by :func:`~speech_rnn.models.build_classifier`, of a model that hears forward only.

    Returns:
        A functional model: MFCC float32 [batch, steps * stack, n_mfcc] -> logits float32 [batch, steps, n_labels].
        After as many steps as a clip has they are the classifier's.

    Raises:
        ModelError: the model hears in both directions.
    """
    layers = recurrent_layers(classifier)
    inputs = keras.Input((None, classifier.input_shape[-1]), name="mfcc")
    x = classifier.get_layer("normalization")(inputs)
    x = keras.layers.Reshape((-1, classifier.get_layer("stack").target_shape[1]), name="stack")(x)
    for index, layer in enumerate(layers):
        longer = keras.layers.RNN(layer.cell, return_sequences=True, dtype=layer.dtype_policy, name=f"longer_{index}")
        x = classifier.get_layer(f"dropout_{index}")(longer(x))
    return keras.Model(inputs, classifier.get_layer("logits")(x), name=f"{classifier.name}_longer")


def recall(
    longer: keras.Model, mfcc: NDArray[np.float32] | FeatureArray, labels: NDArray[np.int64], steps: Sequence[int]
) -> NDArray[np.bool_]:
    """Whether a network gives the right label after so many steps.

    Args:
        longer: made by :func:`build_longer`.
        mfcc: float32 [clips, frames, n_mfcc], of clips and what follows them.
        labels: int64 [clips], of the clips.
        steps: when it is asked, in steps from the beginning, from 1.

    Returns:
        bool [len(steps), clips].
    """
    stack = longer.get_layer("stack").output.shape[-1] // longer.input_shape[-1]
    at, n_frames = np.asarray(steps) - 1, max(steps) * stack
    right = np.empty((len(steps), len(labels)), np.bool_)
    for start in range(0, len(labels), BATCH):
        some = slice(start, start + BATCH)
        logits = longer.predict_on_batch(np.asarray(mfcc[some, :n_frames], np.float32))[:, at]
        right[:, some] = (logits.argmax(axis=2) == labels[some, np.newaxis]).T
    return right


class Lesson(NamedTuple):
    """What is taught in a step.

    Attributes:
        mfcc: float32 [n, frames, n_mfcc], clips and what follows them.
        labels: int64 [n], of the clips.
    """

    mfcc: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Lessons:
    """Training clips, and what may follow them.

    Attributes:
        clips: MFCC of clips as they were recorded.
        labels: int64 [clips], theirs.
        gaps: MFCC of gaps of :data:`TAUGHT_S`, as many of each kind.
        n_gaps: how many.
        gap_frames: of each.
    """

    clips: FeatureFile
    labels: NDArray[np.int64]
    gaps: Mapping[GapKind, FeatureFile]
    n_gaps: int
    gap_frames: int

    def lesson(self, seed: int, step: int, *, n: int = TAUGHT_BATCH) -> Lesson:
        """The lesson of a step: a function of the seed and the step, the same for all cells.

        All gaps of a lesson are of one length, uniform from none to the longest; the kind of each is drawn. The gap's
        frames follow the clip's: the few that hear both are left out.
        """
        rng = generator(seed, "lesson with gaps", step)
        length = int(rng.integers(self.gap_frames + 1))
        clips = rng.integers(len(self.labels), size=n)
        kinds, gaps = rng.integers(len(self.gaps), size=n), rng.integers(self.n_gaps, size=n)
        heard = self.clips.read(clips)
        followed = np.empty((n, heard.shape[1] + length, heard.shape[2]), np.float32)
        followed[:, : heard.shape[1]] = heard
        for number, file in enumerate(self.gaps.values()):
            chosen = kinds == number
            followed[chosen, heard.shape[1] :] = file.read(gaps[chosen])[:, :length]
        return Lesson(followed, self.labels[clips])


def teach(longer: keras.Model, lessons: Lessons, settings: TrainingSettings, *, steps: int) -> None:
    """Train a network further, in place, to give a clip's label after a gap too.

    AdamW from half the cell's learning rate down to 0 along a cosine; what else decides a step is as in its training.

    Args:
        longer: made by :func:`build_longer`; the classifier, whose weights it shares, is taught with it.
        lessons: what it hears.
        settings: of its training.
        steps: how many lessons.
    """
    import tensorflow as tf

    schedule = keras.optimizers.schedules.CosineDecay(TAUGHT_RATE * settings.learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, global_clipnorm=settings.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(longer.trainable_variables)
    stack = longer.get_layer("stack").output.shape[-1] // longer.input_shape[-1]
    n_labels, smoothing = longer.output_shape[-1], settings.label_smoothing

    # Not compiled by XLA, which takes twice as long for long sound, and seconds for each new length.
    @tf.function(reduce_retracing=True)
    def learn(mfcc: tf.Tensor, targets: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = longer(mfcc, training=True)[:, -1]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, longer.trainable_variables), longer.trainable_variables, strict=True)
        )

    for step in range(steps):
        lesson = lessons.lesson(settings.seed, step)
        heard = lesson.mfcc.shape[1] // stack * stack
        targets = np.eye(n_labels, dtype=np.float32)[lesson.labels] * (1 - smoothing) + smoothing / n_labels
        learn(lesson.mfcc[:, :heard], targets.astype(np.float32))
