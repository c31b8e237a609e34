from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from speech_rnn.charts import DARK, SERIES, Chart
from speech_rnn.gate_charts import highest_norms, likeliest_labels, signals_by_time, units_by_time, word_and_scores
from speech_rnn.gates import LayerTrace
from tests.results import HOSTILE, SIGNALS, word_trace

HIGHEST = {"h": 4.0, "c": 9.0}
DRAWN: dict[str, Callable[[str], Chart]] = {
    "scores": lambda cell: word_and_scores(word_trace(cell, HOSTILE), HOSTILE[-4:], until_s=1.0, highest=HIGHEST),
    "signals": lambda cell: signals_by_time(word_trace(cell), 2, until_s=1.0),
    "units": lambda cell: units_by_time(word_trace(cell), 2, until_s=1.0),
}
CASES = [(name, cell) for name in DRAWN for cell in SIGNALS]


@functools.cache
def drawn(name: str, cell: str) -> Chart:
    return DRAWN[name](cell)


def elements(chart: Chart, tag: str) -> list[ElementTree.Element]:
    return [element for element in ElementTree.fromstring(chart.svg).iter() if element.tag.endswith(f"}}{tag}")]


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in elements(chart, "text")]


def colour_of(chart: Chart, label: str) -> str:
    """The colour of the line before a label in a key."""
    before, _, _ = chart.svg.partition(f">{label}<")
    return str(re.findall(r"stroke: (#[0-9a-f]{6})", before)[-1])


@pytest.mark.parametrize(("name", "cell"), CASES)
def test_a_figure_is_one_clean_svg_element_with_words_and_colours_for_the_dark(name: str, cell: str) -> None:
    chart = drawn(name, cell)

    root = ElementTree.fromstring(chart.svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == chart.alt
    assert len(chart.alt) > 60
    assert chart.svg.count("http") == 1
    styles = re.findall(r'style="([^"]*)"', chart.svg)
    assert {colour for style in styles for colour in re.findall(r"#[0-9a-f]{3,6}\b", style)} <= {*DARK, "#ffffff"}
    assert chart.svg == DRAWN[name](cell).svg


@pytest.mark.parametrize("cell", SIGNALS)
def test_every_signal_has_its_picture(cell: str) -> None:
    titles = {"h": "state h", "c": "state c", "candidate": "candidate"}
    expected = [titles.get(name, f"{name} gate") for name in SIGNALS[cell]]

    assert [text for text in texts(drawn("signals", cell)) if text in expected] == expected
    assert [text for text in texts(drawn("units", cell)) if text.endswith(", 20 units")] == [
        f"{title}, 20 units" for title in expected
    ]


def test_time_begins_and_ends_at_the_same_place_in_every_picture() -> None:
    spans = []
    for name, cell in CASES:
        for image in elements(drawn(name, cell), "image"):
            scale, *_, begin, _ = map(float, re.findall(r"[-\d.]+", image.attrib["transform"]))
            columns = int(image.attrib["width"])
            if columns > 1:  # what says what the colours mean has one
                spans.append((begin, begin + scale * columns))

    begins, ends = np.array(spans).T
    assert np.ptp(begins) < 0.01
    assert np.ptp(ends) < 3.0  # the last frame doesn't fill a step


def test_units_are_sorted_by_their_mean_the_highest_on_top() -> None:
    rising = np.tile(np.array([0.9, 0.1, 0.5]), (32, 1))
    sorted_already = np.sort(rising, axis=1)

    def picture(h: np.ndarray) -> str:
        trace = replace(word_trace(), layers=(LayerTrace({"h": h}),))
        return elements(units_by_time(trace, 1, until_s=1.0), "image")[0].attrib["href"]

    assert picture(rising) == picture(sorted_already)
    assert picture(rising) != picture(rising[:, :1])


def test_labels_are_text_and_those_that_never_score_are_left_out() -> None:
    traces = [word_trace("lstm", HOSTILE), word_trace("gru", (*HOSTILE[1:], "_silence_"))]

    labels = likeliest_labels(traces)

    assert set(labels) == {HOSTILE[0], HOSTILE[1], HOSTILE[-1], "_silence_"}
    chart = word_and_scores(traces[1], labels, until_s=1.0, highest=HIGHEST)
    assert {"_silence_", "</title>…", "a��b"} <= set(texts(chart))
    assert "<script>…" not in texts(chart)


def test_a_label_has_the_same_colour_in_two_models() -> None:
    traces = [word_trace("lstm", ("yes", "no", "go")), word_trace("gru", ("go", "up", "yes"))]
    labels = likeliest_labels(traces)

    charts = [word_and_scores(trace, labels, until_s=1.0, highest=HIGHEST) for trace in traces]

    first, second = (colour_of(chart, "yes") for chart in charts)
    assert first == second == SERIES[labels.index("yes")]


def test_the_words_for_a_figure_carry_its_numbers() -> None:
    trace = word_trace("lstm")
    layer = trace.layers[1]
    forget = layer.signals["forget"].mean(axis=1)

    alt = word_and_scores(trace, ["no"], until_s=1.0, highest=HIGHEST).alt
    assert "no is the likeliest from 0.51 s on and ends at 80.0 %" in alt
    assert f"c of layer 2 {np.linalg.norm(layer.signals['c'][-1]):.1f}" in alt
    assert f"forget gate {forget.mean():.2f} on average, from {forget.min():.2f}" in drawn("signals", "lstm").alt


def test_the_norms_of_all_models_share_an_axis() -> None:
    traces = [word_trace("lstm"), word_trace("rnn", layers=1)]

    highest = highest_norms(traces)

    assert highest["c"] == max(layer.norm("c").max() for layer in traces[0].layers)
    assert highest["h"] == max(layer.norm("h").max() for trace in traces for layer in trace.layers)
    assert highest_norms(traces[1:])["h"] == traces[1].layers[0].norm("h").max()


def test_silence_is_drawn() -> None:
    trace = word_trace()
    still = replace(trace, log_mel=np.full_like(trace.log_mel, -80.0))

    assert "-80 to -80 dB" in word_and_scores(still, ["no"], until_s=1.0, highest=HIGHEST).alt
