from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from speech_rnn.data.conditions import CONDITIONS, under_condition
from speech_rnn.data.level import active_rms
from speech_rnn.data.noise import NoiseBank
from tests.spoken import spoken

RATE = 16_000
N = 12
NOISE = NoiseBank([], RATE)


@pytest.fixture(scope="module")
def clips() -> NDArray[np.float32]:
    """Words of the corpus, one a clip, in the middle of it."""
    sound = spoken(["yes", "no", "left", "stop"] * 3, lead_s=0.0)
    return np.stack([sound[start : start + RATE] for start in range(0, len(sound), 2 * RATE)])


def heard(name: str, clips: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    return under_condition(name, clips, np.arange(len(clips)), NOISE, RATE, seed=seed)


def level_db(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.mean(np.square(sound, dtype=np.float64), axis=-1)))


def power_above(sound: NDArray[np.float32], frequency: float) -> float:
    frequencies, power = scipy.signal.welch(sound.ravel(), RATE, nperseg=512)
    return float(power[frequencies >= frequency].sum())


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_drawn_by_clip_and_seed_and_gives_sound_of_sixteen_bits(
    name: str, clips: NDArray[np.float32]
) -> None:
    original = clips.copy()

    bent = heard(name, clips)

    np.testing.assert_array_equal(clips, original)
    np.testing.assert_array_equal(under_condition(name, clips[5:6], np.array([5]), NOISE, RATE)[0], bent[5])
    assert (bent != heard(name, clips, seed=1)).any()
    assert all((one != clip).any() for one, clip in zip(bent, clips, strict=True))
    assert np.abs(bent).max() <= 1.0
    np.testing.assert_array_equal(np.round(bent * 32_768), bent * 32_768)


@pytest.mark.parametrize("name", CONDITIONS)
def test_digital_silence_stays_finite(name: str) -> None:
    assert np.isfinite(heard(name, np.zeros((2, RATE), np.float32))).all()


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("rate", [4_000, 8_000, 44_100])
def test_every_rate_of_a_model_has_every_condition(name: str, rate: int) -> None:
    sound = np.random.default_rng(0).normal(0, 0.05, (6, rate)).astype(np.float32)

    bent = under_condition(name, sound, np.arange(6), NoiseBank([], rate), rate)

    assert bent.shape == sound.shape
    assert (np.abs(bent - sound).max(axis=1) > 1e-3).all()


def test_soft_is_20_to_30_db_softer(clips: NDArray[np.float32]) -> None:
    lost = level_db(clips) - level_db(heard("soft", clips))

    assert ((lost > 19.5) & (lost < 30.5)).all()


def test_clipped_peaks_are_at_full_scale(clips: NDArray[np.float32]) -> None:
    bent = heard("clipped", clips)

    assert ((np.abs(bent) >= 32_767 / 32_768).sum(axis=1) >= 2).all()


def test_noise_is_at_most_5_db_over_or_under_the_word(clips: NDArray[np.float32]) -> None:
    quiet = 0.1 * clips  # no sum reaches full scale
    snr_db = [
        20 * np.log10(active_rms(clip)) - float(level_db(bent - clip))
        for clip, bent in zip(quiet, heard("noisy", quiet), strict=True)
    ]

    assert min(snr_db) > -5.3
    assert max(snr_db) < 5.3
    assert np.ptp(snr_db) > 2


def test_a_word_off_the_middle_is_a_fifth_to_three_tenths_of_the_clip_away(clips: NDArray[np.float32]) -> None:
    lags = []
    for clip, bent in zip(clips, heard("off the middle", clips), strict=True):
        likeness = scipy.signal.correlate(bent, clip)
        lags.append((int(np.argmax(likeness)) - (len(clip) - 1)) / len(clip))

    assert all(0.19 < abs(lag) < 0.31 for lag in lags)
    assert min(lags) < 0 < max(lags)


def test_of_a_cut_word_a_tenth_is_missing_at_one_end(clips: NDArray[np.float32]) -> None:
    for clip, bent in zip(clips, heard("cut", clips), strict=True):
        energy = np.cumsum(np.square(clip, dtype=np.float64))
        begin, end = np.searchsorted(energy, [0.005 * energy[-1], 0.995 * energy[-1]])
        gone = bent == 0.0
        assert gone[: begin + (end - begin) // 11].all() != gone[end - (end - begin) // 11 :].all()
        middle = slice(int(begin + 0.15 * (end - begin)), int(end - 0.15 * (end - begin)))
        np.testing.assert_allclose(bent[middle], clip[middle], atol=1 / 32_768)


def test_another_microphone_is_as_loud_and_carries_less(clips: NDArray[np.float32]) -> None:
    bent = heard("microphone", 0.3 * clips)

    np.testing.assert_allclose(level_db(bent), level_db(0.3 * clips), atol=0.5)
    assert power_above(bent, 6_000) < 0.5 * power_above(0.3 * clips, 6_000)


def test_a_codec_leaves_the_word_where_it_was(clips: NDArray[np.float32]) -> None:
    bent = heard("codec", np.concatenate([clips] * 3))

    for clip, one in zip(np.concatenate([clips] * 3), bent, strict=True):
        likeness = scipy.signal.correlate(one, clip)
        assert abs(int(np.argmax(likeness)) - (len(clip) - 1)) <= 16
        assert likeness.max() > 0.5 * float(clip.dot(clip))


def test_an_echo_is_as_loud_and_goes_on_after_the_sound() -> None:
    early = np.zeros((N, RATE), np.float32)
    early[:, : RATE // 2] = np.random.default_rng(0).normal(0, 0.05, (N, RATE // 2))
    bent = heard("echo", early)

    np.testing.assert_allclose(level_db(bent), level_db(early), atol=0.5)
    assert (np.abs(bent[:, RATE // 2 : RATE // 2 + RATE // 20]).max(axis=1) > 1e-3).all()
