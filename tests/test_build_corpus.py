"""The corpus builder on a few words, and the Opus files it writes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets import build_corpus, espeak, flite, opus
from datasets.voices import WORDS, takes_of, voices_of
from speech_rnn.data.clips import PARTS, Part
from speech_rnn.data.corpus import CorpusSource, corpus_folder

RATE = 16_000
WORD = ["zero"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "corpus"
    build_corpus.build(folder, words=WORD, max_takes=1, noise_s=1.0, n_babble_voices=2, with_flite=False, workers=2)
    return folder


def test_the_plan_is_the_corpus_that_is_embedded() -> None:
    takes = build_corpus.plan(0, WORDS, max_takes=None, with_flite=True)

    embedded = [(clip.part, clip.word, clip.speaker) for clip in CorpusSource().clips]
    assert [(take.part, take.word, take.voice.speaker) for take in takes] == embedded


def test_the_plan_gives_each_word_to_each_voice_of_a_part() -> None:
    takes = build_corpus.plan(5, ["stop"], max_takes=None, with_flite=True)

    for part in PARTS:
        said_by = [take.voice for take in takes if take.part == part]
        assert len(said_by) == takes_of("stop", part)
        assert set(said_by) == set(voices_of(part))


def test_the_tables_give_no_voice_to_two_parts() -> None:
    voices: dict[Part, set[str]] = {part: {voice.speaker for voice in voices_of(part)} for part in PARTS}

    assert not voices["training"] & voices["validation"]
    assert not voices["training"] & voices["testing"]
    assert not voices["validation"] & voices["testing"]


def test_a_built_corpus_is_read_as_one(built: Path) -> None:
    source = CorpusSource(built)

    waveforms = list(source.waveforms(RATE))

    assert [(clip.part, clip.word) for clip in source.clips] == [(part, "zero") for part in PARTS]
    assert all(0.1 < len(samples) / RATE < 1.0 for samples in waveforms)
    assert [len(samples) for samples in source.noise_waveforms(RATE)] == [RATE] * 8


def test_the_same_build_gives_the_same_bytes_whatever_the_number_of_processes(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"

    build_corpus.build(again, words=WORD, max_takes=1, noise_s=1.0, n_babble_voices=2, with_flite=False, workers=1)

    assert contents(again) == contents(built)


def test_what_comes_out_of_a_file_is_what_was_said_not_shifted() -> None:
    takes = [t for t in build_corpus.plan(1, ["seven"], max_takes=1, with_flite=False) if t.part == "testing"]
    spoken = build_corpus.speak(takes, 1)
    word = build_corpus.finish(spoken[0], takes[0])
    padded = np.pad(word, 1_600)

    decoded, rate = soundfile.read(io.BytesIO(opus.encode(padded, RATE, bits_per_s=21_000, serial=1)), dtype="float32")

    assert rate == RATE
    assert decoded.shape == padded.shape
    lags = range(-400, 401)
    likeness = [float(np.dot(padded[400:-400], decoded[400 + lag : len(decoded) - 400 + lag])) for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0


def test_a_new_serial_keeps_the_sound_and_the_checksums_that_libsndfile_would_write() -> None:
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, 40_000).astype(np.float32)
    target = io.BytesIO()
    soundfile.write(target, sound, RATE, format="OGG", subtype="OPUS")
    original = target.getvalue()
    serial = int.from_bytes(original[14:18], "little")

    changed = opus.with_serial(original, serial ^ 0xFFFF)

    assert changed != original
    assert opus.with_serial(changed, serial) == original
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(changed))[0], soundfile.read(io.BytesIO(original))[0])


def test_espeak_says_a_word_the_same_way_each_time() -> None:
    utterance = espeak.Utterance("marvin", "en-US", 150, 50, 50, seed=3)

    first, second = espeak.speak([("f3", [utterance])] * 2, 2)

    np.testing.assert_array_equal(first[0], second[0])
    assert np.abs(first[0]).max() > 0.05


def test_espeak_speaks_faster_where_a_word_would_take_too_long() -> None:
    slow = espeak.Utterance("sheila", "en", 80, 50, 50, seed=1)
    bounded = espeak.Utterance("sheila", "en", 80, 50, 50, seed=1, max_s=0.5)

    ((long, short),) = espeak.speak([("m1", [slow, bounded])], 1)

    assert espeak.trimmed_length(long) > 0.5 * RATE
    assert espeak.trimmed_length(short) <= 0.5 * RATE


def test_flite_speaks_slower_and_higher_where_asked() -> None:
    if not flite.found():
        pytest.skip("flite isn't installed; apt-get install flite")

    usual = flite.speak(flite.Utterance("seven", "slt", stretch=1.0, pitch=1.0))
    slow = flite.speak(flite.Utterance("seven", "slt", stretch=1.5, pitch=1.0))

    assert len(slow) > 1.2 * len(usual)
    np.testing.assert_array_equal(usual, flite.speak(flite.Utterance("seven", "slt", stretch=1.0, pitch=1.0)))


def test_a_voice_says_again_what_is_embedded_of_it() -> None:
    index = json.loads((corpus_folder() / "index.json").read_text(encoding="utf-8"))
    built_with = index["made_with"]["espeak-ng"]
    if espeak.version() != built_with:
        pytest.skip(f"espeak-ng is {espeak.version()} here, the corpus was built with {built_with}")
    embedded = []
    for entry in index["files"]:
        if "espeak-m8" in entry["speakers"]:
            decoded, _ = soundfile.read(corpus_folder() / entry["path"], dtype="float32")
            for speaker, start, length in zip(entry["speakers"], entry["starts"], entry["lengths"], strict=True):
                if speaker == "espeak-m8":
                    embedded.append(decoded[start : start + length])

    takes = [take for take in build_corpus.plan(0, WORDS, max_takes=None, with_flite=True) if take.voice.name == "m8"]
    again = [build_corpus.finish(x, take) for take, x in zip(takes, build_corpus.speak(takes, 1), strict=True)]

    assert [len(word) for word in again] == [len(word) for word in embedded]
    likeness = [float(np.corrcoef(first, second)[0, 1]) for first, second in zip(again, embedded, strict=True)]
    # What Opus loses at 16 kbit/s; a shift by 2 ms would leave nothing of it.
    assert min(likeness) > 0.7
    assert np.median(likeness) > 0.95
