from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import librosa
import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

import speech_rnn
from speech_rnn import progress
from speech_rnn.card import Card, Figure
from speech_rnn.config import DetectorConfig, FeatureSettings
from speech_rnn.errors import ModelError
from speech_rnn.export import artefact
from speech_rnn.export.artefact import export_run, int8_stream
from speech_rnn.export.probes import BOUNDS, stepwise_scores
from speech_rnn.export.saved_model import load_signatures
from speech_rnn.export.short_weights import shorten_weights
from speech_rnn.export.tflite import convert_step
from speech_rnn.models import CELLS
from speech_rnn.runs import Run
from speech_rnn.stream_model import StreamModel
from speech_rnn.streaming import Stream
from speech_rnn.tflite_file import metadata, operators
from tests.export.runs_in_memory import FEATURES, LABELS, calibration, make_run
from tests.forked import forked_converter

pytestmark = pytest.mark.usefixtures("forked_conversions")


class MinimalCell(keras.layers.Layer):
    """The minimal gated unit without its gate's recurrence: a cell that Keras doesn't have."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 2 * self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")

    def call(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        gate, candidate = keras.ops.split(inputs @ self.kernel, 2, axis=-1)
        gate = keras.ops.sigmoid(gate)
        state = (1 - gate) * states[0] + gate * keras.ops.tanh(candidate + states[0] @ self.recurrent_kernel)
        return state, [state]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@pytest.fixture(scope="module", autouse=True)
def cell_from_outside() -> Iterator[None]:
    CELLS["minimal"] = lambda units, **options: keras.layers.RNN(MinimalCell(units), **options)
    yield
    del CELLS["minimal"]


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "gru-4"
    figures = [Figure(name="accuracy", value=0.9, synthetic=True, data="corpus")]
    with forked_converter():
        export_run(run, folder, name="gru-4", figures=figures, calibration=calibration())
    return folder


def clips(features: FeatureSettings = FEATURES) -> NDArray[np.float32]:
    """Other sounds than the probes: noise of every level, and a click in the middle of nothing."""
    rng = np.random.default_rng(7)
    levels = 10.0 ** rng.uniform(-4.5, -0.5, (6, 1))
    noise = rng.normal(0.0, levels, (6, features.clip_length))
    click = np.zeros((1, features.clip_length))
    click[0, features.clip_length // 2] = 1.0
    return np.concatenate([noise, click]).astype(np.float32)


def expected_scores(run: Run, waveforms: NDArray[np.float32]) -> NDArray[np.float64]:
    """By librosa's own functions and the classifier as it is in the run."""
    features = run.settings.features
    power = librosa.feature.melspectrogram(
        y=waveforms,
        sr=features.sample_rate,
        n_fft=features.n_fft,
        win_length=features.win_length,
        hop_length=features.hop_length,
        center=False,
        n_mels=features.n_mels,
        fmin=features.f_min,
        fmax=features.f_max,
    )
    log_mel = librosa.power_to_db(power, ref=1.0, amin=features.power_floor, top_db=None)
    mfcc = librosa.feature.mfcc(S=log_mel, n_mfcc=features.n_mfcc).swapaxes(1, 2)
    logits = np.asarray(run.classifier(mfcc, training=False), np.float64)
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_compact_folder_has_weights_of_eight_bits_in_fewer_files_which_all_agree(cell: str, tmp_path: Path) -> None:
    run = make_run(cell=cell, units=32)
    export_run(run, tmp_path / "whole", name="model", calibration=calibration())

    card = export_run(run, tmp_path / "compact", name="model", calibration=calibration(), compact=True)

    assert {file.partition("/")[0] for file in card.files} == {
        *("model.keras", "clip.tflite", "stream.tflite", "stream_int8.tflite"),
        *("mcu", "labels.txt", "README.md"),
    }
    whole = {file: entry.bytes for file, entry in Card.read(tmp_path / "whole" / "card.json").files.items()}
    assert 2 * sum(entry.bytes for entry in card.files.values()) < sum(whole.values())
    n_weights = run.classifier.count_params()
    assert whole["stream.tflite"] - card.files["stream.tflite"].bytes > 1.9 * n_weights
    shorten_weights(run.classifier)
    waveforms = clips()
    expected = expected_scores(run, waveforms)
    recognizer = speech_rnn.load(tmp_path / "compact")
    tflite = [list(recognizer.predict(clip, FEATURES.sample_rate).scores.values()) for clip in waveforms]
    np.testing.assert_allclose(tflite, expected, atol=1e-5)
    np.testing.assert_allclose(recognizer.stream_model.clip_scores(waveforms), expected, atol=1e-5)
    with pytest.raises(ModelError, match=r"is compact and has no 'stream_float16.tflite'; 'speech-rnn export "):
        speech_rnn.load(tmp_path / "compact", "float16")


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="no C compiler for ELF: apt install gcc"
)
def test_the_models_of_a_compact_folder_are_arrays_that_the_assembler_reads(tmp_path: Path) -> None:
    export_run(make_run(), tmp_path / "model", name="model", calibration=calibration(), compact=True)
    board = tmp_path / "model" / "mcu"
    (tmp_path / "written.c").write_text(
        '#include <stdint.h>\n#include <stdio.h>\n#include "step_int8.h"\nint main(void) {\n'
        "  fwrite(step_int8, 1, step_int8_size, stdout);\n  return (uintptr_t)step_int8 % 16 != 0;\n}\n"
    )

    files = [str(tmp_path / "written.c"), str(board / "step_int8.c")]
    subprocess.run(
        ["cc", "-std=c99", "-Wall", "-Werror", f"-I{board}", "-o", "written", *files], cwd=tmp_path, check=True
    )

    written = subprocess.run([tmp_path / "written"], check=True, capture_output=True).stdout
    assert written == (board / "step_int8.tflite").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "layers", "stack"),
    [("lstm", 2, 2), ("gru", 1, 1), ("rnn", 3, 3), ("minimal", 1, 2)],
)
def test_every_form_of_every_cell_gives_the_scores_of_librosa_and_keras(
    cell: str, layers: int, stack: int, tmp_path: Path
) -> None:
    run = make_run(cell=cell, layers=layers, stack=stack)

    card = export_run(run, tmp_path / "model", name="model", calibration=calibration())

    waveforms = clips()
    expected = expected_scores(run, waveforms)
    assert np.ptp(expected, axis=0).max() > 0.1
    recognizer = speech_rnn.load(tmp_path / "model")
    tflite = [list(recognizer.predict(clip, FEATURES.sample_rate).scores.values()) for clip in waveforms]
    np.testing.assert_allclose(tflite, expected, atol=1e-4)
    signatures = load_signatures(tmp_path / "model" / "saved_model")
    np.testing.assert_allclose(signatures["serving_default"](waveform=waveforms)["scores"], expected, atol=1e-4)
    np.testing.assert_allclose(stepwise_scores(signatures["stream"], card, waveforms), expected, atol=1e-4)
    for form, bound in BOUNDS.items():
        model = speech_rnn.load(tmp_path / "model", form).stream_model
        runner = Interpreter(model_content=model.content).get_signature_runner("stream")
        one_by_one = [stepwise_scores(runner, card, clip[np.newaxis])[0] for clip in waveforms]
        np.testing.assert_allclose(one_by_one, expected, atol=bound)
        streamed = [Stream(model, DetectorConfig()).accept_scores(clip, FEATURES.sample_rate)[1] for clip in waveforms]
        np.testing.assert_allclose(np.concatenate(streamed), expected, atol=bound)


