from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speech_rnn.data.sources import open_source
from speech_rnn.errors import AudioError, DataError
from speech_rnn.prepared import units as units_module
from speech_rnn.prepared.units import Unit, cut_into_units, source_digest
from tests.prepared.small import RATE, TINY, speaker, write_words


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_words(tmp_path / "words", 40)


def cut_folder(folder: Path, settings: Any = TINY, number: int = 0) -> list[Unit]:
    source = open_source(str(folder))
    return cut_into_units(source, number, source.clips, settings)


def test_every_clip_is_in_one_unit_of_its_part(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units_module.Files, "clips_a_unit", 7)
    source = open_source(str(words))

    units = cut_folder(words, number=3)

    takes = [(take.name, take.word, take.speaker, unit.part) for unit in units for take in unit.takes]
    assert sorted(takes) == sorted((f"3/{clip.name}", clip.word, clip.speaker, clip.part) for clip in source.clips)
    assert max(len(unit.takes) for unit in units) == 7
    assert len({unit.key for unit in units}) == len(units)


def test_a_unit_travels_to_another_process(words: Path) -> None:
    units = cut_folder(words)

    assert pickle.loads(pickle.dumps(units)) == units


def test_keys_are_the_same_until_something_changes(words: Path) -> None:
    first = [unit.key for unit in cut_folder(words)]

    assert [unit.key for unit in cut_folder(words)] == first
    assert not set(first) & {unit.key for unit in cut_folder(words, TINY.changed(n_mels=5))}
    assert not set(first) & {unit.key for unit in cut_folder(words, number=1)}
    touched = next((words / "yes").iterdir())
    os.utime(touched, (1, 1))
    assert len(set(first) ^ {unit.key for unit in cut_folder(words)}) == 2


def test_a_folder_that_lies_elsewhere_by_another_name_has_the_same_keys(words: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(words)

    assert [unit.key for unit in cut_folder(tmp_path / "link")] == [unit.key for unit in cut_folder(words)]


def test_what_can_not_be_read_is_said_in_its_place(words: Path) -> None:
    bad = words / "yes" / f"{speaker(0)}_nohash_0.wav"
    bad.write_bytes(b"junk")
    (words / "yes" / f"{speaker(1)}_nohash_0.wav").unlink()
    paths = [str(words / "yes" / f"{speaker(number)}_nohash_0.wav") for number in range(3)]

    junk, gone, good = units_module.Files().sounds(paths, RATE)

    assert isinstance(junk.samples, AudioError)
    assert isinstance(gone.samples, AudioError)
    assert f"{paths[1]!r}" in str(gone.samples)
    assert gone.content == ""
    assert len(junk.content) == len(good.content) == 64
    assert isinstance(good.samples, np.ndarray)
    assert len(good.samples) == 202


def test_a_source_of_no_known_kind_is_refused() -> None:
    class Odd:
        title, synthetic, origin, clips, noises = "odd", False, "", (), ()

    with pytest.raises(DataError, match="'odd' can't be prepared; give a folder, 'corpus', 'tfds' or 'segments"):
        cut_into_units(Odd(), 0, [], TINY)  # type: ignore[arg-type]  # what it is is the point


def test_the_corpus_is_read_file_by_file() -> None:
    source = open_source("corpus")
    some = [clip for clip in source.clips if clip.part == "testing"][:40]

    units = cut_into_units(source, 0, some, TINY.changed(clip_length=512))

    wanted = {f"0/{clip.name}" for clip in some}
    expected = {f"0/{clip.name}": samples for clip, samples in zip(source.clips, source.waveforms(RATE), strict=True)}
    found = {}
    for unit in units:
        sounds = unit.reader.sounds([take.place for take in unit.takes], RATE)
        found.update({take.name: sound.samples for take, sound in zip(unit.takes, sounds, strict=True)})
    assert set(found) == wanted
    for name in wanted:
        np.testing.assert_array_equal(found[name], expected[name])


def test_digests_need_not_read_again_what_was_read_before(words: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", np.zeros(RATE), RATE)
    (tmp_path / "list.csv").write_text("file,start_s,stop_s,word\ntalk.wav,0,0.5,yes\ntalk.wav,0.5,1,no\n")

    for name in (str(words), f"other:{words}", f"segments:{tmp_path / 'list.csv'}", "corpus"):
        source = open_source(name)
        expected = source.digest()
        units = cut_into_units(source, 0, source.clips, TINY)
        contents: dict[str, str] = {}
        for unit in units[:1]:
            sounds = unit.reader.sounds([take.place for take in unit.takes], RATE)
            pairs = zip(unit.takes, sounds, strict=True)
            contents |= {take.name.removeprefix("0/"): sound.content for take, sound in pairs if sound.content}

        assert source_digest(source, contents) == source_digest(source, {}) == expected
