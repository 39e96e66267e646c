"""Numeric derivatives. The complex step is the judge; differences are for code that cannot take complex numbers.

Move one entry of x by i * h with h = 1e-30: the imaginary part of f(x), divided by h, is the derivative, and because
nothing is subtracted nothing cancels. It is exact to rounding for every h from 1e-20 to 1e-200. It asks that f be made
of operations that continue into the complex plane (no abs, no norm, no conjugate), and that gates look at real parts.

Code of strangers often breaks that rule without a word: ``np.abs`` returns a real number, and the derivative is lost.
``numeric_gradient`` therefore never trusts the complex step alone. It compares it with a central difference along one
random direction, and where the two disagree it goes back to differences and says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

COMPLEX_STEP = 1e-30
CENTRAL_STEP = 6e-6  # the cube root of the machine epsilon, where truncation and rounding balance
RICHARDSON_STEP = 1e-3  # near the fifth root

Scalar = Callable[[np.ndarray], complex]


def complex_step(
    f: Scalar, x: np.ndarray, *, step: float = COMPLEX_STEP, entries: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of a scalar function, Im f(x + i h e_k) / h for every entry k.   Equation (B7)

    Parameters
    ----------
    f : takes an array of the shape of x, real or complex, and returns one number
    x : float64 array of any shape; it is not written to
    step : h; the result does not depend on it, except for its sign at a kink (see ``numeric_gradient``)
    entries : flat indices of the entries to differentiate, or None for all

    Returns
    -------
    gradient, float64, in the shape of x; or one number for each of ``entries``

    References
    ----------
    Squire and Trapp (1998); Martins et al. (2003).

    Examples
    --------
    >>> complex_step(lambda x: (x * x).sum(), np.array([1.0, 2.0]))
    array([2., 4.])
    """
    z = np.array(x, dtype=np.complex128, order="C")
    flat = z.reshape(-1)
    wanted = range(x.size) if entries is None else entries
    gradient = np.empty(len(wanted))
    for i, k in enumerate(wanted):
        start = flat[k]
        flat[k] = start + 1j * step
        gradient[i] = np.imag(f(z)) / step
        flat[k] = start
    return gradient.reshape(x.shape) if entries is None else gradient


def complex_direction(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, v: np.ndarray, *, step: float = COMPLEX_STEP
) -> np.ndarray:
    """Return the derivative of f along v, J v = Im f(x + i h v) / h: one call, whatever the size of x.   Equation (B7)

    Parameters
    ----------
    f : takes an array of the shape of x and returns an array
    x, v : float64, of one shape
    step : h; the result does not depend on it while h^2 vanishes beside 1

    Returns
    -------
    J v, float64, in the shape of f's output

    References
    ----------
    Squire and Trapp (1998); Martins et al. (2003).

    Examples
    --------
    >>> complex_direction(lambda x: x * x, np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([2., 4.])
    """
    return np.imag(f(x + 1j * step * v)) / step


def hessian_vector_product(
    gradient: Callable[[np.ndarray], np.ndarray], x: np.ndarray, v: np.ndarray, *, step: float = COMPLEX_STEP
) -> np.ndarray:
    """Return H v = Im grad(x + i h v) / h, exact because backward passes take complex numbers, too.   Equation (B25)

    Parameters
    ----------
    gradient : returns the gradient at an array of the shape of x, by an explicit backward pass
    x, v : float64, of one shape
    step : h, as for ``complex_direction``

    Returns
    -------
    H v, float64, in the shape of x

    References
    ----------
    Pearlmutter (1994), for the product; here it comes from the complex step.

    Examples
    --------
    >>> hessian_vector_product(lambda x: 3 * x * x, np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])
    """
    return complex_direction(gradient, x, v, step=step)


