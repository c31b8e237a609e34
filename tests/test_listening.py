from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from speech_rnn.audio import dbfs
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, DeviceError, SettingsError
from speech_rnn.listening import LOWEST_DB, Heard, Listener, changed_detector, listen, run
from speech_rnn.microphone import Block
from tests.tone_model import RATE, ToneModel, TypedInput, blocks, silence, tone

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EMPTY = Block(np.zeros(0, np.float32), 48_000.0)


def all_heard(listener: Listener) -> list[Heard]:
    heard = []
    while not listener.ended:
        heard += listener.step()
    return heard


def test_words_are_heard_with_their_time_their_scores_and_the_time_of_day() -> None:
    sound = np.concatenate([silence(1.0), tone("low", 0.5), silence(1.5), tone("high", 0.5), silence(0.5)])
    listener = Listener(ToneModel(), TypedInput(blocks(sound)), now=lambda: NOON)

    low, high = all_heard(listener)

    assert (low.label, high.label) == ("low", "high")
    assert low.time == pytest.approx(1.2, abs=0.05)
    assert high.time == pytest.approx(3.2, abs=0.05)
    assert low.start == pytest.approx(low.time - 1.0)
    assert low.clock == NOON
    assert list(low.scores) == ["_silence_", "low", "high"]
    assert low.scores["low"] == pytest.approx(low.score)
    assert listener.taken_s == pytest.approx(len(sound) / RATE)


def test_the_detectors_settings_reach_the_stream() -> None:
    model, config = ToneModel(), DetectorConfig(threshold=0.5)

    Listener(model, TypedInput([]), config)

    assert model.streams[0].config == config


def test_a_rate_that_changes_and_several_channels_are_passed_on() -> None:
    stereo = np.stack([tone("low", 0.5, 44_100), np.zeros(22_050, np.float32)], axis=1)
    model = ToneModel()
    given = [*blocks(silence(0.5, 8_000), 8_000), *blocks(stereo * 2, 44_100)]

    assert [heard.label for heard in all_heard(Listener(model, TypedInput(given)))] == ["low"]
    assert {8_000, 44_100} == set(model.streams[0].rates)


def test_blocks_without_samples_and_blocks_that_are_no_sound_change_nothing() -> None:
    bad = Block(np.full(320, np.nan, np.float32), RATE)
    sound = blocks(np.concatenate([silence(0.5), tone("low", 0.5)]))
    plain, disturbed = (
        Listener(ToneModel(), TypedInput(given), now=lambda: NOON)
        for given in (sound, [part for block in sound for part in (EMPTY, bad, block)])
    )

    assert all_heard(disturbed) == all_heard(plain)
    assert (plain.refused, disturbed.refused) == (0, len(sound))


def test_nothing_but_what_is_no_sound_is_an_error_in_the_end() -> None:
    bad = Block(np.full(16_000, np.inf, np.float32), RATE)
    listener = Listener(ToneModel(), TypedInput([bad] * 10))

    with pytest.raises(AudioError, match="must be finite"):
        all_heard(listener)

    assert listener.refused == 6


def test_after_a_gap_the_stream_begins_anew_and_the_time_goes_on() -> None:
    ticks = iter([100.0, 160.0])
    model = ToneModel()
    given = [*blocks(tone("low", 0.15)), *blocks(tone("low", 0.15), gap=True), *blocks(tone("low", 0.1))]
    listener = Listener(model, TypedInput(given), clock=lambda: next(ticks))

    (heard,) = all_heard(listener)

    # Neither half is a word; 0.2 s after the gap there is one.
    assert len(model.streams) == 2
    assert heard.time == pytest.approx(60.0 + 0.2, abs=0.021)


