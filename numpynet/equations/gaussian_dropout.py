"""Gaussian dropout: instead of dropping a unit or keeping it, multiply it by a random number around 1.

The noise xi is normal with mean 1 and variance (1 - q) / q, which are the mean and the variance of d / q for a unit that
is kept with probability q. All that depends on these two moments alone is the same: the mean and the variance of the
pre-activation, and the expected squared error. There is no scale, neither in training nor in evaluation:

    Z = (xi * x) @ (M * W) + b

It is the masked linear layer with xi in the place of D / q; the noise is not binary, so it is not called a mask.
"""

from __future__ import annotations

import numpy as np

from numpynet.equations.checks import check_keep_prob, check_precision
from numpynet.equations.linear import LinearCache, linear_backward, linear_forward
from numpynet.equations.noise import check_noise, sample_normal


def sample_gaussian_noise(
    rng: np.random.Generator,
    shape: int | tuple[int, ...],
    keep_prob: float,
    *,
    dtype: np.typing.DTypeLike = np.float32,
) -> np.ndarray:
    """Draw xi from the normal law of mean 1 and variance (1 - q) / q.   Equation (D18)

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : of the noise, (N, d_in), or (1, d_in) for one that the batch shares
    keep_prob : q in (0, 1], of the dropout that has these two moments; at 1 the noise is exactly 1
    dtype : that of the activations

    Returns
    -------
    noise : of this shape and dtype

    Examples
    --------
    >>> sample_gaussian_noise(np.random.default_rng(0), (1, 2), keep_prob=0.8)
    array([[1.558811  , 0.30643755]], dtype=float32)
    """
    keep_prob = check_keep_prob(keep_prob)
    return 1 + ((1 - keep_prob) / keep_prob) ** 0.5 * sample_normal(rng, shape, dtype=dtype)


def gaussian_dropout_forward(
    x: np.ndarray, W: np.ndarray, b: np.ndarray, noise: np.ndarray | None, *, weight_mask: np.ndarray | None = None
) -> tuple[np.ndarray, LinearCache]:
    """z = (xi * x) (M * W) + b: every unit is multiplied by noise of mean 1.   Equation (D18)

    Srivastava et al. (2014), section 10.

    Parameters
    ----------
    x : (..., N, d_in)
    W : (..., d_in, d_out)
    b : (..., d_out)
    noise : (..., N, d_in) xi, see ``sample_gaussian_noise``; None in evaluation
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    z : (..., N, d_out), in the dtype of x
    cache : for ``gaussian_dropout_backward``

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> gaussian_dropout_forward(x, W, b, np.array([[0.75, 1.25]]))[0]                      # 0.75 + 2.5 * 10 + 0.5
    array([[26.25]])
    """
    if noise is not None:
        check_precision(x=x, noise=noise)
        check_noise(noise, *x.shape[-2:])
    return linear_forward(x, W, b, unit_mask=noise, weight_mask=weight_mask)


def gaussian_dropout_backward(
    dz: np.ndarray,
    cache: LinearCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx = xi * (dz (M*W)^T), dW = M * ((xi * x)^T dz), db = sum over n of dz.   Equation (D18)

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
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> z, cache = gaussian_dropout_forward(x, W, b, np.array([[0.75, 1.25]]))
    >>> dx, dW, db = gaussian_dropout_backward(np.array([[2.0]]), cache)
    >>> dx.tolist(), dW.tolist(), db.tolist()
    ([[1.5, 25.0]], [[1.5], [5.0]], [2.0])
    """
    return linear_backward(dz, cache, need_dx=need_dx, out=out)
