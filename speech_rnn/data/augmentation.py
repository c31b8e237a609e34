"""Augmentation: training clips are bent anew each time they are heard, in the domain of mel energies.

There it costs a fifth of what it costs on waveforms, from which features must be made anew: a shift moves frames, noise
adds energies, tempo and pitch warp the two axes. What needs the waveform is in :mod:`speech_rnn.data.renderings`.

The draws of a clip are keyed by (seed, epoch, key), so what becomes of it doesn't depend on the batch it is in, on
the worker that makes it, or on what ran before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.config import AugmentationSettings, FeatureSettings
from speech_rnn.data.level import active_power
from speech_rnn.data.noise import GENERATED_SHARE, SILENT_RMS, NoiseBank
from speech_rnn.draws import generators

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_NEIGHBOUR_DISTANCE = (0.5, 0.9)  # from the middle of one clip to that of the other, in clips
_NEIGHBOUR_DB = (-9.0, 9.0)
_N_COLOURS = 3
_SPLICE_SHARES = (0.4, 0.6)
_NEPER_PER_DB = np.float32(np.log(10) / 10)


class Bends(NamedTuple):
    """What happens to clips, in this order; [clips] each.

    Attributes:
        rendering: which of the clip's renderings is heard, int64.
        tempo: above 1 is faster, about the middle of the clip.
        shift: frames later (earlier if negative), int64.
        pitch: above 1 is higher.
        neighbour: which clip is heard beside it, a share of all that may be; NaN for none.
        neighbour_shift: frames from it to the neighbour, int64.
        neighbour_db: how much louder than it was recorded the neighbour is.
        gain_db: louder or softer.
        colour: frequency response of the microphone, [clips, 3]; see :func:`colours`.
        snr_db: level of the active part of the clip over the noise; NaN for no noise.
        noise: where the noise is from: [clips, 3], shares for :meth:`NoiseFrames.at`.
        noise_colour: as ``colour``, of the noise.
    """

    rendering: Integers
    tempo: Floats
    shift: Integers
    pitch: Floats
    neighbour: Floats
    neighbour_shift: Integers
    neighbour_db: Floats
    gain_db: Floats
    colour: Floats
    snr_db: Floats
    noise: NDArray[np.float64]
    noise_colour: Floats

    def of_speech(self, is_speech: NDArray[np.bool_]) -> Bends:
        """The same where bool [clips] has it; elsewhere, where noise lies at a level that counts, the colour only."""
        none = np.float32(np.nan)
        return self._replace(
            tempo=np.where(is_speech, self.tempo, np.float32(1.0)),
            shift=np.where(is_speech, self.shift, 0),
            pitch=np.where(is_speech, self.pitch, np.float32(1.0)),
            neighbour=np.where(is_speech, self.neighbour, none),
            gain_db=np.where(is_speech, self.gain_db, np.float32(0.0)),
            snr_db=np.where(is_speech, self.snr_db, none),
        )


def draw_bends(
    keys: Integers, *, seed: int, epoch: int, settings: AugmentationSettings, features: FeatureSettings
) -> Bends:
    """What happens to clips.

    Always the same number of draws, so that switching off one kind leaves the others as they were.

    Args:
        keys: int64 [clips]; what the draws of a clip are keyed by, beside seed and epoch.
        seed: the run's.
        epoch: of the run, from 0.
        settings: which kinds, how often and how much.
        features: the front end.
    """
    rngs = generators(seed, "augmentation", epoch, keys)
    u = np.array([rng.random(23) for rng in rngs]).reshape(len(keys), 23).T
    far = _between(_NEIGHBOUR_DISTANCE, u[6]) * features.n_frames
    return Bends(
        rendering=(u[0] * settings.renderings).astype(np.int64),
        tempo=_factor(settings.tempo_range, u[1]),
        shift=np.rint((2 * u[2] - 1) * settings.shift_ms / 1_000 / features.hop_s).astype(np.int64),
        pitch=_factor(settings.pitch_range, u[3]),
        neighbour=_where(u[4] < settings.neighbour_probability, u[5]),
        neighbour_shift=np.where(u[7] < 0.5, -far, far).astype(np.int64),
        neighbour_db=_between(_NEIGHBOUR_DB, u[8]).astype(np.float32),
        gain_db=np.where(
            u[9] < settings.gain_probability, _between((settings.gain_low_db, settings.gain_high_db), u[10]), 0.0
        ).astype(np.float32),
        colour=(settings.colour_db * (2 * u[11:14] - 1)).T.astype(np.float32),
        snr_db=_where(u[14] < settings.noise_probability, _between((settings.snr_low_db, settings.snr_high_db), u[15])),
        noise=u[16:19].T,
        noise_colour=(settings.colour_db * (2 * u[19:22] - 1)).T.astype(np.float32),
    )


class NoiseFrames:
    """The mel energies of the noise that training hears."""

    def __init__(self, bank: NoiseBank, settings: FeatureSettings) -> None:
        """Transform the training part of the bank: 0.1 s a minute of noise, 1 MB."""
        kinds = []
        for shares in bank.shares("training"):
            frames = [_noise_powers(share, settings) for share in shares]
            kinds.append([one for one in frames if len(one)])
        self._recorded = len(kinds[0])
        lengths = [len(one) for kind in kinds for one in kind]
        self._lengths = np.array(lengths, np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)[:-1]])
        self._frames = np.concatenate([one for kind in kinds for one in kind])

    def at(self, shares: NDArray[np.float64], n_frames: int) -> Floats:
        """Stretches of noise.

        Args:
            shares: float64 [clips, 3], from 0 to 1: whether it is generated, which one, where it begins.
            n_frames: how long; one that is shorter is repeated.

        Returns:
            float32 [clips, n_frames, n_mels], powers; how loud they are beside the others means nothing.
        """
        generated = (shares[:, 0] < GENERATED_SHARE) | (self._recorded == 0)
        n = np.where(generated, len(self._lengths) - self._recorded, self._recorded)
        chosen = np.where(generated, self._recorded, 0) + (shares[:, 1] * n).astype(np.int64)
        length = self._lengths[chosen][:, np.newaxis]
        begin = (shares[:, 2:] * np.maximum(1, length - n_frames + 1)).astype(np.int64)
        within = (begin + np.arange(n_frames)) % length
        stretches: Floats = self._frames[self._starts[chosen][:, np.newaxis] + within]
        return stretches


def bend(
    log_mel: Floats, bends: Bends, settings: FeatureSettings, *, neighbours: Floats | None = None, noise: NoiseFrames
) -> Floats:
    """Clips bent; the choice of the rendering is made before.

    Args:
        log_mel: float32 [clips, frames, n_mels], dB, as :func:`speech_rnn.features.log_mel` gives; left as it is.
        bends: what happens to them.
        settings: the front end.
        neighbours: the clips that are heard beside those that ``bends`` gives one, in their order; float32
            [n, frames, n_mels]. Without them none is heard.
        noise: where noise comes from.

    Returns:
        float32 [clips, frames, n_mels], dB, not below the floor. A row depends on its clip and its bends only.
    """
    n_frames = log_mel.shape[1]
    floor_db = _floor_db(settings)
    log_mel = _warped_in_frequency(_moved(log_mel, bends.tempo, bends.shift, floor_db), bends.pitch, settings)
    power = _power(log_mel, floor_db)
    beside = np.flatnonzero(~np.isnan(bends.neighbour))
    if neighbours is not None and len(beside):
        shift = bends.shift[beside] + bends.neighbour_shift[beside]
        second = _power(_moved(neighbours, np.ones(len(beside), np.float32), shift, floor_db), floor_db)
        power[beside] += second * _ratio(bends.neighbour_db[beside])[:, np.newaxis, np.newaxis]
    power *= _ratio(colours(bends.colour, settings.n_mels) + bends.gain_db[:, np.newaxis])[:, np.newaxis]
    noisy = np.flatnonzero(~np.isnan(bends.snr_db))
    if len(noisy):
        background = noise.at(bends.noise[noisy], n_frames)
        background *= _ratio(colours(bends.noise_colour[noisy], settings.n_mels))[:, np.newaxis]
        widths = band_widths(settings)
        # vecdot, not @: BLAS rounds a row otherwise in other company.
        spoken = active_power(np.vecdot(power[noisy], widths)) * _ratio(-bends.snr_db[noisy])
        background *= (spoken / np.vecdot(background, widths).mean(axis=1))[:, np.newaxis, np.newaxis]
        power[noisy] += background
    np.maximum(power, np.float32(settings.power_floor), out=power)
    np.log(power, out=power)
    power *= features.DB_PER_NEPER
    return power


def mask(log_mel: Floats, keys: Integers, *, seed: int, epoch: int, settings: AugmentationSettings) -> Floats:
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
    means = log_mel.reshape(n_clips, n_frames * n_mels).mean(axis=1)
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


def splice(first: Floats, second: Floats, shares: NDArray[np.float64], settings: FeatureSettings) -> Floats:
    """The beginning of one word and the end of another: sounds like speech, is no word.

    Each word is cut where between 40 and 60 % of its energy have passed, so that neither is whole wherever in the clip
    it lies; the cuts meet in the middle of the clip, the second as loud as the first.

    Args:
        first: float32 [frames, n_mels], dB.
        second: float32 [frames, n_mels], dB.
        shares: float64 [2], from 0 to 1: where between the two bounds each is cut.
        settings: the front end.

    Returns:
        float32 [frames, n_mels], dB.
    """
    floor_db = _floor_db(settings)
    n_frames = len(first)
    middle = n_frames // 2
    powers = np.vecdot(_power(np.stack([first, second]), floor_db), band_widths(settings))
    passed = np.cumsum(powers, axis=1)
    wanted = _between(_SPLICE_SHARES, shares)
    cuts = [int(np.searchsorted(one, share * one[-1])) for one, share in zip(passed, wanted, strict=True)]
    spliced = np.full_like(first, floor_db)
    begin = max(0, middle - cuts[0])
    spliced[begin:middle] = first[cuts[0] - (middle - begin) : cuts[0]]
    end = min(n_frames, middle + n_frames - cuts[1])
    levels = active_power(powers)
    gain_db = 10 * np.log10(levels[0] / levels[1]) if levels.min() > 0 else 0.0
    spliced[middle:end] = _louder(second[cuts[1] : cuts[1] + end - middle], float(gain_db), floor_db)
    return spliced


def colours(amounts: Floats, n_mels: int) -> Floats:
    """Smooth frequency responses.

    Args:
        amounts: float32 [clips, 3], dB: of a tilt, of an arch, and of a wave over the whole range.
        n_mels: bands.

    Returns:
        float32 [clips, n_mels], dB.
    """
    x = np.linspace(-1.0, 1.0, n_mels)
    shapes = np.stack([x, np.cos(np.pi * x / 2) * 2 - 1, np.sin(np.pi * x)]).astype(np.float32)
    # Summed one by one, not by BLAS, which rounds a row otherwise in other company.
    tilts, arches, waves = amounts.T[..., np.newaxis] * shapes[:, np.newaxis]
    return np.asarray(tilts + arches + waves, np.float32)


def band_widths(settings: FeatureSettings) -> Floats:
    """Width of each band, Hz, float32 [n_mels]: a band holds a density, which times its width is power."""
    edges = np.array(settings.band_edges_hz)
    widths: Floats = ((edges[2:] - edges[:-2]) / 2).astype(np.float32)
    return widths


def _noise_powers(share: NDArray[np.int16], settings: FeatureSettings) -> Floats:
    """The powers of those frames that aren't silent, [frames, n_mels]; none of what lasts less than a frame."""
    none = np.empty((0, settings.n_mels), np.float32)
    if len(share) < settings.n_fft:
        return none
    samples = share.astype(np.float32)
    samples -= samples.mean()
    rms = float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
    if rms < SILENT_RMS:
        return none
    # As loud as may be, so that the floor doesn't show.
    samples *= np.float32(features.LARGEST_SAMPLE / 2) / np.abs(samples).max()
    powers = _power(features.log_mel(samples[np.newaxis], settings)[0], _floor_db(settings))
    loudness = np.vecdot(powers, band_widths(settings))
    sounding: Floats = powers[(loudness > 0) & (loudness >= (SILENT_RMS / rms) ** 2 * loudness.mean())]
    return sounding


