"""Targeted dropout: drop at random, but only among what would be pruned anyway, so that the net learns to live without.

The candidates are the share of the weights (or of the units) with the smallest magnitude, chosen anew at every step.
Each of them is dropped with probability drop_prob; the others are never touched. Evaluation leaves out all candidates,
so the net that is tested is a pruned one (Gomez et al. 2019). Nothing is rescaled: a pruned net is not, either.

With drop_prob 1 it is magnitude pruning; with every weight a candidate it is DropConnect without a scale. The layer is
given uniform numbers, not a mask, because who is a candidate depends on the weights of the moment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.checks import check_layer, check_precision
from numpynet.equations.linear import LinearCache, linear_backward, linear_forward
from numpynet.equations.noise import check_noise, check_uniform


def weight_candidates(W: np.ndarray, target_share: float, *, weight_mask: np.ndarray | None = None) -> np.ndarray:
    """Mark the k = floor(gamma n) smallest |W| among the n incoming weights of each unit.   Equation (D22)

    Among equal magnitudes the lower index comes first. With a weight mask only the alive weights count and are ranked.

    Parameters
    ----------
    W : (..., d_in, d_out); a column holds the incoming weights of a unit
    target_share : gamma in [0, 1]; k is the float64 expression ``floor(gamma * n)``
    weight_mask : (..., d_in, d_out) binary, or None

    Returns
    -------
    (..., d_in, d_out) bool

    Examples
    --------
    >>> weight_candidates(np.array([[3.0, 0.1], [-1.0, 4.0], [2.0, -5.0]]), target_share=0.4).astype(int)
    array([[0, 1],
           [1, 0],
           [0, 0]])
    """
    magnitude = np.abs(W.real)  # decides a gate, carries no value
    if weight_mask is None:
        alive = np.full((*W.shape[:-2], 1, W.shape[-1]), W.shape[-2])
    else:
        magnitude = np.where(weight_mask.real == 1, magnitude, np.inf)  # the dead come last
        alive = (weight_mask.real == 1).sum(axis=-2, keepdims=True)  # (..., 1, d_out)
    return _smallest(magnitude, np.floor(check_share(target_share, "target_share") * alive), axis=-2)


def unit_candidates(W: np.ndarray, target_share: float, *, weight_mask: np.ndarray | None = None) -> np.ndarray:
    """Mark the k = floor(gamma d_out) units with the smallest norm of their incoming weights.   Equation (D22)

    Parameters
    ----------
    W : (..., d_in, d_out)
    target_share : gamma in [0, 1]
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    (..., 1, d_out) bool; see ``weight_candidates`` for the arguments

    Examples
    --------
    >>> unit_candidates(np.array([[3.0, 0.1, 1.0], [4.0, 0.2, 2.0]]), target_share=0.4).astype(int)
    array([[0, 1, 0]])
    """
    W_kept = (W if weight_mask is None else W * weight_mask).real
    norm = (W_kept * W_kept).sum(axis=-2, keepdims=True)  # (..., 1, d_out), squared: the order is the same
    return _smallest(norm, np.floor(check_share(target_share, "target_share") * W.shape[-1]), axis=-1)


def targeted_weight_dropout_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    uniform: np.ndarray | None,
    *,
    target_share: float,
    drop_prob: float,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, LinearCache]:
    """z = x (C * M * W) + b, where C drops a candidate if u < drop_prob, and nobody else.   Equation (D22)

    Parameters
    ----------
    x : (..., N, d_in)
    W : (..., d_in, d_out)
    b : (..., d_out)
    uniform : (..., d_in, d_out) u in [0, 1), see ``sample_uniform``; None in evaluation, where all candidates are out
    target_share : gamma in [0, 1], share of each unit's incoming weights that are candidates
    drop_prob : in [0, 1], with which a candidate is dropped
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    z : (..., N, d_out)
    cache : LinearCache, whose weight mask is C * M

    Raises
    ------
    ValueError
        uniform has not the shape of W.

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 1.0]]), np.array([[3.0, 0.1], [-1.0, 4.0]]), np.zeros(2)
    >>> u = np.array([[0.9, 0.9], [0.2, 0.2]])
    >>> targeted_weight_dropout_forward(x, W, b, u, target_share=0.5, drop_prob=0.6)[0]
    array([[3. , 4.1]])
    >>> targeted_weight_dropout_forward(x, W, b, None, target_share=0.5, drop_prob=0.6)[0]
    array([[3., 4.]])
    """
    check_precision(x=x, W=W, b=b, uniform=uniform, weight_mask=weight_mask)
    check_layer(x, W, b)
    candidates = weight_candidates(W, target_share, weight_mask=weight_mask)  # (..., d_in, d_out)
    if uniform is not None and uniform.shape[-2:] != W.shape[-2:]:
        raise ValueError(f"uniform has shape {uniform.shape}, but that of W is needed, one for each weight: {W.shape}")
    mask = _keep(candidates, uniform, drop_prob).astype(W.real.dtype)
    return linear_forward(x, W, b, weight_mask=mask if weight_mask is None else mask * weight_mask)


def targeted_weight_dropout_backward(
    dz: np.ndarray,
    cache: LinearCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx = dz (C*M*W)^T, dW = C * M * (x^T dz), db = sum over n of dz.   Equation (D22)

    See ``linear_backward`` for the arguments. Who is a candidate is a constant of the differentiation.

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
    >>> x, W, b = np.array([[1.0, 1.0]]), np.array([[3.0, 0.1], [-1.0, 4.0]]), np.zeros(2)
    >>> z, cache = targeted_weight_dropout_forward(x, W, b, None, target_share=0.5, drop_prob=0.6)
    >>> targeted_weight_dropout_backward(np.array([[1.0, 10.0]]), cache)[1]
    array([[ 1.,  0.],
           [ 0., 10.]])
    """
    return linear_backward(dz, cache, need_dx=need_dx, out=out)


