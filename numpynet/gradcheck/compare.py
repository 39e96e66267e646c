"""Comparing two gradients: one tolerance per array, the worst entry, and the bracket at kinks.

    max|a - n| <= rtol * max(max|n|, max|a|, s) + atol,     s = 1e-8 times the largest gradient of the layer

A rule per entry would fail on entries that are small by chance, an absolute rule would pass gradients that are all
small; so the largest entry of each array sets its scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numpynet.gradcheck.numeric import (
    CENTRAL_STEP,
    COMPLEX_STEP,
    NumericGradient,
    complex_step,
    one_sided_differences,
)


class Comparison(NamedTuple):
    """What a comparison of one array found."""

    analytic: np.ndarray
    numeric: np.ndarray  # at a kink the end of the bracket that is nearest to analytic
    wrong: np.ndarray  # bool
    index: tuple[int, ...]  # of the worst entry
    max_abs_error: float
    scale: float
    rtol: float
    atol: float
    kinks: tuple[int, ...]  # flat indices where the two sides differ

    @property
    def passed(self) -> bool:
        """Whether no entry is wrong."""
        return not self.wrong.any()

    @property
    def relative_error(self) -> float:
        """The largest error over the scale of the array."""
        return self.max_abs_error / self.scale if self.scale else self.max_abs_error


def compare(
    analytic: np.ndarray, numeric: np.ndarray, *, rtol: float = 1e-9, atol: float = 1e-12, floor: float = 0.0
) -> Comparison:
    """Compare two arrays of one shape by one tolerance for all entries.

    Parameters
    ----------
    analytic, numeric : the array under test and the right one
    rtol, atol : the tolerance is rtol * scale + atol
    floor : s, the least scale

    Returns
    -------
    the comparison; NaN is wrong

    Examples
    --------
    >>> compare(np.array([1.0, 2.0]), np.array([1.0, 2.5])).index
    (1,)
    """
    scale = max(_largest(analytic), _largest(numeric), floor)
    error = np.abs(analytic - numeric)
    wrong = ~(error <= rtol * scale + atol)  # NaN is wrong
    error = np.where(np.isnan(error), np.inf, error)
    index = np.unravel_index(int(error.argmax()), error.shape) if error.size else ()
    worst = float(error.max(initial=0.0))
    return Comparison(analytic, numeric, wrong, tuple(int(i) for i in index), worst, scale, rtol, atol, ())


def compare_at_kinks(
    f: Callable[[np.ndarray], complex], x: np.ndarray, analytic: np.ndarray, numeric: NumericGradient, floor: float
) -> Comparison:
    """Compare a gradient with a numeric one; entries that disagree are looked at from both sides.

    Where the left and the right derivative differ there is a kink, and every slope between the two is right: z is 0 in
    a ReLU that gates on z, or a difference stepped over 0. Where they agree the comparison stays strict.

    Parameters
    ----------
    f, x : the function and the point
    analytic, numeric : its gradient under test, and by ``numeric_gradient``, over all entries
    floor : the least scale of the comparison

    Returns
    -------
    the comparison, with the flat indices of entries at a kink

    Examples
    --------
    >>> from numpynet.gradcheck.numeric import numeric_gradient
    >>> x, f = np.array([0.0, 2.0]), lambda x: (x * (x.real > 0)).sum()
    >>> numeric = numeric_gradient(f, x, rng=np.random.default_rng(0), method="central difference")
    >>> found = compare_at_kinks(f, x, np.array([0.0, 1.0]), numeric, floor=0.0)
    >>> found.passed, found.kinks
    (True, (0,))
    """
    strict = compare(analytic, numeric.value, rtol=numeric.rtol, atol=numeric.atol, floor=floor)
    if strict.passed:
        return strict
    entries = np.flatnonzero(strict.wrong)
    if numeric.method == "complex step":
        right = numeric.value.reshape(-1)[entries]
        left = complex_step(f, x, step=-COMPLEX_STEP, entries=entries)
        threshold, slack = 1e-9 * strict.scale, 0.0
    else:
        left, right = one_sided_differences(f, x, step=CENTRAL_STEP, entries=entries)
        threshold, slack = 1e-3 * strict.scale, 1e-4 * strict.scale  # one-sided quotients are of first order
    at_kink = np.abs(left - right) > threshold
    if not at_kink.any():
        return strict
    a = analytic.reshape(-1)[entries]
    inside = np.clip(a, np.minimum(left, right) - slack, np.maximum(left, right) + slack)
    bracketed = numeric.value.copy()
    bracketed.reshape(-1)[entries[at_kink]] = inside[at_kink]
    result = compare(analytic, bracketed, rtol=numeric.rtol, atol=numeric.atol, floor=floor)
    return result._replace(kinks=tuple(int(k) for k in entries[at_kink]))


def stratified_entries(
    shape: tuple[int, ...], mask: np.ndarray | None, rng: np.random.Generator, *, n_random: int = 16
) -> np.ndarray:
    """Return flat indices worth checking when all are too many: sorted, without repetition.

    Kept and pruned entries are drawn separately (ten random entries of a matrix that is 90 % pruned are all pruned with
    probability 0.35), with the ends of the first and of the last row and column, and one entry for each of up to 32
    output units.

    Parameters
    ----------
    shape : of the array
    mask : binary, of a shape that broadcasts to it; None for no mask
    rng : numpy.random.Generator
    n_random : how many to draw of all, of the kept and of the pruned entries

    Returns
    -------
    (n,) integers in 0 ... size - 1

    Examples
    --------
    >>> mask = np.zeros((100, 50)); mask[3, 4] = 1
    >>> int(mask.reshape(-1)[stratified_entries((100, 50), mask, np.random.default_rng(0))].sum())
    1
    """
    size = int(np.prod(shape))
    chosen = [rng.integers(size, size=min(n_random, size))]
    if mask is not None:
        flat = np.broadcast_to(mask, shape).reshape(-1)
        for group in (np.flatnonzero(flat != 0), np.flatnonzero(flat == 0)):
            chosen.append(rng.permutation(group)[:n_random])
    if len(shape) == 2:
        rows, columns = shape
        grid = np.arange(size).reshape(shape)
        chosen += [grid[[0, 0, -1, -1], [0, -1, 0, -1]]]
        some = np.unique(np.linspace(0, columns - 1, min(columns, 32)).astype(int))
        chosen += [grid[rng.integers(rows, size=some.size), some]]
        chosen += [grid[0, rng.integers(columns, size=2)], grid[-1, rng.integers(columns, size=2)]]
        chosen += [grid[rng.integers(rows, size=2), 0], grid[rng.integers(rows, size=2), -1]]
    return np.unique(np.concatenate(chosen))


def _largest(x: np.ndarray) -> float:
    finite = np.abs(x[np.isfinite(x)]) if isinstance(x, np.ndarray) else np.abs(x)
    return float(finite.max(initial=0.0))
