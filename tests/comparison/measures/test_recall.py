from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.comparison.measures.recall import Lessons, build_longer, recall, teach
from speech_rnn.config import ModelSettings, TrainingSettings
from speech_rnn.errors import ModelError
from speech_rnn.feature_cache import FeatureFile
from speech_rnn.models import build_classifier, build_step, state_sizes

N_LABELS, STACK = 3, 2
CLIP_FRAMES = 9  # the last one fills no stack
STEPS = (4, 6, 8, 30)


def classifier(cell: str, *, units: int = 5, layers: int = 2, n_mfcc: int = 4, seed: int = 1) -> keras.Model:
    keras.utils.set_random_seed(seed)
    settings = ModelSettings(cell=cell, units=units, layers=layers, stack=STACK, dropout=0.5)
    mean = np.linspace(-1, 1, n_mfcc).astype(np.float32)
    return build_classifier(settings, CLIP_FRAMES, n_mfcc, N_LABELS, mean=mean, variance=mean**2 + 1)


def sounds(n: int, frames: int, n_mfcc: int = 4) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(n, frames, n_mfcc)).astype(np.float32)


def with_memory(kept: float) -> keras.Model:
    """An LSTM made by hand: a word writes its number into the cells, of which a step keeps ``sigmoid(kept)``.

    A frame of a word says which of three it is in one of its coefficients; silence is all zeros.
    """
    settings = ModelSettings(cell="lstm", units=N_LABELS, layers=1, stack=STACK, dropout=0.0)
    model = build_classifier(settings, CLIP_FRAMES, N_LABELS, N_LABELS)
    kernel = np.zeros((STACK * N_LABELS, 4, N_LABELS), np.float32)
    kernel[:, 0, :] = 40.0  # any word opens the gate of the input
    kernel[:, 2, :] = np.tile(np.eye(N_LABELS), (STACK, 1))
    bias = np.zeros((4, N_LABELS), np.float32)
    bias[:, :] = [[-20.0], [kept], [0.0], [20.0]]
    recurrent = np.zeros((N_LABELS, 4 * N_LABELS), np.float32)
    # What is forgotten leaves the first label.
    logits = [5 * np.eye(N_LABELS, dtype=np.float32), np.array([0.01, 0.0, 0.0], np.float32)]
    model.get_layer("recurrent_0").set_weights([kernel.reshape(STACK * N_LABELS, -1), recurrent, bias.reshape(-1)])
    model.get_layer("logits").set_weights(logits)
    return model


def words_then_silence(n: int, frames: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    labels = np.arange(n) % N_LABELS
    sound = np.zeros((n, frames, N_LABELS), np.float32)
    sound[:, :CLIP_FRAMES] = np.eye(N_LABELS)[labels][:, np.newaxis]
    # Some say another word than they are meant to.
    return sound, np.where(np.arange(n) % 5 == 0, (labels + 1) % N_LABELS, labels)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_after_every_step_it_says_what_the_one_step_twin_says(cell: str) -> None:
    model, sound = classifier(cell), sounds(3, 60)
    step = build_step(model)
    states = [keras.ops.zeros((3, size)) for size in state_sizes(model)]
    expected = []
    for start in range(0, 60, STACK):
        logits, *states = step([keras.ops.convert_to_tensor(sound[:, start : start + STACK]), *states])
        expected.append(np.asarray(logits))

    found = np.asarray(build_longer(model)(sound))

    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-5)
    np.testing.assert_allclose(found[:, 3], np.asarray(model(sound[:, :CLIP_FRAMES])), atol=1e-5)


def test_who_never_forgets_knows_after_any_gap_what_it_knew_at_the_end_of_the_clip() -> None:
    sound, labels = words_then_silence(600, 2 * max(STEPS))

    right = recall(build_longer(with_memory(20.0)), sound, labels, STEPS)

    assert right.shape == (len(STEPS), 600)
    assert right[0].mean() == pytest.approx(0.8)
    for later in right[1:]:
        np.testing.assert_array_equal(later, right[0])


