from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from speech_rnn.data.clips import Source
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.segments import SegmentsSource
from speech_rnn.errors import AudioError, DataError
from speech_rnn.prepared.remote import open_anywhere
from tests.prepared.memory_files import FILES, copy_folder
from tests.prepared.small import RATE, speaker, write_words

URL = "test://bucket/words"


@pytest.fixture(autouse=True)
def no_files() -> Iterator[None]:
    FILES.clear()
    yield
    FILES.clear()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    folder = write_words(tmp_path / "words", 12)
    (folder / "README.md").write_text("# Noise that nobody made, CC0\n")
    (folder / "yes" / "notes.txt").write_text("no sound")
    (folder / "_other_").mkdir()
    (folder / "_other_" / "x.wav").write_bytes(b"")
    return folder


@pytest.mark.parametrize("listed", [False, True])
def test_a_remote_folder_is_what_it_is_locally(words: Path, listed: bool) -> None:
    if listed:
        (words / "validation_list.txt").write_text(f"yes/{speaker(3)}_nohash_0.wav\n")

    local, remote = FolderSource(words), open_anywhere(copy_folder(words, URL))

    assert (remote.clips, remote.noises, remote.origin) == (local.clips, local.noises, local.origin)
    assert remote.digest() == local.digest()
    for expected, found in zip(local.waveforms(RATE), remote.waveforms(RATE), strict=True):
        np.testing.assert_array_equal(found, expected)
    for expected, found in zip(local.noise_waveforms(RATE), remote.noise_waveforms(RATE), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_remote_list_of_segments_is_what_it_is_locally(words: Path) -> None:
    name = f"yes/{speaker(3)}_nohash_0.wav"
    (words / "list.csv").write_text(f"file,start_s,stop_s,word\n{name},0,0.03,yes\n{name},0.02,0.05,no\n")
    copy_folder(words, URL)

    local: Source = SegmentsSource(words / "list.csv")
    remote = open_anywhere(f"segments:{URL}/list.csv")

    assert (remote.clips, remote.origin, remote.digest()) == (local.clips, local.origin, local.digest())
    for expected, found in zip(local.waveforms(RATE), remote.waveforms(RATE), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_other_words_may_be_remote(words: Path) -> None:
    source = open_anywhere(f"other:{copy_folder(words, URL)}")

    assert {clip.word for clip in source.clips} == {"_words:yes", "_words:no"}


def test_errors_name_the_file_where_it_is(words: Path) -> None:
    (words / "no" / f"{speaker(0)}_nohash_0.wav").write_bytes(b"RIFF")
    source = open_anywhere(copy_folder(words, URL))

    with pytest.raises(AudioError, match=rf"'{URL}/no/[0-9a-f]+_nohash_0\.wav' "):
        list(source.waveforms(RATE))


def test_a_file_that_has_gone_is_named(words: Path) -> None:
    source = open_anywhere(copy_folder(words, URL))
    FILES.pop(f"{URL}/{source.clips[0].name}")

    with pytest.raises(AudioError, match=rf"'{URL}/no/.* can't be read \(No such file or directory\); mend or remove"):
        next(iter(source.waveforms(RATE)))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (URL, f"'{URL}' has no recordings of words; a sub-folder a word is wanted"),
        ("nowhere://words", r"'nowhere://words/\*/\*' can't be looked through \(.*\); check the path"),
        (f"segments:{URL}/list.csv", "list.csv' can't be read .*; give a list of segments"),
        ("no/such/folder", "'no/such/folder' is not a source of recordings"),
    ],
)
def test_what_is_not_there_is_refused(name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        open_anywhere(name)
