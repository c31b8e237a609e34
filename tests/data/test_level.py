"""The level of speech against RMS and means by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.data.level import active_power, active_rms


def test_the_level_of_a_short_word_is_that_of_its_active_part() -> None:
    word = np.random.default_rng(0).standard_normal(3_200, dtype=np.float32) * np.float32(0.1)
    clip = np.zeros(16_000, np.float32)
    clip[6_400:9_600] = word

    assert active_rms(clip) == pytest.approx(float(np.sqrt(np.mean(np.square(word, dtype=np.float64)))), rel=1e-4)


def test_a_pause_is_what_is_more_than_twenty_decibels_under_the_loudest() -> None:
    def level(quieter_db: float) -> float:
        sine = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
        sine[8_000:] *= np.float32(10 ** (-quieter_db / 20))
        return active_rms(sine)

    assert level(20.1) == pytest.approx(np.sqrt(0.5), rel=1e-4)
    assert level(19.9) == pytest.approx(np.sqrt(0.5 * (1 + 10**-1.99) / 2), rel=1e-4)
    assert active_rms(np.zeros(16_000, np.float32)) == 0.0
    assert active_rms(np.full(7, 0.5, np.float32)) == pytest.approx(0.5)


def test_active_power_is_the_mean_over_the_active_frames_of_each_clip() -> None:
    frames = np.array([[1.0, 3.0, 0.029], [0.031, 3.0, 1.0], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]], np.float32)

    power = active_power(frames)

    assert power.dtype == np.float32
    assert power == pytest.approx([4.0 / 2, 4.031 / 3, 0.0, 5.0])


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=100), st.floats(0.125, 1e6, width=32))
def test_active_power_is_between_mean_and_maximum_and_grows_with_the_frames(powers: list[float], times: float) -> None:
    frames = np.array([powers], np.float32)

    (power,) = active_power(frames)

    assert frames.mean() * 0.999 <= power <= frames.max() * 1.001
    assert active_power(frames * np.float32(times))[0] == pytest.approx(power * times, rel=0.1, abs=1e-30)
