from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.config import ModelSettings, RunSettings, TrainingSettings
from speech_rnn.distributed.step import SharedStep, forward
from speech_rnn.distributed.team import Team
from speech_rnn.learner import compiled_learner
from speech_rnn.models import build_classifier
from tests.distributed.members import together, with_two_devices

N_FRAMES, N_MFCC, N_LABELS, N_WORDS = 8, 5, 4, 3
# Of the second, two workers have one and two rows; of the last, one has none.
ROWS = (8, 3, 8, 8, 5, 1)
STOPS_AT = 3


def settings_of(cell: str, *, precision: str = "float32", in_a_row: int = 1, word_weight: float = 0.0) -> RunSettings:
    """Half of what is heard is dropped out, and every gradient clipped."""
    model = ModelSettings(cell=cell, units=6, layers=2, stack=2, dropout=0.5)
    return RunSettings(
        model=model.changed(precision=precision),
        training=TrainingSettings(
            epochs=1,
            batch_size=8,
            learning_rate=0.05,
            clip_norm=0.05,
            clips_in_a_row=in_a_row,
            word_weight=word_weight,
        ),
    )


CASES = {
    "lstm": settings_of("lstm"),
    "gru": settings_of("gru"),
    "a second output": settings_of("gru", word_weight=0.5),
    "clips in a row": settings_of("lstm", in_a_row=2),
    "mixed_float16": settings_of("gru", precision="mixed_float16"),
    "bfloat16_products": settings_of("lstm", precision="bfloat16_products"),
}


class Learned(NamedTuple):
    """What came of some steps."""

    variables: list[NDArray[np.float64]]
    losses: list[float]
    norms: list[float]
    stops: list[bool]
    logits: NDArray[np.float32]


def batches(settings: RunSettings) -> Iterator[tuple[NDArray[np.float32], list[NDArray[np.float32]]]]:
    """Features and the targets of each output."""
    rng = np.random.default_rng(1)
    row = () if settings.training.clips_in_a_row == 1 else (settings.training.clips_in_a_row,)
    for n in ROWS:
        features = rng.normal(size=(n, *row, N_FRAMES, N_MFCC)).astype(np.float32)
        labels = np.eye(N_LABELS, dtype=np.float32)[rng.integers(0, N_LABELS, (n, *row))]
        words = np.eye(N_WORDS, dtype=np.float32)[rng.integers(0, N_WORDS, n)]
        yield features, [labels, words] if settings.training.word_weight else [labels]


def learn(team: Team, settings: RunSettings) -> Learned:
    """Makes some steps, each worker of its rows; one alone as Keras has it."""
    keras.utils.set_random_seed(3)
    training = settings.training
    with team.scope():
        classifier = build_classifier(settings.model, N_FRAMES, N_MFCC, N_LABELS)
        n_words = N_WORDS if training.word_weight else 0
        learner, norm = compiled_learner(classifier, settings, steps_an_epoch=len(ROWS), n_words=n_words)
        learner.optimizer.build(learner.trainable_variables)
    step = (
        None if team.strategy is None else SharedStep(team, learner, [1.0, training.word_weight][: 1 + bool(n_words)])
    )
    losses, norms, stops = [], [], []
    for number, (features, targets) in enumerate(batches(settings)):
        n = len(features)
        rows = slice(n * team.index // team.size, n * (team.index + 1) // team.size)
        if step is None:
            learner.reset_metrics()
            loss = learner.train_on_batch(features, targets if n_words else targets[0])
            losses.append(float(loss[0] if n_words else loss))
        else:
            wants = team.index == team.size - 1 and number == STOPS_AT
            stepped = step(features[rows], [target[rows] for target in targets], first=rows.start, n=n, stops=wants)
            losses.append(stepped.loss)
            stops.append(stepped.stops)
        norms.append(float(np.asarray(norm)))
    variables = [np.asarray(one, np.float64) for one in (*learner.variables, *learner.optimizer.variables)]
    few = np.linspace(-1, 1, 3 * N_FRAMES * N_MFCC, dtype=np.float32).reshape(3, N_FRAMES, N_MFCC)
    logits = classifier.predict_on_batch(few) if step is None else forward(classifier)(few)
    return Learned(variables, losses, norms, stops, np.asarray(logits))


def learn_all(team: Team) -> dict[str, Learned]:
    return {name: learn(team, settings) for name, settings in CASES.items()}


@pytest.fixture(scope="module")
def of_two_workers() -> list[dict[str, Learned]]:
    return together(2, learn_all)


@pytest.fixture(scope="module")
def of_two_devices() -> dict[str, Learned]:
    learned: dict[str, Learned] = with_two_devices(learn_all)
    return learned


def assert_same(found: Learned, expected: Learned, tolerance: float) -> None:
    np.testing.assert_allclose(found.losses, expected.losses, rtol=tolerance)
    np.testing.assert_allclose(found.norms, expected.norms, rtol=10 * tolerance)
    for one, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)
    np.testing.assert_allclose(found.logits, expected.logits, atol=10 * tolerance)


# Each share of a gradient is rounded before they are summed, and Adam makes a step of what is nearly nothing too.
TOLERANCES = {"mixed_float16": 2e-3, "bfloat16_products": 1e-2}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_workers_learn_what_one_alone_does(case: str, of_two_workers: list[dict[str, Learned]]) -> None:
    chief, other = (of_one[case] for of_one in of_two_workers)

    assert_same(chief, learn(Team(), CASES[case]), TOLERANCES.get(case, 2e-6))
    for one, another in zip(chief.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one, another)
    assert chief.losses == other.losses
    assert min(chief.norms) > CASES[case].training.clip_norm, "every gradient is to be clipped"
    assert chief.stops == other.stops == [number == STOPS_AT for number in range(len(ROWS))]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_devices_learn_what_one_alone_does(case: str, of_two_devices: dict[str, Learned]) -> None:
    assert_same(of_two_devices[case], learn(Team(), CASES[case]), TOLERANCES.get(case, 2e-6))
