"""What a comparison's page shows of other sound than the judged clips: bent, in eight bits, and after a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.comparison.plan import Contender
from speech_rnn.comparison.report.curves import BUDGETS, Curve, Curves, Panel, Point, crossed_point, of_clips, of_seeds
from speech_rnn.comparison.results import Measured, Results

RECORDED, INT8 = "recorded", "int8"
# what is bent -> title, what goes to the right
BENT = {
    "snr": ("Noise", "signal over noise, dB"),
    "speed": ("Speed", "times as fast as spoken"),
    "level": ("Level", "level, dB"),
}
GAPS = {"gap_silence": "silence in the gap", "gap_noise": "noise in the gap", "gap_words": "other words in the gap"}
TAUGHT = "taught_"


class Loss(NamedTuple):
    """What integers cost a cell.

    Attributes:
        cell, units: which.
        as_recorded, int8: accuracy with float weights and with integers, of the same clips.
        lost: the first less the second, paired clip by clip and seed by seed.
    """

    cell: str
    units: int
    as_recorded: Point
    int8: Point
    lost: Point


def measured_contenders(results: Results) -> tuple[Contender, ...]:
    """The cells of the middle size if one of them was measured, else those of the first size where one was."""
    header = results.header
    middle = header.plan.middle(header.contenders)
    groups = [middle] + [
        tuple(one for one in header.contenders if (one.budget, one.size) == (budget, size))
        for budget in header.plan.budgets
        for size in header.plan.sizes
    ]
    return next(
        (group for group in groups if any(_lines(results, one) for one in group)),
        (),
    )


def where_measured(contenders: Sequence[Contender]) -> str:
    """Which cells they are, as a sentence begins."""
    first = contenders[0]
    return f"{first.cell.upper()} with {first.units} units, the others at {BUDGETS[first.budget]}"


def bent(results: Results) -> list[Curves]:
    """Accuracy by noise, speed and level, each as far as it was measured at two values or more."""
    found = []
    for kind, (title, x) in BENT.items():
        curves = _curves(results, kind)
        if curves:
            found.append(
                Curves(
                    key=f"accuracy_by_{kind}",
                    title=title,
                    text="Intervals are over seeds and clips.",
                    x=x,
                    y="accuracy",
                    panels=(Panel(name="", curves=curves),),
                )
            )
    return found


def gaps(results: Results) -> list[Curves]:
    """Accuracy when asked so many seconds after the word: as trained, and after training with such gaps."""
    found = []
    for prefix, title, text in (
        ("", "As trained", "The models never met a gap behind a word."),
        (TAUGHT, "Taught to wait", "After further training with such gaps."),
    ):
        panels = [Panel(name=name, curves=_curves(results, prefix + kind)) for kind, name in GAPS.items()]
        panels = [panel for panel in panels if panel.curves]
        if panels:
            found.append(
                Curves(
                    key=f"accuracy_by_{prefix}gap",
                    title=title,
                    text=f"{text} The dashed line is what guessing gives; intervals are over seeds and clips.",
                    x="seconds between word and question",
                    y="accuracy",
                    guess=1 / len(results.header.labels),
                    panels=tuple(panels),
                )
            )
    return found


def reach(results: Results) -> Curves | None:
    """The gradient by a frame, over how long before the end that frame is; ``None`` where it wasn't measured."""
    curves = []
    hop_ms = 1_000 * results.header.plan.base.features.hop_s
    for one in measured_contenders(results):
        norms = [line.gradient_norms for line in _lines(results, one)]
        if norms and (n := min(map(len, norms))) > 1:
            values = np.array([row[:n] for row in norms], np.float64)
            points = [
                of_seeds(round(hop_ms * frame, 3), of_frame, log=True)
                for frame, of_frame in enumerate(values.T)
                if (of_frame > 0).all()  # a logarithm has no 0
            ]
            curves.append(Curve(cell=one.cell, units=one.units, points=tuple(points)))
    if not curves:
        return None
    return Curves(
        key="gradient_norm_by_distance",
        title="How far back the gradient reaches",
        text=(
            "Norm of the gradient of the right label’s logit by one frame of MFCC, of trained cells; the geometric "
            "mean, bands are intervals over seeds. Where it falls to nothing, what was said before does not count."
        ),
        x="ms before the end of the clip",
        y="norm of the gradient, logits a unit of MFCC",
        quantity="number",
        log_y=True,
        panels=(Panel(name="", curves=tuple(curves)),),
    )


def int8_losses(results: Results) -> list[Loss]:
    """Accuracy in integers beside that in floats, of the cells of which both were measured on as many clips."""
    found = []
    for one in measured_contenders(results):
        floats, integers = (_right(results, one, name) for name in (RECORDED, INT8))
        if floats and integers:
            first, second = next(iter(floats.values())), next(iter(integers.values()))
            if first.shape == second.shape:
                lost = crossed_point(None, first.astype(np.float64) - second.astype(np.float64))
                found.append(Loss(one.cell, one.units, of_clips(None, first), of_clips(None, second), lost))
    return found


def all_measured(results: Results) -> dict[str, dict[str, Point]]:
    """Every accuracy that was measured: ``CELL-UNITS`` -> ``WHAT:VALUE`` -> mean over seeds and its interval."""
    found: dict[str, dict[str, Point]] = {}
    for one in results.header.contenders:
        lines = _lines(results, one)
        names = dict.fromkeys(name for line in lines for name in line.answers)
        if names:
            found[f"{one.cell}-{one.units}"] = {name: of_clips(None, _stacked(lines, name)) for name in names}
    return found


def _curves(results: Results, kind: str) -> tuple[Curve, ...]:
    """Of each cell, over the values at which a kind was measured; empty where that are fewer than two."""
    found = []
    for one in measured_contenders(results):
        by_value = _right(results, one, kind)
        points = [of_clips(value, by_value[value]) for value in sorted(by_value)]
        recorded = _right(results, one, RECORDED)
        if kind in BENT and points and recorded:
            points.append(of_clips(1.0 if kind == "speed" else None, next(iter(recorded.values()))))
        if len(points) > 1:
            points.sort(key=lambda point: np.inf if point.x is None else point.x)
            found.append(Curve(cell=one.cell, units=one.units, points=tuple(points)))
    return tuple(found)


def _right(results: Results, contender: Contender, kind: str) -> dict[float, NDArray[np.bool_]]:
    """Value of a kind -> which clips are right: bool [seeds, clips]."""
    lines = _lines(results, contender)
    names = dict.fromkeys(name for line in lines for name in line.answers)
    parts = {name: name.rpartition(":") for name in names}
    return {float(value): _stacked(lines, name) for name, (what, _, value) in parts.items() if what == kind}


def _stacked(lines: Sequence[Measured], name: str) -> NDArray[np.bool_]:
    return np.stack([line.answers[name].bits() for line in lines if name in line.answers])


def _lines(results: Results, contender: Contender) -> list[Measured]:
    """What was measured of a cell, a line a seed, as far as it was."""
    keys = (contender.trial(seed).key for seed in results.header.plan.seeds)
    return [results.measured[key] for key in keys if key in results.measured]
