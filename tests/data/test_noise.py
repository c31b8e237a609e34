"""Background noise: level, parts, and what stands in for recordings."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.data.clips import PARTS, Part
from speech_rnn.data.noise import NoiseBank, generated_noises


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def white(length: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-3_000, 3_000, length).astype(np.int16)


def slope_db_per_octave(noise: NDArray[np.int16], sample_rate: int) -> float:
    power = np.square(np.abs(np.fft.rfft(noise.astype(np.float64))))
    hz = np.fft.rfftfreq(len(noise), 1 / sample_rate)
    octaves = [power[(hz >= low) & (hz < 2 * low)].mean() for low in (100, 200, 400, 800, 1_600)]
    return float(np.polyfit(np.arange(5), 10 * np.log10(octaves), 1)[0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40_000), st.sampled_from(PARTS))
def test_a_stretch_has_the_length_asked_for_and_unit_rms(seed: int, length: int, part: Part) -> None:
    bank = NoiseBank([white(30_000), white(100_000, seed=1)], 16_000)

    noise = bank.draw(np.random.default_rng(seed), length, part)

    assert noise.shape == (length,)
    assert noise.dtype == np.float32
    if length > 1:
        assert rms(noise) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("part", "begin", "end"), [("training", 0, 8_000), ("validation", 8_000, 9_000), ("testing", 9_000, 10_000)]
)
def test_a_part_hears_only_its_own_stretch_of_a_recording(part: Part, begin: int, end: int) -> None:
    recording = white(10_000)
    bank = NoiseBank([recording], 16_000)
    windows = np.lib.stride_tricks.sliding_window_view(recording[begin:end].astype(np.float32), 50)
    windows = windows - windows.mean(axis=1, keepdims=True)
    windows /= np.sqrt(np.mean(np.square(windows), axis=1, keepdims=True))

    recorded = 0
    for seed in range(100):
        noise = bank.draw(np.random.default_rng(seed), 50, part)
        recorded += np.abs(windows - noise).max(axis=1).min() < 1e-3

    if part == "training":
        assert 60 <= recorded <= 90, "a quarter is generated, so that six recordings don't stand for all noise"
    else:
        assert recorded == 100


@pytest.mark.parametrize(("part", "begin", "end"), [("training", 0, 8), ("validation", 8, 9), ("testing", 9, 10)])
def test_the_shares_of_a_part_are_its_tenths_of_every_recording_and_generated_noise(
    part: Part, begin: int, end: int
) -> None:
    recordings = [white(10_000), white(20, seed=1), white(9, seed=2)]

    recorded, generated = NoiseBank(recordings, 8_000).shares(part)

    for found, whole in zip(recorded, recordings[:2], strict=True):
        np.testing.assert_array_equal(found, whole[len(whole) * begin // 10 : len(whole) * end // 10])
    for found, whole in zip(generated, generated_noises(8_000), strict=True):
        np.testing.assert_array_equal(found, whole[len(whole) * begin // 10 : len(whole) * end // 10])


def test_every_recording_is_used() -> None:
    periods = ([1_000, -1_000], [1_000, 1_000, -1_000, -1_000])
    bank = NoiseBank([np.tile(np.array(period, dtype=np.int16), 5_000) for period in periods], 16_000)

    changes = {int(np.sum(np.diff(bank.draw(np.random.default_rng(n), 100, "training")) != 0)) for n in range(30)}

    assert 99 in changes
    assert changes & {49, 50}


@pytest.mark.parametrize("part", PARTS)
def test_digital_silence_is_replaced_by_generated_noise(part: Part) -> None:
    bank = NoiseBank([np.full(100_000, 12, dtype=np.int16)], 16_000)

    noise = bank.draw(np.random.default_rng(0), 16_000, part)

    assert rms(noise) == pytest.approx(1.0, abs=1e-4)
    assert len(np.unique(noise)) > 100


def test_without_recordings_the_noise_is_generated() -> None:
    bank = NoiseBank([np.zeros(3, dtype=np.int16)], 8_000)

    noises = [bank.draw(np.random.default_rng(n), 8_000, "training") for n in range(20)]

    assert all(rms(noise) == pytest.approx(1.0, abs=1e-4) for noise in noises)


@pytest.mark.parametrize(("kind", "slope"), [(0, 0.0), (1, -3.01), (2, -6.02)])
def test_white_pink_and_brown_fall_by_0_3_and_6_db_an_octave(kind: int, slope: float) -> None:
    noise = generated_noises(16_000)[kind]

    assert slope_db_per_octave(noise, 16_000) == pytest.approx(slope, abs=0.2)
    assert np.abs(noise.astype(np.int32)).max() < 32_767


@pytest.mark.parametrize(("kind", "mains_hz"), [(3, 50), (4, 60)])
def test_hum_is_loudest_at_the_mains_frequency(kind: int, mains_hz: int) -> None:
    second = generated_noises(16_000)[kind][:16_000].astype(np.float64)

    assert np.argmax(np.abs(np.fft.rfft(second))) == mains_hz


def test_silence_has_a_level_uniform_in_db() -> None:
    bank = NoiseBank([white(100_000)], 16_000)

    levels = [
        20 * np.log10(rms(bank.silence(np.random.default_rng(n), 4_000, "training", -90.0, -10.0))) for n in range(400)
    ]

    assert min(levels) > -90.1
    assert max(levels) < -9.9
    assert np.mean(levels) == pytest.approx(-50.0, abs=4.0)
    assert np.std(levels) == pytest.approx(80.0 / np.sqrt(12.0), abs=2.0)


def test_silence_at_full_scale_is_clipped_like_a_microphone() -> None:
    bank = NoiseBank([], 16_000)

    noise = bank.silence(np.random.default_rng(0), 16_000, "testing", 0.0, 0.0)

    assert np.abs(noise).max() <= 1.0


def test_the_same_draws_give_the_same_noise_also_after_pickling() -> None:
    bank = NoiseBank([white(50_000)], 16_000)
    copy = pickle.loads(pickle.dumps(bank))

    first = bank.draw(np.random.default_rng(7), 16_000, "training")

    assert np.array_equal(first, bank.draw(np.random.default_rng(7), 16_000, "training"))
    assert np.array_equal(first, copy.draw(np.random.default_rng(7), 16_000, "training"))
    assert not np.array_equal(first, bank.draw(np.random.default_rng(8), 16_000, "training"))


def test_what_is_drawn_can_be_changed_without_changing_the_recording() -> None:
    recording = white(20_000)
    before = recording.copy()
    bank = NoiseBank([recording], 16_000)

    noise = bank.draw(np.random.default_rng(0), 16_000, "training")
    noise *= 0

    assert np.array_equal(recording, before)
