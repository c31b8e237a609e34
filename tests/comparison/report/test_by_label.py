from __future__ import annotations

import numpy as np
import pytest

from speech_rnn.comparison.report.by_label import by_label
from speech_rnn.comparison.results import Results
from tests.comparison.planted import planted_results
from tests.comparison.planted_whole import LABELS, SEEDS, whole_results


@pytest.fixture(scope="module")
def results() -> Results:
    return whole_results(n=300, epochs=2, sizes=(8,))


def test_a_labels_accuracy_is_that_of_its_clips(results: Results) -> None:
    middle = results.header.plan.middle(results.header.contenders)

    rows = by_label(results, middle)

    targets = np.array(results.header.targets)
    assert [row.label for row in rows] == list(LABELS)
    assert sum(row.clips for row in rows) == 300
    for number, row in enumerate(rows):
        means = {
            one.cell: np.mean(
                [results.finished[one.trial(seed).key].right_answers()[targets == number].mean() for seed in SEEDS]
            )
            for one in middle
        }
        assert {cell: point.value for cell, point in row.accuracies.items()} == pytest.approx(means)
        for (first, second), point in row.differences.items():
            assert point.value == pytest.approx(means[first] - means[second])
            assert point.low is not None
            assert point.high is not None
            assert point.low < point.value < point.high


def test_a_label_that_no_clip_has_is_left_out_and_one_seed_has_no_interval() -> None:
    small = planted_results({"lstm": np.ones((1, 1), np.bool_), "gru": np.zeros((1, 1), np.bool_)})

    (row,) = by_label(small, small.header.contenders)

    assert (row.label, row.clips) == ("yes", 1)
    assert row.differences["lstm", "gru"].value == 1.0
    assert row.differences["lstm", "gru"].low is None


def test_a_label_of_one_clip_has_no_interval_and_takes_none_from_the_others() -> None:
    rng = np.random.default_rng(1)
    small = planted_results({cell: rng.random((4, 40)) < 0.6 for cell in ("lstm", "gru")})
    alone = small.header.changed(targets=(1, *[0] * 39))

    often, once = by_label(Results(alone, small.finished), alone.contenders)

    assert (often.clips, once.clips) == (39, 1)
    assert once.differences["lstm", "gru"].low is None
    assert once.accuracies["gru"].high is None
    assert often.differences["lstm", "gru"].low is not None
