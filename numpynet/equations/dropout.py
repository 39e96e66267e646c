"""Dropout: every unit of a layer stays with probability q, drawn afresh for each example.

A unit that may be missing cannot be relied upon, so the others learn to do without it. Two conventions are in use:

* *inverted* (ours): divide by q while training, h -> D * h / q, so that evaluation uses the net as it is;
* *standard* (the original): leave the scale alone while training, h -> D * h, and evaluate with q * h.

Both compute the same function when the weights behind them differ by the factor q (Equation (D2)). The mask is an
argument of either, so that dropout is a plain function whose gradient can be checked to rounding error.

DropConnect masks the single weights instead of the units. That is a weight mask drawn anew for every batch or, as
here, for every example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.checks import check_keep_prob, check_keep_prob_fits, check_layer, check_precision


class DropoutCache(NamedTuple):
    """The mask and the scale of the forward pass; the backward pass may use no other."""

    unit_mask: np.ndarray  # (..., N, d) D, binary
    scale: float | np.ndarray  # what the kept units were divided by: q (inverted) or 1 (standard)


def inverted_dropout_forward(
    h: np.ndarray, unit_mask: np.ndarray, keep_prob: float | np.ndarray
) -> tuple[np.ndarray, DropoutCache]:
    """D * h / q: kept units are divided by q, so the mean over masks is h and evaluation needs nothing.   Equation (D1)

    The linear layer has this built in (``linear_forward(..., unit_mask=D, keep_prob=q)``); on its own it serves other
    layers and lessons.

    Parameters
    ----------
    h : (..., N, d) activations, never logits
    unit_mask : (..., N, d) binary, or (..., 1, d) for one mask shared by the batch
    keep_prob : q in (0, 1]

    Returns
    -------
    y : (..., N, d), in the dtype of h
    cache : for ``inverted_dropout_backward``

    Examples
    --------
    >>> inverted_dropout_forward(np.array([[2.0, 4.0]]), np.array([[0.0, 1.0]]), keep_prob=0.8)[0]
    array([[0., 5.]])
    """
    keep_prob = check_keep_prob(keep_prob)
    check_precision(h=h, keep_prob=keep_prob)
    check_keep_prob_fits(keep_prob, h.shape[-1])
    _check_unit_mask(h, unit_mask)
    return h * unit_mask / keep_prob, DropoutCache(unit_mask, keep_prob)


def inverted_dropout_backward(dy: np.ndarray, cache: DropoutCache) -> np.ndarray:
    """dh = D * dy / q, with the D and the q of the forward pass.   Equation (B3)

    Parameters
    ----------
    dy : (..., N, d) upstream gradient
    cache : that of ``inverted_dropout_forward``

    Returns
    -------
    dh : (..., N, d), exactly 0 where the unit mask is 0

    Examples
    --------
    >>> y, cache = inverted_dropout_forward(np.array([[2.0, 4.0]]), np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> inverted_dropout_backward(np.array([[2.0, 2.0]]), cache)
    array([[0. , 2.5]])
    """
    return dy * cache.unit_mask / cache.scale


def standard_dropout_forward(h: np.ndarray, unit_mask: np.ndarray) -> tuple[np.ndarray, DropoutCache]:
    """D * h, without a scale: the training half of standard dropout.   Equation (D2)

    Parameters
    ----------
    h : (..., N, d) activations, never logits
    unit_mask : (..., N, d) binary, or (..., 1, d) for one mask shared by the batch

    Returns
    -------
    y : (..., N, d), in the dtype of h
    cache : for ``standard_dropout_backward``

    Examples
    --------
    >>> standard_dropout_forward(np.array([[2.0, 4.0]]), np.array([[0.0, 1.0]]))[0]
    array([[0., 4.]])
    """
    _check_unit_mask(h, unit_mask)
    return h * unit_mask, DropoutCache(unit_mask, 1.0)


def standard_dropout_backward(dy: np.ndarray, cache: DropoutCache) -> np.ndarray:
    """dh = D * dy, with the D of the forward pass.   Equations (B3), (D2)

    Parameters
    ----------
    dy : (..., N, d) upstream gradient
    cache : that of ``standard_dropout_forward``

    Returns
    -------
    dh : (..., N, d), exactly 0 where the unit mask is 0

    Examples
    --------
    >>> y, cache = standard_dropout_forward(np.array([[2.0, 4.0]]), np.array([[0.0, 1.0]]))
    >>> standard_dropout_backward(np.array([[2.0, 2.0]]), cache)
    array([[0., 2.]])
    """
    return dy * cache.unit_mask


def standard_dropout_evaluate(h: np.ndarray, keep_prob: float | np.ndarray) -> np.ndarray:
    """q * h, the mean of D * h over masks: the evaluation half of standard dropout.   Equation (D2)

    Scaling the weights behind it by q is the same. Inverted dropout has no such function: its evaluation is h.

    Parameters
    ----------
    h : (..., N, d) activations
    keep_prob : q in (0, 1], a number or one for each of d units

    Returns
    -------
    y : (..., N, d), in the dtype of h

    Examples
    --------
    >>> standard_dropout_evaluate(np.array([[2.0, 4.0]]), keep_prob=0.8)
    array([[1.6, 3.2]])
    """
    keep_prob = check_keep_prob(keep_prob)
    check_precision(h=h, keep_prob=keep_prob)
    check_keep_prob_fits(keep_prob, h.shape[-1])
    return h * keep_prob


class DropConnectCache(NamedTuple):
    """What the backward pass of DropConnect needs."""

    x: np.ndarray  # (..., N, d_in)
    W_kept: np.ndarray  # (..., N or 1, d_in, d_out)  C * W / q, one matrix for each example or one for all
    connection_mask: np.ndarray  # (..., N or 1, d_in, d_out)  C, binary; C * M where there is a weight mask
    scale: float  # what the kept weights were divided by


def dropconnect_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    connection_mask: np.ndarray,
    *,
    keep_prob: float = 1.0,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, DropConnectCache]:
    """z_n = x_n (C_n * M * W / q) + b: every weight stays with probability q, for each example anew.   Equation (D17)

    With ``keep_prob`` given, kept weights are divided by it and evaluation uses W; with the default 1 nothing is
    scaled, as in the paper (Wan et al. 2013), and evaluation uses q * W.

    Parameters
    ----------
    x : (..., N, d_in)
    W : (..., d_in, d_out)
    b : (..., d_out)
    connection_mask : (..., N, d_in, d_out) binary, a mask for each example, or (..., 1, d_in, d_out) for one that the
        batch shares (which is a weight mask)
    keep_prob : q in (0, 1]
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    z : (..., N, d_out), in the dtype of x
    cache : for ``dropconnect_backward``

    Raises
    ------
    ValueError
        The connection mask or the weight mask does not fit x and W.

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> z, cache = dropconnect_forward(x, W, b, np.array([[[0.0], [1.0]]]), keep_prob=0.8)
    >>> z
    array([[25.5]])
    """
    keep_prob = check_keep_prob(keep_prob)
    check_precision(x=x, W=W, b=b, connection_mask=connection_mask, weight_mask=weight_mask)
    check_layer(x, W, b)
    if (
        connection_mask.ndim < 3
        or connection_mask.shape[-2:] != W.shape[-2:]
        or connection_mask.shape[-3] not in (1, x.shape[-2])
    ):
        raise ValueError(
            f"connection_mask {connection_mask.shape} must be (..., N, d_in, d_out) for x {x.shape} and W {W.shape}, "
            "or (..., 1, d_in, d_out) for one mask shared by the batch"
        )
    if weight_mask is not None:
        if weight_mask.shape[-2:] != W.shape[-2:]:
            raise ValueError(f"weight_mask {weight_mask.shape} must have the shape of W {W.shape}")
        connection_mask = connection_mask * weight_mask[..., None, :, :]  # (..., N or 1, d_in, d_out)
    W_kept = W[..., None, :, :] * connection_mask / keep_prob  # (..., N or 1, d_in, d_out)
    if W_kept.shape[-3] == 1:
        z = x @ W_kept[..., 0, :, :]  # (..., N, d_in) @ (..., d_in, d_out)
    else:
        z = (x[..., None, :] @ W_kept)[..., 0, :]  # each example is a batch of one, with a matrix of its own
    return z + b[..., None, :], DropConnectCache(x, W_kept, connection_mask, keep_prob)


def dropconnect_backward(
    dz: np.ndarray,
    cache: DropConnectCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dW = sum over n of C_n * (x_n^T dz_n) / q, dx_n = dz_n (C_n * W / q)^T and db = sum over n of dz.   Equation (D17)

    See ``linear_backward`` for ``need_dx`` and ``out``.

    Parameters
    ----------
    dz : (..., N, d_out) upstream gradient
    cache : that of the forward pass
    need_dx : False for the first layer, whose dx nobody reads
    out : (dW, db) arrays to write into, or None for new ones

    Returns
    -------
    dx : (..., N, d_in), or None
    dW : (..., d_in, d_out)
    db : (..., d_out)

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> z, cache = dropconnect_forward(x, W, b, np.array([[[0.0], [1.0]]]), keep_prob=0.8)
    >>> dx, dW, db = dropconnect_backward(np.array([[4.0]]), cache)
    >>> dx.tolist(), dW.tolist(), db.tolist()
    ([[0.0, 50.0]], [[0.0], [10.0]], [4.0])
    """
    x, W_kept, C = cache.x, cache.W_kept, cache.connection_mask
    dW_out, db_out = (None, None) if out is None else out
    if W_kept.shape[-3] == 1:
        dW = (x.mT @ dz) * C[..., 0, :, :]  # (..., d_in, N) @ (..., N, d_out)
    else:
        dW = (x[..., :, None] * dz[..., None, :] * C).sum(axis=-3)  # one outer product for each example
    dW = np.divide(dW, cache.scale, out=dW_out)  # (..., d_in, d_out)
    db = dz.sum(axis=-2, out=db_out)  # (..., d_out)
    if not need_dx:
        return None, dW, db
    if W_kept.shape[-3] == 1:
        return dz @ W_kept[..., 0, :, :].mT, dW, db  # (..., N, d_out) @ (..., d_out, d_in)
    return (W_kept @ dz[..., :, None])[..., 0], dW, db  # (..., N, d_in, d_out) @ (..., N, d_out, 1)


def _check_unit_mask(h: np.ndarray, unit_mask: np.ndarray) -> None:
    check_precision(h=h, unit_mask=unit_mask)
    if unit_mask.ndim < 2 or unit_mask.shape[-1] != h.shape[-1] or unit_mask.shape[-2] not in (1, h.shape[-2]):
        raise ValueError(
            f"unit_mask {unit_mask.shape} must be (..., N, d) like h {h.shape}, or (..., 1, d) for one mask shared by the batch"
        )
