"""Losses: the only place of the whole network where a mean is taken, so the only 1/N.

A loss returns one number for each network of the stack (shape ``(...,)``, in nats for the cross-entropy), and its
backward pass takes the gradient with respect to that number, usually 1. ``softmax_cross_entropy`` fuses the softmax
with the logarithm: only differences to the row maximum enter the exponential, so logits of any finite size are safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations.checks import check_floating, check_labels, check_precision


class Loss(NamedTuple):
    """A loss as the training loop takes it: a forward and backward pair."""

    name: str
    forward: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Any]]  # logits, targets -> loss, cache
    backward: Callable[[Any, Any], np.ndarray]  # dloss, cache -> dlogits
    passes: int = 1  # how often the training loop puts a batch into one forward pass, each time with masks of its own
    evaluation: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Any]] | None = None  # if it is not forward


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log P = Z - log sum exp Z by rows, shifted by the row maximum.   Equation (B17)

    Parameters
    ----------
    logits : (..., N, K), any finite size

    Returns
    -------
    (..., N, K), each row the logarithm of a probability distribution

    Examples
    --------
    >>> log_softmax(np.array([[1e4, -1e4]]))
    array([[     0., -20000.]])
    """
    # The shift is a constant of the differentiation: the result does not depend on it.
    z = logits - _row_maximum(logits.real)  # (..., N, K), all <= 0
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """P = exp(Z) / sum exp(Z) by rows, shifted by the row maximum.   Equation (B16)

    Parameters
    ----------
    logits : (..., N, K)

    Returns
    -------
    P : (..., N, K), rows that sum to 1

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0, 0.0, 0.0]]))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    e = np.exp(logits - _row_maximum(logits.real))  # (..., N, K), in [0, 1]
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dprobabilities: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """dZ = P * (G - <G, P> of each row) for G = dL/dP: the Jacobian diag(p) - p^T p, without forming it.   Equation (B16)

    Parameters
    ----------
    dprobabilities : (..., N, K) upstream gradient G
    probabilities : (..., N, K) what ``softmax`` returned

    Returns
    -------
    dlogits : (..., N, K)

    Examples
    --------
    >>> softmax_backward(np.array([[1.0, 1.0]]), np.array([[0.3, 0.7]]))      # adding a constant changes nothing
    array([[0., 0.]])
    """
    inner = (dprobabilities * probabilities).sum(axis=-1, keepdims=True)  # (..., N, 1)
    return probabilities * (dprobabilities - inner)


def log_softmax_backward(dlog_p: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """dZ = G - P * (row sum of G) for G = dL/dlog P.   Equation (B17)

    Parameters
    ----------
    dlog_p : (..., N, K) upstream gradient G
    log_p : (..., N, K) what ``log_softmax`` returned

    Returns
    -------
    dlogits : (..., N, K)

    Examples
    --------
    >>> log_softmax_backward(np.array([[1.0, 0.0]]), np.log([[0.25, 0.75]]))
    array([[ 0.75, -0.75]])
    """
    return dlog_p - np.exp(log_p) * dlog_p.sum(axis=-1, keepdims=True)


class CrossEntropyCache(NamedTuple):
    """What the delta needs."""

    log_p: np.ndarray  # (..., N, K) log softmax(logits)
    labels: np.ndarray  # (..., N) integers, broadcast against the examples


def softmax_cross_entropy_forward(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, CrossEntropyCache]:
    """L = -(1/N) sum over n of log softmax(z_n)[y_n], in nats.   Equation (B18)

    Parameters
    ----------
    logits : (..., N, K), any finite size
    labels : (N,) or (..., N) integers in 0 ... K - 1

    Returns
    -------
    loss : (...,), log K for constant logits
    cache : CrossEntropyCache

    Raises
    ------
    TypeError, ValueError
        Labels that are not integers, out of range, or not one for each example.

    Examples
    --------
    >>> loss, cache = softmax_cross_entropy_forward(np.zeros((3, 10)), np.array([7, 0, 3]))
    >>> float(loss)                                                                    # log 10
    2.302585
    """
    _check_rows(logits, "logits")
    check_labels(labels, n_classes=logits.shape[-1], n_examples=logits.shape[-2])
    if labels.ndim >= logits.ndim:
        raise ValueError(f"labels {labels.shape} have more axes than the examples of logits {logits.shape}")
    log_p = log_softmax(logits)  # (..., N, K)
    if labels.shape != log_p.shape[:-1]:
        labels = np.broadcast_to(labels, log_p.shape[:-1])  # (..., N)
    picked = log_p.reshape(-1, log_p.shape[-1])[_rows_and(labels)].reshape(labels.shape)  # (..., N)
    return -picked.mean(axis=-1), CrossEntropyCache(log_p, labels)


def softmax_cross_entropy_backward(dloss: np.ndarray | float, cache: CrossEntropyCache) -> np.ndarray:
    """dlogits = dloss * (P - Y) / N, Y one-hot; without dloss every row sums to 0.   Equation (B2)

    Parameters
    ----------
    dloss : upstream gradient, a number or one for each net of a stack; 1 for the loss itself
    cache : that of ``softmax_cross_entropy_forward``

    Returns
    -------
    dlogits : (..., N, K)

    Examples
    --------
    >>> loss, cache = softmax_cross_entropy_forward(np.zeros((1, 2)), np.array([1]))
    >>> softmax_cross_entropy_backward(1.0, cache)
    array([[ 0.5, -0.5]])
    """
    dlogits = np.exp(cache.log_p, order="C")  # (..., N, K)
    dlogits.reshape(-1, dlogits.shape[-1])[_rows_and(cache.labels)] -= 1  # a view, for it is in C order
    return dlogits * _per_row(dloss, dlogits)


def _row_maximum(z: np.ndarray) -> np.ndarray:
    """z.max(axis=-1, keepdims=True), on a copy whose columns lie one after the other: rows are short, and each costs a loop."""
    return np.ascontiguousarray(z.reshape(-1, z.shape[-1]).T).max(axis=0).reshape(*z.shape[:-1], 1)


def _rows_and(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the entry of each row that its label names, all rows of a stack below each other."""
    return np.arange(labels.size), labels.reshape(-1)


