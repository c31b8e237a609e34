from __future__ import annotations

import functools
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from speech_rnn import detection_charts
from speech_rnn.charts import DARK, Chart
from speech_rnn.detection_charts import by_threshold, misses_against_false_alarms, misses_by_label, series_names
from tests.results import detection_report
from tests.test_charts import HOSTILE

DRAWN: dict[str, Callable[..., Chart]] = {
    "curve": misses_against_false_alarms,
    "thresholds": by_threshold,
    "labels": misses_by_label,
}


@functools.cache
def drawn(name: str) -> Chart:
    return DRAWN[name](
        [detection_report(HOSTILE, model=f"model {HOSTILE[-1]}", mode=mode) for mode in ("window", "carry")]
    )


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(chart.svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_one_element_with_words_for_those_who_do_not_see_it(name: str) -> None:
    root = ElementTree.fromstring(drawn(name).svg)

    assert root.get("role") == "img"
    assert root.get("aria-label") == drawn(name).alt
    assert len(drawn(name).alt) > 60
    assert {"window", "carry"} <= set(texts(drawn(name)))


@pytest.mark.parametrize("name", DRAWN)
def test_every_colour_has_one_for_the_dark(name: str) -> None:
    known = {*DARK, "none"}

    styles = [element.get("style") or "" for element in ElementTree.fromstring(drawn(name).svg).iter()]

    used = {
        part.partition(": ")[2]
        for style in styles
        for part in style.split("; ")
        if part.startswith(("fill: ", "stroke: "))
    }
    assert used
    assert used <= known


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_has_happened_is_drawn_too(name: str) -> None:
    quiet = detection_report(false_alarms=0)

    DRAWN[name]([quiet])
    DRAWN[name]([detection_report(words=1)])
    DRAWN[name]([quiet.model_copy(update={"default": detection_report(words=0).default})])


def test_labels_are_text_and_the_most_missed_is_on_top() -> None:
    shown = texts(drawn("labels"))

    assert "$x^2$" in shown
    assert "_silence_" in shown
    assert "<script>alert(1)</script>"[:23] + "…" in shown
    made = detection_report(("a", "b"))
    worse = made.labels[1].model_copy(update={"miss": 0.9})
    shown = texts(misses_by_label([made.model_copy(update={"labels": (made.labels[0], worse)})]))
    assert shown.index("b") < shown.index("a") or [text for text in shown if text in "ab"] == ["b", "a"]


def test_the_words_give_the_misses_at_one_false_alarm_an_hour() -> None:
    made = detection_report()
    point = made.at_false_alarms(1.0)

    assert point is not None
    assert point.miss is not None
    assert f"{100 * point.miss:.1f} % missed at 1," in misses_against_false_alarms([made]).alt


def test_a_line_is_named_by_what_tells_it_from_the_others() -> None:
    window, carry = detection_report(), detection_report(mode="carry")
    other = detection_report(model="model LSTM")

    assert series_names([window, carry]) == ["window", "carry"]
    assert series_names([window, other]) == ["GRU", "LSTM"]
    assert series_names([window, carry, other]) == ["GRU, window", "GRU, carry", "LSTM, window"]
    assert detection_charts.series_names([window]) == ["window"]
