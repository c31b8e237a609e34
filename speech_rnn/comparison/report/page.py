"""A comparison as one page: the verdicts, what they rest on as pictures and tables, and how all of it was made.

Everything on it comes from the results, so the page can be written again from them at any time. As other pages of
:mod:`speech_rnn.report` it is one file that runs no script and loads nothing; every figure is in its tables too, and
all of them together in a JSON file that hangs in the page as a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from speech_rnn.charts import Chart
from speech_rnn.comparison.report import conditions, curve_pictures, curves, pictures
from speech_rnn.comparison.report import tables as page_tables
from speech_rnn.comparison.report.answer import ClaimRow, answer, question
from speech_rnn.comparison.report.by_label import by_label
from speech_rnn.comparison.report.curves import BUDGETS, Curves, Point
from speech_rnn.comparison.report.data import json_url
from speech_rnn.comparison.report.fronts import fronts
from speech_rnn.comparison.report.pictures import DotRow, PairRow
from speech_rnn.comparison.report.tables import Table
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.summary import Summary
from speech_rnn.memory_tasks.experiment import Outcome
from speech_rnn.report import render_page

REBUILT = "rebuilt"  # as the origin of recordings says that they were computed from spectrograms


class Shown(NamedTuple):
    """A picture with its caption and its numbers; ``tall``: of several panels."""

    chart: Chart
    title: str
    text: str
    table: Table
    tall: bool = False


class Group(NamedTuple):
    """What is equal between cells, and their pictures."""

    heading: str
    accuracy: Shown
    differences: Shown


def comparison_page(
    results: Results,
    summary: Summary,
    *,
    claims: Sequence[ClaimRow] = (),
    outcomes: Sequence[Outcome] = (),
    machine: str = "",
) -> str:
    """The page of a comparison that is done.

    Args:
        results: all of them; what wasn't measured has no section.
        summary: of them, with the command that gives them again.
        claims: with their verdicts.
        outcomes: of the memory tasks.
        machine: that wrote the page.

    Returns:
        HTML, whole and self-contained.
    """
    header, plan = results.header, results.header.plan
    middle = plan.middle(header.contenders)
    measured = conditions.measured_contenders(results)
    drawn = {
        "learning": curves.learning(results),
        "rates": _those(curves.rates(results)),
        "shares": _those(curves.shares(results)),
        "bent": conditions.bent(results),
        "gaps": conditions.gaps(results),
        "reach": _those(conditions.reach(results)),
    }
    priced = fronts(results, summary)
    labels, losses = by_label(results, middle), conditions.int8_losses(results)
    others = [one for one in header.contenders if one not in middle]
    gap_range = curve_pictures.share_range(drawn["gaps"]) if drawn["gaps"] else None
    return render_page(
        "comparison.html",
        heading=question(plan.cells),
        lede=answer(summary, claims),
        facts=_facts(results),
        notices=_notices(results, summary),
        kind=_kind(results, summary),
        claims=claims,
        groups=_groups(summary),
        fronts=[Shown(pictures.front(one), one.title, one.text, page_tables.front_table(one)) for one in priced],
        shown_in={
            name: [_shown(one, gap_range if name == "gaps" else None) for one in some] for name, some in drawn.items()
        },
        where=conditions.where_measured(middle),
        where_measured=conditions.where_measured(measured) if measured else "",
        labels=Shown(
            pictures.dots(
                [DotRow(row.label, row.accuracies) for row in labels], title=f"{plan.part} accuracy by label"
            ),
            "Accuracy by label",
            "Intervals are over seeds and clips.",
            page_tables.labels_table(labels),
        ),
        int8=page_tables.int8_table(losses) if losses else None,
        memory=page_tables.memory_table(outcomes) if outcomes else None,
        costs=page_tables.costs_table("Costs", middle, results.costs),
        other_costs=[
            page_tables.costs_table(f"Costs at {BUDGETS[budget]}, size {size}", list(some), results.costs)
            for (budget, size), some in groupby(others, lambda one: (one.budget, one.size))
        ],
        costs_measured=bool(results.costs),
        header=header,
        plan=plan,
        budget_words=BUDGETS,
        budgets=[BUDGETS[budget] for budget in plan.budgets],
        tuned=[cell for cell in plan.cells if plan.rates and cell not in plan.learning_rates],
        largest=max(one.parameters for one in header.contenders),
        summary=summary,
        confidence=f"{100 * summary.confidence:.3g} %",
        json_url=json_url(
            results,
            summary,
            curves=[one for some in drawn.values() for one in some],
            fronts=priced,
            labels=labels,
            claims=claims,
            outcomes=outcomes,
        ),
        command=summary.command,
        versions=header.made_with,
        machine=machine,
    )


def _those(one: Curves | None) -> list[Curves]:
    return [] if one is None else [one]


def _shown(one: Curves, y_range: tuple[float, float] | None) -> Shown:
    chart, table = curve_pictures.lines(one, y_range=y_range), page_tables.curves_table(one)
    return Shown(chart, one.title, one.text, table, tall=len(one.panels) > 1)


def _groups(summary: Summary) -> list[Group]:
    """Accuracies and differences, budget by budget, on axes that are alike."""
    accuracies = [one for figures in summary.contenders for one in (figures.low, figures.accuracy, figures.high)]
    known = [one for one in accuracies if one is not None]
    margin = 0.05 * max(max(known) - min(known), 0.02)
    ends = [100 * one for pair in summary.pairs for one in (pair.low, pair.difference, pair.high) if one is not None]
    far = 1.1 * max(*map(abs, ends), 0.5)
    found = []
    for budget in dict.fromkeys(one.contender.budget for one in summary.contenders):
        pairs = [pair for pair in summary.pairs if pair.budget == budget]
        several = len({pair.size for pair in pairs}) > 1
        accuracy = pictures.dots(
            _dot_rows(summary, budget),
            title=f"{summary.part} accuracy at {BUDGETS[budget]}",
            x_range=(min(known) - margin, max(known) + margin),
        )
        differences = pictures.forest(
            [
                PairRow(
                    f"{pair.first.upper()} − {pair.second.upper()}{f', {pair.size}' if several else ''}",
                    pair.first,
                    pair.second,
                    Point(x=None, value=pair.difference, low=pair.low, high=pair.high),
                    pair.better,
                )
                for pair in pairs
            ],
            title=f"Differences at {BUDGETS[budget]}",
            x_range=(-far, far),
        )
        found.append(
            Group(
                BUDGETS[budget][:1].upper() + BUDGETS[budget][1:],
                Shown(
                    accuracy,
                    "Accuracy",
                    f"Mean of {len(summary.seeds)} seeds with its interval over seeds and clips.",
                    page_tables.contenders_table(summary, budget),
                ),
                Shown(
                    differences,
                    "Differences",
                    "Right of 0 the first of the two is better. Filled, in the colour of the better cell: the interval "
                    "leaves 0 out; hollow: undecided.",
                    page_tables.pairs_table(summary, budget),
                ),
            )
        )
    return found


def _dot_rows(summary: Summary, budget: str) -> list[DotRow]:
    """A row a size."""
    sizes: dict[int, dict[str, Point]] = {}
    for one in summary.contenders:
        if one.contender.budget == budget:
            point = Point(x=None, value=one.accuracy, low=one.low, high=one.high)
            sizes.setdefault(one.contender.size, {})[one.contender.cell] = point
    first = next(iter(summary.learning_rates)).upper()
    return [
        DotRow(f"{size} units" if budget == "units" else f"as {first} {size}", points) for size, points in sizes.items()
    ]


def _kind(results: Results, summary: Summary) -> str:
    """What every figure's caption says of the recordings; empty where they are what people said."""
    kinds = ["synthetic corpus"] if summary.synthetic else []
    kinds += ["rebuilt recordings"] if _rebuilt(results) else []
    return ", ".join(kinds)


