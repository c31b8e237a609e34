"""MediaPipe's AudioClassifier, in Python and in the browser, on the clip file as an export leaves it.

MediaPipe is no dependency: it is fetched for these tests, which skip where PyPI or npm can't be reached. Its page
counts what it does and tells a host of Google's; here no such host is found, and the page's policy forbids it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import speech_rnn
from speech_rnn.audio import fit, read_audio
from speech_rnn.data.folder import FolderSource
from speech_rnn.runtime import CLIP_FILE, Recognizer, shipped_models
from tests.browser import FLOATS, as_base64, browser, needs_chromium, served
from tests.spoken import RATE, spoken

pytestmark = pytest.mark.slow

PACKAGE = "mediapipe==1.2.3"
TASKS_AUDIO = "https://registry.npmjs.org/@mediapipe/tasks-audio/-/tasks-audio-1.0.1.tgz"
INTEGRITY = "znfNNj9p6sAfsmrK+mjpW5H2NdWEcyvebjIcxjM3onv5God5S//fT4wFZ76quYL9J9SSTi2EkdUCq2zjYbzK2w=="

# What pictures need isn't installed, and a microphone isn't there; TensorFlow is slow to import.
PRELUDE = """
import sys, types
sys.modules["tensorflow"] = None
for name in ("cv2", "sounddevice"):
    sys.modules[name] = types.ModuleType(name)
"""

CLASSIFY = """
import json
import numpy as np
from mediapipe.tasks.python import BaseOptions, audio
from mediapipe.tasks.python.components.containers import AudioData

model, clips, rate = sys.argv[1:]
options = audio.AudioClassifierOptions(base_options=BaseOptions(model_asset_path=model))
answers = []
with audio.AudioClassifier.create_from_options(options) as classifier:
    for clip in np.load(clips):
        (result,) = classifier.classify(AudioData.create_from_array(clip, float(rate)))
        answers.append({one.category_name: one.score for one in result.classifications[0].categories})
print(json.dumps(answers))
"""

SCHEMA = """
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

content = open(sys.argv[1], "rb").read()
assert schema.ModelMetadata.ModelMetadataBufferHasIdentifier(content, 0)
model = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(content, 0))
(graph,) = model.subgraphMetadata
(waveform,), (scores,) = graph.inputTensorMetadata, graph.outputTensorMetadata
assert waveform.content.contentPropertiesType == schema.ContentProperties.AudioProperties
(labels,) = scores.associatedFiles
assert labels.type == schema.AssociatedFileType.TENSOR_AXIS_LABELS
audio = waveform.content.contentProperties
print(model.name.decode(), audio.sampleRate, audio.channels, labels.name.decode())
"""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; connect-src 'self';
  script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'"></head>
<body>
<script type="module">
import { AudioClassifier, FilesetResolver } from "./audio_bundle.mjs";
const files = await FilesetResolver.forAudioTasks("wasm");
const classifier = await AudioClassifier.createFromModelPath(files, "clip.tflite");
globalThis.classify = (samples, rate) => Object.fromEntries(
  classifier.classify(samples, rate)[0].classifications[0].categories.map((one) => [one.categoryName, one.score]));
document.body.textContent = "ready";
</script>
</body></html>
"""


@pytest.fixture(scope="module")
def model() -> Path:
    models = shipped_models()
    if not models:
        pytest.skip("no model is shipped with this checkout")
    return models.get("gru-12-small") or next(iter(models.values()))


@pytest.fixture(scope="module")
def mediapipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package alone; what it needs for sound comes with TensorFlow."""
    folder = tmp_path_factory.mktemp("mediapipe")
    uv = Path(sys.executable).with_name("uv")
    installer = [str(uv), "pip", "install", "--python", sys.executable]
    if not uv.exists():
        installer = [sys.executable, "-m", "pip", "install"]
    done = subprocess.run(
        [*installer, "--no-deps", "--target", str(folder), PACKAGE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{PACKAGE} can't be installed from PyPI: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="module")
def tasks_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with npm's package, as a web server would have it."""
    try:
        with urllib.request.urlopen(TASKS_AUDIO, timeout=60) as answer:
            archive = answer.read()
    except OSError as error:
        pytest.skip(f"npm's @mediapipe/tasks-audio can't be fetched: {error}")
    assert base64.b64encode(hashlib.sha512(archive).digest()).decode() == INTEGRITY
    folder = tmp_path_factory.mktemp("tasks-audio")
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        package.extractall(folder, filter="data")
    return folder / "package"