def _moved(log_mel: Floats, tempo: Floats, shift: Integers, floor_db: np.float32) -> Floats:
    """Faster or slower about the middle, then later; what comes in at the ends is digital silence."""
    n_clips, n_frames, n_mels = log_mel.shape
    padded = np.full((n_clips, n_frames + 2, n_mels), floor_db, np.float32)
    padded[:, 1:-1] = log_mel
    middle = (n_frames - 1) / 2
    position = (np.arange(n_frames) - shift[:, np.newaxis] - middle) * tempo[:, np.newaxis].astype(np.float64) + middle
    return _interpolated(padded, np.clip(position + 1, 0, n_frames + 1))


def _warped_in_frequency(log_mel: Floats, pitch: Floats, settings: FeatureSettings) -> Floats:
    """Higher or lower, in place; what would come from beyond the last band is that band."""
    warped = np.flatnonzero(pitch != 1)
    if not len(warped):
        return log_mel
    centres = np.array(settings.band_edges_hz[1:-1])
    position = np.interp(centres / pitch[warped, np.newaxis], centres, np.arange(len(centres)))
    log_mel[warped] = _interpolated(log_mel[warped].transpose(0, 2, 1), position).transpose(0, 2, 1)
    return log_mel


def _interpolated(rows: Floats, position: NDArray[np.float64]) -> Floats:
    """[clips, n, m] at positions [clips, k] of the second axis, linear: [clips, k, m]."""
    below = np.minimum(position.astype(np.int64), rows.shape[1] - 1)
    above = np.minimum(below + 1, rows.shape[1] - 1)
    clip = np.arange(len(rows))[:, np.newaxis]
    share = (position - below).astype(np.float32)[..., np.newaxis]
    result: Floats = rows[clip, below]
    result += share * (rows[clip, above] - result)
    return result


