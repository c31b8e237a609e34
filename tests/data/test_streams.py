from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.audio import dbfs
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import UNKNOWN
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.split import official_part
from speech_rnn.data.store import Store, open_store
from speech_rnn.data.stream_settings import StreamSettings
from speech_rnn.data.streams import Scene, StreamBuilder, active_span
from speech_rnn.errors import DataError
from tests.tones import FEATURES, LENGTH, RATE, WORDS, write_tones

SETTINGS = StreamSettings(length_s=200.0, scene_s=20.0)
LABELS = ("_silence_", "_unknown_", "low", "high")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("streams")
    return open_store([FolderSource(write_tones(folder / "words"))], FEATURES, folder / "cache")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Another language, in which a word happens to have the name of a label."""
    folder = tmp_path_factory.mktemp("others")
    return open_store([FolderSource(write_tones(folder / "foreign", first_speaker=1_000))], FEATURES, folder / "cache")


def samples_of(scenes: list[Scene]) -> NDArray[np.float32]:
    return np.concatenate([scene.samples for scene in scenes])


def test_a_stream_is_the_same_however_often_and_wherever_it_is_made(store: Store, others: Store) -> None:
    builder = StreamBuilder(store, LABELS, distractors=others, settings=SETTINGS, seed=3)
    first = list(builder.scenes(1))

    again = pickle.loads(pickle.dumps(builder))
    list(again.scenes(0))
    second = list(again.scenes(1))

    assert builder.identity() == again.identity()
    np.testing.assert_array_equal(samples_of(first), samples_of(second))
    assert [scene.said for scene in first] == [scene.said for scene in second]
    assert again.truth(1) == tuple(word for scene in first for word in scene.said)


def test_other_numbers_and_seeds_are_other_streams(store: Store) -> None:
    builder = StreamBuilder(store, LABELS, settings=SETTINGS, seed=3)
    other_seed = StreamBuilder(store, LABELS, settings=SETTINGS, seed=4)

    assert builder.truth(0) != builder.truth(1)
    assert builder.truth(0) != other_seed.truth(0)
    assert builder.identity() != other_seed.identity()


def test_a_stream_is_whole_scenes_of_sixteen_bits(store: Store) -> None:
    builder = StreamBuilder(store, LABELS, settings=SETTINGS.changed(length_s=45.0))

    scenes = list(builder.scenes(0))

    assert builder.settings.seconds == 60.0
    assert [scene.samples.shape for scene in scenes] == [(20 * RATE,)] * 3
    steps = samples_of(scenes) * 32_768
    np.testing.assert_array_equal(steps, np.rint(steps))
    assert steps.min() >= -32_768
    assert steps.max() <= 32_767
    assert scenes[0].samples.dtype == np.float32


def test_words_follow_each_other_with_gaps_and_are_within_their_scene(store: Store) -> None:
    said = StreamBuilder(store, LABELS, settings=SETTINGS.changed(length_s=600.0)).truth(0)

    assert said == tuple(sorted(said, key=lambda word: word.start))
    for before, after in pairwise(said):
        assert after.start >= before.end + 0.049
    for word in said:
        assert 1.0 - 1e-3 <= word.start % 20.0 < word.end % 20.0 <= 19.0 + 1e-3
    gaps = [after.start - before.end for before, after in pairwise(said)]
    assert min(gaps) < 0.6
    assert max(gaps) > 1.0


def test_each_word_is_heard_where_the_truth_says(store: Store) -> None:
    settings = SETTINGS.changed(snr_low_db=40.0, snr_high_db=40.0, talk_share=0.0, noise_share=0.0)
    builder = StreamBuilder(store, LABELS, settings=settings)
    samples = samples_of(list(builder.scenes(0)))

    said = builder.truth(0)

    assert {word.label for word in said} == {"low", "high", UNKNOWN}
    for word in said:
        heard = samples[round(word.start * RATE) : round(word.end * RATE)]
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        loudest_hz = float(np.argmax(spectrum)) * RATE / len(heard)
        expected = WORDS["middle" if word.label == UNKNOWN else word.label]
        assert 0.85 * expected < loudest_hz < 1.15 * expected
        assert word.name.split("/")[0] == ("middle" if word.label == UNKNOWN else word.label)
        before = samples[round(word.start * RATE) - 400 : round(word.start * RATE) - 250]
        assert dbfs(heard) > dbfs(before) + 15.0


def test_level_and_distance_to_the_noise_are_those_asked_for(store: Store) -> None:
    settings = SETTINGS.changed(
        speech_low_db=-25.0, speech_high_db=-25.0, snr_low_db=10.0, snr_high_db=10.0, talk_share=0.0, noise_share=0.0
    )
    builder = StreamBuilder(store, LABELS, settings=settings)
    samples = samples_of(list(builder.scenes(0)))
    said = builder.truth(0)
    is_speech = np.zeros(len(samples), bool)
    for word in said:
        is_speech[round(word.start * RATE) - LENGTH : round(word.end * RATE) + LENGTH] = True

    noise_db = dbfs(samples[~is_speech])
    words_db = [dbfs(samples[round(word.start * RATE) : round(word.end * RATE)]) for word in said]

    assert noise_db == pytest.approx(-35.0, abs=1.0)
    assert np.median(words_db) == pytest.approx(-24.6, abs=1.0)  # speech and noise together
    assert {word.snr_db for word in said} == {10.0}


def test_noise_alone_comes_at_any_level_from_faint_to_loud(store: Store) -> None:
    builder = StreamBuilder(store, LABELS, settings=SETTINGS.changed(noise_share=1.0, talk_share=0.0, length_s=800.0))

    levels = [dbfs(scene.samples) for scene in builder.scenes(0)]

    assert builder.truth(0) == ()
    assert min(levels) < -75.0
    assert -20.0 < max(levels) < -6.0


def test_the_shares_of_scenes_and_words_are_those_asked_for(store: Store, others: Store) -> None:
    settings = SETTINGS.changed(length_s=8_000.0, noise_share=0.25, talk_share=0.25, word_share=0.5)
    builder = StreamBuilder(store, LABELS, distractors=others, settings=settings)

    said = builder.truth(0)

    by_scene = [[word.kind for word in said if int(word.start // 20.0) == scene] for scene in range(400)]
    assert sum(not kinds for kinds in by_scene) / 400 == pytest.approx(0.25, abs=0.08)
    talks = [kinds for kinds in by_scene if len(kinds) > 12]
    assert len(talks) / 400 == pytest.approx(0.25, abs=0.08)
    assert not any("word" in kinds for kinds in talks)
    commands = [kind for kinds in by_scene if 0 < len(kinds) <= 12 for kind in kinds]
    assert commands.count("word") / len(commands) == pytest.approx(0.5, abs=0.05)
    rest = [kind for kinds in talks for kind in kinds]
    assert rest.count("other language") / len(rest) == pytest.approx(settings.distractor_share, abs=0.05)


def test_no_word_of_another_language_is_a_label_whatever_its_folder_is_called(store: Store, others: Store) -> None:
    said = StreamBuilder(store, LABELS, distractors=others, settings=SETTINGS.changed(length_s=600.0)).truth(0)

    foreign = [word for word in said if word.kind == "other language"]
    assert {word.name.split("/")[0] for word in foreign} >= {"low", "high"}
    assert {word.label for word in foreign} == {UNKNOWN}
    ours = {clip.name for clip in store.clips}
    assert not ours & {word.name for word in foreign}


def test_only_clips_of_the_part_are_heard_and_each_before_any_comes_again(store: Store) -> None:
    builder = StreamBuilder(store, LABELS, settings=SETTINGS.changed(length_s=2_000.0), part="testing")
    names = {clip.name for clip in store.clips if clip.part == "testing" and clip.word in ("low", "high")}

    heard = [word.name for word in builder.truth(0) if word.kind == "word"]

    assert set(heard) == names
    assert max(heard.count(name) for name in names) < 4 * len(heard) / len(names)


def test_without_other_words_people_say_nothing_and_commands_are_all_labels(store: Store) -> None:
    said = StreamBuilder(store, ("low", "middle", "high"), settings=SETTINGS).truth(0)

    assert {word.kind for word in said} == {"word"}


def test_a_part_without_the_words_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match="holds none of tree"):
        StreamBuilder(store, ("tree",), settings=SETTINGS)


def test_distractors_of_another_rate_are_refused(store: Store, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    (tmp_path / "words" / "a").mkdir(parents=True)
    soundfile.write(tmp_path / "words" / "a" / "x_nohash_0.wav", np.zeros(4_000), 16_000)
    features = FEATURES.changed(sample_rate=16_000, clip_length=4_000)
    other = open_store([FolderSource(tmp_path / "words")], features, tmp_path / "cache")

    with pytest.raises(DataError, match="16000 Hz must have the rate"):
        StreamBuilder(store, LABELS, distractors=other)


def test_the_active_span_is_where_the_sound_is() -> None:
    samples = np.full(16_000, 1e-4, np.float32)
    samples[4_800:9_600] = 0.5

    assert active_span(samples, 16_000) == (4_800, 9_600)
    assert active_span(np.zeros(16_000, np.float32), 16_000) == (0, 16_000)
    assert active_span(np.ones(7, np.float32), 16_000) == (0, 7)


def test_real_words_are_placed_by_where_they_are_spoken(recordings: Path, tmp_path: Path) -> None:
    for word in ("yes", "no", "cat"):
        (tmp_path / "words" / word).mkdir(parents=True)
        files = sorted((recordings / "speech_commands_original" / word).iterdir())
        for file in [file for file in files if official_part(file.name) == "validation"][:40]:
            (tmp_path / "words" / word / file.name).symlink_to(file)
    (tmp_path / "words" / "_background_noise_").mkdir()
    store = open_store([FolderSource(tmp_path / "words")], FeatureSettings(), tmp_path / "cache")
    settings = StreamSettings(
        length_s=300.0, noise_share=0.0, talk_share=0.0, snr_low_db=30.0, snr_high_db=30.0, speech_low_db=-24.0
    )
    builder = StreamBuilder(store, ("yes", "no"), settings=settings)
    samples = samples_of(list(builder.scenes(0)))

    said = builder.truth(0)

    lengths = [word.end - word.start for word in said]
    assert 0.25 < np.median(lengths) < 0.9
    levels = [dbfs(samples[round(word.start * 16_000) : round(word.end * 16_000)]) for word in said]
    assert -28.0 < np.median(levels) < -18.0
