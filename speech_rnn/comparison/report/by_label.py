"""How the cells differ label by label."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.report.curves import Point, crossed_point, of_clips, right_answers
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import Difference, holm_intervals
from speech_rnn.comparison.summary import CONFIDENCE


class LabelRow(NamedTuple):
    """A label's figures.

    Attributes:
        label: of the task.
        clips: by which it is judged.
        accuracies: by cell.
        differences: by pair of cells, the first less the second; intervals corrected for all labels and pairs
            (Holm); without one where a single clip judges.
    """

    label: str
    clips: int
    accuracies: dict[str, Point]
    differences: dict[tuple[str, str], Point]


def by_label(results: Results, contenders: tuple[Contender, ...]) -> list[LabelRow]:
    """The figures of each label that any judged clip has, in the order of the scores."""
    header, seeds = results.header, results.header.plan.seeds
    targets = np.asarray(header.targets)
    right = {one.cell: right_answers(results, [one.trial(seed) for seed in seeds]) for one in contenders}
    pairs = list(combinations(right, 2))
    present = [(number, label) for number, label in enumerate(header.labels) if (targets == number).any()]
    values = {
        (label, pair): right[pair[0]][:, targets == number].astype(np.float64) - right[pair[1]][:, targets == number]
        for number, label in present
        for pair in pairs
    }
    points = {place: crossed_point(None, one) for place, one in values.items()}
    alone = {
        place: Difference(one.value, one.low, one.high)
        for place, one in points.items()
        if one.low is not None and one.high is not None
    }
    together = holm_intervals(list(alone.values()), len(seeds), confidence=CONFIDENCE)
    points |= {
        place: Point(x=None, value=one.value, low=one.low, high=one.high)
        for place, one in zip(alone, together, strict=True)
    }
    return [
        LabelRow(
            label,
            int((targets == number).sum()),
            {cell: of_clips(None, answers[:, targets == number]) for cell, answers in right.items()},
            {pair: points[label, pair] for pair in pairs},
        )
        for number, label in present
    ]
