"""Augmentation against formulas, and its independence of batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.config import AugmentationSettings
from speech_rnn.data.augmentation import Bend, active_rms, augment, draw_bend, generators, mask, splice
from speech_rnn.data.noise import NoiseBank

OFF = AugmentationSettings.off()
BANK = NoiseBank([np.random.default_rng(5).integers(-2_000, 2_000, 200_000).astype(np.int16)], 16_000)


def bend(
    waveforms: NDArray[np.float32], keys: list[int], settings: AugmentationSettings, seed: int = 1, epoch: int = 0
) -> NDArray[np.float32]:
    key_array = np.array(keys, dtype=np.int64)
    return augment(waveforms, key_array, seed=seed, epoch=epoch, settings=settings, noise=BANK, sample_rate=16_000)


def drawn(key: int, settings: AugmentationSettings, seed: int = 1, epoch: int = 0) -> Bend:
    return draw_bend(next(generators(seed, "augmentation", epoch, np.array([key]))), settings, 16_000)


def noise_clips(n: int, level: float = 0.1, seed: int = 0, length: int = 16_000) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, length), dtype=np.float32) * np.float32(level)


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def test_with_everything_off_a_clip_stays_as_it_is() -> None:
    clips = np.clip(noise_clips(4, level=0.5), -1, 1)
    mels = noise_clips(2, length=400).reshape(2, 20, 20)

    assert np.array_equal(bend(clips, [1, 2, 3, 4], OFF), clips)
    assert np.array_equal(mask(mels, np.arange(2), seed=1, epoch=0, settings=OFF), mels)


def test_the_input_is_left_as_it_is() -> None:
    clips = noise_clips(8)
    mels = noise_clips(8, length=4_000).reshape(8, 100, 40)
    clips_before, mels_before = clips.copy(), mels.copy()

    bend(clips, list(range(8)), AugmentationSettings(room_probability=1.0))
    mask(mels, np.arange(8), seed=1, epoch=0, settings=AugmentationSettings())
    splice(clips[:4], clips[4:], np.arange(4), seed=1, epoch=0, sample_rate=16_000)

    assert np.array_equal(clips, clips_before)
    assert np.array_equal(mels, mels_before)


def test_shift_moves_by_the_drawn_samples_and_fills_with_zeros() -> None:
    settings = OFF.changed(shift_ms=100.0)
    clips = noise_clips(50)

    shifted = bend(clips, list(range(50)), settings)

    shifts = [drawn(key, settings).shift for key in range(50)]
    assert min(shifts) < -1_000
    assert max(shifts) > 1_000
    assert max(map(abs, shifts)) <= 1_600
    for before, after, shift in zip(clips, shifted, shifts, strict=True):
        expected = np.zeros_like(before)
        for sample in range(max(0, shift), min(16_000, 16_000 + shift)):
            expected[sample] = before[sample - shift]
        assert np.array_equal(after, expected)


def test_a_shift_longer_than_the_clip_leaves_silence() -> None:
    shifted = bend(noise_clips(100, length=400), list(range(100)), OFF.changed(shift_ms=1_000.0))

    assert (np.abs(shifted).max(axis=1) == 0).any()
    assert (np.abs(shifted).max(axis=1) > 0).any()


def test_speed_changes_the_frequency_of_a_sine_by_the_drawn_factor() -> None:
    settings = OFF.changed(speed_probability=1.0, speed_range=0.2)
    tone = (0.5 * np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)).astype(np.float32)

    changed = bend(np.tile(tone, (20, 1)), list(range(20)), settings)

    factors = [drawn(key, settings).speed.factor for key in range(20)]
    assert min(factors) < 0.9
    assert max(factors) > 1.1
    assert all(1 / 1.21 < factor < 1.21 for factor in factors)
    for after, factor in zip(changed, factors, strict=True):
        middle = after[4_000:12_000] * np.hanning(8_000)
        peak_hz = np.argmax(np.abs(np.fft.rfft(middle, 160_000))) / 10
        assert peak_hz == pytest.approx(1_000 * factor, abs=0.5)


def test_speed_keeps_the_middle_of_the_clip_in_the_middle() -> None:
    click = np.zeros((20, 16_000), dtype=np.float32)
    click[:, 8_000] = 1.0

    changed = bend(click, list(range(20)), OFF.changed(speed_probability=1.0, speed_range=0.4))

    assert np.abs(np.argmax(np.abs(changed), axis=1) - 8_000).max() <= 1


def test_a_small_range_of_speeds_still_has_several() -> None:
    settings = OFF.changed(speed_probability=1.0, speed_range=0.02)

    factors = {drawn(key, settings).speed.factor for key in range(100)}

    assert len(factors) > 5
    assert max(factors) <= 1.021


def test_gain_is_exact_and_clipped_at_full_scale() -> None:
    settings = OFF.changed(gain_probability=1.0, gain_low_db=-20.0, gain_high_db=20.0)
    clips = noise_clips(30)

    louder = bend(clips, list(range(30)), settings)

    for before, after, key in zip(clips, louder, range(30), strict=True):
        gain_db = drawn(key, settings).gain_db
        assert -20 <= gain_db <= 20
        assert after == pytest.approx(np.clip(before * 10 ** (gain_db / 20), -1, 1), abs=1e-6)
    assert np.abs(louder).max() == 1.0


def test_the_measured_snr_is_the_drawn_one() -> None:
    settings = OFF.changed(noise_probability=1.0, snr_low_db=-5.0, snr_high_db=25.0)
    clips = noise_clips(40, level=0.02)

    noisy = bend(clips, list(range(40)), settings)

    assert np.abs(noisy).max() < 1.0
    for before, after, key in zip(clips, noisy, range(40), strict=True):
        snr_db = drawn(key, settings).snr_db
        assert snr_db is not None
        assert -5 <= snr_db <= 25
        assert 20 * np.log10(rms(before) / rms(after - before)) == pytest.approx(snr_db, abs=0.1)


def test_the_snr_counts_from_the_gained_clip() -> None:
    settings = OFF.changed(noise_probability=1.0, gain_probability=1.0, gain_low_db=-30.0, gain_high_db=0.0)
    clips = noise_clips(10, level=0.02)

    noisy = bend(clips, list(range(10)), settings)

    for before, after, key in zip(clips, noisy, range(10), strict=True):
        drawn_bend = drawn(key, settings)
        gained = before * np.float32(10 ** (drawn_bend.gain_db / 20))
        assert 20 * np.log10(rms(gained) / rms(after - gained)) == pytest.approx(drawn_bend.snr_db, abs=0.1)


def test_the_level_of_a_short_word_is_that_of_its_active_part() -> None:
    clip = np.zeros(16_000, dtype=np.float32)
    clip[6_400:9_600] = noise_clips(1, length=3_200)[0]

    assert active_rms(clip) == pytest.approx(rms(clip[6_400:9_600]), rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e-7, 1e-4])
def test_noise_under_a_nearly_silent_clip_does_not_blow_up(level: float) -> None:
    settings = OFF.changed(noise_probability=1.0, gain_probability=1.0, room_probability=1.0, speed_probability=1.0)

    noisy = bend(noise_clips(20, level=level), list(range(20)), settings)

    assert np.isfinite(noisy).all()
    assert rms(noisy) <= 10 * level


def test_the_probabilities_are_met() -> None:
    bends = [drawn(key, AugmentationSettings()) for key in range(3_000)]

    assert np.mean([b.room is not None for b in bends]) == pytest.approx(0.1, abs=0.02)
    assert np.mean([b.snr_db is not None for b in bends]) == pytest.approx(0.6, abs=0.03)
    assert np.mean([b.gain_db != 0 for b in bends]) == pytest.approx(0.8, abs=0.03)
    assert np.mean([b.speed.factor != 1 for b in bends]) == pytest.approx(0.5 * 0.9, abs=0.06)


def test_switching_one_kind_off_leaves_the_draws_of_the_others() -> None:
    for key in range(50):
        everything = drawn(key, AugmentationSettings())
        without_speed = drawn(key, AugmentationSettings(speed_probability=0.0))
        assert everything._replace(speed=without_speed.speed) == without_speed


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.integers(0, 100), st.data())
def test_a_row_does_not_depend_on_the_rest_of_the_batch(
    keys: list[int], seed: int, epoch: int, data: st.DataObject
) -> None:
    settings = AugmentationSettings(room_probability=0.5)
    order = data.draw(st.permutations(range(len(keys))))
    clips = np.stack([noise_clips(1, seed=key, length=4_000)[0] for key in keys])
    mels = clips.reshape(len(keys), 100, 40)
    together = bend(clips, keys, settings, seed, epoch)
    masked = mask(mels, np.array(keys), seed=seed, epoch=epoch, settings=settings)
    spliced = splice(clips, clips[:, ::-1], np.array(keys), seed=seed, epoch=epoch, sample_rate=16_000)

    reordered = bend(clips[order], [keys[n] for n in order], settings, seed, epoch)
    assert np.array_equal(reordered, together[order])
    for n, key in enumerate(keys):
        one = np.array([key])
        assert np.array_equal(bend(clips[n : n + 1], [key], settings, seed, epoch)[0], together[n])
        assert np.array_equal(mask(mels[n : n + 1], one, seed=seed, epoch=epoch, settings=settings)[0], masked[n])
        alone = splice(clips[n : n + 1], clips[n : n + 1, ::-1], one, seed=seed, epoch=epoch, sample_rate=16_000)
        assert np.array_equal(alone[0], spliced[n])


def test_the_generator_of_a_key_does_not_depend_on_the_draws_before() -> None:
    keys = np.array([3, 2**62, -1, 3])
    draws = []
    for n, rng in enumerate(generators(1, "test", 0, keys)):
        draws.append(rng.random(4))
        rng.integers(10, size=n, dtype=np.uint32)

    assert np.array_equal(draws[0], draws[3])
    assert len({draw for four in draws[:3] for draw in four.tolist()}) == 12


def test_every_epoch_seed_and_key_bends_another_way() -> None:
    clips = np.repeat(noise_clips(1), 2, axis=0)
    first = bend(clips, [1, 2], AugmentationSettings())

    assert np.array_equal(first, bend(clips, [1, 2], AugmentationSettings()))
    assert not np.array_equal(first, bend(clips, [1, 2], AugmentationSettings(), epoch=1))
    assert not np.array_equal(first, bend(clips, [1, 2], AugmentationSettings(), seed=2))
    assert not np.array_equal(first[0], first[1])


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 2.0), st.integers(1_000, 20_000))
def test_no_sample_is_ever_outside_full_scale(seed: int, level: float, length: int) -> None:
    settings = AugmentationSettings(room_probability=0.5, gain_high_db=40.0, snr_low_db=-30.0)

    bent = bend(noise_clips(3, level=level, length=length), [0, 1, 2], settings, seed)

    assert bent.shape == (3, length)
    assert bent.dtype == np.float32
    assert np.abs(bent).max() <= 1.0


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 30), st.integers(0, 4), st.integers(0, 50))
def test_masks_stay_within_their_limits_and_hold_the_mean(
    seed: int, time_masks: int, frames: int, frequency_masks: int, mels: int
) -> None:
    settings = AugmentationSettings(
        time_masks=time_masks, time_mask_frames=frames, frequency_masks=frequency_masks, frequency_mask_mels=mels
    )
    log_mel = np.random.default_rng(seed).standard_normal((3, 60, 40), dtype=np.float32)

    masked = mask(log_mel, np.arange(3), seed=seed, epoch=0, settings=settings)

    assert masked.dtype == np.float32
    for before, after in zip(log_mel, masked, strict=True):
        changed = after != before
        assert changed.all(axis=1).sum() <= min(60, time_masks * frames) or changed.all()
        assert changed.all(axis=0).sum() <= min(40, frequency_masks * mels) or changed.all()
        whole_rows, whole_columns = changed.all(axis=1), changed.all(axis=0)
        assert np.array_equal(changed, whole_rows[:, np.newaxis] | whole_columns)
        assert after[changed] == pytest.approx(before.mean(), abs=1e-5)


def test_masks_reach_their_limits_and_every_place() -> None:
    settings = AugmentationSettings(time_masks=1, time_mask_frames=10, frequency_masks=0)
    log_mel = np.random.default_rng(0).standard_normal((2_000, 50, 4), dtype=np.float32)

    masked = mask(log_mel, np.arange(2_000), seed=1, epoch=0, settings=settings)

    hidden = (masked != log_mel).all(axis=2)
    widths = np.bincount(hidden.sum(axis=1), minlength=11)
    assert len(widths) == 11
    assert widths.min() > 2_000 / 11 * 0.7
    assert hidden.any(axis=0).all()


def test_a_splice_is_the_beginning_of_one_word_and_the_end_of_the_other() -> None:
    time = np.arange(16_000) / 16_000
    words = np.zeros((2, 16_000), dtype=np.float32)
    words[0, 9_000:13_000] = 0.2 * np.sin(2 * np.pi * 500 * time[9_000:13_000])
    words[1, 1_000:7_000] = 0.05 * np.sin(2 * np.pi * 2_000 * time[1_000:7_000])
    n = 20

    spliced = splice(
        np.tile(words[0], (n, 1)), np.tile(words[1], (n, 1)), np.arange(n), seed=1, epoch=0, sample_rate=16_000
    )

    for row in spliced:
        before, after = row[:7_800], row[8_200:]
        assert np.argmax(np.abs(np.fft.rfft(before, 16_000))) == pytest.approx(500, abs=5)
        assert np.argmax(np.abs(np.fft.rfft(after, 16_000))) == pytest.approx(2_000, abs=5)
        assert 0.3 * 4_000 < np.count_nonzero(before) < 0.7 * 4_000
        assert 0.3 * 6_000 < np.count_nonzero(after) < 0.7 * 6_000
        assert np.abs(after).max() == pytest.approx(0.2, rel=0.05)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1_000, 20_000))
def test_a_splice_stays_within_full_scale_whatever_the_levels(first: float, second: float, length: int) -> None:
    clips = np.clip(noise_clips(2, length=length), -1, 1)

    spliced = splice(
        clips[:1] * np.float32(first), clips[1:] * np.float32(second), np.arange(1), seed=1, epoch=0, sample_rate=16_000
    )

    assert spliced.shape == (1, length)
    assert np.isfinite(spliced).all()
    assert np.abs(spliced).max() <= 1.0
