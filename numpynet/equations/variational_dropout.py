"""Variational dropout: Gaussian noise on the weights, whose size alpha can be learned weight by weight.

A weight is W (1 + sqrt(alpha) eps). Then a pre-activation is a sum of normal numbers, so it is normal itself, and instead
of a matrix of noise for every example one number for each output is enough (local reparametrisation):

    mean = x @ W + b        variance = x^2 @ (alpha * W^2)        z = mean + sqrt(variance) * eps

It is cheaper, and the examples of a batch no longer share their noise, which makes the gradient less noisy. With
alpha = (1 - q) / q the noise is as large as that of dropout with keep probability q.

Where alpha is learned, the loss gets the Kullback-Leibler divergence from the prior in addition (``variational_kl``).
It falls as alpha grows, so weights that the data do not need drown in their noise; those are pruned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.activations import sigmoid_forward
from numpynet.equations.checks import (
    check_finite_number,
    check_floating,
    check_keep_prob,
    check_layer,
    check_precision,
)
from numpynet.equations.logistic import softplus
from numpynet.equations.noise import check_noise

# The constants of the approximate divergence (Molchanov et al. 2017, Equation 14 there).
K1, K2, K3 = 0.63576, 1.87320, 1.48695
PRUNE_ABOVE = 3.0  # log alpha from which on a weight is pruned: alpha / (1 + alpha) > 0.9526


def log_alpha_of(keep_prob: float) -> float:
    """Return log((1 - q) / q), the noise on a weight that is as large as that of dropout.   Equation (D19)

    Parameters
    ----------
    keep_prob : q in (0, 1); at 1 there would be no noise, and log alpha would be -infinity

    Returns
    -------
    log_alpha : a number

    Raises
    ------
    ValueError
        keep_prob is 1: without noise there is no alpha.

    Examples
    --------
    >>> log_alpha_of(0.8)
    -1.386294
    """
    keep_prob = check_keep_prob(keep_prob)
    if keep_prob == 1.0:
        raise ValueError(
            "keep_prob is 1, but variational dropout needs 0 < keep_prob < 1: without noise there is no alpha"
        )
    return float(np.log((1 - keep_prob) / keep_prob))


class VariationalCache(NamedTuple):
    """What the backward pass of the noisy layer needs."""

    x: np.ndarray  # (..., N, d_in)
    W_kept: np.ndarray  # (..., d_in, d_out)  M * W
    alpha: np.ndarray | float  # (..., d_in, d_out), or one number
    noise_over_std: np.ndarray | None  # (..., N, d_out)  eps / sqrt(variance), 0 where there is no variance
    weight_mask: np.ndarray | None


def variational_dropout_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    noise: np.ndarray | None,
    *,
    log_alpha: np.ndarray | float,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, VariationalCache]:
    """z = x (M*W) + b + sqrt(x^2 (alpha * (M*W)^2)) * eps, the local reparametrisation.   Equation (D19)

    Kingma, Salimans and Welling (2015), section 2.2.

    Parameters
    ----------
    x : (..., N, d_in)
    W : (..., d_in, d_out)
    b : (..., d_out)
    noise : (..., N, d_out) eps, standard normal, see ``sample_normal``; None in evaluation, where z is the mean
    log_alpha : (..., d_in, d_out), one for each weight, or one number for all, see ``log_alpha_of``
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    z : (..., N, d_out), in the dtype of x
    cache : for ``variational_dropout_backward``

    Raises
    ------
    ValueError
        The weight mask or log_alpha does not fit W.

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[3.0], [2.0]]), np.array([0.5])
    >>> z, cache = variational_dropout_forward(x, W, b, np.array([[2.0]]), log_alpha=0.0)
    >>> z                                                              # 3 + 4 + 0.5, and 2 sqrt(9 + 16)
    array([[17.5]])
    """
    if not isinstance(log_alpha, np.ndarray):
        log_alpha = check_finite_number(log_alpha, "log_alpha")
    check_precision(x=x, W=W, b=b, noise=noise, log_alpha=log_alpha, weight_mask=weight_mask)
    check_layer(x, W, b)
    if weight_mask is not None and weight_mask.shape[-2:] != W.shape[-2:]:
        raise ValueError(f"weight_mask {weight_mask.shape} must have the shape of W {W.shape}")
    if isinstance(log_alpha, np.ndarray) and log_alpha.shape[-2:] != W.shape[-2:]:
        raise ValueError(f"log_alpha {log_alpha.shape} must have the shape of W {W.shape}, or be one number")
    alpha = np.exp(log_alpha) if isinstance(log_alpha, np.ndarray) else float(np.exp(log_alpha))
    W_kept = W if weight_mask is None else W * weight_mask  # (..., d_in, d_out)
    mean = x @ W_kept + b[..., None, :]  # (..., N, d_out)
    if noise is None:
        return mean, VariationalCache(x, W_kept, alpha, None, weight_mask)
    check_noise(noise, x.shape[-2], W.shape[-1])
    variance = (x * x) @ (alpha * (W_kept * W_kept))  # (..., N, d_out)
    std = np.sqrt(variance)
    # sqrt has no derivative at 0; there is no noise there, and the gradient of no noise is 0.
    noise_over_std = np.zeros(np.broadcast_shapes(noise.shape, std.shape), np.result_type(noise, std))
    np.divide(noise, std, out=noise_over_std, where=variance.real > 0)
    return mean + std * noise, VariationalCache(x, W_kept, alpha, noise_over_std, weight_mask)


def variational_dropout_backward(
    dz: np.ndarray,
    cache: VariationalCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return dx, dW and db; with dv = dz * eps / (2 sqrt(variance)) the gradient of the variance.   Equation (D19)

        dx = dz W^T + 2 x * (dv (alpha * W^2)^T)        dW = M * (x^T dz + 2 alpha * W * ((x^2)^T dv))

    with M * W for W. See ``linear_backward`` for the arguments, ``log_alpha_gradient`` for that of the noise.

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
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[3.0], [2.0]]), np.array([0.5])
    >>> z, cache = variational_dropout_forward(x, W, b, np.array([[2.0]]), log_alpha=0.0)
    >>> dx, dW, db = variational_dropout_backward(np.array([[1.0]]), cache)
    >>> dx.tolist(), dW.tolist(), db.tolist()                          # dv is 2 / (2 * 5)
    ([[6.6, 5.2]], [[2.2], [5.2]], [1.0])
    """
    x, W_kept, alpha = cache.x, cache.W_kept, cache.alpha
    dW_out, db_out = (None, None) if out is None else out
    dW = np.matmul(x.mT, dz, out=dW_out)  # (..., d_in, N) @ (..., N, d_out)
    if cache.noise_over_std is not None:
        dvariance = dz * cache.noise_over_std / 2  # (..., N, d_out)
        dW = np.add(dW, 2 * alpha * W_kept * ((x * x).mT @ dvariance), out=dW_out)
    if cache.weight_mask is not None:
        dW = np.multiply(dW, cache.weight_mask, out=dW_out)
    db = dz.sum(axis=-2, out=db_out)  # (..., d_out)
    if not need_dx:
        return None, dW, db
    dx = dz @ W_kept.mT  # (..., N, d_in)
    if cache.noise_over_std is not None:
        dx = dx + 2 * x * (dvariance @ (alpha * (W_kept * W_kept)).mT)
    return dx, dW, db


