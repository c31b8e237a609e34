"""Adaptation: other words on a body that was trained on tones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech_rnn import adaptation
from speech_rnn.adaptation import Others, adapt, others_of
from speech_rnn.config import TrainingSettings
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.store import Store, open_store
from speech_rnn.errors import DataError, ModelError
from speech_rnn.runs import Run, load_run
from speech_rnn.scoring import score_run
from speech_rnn.trained import Trained, open_trained
from speech_rnn.training import start, train
from tests.tones import FEATURES, tone_settings, write_tones


class Trainer:
    """A run on tones, and a folder of other speakers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        source = FolderSource(write_tones(folder / "tones"))
        store = open_store([source], FEATURES, self.cache)
        settings = tone_settings(training=TrainingSettings(epochs=8, batch_size=8, learning_rate=0.05))
        start(folder / "run", settings, [source], [source.title], store)
        train(folder / "run", store, workers=0)
        self.other = FolderSource(write_tones(folder / "others", first_speaker=5_000))
        self.store = open_store([self.other], FEATURES, self.cache)

    def adapt(self, body: Trained, folder: Path, others: Others | None, labels: list[str] | None) -> Run:
        record = SourceRecord(name=self.other.title, origin="", digest=self.other.digest(), synthetic=False)
        return adapt(body, others, self.store, [record], folder, labels=labels)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(tmp_path_factory.mktemp("adaptation"))


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what doesn't depend on how well the last layer has learned."""
    monkeypatch.setattr(adaptation, "EPOCHS", 3)


def accuracy(run: Run, store: Store) -> float:
    scored = score_run(run, store, "validation")
    return float((scored.logits.argmax(axis=1) == scored.targets).mean())


@pytest.mark.slow
def test_a_word_under_unknown_becomes_a_label_and_the_recurrent_layers_stay(trainer: Trainer, tmp_path: Path) -> None:
    body = open_trained(str(trainer.folder / "run"))
    others = others_of(body, trainer.cache)
    before = [weight.copy() for weight in body.classifier.get_weights()]

    run = trainer.adapt(body, tmp_path / "adapted", others, ["middle", "low"])

    assert run.labels == ("_silence_", "_unknown_", "middle", "low")
    for kept, weight in zip(before[:-2], run.classifier.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(kept, weight)
    for kept, weight in zip(before, body.classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    found = accuracy(run, trainer.store)
    assert found > 0.8
    (epoch,) = run.history
    assert epoch["validation_accuracy"] == pytest.approx(found)
    assert epoch["loss"] > 0
    assert run.record.begun_from


@pytest.mark.usefixtures("few_epochs")
def test_all_words_are_taken_where_none_is_named_and_then_others_must_be_known(
    trainer: Trainer, tmp_path: Path
) -> None:
    body = open_trained(str(trainer.folder / "run"))

    with pytest.raises(
        DataError, match=r"has no others\.npz, and the recordings have no other words; add --data other:"
    ):
        trainer.adapt(body, tmp_path / "alone", None, None)
    assert not (tmp_path / "alone").exists()
    strange = Others(np.random.default_rng(0).standard_normal((20, 10)).astype(np.float32), ["strange"] * 20)
    run = trainer.adapt(body, tmp_path / "run", strange, None)

    assert run.labels == ("_silence_", "_unknown_", "high", "low", "middle")
    assert load_run(tmp_path / "run", "final").labels == run.labels


def test_states_are_those_of_whole_words_whatever_the_labels_are(trainer: Trainer) -> None:
    run = load_run(trainer.folder / "run")
    settings = run.settings.changed(
        task=run.settings.task.changed(silence_share=0.0),  # so that unknown is the first label
        augmentation=run.settings.augmentation.changed(splice_probability=1.0),
    )
    spliced = replace(run, record=run.record.changed(settings=settings))
    store = open_store([FolderSource(trainer.folder / "tones")], FEATURES, trainer.cache)

    words = Others.of(spliced, store).words

    assert set(words) == {"high", "low", "middle"}
    assert words.count("high") == words.count("low") == words.count("middle")


@pytest.mark.usefixtures("few_epochs")
def test_the_same_seed_gives_the_same_weights(trainer: Trainer, tmp_path: Path) -> None:
    body = open_trained(str(trainer.folder / "run"))

    one, two = (trainer.adapt(body, tmp_path / name, None, ["low"]) for name in ("one", "two"))

    assert (tmp_path / "one" / "best.npz").read_bytes() == (tmp_path / "two" / "best.npz").read_bytes()
    assert one.record == two.record


def test_others_are_states_of_every_word_that_was_heard_and_travel_in_eight_bits(trainer: Trainer) -> None:
    body = open_trained(str(trainer.folder / "run"))
    others = others_of(body, trainer.cache)
    assert others is not None

    again = Others.from_bytes(others.to_bytes(), units=10)

    assert set(others.words) == {"low", "middle", "high"}
    assert others.states.shape == (len(others.words), 10)
    assert again.words == list(others.words)
    np.testing.assert_allclose(again.states, others.states, rtol=0, atol=np.abs(others.states).max() / 250)


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda _: b"", lambda _: b"PK\x03\x04nothing"])
def test_a_damaged_file_of_others_is_told_in_a_line(damage: object) -> None:
    content = Others(np.zeros((3, 10), np.float32), ["a", "b", "c"]).to_bytes()

    with pytest.raises(ModelError, match=r"others\.npz is damaged") as found:
        Others.from_bytes(damage(content), units=10)  # type: ignore[operator]
    assert "\n" not in str(found.value)
    with pytest.raises(ModelError, match="of another model"):
        Others.from_bytes(content, units=11)


def test_an_unknown_word_is_told(trainer: Trainer, tmp_path: Path) -> None:
    body = open_trained(str(trainer.folder / "run"))

    with pytest.raises(DataError, match="needs training clips of lamp"):
        trainer.adapt(body, tmp_path / "run", None, ["lamp"])
