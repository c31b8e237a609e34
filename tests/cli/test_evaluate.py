from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import log_softmax

from speech_rnn import checkpoint, features
from speech_rnn.cli.evaluate import command
from speech_rnn.cli.evaluation_report import tables
from speech_rnn.condition_scoring import ConditionReport
from speech_rnn.config import FeatureSettings, ModelSettings, RunSettings, TaskSettings
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.conditions import CONDITIONS
from speech_rnn.data.folder import FolderSource
from speech_rnn.errors import DataError, ModelError
from speech_rnn.evaluation import Evaluation
from speech_rnn.runs import classifier_of, new_record, write_record
from tests.results import evaluation
from tests.tflite_models import write_model

FEATURES = FeatureSettings(clip_length=1_600, n_mels=20, n_mfcc=13, f_max=4_000.0)
SOUNDS = {
    word: (0.5 * np.sin(2 * np.pi * hz * np.arange(FEATURES.clip_length) / 16_000)).astype(np.float32)
    for word, hz in (("yes", 500), ("no", 1_500))
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight speakers say each word; in ``yes`` the last two say no."""
    folder = tmp_path_factory.mktemp("words")
    names = [f"0000000{number}_nohash_0.wav" for number in range(8)]
    for word in SOUNDS:
        (folder / word).mkdir()
        for number, name in enumerate(names):
            sound = SOUNDS["no" if word == "yes" and number >= 6 else word]
            noise = np.random.default_rng(number).normal(0, 0.01, len(sound))
            soundfile.write(folder / word / name, sound + noise, 16_000)
    listed = [f"{word}/{name}\n" for word in SOUNDS for name in names]
    (folder / "validation_list.txt").write_text("".join(line for line in listed if line[-15] in "234567"))
    (folder / "testing_list.txt").write_text("".join(line for line in listed if line[-15] == "1"))
    return folder


@pytest.fixture(scope="module")
def run(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose weights nobody trained."""
    folder = tmp_path_factory.mktemp("runs") / "gru-2"
    folder.mkdir()
    settings = RunSettings(
        features=FEATURES,
        model=ModelSettings(units=4, layers=1),
        task=TaskSettings(labels=("yes", "no"), unknown_share=0.0, silence_share=0.0),
    )
    source = FolderSource(recordings)
    known = SourceRecord(name=str(recordings), origin="made up", digest=source.digest(), synthetic=False)
    record = new_record(settings, ("yes", "no"), [known], 4)
    write_record(folder, record)
    state = {"mean": [0.0] * 13, "variance": [100.0] * 13}
    checkpoint.save(folder / "best.npz", classifier_of(record, state).weights, state)
    (folder / "history.jsonl").write_text("")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears the two tones."""
    weights: NDArray[np.float32] = np.stack([SOUNDS["yes"], SOUNDS["no"]]) / np.float32(10)
    return write_model(
        tmp_path_factory.mktemp("models") / "tones", weights=weights, labels=("yes", "no"), features=FEATURES
    )


@pytest.fixture
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> CliRunner:
    return CliRunner(env={"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "100"})


def invoke(runner: CliRunner, *arguments: object) -> Result:
    return runner.invoke(command, [*map(str, arguments), "--workers", "0"])


def logits_by_hand(run: Path, recordings: Path) -> NDArray[np.float32]:
    from speech_rnn.runs import load_run

    lines = (recordings / "validation_list.txt").read_text().split()
    clips = np.stack([soundfile.read(recordings / line, dtype="float32")[0] for line in lines])
    logits: NDArray[np.float32] = load_run(run).classifier.predict(features.mfcc(clips, FEATURES), verbose=0)
    return logits


def test_a_run_is_evaluated_on_its_own_recordings(evaluate: CliRunner, run: Path, recordings: Path) -> None:
    logits = logits_by_hand(run, recordings)
    targets = np.array([0] * 6 + [1] * 6)

    result = invoke(evaluate, run, "--json")

    assert result.exit_code == 0, result.output
    figures = Evaluation.from_json(result.stdout)
    assert figures.accuracy.n == 12
    assert figures.accuracy.correct == (logits.argmax(axis=1) == targets).sum()
    expected = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(12), targets].mean()
    assert figures.cross_entropy == pytest.approx(expected, abs=1e-3)
    assert len(figures.speakers) == 6
    assert figures.command == f"speech-rnn evaluate {run} --data {recordings} --part validation"
    assert not figures.synthetic


def test_a_model_is_evaluated_on_what_is_named(evaluate: CliRunner, model: Path, recordings: Path) -> None:
    result = invoke(evaluate, model, "--data", recordings, "--json")

    assert result.exit_code == 0, result.output
    figures = Evaluation.from_json(result.stdout)
    assert figures.labels == ("yes", "no")
    assert figures.confusion == ((4, 2), (0, 6))
    assert figures.part == "validation"


def test_the_testing_part_is_another(evaluate: CliRunner, model: Path, recordings: Path) -> None:
    result = invoke(evaluate, model, "--data", recordings, "--part", "testing", "--json")

    assert Evaluation.from_json(result.stdout).confusion == ((1, 0), (0, 1))


def test_tables_show_the_figures(evaluate: CliRunner, model: Path, recordings: Path) -> None:
    result = invoke(evaluate, model, "--data", recordings)

    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[3][:8] == ["all", "10", "of", "12", "83.3", "%", "55.2–95.3", "%"]
    assert ["yes", "6", "66.7", "%", "100.0", "%", "80.0", "%"] in lines
    assert ["no", "6", "100.0", "%", "75.0", "%", "85.7", "%"] in lines
    assert ["yes", "4", "2"] in lines
    assert ["no", "·", "6"] in lines
    assert ["yes", "no", "2"] in lines
    assert "synthetic" not in result.stdout


def test_a_page_is_written_where_it_is_wanted(
    evaluate: CliRunner, model: Path, recordings: Path, tmp_path: Path
) -> None:
    result = invoke(evaluate, model, "--data", recordings, "--page", tmp_path / "figures.html")

    page = (tmp_path / "figures.html").read_text()
    assert f"drawn in {tmp_path / 'figures.html'}" in result.stdout
    assert "10 of 12" in page
    assert "librosa" in page


def test_a_page_that_cannot_be_written_is_refused_before_the_work(evaluate: CliRunner, tmp_path: Path) -> None:
    result = invoke(evaluate, "nothing", "--data", "nothing", "--page", tmp_path / "missing" / "figures.html")

    assert isinstance(result.exception, DataError)
    assert "make it first" in str(result.exception)


def test_a_model_needs_recordings(evaluate: CliRunner, model: Path) -> None:
    result = invoke(evaluate, model)

    assert result.exit_code == 2
    assert "--data is missing" in result.output


@pytest.mark.parametrize("kind", ["run", "model"])
def test_a_run_and_a_model_are_heard_under_every_condition(
    evaluate: CliRunner, run: Path, model: Path, recordings: Path, kind: str
) -> None:
    arguments = (run,) if kind == "run" else (model, "--data", recordings)

    result = invoke(evaluate, *arguments, "--conditions", "--json")
    printed = invoke(evaluate, *arguments, "--conditions")

    assert result.exit_code == printed.exit_code == 0, result.output
    report = ConditionReport.from_json(result.stdout)
    assert [one.condition for one in report.conditions] == list(CONDITIONS)
    assert report.as_recorded.accuracy.n == 12
    assert report.command.endswith("--conditions")
    lines = printed.stdout.splitlines()
    for name in ("as recorded", *CONDITIONS):
        assert any(line.startswith(name) and " %" in line for line in lines), name
    assert f"over the {len(CONDITIONS)} conditions {100 * report.mean:.1f} %" in printed.stdout
    if kind == "run":
        accuracy = Evaluation.from_json(invoke(evaluate, *arguments, "--json").stdout).accuracy
        assert report.as_recorded.accuracy == accuracy


def test_conditions_and_streams_or_a_page_are_not_asked_for_together(evaluate: CliRunner, model: Path) -> None:
    for other in (("--stream",), ("--page", "figures.html")):
        result = invoke(evaluate, model, "--data", "corpus", "--conditions", *other)
        assert result.exit_code == 2
        assert "--conditions" in result.stderr


def test_what_is_neither_run_nor_model_is_refused(evaluate: CliRunner, recordings: Path) -> None:
    result = invoke(evaluate, "nothing-here", "--data", recordings)

    assert isinstance(result.exception, ModelError)
    assert "nothing-here" in str(result.exception)


def test_training_clips_are_not_judged(evaluate: CliRunner, model: Path, recordings: Path) -> None:
    result = invoke(evaluate, model, "--data", recordings, "--part", "training")

    assert result.exit_code == 2


def test_names_do_not_command_the_terminal() -> None:
    console = Console(width=100, file=io.StringIO(), force_terminal=True, no_color=True)

    for element in tables(evaluation(("[bold]loud[/bold]", "\x1b[31mred\n")), 100):
        console.print(element, style="none")

    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "\x1b[31m" not in shown
    assert "\ufffd[31mred\ufffd" in shown
    assert "[bold]loud[/bold]" in shown


@pytest.mark.parametrize(("n", "drawn"), [(12, True), (35, False)])
def test_a_matrix_is_printed_where_it_fits(n: int, drawn: bool) -> None:
    console = Console(width=80, file=io.StringIO())

    for element in tables(evaluation([f"word{number}" for number in range(n)], n=500), 80):
        console.print(element)

    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert ("(columns)" in shown) == drawn
    assert ("too wide" in shown) != drawn
    assert max(map(len, shown.splitlines())) <= 80


def test_help_needs_no_heavy_library() -> None:
    heavy = ("tensorflow", "keras", "librosa", "matplotlib", "jinja2", "numpy")
    code = f"import sys, speech_rnn.cli.evaluate; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