def test_every_tflite_file_has_only_operators_that_are_built_in(folder: Path) -> None:
    files = {path.name: operators(path.read_bytes()) for path in folder.rglob("*.tflite")}

    assert {"clip.tflite", "stream.tflite", "stream_float16.tflite", "stream_dynamic.tflite", "stream_int8.tflite"} <= {
        *files
    }
    for name, found in files.items():
        assert not [kind for kind in found if kind.startswith(("custom", "operator"))], name
        assert not {"WHILE", "IF", "CALL_ONCE", "VAR_HANDLE"} & set(found), name
    assert "RFFT2D" in files["clip.tflite"]


def test_the_clip_file_is_one_graph_as_mediapipe_demands(folder: Path) -> None:
    model = schema.Model.GetRootAs((folder / "clip.tflite").read_bytes(), 0)

    assert model.SubgraphsLength() == 1
    assert metadata(model, "TFLITE_METADATA") is not None


def test_products_with_weights_are_in_eight_bits_and_all_that_is_remembered_in_float32(folder: Path) -> None:
    model = schema.Model.GetRootAs((folder / "stream_int8.tflite").read_bytes(), 0)
    step = next(graph for graph in map(model.Subgraphs, range(3)) if graph.Name() == b"step")
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}

    takes: dict[str, set[int]] = {}
    for operator in map(step.Operators, range(step.OperatorsLength())):
        kind = names[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
        computed = [step.Tensors(index) for index in operator.InputsAsNumpy() if index >= 0]
        takes.setdefault(kind, set()).update(tensor.Type() for tensor in computed if tensor.ShapeSignatureLength())
    in_int8 = {kind for kind, types in takes.items() if types == {schema.TensorType.INT8}}
    assert in_int8 == {"FULLY_CONNECTED", "DEQUANTIZE"}
    assert all(takes[kind] == {schema.TensorType.FLOAT32} for kind in set(takes) - in_int8)
    assert {"CONCATENATION", "LOGISTIC", "TANH", "ADD", "QUANTIZE", "SOFTMAX"} < set(takes)


def test_the_stream_file_in_eight_bits_made_alone_gives_the_scores_of_the_shipped_one(folder: Path, run: Run) -> None:
    shipped = StreamModel(Card.read(folder / "card.json"), (folder / "stream_int8.tflite").read_bytes())
    float_model = StreamModel(Card.read(folder / "card.json"), (folder / "stream.tflite").read_bytes())

    alone = int8_stream(run, name="gru-4", calibration=calibration())

    np.testing.assert_array_equal(alone.clip_scores(clips()), shipped.clip_scores(clips()))
    assert np.abs(alone.clip_scores(clips()) - float_model.clip_scores(clips())).max() > 1e-4
    assert (alone.card.name, alone.card.labels) == ("gru-4", run.labels)


def test_the_tflite_file_can_be_called_by_the_names_of_its_signature(folder: Path, run: Run) -> None:
    interpreter = Interpreter(str(folder / "clip.tflite"))

    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["waveform"], "outputs": ["scores"]}}
    clip = clips()[:1]
    scores = interpreter.get_signature_runner("serving_default")(waveform=clip)["scores"]
    np.testing.assert_allclose(scores, expected_scores(run, clip), atol=1e-4)


