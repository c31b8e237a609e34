from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from speech_rnn.charts import SERIES, Chart
from speech_rnn.comparison.report.curve_pictures import lines, share_range
from speech_rnn.comparison.report.curves import Curve, Curves, Panel, Point

SVG = "{http://www.w3.org/2000/svg}"


def curve(cell: str, values: list[float], *, chosen: float | None = None, band: bool = True) -> Curve:
    points = tuple(
        Point(x=float(x), value=value, low=value - 0.02 if band else None, high=value + 0.02 if band else None)
        for x, value in enumerate(values, 1)
    )
    return Curve(cell=cell, units=8, points=points, chosen=chosen)


def picture(*curves: Curve, **others: Any) -> Curves:
    panels = (Panel(name="", curves=curves),)
    return Curves(
        **{"key": "k", "title": "Title", "text": "", "x": "epoch", "y": "accuracy", "panels": panels, **others}
    )


def texts(chart: Chart) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(chart.svg).iter(f"{SVG}text")]


def test_each_line_is_named_has_a_band_and_is_told_point_by_point() -> None:
    chart = lines(picture(curve("lstm", [0.5, 0.9]), curve("gru", [0.6, 0.95])))

    assert {"LSTM", "GRU", "epoch", "accuracy"} <= set(texts(chart))
    assert chart.alt == "Title: accuracy by epoch. LSTM: 50.0 % at 1, 90.0 % at 2. GRU: 60.0 % at 1, 95.0 % at 2."
    assert len(re.findall("fill-opacity: 0.15", chart.svg)) == 2
    assert "fill-opacity: 0.15" not in lines(picture(curve("lstm", [0.5, 0.9], band=False))).svg


def test_long_lines_are_told_by_their_ends_and_their_highest_point() -> None:
    values = [*np.linspace(0.5, 0.9, 29).tolist(), 0.85]

    chart = lines(picture(curve("gru", values)))

    assert chart.alt.endswith("GRU: 30 points from 50.0 % at 1 to 85.0 % at 30, highest 90.0 % at 29.")


def test_the_chosen_one_has_a_ring_and_is_said() -> None:
    plain, ringed = (lines(picture(curve("gru", [0.5, 0.9, 0.8], chosen=chosen))) for chosen in (None, 2.0))

    assert "2 was chosen" in ringed.alt
    assert len(re.findall(SERIES[1], ringed.svg)) > len(re.findall(SERIES[1], plain.svg))


def test_clips_as_recorded_stand_apart_at_the_right() -> None:
    of = Curve(
        cell="gru",
        units=8,
        points=(*curve("gru", [0.5, 0.7]).points, Point(x=None, value=0.9, low=0.85, high=0.95)),
    )

    chart = lines(picture(of))

    assert "90.0 % as recorded" in chart.alt
    assert {"as", "recorded"} <= {word for text in texts(chart) for word in text.split()}


def test_panels_have_their_names_and_a_second_scale_its_own() -> None:
    panels = tuple(Panel(name=name, curves=(curve("gru", [0.5, 0.9]),)) for name in ("silence", "noise"))

    chart = lines(picture(panels=panels, also_x=("thousand clips heard", 4.8), guess=0.25))

    assert {"accuracy: silence", "noise", "thousand clips heard"} <= set(texts(chart))
    assert "noise: GRU: 50.0 % at 1" in chart.alt


def test_powers_of_ten_are_written_as_such() -> None:
    values = [1.0, 1e-3, 1e-6]

    chart = lines(picture(curve("rnn", values, band=False), quantity="number", log_y=True))

    assert "10⁻⁶" in texts(chart)
    assert "1e-06 at 3" in chart.alt


def test_the_axis_holds_all_intervals_but_what_may_be_left_out() -> None:
    one = picture(curve("gru", [0.1, 0.8, 0.9]))

    low, high = share_range([one])
    later, _ = share_range([one.changed(out_of_range=1)])

    assert low < 0.1 - 0.02
    assert 0.92 < high <= 1.0 + 0.05
    assert 0.7 < later < 0.78
