"""Augmentation of mel energies against the waveform domain, librosa and formulas, and its independence of batches."""

from __future__ import annotations

from functools import cache
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import AugmentationSettings, FeatureSettings
from speech_rnn.data.augmentation import Bends, NoiseFrames, band_widths, bend, colours, draw_bends, mask, splice
from speech_rnn.data.noise import NoiseBank, generated_noises
from speech_rnn.data.speed import Speed, change_speed
from tests.spoken import spoken
from tests.strategies import augmentation_settings

OFF = AugmentationSettings.off()
FEATURES = FeatureSettings()
SHORT = FeatureSettings(
    sample_rate=8_000, clip_length=2_000, n_fft=256, win_length=240, hop_length=128, n_mels=20, n_mfcc=13, f_max=3_800.0
)
FLOOR_DB = -80.0
N_FRAMES = 97
MIDDLE = 48
EDGES_HZ = librosa.mel_frequencies(42, fmin=20.0, fmax=7_600.0)
CENTRES_HZ = EDGES_HZ[1:-1]
WIDTHS_HZ = (EDGES_HZ[2:] - EDGES_HZ[:-2]) / 2

Floats = NDArray[np.float32]


def white(length: int, seed: int = 5, amplitude: int = 2_000) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-amplitude, amplitude, length).astype(np.int16)


@cache
def noise_frames(settings: FeatureSettings = FEATURES) -> NoiseFrames:
    return NoiseFrames(NoiseBank([white(200_000)], settings.sample_rate), settings)


def drawn(
    keys: int | list[int],
    settings: AugmentationSettings,
    *,
    seed: int = 1,
    epoch: int = 0,
    features: FeatureSettings = FEATURES,
) -> Bends:
    which = np.arange(keys) if isinstance(keys, int) else np.array(keys, np.int64)
    return draw_bends(which, seed=seed, epoch=epoch, settings=settings, features=features)


def none(n: int, **changed: Any) -> Bends:
    """Nothing happens to ``n`` clips, but for what is given."""
    bends = drawn(n, OFF)
    return bends._replace(
        **{name: np.resize(np.asarray(value, getattr(bends, name).dtype), n) for name, value in changed.items()}
    )


def bent(
    log_mel: Floats, bends: Bends, neighbours: Floats | None = None, settings: FeatureSettings = FEATURES
) -> Floats:
    return bend(log_mel, bends, settings, neighbours=neighbours, noise=noise_frames(settings))


def noise_clips(n: int, level: float = 0.1, seed: int = 0, length: int = 16_000) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, length), dtype=np.float32) * np.float32(level)


def log_mel(waveforms: Floats) -> Floats:
    return features.log_mel(np.atleast_2d(waveforms), FEATURES)


def word(name: str) -> Floats:
    return spoken([name], lead_s=0.2)[:16_000]


def powers(decibels: Floats) -> NDArray[np.float64]:
    """What is on the floor is digital silence: no power."""
    return np.where(decibels > FLOOR_DB + 1e-3, 10 ** (decibels.astype(np.float64) / 10), 0.0)


def in_decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10 * np.log10(np.maximum(power, 1e-8))


