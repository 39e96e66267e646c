"""SELU: an activation that pulls every layer towards mean 0 and variance 1.

The two constants are chosen so that a standard normal z gives an output of mean 0 and variance 1 again. With weights of
mean 0 and variance 1 / d_in the signal keeps these moments through many layers, without any normalisation layer
(Klambauer et al. 2017). Dropout for such a net must keep them too: see ``alpha_dropout``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.activations import Activation

SELU_SCALE = 1.0507009873554805  # lambda
SELU_ALPHA = 1.6732632423543772
SELU_FLOOR = -SELU_SCALE * SELU_ALPHA  # the value at z = -infinity, where alpha dropout sends a unit


class SeluCache(NamedTuple):
    """The slope at every entry."""

    slope: np.ndarray  # (..., N, d): lambda where z > 0, else lambda alpha e^z


def selu_forward(z: np.ndarray) -> tuple[np.ndarray, SeluCache]:
    """h = lambda z where z > 0, else lambda alpha (e^z - 1): the activation of Equation (D21).

    The slope at 0 is that of the left side, lambda alpha.

    Parameters
    ----------
    z : (..., N, d) pre-activations

    Returns
    -------
    h : (..., N, d), in the dtype of z
    cache : for ``selu_backward``

    Examples
    --------
    >>> selu_forward(np.array([[1.0, -800.0]]))[0]
    array([[ 1.0507, -1.7581]])
    """
    positive = z.real > 0
    negative_part = np.where(positive, 0, z)  # no overflow: e^z is taken of numbers <= 0 only
    h = SELU_SCALE * np.where(positive, z, SELU_ALPHA * np.expm1(negative_part))
    return h, SeluCache(SELU_SCALE * np.where(positive, 1, SELU_ALPHA * np.exp(negative_part)))


def selu_backward(dh: np.ndarray, cache: SeluCache) -> np.ndarray:
    """dz = dh * slope.   Equation (B4)

    Parameters
    ----------
    dh : (..., N, d) upstream gradient
    cache : that of ``selu_forward``

    Returns
    -------
    dz : (..., N, d)

    Examples
    --------
    >>> h, cache = selu_forward(np.array([[1.0, -800.0]]))
    >>> selu_backward(np.array([[2.0, 2.0]]), cache)
    array([[2.1014, 0.    ]])
    """
    return dh * cache.slope


selu = Activation("selu", selu_forward, selu_backward, zero_at_zero=True, homogeneous=False)
