from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speech_rnn.beam.running import engine
from speech_rnn.config import FeatureSettings
from speech_rnn.data.clips import Source
from speech_rnn.data.segments import SegmentsSource
from speech_rnn.data.sources import open_source
from speech_rnn.data.store import open_store
from speech_rnn.errors import AudioError, DataError, SpeechRnnError
from speech_rnn.feature_cache import cached_features
from speech_rnn.prepared import building, pipeline, units
from speech_rnn.prepared.building import Outcome
from speech_rnn.prepared.pieces import MODULUS, example_digest, example_key, examples, make_piece
from speech_rnn.prepared.planning import open_all, plan
from speech_rnn.prepared.record import SPLITS, PreparedRecord, shard_paths
from speech_rnn.prepared.shards import Shards
from tests.prepared.memory_files import OPENED, copy_folder
from tests.prepared.small import RATE, TINY, speaker, write_words


def prepare(names: Sequence[str | Path], folder: Path, settings: FeatureSettings = TINY, **options: Any) -> Outcome:
    return building.prepare([str(name) for name in names], settings, str(folder), engine(None, [], 1), **options)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """All examples by name, through TFDS alone, which knows nothing of this package."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder / "keyword_features" / "1.0.0")
    found = {}
    for split in builder.info.splits:
        for example in builder.as_dataset(split=split).as_numpy_iterator():
            assert example["name"].decode() not in found
            found[example["name"].decode()] = {**example, "split": split}
    return found


def assert_like_the_cache(folder: Path, sources: Sequence[Source], cache: Path, settings: FeatureSettings) -> None:
    """The same clips, called the same, with the same features to the bit as training from sound would use."""
    store = open_store(sources, settings, cache)
    features = cached_features(store, settings, cache, kind="log_mel")
    found = read(folder)
    assert len(found) == len(store)
    for clip, number, expected in zip(store.clips, store.source_of.tolist(), features, strict=True):
        example = found[f"{number}/{clip.name}"]
        assert example["log_mel"].dtype == np.float16
        np.testing.assert_array_equal(example["log_mel"].view(np.uint16), expected.view(np.uint16))
        assert (example["word"].decode(), example["speaker"].decode()) == (clip.word, clip.speaker)
        assert example["split"] == SPLITS[clip.part]
        assert example["key"] == example_key(f"{number}/{clip.name}")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("recordings") / "words", 60)


@pytest.fixture(scope="module")
def features(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "features"
    prepare([words], folder)
    return folder


def test_features_are_those_of_the_local_cache_to_the_bit(words: Path, features: Path, tmp_path: Path) -> None:
    assert_like_the_cache(features, [open_source(str(words))], tmp_path, TINY)


def test_the_record_counts_and_names_what_is_there(words: Path, features: Path, tmp_path: Path) -> None:
    record = PreparedRecord.read(str(features))

    source = open_source(str(words))
    assert (record.clips_in, record.clips, record.rejects, record.left_out) == (120, 120, 0, 0)
    assert [(one.name, one.digest, one.synthetic) for one in record.sources] == [(str(words), source.digest(), False)]
    by_part = {part: sum(counts.values()) for part, counts in record.words.items()}
    assert by_part == {part: sum(clip.part == part for clip in source.clips) for part in SPLITS}
    assert all(set(counts) == {"no", "yes"} for counts in record.words.values())
    for part in SPLITS:
        assert all(Path(path).is_file() for path in shard_paths(str(features), record, part))
    store = open_store([source], TINY, tmp_path)
    assert (features / "noise.i16").read_bytes() == (store.folder / "noise.i16").read_bytes()
    assert [(one.name, one.length) for one in record.noises] == [
        ("0/_background_noise_/rain.wav", 1_000),
        ("0/_background_noise_/tap.wav", 1_000),
    ]


def test_the_digest_is_the_sum_of_the_examples_in_any_order(features: Path) -> None:
    parts = {split: part for part, split in SPLITS.items()}

    digests = [
        example_digest(name, one["word"].decode(), one["speaker"].decode(), parts[one["split"]], one["log_mel"])
        for name, one in read(features).items()
    ]

    assert PreparedRecord.read(str(features)).digest == f"{sum(digests) % MODULUS:064x}"


def test_a_data_set_that_lacks_a_file_is_not_said_to_be_whole(words: Path, features: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(features, tmp_path / "features")
    next((damaged / "keyword_features" / "1.0.0").glob("*train.tfrecord*")).unlink()

    with pytest.raises(DataError, match="is missing, one of 1 files; remove the folder and prepare anew"):
        prepare([words], damaged)


def test_noise_counts_in_the_digest_of_shards(words: Path, features: Path, tmp_path: Path) -> None:
    other = shutil.copytree(words, tmp_path / "words")
    (other / "_background_noise_" / "rain.wav").unlink()
    prepare([other], tmp_path / "features")

    mine, theirs = Shards(str(features)), Shards(str(tmp_path / "features"))
    assert mine.record.digest == theirs.record.digest
    assert mine.digest() != theirs.digest()


def test_nothing_is_left_beside_the_data_set(features: Path) -> None:
    names = {path.name for path in features.iterdir()}

    assert names == {".lock", "keyword_features", "noise.i16", "prepared.json", "rejects.jsonl"}
    assert [path.name for path in (features / "keyword_features").iterdir()] == ["1.0.0"]
    assert (features / "rejects.jsonl").read_text() == ""


def test_what_is_whole_already_is_left_as_it_is(words: Path, features: Path) -> None:
    before = (features / "prepared.json").read_bytes()

    outcome = prepare([words], features)

    assert outcome.before
    assert outcome.record == PreparedRecord.read(str(features))
    assert (features / "prepared.json").read_bytes() == before


@pytest.mark.parametrize("other", ["settings", "recordings", "noise"])
def test_a_folder_with_other_features_is_refused(words: Path, features: Path, tmp_path: Path, other: str) -> None:
    settings = TINY.changed(n_mels=5) if other == "settings" else TINY
    recordings = write_words(tmp_path / "words", 3) if other == "recordings" else words
    if other == "noise":
        recordings = shutil.copytree(words, tmp_path / "words")
        (recordings / "_background_noise_" / "rain.wav").unlink()

    with pytest.raises(DataError, match="holds features already, of other recordings or settings; give another"):
        prepare([recordings], features, settings)


def test_one_bad_file_in_a_thousand_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    words = write_words(tmp_path / "words", 500)
    bad = words / "yes" / f"{speaker(77)}_nohash_0.wav"
    bad.write_bytes(bad.read_bytes()[:100])

    outcome = prepare([words], tmp_path / "features")

    record = outcome.record
    assert (record.clips_in, record.clips, record.rejects) == (1_000, 999, 1)
    reject = json.loads((tmp_path / "features" / "rejects.jsonl").read_text())
    clip = next(one for one in open_source(str(words)).clips if one.name == f"yes/{bad.name}")
    assert (reject["name"], reject["part"]) == (f"0/{clip.name}", clip.part)
    assert f"{str(bad)!r} is cut off" in reject["reason"]
    assert record.sources[0].digest == open_source(str(words)).digest()
    bad.unlink()
    assert_like_the_cache(tmp_path / "features", [open_source(str(words))], tmp_path / "cache", TINY)


def test_where_no_clip_can_be_read_there_is_no_data_set(tmp_path: Path) -> None:
    words = write_words(tmp_path / "words", 2)
    for path in words.glob("[yn]*/*.wav"):
        path.write_bytes(b"no sound at all")

    with pytest.raises(DataError, match=r"none of the 4 clips could be read, so there are no features; .* not a sound"):
        prepare([words], tmp_path / "features")

    assert not (tmp_path / "features" / "prepared.json").exists()
    assert not (tmp_path / "features" / ".pieces").exists()


def test_a_part_whose_clips_are_all_bad_is_not_written(tmp_path: Path) -> None:
    words = write_words(tmp_path / "words", 40)
    for clip in open_source(str(words)).clips:
        if clip.part == "testing":
            (words / clip.name).write_bytes(b"")

    record = prepare([words], tmp_path / "features").record

    assert set(record.shards) == set(record.words) == {"training", "validation"}
    assert record.rejects > 0


KILLED = """
import os, signal, sys
from speech_rnn.quiet import quiet

