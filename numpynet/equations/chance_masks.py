"""What chance does to masks: exact counts beside independent coins, units that die, masks that overlap.

These are the yardsticks for a mask that somebody claims to be special.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numpynet.equations.targeted_dropout import check_share


def dead_unit_probability(density: float, fan_in: int, fan_out: int) -> float:
    """Return P(dead): no weight comes in, or none goes out, if each of them lives with this probability.   Equation (M13)

    Parameters
    ----------
    density : probability in [0, 1] that a weight is alive
    fan_in : number of weights that come in
    fan_out : number of weights that go out

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> round(dead_unit_probability(0.1, fan_in=40, fan_out=100), 4)                             # 0.9^40 and 0.9^100
    0.0148
    """
    s = check_share(density, "density")
    return 1 - (1 - (1 - s) ** fan_in) * (1 - (1 - s) ** fan_out)


class CountMoments(NamedTuple):
    """Of the entries of a mask that holds exactly k ones among n, all such masks equally likely."""

    mean: float
    variance: float
    covariance: float  # of two entries: negative, for where one is 1 the other has less chance


def exact_count_moments(k: int, n: int) -> CountMoments:
    """Return mean k/n, variance and covariance -k/n (1 - k/n) / (n - 1): drawing without replacement.   Equation (M14)

    Bernoulli masks of the same density have the same mean and variance, and no covariance; their count varies.

    Parameters
    ----------
    k : number of ones
    n : number of entries

    Returns
    -------
    CountMoments : mean, variance and covariance of the entries.

    Raises
    ------
    ValueError
        k is outside 0 ... n, or n is below 2.

    Examples
    --------
    >>> exact_count_moments(2, 5)
    CountMoments(mean=0.4, variance=0.24, covariance=-0.06)
    """
    if not 0 <= k <= n or n < 2:
        raise ValueError(f"k is {k} and n is {n}, but 0 <= k <= n and n >= 2 are needed")
    variance = k / n * (1 - k / n)
    return CountMoments(k / n, variance, -variance / (n - 1))


def overlap_by_chance(a: int, b: int, n: int) -> tuple[float, float]:
    """Return mean and variance of how many ones two independent masks of a and b ones among n share.   Equation (L20)

    Parameters
    ----------
    a, b : number of ones in each mask
    n : number of entries

    Returns
    -------
    mean, variance : of the number of entries where both are 1

    Raises
    ------
    ValueError
        a or b is outside 0 ... n, or n is below 2.

    Examples
    --------
    >>> overlap_by_chance(9, 12, 30)                                            # a hypergeometric law
    (3.6, 1.5641)
    """
    if not (0 <= a <= n and 0 <= b <= n) or n < 2:
        raise ValueError(f"a, b and n are {a}, {b} and {n}, but 0 <= a, b <= n and n >= 2 are needed")
    mean = a * b / n
    return mean, mean * (1 - a / n) * (n - b) / (n - 1)


def iou_by_chance(a: int, b: int, n: int) -> float:
    """Return the exact mean of intersection over union of two independent masks of a and b ones among n.   Equation (L20)

    Parameters
    ----------
    a, b : number of ones in each mask
    n : number of entries

    Returns
    -------
    A number in [0, 1].

    Raises
    ------
    ValueError
        Both masks are empty, or the counts do not fit.

    Examples
    --------
    >>> round(iou_by_chance(9, 12, 30), 3)                       # 0.207 by the densities, a little more in truth
    0.213
    """
    overlap_by_chance(a, b, n)  # raises if the counts do not fit
    if a + b == 0:
        raise ValueError("both masks are empty: their intersection over union is 0 / 0")
    log_all = _log_choose(n, b)
    return math.fsum(
        k / (a + b - k) * math.exp(_log_choose(a, k) + _log_choose(n - a, b - k) - log_all)
        for k in range(max(0, a + b - n), min(a, b) + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
