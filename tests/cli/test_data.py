"""``speech-rnn data`` on small folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from speech_rnn.cli.data import command
from speech_rnn.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two words by three speakers, once sampled at 8 kHz; one clip there twice."""
    folder = tmp_path_factory.mktemp("my_words")
    rng = np.random.default_rng(0)
    for word in ("yes", "n[o]"):
        (folder / word).mkdir()
        for speaker in range(3):
            sound = rng.normal(0, 0.05, 8_000)
            soundfile.write(folder / word / f"1234567{speaker}_nohash_0.wav", sound, 8_000)
    copy = (folder / "yes" / "12345670_nohash_0.wav").read_bytes()
    (folder / "yes" / "12345670_nohash_1.wav").write_bytes(copy)
    (folder / "validation_list.txt").write_text("yes/12345672_nohash_0.wav\nn[o]/12345672_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text("")
    return folder


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--cache", str(tmp_path / "cache")], catch_exceptions=False)


def test_words_parts_and_warnings_are_printed(words: Path, tmp_path: Path) -> None:
    result = run(tmp_path, str(words))

    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "training 5 2" in lines
    assert "validation 2 1" in lines
    assert "n[o] 2 1 3" in lines
    assert "yes 3 1 3" in lines
    assert any(line.startswith("warning: fewer than 20 clips for training of 'n[o]' (2), 'yes' (3)") for line in lines)
    assert any(
        re.search(r"nothing above 4,[0-3]\d\d Hz.* set --f-max 4[0-2]00 or --f-max auto", line) for line in lines
    )
    assert any("'yes/12345670_nohash_0.wav' = 'yes/12345670_nohash_1.wav'" in line for line in lines)


def test_json_holds_the_sources_the_figures_and_the_warnings(words: Path, tmp_path: Path) -> None:
    result = run(tmp_path, str(words), "--json", "--f-max", "4000")

    found = json.loads(result.stdout)
    assert [source["synthetic"] for source in found["sources"]] == [False]
    assert found["f_max"] == found["suggested_f_max"] == 4_000.0
    assert found["clips"] == {"training": 5, "validation": 2, "testing": 0}
    assert len(found["warnings"]) == 2


def test_a_chart_is_drawn_beside(words: Path, tmp_path: Path) -> None:
    result = run(tmp_path, str(words), "--chart", str(tmp_path / "inspection.svg"))

    assert result.stdout.splitlines()[-1] == f"drawn in {tmp_path / 'inspection.svg'}"
    assert (tmp_path / "inspection.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(("chart", "error"), [("inspection.gif", SettingsError), ("nowhere/inspection.svg", DataError)])
def test_a_chart_that_can_not_be_drawn_is_known_before_decoding(
    words: Path, tmp_path: Path, chart: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(tmp_path, str(words), "--chart", str(tmp_path / chart))

    assert not (tmp_path / "cache").exists()


def test_a_source_that_is_not_there_and_an_f_max_out_of_range_are_errors(words: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a source of recordings"):
        run(tmp_path, str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="f_max"):
        run(tmp_path, str(words), "--f-max", "9000")


def test_no_source_is_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 2