with quiet():
    from speech_rnn.beam import running
    from speech_rnn.prepared import building, pipeline, units
from tests.prepared.small import TINY

units.Files.clips_a_unit = 10
made, make = 0, pipeline.make_piece


def make_some(*arguments):
    global made
    if made == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    make(*arguments)
    made += 1


pipeline.make_piece = make_some
building.prepare([sys.argv[1]], TINY, sys.argv[2], running.engine(None, [], 1))
"""


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_next_from_what_it_left(
    words: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(Path(__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(words), str(tmp_path / "again")],
        env={**os.environ, "PYTHONPATH": root},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    assert len(list((tmp_path / "again" / ".pieces").glob("*.piece"))) == 4
    damaged = min((tmp_path / "again" / ".pieces").glob("*.piece"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    monkeypatch.setattr(units.Files, "clips_a_unit", 10)
    asked: list[units.Unit] = []

    def make_and_count(unit: units.Unit, settings: FeatureSettings, folder: str) -> None:
        asked.append(unit)
        make_piece(unit, settings, folder)

    monkeypatch.setattr(pipeline, "make_piece", make_and_count)

    outcome = prepare([words], tmp_path / "again")

    n_units = len(plan(open_all([str(words)]), TINY, "").units)
    assert len(asked) == len({unit.key for unit in asked}) == n_units - 3
    assert outcome.reused == 120 - sum(len(unit.takes) for unit in asked) > 0
    whole = PreparedRecord.read(str(features))
    assert (outcome.record.digest, outcome.record.words) == (whole.digest, whole.words)
    assert read(tmp_path / "again").keys() == read(features).keys()
    assert not (tmp_path / "again" / ".pieces").exists()


def test_a_run_killed_before_its_record_is_finished_too(words: Path, features: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    stale = folder / "keyword_features" / "1.0.0"
    stale.mkdir(parents=True)
    (stale / "dataset_info.json").write_text("{}")
    (folder / "keyword_features" / "incomplete.ABC_1.0.0").mkdir()
    (folder / ".noise-0123456789ab.i16").write_bytes(b"half")

    record = prepare([words], folder).record

    assert record.digest == PreparedRecord.read(str(features)).digest
    assert [path.name for path in (folder / "keyword_features").iterdir()] == ["1.0.0"]
    assert not list(folder.glob(".noise-*"))


def test_a_clip_that_is_lost_on_the_way_is_noticed(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "examples", lambda piece: list(examples(piece))[1:])

    with pytest.raises(SpeechRnnError, match=r"clips of training went in, .* read and .* written, or others"):
        prepare([words], tmp_path / "features")

    assert not (tmp_path / "features" / "prepared.json").exists()


def test_two_processes_never_work_in_one_folder(words: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    with (folder / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(DataError, match=r"another process prepares into .*features; wait for it, or give another"):
            prepare([words], folder)

    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_folder_with_other_things_is_refused(words: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")

    with pytest.raises(DataError, match=r"holds other things, such as 'holiday\.jpg'; give a new or empty folder"):
        prepare([words], tmp_path)
    with pytest.raises(DataError, match="is a file, where a folder for the features is wanted"):
        prepare([words], tmp_path / "holiday.jpg")


def test_background_noise_that_can_not_be_read_is_known_before_the_work(tmp_path: Path) -> None:
    words = write_words(tmp_path / "words", 2)
    (words / "_background_noise_" / "tap.wav").write_bytes(b"RIFF")

    with pytest.raises(AudioError, match=r"tap\.wav'"):
        prepare([words], tmp_path / "features")

    assert not (tmp_path / "features" / ".pieces").exists()


def test_a_speaker_who_is_judged_elsewhere_is_left_out_of_training(tmp_path: Path) -> None:
    first, second = write_words(tmp_path / "first", 30), write_words(tmp_path / "second", 30, words=("up",))
    (second / "testing_list.txt").write_text(
        "".join(f"up/{path.name}\n" for path in sorted((second / "up").iterdir())[:5])
    )

    record = prepare([first, second], tmp_path / "features").record

    n_training = sum(
        clip.part == "training" and clip.speaker in {one.name[:8] for one in sorted((second / "up").iterdir())[:5]}
        for clip in open_source(str(first)).clips
    )
    assert record.left_out >= n_training > 0
    assert record.clips_in + record.left_out == 90
    sources = [open_source(str(first)), open_source(str(second))]
    assert_like_the_cache(tmp_path / "features", sources, tmp_path / "cache", TINY)
    assert [one.digest for one in record.sources] == [source.digest() for source in sources]


def test_words_of_another_source_can_be_other_words(words: Path, tmp_path: Path) -> None:
    other = write_words(tmp_path / "other", 5, first=1_000)

    record = prepare([words, f"other:{other}"], tmp_path / "features").record

    assert {"_other:yes", "_other:no"} < set(record.words["training"])
    sources = [open_source(str(words)), open_source(f"other:{other}")]
    assert [one.digest for one in record.sources] == [source.digest() for source in sources]
    assert_like_the_cache(tmp_path / "features", sources, tmp_path / "cache", TINY)


def test_long_recordings_are_cut_by_a_list_of_segments(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "talks").mkdir()
    for name, seconds in (("monday", 40), ("tuesday", 3)):
        soundfile.write(tmp_path / "talks" / f"{name}.flac", rng.normal(0, 0.1, seconds * 8_000), 8_000)
    lines = [f"talks/monday.flac,{n * 0.4 + 0.013:.3f},{n * 0.4 + 0.1:.3f},yes,anna{n % 7},\n" for n in range(90)]
    lines += ["talks/tuesday.flac,2.5,2.6,no,,testing\n", "talks/tuesday.flac,0.1,0.2,no,,validation\n"]
    listing = tmp_path / "list.csv"
    listing.write_text("file,start_s,stop_s,word,speaker,part\n" + "".join(lines))

    record = prepare([f"segments:{listing}"], tmp_path / "features").record

    source = SegmentsSource(listing)
    assert (record.clips, record.rejects) == (92, 0)
    assert record.sources[0].digest == source.digest()
    assert_like_the_cache(tmp_path / "features", [source], tmp_path / "cache", TINY)


def test_a_segment_beyond_its_recording_is_a_reject(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", np.random.default_rng(1).normal(0, 0.1, RATE), RATE)
    listing = tmp_path / "list.csv"
    listing.write_text("file,start_s,stop_s,word\ntalk.wav,0.1,0.2,yes\ntalk.wav,0.9,1.2,yes\ngone.wav,0,0.1,yes\n")

    record = prepare([f"segments:{listing}"], tmp_path / "features").record

    assert (record.clips, record.rejects) == (1, 2)
    rejects = [json.loads(line) for line in (tmp_path / "features" / "rejects.jsonl").read_text().splitlines()]
    assert [one["name"] for one in rejects] == ["0/gone.wav@0.0-0.1", "0/talk.wav@0.9-1.2"]
    assert "does not exist" in rejects[0]["reason"]
    assert "ends at 1.00 s, before its segment of 0.9 to 1.2 s does; mend the list" in rejects[1]["reason"]


def test_recordings_are_read_from_any_file_system_of_beam(words: Path, features: Path, tmp_path: Path) -> None:
    url = copy_folder(words, "test://bucket/words")
    OPENED.clear()

    record = prepare([url], tmp_path / "features").record

    local = PreparedRecord.read(str(features))
    assert (record.digest, record.words, record.noises) == (local.digest, local.words, local.noises)
    assert record.sources[0].digest == local.sources[0].digest
    assert record.sources[0].name == url
    assert sum(path.endswith(".wav") and "_background_noise_" not in path for path in OPENED) == 120
    assert (tmp_path / "features" / "noise.i16").read_bytes() == (features / "noise.i16").read_bytes()


def test_recordings_choose_the_highest_frequency_where_that_is_left_to_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    (tmp_path / "words" / "yes").mkdir(parents=True)
    for number in range(30):
        path = tmp_path / "words" / "yes" / f"{speaker(number)}_nohash_0.wav"
        soundfile.write(path, rng.normal(0, 0.1, 8_000), 8_000)
    settings = FeatureSettings(hop_length=512, n_mels=4, n_mfcc=4)

    record = prepare([tmp_path / "words"], tmp_path / "features", settings, auto_f_max=True).record

    assert 3_900.0 <= record.features.f_max <= 4_200.0
    assert prepare([tmp_path / "words"], tmp_path / "features", settings, auto_f_max=True).before


def test_an_error_within_a_pipeline_is_one_line(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "make_piece", fail)

    with pytest.raises(SpeechRnnError, match=r"^the pipeline failed \(.*No space left on device.*\); mend that") as end:
        prepare([words], tmp_path / "features")

    assert "\n" not in str(end.value)
