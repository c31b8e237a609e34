from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from speech_rnn.cli import train as train_module
from speech_rnn.cli import training_report
from speech_rnn.cli.main import main
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.data.batches import BatchMaker
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import open_store
from speech_rnn.runs import RunRecord
from tests.prepared.tone_shards import write_shards
from tests.tones import FEATURES, interrupt, small_settings, tone_settings, write_tones

# Whoever runs the tests in the background has Ctrl-C ignored, and so would the child.
TRAIN = """
import signal
from speech_rnn.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)
if __name__ == "__main__":
    main()
"""

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; the cache is in it too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def cli(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``speech-rnn train`` with some arguments: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["speech-rnn", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


class Asked:
    """Stands in for a training and keeps what was asked for."""

    folder: Path
    sources: tuple[str, ...]
    settings: RunSettings
    workers: int | None
    auto: dict[str, bool]

    def __call__(
        self,
        folder: Path,
        sources: tuple[str, ...],
        settings: RunSettings,
        cache: Path,
        workers: int | None,
        **auto: bool,
    ) -> None:
        self.folder, self.sources, self.settings, self.workers, self.auto = folder, sources, settings, workers, auto


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(training_report, "new_run", asked)
    return asked


def test_without_options_the_usual_is_trained(cli: Cli, asked: Asked) -> None:
    assert cli("--data", "a", "--data", "b") == (0, "", "")

    assert asked.settings == RunSettings()
    assert asked.sources == ("a", "b")
    assert asked.folder == Path("runs/gru-12")
    assert asked.workers is None
    assert asked.auto["auto_f_max"]


@pytest.mark.parametrize(
    ("arguments", "part", "values"),
    [
        (["--cell", "lstm", "--units", "7", "--layers", "3"], "model", {"cell": "lstm", "units": 7, "layers": 3}),
        (["--precision", "mixed_float16"], "model", {"precision": "mixed_float16"}),
        (["--labels", "all", "--silence", "0.2"], "task", {"labels": "all", "silence_share": 0.2}),
        (["--labels", "yes, no", "--unknown", "0"], "task", {"labels": ("yes", "no"), "unknown_share": 0.0}),
        (["--f-max", "3900"], "features", {"f_max": 3_900.0}),
        (["--epochs", "3", "--batch-size", "16"], "training", {"epochs": 3, "batch_size": 16}),
        (["--learning-rate", "0.1", "--seed", "7"], "training", {"learning_rate": 0.1, "seed": 7}),
        (["--no-augmentation"], "augmentation", AugmentationSettings.off().model_dump()),
        (["--set", "augmentation.room_probability=0.3"], "augmentation", {"room_probability": 0.3}),
        # In either order, though n_mels alone would be refused.
        (["--set", "features.n_mels=32", "--set", "features.n_mfcc=20"], "features", {"n_mels": 32, "n_mfcc": 20}),
        (["--set", 'task.labels=["a b", "c"]'], "task", {"labels": ("a b", "c")}),
        (["--set", "model.cell=rnn", "--cell", "lstm"], "model", {"cell": "rnn"}),
        (["--set", "features.sample_rate=8000"], "features", {"sample_rate": 8_000, "f_max": 3_800.0}),
        (
            ["--set", "features.sample_rate=8000", "--set", "features.f_max=3000"],
            "features",
            {"sample_rate": 8_000, "f_max": 3_000.0},
        ),
    ],
)
def test_an_option_is_a_setting(
    arguments: list[str], part: str, values: dict[str, Any], cli: Cli, asked: Asked
) -> None:
    assert cli("--data", "a", *arguments)[0] == 0

    expected = RunSettings()
    assert asked.settings == expected.changed(**{part: getattr(expected, part).changed(**values)})


def test_options_go_before_the_file_of_settings(cli: Cli, asked: Asked, here: Path) -> None:
    (here / "settings.json").write_text(tone_settings("lstm").to_json())

    assert cli("--data", "a", "--settings", "settings.json", "--units", 99)[0] == 0

    expected = tone_settings("lstm")
    assert asked.settings == expected.changed(model=expected.model.changed(units=99))
    assert asked.folder == Path("runs/lstm-2")


def test_the_help_says_the_defaults_that_the_settings_have() -> None:
    defaults = RunSettings()
    said = 0
    for option in train_module.command.params:
        if isinstance(option, click.Option) and option.name in train_module._FIELDS and option.help:
            part, field = train_module._FIELDS[option.name]
            _, found, default = option.help.partition("[default: ")
            if found and default != "auto]" and " " not in default:
                assert default.rstrip("]") == str(getattr(getattr(defaults, part), field))
                said += 1
    assert said >= 8


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "--data is missing: a folder with a sub-folder a word, 'corpus' or 'tfds'."),
        (["--data", "nowhere"], 1, "'nowhere' is not a source of recordings; give a folder, 'corpus' or 'tfds'"),
        (["--data", "TONES", "--cell", "mamba"], 1, "cell='mamba' is not known; take one of lstm, gru, rnn"),
        (["--data", "TONES", "--units", "0"], 1, "units=0 must be at least 1; 160 is usual"),
        (["--data", "TONES", "--f-max", "9000"], 1, "f_max=9000.0 must be at most half the sample rate (8000.0)"),
        (["--data", "TONES", "--f-max", "high"], 2, "'high' must be 'auto' or a frequency in Hz, such as 4000."),
        (["--data", "TONES", "--labels", "yes,,no"], 1, "label '' must be 1 to 64 printable characters"),
        (["--data", "TONES", "--labels", "yes,yes"], 1, "must be one or more different words"),
        (["--data", "TONES", "--precision", "half"], 1, "precision='half' must be 'float32', 'bfloat16_products', "),
        (["--data", "TONES", "--learning-rate", "nan"], 1, "learning_rate=nan must be a finite number"),
        (["--data", "TONES", "--set", "features.hop_length=0"], 1, "hop_length=0 must be at least 1 sample; 160 is us"),
        (["--data", "TONES", "--set", "features.nmels=32"], 1, "did you mean n_mels?"),
        (["--data", "TONES", "--set", "features.n_mels=few"], 1, "n_mels='few' must be a whole number"),
        (["--data", "TONES", "--set", "sound.n_mels=32"], 1, "'sound' is not a part of the settings; those are featu"),
        (["--data", "TONES", "--set", "n_mels"], 2, "--set 'n_mels' must be PART.NAME=VALUE, such as features.n_mels"),
        (["--data", "TONES", "--settings", "none.json"], 1, "none.json can't be read (No such file or directory)"),
        (["--data", "TONES", "--settings", "TONES"], 1, "can't be read (Is a directory); give a file of settings"),
        (["--data", "TONES", "--workers", "-1"], 2, "-1 is not in the range 0<=x<=256."),
        (["--data", "TONES", "-o", "/dev/null"], 1, "/dev/null can't be made, /dev/null is no folder to write in;"),
        (["--data", "TONES", "-o", "/dev/null/a"], 1, "/dev/null/a can't be made, /dev/null is no folder to write in"),
        (
            ["--data", "a", "--strategy", "multi-worker"],
            1,
            "TF_CONFIG is not set; it says who trains together, such as",
        ),
        (
            ["--data", "a", "--strategy", "mirrored"],
            1,
            "strategy mirrored needs a GPU, and TensorFlow sees none; leave",
        ),
        (["--data", "a", "--strategy", "ps"], 2, "Invalid value for '--strategy': 'ps' is not one of 'multi-worker', "),
        (["--resume", "nothing"], 1, "nothing is not a training run; give a folder that speech-rnn train has written"),
        (["--resume", "nothing", "--cell", "gru"], 2, "--resume takes everything from the run; give only --cache, "),
        (["--resume", "nothing", "--data", "TONES"], 2, "--resume takes everything from the run; give only --cache"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    arguments: list[str], code: int, says: str, cli: Cli, tones: Path
) -> None:
    given = [str(tones) if argument == "TONES" else argument for argument in arguments]

    assert_refused(cli(*given), code, says)

    assert list(Path.cwd().iterdir()) == []


def assert_refused(result: tuple[int, str, str], code: int, says: str) -> None:
    found, out, err = result
    assert (found, out) == (code, "")
    assert err.count("\n") == 1
    assert err.startswith("speech-rnn")
    assert says in err


def test_missing_words_are_named_before_a_run_is_laid_down(cli: Cli, here: Path, tones: Path) -> None:
    code, _, err = cli("--data", tones, "--labels", "low,yes")

    assert code == 1
    assert "needs training clips of yes; there are high, low, middle" in err.splitlines()[-1]
    assert not (here / "runs").exists()


def test_a_run_that_is_there_is_not_written_over(cli: Cli, here: Path, tones: Path) -> None:
    (here / "runs" / "gru-12").mkdir(parents=True)
    (here / "runs" / "gru-12" / "run.json").write_text("mine")

    assert_refused(
        cli("--data", tones),
        1,
        "runs/gru-12 holds a run already; go on with --resume runs/gru-12, or give another -o folder",
    )

    assert (here / "runs" / "gru-12" / "run.json").read_text() == "mine"
    assert [path.name for path in here.iterdir()] == ["runs"]


@pytest.mark.usefixtures("eager")
def test_a_run_says_what_it_does_and_how_good_it_became(
    cli: Cli, here: Path, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "settings.json").write_text(small_settings().to_json())

    code, out, err = cli("--data", tones, "--settings", "settings.json", "-o", "run", "--workers", 0)

    assert code == 0
    lines = out.splitlines()
    n = RunRecord.read(here / "run").clips
    assert f"training rnn, 1 x 4 units, on {n} clips an epoch, 4 labels, in run" in lines
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [line.split("  ")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all(" left" in line and "validation " in line for line in epochs)
    best = max(
        finished_epochs(here / "run"), key=lambda entry: (entry["validation_accuracy"], -entry["validation_loss"])
    )
    assert f"validation accuracy {best['validation_accuracy']:.2%} in its best epoch, {best['epoch']} (" in lines[-2]
    assert lines[-1] == "speech-rnn export run -o my-model   makes files for apps of it"
    assert "Traceback" not in err
    assert all(line.startswith("warning: ") for line in err.splitlines())

    # From another folder, and with nothing left to do.
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    code, out, _ = cli("--resume", here / "run", "--workers", 0)
    assert code == 0
    assert not any(line.startswith("epoch ") for line in out.splitlines())
    assert "validation accuracy" in out


@pytest.mark.usefixtures("eager")
def test_other_recordings_than_it_began_with_are_refused(cli: Cli, here: Path) -> None:
    folder = write_tones(here / "tones")
    (here / "settings.json").write_text(small_settings(epochs=1).to_json())
    assert cli("--data", folder, "--settings", "settings.json", "-o", "run", "--workers", 0)[0] == 0
    next((folder / "low").iterdir()).unlink()

    assert_refused(
        cli("--resume", "run"), 1, f"the recordings in {folder} have changed since run began; train anew with -o"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("eager", "ctrl_c")
def test_ctrl_c_ends_with_code_130_and_the_run_goes_on_from_there(
    cli: Cli, here: Path, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "settings.json").write_text(small_settings(epochs=2_000).to_json())
    command = [sys.executable, "-c", TRAIN, "train", "--data", str(tones)]
    command += ["--settings", "settings.json", "-o", "run", "--workers", "1"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("epoch    2 of 2000"):
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        err = process.stderr.read()

    assert process.returncode == 130
    assert err.splitlines()[-1] == "speech-rnn: stopped and saved; speech-rnn train --resume run goes on"
    assert "Traceback" not in err
    done = len(finished_epochs(here / "run"))
    assert done >= 2

    # Of the three steps of an epoch one, two or all have been done: the third from here is in the epoch after.
    monkeypatch.setattr(BatchMaker, "batch", interrupt(at_step=3))
    code, out, err = cli("--resume", "run", "--workers", 0)

    assert code == 130
    assert [line[:18] for line in out.splitlines()[1:]] == [f"epoch {done + 1:>4} of 2000"]
    assert err.splitlines()[-1] == "speech-rnn: stopped and saved; speech-rnn train --resume run goes on"
    assert [entry["epoch"] for entry in finished_epochs(here / "run")] == list(range(1, done + 2))


def finished_epochs(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def shards(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = open_store([FolderSource(tones)], FEATURES, tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("shards") / "features"
    return write_shards(folder, store, FEATURES, {"training": 2, "validation": 1})


def test_a_run_on_prepared_features_takes_their_front_end(cli: Cli, here: Path, shards: Path) -> None:
    options = ("--cell", "rnn", "--units", 4, "--layers", 1, "--labels", "low,high", "--epochs", 1, "--workers", 0)

    code, said, errors = cli("--data", shards, *options, "-o", "run")

    assert (code, errors) == (0, "")
    assert said.startswith("clips are heard without other rooms, speeds and overloaded microphones, which need sound\n")
    assert "validation accuracy" in said
    record = RunRecord.read(here / "run")
    assert record.settings.features == FEATURES
    assert record.settings.augmentation.renderings == 1
    assert [source.name for source in record.sources] == [str(shards)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--f-max", 2_000.0), "the features of .* are others than the run's; prepare them with the same settings"),
        (("--data", "corpus"), "holds prepared features, which are learned from alone"),
        (("--labels", "yes"), "needs training clips of yes; there are high, low, middle"),
    ],
)
def test_what_prepared_features_cannot_be_is_said_in_one_line(
    cli: Cli, shards: Path, options: tuple[object, ...], message: str
) -> None:
    code, _, errors = cli("--data", shards, *options, "-o", "run")

    assert code == 1
    assert re.search(message, errors)
    assert errors.count("\n") == 1
