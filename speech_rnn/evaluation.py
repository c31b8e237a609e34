"""How good a model is, and how sure that is.

A share of right answers has two intervals. Wilson's takes the clips for independent. They are not where a speaker
says many of them, so a second one resamples whole speakers: it is the wider one when a model has trouble with some
voices, and the one to quote for people whom the model has never heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from speech_rnn.data.clips import SILENCE, UNKNOWN
from speech_rnn.draws import generator
from speech_rnn.errors import DataError

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MIN_CLIPS_OF_SPEAKER = 5  # with fewer, a speaker's own accuracy says more of the draw than of the voice


class Record(BaseModel):
    """Base of the figures: frozen, no unknown keys, no coercion, no NaN; JSON there and back is the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record from JSON; :class:`DataError` where it isn't one."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            finding = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in finding["loc"]) or "it"
            raise DataError(
                f"this is no {cls.__name__.lower()} of this version: {place}: {finding['msg']}; "
                "write it anew with 'speech-rnn evaluate --json'"
            ) from None

    def to_json(self) -> str:
        """The record as indented JSON; ``from_json`` of it is equal to ``self``."""
        return self.model_dump_json(indent=2)


class Proportion(Record):
    """A share of right answers among ``n`` clips.

    Attributes:
        correct, n: counts.
        value: ``correct / n``, 0 to 1.
        low, high: Wilson's interval.
        speaker_low, speaker_high: percentile interval of a bootstrap over speakers; ``None`` where fewer than two
            speakers are known, or where all answers are right or all wrong, since resampling then shows no spread
            whatever the truth is.
    """

    correct: int = Field(ge=0)
    n: int = Field(ge=1)
    value: float = Field(ge=0.0, le=1.0)
    low: float = Field(ge=0.0, le=1.0)
    high: float = Field(ge=0.0, le=1.0)
    speaker_low: float | None = Field(default=None, ge=0.0, le=1.0)
    speaker_high: float | None = Field(default=None, ge=0.0, le=1.0)


class LabelFigures(Record):
    """How well one label is told from the others. A ratio of nothing (0 of 0) is ``None``, not 0.

    Attributes:
        support: clips that are of this label.
        predicted: clips that were taken for it.
        correct: clips that are both.
        precision: ``correct / predicted``.
        recall: ``correct / support``; ``recall_low`` and ``recall_high`` are Wilson's interval of it.
        f1: harmonic mean of precision and recall.
    """

    label: str
    support: int = Field(ge=0)
    predicted: int = Field(ge=0)
    correct: int = Field(ge=0)
    precision: float | None = Field(ge=0.0, le=1.0)
    recall: float | None = Field(ge=0.0, le=1.0)
    recall_low: float | None = Field(ge=0.0, le=1.0)
    recall_high: float | None = Field(ge=0.0, le=1.0)
    f1: float | None = Field(ge=0.0, le=1.0)


class SpeakerFigures(Record):
    """One speaker: counts and their ratio."""

    speaker: str
    correct: int = Field(ge=0)
    n: int = Field(ge=1)
    accuracy: float = Field(ge=0.0, le=1.0)


class SpeakerSpread(Record):
    """How accuracy differs between the speakers that have ``min_clips`` clips or more.

    ``quantiles`` are pairs of (share of speakers, accuracy that this share stays at or below).
    """

    n_speakers: int = Field(ge=1)
    min_clips: int = Field(ge=1)
    quantiles: tuple[tuple[float, float], ...]


class Confusion(Record):
    """``n`` clips of ``label`` that were taken for ``taken_for``."""

    label: str
    taken_for: str
    n: int = Field(ge=1)


