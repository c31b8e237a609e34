from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from speech_rnn.condition_scoring import AS_RECORDED, ConditionReport, score_conditions
from speech_rnn.data.batches import PartRows
from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.data.conditions import CONDITIONS
from speech_rnn.data.noise import NoiseBank
from speech_rnn.data.task import Items
from speech_rnn.scoring import Judged

RATE = 16_000
LABELS = (SILENCE, UNKNOWN, "yes")
N = 300  # more than a batch


@dataclass
class Tones:
    """A tone a clip: 1,010 Hz for the word, 310 Hz for unknown ones, nothing for silence."""

    labels: NDArray[np.int64]

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        time = np.arange(RATE) / RATE
        hz = np.array([0.0, 310.0, 1_010.0])[self.labels[indices]]
        return np.round(10_000 * np.sin(2 * np.pi * hz[:, np.newaxis] * time)).astype(np.int16)


def loud_ears(clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Knows the tones by their crossings of zero; takes what is soft for silence."""
    crossings = np.sum(clips[:, 1:] * clips[:, :-1] < 0, axis=1)
    is_soft = np.sqrt(np.mean(np.square(clips), axis=1)) < 0.05
    heard = np.where(is_soft, 0, np.where(crossings > 1_300, 2, 1))
    return np.eye(3, dtype=np.float32)[heard]


@pytest.fixture(scope="module")
def report() -> ConditionReport:
    labels = np.arange(N) % 3
    items = Items(np.where(labels == 0, -1, np.arange(N)), labels, np.arange(N))
    rows = cast("PartRows", cast("Any", Tones(labels)))
    judged = Judged(items, rows, NoiseBank([], RATE), [f"s{n % 7}" if n % 3 else "" for n in range(N)])
    return score_conditions(
        loud_ears, judged, LABELS, RATE, model="ears", data="tones", part="validation", synthetic=True, command="-"
    )


def test_what_is_right_as_recorded_and_wrong_when_soft_is_counted_so(report: ConditionReport) -> None:
    by_name = {one.condition: one for one in report.conditions}

    assert report.as_recorded.condition == AS_RECORDED
    assert list(by_name) == list(CONDITIONS)
    assert (report.as_recorded.accuracy.correct, report.as_recorded.accuracy.n) == (200, 200)
    assert (by_name["soft"].accuracy.correct, by_name["soft"].accuracy.n) == (0, 200)
    assert by_name["off the middle"].accuracy.value > 0.9
    assert by_name["clipped"].accuracy.value == 1.0


def test_the_mean_and_the_loss_are_those_of_the_conditions(report: ConditionReport) -> None:
    values = [one.accuracy.correct / one.accuracy.n for one in report.conditions]

    assert report.mean == pytest.approx(sum(values) / len(CONDITIONS))
    assert report.points_lost == pytest.approx(100 - 100 * report.mean)
    assert ConditionReport.from_json(report.to_json()) == report
