"""``speech-rnn prepare`` on short recordings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from speech_rnn.cli.prepare import command
from speech_rnn.config import FeatureSettings, RunSettings
from speech_rnn.errors import DataError, SettingsError
from speech_rnn.prepared.record import PreparedRecord
from tests.prepared.small import TINY, speaker, write_words

SETTINGS = [f"--set=features.{name}={value}" for name, value in TINY.model_dump().items() if name != "f_max"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_words(tmp_path_factory.mktemp("recordings") / "words", 40)
    (folder / "yes" / f"{speaker(3)}_nohash_0.wav").write_bytes(b"no sound")
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def test_the_summary_is_json_and_the_rejects_are_the_error(words: Path, tmp_path: Path) -> None:
    result = run("--data", words, "-o", tmp_path / "out", *SETTINGS, "--f-max", "1900", "--json")

    found = json.loads(result.stdout)
    record = PreparedRecord.read(str(tmp_path / "out"))
    assert record.features == TINY
    assert (found["clips"], found["clips_in"], found["rejects"], found["left_out"]) == (79, 80, 1, 0)
    assert found["parts"] == {part: sum(counts.values()) for part, counts in record.words.items()}
    assert found["digest"] == record.digest
    assert found["clips_per_s"] > 0
    assert isinstance(result.exception, DataError)
    assert str(result.exception) == (
        f"1 of 80 clips could not be read, {tmp_path}/out/rejects.jsonl lists them; the features of the other 79 are "
        "whole and can be used"
    )

    again = run("--data", words, "-o", tmp_path / "out", *SETTINGS, "--f-max", "1900")

    assert again.stdout.startswith(f"{tmp_path}/out is whole already, nothing was to do: ")
    assert isinstance(again.exception, DataError)


def test_settings_may_come_from_a_run(words: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"settings": json.loads(RunSettings(features=TINY).to_json())}))

    result = run(
        "--data", words, "-o", tmp_path / "out", "--settings", tmp_path / "run.json", "--set=features.n_mels=5"
    )

    assert result.stdout.startswith(f"{tmp_path}/out: ")
    assert PreparedRecord.read(str(tmp_path / "out")).features == TINY.changed(n_mels=5)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["--data", "no/such"], DataError, "'no/such' is not a source of recordings; give a folder"),
        (["--data", "WORDS", "--data", "WORDS"], DataError, "a source is named twice"),
        (["--data", "WORDS", "--set", "features.n_mel=4"], SettingsError, "'n_mel' is not a setting of Fe.* n_mels"),
        (["--data", "WORDS", "--set", "model.units=4"], SettingsError, "'model' is not a part of the settings of feat"),
        (["--data", "WORDS", "--f-max", "9000"], SettingsError, "f_max=9000.0 must be at most half the sample rate"),
        (["--data", "WORDS", "--settings", "no.json"], SettingsError, "no.json can't be read"),
        (["--data", "WORDS", "--runner", "Nobody"], SettingsError, "runner 'Nobody' can't be used"),
        (["--data", "WORDS", "--", "--direct_num_workers=x"], SettingsError, "can't be options of Beam"),
        (["--data", "segments:no.csv"], DataError, "'no.csv' can't be read"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    words: Path, tmp_path: Path, arguments: list[str], error: type[Exception], says: str
) -> None:
    arguments = [str(words) if one == "WORDS" else one for one in arguments]

    result = run("-o", tmp_path / "out", *arguments)

    assert result.exit_code == 1
    with pytest.raises(error, match=says):
        raise result.exception or AssertionError
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing option '-o'"),
        (["-o", "x"], "--data is missing"),
        (["-o", "x", "--data", "y", "z"], "'z' is not an option; sources go behind --data, Beam's options behind --."),
        (["-o", "x", "--data", "y", "--set", "n_mels=4"], "must be features.NAME=VALUE"),
        (["-o", "x", "--data", "y", "--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_has_code_2(arguments: list[str], says: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert says in " ".join(click.unstyle(result.stderr).replace("│", " ").split())


def test_without_beam_one_line_says_what_brings_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['apache_beam'] = None\n"
        "from speech_rnn.cli.main import main\n"
        f"sys.argv = ['speech-rnn', 'prepare', '--data', 'corpus', '-o', {str(tmp_path / 'out')!r}]\n"
        "main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'speech-rnn[train,scale]' brings it" in done.stderr


@pytest.mark.slow
def test_two_processes_give_the_same_and_say_nothing_else(words: Path, tmp_path: Path) -> None:
    """The whole command, as a user runs it."""
    first = run("--data", words, "-o", tmp_path / "one", *SETTINGS, "--f-max", "1900", "--json")

    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "speech_rnn.cli.main",
                "prepare",
                "--data",
                str(words),
                "-o",
                str(tmp_path / "two"),
            ),
            *(*SETTINGS, "--f-max", "1900", "--json", "--workers", "2"),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["digest"] == json.loads(first.stdout)["digest"]
    lines = [line for line in done.stderr.splitlines() if " left" not in line]
    assert lines == [
        f"speech-rnn: 1 of 80 clips could not be read, {tmp_path}/two/rejects.jsonl lists them; the features of the "
        "other 79 are whole and can be used"
    ]


def test_the_usual_settings_are_those_of_training() -> None:
    from speech_rnn.cli.prepare import _settings

    assert _settings(None, (), None) == (FeatureSettings(), True)
    assert _settings(None, (), "auto") == (FeatureSettings(), True)
    assert _settings(None, (), 4_000.0) == (FeatureSettings(f_max=4_000.0), False)
    assert _settings(None, ("features.sample_rate=8000",), None)[0].f_max == 3_800.0
