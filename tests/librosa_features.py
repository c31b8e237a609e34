"""Features as librosa's documentation has them; what ours are held to."""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings


def librosa_mfcc(clip: NDArray[np.float32], settings: FeatureSettings) -> NDArray[np.float32]:
    """MFCC of float32 [samples] as float32 [frames, n_mfcc]; top_db=None since a fixed floor is the definition."""
    power = librosa.feature.melspectrogram(
        y=clip,
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        win_length=settings.win_length,
        hop_length=settings.hop_length,
        center=False,
        n_mels=settings.n_mels,
        fmin=settings.f_min,
        fmax=settings.f_max,
    )
    decibels = librosa.power_to_db(power, ref=1.0, amin=settings.power_floor, top_db=None)
    result: NDArray[np.float32] = librosa.feature.mfcc(S=decibels, n_mfcc=settings.n_mfcc).T
    return result
