"""What a comparison's page draws as lines: how each cell learned, at which learning rates, from how many clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speech_rnn.comparison.plan import ComparisonPlan, Contender, Trial
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.statistics import crossed_interval, mean_interval
from speech_rnn.comparison.summary import CONFIDENCE
from speech_rnn.evaluation import wilson_interval
from speech_rnn.history import Epoch
from speech_rnn.settings import Settings

Quantity = Literal["share", "number"]
BUDGETS = {
    "units": "equal units",
    "parameters": "equal parameters",
    "bytes": "equal int8 bytes",
    "macs": "equal MACs",
}

BEGINNING = "The axis may leave out the first tenth of the training."


class Point(Settings):
    """A value and its interval.

    Attributes:
        x: where it stands; ``None``: of the clips as they were recorded.
        value: mean over seeds.
        low, high: its interval; ``None`` from one seed, or of one clip.
    """

    x: float | None
    value: float
    low: float | None = None
    high: float | None = None


class Curve(Settings):
    """One cell's points.

    Attributes:
        cell: of :data:`speech_rnn.models.CELLS`.
        units: a layer.
        points: from left to right.
        chosen: the ``x`` that was chosen of them, if one was.
    """

    cell: str
    units: int
    points: Annotated[tuple[Point, ...], Field(strict=False)]
    chosen: float | None = None


class Panel(Settings):
    """Curves of several cells on the same axes.

    Attributes:
        name: what tells it from the other panels.
        curves: a cell each.
    """

    name: str
    curves: Annotated[tuple[Curve, ...], Field(strict=False)]


class Curves(Settings):
    """A picture of lines as numbers.

    Attributes:
        key: its name among all.
        title: what is drawn, in a few words.
        text: what one must know to read it.
        x, y: what goes to the right and upwards, with the unit.
        quantity: whether upwards are shares, 0 to 1.
        log_x, log_y: whether an axis is logarithmic.
        also_x: a second scale to the right: what it counts, and how much of it a unit of the first is.
        guess: what guessing gives, where that is worth a line.
        out_of_range: first points of each curve that the upward axis needn't show.
        panels: one or more, one below the other.
    """

    key: str
    title: str
    text: str
    x: str
    y: str
    quantity: Quantity = "share"
    log_x: bool = False
    log_y: bool = False
    also_x: Annotated[tuple[str, float] | None, Field(strict=False)] = None
    guess: float | None = None
    out_of_range: int = 0
    panels: Annotated[tuple[Panel, ...], Field(strict=False)]


def learning(results: Results) -> list[Curves]:
    """Validation accuracy by epoch and by time, and the gradient's norm; what the history doesn't hold is left out."""
    plan, (budget, size) = results.header.plan, _middle_place(results)
    groups = [
        (_size_in_words(plan, one), [c for c in results.header.contenders if (c.budget, c.size) == (budget, one)])
        for one in sorted(plan.sizes)
    ]
    middle = results.header.plan.middle(results.header.contenders)
    all_cells = [one for _, group in groups for one in group]
    where = f"{_size_in_words(plan, size)}, {BUDGETS[budget]}"
    found = []
    if _all_have(results, all_cells, "validation_accuracy"):
        clips = _histories(results, middle[0])[0][0].clips
        found.append(
            Curves(
                key="accuracy_by_epoch",
                title="Accuracy by epoch",
                text=(
                    f"All hear the same clips in the same order. At {BUDGETS[budget]}; bands are intervals over seeds. "
                    f"{BEGINNING}"
                ),
                x="epoch",
                y="validation accuracy",
                also_x=("thousand clips heard", clips / 1_000),
                out_of_range=_beginning(results),
                panels=tuple(
                    Panel(name=name, curves=tuple(_by_epoch(results, one, "validation_accuracy") for one in group))
                    for name, group in groups
                ),
            )
        )
        found.append(_by_seconds(results, middle, where))
    if _all_have(results, middle, "gradient_norm") and all(
        (_values(results, one, "gradient_norm") > 0).all()
        for one in middle  # a logarithm has no 0
    ):
        found.append(
            Curves(
                key="gradient_norm_by_epoch",
                title="Size of the gradient by epoch",
                text=(
                    f"Norm of all gradients together before clipping at {plan.base.training.clip_norm:g}, mean over an "
                    f"epoch's steps. {where}; bands are intervals over seeds."
                ),
                x="epoch",
                y="norm of the gradient",
                quantity="number",
                log_y=True,
                panels=(Panel(name="", curves=tuple(_by_epoch(results, one, "gradient_norm") for one in middle)),),
            )
        )
    return found


def rates(results: Results) -> Curves | None:
    """What each learning rate that was tried came to, and which was chosen; ``None`` where none was tried."""
    tried: dict[tuple[str, int], list[Trial]] = {}
    for trial in results.header.trials:
        if trial.study == "rates":
            tried.setdefault((trial.cell, trial.units), []).append(trial)
    last = {trial: results.finished[trial.key].history[-1] for trials in tried.values() for trial in trials}
    if not tried or any(entry.validation_accuracy is None for entry in last.values()):
        return None
    curves = tuple(
        Curve(
            cell=cell,
            units=units,
            points=tuple(_tuned(trial.value, last[trial]) for trial in sorted(trials, key=lambda one: one.value)),
            chosen=results.learning_rates[cell],
        )
        for (cell, units), trials in tried.items()
    )
    return Curves(
        key="accuracy_by_learning_rate",
        title="Learning rates that were tried",
        text=(
            "One training each, judged by a tenth of the training speakers, whom it did not hear. A ring marks "
            "the rate that was chosen; intervals are over those clips alone."
        ),
        x="learning rate",
        y="accuracy on the tuning speakers",
        log_x=True,
        panels=(Panel(name="", curves=curves),),
    )


def shares(results: Results) -> Curves | None:
    """Accuracy by the share of the training clips that were heard; ``None`` where all were."""
    plan = results.header.plan
    if not plan.shares:
        return None
    middle = plan.middle(results.header.contenders)
    curves = tuple(
        Curve(
            cell=one.cell,
            units=one.units,
            points=tuple(
                of_clips(
                    share,
                    right_answers(
                        results,
                        [
                            one.trial(seed) if share == 1.0 else Trial(one.cell, one.units, seed, "shares", share)
                            for seed in plan.seeds
                        ],
                    ),
                )
                for share in (*sorted(plan.shares), 1.0)
            ),
        )
        for one in middle
    )
    budget, size = _middle_place(results)
    return Curves(
        key="accuracy_by_share",
        title="Hunger for data",
        text=(
            f"Accuracy by the share of the training clips that were heard. {_size_in_words(plan, size)}, "
            f"{BUDGETS[budget]}. Few clips come up to ten times in an epoch, bent otherwise each time; from under a "
            "tenth of them there are fewer steps too. Intervals are over seeds and clips."
        ),
        x="share of the training clips",
        y=f"{plan.part} accuracy",
        log_x=True,
        panels=(Panel(name="", curves=curves),),
    )


def right_answers(results: Results, trials: Iterable[Trial]) -> NDArray[np.bool_]:
    """Which of the judged clips some trainings have right: bool [trainings, clips]."""
    return np.stack([results.finished[trial.key].right_answers() for trial in trials])


def of_clips(x: float | None, right: NDArray[np.bool_]) -> Point:
    """A share of right answers, its interval over seeds and clips.

    Args:
        x: where it stands.
        right: bool [seeds, clips].
    """
    return _as_share(crossed_point(x, right))


def crossed_point(x: float | None, values: NDArray[np.floating | np.bool_]) -> Point:
    """A mean over seeds and clips with its interval; without one where a single seed or clip shows no spread.

    Args:
        x: where it stands.
        values: [seeds, clips], right or wrong, or a difference of two.
    """
    if min(values.shape) < 2:
        return Point(x=x, value=float(values.mean()))
    value, low, high = crossed_interval(values, confidence=CONFIDENCE)
    return Point(x=x, value=value, low=low, high=high)


def of_seeds(x: float | None, values: NDArray[np.float64], *, log: bool = False) -> Point:
    """The mean of a figure, its interval over seeds; with ``log`` the geometric mean of values above 0."""
    scale = np.log(values) if log else values
    if len(values) < 2:
        value, low, high = float(scale[0]), None, None
    else:
        value, low, high = mean_interval(scale, confidence=CONFIDENCE)
    if log:
        return Point(
            x=x,
            value=float(np.exp(value)),
            low=None if low is None else float(np.exp(low)),
            high=None if high is None else float(np.exp(high)),
        )
    return Point(x=x, value=value, low=low, high=high)


def _by_epoch(results: Results, contender: Contender, name: Literal["validation_accuracy", "gradient_norm"]) -> Curve:
    values = _values(results, contender, name)
    is_share = name == "validation_accuracy"
    points = (of_seeds(epoch, of_epoch, log=not is_share) for epoch, of_epoch in enumerate(values.T, 1))
    return Curve(
        cell=contender.cell,
        units=contender.units,
        points=tuple(_as_share(point) if is_share else point for point in points),
    )


def _by_seconds(results: Results, middle: Sequence[Contender], where: str) -> Curves:
    """By the time that the training's steps take alone where that was measured, else by the time they took here."""
    measured = all(f"{one.cell}-{one.units}" in results.costs for one in middle)
    curves = []
    for one in middle:
        histories = _histories(results, one)
        seconds = np.array([[entry.seconds for entry in history] for history in histories])
        if measured:
            steps = np.ceil([entry.clips / results.header.plan.base.training.batch_size for entry in histories[0]])
            seconds = steps[None] * results.costs[f"{one.cell}-{one.units}"].training_step_s
        ends = np.cumsum(seconds.mean(axis=0))
        values = _values(results, one, "validation_accuracy")
        points = (of_seeds(float(x), of_epoch) for x, of_epoch in zip(ends, values.T, strict=True))
        curves.append(Curve(cell=one.cell, units=one.units, points=tuple(map(_as_share, points))))
    how = (
        "So many steps at the time that one takes on one thread, measured by itself"
        if measured
        else "As long as the epochs took in this run, on what the trainings beside them left of the machine"
    )
    return Curves(
        key="accuracy_by_seconds",
        title="Accuracy by time",
        text=f"{how}. {where}; bands are intervals over seeds. {BEGINNING}",
        x="seconds of training",
        y="validation accuracy",
        out_of_range=_beginning(results),
        panels=(Panel(name="", curves=tuple(curves)),),
    )


