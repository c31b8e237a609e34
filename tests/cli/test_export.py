from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from speech_rnn import checkpoint, load
from speech_rnn.card import Card
from speech_rnn.cli.export import command
from speech_rnn.errors import DataError, ModelError
from speech_rnn.export.probes import keras_scores
from speech_rnn.runs import write_record
from tests.export.runs_in_memory import FEATURES, make_run

pytestmark = pytest.mark.usefixtures("forked_conversions")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as training leaves it; its best weights are others than its final ones."""
    folder = tmp_path_factory.mktemp("runs") / "gru-4"
    folder.mkdir()
    run = make_run()
    write_record(folder, run.record)
    normalization = run.classifier.get_layer("normalization")
    state = {name: np.ravel(getattr(normalization, name)).tolist() for name in ("mean", "variance")}
    checkpoint.save(folder / "best.npz", run.classifier.weights, state)
    run.classifier.set_weights([weight / 2 for weight in run.classifier.get_weights()])
    checkpoint.save(folder / "final.npz", run.classifier.weights, state)
    line = {"epoch": 1, "loss": 1.0, "validation_loss": 1.0, "validation_accuracy": 0.5, "validation_clips": 10}
    (folder / "history.jsonl").write_text(json.dumps({**line, "learning_rate": 0.1, "seconds": 1.0, "clips": 9}))
    return folder


@pytest.mark.slow
def test_a_run_becomes_a_model_of_the_folders_name_and_the_table_says_how_good_each_file_is(
    run_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "my-model"

    result = CliRunner().invoke(command, [str(run_folder), "-o", str(output)], catch_exceptions=False)

    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "(bound 0.0001)" in rows["clip.tflite"]
    assert "saved_model/variables/variables.data-00000-of-00001" in rows
    assert result.stdout.rstrip().endswith(f"speech-rnn recognize FILE --model {output}")
    assert load(output).card.name == "my-model"
    assert load(output).card.figures[0].value == 0.5


@pytest.mark.slow
def test_weights_and_name_can_be_chosen_and_the_card_printed(run_folder: Path, tmp_path: Path) -> None:
    arguments = [str(run_folder), "-o", str(tmp_path / "model"), "--name", "other", "--weights", "final", "--json"]

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)

    card = json.loads(result.stdout)
    assert (card["name"], card["training"]["weights"]) == ("other", "final")
    clip = np.random.default_rng(0).normal(0, 0.1, FEATURES.clip_length).astype(np.float32)
    weak = load(tmp_path / "model").scores(clip)
    run = make_run()
    run.classifier.set_weights([weight / 2 for weight in run.classifier.get_weights()])
    np.testing.assert_allclose(weak, keras_scores(run.classifier, FEATURES, clip[np.newaxis])[0], atol=1e-4)


def test_a_folder_that_is_no_run_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a training run"):
        command.main([str(tmp_path), "-o", str(tmp_path / "model")], standalone_mode=False)

    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_model_is_exported_again_with_every_form_and_recordings_for_its_integers(
    run_folder: Path, tmp_path: Path
) -> None:
    compact, whole = tmp_path / "compact", tmp_path / "whole"
    CliRunner().invoke(command, [str(run_folder), "-o", str(compact), "--compact"], catch_exceptions=False)

    with pytest.raises(DataError, match="its training clips aren't with it; add --data, recordings of its words"):
        command.main([str(compact), "-o", str(whole)], standalone_mode=False)
    with pytest.raises(click.UsageError, match="--weights chooses among those of a run"):
        command.main([str(compact), "-o", str(whole), "--weights", "final"], standalone_mode=False)
    assert not whole.exists()
    arguments = [str(compact), "-o", str(whole), "--data", "corpus"]
    assert CliRunner().invoke(command, arguments, catch_exceptions=False).exit_code == 0

    again, first = Card.read(whole / "card.json"), Card.read(compact / "card.json")
    assert {"saved_model/saved_model.pb", "stream_float16.tflite"} < set(again.files) - set(first.files)
    assert (again.name, again.compact) == ("whole", False)
    same = {"name": "", "compact": False, "files": {}, "made_with": {}}
    assert again.model_copy(update=same) == first.model_copy(update=same)
    clip = np.random.default_rng(0).normal(0, 0.1, FEATURES.clip_length).astype(np.float32)
    np.testing.assert_allclose(load(whole).scores(clip), load(compact).scores(clip), atol=1e-5)
