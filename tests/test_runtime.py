from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import speech_rnn
from speech_rnn import runtime
from speech_rnn.audio import fit, read_audio
from speech_rnn.errors import AudioError, ModelError
from speech_rnn.runtime import Recognizer, load, read_clip, shipped_models
from tests.tflite_models import (
    CLIP_LENGTH,
    LABELS,
    expected_scores,
    make_card,
    make_model,
    make_weights,
    write_model,
)

weights = make_weights()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), weights=weights)


@pytest.fixture(scope="module")
def recognizer(folder: Path) -> Recognizer:
    return load(folder)


def sound(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)


def test_a_clip_gets_the_scores_that_the_formula_gives(recognizer: Recognizer) -> None:
    clip = sound(CLIP_LENGTH)

    prediction = recognizer.predict(clip, 16_000)

    expected = expected_scores(weights, clip)
    np.testing.assert_allclose(list(prediction.scores.values()), expected, atol=1e-6)
    assert tuple(prediction.scores) == LABELS == recognizer.labels
    assert prediction.label == LABELS[int(expected.argmax())]
    assert prediction.score == prediction.scores[prediction.label] == max(prediction.scores.values())


def test_longer_sound_is_heard_in_its_middle(recognizer: Recognizer) -> None:
    long = sound(CLIP_LENGTH + 301)

    scores = list(recognizer.predict(long, 16_000).scores.values())

    np.testing.assert_allclose(scores, expected_scores(weights, long[150 : 150 + CLIP_LENGTH]), atol=1e-6)


def test_shorter_sound_gets_zeros_on_both_sides(recognizer: Recognizer) -> None:
    short = sound(101)
    clip = np.zeros(CLIP_LENGTH)
    before = (CLIP_LENGTH - 101) // 2
    clip[before : before + 101] = short

    scores = list(recognizer.predict(short, 16_000).scores.values())

    np.testing.assert_allclose(scores, expected_scores(weights, clip), atol=1e-6)


def test_integers_channels_and_other_rates_are_heard_as_the_same_sound(recognizer: Recognizer) -> None:
    clip = np.round(sound(CLIP_LENGTH) * 32_767).astype(np.int16)
    expected = recognizer.predict(clip.astype(np.float32) / 32_768, 16_000)

    assert recognizer.predict(clip, 16_000) == expected
    assert recognizer.predict(np.stack([clip, clip], axis=1), 16_000) == expected
    tone = np.sin(2 * np.pi * 440 / 48_000 * np.arange(3 * CLIP_LENGTH))
    at_16_khz = recognizer.predict(tone[::3], 16_000)
    assert recognizer.predict(tone, 48_000).score == pytest.approx(at_16_khz.score, abs=0.05)


def test_a_batch_gives_what_its_clips_give(recognizer: Recognizer) -> None:
    clips = [sound(n, n) for n in (1, CLIP_LENGTH, 1_000)]

    assert recognizer.predict_batch(clips, 16_000) == [recognizer.predict(clip, 16_000) for clip in clips]


@pytest.mark.parametrize(
    ("samples", "rate", "rule"),
    [
        (np.zeros(0, np.float32), 16_000, "at least one sample"),
        (np.array([0.0, np.nan]), 16_000, "finite"),
        (np.zeros(10), 0, "rate=0 must be a rate"),
        (np.zeros((2, 2, 2)), 16_000, "shape"),
    ],
)
def test_what_is_no_sound_is_refused(recognizer: Recognizer, samples: np.ndarray, rate: int, rule: str) -> None:
    with pytest.raises(AudioError, match=rule):
        recognizer.predict(samples, rate)


def test_bare_scores_want_exactly_a_clip(recognizer: Recognizer) -> None:
    assert recognizer.scores(sound(CLIP_LENGTH)).shape == (3,)
    with pytest.raises(AudioError, match=r"must be float32 \[800\]"):
        recognizer.scores(sound(CLIP_LENGTH - 1))
    with pytest.raises(AudioError, match="dtype float64 must be float32"):
        recognizer.scores(sound(CLIP_LENGTH).astype(np.float64))


def test_scores_that_are_no_numbers_are_an_error_not_an_answer(recognizer: Recognizer) -> None:
    broken = weights.copy()
    broken[1, 5] = np.nan
    recognizer = Recognizer(make_card(), make_model(broken, make_card().to_json()), recognizer.stream_model)

    with pytest.raises(ModelError, match="not numbers"):
        recognizer.predict(sound(CLIP_LENGTH), 16_000)


def test_threads_that_share_a_recognizer_get_the_answers_of_a_single_one(recognizer: Recognizer) -> None:
    clips = [sound(CLIP_LENGTH, seed) for seed in range(40)]
    alone = recognizer.predict_batch(clips, 16_000)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: recognizer.predict(clips[i % 40], 16_000), range(10_000)))

    assert together == alone * 250


def test_a_recognizer_is_immutable(recognizer: Recognizer) -> None:
    with pytest.raises(FrozenInstanceError):
        recognizer.card = make_card()  # type: ignore[misc]  # that it fails is the point


