"""Front end and classifier as TensorFlow functions, of a clip and of a step of a stream, and both as a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.card import Card
from speech_rnn.export.front_end import FrontEnd
from speech_rnn.models import build_step
from speech_rnn.tflite_file import CLIP_SIGNATURE, SCORES, STREAM


def write_saved_model(classifier: keras.Model, front_end: FrontEnd, card: Card, card_file: Path, folder: Path) -> None:
    """Write a SavedModel with two signatures; the card is an asset, ``assets/card.json``.

    ``serving_default``: ``waveform`` float32 [batch, clip_length] -> ``scores`` float32 [batch, labels]. ``stream``:
    ``samples`` [batch, step_length], ``kept`` [batch, kept_length], ``state_0``, ... -> ``scores``, ``new_kept``,
    ``new_state_0``, ....

    Args:
        classifier: MFCC -> logits.
        front_end: waveform -> MFCC.
        card: of the model.
        card_file: the card as it shall stand inside.
        folder: to be made.
    """
    module = tf.Module()
    module.front_end = front_end
    # The variables only: tracked whole, a Keras model would be traced a second time.
    module.weights = [variable.value for variable in classifier.variables]
    module.card = tf.saved_model.Asset(str(card_file))
    module.scores = _scores_function(classifier, front_end, card)
    module.stream = _stream_function(classifier, front_end, card)
    signatures = {CLIP_SIGNATURE: module.scores.get_concrete_function(), STREAM: module.stream.get_concrete_function()}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def load_signatures(folder: Path) -> dict[str, Callable[..., Mapping[str, Any]]]:
    """The signatures of a SavedModel: each takes float32 arrays by name and gives tensors by name."""
    loaded = tf.saved_model.load(str(folder))

    def caller(key: str) -> Callable[..., Mapping[str, Any]]:
        def call(**inputs: NDArray[np.float32]) -> Mapping[str, Any]:
            # ``loaded`` owns the variables that the signature reads.
            outputs: Mapping[str, Any] = loaded.signatures[key](
                **{name: tf.constant(value) for name, value in inputs.items()}
            )
            return outputs

        return call

    return {key: caller(key) for key in (CLIP_SIGNATURE, STREAM)}


def _scores_function(
    classifier: keras.Model, front_end: FrontEnd, card: Card
) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(input_signature=[tf.TensorSpec([None, card.features.clip_length], name="waveform")])
    def scores(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        return {SCORES: tf.nn.softmax(classifier(front_end(waveform), training=False), name=SCORES)}

    return scores


def _stream_function(
    classifier: keras.Model, front_end: FrontEnd, card: Card
) -> tf.types.experimental.PolymorphicFunction:
    step = build_step(classifier)
    sizes = {"samples": card.step_length, "kept": card.kept_length}
    sizes |= {f"state_{i}": size for i, size in enumerate(card.states)}
    names = [name for name, size in sizes.items() if size]

    @tf.function(input_signature=[tf.TensorSpec([None, sizes[name]], name=name) for name in names], autograph=False)
    def stream(samples: tf.Tensor, *others: tf.Tensor) -> dict[str, tf.Tensor]:
        kept, states = others[: len(others) - len(card.states)], others[len(others) - len(card.states) :]
        window = tf.concat([*kept, samples], axis=1)
        logits, *new_states = step([front_end.few(window, card.model.stack), *states])
        new_kept = {"new_kept": window[:, card.step_length :]} if kept else {}
        return {
            SCORES: tf.nn.softmax(logits),
            **new_kept,
            **{f"new_state_{i}": state for i, state in enumerate(new_states)},
        }

    return stream