def test_the_card_lists_every_file_with_its_digest_and_says_what_the_model_is(folder: Path, run: Run) -> None:
    card = Card.read(folder / "card.json")

    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {*card.files, "card.json"}
    for name, entry in card.files.items():
        content = files[name].read_bytes()
        assert (entry.bytes, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert card.name == "gru-4"
    assert card.labels == LABELS
    assert card.features == FEATURES
    assert card.parameters == run.classifier.count_params() == 3 * 8 * (26 + 8 + 2) + 4 * (8 + 1)
    assert card.synthetic
    assert card.figures[0].name == "accuracy"
    assert card.made_with["keras"] == keras.__version__


def test_the_card_says_how_near_each_form_comes_to_keras(folder: Path) -> None:
    card = Card.read(folder / "card.json")

    for name in ("model.keras", "saved_model/saved_model.pb", "clip.tflite"):
        entry = card.files[name]
        assert set(entry.probes) == {"speech", "noise", "silence", "chirp"}
        assert entry.bound == 1e-4
        assert entry.max_error is not None
        assert entry.max_error <= entry.bound
    assert card.files["labels.txt"].max_error is None


def test_the_card_is_inside_every_form(folder: Path) -> None:
    expected = Card.read(folder / "card.json").without_files()

    with zipfile.ZipFile(folder / "model.keras") as archive:
        assert Card.from_json(archive.read("card.json")) == expected
    assert Card.read(folder / "saved_model" / "assets" / "card.json") == expected
    content = (folder / "clip.tflite").read_bytes()
    start = content.index(b'{\n  "version": 1')
    assert Card.from_json(content[start : start + len(expected.to_json().encode())]) == expected


def test_labels_stand_a_line_each_in_the_order_of_the_scores(folder: Path) -> None:
    assert (folder / "labels.txt").read_text().splitlines() == list(LABELS)


def test_the_keras_file_loads_in_safe_mode_and_is_the_classifier(folder: Path, run: Run) -> None:
    loaded = keras.saving.load_model(folder / "model.keras", safe_mode=True, compile=False)

    mfcc = np.random.default_rng(0).normal(0, 10, (3, FEATURES.n_frames, FEATURES.n_mfcc)).astype(np.float32)
    np.testing.assert_allclose(loaded(mfcc), run.classifier(mfcc), atol=1e-6)


def test_every_example_in_the_readme_runs_as_it_stands(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    clip = clips()[0] / 2
    soundfile.write("speech.wav", clip, FEATURES.sample_rate, subtype="FLOAT")
    best = int(expected_scores(run, clip[np.newaxis]).argmax())

    examples = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)

    printed = []
    for example in examples:
        said = io.StringIO()
        exec(example, {"print": lambda *values, said=said: said.write(" ".join(map(str, values)))})
        printed.append(said.getvalue())
    assert len(printed) == 5
    assert printed[0].startswith(f"{LABELS[best]} 0.")
    assert printed[2].startswith(f"{LABELS[best]} 0.")
    assert printed[3] == str(best)
    assert printed[4] == "(2, 4)"


def test_a_run_in_mixed_precision_is_exported_in_float32_and_the_converter_is_not_heard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 3_600.0)
    run = make_run(precision="mixed_bfloat16")
    twin = make_run()
    twin.classifier.set_weights(run.classifier.get_weights())

    export_run(run, tmp_path / "model", name="model", calibration=calibration())

    clip = clips()[:1]
    scores = speech_rnn.load(tmp_path / "model").scores(clip[0])
    np.testing.assert_allclose(scores, expected_scores(twin, clip)[0], atol=1e-4)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_differs_from_keras_is_not_shipped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert_other_weights(classifier: keras.Model, *arguments: Any) -> Any:
        other = make_run().classifier
        other.set_weights([1.01 * weight for weight in classifier.get_weights()])
        return convert_step(other, *arguments)

    monkeypatch.setattr(artefact, "convert_step", convert_other_weights)

    with pytest.raises(ModelError, match=r"stream\.tflite is not shipped: on the probe '.*' a score is .* off Keras"):
        export_run(run, tmp_path / "model", name="model", calibration=calibration())

    assert list(tmp_path.iterdir()) == []


