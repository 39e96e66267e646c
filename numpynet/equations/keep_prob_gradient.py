"""The gradient of the expected loss with respect to keep probabilities, by the list of all masks.

With n coins (units, or weights) the loss has 2^n values, one for each mask. Their mean is a polynomial that is linear in each
keep probability, so its derivative is a difference of two conditional means: what the loss is with the unit less what it
is without. Learning keep probabilities and asking what to prune are the same question.
"""

from __future__ import annotations

import numpy as np


def expected_loss(losses: np.ndarray, keep_probs: np.ndarray) -> np.ndarray:
    """Return E L = sum over masks of P(mask) L(mask): a polynomial that is linear in each keep probability.   Equation (M8)

    Parameters
    ----------
    losses : (..., 2^n) loss under each mask of n coins; coin k is bit k of the index, as in ``list_subnetworks``
    keep_probs : (n,); complex numbers give derivatives by the complex step

    Returns
    -------
    (...): one number for each row of losses

    Examples
    --------
    >>> float(expected_loss(np.array([10.0, 2.0]), np.array([0.75])))           # 0.25 * 10 + 0.75 * 2
    4.0
    """
    _check_losses(losses, keep_probs)
    for q in keep_probs:  # bit 0 is the fastest
        losses = losses.reshape(*losses.shape[:-1], -1, 2) @ np.array([1 - q, q])
    return losses[..., 0]


def expected_loss_gradient(losses: np.ndarray, keep_probs: np.ndarray) -> np.ndarray:
    """Return dE L / dq_k = E[L | d_k = 1] - E[L | d_k = 0]: minus the expected cost of pruning coin k.   Equation (M8)

    Where it is negative, keeping the unit lowers the loss. At q in {0, 1} it is the cost of one more or one less in a
    pruned net: pruning and the gradient of dropout's keep probabilities ask one question.

    Parameters
    ----------
    losses : (..., 2^n) the loss under every mask of n coins; coin k is bit k of the index
    keep_probs : (n,) the keep probability of each coin

    Returns
    -------
    (..., n)

    Examples
    --------
    >>> losses = np.array([10.0, 2.0, 9.0, 1.0])            # coin 0 matters, coin 1 hardly does
    >>> expected_loss_gradient(losses, np.array([0.75, 0.5]))
    array([-8., -1.])
    """
    _check_losses(losses, keep_probs)
    gradient = []
    for k in range(len(keep_probs)):
        by_coin = losses.reshape(*losses.shape[:-1], -1, 2, 2**k)
        others = np.delete(keep_probs, k)
        kept, dropped = (by_coin[..., side, :].reshape(*losses.shape[:-1], -1) for side in (1, 0))
        gradient.append(expected_loss(kept - dropped, others) if len(others) else (kept - dropped)[..., 0])
    return np.stack(gradient, axis=-1)


def _check_losses(losses: np.ndarray, keep_probs: np.ndarray) -> None:
    if losses.ndim < 1 or losses.shape[-1] != 2 ** len(keep_probs):
        raise ValueError(f"losses has shape {losses.shape}, but {len(keep_probs)} coins have 2^{len(keep_probs)} masks")
