from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_rnn import training
from speech_rnn.comparison.plan import ComparisonPlan
from speech_rnn.comparison.results import Results, read_results
from speech_rnn.comparison.running import run_comparison, seconds_left
from speech_rnn.data.batches import Batch, BatchMaker
from speech_rnn.data.clips import Part
from speech_rnn.data.task import Items
from speech_rnn.errors import DataError, ModelError
from speech_rnn.preparation import Prepared, prepare
from speech_rnn.runs import load_run
from speech_rnn.scoring import score_run
from tests.comparison.planted import planted, planted_header
from tests.tones import interrupt, small_settings, write_tones

PLAN = ComparisonPlan(
    cells=("rnn", "gru"),
    budgets=("units",),
    sizes=(3,),
    seeds=(1,),
    learning_rates={"gru": 0.02},
    base=small_settings(),
)
KEYS = ["rnn-3-seed1", "gru-3-seed1"]
STEPS = 3 + 2 * 3  # batches of a training: for the normalization, and two epochs


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


def die(at_step: int) -> Any:
    batch, made = BatchMaker.batch, 0

    def dying(self: BatchMaker, items: Items, part: Part, epoch: int) -> Batch:
        nonlocal made
        made += part == "training"
        if made == at_step:
            raise RuntimeError("killed")
        return batch(self, items, part, epoch)

    return dying


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
    assert said[1].startswith(f"  {results.finished[KEYS[0]].right_answers().mean():.2%} of ")


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
        patch.setattr(BatchMaker, "batch", interrupt(at_step=STEPS + 5))
        with pytest.raises(KeyboardInterrupt) as stopped:
            run_comparison(folder, PLAN, prepared, workers=0)
    assert str(stopped.value) == f"stopped and saved; the same command with -o {folder} goes on from there"
    assert list(read_results(folder / "results.jsonl").finished) == KEYS[:1]
    assert [path.name for path in (folder / "runs").iterdir()] == KEYS[1:2]
    with monkeypatch.context() as patch:
        patch.setattr(BatchMaker, "batch", die(at_step=3))
        with pytest.raises(RuntimeError, match="killed"):
            run_comparison(folder, PLAN, prepared, workers=0)
    with (folder / "results.jsonl").open("ab") as file:
        file.write(b'{"key":"gru-3-se')

    results = run_comparison(folder, PLAN, prepared, workers=0)

    assert without_times(results) == without_times(read_results(never_stopped[0] / "results.jsonl"))
    assert without_times(read_results(folder / "results.jsonl")) == without_times(results)
    assert list((folder / "runs").iterdir()) == []


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


def test_what_can_t_be_trained_or_judged_is_said_before_anything_is_written(prepared: Prepared, tmp_path: Path) -> None:
    words = PLAN.base.task.changed(labels=("low", "yes"))

    with pytest.raises(DataError, match="needs training clips of yes; there are high, low, middle"):
        run_comparison(tmp_path / "compare", PLAN.changed(base=PLAN.base.changed(task=words)), prepared)
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_goes_by_what_each_cell_has_taken() -> None:
    header = planted_header(PLAN.changed(seeds=(1, 2)), 4)
    right = np.ones(4, np.bool_)

    def left(*seconds: float) -> float | None:
        keys = [trial.key for trial in header.trials]
        lines = [planted(key, right, seconds=took) for key, took in zip(keys, seconds, strict=False)]
        return seconds_left(Results(header, {line.key: line for line in lines}))

    assert left() is None
    assert left(10.0) == 30.0
    assert left(10.0, 4.0) == 14.0
    assert left(10.0, 4.0, 10.0) == 4.0
    assert left(10.0, 4.0, 10.0, 4.0) == 0.0