def loudness(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """The power of each frame: a band of Slaney's holds a density."""
    return np.asarray(np.vecdot(power, WIDTHS_HZ))


def some_of_all_levels() -> Floats:
    return np.concatenate([noise_clips(2, level=0.5), word("yes")[np.newaxis], np.zeros((1, 16_000), np.float32)])


def test_with_everything_off_a_clip_stays_as_it_is() -> None:
    clips = log_mel(some_of_all_levels())

    np.testing.assert_allclose(bent(clips, drawn(4, OFF)), clips, rtol=0, atol=1e-3)
    assert np.array_equal(mask(clips, np.arange(4), seed=1, epoch=0, settings=OFF), clips)
    assert not drawn(100, OFF).rendering.any()


def test_the_input_is_left_as_it_is() -> None:
    settings = AugmentationSettings(neighbour_probability=1.0, noise_probability=1.0)
    clips, neighbours = log_mel(noise_clips(8)), log_mel(noise_clips(8, seed=1))
    before = clips.copy(), neighbours.copy()

    first = bent(clips, drawn(8, settings), neighbours)
    mask(clips, np.arange(8), seed=1, epoch=0, settings=settings)
    splice(clips[0], clips[1], np.array([0.2, 0.9]), FEATURES)

    assert np.array_equal(clips, before[0])
    assert np.array_equal(neighbours, before[1])
    assert np.array_equal(bent(clips, drawn(8, settings), neighbours), first), "nor the noise"


def test_shift_is_that_of_the_waveform_by_whole_frames() -> None:
    bends = drawn(50, OFF.changed(shift_ms=150.0))
    clips = noise_clips(50)

    shifted = bent(log_mel(clips), bends)

    assert bends.shift.min() < -10
    assert bends.shift.max() > 10
    assert np.abs(bends.shift).max() <= 15
    for clip, found, shift in zip(clips, shifted, bends.shift.tolist(), strict=True):
        later = np.zeros_like(clip)
        later[max(0, 160 * shift) : 16_000 + min(0, 160 * shift)] = clip[
            max(0, -160 * shift) : 16_000 - max(0, 160 * shift)
        ]
        inside = slice(max(0, shift), N_FRAMES + min(0, shift))
        np.testing.assert_allclose(found[inside], log_mel(later)[0, inside], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(np.delete(found, np.arange(N_FRAMES)[inside], axis=0), np.float32(FLOOR_DB))


def test_a_shift_longer_than_the_clip_leaves_silence() -> None:
    clips = features.log_mel(noise_clips(100, length=2_000), SHORT)

    shifted = bent(clips, drawn(100, OFF.changed(shift_ms=1_000.0), features=SHORT), settings=SHORT)

    assert (shifted.max(axis=(1, 2)) == np.float32(FLOOR_DB)).any()
    assert (shifted.max(axis=(1, 2)) > -40).any()


@pytest.mark.parametrize("name", ["yes", "stop", "house"])
@pytest.mark.parametrize("speed", [Speed(11, 10), Speed(10, 11)])
def test_tempo_and_pitch_together_are_a_change_of_speed(name: str, speed: Speed) -> None:
    clip = word(name)
    played = change_speed(clip, speed)
    start = (len(played) - 16_000) // 2
    expected = log_mel(np.pad(played, max(0, -start))[max(0, start) : max(0, start) + 16_000])[0]

    def distance_db(found: Floats) -> float:
        """Mean over what is within 40 dB of the loudest."""
        return float(np.abs(found - expected)[expected > expected.max() - 40].mean())

    both = bent(log_mel(clip), none(1, tempo=speed.factor, pitch=speed.factor))[0]

    assert distance_db(both) < 1.6
    assert distance_db(both) < distance_db(log_mel(clip)[0]) / 3
    for one in ("tempo", "pitch"):
        assert distance_db(bent(log_mel(clip), none(1, **{one: speed.factor}))[0]) > 1.5 * distance_db(both)


def test_tempo_is_about_the_middle_of_the_clip() -> None:
    clip = np.full((1, N_FRAMES, 40), FLOOR_DB, np.float32)
    clip[0, [MIDDLE - 30, MIDDLE, MIDDLE + 30]] = 0.0

    for tempo in (0.75, 1.0, 1.25):
        loud = bent(clip, none(1, tempo=tempo))[0].mean(axis=1)
        peaks = [
            n for n in range(1, N_FRAMES - 1) if loud[n] > FLOOR_DB + 20 and loud[n] >= max(loud[n - 1], loud[n + 1])
        ]
        assert peaks == [MIDDLE - round(30 / tempo), MIDDLE, MIDDLE + round(30 / tempo)]


@pytest.mark.parametrize(("band", "moved_to"), [(20, 22), (20, 18), (30, 31), (8, 9), (33, 37)])
def test_the_band_of_a_sine_moves_as_the_pitch_says(band: int, moved_to: int) -> None:
    sine = 0.3 * np.sin(2 * np.pi * CENTRES_HZ[band] * np.arange(16_000) / 16_000).astype(np.float32)

    higher = bent(log_mel(sine), none(1, pitch=CENTRES_HZ[moved_to] / CENTRES_HZ[band]))[0]

    assert set(log_mel(sine)[0].argmax(axis=1)) == {band}
    assert set(higher.argmax(axis=1)) == {moved_to}


def test_tempo_and_pitch_are_drawn_within_their_ranges_uniform_in_their_logarithms() -> None:
    bends = drawn(2_000, OFF.changed(tempo_range=0.25, pitch_range=0.06))

    for factor, extent in ((bends.tempo, 0.25), (bends.pitch, 0.06)):
        shares = np.log(factor) / np.log(1 + extent)
        counts, _ = np.histogram(shares, bins=np.linspace(-1.0, 1.0, 11))
        assert counts.sum() == 2_000
        assert counts.min() > 140
    assert abs(np.corrcoef(bends.tempo, bends.pitch)[0, 1]) < 0.1


def test_gain_is_that_of_the_waveform_and_leaves_digital_silence() -> None:
    bends = drawn(30, OFF.changed(gain_probability=1.0, gain_low_db=-20.0, gain_high_db=20.0))
    clips = noise_clips(30)
    clips[:, 4_000:9_000] = 0.0

    louder = bent(log_mel(clips), bends)

    assert bends.gain_db.min() < -15 and bends.gain_db.max() > 15
    assert np.abs(bends.gain_db).max() <= 20
    gained = clips * (10 ** (bends.gain_db / 20))[:, np.newaxis]
    np.testing.assert_allclose(louder, log_mel(gained.astype(np.float32)), rtol=0, atol=1e-3)
    assert (louder[:, 26:50] == np.float32(FLOOR_DB)).all()


@pytest.mark.parametrize("power_floor", [1e-8, 1.3e-9, 1.7e-9, 2e-5])
def test_digital_silence_stays_so_after_the_sixteen_bits_of_the_cache(power_floor: float) -> None:
    settings = FEATURES.changed(power_floor=power_floor)
    silence = features.log_mel(np.zeros((1, 16_000), np.float32), settings).astype(np.float16).astype(np.float32)

    louder = bend(silence, none(1, gain_db=40.0), settings, noise=noise_frames())

    np.testing.assert_allclose(louder, 10 * np.log10(power_floor), rtol=0, atol=1e-4)


def test_colour_follows_its_formula_over_the_bands() -> None:
    clip = log_mel(noise_clips(1))
    bends = drawn(50, OFF.changed(colour_db=3.0))

    coloured = bent(np.repeat(clip, 50, axis=0), bends)

    assert np.abs(bends.colour).max() <= 3.0
    assert (np.abs(bends.colour).max(axis=0) > 2.5).all()
    x = np.linspace(-1.0, 1.0, 40)
    for (tilt, arch, wave), found in zip(bends.colour.astype(np.float64), coloured, strict=True):
        response_db = tilt * x + arch * (2 * np.cos(np.pi * x / 2) - 1) + wave * np.sin(np.pi * x)
        np.testing.assert_allclose(found - clip[0], np.tile(response_db, (N_FRAMES, 1)), rtol=0, atol=1e-3)


def test_a_tilt_is_as_many_decibels_up_at_the_top_as_down_at_the_bottom() -> None:
    np.testing.assert_allclose(colours(np.array([[3.0, 0.0, 0.0]], np.float32), 3), [[-3.0, 0.0, 3.0]], atol=1e-6)
    np.testing.assert_allclose(colours(np.array([[0.0, 3.0, 0.0]], np.float32), 3), [[-3.0, 3.0, -3.0]], atol=1e-6)
    np.testing.assert_allclose(colours(np.array([[0.0, 0.0, 3.0]], np.float32), 5)[0, [1, 3]], [-3.0, 3.0], atol=1e-6)


def test_a_neighbour_adds_its_energies_at_its_shift_and_level() -> None:
    clips, others = log_mel(noise_clips(20)), log_mel(noise_clips(20, seed=1))
    bends = drawn(20, OFF.changed(neighbour_probability=1.0, shift_ms=150.0, gain_probability=1.0))

    found = bent(clips, bends, others)

    own, second = powers(clips), powers(others)
    for n in range(20):
        total = np.zeros((N_FRAMES, 40))
        for frame in range(N_FRAMES):
            at, beside = frame - bends.shift[n], frame - bends.shift[n] - bends.neighbour_shift[n]
            if 0 <= at < N_FRAMES:
                total[frame] += own[n, at]
            if 0 <= beside < N_FRAMES:
                total[frame] += second[n, beside] * 10 ** (bends.neighbour_db[n] / 10)
        expected = in_decibels(total * 10 ** (bends.gain_db[n] / 10))
        np.testing.assert_allclose(found[n], expected, rtol=0, atol=1e-3)


def test_neighbours_are_before_and_after_half_a_clip_to_nine_tenths_away_and_given_for_those_that_have_one() -> None:
    bends = drawn(2_000, OFF.changed(neighbour_probability=0.3))
    clips = log_mel(noise_clips(6))

    assert np.abs(bends.neighbour_shift).min() == 48
    assert np.abs(bends.neighbour_shift).max() == 87
    assert (bends.neighbour_shift > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert -9 <= bends.neighbour_db.min() < -8 and 8 < bends.neighbour_db.max() <= 9
    shares = bends.neighbour[~np.isnan(bends.neighbour)]
    assert len(shares) / 2_000 == pytest.approx(0.3, abs=0.04)
    assert 0 <= shares.min() < 0.01 and 0.99 < shares.max() < 1
    changed = bent(clips, none(6, neighbour=[0.5, np.nan, np.nan], neighbour_shift=60), log_mel(noise_clips(2, seed=1)))
    assert ((changed - clips).max(axis=(1, 2)) > 1).tolist() == [True, False, False] * 2


def test_the_measured_snr_is_the_drawn_one_and_counts_from_the_gained_clip() -> None:
    settings = OFF.changed(noise_probability=1.0, snr_low_db=-5.0, snr_high_db=25.0, gain_probability=1.0)
    clips = log_mel(noise_clips(40))
    bends = drawn(40, settings)

    noisy = bent(clips, bends)

    assert -5 <= bends.snr_db.min() < 0 and 20 < bends.snr_db.max() <= 25
    clean = powers(clips) * 10 ** (bends.gain_db.astype(np.float64) / 10)[:, np.newaxis, np.newaxis]
    noise = loudness(powers(noisy) - clean).mean(axis=1)
    measured_db = 10 * np.log10(loudness(clean).mean(axis=1) / noise)
    np.testing.assert_allclose(measured_db, bends.snr_db, rtol=0, atol=0.05)


def test_the_snr_counts_from_the_spoken_part_of_a_clip() -> None:
    clip = noise_clips(1)[0]
    clip[:6_000] *= np.float32(0.01)
    clip[10_000:] *= np.float32(0.01)
    spoken_frames = slice(38, 59)

    noisy = bent(log_mel(clip), none(1, snr_db=10.0))

    noise = loudness(powers(noisy) - powers(log_mel(clip)))[0].mean()
    spoken_power = loudness(powers(log_mel(clip)))[0, spoken_frames].mean()
    assert 10 * np.log10(spoken_power / noise) == pytest.approx(10.0, abs=0.5)


def test_noisy_energies_are_on_average_those_of_the_summed_waveforms() -> None:
    rng = np.random.default_rng(0)
    n = 60
    spectrum = np.fft.rfft(rng.standard_normal(960_000)) / np.sqrt(np.arange(1, 480_002))
    pink = np.fft.irfft(spectrum)
    recording = np.rint(2_000 * pink / pink.std()).astype(np.int16)
    frames = NoiseFrames(NoiseBank([recording], 16_000), FEATURES)
    clip = word("yes")
    starts = rng.integers(0, 700_000, n).tolist()
    stretches = np.stack([recording[at : at + 16_000] for at in starts]) * np.float32(1 / 32_768)

    shares = np.stack([np.full(n, 0.9), np.zeros(n), rng.random(n)], axis=1)
    bends = none(n, snr_db=5.0)._replace(noise=shares)
    found = powers(bend(np.repeat(log_mel(clip), n, axis=0), bends, FEATURES, noise=frames)).mean(axis=0)

    clean = loudness(powers(log_mel(clip)))[0]
    level = clean[clean >= 0.01 * clean.max()].mean() / loudness(powers(log_mel(stretches))).mean() / 10**0.5
    summed = powers(log_mel((clip + stretches * np.sqrt(level)).astype(np.float32))).mean(axis=0)
    by_band_db = 10 * np.log10(found.mean(axis=0) / summed.mean(axis=0))
    by_frame_db = 10 * np.log10(loudness(found) / loudness(summed))
    np.testing.assert_allclose(by_band_db, 0, atol=0.4)
    np.testing.assert_allclose(by_frame_db, 0, atol=1.5)


def test_the_colour_of_the_noise_is_its_own_and_leaves_its_level() -> None:
    clip = log_mel(noise_clips(1))
    plain = none(1, snr_db=-30.0)._replace(noise=np.array([[0.9, 0.0, 0.3]]))
    coloured = plain._replace(noise_colour=np.array([[3.0, 0.0, 0.0]], np.float32))

    noises = [powers(bent(clip, one)) - powers(clip) for one in (plain, coloured)]

    # All bands as many decibels louder, beside the tilt: whatever keeps the level.
    tilted_db = 10 * np.log10(noises[1] / noises[0]) - np.linspace(-3.0, 3.0, 40)
    np.testing.assert_allclose(tilted_db, tilted_db[0, 0, 0], rtol=0, atol=0.05)
    assert loudness(noises[1]).mean() == pytest.approx(loudness(noises[0]).mean(), rel=1e-3)


def tone(hz: float, length: int, amplitude: float = 3_000.0) -> NDArray[np.int16]:
    return np.rint(amplitude * np.sin(2 * np.pi * hz * np.arange(length) / 16_000)).astype(np.int16)


def test_noise_is_that_of_training_in_stretches_from_everywhere() -> None:
    # Each tenth of the recording at a pitch of its own; the last two belong to the other parts.
    bands = range(10, 30, 2)
    recording = np.concatenate([tone(CENTRES_HZ[band], 16_000) for band in bands])
    shares = np.column_stack([np.full(300, 0.9), np.zeros(300), np.random.default_rng(0).random(300)])

    stretches = NoiseFrames(NoiseBank([recording], 16_000), FEATURES).at(shares, 30)

    assert stretches.shape == (300, 30, 40)
    assert stretches.dtype == np.float32
    assert set(stretches.sum(axis=1).argmax(axis=1)) == set(bands[:8])


def test_a_stretch_of_noise_is_librosas_up_to_its_level() -> None:
    recording = white(100_000)
    power = librosa.feature.melspectrogram(
        y=recording[:80_000].astype(np.float32) - recording[:80_000].mean(),
        sr=16_000,
        n_fft=512,
        win_length=480,
        hop_length=160,
        center=False,
        n_mels=40,
        fmin=20.0,
        fmax=7_600.0,
    ).T
    frames = NoiseFrames(NoiseBank([recording], 16_000), FEATURES)

    first, last = frames.at(np.array([[0.9, 0.0, 0.0], [0.9, 0.0, 1 - 1e-9]]), N_FRAMES)

    level = first.mean() / power[:N_FRAMES].mean()
    np.testing.assert_allclose(first, power[:N_FRAMES] * level, rtol=2e-4)
    np.testing.assert_allclose(last, power[-N_FRAMES:] * level, rtol=2e-4)


def test_a_recording_shorter_than_a_clip_is_repeated() -> None:
    frames = NoiseFrames(NoiseBank([white(5_000)], 16_000), FEATURES)

    (stretch,) = frames.at(np.array([[0.9, 0.0, 0.99]]), N_FRAMES)

    n = 1 + (4_000 - 512) // 160  # of the 80 % that training hears
    assert len(np.unique(stretch[:n], axis=0)) == n
    np.testing.assert_array_equal(stretch, np.resize(stretch[:n], (N_FRAMES, 40)))


def test_a_quarter_of_the_noise_is_generated_and_the_rest_is_from_every_recording() -> None:
    recordings = [tone(CENTRES_HZ[20], 50_000), tone(CENTRES_HZ[30], 500_000), tone(CENTRES_HZ[35], 5_000)]
    shares = drawn(2_000, AugmentationSettings()).noise

    stretches = NoiseFrames(NoiseBank(recordings, 16_000), FEATURES).at(shares, 50)

    totals = stretches.sum(axis=1)
    # A tone puts nearly all into its band, generated noise doesn't.
    in_one_band = totals.max(axis=1) > 0.4 * totals.sum(axis=1)
    counts = np.bincount(totals.argmax(axis=1)[in_one_band & (totals.argmax(axis=1) >= 20)], minlength=40)
    assert counts[[20, 30, 35]] / 2_000 == pytest.approx(0.25, abs=0.04)


def test_without_recordings_that_sound_noise_is_generated() -> None:
    shares = drawn(50, AugmentationSettings()).noise
    expected = NoiseFrames(NoiseBank([], 16_000), FEATURES).at(shares, N_FRAMES)

    rounding = np.random.default_rng(0).integers(-1, 2, 100_000).astype(np.int16)
    for silent in ([np.full(100_000, 12, np.int16)], [rounding], [white(600)]):
        np.testing.assert_array_equal(NoiseFrames(NoiseBank(silent, 16_000), FEATURES).at(shares, N_FRAMES), expected)
    kinds = len(generated_noises(16_000))
    which = np.column_stack([np.zeros(kinds), (np.arange(kinds) + 0.5) / kinds, np.zeros(kinds)])
    stretches = NoiseFrames(NoiseBank([], 16_000), FEATURES).at(which, N_FRAMES)
    in_order = stretches.sum(axis=1)
    assert len(np.unique(in_order, axis=0)) == kinds
    slope_db = [np.polyfit(np.log2(CENTRES_HZ[10:]), 10 * np.log10(one[10:]), 1)[0] for one in in_order[:3]]
    assert slope_db == pytest.approx([0.0, -3.0, -6.0], abs=0.4)


@pytest.mark.parametrize("offset", [0, 12])
def test_a_recording_that_falls_silent_is_still_noise_at_the_drawn_level(offset: int) -> None:
    recording = np.concatenate([white(40_000), np.full(200_000, offset), white(40_000, seed=6)]).astype(np.int16)
    frames = NoiseFrames(NoiseBank([recording], 16_000), FEATURES)
    clips = log_mel(noise_clips(50))
    shares = np.column_stack([np.full(50, 0.9), np.zeros(50), np.linspace(0, 1 - 1e-9, 50)])

    noisy = bend(clips, none(50, snr_db=0.0)._replace(noise=shares), FEATURES, noise=frames)

    noise = powers(noisy) - powers(clips)
    snr_db = 10 * np.log10(loudness(powers(clips)).mean(axis=1) / loudness(noise).mean(axis=1))
    np.testing.assert_allclose(snr_db, 0.0, atol=0.05)
    # White still, not the rumble of an offset.
    assert 10 * np.log10(noise[:, :, 30:].mean() / noise[:, :, :5].mean()) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("level", [0.0, 1e-7, 1e-4])
def test_noise_under_a_nearly_silent_clip_does_not_blow_up(level: float) -> None:
    clips = log_mel(noise_clips(20, level=level))

    noisy = bent(clips, drawn(20, OFF.changed(noise_probability=1.0, gain_probability=1.0)))

    assert np.isfinite(noisy).all()
    # 6 dB of gain, and noise 5 dB over that.
    assert loudness(powers(noisy)).mean() <= 17 * loudness(powers(clips)).max()


def test_silence_is_coloured_and_nothing_else() -> None:
    bends = drawn(200, AugmentationSettings(neighbour_probability=0.5))
    is_speech = np.arange(200) % 2 == 0
    clips = log_mel(noise_clips(1)).repeat(200, axis=0)

    some = bends.of_speech(is_speech)

    for name in Bends._fields:
        np.testing.assert_array_equal(getattr(some, name)[is_speech], getattr(bends, name)[is_speech])
    found = bent(clips, some, clips[~np.isnan(some.neighbour)])
    expected = clips[1::2] + colours(bends.colour[1::2], 40)[:, np.newaxis]
    np.testing.assert_allclose(found[1::2], expected, rtol=0, atol=1e-3)


def test_the_probabilities_are_met() -> None:
    bends = drawn(3_000, AugmentationSettings())

    assert np.mean(~np.isnan(bends.snr_db)) == pytest.approx(0.6, abs=0.03)
    assert np.mean(~np.isnan(bends.neighbour)) == pytest.approx(0.1, abs=0.02)
    assert np.mean(bends.gain_db != 0) == pytest.approx(0.8, abs=0.03)
    assert np.bincount(bends.rendering) / 3_000 == pytest.approx(0.25, abs=0.03)


SWITCHES: list[tuple[dict[str, Any], set[str]]] = [
    ({"renderings": 1}, {"rendering"}),
    ({"tempo_range": 0.0}, {"tempo"}),
    ({"shift_ms": 0.0}, {"shift"}),
    ({"pitch_range": 0.0}, {"pitch"}),
    ({"neighbour_probability": 0.0}, {"neighbour"}),
    ({"gain_probability": 0.0}, {"gain_db"}),
    ({"colour_db": 0.0}, {"colour", "noise_colour"}),
    ({"noise_probability": 0.0}, {"snr_db"}),
    ({"room_probability": 0.0, "time_masks": 0, "splice_probability": 0.0}, set()),
]


@pytest.mark.parametrize(("switched_off", "kinds"), SWITCHES)
def test_switching_one_kind_off_leaves_the_draws_of_the_others(switched_off: dict[str, Any], kinds: set[str]) -> None:
    everything = drawn(50, AugmentationSettings())

    without = drawn(50, AugmentationSettings(**switched_off))

    changed = {
        name
        for name in Bends._fields
        if not np.array_equal(getattr(everything, name), getattr(without, name), equal_nan=True)
    }
    assert changed == kinds


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.integers(0, 100), st.data())
def test_a_row_does_not_depend_on_the_rest_of_the_batch(
    keys: list[int], seed: int, epoch: int, data: st.DataObject
) -> None:
    settings = AugmentationSettings(neighbour_probability=0.5)
    clips = np.stack([features.log_mel(noise_clips(1, seed=key, length=2_000), SHORT)[0] for key in keys])

    def made(rows: list[int]) -> Floats:
        some = [keys[row] for row in rows]
        bends = drawn(some, settings, seed=seed, epoch=epoch, features=SHORT)
        beside = clips[rows][~np.isnan(bends.neighbour), ::-1]
        return mask(bent(clips[rows], bends, beside, SHORT), np.array(some), seed=seed, epoch=epoch, settings=settings)

    together = made(list(range(len(keys))))

    order = data.draw(st.permutations(range(len(keys))))
    assert np.array_equal(made(order), together[order])
    for row in range(len(keys)):
        assert np.array_equal(made([row])[0], together[row])


def test_a_row_of_the_usual_front_end_does_not_depend_on_the_rest_of_the_batch() -> None:
    clips = log_mel(noise_clips(33))
    keys = list(range(33))
    settings = AugmentationSettings(noise_probability=1.0)

    together = bent(clips, drawn(keys, settings))

    for some in (slice(0, 1), slice(5, 8), slice(16, 33)):
        assert np.array_equal(bent(clips[some], drawn(keys[some], settings)), together[some])


def test_every_epoch_seed_and_key_bends_another_way() -> None:
    clips = np.repeat(log_mel(noise_clips(1)), 2, axis=0)
    usual = AugmentationSettings()
    first = bent(clips, drawn([1, 2], usual))

    assert np.array_equal(first, bent(clips, drawn([1, 2], usual)))
    assert not np.array_equal(first, bent(clips, drawn([1, 2], usual, epoch=1)))
    assert not np.array_equal(first, bent(clips, drawn([1, 2], usual, seed=2)))
    assert not np.array_equal(first[0], first[1])


@given(augmentation_settings(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-5, 0.1, 1.0]))
def test_whatever_the_settings_the_energies_are_finite_and_not_below_the_floor(
    settings: AugmentationSettings, seed: int, level: float
) -> None:
    clips = features.log_mel(np.clip(noise_clips(8, level=level, length=2_000), -1, 1), SHORT)
    bends = drawn(8, settings, seed=seed, features=SHORT)

    found = bent(clips, bends, clips[~np.isnan(bends.neighbour)], SHORT)

    assert found.shape == clips.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= FLOOR_DB - 1e-4


ODD = [
    {"clip_length": 256, "n_fft": 256, "win_length": 256, "hop_length": 256},
    {"n_fft": 32, "win_length": 16, "hop_length": 32, "n_mels": 4, "n_mfcc": 4, "f_min": 1_000.0, "power_floor": 1e-2},
]


@pytest.mark.parametrize("odd", ODD, ids=["one frame", "a high floor"])
def test_front_ends_of_other_shapes_have_noise_and_every_bend(odd: dict[str, Any]) -> None:
    settings = SHORT.changed(**odd)
    clips = features.log_mel(noise_clips(4, length=settings.clip_length), settings)
    usual = AugmentationSettings(noise_probability=1.0, snr_high_db=0.0, neighbour_probability=1.0)
    bends = drawn(4, usual, features=settings)._replace(noise=np.tile([0.0, 0.0, 0.5], (4, 1)))

    found = bent(clips, bends, clips, settings)
    without = bent(clips, bends._replace(snr_db=np.full(4, np.nan, np.float32)), clips, settings)

    assert np.isfinite(found).all()
    floor_db = 10 * np.log10(settings.power_floor)
    heard = (10 ** (found / 10) - 10 ** (without / 10)).max(axis=(1, 2))
    assert (heard[without.max(axis=(1, 2)) > floor_db + 1] > 0).all()


def test_the_widths_of_bands_are_those_of_librosas_triangles() -> None:
    np.testing.assert_allclose(band_widths(FEATURES), WIDTHS_HZ, rtol=1e-5)
    triangles = librosa.filters.mel(sr=16_000, n_fft=2**15, n_mels=40, fmin=20.0, fmax=7_600.0)
    # Of height 1 a triangle holds its width; Slaney's have area 1.
    np.testing.assert_allclose(band_widths(FEATURES), 1 / triangles.max(axis=1), rtol=0.02)


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
    words = np.zeros((2, 16_000), np.float32)
    words[0, 9_000:13_000] = 0.2 * np.sin(2 * np.pi * CENTRES_HZ[10] * time[9_000:13_000])
    words[1, 1_000:7_000] = 0.05 * np.sin(2 * np.pi * CENTRES_HZ[30] * time[1_000:7_000])
    first, second = log_mel(words)

    for shares in np.random.default_rng(0).random((20, 2)):
        spliced = splice(first, second, shares, FEATURES)

        power = powers(spliced)
        begin, end = loudness(power[:MIDDLE]), loudness(power[MIDDLE:])
        for half, source, share, whole in (
            (power[:MIDDLE], first, 0.4 + 0.2 * shares[0], 25),
            (power[MIDDLE:], second, 0.6 - 0.2 * shares[1], 37.5),
        ):
            sounding = np.flatnonzero(loudness(half) > 0.01 * loudness(half).max())
            assert half[sounding].argmax(axis=1).tolist() == [source.max(axis=0).argmax()] * len(sounding)
            assert len(sounding) == pytest.approx(share * whole, abs=3)
        # It is the first as it was, with its beginning, and the second as loud, with its end.
        assert begin.max() == pytest.approx(loudness(powers(first)).max(), rel=1e-3)
        assert end.max() == pytest.approx(begin.max(), rel=0.05)
        assert (spliced[[0, -1]] < FLOOR_DB + 0.01).all()


def test_the_halves_of_a_splice_keep_their_frames() -> None:
    first, second = log_mel(word("yes"))[0], log_mel(word("stop"))[0]

    spliced = splice(first, second, np.array([0.5, 0.5]), FEATURES)

    def positions(frame: Floats, among: Floats) -> list[int]:
        """Where a frame is found, up to its level; not those on the floor."""
        differences = np.where(among > FLOOR_DB + 15, among - frame, np.nan)
        with np.errstate(invalid="ignore"):
            spread = np.nanmax(differences, axis=1) - np.nanmin(differences, axis=1)
        return np.flatnonzero(spread < 1e-3).tolist()

    before = [positions(spliced[n], first) for n in range(20, MIDDLE)]
    after = [positions(spliced[n], second) for n in range(MIDDLE, 75)]
    for found in (before, after):
        starts = [one[0] for one in found if len(one) == 1]
        assert len(starts) > 10
        assert np.diff(starts).tolist() == [1] * (len(starts) - 1)
    passed = np.cumsum(loudness(powers(first)))
    assert passed[before[-1][0]] / passed[-1] == pytest.approx(0.5, abs=0.1)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(300, 3_000), st.floats(0, 1), st.floats(0, 1))
