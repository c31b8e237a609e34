from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.audio import read_audio
from speech_rnn.errors import AudioError, DataError
from speech_rnn.streaming import Detection
from speech_rnn.transcript import (
    FORMATS,
    Format,
    Transcript,
    audacity_line,
    check_names,
    read_label_track,
    track_name,
    transcribe,
)

YES = Detection(label="yes", score=0.91, time=3_725.25, start=3_724.25)
HOSTILE = (
    '=HYPERLINK("http://x","y")',
    "+1",
    "-1",
    "@SUM(A1)",
    " =1",
    "＝1",
    "a\tb",
    "a\nb",
    "a\r\nb",
    'a"b,c;d',
    "\x1b[31mred",
    "a\u2028b",
    "a\u202eb",
    "[bold]x[/bold]",
    "<b>&amp;",
)


class Echo:
    """Hears a word for each block, and one at the end; keeps what it was given."""

    def __init__(self) -> None:
        self.taken: list[NDArray[np.float32]] = []

    def accept(self, samples: NDArray[np.float32], rate: float) -> list[Detection]:
        assert rate == 16_000
        self.taken.append(samples)
        return [Detection("yes", 0.9, sum(map(len, self.taken)) / rate, 0.0)]

    def finish(self) -> list[Detection]:
        return [Detection("end", 0.9, sum(map(len, self.taken)) / 16_000, 0.0)]


def written(form: Format, *heard: Detection, file: Path = Path("a.wav"), names: bool = False) -> str:
    text = io.StringIO()
    made = Transcript(text.write, form, names=names)
    for one in heard:
        made.add(file, one)
    made.end(file)
    return text.getvalue()


@pytest.mark.parametrize(("suffix", "rate", "channels"), [("wav", 16_000, 1), ("flac", 44_100, 2), ("mp3", 22_050, 1)])
def test_a_file_is_heard_whole_block_by_block_whatever_it_is(
    suffix: str, rate: int, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, (25 * rate, channels)), rate)
    echo = Echo()

    heard = list(transcribe(echo, path, 16_000))

    np.testing.assert_array_equal(np.concatenate(echo.taken), read_audio(path, 16_000))
    assert [len(block) for block in echo.taken[:2]] == [160_000, 160_000]
    assert [one.label for one in heard] == ["yes"] * len(echo.taken) + ["end"]


def test_damage_in_the_middle_is_an_error_after_what_was_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 600_000), 16_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2_000] = bytes(2_000)
    path.write_bytes(content)
    heard = transcribe(Echo(), path, 16_000)

    assert next(heard).label == "yes"
    with pytest.raises(AudioError, match=r"damaged or cut off"):
        list(heard)


def test_time_left_is_said_for_what_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 10_000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000 * 95, np.int16), 16_000)

    list(transcribe(Echo(), tmp_path / "long.wav", 16_000))

    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("long.wav, seconds: 20 of 95, ")
    assert lines[0].endswith(" left")


def test_json_is_a_line_a_detection() -> None:
    no = Detection("no", 0.5, 1.0, 0.0)

    lines = [json.loads(line) for line in written("json", YES, no).splitlines()]

    assert lines == [
        {"file": "a.wav", "label": "yes", "score": 0.91, "start": 3724.25, "time": 3725.25},
        {"file": "a.wav", "label": "no", "score": 0.5, "start": 0.0, "time": 1.0},
    ]


def test_csv_has_a_head_and_a_line_a_detection() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", YES))))

    assert rows == [
        {"file": "a.wav", "label": "yes", "score": "0.910000", "start": "3724.250", "time": "3725.250"},
    ]
    assert written("csv") == "file,label,score,start,time\n"


def test_a_label_track_is_start_end_and_label() -> None:
    assert written("audacity", YES) == "3724.250000\t3725.250000\tyes\n"
    assert written("audacity") == ""


def test_a_table_shows_times_as_a_player_does() -> None:
    assert written("table", YES) == "         time  score  label\n  1:02:05.250  0.910  yes\n"
    assert written("table", YES, names=True).splitlines()[0] == "a.wav"
    assert written("table").splitlines()[1].split() == ["–", "nothing", "was", "heard"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_in_csv_no_name_or_label_is_a_formula_or_ends_its_field(hostile: str) -> None:
    text = written("csv", Detection(hostile, 0.9, 1.0, 0.0), file=Path(hostile))

    assert len(text.splitlines()) == 2
    (row,) = csv.DictReader(io.StringIO(text))
    for cell in (row["file"], row["label"]):
        assert cell.strip()[0] not in "=+-@＝＋－＠"
        assert cell.isprintable()
    assert (row["score"], row["start"], row["time"]) == ("0.900000", "0.000", "1.000")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_detection_is_one_line_in_every_format_whatever_its_label(hostile: str, form: Format) -> None:
    text = written(form, Detection(hostile, 0.9, 1.0, 0.0), file=Path("x"))

    lines = text.splitlines()
    assert len(lines) == len(written(form, YES).splitlines())
    assert all(character.isprintable() for character in "".join(lines).replace("\t", ""))
    assert lines[-1].count("\t") == (2 if form == "audacity" else 0)
    if form == "json":
        assert json.loads(lines[0])["label"] == hostile


@given(
    times=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**7)), max_size=5),
    label=st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
)
def test_a_label_track_comes_back_as_it_was_written(
    times: list[tuple[int, int]], label: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = [(start / 1e6, (start + length) / 1e6) for start, length in times]
    path = tmp_path_factory.getbasetemp() / "track.txt"
    path.write_text("".join(audacity_line(start, end, label) for start, end in expected), newline="")

    found = read_label_track(path)

    assert [(round(start, 6), round(end, 6)) for start, end, _ in found] == [
        (round(s, 6), round(e, 6)) for s, e in expected
    ]
    if label.isprintable():
        assert {shown for *_, shown in found} <= {label.strip()}


def test_what_audacity_exports_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Label Track.txt"
    path.write_bytes(
        "\ufeff0,500000\t1,250000\tyes\r\n\\\t100.0\t4000.0\r\n2.0\t2.0\t\r\n3.000000\t4.0\tzoom in\r\n\r\n".encode()
    )

    assert read_label_track(path) == [(0.5, 1.25, "yes"), (2.0, 2.0, ""), (3.0, 4.0, "zoom in")]


@pytest.mark.parametrize("line", ["yes", "1\tyes", "2\t1\tyes", "-1\t1\tyes", "nan\t1\tyes", "0\tinf\tyes", "a\tb\tc"])
def test_a_line_that_is_no_label_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"0\t1\tyes\n{line}\n")

    with pytest.raises(DataError, match=r"a.txt', line 2: .* must be start, end and label"):
        read_label_track(tmp_path / "a.txt")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(DataError, match="not UTF-8"):
        read_label_track(tmp_path / "a.txt")
    with pytest.raises(DataError, match="No such file"):
        read_label_track(tmp_path / "b.txt")


def test_two_files_of_one_name_are_refused_before_the_work() -> None:
    check_names((Path("a/x.wav"), Path("b/y.wav")), "csv")

    with pytest.raises(AudioError, match=r"'a/x.wav' and 'b/x.flac' would both be written as 'x.heard.csv'"):
        check_names((Path("a/x.wav"), Path("b/x.flac")), "csv")
    assert track_name(Path("a/x.tar.wav"), "json") == "x.tar.heard.jsonl"
