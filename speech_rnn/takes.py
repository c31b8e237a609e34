"""A recorded take: where the word is in it, whether it can be used, and why not.

Levels are of frames of 10 ms, in dBFS. What counts as the word are the frames well over the noise, over pauses as
short as the closure of a *p* or *t*; the limits are from trying, not from a paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import check_samples, fit, to_mono
from speech_rnn.errors import AudioError

FRAME_S = 0.01
LEAST_DB = -45.0  # of the loudest frame
LEAST_OVER_NOISE_DB = 15.0
SHORTEST_S = 0.1
_OVER_NOISE_DB = 8.0
_UNDER_PEAK_DB = 40.0
_NOISE_SHARE = 0.1  # the softest frames are noise
_QUIETEST_DB = -90.0
_LONGEST_PAUSE_S = 0.2
_CLICK_S = 0.04
_EDGE_S = 0.03
_SECOND_WORD_DB = 12.0
_CLIPPED = 0.999  # three samples in a row; one or two are chance


@dataclass(frozen=True, slots=True)
class Take:
    """A take that can be used.

    Attributes:
        samples: float32 [clip_length], the word in its middle, as far as there is sound around it.
        start_s: where the word begins in the recording.
        end_s: where it ends.
        level_db: of its loudest frame, in dBFS.
        noise_db: of the room, in dBFS.
    """

    samples: NDArray[np.float32]
    start_s: float
    end_s: float
    level_db: float
    noise_db: float


def judge_take(samples: NDArray[np.float32], rate: float, sample_rate: int, clip_length: int) -> Take:
    """Find the word in a recording and cut it out.

    Args:
        samples: float32 [samples] or [samples, channels], full scale ±1: a word with quiet before and behind it.
        rate: in Hz.
        sample_rate: of the result, in Hz.
        clip_length: of the result, in samples at ``sample_rate``.

    Raises:
        AudioError: it is clipped, silent, too soft, cut off, too short, too long, drowned in noise, or more than one
            word; the message says which, and what to do.
    """
    mono = to_mono(samples, rate, sample_rate)
    # Looked for before resampling, which rounds the edges off.
    if _is_clipped(np.asarray(samples, np.float32)):
        raise AudioError("clipped: the loudest parts are cut off; speak softer, or move away from the microphone")
    if not mono.any():
        raise AudioError("silent: there is nothing but zeros; is the microphone muted?")
    levels, noise_db, peak_db = _levels(mono, sample_rate)
    if peak_db < LEAST_DB:
        raise AudioError(f"too soft ({peak_db:.0f} dB, {LEAST_DB:.0f} are wanted); speak up, or come nearer")
    if peak_db - noise_db < LEAST_OVER_NOISE_DB:
        raise AudioError(
            f"no word stands out of the noise ({peak_db:.0f} dB over {noise_db:.0f}); speak up, or find a quieter place"
        )
    words = _runs(levels, noise_db, peak_db)
    if not words:
        raise AudioError("only a click was heard; say the word")
    start, end = max(words, key=lambda run: float(np.sum(10.0 ** (levels[run[0] : run[1]] / 10.0))))
    start_s, end_s = start * FRAME_S, end * FRAME_S
    if start_s < _EDGE_S:
        raise AudioError("cut at its beginning; wait for the sign to speak")
    if end_s > len(mono) / sample_rate - _EDGE_S:
        raise AudioError("cut at its end; speak as soon as the sign comes")
    if end_s - start_s < SHORTEST_S:
        raise AudioError(f"too short ({end_s - start_s:.2f} s); say the word, not only its beginning")
    clip_s = clip_length / sample_rate
    if end_s - start_s > clip_s:
        raise AudioError(f"too long ({end_s - start_s:.1f} s, and {clip_s:g} s are heard); say one word, and swiftly")
    for other in words:
        is_word = other[1] - other[0] >= SHORTEST_S / FRAME_S and other != (start, end)
        if is_word and levels[other[0] : other[1]].max() > peak_db - _SECOND_WORD_DB:
            raise AudioError("more than one word or noise was heard; say it once, in a quiet moment")
    return Take(_about(mono, (start_s + end_s) / 2, sample_rate, clip_length), start_s, end_s, peak_db, noise_db)


def centred(samples: NDArray[np.float32], sample_rate: int, clip_length: int, middle_s: float) -> NDArray[np.float32]:
    """A clip of a recording with its loudest word in the middle, whatever its quality.

    Args:
        samples: float32 [samples] at ``sample_rate``, at least one.
        sample_rate: in Hz.
        clip_length: samples wanted.
        middle_s: where the middle is where no word stands out of the noise.

    Returns:
        float32 [clip_length].
    """
    check_samples(samples, "samples")
    levels, noise_db, peak_db = _levels(samples, sample_rate)
    words = _runs(levels, noise_db, peak_db) if peak_db - noise_db >= _OVER_NOISE_DB else []
    if words:
        start, end = max(words, key=lambda run: float(np.sum(10.0 ** (levels[run[0] : run[1]] / 10.0))))
        middle_s = (start + end) / 2 * FRAME_S
    return _about(samples, middle_s, sample_rate, clip_length)


def _about(samples: NDArray[np.float32], middle_s: float, sample_rate: int, clip_length: int) -> NDArray[np.float32]:
    """A clip about a moment, moved where the sound begins or ends too near to it."""
    start = round(middle_s * sample_rate) - clip_length // 2
    start = max(0, min(start, len(samples) - clip_length))
    return fit(samples[start : start + clip_length], clip_length)


def _levels(samples: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float64], float, float]:
    """Level of each frame of 10 ms in dBFS, of the noise, and of the loudest frame."""
    length = max(1, round(FRAME_S * sample_rate))
    n_frames = max(1, len(samples) // length)
    frames = fit(samples, n_frames * length, align="start").astype(np.float64)
    # Cheap sound cards lay a constant under everything.
    frames = (frames - frames.mean()).reshape(n_frames, length)
    levels = 10.0 * np.log10(np.maximum(np.mean(frames**2, axis=1), 10.0 ** (_QUIETEST_DB / 10.0)))
    return levels, float(np.quantile(levels, _NOISE_SHARE)), float(levels.max())


def _runs(levels: NDArray[np.float64], noise_db: float, peak_db: float) -> list[tuple[int, int]]:
    """Stretches of frames that are sound and not noise, first frame and the one behind the last; clicks left out."""
    is_sound = levels > max(noise_db + _OVER_NOISE_DB, peak_db - _UNDER_PEAK_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_sound, [False]])))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and (start - runs[-1][1]) * FRAME_S < _LONGEST_PAUSE_S:
            runs[-1] = runs[-1][0], end
        else:
            runs.append((start, end))
    return [(start, end) for start, end in runs if (end - start) * FRAME_S >= _CLICK_S]


def _is_clipped(samples: NDArray[np.float32]) -> bool:
    """Whether some samples in a row lie at full scale, in any channel."""
    at_end = np.abs(samples) >= _CLIPPED
    run = at_end[:-2] & at_end[1:-1] & at_end[2:]
    return bool(run.any())