def test_a_splice_is_finite_and_not_far_louder_than_its_words_whatever_the_levels(
    first: float, second: float, length: int, share: float, other_share: float
) -> None:
    clips = noise_clips(2, level=1.0, length=length) * np.array([[first], [second]], np.float32)
    beginning, ending = features.log_mel(clips, SHORT)

    spliced = splice(beginning, ending, np.array([share, other_share]), SHORT)

    assert spliced.shape == beginning.shape
    assert np.isfinite(spliced).all()
    assert spliced.min() >= FLOOR_DB - 1e-4
    is_silent = min(beginning.max(), ending.max()) < FLOOR_DB + 0.01
    assert spliced.max() <= (max(beginning.max(), ending.max()) if is_silent else beginning.max() + 25) + 0.01


@pytest.mark.parametrize(
    ("levels", "heard"), [((0.0, 0.0), (False, False)), ((0.0, 0.1), (False, True)), ((0.1, 0.0), (True, False))]
)
def test_digital_silence_in_a_splice_is_silence(levels: tuple[float, float], heard: tuple[bool, bool]) -> None:
    clips = noise_clips(2) * 10 * np.array(levels, np.float32)[:, np.newaxis]
    first, second = log_mel(clips)

    spliced = splice(first, second, np.array([0.3, 0.6]), FEATURES)

    loud = spliced > FLOOR_DB + 0.01
    assert [loud[30:MIDDLE].any(), loud[MIDDLE:60].any()] == list(heard)
