"""Pages as a browser shows them. Skipped where there is no chromium."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from speech_rnn.comparison.report.page import comparison_page
from speech_rnn.comparison.summary import summarize
from speech_rnn.report import evaluation_page, inside_page, streams_page
from tests.comparison.planted_whole import claims, outcomes, whole_results
from tests.results import demo, detection_report, evaluation, word_trace

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed; apt-get install chromium")


@functools.cache
def comparison() -> str:
    results = whole_results(n=200, epochs=12)
    return comparison_page(results, summarize(results, resamples=50), claims=claims(), outcomes=outcomes())


PAGES: dict[str, Callable[[], str]] = {
    "demo": demo,
    "evaluation": lambda: evaluation_page(evaluation()),
    "streams": lambda: streams_page([detection_report()]),
    "comparison": comparison,
    "inside": lambda: inside_page([word_trace("lstm"), word_trace("gru")], "yes.wav", command="speech-rnn inspect"),
}
LEAKY = '<!DOCTYPE html><html lang="en"><body><img src="http://127.0.0.1:9/x.png" alt=""></body></html>'


def browse(page: Path, *options: str) -> str:
    """The page's document after loading, from a browser that finds no host but this machine."""
    assert BROWSER is not None
    # It looks for updates, time and accounts by itself, whatever it is told; so no name resolves.
    flags = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--virtual-time-budget=2000"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={page.parent / 'profile'}"),
    )
    done = subprocess.run(
        [BROWSER, *flags, *options, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def requests_of_page(content: str, folder: Path) -> list[str]:
    """Addresses that a page asked the network for."""
    page, log = folder / "page.html", folder / "net.json"
    page.write_text(content, encoding="utf-8")
    browse(page, f"--log-net-log={log}")
    recorded = json.loads(log.read_text())
    start = recorded["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [
        event["params"] for event in recorded["events"] if event["type"] == start and "url" in event.get("params", {})
    ]
    # The browser's own requests come from no page: their initiator is "not an origin".
    return [params["url"] for params in asked if params["initiator"] != "not an origin"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_the_network_for_nothing(name: str, tmp_path: Path) -> None:
    assert requests_of_page(PAGES[name](), tmp_path) == []


def test_a_page_that_asks_the_network_would_be_seen(tmp_path: Path) -> None:
    assert requests_of_page(LEAKY, tmp_path) == ["http://127.0.0.1:9/x.png"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone_and_a_screen_and_shows_its_figures(name: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGES[name](), encoding="utf-8")
    look = (
        "const page = this.contentDocument, root = page.documentElement;"
        "const seen = [...page.querySelectorAll('svg')].map(svg => Math.round(svg.getBoundingClientRect().width));"
        "found[this.width] = {room: root.clientWidth, needed: root.scrollWidth, seen: seen};"
        "document.title = JSON.stringify(found)"
    )
    frames = [
        f'<iframe src="page.html" width="{width}" height="800" onload="{look}"></iframe>' for width in (360, 1200)
    ]
    window = tmp_path / "window.html"
    window.write_text(f"<script>const found = {{}}</script>{''.join(frames)}")

    document = browse(window, "--allow-file-access-from-files", "--window-size=1300,1800")

    title = re.search(r"<title>(.*?)</title>", document)
    assert title is not None
    found = json.loads(title[1])
    assert set(found) == {"360", "1200"}
    for width, page in found.items():
        assert page["needed"] <= page["room"]
        assert min(page["seen"]) >= 0.8 * min(int(width), 500)
