"""Training clips bent on the GPU: what :mod:`speech_rnn.data.augmentation` does, for thousands of clips at a time.

The kinds, their order and their settings are the same; the draws are PyTorch's. Spectrograms are float32
[batch, frames, bands], dB, powers likewise.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from benchmarks.gpu.bundle import UNKNOWN, Bundle
from benchmarks.gpu.plan import Bending

FLOOR_DB = -80.0
# Rounding lifts what lay on the floor a little over it; it is digital silence all the same.
_AUDIBLE_DB = FLOOR_DB + 0.1
_ACTIVE_SHARE = 0.01  # of the loudest frame's power: what is within 20 dB of it is spoken
_HOP_MS = 10.0
_NEIGHBOUR_DISTANCE = (0.5, 0.9)  # from the middle of one clip to that of the other, in clips
_NEIGHBOUR_DB = (-9.0, 9.0)
_N_COLOURS = 3
_SPLICE_SHARES = (0.4, 0.6)


class Bender:
    """Bends clips, each time otherwise."""

    def __init__(self, bundle: Bundle, partners: torch.Tensor, how: Bending) -> None:
        """Hold what is bent.

        Args:
            bundle: the clips, and the noise.
            partners: int64 [n], clips that may be heard beside others, and whose halves may make an unknown word.
            how: what happens to clips, how often and how much.
        """
        self.bundle, self.partners, self.how = bundle, partners, how
        self.device = bundle.device
        self.n_frames, self.n_bands = bundle.clips.shape[1:]
        self.centres_hz = bundle.edges_hz[1:-1].float()
        self.widths_hz = band_widths(bundle.edges_hz).float()

    def bent(self, clips: torch.Tensor) -> torch.Tensor:
        """Clips as they are heard this time.

        Args:
            clips: int64 [batch], of the bundle; -1 for a stretch of noise, which is heard as silence.
        """
        how, n, is_clip = self.how, len(clips), clips >= 0
        rendered = self._shares(n) < how.rendered
        log_mel = self._disguised(self._log_mel(clips.clamp(min=0), rendered), clips, rendered)
        shift = torch.round(self._between(-1.0, 1.0, n) * how.shift_ms / _HOP_MS)
        log_mel = moved(log_mel, self._factors(how.tempo_range, n), shift)
        power = powers(warped_in_frequency(log_mel, self._factors(how.pitch_range, n), self.centres_hz))
        self._add_neighbours(power, is_clip, rendered, shift)
        gain_db = torch.where(
            self._shares(n) < how.gain_probability, self._between(how.gain_low_db, how.gain_high_db, n), 0.0
        )
        colour_db = self._colours_db(n)
        self._replace_by_silence(power, gain_db, ~is_clip)
        power *= ratios(colour_db + gain_db[:, None])[:, None]
        power += self._noise_under(power, is_clip)
        log_mel = 10 * torch.log10(power.clamp(min=10 ** (FLOOR_DB / 10)))
        n_masks = how.time_masks + how.frequency_masks
        return masked(log_mel, [(self._shares(n), self._shares(n)) for _ in range(n_masks)], how)

    def _log_mel(self, clips: torch.Tensor, rendered: torch.Tensor) -> torch.Tensor:
        """Clips as they were recorded, or in their other rendering where they have one."""
        others = self.bundle.rendered
        is_other = rendered & (clips < len(others))
        found = torch.where(is_other[:, None, None], others[clips.clamp(max=len(others) - 1)], self.bundle.clips[clips])
        return found.float()

    def _disguised(self, log_mel: torch.Tensor, clips: torch.Tensor, rendered: torch.Tensor) -> torch.Tensor:
        """Some of the unknown replaced by the halves of two words, or reversed."""
        how, is_unknown = self.how, self.bundle.labels_of(clips) == UNKNOWN
        which = self._shares(len(clips))
        is_spliced = is_unknown & (which < how.splice_probability)
        is_reversed = is_unknown & ~is_spliced & (which < how.splice_probability + how.reverse_probability)
        log_mel = torch.where(is_reversed[:, None, None], log_mel.flip(1), log_mel)
        rows = torch.nonzero(is_spliced)[:, 0]
        if not len(rows):
            return log_mel
        pair = self.partners[self._integers(len(self.partners), 2 * len(rows))].reshape(2, -1)
        # Two halves of one word would be that word.
        differ = self.bundle.word[pair[0]] != self.bundle.word[pair[1]]
        rows, pair = rows[differ], pair[:, differ]
        shares = torch.stack([self._shares(len(rows)), self._shares(len(rows))], 1)
        first, second = (self._log_mel(one, rendered[rows]) for one in pair)
        log_mel[rows] = spliced(first, second, shares, self.widths_hz)
        return log_mel

    def _add_neighbours(
        self, power: torch.Tensor, is_clip: torch.Tensor, rendered: torch.Tensor, shift: torch.Tensor
    ) -> None:
        """The end of another word before some clips, or the beginning of one after them; in place."""
        rows = torch.nonzero((self._shares(len(power)) < self.how.neighbour_probability) & is_clip)[:, 0]
        n = len(rows)
        if not n:
            return
        distance = self._between(*_NEIGHBOUR_DISTANCE, n) * self.n_frames
        distance *= torch.where(self._shares(n) < 0.5, -1.0, 1.0)
        others = self._log_mel(self.partners[self._integers(len(self.partners), n)], rendered[rows])
        others = moved(others, torch.ones(n, device=self.device), shift[rows] + torch.trunc(distance))
        power[rows] += powers(others) * ratios(self._between(*_NEIGHBOUR_DB, n))[:, None, None]

    def _replace_by_silence(self, power: torch.Tensor, gain_db: torch.Tensor, is_silence: torch.Tensor) -> None:
        """Stretches of noise at a level of their own, to which no gain is added; in place."""
        rows = torch.nonzero(is_silence)[:, 0]
        if not len(rows):
            return
        frames, level_db = self._stretches(len(rows))
        wanted_db = self._between(self.how.silence_low_db, self.how.silence_high_db, len(rows))
        mean_db = 10 * torch.log10(torch.pow(10.0, level_db / 10).mean(1))
        power[rows] = ratios(frames + (wanted_db - mean_db)[:, None, None])
        gain_db[rows] = 0.0

    def _noise_under(self, power: torch.Tensor, is_clip: torch.Tensor) -> torch.Tensor:
        """Noise under some clips, so many dB below what is spoken in them; 0 under the others."""
        how, n = self.how, len(power)
        is_noisy = (self._shares(n) < how.noise_probability) & is_clip
        frames, _ = self._stretches(n)
        noise = ratios(frames + self._colours_db(n)[:, None])
        spoken = active_power((power * self.widths_hz).sum(2))
        snr_db = self._between(how.snr_low_db, how.snr_high_db, n)
        gain = spoken * ratios(-snr_db) / (noise * self.widths_hz).sum(2).mean(1)
        return noise * (gain * is_noisy)[:, None, None]

    def _stretches(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Stretches of noise as long as a clip, and the level of each frame [n, frames]; short ones are repeated."""
        noise = self.bundle.noise
        is_generated = self._shares(n) < noise.generated_share
        which = torch.where(
            is_generated,
            noise.generated[self._integers(len(noise.generated), n)],
            noise.recorded[self._integers(len(noise.recorded), n)],
        )
        length = noise.lengths[which]
        begin = (self._shares(n) * (length - self.n_frames + 1).clamp(min=1)).long()
        within = (begin[:, None] + torch.arange(self.n_frames, device=self.device)) % length[:, None]
        index = noise.starts[which][:, None] + within
        return noise.frames[index], noise.level[index]

    def _colours_db(self, n: int) -> torch.Tensor:
        amounts = self.how.colour_db * (2 * torch.rand(n, _N_COLOURS, device=self.device) - 1)
        return colours(amounts, self.n_bands)

    def _shares(self, n: int) -> torch.Tensor:
        """Uniform from 0 to 1, float32 [n]."""
        return torch.rand(n, device=self.device)

    def _between(self, low: float, high: float, n: int) -> torch.Tensor:
        return low + (high - low) * self._shares(n)

    def _factors(self, extent: float, n: int) -> torch.Tensor:
        """From ``1 / (1 + extent)`` to ``1 + extent``, uniform in the logarithm."""
        return (1 + extent) ** self._between(-1.0, 1.0, n)

    def _integers(self, end: int, n: int) -> torch.Tensor:
        """From 0 to below ``end``, int64 [n]."""
        return torch.randint(end, (n,), device=self.device)


