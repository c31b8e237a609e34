"""How far back a trained classifier's gradient reaches: what a frame still counts, so many frames before the end.

The measure of Hochreiter 1991 and of Bengio, Simard & Frasconi 1994, doi:10.1109/72.279181, on a model as it is used:
where the norm falls to nothing within a few frames, what was said before couldn't be learned.
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.errors import ModelError


def gradient_norms(
    classifier: keras.Model, mfcc: NDArray[np.float32], labels: NDArray[np.int64], *, batch_size: int = 64
) -> NDArray[np.float64]:
    """The norm of the gradient of the right label's logit by each frame.

    Args:
        classifier: made by :func:`~speech_rnn.models.build_classifier`.
        mfcc: float32 [clips, n_frames, n_mfcc], as the classifier takes them.
        labels: int64 [clips], the right ones.
        batch_size: clips at a time.

    Returns:
        float64 [clips, frames], logits a unit of MFCC; first the last frame that the classifier hears, then the one
        before it, and so on. Frames that fill no stack are not heard and left out.

    Raises:
        ModelError: not as many labels as clips, or a label that the classifier doesn't have.
    """
    import tensorflow as tf

    n_labels = classifier.output_shape[-1]
    if labels.shape != mfcc.shape[:1] or not ((labels >= 0) & (labels < n_labels)).all():
        raise ModelError(f"labels must be {len(mfcc)} numbers from 0 to {n_labels - 1}, one a clip")

    @tf.function(reduce_retracing=True)
    def gradients(clips: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(clips)
            # A clip's logit depends on its own frames only, so the gradient of the sum is each one's own.
            score = tf.reduce_sum(tf.gather(classifier(clips, training=False), chosen, axis=1, batch_dims=1))
        return tape.gradient(score, clips)

    starts = range(0, len(mfcc), batch_size)
    parts = [gradients(mfcc[at : at + batch_size], labels[at : at + batch_size]).numpy() for at in starts]
    by_frame = np.linalg.norm(np.concatenate(parts).astype(np.float64), axis=2)
    n_steps, width = classifier.get_layer("stack").target_shape
    heard = n_steps * width // classifier.input_shape[-1]
    return np.asarray(by_frame[:, :heard][:, ::-1])


def gradient_flow(
    classifier: keras.Model, mfcc: NDArray[np.float32], labels: NDArray[np.int64], *, batch_size: int = 64
) -> NDArray[np.float64]:
    """The mean over clips of :func:`gradient_norms`: float64 [frames], entry d for the frame d before the last."""
    return np.asarray(gradient_norms(classifier, mfcc, labels, batch_size=batch_size).mean(axis=0))
