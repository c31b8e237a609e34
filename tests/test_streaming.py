from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import speech_rnn
from speech_rnn import streaming
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, SettingsError
from speech_rnn.streaming import Detection, Detector, Stream, accept_all
from tests.tflite_models import expected_stream_scores, make_card, make_stream_weights, write_model

RATE = 16_000
card = make_card()  # two steps of 160 samples after 352 that are kept: a window hears 672 samples
weights = make_stream_weights(card)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> speech_rnn.Recognizer:
    return speech_rnn.load(write_model(tmp_path_factory.mktemp("models") / "by-hand"))


def sound(length: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.2, length).astype(np.float32)


def in_chunks(
    stream: Stream, samples: NDArray[Any], lengths: list[int], rate: int = RATE
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    times, scores = [], []
    at = turn = 0
    while at < len(samples):
        length = lengths[turn % len(lengths)] if turn < 10_000 else len(samples)
        found = stream.accept_scores(samples[at : at + length], rate)
        times.append(found[0])
        scores.append(found[1])
        at, turn = at + length, turn + 1
    return np.concatenate(times), np.concatenate(scores)


def test_a_window_gives_what_the_model_says_of_just_that_sound(recognizer: speech_rnn.Recognizer) -> None:
    samples = sound(5_000)

    times, scores = recognizer.stream(DetectorConfig(interval_s=0.01)).accept_scores(samples, RATE)

    starts = range(0, 5_000 - 672 + 1, 160)
    expected = [expected_stream_scores(weights, card, samples[start : start + 672])[-1] for start in starts]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(times, [(start + 672) / RATE for start in starts])


def test_windows_come_as_often_as_asked(recognizer: speech_rnn.Recognizer) -> None:
    times, _ = recognizer.stream(DetectorConfig(interval_s=0.02)).accept_scores(sound(8_000), RATE)

    np.testing.assert_allclose(np.diff(times), 0.02)
    assert times[0] == pytest.approx(672 / RATE)


def test_carry_goes_on_from_the_state_that_all_sound_before_left(recognizer: speech_rnn.Recognizer) -> None:
    samples = sound(5_000)

    times, scores = recognizer.stream(DetectorConfig(mode="carry")).accept_scores(samples, RATE)

    np.testing.assert_allclose(scores, expected_stream_scores(weights, card, samples), atol=1e-5)
    np.testing.assert_allclose(times, (512 + 160 * np.arange(len(times))) / RATE)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=6).filter(any), st.sampled_from(["window", "carry"]))
