"""Speed change against sines whose frequency is known, and against soxr."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.data.speed import NORMAL_SPEED, Speed, change_speed, speed_near


def sine(hz: float, length: int = 16_000, amplitude: float = 0.5) -> NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(length) / 16_000)).astype(np.float32)


@given(st.integers(670, 1_490), st.floats(100.0, 4_000.0))
def test_the_frequency_of_a_sine_changes_by_the_factor(thousandths: int, hz: float) -> None:
    speed = speed_near(thousandths)

    changed = change_speed(sine(hz), speed)

    expected = sine(hz * speed.factor, len(changed))
    assert np.abs(changed - expected)[50:-50].max() < 0.005


@given(st.integers(510, 1_990), st.integers(1, 3_000))
def test_the_length_changes_by_the_factor(thousandths: int, length: int) -> None:
    speed = speed_near(thousandths)

    changed = change_speed(np.ones(length, dtype=np.float32), speed)

    assert changed.shape == (-(-length * speed.given // speed.taken),)
    assert changed.dtype == np.float32
    assert changed[40:-40] == pytest.approx(1.0, abs=1e-5)


def test_what_would_fold_over_is_filtered_off() -> None:
    faster = Speed(9, 8)

    tone = change_speed(sine(7_900), faster)

    assert 20 * np.log10(np.abs(tone[100:-100]).max() / 0.5) < -30


@pytest.mark.parametrize("speed", [Speed(9, 10), Speed(47, 42)])
def test_speech_band_noise_comes_out_as_from_soxr(speed: Speed) -> None:
    rng = np.random.default_rng(0)
    band = soxr.resample(soxr.resample(rng.standard_normal(16_000) * 0.1, 16_000, 11_000), 11_000, 16_000)
    band = band[:16_000].astype(np.float32)

    changed = change_speed(band, speed)

    reference = soxr.resample(band, 16_000.0 * speed.factor, 16_000.0, quality="VHQ")
    n = min(len(changed), len(reference)) - 200
    error = np.abs(changed - reference[: len(changed)])[200:n]
    assert np.sqrt(np.mean(np.square(error))) < 0.01 * np.sqrt(np.mean(np.square(band)))


def test_a_speed_is_within_one_step_of_the_wanted_one() -> None:
    for thousandths in range(700, 1_400):
        assert speed_near(thousandths).factor == pytest.approx(thousandths / 1_000, abs=1 / 50)
    assert speed_near(1_000) == NORMAL_SPEED
    assert speed_near(1_006) == NORMAL_SPEED
    assert speed_near(1_006, most_given=200).factor == pytest.approx(1.006, abs=1e-4)