class Evaluation(Record):
    """What a model makes of one set of clips.

    Attributes:
        model: which model, in words.
        data, part: which recordings, in words, and which part of them.
        synthetic: whether machines speak in the recordings; every figure must then say so.
        command: what gives these figures again.
        confidence: of all intervals, 0.95 for 95 %.
        labels: in the order of the scores.
        accuracy: of all clips; ``commands`` of those whose label is a word, ``unknown`` and ``silence`` of those
            labels; ``None`` where there are none.
        cross_entropy: mean of -log(probability of the true label), in nats.
        per_label: in the order of ``labels``.
        confusion: ``confusion[true][predicted]``, counts.
        speakers: those that are known, surest trouble first: by the upper end of Wilson's interval.
        spread: ``None`` where fewer than two speakers have enough clips.
    """

    model: str
    data: str
    part: str
    synthetic: bool
    command: str
    confidence: float = Field(gt=0.0, lt=1.0)
    labels: tuple[str, ...]
    accuracy: Proportion
    commands: Proportion | None
    unknown: Proportion | None
    silence: Proportion | None
    cross_entropy: float = Field(ge=0.0)
    per_label: tuple[LabelFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    speakers: tuple[SpeakerFigures, ...]
    spread: SpeakerSpread | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        n = len(self.labels)
        if len(self.confusion) != n or any(len(row) != n for row in self.confusion):
            raise ValueError(f"confusion must have {n} rows of {n} counts, one of each label")
        if tuple(figures.label for figures in self.per_label) != self.labels:
            raise ValueError("per_label must have the labels in their order")
        if sum(map(sum, self.confusion)) != self.accuracy.n:
            raise ValueError(f"the counts of confusion must add up to n={self.accuracy.n} clips")
        return self

    @property
    def groups(self) -> tuple[tuple[str, Proportion], ...]:
        """(name, share) of all clips and of each group that has some of them, but not all."""
        parts = (("commands", self.commands), ("unknown", self.unknown), ("silence", self.silence))
        return ("all", self.accuracy), *((name, one) for name, one in parts if one and one.n < self.accuracy.n)

    def confusions(self, most: int) -> tuple[Confusion, ...]:
        """The commonest mistakes, at most ``most``, commonest first."""
        counts = np.asarray(self.confusion, dtype=np.int64)
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:most]
        pairs = (np.unravel_index(flat, counts.shape) for flat in order)
        return tuple(
            Confusion(label=self.labels[true], taken_for=self.labels[taken], n=int(counts[true, taken]))
            for true, taken in pairs
            if counts[true, taken]
        )


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927); honest at few clips and near 0 and 1, where ±2 σ is not.

    Args:
        successes: 0 to ``n``.
        n: trials; with 0 of them the interval is (0, 1).
        confidence: coverage, between 0 and 1.

    Returns:
        Lower and upper end, 0 to 1.

    Raises:
        DataError: counts that can't be.
    """
    if not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n} can't be; count between 0 and n")
    if not 0.0 < confidence < 1.0:
        raise DataError(f"confidence={confidence} must be between 0 and 1; 0.95 is usual")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def speaker_interval(
    correct: NDArray[np.bool_],
    speakers: Sequence[str],
    rng: np.random.Generator,
    *,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of the share of right answers when speakers, not clips, are drawn anew.

    A clip without a speaker (``""``: silence, recordings of unknown origin) counts as a speaker of its own.

    Args:
        correct: bool [clips].
        speakers: of each clip.
        rng: where the resamples are drawn from.
        resamples: how many.
        confidence: coverage, between 0 and 1.

    Returns:
        Lower and upper end, 0 to 1; ``None`` where fewer than two speakers are known or all answers are alike.
    """
    counts = _counts_of_speakers(correct, speakers)
    known = len({speaker for speaker in speakers if speaker})
    if known < 2 or correct.all() or not correct.any():
        return None
    # Speakers with the same counts are exchangeable, so drawing how often each *kind* of speaker occurs is the same
    # draw at a fraction of the cost.
    kinds, multiplicity = np.unique(counts, axis=0, return_counts=True)
    draws = rng.multinomial(len(counts), multiplicity / len(counts), size=resamples) @ kinds
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [tail, 1 - tail])
    return float(low), float(high)


