from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.audio import read_audio
from speech_rnn.data import folder as folder_module
from speech_rnn.data.clips import Clip, Source
from speech_rnn.data.folder import FolderSource
from speech_rnn.errors import AudioError, DataError

VALIDATION, TESTING, TRAINING = "8b775397", "2aa787cf", "004ae714"  # speakers, by the official lists and rule


def tone(frequency_hz: float, n: int = 1_600) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(n) / 16_000)


def record(root: Path, name: str, frequency_hz: float = 440.0) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    form, subtype = ("OGG", "OPUS") if path.suffix == ".opus" else (None, None)
    soundfile.write(path, tone(frequency_hz), 16_000, format=form, subtype=subtype)


def parts(source: Source) -> dict[str, str]:
    return {clip.name: clip.part for clip in source.clips}


@pytest.fixture
def words(tmp_path: Path) -> Path:
    for name in (
        f"yes/{VALIDATION}_nohash_0.wav",
        f"yes/{TESTING}_nohash_0.flac",
        f"yes/{TRAINING}_nohash_1.opus",
        f"zoom in/{TRAINING}_nohash_0.ogg",
        "zoom in/anna_nohash_0.mp3",
        "zoom in/take 3.WAV",
    ):
        record(tmp_path / "words", name)
    return tmp_path / "words"


def test_a_folder_of_every_format_is_clips_by_the_official_rule(words: Path) -> None:
    source: Source = FolderSource(words)

    assert source.clips == (
        Clip(f"yes/{TRAINING}_nohash_1.opus", "yes", TRAINING, "training"),
        Clip(f"yes/{TESTING}_nohash_0.flac", "yes", TESTING, "testing"),
        Clip(f"yes/{VALIDATION}_nohash_0.wav", "yes", VALIDATION, "validation"),
        Clip(f"zoom in/{TRAINING}_nohash_0.ogg", "zoom in", TRAINING, "training"),
        Clip("zoom in/anna_nohash_0.mp3", "zoom in", "words/anna", "validation"),
        Clip("zoom in/take 3.WAV", "zoom in", "", "training"),
    )
    assert source.title == str(words)
    assert not source.synthetic


def test_a_name_is_one_person_in_a_folder_and_another_in_the_next(tmp_path: Path) -> None:
    for name in ("a/yes/anna_nohash_0.wav", "a/no/anna_nohash_0.wav", "b/yes/anna_nohash_0.wav"):
        record(tmp_path, name)

    of_a = {clip.speaker for clip in FolderSource(tmp_path / "a").clips}
    of_b = {clip.speaker for clip in FolderSource(tmp_path / "b").clips}

    assert len(of_a) == len(of_b) == 1
    assert of_a != of_b


def test_what_is_no_recording_of_a_word_is_left_alone(words: Path) -> None:
    before = FolderSource(words).clips
    record(words, "_background_noise_/rain.wav")
    record(words, "_other_/x.wav")
    record(words, ".hidden/x.wav")
    record(words, "yes/.hidden.wav")
    record(words, "yes/deeper/x.wav")
    (words / "yes" / "folder.wav").mkdir()
    (words / "yes" / "README.md").write_text("no sound")
    (words / "empty").mkdir()
    (words / "loose.wav").write_bytes(b"")

    source = FolderSource(words)

    assert source.clips == before
    assert source.noises == ("_background_noise_/rain.wav",)


def test_noise_is_decoded_in_the_order_of_its_names(words: Path) -> None:
    record(words, "_background_noise_/b.wav", 500)
    record(words, "_background_noise_/a.wav", 1_000)

    source = FolderSource(words)

    first, second = source.noise_waveforms(16_000)
    np.testing.assert_allclose(first, tone(1_000), atol=1e-4)
    np.testing.assert_allclose(second, tone(500), atol=1e-4)


def test_lists_decide_where_they_are_and_all_others_are_for_training(words: Path) -> None:
    # The list is for WAV, the copy is in Opus; one entry isn't in this partial copy.
    (words / "validation_list.txt").write_text(f"yes/{TRAINING}_nohash_1.wav\nyes/gone_nohash_0.wav\n")
    (words / "testing_list.txt").write_text("zoom in/anna_nohash_0.wav\n")

    source = FolderSource(words)

    assert parts(source) == {
        f"yes/{TRAINING}_nohash_1.opus": "validation",
        f"yes/{TESTING}_nohash_0.flac": "training",
        f"yes/{VALIDATION}_nohash_0.wav": "training",
        f"zoom in/{TRAINING}_nohash_0.ogg": "training",
        "zoom in/anna_nohash_0.mp3": "testing",
        "zoom in/take 3.WAV": "training",
    }


