"""Bugs against the contract itself: rows 25 to 28 of the table, what comes back and what is left behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpynet.gradcheck.layers import REFERENCE, Layers
from numpynet.gradcheck.zoo.bug import Bug


def _backward(wrap: Callable) -> Callable[[], Layers]:
    """Return a factory whose linear_backward is wrap(dy, cache)."""
    return lambda: REFERENCE._replace(linear_backward=wrap)


def _upstream_ignored() -> Layers:
    def relu_backward(dh, cache):
        return cache.z_positive.astype(dh.dtype)

    return REFERENCE._replace(relu_backward=relu_backward)


def _edits_x() -> Layers:
    def linear_forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
        if unit_mask is not None:
            x *= unit_mask / keep_prob
        y, cache = REFERENCE.linear_forward(x, W, b, weight_mask=weight_mask)
        return y, cache._replace(unit_mask=unit_mask, keep_prob=keep_prob)

    return REFERENCE._replace(linear_forward=linear_forward)


def _edits_dy() -> Layers:
    def relu_backward(dh, cache):
        dh[~cache.z_positive] = 0
        return dh * 1

    return REFERENCE._replace(relu_backward=relu_backward)


def _edits_cache() -> Layers:
    def relu_forward(z):
        h, cache = REFERENCE.relu_forward(z)
        return h, [cache.z_positive.astype(z.real.dtype)]

    def relu_backward(dh, cache):
        gate = cache[0]
        gate *= dh
        return gate.copy()

    return REFERENCE._replace(relu_forward=relu_forward, relu_backward=relu_backward)


def _float32_inside(dy: np.ndarray, cache: object) -> tuple[np.ndarray, ...]:
    narrow = cache._replace(x_kept=cache.x_kept.astype(np.float32))
    dx, dW, db = REFERENCE.linear_backward(dy.astype(np.float32), narrow)
    return tuple(g.astype(dy.dtype) for g in (dx, dW, db))


def _integers_inside(dy: np.ndarray, cache: object) -> tuple[np.ndarray, ...]:
    dx, dW, db = REFERENCE.linear_backward(dy, cache)
    buffer = np.zeros(dW.shape, dtype=int)
    buffer[...] = dW
    return dx, buffer.astype(dW.dtype), db


def _wrong_order(dy: np.ndarray, cache: object) -> tuple[np.ndarray, ...]:
    dx, dW, db = REFERENCE.linear_backward(dy, cache)
    return dW, dx, db


def _weights_for_gradient(dy: np.ndarray, cache: object) -> tuple[np.ndarray, ...]:
    dx, _, db = REFERENCE.linear_backward(dy, cache)
    return dx, cache.W, db  # the slip: W where dW is meant


CONTRACT_BUGS = (
    Bug(
        "25",
        "upstream gradient ignored",
        "the upstream gradient is ignored: backward returns the derivative alone",
        "a zero upstream gradient gives a non-zero result",
        "relu",
        _upstream_ignored,
    ),
    Bug(
        "26a",
        "input edited in place",
        "an input of the forward pass is edited in place (x *= ..., x[...] = ...)",
        "arrays differ before and after the call",
        "linear",
        _edits_x,
    ),
    Bug(
        "26b",
        "dy edited in place",
        "backward edits the upstream gradient in place (dy *= ..., dy[...] = 0); the layer above still owns it",
        "arrays differ before and after the call",
        "relu",
        _edits_dy,
    ),
    Bug(
        "26c",
        "cache edited in place",
        "backward edits its cache in place, so a second call gives something else",
        "arrays differ before and after the call",
        "relu",
        _edits_cache,
    ),
    Bug(
        "27a",
        "float32 inside",
        "somewhere inside the numbers are float32: all entries are right to seven digits only",
        "ratio 1 with a residual of 1e-8 to 1e-7",
        "linear",
        _backward(_float32_inside),
    ),
    Bug(
        "27b",
        "integers inside",
        "somewhere inside the numbers are integers (a buffer made with dtype=int?): fractions are cut off",
        "whole numbers",
        "linear",
        _backward(_integers_inside),
    ),
    Bug(
        "28a",
        "returns None",
        "a function of this layer returns None (is the return statement missing?)",
        "no array at all",
        "linear",
        _backward(lambda dy, cache: None),
    ),
    Bug(
        "28b",
        "gradients in the wrong order",
        "the gradients come back in the wrong order; they belong in the order of the forward's arguments",
        "each array equals another gradient of the same call",
        "linear",
        _backward(_wrong_order),
    ),
    Bug(
        "28c",
        "gradient shares memory",
        "a returned gradient is a view of an input, of a parameter or of dy: who changes one changes both",
        "np.shares_memory",
        "linear",
        _backward(_weights_for_gradient),
    ),
)
