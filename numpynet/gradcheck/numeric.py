"""Numeric derivatives. The complex step is the judge; differences are for code that cannot take complex numbers.

Move one entry of x by i * h with h = 1e-30: the imaginary part of f(x), divided by h, is the derivative, and because
nothing is subtracted nothing cancels. It is exact to rounding for every h from 1e-20 to 1e-200. It asks that f be made
of operations that continue into the complex plane (no abs, no norm, no conjugate), and that gates look at real parts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

COMPLEX_STEP = 1e-30


def complex_step(f: Callable[[np.ndarray], complex], x: np.ndarray, *, step: float = COMPLEX_STEP) -> np.ndarray:
    """Return the gradient of a scalar function, Im f(x + i h e_k) / h for every entry k.   Equation (B7)

    Parameters
    ----------
    f : takes an array of the shape of x, real or complex, and returns one number
    x : float64 array of any shape; it is not written to
    step : h; the result does not depend on it

    Returns
    -------
    gradient, float64, in the shape of x

    Examples
    --------
    >>> complex_step(lambda x: (x * x).sum(), np.array([1.0, 2.0]))
    array([2., 4.])
    """
    z = x.astype(np.complex128)
    flat = z.reshape(-1)
    gradient = np.empty(x.size)
    for k in range(x.size):
        start = flat[k]
        flat[k] = start + 1j * step
        gradient[k] = np.imag(f(z)) / step
        flat[k] = start
    return gradient.reshape(x.shape)


def complex_direction(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, v: np.ndarray, *, step: float = COMPLEX_STEP
) -> np.ndarray:
    """Return the derivative of f along v, J v = Im f(x + i h v) / h: one call, whatever the size of x.   Equation (B7)

    With f = a gradient it is the Hessian-vector product of Equation (B25).

    Parameters
    ----------
    f : takes an array of the shape of x and returns an array
    x, v : float64, of one shape

    Examples
    --------
    >>> complex_direction(lambda x: x * x, np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([2., 4.])
    """
    return np.imag(f(x + 1j * step * v)) / step
