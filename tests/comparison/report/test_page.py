from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from speech_rnn.comparison.report.page import comparison_page
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.summary import Summary, summarize
from speech_rnn.data.clips import SourceRecord
from tests.browser import browser, needs_chromium
from tests.comparison.planted import planted_results
from tests.comparison.planted_whole import PlantedClaim, claims, outcomes, whole_results
from tests.results import HOSTILE
from tests.test_report import Elements

COMMAND = "speech-rnn compare --data words"
ALL = ["verdicts", "accuracy", "fronts", "learning", "rates", "shares", "labels", "conditions", "gaps", "reach"]
ALL += ["memory", "costs", "methods", "origin"]
OF_SPEECH_NOT = ("Memory tasks", "Costs")


@pytest.fixture(scope="module")
def results() -> Results:
    return whole_results(n=200, epochs=12)


@pytest.fixture(scope="module")
def summary(results: Results) -> Summary:
    return summarize(results, command=COMMAND, resamples=50)


@pytest.fixture(scope="module")
def page(results: Results, summary: Summary) -> str:
    return comparison_page(results, summary, claims=claims(), outcomes=outcomes(), machine="2 cores")


@pytest.fixture(scope="module")
def bare() -> str:
    """Of a comparison without anything that can be left out."""
    right = np.random.default_rng(0).random((2, 40)) < 0.8
    small = planted_results({"lstm": right, "gru": ~right})
    return comparison_page(small, summarize(small, resamples=50))


def rows_of(page: str, caption: str) -> list[list[str]]:
    """The body of the table with that caption; notes stand behind a comma."""
    for table in ElementTree.fromstring(page).iter("table"):
        found = table.find("caption")
        if found is not None and (found.text or "").strip() == caption:
            for note in table.iter("small"):
                note.text = f", {note.text}"
            return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")][1:]
    raise AssertionError(f"no table is called {caption}")


def json_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'href="data:application/json;base64,([^"]+)"', page)
    figures = json.loads(base64.b64decode(text))
    assert isinstance(figures, dict)
    return figures


def sections(page: str) -> list[str]:
    return [section.get("aria-labelledby", "") for section in ElementTree.fromstring(page).iter("section")]


def captions(page: str) -> list[str]:
    root = ElementTree.fromstring(page)
    return ["".join(one.itertext()) for kind in ("figcaption", "caption") for one in root.iter(kind)]


def test_the_verdicts_come_first_and_what_was_not_measured_stands_below_them(page: str) -> None:
    assert sections(page) == ALL
    rows = rows_of(page, "Claims and what became of them")
    assert [row[1] for row in rows] == ["holds", "undecided"]
    assert rows[0][2:4] == [
        "+1.70 (+0.40 to +3.00) points, all sizes; 95 % for all claims together",
        "equal parameters",
    ]
    assert "Not measured here: 1" in page
    assert "no memory tasks were run; rule 1" in page
    assert 'href="#rule-1"' in page
    assert '<li id="rule-1">' in page


def test_every_accuracy_and_difference_is_the_summarys(page: str, summary: Summary) -> None:
    for budget, words in (("units", "equal units"), ("parameters", "equal parameters")):
        shown = iter(rows_of(page, f"Accuracy at {words}"))
        for one in (one for one in summary.contenders if one.contender.budget == budget):
            assert one.low is not None
            assert one.high is not None
            assert next(shown) == [
                f"{one.contender.size}",
                one.contender.cell.upper(),
                f"{one.contender.units}",
                f"{one.contender.parameters:,}",
                f"{100 * one.accuracy:.1f} %",
                f"{100 * one.low:.1f}–{100 * one.high:.1f} %",
                ", ".join(f"{100 * accuracy:.1f}" for accuracy in one.accuracies),
            ]
        pairs = [pair for pair in summary.pairs if pair.budget == budget]
        for pair, row in zip(pairs, rows_of(page, f"Differences at {words}"), strict=True):
            assert pair.low is not None
            assert pair.high is not None
            assert row[0] == f"{pair.size}"
            ends = " to ".join(f"{100 * end:+.1f}" for end in (pair.low, pair.high))
            assert [text.replace("−", "-") for text in row[2:4]] == [f"{100 * pair.difference:+.1f}", ends]
            assert row[5] == ("undecided" if pair.better is None else f"{pair.better.upper()} better")


