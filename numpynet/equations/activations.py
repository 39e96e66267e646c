"""Activations, each a pair: forward gives the output and a cache, backward multiplies by the slope (Equation (B4)).

Every gate is decided by the real part, ``z.real > 0``, taken before the activation. For real numbers that is ``z > 0``;
for the complex step it keeps the convention that the slope of ReLU at exactly 0 is 0.

A network takes an ``Activation``, a small record of such a pair and of two properties that the mask laws ask for. ReLU, leaky
ReLU and tanh can write over an array that nobody else needs: ``out=z`` on the way forward, ``out=dh`` on the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Activation(NamedTuple):
    """An activation as a network takes it: a forward and backward pair, and what is true of it."""

    name: str
    forward: Callable[[np.ndarray], tuple[np.ndarray, Any]]  # z -> h, cache
    backward: Callable[[np.ndarray, Any], np.ndarray]  # dh, cache -> dz
    zero_at_zero: bool  # phi(0) = 0: then dropping a unit = zeroing its incoming weights and bias (M2)
    homogeneous: bool  # phi(c z) = c phi(z) for c > 0: then mask and activation commute (D30)
    takes_out: bool = (
        False  # forward and backward take out=, an array of their result's form, which may be z or dh itself
    )


class ReluCache(NamedTuple):
    """Where ReLU let the signal through."""

    z_positive: np.ndarray  # (..., N, d) bool: z > 0, taken before the activation


def relu_forward(z: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, ReluCache]:
    """h = max(z, 0), with slope 0 at z = 0.   Equation (B11)

    Parameters
    ----------
    z : (..., N, d) pre-activations
    out : array of z's form to write to, z itself is allowed, or None for a new one

    Returns
    -------
    h : (..., N, d), in the dtype of z
    cache : for ``relu_backward``

    Examples
    --------
    >>> relu_forward(np.array([[-1.0, 2.0]]))[0]
    array([[-0.,  2.]])
    """
    z_positive = z.real > 0
    return np.multiply(z, z_positive, out=out), ReluCache(z_positive)


def relu_backward(dh: np.ndarray, cache: ReluCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """dz = dh where z > 0, else 0.   Equations (B4), (B11)

    Parameters
    ----------
    dh : (..., N, d) upstream gradient
    cache : that of ``relu_forward``
    out : array of dz's form to write to, dh itself is allowed, or None for a new one

    Returns
    -------
    dz : (..., N, d)

    Examples
    --------
    >>> h, cache = relu_forward(np.array([[-1.0, 2.0]]))
    >>> relu_backward(np.array([[3.0, 4.0]]), cache)
    array([[0., 4.]])
    """
    return np.multiply(dh, cache.z_positive, out=out)


class LeakyReluCache(NamedTuple):
    """The slope at every entry."""

    slope: np.ndarray  # (..., N, d): 1 where z > 0, else the leak a


def leaky_relu_forward(
    z: np.ndarray, leak: float = 0.01, *, out: np.ndarray | None = None
) -> tuple[np.ndarray, LeakyReluCache]:
    """h = z where z > 0, else leak * z; the slope at 0 is the leak.   Equation (B12)

    Parameters
    ----------
    z : (..., N, d)
    leak : a in [0, 1)
    out : array of z's form to write to, z itself is allowed, or None for a new one

    Returns
    -------
    h : (..., N, d), in the dtype of z
    cache : for ``leaky_relu_backward``

    Raises
    ------
    ValueError
        leak is outside [0, 1).

    Examples
    --------
    >>> leaky_relu_forward(np.array([[-1.0, 2.0]]), leak=0.1)[0]
    array([[-0.1,  2. ]])
    """
    if not 0.0 <= leak < 1.0:
        raise ValueError(f"leak is {leak!r}, but 0 <= leak < 1 is needed: it is the slope for negative z")
    slope = np.where(z.real > 0, z.real.dtype.type(1), z.real.dtype.type(leak))
    return np.multiply(z, slope, out=out), LeakyReluCache(slope)


def leaky_relu_backward(dh: np.ndarray, cache: LeakyReluCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """dz = dh * slope.   Equations (B4), (B12)

    Parameters
    ----------
    dh : (..., N, d) upstream gradient
    cache : that of ``leaky_relu_forward``
    out : array of dz's form to write to, dh itself is allowed, or None for a new one

    Returns
    -------
    dz : (..., N, d)

    Examples
    --------
    >>> h, cache = leaky_relu_forward(np.array([[-1.0, 2.0]]), leak=0.1)
    >>> leaky_relu_backward(np.array([[3.0, 4.0]]), cache)
    array([[0.3, 4. ]])
    """
    return np.multiply(dh, cache.slope, out=out)


class OutputCache(NamedTuple):
    """The output itself: tanh and sigmoid have slopes that are functions of it."""

    h: np.ndarray  # (..., N, d)


def tanh_forward(z: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, OutputCache]:
    """h = tanh(z).   Equation (B13)

    Parameters
    ----------
    z : (..., N, d) pre-activations
    out : array of z's form to write to, z itself is allowed, or None for a new one

    Returns
    -------
    h : (..., N, d), in the dtype of z
    cache : for ``tanh_backward``

    Examples
    --------
    >>> tanh_forward(np.array([[0.0]]))[0]
    array([[0.]])
    """
    h = np.tanh(z, out=out)
    return h, OutputCache(h)


def tanh_backward(dh: np.ndarray, cache: OutputCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """dz = dh * (1 - h^2).   Equations (B4), (B13)

    Parameters
    ----------
    dh : (..., N, d) upstream gradient
    cache : that of ``tanh_forward``
    out : array of dz's form to write to, dh itself is allowed, or None for a new one

    Returns
    -------
    dz : (..., N, d)

    Examples
    --------
    >>> h, cache = tanh_forward(np.array([[0.0]]))
    >>> tanh_backward(np.array([[3.0]]), cache)
    array([[3.]])
    """
    return np.multiply(dh, 1 - cache.h * cache.h, out=out)


def sigmoid_forward(z: np.ndarray) -> tuple[np.ndarray, OutputCache]:
    """h = 1 / (1 + e^-z), without overflow for any finite z.   Equation (B14)

    The branch is chosen by the sign of the real part, so that no exponent is positive and the complex step passes.

    Parameters
    ----------
    z : (..., N, d) pre-activations

    Returns
    -------
    h : (..., N, d), in the dtype of z
    cache : for ``sigmoid_backward``

    Examples
    --------
    >>> sigmoid_forward(np.array([[0.0, -800.0]]))[0]
    array([[0.5, 0. ]])
    """
    negative = z.real < 0
    e = np.exp(np.where(negative, z, -z))  # e^-|z|, at most 1
    h = np.where(negative, e, 1) / (1 + e)
    return h, OutputCache(h)


def sigmoid_backward(dh: np.ndarray, cache: OutputCache) -> np.ndarray:
    """dz = dh * h (1 - h).   Equations (B4), (B14)

    Parameters
    ----------
    dh : (..., N, d) upstream gradient
    cache : that of ``sigmoid_forward``

    Returns
    -------
    dz : (..., N, d)

    Examples
    --------
    >>> h, cache = sigmoid_forward(np.array([[0.0]]))
    >>> sigmoid_backward(np.array([[4.0]]), cache)
    array([[1.]])
    """
    return dh * cache.h * (1 - cache.h)


def identity_forward(z: np.ndarray) -> tuple[np.ndarray, None]:
    """h = z, for output layers and linear nets.   Equation (B15)

    Parameters
    ----------
    z : (..., N, d) pre-activations

    Returns
    -------
    h : (..., N, d), in the dtype of z
    cache : for ``identity_backward``

    Examples
    --------
    >>> identity_forward(np.array([[2.0]]))[0]
    array([[2.]])
    """
    return z, None


def identity_backward(dh: np.ndarray, cache: None) -> np.ndarray:
    """dz = dh.   Equations (B4), (B15)

    Parameters
    ----------
    dh : (..., N, d) upstream gradient
    cache : that of ``identity_forward``

    Returns
    -------
    dz : (..., N, d)

    Examples
    --------
    >>> identity_backward(np.array([[2.0]]), None)
    array([[2.]])
    """
    return dh


relu = Activation("relu", relu_forward, relu_backward, zero_at_zero=True, homogeneous=True, takes_out=True)
leaky_relu = Activation("leaky_relu", leaky_relu_forward, leaky_relu_backward, True, True, takes_out=True)
tanh = Activation("tanh", tanh_forward, tanh_backward, zero_at_zero=True, homogeneous=False, takes_out=True)
sigmoid = Activation("sigmoid", sigmoid_forward, sigmoid_backward, zero_at_zero=False, homogeneous=False)
identity = Activation("identity", identity_forward, identity_backward, zero_at_zero=True, homogeneous=True)
