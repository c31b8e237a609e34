"""Figures with their standard errors, and intervals of many that are looked at together.

NumPy is all that it needs: whoever asks a file of results for advice may have a base install.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speech_rnn.errors import DataError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


class Estimate(NamedTuple):
    """A figure that was estimated.

    Attributes:
        value: the estimate.
        error: its standard error.
        freedom: degrees of freedom of Student's distribution, at least 1.
    """

    value: float
    error: float
    freedom: float

    def half_width(self, level: float) -> float:
        """Half of the interval that leaves the true value out with this probability."""
        return self.error * student_quantile(level, self.freedom)

    def level(self, distance: float) -> float:
        """How often an interval would have to miss to be as narrow as ``distance`` to both sides: 0 to 1."""
        if distance <= 0:
            return 1.0
        return 2 * student_tail(distance / self.error, self.freedom) if self.error else 0.0


def crossed_estimate(values: NDArray[np.floating | np.bool_]) -> Estimate:
    """The mean over seeds and clips, both drawn, with every seed hearing every clip.

    The variance is that which :func:`speech_rnn.comparison.statistics.paired_difference` finds by resampling, in closed
    form (Owen 2007, doi:10.1214/07-AOAS122, section 3). A few seeds say little of their spread, many clips say much of
    theirs; the degrees of freedom are in between, by which of them the variance comes from (Satterthwaite 1946,
    doi:10.2307/3002019).

    Args:
        values: [seeds, clips], right or wrong, a difference of two, or any score.

    Raises:
        DataError: fewer than two seeds or clips.
    """
    n_seeds, n_clips = values.shape
    if n_seeds < 2 or n_clips < 2:
        raise DataError(f"{n_seeds} seed(s) and {n_clips} clip(s) give no interval; take two or more of each")
    scores = values.astype(np.float64)
    value = float(scores.mean())
    by_seed = scores.mean(axis=1, keepdims=True) - value
    by_clip = scores.mean(axis=0, keepdims=True) - value
    rest = scores - value - by_seed - by_clip
    squares = [float(np.square(part).sum()) for part in (by_seed, by_clip, rest)]
    resampled = squares[0] / n_seeds**2 + squares[1] / n_clips**2 + squares[2] / (n_seeds * n_clips) ** 2
    between_seeds = squares[0] / (n_seeds - 1) / n_seeds
    between_clips = squares[1] / (n_clips - 1) / n_clips
    # A few seeds show too little spread.
    variance = resampled + between_seeds / n_seeds
    if variance == 0:
        return Estimate(value, 0.0, n_seeds - 1)
    freedom = variance**2 / (between_seeds**2 / (n_seeds - 1) + between_clips**2 / (n_clips - 1))
    return Estimate(value, variance**0.5, max(freedom, n_seeds - 1))


def mean_estimate(values: NDArray[np.floating], *, resolution: float = 0.0) -> Estimate:
    """The mean of one figure a seed.

    Args:
        values: [seeds].
        resolution: of a figure that comes in steps. Seeds that all fall on the same one don't make it certain: the
            error is at least that of rounding to a step, its length by the square root of 12.

    Raises:
        DataError: fewer than two seeds.
    """
    if len(values) < 2:
        raise DataError(f"{len(values)} seed(s) give no interval; take two or more, five are usual")
    spread = max(float(np.std(values, ddof=1)), resolution / 12**0.5)
    return Estimate(float(np.mean(values)), spread / len(values) ** 0.5, len(values) - 1)


def summed(*estimates: Estimate) -> Estimate:
    """The sum of figures that err independently; its degrees of freedom as Satterthwaite has them."""
    variances = [(one.error**2, one.freedom) for one in estimates if one.error > 0]
    variance = sum(part for part, _ in variances)
    freedom = variance**2 / sum(part**2 / of_part for part, of_part in variances) if variances else 1.0
    return Estimate(sum(one.value for one in estimates), variance**0.5, freedom)


def student_tail(distance: float, freedom: float) -> float:
    """How often Student's t is above ``distance``, which is at least 0.

    With t = √freedom tan θ the density is a power of cos θ, which Gauss and Legendre integrate; 1e-11 off at most.
    """
    angle = math.atan(distance / math.sqrt(freedom))
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    heights = np.cos(angle / 2 * (_NODES + 1)) ** (freedom - 1)
    return max(0.0, 0.5 - scale * angle / 2 * float(_WEIGHTS @ heights))


def student_quantile(level: float, freedom: float) -> float:
    """What the size of Student's t is above so often: ``level``, between 0 and 1, to both sides together."""
    low, high = 0.0, math.pi / 2
    while high - low > 1e-15 * high and low < (middle := (low + high) / 2) < high:
        if 2 * student_tail(math.sqrt(freedom) * math.tan(middle), freedom) > level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(high)
