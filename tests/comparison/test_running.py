from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_rnn import training
from speech_rnn.comparison import running
from speech_rnn.comparison.plan import ComparisonPlan, Trial
from speech_rnn.comparison.results import Answers, Header, Measured, Results, read_results
from speech_rnn.comparison.running import run_comparison, seconds_left
from speech_rnn.data.bending import Batch
from speech_rnn.data.store import Store
from speech_rnn.errors import DataError, ModelError
from speech_rnn.preparation import Prepared, prepare
from speech_rnn.runs import load_run
from speech_rnn.scoring import score_run
from tests.comparison.planted import planted, planted_header
from tests.tones import small_settings, write_tones

PLAN = ComparisonPlan(
    cells=("rnn", "gru"),
    budgets=("units",),
    sizes=(3,),
    seeds=(1,),
    learning_rates={"gru": 0.02},
    base=small_settings(),
)
KEYS = ["rnn-3-seed1", "gru-3-seed1"]
STEPS = 2 * 3  # of a training, in two epochs


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("recordings")
    return prepare([str(write_tones(folder / "tones"))], PLAN.base, folder / "cache")


@pytest.fixture(scope="module")
def eager_module() -> Iterator[None]:
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def never_stopped(
    prepared: Prepared, eager_module: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A comparison that went through, its runs kept, and what it said."""
    folder, said = tmp_path_factory.mktemp("comparison") / "compare", list[str]()
    run_comparison(folder, PLAN, prepared, workers=0, keep_runs=True, say=said.append)
    return folder, said


def without_times(results: Results) -> list[dict[str, Any]]:
    lines = [line.model_dump() for line in results.finished.values()]
    for line in lines:
        assert line.pop("seconds") >= 0
        for epoch in line["history"]:
            assert epoch.pop("seconds") >= 0
    return lines


def at_step(number: int, happens: Callable[[], None]) -> Any:
    """A trainer's step as ever, before which something happens once."""
    step, made = training._Trainer._step, 0

    def counted(self: training._Trainer, batch: Batch) -> float:
        nonlocal made
        made += 1
        if made == number:
            happens()
        return step(self, batch)

    return counted


def ctrl_c_comes() -> None:
    signal.raise_signal(signal.SIGINT)


def die() -> None:
    raise RuntimeError("killed")


def test_every_cell_is_trained_from_every_seed_and_judged_by_its_last_weights(
    never_stopped: tuple[Path, list[str]], prepared: Prepared
) -> None:
    folder, said = never_stopped

    results = read_results(folder / "results.jsonl")

    assert list(results.finished) == KEYS
    assert results.missing == []
    for key, line in results.finished.items():
        run = load_run(folder / "runs" / key, "final")
        scored = score_run(run, prepared.store, "testing", workers=0)
        np.testing.assert_array_equal(line.right_answers(), scored.logits.argmax(axis=1) == scored.targets)
        assert line.parameters == sum(int(np.prod(weight.shape)) for weight in run.classifier.trainable_weights)
        assert [entry.model_dump() for entry in line.history] == list(run.history)
        assert run.settings.training.learning_rate == (0.02 if key.startswith("gru") else 0.05)
    assert said[0] == "1 of 2: rnn, 3 units, seed 1"
    assert said[2].startswith("2 of 2: gru, 3 units, seed 1, ")
    assert said[2].endswith(" left")
    accuracy = results.finished[KEYS[0]].right_answers().mean()
    assert said[1].startswith(f"  rnn, 3 units, seed 1: {accuracy:.2%} of ")
    assert not any((folder / "batches").iterdir())


def test_what_is_done_is_not_done_again(
    never_stopped: tuple[Path, list[str]], prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = never_stopped
    monkeypatch.setattr(training, "train", None)

    results = run_comparison(folder, PLAN, prepared, workers=0)

    assert without_times(results) == without_times(read_results(folder / "results.jsonl"))
    assert sorted(path.name for path in (folder / "runs").iterdir()) == sorted(KEYS)


@pytest.mark.usefixtures("eager_module", "ctrl_c")
def test_stopped_and_killed_it_ends_with_the_results_of_one_that_was_not(
    never_stopped: tuple[Path, list[str]], prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "compare"
    with monkeypatch.context() as patch:
        patch.setattr(training._Trainer, "_step", at_step(STEPS + 5, ctrl_c_comes))
        with pytest.raises(KeyboardInterrupt) as stopped:
            run_comparison(folder, PLAN, prepared, workers=0)
    assert str(stopped.value) == f"stopped and saved; the same command with -o {folder} goes on from there"
    assert list(read_results(folder / "results.jsonl").finished) == KEYS[:1]
    assert [path.name for path in (folder / "runs").iterdir()] == KEYS[1:2]
    with monkeypatch.context() as patch:
        patch.setattr(training._Trainer, "_step", at_step(1, die))
        with pytest.raises(RuntimeError, match="killed"):
            run_comparison(folder, PLAN, prepared, workers=0)
    with (folder / "results.jsonl").open("ab") as file:
        file.write(b'{"key":"gru-3-se')

    results = run_comparison(folder, PLAN, prepared, workers=0)

    assert without_times(results) == without_times(read_results(never_stopped[0] / "results.jsonl"))
    assert without_times(read_results(folder / "results.jsonl")) == without_times(results)
    assert list((folder / "runs").iterdir()) == []


@pytest.mark.slow
def test_side_by_side_in_processes_it_chooses_a_rate_hears_fewer_clips_and_ends_the_same_after_a_kill(
    prepared: Prepared, tmp_path: Path
) -> None:
    plan = PLAN.changed(cells=("gru", "rnn"), learning_rates={"rnn": 0.05}, rates=(1e-6, 0.05), shares=(0.5,))
    said = list[str]()

    through = run_comparison(tmp_path / "through", plan, prepared, jobs=2, say=said.append)
    lines = (tmp_path / "through" / "results.jsonl").read_text().splitlines(keepends=True)
    halved = tmp_path / "halved"
    halved.mkdir()
    (halved / "results.jsonl").write_text("".join(lines[:4]))
    again = run_comparison(halved, plan, prepared, jobs=1)

    keys = ["gru-3-seed0-rate1e-06", "gru-3-seed0-rate0.05", "gru-3-seed1", "rnn-3-seed1"]
    keys += ["gru-3-seed1-share0.5", "rnn-3-seed1-share0.5"]
    assert set(through.finished) == set(keys)
    chosen = max(keys[:2], key=lambda key: through.finished[key].history[-1].validation_accuracy or 0.0)
    assert through.learning_rates == {"gru": 0.05 if chosen == keys[1] else 1e-6, "rnn": 0.05}
    assert sorted(without_times(again), key=str) == sorted(without_times(through), key=str)
    assert through.finished[keys[4]].history[-1].clips == pytest.approx(
        2 * 0.5 * through.finished[keys[2]].history[-1].clips, rel=0.35
    )
    assert "5 of 6: gru, 3 units, seed 1, 0.5 of the clips" in "".join(said)
    assert list((tmp_path / "through" / "batches").iterdir()) == []
    assert (tmp_path / "through" / "trainings.log").exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_processes_and_says_how_to_go_on(prepared: Prepared, tmp_path: Path) -> None:
    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(training.Interrupted, match=r"stopped and saved; the same command with -o .*compare goes on"):
        run_comparison(tmp_path / "compare", PLAN, prepared, jobs=1, say=interrupted)

    assert active_children() == []
    assert read_results(tmp_path / "compare" / "results.jsonl").finished == {}


@pytest.mark.usefixtures("eager_module")
def test_batches_that_would_fill_the_disk_are_not_kept(
    prepared: Prepared, never_stopped: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST_BATCH_BYTES", 10)

    results = run_comparison(tmp_path / "compare", PLAN, prepared, workers=0)

    assert not (tmp_path / "compare" / "batches").exists()
    assert without_times(results) == without_times(read_results(never_stopped[0] / "results.jsonl"))


@pytest.mark.usefixtures("eager_module")
def test_what_a_kill_left_is_removed(
    prepared: Prepared, never_stopped: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "compare"
    shutil.copytree(never_stopped[0], folder)
    (folder / "runs" / KEYS[0] / running.PASSING).touch()
    (folder / "batches" / "seed9").mkdir(parents=True)
    results = folder / "results.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:2]))
    shutil.rmtree(folder / "runs" / KEYS[1])
    heard = folder / "batches" / "seed1"
    heard.mkdir()
    (heard / ".half-0123456789ab.batches").touch()
    (heard / "whole.batches").touch()
    monkeypatch.setattr(training._Trainer, "_step", at_step(1, die))

    with pytest.raises(RuntimeError, match="killed"):
        run_comparison(folder, PLAN, prepared, workers=0)

    assert [path.name for path in (folder / "runs").iterdir()] == KEYS[1:]
    assert (folder / "runs" / KEYS[1] / running.PASSING).exists()
    assert [path.name for path in (folder / "batches").iterdir()] == ["seed1"]
    assert "whole.batches" in {path.name for path in heard.iterdir()}
    assert not list(heard.glob(".*"))


def weighed(folder: Path, header: Header, trial: Trial, store: Store, *, workers: int | None) -> Measured:
    """In place of a measurement: a figure of the last weights."""
    weights = load_run(folder, "final").classifier.get_weights()
    norm = float(sum(np.abs(weight).sum() for weight in weights))
    return Measured(key=trial.key, answers={"recorded:0": Answers.of(np.ones(3, np.bool_))}, gradient_norms=(norm,))


def without_seconds(folder: Path) -> list[str]:
    """The lines of the results as they stand, without what it took."""
    return re.sub(r'"seconds":[0-9.]+', "", (folder / "results.jsonl").read_text()).splitlines()


@pytest.mark.usefixtures("eager_module", "ctrl_c")
def test_a_cell_is_measured_before_its_run_is_removed_and_a_stop_changes_nothing(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "measure", weighed)
    never, stopped = tmp_path / "never", tmp_path / "stopped"
    run_comparison(never, PLAN, prepared, workers=0, measured=True)

    def interrupting(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for where, name in ((running, "measure"), (training._Trainer, "_step")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, interrupting)
            with pytest.raises(training.Interrupted, match=r"the same command with -o .*stopped goes on from there"):
                run_comparison(stopped, PLAN, prepared, workers=0, measured=True)
    assert [path.name for path in (stopped / "runs").iterdir()] == KEYS[1:]
    run_comparison(stopped, PLAN, prepared, workers=0, measured=True)

    assert [re.findall('"key":"([^"]+)"', line)[0] for line in without_seconds(never)[1:]] == [
        *KEYS[:1] * 2,
        *KEYS[1:] * 2,
    ]
    assert without_seconds(stopped) == without_seconds(never)
    assert list((stopped / "runs").iterdir()) == []


def test_cells_whose_runs_are_kept_are_measured_later_and_those_measured_before_are_not(
    never_stopped: tuple[Path, list[str]], prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = tmp_path / "compare", list[str]()
    shutil.copytree(never_stopped[0], folder)
    monkeypatch.setattr(running, "measure", weighed)
    shutil.move(folder / "runs" / KEYS[0], tmp_path / "away")

    first = run_comparison(folder, PLAN, prepared, keep_runs=True, measured=True, say=said.append)
    shutil.move(tmp_path / "away", folder / "runs" / KEYS[0])
    second = run_comparison(folder, PLAN, prepared, keep_runs=True, measured=True, say=said.append)

    assert list(first.measured) == KEYS[1:]
    assert list(second.measured) == KEYS[::-1]
    assert said == [f"  {key} is measured" for key in KEYS[::-1]]
    assert read_results(folder / "results.jsonl").measured == second.measured


def test_other_recordings_than_those_of_the_comparison_measure_nothing(
    never_stopped: tuple[Path, list[str]], tmp_path: Path
) -> None:
    other = prepare([str(write_tones(tmp_path / "tones", first_speaker=400))], PLAN.base, tmp_path / "cache")

    with pytest.raises(DataError, match="holds another comparison: digest of recordings is"):
        run_comparison(never_stopped[0], PLAN, other, keep_runs=True, measured=True)


@pytest.mark.usefixtures("eager_module")
def test_a_loss_that_is_no_number_says_in_which_training(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training._Trainer, "_step", lambda *_: float("nan"))

    with pytest.raises(ModelError, match=r"rnn-3-seed1: the loss became nan at step 0; a learning rate below 0.05 is"):
        run_comparison(tmp_path / "compare", PLAN, prepared, workers=0)


def test_a_run_of_another_comparison_is_not_gone_on_with(prepared: Prepared, tmp_path: Path) -> None:
    run = tmp_path / "compare" / "runs" / "rnn-3-seed1"
    training.start(run, small_settings("lstm"), prepared.sources, prepared.names, prepared.store)

    with pytest.raises(ModelError, match="rnn-3-seed1 is a run of another comparison; remove it, or give another -o"):
        run_comparison(tmp_path / "compare", PLAN, prepared, workers=0)


def test_what_can_t_be_trained_or_judged_is_said_before_anything_is_written(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = PLAN.base.task.changed(labels=("low", "yes"))

    with pytest.raises(DataError, match="needs training clips of yes; there are high, low, middle"):
        run_comparison(tmp_path / "compare", PLAN.changed(base=PLAN.base.changed(task=words)), prepared)
    monkeypatch.setattr(running, "TUNING_SHARE", 1e-9)
    with pytest.raises(DataError, match="training speakers leaves none of the words' to judge by"):
        run_comparison(tmp_path / "compare", PLAN.changed(rates=(0.1, 0.2)), prepared)
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_goes_by_what_each_cell_has_taken() -> None:
    header = planted_header(PLAN.changed(seeds=(1, 2)), 4)
    right = np.ones(4, np.bool_)

    def left(*seconds: float, jobs: int = 1) -> float | None:
        keys = [trial.key for trial in header.trials]
        lines = [planted(key, right, seconds=took) for key, took in zip(keys, seconds, strict=False)]
        return seconds_left(Results(header, {line.key: line for line in lines}), jobs)

    assert left() is None
    assert left(10.0) == 30.0
    assert left(10.0, 4.0) == left(10.0, 4.0, jobs=0) == 14.0
    assert left(10.0, 4.0, jobs=2) == left(10.0, 4.0, jobs=9) == 7.0  # two are missing
    assert left(10.0, 4.0, 10.0) == 4.0
    assert left(10.0, 4.0, 10.0, 4.0) == 0.0