def test_the_json_in_the_page_holds_the_summary_and_every_point_that_is_drawn(
    page: str, results: Results, summary: Summary
) -> None:
    figures = json_of(page)

    assert Summary.from_json(json.dumps(figures["summary"])) == summary
    keys = [one["key"] for one in figures["curves"]]
    assert len(set(keys)) == len(keys) == 11
    (seconds,) = (one for one in figures["curves"] if one["key"] == "accuracy_by_share")
    assert [point["x"] for point in seconds["panels"][0]["curves"][0]["points"]] == [0.1, 0.3, 1.0]
    assert [front["key"] for front in figures["fronts"]] == [
        "accuracy_by_bytes",
        "accuracy_by_macs",
        "accuracy_by_step_us",
    ]
    assert len(figures["costs"]) == len(results.costs)
    assert [one["verdict"] for one in figures["claims"]] == ["holds", "undecided", "not measured"]
    assert len(figures["memory_tasks"]) == 6
    key = next(iter(results.measured))
    assert set(figures["measured"][key.rpartition("-")[0]]) == set(results.measured[key].answers)


def test_every_picture_has_words_and_a_table_of_its_numbers(page: str) -> None:
    root = ElementTree.fromstring(page)

    figures = list(root.iter("figure"))
    pictures = [svg for figure in figures for svg in figure.iter("{http://www.w3.org/2000/svg}svg")]
    assert len(pictures) == len(figures) >= 19
    assert all(len(picture.get("aria-label", "")) > 60 for picture in pictures)
    parents = {child: parent for parent in root.iter() for child in parent}
    without = [figure for figure in figures if parents[figure].find("details") is None]
    # whose table is open beside it
    assert ["".join(figure.itertext()).strip().partition(".")[0][-17:] for figure in without] == ["Accuracy by label"]


def test_tables_scroll_in_a_container_that_the_keyboard_reaches(page: str) -> None:
    root = ElementTree.fromstring(page)

    parents = {child: parent for parent in root.iter() for child in parent}
    tables = list(root.iter("table"))
    assert len(tables) > 25
    assert all(parents[table].get("class") == "scroll" for table in tables)
    assert all(parents[table].get("tabindex") == "0" and parents[table].get("aria-label") for table in tables)


def test_it_is_well_formed_small_and_refers_to_nothing_outside(page: str, bare: str) -> None:
    for one in (page, bare):
        elements = Elements(one).found
        assert len(one) < 5_000_000
        assert not {tag for tag, _ in elements} & {"script", "iframe", "object", "embed", "form", "base", "img"}
        targets = [of.get(name, "#") for _, of in elements for name in ("src", "href")]
        assert all(target.startswith(("#", "data:")) for target in targets)
        ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {target[1:] for target in targets if len(target) > 1 and target[0] == "#"} <= set(ids)


def test_names_from_outside_are_shown_as_text() -> None:
    source = SourceRecord(name=HOSTILE[0], origin=HOSTILE[2], digest="0", synthetic=False)
    small = whole_results(labels=HOSTILE, source=source, n=60, epochs=2, sizes=(4,))
    hostile = PlantedClaim(HOSTILE[1], HOSTILE[2], budget=HOSTILE[0], figure=HOSTILE[3], why=HOSTILE[4])

    page = comparison_page(small, summarize(small, command=HOSTILE[3], resamples=20), claims=[hostile])

    ElementTree.fromstring(page)
    text = Elements(page).text
    assert all(one in text for one in HOSTILE[:4])
    assert "a\ufffd\ufffdb" in text
    assert "\x00" not in page
    assert "\u202e" not in page


def test_synthetic_is_said_at_the_top_and_beside_each_figure_of_speech() -> None:
    source = SourceRecord(name="corpus", origin="voices", digest="0", synthetic=True)
    small = whole_results(source=source, n=60, epochs=2, sizes=(4,))

    page = comparison_page(small, summarize(small, resamples=20), outcomes=outcomes())

    header = "".join("".join(one.itertext()) for one in ElementTree.fromstring(page).iter("header"))
    assert "not by people" in header
    of_speech = [caption for caption in captions(page) if not caption.startswith(OF_SPEECH_NOT)]
    assert len(of_speech) > 30
    assert all("synthetic corpus" in caption for caption in of_speech)
    assert "rebuilt" not in page


