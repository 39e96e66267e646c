"""Every forward and backward pair of the ground floor, with the arguments that a ``Draw`` stands for.

``PAIRS`` is what the general tests run over: gradients, purity, dtypes, reentrancy. A new pair is added here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from numpynet.equations.activations import Activation, identity, leaky_relu, leaky_relu_forward, relu, sigmoid, tanh
from numpynet.equations.dropout import (
    dropconnect_backward,
    dropconnect_forward,
    inverted_dropout_backward,
    inverted_dropout_forward,
    standard_dropout_backward,
    standard_dropout_forward,
)
from numpynet.equations.linear import dense_gradient, linear_backward, linear_forward, mask_gradients
from numpynet.equations.losses import (
    l2_penalty_backward,
    l2_penalty_forward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    squared_error_backward,
    squared_error_forward,
)
from tests.checks import Arguments, Pair
from tests.strategies import Draw, binary, labels_of

R = 2  # replicates of the stacked cases


class Case(NamedTuple):
    """A pair, and how the arguments of its forward pass are drawn (float64)."""

    pair: Pair
    arguments: Callable[[Draw], Arguments]


# ---- the linear layer ------------------------------------------------------------------------------------------------


def linear_gradients(dy: np.ndarray, cache: Any) -> dict[str, np.ndarray]:
    """All five gradients of the masked linear layer; those of a mask only where there was one."""
    gradients = dict(zip(("x", "W", "b"), linear_backward(dy, cache), strict=True))
    d_weight_mask, d_unit_mask = mask_gradients(dy, cache)
    if cache.weight_mask is not None:
        gradients["weight_mask"] = d_weight_mask
    if cache.unit_mask is not None:
        gradients["unit_mask"] = d_unit_mask
    return gradients


def effective_weight_forward(W_kept: np.ndarray, x: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """The layer as a function of M * W itself, whose gradient is the dense one."""
    return linear_forward(x, W_kept, b)


linear = Pair(linear_forward, linear_gradients)
effective_weight = Pair(effective_weight_forward, lambda dy, cache: {"W_kept": dense_gradient(dy, cache)})


def dense(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    rng = draw.rng()
    return {
        "x": rng.normal(size=(*lead, draw.N, draw.d_in)),
        "W": rng.normal(size=(*lead, draw.d_in, draw.d_out)),
        "b": rng.normal(size=(*lead, draw.d_out)),
    }


def masked(draw: Draw, lead: tuple[int, ...] = (), shared: bool = False, per_unit: bool = False) -> Arguments:
    rng = draw.rng(1)
    rows = 1 if shared else draw.N
    return dense(draw, lead) | {
        "unit_mask": binary(rng, (*lead, rows, draw.d_in), draw.keep_prob),
        "keep_prob": rng.uniform(0.2, 1.0, size=draw.d_in) if per_unit else draw.keep_prob,
        "weight_mask": binary(rng, (*lead, draw.d_in, draw.d_out), draw.density),
    }


def only(names: str, arguments: Callable[..., Arguments], **options: Any) -> Callable[[Draw], Arguments]:
    return lambda draw: {name: value for name, value in arguments(draw, **options).items() if name in names.split()}


def effective(draw: Draw) -> Arguments:
    arguments = masked(draw)
    return {"x": arguments["x"], "b": arguments["b"], "W_kept": arguments["W"] * arguments["weight_mask"]}


def one_of_the_two_stacked(draw: Draw) -> Arguments:
    """Replicates of the weights over one shared batch, and replicates of the unit mask over shared weights."""
    stacked, plain = masked(draw, (R,)), masked(draw)
    return plain | {name: stacked[name] for name in ("W", "b", "unit_mask")}


# ---- activations and losses ------------------------------------------------------------------------------------------


def activation_pair(activation: Activation) -> Pair:
    return Pair(activation.forward, lambda dh, cache: {"z": activation.backward(dh, cache)})


def leaky_forward(z: np.ndarray) -> tuple[np.ndarray, Any]:
    return leaky_relu_forward(z, leak=0.3)


def pre_activations(draw: Draw) -> Arguments:
    return {"z": 2 * draw.rng().normal(size=(draw.N, draw.d_out))}


def softmax_forward(logits: np.ndarray) -> tuple[np.ndarray, Any]:
    probabilities = softmax(logits)
    return probabilities, probabilities


def log_softmax_forward(logits: np.ndarray) -> tuple[np.ndarray, Any]:
    log_p = log_softmax(logits)
    return log_p, log_p


def logits_only(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    return {"logits": 2 * draw.rng().normal(size=(*lead, draw.N, draw.d_out))}


def with_labels(draw: Draw, lead: tuple[int, ...] = (), shared: bool = False) -> Arguments:
    shape = (draw.N,) if shared else (*lead, draw.N)
    return logits_only(draw, lead) | {"labels": labels_of(draw.rng(1), shape, draw.d_out)}


def with_targets(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    rng = draw.rng()
    return {
        "outputs": rng.normal(size=(*lead, draw.N, draw.d_out)),
        "targets": rng.normal(size=(draw.N, draw.d_out)),
    }


def penalised(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    arguments = masked(draw, lead)
    return {"W": arguments["W"], "weight_mask": arguments["weight_mask"], "weight_decay": 0.3}


cross_entropy = Pair(
    softmax_cross_entropy_forward, lambda dy, cache: {"logits": softmax_cross_entropy_backward(dy, cache)}, axes=0
)
squared = Pair(squared_error_forward, lambda dy, cache: {"outputs": squared_error_backward(dy, cache)}, axes=0)
l2 = Pair(l2_penalty_forward, lambda dy, cache: {"W": l2_penalty_backward(dy, cache)}, axes=0)


# ---- dropout ---------------------------------------------------------------------------------------------------------

inverted_dropout = Pair(inverted_dropout_forward, lambda dy, cache: {"h": inverted_dropout_backward(dy, cache)})
standard_dropout = Pair(standard_dropout_forward, lambda dy, cache: {"h": standard_dropout_backward(dy, cache)})
dropconnect = Pair(
    dropconnect_forward, lambda dy, cache: dict(zip(("x", "W", "b"), dropconnect_backward(dy, cache), strict=True))
)


def dropped(draw: Draw, shared: bool = False, per_unit: bool = False, scaled: bool = True) -> Arguments:
    arguments = masked(draw, shared=shared, per_unit=per_unit)
    renamed = {"h": arguments["x"], "unit_mask": arguments["unit_mask"]}
    return renamed | ({"keep_prob": arguments["keep_prob"]} if scaled else {})


def connected(draw: Draw, lead: tuple[int, ...] = (), shared: bool = False) -> Arguments:
    rng = draw.rng(1)
    rows = 1 if shared else draw.N
    connection_mask = binary(rng, (*lead, rows, draw.d_in, draw.d_out), draw.keep_prob)
    return dense(draw, lead) | {"connection_mask": connection_mask, "keep_prob": draw.keep_prob}


# ---- all of them -----------------------------------------------------------------------------------------------------

_linear_ids = pytest.mark.equation("B1", "B3", "B5", "B6", "B7", "B23")

PAIRS = [
    pytest.param(Case(linear, dense), marks=_linear_ids, id="linear-dense"),
    pytest.param(Case(linear, masked), marks=_linear_ids, id="linear-both-masks"),
    pytest.param(Case(linear, lambda d: masked(d, shared=True)), marks=_linear_ids, id="linear-shared-unit-mask"),
    pytest.param(Case(linear, lambda d: masked(d, per_unit=True)), marks=_linear_ids, id="linear-keep-prob-per-unit"),
    pytest.param(Case(linear, only("x W b weight_mask", masked)), marks=_linear_ids, id="linear-weight-mask"),
    pytest.param(Case(linear, lambda d: masked(d, (R,))), marks=_linear_ids, id="linear-stacked"),
    pytest.param(Case(linear, one_of_the_two_stacked), marks=_linear_ids, id="linear-partly-stacked"),
    pytest.param(Case(effective_weight, effective), marks=pytest.mark.equation("B22"), id="dense-gradient"),
    pytest.param(
        Case(activation_pair(relu), pre_activations), marks=pytest.mark.equation("B4", "B7", "B11"), id="relu"
    ),
    pytest.param(
        Case(activation_pair(leaky_relu), pre_activations), marks=pytest.mark.equation("B4", "B12"), id="leaky-relu"
    ),
    pytest.param(
        Case(activation_pair(leaky_relu._replace(forward=leaky_forward)), pre_activations),
        marks=pytest.mark.equation("B4", "B12"),
        id="leaky-relu-0.3",
    ),
    pytest.param(Case(activation_pair(tanh), pre_activations), marks=pytest.mark.equation("B4", "B13"), id="tanh"),
    pytest.param(
        Case(activation_pair(sigmoid), pre_activations), marks=pytest.mark.equation("B4", "B14"), id="sigmoid"
    ),
    pytest.param(
        Case(activation_pair(identity), pre_activations), marks=pytest.mark.equation("B4", "B15"), id="identity"
    ),
    pytest.param(
        Case(Pair(softmax_forward, lambda dy, p: {"logits": softmax_backward(dy, p)}), logits_only),
        marks=pytest.mark.equation("B16"),
        id="softmax",
    ),
    pytest.param(
        Case(Pair(log_softmax_forward, lambda dy, log_p: {"logits": log_softmax_backward(dy, log_p)}), logits_only),
        marks=pytest.mark.equation("B17"),
        id="log-softmax",
    ),
    pytest.param(
        Case(cross_entropy, with_labels), marks=pytest.mark.equation("B2", "B7", "B18"), id="softmax-cross-entropy"
    ),
    pytest.param(
        Case(cross_entropy, lambda d: with_labels(d, (R,))),
        marks=pytest.mark.equation("B2", "B18"),
        id="softmax-cross-entropy-stacked",
    ),
    pytest.param(
        Case(cross_entropy, lambda d: with_labels(d, (R,), shared=True)),
        marks=pytest.mark.equation("B2", "B18"),
        id="softmax-cross-entropy-shared-labels",
    ),
    pytest.param(Case(squared, with_targets), marks=pytest.mark.equation("B20"), id="squared-error"),
    pytest.param(
        Case(squared, lambda d: with_targets(d, (R,))), marks=pytest.mark.equation("B20"), id="squared-error-stacked"
    ),
    pytest.param(Case(l2, penalised), marks=pytest.mark.equation("B21"), id="l2-penalty"),
    pytest.param(Case(l2, only("W weight_decay", penalised)), marks=pytest.mark.equation("B21"), id="l2-penalty-dense"),
    pytest.param(Case(l2, lambda d: penalised(d, (R,))), marks=pytest.mark.equation("B21"), id="l2-penalty-stacked"),
    pytest.param(Case(inverted_dropout, dropped), marks=pytest.mark.equation("B3"), id="inverted-dropout"),
    pytest.param(
        Case(inverted_dropout, lambda d: dropped(d, shared=True)),
        marks=pytest.mark.equation("B3"),
        id="inverted-dropout-shared",
    ),
    pytest.param(
        Case(inverted_dropout, lambda d: dropped(d, per_unit=True)),
        marks=pytest.mark.equation("B3"),
        id="inverted-dropout-per-unit",
    ),
    pytest.param(
        Case(standard_dropout, lambda d: dropped(d, scaled=False)),
        marks=pytest.mark.equation("B3", "D2"),
        id="standard-dropout",
    ),
    pytest.param(Case(dropconnect, connected), marks=pytest.mark.equation("D17"), id="dropconnect"),
    pytest.param(
        Case(dropconnect, lambda d: connected(d, shared=True)),
        marks=pytest.mark.equation("D17"),
        id="dropconnect-shared",
    ),
    pytest.param(
        Case(dropconnect, lambda d: connected(d, (R,))), marks=pytest.mark.equation("D17"), id="dropconnect-stacked"
    ),
]
