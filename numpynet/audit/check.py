"""What a check is, and the few ways in which it compares: equal, identical, at most, within a bound, apart.

Every comparison ends in one number, the error, and one limit, the tolerance. Nothing passes that is NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-12


class Check(NamedTuple):
    """One line of the audit."""

    equation: str
    what: str  # the quantity
    how: str  # what it was compared with
    error: float  # how far apart the two sides were at worst; each function below says in which measure
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return bool(self.error <= self.tolerance)


def compare(equation: str, what: str, how: str, left, right, tolerance: float = TOLERANCE, *, scale=None) -> Check:
    """Check that two arrays are equal up to rounding: worst difference / largest entry of the right side.

    Parameters
    ----------
    equation, what, how : see ``Check``
    left, right : of one shape
    tolerance : of the relative error
    scale : what the difference is divided by instead; for sums that may cancel, the sum of the sizes

    Returns
    -------
    Check; arrays of different shapes have an infinite error.

    Examples
    --------
    >>> compare("B5", "dW", "complex step", [1.0, 2.0], [1.0, 2.5], tolerance=0.1).error
    0.2
    """
    left, right = 1.0 * np.asarray(left), 1.0 * np.asarray(right)  # booleans as numbers
    if left.shape != right.shape:
        return Check(equation, f"{what}: shapes {left.shape} and {right.shape}", how, float("inf"), tolerance)
    scale = (np.abs(right).max(initial=0.0) if scale is None else scale) or 1.0
    return Check(equation, what, how, float(np.abs(left - right).max(initial=0.0) / scale), tolerance)


def identical(equation: str, what: str, how: str, left, right) -> Check:
    """Check that two arrays are equal bit for bit: the error must be 0.

    Parameters
    ----------
    equation, what, how : see ``Check``
    left, right : of one shape

    Returns
    -------
    Check, with tolerance 0

    Examples
    --------
    >>> identical("M1", "M * M", "M", [0.0, 1.0], [0.0, 1.0]).passed
    True
    """
    return compare(equation, what, how, left, right, 0.0)


def at_most(equation: str, what: str, how: str, left, right, tolerance: float = TOLERANCE) -> Check:
    """Check that no entry of the left side exceeds the right: worst excess / largest entry of the right side.

    Parameters
    ----------
    equation, what, how : see ``Check``
    left, right : of shapes that broadcast
    tolerance : of the relative excess

    Returns
    -------
    Check

    Examples
    --------
    >>> at_most("O9", "norm", "limit", [0.5, 1.5], 1.0).error
    0.5
    """
    left, right = np.broadcast_arrays(np.asarray(left, np.float64), np.asarray(right, np.float64))
    excess = np.where(left <= right, 0.0, left - right)  # NaN stays NaN
    scale = np.abs(right[np.isfinite(right)]).max(initial=0.0) or 1.0
    return Check(equation, what, how, float(excess.max(initial=0.0) / scale), tolerance)


def within(equation: str, what: str, how: str, deviation, bound) -> Check:
    """Check that every deviation keeps its own bound; error and tolerance are those of the entry that came nearest.

    Parameters
    ----------
    equation, what, how : see ``Check``
    deviation : of any shape; its sign does not count
    bound : >= 0, of a shape that broadcasts with it

    Returns
    -------
    Check

    Examples
    --------
    >>> check = within("D6", "share of units kept", "0.8", [0.001, -0.02], [0.01, 0.03])
    >>> check.error, check.tolerance
    (0.02, 0.03)
    """
    deviation, bound = np.broadcast_arrays(np.abs(deviation), np.asarray(bound, np.float64))
    nearest = np.argmax(deviation / bound)  # the first NaN, if there is one
    return Check(equation, what, how, float(deviation.flat[nearest]), float(bound.flat[nearest]))


def apart(equation: str, what: str, how: str, left, right, *, least: float = 1e-8) -> Check:
    """Check that two arrays differ: the error is what the worst relative difference falls short of ``least``.

    A law that says where another one ends is checked so, and a bug that must show. 10^-8 is far above any rounding.

    Parameters
    ----------
    equation, what, how : see ``Check``
    left, right : of one shape
    least : the relative difference that must be seen

    Returns
    -------
    Check, with tolerance 0

    Examples
    --------
    >>> apart("M17", "trained", "trained without", [1.0, 2.0], [1.0, 2.5], least=0.1).passed
    True
    """
    difference = compare(equation, what, how, left, right).error
    return Check(equation, what, how, max(0.0, least - difference) if np.isfinite(difference) else difference, 0.0)
