from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.config import ModelSettings
from speech_rnn.errors import ModelError
from speech_rnn.gradient_flow import gradient_flow, gradient_norms
from speech_rnn.models import CELLS, build_classifier

N_MFCC, N_LABELS = 3, 4


@pytest.fixture
def linear() -> Iterator[str]:
    """A plain recurrent layer without its tanh: each step's Jacobian is the recurrent kernel."""
    CELLS["linear"] = lambda units, **options: keras.layers.SimpleRNN(units, activation=None, **options)
    yield "linear"
    del CELLS["linear"]


def clips(n: int, n_frames: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(n, n_frames, N_MFCC)).astype(np.float32)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_norms_are_those_of_finite_differences(cell: str) -> None:
    settings = ModelSettings(cell=cell, units=5, layers=2, stack=2, dropout=0.5)
    variance = np.array([0.5, 1.0, 2.0], np.float32)
    classifier = build_classifier(settings, 7, N_MFCC, N_LABELS, variance=variance)
    mfcc, labels, h = clips(2, 7), np.array([3, 0]), 1e-2

    norms = gradient_norms(classifier, mfcc, labels)

    assert norms.shape == (2, 6)  # the seventh frame fills no stack
    for clip in range(2):
        bent = np.repeat(mfcc[clip : clip + 1], 2 * 7 * N_MFCC, axis=0).reshape(2, 7, N_MFCC, 7, N_MFCC)
        for frame, k in np.ndindex(7, N_MFCC):
            bent[:, frame, k, frame, k] += [h, -h]
        logits = np.asarray(classifier(bent.reshape(-1, 7, N_MFCC)), np.float64)[:, labels[clip]]
        up, down = logits.reshape(2, 7, N_MFCC)
        expected = np.linalg.norm((up - down) / (2 * h), axis=1)
        np.testing.assert_allclose(norms[clip], expected[:6][::-1], rtol=0.02, atol=2e-4)
        assert expected[6] < 2e-4


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_linear_layer_passes_on_a_power_of_its_factor(linear: str, factor: float) -> None:
    classifier = build_classifier(ModelSettings(cell=linear, units=5, layers=1, stack=1), 8, N_MFCC, N_LABELS)
    kernel, recurrent, _ = classifier.get_layer("recurrent_0").trainable_weights
    recurrent.assign(factor * np.eye(5))
    outputs, _ = classifier.get_layer("logits").trainable_weights

    flow = gradient_flow(classifier, clips(3, 8), np.array([2, 2, 2]))

    at_the_end = np.linalg.norm(np.asarray(kernel) @ np.asarray(outputs)[:, 2])
    np.testing.assert_allclose(flow, at_the_end * factor ** np.arange(8), rtol=1e-5)


def test_the_flow_is_the_mean_over_clips_whatever_the_batch() -> None:
    classifier = build_classifier(ModelSettings(cell="gru", units=5, layers=1, stack=2), 6, N_MFCC, N_LABELS)
    mfcc, labels = clips(5, 6), np.array([0, 1, 2, 3, 0])

    flow = gradient_flow(classifier, mfcc, labels, batch_size=2)

    each = [gradient_norms(classifier, mfcc[i : i + 1], labels[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(flow, np.mean(each, axis=0), rtol=1e-5)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 4], [0, -1, 1]])
def test_labels_that_do_not_fit_are_refused(labels: list[int]) -> None:
    classifier = build_classifier(ModelSettings(cell="rnn", units=2, layers=1, stack=2), 6, N_MFCC, N_LABELS)

    with pytest.raises(ModelError, match="labels must be 3 numbers from 0 to 3, one a clip"):
        gradient_norms(classifier, clips(3, 6), np.array(labels))
