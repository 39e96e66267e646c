"""Means with intervals: what a table of repeated runs may claim.

A difference of two methods is taken pair by pair, replicate by replicate (same seed, same data order), and given with
its 95 % t-interval. If the interval contains 0, no difference was seen.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean, the half-width of its 95 % t-interval, and what they come from."""

    mean: float
    half_width: float  # nan for a single value
    std: float  # of the values, with n - 1 in the denominator; nan for a single value
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval."""
        return abs(self.mean) > self.half_width

    def text(self, *, scale: float = 100.0, digits: int = 2, sign: bool = False) -> str:
        """Return ``mean ± half-width``, by default in percent.

        Parameters
        ----------
        scale : what the numbers are multiplied by; 100 makes percent of shares
        digits : behind the point
        sign : True writes + as well

        Returns
        -------
        Text.

        """
        rounded = round(self.mean * scale, digits) + 0.0  # never "-0.00"
        mean = f"{rounded:{'+' if sign else ''}.{digits}f}"
        return mean if math.isnan(self.half_width) else f"{mean} ± {self.half_width * scale:.{digits}f}"


def t_interval(values: np.ndarray | list[float]) -> Interval:
    """Return the mean of n independent values with its 95 % interval, mean ± t(0.975, n - 1) s / sqrt(n).

    Parameters
    ----------
    values : one for each replicate

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        There is no value.

    Examples
    --------
    >>> t_interval([1.0, 2.0, 3.0, 4.0, 5.0]).text(scale=1)
    '3.00 ± 1.96'
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values must be a list of at least one number, got shape {values.shape}")
    n = values.size
    if n == 1:
        return Interval(float(values[0]), math.nan, math.nan, 1)
    std = float(values.std(ddof=1))
    return Interval(float(values.mean()), t_quantile(n - 1) * std / math.sqrt(n), std, n)


class RatioInterval(NamedTuple):
    """A ratio of paired positive numbers, and a 95 % interval for it, which need not lie evenly about it."""

    value: float
    low: float  # nan for a single pair
    high: float
    n: int

    def text(self, *, digits: int = 2) -> str:
        """Return ``value (low to high)``.

        Parameters
        ----------
        digits : behind the point

        Returns
        -------
        Text.

        """
        if math.isnan(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def mean_of_ratios(values: np.ndarray | list[float], reference: np.ndarray | list[float]) -> RatioInterval:
    """Return (1/n) sum A_i / B_i, with the 95 % t-interval of the logarithms of the ratios.

    The interval belongs to the typical ratio, exp(mean of the logarithms); where single ratios are far apart their
    mean may lie above it.

    Parameters
    ----------
    values, reference : (n,) positive, paired

    Returns
    -------
    RatioInterval

    Examples
    --------
    >>> mean_of_ratios([1.0, 4.0], [1.0, 2.0]).value
    1.5
    """
    a, b = _positive_pairs(values, reference)
    logs = t_interval(np.log(a / b))
    low, high = (math.exp(min(logs.mean + side * logs.half_width, 700.0)) for side in (-1, 1))
    return RatioInterval(float((a / b).mean()), low, high, len(a))


def ratio_of_means(values: np.ndarray | list[float], reference: np.ndarray | list[float]) -> RatioInterval:
    """Return sum A_i / sum B_i, with a 95 % interval by leaving out one pair at a time (the jackknife).

    Parameters
    ----------
    values, reference : (n,) positive, paired

    Returns
    -------
    RatioInterval

    Examples
    --------
    >>> round(ratio_of_means([1.0, 4.0], [1.0, 2.0]).value, 4)
    1.6667
    """
    a, b = _positive_pairs(values, reference)
    n, ratio = len(a), float(a.sum() / b.sum())
    if n == 1:
        return RatioInterval(ratio, math.nan, math.nan, 1)
    without = (a.sum() - a) / (b.sum() - b)  # (n,)
    std = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    half = t_quantile(n - 1) * std
    return RatioInterval(ratio, ratio - half, ratio + half, n)


def _positive_pairs(values, reference) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0 or not (a > 0).all() or not (b > 0).all():
        raise ValueError(f"ratios need two lists of as many positive numbers, got {a.tolist()} and {b.tolist()}")
    return a, b


def t_quantile(df: int, probability: float = 0.975) -> float:
    """Return the quantile of Student's t law for an integer number of degrees of freedom, by bisection.

    Parameters
    ----------
    df : degrees of freedom
    probability : that the quantile is not exceeded

    Returns
    -------
    A number.

    Raises
    ------
    ValueError
        df is below 1, or probability outside (0.5, 1).

    Examples
    --------
    >>> [round(t_quantile(df), 3) for df in (4, 7, 15)]
    [2.776, 2.365, 2.131]
    """
    if df % 1 != 0 or df < 1 or not 0.5 < probability < 1:
        raise ValueError(f"df must be an integer >= 1 and probability in (0.5, 1), got {df!r} and {probability!r}")
    return _t_quantile(int(df), float(probability))


@functools.lru_cache(maxsize=1024)  # every interval of a report asks for the same few
def _t_quantile(df: int, probability: float) -> float:
    low, high = 0.0, 1.0
    while _t_cdf(high, df) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, df) < probability else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, df: int) -> float:
    """P(T <= t) for t >= 0: a finite sum for integer df (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(df))
    cos2 = math.cos(theta) ** 2
    if df % 2:
        term, total = math.cos(theta), 0.0
        for k in range(1, (df - 1) // 2 + 1):
            total += term
            term *= 2 * k / (2 * k + 1) * cos2
        inside = 2 / math.pi * (theta + math.sin(theta) * total)
    else:
        term, total = 1.0, 0.0
        for k in range(1, df // 2 + 1):
            total += term
            term *= (2 * k - 1) / (2 * k) * cos2
        inside = math.sin(theta) * total
    return 0.5 + inside / 2