def _rebuilt(results: Results) -> bool:
    return any(REBUILT in one.origin.lower() for one in results.header.recordings)


def _notices(results: Results, summary: Summary) -> list[tuple[str, str]]:
    """What must be known of the recordings before any figure is read."""
    found = []
    if summary.synthetic:
        found.append(
            (
                "Synthetic corpus.",
                "Some or all words behind these figures are spoken by speech synthesizers, not by people: they show "
                "how the cells compare here, and do not say how well people are understood.",
            )
        )
    if _rebuilt(results):
        found.append(
            (
                "Rebuilt recordings.",
                "These recordings say of themselves that they were rebuilt: their sound was computed from stored "
                "spectrograms of what people said. All cells hear the same, but on the recordings themselves figures "
                "may differ.",
            )
        )
    return found


def _facts(results: Results) -> str:
    header, plan = results.header, results.header.plan
    n_trainings = len(header.trials)
    sizes = f"{len(plan.sizes)} size{'s' if len(plan.sizes) > 1 else ''}"
    return (
        f"{len(plan.cells)} cells, {sizes}, {', '.join(BUDGETS[budget] for budget in plan.budgets)}; "
        f"{len(plan.seeds)} seed{'s' if len(plan.seeds) > 1 else ''} each, {n_trainings:,} trainings in all; judged on "
        f"{header.judged_clips:,} clips, {len(header.labels)} labels."
    )
