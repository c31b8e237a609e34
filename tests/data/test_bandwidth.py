"""Bandwidth of sounds whose spectrum is known, and of real recordings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

from speech_rnn.data.bandwidth import band_levels, band_width_hz, bandwidths


def int16(sound: NDArray[np.floating]) -> NDArray[np.int16]:
    samples: NDArray[np.int16] = np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16)
    return samples


def noise(n: int, length: int = 16_000, rms: float = 1_000.0) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((n, length)) * rms


def narrow(n: int, hz: float, rate: int = 16_000, rms: float = 1_000.0) -> NDArray[np.float64]:
    """Noise that was once sampled at twice ``hz``."""
    wide = noise(n, rate + 4_000, rms)
    return np.stack(
        [soxr.resample(soxr.resample(row, rate, 2 * hz), 2 * hz, rate)[2_000 : 2_000 + rate] for row in wide]
    )


def measured(clips: NDArray[np.int16], rate: int = 16_000) -> NDArray[np.float64]:
    lengths = np.full(len(clips), clips.shape[1], np.int32)
    return bandwidths(band_levels(clips, lengths, rate), rate)


def test_white_noise_is_at_the_level_of_its_variance() -> None:
    levels = band_levels(int16(noise(4)), np.full(4, 16_000, np.int32), 16_000)

    # The variance of rounding is 1/12; the loudest tenth of the frames, left out, held 0.8 dB.
    assert levels.mean() == pytest.approx(10 * np.log10(1_000**2 * 12) - 0.8, abs=0.2)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_white_noise_fills_the_whole_band_at_any_rate(rate: int) -> None:
    assert (measured(int16(noise(3, rate)), rate) == rate / 2).all()
    assert 90 <= band_width_hz(rate) <= 175


@pytest.mark.parametrize("hz", [2_000.0, 4_000.0, 5_512.5])
def test_what_was_once_sampled_lower_ends_at_half_that_rate(hz: float) -> None:
    assert measured(int16(narrow(5, hz))) == pytest.approx(hz, abs=300)


def test_the_noise_of_a_quiet_room_is_enough_for_full_band() -> None:
    voice = scipy.signal.lfilter([1.0], [1.0, -1.98, 0.985], noise(5, rms=5.0))
    assert np.abs(voice).max() > 1_000

    assert (
        measured(int16(scipy.signal.sosfilt(scipy.signal.butter(4, 3_000, fs=16_000, output="sos"), voice))) < 6_000
    ).all()
    assert (measured(int16(voice + noise(5, rms=1.0))) == 8_000).all()


def test_clipping_does_not_hide_that_nothing_is_above() -> None:
    words = narrow(5, 4_000.0, rms=100.0)
    words[:, 6_000:7_000] *= 1_000.0
    clips = int16(words)
    assert (np.abs(clips.astype(np.int32)) >= 32_767).any(axis=1).all()

    assert measured(clips) == pytest.approx(4_000, abs=250)


def test_the_edges_of_inserted_silence_do_not_hide_it_either() -> None:
    clips = int16(narrow(5, 4_000.0))
    clips[:, :3_001] = 0
    clips[:, 13_000:] = 0

    assert measured(clips) == pytest.approx(4_000, abs=250)


def test_padding_does_not_hide_it_either() -> None:
    clips = np.zeros((3, 16_000), np.int16)
    lengths = np.array([9_001, 5_000, 600], np.int32)
    for clip, length in zip(clips, lengths, strict=True):
        begin = (16_000 - length) // 2
        clip[begin : begin + length] = int16(narrow(1, 4_000.0))[0, :length]

    widths = bandwidths(band_levels(clips, lengths, 16_000), 16_000)

    assert widths[:2] == pytest.approx(4_000, abs=250)


def test_a_clip_without_a_whole_frame_has_no_answer() -> None:
    clips = int16(noise(3))
    clips[1] = 32_767
    lengths = np.array([16_000, 16_000, 400], np.int32)

    widths = bandwidths(band_levels(clips, lengths, 16_000), 16_000)

    assert np.isnan(widths).tolist() == [False, True, True]


def test_digital_silence_carries_nothing() -> None:
    assert measured(np.zeros((2, 16_000), np.int16)).tolist() == [0.0, 0.0]


def test_a_flat_floor_behind_a_common_cliff_is_no_sound() -> None:
    telephone = int16(narrow(20, 4_000.0) + noise(20, rms=3.0))

    assert measured(telephone) == pytest.approx(4_000, abs=400)


def test_cliffs_that_are_not_common_are_the_recordings_own() -> None:
    clips = int16(noise(20))
    clips[:3] = int16(narrow(3, 4_000.0) + noise(3, rms=3.0))

    assert (measured(clips) == 8_000).all()


def test_speech_of_a_telephone_is_told_though_a_wide_band_codec_came_after(recordings: Path) -> None:
    files = sorted((recordings / "speech_commands_original" / "yes").glob("*.opus"))[::70]
    clips = []
    for file in files:
        sound, rate = soundfile.read(file)
        telephone = soxr.resample(soxr.resample(sound, rate, 8_000), 8_000, rate)
        coded = io.BytesIO()
        soundfile.write(coded, telephone, rate, format="OGG", subtype="OPUS")
        coded.seek(0)
        clips.append(np.pad(soundfile.read(coded)[0], (0, 16_000))[:16_000] * 32_768)

    assert np.median(measured(int16(np.stack(clips)))) == pytest.approx(4_000, abs=400)


@pytest.mark.parametrize(
    ("folder", "low", "high"),
    [
        ("speech_commands", 3_700, 4_300),
        ("speech_commands_original", 7_600, 8_000),
        ("arabic_speech_commands", 7_600, 8_000),
    ],
)
def test_rebuilt_recordings_end_at_4_khz_and_true_ones_do_not(
    recordings: Path, folder: str, low: float, high: float
) -> None:
    files = sorted((recordings / folder).glob("[!_]*/*.opus"))
    clips = np.zeros((100, 16_000), np.int16)
    lengths = np.zeros(100, np.int32)
    for n, file in enumerate(np.random.default_rng(0).choice(np.array(files, object), 100, replace=False)):
        sound, rate = soundfile.read(file)
        sound = soxr.resample(sound, rate, 16_000)[:16_000] * 32_768
        begin = (16_000 - len(sound)) // 2
        clips[n, begin : begin + len(sound)] = int16(sound)
        lengths[n] = len(sound)

    widths = bandwidths(band_levels(clips, lengths, 16_000), 16_000)

    assert np.quantile(widths, 0.05) >= low
    assert np.quantile(widths, 0.95) <= high