@pytest.mark.parametrize(("name", "part"), [("validation_list.txt", "validation"), ("testing_list.txt", "testing")])
def test_one_list_alone_decides_too(words: Path, name: str, part: str) -> None:
    (words / name).write_text("zoom in/take 3.wav\n")

    found = parts(FolderSource(words))

    assert found.pop("zoom in/take 3.WAV") == part
    assert set(found.values()) == {"training"}


def test_the_published_arabic_split_has_no_speaker_twice(recordings: Path) -> None:
    source = FolderSource(recordings / "arabic_speech_commands")

    speakers = {
        part: {clip.speaker for clip in source.clips if clip.part == part}
        for part in ("training", "validation", "testing")
    }
    assert Counter(clip.part for clip in source.clips) == {"training": 7_200, "validation": 2_400}
    assert (len(speakers["training"]), len(speakers["validation"])) == (18, 6)
    assert not speakers["training"] & speakers["validation"]
    assert len({clip.word for clip in source.clips}) == 40


def test_the_real_recordings_are_all_found_and_split_by_speaker(recordings: Path) -> None:
    rebuilt = FolderSource(recordings / "speech_commands")
    true = FolderSource(recordings / "speech_commands_original")

    assert (len(rebuilt.clips), len(true.clips)) == (35_658, 15_388)
    assert len(rebuilt.noises) == 6
    assert Counter(clip.part for clip in true.clips if clip.word == "yes") == {"training": 1_100, "validation": 170}
    speakers: dict[str, set[str]] = {}
    for clip in (*rebuilt.clips, *true.clips):
        speakers.setdefault(clip.speaker, set()).add(clip.part)
    assert {len(found) for found in speakers.values()} == {1}


def test_clips_are_decoded_in_order_at_their_natural_length(words: Path) -> None:
    soundfile.write(words / "yes" / "long.wav", tone(440, 5_000), 8_000)
    source = FolderSource(words)

    waveforms = list(source.waveforms(16_000))

    assert len(waveforms) == len(source.clips)
    for clip, waveform in zip(source.clips, waveforms, strict=True):
        assert waveform.dtype == np.float32
        assert len(waveform) == (10_000 if clip.name == "yes/long.wav" else 1_600)
        np.testing.assert_array_equal(waveform, read_audio(words / clip.name, 16_000))


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "FEW_CLIPS", 0)
    monkeypatch.setattr(folder_module, "CLIPS_A_TASK", 3)
    monkeypatch.setattr(folder_module, "n_cores", lambda: 2)


@pytest.mark.usefixtures("two_processes")
def test_processes_give_the_same_in_the_same_order(tmp_path: Path) -> None:
    frequencies = [200.0 + 20 * number for number in range(40)]
    for number, frequency_hz in enumerate(frequencies):
        record(tmp_path, f"yes/{number:08x}_nohash_0.wav", frequency_hz)

    waveforms = list(FolderSource(tmp_path).waveforms(16_000))

    np.testing.assert_allclose(waveforms, [tone(frequency_hz) for frequency_hz in frequencies], atol=1e-4)


@pytest.mark.usefixtures("two_processes")
def test_a_bad_recording_is_named_whichever_process_meets_it(words: Path) -> None:
    bad = words / "yes" / f"{TRAINING}_nohash_1.opus"
    bad.write_bytes(bad.read_bytes()[:300])

    with pytest.raises(AudioError, match=rf"{TRAINING}_nohash_1\.opus' is cut off"):
        list(FolderSource(words).waveforms(16_000))


