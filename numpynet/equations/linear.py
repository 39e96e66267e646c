"""The masked linear layer: one equation for dropout and for pruning.

A unit mask D says which inputs of the layer take part, example by example; a weight mask M says which weights exist.
Dropout draws D afresh for every example, a lottery ticket fixes M for a whole training; the layer does not care:

    Z = (D * x / q) @ (M * W) + b

Masks are constants here, binary, and handed in. Nothing below draws, and nothing remembers. Evaluation is
``unit_mask=None``; a dense net is ``weight_mask=None``. The last two axes are (batch, units) for activations and
(d_in, d_out) for weights; whatever stands before them broadcasts, so a stack of networks is one call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.checks import check_keep_prob, check_keep_prob_fits, check_layer, check_precision


class LinearCache(NamedTuple):
    """What the backward pass needs, exactly as the forward pass used it."""

    x: np.ndarray  # (..., N, d_in)      H, the input as it came
    W: np.ndarray  # (..., d_in, d_out)  W, the weights as they came
    x_kept: np.ndarray  # (..., N, d_in)      D * x / q
    W_kept: np.ndarray  # (..., d_in, d_out)  M * W
    unit_mask: np.ndarray | None  # (..., N, d_in)      D, binary
    keep_prob: float | np.ndarray  #                     q
    weight_mask: np.ndarray | None  # (..., d_in, d_out)  M, binary


def linear_forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    *,
    unit_mask: np.ndarray | None = None,
    keep_prob: float | np.ndarray = 1.0,
    weight_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, LinearCache]:
    """Compute y = (D * x / q) (M * W) + b.   Equation (B1)

    Parameters
    ----------
    x : (..., N, d_in) input, N examples
    W : (..., d_in, d_out) weights
    b : (..., d_out) biases; they carry no mask
    unit_mask : (..., N, d_in) binary, or None for no dropout; (..., 1, d_in) is one mask shared by the batch
    keep_prob : q in (0, 1], a number or one for each of d_in units. It scales only where there is a unit mask.
        Dividing by it here, in training, keeps the mean of y, so evaluation rescales nothing ("inverted" dropout).
    weight_mask : (..., d_in, d_out) binary, or None for a dense layer. There is no rescaling by the density: a pruned
        layer is a layer that stores zeros (Equation (M15)).

    Returns
    -------
    y : (..., N, d_out), in the dtype of x
    cache : LinearCache, for ``linear_backward``

    Raises
    ------
    ValueError
        Shapes do not fit, or keep_prob is outside (0, 1].
    TypeError
        The arrays are not floating, or of different precision.

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> y, cache = linear_forward(x, W, b, unit_mask=np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> y                                   # 2 / 0.8 * 10 + 0.5
    array([[25.5]])
    """
    keep_prob = check_keep_prob(keep_prob)
    check_precision(x=x, W=W, b=b, unit_mask=unit_mask, keep_prob=keep_prob, weight_mask=weight_mask)
    check_layer(x, W, b)
    check_keep_prob_fits(keep_prob, x.shape[-1])
    _check_mask_shapes(x, W, unit_mask, weight_mask)
    x_kept = x if unit_mask is None else _divided(x * unit_mask, keep_prob)  # (..., N, d_in)
    W_kept = W if weight_mask is None else W * weight_mask  # (..., d_in, d_out)
    y = x_kept @ W_kept  # (..., N, d_in) @ (..., d_in, d_out)
    b_row = b[..., None, :]  # (..., 1, d_out)
    y = np.add(y, b_row, out=y if _keeps_form(y, b_row) else None)  # (..., N, d_out)
    return y, LinearCache(x, W, x_kept, W_kept, unit_mask, keep_prob, weight_mask)


def linear_backward(
    dy: np.ndarray,
    cache: LinearCache,
    *,
    need_dx: bool = True,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return dx = D * (dy (M*W)^T) / q, dW = M * (x_kept^T dy) and db = sum over n of dy.   Equations (B3), (B5), (B6)

    The same D, the same q and the same M as on the way forward: they travel in the cache, so no other can come in.

    Parameters
    ----------
    dy : (..., N, d_out) upstream gradient dL/dy
    cache : the cache of ``linear_forward``
    need_dx : False for the first layer, whose dx nobody reads; it would cost about a quarter of the step
    out : (dW, db) arrays to write into, or None for new ones

    Returns
    -------
    dx : (..., N, d_in), or None
    dW : (..., d_in, d_out), exactly 0 where the weight mask is 0
    db : (..., d_out), a sum: the loss owns 1/N

    Raises
    ------
    ValueError
        dy has not the shape of the output.

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> y, cache = linear_forward(x, W, b, unit_mask=np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> dx, dW, db = linear_backward(np.array([[3.0]]), cache)
    >>> dx.tolist(), dW.tolist(), db.tolist()
    ([[0.0, 37.5]], [[0.0], [7.5]], [3.0])
    """
    _check_upstream(dy, cache)
    dW_out, db_out = (None, None) if out is None else out
    dW = _over_examples(cache.x_kept, dy, out=dW_out)  # (..., d_in, d_out)
    if cache.weight_mask is not None:
        dW = np.multiply(dW, cache.weight_mask, out=dW_out)  # (..., d_in, d_out)
    db = dy.sum(axis=-2, out=db_out)  # (..., d_out)
    if not need_dx:
        return None, dW, db
    dx = dy @ cache.W_kept.mT  # (..., N, d_out) @ (..., d_out, d_in)
    if cache.unit_mask is not None:
        dx = np.multiply(dx, cache.unit_mask, out=dx if _keeps_form(dx, cache.unit_mask) else None)  # (..., N, d_in)
        dx = _divided(dx, cache.keep_prob)  # (..., N, d_in)
    return dx, dW, db


def dense_gradient(dy: np.ndarray, cache: LinearCache) -> np.ndarray:
    """Return G = x_kept^T dy, the gradient with respect to the effective weight M * W.   Equation (B22)

    It is generally not 0 where the mask is: it says how much a pruned weight is missed. dW is M * G.

    Parameters
    ----------
    dy : (..., N, d_out) upstream gradient dL/dy
    cache : that of ``linear_forward``

    Returns
    -------
    G : (..., d_in, d_out)

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> y, cache = linear_forward(x, W, b, weight_mask=np.array([[0.0], [1.0]]))
    >>> dense_gradient(np.array([[3.0]]), cache).tolist()
    [[3.0], [6.0]]
    """
    _check_upstream(dy, cache)
    return _over_examples(cache.x_kept, dy)  # (..., d_in, d_out)


def mask_gradients(dy: np.ndarray, cache: LinearCache) -> tuple[np.ndarray, np.ndarray]:
    """Return dL/dM = G * W and dL/dD = (dy (M*W)^T) * x / q, as if masks were real numbers.   Equation (B23)

    The first is what SNIP and supermasks use; the second is the first-order cost of dropping a unit.

    Parameters
    ----------
    dy : (..., N, d_out) upstream gradient
    cache : the cache of ``linear_forward``; without a unit mask the scale is 1, as in the forward pass

    Returns
    -------
    d_weight_mask : (..., d_in, d_out)
    d_unit_mask : (..., N, d_in), one row for each example even where the mask was shared by the batch

    Examples
    --------
    >>> x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5])
    >>> y, cache = linear_forward(x, W, b, unit_mask=np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> d_weight_mask, d_unit_mask = mask_gradients(np.array([[3.0]]), cache)
    >>> d_weight_mask.tolist(), d_unit_mask.tolist()
    ([[0.0], [75.0]], [[3.75, 75.0]])
    """
    d_weight_mask = dense_gradient(dy, cache) * cache.W  # (..., d_in, d_out)
    dx_kept = dy @ cache.W_kept.mT  # (..., N, d_in)
    scale = 1.0 if cache.unit_mask is None else cache.keep_prob
    return d_weight_mask, dx_kept * cache.x / scale


def _over_examples(x: np.ndarray, dy: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """x^T dy, the sum over n of the outer products of x_n and dy_n: a gradient with respect to weights."""
    # For one example there is nothing to sum, and NumPy makes the outer product faster by broadcasting.
    if dy.shape[-2] == 1 and (out is None or out.shape[-2:] == (x.shape[-1], dy.shape[-1])):
        return np.multiply(x.mT, dy, out=out)  # (..., d_in, 1) * (..., 1, d_out)
    return np.matmul(x.mT, dy, out=out)  # (..., d_in, N) @ (..., N, d_out)


def _keeps_form(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether own * other or own + other has the shape and dtype of own, an array of ours that may then be written over."""
    return own.dtype == other.dtype and np.broadcast(own, other).shape == own.shape


def _divided(own: np.ndarray, keep_prob: float | np.ndarray) -> np.ndarray:
    """own / q, written over own, an array of ours, unless q is an array: that may be complex in a derivative check."""
    return np.divide(own, keep_prob, out=own if isinstance(keep_prob, float) else None)


def _check_upstream(dy: np.ndarray, cache: LinearCache) -> None:
    if dy.shape[-2:] != (cache.x_kept.shape[-2], cache.W_kept.shape[-1]):
        raise ValueError(
            f"dy has shape {dy.shape}, but that of the output is needed: "
            f"(..., {cache.x_kept.shape[-2]}, {cache.W_kept.shape[-1]})"
        )


def _check_mask_shapes(
    x: np.ndarray, W: np.ndarray, unit_mask: np.ndarray | None, weight_mask: np.ndarray | None
) -> None:
    if unit_mask is not None and (
        unit_mask.ndim < 2 or unit_mask.shape[-1] != x.shape[-1] or unit_mask.shape[-2] not in (1, x.shape[-2])
    ):
        raise ValueError(
            f"unit_mask {unit_mask.shape} must be (..., N, d_in) like x {x.shape}, or (..., 1, d_in) for one mask "
            "shared by the batch"
        )
    if weight_mask is not None and (weight_mask.ndim < 2 or weight_mask.shape[-2:] != W.shape[-2:]):
        raise ValueError(f"weight_mask {weight_mask.shape} must have the shape of W {W.shape}")
