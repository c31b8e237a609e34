from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import speech_rnn
from speech_rnn.config import DetectorConfig
from speech_rnn.errors import DataError
from speech_rnn.web.listening_page import _inline, listening_page, of_one_stream
from tests.tflite_models import make_card, make_stream_model, make_stream_weights, write_model

EVIL = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", '"><b>', "&lt;", "{{ 7 * 7 }}")


class Document(HTMLParser):
    """A page as a parser takes it: its elements, and the text in scripts, styles and elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.style = ""
        self.text = ""
        self._within: dict[str, str | None] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._within = dict(attrs)
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._within = None

    def handle_data(self, data: str) -> None:
        if self._within is not None:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = attributes, before + data
        elif self.cdata_elem == "style":
            self.style += data
        else:
            self.text += data

    def block(self, name: str) -> str:
        return next(text for attributes, text in self.scripts if attributes.get("id") == name)

    @property
    def policy(self) -> dict[str, list[str]]:
        content = next(a["content"] for _, a in self.elements if a.get("http-equiv") == "Content-Security-Policy")
        assert content is not None
        return {rule.split()[0]: rule.split()[1:] for rule in content.split(";")}


def make_page(folder: Path, **card: Any) -> str:
    return listening_page(speech_rnn.load(write_model(folder, **card)).stream_model)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_page(tmp_path_factory.mktemp("model") / "model")


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_the_pages_own_scripts_by_digest_and_no_request(page: str) -> None:
    document = Document(page)
    (script,) = [text for attributes, text in document.scripts if attributes.get("type") == "module"]
    litert = gzip.decompress(base64.b64decode(document.block("litert-js"))).decode()

    policy = document.policy

    assert policy["default-src"] == ["'none'"]
    assert set(policy["script-src"]) == {digest(script), digest(litert), "'wasm-unsafe-eval'", "data:"}
    assert policy["style-src"] == [digest(document.style)]
    assert policy["img-src"] == ["data:"]
    assert {"connect-src", "frame-src", "worker-src", "media-src", "font-src"}.isdisjoint(policy)
    assert policy["base-uri"] == policy["form-action"] == ["'none'"]


def test_nothing_in_the_page_points_out_of_it(page: str) -> None:
    for tag, attributes in Document(page).elements:
        for name in ("src", "href", "action", "data", "srcset", "style", "onclick", "onerror", "onload"):
            value = attributes.get(name)
            assert value is None or value == "data:,", (tag, name)


def test_only_one_script_runs_the_others_are_inert(page: str) -> None:
    kinds = [attributes.get("type") for attributes, _ in Document(page).scripts]

    assert kinds.count("module") == 1
    assert set(kinds) == {"module", "application/json", "text/plain"}


def test_the_model_lies_in_the_page_and_gives_the_same_scores_with_its_batch_fixed() -> None:
    card = make_card()
    content = make_stream_model(make_stream_weights(card), card, card.to_json())
    fixed = of_one_stream(content)

    window = np.random.default_rng(1).uniform(-1, 1, (1, card.kept_length + card.step_length)).astype(np.float32)
    frames = [
        Interpreter(model_content=one).get_signature_runner("features")(window=window) for one in (content, fixed)
    ]

    np.testing.assert_array_equal(frames[0]["frames"], frames[1]["frames"])
    root = schema.Model.GetRootAs(fixed, 0)
    open_sizes = [
        graph.Tensors(i).ShapeSignatureAsNumpy()
        for graph in (root.Subgraphs(i) for i in range(root.SubgraphsLength()))
        for i in range(graph.TensorsLength())
        if graph.Tensors(i).ShapeSignatureLength()
    ]
    assert all((sizes > 0).all() for sizes in open_sizes)
    assert len(fixed) == len(content)


def test_the_script_is_told_what_the_card_says(tmp_path: Path) -> None:
    detector = DetectorConfig(threshold=0.7, thresholds={"no": 0.9}, interval_s=0.025, refractory_s=0.5)
    card = make_card(detector=detector)

    settings = json.loads(Document(make_page(tmp_path / "model", detector=detector)).block("settings"))

    assert settings["labels"] == list(card.labels)
    assert settings["detector"]["thresholds"] == {"no": 0.9}
    assert settings["detector"]["threshold"] == 0.7
    assert (settings["step_length"], settings["kept_length"]) == (160, 352)
    assert settings["n_steps"] == 1 + (800 - 512) // 160
    assert settings["interval_steps"] == min(settings["n_steps"], round(0.025 / 0.01))
    assert settings["states"] == [5]
    assert settings["floor_db"] == pytest.approx(-80.0)


def test_labels_full_of_html_and_script_stay_text(tmp_path: Path) -> None:
    labels = (*EVIL, "yes")

    page = make_page(tmp_path / "model", labels=labels)

    document = Document(page)
    assert json.loads(document.block("settings"))["labels"] == list(labels)
    for label in labels:
        assert label in document.text
    assert "onerror" not in "".join(name for _, attributes in document.elements for name in attributes)
    plain = Document(make_page(tmp_path / "plain", labels=("a", "b", "c", "d", "e", "f")))
    assert [tag for tag, _ in document.elements] == [tag for tag, _ in plain.elements]
    assert [attributes for attributes, _ in document.scripts] == [attributes for attributes, _ in plain.scripts]


def test_the_same_model_gives_the_same_page(page: str, tmp_path: Path) -> None:
    assert make_page(tmp_path / "model") == page


def test_a_page_leaves_a_model_half_a_megabyte_and_more_below_six_megabytes(page: str) -> None:
    assert len(page.encode()) < 4_300_000


def test_the_license_of_what_is_inside_stands_in_the_page(page: str) -> None:
    text = Document(page).text

    assert "LiteRT.js 2.5.3" in text
    assert "Apache License" in text
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text


@pytest.mark.parametrize("text", ["a</script>b", "a<!-- b", "a\r\nb"])
def test_a_script_that_would_end_its_element_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="can't stand in a page's own script or style"):
        _inline(text)


def test_controls_have_names_for_those_who_do_not_see_them(page: str) -> None:
    elements = Document(page).elements
    labelled = {attributes["for"] for tag, attributes in elements if tag == "label" and "for" in attributes}

    for tag, attributes in elements:
        if tag == "input":
            assert attributes["id"] in labelled
        if attributes.get("role") in ("meter", "img") or tag == "progress":
            assert attributes.get("aria-label")
    assert ("ol", "polite") in [(tag, attributes.get("aria-live")) for tag, attributes in elements]
    assert "status" in [attributes.get("role") for _, attributes in elements]
    assert re.search(r'<html lang="en">', page)
