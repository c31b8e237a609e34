from __future__ import annotations

import hypothesis
import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.errors import AudioError
from speech_rnn.features import log_mel, mfcc, mfcc_from_log_mel
from tests.librosa_features import librosa_mfcc
from tests.sounds import clean_sounds, real_sounds
from tests.strategies import feature_settings

SETTINGS = FeatureSettings()
SMALL = FeatureSettings(clip_length=4_000, n_mels=20, n_mfcc=13, win_length=400)


def noise(clips: int, length: int, seed: int = 0) -> NDArray[np.float32]:
    levels = np.geomspace(1e-4, 0.3, clips)[:, np.newaxis]
    return (np.random.default_rng(seed).standard_normal((clips, length)) * levels).astype(np.float32)


@pytest.mark.parametrize("settings", [SETTINGS, SMALL], ids=["usual", "small"])
def test_a_batch_equals_librosa_clip_by_clip(settings: FeatureSettings) -> None:
    samples = noise(70, settings.clip_length)

    expected = np.stack([librosa_mfcc(clip, settings) for clip in samples])

    result = mfcc(samples, settings)
    assert result.dtype == np.float32 and result.shape == (70, settings.n_frames, settings.n_mfcc)
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize("power_floor", [1e-10, 1e-8, 1e-6])
def test_clean_loud_sound_equals_librosa_down_to_any_floor(power_floor: float) -> None:
    settings = FeatureSettings(power_floor=power_floor)
    time = np.arange(16_000) / 16_000
    tones = [level * np.sin(2 * np.pi * hz * time) for hz in (100, 437, 3_000) for level in (1e-3, 0.1, 1.0)]
    chirp = np.sin(2 * np.pi * (100 * time + 3_500 * time**2))
    burst = np.where(time % 0.2 < 0.1, tones[2], 0.0)
    samples = np.stack([*tones, chirp, burst, np.full(16_000, 0.5), np.eye(1, 16_000, 5_000)[0]]).astype(np.float32)

    expected = np.stack([librosa_mfcc(clip, settings) for clip in samples])

    np.testing.assert_allclose(mfcc(samples, settings), expected, atol=1e-3)


@hypothesis.settings(max_examples=25)
@given(
    front_end=feature_settings(max_n_fft=2_048), level_db=st.sampled_from([-60.0, -30.0, 0.0]), seed=st.integers(0, 9)
)
def test_every_legal_setting_equals_librosa_on_real_and_on_clean_sounds(
    front_end: FeatureSettings, level_db: float, seed: int
) -> None:
    samples = np.concatenate([real_sounds(front_end, level_db, seed), clean_sounds(front_end, level_db, seed)])

    expected = np.stack([librosa_mfcc(clip, front_end) for clip in samples])

    np.testing.assert_allclose(mfcc(samples, front_end), expected, atol=1e-3)


@pytest.mark.parametrize("settings", [SETTINGS, SMALL], ids=["usual", "small"])
def test_a_clip_gives_the_same_bits_in_any_company(settings: FeatureSettings) -> None:
    samples = noise(20, settings.clip_length)
    samples[3] = np.sin(np.arange(settings.clip_length))

    together = mfcc(samples, settings)

    np.testing.assert_array_equal(np.concatenate([mfcc(clip[np.newaxis], settings) for clip in samples]), together)
    np.testing.assert_array_equal(mfcc(samples[::-1], settings)[::-1], together)


def test_log_mel_of_a_tone_is_the_formula_in_float64() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(SETTINGS.clip_length) / 16_000)
    window = np.zeros(512)
    window[16:496] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    spectrum = np.fft.rfft(tone[160 * 3 : 160 * 3 + 512] * window)
    bands = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=20.0, fmax=7_600.0, dtype=np.float64)
    expected = 10 * np.log10(np.maximum(bands @ np.abs(spectrum) ** 2, 1e-8))

    result = log_mel(tone[np.newaxis].astype(np.float32), SETTINGS)[0, 3]

    np.testing.assert_allclose(result, expected, atol=1e-2)


def test_mfcc_is_the_orthonormal_cosine_transform_of_log_mel() -> None:
    samples = noise(2, SMALL.clip_length)
    decibels = log_mel(samples, SMALL)
    n = np.arange(20)
    matrix = np.sqrt(2 / 20) * np.cos(np.pi / 20 * (n[:, np.newaxis] + 0.5) * np.arange(13))
    matrix[:, 0] = np.sqrt(1 / 20)

    expected = decibels @ matrix

    np.testing.assert_allclose(mfcc_from_log_mel(decibels, SMALL), expected, atol=1e-3)
    np.testing.assert_allclose(mfcc(samples, SMALL), expected, atol=1e-3)


def test_a_frame_depends_on_its_own_samples_only() -> None:
    loud = noise(1, SETTINGS.clip_length)
    loud[0, 8_000:] = 0.9

    alone = mfcc(loud[:, 1_600 : 1_600 + 512], SETTINGS)

    np.testing.assert_allclose(mfcc(loud, SETTINGS)[:, 10:11], alone, atol=1e-3)


def test_silence_lies_on_the_floor() -> None:
    silence = np.zeros((2, 16_000), np.float32)

    np.testing.assert_allclose(log_mel(silence, SETTINGS), -80.0, atol=1e-4)
    np.testing.assert_allclose(mfcc(silence, SETTINGS)[..., 0], -80.0 * np.sqrt(40), atol=1e-3)


def test_any_length_from_one_frame_up_and_no_clips_at_all() -> None:
    assert mfcc(noise(3, 512), SETTINGS).shape == (3, 1, 40)
    assert mfcc(noise(1, 40_000), SETTINGS).shape == (1, 247, 40)
    np.testing.assert_allclose(
        mfcc(noise(1, 200_000), SETTINGS)[0], librosa_mfcc(noise(1, 200_000)[0], SETTINGS), atol=1e-3
    )
    assert mfcc(np.zeros((0, 16_000), np.float32), SETTINGS).shape == (0, 97, 40)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 32_767.0])
def test_what_is_not_sound_is_refused(value: float) -> None:
    samples = noise(3, 16_000)
    samples[1, 77] = value

    with pytest.raises(AudioError, match=f"sample {value} must be"):
        mfcc(samples, SETTINGS)


def test_wrong_shapes_and_types_are_refused() -> None:
    with pytest.raises(AudioError, match="511 samples must be at least one frame, n_fft=512"):
        mfcc(noise(2, 511), SETTINGS)
    with pytest.raises(AudioError, match="int16 must be float32"):
        mfcc(np.zeros((2, 16_000), np.int16), SETTINGS)
    with pytest.raises(AudioError, match=r"shape \(16000,\) must be \[clips, samples\]"):
        mfcc(np.zeros(16_000, np.float32), SETTINGS)
    with pytest.raises(AudioError, match=r"must be \[clips, frames, 40\]"):
        mfcc_from_log_mel(np.zeros((1, 97, 13), np.float32), SETTINGS)
