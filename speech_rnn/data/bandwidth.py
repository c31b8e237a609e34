"""Up to which frequency recordings carry sound.

A recording that once passed a telephone, an old codec or a lower sample rate has nothing above some frequency but the
rounding noise of 16 bits, or a codec's flat floor behind a cliff. A true one has at least its room's noise there,
however quiet. So it isn't speech that is looked for above 4 kHz, but anything at all.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from speech_rnn import audio

_BIN_HZ = 31.25
_BINS_A_BAND = 4
_ROUNDING_POWER = 1.0 / 12.0  # of a step, squared
_AUDIBLE_DB = 3.0  # a band holds at least as much sound as rounding noise
_LOUDEST_LEFT_OUT = 0.1  # of the frames: clicks, such as the edges of inserted silence, are in every band
_NEAR_CLIPPING = 16  # samples: so far reaches the ringing of a resampler
# A codec's floor behind a cliff: the loudest band above lies so far under the half kilohertz below, and all bands
# above within the range. Single true recordings look so by chance (6 %), but each at another frequency.
_CLIFF_DB = 15.0
_CLIFF_RANGE_DB = 8.0
_BANDS_BELOW, _BANDS_BETWEEN, _LEAST_BANDS_ABOVE = 4, 2, 10
_LOWEST_CLIFF_BAND = 16
_CLIFF_WIDTH = 2  # bands to either side
_COMMON_CLIFF_SHARE = 0.25


def band_width_hz(sample_rate: int) -> float:
    """Width of the bands of :func:`band_levels`: about 125 Hz."""
    return _BINS_A_BAND * sample_rate / _n_fft(sample_rate)


def band_levels(clips: NDArray[np.int16], lengths: NDArray[np.int32], sample_rate: int) -> NDArray[np.float32]:
    """The averaged spectrum of each clip, in dB over the rounding noise of 16 bits.

    Frames that are clipped, or that reach into the padding, are left out: their splatter is in every band. Of the
    others, so are the loudest tenth in each band.

    Args:
        clips: int16 [clips, samples], each padded or cut about its middle.
        lengths: int32 [clips], samples before that.
        sample_rate: in Hz.

    Returns:
        float32 [clips, bands], bands as wide as :func:`band_width_hz` says, from 0 to half the rate; NaN for a clip
        without a usable frame.
    """
    n_clips, clip_length = clips.shape
    n_fft = _n_fft(sample_rate)
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    kept = np.minimum(lengths, clip_length)
    begin = (clip_length - kept) // 2
    end = begin + kept
    clipped = (clips == audio.FULL_SCALE_INT16 - 1) | (clips == -audio.FULL_SCALE_INT16)
    starts = range(0, clip_length - n_fft + 1, n_fft // 2)
    n_bands = n_fft // 2 // _BINS_A_BAND
    powers = np.full((n_clips, len(starts), n_bands), np.nan, np.float32)
    for frame, start in enumerate(starts):
        near = slice(max(0, start - _NEAR_CLIPPING), start + n_fft + _NEAR_CLIPPING)
        usable = (start >= begin) & (start + n_fft <= end) & ~clipped[:, near].any(axis=1)
        spectrum = scipy.fft.rfft(clips[usable, start : start + n_fft] * window, axis=1)
        power = np.square(np.abs(spectrum[:, 1:])).reshape(-1, n_bands, _BINS_A_BAND).mean(axis=2)
        powers[usable, frame] = power
    # NaN sorts behind all numbers, so the usable frames of a clip come first, the softest in front.
    powers.sort(axis=1)
    n_usable = np.isfinite(powers[:, :, 0]).sum(axis=1)
    n_averaged = np.ceil((1.0 - _LOUDEST_LEFT_OUT) * n_usable).astype(np.int64)
    averaged = np.arange(len(starts)) < n_averaged[:, np.newaxis]
    total = np.where(averaged[:, :, np.newaxis], powers, 0.0).sum(axis=1)
    floor = _ROUNDING_POWER * float(np.square(window).sum())
    mean = total / np.where(n_averaged > 0, n_averaged, np.nan)[:, np.newaxis]
    # One step in a whole frame is far under the rounding noise: so deep is digital silence set.
    levels: NDArray[np.float32] = (10.0 * np.log10(np.maximum(mean / floor, 1e-6))).astype(np.float32)
    return levels


def bandwidths(levels: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Up to which frequency each clip carries sound.

    Args:
        levels: dB [clips, bands], of :func:`band_levels`.
        sample_rate: in Hz.

    Returns:
        float64 [clips], Hz; half the rate for a recording in full band, NaN where there is no level.
    """
    n_bands = levels.shape[1]
    with np.errstate(invalid="ignore"):
        audible = levels > _AUDIBLE_DB
    edges = np.where(audible.any(axis=1), n_bands - np.argmax(audible[:, ::-1], axis=1), 0)
    cliffs = _cliffs(levels)
    common = _commonest(cliffs[cliffs > 0], least=_COMMON_CLIFF_SHARE * len(levels))
    at_common = (np.abs(cliffs - common) <= _CLIFF_WIDTH) & (common > 0)
    edges = np.where(at_common, np.minimum(edges, cliffs), edges)
    return np.where(np.isnan(levels[:, 0]), np.nan, edges * band_width_hz(sample_rate))


def _cliffs(levels: NDArray[np.float32]) -> NDArray[np.int64]:
    """The band at which an audible flat floor begins behind a cliff, int64 [clips]; 0 where there is none."""
    best = np.full(len(levels), -np.inf, np.float32)
    cliffs = np.zeros(len(levels), np.int64)
    for band in range(_LOWEST_CLIFF_BAND, levels.shape[1] - _BANDS_BETWEEN - _LEAST_BANDS_ABOVE + 1):
        below = levels[:, band - _BANDS_BELOW : band].mean(axis=1)
        above = levels[:, band + _BANDS_BETWEEN :]
        drop = below - above.max(axis=1)
        floor_range = np.subtract(*np.percentile(above, (95, 5), axis=1))
        audible = np.median(above, axis=1) > _AUDIBLE_DB
        better = audible & (drop >= _CLIFF_DB) & (floor_range <= _CLIFF_RANGE_DB) & (drop > best)
        best[better], cliffs[better] = drop[better], band + _BANDS_BETWEEN // 2
    return cliffs


def _commonest(bands: NDArray[np.int64], least: float) -> int:
    """The band that has most of the cliffs about it; 0 where those are fewer than ``least``."""
    if len(bands) == 0:
        return 0
    counts = np.convolve(np.bincount(bands), np.ones(2 * _CLIFF_WIDTH + 1), "same")
    return int(counts.argmax()) if counts.max() >= least else 0


def _n_fft(sample_rate: int) -> int:
    """The power of two that makes bins of about 31 Hz."""
    return int(2 ** round(np.log2(sample_rate / _BIN_HZ)))