def test_the_meter_rises_at_once_and_falls_slowly() -> None:
    listener = Listener(ToneModel(), TypedInput([*blocks(tone("low", 0.02)), *blocks(np.zeros(16_000, np.float32))]))
    assert listener.level_db == LOWEST_DB

    listener.step()
    assert listener.level_db == pytest.approx(dbfs(tone("low", 0.02)))
    for _ in range(25):
        listener.step()

    assert listener.level_db == pytest.approx(dbfs(tone("low", 0.02)) - 10.0)


class Audience:
    def __init__(self) -> None:
        self.words: list[str] = []
        self.troubles: list[str] = []
        self.updates = 0

    def heard(self, heard: Heard) -> None:
        self.words.append(heard.label)

    def update(self, listener: Listener) -> None:
        self.updates += 1

    def trouble(self, message: str) -> None:
        self.troubles.append(message)


def test_an_audience_is_told_of_words_and_once_of_each_trouble_and_its_end() -> None:
    audience = Audience()

    def given() -> Iterator[Block | None]:
        yield from blocks(silence(0.5))
        source.trouble = "it went away"
        yield EMPTY
        yield EMPTY
        source.trouble = ""
        yield from blocks(tone("high", 0.5), gap=True)

    source = TypedInput(given())
    run(Listener(ToneModel(), source), audience)

    assert audience.words == ["high"]
    assert audience.troubles == ["it went away", ""]
    assert audience.updates > 50


def test_a_muted_microphone_is_told_of() -> None:
    audience = Audience()

    run(Listener(ToneModel(), TypedInput(blocks(np.zeros(6 * RATE, np.float32)))), audience)

    assert audience.troubles == ["only digital silence comes from 'typed'; is it muted?"]


def test_listening_ends_after_the_seconds_asked_for() -> None:
    now = [0.0]

    def given() -> Iterator[Block]:
        for block in blocks(silence(10.0)):
            now[0] += 0.02
            yield block

    listener = Listener(ToneModel(), TypedInput(given()))
    run(listener, Audience(), seconds=2.0, clock=lambda: now[0])

    assert listener.taken_s == pytest.approx(2.0, abs=0.03)


def test_not_one_sample_is_an_error_that_says_so() -> None:
    with pytest.raises(DeviceError, match=r"no sound came from 'typed'; unmute it, or choose another with --device"):
        run(Listener(ToneModel(), TypedInput([EMPTY] * 3)), Audience())


def test_a_callback_gets_each_word_and_what_it_raises_ends_the_listening() -> None:
    sound = np.concatenate([tone("low", 0.5), silence(1.0), tone("high", 0.5)])
    words: list[str] = []

    listen(ToneModel(), lambda heard: words.append(heard.label), source=TypedInput(blocks(sound)))

    assert words == ["low", "high"]

    def fails(heard: Heard) -> None:
        raise ZeroDivisionError(heard.label)

    with pytest.raises(ZeroDivisionError, match="low"):
        listen(ToneModel(), fails, source=TypedInput(blocks(sound)))


def test_thresholds_and_other_settings_go_before_the_models() -> None:
    models = DetectorConfig(threshold=0.8, thresholds={"yes": 0.9})

    assert changed_detector(models, (), ("yes", "no"), mode=None) == models
    for_all = changed_detector(models, ("0.5",), ("yes", "no"), refractory_s=2.0)
    assert (for_all.threshold, dict(for_all.thresholds), for_all.refractory_s) == (0.5, {}, 2.0)
    for_one = changed_detector(models, ("0.5", "no=0.25", "a=b=0.75"), ("yes", "no", "a=b"))
    assert (for_one.threshold, dict(for_one.thresholds)) == (0.5, {"no": 0.25, "a=b": 0.75})


@pytest.mark.parametrize(
    ("threshold", "says"),
    [
        ("much", "threshold 'much' must be a score, or a label and a score"),
        ("maybe=0.5", "names no label of the model; those are yes, no"),
        ("1.5", "threshold"),
        ("nan", "threshold"),
    ],
)
def test_a_wrong_threshold_is_said(threshold: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        changed_detector(DetectorConfig(), (threshold,), ("yes", "no"))
