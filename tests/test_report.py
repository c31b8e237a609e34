from __future__ import annotations

import base64
import functools
import io
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from speech_rnn import report
from speech_rnn.evaluation import evaluate
from speech_rnn.report import demo_page, evaluation_page, inside_page, streams_page
from tests.results import HOSTILE, LABELS, cell, demo, detection_report, evaluation, sample, word_trace


@functools.cache
def page_of(name: str, labels: Sequence[str] = LABELS) -> str:
    return PAGES[name](labels)


PAGES: dict[str, Callable[[Sequence[str]], str]] = {
    "demo": lambda labels: demo(labels, labels[:2] if labels is HOSTILE else ("LSTM", "GRU")),
    "evaluation": lambda labels: evaluation_page(evaluation(labels, model=labels[-1]), {labels[0]: labels[1]}),
    "streams": lambda labels: streams_page(
        [detection_report(labels, model=labels[-1], mode=mode) for mode in ("window", "carry")], {labels[0]: labels[1]}
    ),
    "inside": lambda labels: inside_page(
        [word_trace(one, labels, model=labels[-1]) for one in ("lstm", "gru")],
        labels[1],
        command=f"speech-rnn inspect {labels[3]}",
        versions={labels[0]: labels[1]},
    ),
}


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("labels", [LABELS, HOSTILE], ids=["usual", "hostile"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed_and_refers_to_nothing_outside(name: str, labels: Sequence[str]) -> None:
    page = page_of(name, labels)

    ElementTree.fromstring(page)  # our pages are XML as well, so every element closes and every value is quoted
    elements = Elements(page)
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "img"}
    for _, attributes in elements.found:
        assert not [attribute for attribute in attributes if attribute.startswith("on")]
        for attribute in ("src", "href", "action", "data", "poster", "srcset"):
            assert attributes.get(attribute, "#").startswith(("#", "data:"))
    assert set(re.findall(r"\bhttps?:[^\"' )]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", page))
    assert "@import" not in page


@pytest.mark.parametrize("name", PAGES)
def test_the_content_policy_lets_nothing_run_and_nothing_load(name: str) -> None:
    metas = [attributes for tag, attributes in Elements(page_of(name)).found if tag == "meta"]

    (policy,) = [meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy"]

    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("style-src") == "'unsafe-inline'"
    assert set(rules.values()) <= {"'none'", "data:"}


@pytest.mark.parametrize("name", PAGES)
def test_names_from_outside_are_shown_as_text(name: str) -> None:
    page = page_of(name, HOSTILE)

    text = Elements(page).text
    assert "<script>alert(1)</script>" in text
    assert "{{ 7 * 7 }}" in text
    assert "a\ufffd\ufffdb" in text
    assert "\x00" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize("name", PAGES)
def test_ids_occur_once_even_if_two_cells_do_the_same_and_every_figure_has_words(name: str) -> None:
    elements = Elements(page_of(name)).found

    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    labelled = [attributes["aria-labelledby"] for _, attributes in elements if "aria-labelledby" in attributes]
    figures = [attributes for tag, attributes in elements if tag == "svg"]
    assert len(ids) == len(set(ids))
    assert set(labelled) <= set(ids)
    assert len(figures) >= 3
    assert all(figure["role"] == "img" and len(figure["aria-label"]) > 30 for figure in figures)


@pytest.mark.parametrize("name", PAGES)
def test_tables_scroll_in_a_container_that_the_keyboard_reaches(name: str) -> None:
    root = ElementTree.fromstring(page_of(name))

    parents = {child: parent for parent in root.iter() for child in parent}
    tables = list(root.iter("table"))
    assert tables
    assert all(parents[table].get("class") == "scroll" for table in tables)
    assert all(parents[table].get("tabindex") == "0" and parents[table].get("aria-label") for table in tables)


def test_figures_of_synthetic_speech_say_so_and_others_do_not() -> None:
    root = ElementTree.fromstring(page_of("evaluation"))

    captions = ["".join(caption.itertext()) for caption in root.iter("figcaption")]
    captions += ["".join(caption.itertext()) for caption in root.iter("caption")]
    assert len(captions) >= 5
    assert all("synthetic corpus" in caption for caption in captions)
    assert "synthetic" not in Elements(evaluation_page(evaluation(synthetic=False))).text.lower()


def test_the_demo_calls_its_figures_synthetic_at_the_top_and_beside_each() -> None:
    root = ElementTree.fromstring(page_of("demo"))

    header = "".join("".join(element.itertext()) for element in root.iter("header"))
    captions = ["".join(caption.itertext()) for caption in root.iter("figcaption")]
    assert "not by people" in header
    assert len(captions) == 9
    assert all("synthetic corpus" in caption for caption in captions)


def test_the_demo_shows_the_cells_side_by_side() -> None:
    evaluated = evaluation()

    rows = {
        "".join(row[0].itertext()): ["".join(column.itertext()) for column in row[1:]]
        for row in ElementTree.fromstring(page_of("demo")).iter("tr")
    }

    low, high = evaluated.accuracy.low, evaluated.accuracy.high
    shown = f"{100 * evaluated.accuracy.value:.1f} %{100 * low:.1f}–{100 * high:.1f} %"
    assert rows["Validation accuracy95 % interval"] == [shown, shown]
    assert rows["Parameters"] == ["94,732", "94,732"]
    assert rows["MACs a second of audio"] == ["9.1 million", "9.1 million"]
    assert rows["Seconds an epoch"] == ["4.2 s", "4.2 s"]
    assert rows["TFLite file"] == ["398 kB", "398 kB"]
    assert rows["Latency a clip"] == ["1.92 ms", "1.92 ms"]
    assert rows["keras"] == ["3.15.1"]


def test_the_page_of_streams_shows_each_operating_point() -> None:
    made = detection_report()
    root = ElementTree.fromstring(streams_page([made]))

    rows = {"".join(row[0].itertext()): ["".join(column.itertext()) for column in row[1:]] for row in root.iter("tr")}

    own = made.default
    assert own.miss is not None
    assert own.delay_median_s is not None
    assert rows["own threshold"][:2] == [f"{own.threshold:.4g}", f"{100 * own.miss:.1f} %"]
    assert rows["own threshold"][3] == f"{own.per_hour:.2f}"
    assert rows["own threshold"][5] == f"{own.delay_median_s:.2f} s"
    one = made.at_false_alarms(1.0)
    assert one is not None
    assert rows["≤ 1 false/h"][0] == f"{one.threshold:.4g}"
    assert rows["≤ 5 % misses"] == ["no threshold gets there"]
    assert rows["another language"] == ["3"]
    assert rows["0 to 5 dB"][:2] == ["2", "50.0 %"]
    assert made.suggestion in "".join(root.itertext())
    assert (
        "synthetic"
        not in "".join(ElementTree.fromstring(streams_page([detection_report(synthetic=False)])).itertext()).lower()
    )


def test_the_page_of_a_word_shows_each_layer_of_each_model_and_every_signal_in_numbers() -> None:
    traces = [word_trace("lstm", synthetic=True), word_trace("gru", layers=1)]

    root = ElementTree.fromstring(inside_page(traces, "yes.wav", command="speech-rnn inspect", versions={}))

    captions = ["".join(caption.itertext()) for caption in root.iter("figcaption")]
    assert [caption.partition(".")[0] for caption in captions] == [
        "lstm-2, sound, scores, states",
        "gru-2, sound, scores, states",
        *("lstm-2, all units together", "gru-2, all units together"),
        *("lstm-2, unit by unit", "gru-2, unit by unit"),
        *("lstm-2, all units together", "lstm-2, unit by unit"),
    ]
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert ["lstm-2", "LSTM", "2 × 20", "30 ms", "synthetic speech", "no", "80.0 %", "0.51 s"] in rows
    assert ["gru-2", "GRU", "1 × 20", "30 ms", "recordings", "no", "80.0 %", "0.51 s"] in rows
    forget = traces[0].layers[1].signals["forget"]
    low, high = np.quantile(forget, [0.1, 0.9])
    shut, opened = 100 * (forget < 0.1).mean(), 100 * (forget > 0.9).mean()
    shown = [f"{forget.mean():.2f}", f"{low:.2f}", f"{high:.2f}", f"{shut:.1f} %", f"{opened:.1f} %"]
    assert ["2", "forget", *shown] in rows
    assert len([row for row in rows if row[0] in ("1", "2")]) == 2 * 6 + 4


@pytest.mark.parametrize(
    ("file_s", "says"), [(0.6, "silence was put before and behind it"), (1.0, ""), (2.0, "heard as one sequence")]
)
def test_the_page_of_a_word_says_what_was_done_with_its_length(file_s: float, says: str) -> None:
    trace = word_trace("rnn", layers=1, seconds=max(file_s, 1.0), file_s=file_s)

    text = Elements(inside_page([trace], "yes.wav", command="speech-rnn inspect")).text

    assert f"yes.wav, {file_s:.2f} s" in text
    assert says in text
    assert ("of a clip" in text) == bool(says)


def test_one_run_of_each_cell_crowns_none() -> None:
    results = [cell("LSTM", evaluation()), cell("GRU", evaluation(skill=0.5))]

    page = demo_page(results, sample(), command="speech-rnn demo", versions={})

    assert "does not tell which cell hears better" in page


def test_the_sample_can_be_heard() -> None:
    given = sample()

    (url,) = re.findall(r"data:audio/wav;base64,([^\"]+)", page_of("demo"))

    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(url)), dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(heard, given.samples, atol=2e-5)


def test_loud_samples_are_cut_and_not_wrapped() -> None:
    url = report._wav_url(np.array([1.5, -1.5], np.float32), 8_000)

    heard, _ = soundfile.read(io.BytesIO(base64.b64decode(url.partition(",")[2])), dtype="int16")

    assert heard.tolist() == [32_767, -32_768]


def test_an_evaluation_without_speakers_has_no_chapter_on_them() -> None:
    alone = evaluate(np.eye(2), [0, 1], ["yes", "no"], ["", ""], data="d", synthetic=False, command="c")

    page = evaluation_page(alone)

    assert "Speaker by speaker" not in page
    assert "Commonest mistakes" not in page


def test_same_results_same_page() -> None:
    assert page_of("demo") == demo()