def run(script: str, mediapipe: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(mediapipe), "MPLCONFIGDIR": str(mediapipe / "matplotlib")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def words(recognizer: Recognizer, count: int) -> NDArray[np.float32]:
    """Clips of the corpus's words: float32 [count, clip_length]."""
    labels = [label for label in recognizer.labels if not label.startswith("_")][:5]
    clips = []
    for take in range(-(-count // len(labels))):
        samples = spoken(labels, take=take)
        clips += [samples[start : start + 2 * RATE] for start in range(RATE // 2, len(samples), 2 * RATE)]
    return np.stack([fit(clip[:RATE], recognizer.clip_length) for clip in clips[:count]])


def hold(answers: Sequence[dict[str, float]], recognizer: Recognizer, clips: NDArray[np.float32]) -> None:
    """Same label and same scores, clip by clip."""
    assert len(answers) == len(clips)
    for answer, clip in zip(answers, clips, strict=True):
        prediction = recognizer.predict(clip, recognizer.sample_rate)
        assert max(answer, key=lambda label: answer[label]) == prediction.label
        assert set(answer) == set(recognizer.labels)
        for label, score in prediction.scores.items():
            assert answer[label] == pytest.approx(score, abs=1e-4)


def test_mediapipe_in_python_hears_the_same_on_words_of_the_corpus(
    model: Path, mediapipe: Path, tmp_path: Path
) -> None:
    recognizer = speech_rnn.load(model)
    clips = words(recognizer, 25)
    np.save(tmp_path / "clips.npy", clips)

    out = run(CLASSIFY, mediapipe, str(model / CLIP_FILE), str(tmp_path / "clips.npy"), str(recognizer.sample_rate))

    hold(json.loads(out), recognizer, clips)


def test_mediapipe_in_python_gives_the_same_label_on_200_validation_clips(
    model: Path, mediapipe: Path, recordings: Path, tmp_path: Path
) -> None:
    recognizer = speech_rnn.load(model)
    folder = recordings / "speech_commands_original"
    names = [clip.name for clip in FolderSource(folder).clips if clip.part == "validation"]
    chosen = np.random.default_rng(1).choice(names, 200, replace=False)
    clips = np.stack(
        [fit(read_audio(folder / name, recognizer.sample_rate), recognizer.clip_length) for name in chosen]
    )
    np.save(tmp_path / "clips.npy", clips)

    out = run(CLASSIFY, mediapipe, str(model / CLIP_FILE), str(tmp_path / "clips.npy"), str(recognizer.sample_rate))

    hold(json.loads(out), recognizer, clips)


def test_the_classes_of_the_schema_read_the_metadata(model: Path, mediapipe: Path, tmp_path: Path) -> None:
    from speech_rnn.export.metadata import audio_metadata

    recognizer = speech_rnn.load(model)
    content = audio_metadata((model / CLIP_FILE).read_bytes())
    assert content is not None
    (tmp_path / "metadata").write_bytes(content)

    out = run(SCHEMA, mediapipe, str(tmp_path / "metadata"))

    assert out.split() == [recognizer.card.name, str(recognizer.sample_rate), "1", "labels.txt"]


@needs_chromium
def test_mediapipe_in_the_browser_hears_the_same(model: Path, tasks_audio: Path) -> None:
    recognizer = speech_rnn.load(model)
    clips = words(recognizer, 10)
    shutil.copy(model / CLIP_FILE, tasks_audio / "clip.tflite")
    (tasks_audio / "index.html").write_text(PAGE)

    with served(tasks_audio) as (server, _), browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{server}/index.html")
        page.wait_for_selector("text=ready", timeout=120_000)
        answers = [
            page.evaluate(f"([text, rate]) => classify(({FLOATS})(text), rate)", [as_base64(clip), RATE])
            for clip in clips
        ]

    hold(answers, recognizer, clips)