def _power(log_mel: Floats, floor_db: np.float32) -> Floats:
    """Powers; what lies on the floor is digital silence and stays so however much louder it is made."""
    power: Floats = np.exp(log_mel * _NEPER_PER_DB)
    power *= log_mel > floor_db
    return power


def _louder(log_mel: Floats, gain_db: float, floor_db: np.float32) -> Floats:
    return np.where(log_mel > floor_db, np.maximum(log_mel + np.float32(gain_db), floor_db), floor_db)


def _floor_db(settings: FeatureSettings) -> np.float32:
    # A little over it: logarithms round, and so do the 16 bits of the cache.
    floor_db = 10 * np.log10(settings.power_floor)
    return np.float32(max(floor_db, float(np.float16(floor_db))) + 1e-3)


def _ratio(decibels: Floats) -> Floats:
    return np.asarray(np.exp(decibels * _NEPER_PER_DB), np.float32)


def _between(bounds: tuple[float, float], share: NDArray[np.float64]) -> NDArray[np.float64]:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _factor(extent: float, share: NDArray[np.float64]) -> Floats:
    """From ``1 / (1 + extent)`` to ``1 + extent``, uniform in its logarithm."""
    return ((1.0 + extent) ** (2 * share - 1)).astype(np.float32)


def _where(condition: NDArray[np.bool_], values: NDArray[np.float64]) -> Floats:
    return np.where(condition, values, np.nan).astype(np.float32)
