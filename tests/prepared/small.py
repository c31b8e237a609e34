"""Short recordings, and features of five frames of four bands: a thousand of them take a second."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from speech_rnn.config import FeatureSettings

RATE = 4_000
TINY = FeatureSettings(
    sample_rate=RATE, clip_length=320, n_fft=64, win_length=64, hop_length=64, n_mels=4, n_mfcc=4, f_max=1_900.0
)
WORDS = ("yes", "no")


def speaker(number: int) -> str:
    """Eight hexadecimal digits; every tenth or so is in each evaluation part."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:8]


def write_words(folder: Path, n_speakers: int, *, first: int = 0, words: Sequence[str] = WORDS) -> Path:
    """A folder of recordings of noise, each of another length, and background noise."""
    rng = np.random.default_rng(first)
    for word in words:
        (folder / word).mkdir(parents=True)
        for number in range(first, first + n_speakers):
            sound = rng.normal(0.0, 0.1, 200 + number % 200)
            soundfile.write(folder / word / f"{speaker(number)}_nohash_0.wav", sound, RATE, subtype="PCM_16")
    (folder / "_background_noise_").mkdir()
    for name in ("tap", "rain"):
        soundfile.write(folder / "_background_noise_" / f"{name}.wav", rng.normal(0.0, 0.1, 1_000), RATE)
    return folder
