from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.config import FeatureSettings, TaskSettings
from speech_rnn.data.clips import PARTS, UNKNOWN
from speech_rnn.data.corpus import CorpusSource
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.split import official_part
from speech_rnn.data.store import open_store
from speech_rnn.data.task import Task
from speech_rnn.errors import DataError
from speech_rnn.own_words import OTHER, OwnWords, check_word


def sound(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, 16_000).astype(np.float32)


def parts(folder: Path) -> dict[str, str]:
    return {clip.name: clip.part for clip in FolderSource(folder).clips}


def test_takes_lie_in_the_official_layout_as_16_bits_at_16_khz(tmp_path: Path) -> None:
    words = OwnWords(tmp_path / "mine", "1a2b3c4d")

    path = words.add("lamp", sound(0))
    words.add("lamp", sound(1) * 4)

    assert path == tmp_path / "mine" / "lamp" / "1a2b3c4d_nohash_0.wav"
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16_000, 1, "PCM_16", 16_000)
    np.testing.assert_allclose(soundfile.read(path)[0], sound(0), atol=1 / 32_768)
    assert words.takes("lamp") == 2
    assert words.words() == ["lamp"]
    assert np.abs(soundfile.read(tmp_path / "mine" / "lamp" / "1a2b3c4d_nohash_1.wav")[0]).max() <= 1.0


@pytest.mark.parametrize("speaker", ["00000000", "1a2b3c4d", "anna", "بدر"])
def test_the_takes_of_one_speaker_are_in_all_parts_and_training_has_most(tmp_path: Path, speaker: str) -> None:
    words = OwnWords(tmp_path / "mine", speaker)

    for word in ("lamp", "music"):
        for take in range(20):
            words.add(word, sound(take))

    source = FolderSource(tmp_path / "mine")
    for word in ("lamp", "music"):
        counts = [sum(clip.word == word and clip.part == part for clip in source.clips) for part in PARTS]
        assert counts == [16, 2, 2]
    assert {clip.speaker for clip in source.clips} == {words.speaker}
    assert source.origin == "Own recordings, made with speech-rnn (folder 'mine')"


def test_a_part_stays_when_recording_goes_on_and_a_take_that_was_taken_back_leaves_nothing(tmp_path: Path) -> None:
    words = OwnWords(tmp_path, "1a2b3c4d")
    files = [words.add("lamp", sound(take)) for take in range(5)]
    before = parts(tmp_path)

    words.remove(files[4])
    assert parts(tmp_path) == {name: part for name, part in before.items() if not name.endswith("_4.wav")}
    again = OwnWords(tmp_path)
    assert again.speaker == "1a2b3c4d"
    assert again.add("lamp", sound(9)) == files[4]
    assert parts(tmp_path) == before

    for file in files:
        again.remove(file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "testing_list.txt", "validation_list.txt"]


def test_a_number_is_never_used_twice_whatever_else_is_there(tmp_path: Path) -> None:
    words = OwnWords(tmp_path, "1a2b3c4d")
    words.add("lamp", sound(0))
    soundfile.write(tmp_path / "lamp" / "1a2b3c4d_nohash_7.flac", sound(1), 16_000)
    soundfile.write(tmp_path / "lamp" / "ffffffff_nohash_9.wav", sound(2), 16_000)

    assert words.add("lamp", sound(3)).name == "1a2b3c4d_nohash_8.wav"
    assert words.takes("lamp") == 3


def test_recordings_that_were_there_stay_in_their_parts(tmp_path: Path) -> None:
    for speaker in range(60):
        path = tmp_path / "lamp" / f"{speaker:08x}_nohash_0.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, sound(0)[:160], 16_000)
    before = parts(tmp_path)
    assert set(before.values()) == set(PARTS)

    OwnWords(tmp_path, "anna").add("lamp", sound(1))

    assert {name: part for name, part in parts(tmp_path).items() if name in before} == before


def test_lists_that_were_there_are_kept_and_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "lamp").mkdir()
    soundfile.write(tmp_path / "lamp" / "ffffffff_nohash_0.wav", sound(0), 16_000)
    (tmp_path / "validation_list.txt").write_text("lamp/ffffffff_nohash_0.wav\n")
    words = OwnWords(tmp_path, "1a2b3c4d")

    for take in range(10):
        words.add("lamp", sound(take))

    assert (tmp_path / "validation_list.txt").read_text().split() == [
        "lamp/1a2b3c4d_nohash_4.wav",
        "lamp/ffffffff_nohash_0.wav",
    ]
    assert (tmp_path / "testing_list.txt").read_text().split() == ["lamp/1a2b3c4d_nohash_9.wav"]


