"""Renderings against sines and clicks, formulas, and the stored clips."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.config import AugmentationSettings
from speech_rnn.data.clips import SILENCE
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.renderings import AS_RECORDED, Renderings, Scene, draw_scene, render
from speech_rnn.data.room import N_ROOMS, reverberate
from speech_rnn.data.speed import NORMAL_SPEED, Speed
from speech_rnn.data.store import Store, open_store
from tests.strategies import augmentation_settings
from tests.tones import FEATURES, LENGTH, RATE, write_tones

OFF = AugmentationSettings.off()
ALL = AugmentationSettings(room_probability=1.0, speed_probability=1.0, overload_probability=1.0)

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("tones")
    return open_store([FolderSource(write_tones(folder / "data"))], FEATURES, folder / "cache")


def noise(length: int = 16_000, level: float = 0.1, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(length, dtype=np.float32) * np.float32(level)


def scenes(n: int, settings: AugmentationSettings, number: int = 1) -> list[Scene]:
    return [draw_scene(number, clip, settings) for clip in range(n)]


def rendered(samples: Floats, scene: Scene) -> Floats:
    return render(samples, scene, 16_000, 160)


def test_the_first_rendering_is_the_clip_as_it_was_recorded() -> None:
    clip = np.clip(noise(level=0.5), -1, 1)

    assert {draw_scene(0, number, ALL) for number in range(50)} == {AS_RECORDED}
    assert np.array_equal(rendered(clip, AS_RECORDED), clip)


def test_with_everything_off_other_renderings_come_less_than_a_hop_later() -> None:
    clip = np.clip(noise(level=0.5), -1, 1)

    drawn = scenes(500, OFF)

    assert {(scene.room, scene.speed, scene.overload_db) for scene in drawn} == {(None, NORMAL_SPEED, None)}
    delays = [scene.delay for scene in drawn]
    assert 0 <= min(delays) < 0.02 and 0.98 < max(delays) < 1
    for scene in drawn[:20]:
        later = round(scene.delay * 160)
        assert np.array_equal(rendered(clip, scene), np.concatenate([np.zeros(later), clip[: 16_000 - later]]))


def test_speed_changes_the_frequency_of_a_sine_by_the_drawn_factor() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)).astype(np.float32)

    drawn = scenes(20, OFF.changed(speed_probability=1.0, speed_range=0.2))

    factors = [scene.speed.factor for scene in drawn]
    assert min(factors) < 0.9
    assert max(factors) > 1.1
    assert all(1 / 1.21 < factor < 1.21 for factor in factors)
    for scene in drawn:
        middle = rendered(tone, scene)[4_000:12_000] * np.hanning(8_000)
        peak_hz = np.argmax(np.abs(np.fft.rfft(middle, 160_000))) / 10
        assert peak_hz == pytest.approx(1_000 * scene.speed.factor, abs=0.5)


def test_speed_keeps_the_middle_of_the_clip_in_the_middle() -> None:
    click = np.zeros(16_000, np.float32)
    click[8_000] = 1.0

    for scene in scenes(20, OFF.changed(speed_probability=1.0, speed_range=0.4)):
        at = np.argmax(np.abs(rendered(click, scene._replace(delay=0.0))))
        assert abs(at - 8_000) <= 1


def test_a_small_range_of_speeds_still_has_several() -> None:
    factors = {scene.speed.factor for scene in scenes(100, OFF.changed(speed_probability=1.0, speed_range=0.02))}

    assert len(factors) > 5
    assert max(factors) <= 1.021


def test_overload_clips_at_the_drawn_level_and_leaves_the_peak() -> None:
    clip = noise()
    peak = np.abs(clip).max()

    drawn = scenes(50, OFF.changed(overload_probability=1.0))

    over_db = [scene.overload_db for scene in drawn if scene.overload_db is not None]
    assert len(over_db) == 50
    assert 0 <= min(over_db) < 2 and 13 < max(over_db) <= 15
    for scene, over in zip(drawn, over_db, strict=True):
        found = rendered(clip, scene._replace(delay=0.0))
        limit = peak * 10 ** (-over / 20)
        np.testing.assert_allclose(found, np.clip(clip, -limit, limit) * peak / limit, atol=1e-6)


def test_an_overloaded_clip_over_full_scale_comes_down_to_it_and_a_silent_one_stays() -> None:
    scene, loud = AS_RECORDED._replace(overload_db=6.0), noise(level=1.0)

    found = rendered(loud, scene)

    np.testing.assert_allclose(found, np.clip(10**0.3 * loud / np.abs(loud).max(), -1, 1), atol=1e-6)
    assert not rendered(np.zeros(16_000, np.float32), scene).any()


def test_a_room_is_the_drawn_one() -> None:
    clip = noise()

    drawn = scenes(200, OFF.changed(room_probability=1.0))

    assert len({scene.room for scene in drawn}) > 50
    assert all(scene.room in range(N_ROOMS) for scene in drawn)
    ratios = [scene.direct_to_reverberant_db for scene in drawn]
    assert -2 <= min(ratios) < -1 and 11 < max(ratios) <= 12
    for scene in drawn[:5]:
        assert scene.room is not None
        expected = reverberate(clip, scene.room, scene.direct_to_reverberant_db, 16_000)
        assert np.array_equal(rendered(clip, scene._replace(delay=0.0)), expected)


def test_the_probabilities_are_met() -> None:
    drawn = scenes(3_000, AugmentationSettings())

    assert np.mean([scene.room is not None for scene in drawn]) == pytest.approx(0.3, abs=0.03)
    assert np.mean([scene.speed.factor != 1 for scene in drawn]) == pytest.approx(0.5 * 0.9, abs=0.06)
    assert np.mean([scene.overload_db is not None for scene in drawn]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("kind", ["room", "speed", "overload"])
def test_switching_one_kind_off_leaves_the_draws_of_the_others(kind: str) -> None:
    everything, without = scenes(50, ALL), scenes(50, ALL.changed(**{f"{kind}_probability": 0.0}))

    field = {"overload": "overload_db"}.get(kind, kind)
    assert [scene._replace(**{field: getattr(AS_RECORDED, field)}) for scene in everything] == without


def test_every_number_and_every_clip_has_a_scene_of_its_own_and_always_the_same() -> None:
    drawn = [draw_scene(number, clip, ALL) for number in (1, 2, 3) for clip in range(50)]

    assert len(set(drawn)) == 150
    assert drawn == [draw_scene(number, clip, ALL) for number in (1, 2, 3) for clip in range(50)]


def test_scenes_stay_the_same_from_version_to_version() -> None:
    room, ratio_db, speed, delay, overload_db = draw_scene(1, 7, ALL)

    # What caches hold was made of them; where they change, VERSION has to.
    assert (room, speed) == (32, Speed(27, 26))
    assert (ratio_db, delay, overload_db) == pytest.approx((2.27787692900917, 0.171470957920122, 10.450694474104388))


@given(augmentation_settings(), st.integers(1, 64), st.integers(0, 2**40), st.floats(0.0, 4.0), st.data())
def test_a_rendering_is_as_long_as_the_clip_and_within_full_scale(
    settings: AugmentationSettings, number: int, clip: int, level: float, data: st.DataObject
) -> None:
    length = data.draw(st.integers(32, 3_000))
    hop_length = data.draw(st.integers(1, length) | st.just(length))

    found = render(noise(length, level), draw_scene(number, clip, settings), 8_000, hop_length)

    assert found.shape == (length,)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1.0


def test_a_clip_that_is_moved_out_of_itself_is_silence() -> None:
    faster = AS_RECORDED._replace(speed=Speed(3, 2), delay=0.999)

    found = render(noise(256), faster, 8_000, 256)

    np.testing.assert_array_equal(found, np.zeros(256))


def trained(store: Store) -> NDArray[np.int64]:
    return np.flatnonzero([clip.part == "training" for clip in store.clips])


def test_there_are_so_many_rows_for_each_training_clip_and_each_has_its_place(store: Store) -> None:
    renderings = Renderings(store, ALL.changed(renderings=3), 128)
    clips = trained(store)

    rows = [renderings.rows(clips, np.full(len(clips), number)) for number in range(3)]

    assert len(renderings) == 3 * len(clips) == 3 * 14 * 3
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(renderings)))


def test_silence_of_a_source_is_not_rendered(store: Store) -> None:
    with_silence = Store(store.folder)
    first = int(trained(store)[0])
    with_silence.clips[first] = replace(store.clips[first], word=SILENCE)

    renderings = Renderings(with_silence, ALL.changed(renderings=3), 128)

    assert len(renderings) == 3 * (len(trained(store)) - 1)


def test_rows_are_the_renderings_of_their_clips_in_sixteen_bits(store: Store) -> None:
    renderings = Renderings(store, ALL.changed(renderings=3), 128)
    clips, numbers = trained(store)[[5, 0, 7, 5, 41]], np.array([1, 0, 2, 0, 1])

    read = renderings.read(renderings.rows(clips, numbers))

    assert read.dtype == np.int16
    for found, clip, number in zip(read, clips.tolist(), numbers.tolist(), strict=True):
        recorded = store.read(np.array([clip]))[0]
        if number == 0:
            assert np.array_equal(found, recorded)
        else:
            sound = render((recorded / 32_768).astype(np.float32), draw_scene(number, clip, ALL), RATE, 128)
            np.testing.assert_allclose(found / 32_768, sound, atol=0.51 / 32_768)
            assert not np.array_equal(found, recorded)
    assert read.shape == (5, LENGTH)


def test_another_process_reads_the_same(store: Store) -> None:
    renderings = Renderings(store, ALL, 128)

    copy: Renderings = pickle.loads(pickle.dumps(renderings))

    indices = np.arange(0, len(renderings), 7)
    assert len(copy) == len(renderings)
    assert copy.digest == renderings.digest
    assert np.array_equal(copy.read(indices), renderings.read(indices))


SOUND: list[dict[str, Any]] = [
    {"renderings": 5},
    {"room_probability": 0.31},
    {"speed_probability": 0.31},
    {"speed_range": 0.13},
    {"overload_probability": 0.31},
]


def test_the_digest_is_another_one_when_the_sound_is_another_and_only_then(store: Store, tmp_path: Path) -> None:
    usual = AugmentationSettings()
    other = open_store([FolderSource(write_tones(tmp_path / "data", first_speaker=900))], FEATURES, tmp_path / "cache")

    digests = [Renderings(store, usual.changed(**changed), 128).digest for changed in ({}, *SOUND)]
    digests += [Renderings(other, usual, 128).digest, Renderings(store, usual, 64).digest]

    assert len(set(digests)) == len(digests)
    names = {name for changed in SOUND for name in changed}
    bent_later = {name: value for name, value in OFF.model_dump().items() if name not in names}
    assert Renderings(store, usual.changed(**bent_later), 128).digest == digests[0]
