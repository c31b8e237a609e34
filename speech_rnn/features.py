"""The front end: samples -> log-mel frames -> MFCC. What is computed here is what every model form must hear.

The definition is librosa's (``melspectrogram``, ``power_to_db`` with ``top_db=None``, ``mfcc``), and window, bands and
cosines are librosa's own arrays. The arithmetic between them is arranged for batches, at half of librosa's time.

A frame depends on its own samples only: no padding, no centring, no level taken from the rest of the clip, and a
fixed floor under the logarithm. So a stream gives the same frames as a clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.errors import AudioError

LARGEST_SAMPLE = 1_000.0  # 60 dB over full scale: nobody's gain, but int16 that was never scaled
BLOCK_BINS = 100_000  # of the spectrum at a time: 4 clips of a second, 800 kB that stay in the cache
# A float32 FFT spreads rounding noise over all bins. Where a band's mean power is below this share of the frame's, less
# for bands of many bins, it would show: by 4e-3 in a coefficient beside a clean tone, by 8e-2 over a floor of 1e-10.
FLOAT32_RANGE = 3e-6
LARGEST_PRODUCT = (
    262_144  # multiplications; OpenBLAS's interface/gemm.c: SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD
)
DB_PER_NEPER = np.float32(10 / np.log(10))


@dataclass(frozen=True, eq=False)
class Basis:
    """The constants of a front end; picklable, so that worker processes need not import librosa (2.6 s each)."""

    settings: FeatureSettings
    window: NDArray[np.float64]  # [n_fft]: the window of win_length in the middle, zeros around it
    bands: NDArray[np.float32]  # [n_fft // 2 + 1, n_mels]
    cosines: NDArray[np.float32]  # [n_mels, n_mfcc]
    rounding: NDArray[np.float32]  # [n_mels]: a band's share of a frame's power below which a float32 FFT won't do


_bases: dict[FeatureSettings, Basis] = {}


def basis(settings: FeatureSettings) -> Basis:
    """Window, mel filterbank (Slaney's, each band of area 1) and orthonormal DCT-II, as librosa makes them."""
    if settings not in _bases:
        hann = librosa.filters.get_window("hann", settings.win_length, fftbins=True)
        bands = librosa.filters.mel(
            sr=settings.sample_rate,
            n_fft=settings.n_fft,
            n_mels=settings.n_mels,
            fmin=settings.f_min,
            fmax=settings.f_max,
        )
        cosines = librosa.feature.mfcc(S=np.eye(settings.n_mels, dtype=np.float32), n_mfcc=settings.n_mfcc)
        adopt(
            Basis(
                settings,
                librosa.util.pad_center(hann, size=settings.n_fft),
                np.ascontiguousarray(bands.T, np.float32),
                np.ascontiguousarray(cosines.T, np.float32),
                (FLOAT32_RANGE / settings.n_fft * np.square(bands).sum(axis=1) / bands.sum(axis=1)).astype(np.float32),
            )
        )
    return _bases[settings]


def adopt(basis: Basis) -> None:
    """Use the constants that another process has made."""
    _bases[basis.settings] = basis


def log_mel(samples: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """Log-mel spectrogram of a batch of clips.

    Args:
        samples: float32 [clips, samples], at ``settings.sample_rate``, full scale ±1, at least ``n_fft`` long.
        settings: the front end.

    Returns:
        float32 [clips, frames, n_mels], power in dB re full scale, not below ``10 * log10(power_floor)``;
        ``frames = 1 + (samples - n_fft) // hop_length``.

    Raises:
        AudioError: not two dimensions, shorter than a frame, NaN or infinity, or integers that were not scaled.
    """
    samples = _checked(samples, settings)
    constants = basis(settings)
    frames = sliding_window_view(samples, settings.n_fft, axis=1)[:, :: settings.hop_length]
    result = np.empty((*frames.shape[:2], settings.n_mels), np.float32)
    for block in _blocks(*frames.shape):
        result[block] = _decibels(frames[block], constants)
    return result


def mfcc_from_log_mel(log_mel: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """MFCC of log-mel frames: the orthonormal DCT-II over the bands.

    Args:
        log_mel: float32 [clips, frames, n_mels], as :func:`log_mel` gives.
        settings: the front end.

    Returns:
        float32 [clips, frames, n_mfcc], coefficient 0 first.

    Raises:
        AudioError: not three dimensions, or not ``n_mels`` bands.
    """
    if log_mel.ndim != 3 or log_mel.shape[2] != settings.n_mels:
        raise AudioError(
            f"log-mel frames of shape {log_mel.shape} must be [clips, frames, {settings.n_mels}]; "
            "take those of log_mel with the same settings"
        )
    # Only coefficient 0 hears a constant. Without the floor the sums are smaller and round less.
    floor = np.float32(10 * np.log10(settings.power_floor))
    coefficients = _products(log_mel - floor, basis(settings).cosines)
    coefficients[..., 0] += floor * np.float32(np.sqrt(settings.n_mels))
    return coefficients


def mfcc(samples: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """MFCC of a batch of clips; a frame depends on its own samples only.

    Args:
        samples: float32 [clips, samples], at ``settings.sample_rate``, full scale ±1, at least ``n_fft`` long.
        settings: the front end; see :class:`FeatureSettings`.

    Returns:
        float32 [clips, frames, n_mfcc], coefficient 0 first. Within 1e-3 of librosa for any sound.

    Raises:
        AudioError: not two dimensions, shorter than a frame, NaN or infinity, or integers that were not scaled.
    """
    return mfcc_from_log_mel(log_mel(samples, settings), settings)


def _checked(samples: NDArray[Any], settings: FeatureSettings) -> NDArray[np.float32]:
    if samples.ndim != 2:
        raise AudioError(f"samples of shape {samples.shape} must be [clips, samples]; samples[np.newaxis] is one clip")
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(f"samples of type {samples.dtype} must be float32 with full scale 1; divide int16 by 32768")
    if samples.shape[1] < settings.n_fft:
        raise AudioError(
            f"clips of {samples.shape[1]} samples must be at least one frame, n_fft={settings.n_fft}; "
            "pad them with zeros"
        )
    # NaN fails this comparison too, so two passes without a copy find all that is not sound.
    if samples.size and not max(samples.max(), -samples.min()) <= LARGEST_SAMPLE:
        worst = samples[~(np.abs(samples) <= LARGEST_SAMPLE)][0]
        raise AudioError(
            f"sample {worst} must be a number within full scale ±1; divide int16 by 32768, leave out what is no number"
        )
    return samples.astype(np.float32, copy=False)


def _blocks(n_clips: int, n_frames: int, n_fft: int) -> Iterator[tuple[slice, slice]]:
    """Clips and frames at a time, so that memory is bounded for many clips and for an hour of sound alike."""
    frames_at_once = max(1, BLOCK_BINS // (n_fft // 2 + 1))
    clips_at_once = max(1, frames_at_once // n_frames)
    for clip in range(0, n_clips, clips_at_once):
        for frame in range(0, n_frames, frames_at_once):
            yield slice(clip, clip + clips_at_once), slice(frame, frame + frames_at_once)


def _decibels(frames: NDArray[np.float32], basis: Basis) -> NDArray[np.float32]:
    """float32 [clips, frames, n_fft] -> [clips, frames, n_mels]."""
    floor = np.float32(basis.settings.power_floor)
    power = _power(frames, basis.window.astype(np.float32))
    mel = np.maximum(_products(power, basis.bands), floor)
    wide = (mel < power.sum(axis=-1, keepdims=True) * basis.rounding).any(axis=-1)
    if wide.any():
        exact = _power(frames[wide].astype(np.float64), basis.window) @ basis.bands
        mel[wide] = np.maximum(exact.astype(np.float32), floor)
    np.log(mel, out=mel)
    mel *= DB_PER_NEPER
    return mel


def _products(rows: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [clips, rows, n] @ [n, m], the same to the bit in any company and with any number of threads.

    One product a clip and so small that OpenBLAS leaves it to one thread: more would take three times the CPU
    seconds here, and divide, so round, otherwise.
    """
    result = np.empty((*rows.shape[:2], matrix.shape[1]), np.float32)
    step = max(1, LARGEST_PRODUCT // matrix.size)
    for start in range(0, rows.shape[1], step):
        np.matmul(rows[:, start : start + step], matrix, out=result[:, start : start + step])
    return result


def _power(frames: NDArray[Any], window: NDArray[Any]) -> NDArray[Any]:
    magnitude = np.abs(scipy.fft.rfft(frames * window, overwrite_x=True))
    magnitude *= magnitude
    return magnitude