def test_of_a_speakers_name_only_a_hash_is_kept_the_same_in_a_folder_and_another_elsewhere(tmp_path: Path) -> None:
    anna = OwnWords(tmp_path / "mine", "Anna")

    anna.add("lamp", sound(0))

    assert anna.speaker == OwnWords(tmp_path / "mine", " anna ").speaker
    assert anna.speaker != OwnWords(tmp_path / "mine", "ben").speaker
    # Else training would leave out, in each of two folders, who is evaluated in the other.
    assert anna.speaker != OwnWords(tmp_path / "other", "anna").speaker
    assert not any("anna" in path.name.lower() for path in (tmp_path / "mine").rglob("*"))


def test_without_a_name_it_is_who_is_there_or_someone_new_and_with_several_one_is_asked(tmp_path: Path) -> None:
    first, second = OwnWords(tmp_path / "a"), OwnWords(tmp_path / "b")
    assert first.speaker != second.speaker
    assert len(first.speaker) == 8

    first.add("lamp", sound(0))
    assert OwnWords(tmp_path / "a").speaker == first.speaker
    OwnWords(tmp_path / "a", "ben").add("lamp", sound(1))

    with pytest.raises(DataError, match="has 2 speakers; say who speaks now: --speaker NAME"):
        OwnWords(tmp_path / "a")


def test_sound_of_unknown_speakers_gets_a_free_name_and_its_part_by_the_hash(tmp_path: Path) -> None:
    words = OwnWords(tmp_path, "anna")

    files = [words.add("lamp", sound(n), stem="kept-1") for n in range(30)]
    words.add_noise(sound(0), "kept-1")
    words.add_noise(sound(1), "kept-1")

    assert [file.name for file in files[:3]] == ["kept-1.wav", "kept-1-1.wav", "kept-1-2.wav"]
    source = FolderSource(tmp_path)
    assert {clip.speaker for clip in source.clips} == {""}
    assert parts(tmp_path) == {f"lamp/{file.name}": official_part(file.name) for file in files}
    assert list(source.noises) == ["_background_noise_/kept-1-1.wav", "_background_noise_/kept-1.wav"]


@pytest.mark.parametrize("word", ["", "a/b", "..", "_unknown_", " a", "a,b", "a\nb", "x" * 65])
def test_a_word_that_can_be_no_folder_or_label_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="choose another spelling"):
        check_word(word)
    with pytest.raises(DataError, match="choose another spelling"):
        OwnWords(tmp_path / "mine", "anna").add(word, sound(0))
    assert not (tmp_path / "mine").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")

    with pytest.raises(DataError, match="is a file"):
        OwnWords(tmp_path / "mine")


def test_training_by_the_command_hears_the_words_as_labels_and_all_else_as_unknown(tmp_path: Path) -> None:
    words = OwnWords(tmp_path / "my words", "anna")
    for take in range(10):
        words.add("lamp", sound(take))
        words.add("yes", sound(take + 100))
        words.add(OTHER, sound(take + 200), stem=f"kept-{take}")
    words.add_noise(sound(0), "kept-0")

    program, train, *options = shlex.split(words.training_command())
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert (program, train) == ("speech-rnn", "train")
    assert [value for option, value in zip(options[::2], options[1::2], strict=True) if option == "--data"] == [
        "corpus",
        str(tmp_path / "my words"),
    ]
    assert given["--labels"] == "lamp,yes"
    assert given["-o"] == "runs/my-words"

    clips = [*CorpusSource().clips, *FolderSource(tmp_path / "my words").clips]
    task = Task.to_learn(TaskSettings(labels=tuple(given["--labels"].split(","))), clips)
    assert task.labels == ("_silence_", UNKNOWN, "lamp", "yes")
    items = task.items("training", 0, 1)
    unknown = {clips[clip].word for clip, label in zip(items.clip, items.label, strict=True) if label == 1}
    assert unknown.isdisjoint({"lamp", "yes"})
    for part in PARTS:
        assert 2 in task.items(part, 0, 1).label


def test_the_folder_alone_can_be_decoded_with_no_clip_left_out(tmp_path: Path) -> None:
    words = OwnWords(tmp_path / "mine", "anna")
    for take in range(10):
        words.add("lamp", sound(take))

    store = open_store([FolderSource(tmp_path / "mine")], FeatureSettings(), tmp_path / "cache")

    assert len(store) == 10