def _histories(results: Results, contender: Contender) -> list[tuple[Epoch, ...]]:
    return [results.finished[contender.trial(seed).key].history for seed in results.header.plan.seeds]


def _all_have(results: Results, contenders: Sequence[Contender], name: str) -> bool:
    """Whether each epoch has a value, and there are epochs to draw a line through."""
    histories = [history for one in contenders for history in _histories(results, one)]
    same_length = len({len(history) for history in histories}) == 1 and len(histories[0]) > 1
    return same_length and all(getattr(entry, name) is not None for history in histories for entry in history)


def _values(results: Results, contender: Contender, name: str) -> NDArray[np.float64]:
    """Of each epoch: [seeds, epochs]."""
    histories = _histories(results, contender)
    return np.array([[getattr(entry, name) for entry in history] for history in histories], np.float64)


def _as_share(point: Point) -> Point:
    """Student's interval of a share may reach beyond 0 and 1."""
    if point.low is None or point.high is None:
        return point
    return point.changed(low=max(0.0, point.low), high=min(1.0, point.high))


def _tuned(rate: float, entry: Epoch) -> Point:
    share = entry.validation_accuracy or 0.0
    low, high = wilson_interval(round(share * entry.validation_clips), entry.validation_clips, CONFIDENCE)
    return Point(x=rate, value=share, low=low, high=high)


def _beginning(results: Results) -> int:
    """Epochs of the first tenth, in which accuracy rises so far that nothing else could be told apart."""
    return results.header.plan.base.training.epochs // 10


def _middle_place(results: Results) -> tuple[str, int]:
    middle = results.header.plan.middle(results.header.contenders)[0]
    return middle.budget, middle.size


def _size_in_words(plan: ComparisonPlan, size: int) -> str:
    return f"{plan.cells[0].upper()} with {size} units"
