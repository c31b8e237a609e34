"""Rooms against direct convolution and against the decay they claim."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.data.room import LONGEST_RT60_S, N_ROOMS, SHORTEST_RT60_S, reverberate, room_tail


@given(st.integers(0, N_ROOMS - 1), st.integers(10, 20_000), st.floats(-5.0, 20.0))
def test_a_room_is_the_convolution_with_direct_sound_and_reflections(room: int, length: int, ratio_db: float) -> None:
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32) * np.float32(0.1)
    response = room_tail(room, 16_000).astype(np.float64) * 10 ** (-ratio_db / 20)
    response[0] += 1.0

    in_room = reverberate(samples, room, ratio_db, 16_000)

    reference = scipy.signal.oaconvolve(samples.astype(np.float64), response)[:length]
    reference *= np.sqrt(np.sum(np.square(samples, dtype=np.float64)) / np.sum(np.square(reference)))
    assert in_room.dtype == np.float32
    assert in_room == pytest.approx(reference, abs=1e-5)


def test_the_reflections_decay_exponentially_within_the_range_of_rt60() -> None:
    times = []
    for room in range(N_ROOMS):
        tail = room_tail(room, 16_000).astype(np.float64)
        # Schroeder's backward integration, its slope where the cut end doesn't show yet.
        decay_db = 10 * np.log10(np.cumsum(np.square(tail[::-1]))[::-1])
        begin, end = np.argmax(decay_db < -2), np.argmax(decay_db < -20)
        slope = np.polyfit(np.arange(begin, end) / 16_000, decay_db[begin:end], 1)[0]
        times.append(-60 / slope)

    assert SHORTEST_RT60_S * 0.9 < min(times) < SHORTEST_RT60_S * 1.3
    assert LONGEST_RT60_S * 0.9 < max(times) < LONGEST_RT60_S * 1.05


@pytest.mark.parametrize("ratio_db", [-5.0, 0.0, 10.0])
def test_the_direct_sound_stands_over_the_reflections_by_the_ratio(ratio_db: float) -> None:
    click = np.zeros(16_000, dtype=np.float32)
    click[0] = 0.5

    in_room = reverberate(click, 3, ratio_db, 16_000).astype(np.float64)

    measured_db = 10 * np.log10(in_room[0] ** 2 / np.sum(np.square(in_room[1:])))
    assert measured_db == pytest.approx(ratio_db, abs=0.05)


def test_a_silent_clip_stays_silent_in_any_room() -> None:
    assert not reverberate(np.zeros(16_000, dtype=np.float32), 0, 0.0, 16_000).any()
