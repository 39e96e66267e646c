"""Initial weights: random, small, and scaled so that the signal neither dies nor explodes on its way through the net.

Glorot's rule keeps the variance of activations and gradients in the linear regime; He's doubles it, because ReLU
throws half of the signal away. Each comes as a normal, a truncated normal and a uniform law of the same variance.
Biases start at 0. Every function has the form ``initializer(rng, d_in, d_out, dtype=...) -> (d_in, d_out)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from numpynet.equations.checks import check_rng

Initializer = Callable[..., np.ndarray]

# A standard normal cut off at +-2 has this standard deviation; dividing by it restores the wanted variance.
# sqrt(1 - 2 c phi(c) / (2 Phi(c) - 1)) with c = 2.
_CUT = 2.0
_TRUNCATED_STD = math.sqrt(
    1 - 2 * _CUT * math.exp(-(_CUT**2) / 2) / math.sqrt(2 * math.pi) / math.erf(_CUT / math.sqrt(2))
)


def glorot_std(d_in: int, d_out: int) -> float:
    """sqrt(2 / (d_in + d_out)), the standard deviation of Glorot's rule.   Equation (B27)

    Parameters
    ----------
    d_in : number of inputs of the layer
    d_out : number of its outputs

    Returns
    -------
    A number.

    Examples
    --------
    >>> glorot_std(3, 5)
    0.5
    """
    return math.sqrt(2 / (d_in + d_out))


def he_std(d_in: int, d_out: int) -> float:
    """sqrt(2 / d_in), the standard deviation of He's rule; d_out does not matter.   Equation (B28)

    Parameters
    ----------
    d_in : number of inputs of the layer
    d_out : number of its outputs

    Returns
    -------
    A number.

    Examples
    --------
    >>> he_std(8, 5)
    0.5
    """
    return math.sqrt(2 / d_in)


def glorot_normal(rng: np.random.Generator, d_in: int, d_out: int, *, dtype=np.float32) -> np.ndarray:
    """W ~ N(0, 2 / (d_in + d_out)).   Equation (B27)

    Parameters
    ----------
    rng : draws
    d_in : number of inputs of the layer
    d_out : number of its outputs
    dtype : float32 or float64

    Returns
    -------
    W : (d_in, d_out) of this dtype

    Examples
    --------
    >>> glorot_normal(np.random.default_rng(0), 2, 3).shape
    (2, 3)
    """
    return _normal(rng, (d_in, d_out), glorot_std(d_in, d_out), dtype)


def glorot_truncated(rng: np.random.Generator, d_in: int, d_out: int, *, dtype=np.float32) -> np.ndarray:
    """A normal law cut off at two of its standard deviations, of variance 2 / (d_in + d_out).   Equation (B27)

    Parameters
    ----------
    rng : draws
    d_in : number of inputs of the layer
    d_out : number of its outputs
    dtype : float32 or float64

    Returns
    -------
    W : (d_in, d_out) of this dtype

    Examples
    --------
    >>> glorot_truncated(np.random.default_rng(0), 2, 3).shape
    (2, 3)
    """
    return _truncated(rng, (d_in, d_out), glorot_std(d_in, d_out), dtype)


def glorot_uniform(rng: np.random.Generator, d_in: int, d_out: int, *, dtype=np.float32) -> np.ndarray:
    """W ~ U(-a, a) with a = sqrt(6 / (d_in + d_out)).   Equation (B27)

    Parameters
    ----------
    rng : draws
    d_in : number of inputs of the layer
    d_out : number of its outputs
    dtype : float32 or float64

    Returns
    -------
    W : (d_in, d_out) of this dtype

    Examples
    --------
    >>> bool(np.abs(glorot_uniform(np.random.default_rng(0), 2, 4)).max() <= 1.0)
    True
    """
    return _uniform(rng, (d_in, d_out), glorot_std(d_in, d_out), dtype)


def he_normal(rng: np.random.Generator, d_in: int, d_out: int, *, dtype=np.float32) -> np.ndarray:
    """W ~ N(0, 2 / d_in).   Equation (B28)

    Parameters
    ----------
    rng : draws
    d_in : number of inputs of the layer
    d_out : number of its outputs
    dtype : float32 or float64

    Returns
    -------
    W : (d_in, d_out) of this dtype

    Examples
    --------
    >>> he_normal(np.random.default_rng(0), 2, 3).shape
    (2, 3)
    """
    return _normal(rng, (d_in, d_out), he_std(d_in, d_out), dtype)


def he_truncated(rng: np.random.Generator, d_in: int, d_out: int, *, dtype=np.float32) -> np.ndarray:
    """A normal law cut off at two of its standard deviations, of variance 2 / d_in.   Equation (B28)

    Parameters
    ----------
    rng : draws
    d_in : number of inputs of the layer
    d_out : number of its outputs
    dtype : float32 or float64

    Returns
    -------
    W : (d_in, d_out) of this dtype

    Examples
    --------
    >>> he_truncated(np.random.default_rng(0), 2, 3).shape
    (2, 3)
    """
    return _truncated(rng, (d_in, d_out), he_std(d_in, d_out), dtype)


def he_uniform(rng: np.random.Generator, d_in: int, d_out: int, *, dtype=np.float32) -> np.ndarray:
    """W ~ U(-a, a) with a = sqrt(6 / d_in).   Equation (B28)

    Parameters
    ----------
    rng : draws
    d_in : number of inputs of the layer
    d_out : number of its outputs
    dtype : float32 or float64

    Returns
    -------
    W : (d_in, d_out) of this dtype

    Examples
    --------
    >>> bool(np.abs(he_uniform(np.random.default_rng(0), 6, 4)).max() <= 1.0)
    True
    """
    return _uniform(rng, (d_in, d_out), he_std(d_in, d_out), dtype)


# All laws draw in float64 and are converted once, so that a float32 and a float64 network of one seed start from the
# same numbers up to rounding.


def _normal(rng: np.random.Generator, shape: tuple[int, int], std: float, dtype) -> np.ndarray:
    return (check_rng(rng).standard_normal(shape) * std).astype(dtype)


def _uniform(rng: np.random.Generator, shape: tuple[int, int], std: float, dtype) -> np.ndarray:
    limit = math.sqrt(3) * std  # U(-a, a) has the variance a^2 / 3
    return check_rng(rng).uniform(-limit, limit, shape).astype(dtype)


def _truncated(rng: np.random.Generator, shape: tuple[int, int], std: float, dtype) -> np.ndarray:
    z = check_rng(rng).standard_normal(shape)
    while (outside := np.abs(z) > _CUT).any():  # draw anew what fell outside; 4.6 % of the entries at first
        z[outside] = rng.standard_normal(int(outside.sum()))
    return (z * (std / _TRUNCATED_STD)).astype(dtype)
