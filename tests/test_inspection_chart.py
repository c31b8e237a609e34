"""The drawing of an inspection: whole files, every word in them, nothing taken for markup."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from speech_rnn.data.clips import Part
from speech_rnn.data.inspection import Histogram, Inspection, WordFigures
from speech_rnn.errors import SettingsError
from speech_rnn.inspection_chart import MOST_WORDS, check_format, draw


def inspection(words: tuple[str, ...] = ("yes", "no"), clips: int = 30) -> Inspection:
    by_part: dict[Part, int] = {"training": clips, "validation": 5, "testing": 0}
    return Inspection(
        sample_rate=16_000,
        clip_length=16_000,
        f_max=7_600.0,
        clips={part: n * len(words) for part, n in by_part.items()},
        words=tuple(WordFigures(word=word, clips=by_part, speakers=3) for word in words),
        speakers={"training": 3, "validation": 1, "testing": 0},
        speakers_in_two_parts=0,
        speaker_unknown=0,
        clips_per_speaker=((2, 1), (10, 3)) if clips else (),
        level_db=Histogram(low=-102.0, step=3.0, counts=(0,) * 25 + (clips, 5) + (0,) * 8),
        silent=0,
        clipped=0,
        short=0,
        long=0,
        shortest_s=1.0,
        longest_s=1.0,
        doubles=(),
        bandwidth_hz=Histogram(low=0.0, step=125.0, counts=(0,) * 32 + (clips,) + (0,) * 32),
    )


def texts(svg: Path) -> list[str]:
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_an_svg_holds_every_word_and_says_what_it_shows(tmp_path: Path) -> None:
    draw(inspection(), tmp_path / "a.svg")

    root = ElementTree.fromstring((tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert root.get("aria-label") == (
        "70 clips of 2 words by 4 speakers. Bandwidth of most: 4000 Hz. Level of most: -27 dB re full scale."
    )
    assert {"yes", "no", "training", "validation", "bandwidth, Hz; features look up to 7,600"} <= set(
        texts(tmp_path / "a.svg")
    )
    assert "testing" not in texts(tmp_path / "a.svg")


def test_a_png_is_a_png(tmp_path: Path) -> None:
    draw(inspection(), tmp_path / "a.PNG")

    assert (tmp_path / "a.PNG").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_words_from_outside_are_text_and_nothing_else(tmp_path: Path) -> None:
    hostile = ("<script>alert(1)</script>", "$x^2$", "_silence_", "نعم", "a\x00b\u202e")

    draw(inspection(hostile), tmp_path / "a.svg")

    shown = texts(tmp_path / "a.svg")
    assert {"$x^2$", "_silence_", "نعم"} <= set(shown)
    assert "<script" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_of_very_many_words_those_with_fewest_clips_are_drawn(tmp_path: Path) -> None:
    draw(inspection(tuple(f"word{n}" for n in range(300))), tmp_path / "a.svg")

    shown = texts(tmp_path / "a.svg")
    assert sum(text.startswith("word") for text in shown) == MOST_WORDS
    assert any(f"the {MOST_WORDS} of 300" in text for text in shown)


def test_nothing_to_draw_is_drawn_as_nothing(tmp_path: Path) -> None:
    draw(inspection(clips=0), tmp_path / "a.svg")

    assert "yes" in texts(tmp_path / "a.svg")


@pytest.mark.parametrize("name", ["a.gif", "a", ".svg.txt"])
def test_another_suffix_is_refused_with_the_ones_that_are_known(name: str) -> None:
    with pytest.raises(SettingsError, match=r"must end in .svg or .png"):
        check_format(Path(name))


def test_a_place_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="can't be written"):
        draw(inspection(), tmp_path / "file" / "a.svg")
