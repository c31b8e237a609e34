"""How sure a difference between two cells is: over the clips that were heard, and over the seeds that were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from speech_rnn.comparison.estimates import crossed_estimate
from speech_rnn.errors import DataError

_CHUNK = 50  # resamples at a time: bounds the memory


class Difference(NamedTuple):
    """A difference and its interval.

    Attributes:
        value: the estimate.
        low, high: of the interval.
    """

    value: float
    low: float
    high: float


def paired_difference(
    first: NDArray[np.floating | np.bool_],
    second: NDArray[np.floating | np.bool_],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
) -> Difference:
    """The mean of ``first`` less that of ``second``, which heard the same clips and were trained from the same seeds.

    Seeds and clips are both drawn, and every seed hears every clip, so both are resampled at once (the pigeonhole
    bootstrap: Owen 2007, doi:10.1214/07-AOAS122). It errs to the wide side for clips; a few seeds show too little
    spread, so their share of the variance is scaled by n / (n - 1), and the interval is Student's with n - 1 degrees of
    freedom.

    Args:
        first: [seeds, clips], right or wrong, or any score.
        second: the same of the other.
        rng: where the resamples are drawn from.
        confidence: coverage, between 0 and 1.
        resamples: how many.

    Raises:
        DataError: shapes that differ, fewer than two seeds, or no clips.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise DataError(
            f"results of shapes {first.shape} and {second.shape} can't be paired; take the same seeds and clips"
        )
    n_seeds, n_clips = first.shape
    if n_seeds < 2 or n_clips < 1:
        raise DataError(
            f"{n_seeds} seed(s) and {n_clips} clips give no interval; take two seeds or more, five are usual"
        )
    differences = first.astype(np.float64) - second.astype(np.float64)
    means = np.empty(resamples)
    for start in range(0, resamples, _CHUNK):
        n = min(_CHUNK, resamples - start)
        of_seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n)
        of_clips = rng.multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=n)
        means[start : start + n] = np.einsum("rs,sc,rc->r", of_seeds, differences, of_clips, optimize=True)
    means /= n_seeds * n_clips
    between_seeds = float(differences.mean(axis=1).var(ddof=1)) / n_seeds
    variance = float(means.var()) + between_seeds / n_seeds
    half = float(stats.t.ppf(0.5 + confidence / 2, n_seeds - 1)) * variance**0.5
    value = float(differences.mean())
    return Difference(value, value - half, value + half)


def crossed_interval(values: NDArray[np.floating | np.bool_], *, confidence: float = 0.95) -> Difference:
    """The mean over seeds and clips, with the interval that :func:`paired_difference` finds by resampling.

    Args:
        values: [seeds, clips], right or wrong, or any score.
        confidence: coverage, between 0 and 1.

    Raises:
        DataError: fewer than two seeds or clips.
    """
    estimate = crossed_estimate(values)
    # As there, and to the wide side: what the clips add to the degrees of freedom is left out.
    half = estimate._replace(freedom=len(values) - 1).half_width(1 - confidence)
    return Difference(estimate.value, estimate.value - half, estimate.value + half)


def mean_interval(values: NDArray[np.floating], *, confidence: float = 0.95) -> Difference:
    """The mean of one figure a seed, with Student's interval.

    Args:
        values: [seeds].
        confidence: coverage, between 0 and 1.

    Raises:
        DataError: fewer than two seeds.
    """
    if len(values) < 2:
        raise DataError(f"{len(values)} seed(s) give no interval; take two or more, five are usual")
    value = float(np.mean(values))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return Difference(value, value - half, value + half)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """How often chance alone would split the clips on which two models disagree as unevenly: the exact two-sided p.

    McNemar 1947, doi:10.1007/BF02295996: of the clips that only one of them has right, each is as likely the one's
    as the other's.

    Args:
        first: bool [clips], whether a model is right.
        second: the same of another.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    n = only_first + only_second
    if n == 0:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def holm(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """P values as they count when all are looked at together (Holm 1979): [tests], none smaller than before."""
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def holm_intervals(differences: Sequence[Difference], n_seeds: int, *, confidence: float = 0.95) -> list[Difference]:
    """Intervals of differences that are looked at together, as wide as Holm's correction (1979) makes them.

    The surest of m is given the confidence that 1/m of the error leaves, the next 1/(m - 1), and so on; from the first
    that holds 0 even so, the others get no more error than that one. So an interval leaves 0 out exactly where Holm's
    test finds a difference.

    Args:
        differences: of :func:`paired_difference`, each with its interval by itself.
        n_seeds: from which they were found, at least 2.
        confidence: of those intervals, and of all corrected ones together.

    Returns:
        Wider ones, in the same order.
    """
    alone = float(stats.t.ppf(0.5 + confidence / 2, n_seeds - 1))
    errors = [(one.high - one.low) / 2 / alone for one in differences]
    # How many standard errors from 0; two copies of one model differ by 0, and surely.
    distances = [
        0.0 if one.value == 0 else abs(one.value) / error if error else np.inf
        for one, error in zip(differences, errors, strict=True)
    ]
    corrected = list(differences)
    quantile, holds_0 = 0.0, False
    for rank, index in enumerate(np.argsort(-np.asarray(distances), kind="stable").tolist()):
        if not holds_0:
            quantile = float(stats.t.ppf(1 - (1 - confidence) / (len(differences) - rank) / 2, n_seeds - 1))
            holds_0 = distances[index] <= quantile
        value, half = differences[index].value, quantile * errors[index]
        corrected[index] = Difference(value, value - half, value + half)
    return corrected