def log_alpha_gradient(dz: np.ndarray, cache: VariationalCache) -> np.ndarray:
    """Return dL/dlog alpha = alpha * (M*W)^2 * ((x^2)^T dv), one number for each weight.   Equation (D19)

    Where one number log alpha serves all weights, its gradient is the sum.

    Parameters
    ----------
    dz : (..., N, d_out) upstream gradient
    cache : that of ``variational_dropout_forward``

    Returns
    -------
    dlog_alpha : (..., d_in, d_out)

    Raises
    ------
    ValueError
        The cache comes from an evaluation, in which log_alpha has no part.

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[3.0], [2.0]]), np.array([0.5])
    >>> z, cache = variational_dropout_forward(x, W, b, np.array([[2.0]]), log_alpha=0.0)
    >>> log_alpha_gradient(np.array([[1.0]]), cache).tolist()
    [[1.8], [3.2]]
    """
    W_squared = cache.W_kept * cache.W_kept
    if cache.noise_over_std is None:
        raise ValueError("cache comes from an evaluation (noise None), in which log_alpha has no part")
    dvariance = dz * cache.noise_over_std / 2  # (..., N, d_out)
    return cache.alpha * W_squared * ((cache.x * cache.x).mT @ dvariance)  # (..., d_in, d_out)