class TargetedUnitCache(NamedTuple):
    """The layer, and which of its outputs were let through."""

    linear: LinearCache
    kept: np.ndarray  # (..., N or 1, d_out)  0 or 1


def targeted_unit_dropout_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    uniform: np.ndarray | None,
    *,
    target_share: float,
    drop_prob: float,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, TargetedUnitCache]:
    """z = d * (x (M*W) + b), where d drops a candidate unit of the output if u < drop_prob.   Equation (D22)

    The unit goes with its bias, so behind an activation with phi(0) = 0 it is gone.

    Parameters
    ----------
    x, W, b : as in ``targeted_weight_dropout_forward``
    uniform : (..., N, d_out) u in [0, 1), or (..., 1, d_out) where the batch shares it; None in evaluation, where all
        candidates are out
    target_share : gamma in [0, 1], share of the d_out units that are candidates
    drop_prob, weight_mask : as in ``targeted_weight_dropout_forward``

    Returns
    -------
    z : (..., N, d_out), in the dtype of x
    cache : for ``targeted_unit_dropout_backward``

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 1.0]]), np.array([[3.0, 0.1], [-1.0, 0.4]]), np.ones(2)
    >>> targeted_unit_dropout_forward(x, W, b, np.array([[0.2, 0.2]]), target_share=0.5, drop_prob=0.6)[0]
    array([[3., 0.]])
    """
    check_precision(x=x, W=W, b=b, uniform=uniform, weight_mask=weight_mask)
    check_layer(x, W, b)
    if uniform is not None:
        check_noise(uniform, x.shape[-2], W.shape[-1], name="uniform")
    candidates = unit_candidates(W, target_share, weight_mask=weight_mask)  # (..., 1, d_out)
    kept = _keep(candidates, uniform, drop_prob).astype(W.real.dtype)  # (..., N or 1, d_out)
    z, cache = linear_forward(x, W, b, weight_mask=weight_mask)
    return z * kept, TargetedUnitCache(cache, kept)


def targeted_unit_dropout_backward(
    dz: np.ndarray,
    cache: TargetedUnitCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Pass d * dz back through the layer.   Equation (D22)

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
    >>> x, W, b = np.array([[1.0, 1.0]]), np.array([[3.0, 0.1], [-1.0, 0.4]]), np.ones(2)
    >>> z, cache = targeted_unit_dropout_forward(x, W, b, None, target_share=0.5, drop_prob=0.6)
    >>> targeted_unit_dropout_backward(np.array([[1.0, 10.0]]), cache)[2]
    array([1., 0.])
    """
    return linear_backward(dz * cache.kept, cache.linear, need_dx=need_dx, out=out)


def check_share(share: float, name: str) -> float:
    """Return share as a Python float, or raise unless it is a number in [0, 1].

    Parameters
    ----------
    share : what was given
    name : of the argument, for the message

    Returns
    -------
    share

    Raises
    ------
    ValueError
        It is outside [0, 1].
    TypeError
        It is no number.

    Examples
    --------
    >>> check_share(1, "drop_prob")
    1.0
    """
    if not isinstance(share, (int, float, np.floating, np.integer)) or isinstance(share, bool):
        raise TypeError(f"{name} must be a number in [0, 1], got {type(share).__name__}")
    if not 0.0 <= share <= 1.0:  # also catches NaN
        raise ValueError(f"{name} is {share!r}, but 0 <= {name} <= 1 is needed: it is a share, 0.2 for 20 %")
    return float(share)


def _keep(candidates: np.ndarray, uniform: np.ndarray | None, drop_prob: float) -> np.ndarray:
    """Return who stays: everybody but the candidates with u < drop_prob; in evaluation everybody but the candidates."""
    drop_prob = check_share(drop_prob, "drop_prob")
    if uniform is None:
        return ~candidates
    return ~(candidates & (check_uniform(uniform).real < drop_prob))


def _smallest(scores: np.ndarray, k: np.ndarray, axis: int) -> np.ndarray:
    """Mark the k smallest scores along an axis; among equal ones the lower index comes first.

    The plain form is the last two lines. Where k is one number and no two scores are equal at the border, everything below
    the k-th smallest is marked, which a partition finds without sorting them.
    """
    n, first = scores.shape[axis], int(k.flat[0]) if np.size(k) else 0
    if 0 < first < n and (k == first).all():
        border = np.partition(scores, (first - 1, first), axis=axis)
        low, high = (np.take(border, [i], axis=axis) for i in (first - 1, first))
        if (low < high).all():
            return scores <= low
    order = np.argsort(scores, axis=axis, kind="stable")
    return np.argsort(order, axis=axis, kind="stable") < k  # the inverse permutation is the rank
