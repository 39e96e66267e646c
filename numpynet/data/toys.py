"""Point sets in the plane, for pictures: two columns, two classes, as many points as one likes.

A straight line separates neither of them, so a network without a hidden layer must fail, and one can see why.
"""

from __future__ import annotations

import math

import numpy as np

from numpynet.data.dataset import Split, check_count, check_real_dtype
from numpynet.equations.checks import check_rng


def make_xor(
    rng: np.random.Generator, n: int = 200, noise: float = 0.2, *, dtype: np.typing.DTypeLike = np.float32
) -> Split:
    """Draw four clouds around the corners (-1, -1), (1, 1) of class 0 and (-1, 1), (1, -1) of class 1.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the noise and the order.
    n : int
        Points; the corners share them equally, up to one.
    noise : float
        Standard deviation of the cloud in each direction.
    dtype : dtype
        Of x; real floating.

    Returns
    -------
    Split
        x (n, 2), y (n,).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = make_xor(np.random.default_rng(0), n=8, noise=0)
    >>> bool(((x[:, 0] * x[:, 1] < 0) == y).all())
    True
    """
    check_rng(rng)
    corner = np.arange(check_count(n, "n", 1)) % 4
    clean = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])[corner]  # (n, 2)
    return _finish(rng, clean, corner % 2, noise, dtype)


def make_spirals(
    rng: np.random.Generator,
    n: int = 200,
    noise: float = 0.02,
    turns: float = 1.5,
    *,
    dtype: np.typing.DTypeLike = np.float32,
) -> Split:
    """Draw two spiral arms inside the unit circle, one the other turned by half a circle.

    The arms are r (cos a, sin a) with a = 2 pi turns r, plus pi for class 1; r is the root of a uniform number, so that
    the points lie about equally close everywhere on the arm.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the places on the arms, the noise and the order.
    n : int
        Points; the arms share them equally, up to one.
    noise : float
        Standard deviation of the noise in each direction; the radius of the circle is 1.
    turns : float
        Full turns of each arm, positive.
    dtype : dtype
        Of x; real floating.

    Returns
    -------
    Split
        x (n, 2), y (n,).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = make_spirals(np.random.default_rng(0), n=7, noise=0.0, turns=2)
    >>> x.shape, np.bincount(y).tolist(), bool((np.hypot(*x.T) <= 1).all())
    ((7, 2), [4, 3], True)
    """
    check_rng(rng)
    turns = _check_number(turns, "turns")
    if turns == 0:
        raise ValueError("turns is 0, but it must be positive; with 0 the arms would be two straight lines")
    arm = np.arange(check_count(n, "n", 1)) % 2
    radius = np.sqrt(rng.random(n))
    angle = 2 * np.pi * turns * radius + np.pi * arm
    clean = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # (n, 2)
    return _finish(rng, clean, arm, noise, dtype)


def _finish(rng: np.random.Generator, clean: np.ndarray, y: np.ndarray, noise: float, dtype: object) -> Split:
    """Noise, shuffle, dtype."""
    noise = _check_number(noise, "noise")
    x = (clean + noise * rng.standard_normal(clean.shape)).astype(check_real_dtype(dtype))
    order = rng.permutation(len(y))
    return Split(x[order], y[order].astype(np.int64))


def _check_number(value: float, name: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value < math.inf:  # False for NaN, too
        raise ValueError(f"{name} is {value!r}, but it must be finite and not negative")
    return float(value)
