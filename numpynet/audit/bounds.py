"""How far a mean of random numbers may be from its expectation: bounds that correct code breaks once in 10^9 draws.

All hold for every sample size, none is asymptotic. ``statements`` shares the failure probability among so many means.
"""

from __future__ import annotations

import math

import numpy as np

DELTA = 1e-9


def hoeffding(n: int, width: float = 1.0, *, statements: int = 1) -> float:
    """Bound the mean of n independent numbers, each inside an interval of this width.

    Parameters
    ----------
    n : how many numbers
    width : of the interval
    statements : how many means share the failure probability ``DELTA``

    Returns
    -------
    Largest distance of the mean from its expectation, Hoeffding (1963).

    Examples
    --------
    >>> hoeffding(100_000)
    0.010348
    """
    return width * math.sqrt(math.log(2 * statements / DELTA) / (2 * n))


def bernstein(n: int, largest: float, variance: float | np.ndarray, *, statements: int = 1) -> float | np.ndarray:
    """Bound the mean of n independent numbers at most ``largest`` away from their expectation, of known variance.

    Parameters
    ----------
    n : how many numbers
    largest : distance of any of them from its expectation
    variance : of one number, or of many means at once
    statements : how many means share the failure probability ``DELTA``

    Returns
    -------
    Largest distance of the mean from its expectation, in the shape of variance: Bernstein's inequality, solved for it.

    Examples
    --------
    >>> float(bernstein(100_000, 1.0, 0.01))
    0.002142
    """
    log_term = math.log(2 * statements / DELTA)
    linear = largest * log_term / (3 * n)
    return linear + np.sqrt(linear**2 + 2 * variance * log_term / n)


def normal(n: int, variance: float = 1.0, *, statements: int = 1) -> float:
    """Bound the mean of n independent normal numbers, by P(|Z| > z) <= 2 exp(-z^2 / 2).

    Parameters
    ----------
    n : how many numbers
    variance : of one number
    statements : how many means share the failure probability ``DELTA``

    Returns
    -------
    Largest distance of the mean from its expectation.

    Examples
    --------
    >>> normal(100_000)
    0.020696
    """
    return math.sqrt(2 * variance * math.log(2 * statements / DELTA) / n)


def chi_squared(n: int, *, statements: int = 1) -> float:
    """Bound the mean of n squares of independent standard normal numbers, around 1 (Laurent and Massart 2000).

    Parameters
    ----------
    n : how many squares
    statements : how many means share the failure probability ``DELTA``

    Returns
    -------
    Largest distance of the mean from 1.

    Examples
    --------
    >>> chi_squared(100_000)
    0.029697
    """
    t = math.log(2 * statements / DELTA)
    return 2 * math.sqrt(t / n) + 2 * t / n
