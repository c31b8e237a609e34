"""Background noise for the embedded corpus, all made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from datasets.espeak import SAMPLE_RATE

Samples = NDArray[np.float32]


def white(rng: np.random.Generator, n: int) -> Samples:
    """The same power at every frequency."""
    return rng.standard_normal(n).astype(np.float32)


def pink(rng: np.random.Generator, n: int) -> Samples:
    """Power as 1/f: the same in each octave."""
    return _shaped(rng, n, lambda hz: 1.0 / np.sqrt(hz))


def brown(rng: np.random.Generator, n: int) -> Samples:
    """Power as 1/f²: a rumble."""
    return _shaped(rng, n, lambda hz: 1.0 / hz)


def mains_hum(rng: np.random.Generator, n: int) -> Samples:
    """50 Hz, drifting a little, with twenty overtones, over faint hiss."""
    # The grid's frequency wanders by some hundredths of a hertz.
    drift = np.interp(np.arange(n), np.linspace(0, n, 12), rng.normal(0.0, 0.03, 12))
    phase = 2.0 * np.pi * np.cumsum(50.0 + drift) / SAMPLE_RATE
    overtones = np.arange(1, 21)
    amplitudes = rng.uniform(0.3, 1.0, 20) / overtones**0.8
    phases = rng.uniform(0.0, 2.0 * np.pi, 20)
    hum = sum(a * np.sin(k * phase + p) for a, k, p in zip(amplitudes, overtones, phases, strict=True))
    return np.asarray(hum + 0.1 * pink(rng, n), np.float32)


def fan(rng: np.random.Generator, n: int) -> Samples:
    """Air through blades: noise around some hundred hertz, beating with the rotation, and a whine."""
    time_s = np.arange(n) / SAMPLE_RATE
    air = _shaped(rng, n, lambda hz: 1.0 / (1.0 + (hz / 400.0) ** 1.5))
    beat = 1.0 + 0.3 * np.sin(2.0 * np.pi * 23.0 * time_s + 0.4 * np.sin(2.0 * np.pi * 0.3 * time_s))
    whine = 0.15 * np.sin(2.0 * np.pi * 161.0 * time_s) + 0.05 * np.sin(2.0 * np.pi * 966.0 * time_s)
    return (air * beat + whine).astype(np.float32)


def rain(rng: np.random.Generator, n: int) -> Samples:
    """Four hundred drops a second, each a short ringing click, over a hiss."""
    drops = np.zeros(n)
    length = round(0.012 * SAMPLE_RATE)
    time_s = np.arange(length) / SAMPLE_RATE
    for start in rng.integers(0, n - length, size=400 * n // SAMPLE_RATE):
        ring = np.sin(2.0 * np.pi * rng.uniform(900.0, 6_500.0) * time_s) * np.exp(-time_s / rng.uniform(0.0005, 0.004))
        drops[start : start + length] += rng.exponential() * ring
    hiss = _shaped(rng, n, lambda hz: 1.0 / (1.0 + (1_000.0 / hz) ** 2))
    return np.asarray(drops / drops.std() + 0.5 * hiss, np.float32)


def traffic(rng: np.random.Generator, n: int) -> Samples:
    """A rumble that swells and fades as cars pass."""
    n_points = max(4, n // (2 * SAMPLE_RATE))
    swell_db = np.interp(np.arange(n), np.linspace(0, n, n_points), rng.uniform(-12.0, 6.0, n_points))
    rumble = _shaped(rng, n, lambda hz: 1.0 / (1.0 + (hz / 150.0) ** 1.2))
    return (rumble * 10.0 ** (swell_db / 20.0)).astype(np.float32)


GENERATED: dict[str, Callable[[np.random.Generator, int], Samples]] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "mains_hum": mains_hum,
    "fan": fan,
    "rain": rain,
    "traffic": traffic,
}

# None of the corpus's words is in it.
BABBLE_TEXT = (
    "Good morning, have you heard about the weather? They say it may be raining later, perhaps towards evening.",
    "We should buy some bread and butter, and a bottle of milk, before the market closes.",
    "My brother is coming with his children, but their train was delayed again this week.",
    "Please put the large table beside that window, where everybody can reach it.",
    "Nobody believed what the doctor told them, because it sounded rather strange.",
    "Yesterday I met an old friend who used to play music with us at school.",
    "Could you pass me the salt? These potatoes taste of nothing at all.",
    "The meeting has been moved to Thursday, since half of them are away.",
)


def babble(rng: np.random.Generator, n: int, voices: Sequence[Samples]) -> Samples:
    """Many voices at once: each goes round twice, from places of its own, at levels within 10 dB."""
    mixed = np.zeros(n)
    for spoken in (*voices, *voices):
        around = np.resize(np.roll(spoken, int(rng.integers(len(spoken)))), n)
        mixed += around / around.std() * 10.0 ** (rng.uniform(-10.0, 0.0) / 20.0)
    return mixed.astype(np.float32)


def _shaped(rng: np.random.Generator, n: int, gain: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Samples:
    """White noise through a gain over frequency (from 20 Hz up), at RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1.0 / SAMPLE_RATE)
    spectrum *= np.where(hz < 20.0, 0.0, gain(np.maximum(hz, 20.0)))
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / noise.std(), np.float32)
