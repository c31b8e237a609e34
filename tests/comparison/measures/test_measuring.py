from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_rnn.comparison.measures import measuring
from speech_rnn.comparison.measures.measuring import (
    MeasuringSounds,
    is_measured,
    is_taught,
    measure,
    right_in_8_bits,
    to_measure,
)
from speech_rnn.comparison.measures.variants import VARIANTS
from speech_rnn.comparison.plan import ComparisonPlan, Trial
from speech_rnn.comparison.results import Header, Measured, Results, read_results
from speech_rnn.comparison.running import run_comparison
from speech_rnn.errors import ModelError
from speech_rnn.export.artefact import int8_stream
from speech_rnn.export.calibration import calibration_features
from speech_rnn.features import mfcc
from speech_rnn.preparation import Prepared, prepare
from speech_rnn.runs import load_run
from speech_rnn.scoring import score_run
from tests.comparison.planted import planted_header
from tests.tones import small_settings, write_tones

PLAN = ComparisonPlan(
    cells=("rnn", "gru"),
    budgets=("units",),
    sizes=(3, 4, 5),
    seeds=(1,),
    taught_steps=3,
    base=small_settings(learning_rate=0.05),
)
ASKED = ("0", "0.5", "1", "2", "4", "7", "10")
GAPS = [f"gap_{kind}:{seconds}" for kind in ("silence", "noise", "words") for seconds in ASKED]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("recordings")
    return prepare([str(write_tones(folder / "tones"))], PLAN.base, folder / "cache")