def central_difference(
    f: Scalar, x: np.ndarray, *, step: float = CENTRAL_STEP, entries: np.ndarray | None = None
) -> np.ndarray:
    """Return (f(x + h e_k) - f(x - h e_k)) / 2h for every entry k, with h = step * max(1, |x_k|).   Equation (B26)

    The error is of order h^2 from the curve and of order 1e-16 / h from rounding; 6e-6 balances them at about 1e-10.

    Parameters
    ----------
    f : takes an array of the shape of x and returns one real number
    x : float64 array; it is not written to
    step : h for entries of size up to 1
    entries : flat indices of the entries to differentiate, or None for all

    Returns
    -------
    gradient, float64, in the shape of x; or one number for each of ``entries``

    Examples
    --------
    >>> central_difference(lambda x: (x * x).sum(), np.array([1.0, 2.0]))
    array([2., 4.])
    """
    left, right = one_sided_differences(f, x, step=step, entries=entries, centre=None)
    return (left + right) / 2


def richardson(f: Scalar, x: np.ndarray, *, step: float = RICHARDSON_STEP) -> np.ndarray:
    """Return (4 D(h/2) - D(h)) / 3 of central differences D: the h^2 term cancels and 1e-13 is reached.   Equation (B26)

    Parameters
    ----------
    f : takes an array of the shape of x and returns one real number
    x : float64 array; it is not written to
    step : h for entries of size up to 1

    Returns
    -------
    gradient, float64, in the shape of x

    Examples
    --------
    >>> richardson(lambda x: (x * x * x).sum(), np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    return (4 * central_difference(f, x, step=step / 2) - central_difference(f, x, step=step)) / 3


def one_sided_differences(
    f: Scalar,
    x: np.ndarray,
    *,
    step: float = CENTRAL_STEP,
    entries: np.ndarray | None = None,
    centre: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and the right difference quotient of every entry; at a kink they differ.   Equation (B26)

    Their mean is the central difference, so at a kink that is half of a one-sided value: right for neither side.

    Parameters
    ----------
    f, x, step, entries : as for ``central_difference``
    centre : f(x), if it is known already; only their mean does not depend on it

    Returns
    -------
    left, right : float64, in the shape of x; or one number for each of ``entries``

    Examples
    --------
    >>> left, right = one_sided_differences(lambda x: np.maximum(x, 0).sum(), np.array([0.0]))
    >>> left, right
    (array([0.]), array([1.]))
    """
    z = np.array(x, dtype=np.float64, order="C")
    flat = z.reshape(-1)
    middle = np.real(f(z)) if centre is None else centre
    wanted = range(x.size) if entries is None else entries
    left, right = np.empty(len(wanted)), np.empty(len(wanted))
    for i, k in enumerate(wanted):
        start = flat[k]
        h = step * max(1.0, abs(start))
        flat[k] = start + h
        right[i] = (np.real(f(z)) - middle) / (flat[k] - start)  # the step that was really made
        flat[k] = start - h
        left[i] = (middle - np.real(f(z))) / (start - flat[k])
        flat[k] = start
    if entries is None:
        return left.reshape(x.shape), right.reshape(x.shape)
    return left, right


class NumericGradient(NamedTuple):
    """A numeric gradient and how far it may be trusted."""

    value: np.ndarray  # in the shape of x, or one number for each of the entries asked for
    method: str  # "complex step" or "central difference"
    step: float
    rtol: float
    atol: float
    note: str  # why the complex step was given up; "" if it was not


