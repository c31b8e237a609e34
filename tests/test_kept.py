from __future__ import annotations

import errno
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.errors import DataError
from speech_rnn.kept import AFTER_S, BEFORE_S, Keeper, Note, read_kept
from speech_rnn.listening import Heard, Listener
from tests.tone_model import RATE, ToneModel, TypedInput, blocks, silence, tone

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOUND = (np.round(np.random.default_rng(3).uniform(-0.9, 0.9, 10 * RATE) * 32_768) / 32_768).astype(np.float32)


def word(time: float, label: str = "yes", **values: Any) -> Heard:
    return Heard(
        **{
            "label": label,
            "score": 0.9,
            "time": time,
            "start": max(0.0, time - 1.0),
            "clock": NOON,
            "scores": {},
            **values,
        }
    )


def keeper(folder: Path, **values: Any) -> Keeper:
    return Keeper(folder, model="by-hand", clip_s=1.0, **values)


def feed(kept: Keeper, sound: NDArray[np.float32], *words: Heard, rate: float = RATE, first_s: float = 0.0) -> None:
    """As a listener does: a word comes behind the block that its time lies in."""
    waiting = sorted(words, key=lambda one: one.time)
    end_s = first_s
    for block in blocks(sound, rate):
        end_s += len(block.samples) / rate
        kept.feed(block.samples, rate, end_s)
        while waiting and waiting[0].time <= end_s:
            kept.heard(waiting.pop(0))


def test_the_sound_around_a_word_is_kept_sample_for_sample_with_what_is_known_of_it(tmp_path: Path) -> None:
    kept = keeper(tmp_path / "kept")

    feed(kept, SOUND, word(4.5, score=0.93, scores={"yes": 0.93, "no": 0.07}))

    ((path, note),) = read_kept(tmp_path / "kept")
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(samples, SOUND[round((3.5 - BEFORE_S) * RATE) : round((4.5 + AFTER_S) * RATE)])
    assert note == Note(
        sound="20261124T120000000-yes.flac",
        label="yes",
        score=0.93,
        time=4.5,
        start_s=BEFORE_S,
        end_s=BEFORE_S + 1.0,
        clock="2026-11-24T12:00:00.000+00:00",
        model="by-hand",
        scores={"yes": 0.93, "no": 0.07},
    )
    assert kept.kept == 1


def test_a_word_at_the_beginning_and_one_at_the_end_are_kept_as_far_as_there_is_sound(tmp_path: Path) -> None:
    kept = keeper(tmp_path)

    feed(kept, SOUND[: 2 * RATE], word(0.25), word(2.0, clock=NOON + timedelta(seconds=2)))
    assert kept.kept == 1
    kept.close()

    (first, first_note), (last, last_note) = read_kept(tmp_path)
    np.testing.assert_array_equal(soundfile.read(first)[0], SOUND[: round(0.55 * RATE)])
    np.testing.assert_array_equal(soundfile.read(last)[0], SOUND[round(0.5 * RATE) : 2 * RATE])
    assert (first_note.start_s, first_note.end_s) == (0.0, 0.25)
    assert (last_note.start_s, last_note.end_s) == (0.5, 1.5)


def test_after_an_hour_no_more_than_some_seconds_are_held(tmp_path: Path) -> None:
    kept = keeper(tmp_path)

    for n in range(20):
        feed(kept, SOUND, first_s=10.0 * n)

    assert sum(len(block) for block, _ in kept._ring) < 3.0 * RATE


def test_a_gap_and_another_rate_end_the_sound_of_a_word(tmp_path: Path) -> None:
    kept = keeper(tmp_path)

    feed(kept, SOUND[:RATE], word(1.0))
    kept.gap()
    feed(kept, SOUND[:RATE], word(61.0, clock=NOON + timedelta(seconds=60)), first_s=60.0)
    feed(kept, SOUND[: 2 * 44_100], word(62.0, clock=NOON + timedelta(seconds=61)), rate=44_100, first_s=61.0)

    sounds = [soundfile.read(path) for path, _ in read_kept(tmp_path)]
    assert [(len(samples), rate) for samples, rate in sounds] == [
        (RATE, RATE),
        (RATE, RATE),
        (round(1.3 * 44_100), 44_100),
    ]


def test_words_of_one_moment_get_names_of_their_own_and_no_label_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "kept"
    kept = keeper(folder)

    feed(kept, SOUND, word(2.0, "../../etc/x"), word(3.0, "../../etc/x"), word(4.0, "$(reboot)"), word(5.0, "日本"))

    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".flac") == [
        "20261124T120000000-etc-x-1.flac",
        "20261124T120000000-etc-x.flac",
        "20261124T120000000-reboot.flac",
        "20261124T120000000.flac",
    ]
    assert {note.label for _, note in read_kept(folder)} == {"../../etc/x", "$(reboot)", "日本"}
    assert [path.name for path in tmp_path.rglob("*") if path.is_dir()] == ["in", "kept"]


def test_a_full_folder_takes_no_more_and_says_so(tmp_path: Path) -> None:
    kept = keeper(tmp_path, most=2)

    feed(kept, SOUND, *(word(n, f"w{n}") for n in range(2, 7)))

    assert kept.kept == 2
    assert "holds 2 sounds" in kept.trouble
    assert len(list(read_kept(tmp_path))) == 2
    assert keeper(tmp_path, most=2).kept == 0


def test_a_full_disk_does_not_end_the_listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = keeper(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", fails)
        feed(kept, SOUND[: 3 * RATE], word(2.0))
    assert "can't be kept" in kept.trouble
    assert "No space left on device" in kept.trouble

    feed(kept, SOUND, word(5.0), first_s=3.0)

    assert (kept.trouble, kept.kept) == ("", 1)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_listener_gives_its_keeper_the_sound_that_it_heard(tmp_path: Path) -> None:
    sound = np.concatenate([silence(2.0), tone("low", 0.5), silence(2.0)])
    kept = keeper(tmp_path)
    listener = Listener(ToneModel(), TypedInput(blocks(np.stack([sound, sound], axis=1))), keeper=kept)

    while not listener.ended:
        listener.step()

    ((path, note),) = read_kept(tmp_path)
    samples, _ = soundfile.read(path, dtype="float32")
    assert np.abs(samples - sound[round((note.time - 1.5) * RATE) :][: len(samples)]).max() < 1e-4
    assert note.scores["low"] == pytest.approx(note.score, abs=1e-5)


def valid() -> dict[str, Any]:
    note = Note(sound="a.flac", label="a", score=1.0, time=1.0, start_s=0, end_s=1, clock="", model="m", scores={})
    return json.loads(note.model_dump_json())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not the note"),
        ("{", "is not the note"),
        ("[" * 100_000, "is not the note"),
        (json.dumps({**valid(), "sound": "../a.flac"}), "sound: "),
        (json.dumps({**valid(), "sound": "/etc/passwd"}), "sound: "),
        (json.dumps({**valid(), "score": 2.0}), "score: "),
        (json.dumps({**valid(), "extra": 1}), "extra: "),
        (json.dumps({**valid(), "version": 2}), "version: "),
        ('{"score": NaN}', "is not the note"),
        (" " * 300_000, "larger than 200000 bytes"),
        (json.dumps(valid()), "missing"),
    ],
)
def test_what_is_no_note_is_refused_with_its_name(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "a.json").write_text(content)

    with pytest.raises(DataError, match=says) as error:
        list(read_kept(tmp_path))

    assert "a.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="listen --save"):
        list(read_kept(tmp_path / "nowhere"))