@pytest.fixture(scope="module")
def folder(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A comparison that is done, its runs kept."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("comparison") / "compare"
    tf.config.run_functions_eagerly(True)
    run_comparison(folder, PLAN, prepared, workers=0, keep_runs=True)
    tf.config.run_functions_eagerly(False)
    yield folder


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """No conversion."""
    monkeypatch.setattr(measuring, "right_in_8_bits", lambda _, sounds: np.ones(len(sounds.spoken), np.bool_))


def measured(folder: Path, key: str, prepared: Prepared) -> Measured:
    header = read_results(folder / "results.jsonl").header
    (trial,) = (one for one in header.trials if one.key == key)
    return measure(folder / "runs" / key, header, trial, prepared.store, workers=0)


def sounds_of(prepared: Prepared) -> MeasuringSounds:
    return MeasuringSounds(prepared.store, PLAN.base, ("_silence_", "_unknown_", "low", "high"), PLAN.part, 0)


@pytest.mark.usefixtures("cheap")
def test_a_cell_is_asked_everything_of_the_clips_that_judge_it(folder: Path, prepared: Prepared) -> None:
    line = measured(folder, "gru-3-seed1", prepared)

    assert list(line.answers) == [*(variant.key for variant in VARIANTS), "int8:0", *GAPS]
    run = load_run(folder / "runs" / "gru-3-seed1", "final")
    scored = score_run(run, prepared.store, PLAN.part, workers=0)
    right = scored.logits.argmax(axis=1) == scored.targets
    spoken = scored.targets != run.labels.index("_silence_")
    is_word = np.isin(scored.targets, [run.labels.index("low"), run.labels.index("high")])
    assert 0 < spoken.sum() < len(spoken)
    np.testing.assert_array_equal(line.answers["recorded:0"].bits(), right[spoken])
    for kind in ("silence", "noise", "words"):
        np.testing.assert_array_equal(line.answers[f"gap_{kind}:0"].bits(), right[is_word])
        assert {line.answers[f"gap_{kind}:{seconds}"].n for seconds in ASKED} == {is_word.sum()}
    assert len(line.gradient_norms) == PLAN.base.features.n_frames // 4 * 4
    assert min(line.gradient_norms) >= 0 < max(line.gradient_norms)


@pytest.mark.usefixtures("cheap")
def test_a_gap_of_noise_is_heard_as_if_it_were_all_one_recording(folder: Path, prepared: Prepared) -> None:
    key = "rnn-5-seed1"

    line = measured(folder, key, prepared)

    run, sounds = load_run(folder / "runs" / key, "final"), sounds_of(prepared)
    rows = sounds.followed("noise").read(np.arange(len(sounds.words)))
    frames = mfcc(rows * np.float32(1 / 32_768), PLAN.base.features)
    for seconds in (1.0, 4.0):
        heard = prepared.store.clip_length + round(seconds * prepared.store.sample_rate)
        n = 1 + (heard - PLAN.base.features.n_fft) // PLAN.base.features.hop_length
        cell, dense = run.classifier.get_layer("recurrent_0").cell, run.classifier.get_layer("logits")
        stacked = np.asarray(run.classifier.get_layer("normalization")(frames[:, : n // 4 * 4]))
        state = np.zeros((len(rows), 5), np.float32)
        kernel, recurrent, bias = cell.get_weights()
        for step in np.split(stacked, n // 4, axis=1):
            state = np.tanh(step.reshape(len(rows), -1) @ kernel + state @ recurrent + bias)
        logits = state @ dense.get_weights()[0] + dense.get_weights()[1]
        expected = logits.argmax(axis=1) == sounds.words.label
        np.testing.assert_array_equal(line.answers[f"gap_noise:{seconds:g}"].bits(), expected)


@pytest.mark.usefixtures("cheap")
def test_cells_of_the_middle_size_alone_are_taught_and_measuring_again_finds_the_same(
    folder: Path, prepared: Prepared
) -> None:
    line = measured(folder, "rnn-4-seed1", prepared)

    assert [key for key in line.answers if "taught" in key] == [f"taught_{key}" for key in GAPS]
    assert measured(folder, "rnn-4-seed1", prepared) == line


def test_a_cell_without_an_integer_form_is_asked_everything_else(
    folder: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ModelError("the converter refuses it")

    monkeypatch.setattr(measuring, "int8_stream", refused)

    line = measured(folder, "gru-3-seed1", prepared)

    assert list(line.answers) == [*(variant.key for variant in VARIANTS), *GAPS]


def test_what_is_measured_are_kept_cells_that_were_not_yet(folder: Path) -> None:
    results = read_results(folder / "results.jsonl")
    done = Measured(key="gru-4-seed1", answers={}, gradient_norms=())

    found = to_measure(Results(results.header, results.finished, {done.key: done}), folder / "runs")

    assert [trial.key for trial in found] == [key for key in results.finished if key != done.key]
    assert to_measure(results, folder / "elsewhere") == []


@pytest.mark.slow
def test_a_quick_comparison_measures_the_middle_size_alone_and_one_without_lessons_teaches_none() -> None:
    header = planted_header(PLAN, 4)
    plan = header.plan.changed(measured="middle")
    trials = [trial for trial in header.trials if trial.study == "cells"]
    middle = {(one.cell, one.units) for one in plan.middle(header.contenders)}

    def chosen(plan: ComparisonPlan, rule: Callable[[Header, Trial], bool]) -> set[tuple[str, int]]:
        changed = header.changed(plan=plan)
        return {(trial.cell, trial.units) for trial in trials if rule(changed, trial)}

    assert chosen(plan, is_measured) == middle
    assert chosen(header.plan, is_measured) == {(trial.cell, trial.units) for trial in trials} > middle
    assert chosen(header.plan, is_taught) == middle
    assert chosen(header.plan.changed(taught_steps=0), is_taught) == set()


def test_eight_bits_are_those_of_the_converter_and_of_litert(folder: Path, prepared: Prepared) -> None:
    run, sounds = load_run(folder / "runs" / "gru-5-seed1", "final"), sounds_of(prepared)

    right = right_in_8_bits(run, sounds)

    calibration = calibration_features(run.settings, prepared.store)
    model = int8_stream(run, name="other", calibration=calibration, which="final")
    for clip, label, found in zip(sounds.spoken.clip, sounds.spoken.label, right, strict=True):
        sound = prepared.store.read(np.array([clip])) * np.float32(1 / 32_768)
        assert (model.clip_scores(sound)[0].argmax() == label) == found


@pytest.mark.slow
def test_cells_are_measured_side_by_side_and_not_again(
    folder: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (folder / "results.jsonl").read_text().splitlines()
    said: list[str] = []
    try:
        # All but one cell were measured before.
        others = [
            Measured(key=key, answers={}, gradient_norms=()).model_dump_json()
            for key in read_results(folder / "results.jsonl").finished
            if key != "rnn-4-seed1"
        ]
        (folder / "results.jsonl").write_text("".join(f"{line}\n" for line in [*lines, *others]))

        results = run_comparison(folder, PLAN, prepared, jobs=1, keep_runs=True, measured=True, say=said.append)

        line = results.measured["rnn-4-seed1"]
        assert said == ["  rnn-4-seed1 is measured"]
        assert set(line.answers) == {
            *(variant.key for variant in VARIANTS),
            *("int8:0", *GAPS),
            *(f"taught_{key}" for key in GAPS),
        }
        assert (line.answers["int8:0"].bits() == line.answers["recorded:0"].bits()).mean() > 0.8
        assert read_results(folder / "results.jsonl").measured == results.measured
        nothing: Any = None
        monkeypatch.setattr("speech_rnn.comparison.running.side_by_side", nothing)
        again = run_comparison(folder, PLAN, prepared, jobs=1, keep_runs=True, measured=True)
        assert again.measured == results.measured
    finally:
        (folder / "results.jsonl").write_text("".join(f"{line}\n" for line in lines))
