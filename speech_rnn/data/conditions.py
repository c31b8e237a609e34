"""Other recordings than those at hand: clips as other levels, places, microphones and codecs would have given them.

A validation part comes from the same microphones and rooms as the training part, and flatters. These conditions go
beyond what training bends, each in one way, drawn by clip, so that a model is judged by the same sound in every run.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

from speech_rnn.data.clips import Part
from speech_rnn.data.level import active_rms
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.room import N_ROOMS, reverberate
from speech_rnn.draws import generator

Samples = NDArray[np.float32]
_FULL_SCALE = np.float32(32_768)


class _Codec(NamedTuple):
    rate: int
    format: str
    subtype: str
    compression: float | None = None  # towards 1: less quality


_CODECS = (
    _Codec(8_000, "WAV", "ULAW"),
    _Codec(8_000, "WAV", "GSM610"),
    _Codec(16_000, "MP3", "MPEG_LAYER_III", 0.99),
    _Codec(16_000, "OGG", "VORBIS", 1.0),
    _Codec(16_000, "OGG", "OPUS", 1.0),
)


class Scene(NamedTuple):
    """What a condition may draw from.

    Attributes:
        rng: the clip's own.
        noise: background noise.
        part: whose noise is used.
        sample_rate: in Hz.
    """

    rng: np.random.Generator
    noise: NoiseBank
    part: Part
    sample_rate: int


def under_condition(
    name: str,
    clips: Samples,
    keys: NDArray[np.int64],
    noise: NoiseBank,
    sample_rate: int,
    *,
    part: Part = "validation",
    seed: int = 0,
) -> Samples:
    """Clips under one of :data:`CONDITIONS`.

    Args:
        name: of the condition.
        clips: float32 [clips, samples], full scale ±1; left as they are.
        keys: int64 [clips]; what the draws of a clip are keyed by.
        noise: where background comes from.
        sample_rate: in Hz.
        part: whose noise is used.
        seed: of all draws.

    Returns:
        float32 [clips, samples], full scale ±1, in steps of 16 bits. A row depends on its clip, its key and the seed.
    """
    bent = np.empty_like(clips)
    for row, clip, key in zip(bent, clips, keys.tolist(), strict=True):
        sound = CONDITIONS[name](clip, Scene(generator(seed, f"condition {name}", key), noise, part, sample_rate))
        row[:] = np.clip(np.rint(sound * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1) / _FULL_SCALE
    return bent


def _soft(clip: Samples, scene: Scene) -> Samples:
    """30 to 20 dB softer: someone far from the microphone; what is left of 16 bits."""
    return clip * _gain(scene.rng.uniform(-30.0, -20.0))


def _clipped(clip: Samples, scene: Scene) -> Samples:
    """So loud that the peaks are cut: the loudest sample would be 3 to 15 dB over full scale."""
    peak = float(np.abs(clip).max())
    return clip * (_gain(scene.rng.uniform(3.0, 15.0)) / np.float32(peak)) if peak > 0 else clip


def _noisy(clip: Samples, scene: Scene) -> Samples:
    """Background 5 dB over the word to 5 dB under it."""
    background = scene.noise.draw(scene.rng, len(clip), scene.part)
    return clip + background * np.float32(active_rms(clip)) * _gain(scene.rng.uniform(-5.0, 5.0))


def _shifted(clip: Samples, scene: Scene) -> Samples:
    """A fifth to three tenths of the clip too early or too late: words off the middle, some of them cut."""
    return _moved(clip, scene.rng.choice([-1, 1]) * scene.rng.uniform(0.2, 0.3))


def _cut(clip: Samples, scene: Scene) -> Samples:
    """The first or the last tenth of what is spoken is missing."""
    energy = np.cumsum(np.square(clip, dtype=np.float64))
    if energy[-1] == 0:
        return clip
    begin, end = np.searchsorted(energy, [0.005 * energy[-1], 0.995 * energy[-1]])
    missing = (end - begin) // 10
    result = clip.copy()
    if scene.rng.random() < 0.5:
        result[: begin + missing] = 0.0
    else:
        result[end - missing :] = 0.0
    return result


def _microphone(clip: Samples, scene: Scene) -> Samples:
    """A high-pass at 150 to 500 Hz, a low-pass at 2,500 to 3,800 Hz, a resonance of up to 10 dB: small and cheap."""
    rng, rate = scene.rng, scene.sample_rate
    low, high, peak = rng.uniform(150.0, 500.0), rng.uniform(2_500.0, 3_800.0), rng.uniform(400.0, 2_500.0)
    highest = 0.45 * rate  # what the rate carries
    band = scipy.signal.butter(1, [low, min(high, highest)], "bandpass", fs=rate)
    resonance = scipy.signal.iirpeak(min(peak, highest), 3.0, fs=rate)
    heard = scipy.signal.lfilter(*band, clip)
    heard = heard + (10.0 ** (rng.uniform(0.0, 10.0) / 20.0) - 1.0) * scipy.signal.lfilter(*resonance, heard)
    return _as_loud(heard.astype(np.float32), clip)


def _codec(clip: Samples, scene: Scene) -> Samples:
    """Once through a telephone (µ-law at 8 kHz, or GSM), MP3, Vorbis or Opus at their lowest quality."""
    codec = _CODECS[int(scene.rng.integers(len(_CODECS)))]
    memory = io.BytesIO()
    soundfile.write(
        memory,
        soxr.resample(clip, scene.sample_rate, codec.rate),
        codec.rate,
        format=codec.format,
        subtype=codec.subtype,
        compression_level=codec.compression,
    )
    memory.seek(0)
    decoded, decoded_rate = soundfile.read(memory, dtype="float32")
    heard = soxr.resample(decoded, decoded_rate, scene.sample_rate)
    return _aligned(heard, clip)


def _echo(clip: Samples, scene: Scene) -> Samples:
    """A room that training doesn't have, most of the sound from its walls; training has the first ``N_ROOMS``."""
    room = N_ROOMS + int(scene.rng.integers(N_ROOMS))
    return reverberate(clip, room, scene.rng.uniform(-6.0, 0.0), scene.sample_rate)


