from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn import audio
from speech_rnn.data.clips import PARTS, Clip, Part
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import Store, open_store
from speech_rnn.errors import AudioError, DataError
from tests.tones import FEATURES, LENGTH, NOISE_LENGTH, RATE, SPEAKERS, WORDS, speakers, write_tones

N_CLIPS = len(WORDS) * sum(SPEAKERS.values())


@dataclass(frozen=True)
class MadeUp:
    """A source without files; a clip's sound is noise that its name decides."""

    title: str
    clips: Sequence[Clip]
    lengths: Sequence[int] = ()
    noises: Sequence[str] = ()
    asked: list[int] = field(default_factory=list)  # of the sample rates
    synthetic: bool = False
    origin: str = "made up"
    fails_at: int = -1

    def digest(self) -> str:
        return f"{self.title}{self.lengths}"

    def waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        self.asked.append(sample_rate)
        for number, clip in enumerate(self.clips):
            if number == self.fails_at:
                raise AudioError(f"{clip.name!r} is empty; record it again")
            yield sound(clip.name, self.lengths[number] if self.lengths else LENGTH)

    def noise_waveforms(self, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        for number, name in enumerate(self.noises):
            yield sound(name, 1_000 * (number + 1))


def sound(name: str, length: int) -> NDArray[np.float32]:
    return np.random.default_rng(list(name.encode())).uniform(-0.9, 0.9, length).astype(np.float32)


def clip(speaker: str, part: Part, take: int = 0, word: str = "yes") -> Clip:
    return Clip(f"{word}/{speaker}_nohash_{take}.wav", word, speaker, part)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture
def store(folder: Path, tmp_path: Path) -> Store:
    return open_store([FolderSource(folder)], FEATURES, tmp_path)


def test_a_row_is_the_decoded_file(folder: Path, store: Store) -> None:
    order = np.random.default_rng(0).permutation(N_CLIPS)

    rows = store.read(order)

    assert rows.shape == (N_CLIPS, LENGTH)
    assert rows.dtype == np.int16
    for row, index in zip(rows, order, strict=True):
        samples, rate = soundfile.read(folder / store.clips[index].name, dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(row, samples)


def test_the_same_row_may_be_asked_for_twice_and_none_too(store: Store) -> None:
    rows = store.read(np.array([3, 3]))

    np.testing.assert_array_equal(rows[0], rows[1])
    assert store.read(np.array([], np.int64)).shape == (0, LENGTH)


def test_clips_are_those_of_the_source(folder: Path, store: Store) -> None:
    assert store.clips == list(FolderSource(folder).clips)
    assert len(store) == N_CLIPS
    assert (store.sample_rate, store.clip_length) == (RATE, LENGTH)
    assert store.lengths.tolist() == [LENGTH] * N_CLIPS
    assert Counter(clip.part for clip in store.clips) == {part: 3 * n for part, n in SPEAKERS.items()}
    assert [len(noise) for noise in store.noise] == [NOISE_LENGTH]


def test_longer_and_shorter_clips_are_fitted_and_their_lengths_kept(tmp_path: Path) -> None:
    lengths = (1, LENGTH - 501, LENGTH, LENGTH + 501, 10 * LENGTH)
    clips = [clip(f"{number:08x}", "training") for number in range(5)]

    store = open_store([MadeUp("a", clips, lengths)], FEATURES, tmp_path)

    assert store.lengths.tolist() == list(lengths)
    for row, one, length in zip(store.read(np.arange(5)), clips, lengths, strict=True):
        expected = audio.fit(sound(one.name, length), LENGTH)
        np.testing.assert_allclose(row / 32_768, expected, atol=0.5001 / 32_768)


def test_full_scale_is_clipped_and_not_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    square = np.tile(np.array([1.0, -1.0, 1.5, -1.5], np.float32), LENGTH // 4)
    monkeypatch.setattr(MadeUp, "waveforms", lambda self, sample_rate: iter([square]))

    store = open_store([MadeUp("a", [clip("00000001", "training")])], FEATURES, tmp_path)

    assert store.read(np.array([0]))[0, :4].tolist() == [32_767, -32_768, 32_767, -32_768]


def test_noise_is_kept_whole(tmp_path: Path) -> None:
    sources = [
        MadeUp("a", [clip("00000001", "training")], noises=("rain.wav", "fan.wav")),
        MadeUp("b", [clip("00000002", "training")], noises=("hum.wav",)),
    ]

    store = open_store(sources, FEATURES, tmp_path)

    assert [len(noise) for noise in store.noise] == [1_000, 2_000, 1_000]
    for noise, name in zip(store.noise, ("rain.wav", "fan.wav", "hum.wav"), strict=True):
        np.testing.assert_allclose(noise / 32_768, sound(name, len(noise)), atol=0.5001 / 32_768)


def test_a_store_is_built_once_for_a_rate_and_a_length(tmp_path: Path) -> None:
    source = MadeUp("a", [clip("00000001", "training")])

    first = open_store([source], FEATURES, tmp_path)
    again = open_store([source], FEATURES.changed(n_mfcc=5, hop_length=64), tmp_path)
    shorter = open_store([source], FEATURES.changed(clip_length=1_000), tmp_path)
    other = open_store([MadeUp("b", source.clips)], FEATURES, tmp_path)

    assert source.asked == [RATE, RATE]
    assert first.digest == again.digest
    assert len({first.digest, shorter.digest, other.digest}) == 3
    assert shorter.clip_length == 1_000


def test_clips_of_several_sources_stand_one_source_after_the_other(tmp_path: Path) -> None:
    one = MadeUp("a", [clip("00000001", "training"), clip("00000002", "testing")])
    two = MadeUp("b", [clip("00000003", "validation", word="no")])

    store = open_store([one, two], FEATURES, tmp_path)

    assert store.clips == [*one.clips, *two.clips]
    assert store.source_of.tolist() == [0, 0, 1]
    for row, kept in zip(store.read(np.arange(3)), store.clips, strict=True):
        np.testing.assert_allclose(row / 32_768, sound(kept.name, LENGTH), atol=0.5001 / 32_768)


people = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(PARTS), st.integers(0, 2)), min_size=1, max_size=12, unique=True
)


@given(spoken=people)
@settings(max_examples=25)
def test_who_is_evaluated_in_one_source_is_not_trained_from_another(
    tmp_path_factory: pytest.TempPathFactory, spoken: list[tuple[int, Part, int]]
) -> None:
    sources = [
        MadeUp(title, [clip(f"{who:08x}", part, take) for take, (who, part, where) in enumerate(spoken) if where == n])
        for n, title in enumerate("abc")
    ]

    short = FEATURES.changed(clip_length=256)
    store = open_store(sources, short, tmp_path_factory.mktemp("cache"))

    kept = list(zip(store.clips, store.source_of.tolist(), strict=True))
    for n, source in enumerate(sources):
        for one in source.clips:
            elsewhere = any(
                other.speaker == one.speaker and other.part != "training"
                for m, another in enumerate(sources)
                if m != n
                for other in another.clips
            )
            assert ((one, n) in kept) == (one.part != "training" or not elsewhere)
    for row, one in zip(store.read(np.arange(len(store))), store.clips, strict=True):
        np.testing.assert_allclose(row / 32_768, audio.fit(sound(one.name, LENGTH), 256), atol=0.5001 / 32_768)


def test_no_clips_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no clips in a, b; give a folder of word folders"):
        open_store([MadeUp("a", []), MadeUp("b", [])], FEATURES, tmp_path)


def test_a_recording_that_cannot_be_decoded_leaves_nothing(tmp_path: Path) -> None:
    clips = [clip(f"{number:08x}", "training") for number in range(3)]

    with pytest.raises(AudioError, match=r"00000002_nohash_0\.wav. is empty"):
        open_store([MadeUp("a", clips, fails_at=2)], FEATURES, tmp_path)

    assert folders(tmp_path) == []
    assert len(open_store([MadeUp("a", clips)], FEATURES, tmp_path)) == 3


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "decoded").iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("index.json", b"", "is damaged"),
        ("index.json", b"[]", "is damaged"),
        ("index.json", b'{"clips": [["a"]]}', "is damaged"),
        ("index.json", b"\xff\xfe", "is damaged"),
        ("index.json", None, "is damaged"),
        ("clips.i16", b"12", "has not the size its index says"),
        ("clips.i16", None, "is damaged"),
        ("noise.i16", b"12", "has not the size its index says"),
    ],
)
def test_a_damaged_store_is_refused_in_one_line_that_says_what_to_remove(
    store: Store, file: str, content: bytes | None, says: str
) -> None:
    if content is None:
        (store.folder / file).unlink()
    else:
        (store.folder / file).write_bytes(content)

    with pytest.raises(DataError, match=says) as found:
        Store(store.folder)

    assert str(found.value).endswith("remove that folder")
    assert str(store.folder) in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("field", ["lengths", "source_of"])
