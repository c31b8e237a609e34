from __future__ import annotations

import pickle
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.comparison.measures.gaps import GAP_KINDS, FollowedRows, GapKind, GapRows, other_words, steps_by
from speech_rnn.config import FeatureSettings
from speech_rnn.data.store import Store
from speech_rnn.feature_cache import DigestedRows
from speech_rnn.features import mfcc
from speech_rnn.preparation import prepare
from tests.tones import FEATURES, LENGTH, RATE, small_settings, write_tones

KEYS = np.array([4, 7, 9])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("recordings")
    return prepare([str(write_tones(folder / "tones"))], small_settings(), folder / "cache").store


def gaps(store: Store, kind: GapKind, length: int = 3 * LENGTH + 500) -> GapRows:
    return GapRows(store, "validation", kind, length, KEYS, other_words(store, ("low", "high"), "validation"))


@pytest.mark.parametrize(("kind", "level_db"), [("silence", -80.0), ("noise", -35.0)])
def test_silence_is_next_to_nothing_and_noise_is_at_a_moderate_level(
    store: Store, kind: GapKind, level_db: float
) -> None:
    sound = gaps(store, kind).read(np.arange(3)) / 32_768

    np.testing.assert_allclose(20 * np.log10(np.sqrt(np.mean(sound**2, axis=1))), level_db, atol=0.5)


def test_words_are_whole_clips_of_other_words_of_the_part_one_right_after_another(store: Store) -> None:
    others = [i for i, clip in enumerate(store.clips) if (clip.word, clip.part) == ("middle", "validation")]
    there = {store.read(np.array([i])).tobytes() for i in others}

    sound = gaps(store, "words").read(np.arange(3))

    pieces = sound[:, : 3 * LENGTH].reshape(-1, LENGTH)
    assert {piece.tobytes() for piece in pieces} <= there
    assert len({piece.tobytes() for piece in pieces}) > 3
    assert {row[-500:].tobytes() for row in sound} <= {store.read(np.array([i]))[0, :500].tobytes() for i in others}


def test_where_every_word_has_a_label_all_clips_of_the_part_follow(store: Store) -> None:
    found = other_words(store, ("low", "middle", "high"), "testing")

    assert found.tolist() == [i for i, clip in enumerate(store.clips) if clip.part == "testing"]


@pytest.mark.parametrize("kind", get_args(GapKind))
def test_a_clip_is_followed_by_its_gap_whatever_the_company(store: Store, kind: GapKind) -> None:
    clips = np.array([0, 5, 2])
    rows = FollowedRows(clips, gaps(store, kind))

    alone = pickle.loads(pickle.dumps(rows)).read(np.array([1]))

    np.testing.assert_array_equal(alone, rows.read(np.arange(3))[1:2])
    np.testing.assert_array_equal(alone[:, :LENGTH], store.read(clips[1:2]))
    np.testing.assert_array_equal(alone[:, LENGTH:], gaps(store, kind).read(np.array([1])))


def test_other_gaps_have_other_digests(store: Store) -> None:
    rows: list[DigestedRows] = [*(gaps(store, kind) for kind in GAP_KINDS), gaps(store, "noise", 4_000)]
    followed = [FollowedRows(np.array(clips), gaps(store, "noise")) for clips in ([0, 1, 2], [0, 1, 3])]

    rows += followed
    assert len({one.digest for one in rows}) == 6


@given(
    st.floats(0.0, 3.0), st.integers(1, 4), st.sampled_from([FEATURES, FeatureSettings(), FeatureSettings(n_fft=1_024)])
)
def test_steps_are_as_many_as_whole_stacks_of_frames_are_in_the_sound(
    seconds: float, stack: int, features: FeatureSettings
) -> None:
    samples = np.zeros((1, features.clip_length + round(seconds * features.sample_rate)), np.float32)

    assert steps_by(seconds, features, stack) == mfcc(samples, features).shape[1] // stack


def test_right_after_the_clip_as_many_steps_are_heard_as_in_a_clip() -> None:
    assert steps_by(0.0, FEATURES, 4) == FEATURES.n_frames // 4
    assert steps_by(LENGTH / RATE, FEATURES, 1) == 1 + (2 * LENGTH - FEATURES.n_fft) // FEATURES.hop_length
