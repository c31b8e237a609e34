from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speech_rnn.cli import compare_report
from speech_rnn.cli.compare_report import MEMORY_TASKS, plan_of
from speech_rnn.cli.main import main
from speech_rnn.comparison import running
from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.summary import summarize
from speech_rnn.config import AugmentationSettings, RunSettings
from speech_rnn.errors import DataError
from speech_rnn.memory_tasks.outcomes import append_outcome
from speech_rnn.preparation import Prepared
from tests.comparison.planted import planted_results
from tests.comparison.planted_whole import outcomes
from tests.comparison.test_summary import comparison
from tests.tones import write_tones

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``speech-rnn compare`` with some arguments, in a folder of its own: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["speech-rnn", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[ComparisonPlan]:
    """The plans that are run; each comes to the same planted results."""
    plans: list[ComparisonPlan] = []

    def run_comparison(folder: Path, plan: ComparisonPlan, prepared: Prepared, **others: object) -> object:
        plans.append(plan)
        return planted_results(comparison(0))

    monkeypatch.setattr(compare_report, "run_comparison", run_comparison)
    return plans


def test_an_option_is_a_part_of_the_plan(cli: Cli, tones: Path, planned: list[ComparisonPlan]) -> None:
    arguments = ["--data", tones, "--labels", "low,high", "--cells", "gru, rnn", "--budget", "bytes,macs"]
    arguments += ["--units", "8,16", "--seeds", 3, "--epochs", 7, "--part", "validation"]
    arguments += ["--learning-rate", "rnn=0.01", "--learning-rate", "gru=3e-3"]
    arguments += ["--rates", "0.001,0.1", "--shares", "0.5", "--precision", "bfloat16_products"]

    assert cli(*arguments)[0] == 0

    (plan,) = planned
    assert (plan.cells, plan.budgets, plan.sizes) == (("gru", "rnn"), ("bytes", "macs"), (8, 16))
    assert (plan.seeds, plan.part, plan.learning_rates) == ((1, 2, 3), "validation", {"rnn": 0.01, "gru": 0.003})
    assert (plan.rates, plan.shares, plan.base.model.precision) == ((0.001, 0.1), (0.5,), "bfloat16_products")
    assert plan.base.training == RunSettings().training.changed(epochs=7)
    assert plan.base.task.labels == ("low", "high")
    assert plan.base.features.f_max <= 4_000  # recordings at 8 kHz carry nothing above


def test_the_usual_and_the_quick_plan_are_what_the_help_says() -> None:
    usual, quick = plan_of({}, quick=False), plan_of({}, quick=True)

    assert (usual.cells, usual.budgets, usual.sizes) == (("lstm", "gru", "rnn"), ("units", "parameters"), (64,))
    assert (usual.seeds, usual.base.training) == ((1, 2, 3, 4, 5), RunSettings().training)
    assert (usual.base.model.layers, usual.base.model.stack) == (2, 2)
    assert usual.base.augmentation.renderings == 1
    assert (quick.cells, quick.sizes, quick.seeds) == (("lstm", "gru"), (32,), (1, 2, 3))
    assert quick.base.augmentation == AugmentationSettings.mild()
    assert (quick.base.training.epochs, quick.base.training.learning_rate) == (8, 0.01)
    assert plan_of({"seeds": 2, "sizes": (9,)}, quick=True).changed(seeds=quick.seeds, sizes=quick.sizes) == quick


def test_few_recordings_are_heard_more_often(cli: Cli, tones: Path, planned: list[ComparisonPlan]) -> None:
    assert cli("--data", tones, "--labels", "low,high")[0] == 0

    assert planned[0].base.training.epochs == 150


def test_the_figures_are_printed_with_verdicts_and_named_synthetic(
    cli: Cli, tones: Path, planned: list[ComparisonPlan]
) -> None:
    code, out, _ = cli("--data", tones, "--labels", "low,high", "-o", "some where")

    assert code == 0
    summary = summarize(planted_results(comparison(0)))
    assert "(synthetic corpus: machines speak)" in out
    assert "accuracy, synthetic" in out
    assert "…" not in out  # in 80 columns
    rows = [line.split() for line in out.splitlines()]
    for one in summary.contenders:
        costs, accuracy = (row for row in rows if row[:3] == ["units", "4", one.contender.cell] and "−" not in row)
        assert costs[3:] == ["4", "9", "9", "9"]
        assert accuracy[4:6] == [f"{100 * one.accuracy:.1f}", "%"]
    ends = {" ".join(row[2:5]): row[-2:] for row in rows if "−" in row}
    assert ends.pop("lstm − gru")[-1] == "undecided"
    assert ends == {"lstm − rnn": ["lstm", "better"], "gru − rnn": ["gru", "better"]}
    assert f"made by: speech-rnn compare --data {tones} --labels low,high -o 'some where'" in out
    assert "page: some where/report.html" in out


def test_the_page_is_written_beside_the_results_with_the_memory_tasks_that_lie_there(
    cli: Cli, tones: Path, planned: list[ComparisonPlan]
) -> None:
    folder = Path("made")
    for outcome in outcomes():
        append_outcome(folder / MEMORY_TASKS, outcome)

    code, out, err = cli("--data", tones, "--labels", "low,high", "-o", folder, "--json")

    assert code == 0
    assert err.splitlines()[-1] == "page: made/report.html"
    page = (folder / "report.html").read_text()
    assert f"speech-rnn compare --data {tones} --labels low,high -o made" in page
    assert "adding" in page
    assert f"{100 * json.loads(out)['contenders'][0]['accuracy']:.1f} %" in page


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_figures_are_printed_though_the_page_fails(
    options: list[str],
    cli: Cli,
    tones: Path,
    planned: list[ComparisonPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise DataError("no page")

    monkeypatch.setattr(compare_report, "comparison_page", broken)

    code, out, err = cli("--data", tones, "--labels", "low,high", *options)

    assert code == 1
    assert "lstm" in out
    assert "undecided" in out
    assert "no page" in err


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_it_trains_and_the_same_command_shows_the_figures_again(
    cli: Cli, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything as ever but for the length of the lessons, in long sound, and the costs, which have tests of their own.
    monkeypatch.setattr(running, "measure_costs", lambda *_: None)
    monkeypatch.setattr(compare_report, "plan_of", lambda *some, **more: plan_of(*some, **more).changed(taught_steps=2))
    arguments = ["--data", tones, "--labels", "low,high", "--cells", "rnn,gru", "--budget", "parameters"]
    arguments += ["--units", 3, "--seeds", 1, "--epochs", 1, "--workers", 0, "-o", "made"]

    code, out, err = cli(*arguments)
    again = cli(*arguments, "--json")

    assert code == 0
    assert [line[:7] for line in err.splitlines() if " of 2: " in line] == ["1 of 2:", "2 of 2:"]
    assert "Traceback" not in err
    assert "synthetic" not in out
    assert "rnn − gru" in out
    assert "one seed says nothing of others: nothing is decided; take --seeds 5" in out
    assert again[0] == 0
    assert " of 2: " not in again[2]
    summary = json.loads(again[1])
    assert [one["contender"]["cell"] for one in summary["contenders"]] == ["rnn", "gru"]
    assert [pair["verdict"] for pair in summary["pairs"]] == ["undecided"]
    assert list((tmp_path / "made" / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "--data is missing: a folder with a sub-folder a word, 'corpus' or 'tfds'; or --quick."),
        (["--quick", "--data", "TONES"], 2, "--quick hears the embedded corpus; leave --data out, or --quick."),
        (["--data", "nowhere"], 1, "'nowhere' is not a source of recordings; give a folder, 'corpus' or 'tfds'"),
        (["--data", "TONES", "--cells", "gru"], 1, "cells=('gru',) must be two or more, each once"),
        (["--data", "TONES", "--cells", "gru,mamba"], 1, "cell='mamba' is not known; take one of lstm, gru, rnn"),
        (["--data", "TONES", "--budget", "time"], 1, "must be some of units, parameters, bytes, macs"),
        (["--data", "TONES", "--units", "0"], 1, "sizes=(0,) must be units of a layer, 1 to 4,096"),
        (["--data", "TONES", "--units", "few"], 2, "'few' must be whole numbers with commas between, such as 32,64."),
        (["--data", "TONES", "--seeds", "0"], 2, "0 is not in the range 1<=x<=1000."),
        (["--data", "TONES", "--epochs", "0"], 1, "epochs=0 must be at least 1; 40 is usual"),
        (["--data", "TONES", "--learning-rate", "0.1"], 2, "'0.1' must be CELL=RATE, such as lstm=0.004."),
        (["--data", "TONES", "--learning-rate", "gru=0"], 1, "must be a rate above 0 and at most 1 for each cell"),
        (["--data", "TONES", "--learning-rate", "cnn=1"], 1, "learning rate of 'cnn' must be that of one of lstm, gru"),
        (["--data", "TONES", *2 * ["--learning-rate", "gru=0.1"]], 2, "--learning-rate is given twice for one cell"),
        (["--data", "TONES", "--labels", "yes,yes"], 1, "must be one or more different words"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    arguments: list[str], code: int, says: str, cli: Cli, tones: Path
) -> None:
    found, out, err = cli(*(str(tones) if argument == "TONES" else argument for argument in arguments))

    assert (found, out) == (code, "")
    assert err.count("\n") == 1
    assert err.startswith("speech-rnn")
    assert says in err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("options", [["--units", "8"], ["--jobs", "0", "--seeds", "3"], ["--quick"], ["-o", "compare"]])
def test_show_refuses_what_it_would_pass_over(options: list[str], cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("--show", tmp_path, *options)

    assert (code, out) == (2, "")
    long = {"-o": "--output"}
    names = ", ".join(long.get(option, option) for option in options if option.startswith("-"))
    assert sorted(names.split(", ")) == sorted(err.split("leave ")[1].split(" out.")[0].split(", "))


@pytest.mark.parametrize("name", ["results.html", "results.jsonl"])
def test_show_writes_the_page_beside_the_results_and_never_over_them(name: str, cli: Cli, tmp_path: Path) -> None:
    results = planted_results(comparison(0))
    text = "".join(f"{one.model_dump_json()}\n" for one in (results.header, *results.finished.values()))
    (tmp_path / name).write_text(text)

    code, _, err = cli("--show", name)

    assert (tmp_path / name).read_text() == text
    assert code == (name == "results.html")
    assert ("results.html would be overwritten by its page" in err) == (name == "results.html")
    assert (tmp_path / "results.html").exists()