def test_a_recognizer_can_be_copied_and_sent_to_another_process(recognizer: Recognizer) -> None:
    clip = sound(CLIP_LENGTH)

    for twin in (pickle.loads(pickle.dumps(recognizer)), copy.deepcopy(recognizer)):
        assert twin.predict(clip, 16_000) == recognizer.predict(clip, 16_000)


@given(
    n=st.integers(1, 400_000),
    length=st.integers(1, 40_000),
    rate=st.sampled_from([16_000, 8_000]),
)
def test_a_file_of_any_length_is_heard_as_if_it_were_read_whole(
    tmp_path_factory: pytest.TempPathFactory, n: int, length: int, rate: int
) -> None:
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(path, sound(n, n), rate, subtype="PCM_16")

    clip, n_samples = read_clip(path, 16_000, length)

    whole = read_audio(path, 16_000)
    assert n_samples == len(whole)
    np.testing.assert_array_equal(clip, fit(whole, length))


def test_a_file_cut_in_half_is_refused(folder: Path, tmp_path: Path) -> None:
    half = copied(folder, tmp_path)
    content = (half / "clip.tflite").read_bytes()
    (half / "clip.tflite").write_bytes(content[: len(content) // 2])

    with pytest.raises(ModelError, match=r"clip\.tflite has .* bytes, its card says .*; copy it again, or export"):
        load(half)


def test_a_flipped_bit_is_refused(folder: Path, tmp_path: Path) -> None:
    flipped = copied(folder, tmp_path)
    content = bytearray((flipped / "clip.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (flipped / "clip.tflite").write_bytes(content)

    with pytest.raises(ModelError, match=r"SHA-256 .* changed or damaged: copy it again, or export the model again"):
        load(flipped)


def test_a_missing_card_is_named(folder: Path, tmp_path: Path) -> None:
    bare = copied(folder, tmp_path)
    (bare / "card.json").unlink()

    with pytest.raises(ModelError, match=r"card\.json is missing"):
        load(bare)


def test_a_card_of_another_version_is_refused(folder: Path, tmp_path: Path) -> None:
    later = copied(folder, tmp_path)
    values = json.loads((later / "card.json").read_text())
    (later / "card.json").write_text(json.dumps({**values, "version": 2}))

    with pytest.raises(ModelError, match="is of version 2, and this speech-rnn reads version 1"):
        load(later)


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        (("no", "yes", "up"), "disagree on labels"),
        (("yes", "no"), r"outputs of 'stream' 'scores': float32 \[1, 3\], its card says float32 \[1, 2\]"),
    ],
)
def test_labels_that_are_not_the_models_are_refused(
    folder: Path, tmp_path: Path, labels: tuple[str, ...], rule: str
) -> None:
    other = copied(folder, tmp_path)
    values = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps({**values, "labels": labels}))

    with pytest.raises(ModelError, match=rule):
        load(other)


def test_an_unknown_name_lists_the_known_ones(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_PACKAGE", tmp_path)
    with pytest.raises(ModelError, match=r"model 'gru-13' is neither .* \(none is shipped\).*export RUN"):
        load("gru-13")

    write_model(tmp_path / "exported" / "gru-12-small")
    write_model(tmp_path / "exported" / "lstm-12")

    with pytest.raises(ModelError, match=r"\(of those shipped: gru-12-small, lstm-12\)"):
        load("gru-13")
    assert load("gru-12-small").card.name == "by-hand"


def test_a_checkout_has_its_models_beside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_PACKAGE", tmp_path / "speech_rnn")
    write_model(tmp_path / "exported" / "gru-12-small")

    assert shipped_models() == {}
    (tmp_path / "pyproject.toml").touch()

    assert shipped_models() == {"gru-12-small": tmp_path / "exported" / "gru-12-small"}


def test_a_run_and_a_file_are_told_from_a_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()

    with pytest.raises(ModelError, match=r"is a training run, not a model; 'speech-rnn export .* makes one"):
        load(tmp_path)
    with pytest.raises(ModelError, match="give the folder"):
        load(folder / "clip.tflite")


@pytest.mark.parametrize("name", ["", "nowhere", "a\0b", "x" * 10_000, "\x1b[31m", "no/such/folder"])
def test_a_name_of_nothing_is_an_error_on_one_printable_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load(name)

    assert str(caught.value).isprintable()


def test_every_shipped_model_loads() -> None:
    for name, place in shipped_models().items():
        recognizer = load(name)
        assert recognizer.card.name == name == place.name


def test_the_runtime_needs_no_workshop() -> None:
    code = (
        "import speech_rnn, sys; assert 'numpy' not in sys.modules; speech_rnn.load; "
        "print(sorted({'tensorflow', 'keras', 'librosa', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_package_offers_the_runtime() -> None:
    assert speech_rnn.load is load
    assert speech_rnn.Recognizer is Recognizer


def copied(folder: Path, to: Path) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to