def evaluate(
    logits: ArrayLike,
    targets: ArrayLike,
    labels: Sequence[str],
    speakers: Sequence[str],
    *,
    data: str,
    synthetic: bool,
    command: str,
    part: str = "testing",
    model: str = "",
    seed: int = 0,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Evaluation:
    """Compare what a model said with what is so.

    Args:
        logits: float [clips, labels], finite; only differences within a row count, so log-probabilities do as well.
        targets: int [clips], index of the true label.
        labels: in the order of the logits.
        speakers: of each clip, ``""`` where unknown.
        data: which recordings, in words.
        synthetic: whether machines speak in them.
        command: what gives these figures again.
        part: which part of the recordings.
        model: which model, in words.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        confidence: of all intervals.

    Raises:
        DataError: shapes that don't fit, a NaN, a target that isn't a label, no clips.
    """
    logits, targets = _checked(logits, targets, labels, speakers)
    predicted = logits.argmax(axis=1)
    correct = predicted == targets

    def share(number: int, chosen: NDArray[np.bool_]) -> Proportion:
        right = correct[chosen]
        who = [speaker for speaker, is_chosen in zip(speakers, chosen.tolist(), strict=True) if is_chosen]
        n_right, n = int(right.sum()), len(right)
        low, high = wilson_interval(n_right, n, confidence)
        rng = generator(seed, "evaluation.bootstrap", number)
        interval = speaker_interval(right, who, rng, resamples=resamples, confidence=confidence)
        speaker_low, speaker_high = interval or (None, None)
        return Proportion(
            correct=n_right,
            n=n,
            value=n_right / n,
            low=low,
            high=high,
            speaker_low=speaker_low,
            speaker_high=speaker_high,
        )

    names = np.asarray(labels, dtype=object)
    is_unknown, is_silence = (names == UNKNOWN)[targets], (names == SILENCE)[targets]
    is_command = ~is_unknown & ~is_silence
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(confusion, (targets, predicted), 1)
    of_speakers = _speaker_figures(correct, speakers, confidence)
    return Evaluation(
        model=model,
        data=data,
        part=part,
        synthetic=synthetic,
        command=command,
        confidence=confidence,
        labels=tuple(labels),
        accuracy=share(0, np.ones(len(targets), dtype=bool)),
        commands=share(1, is_command) if is_command.any() else None,
        unknown=share(2, is_unknown) if is_unknown.any() else None,
        silence=share(3, is_silence) if is_silence.any() else None,
        cross_entropy=_cross_entropy(logits, targets),
        per_label=_label_figures(confusion, labels, confidence),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        speakers=of_speakers,
        spread=_spread(of_speakers),
    )


def _checked(
    logits: ArrayLike, targets: ArrayLike, labels: Sequence[str], speakers: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The arrays, once they fit together."""
    scores, indices = np.asarray(logits), np.asarray(targets)
    if scores.ndim != 2 or scores.shape[1] != len(labels) or not np.issubdtype(scores.dtype, np.number):
        raise DataError(
            f"logits of shape {scores.shape} and type {scores.dtype} must be numbers [clips, {len(labels)} labels]"
        )
    if indices.shape != scores.shape[:1] or len(speakers) != len(scores):
        raise DataError(
            f"{len(scores)} rows of logits, {indices.size} targets and {len(speakers)} speakers must be as many; "
            "give one of each a clip"
        )
    if len(scores) == 0:
        raise DataError("0 clips have no accuracy; choose a part that has some")
    if not np.isfinite(scores).all():
        clip = int(np.argmin(np.isfinite(scores).all(axis=1)))
        raise DataError(f"logits of clip {clip} must be finite; look at the model")
    if not np.issubdtype(indices.dtype, np.integer) or indices.min() < 0 or indices.max() >= len(labels):
        raise DataError(f"targets must be indices of the {len(labels)} labels, 0 to {len(labels) - 1}")
    return scores.astype(np.float64), indices.astype(np.int64)


def _cross_entropy(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Mean of -log softmax(logits)[target], in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # exp of the largest is 1: nothing overflows
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]
    return max(0.0, float(losses.mean()))


def _label_figures(confusion: NDArray[np.int64], labels: Sequence[str], confidence: float) -> tuple[LabelFigures, ...]:
    """The figures of each label, from the counts."""
    figures = []
    for index, label in enumerate(labels):
        correct, support, predicted = (
            int(count) for count in (confusion[index, index], confusion[index].sum(), confusion[:, index].sum())
        )
        low, high = wilson_interval(correct, support, confidence) if support else (None, None)
        figures.append(
            LabelFigures(
                label=label,
                support=support,
                predicted=predicted,
                correct=correct,
                precision=correct / predicted if predicted else None,
                recall=correct / support if support else None,
                recall_low=low,
                recall_high=high,
                f1=2 * correct / (support + predicted) if support + predicted else None,
            )
        )
    return tuple(figures)


def _counts_of_speakers(correct: NDArray[np.bool_], speakers: Sequence[str]) -> NDArray[np.int64]:
    """(right, all) clips of each speaker, int64 [speakers, 2]; each clip without one by itself."""
    named = [speaker or (index,) for index, speaker in enumerate(speakers)]
    number = {speaker: index for index, speaker in enumerate(dict.fromkeys(named))}
    counts = np.zeros((len(number), 2), dtype=np.int64)
    np.add.at(counts, [number[speaker] for speaker in named], np.stack([correct, np.ones_like(correct)], axis=1))
    return counts


def _speaker_figures(
    correct: NDArray[np.bool_], speakers: Sequence[str], confidence: float
) -> tuple[SpeakerFigures, ...]:
    """The known speakers, surest trouble first."""
    counts: dict[str, tuple[int, int]] = {}
    for speaker, right in zip(speakers, correct.tolist(), strict=True):
        if speaker:
            n_right, n = counts.get(speaker, (0, 0))
            counts[speaker] = n_right + right, n + 1
    figures = [
        SpeakerFigures(speaker=speaker, correct=n_right, n=n, accuracy=n_right / n)
        for speaker, (n_right, n) in counts.items()
    ]

    def rank(one: SpeakerFigures) -> tuple[float, int, str]:
        return wilson_interval(one.correct, one.n, confidence)[1], -one.n, one.speaker

    return tuple(sorted(figures, key=rank))


def _spread(figures: Sequence[SpeakerFigures]) -> SpeakerSpread | None:
    """Quantiles over the speakers with enough clips."""
    accuracies = [one.accuracy for one in figures if one.n >= MIN_CLIPS_OF_SPEAKER]
    if len(accuracies) < 2:
        return None
    quantiles = zip(QUANTILES, np.quantile(accuracies, QUANTILES).tolist(), strict=True)
    return SpeakerSpread(n_speakers=len(accuracies), min_clips=MIN_CLIPS_OF_SPEAKER, quantiles=tuple(quantiles))