# Name -> what it does to a clip.
CONDITIONS: Mapping[str, Callable[[Samples, Scene], Samples]] = {
    "soft": _soft,
    "clipped": _clipped,
    "noisy": _noisy,
    "off the middle": _shifted,
    "cut": _cut,
    "microphone": _microphone,
    "codec": _codec,
    "echo": _echo,
}


def _gain(level_db: float) -> np.float32:
    return np.float32(10.0 ** (level_db / 20.0))


def _as_loud(heard: Samples, clip: Samples) -> Samples:
    """A sound at the RMS of another."""
    energy = float(heard.dot(heard))
    return heard * np.float32(np.sqrt(float(clip.dot(clip)) / energy)) if energy > 0 else heard


def _moved(clip: Samples, share: float) -> Samples:
    """A clip later by a share of its length, earlier if negative; what goes beyond the ends is lost."""
    shift = round(share * len(clip))
    moved = np.zeros_like(clip)
    if shift >= 0:
        moved[shift:] = clip[: len(clip) - shift]
    else:
        moved[:shift] = clip[-shift:]
    return moved


def _aligned(heard: Samples, clip: Samples) -> Samples:
    """A decoded sound as long as the clip and, since codecs delay, where it was."""
    longest = len(clip) // 10  # as far as a codec's delay is looked for
    padded = np.pad(heard, (0, max(0, len(clip) + longest - len(heard))))
    likeness = scipy.signal.correlate(padded[: len(clip) + longest], clip, mode="valid")
    delay = int(np.argmax(likeness))
    return padded[delay : delay + len(clip)]
