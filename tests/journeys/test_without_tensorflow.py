"""What someone has who only runs models: the base install, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_rnn import load
from speech_rnn.cli.main import COMMANDS
from speech_rnn.export.artefact import export_run
from tests.export.runs_in_memory import FEATURES, calibration, make_run
from tests.forked import forked_converter

CHECKOUT = Path(__file__).parents[2]
WORKSHOP = ("jinja2", "keras", "librosa", "matplotlib", "scipy", "tensorflow", "tensorflow_datasets")


def run(*command: str | Path, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=timeout)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a fresh environment with this checkout and its base dependencies, built as a wheel."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not here; pip install uv")
    place = tmp_path_factory.mktemp("base")
    bin_folder = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
    for command in (
        (uv, "venv", "--quiet", "--python", sys.executable, place / "venv"),
        (uv, "pip", "install", "--quiet", "--python", bin_folder / "python", CHECKOUT),
    ):
        done = run(*command, timeout=600.0)
        if done.returncode:
            pytest.skip(f"base packages can't be installed: {' '.join(done.stderr.split())[-300:]}")
    return bin_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "gru-4"
    with forked_converter():
        export_run(make_run(), folder, name="gru-4", calibration=calibration())
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 22_050), 44_100)
    return path


@pytest.mark.slow
def test_recognize_works_and_gives_the_scores_that_it_gives_here(base: Path, model: Path, sound: Path) -> None:
    done = run(base / "speech-rnn", "recognize", sound, "--model", model, "--json")

    assert (done.returncode, done.stderr) == (0, "")
    line = json.loads(done.stdout)
    expected = load(model).predict(*soundfile.read(sound))
    assert line["label"] == expected.label
    assert line["scores"] == pytest.approx(dict(expected.scores), abs=1e-6)
    assert run(base / "speech-rnn", "recognize", sound, "--model", model).stdout.count("a.flac") == 1


@pytest.mark.slow
def test_long_recordings_are_heard_there_too(base: Path, model: Path, sound: Path) -> None:
    command = ("recognize", "--stream", sound, "--model", model, "--format", "csv", "--threshold", "0")

    done = run(base / "speech-rnn", *command)

    assert (done.returncode, done.stderr) == (0, "")
    head, first, *_ = done.stdout.splitlines()
    assert head == "file,label,score,start,time"
    assert first.startswith(f"{sound},")


@pytest.mark.slow
def test_the_package_works_where_the_workshops_libraries_are_not(base: Path, model: Path) -> None:
    code = (
        "import importlib.util, sys, numpy, speech_rnn\n"
        f"assert not [name for name in {WORKSHOP} if importlib.util.find_spec(name)], 'not a base install'\n"
        "recognizer = speech_rnn.load(sys.argv[1])\n"
        "print(recognizer.predict(numpy.zeros(100), 8000).label)\n"
    )

    done = run(base / "python", "-c", code, model)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == load(model).predict(np.zeros(100), FEATURES.sample_rate).label


@pytest.mark.slow
def test_the_wheel_carries_the_builder_of_prepared_features(base: Path) -> None:
    code = (
        "from importlib import resources\n"
        "folder = resources.files('speech_rnn') / 'datasets' / 'keyword_features'\n"
        "print(sorted(path.name for path in folder.iterdir() if path.suffix))"
    )

    done = run(base / "python", "-P", "-c", code)  # not this folder's own package

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "['README.md', '__init__.py', 'keyword_features_dataset_builder.py']"


@pytest.mark.slow
def test_help_of_every_command_is_there(base: Path) -> None:
    for command in ((), *((name,) for name in COMMANDS)):
        done = run(base / "speech-rnn", *command, "--help")

        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: speech-rnn" in done.stdout


@pytest.mark.slow
def test_a_command_of_the_workshop_says_on_one_line_what_to_install(base: Path, model: Path, tmp_path: Path) -> None:
    for arguments in (
        ("train", "--data", "corpus", "-o", tmp_path / "run"),
        ("export", tmp_path, "-o", tmp_path / "model"),
        ("evaluate", model, "--data", "corpus"),
        ("demo", "-o", tmp_path / "demo"),
        ("data", "corpus"),
    ):
        done = run(base / "speech-rnn", *arguments)

        assert done.returncode == 1, arguments
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "pip install 'speech-rnn[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def modules_after(code: str) -> set[str]:
    """What of the workshop a fresh interpreter of the full environment has loaded after some code."""
    done = run(sys.executable, "-c", f"import sys\n{code}\nprint('\\n', *sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()) & set(WORKSHOP)


def test_import_and_help_load_nothing_of_the_workshop() -> None:
    of_the_command_line = (
        "from speech_rnn.cli.main import main\n"
        "sys.argv = ['speech-rnn', {}'--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code"
    )

    assert modules_after("import speech_rnn") == set()
    assert modules_after(of_the_command_line.format("")) == set()
    assert modules_after(of_the_command_line.format("'recognize', ")) == set()
    assert modules_after("import speech_rnn; speech_rnn.load") == set()
