"""Bugs of the loss gradient: rows 1 to 8 of the table. Right is dloss * (P - Y) / N.   Equation (B2)"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpynet.equations import log_softmax, softmax
from numpynet.gradcheck.layers import REFERENCE, Layers
from numpynet.gradcheck.zoo.bug import Bug


def _loss_gradient(formula: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[], Layers]:
    """Return a factory that plants dlogits = dloss * formula(logits, Y)."""

    def plant() -> Layers:
        def forward(logits, labels):
            loss, _ = REFERENCE.softmax_cross_entropy_forward(logits, labels)
            return loss, (logits, labels)

        def backward(dloss, cache):
            logits, labels = cache
            Y = np.eye(logits.shape[-1], dtype=logits.dtype)[labels]  # (N, K), one-hot
            return dloss * formula(logits, Y)

        return REFERENCE._replace(softmax_cross_entropy_forward=forward, softmax_cross_entropy_backward=backward)

    return plant


def _jacobian_twice(logits: np.ndarray, Y: np.ndarray) -> np.ndarray:
    P = softmax(logits)
    g = (P - Y) / len(Y)
    return P * (g - (g * P).sum(axis=-1, keepdims=True))


LOSS_BUGS = tuple(
    Bug(id, name, explanation, signature, "softmax_cross_entropy", _loss_gradient(formula))
    for id, name, explanation, signature, formula in (
        (
            "1",
            "1/N missing",
            "the loss gradient is not divided by the number of examples N (the loss is a mean, so its gradient is one)",
            "N times too large, rows still sum to 0",
            lambda Z, Y: softmax(Z) - Y,
        ),
        (
            "2a",
            "divided by N twice",
            "the loss gradient is divided by N twice (the loss owns the one 1/N; layers only sum)",
            "1/N of the right value",
            lambda Z, Y: (softmax(Z) - Y) / len(Y) ** 2,
        ),
        (
            "3",
            "mean over all N*K entries",
            "the mean is taken over all N*K entries instead of the N examples (np.mean without an axis?)",
            "1/K of the right value",
            lambda Z, Y: (softmax(Z) - Y) / Y.size,
        ),
        (
            "4",
            "wrong sign",
            "the sign is reversed (Y - P instead of P - Y, or a minus lost on the way)",
            "-1 times the right value",
            lambda Z, Y: (Y - softmax(Z)) / len(Y),
        ),
        (
            "5b",
            "factor 2",
            "everything is counted twice: 2 (P - Y) / N, the habit of a squared error, or backward called twice",
            "2 times the right value",
            lambda Z, Y: 2 * (softmax(Z) - Y) / len(Y),
        ),
        (
            "6",
            "one-hot labels not subtracted",
            "the one-hot labels are not subtracted: the gradient is P / N instead of (P - Y) / N",
            "only the N label entries are wrong; rows sum to 1/N",
            lambda Z, Y: softmax(Z) / len(Y),
        ),
        (
            "7",
            "softmax Jacobian applied twice",
            "the softmax Jacobian is applied to P - Y as well, which contains it already",
            "rows still sum to 0; no constant ratio",
            _jacobian_twice,
        ),
        (
            "8a",
            "extra P (1 - P)",
            "an extra factor P (1 - P), the slope of a sigmoid, stands in the gradient; P - Y contains the slope already",
            "rows do not sum to 0; no constant ratio",
            lambda Z, Y: (softmax(Z) - Y) * softmax(Z) * (1 - softmax(Z)) / len(Y),
        ),
        (
            "8b",
            "softmax over the batch",
            "the softmax of the backward pass runs over the batch (axis 0) instead of the classes (axis -1)",
            "columns sum to the right value, rows do not sum to 0",
            lambda Z, Y: (softmax(Z.T).T - Y) / len(Y),
        ),
        (
            "8c",
            "log-probabilities for probabilities",
            "log-probabilities or logits stand where probabilities belong: (log P - Y) / N or (Z - Y) / N",
            "rows do not sum to 0",
            lambda Z, Y: (log_softmax(Z) - Y) / len(Y),
        ),
        (
            "8d",
            "stops before the softmax",
            "this is the gradient with respect to the probabilities, -Y / P; the softmax is not differentiated",
            "0 except at the labels",
            lambda Z, Y: -Y / softmax(Z) / len(Y),
        ),
    )
)
