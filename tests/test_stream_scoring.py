from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

from speech_rnn import stream_scoring
from speech_rnn.audio import read_blocks
from speech_rnn.config import DetectorConfig
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import open_store
from speech_rnn.data.stream_files import truth_beside
from speech_rnn.data.stream_settings import StreamSettings
from speech_rnn.data.streams import StreamBuilder
from speech_rnn.detection_sweep import ScoredStream, detect, smooth
from speech_rnn.errors import AudioError, DataError
from speech_rnn.runtime import load
from speech_rnn.stream_scoring import score, score_built, score_files
from speech_rnn.transcript import transcribe
from tests.tflite_models import write_model
from tests.tone_listener import TONE_LABELS, ToneStream, tone_recognizer
from tests.tones import FEATURES, RATE, write_tones

CONFIG = DetectorConfig(threshold=0.6, smoothing_s=0.2, refractory_s=0.4)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> StreamBuilder:
    folder = tmp_path_factory.mktemp("streams")
    store = open_store([FolderSource(write_tones(folder / "words"))], FEATURES, folder / "cache")
    settings = StreamSettings(length_s=40.0, scene_s=20.0, talk_share=0.0, noise_share=0.0, snr_low_db=20.0)
    return StreamBuilder(store, TONE_LABELS, settings=settings)


def built(
    builder: StreamBuilder, cache: Path, n: int = 2, workers: int = 1, keep: Path | None = None
) -> list[ScoredStream]:
    return list(score_built(tone_recognizer(), CONFIG, builder, range(n), cache, workers=workers, keep=keep))