def numeric_gradient(
    f: Scalar,
    x: np.ndarray,
    *,
    rng: np.random.Generator,
    entries: np.ndarray | None = None,
    method: str | None = None,
) -> NumericGradient:
    """Return the numeric gradient by the best method that f can stand.   Equations (B7), (B26)

    The complex step, unless f drops the imaginary part, wholly (the output is real) or partly (a central difference
    along one random direction disagrees); then central differences, with a note that says why.

    Parameters
    ----------
    f : takes an array of the shape of x and returns one number
    x : float64
    rng : for the direction
    entries : flat indices of the entries to differentiate, or None for all
    method : "complex step" or "central difference" to force one; None to choose

    Returns
    -------
    the gradient, with the method and the tolerances that suit it

    Raises
    ------
    TypeError
        The complex step was forced, and f cannot stand it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> numeric_gradient(lambda x: (x * x).sum(), np.array([1.0, 2.0]), rng=rng).method
    'complex step'
    >>> numeric_gradient(lambda x: np.abs(x).sum(), np.array([1.0, -2.0]), rng=rng).value
    array([ 1., -1.])
    """
    note = ""
    if method != "central difference":
        value, note = _guarded_complex_step(f, x, entries)
        if not note and not np.isfinite(value).all():
            note = "the forward gives NaN or infinity for complex numbers (an exponential that overflows?)"
        if not note and method is None and not _agrees_with_differences(f, x, value, entries, rng):
            left, right = one_sided_differences(f, x, entries=entries)
            differences = (left + right) / 2
            scale = max(_largest(value), _largest(differences), 1e-8)
            # Look at the entries one by one. At a kink the two methods may differ, and both are right.
            smooth = np.abs(left - right) <= 1e-3 * scale
            if not _largest((value - differences)[smooth]) <= 1e-4 * scale:
                note = (
                    "the forward drops part of the imaginary part: the complex step and central differences disagree "
                    "(look for abs, sign, conj, vdot, var, std, norm)"
                )
                return NumericGradient(differences, "central difference", CENTRAL_STEP, 1e-6, 1e-8, note)
        if not note:
            return NumericGradient(value, "complex step", COMPLEX_STEP, 1e-9, 1e-12, "")
        if method is not None:
            raise TypeError(note)
    value = central_difference(f, x, entries=entries)
    return NumericGradient(value, "central difference", CENTRAL_STEP, 1e-6, 1e-8, note)


def _guarded_complex_step(f: Scalar, x: np.ndarray, entries: np.ndarray | None) -> tuple[np.ndarray, str]:
    """Return the complex step and "", or an empty array and the reason why f cannot take complex numbers."""

    def guarded(z: np.ndarray) -> complex:
        y = f(z)
        if not np.iscomplexobj(y):
            raise _ImaginaryPartDropped
        return y

    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            return complex_step(guarded, x, entries=entries), ""
        except _ImaginaryPartDropped:
            return np.empty(0), (
                "the forward dropped the imaginary part: complex in, real out (look for abs, .real, var, norm, astype)"
            )
        except Exception as error:  # whatever it is, the code of a stranger must not stop the check
            reason = error.__cause__ or error
            if isinstance(reason, np.exceptions.ComplexWarning):
                return np.empty(0), (
                    "the forward casts complex to float (look for astype, float(...), or a buffer made by np.zeros)"
                )
            return np.empty(0), f"the forward cannot take complex numbers ({type(reason).__name__}: {reason})"


class _ImaginaryPartDropped(Exception):
    """The output was real although the input was complex."""


def _agrees_with_differences(
    f: Scalar, x: np.ndarray, gradient: np.ndarray, entries: np.ndarray | None, rng: np.random.Generator
) -> bool:
    """Compare <gradient, v> with a central difference along a random direction v over the same entries."""
    v = np.zeros(x.shape)
    chosen = slice(None) if entries is None else entries
    v.reshape(-1)[chosen] = rng.standard_normal(gradient.size)
    h = CENTRAL_STEP * max(1.0, _largest(x)) / max(1.0, _largest(v))
    difference = (np.real(f(x + h * v)) - np.real(f(x - h * v))) / (2 * h)
    parts = gradient.reshape(-1) * v.reshape(-1)[chosen]
    scale = max(np.abs(parts).sum(), abs(difference), 1e-3)
    return bool(abs(parts.sum() - difference) <= 1e-5 * scale)  # False for NaN as well


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max(initial=0.0))
