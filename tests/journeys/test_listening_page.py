"""The page that listens, in a browser: by a double-click and over http, with a microphone and with files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import playwright.sync_api
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

import speech_rnn
from speech_rnn.card import Card
from speech_rnn.cli.export import command as export_command
from speech_rnn.cli.web import command
from speech_rnn.runtime import shipped_models
from tests.browser import FLOATS, INSECURE_HOST, as_base64, browser, microphone, needs_chromium, requests_in, served
from tests.forked import forked_converter
from tests.spoken import RATE, spoken
from tests.tflite_models import expected_stream_scores, make_stream_weights, write_model

pytestmark = [needs_chromium, pytest.mark.slow]

LEAD_S = 3.0  # until the browser hears its microphone
WORDS = ("yes", "no", "down", "left", "right", "go")
READY = "body.ready"
SOON = 120_000  # ms; on a busy machine


@pytest.fixture(scope="module")
def model() -> str:
    """A shipped model; what it hears in the corpus's words is known from Python."""
    names = list(shipped_models())
    if not names:
        pytest.skip("no model is shipped with this checkout, and others know no words")
    return "gru-12-small" if "gru-12-small" in names else names[0]


@pytest.fixture(scope="module")
def every_form(tmp_path_factory: pytest.TempPathFactory, model: str) -> str:
    """The same model with all its stream files; those that are shipped are compact."""
    if not Card.read(shipped_models()[model] / "card.json").compact:
        return model
    folder = tmp_path_factory.mktemp("every-form")
    arguments = [model, "-o", str(folder / model), "--data", "corpus", "--cache", str(folder / "cache")]
    with forked_converter():
        CliRunner().invoke(export_command, arguments, catch_exceptions=False)
    return str(folder / model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: str) -> Path:
    """A folder with the page of a shipped model, page.html, and words.wav."""
    folder = tmp_path_factory.mktemp("page")
    write_page(model, folder / "page.html")
    soundfile.write(folder / "words.wav", spoken(WORDS, lead_s=LEAD_S), RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a model made by hand, whose scores NumPy can tell; its card lies beside."""
    folder = tmp_path_factory.mktemp("by-hand")
    write_page(str(write_model(folder / "model")), folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.sync_api.Browser]:
    with browser() as started:
        yield started


def write_page(model: str, page: Path, *options: str) -> None:
    CliRunner().invoke(command, [model, "-o", str(page), *options], catch_exceptions=False)


@contextmanager
def opened(chromium: playwright.sync_api.Browser, address: str, **context: Any) -> Iterator[Page]:
    """The page, its model loaded; any error in its script fails the test."""
    errors: list[str] = []
    inside = chromium.new_context(**context)
    page = inside.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(address)
    page.wait_for_selector(READY, timeout=SOON)
    yield page
    inside.close()
    assert errors == []


def detections(page: Page) -> list[tuple[str, float]]:
    """Labels and seconds as they stand in the page, in the order of time."""
    rows = page.locator("#detections li:not(.heading)").all()
    found = []
    for row in reversed(rows):
        minutes, seconds = row.locator("time").inner_text().split(":")
        found.append((row.locator("bdi").inner_text(), 60 * int(minutes) + float(seconds)))
    return found


def heard_by_python(model: str, sound: Path) -> list[tuple[str, float]]:
    stream = speech_rnn.load(model).stream()
    found = stream.accept(*soundfile.read(sound, dtype="float32")) + stream.finish()
    return [(one.label, one.time) for one in found]


def raw_scores(page: Page, samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = page.evaluate(f"(text) => speechRnn.rawScores(({FLOATS})(text))", as_base64(samples))
    return np.array([row["time"] for row in rows]), np.array([row["scores"] for row in rows])


@pytest.mark.parametrize("way", ["file", "http"])
def test_words_of_a_file_and_of_a_microphone_are_detected_and_nothing_is_asked_of_the_network(
    way: str, folder: Path, model: str, tmp_path: Path
) -> None:
    sound = folder / "words.wav"
    expected = heard_by_python(model, sound)
    right = [word for word, time in expected if word == WORDS[min(int((time - LEAD_S + 0.5) / 2), len(WORDS) - 1)]]
    log = tmp_path / "net.json"

    with (
        served(folder) as (server, asked),
        browser(*microphone(sound), f"--log-net-log={log}") as chromium,
        opened(chromium, (folder / "page.html").as_uri() if way == "file" else f"{server}/page.html") as page,
    ):
        page.set_input_files("#file", sound)
        expect(page.locator("#status")).to_contain_text("detected", timeout=SOON)
        from_file = detections(page)
        page.click("#clear")
        page.click("#listen")
        expect(page.locator("#status")).to_have_text("Listening.", timeout=SOON)
        expect(page.locator("#detections").get_by_text(right[-1], exact=True).first).to_be_visible(timeout=SOON)
        from_microphone = detections(page)
        page.click("#listen")
        expect(page.locator("#status")).to_have_text("Stopped.")

    assert [word for word, _ in from_file] == [word for word, _ in expected]
    # In the page stand whole tenths.
    np.testing.assert_allclose([time for _, time in from_file], [time for _, time in expected], atol=0.1)
    # What comes by the microphone was 44,100 Hz in between: the same words, but not the same scores.
    assert len(right) >= 4
    assert set(right) <= {word for word, _ in from_microphone}
    assert requests_in(log) == []
    assert asked == ([] if way == "file" else ["/page.html"])


def test_a_page_that_asks_the_network_would_be_seen_and_the_policy_forbids_it(by_hand: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"

    with browser(f"--log-net-log={log}") as chromium:
        page = chromium.new_page()
        page.goto("about:blank")
        page.evaluate("fetch('http://127.0.0.1:9/blank').catch(() => {})")
        page.goto(by_hand.as_uri())
        refused = page.evaluate("fetch('http://127.0.0.1:9/page').then(() => 'sent', (error) => error.name)")
        page.evaluate("() => { new Image().src = 'http://127.0.0.1:9/image'; }")
        page.evaluate("navigator.sendBeacon('http://127.0.0.1:9/beacon', 'heard')")

    assert refused == "TypeError"
    assert requests_in(log) == ["http://127.0.0.1:9/blank"]


def test_scores_are_those_of_numpy_for_a_model_made_by_hand(
    chromium: playwright.sync_api.Browser, by_hand: Path
) -> None:
    card = Card.read(by_hand.parent / "model" / "card.json")
    samples = np.random.default_rng(1).uniform(-1, 1, 4_000).astype(np.float32)
    starts = range(0, len(samples) - card.heard_length + 1, card.step_length)
    expected = [
        expected_stream_scores(make_stream_weights(card), card, samples[start : start + card.heard_length])[-1]
        for start in starts
    ]

    with opened(chromium, by_hand.as_uri()) as page:
        interval = page.evaluate("speechRnn.settings.interval_steps")
        times, scores = raw_scores(page, samples)

    np.testing.assert_allclose(scores, expected[::interval], atol=1e-4)
    np.testing.assert_allclose(times, [(start + card.heard_length) / RATE for start in starts][::interval])


@pytest.mark.parametrize(("form", "bound"), [("float32", 1e-3), ("float16", 1e-3), ("dynamic", 2e-2), ("int8", 2e-2)])
def test_scores_are_those_of_python_in_every_form(
    form: Any, bound: float, chromium: playwright.sync_api.Browser, every_form: str, tmp_path: Path
) -> None:
    samples = spoken(WORDS[:4])
    times, scores = speech_rnn.load(every_form, form).stream().accept_scores(samples, RATE)
    write_page(every_form, tmp_path / "page.html", "--form", form)

    with opened(chromium, (tmp_path / "page.html").as_uri()) as page:
        page_times, page_scores = raw_scores(page, samples)

    assert scores.max(axis=0).max() > 0.8
    np.testing.assert_allclose(page_scores, scores, atol=bound)
    np.testing.assert_allclose(page_times, times)


def test_the_page_is_under_six_megabytes(folder: Path) -> None:
    assert (folder / "page.html").stat().st_size < 6_000_000


def test_every_tensor_that_is_made_is_freed(chromium: playwright.sync_api.Browser, by_hand: Path) -> None:
    card = Card.read(by_hand.parent / "model" / "card.json")
    samples = np.random.default_rng(1).uniform(-1, 1, 8_000).astype(np.float32)
    count = """() => {
      const { prototype } = LITERT.Tensor, free = prototype.delete;
      globalThis.freed = 0;
      prototype.delete = function () { freed += this.deleted ? 0 : 1; free.call(this); };
    }"""

    with opened(chromium, by_hand.as_uri()) as page:
        interval = page.evaluate("speechRnn.settings.interval_steps")
        page.evaluate(count)
        raw_scores(page, samples)
        freed = page.evaluate("freed")

    n_steps = (len(samples) - card.kept_length) // card.step_length
    starts = range(0, n_steps, interval)
    lane_steps = sum(min(card.n_steps, n_steps - start) for start in starts)
    # A step makes a window and frames, and in each lane scores and a state; a lane begins with a state.
    assert freed == 2 * n_steps + 2 * lane_steps + len(starts)


def test_labels_full_of_html_and_script_are_shown_as_text_and_run_nothing(
    chromium: playwright.sync_api.Browser, tmp_path: Path
) -> None:
    labels = ("</script><script>document.title='run'</script>", "<img src=x onerror=document.title='run'>", "\"'><b>x")
    detector = speech_rnn.config.DetectorConfig(threshold=0.05, smoothing_s=0.0, refractory_s=0.0)
    write_page(str(write_model(tmp_path / "model", labels=labels, detector=detector)), tmp_path / "page.html")
    sound = tmp_path / "<img src=x onerror=document.title='run'>.wav"
    soundfile.write(sound, np.random.default_rng(1).uniform(-1, 1, RATE), RATE, subtype="PCM_16")

    with opened(chromium, (tmp_path / "page.html").as_uri()) as page:
        title = page.title()
        page.set_input_files("#file", sound)
        expect(page.locator("#status")).to_contain_text("detected", timeout=SOON)

        assert page.title() == title
        assert {row.inner_text() for row in page.locator("#scores bdi").all()} == set(labels)
        found = {word for word, _ in detections(page)}
        assert found
        assert found <= set(labels)
        assert page.locator("img, #scores b, #detections b").count() == 0
        assert sound.name in page.inner_text("#status")


@pytest.mark.parametrize(
    ("way", "flags", "complaint"),
    [
        ("file", (), r"No microphone was found\. Connect one|microphone is not allowed"),
        ("file", ("--use-fake-device-for-media-stream", "--deny-permission-prompts"), r"is not allowed for this page"),
        ("insecure", (), r"Over plain http, browsers give a page no microphone"),
    ],
)
def test_a_microphone_that_cannot_be_had_is_said_and_files_are_heard_all_the_same(
    way: str, flags: tuple[str, ...], complaint: str, by_hand: Path, tmp_path: Path
) -> None:
    sound = tmp_path / "noise.wav"
    soundfile.write(sound, np.random.default_rng(1).uniform(-0.5, 0.5, RATE), RATE)

    with served(by_hand.parent) as (server, _), browser(*flags) as chromium:
        address = by_hand.as_uri() if way == "file" else f"{server.replace('127.0.0.1', INSECURE_HOST)}/page.html"
        with opened(chromium, address) as page:
            if way == "insecure":
                assert page.is_disabled("#listen")
            else:
                page.click("#listen")
            expect(page.locator("#status")).to_have_text(re.compile(complaint), timeout=SOON)
            expect(page.locator("#listen")).to_have_text("Start listening")
            page.set_input_files("#file", sound)
            expect(page.locator("#status")).to_contain_text("noise.wav, 0:01.0", timeout=SOON)


def test_a_microphone_that_goes_away_is_said_and_can_be_started_again(by_hand: Path, tmp_path: Path) -> None:
    sound = tmp_path / "silence.wav"
    soundfile.write(sound, np.zeros(RATE), RATE)
    keep = (
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (wanted) => (globalThis.given = await ask(wanted));"
    )

    with browser(*microphone(sound)) as chromium, opened(chromium, by_hand.as_uri()) as page:
        page.evaluate(f"() => {{ {keep} }}")
        page.click("#listen")
        expect(page.locator("#status")).to_have_text("Listening.", timeout=SOON)
        page.evaluate("given.getAudioTracks()[0].dispatchEvent(new Event('mute'))")
        expect(page.locator("#status")).to_contain_text("The microphone is muted")
        page.evaluate("given.getAudioTracks()[0].dispatchEvent(new Event('unmute'))")
        expect(page.locator("#status")).to_have_text("Listening.")
        page.evaluate("given.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
        expect(page.locator("#status")).to_contain_text("The microphone has gone away")
        assert page.evaluate("given.getAudioTracks()[0].readyState") == "ended"
        page.click("#listen")
        expect(page.locator("#status")).to_have_text("Listening.", timeout=SOON)


def test_what_is_no_sound_is_said_and_the_next_file_is_heard(
    chromium: playwright.sync_api.Browser, by_hand: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("not a sound")
    soundfile.write(tmp_path / "sound.wav", np.zeros(RATE // 2), RATE)

    with opened(chromium, by_hand.as_uri()) as page:
        page.set_input_files("#file", tmp_path / "text.wav")
        expect(page.locator("#status")).to_have_text(
            "text.wav is not a sound that this browser can decode; WAV, MP3, FLAC and Ogg usually are.", timeout=SOON
        )
        page.set_input_files("#file", tmp_path / "sound.wav")
        expect(page.locator("#status")).to_contain_text("sound.wav, 0:00.5", timeout=SOON)


def test_a_stereo_file_of_another_rate_is_heard_when_it_is_dropped(
    chromium: playwright.sync_api.Browser, folder: Path, model: str, tmp_path: Path
) -> None:
    import soxr

    mono = soxr.resample(spoken(WORDS[:4]), RATE, 44_100)
    soundfile.write(tmp_path / "stereo.flac", np.stack([1.2 * mono, 0.8 * mono], axis=1), 44_100)
    soundfile.write(tmp_path / "mono.wav", spoken(WORDS[:4]), RATE, subtype="PCM_16")
    content = (tmp_path / "stereo.flac").read_bytes()
    drop = """(bytes) => {
      const given = new DataTransfer();
      given.items.add(new File([Uint8Array.from(bytes)], "stereo.flac"));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
    }"""

    with opened(chromium, (folder / "page.html").as_uri()) as page:
        page.evaluate(drop, list(content))
        expect(page.locator("#status")).to_contain_text("stereo.flac, 0:08.5", timeout=SOON)
        found = detections(page)

    expected = heard_by_python(model, tmp_path / "mono.wav")
    assert [word for word, _ in found] == [word for word, _ in expected]


def test_everything_can_be_done_by_keyboard(by_hand: Path, tmp_path: Path) -> None:
    sound = tmp_path / "silence.wav"
    soundfile.write(sound, np.zeros(RATE), RATE)

    with browser(*microphone(sound)) as chromium, opened(chromium, by_hand.as_uri()) as page:
        order = []
        for _ in range(7):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert order[:3] == ["listen", "file", "clear"]
        assert {"threshold", "SUMMARY"} <= set(order)

        page.focus("#listen")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("Listening.", timeout=SOON)
        expect(page.locator("#listen")).to_have_text("Stop")
        page.keyboard.press("Space")
        expect(page.locator("#status")).to_have_text("Stopped.")

        page.focus("#threshold")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#threshold-value")).to_have_text("79 %")


def test_a_lower_threshold_detects_more(chromium: playwright.sync_api.Browser, folder: Path) -> None:
    counts = []
    with opened(chromium, (folder / "page.html").as_uri()) as page:
        for threshold in ("0.98", "0.4"):
            page.locator("#threshold").fill(threshold)
            page.set_input_files("#file", folder / "words.wav")
            expect(page.locator("#status")).to_contain_text("detected", timeout=SOON)
            counts.append(len(detections(page)))
            page.click("#clear")

    assert counts[0] < counts[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_page_fits_a_phone_and_a_screen_and_can_be_read_by_day_and_night(
    width: int, scheme: Any, chromium: playwright.sync_api.Browser, by_hand: Path
) -> None:
    with opened(chromium, by_hand.as_uri(), viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        room, needed = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
        contrasts: dict[str, float] = page.evaluate(CONTRASTS)

    assert needed <= room
    assert min(contrasts.values()) >= 4.5, contrasts


# By the formula of WCAG 2: of each text's colour and what it stands on.
CONTRASTS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(colour).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (let at = one; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour).length === 3) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const one of document.querySelectorAll("h1, h2, p, button, label, li, dd, dt, summary, output, select")) {
    if (one.textContent.trim() === "" || one.getClientRects().length === 0 || one.disabled) continue;
    if (getComputedStyle(one).opacity !== "1") continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    found[`${one.tagName} ${one.id} ${one.className}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""


def test_who_wants_no_motion_sees_none(chromium: playwright.sync_api.Browser, by_hand: Path, tmp_path: Path) -> None:
    sound = tmp_path / "noise.wav"
    soundfile.write(sound, np.random.default_rng(1).uniform(-0.5, 0.5, 20 * RATE), RATE)
    count = (
        "() => { const brush = CanvasRenderingContext2D.prototype, draw = brush.drawImage; globalThis.drawn = 0;"
        " brush.drawImage = function (...all) { drawn += 1; return draw.apply(this, all); }; }"
    )
    drawn = {}

    for motion in ("no-preference", "reduce"):
        with opened(chromium, by_hand.as_uri(), reduced_motion=motion) as page:
            page.evaluate(count)
            page.set_input_files("#file", sound)
            expect(page.locator("#status")).to_contain_text("noise.wav, 0:20.0", timeout=SOON)
            drawn[motion] = page.evaluate("drawn")
            durations = page.evaluate(
                "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
            )
            assert (set(durations) == {"0s"}) == (motion == "reduce")

    assert drawn["reduce"] * 2 < drawn["no-preference"]


def test_the_settings_in_the_page_cannot_be_changed_by_what_builds_on_it(
    chromium: playwright.sync_api.Browser, by_hand: Path
) -> None:
    with opened(chromium, by_hand.as_uri()) as page:
        labels = page.evaluate(
            "() => { try { speechRnn.settings = null; } catch {} return speechRnn.settings.labels; }"
        )

    assert labels == json.loads((by_hand.parent / "model" / "card.json").read_text())["labels"]
