"""The page's modules by themselves, in a browser, against Python's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import playwright.sync_api
import pytest
import soxr
from numpy.typing import NDArray

import speech_rnn.web
from speech_rnn.config import DetectorConfig
from speech_rnn.streaming import Detector
from speech_rnn.web.bundle import bundle
from tests.browser import FLOATS, as_base64, browser, needs_chromium

pytestmark = needs_chromium

PROBE = """
import { Detector } from "./detector.js";
import { Lanes, joined } from "./lanes.js";
import { Resampler } from "./resample.js";
import { Session } from "./session.js";
import { clock } from "./view.js";
Object.assign(globalThis, { Detector, Lanes, Resampler, Session, clock, joined });
"""


@pytest.fixture(scope="module")
def page() -> Iterator[playwright.sync_api.Page]:
    folder = Path(speech_rnn.web.__file__).parent / "page"
    modules = {path.name: path.read_text() for path in folder.glob("*.js")}
    with browser() as chromium:
        page = chromium.new_page()
        page.add_script_tag(content=bundle({**modules, "probe.js": PROBE}, "probe.js"), type="module")
        page.wait_for_function("globalThis.clock")  # modules run later than they are added
        page.evaluate(f"() => {{ globalThis.floats = {FLOATS}; }}")
        yield page


def resampled(
    page: playwright.sync_api.Page, samples: NDArray[np.float32], rate: int, chunk: int, to: int = 16_000
) -> NDArray[np.float64]:
    out = page.evaluate(
        """([text, rate, to, chunk]) => {
          const samples = floats(text), resampler = new Resampler(rate, to), out = [];
          for (let n = 0; n < samples.length; n += chunk) out.push(...resampler.accept(samples.slice(n, n + chunk)));
          return out;
        }""",
        [as_base64(samples), rate, to, chunk],
    )
    return np.array(out)


def speech_like(seconds: float, rate: int, highest_hz: float) -> NDArray[np.float32]:
    """Noise up to a frequency, which comes and goes."""
    rng = np.random.default_rng(7)
    spectrum = np.fft.rfft(rng.normal(size=int(seconds * rate)))
    spectrum[np.fft.rfftfreq(int(seconds * rate), 1 / rate) > highest_hz] = 0
    samples = np.fft.irfft(spectrum, int(seconds * rate))
    samples *= np.hanning(len(samples)) * 0.3 / np.abs(samples).max()
    return samples.astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_a_microphone_of_any_rate_is_resampled_as_soxr_does_it(page: playwright.sync_api.Page, rate: int) -> None:
    samples = speech_like(0.5, rate, 0.4 * min(rate, 16_000))

    out = resampled(page, samples, rate, 1_024)

    expected = soxr.resample(samples, rate, 16_000, quality="VHQ")[: len(out)]
    error = np.sqrt(np.mean((out - expected) ** 2) / np.mean(expected**2))
    assert 20 * np.log10(error) < -80
    assert len(samples) * 16_000 / rate - len(out) < 80


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_chunks_of_any_size_leave_no_seam(page: playwright.sync_api.Page, rate: int) -> None:
    samples = speech_like(0.2, rate, 3_000)

    whole = resampled(page, samples, rate, len(samples))

    for chunk in (1, 7, 999):
        np.testing.assert_array_equal(resampled(page, samples, rate, chunk), whole)


def test_what_a_lower_rate_cannot_hold_does_not_fold_back(page: playwright.sync_api.Page) -> None:
    tone = np.sin(2 * np.pi * 11_000 * np.arange(24_000) / 48_000).astype(np.float32)

    out = resampled(page, tone, 48_000, 4_800)

    assert 20 * np.log10(np.abs(out[500:-500]).max()) < -80


@pytest.mark.parametrize(
    "config",
    [
        DetectorConfig(),
        DetectorConfig(smoothing_s=0.0, threshold=0.5, refractory_s=0.3),
        DetectorConfig(threshold=0.9, thresholds={"no": 0.35, "go": 0.6}, refractory_s=0.0),
    ],
)
def test_the_detector_says_what_pythons_says(page: playwright.sync_api.Page, config: DetectorConfig) -> None:
    labels = ["_silence_", "yes", "no", "go"]
    rng = np.random.default_rng(3)
    scores = np.exp(6 * np.repeat(rng.uniform(size=(60, 4)), 5, axis=0) + rng.normal(0, 0.3, (300, 4)))
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    times = 0.982 + 0.12 * np.arange(300)
    detector = Detector(labels, config)

    expected = [detector.update(float(time), row) for time, row in zip(times, scores, strict=True)]

    found: list[Any] = page.evaluate(
        """([labels, config, times, text]) => {
          const detector = new Detector(labels, config), scores = floats(text), n = labels.length;
          return times.map((time, i) => detector.update(time, scores.slice(i * n, i * n + n)));
        }""",
        [labels, config.model_dump(mode="json"), times.tolist(), as_base64(scores)],
    )
    assert sum(one is not None for one in expected) > 5
    for one, theirs in zip(found, expected, strict=True):
        assert (one is None) == (theirs is None)
        if one is not None and theirs is not None:
            assert (one["label"], one["time"]) == (theirs.label, theirs.time)
            assert one["score"] == pytest.approx(theirs.score, abs=1e-6)


def test_a_slider_moves_the_threshold_of_all_labels_without_their_own(page: playwright.sync_api.Page) -> None:
    reached = page.evaluate(
        """() => {
          const config = { smoothing_s: 0, threshold: 0.8, thresholds: { no: 0.3 }, refractory_s: 0 };
          const detector = new Detector(["yes", "no"], config);
          detector.threshold = 0.5;
          return [detector.thresholdOf("yes"), detector.thresholdOf("no"), detector.thresholdOf("toString")];
        }"""
    )
    assert reached == [0.5, 0.3, 0.5]


FAKE_MODEL = """
const made = { states: 0 };
const model = {
  newStates() { made.states += 1; return [{ heard: 0, delete() { made.states -= 1; } }]; },
  async features(window) { return { values: window, tensor: { sum: window.at(-1), delete() {} } }; },
  async step(frames, [state], wanted) {
    return { scores: wanted ? Float32Array.of(state.heard + frames.sum) : null,
             states: [{ heard: state.heard + frames.sum, delete: state.delete }] };
  },
};
const settings = { sample_rate: 10, step_length: 2, kept_length: 1, n_steps: 4, interval_steps: 3,
                   detector: { mode: "window" } };