def test_decoding_needs_neither_tensorflow_nor_librosa(words: Path) -> None:
    script = (
        "import sys\n"
        "from speech_rnn.data.folder import FolderSource\n"
        f"n = len(list(FolderSource({str(words)!r}).waveforms(16_000)))\n"
        "print(n, {'tensorflow', 'keras', 'librosa', 'scipy'} & set(sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "6 set()\n"


def test_the_digest_is_the_same_until_something_changes(words: Path) -> None:
    first = FolderSource(words).digest()

    assert len(first) == 64
    assert FolderSource(words).digest() == first


@pytest.mark.parametrize("change", ["new", "gone", "renamed", "other content", "noise", "list"])
def test_every_change_gives_another_digest(words: Path, change: str) -> None:
    first = FolderSource(words).digest()
    clip = words / "yes" / f"{VALIDATION}_nohash_0.wav"
    if change == "new":
        record(words, "yes/new.wav")
    elif change == "gone":
        clip.unlink()
    elif change == "renamed":
        clip.rename(clip.with_name(f"{VALIDATION}_nohash_9.wav"))
    elif change == "other content":
        status = clip.stat()
        clip.write_bytes(clip.read_bytes()[:-2] + b"\1\1")
        os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "noise":
        record(words, "_background_noise_/rain.wav")
    else:
        (words / "testing_list.txt").write_text(f"yes/{VALIDATION}_nohash_0.wav\n")

    assert FolderSource(words).digest() != first


def test_a_copy_has_the_digest_of_the_original(words: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(words, copy)
    for file in copy.rglob("*.wav"):
        os.utime(file, ns=(1, 1))

    assert FolderSource(copy).digest() == FolderSource(words).digest()


def test_the_origin_is_the_heading_of_the_readme(words: Path) -> None:
    without = FolderSource(words).origin
    (words / "README.md").write_text("\n# My words, recorded in the kitchen, CC0\n\nmore\n")

    assert without == "recordings in folder 'words', which has no README.md"
    assert FolderSource(words).origin == "My words, recorded in the kitchen, CC0 (folder 'words')"


def test_an_origin_is_one_printable_line(words: Path) -> None:
    (words / "README.md").write_bytes(b"# a\x1b[31m\xff\t" + b"b" * 1_000)

    origin = FolderSource(words).origin

    assert origin.isprintable()
    assert len(origin) < 250


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="'no/such' does not exist; check the path"):
        FolderSource("no/such")


def test_a_file_is_refused_as_a_folder(words: Path) -> None:
    with pytest.raises(
        DataError, match=r"\.wav' is a file, where a folder of recordings is wanted; a sub-folder a word"
    ):
        FolderSource(words / "yes" / f"{VALIDATION}_nohash_0.wav")


def test_an_impossible_path_is_refused() -> None:
    with pytest.raises(DataError, match="can't be looked through"):
        FolderSource("a\0b")


def test_a_folder_without_words_is_refused_with_the_layout_that_is_wanted(tmp_path: Path) -> None:
    record(tmp_path, "loose.wav")
    record(tmp_path, "_background_noise_/rain.wav")
    (tmp_path / "yes").mkdir()

    with pytest.raises(DataError, match=r"has no recordings of words; a sub-folder a word .* yes/anna_nohash_0\.wav"):
        FolderSource(tmp_path)


def test_one_recording_in_two_forms_is_refused(words: Path) -> None:
    record(words, f"yes/{VALIDATION}_nohash_0.flac")

    with pytest.raises(DataError, match="are one recording in two forms; remove one"):
        FolderSource(words)


def test_a_recording_in_both_lists_is_refused(words: Path) -> None:
    (words / "validation_list.txt").write_text("yes/a.wav\nyes/b.wav\n")
    (words / "testing_list.txt").write_text("yes/b.flac\n")

    with pytest.raises(DataError, match=r"'yes/b' of .* is in both lists; take it out of one"):
        FolderSource(words)


@pytest.mark.parametrize("word", ["a\nb", " ", "yes ", "x" * 65, "\x1b[31m"])
def test_a_folder_that_can_not_be_a_label_is_refused(words: Path, word: str) -> None:
    record(words, f"{word}/a.wav")

    with pytest.raises(DataError, match=r"can't be a label; give it a name of 1 to 64 printable") as found:
        FolderSource(words)

    assert str(found.value).isprintable()


def test_a_file_name_that_can_not_be_printed_is_refused(words: Path) -> None:
    record(words, "yes/a\nb.wav")

    with pytest.raises(DataError, match=r"yes/a\\nb\.wav' has a name that can't be printed; rename it"):
        FolderSource(words)


def test_a_link_that_leads_nowhere_is_named(words: Path) -> None:
    (words / "yes" / "link.wav").symlink_to(words / "nowhere.wav")

    with pytest.raises(DataError, match=r"link\.wav' can't be opened \(No such file or directory\)"):
        FolderSource(words)
