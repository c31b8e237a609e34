from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from speech_rnn import transcription
from speech_rnn.beam.files import state_of
from speech_rnn.beam.running import engine
from speech_rnn.cli import recognize
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import AudioError, DataError
from speech_rnn.transcription import SUMMARY, Heard, found, transcribe_many
from tests.cli.test_transcribe import OWN, WORDS_AT, write_words
from tests.prepared.memory_files import FILES
from tests.tone_listener import tone_recognizer

HERE = engine(None, (), None)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models that were loaded."""
    names: list[str] = []

    def load(name: str) -> object:
        names.append(name)
        return tone_recognizer(detector=OWN)

    monkeypatch.setattr(transcription, "load", load)
    monkeypatch.setattr(recognize, "load", lambda _: tone_recognizer(detector=OWN))
    return names


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(recognize.command, [*map(str, arguments), "--model", "m", "--stream"])


def test_transcripts_of_a_pipeline_are_those_of_the_command_without_one(tmp_path: Path, loaded: list[str]) -> None:
    sounds = [write_words(tmp_path / f"{n}.wav", WORDS_AT[n:]) for n in range(3)]
    (tmp_path / "one").mkdir()
    alone = invoke(*sounds, "--format", "audacity", "-o", tmp_path / "one")

    result = invoke(*sounds, "--format", "audacity", "-o", tmp_path / "many", "--runner", "DirectRunner")

    assert (alone.exit_code, result.exit_code) == (0, 0), result.output
    for sound in sounds:
        name = f"{sound.stem}.heard.txt"
        assert (tmp_path / "many" / name).read_text() == (tmp_path / "one" / name).read_text() != ""
    assert loaded == ["m"]
    assert result.stdout.startswith("6 words heard in 3 recordings, 30 s of sound")
    assert result.stderr == ""


def test_a_recording_that_cannot_be_read_is_listed_and_the_others_are_heard(tmp_path: Path, loaded: list[str]) -> None:
    good = write_words(tmp_path / "good.wav", WORDS_AT)
    (tmp_path / "bad.wav").write_bytes(b"RIFF, but no more")

    result = invoke(
        tmp_path / "bad.wav", good, tmp_path / "none.wav", "-o", tmp_path / "many", "--runner", "DirectRunner"
    )

    assert isinstance(result.exception, AudioError)
    assert str(result.exception) == "2 of 3 files could not be heard to their end; see above"
    assert [line.split("'")[1] for line in result.stderr.splitlines()] == [
        str(tmp_path / "bad.wav"),
        str(tmp_path / "none.wav"),
    ]
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["good.heard.table.txt", SUMMARY]
    listed = [Heard(**one) for one in json.loads((tmp_path / "many" / SUMMARY).read_text())["recordings"]]
    assert [(Path(one.file).name, one.detections, bool(one.error)) for one in listed] == [
        ("bad.wav", 0, True),
        ("good.wav", 3, False),
        ("none.wav", 0, True),
    ]


def test_a_recording_elsewhere_is_heard_and_called_by_its_whole_name(tmp_path: Path, loaded: list[str]) -> None:
    sound = write_words(tmp_path / "a.wav", WORDS_AT)
    FILES["test://week/a[1].wav"] = sound.read_bytes()

    heard = transcribe_many(["test://week/a*.wav"], "m", OWN, form="json", folder=str(tmp_path / "many"), engine=HERE)

    assert [(one.file, one.detections, one.error) for one in heard] == [("test://week/a[1].wav", 3, "")]
    lines = [json.loads(line) for line in (tmp_path / "many" / "a[1].heard.jsonl").read_text().splitlines()]
    assert {line["file"] for line in lines} == {"test://week/a[1].wav"}
    assert state_of("test://week/a[1].wav").size == sound.stat().st_size


def test_what_an_earlier_run_heard_does_not_stand_for_a_recording_that_fails(tmp_path: Path, loaded: list[str]) -> None:
    sound = write_words(tmp_path / "a.wav", WORDS_AT)
    for _ in range(2):
        heard = transcribe_many([str(sound)], "m", OWN, form="csv", folder=str(tmp_path / "many"), engine=HERE)
        sound.write_bytes(b"no sound")

    assert heard[0].error
    assert [path.name for path in (tmp_path / "many").iterdir()] == [SUMMARY]


def test_two_transcripts_of_one_name_are_refused(tmp_path: Path, loaded: list[str]) -> None:
    with pytest.raises(AudioError, match=r"would both be written as 'a\.heard\.csv'; rename one"):
        transcribe_many(["x/a.wav", "y/a.wav"], "m", DetectorConfig(), form="csv", folder=str(tmp_path), engine=HERE)


def test_a_file_system_that_is_not_known_and_a_folder_that_is_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'nowhere://a/\*\.wav' can't be looked through"):
        found(["nowhere://a/*.wav"])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't be a folder"):
        transcribe_many(["a.wav"], "m", DetectorConfig(), form="csv", folder=str(tmp_path / "file"), engine=HERE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", 2], "--workers and --pipeline-option are for --runner"),
        (["--runner", "DirectRunner"], "add --stream and -o DIR"),
    ],
)
def test_options_that_need_others_are_refused(options: list[object], message: str, loaded: list[str]) -> None:
    result = invoke("a.wav", *options)

    assert result.exit_code == 2
    assert message in result.output