class VariationalKLCache(NamedTuple):
    """The two sigmoids of the slope."""

    bump: np.ndarray  # (..., d_in, d_out)  sigmoid(k2 + k3 log alpha)
    tail: np.ndarray  # (..., d_in, d_out)  sigmoid(-log alpha)
    weight_mask: np.ndarray | None


def variational_kl_forward(
    log_alpha: np.ndarray, *, weight_mask: np.ndarray | None = None
) -> tuple[np.ndarray, VariationalKLCache]:
    """KL = sum of k1 - k1 sigmoid(k2 + k3 log alpha) + log(1 + 1 / alpha) / 2 over the weights of a layer.   Equation (D20)

    The divergence, in nats, of the noisy weights from the log-uniform prior, by the approximation of Molchanov, Ashukha
    and Vetrov (2017); its error is below 0.01 for log alpha in [-7.5, 7.5]. It falls to 0 as alpha grows. The loss to
    minimise is the mean cross-entropy plus this divergence divided by the number of training examples.

    Parameters
    ----------
    log_alpha : (..., d_in, d_out)
    weight_mask : binary, or None; pruned weights do not count

    Returns
    -------
    kl : (...,)
    cache : VariationalKLCache

    Raises
    ------
    ValueError
        The weight mask has not the shape of log_alpha.

    Examples
    --------
    >>> float(variational_kl_forward(np.array([[0.0]]))[0])
    0.431239
    """
    check_floating(log_alpha, "log_alpha")
    check_precision(log_alpha=log_alpha, weight_mask=weight_mask)
    if weight_mask is not None and weight_mask.shape[-2:] != log_alpha.shape[-2:]:
        raise ValueError(f"weight_mask {weight_mask.shape} must have the shape of log_alpha {log_alpha.shape}")
    bump, _ = sigmoid_forward(K2 + K3 * log_alpha)
    tail, _ = sigmoid_forward(-log_alpha)
    kl = K1 - K1 * bump + softplus(-log_alpha) / 2  # (..., d_in, d_out)
    if weight_mask is not None:
        kl = kl * weight_mask
    return kl.sum(axis=(-2, -1)), VariationalKLCache(bump, tail, weight_mask)


def variational_kl_backward(dkl: np.ndarray | float, cache: VariationalKLCache) -> np.ndarray:
    """dlog alpha = -dkl * (k1 k3 s (1 - s) + sigmoid(-log alpha) / 2), s the sigmoid of the forward pass.   Equation (D20)

    Parameters
    ----------
    dkl : upstream gradient, a number or one for each net of a stack; 1 for the divergence itself
    cache : that of ``variational_kl_forward``

    Returns
    -------
    dlog_alpha : of the shape of log alpha

    Examples
    --------
    >>> kl, cache = variational_kl_forward(np.array([[0.0]]))
    >>> variational_kl_backward(1.0, cache)
    array([[-0.35912773]])
    """
    slope = -(K1 * K3 * cache.bump * (1 - cache.bump) + cache.tail / 2)
    if cache.weight_mask is not None:
        slope = slope * cache.weight_mask
    return np.asarray(dkl, dtype=slope.dtype)[..., None, None] * slope


def variational_mask(log_alpha: np.ndarray) -> np.ndarray:
    """Return the weight mask that keeps a weight unless log alpha > 3, a drop probability above 0.95.   Equation (D20)

    Parameters
    ----------
    log_alpha : (..., d_in, d_out)

    Returns
    -------
    weight_mask : (..., d_in, d_out) binary, in the dtype of log_alpha

    Raises
    ------
    ValueError
        log_alpha holds NaN.

    Examples
    --------
    >>> variational_mask(np.array([[-2.0, 3.0, 3.1]]))
    array([[1., 1., 0.]])
    """
    check_floating(log_alpha, "log_alpha")
    if np.isnan(log_alpha).any():
        raise ValueError("log_alpha holds NaN, which is neither to prune nor to keep. Has the training diverged?")
    return (log_alpha <= PRUNE_ABOVE).astype(log_alpha.dtype)
