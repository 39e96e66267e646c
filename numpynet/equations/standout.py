"""Standout: every unit decides by its own input how likely it is to stay.

In dropout the keep probability is one number. In standout unit j stays with probability g_j = sigmoid(alpha s_j + beta),
where s = x (M*W) is its input without the bias: for alpha > 0 a unit that is strongly driven is kept, one that is
against its input is dropped. It is the net's own confidence, with the weights shared and two numbers to set
(Ba and Frey 2013). alpha = 0 gives dropout with the keep probability sigmoid(beta).

The mask acts on the pre-activation, z = d * (s + b). For an activation with phi(0) = 0 that is the same as dropping the
unit behind it. Training scales nothing; evaluation uses the mean, g * (s + b), which for ReLU is the mean of the unit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.activations import sigmoid_forward
from numpynet.equations.checks import check_finite_number, check_layer, check_precision
from numpynet.equations.linear import LinearCache, linear_backward, linear_forward
from numpynet.equations.noise import check_noise, check_uniform


def standout_keep_prob(s: np.ndarray, *, alpha: float, beta: float) -> np.ndarray:
    """g = sigmoid(alpha s + beta), the probability that a unit stays, given what drives it.   Equation (D26)

    Parameters
    ----------
    s : (..., N, d_out) input of the units without their biases, x (M*W)
    alpha, beta : any numbers; alpha 1 and beta 0 are usual

    Returns
    -------
    g : of the shape and dtype of s, in (0, 1)

    Examples
    --------
    >>> standout_keep_prob(np.array([[0.0, 2.0, -2.0]]), alpha=1.0, beta=0.0)
    array([[0.5  , 0.881, 0.119]])
    """
    return sigmoid_forward(float(alpha) * s + float(beta))[0]


class StandoutCache(NamedTuple):
    """The layer, what its outputs were multiplied by, and how that depends on s."""

    linear: LinearCache
    gate: np.ndarray  # (..., N, d_out)  d in training, g in evaluation
    dgate: np.ndarray | None  # (..., N, d_out)  z dg/ds in evaluation; None in training, where d is a constant


def standout_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    uniform: np.ndarray | None,
    *,
    alpha: float,
    beta: float,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, StandoutCache]:
    """z = d * (s + b) with s = x (M*W) and d = 1[u < g(s)]; in evaluation z = g(s) * (s + b).   Equation (D26)

    Parameters
    ----------
    x : (..., N, d_in)
    W : (..., d_in, d_out)
    b : (..., d_out)
    uniform : (..., N, d_out) u in [0, 1), see ``sample_uniform``; None in evaluation
    alpha, beta : see ``standout_keep_prob``
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    z : (..., N, d_out), in the dtype of x
    cache : for ``standout_backward``

    Raises
    ------
    ValueError
        alpha or beta is not finite, or the uniform numbers do not fit.
    TypeError
        alpha or beta is no number.

    Examples
    --------
    >>> x, W, b = np.array([[1.0]]), np.array([[2.0, -2.0]]), np.array([0.5, 0.5])
    >>> standout_forward(x, W, b, np.array([[0.7, 0.7]]), alpha=1.0, beta=0.0)[0]           # kept with 0.88 and 0.12
    array([[ 2.5, -0. ]])
    """
    alpha, beta = check_finite_number(alpha, "alpha"), check_finite_number(beta, "beta")
    check_precision(x=x, W=W, b=b, uniform=uniform, weight_mask=weight_mask)
    check_layer(x, W, b)
    z, cache = linear_forward(x, W, b, weight_mask=weight_mask)
    g = standout_keep_prob(z - b[..., None, :], alpha=alpha, beta=beta)  # (..., N, d_out)
    if uniform is None:
        return z * g, StandoutCache(cache, g, z * (alpha * g * (1 - g)))
    check_noise(uniform, x.shape[-2], W.shape[-1], name="uniform")
    d = (check_uniform(uniform).real < g.real).astype(x.real.dtype)  # decided by the real part, as every gate
    return z * d, StandoutCache(cache, d, None)


def standout_backward(
    dz: np.ndarray,
    cache: StandoutCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Pass d * dz back through the layer; the mask is a constant of the differentiation.   Equation (D26)

    After an evaluation, where z = g(s) * (s + b), the gate has a slope, and s receives g * dz + z g'(s) dz while the bias
    receives g * dz. See ``linear_backward`` for the arguments.

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
    >>> x, W, b = np.array([[1.0]]), np.array([[2.0, -2.0]]), np.array([0.5, 0.5])
    >>> z, cache = standout_forward(x, W, b, np.array([[0.7, 0.7]]), alpha=1.0, beta=0.0)
    >>> standout_backward(np.array([[3.0, 4.0]]), cache)[1]
    array([[3., 0.]])
    """
    if cache.dgate is None:
        return linear_backward(dz * cache.gate, cache.linear, need_dx=need_dx, out=out)
    dx, dW, db = linear_backward(dz * (cache.gate + cache.dgate), cache.linear, need_dx=need_dx, out=out)
    return dx, dW, np.subtract(db, (dz * cache.dgate).sum(axis=-2), out=None if out is None else out[1])
