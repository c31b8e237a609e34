from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.audio import to_mono
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.errors import AudioError
from speech_rnn.takes import centred, judge_take

RATE = 16_000


def room(seconds: float, level_db: float = -65.0, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), round(seconds * RATE))
    return noise.astype(np.float32)


def word(seconds: float = 0.5, peak: float = 0.5) -> NDArray[np.float32]:
    """A buzz that swells and fades, as a vowel does."""
    times = np.arange(round(seconds * RATE)) / RATE
    buzz = np.sign(np.sin(2 * np.pi * 120 * times)) * np.sin(2 * np.pi * 700 * times)
    swell = np.minimum(1.0, 50 * np.minimum(times, seconds - times + 1e-9))
    return np.asarray(peak * buzz * swell, np.float32)


def said(*parts: tuple[float, NDArray[np.float32]], seconds: float = 2.0) -> NDArray[np.float32]:
    """Words at their times, in a room."""
    sound = room(seconds)
    for start_s, spoken in parts:
        start = round(start_s * RATE)
        sound[start : start + len(spoken)] += spoken[: len(sound) - start]
    return sound


@given(start_s=st.floats(0.1, 1.3), seconds=st.floats(0.15, 0.6), peak=st.floats(0.05, 0.9))
def test_a_word_is_found_wherever_it_is_and_lies_in_the_middle_of_the_clip(
    start_s: float, seconds: float, peak: float
) -> None:
    sound = said((start_s, word(seconds, peak)))

    take = judge_take(sound, RATE, RATE, RATE)

    assert take.start_s == pytest.approx(start_s, abs=0.03)
    assert take.end_s == pytest.approx(start_s + seconds, abs=0.03)
    first = round((start_s + seconds / 2 - 0.5) * RATE)
    first = max(0, min(first, RATE))
    assert take.samples.shape == (RATE,)
    assert take.samples.dtype == np.float32
    offsets = [np.abs(sound[start : start + RATE] - take.samples).max() for start in range(*_around(first))]
    assert min(offsets) == 0.0
    assert take.noise_db == pytest.approx(-65, abs=2)


def _around(first: int) -> tuple[int, int]:
    return max(0, first - 480), min(RATE, first + 480) + 1


def test_spoken_words_are_accepted_and_found() -> None:
    clips = [np.asarray(clip) for clip in islice(CorpusSource().waveforms(RATE), 0, 800, 20)]
    found = []

    for clip in clips:
        clip = clip / np.abs(clip).max() * np.float32(0.4)
        try:
            take = judge_take(said((0.6, clip)), RATE, RATE, RATE)
        except AudioError:
            continue
        assert take.start_s >= 0.56
        assert take.end_s <= 0.64 + len(clip) / RATE
        found.append((take.end_s - take.start_s) / (len(clip) / RATE))

    assert len(found) >= 0.95 * len(clips)
    assert np.median(found) > 0.8


@pytest.mark.parametrize(
    ("sound", "says"),
    [
        (np.clip(said((0.7, word(peak=3.0))), -1, 1), "clipped: .*speak softer"),
        (np.zeros(2 * RATE, np.float32), "silent: .*muted"),
        (said((0.7, word(peak=0.004))), r"too soft \(-[0-9]+ dB, -45"),
        (room(2.0, -20.0), "no word stands out of the noise"),
        (room(2.0, -65.0), "too soft"),
        (room(2.0, -20.0) + said((0.7, word(peak=0.3))), "no word stands out of the noise"),
        (said((0.0, word())), "cut at its beginning; wait"),
        (said((1.7, word())), "cut at its end"),
        (said((0.7, word(0.07))), r"too short \(0.0[678] s\)"),
        (said((0.3, word(1.4))), r"too long \(1.4 s, and 1 s"),
        (said((0.7, np.full(160, 0.5, np.float32))), "only a click"),
        (said((0.3, word(0.4)), (1.2, word(0.4))), "more than one word"),
    ],
)
def test_a_take_that_is_of_no_use_is_refused_with_the_reason(sound: NDArray[np.float32], says: str) -> None:
    with pytest.raises(AudioError, match=says):
        judge_take(sound, RATE, RATE, RATE)


def test_a_pause_within_a_word_and_a_click_beside_it_are_borne() -> None:
    eight = said((0.5, word(0.25)), (0.9, word(0.08)))
    click = said((0.8, word(0.4)))
    click[1_600:1_760] += 0.2

    assert judge_take(eight, RATE, RATE, RATE).end_s == pytest.approx(0.98, abs=0.03)
    assert judge_take(click, RATE, RATE, RATE).start_s == pytest.approx(0.8, abs=0.03)


def test_a_constant_under_the_sound_does_not_hide_the_word() -> None:
    assert judge_take(said((0.7, word())) + np.float32(0.1), RATE, RATE, RATE).start_s == pytest.approx(0.7, abs=0.03)


def test_sound_of_another_rate_and_of_channels_is_judged_as_well() -> None:
    sound = to_mono(said((0.7, word())), RATE, 44_100)

    take = judge_take(np.stack([sound, sound], axis=1), 44_100, RATE, RATE)

    assert take.samples.shape == (RATE,)
    assert take.start_s == pytest.approx(0.7, abs=0.03)


def test_clipping_of_one_channel_is_seen() -> None:
    loud, soft = np.clip(said((0.7, word(peak=2.0))), -1, 1), said((0.7, word(peak=0.1)))

    with pytest.raises(AudioError, match="clipped"):
        judge_take(np.stack([soft, loud], axis=1), RATE, RATE, RATE)


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(AudioError, match="finite"):
        judge_take(np.full(RATE, np.nan, np.float32), RATE, RATE, RATE)


@pytest.mark.parametrize("length", [1, 100, RATE, 3 * RATE])
def test_a_clip_is_cut_out_of_anything(length: int) -> None:
    noise = room(length / RATE, -20.0)

    clip = centred(noise, RATE, RATE, 99.0)

    assert clip.shape == (RATE,)
    np.testing.assert_array_equal(
        clip[-length:] if length > RATE else clip[(RATE - length) // 2 :][:length], noise[-RATE:]
    )


def test_a_word_is_centred_whatever_its_quality_and_noise_about_the_moment_given() -> None:
    loud = said((1.0, word(0.4)), seconds=3.0)

    np.testing.assert_array_equal(centred(loud, RATE, RATE, 0.0), loud[round(0.7 * RATE) : round(1.7 * RATE)])
    np.testing.assert_array_equal(centred(room(3.0), RATE, RATE, 2.0), room(3.0)[round(1.5 * RATE) : round(2.5 * RATE)])
