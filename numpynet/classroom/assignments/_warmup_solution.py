"""The solution of the warm-up."""

import numpy as np


def linear_forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
    """(D * x / q) @ (M * W) + b.   Equation (B1)

    Examples
    --------
    >>> linear_forward(np.ones((1, 2)), np.ones((2, 1)), np.zeros(1))[0]
    array([[2.]])
    """
    dropped = x if unit_mask is None else x * unit_mask / keep_prob
    masked = W if weight_mask is None else W * weight_mask
    return dropped @ masked + b, (dropped, masked, unit_mask, keep_prob, weight_mask)


def linear_backward(dy, cache):
    """The gradients with respect to x, W and b.   Equations (B3), (B5), (B6)

    Examples
    --------
    >>> y, cache = linear_forward(np.ones((1, 2)), np.ones((2, 1)), np.zeros(1))
    >>> linear_backward(np.ones((1, 1)), cache)[2]
    array([1.])
    """
    dropped, masked, unit_mask, keep_prob, weight_mask = cache
    dx = dy @ masked.T
    if unit_mask is not None:
        dx = dx * unit_mask / keep_prob
    dW = dropped.T @ dy
    if weight_mask is not None:
        dW = dW * weight_mask
    return dx, dW, np.sum(dy, axis=0)


def dropout_forward(h, *, unit_mask, keep_prob):
    """D * h / q.   Equation (D1)

    Examples
    --------
    >>> dropout_forward(np.ones(2), unit_mask=np.array([0.0, 1.0]), keep_prob=0.8)[0]
    array([0.  , 1.25])
    """
    return h * unit_mask / keep_prob, (unit_mask, keep_prob)


def dropout_backward(dy, cache):
    """D * dy / q.   Equation (B3)

    Examples
    --------
    >>> dropout_backward(np.ones(2), (np.array([0.0, 1.0]), 0.8))
    array([0.  , 1.25])
    """
    unit_mask, keep_prob = cache
    return dy * unit_mask / keep_prob