class SquaredErrorCache(NamedTuple):
    """The residual."""

    residual: np.ndarray  # (..., N, K) Z - T


def squared_error_forward(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, SquaredErrorCache]:
    """L = ||Z - T||^2 / (2 N): a sum over outputs, a mean over examples.   Equation (B20)

    It is not ``np.mean((Z - T)**2)``, whose gradient differs by the factor 2 / K.

    Parameters
    ----------
    outputs : (..., N, K)
    targets : (N, K) or (..., N, K), floating

    Returns
    -------
    loss : a number, or (...) for a stack
    cache : for ``squared_error_backward``

    Raises
    ------
    ValueError
        Outputs and targets differ in shape.

    Examples
    --------
    >>> loss, cache = squared_error_forward(np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]]))
    >>> float(loss)
    2.0
    """
    _check_rows(outputs, "outputs")
    check_precision(outputs=outputs, targets=targets)
    if targets.shape[-2:] != outputs.shape[-2:]:
        raise ValueError(f"targets {targets.shape} must have the shape of the outputs {outputs.shape}: (..., N, K)")
    residual = outputs - targets  # (..., N, K)
    return (residual * residual).sum(axis=(-2, -1)) / (2 * outputs.shape[-2]), SquaredErrorCache(residual)


def squared_error_backward(dloss: np.ndarray | float, cache: SquaredErrorCache) -> np.ndarray:
    """dZ = dloss * (Z - T) / N, the form of Equation (B2).   Equation (B20)

    Parameters
    ----------
    dloss : upstream gradient, a number or one for each net of a stack; 1 for the loss itself
    cache : that of ``squared_error_forward``

    Returns
    -------
    dZ : of the shape of the outputs

    Examples
    --------
    >>> loss, cache = squared_error_forward(np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]]))
    >>> squared_error_backward(1.0, cache)
    array([[0., 2.]])
    """
    return cache.residual * _per_row(dloss, cache.residual)


class L2Cache(NamedTuple):
    """The weights that exist."""

    W_kept: np.ndarray  # (..., d_in, d_out) M * W
    weight_decay: float  # lambda


def l2_penalty_forward(
    W: np.ndarray, weight_decay: float, *, weight_mask: np.ndarray | None = None
) -> tuple[np.ndarray, L2Cache]:
    """Omega = (lambda / 2) ||M * W||^2 of one layer; biases carry no penalty.   Equation (B21)

    Parameters
    ----------
    W : (..., d_in, d_out)
    weight_decay : lambda, at least 0
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    penalty : a number, or (...) for a stack
    cache : for ``l2_penalty_backward``

    Raises
    ------
    ValueError
        weight_decay is negative or no finite number.

    Examples
    --------
    >>> penalty, cache = l2_penalty_forward(np.array([[3.0], [4.0]]), 0.1, weight_mask=np.array([[0.0], [1.0]]))
    >>> float(penalty)
    0.8
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay is {weight_decay!r}, but a number >= 0 is needed")
    check_precision(W=W, weight_mask=weight_mask)
    weight_decay = float(weight_decay)  # a np.float64 would turn float32 into float64
    W_kept = W if weight_mask is None else W * weight_mask  # (..., d_in, d_out)
    return weight_decay / 2 * (W_kept * W_kept).sum(axis=(-2, -1)), L2Cache(W_kept, weight_decay)


def l2_penalty_backward(dpenalty: np.ndarray | float, cache: L2Cache) -> np.ndarray:
    """dW = dpenalty * lambda (M * W), exactly 0 at pruned entries.   Equation (B21)

    Parameters
    ----------
    dpenalty : upstream gradient, a number or one for each net of a stack; 1 for the penalty itself
    cache : that of ``l2_penalty_forward``

    Returns
    -------
    dW : (..., d_in, d_out)

    Examples
    --------
    >>> penalty, cache = l2_penalty_forward(np.array([[3.0], [4.0]]), 0.5, weight_mask=np.array([[0.0], [1.0]]))
    >>> l2_penalty_backward(1.0, cache)
    array([[0.],
           [2.]])
    """
    dpenalty = np.asarray(dpenalty, dtype=cache.W_kept.dtype)[..., None, None]
    return cache.W_kept * (dpenalty * cache.weight_decay)


def _check_rows(outputs: np.ndarray, name: str) -> None:
    """Raise unless there is at least one row to take a mean of."""
    check_floating(outputs, name)
    if outputs.ndim < 2 or outputs.shape[-2] == 0:
        raise ValueError(f"{name} has shape {outputs.shape}, but (..., N, K) with at least one example is needed")


def _per_row(dloss: np.ndarray | float, like: np.ndarray) -> np.ndarray:
    """dloss / N, shaped to multiply (..., N, K): here is the one 1/N."""
    return np.asarray(dloss, dtype=like.dtype)[..., None, None] / like.shape[-2]


softmax_cross_entropy = Loss("softmax_cross_entropy", softmax_cross_entropy_forward, softmax_cross_entropy_backward)
squared_error = Loss("squared_error", squared_error_forward, squared_error_backward)
