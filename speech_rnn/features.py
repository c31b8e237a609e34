"""The front end: samples -> log-mel frames -> MFCC. What librosa computes here is what every model form must hear.

A frame depends on its own samples only: no padding, no centring, no level taken from the rest of the clip, and a
fixed floor under the logarithm. So a stream gives the same frames as a clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings
from speech_rnn.errors import AudioError

LARGEST_SAMPLE = 1_000.0  # 60 dB over full scale: nobody's gain, but int16 that was never scaled
BLOCK_CLIPS = 64
BLOCK_BINS = 2_000_000  # complex64 bins of a block's spectrogram: 16 MB


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
    frames = 1 + (samples.shape[1] - settings.n_fft) // settings.hop_length
    result = np.empty((len(samples), frames, settings.n_mels), np.float32)
    for block in blocks(len(samples), samples.shape[1], settings):
        result[block] = _log_mel_of_block(samples[block], settings).swapaxes(1, 2)
    return result


def mfcc_from_log_mel(log_mel: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """MFCC of log-mel frames: librosa's orthonormal DCT-II over the bands.

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
    return np.ascontiguousarray(_mfcc_of_block(log_mel.swapaxes(1, 2), settings).swapaxes(1, 2))


def mfcc(samples: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """MFCC of a batch of clips; a frame depends on its own samples only.

    Args:
        samples: float32 [clips, samples], at ``settings.sample_rate``, full scale ±1, at least ``n_fft`` long.
        settings: the front end; see :class:`FeatureSettings`.

    Returns:
        float32 [clips, frames, n_mfcc], coefficient 0 first.

    Raises:
        AudioError: not two dimensions, shorter than a frame, NaN or infinity, or integers that were not scaled.
    """
    samples = _checked(samples, settings)
    frames = 1 + (samples.shape[1] - settings.n_fft) // settings.hop_length
    result = np.empty((len(samples), frames, settings.n_mfcc), np.float32)
    for block in blocks(len(samples), samples.shape[1], settings):
        result[block] = _mfcc_of_block(_log_mel_of_block(samples[block], settings), settings).swapaxes(1, 2)
    return result


def blocks(n_clips: int, clip_length: int, settings: FeatureSettings) -> Iterator[slice]:
    """The blocks in which clips are computed: bounded memory, and bounds that depend on nothing but the lengths.

    FFT and matrix product round differently in blocks of other sizes (6e-5), so the bounds are part of the result.
    """
    frames = 1 + (clip_length - settings.n_fft) // settings.hop_length
    size = min(BLOCK_CLIPS, max(1, BLOCK_BINS // (frames * (1 + settings.n_fft // 2))))
    return (slice(start, min(start + size, n_clips)) for start in range(0, n_clips, size))


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
    return samples.astype(np.float32, copy=False)


def _log_mel_of_block(samples: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """float32 [clips, samples] -> [clips, n_mels, frames], librosa's order."""
    # NaN and infinity fail this comparison too, so one pass over the samples finds all three.
    if not max(samples.max(), -samples.min()) <= LARGEST_SAMPLE:
        worst = samples[~(np.abs(samples) <= LARGEST_SAMPLE)][0]
        raise AudioError(
            f"sample {worst} must be a number within full scale ±1; divide int16 by 32768, drop what is not a number"
        )
    power: NDArray[np.float32] = librosa.feature.melspectrogram(
        y=samples,
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        win_length=settings.win_length,
        hop_length=settings.hop_length,
        center=False,
        n_mels=settings.n_mels,
        fmin=settings.f_min,
        fmax=settings.f_max,
    )
    # top_db would lift the floor with the loudest sound of the block.
    return librosa.power_to_db(power, ref=1.0, amin=settings.power_floor, top_db=None)


def _mfcc_of_block(log_mel: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """float32 [clips, n_mels, frames] -> [clips, n_mfcc, frames], librosa's order."""
    return librosa.feature.mfcc(S=log_mel, n_mfcc=settings.n_mfcc)
