"""Alpha dropout: dropout for SELU nets, which keeps mean 0 and variance 1 where ordinary dropout raises the variance.

A dropped unit is not set to 0 but to alpha', the value that SELU has for very negative input. Then everything is
stretched and shifted, h -> a h + c, so that an input of mean 0 and variance 1 has these moments afterwards:

    x_kept = a (d * x + alpha' (1 - d)) + c        Z = x_kept @ (M * W) + b

Evaluation uses the net as it is (Klambauer et al. 2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.checks import check_binary, check_keep_prob, check_precision
from numpynet.equations.linear import LinearCache, linear_backward, linear_forward
from numpynet.equations.noise import check_noise
from numpynet.equations.selu import SELU_FLOOR


def alpha_dropout_scale(keep_prob: float) -> tuple[float, float]:
    """Return a = (q + alpha'^2 q (1 - q))^(-1/2) and c = -a (1 - q) alpha'.   Equation (D21)

    Parameters
    ----------
    keep_prob : q in (0, 1]

    Returns
    -------
    a, c : numbers; the layer returns a x + c

    Examples
    --------
    >>> alpha_dropout_scale(0.8)
    (0.878, 0.309)
    """
    q = check_keep_prob(keep_prob)
    a = (q + SELU_FLOOR**2 * q * (1 - q)) ** -0.5
    return a, -a * (1 - q) * SELU_FLOOR


class AlphaDropoutCache(NamedTuple):
    """The layer behind, and how the kept units came to it."""

    linear: LinearCache
    unit_mask: np.ndarray | None  # (..., N, d_in)  D, binary
    scale: float  # a


def alpha_dropout_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    unit_mask: np.ndarray | None,
    *,
    keep_prob: float,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, AlphaDropoutCache]:
    """z = (a (d * x + alpha' (1 - d)) + c) (M * W) + b.   Equation (D21)

    Parameters
    ----------
    x : (..., N, d_in) activations of SELU, of mean 0 and variance 1
    W : (..., d_in, d_out)
    b : (..., d_out)
    unit_mask : (..., N, d_in) binary, or (..., 1, d_in) for one that the batch shares, see ``sample_mask``; None in
        evaluation
    keep_prob : q in (0, 1]
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    z : (..., N, d_out), in the dtype of x
    cache : for ``alpha_dropout_backward``

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.eye(2), np.zeros(2)
    >>> alpha_dropout_forward(x, W, b, np.array([[0.0, 1.0]]), keep_prob=0.8)[0]
    array([[-1.236,  2.066]])
    """
    a, c = alpha_dropout_scale(keep_prob)
    if unit_mask is None:
        z, cache = linear_forward(x, W, b, weight_mask=weight_mask)
        return z, AlphaDropoutCache(cache, None, 1.0)
    check_precision(x=x, unit_mask=unit_mask)
    check_binary(check_noise(unit_mask, *x.shape[-2:], name="unit_mask"), "unit_mask")
    x_kept = a * (x * unit_mask + SELU_FLOOR * (1 - unit_mask)) + c  # (..., N, d_in)
    z, cache = linear_forward(x_kept, W, b, weight_mask=weight_mask)
    return z, AlphaDropoutCache(cache, unit_mask, a)


def alpha_dropout_backward(
    dz: np.ndarray,
    cache: AlphaDropoutCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx = a d * (dz (M*W)^T), dW = M * (x_kept^T dz), db = sum over n of dz.   Equation (D21)

    See ``linear_backward`` for the arguments.

    Parameters
    ----------
    dz : (..., N, d_out) upstream gradient
    cache : that of the forward pass
    need_dx : False for the first layer, whose dx nobody reads
    out : (dW, db) arrays to write into, or None for new ones

    Returns
    -------
    dx : (..., N, d_in), or None
    dW : (..., d_in, d_out), exactly 0 where the weight mask is 0
    db : (..., d_out), a sum: the loss owns 1/N

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.eye(2), np.zeros(2)
    >>> z, cache = alpha_dropout_forward(x, W, b, np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> alpha_dropout_backward(np.array([[1.0, 10.0]]), cache)[0]
    array([[0.  , 8.78]])
    """
    dx, dW, db = linear_backward(dz, cache.linear, need_dx=need_dx, out=out)
    if need_dx and cache.unit_mask is not None:
        dx = dx * cache.unit_mask * cache.scale  # (..., N, d_in)
    return dx, dW, db