def test_a_model_is_replaced_and_anything_else_is_left_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("dear diary")
    (tmp_path / "file").write_text("content")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "card.json").touch()
    monkeypatch.setattr(
        artefact, "_write", lambda folder, _, card, __: [(folder / "card.json").write_text("new"), card][1]
    )

    with pytest.raises(ModelError, match=r"notes is there already and is no model; remove it, or give another folder"):
        export_run(run, tmp_path / "notes", name="model", calibration=calibration())
    with pytest.raises(ModelError, match="file is a file; give a folder"):
        export_run(run, tmp_path / "file", name="model", calibration=calibration())
    export_run(run, tmp_path / "model", name="model", calibration=calibration())
    monkeypatch.chdir(tmp_path / "model")
    export_run(run, Path(), name="model", calibration=calibration())

    assert (tmp_path / "notes" / "mine.txt").read_text() == "dear diary"
    assert (tmp_path / "model" / "card.json").read_text() == "new"


@pytest.mark.parametrize("name", ["", "../model", "my model", ".hidden", "x" * 65])
def test_a_name_that_no_model_may_have_is_refused_before_anything_is_written(
    name: str, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"card: name: .* must be 1 to 64 letters"):
        export_run(run, tmp_path / "model", name=name, calibration=calibration())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no folder here refuses everybody")
def test_a_place_that_cannot_be_written_is_named(run: Run) -> None:
    with pytest.raises(ModelError, match=r"/proc/model can't be written"):
        export_run(run, Path("/proc/model"), name="model", calibration=calibration())


def test_the_card_does_not_tell_where_the_recordings_lie_on_the_users_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefact, "_write", lambda folder, _, card, __: card)

    card = export_run(
        make_run(source="/home/alice/secret/words"), tmp_path / "model", name="model", calibration=calibration()
    )

    assert card.data[0].title == "words"
    assert "alice" not in card.to_json()


def test_the_best_epoch_and_its_accuracy_stand_in_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefact, "_write", lambda folder, _, card, __: card)
    history = tuple(
        {
            "epoch": epoch,
            "loss": 1.0,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "learning_rate": 1e-3,
            "seconds": 1.0,
            "clips": 100,
            "validation_clips": 50,
        }
        for epoch, loss, accuracy in [(1, 0.9, 0.7), (2, 0.4, 0.9), (3, 0.3, 0.9), (4, 0.2, 0.8)]
    )

    card = export_run(make_run(history=history), tmp_path / "model", name="model", calibration=calibration())

    assert (card.training.epochs, card.training.best_epoch) == (4, 3)
    (figure,) = card.figures
    assert (figure.value, figure.n, figure.data, figure.synthetic) == (
        0.9,
        50,
        "validation part of corpus (made by a test), which also chose the epoch",
        True,
    )
    assert figure.command == "speech-rnn evaluate in-memory"
    # Wilson (1927) by hand: (45 + z²/2 ± z·sqrt(45·5/50 + z²/4)) / (50 + z²), z = 1.96
    assert figure.low == pytest.approx(0.7864, abs=1e-4)
    assert figure.high == pytest.approx(0.9565, abs=1e-4)
