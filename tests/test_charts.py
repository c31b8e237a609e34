from __future__ import annotations

import functools
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_rnn import charts
from speech_rnn.charts import DARK, GRID, INK, MUTED, SERIES, Chart, LearningCurve
from speech_rnn.config import FeatureSettings
from speech_rnn.evaluation import Evaluation, evaluate
from speech_rnn.text import plain

HOSTILE = (
    "<script>alert(1)</script>",
    "</text></svg>",
    '" onload="x',
    "$x^2$",
    "_silence_",
    "نعم",
    "はい",
    "a\x00b\u202e\ud800",
)


def evaluation(labels: Sequence[str], n: int = 300) -> Evaluation:
    rng = np.random.default_rng(len(labels))
    targets = rng.integers(0, len(labels), n)
    logits = rng.normal(size=(n, len(labels))) + 3 * np.eye(len(labels))[targets]
    speakers = [f"s{number}" for number in rng.integers(0, 40, n)]
    return evaluate(logits, targets, labels, speakers, data="made up", synthetic=True, command="pytest")


def curve(name: str, accuracy: Sequence[float] = (0.4, 0.9, 0.8)) -> LearningCurve:
    n = len(accuracy)
    return LearningCurve(name, [3.0 * (i + 1) for i in range(n)], [1.0] * n, [1.2] * n, accuracy)


def log_mel() -> np.ndarray:
    return np.random.default_rng(0).normal(-40, 10, (97, 40)).astype(np.float32)


DRAWN: dict[str, Callable[[], Chart]] = {
    "accuracy": lambda: charts.learning_curves([curve("LSTM"), curve("GRU")]),
    "loss": lambda: charts.learning_curves([curve("LSTM"), curve("GRU")], quantity="loss", over="seconds"),
    "confusion": lambda: charts.confusion_matrix(evaluation(HOSTILE)),
    "labels": lambda: charts.label_figures(evaluation(HOSTILE)),
    "speakers": lambda: charts.speaker_spread(evaluation(HOSTILE)),
    "spectrogram": lambda: charts.spectrogram(log_mel(), FeatureSettings()),
    "mfcc": lambda: charts.mfcc(log_mel(), FeatureSettings()),
    "scores": lambda: charts.score_bars(HOSTILE, {"<b>": np.arange(8) / 28, "_gru": np.full(8, 0.125)}),
}


