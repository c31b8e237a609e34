"""Sounds for front ends of any settings; float32 [sounds, clip_length]."""

from __future__ import annotations

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings


def real_sounds(settings: FeatureSettings, level_db: float, seed: int) -> NDArray[np.float32]:
    """A vowel in a quiet room, noise, silence. Peaks at about ``level_db`` re full scale."""
    rng = np.random.default_rng(seed)
    vowel = rng.normal(0, 1e-4, settings.clip_length)
    period = max(2, round(settings.sample_rate / rng.uniform(90, 250)))
    pulses = np.zeros(settings.clip_length)
    pulses[rng.integers(period) :: period] = 1.0
    for formant_hz in (rng.uniform(300, 800), rng.uniform(900, 1_900)):
        radius = np.exp(-np.pi * 80 / settings.sample_rate)
        angle = 2 * np.pi * formant_hz / settings.sample_rate
        pulses = scipy.signal.lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], pulses)
    vowel += pulses / max(np.abs(pulses).max(), 1e-9)
    noise = rng.uniform(-1, 1, settings.clip_length)
    return _at_level([vowel, noise, np.zeros(settings.clip_length)], level_db)


def clean_sounds(settings: FeatureSettings, level_db: float, seed: int) -> NDArray[np.float32]:
    """A tone, a chirp from 0 Hz to half the rate, a click and an offset, as no recording has them."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(settings.clip_length) / settings.sample_rate
    tone = np.sin(2 * np.pi * rng.uniform(0.01, 0.49) * settings.sample_rate * seconds)
    chirp = np.sin(np.pi / 2 * settings.sample_rate * seconds**2 / seconds[-1])
    click = np.eye(1, settings.clip_length, int(rng.integers(settings.clip_length)))[0]
    return _at_level([tone, chirp, click, np.ones(settings.clip_length)], level_db)


def _at_level(sounds: list[NDArray[np.float64]], level_db: float) -> NDArray[np.float32]:
    return (np.stack(sounds) * 10 ** (level_db / 20)).astype(np.float32)
