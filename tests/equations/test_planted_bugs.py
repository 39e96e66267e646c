"""Tests of the tests: every bug planted here is one that people make, and the named check must refuse it.

A bug that a check lets through is a missing check. Every bug stands beside the correct pair, which passes all checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from numpynet.equations.activations import ReluCache, relu, relu_backward, relu_forward
from numpynet.equations.dropout import DropoutCache, inverted_dropout_forward
from numpynet.equations.linear import dense_gradient, linear_forward
from numpynet.equations.losses import (
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    squared_error_backward,
)
from numpynet.network import MLP
from tests import pairs
from tests.checks import CHECKS, Arguments, Pair, check_gradients, check_reentrancy, random_like
from tests.pairs import cross_entropy, dropped, inverted_dropout, l2, linear, linear_gradients, masked
from tests.strategies import CLEAN, SQUARE, Draw

Gradients = dict[str, np.ndarray]


class Bug(NamedTuple):
    """A wrong pair, the right one, the arguments to try both on, and the check that must tell them apart."""

    check: str
    wrong: Callable[[], Pair]  # made afresh for every test: some bugs are memories
    right: Pair
    arguments: Callable[[Draw], Arguments]
    draw: Draw = CLEAN


def altered(right: Pair, name: str, change: Callable[[np.ndarray, Any], Any]) -> Callable[[], Pair]:
    """The right pair with one gradient replaced by change(dy, cache)."""
    return lambda: right._replace(
        backward=lambda dy, cache: dict(right.backward(dy, cache)) | {name: change(dy, cache)}
    )


# ---- the linear layer ------------------------------------------------------------------------------------------------


def unmasked_weight_forward(**arguments: Any) -> Any:
    y, cache = linear_forward(**arguments)
    W, M = arguments["W"], arguments["weight_mask"]
    return y + cache.x_kept @ (W * (1 - M)), cache


def wider_mask_forward(**arguments: Any) -> Any:
    """The mask of a generator that nobody told the dtype: float64, which upcasts all that follows."""
    y, cache = linear_forward(**arguments)
    return y * np.ones(y.shape[-1]), cache


def kept_on_the_object() -> Pair:
    memory: dict[str, Any] = {}

    def forward(**arguments: Any) -> Any:
        y, memory["cache"] = linear_forward(**arguments)
        return y, None

    return Pair(forward, lambda dy, cache: linear_gradients(dy, memory["cache"]))


def one_buffer_for_all_calls() -> Pair:
    buffers: dict[Any, np.ndarray] = {}

    def backward(dy: np.ndarray, cache: Any) -> Gradients:
        gradients = linear_gradients(dy, cache)
        for name, gradient in gradients.items():
            buffer = buffers.setdefault((name, gradient.dtype, gradient.shape), np.empty_like(gradient))
            buffer[...] = gradient
            gradients[name] = buffer
        return gradients

    return linear._replace(backward=backward)


def accumulating_gradients() -> Pair:
    total: dict[str, np.ndarray] = {}

    def backward(dy: np.ndarray, cache: Any) -> Gradients:
        for name, gradient in linear_gradients(dy, cache).items():
            total[name] = total.get(name, 0) + gradient
        return dict(total)

    return linear._replace(backward=backward)


def slightly_wrong_entry(dy: np.ndarray, cache: Any) -> np.ndarray:
    dW = linear_gradients(dy, cache)["W"]
    dW[np.unravel_index(np.abs(dW).argmax(), dW.shape)] *= 1 + 1e-6
    return dW


def linear_bug(name: str, change: Callable[[np.ndarray, Any], Any], draw: Draw = CLEAN) -> Bug:
    return Bug("gradients", altered(linear, name, change), linear, masked, draw)


LINEAR_BUGS = {
    "db is a mean": linear_bug("b", lambda dy, c: dy.mean(axis=-2)),
    "db is the first row": linear_bug("b", lambda dy, c: dy[0]),
    "db is not summed": linear_bug("b", lambda dy, c: dy),
    "dW not masked": linear_bug("W", dense_gradient),
    "dW under the inverted mask": linear_bug("W", lambda dy, c: dense_gradient(dy, c) * (1 - c.weight_mask)),
    "dW from the input before dropout": linear_bug("W", lambda dy, c: (c.x.mT @ dy) * c.weight_mask),
    "dW without 1/q": linear_bug("W", lambda dy, c: dense_gradient(dy, c) * c.weight_mask * c.keep_prob),
    "dW of the last example": linear_bug("W", lambda dy, c: np.outer(c.x_kept[-1], dy[-1]) * c.weight_mask),
    "dW transposed": linear_bug("W", lambda dy, c: (dy.mT @ c.x_kept) * c.weight_mask, SQUARE),
    "dW divided by N": linear_bug("W", lambda dy, c: linear_gradients(dy, c)["W"] / len(dy)),
    "dW wrong by a millionth in one entry": linear_bug("W", slightly_wrong_entry),
    "dx through the dense weights": linear_bug("x", lambda dy, c: dy @ c.W.mT * c.unit_mask / c.keep_prob),
    "dx through weights not transposed": linear_bug("x", lambda dy, c: dy @ c.W_kept * c.unit_mask / 0.8, SQUARE),
    "dx without the unit mask": linear_bug("x", lambda dy, c: dy @ c.W_kept.mT / c.keep_prob),
    "dx without 1/q": linear_bug("x", lambda dy, c: dy @ c.W_kept.mT * c.unit_mask),
    "dx scaled twice": linear_bug("x", lambda dy, c: dy @ c.W_kept.mT * c.unit_mask / c.keep_prob**2),
    "dx with keep and drop swapped": linear_bug("x", lambda dy, c: dy @ c.W_kept.mT * c.unit_mask / (1 - c.keep_prob)),
    "dx of the opposite sign": linear_bug("x", lambda dy, c: -linear_gradients(dy, c)["x"]),
    "dx is zero": linear_bug("x", lambda dy, c: np.zeros_like(c.x)),
    "dM from the masked weights": linear_bug("weight_mask", lambda dy, c: dense_gradient(dy, c) * c.W_kept),
    "dD without 1/q": linear_bug("unit_mask", lambda dy, c: dy @ c.W_kept.mT * c.x),
    "forward ignores the weight mask": Bug(
        "gradients", lambda: linear._replace(forward=unmasked_weight_forward), linear, masked
    ),
    "a mask upcasts to float64": Bug("dtypes", lambda: linear._replace(forward=wider_mask_forward), linear, masked),
    "the cache is kept on the object": Bug("reentrancy", kept_on_the_object, linear, masked),
    "one buffer for all calls": Bug("reentrancy", one_buffer_for_all_calls, linear, masked),
    "gradients add up from call to call": Bug("reentrancy", accumulating_gradients, linear, masked),
    "db is a view of dy": Bug(
        "aliasing", altered(linear, "b", lambda dy, c: dy[0]), linear, masked, replace(CLEAN, N=1)
    ),
}


# ---- activations, dropout, losses ------------------------------------------------------------------------------------


def gate_on_the_output(z: np.ndarray) -> Any:
    h, _ = relu_forward(z)
    return h, ReluCache(h.real >= 0)


def relu_backward_in_place(dh: np.ndarray, cache: ReluCache) -> Gradients:
    dh *= cache.z_positive
    return {"z": dh}


def relu_forward_in_place(z: np.ndarray) -> Any:
    cache = ReluCache(z.real > 0)
    z *= cache.z_positive
    return z + 0, cache


def fresh_mask_backward(dy: np.ndarray, cache: DropoutCache) -> Gradients:
    fresh = (np.random.default_rng(0).random(dy.shape) < cache.scale).astype(cache.unit_mask.dtype)
    return {"h": dy * fresh / cache.scale}


def mask_inverted_in_place(dy: np.ndarray, cache: DropoutCache) -> Gradients:
    gradient = dy * cache.unit_mask / cache.scale
    cache.unit_mask[...] = 1 - cache.unit_mask
    return {"h": gradient}


def penalty_on_all_weights(dy: np.ndarray, cache: Any) -> Gradients:
    return {"W": np.ones_like(cache.W_kept) * dy * cache.weight_decay}


relu_pair = pairs.activation_pair(relu)


def delta(change: Callable[[np.ndarray, Any], np.ndarray]) -> Bug:
    return Bug("gradients", altered(cross_entropy, "logits", change), cross_entropy, pairs.with_labels)


def one_hot(cache: Any) -> np.ndarray:
    return np.eye(cache.log_p.shape[-1])[cache.labels]


OTHER_BUGS = {
    "ReLU gate >= on the output": Bug(
        "gradients", lambda: relu_pair._replace(forward=gate_on_the_output), relu_pair, pairs.pre_activations
    ),
    "ReLU without a gate": Bug(
        "gradients", altered(relu_pair, "z", lambda dh, c: dh + 0), relu_pair, pairs.pre_activations
    ),
    "ReLU gate from dy": Bug(
        "gradients", altered(relu_pair, "z", lambda dh, c: dh * (dh.real > 0)), relu_pair, pairs.pre_activations
    ),
    "ReLU edits dy": Bug(
        "purity", lambda: relu_pair._replace(backward=relu_backward_in_place), relu_pair, pairs.pre_activations
    ),
    "ReLU edits z": Bug(
        "purity", lambda: relu_pair._replace(forward=relu_forward_in_place), relu_pair, pairs.pre_activations
    ),
    "ReLU returns dy itself": Bug(
        "aliasing", lambda: relu_pair._replace(backward=relu_backward_in_place), relu_pair, pairs.pre_activations
    ),
    "dropout backward without the mask": Bug(
        "gradients", altered(inverted_dropout, "h", lambda dy, c: dy / c.scale), inverted_dropout, dropped
    ),
    "dropout backward without 1/q": Bug(
        "gradients", altered(inverted_dropout, "h", lambda dy, c: dy * c.unit_mask), inverted_dropout, dropped
    ),
    "dropout backward with a fresh mask": Bug(
        "gradients", lambda: inverted_dropout._replace(backward=fresh_mask_backward), inverted_dropout, dropped
    ),
    "dropout backward edits the cache": Bug(
        "purity", lambda: inverted_dropout._replace(backward=mask_inverted_in_place), inverted_dropout, dropped
    ),
    "delta without 1/N": delta(lambda dy, c: dy * (np.exp(c.log_p) - one_hot(c))),
    "delta without the labels": delta(lambda dy, c: dy * np.exp(c.log_p) / len(c.log_p)),
    "delta ignores dloss": delta(lambda dy, c: softmax_cross_entropy_backward(1.0, c)),
    "delta of the opposite sign": delta(lambda dy, c: -softmax_cross_entropy_backward(dy, c)),
    "delta divided by N K": delta(lambda dy, c: softmax_cross_entropy_backward(dy, c) / c.log_p.shape[-1]),
    "delta with log-probabilities": delta(lambda dy, c: dy * (c.log_p - one_hot(c)) / len(c.log_p)),
    "backward ignores dloss (linearity)": delta(lambda dy, c: softmax_cross_entropy_backward(1.0, c))._replace(
        check="linearity"
    ),
    "squared error as a mean over all entries": Bug(
        "gradients",
        altered(pairs.squared, "outputs", lambda dy, c: 2 * squared_error_backward(dy, c) / c.residual.shape[-1]),
        pairs.squared,
        pairs.with_targets,
    ),
    "penalty of pruned weights, of constant size": Bug(
        "gradients", lambda: l2._replace(backward=penalty_on_all_weights), l2, pairs.penalised
    ),
}

BUGS = LINEAR_BUGS | OTHER_BUGS


def run(check: str, pair: Pair, bug: Bug) -> None:
    if check == "reentrancy":
        others = bug.arguments(replace(bug.draw, seed=bug.draw.seed + 1))
        check_reentrancy(pair, bug.arguments(bug.draw), others, bug.draw.seed)
    else:
        CHECKS[check](pair, bug.arguments(bug.draw), bug.draw.seed)


@pytest.mark.equation("B7")
@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_the_bug_is_refused_and_the_right_pair_is_not(bug: Bug) -> None:
    run(bug.check, bug.right, bug)
    with pytest.raises(AssertionError):
        run(bug.check, bug.wrong(), bug)


@pytest.mark.parametrize("check", [*CHECKS, "reentrancy"])
def test_every_check_refuses_some_bug(check: str) -> None:
    assert any(bug.check == check for bug in BUGS.values())


# ---- what a gradient check cannot see --------------------------------------------------------------------------------


def unscaled_both_ways() -> Pair:
    def forward(h: np.ndarray, unit_mask: np.ndarray, keep_prob: float) -> Any:
        return h * unit_mask, DropoutCache(unit_mask, 1.0)

    return Pair(forward, inverted_dropout.backward)


def test_the_same_mistake_in_both_directions_passes_the_gradient_check_and_fails_the_law() -> None:
    arguments = dropped(CLEAN)
    wrong = unscaled_both_ways()
    check_gradients(wrong, arguments, CLEAN.seed)
    kept = arguments["unit_mask"] == 1
    y_wrong, y = wrong.forward(**arguments)[0], inverted_dropout_forward(**arguments)[0]
    assert np.array_equal(y[kept], arguments["h"][kept] / CLEAN.keep_prob)
    assert not np.allclose(y_wrong[kept], arguments["h"][kept] / CLEAN.keep_prob)


def softmax_without_shift(logits: np.ndarray, labels: np.ndarray) -> Any:
    e = np.exp(logits)
    log_p = np.log(e / e.sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, labels[..., None], axis=-1).mean(), None


def test_a_softmax_without_shift_agrees_on_small_logits_and_not_on_large_ones() -> None:
    arguments = pairs.with_labels(CLEAN)
    assert np.allclose(softmax_without_shift(**arguments)[0], softmax_cross_entropy_forward(**arguments)[0])
    arguments["logits"] = 1e4 * np.sign(arguments["logits"])
    with np.errstate(all="ignore"):
        assert not np.isfinite(softmax_without_shift(**arguments)[0])
    assert np.isfinite(softmax_cross_entropy_forward(**arguments)[0])


def test_with_an_upstream_gradient_of_ones_a_wrong_softmax_backward_would_pass() -> None:
    """Why the checks draw dy at random: a softmax conserves its sum, and zeros are the right answer for ones."""
    p, cache = pairs.softmax_forward(pairs.logits_only(CLEAN)["logits"])
    right = pairs.softmax_backward(np.ones_like(p), cache)
    assert np.abs(right).max() < 1e-15
    zeros = Pair(pairs.softmax_forward, lambda dy, p: {"logits": np.zeros_like(p)})
    with pytest.raises(AssertionError):
        check_gradients(zeros, pairs.logits_only(CLEAN), CLEAN.seed)


# ---- bugs planted in the network itself ------------------------------------------------------------------------------


def test_a_bug_in_a_layer_shows_in_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose ReLU lets everything back through: one gradient too many in every layer but the last."""
    net = MLP((4, 5, 6, 3), activation=relu, keep_prob=0.7)
    theta = net.init(np.random.default_rng(0), dtype=np.float64)
    x = np.random.default_rng(1).normal(size=(7, 4))
    logits, caches = net.forward(theta, x)
    dlogits = random_like(logits, 2)
    right = net.backward(dlogits, caches)
    open_gate = MLP(net.sizes, activation=relu._replace(backward=lambda dh, cache: dh, takes_out=False), keep_prob=0.7)
    wrong = open_gate.backward(dlogits, caches)
    assert np.array_equal(right["W3"], wrong["W3"])
    assert not np.allclose(right["W2"], wrong["W2"]) and not np.allclose(right["W1"], wrong["W1"])
    monkeypatch.setattr("numpynet.layer_rules.linear_backward", _without_weight_mask)
    net = MLP(net.sizes, activation=relu, keep_prob=0.7)  # one that is built with the bug
    mask = theta.copy()
    mask.vector[:] = np.random.default_rng(3).random(mask.vector.size) < 0.5
    logits, caches = net.forward(theta, x, weight_mask=mask)
    assert net.backward(dlogits, caches)["W2"][mask["W2"] == 0].any()


def _without_weight_mask(dy: np.ndarray, cache: Any, *, need_dx: bool, out: tuple[np.ndarray, np.ndarray]) -> Any:
    out[0][...] = dense_gradient(dy, cache)
    out[1][...] = dy.sum(axis=-2)
    return dy @ cache.W_kept.mT, *out


def test_relu_backward_of_the_library_is_the_one_under_test() -> None:
    assert relu.backward is relu_backward and relu.forward is relu_forward