@functools.cache
def drawn(name: str) -> Chart:
    return DRAWN[name]()


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(chart.svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_one_clean_svg_element(name: str) -> None:
    chart = drawn(name)

    root = ElementTree.fromstring(chart.svg)

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == chart.alt
    assert len(chart.alt) > 30
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "g", "defs", "path", "clipPath", "rect", "use", "text", "image"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not [attribute for attribute in attributes if attribute.startswith("on")]
    assert chart.svg.count("http") == 1


@pytest.mark.parametrize("name", DRAWN)
def test_every_reference_is_to_the_figure_itself(name: str) -> None:
    root = ElementTree.fromstring(drawn(name).svg)

    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    targets = [
        target
        for element in root.iter()
        for attribute, value in element.items()
        if attribute != "aria-label"
        for target in re.findall(r"url\((.*?)\)", value) + ([value] if attribute == "href" else [])
    ]

    assert len(ids) == len(set(ids))
    assert all(target.startswith("data:image/png;base64,") or target.removeprefix("#") in ids for target in targets)


@pytest.mark.parametrize("name", DRAWN)
def test_same_data_same_text(name: str) -> None:
    assert drawn(name).svg == DRAWN[name]().svg


@pytest.mark.parametrize("name", DRAWN)
def test_every_colour_has_one_for_the_dark(name: str) -> None:
    styles = re.findall(r'style="([^"]*)"', drawn(name).svg)

    colours = {colour for style in styles for colour in re.findall(r"#[0-9a-f]{3,6}\b", style)}

    assert colours <= {*DARK, "#ffffff"}


def test_two_figures_in_a_page_share_no_id() -> None:
    first, second = (set(re.findall(r' id="(.*?)"', drawn(name).svg)) for name in ("accuracy", "loss"))

    assert first
    assert not first & second


@pytest.mark.parametrize("name", ["confusion", "labels", "scores"])
def test_labels_are_text_and_nothing_else(name: str) -> None:
    shown = texts(drawn(name))

    assert "_silence_" in shown
    assert "$x^2$" in shown
    assert "نعم" in shown
    assert "はい" in shown
    assert "a\ufffdb\ufffd\ufffd" in shown
    assert any(text.startswith("<script>") for text in shown)


def test_a_run_may_have_a_name_that_matplotlib_would_drop() -> None:
    shown = texts(charts.learning_curves([curve("_gru"), curve("$\\frac{1}{2}$")]))

    assert {"_gru", "$\\frac{1}{2}$"} <= set(shown)


@settings(max_examples=15)
@given(st.lists(st.text(st.characters(), max_size=40), min_size=2, max_size=4, unique=True))
def test_any_text_is_a_label(labels: list[str]) -> None:
    chart = charts.score_bars(labels, {"model": np.linspace(1, 0, len(labels))})

    assert {plain(label) for label in labels if label.strip()} <= set(texts(chart)) | {""}


@pytest.mark.parametrize("n", [2, 12, 35, 40])
def test_a_confusion_matrix_shows_every_count_and_label_in_letters_one_can_read(n: int) -> None:
    labels = [f"word{number}" for number in range(n)]
    result = evaluation(labels, 1_200)

    chart = charts.confusion_matrix(result)

    shown = texts(chart)
    counts = [str(count) for row in result.confusion for count in row if count]
    assert sorted(text for text in shown if text.isdecimal()) == sorted(counts)
    assert all(shown.count(label) == 2 for label in labels)
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", chart.svg)]
    assert min(sizes) >= 7.5
    assert chart.width >= 21 * n or n < 20


def test_the_words_for_a_figure_carry_its_numbers() -> None:
    assert "GRU: 3 epochs, from 40.0 % to 80.0 %, best 90.0 % in epoch 2." in drawn("accuracy").alt
    assert "LSTM: 3 epochs, from 1.200 to 1.200, best 1.200 after 3 s." in drawn("loss").alt
    assert "_gru hears" in drawn("scores").alt


def test_words_for_speakers_count_those_whom_chance_does_not_explain() -> None:
    speakers = ["good"] * 60 + ["bad"] * 20
    logits = np.array([[1.0, 0.0]] * 60 + [[0.0, 1.0]] * 20)
    result = evaluate(
        logits, np.zeros(80, int), ["yes", "no"], speakers, data="made up", synthetic=True, command="pytest"
    )

    alt = charts.speaker_spread(result).alt

    assert "Accuracy of 2 speakers" in alt
    assert "at 75.0 %. 1 speaker lies below it" in alt


def test_speakers_may_all_be_unknown() -> None:
    result = evaluate(np.eye(2), [0, 1], ["yes", "no"], ["", ""], data="made up", synthetic=True, command="pytest")

    assert "no speaker is known" in charts.speaker_spread(result).alt


def test_a_run_that_diverged_is_drawn_as_far_as_it_went() -> None:
    chart = charts.learning_curves([curve("LSTM", [0.1, math.nan]), curve("GRU", [math.nan])])

    assert "best 10.0 % in epoch 1" in chart.alt
    assert "GRU: no values" in chart.alt


def test_a_silent_clip_is_drawn() -> None:
    still = np.full((97, 40), -80.0, np.float32)

    assert "-80 to -80 dB" in charts.spectrogram(still, FeatureSettings()).alt
    assert charts.mfcc(still, FeatureSettings()).svg


def test_the_spectrogram_names_the_frequencies_of_its_bands() -> None:
    narrow = FeatureSettings(f_max=4_000.0)

    assert {"500", "1,000", "2,000"} <= set(texts(charts.spectrogram(log_mel(), narrow)))
    assert "4,000" not in texts(charts.spectrogram(log_mel(), narrow))
    assert "4,000" in texts(charts.spectrogram(log_mel(), FeatureSettings()))


def test_drawing_leaves_matplotlibs_settings_as_they_were() -> None:
    before = dict(mpl.rcParams)

    DRAWN["scores"]()

    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_loaded() -> None:
    code = "import sys, speech_rnn.charts; print('matplotlib.pyplot' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def relative_luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((relative_luminance(one), relative_luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("colour", "least"), [(INK, 7.0), (MUTED, 4.5), *((colour, 3.0) for colour in SERIES[:3])])
def test_colours_stand_out_from_light_and_dark_ground_as_wcag_wants(colour: str, least: float) -> None:
    assert contrast(colour, "#ffffff") >= least
    assert contrast(DARK[colour], "#0d1117") >= least
    assert GRID in DARK
