from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_rnn.config import TaskSettings
from speech_rnn.data.clips import UNKNOWN
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.task import Task
from speech_rnn.errors import DataError
from speech_rnn.kept import Note
from speech_rnn.own_words import OwnWords
from speech_rnn.review import JOURNAL, Review
from tests.test_takes import room, said, word

RATE = 16_000


def keep(folder: Path, name: str, label: str = "yes", start_s: float = 0.9, rate: int = RATE) -> None:
    """A kept sound of 1.8 s with a word of 0.4 s in it."""
    folder.mkdir(exist_ok=True)
    sound = said((start_s, word(0.4)), seconds=1.8)
    soundfile.write(folder / f"{name}.flac", sound, rate, subtype="PCM_16")
    note = Note(
        sound=f"{name}.flac",
        label=label,
        score=0.9,
        time=12.0,
        start_s=0.5,
        end_s=1.5,
        clock="2026-11-24T12:00:00.000+00:00",
        model="m",
        scores={"_silence_": 0.0, "_unknown_": 0.05, "yes": 0.9, "no": 0.05},
    )
    (folder / f"{name}.json").write_text(note.model_dump_json())


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    for n in range(6):
        keep(tmp_path / "kept", f"2026112{n}T120000000")
    return tmp_path / "kept"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def test_each_sound_becomes_what_it_was_and_training_takes_it_for_that(kept: Path, mine: Path) -> None:
    review = Review(kept, OwnWords(mine, "unknown"))
    assert (review.total, review.pending, review.labels) == (6, 6, ["no", "yes"])

    review.is_word("yes")
    review.is_word("no")
    review.is_word("guess")
    review.is_other()
    review.is_noise()
    review.drop()

    assert (review.current, review.pending, len(review.added)) == (None, 0, 5)
    source = FolderSource(mine)
    assert {clip.word for clip in source.clips} == {"yes", "no", "guess", "other"}
    assert list(source.noises) == ["_background_noise_/kept-20261124T120000000.wav"]
    task = Task.to_judge((UNKNOWN, "no", "yes"), TaskSettings(labels=("no", "yes")), source.clips)
    assert dict(zip((clip.word for clip in source.clips), task._label, strict=True)) == {
        "guess": 0,
        "other": 0,
        "no": 1,
        "yes": 2,
    }


def test_a_word_is_cut_to_a_second_about_its_middle_and_noise_stays_whole(kept: Path, mine: Path) -> None:
    review = Review(kept, OwnWords(mine, "unknown"))

    spoken, noise = review.is_word("yes"), review.is_noise()

    sound = said((0.9, word(0.4)), seconds=1.8)
    samples, rate = soundfile.read(spoken)
    assert rate == RATE
    np.testing.assert_allclose(samples, sound[round(0.6 * RATE) : round(1.6 * RATE)], atol=2 / 32_768)
    np.testing.assert_allclose(soundfile.read(noise)[0], sound, atol=2 / 32_768)


def test_sounds_of_another_rate_become_16_khz(tmp_path: Path, mine: Path) -> None:
    keep(tmp_path / "kept", "a", rate=48_000)

    path = Review(tmp_path / "kept", OwnWords(mine, "unknown")).is_word("yes")

    assert soundfile.info(path).samplerate == 16_000
    assert soundfile.info(path).frames == 16_000


def test_it_goes_on_where_it_was_left(kept: Path, mine: Path) -> None:
    first = Review(kept, OwnWords(mine, "unknown"))
    first.is_word("yes")
    first.drop()
    keep(kept, "20261130T120000000")

    later = Review(kept, OwnWords(mine, "unknown"))

    assert (later.total, later.pending) == (7, 5)
    assert later.current is not None
    assert later.current.sound.name == "20261122T120000000.flac"
    assert len(list(kept.glob("*.flac"))) == 7


def test_decisions_can_be_taken_back_to_the_beginning_of_the_session(kept: Path, mine: Path) -> None:
    Review(kept, OwnWords(mine, "unknown")).is_word("yes")
    review = Review(kept, OwnWords(mine, "unknown"))
    review.is_word("no")
    review.is_noise()
    review.drop()

    assert [review.undo() for _ in range(4)] == [True, True, True, False]

    assert review.pending == 5
    assert review.added == []
    assert [clip.word for clip in FolderSource(mine).clips] == ["yes"]
    assert not (mine / "_background_noise_").exists()
    assert Review(kept, OwnWords(mine, "unknown")).pending == 5


def test_a_known_speaker_is_told_and_takes_are_numbered(kept: Path, mine: Path) -> None:
    review = Review(kept, OwnWords(mine, "1a2b3c4d"), speaker_is_known=True)

    assert [review.is_word("yes").name for _ in range(2)] == ["1a2b3c4d_nohash_0.wav", "1a2b3c4d_nohash_1.wav"]


def test_a_label_that_leads_out_of_the_folder_is_refused_and_decides_nothing(tmp_path: Path, mine: Path) -> None:
    keep(tmp_path / "kept", "a", label="../../evil")
    review = Review(tmp_path / "kept", OwnWords(mine, "unknown"))
    assert review.current is not None

    with pytest.raises(DataError, match="choose another spelling"):
        review.is_word(review.current.label)

    assert review.pending == 1
    assert not mine.exists()


def test_at_the_end_there_is_nothing_to_decide(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "kept").mkdir()
    review = Review(tmp_path / "kept", OwnWords(mine, "unknown"))

    with pytest.raises(DataError, match="all sounds have been looked at"):
        review.drop()


@pytest.mark.parametrize(
    "journal", ["x", "{}", json.dumps({"sound": "a.flac", "decision": "rm -rf"}), "[" * 100_000, "\0"]
)
def test_a_journal_that_is_none_is_refused(kept: Path, mine: Path, journal: str) -> None:
    (kept / JOURNAL).write_text(journal)

    with pytest.raises(DataError, match="is not the journal of a review; remove it"):
        Review(kept, OwnWords(mine, "unknown"))


def test_a_room_without_a_word_is_cut_about_what_was_heard(tmp_path: Path, mine: Path) -> None:
    keep(tmp_path / "kept", "a")
    soundfile.write(tmp_path / "kept" / "a.flac", room(1.8, -30.0), RATE, subtype="PCM_16")

    path = Review(tmp_path / "kept", OwnWords(mine, "unknown")).is_other()

    expected = room(1.8, -30.0)[round(0.5 * RATE) : round(1.5 * RATE)]
    np.testing.assert_allclose(soundfile.read(path)[0], expected, atol=2 / 32_768)