def test_recordings_that_were_rebuilt_are_called_so_likewise(page: str) -> None:
    of_speech = [caption for caption in captions(page) if not caption.startswith(OF_SPEECH_NOT)]

    assert all("rebuilt recordings" in caption for caption in of_speech)
    assert "computed from stored spectrograms" in Elements(page).text
    assert "synthetic" not in Elements(page).text


def test_what_people_said_is_neither(results: Results, summary: Summary) -> None:
    source = SourceRecord(name="words", origin="Words, recorded", digest="0", synthetic=False)
    small = whole_results(source=source, n=60, epochs=2, sizes=(4,))

    text = Elements(comparison_page(small, summarize(small, resamples=20))).text

    assert "synthetic" not in text
    assert "rebuilt" not in text


def test_what_was_not_measured_has_no_section_and_no_link_to_one(bare: str) -> None:
    assert sections(bare) == ["accuracy", "fronts", "labels", "costs", "methods", "origin"]
    assert "Learning rates" not in [one.text for one in ElementTree.fromstring(bare).iter("a")]
    assert "times were not taken" in Elements(bare).text
    assert "not tuned in this comparison" in Elements(bare).text
    assert [row[0] for row in rows_of(bare, "Costs")] == [
        "Parameters",
        "MACs a second of sound",
        "Weights in int8, bytes",
    ]


def test_one_seed_gives_a_page_without_intervals() -> None:
    right = np.random.default_rng(0).random((1, 40)) < 0.8
    small = planted_results({"lstm": right, "gru": right})

    page = comparison_page(small, summarize(small))

    assert "One seed says nothing of others" in Elements(page).text
    assert rows_of(page, "Accuracy at equal units")[0][5] == "–"


def test_costs_and_limits_are_those_of_the_results(page: str, results: Results) -> None:
    middle = results.header.plan.middle(results.header.contenders)
    costs = [results.costs[f"{one.cell}-{one.units}"] for one in middle]

    rows = {row[0]: row[1:] for row in rows_of(page, "Costs")}

    assert rows["Parameters"] == [f"{one.parameters:,}" for one in middle]
    assert rows["A step in int8"] == [f"{one.step_us_int8:.3g} µs" for one in costs]
    assert rows["Arena on a board"] == ["24,000 bytes", "24,000 bytes", "–"]
    text = Elements(page).text
    assert f"at most {max(one.parameters for one in results.header.contenders):,} parameters" in text
    assert "12 epochs" in text
    assert COMMAND in text
    assert "3.15.1" in text


def test_the_memory_tasks_are_counted_with_intervals(page: str) -> None:
    rows = rows_of(page, "Memory tasks")

    assert rows == [
        [
            "adding, length 100",
            "LSTM",
            "32",
            "4,417",
            "3 of 3",
            "43.9–100.0 %",
            "1,200",
            "mse 0.002 (0.001–0.003), without memory 0.167",
        ],
        [
            "adding, length 100",
            "GRU",
            "32",
            "4,417",
            "2 of 3",
            "20.8–93.9 %",
            "1,200",
            "mse 0.002 (0.001–0.003), without memory 0.167",
        ],
    ]


def test_the_same_results_give_the_same_page(results: Results, summary: Summary, page: str) -> None:
    again = comparison_page(results, summary, claims=claims(), outcomes=outcomes(), machine="2 cores")

    assert again == page


@needs_chromium
def test_a_browser_has_nothing_to_complain_of_and_saves_the_json_without_a_script(page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    complaints: list[str] = []
    with browser() as chromium:
        tab = chromium.new_page(viewport={"width": 360, "height": 800})
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto((tmp_path / "report.html").as_uri())
        for summary in tab.locator("summary").all():
            summary.click()
        room, needed = tab.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
        with tab.expect_download() as saving:
            tab.get_by_text("All figures of this page as JSON").click()
        saving.value.save_as(tmp_path / "saved.json")

    assert complaints == []
    assert needed <= room
    assert json.loads((tmp_path / "saved.json").read_text()) == json_of(page)
