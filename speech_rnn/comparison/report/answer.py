"""What a comparison answers, in one paragraph that its verdicts write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from speech_rnn.comparison.report.curves import BUDGETS
from speech_rnn.comparison.summary import PairFigures, Summary
from speech_rnn.text import signed


class ClaimRow(Protocol):
    """A claim and what became of it; effect and interval are ``None`` where it wasn't measured."""

    @property
    def sentence(self) -> str:
        """What is claimed."""

    @property
    def shows(self) -> str:
        """What would show it."""

    @property
    def budget(self) -> str | None:
        """What is equal between the cells then; ``None`` where nothing is."""

    @property
    def figure(self) -> str:
        """Effect, interval and unit as they are read; a dash where there is none."""

    @property
    def effect(self) -> float | None:
        """What was found, in ``unit``."""

    @property
    def low(self) -> float | None:
        """Of its interval."""

    @property
    def high(self) -> float | None:
        """Of its interval."""

    @property
    def unit(self) -> str | None:
        """Of effect and interval."""

    @property
    def interval(self) -> str:
        """What the interval is, in words."""

    @property
    def over(self) -> str:
        """What was put together, in words."""

    @property
    def verdict(self) -> str:
        """What the rule says."""

    @property
    def rule(self) -> str:
        """How a verdict follows from the interval, in words."""

    @property
    def why(self) -> str:
        """Why it was not measured; else empty."""


def question(cells: Sequence[str]) -> str:
    """What was asked.

    >>> question(["lstm", "gru", "rnn"])
    'LSTM, GRU or RNN?'
    """
    names = [cell.upper() for cell in cells]
    return f"{', '.join(names[:-1])} or {names[-1]}?"


def answer(summary: Summary, claims: Sequence[ClaimRow] = ()) -> str:
    """What is better than what, where and by how much, and what remains undecided."""
    pairs: dict[tuple[str, str], list[PairFigures]] = {}
    for one in summary.pairs:
        pairs.setdefault((one.first, one.second), []).append(one)
    sentences = [_of_pair(first, second, of_pair) for (first, second), of_pair in pairs.items()]
    if len(summary.seeds) < 2:
        sentences.append("One seed says nothing of others, so nothing is decided.")
    if claims:
        counts = Counter(claim.verdict for claim in claims)
        of_verdicts = ", ".join(f"{verdict} {n}" for verdict, n in counts.most_common())
        sentences.append(f"Verdicts of {len(claims)} claims: {of_verdicts}.")
    return " ".join(sentences)


def _of_pair(first: str, second: str, pairs: Sequence[PairFigures]) -> str:
    names = first.upper(), second.upper()
    decided = {cell: [pair for pair in pairs if pair.better == cell] for cell in (first, second)}
    clauses = [
        f"{cell.upper()} hears better than {other.upper()} {_where(won, pairs)}, by {_by(won)}"
        for cell, other in ((first, second), (second, first))
        if (won := decided[cell])
    ]
    undecided = [pair for pair in pairs if pair.better is None]
    if not clauses:
        found = _range([signed(100 * difference) for difference in sorted(pair.difference for pair in pairs)])
        where = f"at {BUDGETS[pairs[0].budget]}" if len(pairs) == 1 else f"in any of {len(pairs)} comparisons"
        return f"Between {names[0]} and {names[1]} no difference is shown {where} ({found} points)."
    if undecided:
        clauses.append(f"undecided {_where(undecided, pairs)}")
    return f"{'; '.join(clauses)}."


def _where(some: Sequence[PairFigures], of_all: Sequence[PairFigures]) -> str:
    """Budgets and sizes in words, or how many of all they are where that is shorter."""
    if len(some) == len(of_all):
        return f"at {BUDGETS[some[0].budget]}" if len(of_all) == 1 else f"in all {len(of_all)} comparisons"
    if len(some) == 1:
        return f"at {BUDGETS[some[0].budget]}, size {some[0].size}"
    return f"in {len(some)} of {len(of_all)} comparisons"


def _by(won: Sequence[PairFigures]) -> str:
    sizes = sorted(abs(pair.difference) for pair in won)
    return f"{_range([f'{100 * size:.1f}' for size in sizes])} points"


def _range(texts: Sequence[str]) -> str:
    """The first and the last of some numbers that are sorted."""
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
