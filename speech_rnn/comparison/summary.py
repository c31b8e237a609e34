"""What a comparison found: each cell's accuracy, and for each pair of them whether one is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, groupby
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import Difference, holm, holm_intervals, mcnemar, paired_difference
from speech_rnn.draws import generator
from speech_rnn.errors import DataError
from speech_rnn.settings import Settings

CONFIDENCE = 0.95
Right = NDArray[np.bool_]  # [seeds, clips]


class ContenderFigures(Settings):
    """How good a cell is at a budget.

    Attributes:
        contender: the cell, its units and costs.
        accuracies: of each seed, 0 to 1.
        accuracy: their mean.
        low, high: its interval, over seeds and clips; ``None`` from one seed.
        seconds_per_epoch: median.
    """

    contender: Contender
    accuracies: Annotated[tuple[float, ...], Field(strict=False)]
    accuracy: float
    low: float | None
    high: float | None
    seconds_per_epoch: float


class PairFigures(Settings):
    """How two cells differ at a budget.

    Attributes:
        budget, size: what is equal between them.
        first, second: the cells.
        difference: mean accuracy of the first less that of the second.
        low, high: its interval, over seeds and clips, corrected for all pairs of the comparison (Holm); ``None`` from
            one seed.
        mcnemar_p: median of the seeds' p values, corrected likewise: of clips alone, so it says nothing of seeds.
        verdict: ``better`` where the interval leaves 0 out, else ``undecided``.
        better: which cell is.
    """

    budget: Budget
    size: int
    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    mcnemar_p: float
    verdict: Literal["better", "undecided"]
    better: str | None


class Summary(Settings):
    """What a comparison found, and on what.

    Attributes:
        data: the recordings.
        synthetic: whether machines speak in them.
        part: of them, by which the cells were judged.
        n_clips: in it.
        seeds: of each cell.
        epochs: of each training; its last weights were judged.
        learning_rates: by cell.
        confidence: of all intervals.
        command: what gives these figures again.
        contenders: budget by budget, size by size.
        pairs: likewise.
    """

    data: str
    synthetic: bool
    part: str
    n_clips: int
    seeds: Annotated[tuple[int, ...], Field(strict=False)]
    epochs: int
    learning_rates: Mapping[str, float]
    confidence: float
    command: str
    contenders: Annotated[tuple[ContenderFigures, ...], Field(strict=False)]
    pairs: Annotated[tuple[PairFigures, ...], Field(strict=False)]


def summarize(results: Results, *, command: str = "", resamples: int = 2_000) -> Summary:
    """The figures and verdicts of a comparison that is done.

    Args:
        results: all of them: who looks now and then, and stops when it pleases, finds what isn't there.
        command: what gives them again.
        resamples: of the bootstrap.

    Raises:
        DataError: some are missing.
    """
    header, plan, rates = results.header, results.header.plan, results.learning_rates
    if missing := len(results.missing):
        raise DataError(
            f"{missing} of {len(header.trials)} trainings are missing, and all are needed; the speech-rnn compare that "
            "began them goes on"
        )
    right = [_right(results, contender) for contender in header.contenders]
    return Summary(
        data=", ".join(one.name for one in header.recordings),
        synthetic=any(one.synthetic for one in header.recordings),
        part=plan.part,
        n_clips=header.judged_clips,
        seeds=plan.seeds,
        epochs=plan.base.training.epochs,
        learning_rates={cell: rates.get(cell, plan.base.training.learning_rate) for cell in plan.cells},
        confidence=CONFIDENCE,
        command=command,
        contenders=tuple(
            _contender_figures(results, *one, resamples) for one in zip(header.contenders, right, strict=True)
        ),
        pairs=_pairs(list(zip(header.contenders, right, strict=True)), resamples),
    )


def _right(results: Results, contender: Contender) -> Right:
    seeds = results.header.plan.seeds
    return np.stack([results.finished[contender.trial(seed).key].right_answers() for seed in seeds])


def _contender_figures(results: Results, contender: Contender, right: Right, resamples: int) -> ContenderFigures:
    accuracies = right.mean(axis=1)
    # Of a difference from one that has nothing right.
    interval = _difference(right, np.zeros_like(right), contender.trial(0).key, resamples)
    finished = [results.finished[contender.trial(seed).key] for seed in results.header.plan.seeds]
    return ContenderFigures(
        contender=contender,
        accuracies=tuple(accuracies.tolist()),
        accuracy=float(accuracies.mean()),
        low=interval and max(0.0, interval.low),
        high=interval and min(1.0, interval.high),
        seconds_per_epoch=float(np.median([entry.seconds for one in finished for entry in one.history])),
    )


def _pairs(all_right: list[tuple[Contender, Right]], resamples: int) -> tuple[PairFigures, ...]:
    """Every two cells of each budget and size, corrected for all of them."""
    pairs = list(_each_pair(all_right))
    differences = [
        _difference(right, other, f"{one.trial(0).key}, {another.trial(0).key}", resamples)
        for (one, right), (another, other) in pairs
    ]
    n_seeds = len(all_right[0][1])
    known = [difference for difference in differences if difference is not None]
    corrected = holm_intervals(known, n_seeds, confidence=CONFIDENCE) if known else differences
    p_values = [
        float(np.median([mcnemar(*of_seed) for of_seed in zip(right, other, strict=True)]))
        for (_, right), (_, other) in pairs
    ]
    return tuple(
        _pair_figures(one, another, float(right.mean() - other.mean()), interval, p)
        for ((one, right), (another, other)), interval, p in zip(
            pairs, corrected, holm(np.array(p_values)).tolist(), strict=True
        )
    )


def _each_pair(
    all_right: list[tuple[Contender, Right]],
) -> Iterator[tuple[tuple[Contender, Right], tuple[Contender, Right]]]:
    for _, group in groupby(all_right, lambda one: (one[0].budget, one[0].size)):
        yield from combinations(group, 2)


def _pair_figures(
    one: Contender, another: Contender, difference: float, interval: Difference | None, p_value: float
) -> PairFigures:
    better = None
    if interval is not None and interval.low > 0.0:
        better = one.cell
    elif interval is not None and interval.high < 0.0:
        better = another.cell
    return PairFigures(
        budget=one.budget,
        size=one.size,
        first=one.cell,
        second=another.cell,
        difference=difference,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        mcnemar_p=p_value,
        verdict="undecided" if better is None else "better",
        better=better,
    )


def _difference(first: Right, second: Right, purpose: str, resamples: int) -> Difference | None:
    """The difference and its interval by itself; ``None`` from one seed, which says nothing of others."""
    if len(first) < 2:
        return None
    rng = generator(0, f"comparison: {purpose}")
    return paired_difference(first, second, rng, confidence=CONFIDENCE, resamples=resamples)
