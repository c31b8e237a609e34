"""Rooms: the sound of a clip after it met walls.

The responses are synthetic: exponentially decaying noise (J. Moorer, "About this reverberation business", 1979) behind
the direct sound. There are :data:`N_ROOMS` of them; how near the speaker stands is drawn for each clip.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from speech_rnn.draws import generator

N_ROOMS = 64
SHORTEST_RT60_S = 0.1
LONGEST_RT60_S = 0.5
# The FFT works on four rows at once (SSE), so four segments, added where they overlap, take half the time of one.
_N_SEGMENTS = 4
_FIRST_REFLECTION_S = (0.002, 0.010)
# The rest of the decay is more than 42 dB down, under the background of any recording.
_KEPT_SHARE_OF_RT60 = 0.7


def reverberate(
    samples: NDArray[np.float32], room: int, direct_to_reverberant_db: float, sample_rate: int
) -> NDArray[np.float32]:
    """Put a clip into a room.

    Args:
        samples: float32 [samples], full scale ±1.
        room: 0 to ``N_ROOMS - 1`` are those of training; any other number is a room too.
        direct_to_reverberant_db: energy of the direct sound against all reflections, dB; the lower, the farther away.
        sample_rate: in Hz.

    Returns:
        float32 [samples], not delayed, as loud (RMS) as before.
    """
    length = len(samples)
    segment = -(-length // _N_SEGMENTS)
    spectrum, n_fft = _tail_spectrum(room, sample_rate, segment)
    segments = np.zeros((_N_SEGMENTS, segment), dtype=np.float32)
    segments.reshape(-1)[:length] = samples
    tails = scipy.fft.irfft(scipy.fft.rfft(segments, n_fft) * spectrum, n_fft)
    tails *= np.float32(10.0 ** (-direct_to_reverberant_db / 20.0))
    result = samples.copy()
    for n, tail in enumerate(tails):
        rest = result[n * segment : n * segment + n_fft]
        rest += tail[: len(rest)]
    before, after = float(samples.dot(samples)), float(result.dot(result))
    if after > 0:
        result *= np.float32(sqrt(before / after))
    return result


def room_tail(room: int, sample_rate: int) -> NDArray[np.float32]:
    """The reflections of a room as an impulse response: float32 [samples], energy 1, first the silence before them."""
    rng = generator(0, "room", room)
    rt60_s = rng.uniform(SHORTEST_RT60_S, LONGEST_RT60_S)
    first = round(rng.uniform(*_FIRST_REFLECTION_S) * sample_rate)
    n = ceil(_KEPT_SHARE_OF_RT60 * rt60_s * sample_rate)
    # 60 dB of energy are a factor of 1,000 in amplitude.
    decay = 1_000.0 ** (-np.arange(n - first) / (rt60_s * sample_rate))
    tail = np.zeros(n, dtype=np.float32)
    tail[first:] = rng.standard_normal(n - first) * decay
    return tail / np.float32(sqrt(float(tail.dot(tail))))


@lru_cache(maxsize=2 * N_ROOMS)
def _tail_spectrum(room: int, sample_rate: int, length: int) -> tuple[NDArray[np.complex64], int]:
    """The spectrum of :func:`room_tail`, and the length of the FFT that doesn't wrap for ``length`` samples."""
    tail = room_tail(room, sample_rate)
    n_fft = scipy.fft.next_fast_len(length + len(tail) - 1, real=True)
    return scipy.fft.rfft(tail, n_fft), n_fft