def test_an_index_that_contradicts_itself_is_refused(store: Store, field: str) -> None:
    index = json.loads((store.folder / "index.json").read_text())
    index[field].pop()
    (store.folder / "index.json").write_text(json.dumps(index))

    with pytest.raises(DataError, match="is damaged"):
        Store(store.folder)


def test_a_file_that_is_cut_while_it_is_open_is_refused(store: Store) -> None:
    store.read(np.array([0]))
    os.truncate(store.folder / "clips.i16", 2 * LENGTH * (N_CLIPS - 1))

    with pytest.raises(DataError, match=f"ends before clip {N_CLIPS - 1}; remove that folder"):
        store.read(np.array([N_CLIPS - 1]))


def test_a_cache_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match=r"can't be written \(.+\); set --cache to another folder"):
        open_store([MadeUp("a", [clip("00000001", "training")])], FEATURES, tmp_path / "file")


def test_a_pickled_store_reads_the_same_and_is_small(store: Store) -> None:
    store.read(np.array([0]))

    pickled = pickle.dumps(store)
    copy: Store = pickle.loads(pickled)

    assert len(pickled) < 1_000
    assert (copy.clips, copy.digest) == (store.clips, store.digest)
    np.testing.assert_array_equal(copy.read(np.arange(N_CLIPS)), store.read(np.arange(N_CLIPS)))