def moved(log_mel: torch.Tensor, tempo: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Faster or slower about the middle, then later; what comes in at the ends is digital silence.

    Args:
        log_mel: the clips.
        tempo: float32 [batch], above 1 is faster.
        shift: float32 [batch], whole frames later.
    """
    n_frames = log_mel.shape[1]
    middle = (n_frames - 1) / 2
    frame = torch.arange(n_frames, device=log_mel.device)
    position = (frame - shift[:, None] - middle) * tempo[:, None] + middle
    padded = functional.pad(log_mel, (0, 0, 1, 1), value=FLOOR_DB)
    return _interpolated(padded, (position + 1).clamp(0, n_frames + 1))


def warped_in_frequency(log_mel: torch.Tensor, pitch: torch.Tensor, centres_hz: torch.Tensor) -> torch.Tensor:
    """Higher or lower; what would come from beyond the last band is that band.

    Args:
        log_mel: the clips.
        pitch: float32 [batch], above 1 is higher.
        centres_hz: float32 [bands], evenly spaced in mel.
    """
    last = len(centres_hz) - 1
    mels, wanted = _mels(centres_hz), _mels(centres_hz / pitch[:, None])
    position = ((wanted - mels[0]) / (mels[-1] - mels[0]) * last).clamp(0, last)
    return _interpolated(log_mel.transpose(1, 2), position).transpose(1, 2)


def spliced(first: torch.Tensor, second: torch.Tensor, shares: torch.Tensor, widths_hz: torch.Tensor) -> torch.Tensor:
    """The beginning of one word and the end of another; see :func:`speech_rnn.data.augmentation.splice`.

    Args:
        first: the clips that are heard first.
        second: those that are heard then.
        shares: float32 [batch, 2], from 0 to 1: where between its two bounds each is cut.
        widths_hz: float32 [bands].
    """
    n_frames, n_bands = first.shape[1:]
    middle, (low, high) = n_frames // 2, _SPLICE_SHARES
    cuts, levels = [], []
    for word, share in zip((first, second), (low + (high - low) * shares).T, strict=True):
        frame_powers = (powers(word) * widths_hz).sum(2)
        passed = frame_powers.cumsum(1)
        cut = torch.searchsorted(passed, (share * passed[:, -1])[:, None])
        cuts.append(cut.clamp(max=n_frames - 1))
        levels.append(active_power(frame_powers))
    frame = torch.arange(n_frames, device=first.device)[None]
    is_first = frame < middle
    position = frame - middle + torch.where(is_first, cuts[0], cuts[1])
    index = position.clamp(0, n_frames - 1)[..., None].expand(-1, -1, n_bands)
    # 0 / 0 is where both are digital silence.
    gain_db = 10 * torch.log10((levels[0] / levels[1]).nan_to_num(1.0).clamp(1e-6, 1e6))
    louder = torch.where(second > _AUDIBLE_DB, second + gain_db[:, None, None], FLOOR_DB)
    taken = torch.where(is_first[..., None], first.gather(1, index), louder.gather(1, index))
    is_within = (position >= 0) & (position < n_frames)
    return torch.where(is_within[..., None], taken, FLOOR_DB).clamp(min=FLOOR_DB)


def masked(log_mel: torch.Tensor, draws: list[tuple[torch.Tensor, torch.Tensor]], how: Bending) -> torch.Tensor:
    """Time and frequency masks (D. Park et al., "SpecAugment", 2019); masked cells hold the clip's mean.

    Args:
        log_mel: the clips.
        draws: a mask's width and place, float32 [batch] each, from 0 to 1; masks of frames first.
        how: how many there are, and how wide at most.
    """
    is_masked = torch.zeros_like(log_mel, dtype=torch.bool)
    for number, (width_share, start_share) in enumerate(draws):
        axis, limit = (1, how.time_mask_frames) if number < how.time_masks else (2, how.frequency_mask_mels)
        size = log_mel.shape[axis]
        width = (width_share[:, None] * (min(limit, size) + 1)).long()
        start = (start_share[:, None] * (size - width + 1)).long()
        cell = torch.arange(size, device=log_mel.device)
        is_masked |= ((cell >= start) & (cell < start + width)).unsqueeze(3 - axis)
    return torch.where(is_masked, log_mel.mean((1, 2), keepdim=True), log_mel)


def colours(amounts_db: torch.Tensor, n_bands: int) -> torch.Tensor:
    """Smooth frequency responses, float32 [batch, bands], dB, from [batch, 3]: of a tilt, an arch and a wave."""
    x = torch.linspace(-1, 1, n_bands, device=amounts_db.device)
    shapes = torch.stack([x, torch.cos(math.pi * x / 2) * 2 - 1, torch.sin(math.pi * x)])
    return amounts_db @ shapes


def band_widths(edges_hz: torch.Tensor) -> torch.Tensor:
    """Width of each band, Hz, [bands]: a band holds a density, which times its width is power."""
    return (edges_hz[2:] - edges_hz[:-2]) / 2


def active_power(frame_powers: torch.Tensor) -> torch.Tensor:
    """The mean power of what is spoken in clips, float32 [batch], from the power of each frame [batch, frames]."""
    active = frame_powers >= _ACTIVE_SHARE * frame_powers.amax(1, keepdim=True)
    return (frame_powers * active).sum(1) / active.sum(1)


def powers(log_mel: torch.Tensor) -> torch.Tensor:
    """Powers; what lies on the floor is digital silence and stays so however much louder it is made."""
    return ratios(log_mel) * (log_mel > _AUDIBLE_DB)


def ratios(decibels: torch.Tensor) -> torch.Tensor:
    """Ratios of powers."""
    return torch.exp(decibels * (math.log(10) / 10))


def _mels(hz: torch.Tensor) -> torch.Tensor:
    """Slaney's scale, as the front end has it: linear up to 1 kHz, logarithmic above."""
    return torch.where(hz < 1_000, hz * 3 / 200, 15 + 27 * torch.log(hz.clamp(min=1.0) / 1_000) / math.log(6.4))


def _interpolated(rows: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """[batch, n, m] at positions [batch, k] of the second axis, linear: [batch, k, m]."""
    below = position.long().clamp(max=rows.shape[1] - 1)
    above = (below + 1).clamp(max=rows.shape[1] - 1)
    m = rows.shape[2]
    low = rows.gather(1, below[..., None].expand(-1, -1, m))
    high = rows.gather(1, above[..., None].expand(-1, -1, m))
    return low + (position - below)[..., None] * (high - low)
