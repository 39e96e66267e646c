"""Bugs of the masked linear layer: rows 2, 5, 15 to 19 and 21 to 23 of the table.   Equations (B3), (B5), (B6)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpynet.gradcheck.layers import REFERENCE, Layers
from numpynet.gradcheck.zoo.bug import Bug


def _replacing(which: int, formula: Callable[..., np.ndarray]) -> Callable[[], Layers]:
    """Return a factory whose linear_backward computes one of (dx, dW, db) by formula(dy, cache)."""

    def plant() -> Layers:
        def linear_backward(dy, cache):
            gradients = list(REFERENCE.linear_backward(dy, cache))
            gradients[which] = formula(dy, cache)
            return tuple(gradients)

        return REFERENCE._replace(linear_backward=linear_backward)

    return plant


def _masked(x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return x if mask is None else x * mask


def _through_dropout(dx: np.ndarray, cache: Any) -> np.ndarray:
    return dx if cache.unit_mask is None else dx * cache.unit_mask / cache.keep_prob


def _forward_ignores_weight_mask() -> Layers:
    def linear_forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
        y, _ = REFERENCE.linear_forward(x, W, b, unit_mask=unit_mask, keep_prob=keep_prob)
        _, cache = REFERENCE.linear_forward(x, W, b, unit_mask=unit_mask, keep_prob=keep_prob, weight_mask=weight_mask)
        return y, cache

    return REFERENCE._replace(linear_forward=linear_forward)


def _accumulating() -> Layers:
    totals: list[np.ndarray] = []

    def linear_backward(dy, cache):
        gradients = REFERENCE.linear_backward(dy, cache)
        if not totals:
            totals.extend(np.zeros_like(g) for g in gradients)
        for total, g in zip(totals, gradients):
            total += g
        return tuple(total.copy() for total in totals)

    return REFERENCE._replace(linear_backward=linear_backward)


def _last_example_only(dy: np.ndarray, cache: Any) -> np.ndarray:
    for n in range(len(dy)):
        dW = np.outer(cache.x_kept[n], dy[n])  # = where += belongs
    return _masked(dW, cache.weight_mask)


_DX, _DW, _DB = 0, 1, 2

_SINGLE = tuple(
    Bug(id, name, explanation, signature, "linear", plant)
    for id, name, explanation, signature, plant in (
        (
            "2b",
            "bias gradient as a mean",
            "the bias gradient is a mean over the batch; layers sum, because the loss has divided by N already",
            "db is 1/N of the right value, dW and dx are right",
            _replacing(_DB, lambda dy, cache: dy.mean(axis=-2)),
        ),
        (
            "5a",
            "gradients accumulated and not cleared",
            "gradients are accumulated from call to call and not cleared: the second call gives twice the first",
            "2 times the right value on the second call",
            _accumulating,
        ),
        (
            "15",
            "weight mask missing on dW",
            "the weight mask is not applied to dW: pruned weights receive a gradient",
            "spurious exactly at the pruned entries, ratio 1 elsewhere",
            _replacing(_DW, lambda dy, cache: cache.x_kept.mT @ dy),
        ),
        (
            "16",
            "forward ignores the weight mask",
            "the forward pass ignores the weight mask: pruned weights take part in the output",
            "the numeric gradient is dense, the analytic one is not",
            _forward_ignores_weight_mask,
        ),
        (
            "17",
            "dx through the unmasked W",
            "dx goes back through W instead of M * W, so pruned weights carry gradient upstream",
            "full support; dW of this layer is right",
            _replacing(_DX, lambda dy, cache: _through_dropout(dy @ cache.W.mT, cache)),
        ),
        (
            "18a",
            "weight mask inverted on dW",
            "the weight mask is inverted on dW: only pruned weights receive a gradient",
            "the support is the complement",
            _replacing(_DW, lambda dy, cache: _masked(cache.x_kept.mT @ dy, 1 - cache.weight_mask)),
        ),
        (
            "19",
            "transpose forgotten in dx",
            "a transpose is forgotten (dx needs W^T, dW needs x^T; the product in the wrong order gives the transpose)",
            "a shape error, unless the layer is square",
            _replacing(_DX, lambda dy, cache: _through_dropout(dy @ cache.W_kept, cache)),
        ),
        (
            "21a",
            "dW from the input before dropout",
            "dW is built from the input before dropout, x, instead of D * x / q",
            "only dW is wrong; db and dx are right",
            _replacing(_DW, lambda dy, cache: _masked(cache.x.mT @ dy, cache.weight_mask)),
        ),
        (
            "22a",
            "db from the first example only",
            "the bias gradient is that of the first example, not the sum over the batch",
            "db has the right shape and wrong values",
            _replacing(_DB, lambda dy, cache: 1.0 * dy[0]),
        ),
        (
            "22b",
            "db with keepdims",
            "the bias gradient keeps the batch axis (keepdims=True): shape (1, d_out) instead of (d_out,)",
            "db has an extra axis",
            _replacing(_DB, lambda dy, cache: dy.sum(axis=-2, keepdims=True)),
        ),
        (
            "22c",
            "db not summed",
            "the bias gradient is not summed over the batch: it is dy itself",
            "db has the shape of dy",
            _replacing(_DB, lambda dy, cache: 1.0 * dy),
        ),
        (
            "23",
            "only one example counts",
            "only one example of the batch reaches the gradient (= for += in a loop?)",
            "full support, wrong values",
            _replacing(_DW, _last_example_only),
        ),
    )
)

LINEAR_BUGS = (
    *_SINGLE,
    Bug(
        "19-dW",
        "transpose forgotten in dW",
        "dW is dy^T x where it should be x^T dy",
        "dW has the shape of W^T",
        "linear",
        _replacing(_DW, lambda dy, cache: _masked(dy.mT @ cache.x_kept, cache.weight_mask.mT)),
        "19",
    ),
)