"""


def test_a_lane_hears_its_own_steps_and_a_skip_lets_none_hear_both_sides(page: playwright.sync_api.Page) -> None:
    # Windows of 3 samples, one every 2; of each the last sample counts: 3, 5, 7, ...
    first, second, left = page.evaluate(
        f"""async () => {{
          {FAKE_MODEL}
          const lanes = new Lanes(model, settings);
          async function heard(from, to) {{
            const found = [];
            const samples = Float32Array.from({{ length: to - from }}, (_, i) => from + i + 1);
            for await (const {{ time, scores }} of lanes.accept(samples)) if (scores) found.push([time, scores[0]]);
            return found;
          }}
          const first = await heard(0, 16);
          lanes.skip(100);
          const second = await heard(0, 9);
          lanes.delete();
          return [first, second, made.states];
        }}"""
    )
    assert first == [[0.9, 3 + 5 + 7 + 9], [1.5, 9 + 11 + 13 + 15]]
    assert second == [[pytest.approx((16 + 100 + 9) / 10), 3 + 5 + 7 + 9]]
    assert left == 0


def test_carried_state_gives_a_score_a_step(page: playwright.sync_api.Page) -> None:
    scores = page.evaluate(
        f"""async () => {{
          {FAKE_MODEL}
          const lanes = new Lanes(model, {{ ...settings, detector: {{ mode: "carry" }} }});
          const found = [];
          for await (const {{ scores }} of lanes.accept(Float32Array.from({{ length: 15 }}, (_, i) => i + 1))) {{
            found.push(scores[0]);
          }}
          return found;
        }}"""
    )
    assert scores == np.cumsum([3, 5, 7, 9, 11, 13, 15]).tolist()


def test_what_a_slow_device_cannot_hear_in_time_is_left_out_and_counted(page: playwright.sync_api.Page) -> None:
    skipped, times, level, left = page.evaluate(
        f"""async () => {{
          {FAKE_MODEL}
          let go;
          const gate = new Promise((resolve) => {{ go = resolve; }});
          const slow = {{ ...model, async features(window) {{ await gate; return model.features(window); }} }};
          const times = [], heard = {{ samples: 0 }};
          const detector = {{ reset() {{}}, update(time) {{ times.push(time); return null; }} }};
          const view = {{ addFrames() {{}}, addSound(samples) {{ heard.samples += samples.length; }} }};
          const session = new Session(slow, settings, detector, view);
          session.take(new Float32Array(9));
          session.take(new Float32Array(30));
          const done = session.take(new Float32Array(30));
          go();
          await done;
          await session.take(new Float32Array(9));
          session.end();
          return [session.skipped_s, times, heard.samples, made.states];
        }}"""
    )
    assert skipped == 6.0
    assert times == [pytest.approx(0.9), pytest.approx(7.8)]
    assert level == 78
    assert left == 0


def test_times_are_read_as_on_a_clock(page: playwright.sync_api.Page) -> None:
    assert page.evaluate("[0, 1.102, 59.96, 63.41, 3600].map(clock)") == [
        "0:00.0",
        "0:01.1",
        "0:59.9",
        "1:03.4",
        "60:00.0",
    ]
