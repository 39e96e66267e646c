"""The logistic loss: a yes or no for each output, learned by one logit.

It is the cross-entropy of two classes with the logits (0, z), written with one of them. With several outputs each is a
question of its own, and their losses add up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.activations import sigmoid_forward
from numpynet.equations.checks import check_binary, check_floating, check_precision
from numpynet.equations.losses import Loss


def softplus(z: np.ndarray) -> np.ndarray:
    """log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), without overflow for any finite z.   Equation (B19)

    The branch is chosen by the sign of the real part, as in the sigmoid, which is its derivative.

    Parameters
    ----------
    z : array of any shape

    Returns
    -------
    An array of its shape and dtype.

    Examples
    --------
    >>> softplus(np.array([0.0, 800.0, -800.0]))
    array([6.93147181e-001, 8.00000000e+002, 0.00000000e+000])
    """
    negative = z.real < 0
    minus_abs = np.where(negative, z, -z)  # -|z|
    return np.where(negative, 0, z) + np.log1p(np.exp(minus_abs))


class LogisticCache(NamedTuple):
    """Logits and targets, of which the delta is made."""

    logits: np.ndarray  # (..., N, K)
    targets: np.ndarray  # (..., N, K) 0 or 1


def logistic_loss_forward(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, LogisticCache]:
    """L = (1/N) sum over n, k of softplus(z_nk) - t_nk z_nk, in nats.   Equation (B19)

    Parameters
    ----------
    logits : (..., N, K), any finite size; K = 1 for a single yes or no
    targets : (N, K) or (..., N, K), floating, every entry 0 or 1

    Returns
    -------
    loss : (...,), K log 2 for logits 0
    cache : LogisticCache

    Raises
    ------
    TypeError, ValueError
        Targets that are not 0 or 1, or not of the shape or the precision of the logits.

    Examples
    --------
    >>> loss, cache = logistic_loss_forward(np.zeros((3, 1)), np.array([[0.0], [1.0], [1.0]]))
    >>> float(loss)                                                                     # log 2
    0.693147
    """
    check_floating(logits, "logits")
    if logits.ndim < 2 or logits.shape[-2] == 0:
        raise ValueError(f"logits has shape {logits.shape}, but (..., N, K) with at least one example is needed")
    check_precision(logits=logits, targets=targets)
    if targets.shape[-2:] != logits.shape[-2:]:
        raise ValueError(f"targets {targets.shape} must have the shape of the logits {logits.shape}: (..., N, K)")
    check_binary(targets, "targets")
    loss = (softplus(logits) - targets * logits).sum(axis=(-2, -1)) / logits.shape[-2]
    return loss, LogisticCache(logits, targets)


def logistic_loss_backward(dloss: np.ndarray | float, cache: LogisticCache) -> np.ndarray:
    """dlogits = dloss * (sigmoid(z) - t) / N.   Equation (B19)

    Parameters
    ----------
    dloss : upstream gradient, a number or one for each net of a stack; 1 for the loss itself
    cache : that of ``logistic_loss_forward``

    Returns
    -------
    dlogits : of the shape of the logits

    Examples
    --------
    >>> loss, cache = logistic_loss_forward(np.zeros((2, 1)), np.array([[0.0], [1.0]]))
    >>> logistic_loss_backward(1.0, cache)
    array([[ 0.25],
           [-0.25]])
    """
    residual = sigmoid_forward(cache.logits)[0] - cache.targets  # (..., N, K)
    return residual * (np.asarray(dloss, dtype=residual.dtype)[..., None, None] / residual.shape[-2])


logistic_loss = Loss("logistic_loss", logistic_loss_forward, logistic_loss_backward)
