"""R-Drop: pass the same batch twice, with two sets of masks, and ask both subnetworks for the same answer.

Dropout trains many subnetworks and evaluates with none of them. R-Drop brings them together: to the cross-entropy it
adds the symmetric Kullback-Leibler divergence between the two predictions (Wu et al. 2021). With logits that carry the
two passes on an axis of their own, (2, N, K), the whole is one loss like any other: ``r_drop_loss(weight)``; and
``r_drop(weight)`` is the same for a batch that holds its examples twice, as the training loop feeds it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from numpynet.equations.checks import check_floating, check_labels, check_precision
from numpynet.equations.losses import (
    Loss,
    log_softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)


class RDropCache(NamedTuple):
    """The two predictions and the difference of their logarithms."""

    probabilities_1: np.ndarray  # (..., N, K)
    probabilities_2: np.ndarray  # (..., N, K)
    difference: np.ndarray  # (..., N, K)  s = log p1 - log p2


def r_drop_forward(logits_1: np.ndarray, logits_2: np.ndarray) -> tuple[np.ndarray, RDropCache]:
    """(1/N) sum over n of (KL(p1, p2) + KL(p2, p1)) / 2 = (1/2N) sum (p1 - p2)(log p1 - log p2), in nats.   Equation (D23)

    Parameters
    ----------
    logits_1, logits_2 : (..., N, K) of the two passes

    Returns
    -------
    loss : (...,), at least 0, and 0 only where the predictions agree
    cache : RDropCache

    Raises
    ------
    ValueError
        The two differ in shape, or there is no example.

    Examples
    --------
    >>> float(r_drop_forward(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))[0])
    0.115529
    """
    check_floating(logits_1, "logits_1")
    check_precision(logits_1=logits_1, logits_2=logits_2)
    if logits_1.ndim < 2 or logits_1.shape[-2] == 0 or logits_1.shape != logits_2.shape:
        raise ValueError(
            f"logits_1 {logits_1.shape} and logits_2 {logits_2.shape} must have one shape (..., N, K), N at least 1: "
            "two passes of one batch"
        )
    log_p1, log_p2 = log_softmax(logits_1), log_softmax(logits_2)
    p1, p2, s = np.exp(log_p1), np.exp(log_p2), log_p1 - log_p2
    return ((p1 - p2) * s).sum(axis=(-2, -1)) / (2 * logits_1.shape[-2]), RDropCache(p1, p2, s)


def r_drop_backward(dloss: np.ndarray | float, cache: RDropCache) -> tuple[np.ndarray, np.ndarray]:
    """dlogits_1 = dloss * (p1 - p2 + p1 * (s - <p1, s>)) / 2N; for dlogits_2 swap 1 and 2, and s changes sign.   Equation (D23)

    Parameters
    ----------
    dloss : upstream gradient, a number or one for each net of a stack; 1 for the loss itself
    cache : that of ``r_drop_forward``

    Returns
    -------
    dlogits_1, dlogits_2 : (..., N, K)

    Examples
    --------
    >>> loss, cache = r_drop_forward(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))
    >>> [dlogits.round(3).tolist() for dlogits in r_drop_backward(1.0, cache)]
    [[[0.214, -0.214]], [[-0.241, 0.241]]]
    """
    p1, p2, s = cache
    factor = np.asarray(dloss, dtype=s.dtype)[..., None, None] / (2 * s.shape[-2])
    dlogits_1 = p1 - p2 + p1 * (s - (p1 * s).sum(axis=-1, keepdims=True))  # (..., N, K)
    dlogits_2 = p2 - p1 - p2 * (s - (p2 * s).sum(axis=-1, keepdims=True))
    return dlogits_1 * factor, dlogits_2 * factor


def r_drop_loss(weight: float) -> Loss:
    """Return the loss (CE_1 + CE_2) / 2 + weight * R-Drop, of logits (..., 2, N, K) of two passes.   Equation (D23)

    Parameters
    ----------
    weight : of the divergence, at least 0. Sources differ by a factor 2, because some sum the two cross-entropies.

    Returns
    -------
    A ``Loss`` of logits (..., 2, N, K) and labels (..., N).

    Raises
    ------
    ValueError
        weight is negative or not finite; later, the logits are not those of two passes.

    Examples
    --------
    >>> loss, cache = r_drop_loss(weight=1.0).forward(np.array([[[1.0, 0.0]], [[0.0, 0.0]]]), np.array([0]))
    >>> float(loss)                                        # (0.3133 + 0.6931) / 2 + 0.1155
    0.618734
    """
    if isinstance(weight, bool) or not isinstance(weight, (int, float, np.floating, np.integer)):
        raise TypeError(f"weight must be a finite number >= 0, got {type(weight).__name__}")
    weight = float(weight)
    if not 0 <= weight < float("inf"):
        raise ValueError(f"weight is {weight!r}, but a finite number >= 0 is needed")

    def forward(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, Any]:
        if logits.ndim < 3 or logits.shape[-3] != 2:
            raise ValueError(
                f"logits has shape {logits.shape}, but (..., 2, N, K) is needed: the same batch in two passes, "
                "each with unit masks of its own"
            )
        cross_entropy, ce_cache = softmax_cross_entropy_forward(logits, labels)  # (..., 2)
        divergence, r_cache = r_drop_forward(logits[..., 0, :, :], logits[..., 1, :, :])  # (...,)
        return cross_entropy.mean(axis=-1) + weight * divergence, (ce_cache, r_cache)

    def backward(dloss: np.ndarray | float, cache: Any) -> np.ndarray:
        ce_cache, r_cache = cache
        dloss = np.asarray(dloss, dtype=r_cache.difference.dtype)
        dlogits = softmax_cross_entropy_backward(dloss[..., None] / 2, ce_cache)  # (..., 2, N, K)
        return dlogits + np.stack(r_drop_backward(dloss * weight, r_cache), axis=-3)

    return Loss(f"r_drop({weight!r})", forward, backward)


def r_drop(weight: float) -> Loss:
    """Return ``r_drop_loss(weight)`` for the training loop, which puts both passes into one batch.   Equation (D23)

    Its logits are (..., 2N, K): the N examples, and the same examples once more, with other masks. In evaluation, where
    there are no masks, it is the cross-entropy.

    Parameters
    ----------
    weight : of the divergence, at least 0; sources differ by a factor 2 in what they call it

    Returns
    -------
    A ``Loss`` for ``begin`` and ``train``.

    Raises
    ------
    ValueError
        In training, the second half of the labels is not the first once more.

    Examples
    --------
    >>> loss, cache = r_drop(weight=1.0).forward(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, 0]))
    >>> float(loss)                                        # (0.3133 + 0.6931) / 2 + 0.1155
    0.618734
    """
    stacked = r_drop_loss(weight)

    def forward(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, Any]:
        check_floating(logits, "logits")
        check_labels(labels, logits.shape[-1], logits.shape[-2])
        n = logits.shape[-2] // 2
        if logits.shape[-2] % 2 or not np.array_equal(labels[..., :n], labels[..., n:]):
            raise ValueError(
                f"logits has shape {logits.shape} and labels {labels.shape}, but the second half of the examples must "
                "be the first once more: two passes of one batch"
            )
        two = logits.reshape(*logits.shape[:-2], 2, n, logits.shape[-1])  # (..., 2, N, K)
        loss, cache = stacked.forward(two, labels[..., None, :n])  # the same labels for both passes
        return loss, (logits.shape, cache)

    def backward(dloss: np.ndarray | float, cache: Any) -> np.ndarray:
        shape, cache = cache
        return stacked.backward(dloss, cache).reshape(shape)

    return Loss(stacked.name, forward, backward, passes=2, evaluation=softmax_cross_entropy_forward)
