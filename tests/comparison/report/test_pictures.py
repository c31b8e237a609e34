from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from speech_rnn.charts import MARKERS, MUTED, SERIES, Chart
from speech_rnn.comparison.report.curves import Point
from speech_rnn.comparison.report.fronts import Front, Priced
from speech_rnn.comparison.report.looks import looks
from speech_rnn.comparison.report.pictures import DotRow, PairRow, dots, forest, front

SVG = "{http://www.w3.org/2000/svg}"


def texts(chart: Chart) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(chart.svg).iter(f"{SVG}text")]


def point(value: float, half: float | None = 0.01) -> Point:
    return Point(x=None, value=value, low=half and value - half, high=half and value + half)


def priced(cell: str, cost: float, accuracy: float, *, on_front: bool = True) -> Priced:
    low, high = accuracy - 0.01, accuracy + 0.01
    return Priced(cell=cell, units=8, cost=cost, accuracy=accuracy, low=low, high=high, on_front=on_front)


def test_a_cell_looks_the_same_whichever_others_there_are() -> None:
    assert looks(["gru"])["gru"] == looks(["lstm", "gru", "rnn"])["gru"] == (SERIES[1], MARKERS[1])
    found = looks(["mamba", "gru", "rnn", "lstm"])
    assert len({found[cell] for cell in ("mamba", "gru", "rnn", "lstm")}) == 4


def test_dots_name_their_rows_and_say_value_and_interval() -> None:
    rows = [DotRow("_unknown_", {"lstm": point(0.9), "gru": point(0.95)}), DotRow("yes", {"lstm": point(0.8)})]

    chart = dots(rows, title="accuracy by label")

    assert chart.alt == (
        "accuracy by label. _unknown_: LSTM 90.0 % (89.0 to 91.0), GRU 95.0 % (94.0 to 96.0); "
        "yes: LSTM 80.0 % (79.0 to 81.0)."
    )
    assert {"_unknown_", "yes", "LSTM", "GRU"} <= set(texts(chart))


def test_each_dot_has_a_line_as_long_as_its_interval() -> None:
    def lengths(half: float | None) -> list[float]:
        chart = dots([DotRow("yes", {"lstm": point(0.8, half)})], title="t", x_range=(0.5, 1.0))
        lines = re.findall(rf'd="M ([\d.]+) ([\d.]+)\s+L ([\d.]+) \2\s*"[^>]*stroke: {SERIES[0]}', chart.svg)
        return [float(end) - float(begin) for begin, _, end in lines]

    assert lengths(None) == []
    (narrow,), (wide,) = lengths(0.05), lengths(0.1)
    assert wide == pytest.approx(2 * narrow, rel=1e-3)


def test_a_difference_is_in_the_colour_of_the_better_cell_and_grey_where_that_is_undecided() -> None:
    def drawn(better: str | None) -> Chart:
        return forest([PairRow("LSTM − GRU", "lstm", "gru", point(-0.02), better)], title="differences")

    decided, undecided = drawn("gru"), drawn(None)

    assert SERIES[1] in decided.svg
    assert not set(SERIES) & set(re.findall("#[0-9a-f]{6}", undecided.svg))
    assert MUTED in undecided.svg
    assert decided.alt == "differences. LSTM − GRU −2.0 points (−3.0 to −1.0), GRU better."
    assert undecided.alt.endswith("undecided.")


def test_what_a_cheaper_size_beats_is_hollow_and_said_to_be() -> None:
    points = (priced("lstm", 1_000, 0.9), priced("lstm", 2_000, 0.89, on_front=False), priced("gru", 1_500, 0.92))

    chart = front(Front(key="k", title="Accuracy by size", text="", x="int8 bytes", y="accuracy", points=points))

    assert "90.0 % at 1 k with 8 units, 89.0 % at 2 k with 8 units (beaten by a cheaper one)" in chart.alt
    assert {"LSTM", "GRU", "int8 bytes", "1 k", "2 k"} <= set(texts(chart))
    hollow = re.findall(r"fill-opacity: 0; stroke: (#[0-9a-f]{6})", chart.svg)
    assert hollow == [SERIES[0]]


def test_names_at_the_ends_of_lines_that_meet_stay_apart() -> None:
    points = tuple(priced(cell, 1_000, 0.9) for cell in ("lstm", "gru", "rnn"))

    chart = front(Front(key="k", title="t", text="", x="bytes", y="accuracy", points=points))

    heights = sorted(
        float(text.get("y") or re.findall(r"translate\([\d.]+ ([\d.]+)\)", text.get("transform", ""))[0])
        for text in ElementTree.fromstring(chart.svg).iter(f"{SVG}text")
        if "".join(text.itertext()) in {"LSTM", "GRU", "RNN"}
    )
    assert min(b - a for a, b in pairwise(heights)) > 10  # of 9.5 points each