def scores_heard(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lengths of the blocks that a stream is given from now on."""
    heard: list[float] = []
    accept_scores = ToneStream.accept_scores

    def counting(self: ToneStream, samples: np.ndarray, rate: float):  # type: ignore[no-untyped-def]
        heard.append(len(samples) / rate)
        return accept_scores(self, samples, rate)

    monkeypatch.setattr(ToneStream, "accept_scores", counting)
    return heard


def same(first: list[ScoredStream], second: list[ScoredStream]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(one.times, other.times)
        and np.array_equal(one.scores, other.scores)
        and (one.seconds, one.said) == (other.seconds, other.said)
        for one, other in zip(first, second, strict=True)
    )


def test_what_is_scored_is_what_recognizing_the_written_stream_detects(builder: StreamBuilder, tmp_path: Path) -> None:
    (stream,) = built(builder, tmp_path / "cache", n=1, keep=tmp_path / "kept")

    sound = tmp_path / "kept" / "stream-0000.flac"
    heard = list(transcribe(tone_recognizer().stream(CONFIG), sound, RATE))
    times, labels = detect(stream.times, smooth(stream.times, stream.scores, TONE_LABELS, CONFIG), TONE_LABELS, CONFIG)
    assert [(one.time, one.label) for one in heard] == list(zip(times, labels, strict=True))
    assert len(heard) > 3
    assert stream.seconds == 40.0
    assert stream.times[-1] > 40.0  # the end is heard out


@pytest.mark.parametrize("mode", ["window", "carry"])
def test_detections_from_scores_are_those_of_the_stream_itself(
    mode: Literal["window", "carry"], tmp_path: Path
) -> None:
    recognizer = load(write_model(tmp_path / "model"))
    config = DetectorConfig(mode=mode, interval_s=0.01, smoothing_s=0.03, threshold=0.7, refractory_s=0.05)
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.random.default_rng(0).uniform(-1, 1, 40_000), 16_000, subtype="PCM_16")

    times, scores, seconds = score(recognizer, config, read_blocks(sound, 16_000, 0.5))

    smoothed = smooth(times, scores, recognizer.labels, config)
    heard = list(transcribe(recognizer.stream(config), sound, 16_000))
    found = detect(times, smoothed, recognizer.labels, config)
    assert ([one.time for one in heard], [one.label for one in heard]) == found
    assert len(heard) > 5
    assert seconds == 2.5


def test_a_stream_that_was_kept_gives_the_scores_that_it_gave_when_built(
    builder: StreamBuilder, tmp_path: Path
) -> None:
    streams = built(builder, tmp_path / "cache", keep=tmp_path / "kept")

    sounds = sorted((tmp_path / "kept").glob("*.flac"))
    from_files = list(
        score_files(tone_recognizer(), CONFIG, sounds, [truth_beside(sound) for sound in sounds], tmp_path / "cache")
    )

    assert same(streams, from_files)


def test_scores_are_computed_once(builder: StreamBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(builder, tmp_path)
    heard = scores_heard(monkeypatch)

    assert same(built(builder, tmp_path), first)
    assert heard == []


def test_a_run_that_was_killed_goes_on_with_the_streams_that_are_missing(
    builder: StreamBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(builder, tmp_path / "whole", n=3)
    with monkeypatch.context() as patched:
        heard = scores_heard(patched)
        real, calls = stream_scoring.score, 0

        def killed(*arguments):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
            return real(*arguments)

        patched.setattr(stream_scoring, "score", killed)
        with pytest.raises(KeyboardInterrupt):
            built(builder, tmp_path / "cut", n=3)
    heard = scores_heard(monkeypatch)

    again = built(builder, tmp_path / "cut", n=3)

    assert same(again, whole)
    assert sum(heard) == pytest.approx(2 * (40.0 + FEATURES.clip_length / 2 / RATE))
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_scores_that_are_damaged_are_made_anew(damage: bytes | None, builder: StreamBuilder, tmp_path: Path) -> None:
    first = built(builder, tmp_path, n=1)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)

    assert same(built(builder, tmp_path, n=1), first)


def test_another_model_way_or_stream_has_scores_of_its_own(builder: StreamBuilder, tmp_path: Path) -> None:
    built(builder, tmp_path, n=1)
    other_seed = StreamBuilder(builder._store, TONE_LABELS, settings=builder.settings, seed=1)

    for recognizer, config, streams in (
        (tone_recognizer(parameters=7), CONFIG, builder),
        (tone_recognizer(), CONFIG.changed(mode="carry"), builder),
        (tone_recognizer(), CONFIG.changed(interval_s=0.24), builder),
        (tone_recognizer(), CONFIG, other_seed),
    ):
        n = len(list(tmp_path.rglob("*.npz")))
        list(score_built(recognizer, config, streams, [0], tmp_path, workers=1))
        assert len(list(tmp_path.rglob("*.npz"))) == n + 1
    list(score_built(tone_recognizer(), CONFIG.changed(threshold=0.1), builder, [0], tmp_path, workers=1))
    assert len(list(tmp_path.rglob("*.npz"))) == 5


def test_several_processes_give_what_one_gives(builder: StreamBuilder, tmp_path: Path) -> None:
    assert same(built(builder, tmp_path / "two", workers=2), built(builder, tmp_path / "one", workers=1))


def test_blocks_of_any_length_give_the_same_scores(builder: StreamBuilder, tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    soundfile.write(sound, next(iter(builder.scenes(0))).samples, RATE, subtype="PCM_16")

    first = score(tone_recognizer(), CONFIG, read_blocks(sound, RATE, 10.0))
    second = score(tone_recognizer(), CONFIG, read_blocks(sound, RATE, 0.37))

    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_allclose(first[1], second[1], atol=1e-6)
    assert first[2] == second[2] == 20.0


def test_what_is_wrong_with_a_truth_is_said_before_any_sound_is_heard(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nonsense")

    with pytest.raises(DataError, match="line 1"):
        list(score_files(tone_recognizer(), CONFIG, [tmp_path / "no.wav"], [tmp_path / "a.txt"], tmp_path))


def test_a_sound_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\t2\tlow\n")
    (tmp_path / "a.wav").write_text("no sound")

    with pytest.raises(AudioError, match=r"a.wav' is not a sound file"):
        list(score_files(tone_recognizer(), CONFIG, [tmp_path / "a.wav"], [tmp_path / "a.txt"], tmp_path))
    with pytest.raises(DataError, match=r"b.wav' can't be read"):
        list(score_files(tone_recognizer(), CONFIG, [tmp_path / "b.wav"], [tmp_path / "a.txt"], tmp_path))
