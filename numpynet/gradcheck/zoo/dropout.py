"""Bugs of dropout: rows 9 to 14 and 18 of the table. Right is dh = D * dy / q with the D of the forward.   Equation (B3)

Each is planted twice: in dropout as a layer of its own, and inside the linear layer, where it shows in dx.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpynet.gradcheck.layers import REFERENCE, Layers
from numpynet.gradcheck.zoo.bug import Bug

Formula = Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # (dy or h), D, q


def _backward(formula: Formula) -> Callable[[], Layers]:
    """Return a factory that plants dh = formula(dy, D, q)."""

    def plant() -> Layers:
        def forward(h, unit_mask, keep_prob):
            return h * unit_mask / keep_prob, (unit_mask, keep_prob)

        def backward(dy, cache):
            return formula(dy, *cache)

        return REFERENCE._replace(dropout_forward=forward, dropout_backward=backward)

    return plant


def _linear_backward(formula: Formula) -> Callable[[], Layers]:
    """Return a factory that plants dx = formula(dy W_kept^T, D, q) in the linear layer."""

    def plant() -> Layers:
        def linear_backward(dy, cache):
            dx, dW, db = REFERENCE.linear_backward(dy, cache)
            if cache.unit_mask is not None:
                dx = formula(dy @ cache.W_kept.mT, cache.unit_mask, cache.keep_prob)
            return dx, dW, db

        return REFERENCE._replace(linear_backward=linear_backward)

    return plant


def _forward(formula: Formula) -> Callable[[], Layers]:
    """Return a factory that plants y = formula(h, D, q); backward is right for the true dropout."""

    def plant() -> Layers:
        def forward(h, unit_mask, keep_prob):
            _, cache = REFERENCE.dropout_forward(h, unit_mask, keep_prob)
            return formula(h, unit_mask, keep_prob), cache

        return REFERENCE._replace(dropout_forward=forward)

    return plant


def fresh_mask(rng: np.random.Generator) -> Formula:
    """Return dropout with a mask of its own, whatever mask it is given.

    Parameters
    ----------
    rng : draws the mask, a new one in every call

    Returns
    -------
    function: dy, D, q -> array in the shape of dy

    Examples
    --------
    >>> own = fresh_mask(np.random.default_rng(0))
    >>> own(np.ones((2, 3)), np.ones((2, 3)), 0.5)                                     # never mind the mask of ones
    array([[0., 2., 2.],
           [2., 0., 0.]])
    """
    return lambda dy, D, q: dy * (rng.random(dy.shape) < q).astype(dy.real.dtype) / q


BACKWARD = (
    (
        "9",
        "1/keep_prob missing in backward",
        "the 1/keep_prob scale is missing in backward (forward multiplies by mask / keep_prob)",
        "q times the right value at the kept units",
        lambda dy, D, q: D * dy,
    ),
    (
        "10",
        "multiplied by keep_prob in backward",
        "backward multiplies by keep_prob where it should divide",
        "q^2 times the right value",
        lambda dy, D, q: q * D * dy,
    ),
    (
        "11",
        "scaled twice in backward",
        "backward divides by keep_prob twice (the forward divides once)",
        "1/q times the right value",
        lambda dy, D, q: D * dy / q**2,
    ),
    (
        "12",
        "keep and drop swapped in backward",
        "keep and drop are swapped: backward divides by 1 - keep_prob",
        "q/(1-q) times the right value; invisible at keep_prob 0.5",
        lambda dy, D, q: D * dy / (1 - q),
    ),
    (
        "13",
        "mask not applied in backward",
        "the unit mask is not applied in backward: dropped units receive a gradient",
        "spurious exactly where the mask is 0, constant ratio elsewhere",
        lambda dy, D, q: dy / q,
    ),
    (
        "18b",
        "unit mask inverted in backward",
        "the unit mask is inverted in backward: the dropped units receive the gradient, the kept ones nothing",
        "the support is the complement",
        lambda dy, D, q: (1 - D) * dy / q,
    ),
)

FORWARD = (
    (
        "f9",
        "1/keep_prob missing in forward",
        "the forward pass does not divide the kept units by keep_prob",
        "outputs are q times the right value",
        lambda h, D, q: D * h,
    ),
    (
        "f10",
        "multiplied by keep_prob in forward",
        "the forward pass multiplies the kept units by keep_prob where it should divide",
        "outputs are q^2 times the right value",
        lambda h, D, q: q * D * h,
    ),
    (
        "f11",
        "scaled twice in forward",
        "the forward pass divides by keep_prob twice",
        "outputs are 1/q times the right value",
        lambda h, D, q: D * h / q**2,
    ),
    (
        "f12",
        "keep and drop swapped in forward",
        "keep and drop are swapped: the forward pass divides by 1 - keep_prob",
        "outputs are q/(1-q) times the right value",
        lambda h, D, q: D * h / (1 - q),
    ),
    (
        "f13",
        "mask not applied in forward",
        "the unit mask is not applied in the forward pass: nothing is dropped",
        "outputs are not 0 where the mask is",
        lambda h, D, q: h / q,
    ),
    (
        "f18",
        "unit mask inverted in forward",
        "the unit mask is inverted in the forward pass: it drops what it should keep",
        "the support is the complement",
        lambda h, D, q: (1 - D) * h / q,
    ),
)

DROPOUT_BUGS = (
    *(Bug(id, name, text, sign, "dropout", _backward(formula)) for id, name, text, sign, formula in BACKWARD),
    *(
        Bug(f"{id}-linear", f"{name} (linear layer)", text, sign, "linear", _linear_backward(formula), id)
        for id, name, text, sign, formula in BACKWARD
    ),
    *(Bug(id, name, text, sign, "dropout", _forward(formula)) for id, name, text, sign, formula in FORWARD),
    Bug(
        "13-lost",
        "neither mask nor scale in backward",
        BACKWARD[4][2],
        "as 13, with ratio q",
        "dropout",
        _backward(lambda dy, D, q: 1.0 * dy),
        "13",
    ),
    Bug(
        "14a",
        "fresh mask in backward",
        "backward draws a mask of its own; it must use the mask of the forward pass",
        "spurious and missing entries; two calls differ",
        "dropout",
        # Seeded: two unseeded masks are equal now and then, and then there would be nothing to see.
        lambda: _backward(fresh_mask(np.random.default_rng(0)))(),
    ),
    Bug(
        "14b",
        "forward draws its own mask",
        "the forward pass is not repeatable: it draws its own mask instead of using the one it is given",
        "two calls differ; the numeric gradient is of order 1/h",
        "dropout",
        lambda: _forward(fresh_mask(np.random.default_rng(0)))(),
    ),
)
