"""Background noise: stretches of recordings, or generated noise where there are no recordings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from speech_rnn.data.clips import Part
from speech_rnn.draws import generator

# Shares of a recording, in time, so that no part hears another's noise.
_BOUNDS: dict[Part, tuple[float, float]] = {"training": (0.0, 0.8), "validation": (0.8, 0.9), "testing": (0.9, 1.0)}
_SHORTEST_RECORDING = 10  # samples: gives each part at least one
# Below two steps of 16 bits a stretch is rounding, not sound; lifted to unit level it would be a train of clicks.
SILENT_RMS = 2.0
# Few recordings are not all the noise there is: a model that trained on six took half of generated noise for words.
GENERATED_SHARE = 0.25
_GENERATED_S = 60
_GENERATED_RMS = 3_000.0
# Power falls by this exponent of the frequency: white, pink, brown.
_COLOURS = (0.0, 1.0, 2.0)
_MAINS_HZ = (50.0, 60.0)


class NoiseBank:
    """Background noise for silence clips and for mixing under speech; the parts share no noise.

    Of each recording the first 80 % belong to training, the next 10 % to validation, the last 10 % to testing.
    Without recordings there is generated noise: white, pink, brown and mains hum, divided in the same way.
    """

    def __init__(self, recordings: Sequence[NDArray[np.int16]], sample_rate: int) -> None:
        """Hold the recordings.

        Args:
            recordings: int16 [samples] each, any length; those too short to be divided are left out.
            sample_rate: of the recordings and of what is drawn, in Hz.
        """
        self.recordings = tuple(recording for recording in recordings if len(recording) >= _SHORTEST_RECORDING)
        self.sample_rate = sample_rate

    def draw(self, rng: np.random.Generator, length: int, part: Part) -> NDArray[np.float32]:
        """A random stretch of a random recording.

        Args:
            rng: where the choice comes from; the same state gives the same noise.
            length: samples; a recording's part that is shorter is repeated.
            part: whose share of the recordings.

        Returns:
            float32 [length], without offset, RMS 1. Where the recording is digitally silent, generated noise; in
            training now and then all the same.
        """
        if self.recordings and not (part == "training" and rng.random() < GENERATED_SHARE):
            noise, rms = _stretch(self.recordings, rng, length, part)
            if rms >= SILENT_RMS:
                noise *= np.float32(1.0 / rms)
                return noise
        noise, rms = _stretch(generated_noises(self.sample_rate), rng, length, part)
        noise *= np.float32(1.0 / max(rms, 1.0))
        return noise

    def shares(self, part: Part) -> tuple[list[NDArray[np.int16]], list[NDArray[np.int16]]]:
        """A part's share of each recording, and of each generated noise: int16 [samples] each, any length."""
        return (
            [_share(recording, part) for recording in self.recordings],
            [_share(noise, part) for noise in generated_noises(self.sample_rate)],
        )

    def silence(
        self, rng: np.random.Generator, length: int, part: Part, low_db: float, high_db: float
    ) -> NDArray[np.float32]:
        """A clip of the label *silence*: background noise at a random level.

        Args:
            rng: where the choice comes from.
            length: samples.
            part: whose share of the recordings.
            low_db: the least RMS level, in dB re full scale; levels are uniform in dB.
            high_db: the greatest.

        Returns:
            float32 [length], clipped to ±1.
        """
        level_db = low_db + (high_db - low_db) * rng.random()
        noise = self.draw(rng, length, part)
        noise *= np.float32(10.0 ** (level_db / 20.0))
        return np.clip(noise, -1.0, 1.0, out=noise)


def _stretch(
    recordings: Sequence[NDArray[np.int16]], rng: np.random.Generator, length: int, part: Part
) -> tuple[NDArray[np.float32], float]:
    """A stretch without offset in steps of 16 bits, float32 [length], and its RMS."""
    share = _share(recordings[int(rng.integers(len(recordings)))], part)
    start = int(rng.integers(max(1, len(share) - length + 1)))
    # np.array, not asarray: what comes out of a memory map must be plain memory.
    noise = np.array(share[start : start + length], dtype=np.float32)
    if len(noise) < length:
        noise = np.resize(noise, length)
    noise -= np.add.reduce(noise) / np.float32(length)
    return noise, sqrt(float(noise.dot(noise)) / length)


def _share(recording: NDArray[np.int16], part: Part) -> NDArray[np.int16]:
    low, high = _BOUNDS[part]
    return recording[int(low * len(recording)) : int(high * len(recording))]


@lru_cache(maxsize=2)
def generated_noises(sample_rate: int) -> tuple[NDArray[np.int16], ...]:
    """White, pink and brown noise and the hum of 50 and 60 Hz mains, a minute of each; always the same.

    Args:
        sample_rate: in Hz.

    Returns:
        int16 [60 * sample_rate] each.
    """
    length = _GENERATED_S * sample_rate
    coloured = [_coloured(exponent, length, generator(0, "generated noise", n)) for n, exponent in enumerate(_COLOURS)]
    hums = [_hum(mains_hz, sample_rate, length, generator(0, "hum", int(mains_hz))) for mains_hz in _MAINS_HZ]
    return tuple(_as_int16(noise) for noise in (*coloured, *hums))


def _coloured(exponent: float, length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose power falls as the frequency to ``exponent``, float32 [length]."""
    spectrum = np.fft.rfft(rng.standard_normal(length, dtype=np.float32))
    # Level below 20 Hz, where brown noise would put nearly all its power.
    bin_20_hz = 20 * _GENERATED_S
    spectrum *= np.maximum(np.arange(len(spectrum)), bin_20_hz).astype(np.float32) ** np.float32(-exponent / 2)
    return np.asarray(np.fft.irfft(spectrum, length), dtype=np.float32)


def _hum(mains_hz: float, sample_rate: int, length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Mains hum: harmonics falling off with their number, over faint white noise, float32 [length]."""
    time = np.arange(length) / sample_rate
    hum = 0.05 * rng.standard_normal(length, dtype=np.float32)
    for harmonic in range(1, 11):
        if harmonic * mains_hz < sample_rate / 2:
            phase = 2 * np.pi * (harmonic * mains_hz * time + rng.random())
            hum += (np.sin(phase) / harmonic).astype(np.float32)
    return hum


def _as_int16(noise: NDArray[np.float32]) -> NDArray[np.int16]:
    scaled = noise * np.float32(_GENERATED_RMS / np.sqrt(np.mean(np.square(noise))))
    return np.clip(np.round(scaled), -32_768, 32_767).astype(np.int16)
