"""Augmentation: training clips are bent anew in every epoch, each by draws of its own.

The draws of a clip are keyed by (seed, epoch, key), so what becomes of it doesn't depend on the batch it is in, on
the worker that makes it, or on what ran before. One clip at a time stays in the processor's cache; that is as fast as
whole batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.config import AugmentationSettings
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.room import N_ROOMS, reverberate
from speech_rnn.data.speed import NORMAL_SPEED, Speed, change_speed, speed_near
from speech_rnn.draws import generator

_DIRECT_TO_REVERBERANT_DB = (-2.0, 12.0)
_N_BLOCKS = 50  # a clip is that many blocks (20 ms of a second) when its active part is looked for
_ACTIVE_SHARE = 0.01  # blocks within 20 dB of the loudest are active
_CROSS_FADE_S = 0.015


class Bend(NamedTuple):
    """What happens to one clip, in this order.

    Attributes:
        room: number of the room, or None.
        direct_to_reverberant_db: how near the speaker stands in the room.
        speed: faster and higher, or slower and lower.
        shift: samples later (earlier if negative).
        gain_db: louder or softer.
        snr_db: level of the active part of the clip over the noise, or None for no noise.
    """

    room: int | None
    direct_to_reverberant_db: float
    speed: Speed
    shift: int
    gain_db: float
    snr_db: float | None


def generators(seed: int, purpose: str, epoch: int, keys: NDArray[np.int64]) -> Iterator[np.random.Generator]:
    """A generator for each key; one object, set anew at each step, since making one costs five times as much.

    Args:
        seed: the run's.
        purpose: what is drawn.
        epoch: of the run.
        keys: int64 [clips].

    Yields:
        A generator at the beginning of the key's own 2**64 draws, valid until the next one is taken.
    """
    rng = generator(seed, purpose, epoch)
    philox = rng.bit_generator
    state = philox.state
    for key in keys.astype(np.uint64):
        state["state"]["counter"][1] = key
        philox.state = state
        yield rng


def draw_bend(rng: np.random.Generator, settings: AugmentationSettings, sample_rate: int) -> Bend:
    """What happens to one clip.

    Always the same number of draws, so that switching off one kind leaves the others as they were.

    Args:
        rng: the clip's own generator.
        settings: what is allowed.
        sample_rate: in Hz.
    """
    in_room, room, direct, has_speed, speed, shift, has_gain, gain, has_noise, snr = rng.random(10).tolist()
    nearest, farthest = _DIRECT_TO_REVERBERANT_DB
    return Bend(
        room=int(room * N_ROOMS) if in_room < settings.room_probability else None,
        direct_to_reverberant_db=nearest + (farthest - nearest) * direct,
        speed=_speed(speed, settings.speed_range) if has_speed < settings.speed_probability else NORMAL_SPEED,
        shift=round((2 * shift - 1) * settings.shift_ms * sample_rate / 1_000),
        gain_db=_between(settings.gain_low_db, settings.gain_high_db, gain)
        if has_gain < settings.gain_probability
        else 0.0,
        snr_db=_between(settings.snr_low_db, settings.snr_high_db, snr)
        if has_noise < settings.noise_probability
        else None,
    )


def augment(
    waveforms: NDArray[np.float32],
    keys: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    settings: AugmentationSettings,
    noise: NoiseBank,
    sample_rate: int,
) -> NDArray[np.float32]:
    """Room, speed, shift, gain and noise, as far as the settings have them and chance wants them.

    Args:
        waveforms: float32 [clips, samples], full scale ±1; left as they are.
        keys: int64 [clips]; what the draws of a clip are keyed by, beside seed and epoch.
        seed: the run's.
        epoch: of the run, from 0.
        settings: which kinds, how often and how much.
        noise: where noise comes from; its training part is used.
        sample_rate: in Hz.

    Returns:
        float32 [clips, samples], never outside ±1: what is too loud is clipped, as by a microphone. A row depends on
        its waveform, its key, seed and epoch only.
    """
    bent = np.empty(waveforms.shape, dtype=np.float32)
    for row, waveform, rng in zip(bent, waveforms, generators(seed, "augmentation", epoch, keys), strict=True):
        bend = draw_bend(rng, settings, sample_rate)
        if bend.room is not None:
            waveform = reverberate(waveform, bend.room, bend.direct_to_reverberant_db, sample_rate)
        if bend.speed != NORMAL_SPEED:
            waveform = change_speed(waveform, bend.speed)
        _place(waveform, row, bend.shift)
        if bend.gain_db:
            row *= np.float32(10.0 ** (bend.gain_db / 20.0))
        if bend.snr_db is not None:
            background = noise.draw(rng, len(row), "training")
            background *= np.float32(active_rms(row) * 10.0 ** (-bend.snr_db / 20.0))
            row += background
        row.clip(-1.0, 1.0, out=row)
    return bent


def active_rms(samples: NDArray[np.float32]) -> float:
    """The level of what is spoken in a clip, RMS: pauses, and silence at the ends, don't count.

    Args:
        samples: float32 [samples], full scale ±1.

    Returns:
        RMS of those fiftieths of the clip that are within 20 dB of the loudest; 0 for digital silence.
    """
    block = max(1, len(samples) // _N_BLOCKS)
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    energies = np.vecdot(blocks, blocks)
    active = energies[energies >= _ACTIVE_SHARE * energies.max()]
    return sqrt(float(active.sum()) / (block * len(active)))


def mask(
    log_mel: NDArray[np.float32], keys: NDArray[np.int64], *, seed: int, epoch: int, settings: AugmentationSettings
) -> NDArray[np.float32]:
    """Time and frequency masks (D. Park et al., "SpecAugment", 2019), without the time warp.

    Args:
        log_mel: float32 [clips, frames, n_mels], dB; left as it is.
        keys: int64 [clips]; what the draws of a clip are keyed by, beside seed and epoch.
        seed: the run's.
        epoch: of the run, from 0.
        settings: how many masks and how wide; a width is uniform from 0 to the limit.

    Returns:
        float32 [clips, frames, n_mels]; masked cells hold the clip's mean.
    """
    n_masks = settings.time_masks + settings.frequency_masks
    if n_masks == 0:
        return log_mel
    masked = log_mel.copy()
    n_clips, n_frames, n_mels = log_mel.shape
    means = log_mel.reshape(n_clips, -1).mean(axis=1)
    limits = [settings.time_mask_frames] * settings.time_masks + [
        settings.frequency_mask_mels
    ] * settings.frequency_masks
    for clip, mean, rng in zip(masked, means, generators(seed, "masks", epoch, keys), strict=True):
        draws = rng.random(2 * n_masks).tolist()
        for n, limit in enumerate(limits):
            size = n_frames if n < settings.time_masks else n_mels
            width = int(draws[2 * n] * (min(limit, size) + 1))
            start = int(draws[2 * n + 1] * (size - width + 1))
            if n < settings.time_masks:
                clip[start : start + width] = mean
            else:
                clip[:, start : start + width] = mean
    return masked


def splice(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    keys: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    sample_rate: int,
) -> NDArray[np.float32]:
    """The beginning of one word and the end of another: sounds like speech, is no word.

    Each word is cut where between 40 and 60 % of its energy have passed, so that neither is whole wherever in the clip
    it lies; the cuts meet in the middle of the clip, cross-faded, the second as loud as the first.

    Args:
        first: float32 [clips, samples], full scale ±1.
        second: float32 [clips, samples], full scale ±1.
        keys: int64 [clips]; what the draws of a splice are keyed by, beside seed and epoch.
        seed: the run's.
        epoch: of the run, from 0.
        sample_rate: in Hz.

    Returns:
        float32 [clips, samples], never outside ±1.
    """
    spliced = np.zeros(first.shape, dtype=np.float32)
    length = first.shape[1]
    fade = min(round(_CROSS_FADE_S * sample_rate), length // 4)
    rising = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    middle = length // 2
    rngs = generators(seed, "splice", epoch, keys)
    for row, beginning, ending, rng in zip(spliced, first, second, rngs, strict=True):
        shares = 0.4 + 0.2 * rng.random(2)
        cuts = _energy_passed(beginning, shares[0]), _energy_passed(ending, shares[1])
        level = active_rms(ending)
        gain = active_rms(beginning) / level if level > 0 else 1.0
        end = middle + fade - fade // 2
        faded = np.zeros(length, dtype=np.float32)
        _place(beginning, row, middle - cuts[0])
        _place(ending, faded, middle - cuts[1])
        row[end:] = 0.0
        row[end - fade : end] *= rising[::-1]
        faded[: end - fade] = 0.0
        faded[end - fade : end] *= rising
        faded *= np.float32(gain)
        row += faded
        row.clip(-1.0, 1.0, out=row)
    return spliced


def _place(samples: NDArray[np.float32], row: NDArray[np.float32], shift: int) -> None:
    """Copy ``samples`` into ``row``, middle on middle and then ``shift`` later; what doesn't fit is cut."""
    start = (len(row) - len(samples)) // 2 + shift
    begin = min(max(start, 0), len(row))
    end = max(min(start + len(samples), len(row)), begin)
    row[:begin] = 0.0
    row[begin:end] = samples[begin - start : end - start]
    row[end:] = 0.0


def _energy_passed(samples: NDArray[np.float32], share: float) -> int:
    """The sample by which ``share`` of the energy has passed; the middle for digital silence."""
    passed = np.cumsum(np.square(samples))
    if passed[-1] == 0:
        return len(samples) // 2
    return int(np.searchsorted(passed, share * passed[-1]))


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


@lru_cache(maxsize=16)
def _largest_denominator(speed_range: float) -> int:
    """Fine enough that a small range has speeds in it."""
    return 50 if speed_range == 0 else min(200, max(50, ceil(2 / speed_range)))


def _speed(share: float, speed_range: float) -> Speed:
    """A speed from ``1 / (1 + range)`` to ``1 + range``, uniform in pitch."""
    speed = (1.0 + speed_range) ** (2 * share - 1)
    return speed_near(round(1_000 * speed), _largest_denominator(speed_range))
