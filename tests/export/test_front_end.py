from __future__ import annotations

from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.audio import fit, read_audio
from speech_rnn.config import FeatureSettings
from speech_rnn.export.front_end import FrontEnd
from speech_rnn.quiet import quiet
from tests.sounds import clean_sounds, real_sounds
from tests.strategies import feature_settings

LEVELS_DB = [-60.0, -30.0, 0.0]
CONVERTED = {
    "usual": FeatureSettings(),
    "telephone, few coefficients": FeatureSettings(f_max=4_000.0, n_mels=32, n_mfcc=13, win_length=400, hop_length=320),
    "8 kHz, a hop that shares no factor with the window": FeatureSettings(
        sample_rate=8_000,
        clip_length=4_000,
        n_fft=256,
        win_length=201,
        hop_length=81,
        f_max=3_800.0,
        n_mels=20,
        n_mfcc=20,
    ),
    "one long frame, a high floor": FeatureSettings(
        clip_length=2_048, n_fft=2_048, win_length=2_048, hop_length=2_048, power_floor=1e-4
    ),
}


@hypothesis.settings(max_examples=25)
@given(
    settings=feature_settings(max_n_fft=2_048, max_frames=6),
    level_db=st.sampled_from(LEVELS_DB),
    seed=st.integers(0, 9),
)
def test_every_legal_setting_agrees_with_the_definition(settings: FeatureSettings, level_db: float, seed: int) -> None:
    real, clean = real_sounds(settings, level_db, seed), clean_sounds(settings, level_db, seed)

    exact = FrontEnd(settings, tf.float64)  # as in a SavedModel

    np.testing.assert_allclose(exact(real), features.mfcc(real, settings), atol=1e-3)
    np.testing.assert_allclose(exact(clean), features.mfcc(clean, settings), atol=1e-3)


def test_in_float32_a_clean_tone_agrees_within_a_hundredth() -> None:
    settings = FeatureSettings()
    samples = clean_sounds(settings, 0.0, 0)

    result = FrontEnd(settings)(samples)

    np.testing.assert_allclose(result, features.mfcc(samples, settings), atol=1e-2)


def test_any_number_of_clips_of_any_length_goes_through_one_function() -> None:
    settings = FeatureSettings()
    signature = [tf.TensorSpec([None, None], tf.float32)]
    front_end = tf.function(FrontEnd(settings).__call__, input_signature=signature)
    rng = np.random.default_rng(0)

    for shape in ((1, 512), (3, 671), (2, 20_000)):
        samples = rng.normal(0, 0.1, shape).astype(np.float32)

        np.testing.assert_allclose(front_end(samples), features.mfcc(samples, settings), atol=1e-3)


@pytest.mark.parametrize("settings", CONVERTED.values(), ids=CONVERTED.keys())
def test_the_tflite_file_agrees_in_builtin_operators_alone(settings: FeatureSettings) -> None:
    interpreter = converted(settings)

    for sounds, bound in ((real_sounds, 1e-3), (clean_sounds, 1e-2)):
        samples = np.concatenate([sounds(settings, level_db, 0) for level_db in LEVELS_DB])

        np.testing.assert_allclose(run(interpreter, samples), features.mfcc(samples, settings), atol=bound)


def test_true_recordings_agree_in_tensorflow_and_in_tflite(recordings: Path) -> None:
    settings = FeatureSettings()
    files = sorted((recordings / "speech_commands_original").glob("*/*.*"))[:: 10_000 // 20]
    samples = np.stack([fit(read_audio(file, settings.sample_rate), settings.clip_length) for file in files])

    expected = features.mfcc(samples, settings)

    np.testing.assert_allclose(FrontEnd(settings, tf.float64)(samples), expected, atol=1e-3)
    np.testing.assert_allclose(run(converted(settings), samples), expected, atol=1e-3)


def converted(settings: FeatureSettings) -> Interpreter:
    signature = [tf.TensorSpec([1, settings.clip_length], tf.float32)]
    function = tf.function(FrontEnd(settings).__call__, input_signature=signature).get_concrete_function()
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content = converter.convert()
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        # No delegate, whose loading prints a line.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Interpreter, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    results = []
    for clip in samples:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], clip[np.newaxis])
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(results)
