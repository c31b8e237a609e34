"""Fixed sounds that every model file is run on before it ships, and what Keras says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import fit, read_audio
from speech_rnn.card import Agreement, Card
from speech_rnn.config import FeatureSettings
from speech_rnn.errors import ModelError
from speech_rnn.features import mfcc
from speech_rnn.stream_model import StreamForm
from speech_rnn.tflite_file import SCORES

Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # float32 [clips, clip_length] -> float32 [clips, labels]
Call = Callable[..., Mapping[str, Any]]

# A word said by espeak-ng, in the faint noise of a quiet room: "seven", 22,050 Hz.
_SPEECH = Path(__file__).with_name("probe.flac")

BOUND = 1e-4
# Of a score, by the precision of the classifier. In eight bits the worst of 4,443 real clips was off by 0.09 (dynamic)
# and 0.19 (int8) where two labels were equally likely, and the accuracy was the same within 0.2 points; of eleven
# trained models the worst probe was off by 0.03 and 0.06.
BOUNDS: Mapping[StreamForm, float] = {"float32": BOUND, "float16": 5e-3, "dynamic": 0.15, "int8": 0.2}
# Beside a clean tone all bands lie at the rounding noise of a float32 FFT, and the logarithm magnifies it: librosa,
# TensorFlow and TFLite differ there by up to 3e-2 in an MFCC. No recording is so clean.
CHIRP = "chirp"
CHIRP_BOUND = 1e-2
# No training clip, so none for calibration, is a clean tone either: eight bits are held to less there.
CHIRP_BOUND_8_BITS = 0.5


def make_probes(settings: FeatureSettings) -> dict[str, NDArray[np.float32]]:
    """The sounds: name -> float32 [clip_length] at ``settings.sample_rate``; the same in every run."""
    length, rate = settings.clip_length, settings.sample_rate
    rng = np.random.Generator(np.random.Philox(0))
    seconds = np.arange(length) / rate
    # From 0 Hz to half the rate within the clip: every band is met by a clean tone.
    chirp = 0.5 * np.sin(2 * np.pi * (rate / 4) * seconds**2 / (length / rate))
    return {
        "speech": fit(read_audio(_SPEECH, rate), length),
        "noise": rng.normal(0.0, 0.05, length).astype(np.float32),
        "silence": np.zeros(length, np.float32),
        CHIRP: chirp.astype(np.float32),
    }


def keras_scores(classifier: keras.Model, settings: FeatureSettings, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a file must say: the Keras classifier on librosa's features.

    Args:
        classifier: MFCC float32 [batch, frames, n_mfcc] -> logits float32 [batch, labels].
        settings: the front end.
        clips: float32 [clips, clip_length].

    Returns:
        float32 [clips, labels], softmax.
    """
    logits = np.asarray(classifier(mfcc(clips, settings), training=False), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores


def stepwise_scores(call: Call, card: Card, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clips through a stream form, a step after the other, as an app does it.

    Args:
        call: the form: its inputs by name, float32 [clips, size] -> its outputs by name.
        card: of the model.
        clips: float32 [clips, clip_length].

    Returns:
        float32 [clips, labels], the scores after the last step.
    """
    inputs = {f"state_{i}": np.zeros((len(clips), size), np.float32) for i, size in enumerate(card.states)}
    if card.kept_length:
        inputs["kept"] = clips[:, : card.kept_length]
    for step in range(card.n_steps):
        start = card.kept_length + step * card.step_length
        outputs = call(samples=clips[:, start : start + card.step_length], **inputs)
        inputs = {name: np.asarray(outputs[f"new_{name}"]) for name in inputs}
    return np.asarray(outputs[SCORES])


def check(
    what: str,
    scores: Scores,
    probes: Mapping[str, NDArray[np.float32]],
    expected: NDArray[np.float32],
    bound: float = BOUND,
) -> dict[str, Agreement]:
    """Hold a file's scores to the expected ones.

    Args:
        what: the file's name, for the error.
        scores: runs the file.
        probes: probe -> float32 [clip_length].
        expected: float32 [probes, labels], in the order of ``probes``.
        bound: what a score may differ by; beside a clean tone :data:`CHIRP_BOUND`, or in eight bits
            :data:`CHIRP_BOUND_8_BITS`.

    Returns:
        Probe -> agreement, each within its bound.

    Raises:
        ModelError: a difference is beyond its bound, or not a number.
    """
    errors = np.abs(scores(np.stack(list(probes.values()))) - expected).max(axis=1)
    agreements = {}
    for name, error in zip(probes, errors.tolist(), strict=True):
        allowed = bound if name != CHIRP else CHIRP_BOUND if bound < CHIRP_BOUND else CHIRP_BOUND_8_BITS
        if not error <= allowed:
            raise ModelError(
                f"{what} is not shipped: on the probe {name!r} a score is {error:.2g} off Keras, and {allowed:g} "
                "is allowed; train again, or report this with the run's run.json"
            )
        agreements[name] = Agreement(error=error, bound=allowed)
    return agreements