def test_who_forgets_with_the_next_step_is_left_with_chance() -> None:
    sound, labels = words_then_silence(600, 2 * max(STEPS))

    right = recall(build_longer(with_memory(-20.0)), sound, labels, STEPS)

    assert right[0].mean() == pytest.approx(0.8)
    # The ninth frame of a word is heard in the fifth step, so the sixth is the first that may have forgotten it.
    assert right[1:].mean() == pytest.approx(1 / 3, abs=0.01)


def test_what_hears_in_both_directions_can_t_be_asked_on_the_way() -> None:
    model = build_classifier(
        ModelSettings(cell="gru", units=3, layers=1, stack=STACK, both_ways=True), CLIP_FRAMES, 4, N_LABELS
    )

    with pytest.raises(ModelError, match="can't stream"):
        build_longer(model)


def written(path: Path, features: NDArray[np.float32]) -> FeatureFile:
    np.save(path, features)
    return FeatureFile(np.load(path, mmap_mode="r"))


@pytest.fixture
def lessons(tmp_path: Path) -> Lessons:
    """Three words that a coefficient tells; silence is nothing, and noise next to nothing."""
    sound, _ = words_then_silence(30, CLIP_FRAMES)
    noise = 0.1 * sounds(20, 24, N_LABELS)
    return Lessons(
        written(tmp_path / "clips.npy", sound),
        np.arange(30) % N_LABELS,
        {
            "silence": written(tmp_path / "silence.npy", np.zeros_like(noise)),
            "noise": written(tmp_path / "noise.npy", noise),
        },
        20,
        24,
    )


def test_a_lesson_is_clips_with_gaps_of_one_length_and_each_kind(lessons: Lessons) -> None:
    found = [lessons.lesson(3, step, n=40) for step in range(60)]

    lengths = {lesson.mfcc.shape[1] - CLIP_FRAMES for lesson in found}
    assert {0, 24} <= lengths <= set(range(25))
    for lesson in found:
        said = lesson.mfcc[:, :CLIP_FRAMES]
        np.testing.assert_array_equal(said.argmax(axis=2), np.repeat(lesson.labels[:, np.newaxis], CLIP_FRAMES, 1))
        gap = np.abs(lesson.mfcc[:, CLIP_FRAMES:]).max(axis=(1, 2), initial=0.0)
        assert gap.shape[0] == 40
        if lesson.mfcc.shape[1] > CLIP_FRAMES:
            assert 0.2 < (gap == 0).mean() < 0.8


def test_a_lesson_is_a_function_of_the_seed_and_the_step(lessons: Lessons) -> None:
    one, again, other_step, other_seed = (lessons.lesson(*key) for key in ((1, 5), (1, 5), (1, 6), (2, 5)))

    np.testing.assert_array_equal(one.mfcc, again.mfcc)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert one.labels.tolist() != other_step.labels.tolist()
    assert one.labels.tolist() != other_seed.labels.tolist()


def test_what_is_taught_with_gaps_is_known_after_longer_ones(lessons: Lessons) -> None:
    model = classifier("lstm", units=8, layers=1, n_mfcc=N_LABELS)
    longer = build_longer(model)
    sound, _ = words_then_silence(30, 100)
    labels, steps = np.arange(30) % N_LABELS, (4, 16, 40)
    before = recall(longer, sound, labels, steps)

    teach(longer, lessons, TrainingSettings(learning_rate=0.04, weight_decay=0.0, seed=1), steps=80)

    after = recall(longer, sound, labels, steps)
    assert before.mean() < 0.7
    assert after[:2].mean() == 1.0
    assert after[2].mean() > 0.6
    assert (np.asarray(model(sound[:, :CLIP_FRAMES])).argmax(axis=1) == labels).all()


def test_teaching_again_from_the_same_weights_ends_at_the_same_weights(lessons: Lessons) -> None:
    settings = TrainingSettings(learning_rate=0.01, seed=4)
    ends = []
    for _ in range(2):
        model = classifier("gru", units=3, layers=1, n_mfcc=N_LABELS)
        teach(build_longer(model), lessons, settings, steps=3)
        ends.append(model.get_weights())

    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
