"""How a claim is judged: by a rule that stands in code, on intervals that are corrected for all claims together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple, Protocol

from pydantic import Field

from speech_rnn.comparison.budgets import Budget
from speech_rnn.comparison.claims.effects import Effect, Evidence, LackingError, Measure
from speech_rnn.comparison.estimates import Estimate
from speech_rnn.errors import DataError
from speech_rnn.settings import Settings

CONFIDENCE = 0.95
Ruling = Literal["holds", "does not hold", "undecided", "not measured"]
Unit = Literal["points", "times", "ms", "decades", "doublings"]
CORRECTED = f"{100 * CONFIDENCE:.3g} % for all claims together (Bonferroni)"
LOGARITHMS: frozenset[Unit] = frozenset({"times"})  # units whose figures are logarithms until they are shown
# What a claim that others decide calls those.
TOPICS = {
    "accuracy_units": "accuracy with as many units",
    "accuracy_parameters": "accuracy with as many parameters",
    "accuracy_bytes": "accuracy with as many bytes",
    "accuracy_macs": "accuracy with as many multiply-adds",
    "accuracy_smallest": "accuracy at the smallest size",
    "accuracy_largest": "accuracy at the largest size",
    "noise": "in noise",
    "eight_bits": "in eight bits",
    "hunger": "from few clips",
    "gap_4": "4 s after the word",
    "gap_10": "10 s after the word",
    "taught_gap_4": "4 s after the word when taught",
    "taught_gap_10": "10 s after the word when taught",
}


class Interval(NamedTuple):
    """Where an effect is; a ratio as it is shown, not its logarithm."""

    low: float
    high: float


class Rule(Protocol):
    """What an interval means for a claim."""

    def words(self, unit: Unit) -> str:
        """The rule, for people."""

    def ruling(self, interval: Interval) -> Ruling:
        """*holds*, *does not hold* or *undecided*."""


class Above(NamedTuple):
    """More than ``holds``, by evidence; *does not hold* where it is at most ``fails``, by evidence.

    ``fails`` is the least that would matter: an effect that is surely smaller isn't what the claim means. Where both
    are met, by an effect that is surely there and surely small, the claim holds.
    """

    holds: float = 0.0
    fails: float = 0.0

    def words(self, unit: Unit) -> str:
        """See :class:`Rule`."""
        return (
            f"holds where the whole interval is above {self.holds:g} {unit}; does not hold where none of it is above "
            f"{self.fails:g} {unit}"
        )

    def ruling(self, interval: Interval) -> Ruling:
        """See :class:`Rule`."""
        if interval.low > self.holds:
            return "holds"
        return "does not hold" if interval.high <= self.fails else "undecided"


class Differs(NamedTuple):
    """Other than 0, by evidence; *does not hold* where it is surely nearer to 0 than ``margin``."""

    margin: float

    def words(self, unit: Unit) -> str:
        """See :class:`Rule`."""
        return f"holds where the interval leaves 0 out; does not hold where it lies within {self.margin:g} {unit} of 0"

    def ruling(self, interval: Interval) -> Ruling:
        """See :class:`Rule`."""
        if interval.low > 0 or interval.high < 0:
            return "holds"
        within = -self.margin < interval.low and interval.high < self.margin
        return "does not hold" if within else "undecided"


class Claim(NamedTuple):
    """A claim, and how it is judged.

    Attributes:
        key: its name, the same for good.
        said: the statement that it is a part of.
        sentence: what is claimed.
        shows: what would show it.
        budget: what is equal between the cells; ``None`` where nothing is.
        measure: gives the effects.
        rule: must be met by each of them.
        unit: of the effects.
        first: the cell that an effect above 0 speaks for, or a ratio above 1.
        second: the other.
    """

    key: str
    said: str
    sentence: str
    shows: str
    budget: Budget | None
    measure: Measure
    rule: Rule
    unit: Unit
    first: str
    second: str


class Depends(NamedTuple):
    """A claim that other claims decide: one cell is better by some of them, another by others.

    Attributes:
        key, said, sentence, shows: as those of :class:`Claim`.
        claims: keys of those that are looked at; they need no further correction.
    """

    key: str
    said: str
    sentence: str
    shows: str
    claims: tuple[str, ...]


class Part(Settings):
    """An effect with its interval, in the unit of its verdict.

    Attributes:
        name: what it is of; empty where a claim has one.
        effect: above 0, or above 1 of a ratio, it speaks for the claim.
        low: of the interval.
        high: likewise.
        winner: the cell that the interval shows to be better, whatever the claim asks for.
    """

    name: str
    effect: float
    low: float
    high: float
    winner: str | None


class Verdict(Settings):
    """What came of a claim.

    Attributes:
        key, said, sentence, shows, budget, unit: of the claim.
        rule: in words.
        verdict: what follows from it.
        parts: all effects; those of other claims, named by their keys, where these decide.
        effect: the one that speaks least for the claim; ``None`` where there is none or other claims decide.
        low: of its interval.
        high: likewise.
        interval: what the interval is, in words.
        over: what was put together, in words.
        why: why it was not measured, or which cell is better by what, where other claims decide; else empty.
    """

    key: str
    said: str
    sentence: str
    shows: str
    budget: Budget | None
    unit: Unit | None
    rule: str
    verdict: Ruling
    parts: Annotated[tuple[Part, ...], Field(strict=False)] = ()
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    over: str = ""
    why: str = ""

    @property
    def figure(self) -> str:
        """The effect with its interval and unit; a dash where there is none.

        >>> Verdict(key="k", said="", sentence="", shows="", budget=None, unit="points", rule="", verdict="holds",
        ...     effect=0.314, low=0.1, high=0.5).figure
        '+0.31 (+0.10 to +0.50) points'
        """
        if self.effect is None or self.low is None or self.high is None or self.unit is None:
            return "–"
        sign = "" if self.unit in LOGARITHMS else "+"
        # Without 0.0 what is a little below 0 would be −0.00.
        rounded = (round(value, 2) + 0.0 for value in (self.effect, self.low, self.high))
        effect, low, high = (f"{value:{sign}.2f}".replace("-", "−") for value in rounded)
        if low == high:
            return f"{effect} {self.unit}"
        return f"{effect} ({low} to {high}) {self.unit}"


def judge_claims(claims: Iterable[Claim | Depends], evidence: Evidence) -> tuple[Verdict, ...]:
    """The verdicts, in the order of the claims.

    Args:
        claims: all that are tested together: the more there are, the surer each must be.
        evidence: a comparison that is done, and the memory tasks.

    Raises:
        DataError: some trainings are missing: who looks now and then, and stops when it pleases, finds what isn't
            there.
    """
    results = evidence.results
    if missing := len(results.missing):
        raise DataError(
            f"{missing} of {len(results.header.trials)} trainings are missing, and all are needed; the speech-rnn "
            "compare that began them goes on"
        )
    claims = list(claims)
    measured: dict[str, tuple[Effect, ...] | LackingError] = {}
    for claim in claims:
        if isinstance(claim, Claim):
            try:
                measured[claim.key] = claim.measure(evidence)
            except LackingError as lack:
                measured[claim.key] = lack
    level = _level(measured.values())
    verdicts: dict[str, Verdict] = {}
    for claim in claims:
        if isinstance(claim, Claim):
            verdicts[claim.key] = _verdict(claim, measured[claim.key], level)
    for claim in claims:
        if isinstance(claim, Depends):
            verdicts[claim.key] = _from_others(claim, verdicts)
    return tuple(verdicts[claim.key] for claim in claims)


def _level(measured: Iterable[tuple[Effect, ...] | LackingError]) -> float:
    """How often each interval may miss, so that all together miss no more often than one in twenty (Bonferroni).

    Holm's steps would be less strict, but they are right for one question an effect: here an interval answers several,
    and is shown besides.
    """
    drawn = [
        effect
        for effects in measured
        if not isinstance(effects, LackingError)
        for effect in effects
        if isinstance(effect.figure, Estimate)
    ]
    return (1 - CONFIDENCE) / max(len(drawn), 1)


def _shown(unit: Unit, low: float, high: float) -> Interval:
    if unit in LOGARITHMS:
        return Interval(math.exp(low), math.exp(min(high, 700.0)))
    return Interval(low, high)


def _verdict(claim: Claim, effects: tuple[Effect, ...] | LackingError, level: float) -> Verdict:
    if isinstance(effects, LackingError):
        return _about(claim, "not measured", why=str(effects))
    parts, is_drawn = [], False
    for effect in effects:
        figure = effect.figure
        low, high = figure[1:]
        if isinstance(figure, Estimate):
            half, is_drawn = figure.half_width(level), True
            low, high = figure.value - half, figure.value + half
        interval, (value, _) = _shown(claim.unit, low, high), _shown(claim.unit, figure.value, figure.value)
        parts.append(
            Part(
                name=effect.name,
                effect=value,
                low=interval.low,
                high=interval.high,
                winner=_winner(claim, interval),
            )
        )
    rulings = [claim.rule.ruling(Interval(part.low, part.high)) for part in parts]
    # Cells differ where one part shows it, and are alike only where all do; anything else must be so in all parts.
    one: Ruling
    every: Ruling
    one, every = ("holds", "does not hold") if isinstance(claim.rule, Differs) else ("does not hold", "holds")
    ruling: Ruling = "undecided"
    if one in rulings:
        ruling = one
    elif set(rulings) == {every}:
        ruling = every
    return _about(
        claim,
        ruling,
        parts=tuple(parts),
        weakest=min(parts, key=lambda part: part.low),
        interval=CORRECTED if is_drawn else "the least and the most of all sizes",
        over=effects[0].over,
    )


def _winner(claim: Claim, interval: Interval) -> str | None:
    neutral = 1.0 if claim.unit in LOGARITHMS else 0.0
    if interval.low > neutral:
        return claim.first
    return claim.second if interval.high < neutral else None


def _about(
    claim: Claim,
    ruling: Ruling,
    *,
    parts: tuple[Part, ...] = (),
    weakest: Part | None = None,
    interval: str = "",
    over: str = "",
    why: str = "",
) -> Verdict:
    return Verdict(
        key=claim.key,
        said=claim.said,
        sentence=claim.sentence,
        shows=claim.shows,
        budget=claim.budget,
        unit=claim.unit,
        rule=claim.rule.words(claim.unit),
        verdict=ruling,
        parts=parts,
        effect=None if weakest is None else weakest.effect,
        low=None if weakest is None else weakest.low,
        high=None if weakest is None else weakest.high,
        interval=interval,
        over=over,
        why=why,
    )


def _from_others(claim: Depends, verdicts: Mapping[str, Verdict]) -> Verdict:
    parts = [
        part.model_copy(update={"name": key})
        for key in claim.claims
        for part in verdicts[key].parts
        if verdicts[key].verdict != "not measured"
    ]
    by_cell: dict[str, list[str]] = {}
    for part in parts:
        if part.winner is not None:
            by_cell.setdefault(part.winner, []).append(part.name)
    ruling: Ruling = "undecided"
    if len(parts) < 2:
        ruling = "not measured"
    elif len(by_cell) > 1:
        ruling = "holds"
    elif sum(map(len, by_cell.values())) == len(parts):
        ruling = "does not hold"
    found = "; ".join(
        f"{cell.upper()} is better: {', '.join(TOPICS.get(name, name) for name in dict.fromkeys(names))}"
        for cell, names in by_cell.items()
    )
    return Verdict(
        key=claim.key,
        said=claim.said,
        sentence=claim.sentence,
        shows=claim.shows,
        budget=None,
        unit=None,
        rule="holds where one cell is surely better by some of these claims and another by others; does not hold where "
        "one and the same is by all",
        verdict=ruling,
        parts=tuple(parts),
        interval=CORRECTED,
        why=found or ("fewer than two of these were measured" if len(parts) < 2 else "no cell is surely better by any"),
    )