def test_no_open_file_is_left_behind(store: Store) -> None:
    gc.collect()  # or what other tests have left is counted, and closed meanwhile
    before = len(list(Path("/proc/self/fd").iterdir()))
    copies = [pickle.loads(pickle.dumps(store)) for _ in range(5)]
    for copy in copies:
        copy.read(np.array([0]))

    del copies, copy

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def build(folder: Path, cache: Path, barrier: Barrier, builds: Path) -> None:
    decode = FolderSource.waveforms

    def counted(self: FolderSource, sample_rate: int) -> Iterator[NDArray[np.float32]]:
        (builds / str(os.getpid())).touch()
        return decode(self, sample_rate)

    pytest.MonkeyPatch().setattr(FolderSource, "waveforms", counted)
    barrier.wait()
    assert len(open_store([FolderSource(folder)], FEATURES, cache)) == N_CLIPS


def test_of_two_processes_at_once_one_builds_and_both_read(folder: Path, tmp_path: Path) -> None:
    builds = tmp_path / "builds"
    builds.mkdir()
    context = get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=build, args=(folder, tmp_path / "cache", barrier, builds)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(builds.iterdir())) == 1
    assert len(folders(tmp_path / "cache")) == 1


KILLED_WHILE_BUILDING = """
import os, signal, sys
from pathlib import Path
from speech_rnn.data import store
from speech_rnn.data.folder import FolderSource
from tests.tones import FEATURES

fit, calls = store.audio.fit, []

def killed(*arguments):
    calls.append(1)
    if len(calls) == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return fit(*arguments)

store.audio.fit = killed
store.open_store([FolderSource(sys.argv[1])], FEATURES, Path(sys.argv[2]))
"""


def test_a_kill_while_building_leaves_no_store_and_the_next_one_clears_up(folder: Path, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_BUILDING, folder, tmp_path], check=False)
    assert ended.returncode == -signal.SIGKILL
    left = folders(tmp_path)
    assert [name.startswith(".") for name in left] == [True]

    store = open_store([FolderSource(folder)], FEATURES, tmp_path)

    assert folders(tmp_path) == [store.digest]
    assert len(store.read(np.arange(len(store)))) == N_CLIPS


def test_speakers_of_tones_are_where_the_official_rule_puts_them(folder: Path) -> None:
    found = {part: {clip.speaker for clip in FolderSource(folder).clips if clip.part == part} for part in PARTS}

    assert found == {part: set(speakers(part)) for part in PARTS}