def test_how_sound_is_cut_into_chunks_makes_no_difference(
    recognizer: speech_rnn.Recognizer, lengths: list[int], mode: Any
) -> None:
    config, samples = DetectorConfig(mode=mode, interval_s=0.02), sound(3_000)
    whole = recognizer.stream(config).accept_scores(samples, RATE)

    times, scores = in_chunks(recognizer.stream(config), samples, lengths)

    np.testing.assert_array_equal(times, whole[0])
    np.testing.assert_allclose(scores, whole[1], atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_are_heard_as_soxr_resamples_them(recognizer: speech_rnn.Recognizer, rate: int) -> None:
    samples = sound(rate)
    resampled = soxr.resample(samples, rate, RATE)
    stream = recognizer.stream(DetectorConfig(mode="carry"))

    _, scores = in_chunks(stream, samples, [rate // 37], rate)

    expected = expected_stream_scores(weights, card, resampled)[: len(scores)]
    assert len(scores) > 90
    # The end, where the resampler waits for more, is left out by the stream until it is finished.
    np.testing.assert_allclose(scores, expected, atol=2e-3)
    assert stream.time == pytest.approx(1.0)


def test_the_rate_may_change_in_the_middle(recognizer: speech_rnn.Recognizer) -> None:
    tone = np.sin(2 * np.pi * 300 * np.arange(48_000) / 48_000).astype(np.float32)
    stream, steady = recognizer.stream(DetectorConfig(mode="carry")), recognizer.stream(DetectorConfig(mode="carry"))

    scores = [stream.accept_scores(tone[:24_000], 48_000)[1], stream.accept_scores(tone[24_000::3], 16_000)[1]]
    expected = steady.accept_scores(tone[::3], 16_000)[1]

    together = np.concatenate(scores)
    assert stream.time == steady.time == pytest.approx(1.0)
    assert abs(len(together) - len(expected)) <= 1
    np.testing.assert_allclose(together[10:45], expected[10:45], atol=0.02)


def test_integers_and_channels_are_heard_as_the_same_sound(recognizer: speech_rnn.Recognizer) -> None:
    integers = np.round(sound(3_000) * 32_767).clip(-32_768, 32_767).astype(np.int16)
    _, expected = recognizer.stream().accept_scores(integers.astype(np.float32) / 32_768, RATE)

    for same in (integers, np.stack([integers, integers], axis=1), integers.astype(np.int32) * 65_536):
        _, scores = recognizer.stream().accept_scores(same, RATE)
        np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "rate", "rule"),
    [
        (np.array([0.0, np.nan]), RATE, "finite"),
        (np.array([0.0, np.inf]), RATE, "finite"),
        (np.zeros((2, 2, 2)), RATE, "shape"),
        (np.zeros(10), 0, "rate=0 must be a rate"),
        (np.full(10, 20_000.0), RATE, "full scale"),
    ],
)
def test_a_chunk_that_is_no_sound_is_refused_and_the_stream_goes_on_as_if_it_had_not_come(
    recognizer: speech_rnn.Recognizer, samples: NDArray[Any], rate: int, rule: str
) -> None:
    good = sound(3_000)
    _, expected = recognizer.stream().accept_scores(good, RATE)
    stream = recognizer.stream()
    first = stream.accept_scores(good[:1_111], RATE)[1]

    with pytest.raises(AudioError, match=rule):
        stream.accept(samples, rate)

    np.testing.assert_allclose([*first, *stream.accept_scores(good[1_111:], RATE)[1]], expected, atol=1e-6)


def test_a_chunk_of_nothing_is_nothing(recognizer: speech_rnn.Recognizer) -> None:
    stream = recognizer.stream()

    assert stream.accept(np.zeros(0, np.float32), RATE) == []
    assert stream.accept(np.zeros((0, 2), np.int16), 44_100) == []
    assert stream.time == 0.0
    assert stream.scores is None


def test_a_finished_stream_has_heard_its_end_and_takes_no_more(recognizer: speech_rnn.Recognizer) -> None:
    config = DetectorConfig(threshold=0.0, smoothing_s=0.0, refractory_s=0.0, interval_s=0.01)
    samples = sound(700)
    stream = recognizer.stream(config)

    found = stream.accept(samples, RATE) + stream.finish()

    padded = np.concatenate([samples, np.zeros(400, np.float32)])
    expected = [expected_stream_scores(weights, card, padded[start : start + 672])[-1] for start in (0, 160, 320)]
    assert [detection.label for detection in found] == [card.labels[int(np.argmax(row))] for row in expected]
    with pytest.raises(AudioError, match="finished"):
        stream.accept(samples, RATE)
    with pytest.raises(AudioError, match="finished"):
        stream.finish()


@pytest.mark.parametrize("rows_at_once", [10, 512])
def test_many_streams_in_a_batch_hear_what_each_hears_alone(
    recognizer: speech_rnn.Recognizer, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(streaming, "ROWS_AT_ONCE", rows_at_once)
    config = DetectorConfig(threshold=0.6, smoothing_s=0.05, refractory_s=0.05, interval_s=0.02)
    sounds = [sound(4_000 + 37 * i, i) for i in range(50)]
    alone = [recognizer.stream(config).accept(one, RATE) for one in sounds]
    streams = [recognizer.stream(config) for _ in sounds]
    together: list[list[Detection]] = [[] for _ in sounds]
    rng = np.random.default_rng(1)
    at = [0] * len(sounds)

    while any(place < len(one) for place, one in zip(at, sounds, strict=True)):
        lengths = rng.integers(0, 900, len(sounds)).tolist()
        chunks = [one[place : place + n] for one, place, n in zip(sounds, at, lengths, strict=True)]
        for heard, new in zip(together, accept_all(streams, chunks, RATE), strict=True):
            heard += new
        at = [place + n for place, n in zip(at, lengths, strict=True)]

    assert sum(map(len, alone)) > 50
    for mine, ours in zip(alone, together, strict=True):
        assert [(one.label, one.time) for one in mine] == [(one.label, one.time) for one in ours]
        np.testing.assert_allclose([one.score for one in mine], [one.score for one in ours], atol=1e-6)


def test_a_bad_chunk_among_many_leaves_all_streams_as_they_were(recognizer: speech_rnn.Recognizer) -> None:
    streams = [recognizer.stream() for _ in range(3)]

    with pytest.raises(AudioError, match="finite"):
        accept_all(streams, [sound(100), sound(100), np.array([np.nan])], RATE)

    assert [stream.time for stream in streams] == [0.0, 0.0, 0.0]


def test_streams_of_two_models_or_one_stream_twice_are_refused(
    recognizer: speech_rnn.Recognizer, tmp_path: Path
) -> None:
    other = speech_rnn.load(write_model(tmp_path / "other"))

    with pytest.raises(AudioError, match="must be of one model, each once"):
        accept_all([recognizer.stream(), other.stream()], [sound(10)] * 2, RATE)
    stream = recognizer.stream()
    with pytest.raises(AudioError, match="must be of one model, each once"):
        accept_all([stream, stream], [sound(10)] * 2, RATE)
    assert accept_all([], [], RATE) == []


def test_a_stream_does_not_grow_with_the_sound_it_has_heard(recognizer: speech_rnn.Recognizer) -> None:
    stream, chunk = recognizer.stream(), sound(16_000)
    for _ in range(5):
        stream.accept(chunk, RATE)
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.take_snapshot()

    for _ in range(50):
        stream.accept(chunk, RATE)

    gc.collect()
    grown = sum(one.size_diff for one in tracemalloc.take_snapshot().compare_to(before, "filename"))
    tracemalloc.stop()
    assert grown < 20_000
    assert stream.time == 55.0


def detector(**config: Any) -> Detector:
    usual = {"threshold": 0.5, "smoothing_s": 0.0, "refractory_s": 0.0}
    return Detector(("_silence_", "yes", "no"), DetectorConfig(**{**usual, **config}), clip_s=1.0)


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_a_label_is_reported_from_its_threshold_on() -> None:
    assert detector().update(2.0, scores(0.5, 0.49, 0.01)) is None
    assert detector().update(2.0, scores(0.4, 0.5, 0.1)) == Detection("yes", 0.5, 2.0, 1.0)
    assert detector(thresholds={"yes": 0.75}).update(2.0, scores(0.3, 0.7, 0.0)) is None
    assert detector(thresholds={"no": 0.25}).update(0.5, scores(0.25, 0.5, 0.25)) == Detection("yes", 0.5, 0.5, 0.0)


def test_a_label_with_an_underscore_in_front_is_never_reported() -> None:
    assert detector(threshold=0.0).update(1.0, scores(1.0, 0.0, 0.0)) == Detection("yes", 0.0, 1.0, 0.0)
    assert detector().update(1.0, scores(1.0, 0.0, 0.0)) is None


def test_scores_are_averaged_over_the_time_that_is_asked() -> None:
    smooth = detector(smoothing_s=0.3)

    heard = [smooth.update(time, scores(0, one, 1 - one)) for time, one in [(0.1, 0.0), (0.2, 0.6), (0.3, 0.9)]]

    assert [one and one.label for one in heard] == ["no", "no", "yes"]
    assert [one and one.score for one in heard] == pytest.approx([1.0, 0.7, 0.5])
    smooth.update(0.4, scores(0, 0.9, 0.1))
    assert smooth.smoothed is not None
    assert smooth.smoothed[1] == pytest.approx((0.6 + 0.9 + 0.9) / 3)


def test_after_a_detection_nothing_is_reported_for_the_refractory_time() -> None:
    resting = detector(refractory_s=0.5)

    heard = [resting.update(time, scores(0.1, 0.9, 0.0)) for time in (1.0, 1.2, 1.4, 1.5, 1.6)]

    assert [one.time for one in heard if one is not None] == [1.0, 1.5]


def test_a_threshold_for_what_is_no_label_is_refused(recognizer: speech_rnn.Recognizer) -> None:
    with pytest.raises(SettingsError, match="thresholds name 'yess', which is no label of this model; it has yes, no"):
        recognizer.stream(DetectorConfig(thresholds={"yess": 0.5}))
