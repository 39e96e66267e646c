"""How far a mean of random numbers may be from its expectation: bounds that a correct draw breaks with probability DELTA.

All hold for every sample size, none is asymptotic. ``statements`` divides DELTA among so many means judged together.
"""

from __future__ import annotations

import math

import numpy as np

DELTA = 1e-9


def hoeffding(n: int, width: float = 1.0, *, statements: int = 1) -> float:
    """For the mean of n independent numbers, each inside an interval of this width."""
    return width * math.sqrt(math.log(2 * statements / DELTA) / (2 * n))


def bernstein(
    n: int, largest: float | np.ndarray, variance: float | np.ndarray, *, statements: int = 1
) -> float | np.ndarray:
    """For the mean of n independent numbers at most ``largest`` away from their expectation, of known variance."""
    log_term = math.log(2 * statements / DELTA)
    linear = largest * log_term / (3 * n)
    return linear + np.sqrt(linear**2 + 2 * variance * log_term / n)


def normal(n: int, variance: float = 1.0, *, statements: int = 1) -> float:
    """For the mean of n independent normal numbers, by the tail bound P(|Z| > z) <= 2 exp(-z^2 / 2)."""
    return math.sqrt(2 * variance * math.log(2 * statements / DELTA) / n)


def chi_squared(n: int, *, statements: int = 1) -> float:
    """For the mean of n squares of independent standard normal numbers, whose expectation is 1 (Laurent and Massart)."""
    t = math.log(2 * statements / DELTA)
    return 2 * math.sqrt(t / n) + 2 * t / n


def normal_product(n: int, variance_1: float, variance_2: float, covariance: float, *, statements: int = 1) -> float:
    """For the mean of n products of two jointly normal numbers of mean 0: 4 u v = (u + v)^2 - (u - v)^2."""
    together = variance_1 + variance_2 + 2 * covariance
    apart = variance_1 + variance_2 - 2 * covariance
    return (together + apart) / 4 * chi_squared(n, statements=2 * statements)
