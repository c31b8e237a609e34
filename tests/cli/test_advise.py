from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speech_rnn.cli.main import main
from speech_rnn.comparison import shipped
from speech_rnn.comparison.results import RESULTS, Results
from speech_rnn.comparison.shipped import RESULTS_FILE, shipped_results
from speech_rnn.errors import DataError
from tests.comparison.planted import planted_comparison
from tests.comparison.test_advice import TRUTHS

Cli = Callable[..., tuple[int, str, str]]


def write(path: Path, results: Results) -> Path:
    lines = [results.header, *results.finished.values(), *results.measured.values(), *results.costs.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line.model_dump_json()}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    comparison = planted_comparison(TRUTHS, budgets=("units",))
    return write(tmp_path_factory.mktemp("compare") / RESULTS, comparison)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``speech-rnn advise`` with some arguments: exit code, standard output and error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["speech-rnn", "advise", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


def test_what_to_take_is_said_with_reason_figures_and_runner_up(cli: Cli, results: Path) -> None:
    code, out, err = cli("--max-kb", 4.5, "--max-us", 5, "--results", results)

    assert (code, err) == (0, "")
    first, _, head, chosen, runner_up, _, gap, data, machine = out.splitlines()
    assert first.startswith("take GRU with 8 units in int8: ")
    assert head.split()[:5] == ["cell", "units", "form", "kB", "µs"]
    assert "accuracy, synthetic" in head
    assert chosen.split()[:7] == ["take", "gru", "8", "int8", "4.0", "4.0", "2.4"]
    assert runner_up.startswith("runner-up  lstm")
    assert "points between them, interval " in gap
    assert "5 seeds each, judged on 400 clips, the testing part of corpus (machines speak): made up" in data
    assert machine.strip() == "timed on a machine that the results do not name"


def test_the_folder_of_a_comparison_is_as_good_as_its_file(cli: Cli, results: Path) -> None:
    assert cli("--results", results.parent) == cli("--results", results)


def test_json_holds_every_figure_with_its_interval(cli: Cli, results: Path) -> None:
    code, out, _ = cli("--max-kb", 4.5, "--json", "--results", results)

    advice = json.loads(out)
    assert code == 0
    assert advice["limits"] == {"max_kb": 4.5, "max_us": None, "max_ram_kb": None, "min_accuracy": None}
    assert advice["chosen"]["low"] < advice["chosen"]["accuracy"] < advice["chosen"]["high"]
    assert advice["gap"]["low"] < advice["gap"]["points"] < advice["gap"]["high"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--max-kb", "1"], 1, "speech-rnn: nothing fits --max-kb 1; the nearest is GRU with 4 units in int8 ("),
        (["--max-kb", "0"], 1, "speech-rnn: max_kb=0.0 must be above 0 kB; 40 is an example"),
        (["--min-accuracy", "950"], 1, "must be at most 100 %; 95 is an example"),
        (["--max-kb", "much"], 2, "'much' is not a valid float. Try 'speech-rnn advise --help'."),
        (["--results", "nowhere.jsonl"], 1, "nowhere.jsonl can't be read (No such file or directory)"),
    ],
)
def test_what_can_t_be_is_one_line(arguments: list[str], code: int, says: str, cli: Cli, results: Path) -> None:
    given = arguments if "--results" in arguments else [*arguments, "--results", str(results)]

    assert cli(*given)[:2] == (code, "")
    err = cli(*given)[2]
    assert err.count("\n") == 1
    assert says in err


def test_eight_bits_that_were_not_measured_are_said_to_be(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path / "other.jsonl", planted_comparison(TRUTHS, budgets=("units",), measured=False))

    assert "accuracy of int8 is that of float32: it was not measured in eight bits" in cli("--results", path)[1]


def test_it_needs_nothing_of_the_workshop(results: Path) -> None:
    code = (
        "import sys\n"
        "from speech_rnn.cli.main import main\n"
        f"sys.argv = ['speech-rnn', 'advise', '--results', {str(results)!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('\\n', *{name.partition('.')[0] for name in sys.modules})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"keras", "tensorflow", "scipy", "librosa", "jinja2"} & set(done.stdout.splitlines()[-1].split())


def test_results_are_found_in_a_wheel_and_beside_the_package_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "speech_rnn"
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    beside, inside = tmp_path / "docs" / "lstm-vs-gru" / RESULTS_FILE, package / "lstm-vs-gru" / RESULTS_FILE
    beside.parent.mkdir(parents=True)
    beside.touch()

    with pytest.raises(DataError, match="no results come with this install; --results FILE takes those that "):
        shipped_results()
    (tmp_path / "pyproject.toml").touch()
    assert shipped_results() == beside
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert shipped_results() == inside
