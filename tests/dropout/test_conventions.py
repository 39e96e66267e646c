"""Standard and inverted dropout are one: forward (D2) and for whole trainings (D4); and where the rule ends (N28)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.activations import relu, tanh
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer
from numpynet.parameters import Parameters
from numpynet.subnetworks import (
    evaluate_inverted,
    evaluate_standard,
    inverted_to_standard,
    list_subnetworks,
    standard_to_inverted,
    without_scale,
)
from tests.checks import assert_close
from tests.dropout.nets import random_net
from tests.strategies import keep_probs, seeds


@pytest.mark.equation("D2", "D4")
@given(q_inputs=keep_probs, q_hidden=keep_probs, seed=seeds)
def test_both_conventions_compute_one_net(q_inputs: float, q_hidden: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, W = random_net(rng, (3, 4, 6, 2), (q_inputs, None, q_hidden), tanh)
    V = standard_to_inverted(net, W)
    x = rng.normal(size=(5, 3))
    masks, _ = list_subnetworks(net)
    assert_close(without_scale(net).forward(W, x, unit_masks=masks)[0], net.forward(V, x, unit_masks=masks)[0])
    assert_close(evaluate_standard(net, W, x), evaluate_inverted(net, V, x))
    assert_close(inverted_to_standard(net, V).vector, W.vector)
    assert np.array_equal(V["W2"], W["W2"])  # no dropout in front of this layer
    assert all(np.array_equal(V[name], W[name]) for name in ("b1", "b2", "b3"))


@pytest.mark.equation("D2")
@given(q=keep_probs, seed=seeds)
def test_evaluation_of_a_linear_layer_is_its_mean_over_the_masks_in_both_conventions(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (6, 3), (q,))
    x = rng.normal(size=(4, 6))
    masks, probability = list_subnetworks(net)
    standard = without_scale(net).forward(theta, x, unit_masks=masks)[0]
    assert_close(np.tensordot(probability, standard, axes=1), evaluate_standard(net, theta, x))
    inverted = net.forward(theta, x, unit_masks=masks)[0]
    assert_close(np.tensordot(probability, inverted, axes=1), evaluate_inverted(net, theta, x))


# ---- whole trainings -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """How one array of parameters is trained: with its own rate, decay and optimizer."""

    optimizer: Optimizer
    lr: float
    coupled: float = 0.0
    decoupled: float = 0.0


def train(
    net: MLP, theta_0: Parameters, rule_of: Callable[[str, float], Rule], batches: list, masks: list
) -> Parameters:
    """A plain training loop in which every weight matrix has a rule of its own, because D4 rescales layer by layer."""
    theta = theta_0.copy()
    q_of = {name: 1.0 if q is None else q for name, q in zip(net.layout.weight_names, net.keep_probs)}
    rules = {name: rule_of(name, q_of.get(name, 1.0)) for name in theta}
    states = {name: rules[name].optimizer.init(theta[name]) for name in theta}
    for (x, labels), unit_masks in zip(batches, masks, strict=True):
        logits, caches = net.forward(theta, x, unit_masks=unit_masks)
        _, cache = softmax_cross_entropy.forward(logits, labels)
        gradients = net.backward(softmax_cross_entropy.backward(1.0, cache), caches)
        for name, rule in rules.items():
            gradient = gradients[name] + rule.coupled * theta[name]
            theta[name][...] *= 1 - rule.lr * rule.decoupled
            rule.optimizer.step(theta[name], gradient, states[name], rule.lr)
    return theta


def scaled_like_a_gradient_step(rule: Rule, q: float) -> Rule:
    """SGD, momentum, Nesterov: (eta, lambda) becomes (q^2 eta, lambda / q^2)."""
    return replace(rule, lr=q**2 * rule.lr, coupled=rule.coupled / q**2, decoupled=rule.decoupled / q**2)


def scaled_like_adam(rule: Rule, q: float) -> Rule:
    """Adam: (eta, epsilon) becomes (q eta, epsilon / q); coupled decay lambda / q^2, decoupled lambda / q."""
    optimizer = replace(rule.optimizer, epsilon=rule.optimizer.epsilon / q)
    return Rule(optimizer, q * rule.lr, coupled=rule.coupled / q**2, decoupled=rule.decoupled / q)


def both_trainings(
    rule: Rule,
    scaled: Callable[[Rule, float], Rule],
    start: Callable[[MLP, Parameters], Parameters] = standard_to_inverted,
) -> tuple[MLP, Parameters, Parameters]:
    """40 steps of both conventions on the same data with the same masks: (net, trained W, trained V)."""
    rng = np.random.default_rng(0)
    net, W = random_net(rng, (5, 7, 6, 3), (0.8, None, 0.3), relu)
    W *= 0.5
    batches = [(rng.normal(size=(8, 5)), rng.integers(0, 3, 8)) for _ in range(40)]
    masks = [net.sample_unit_masks(rng, (8,), dtype=np.float64) for _ in batches]
    standard = train(
        without_scale(net),
        W,
        lambda name, q: rule if name.startswith("W") else replace(rule, coupled=0.0, decoupled=0.0),
        batches,
        masks,
    )
    inverted = train(
        net,
        start(net, W),
        lambda name, q: scaled(rule, q) if name.startswith("W") else replace(rule, coupled=0.0, decoupled=0.0),
        batches,
        masks,
    )
    assert np.abs(standard.vector - W.vector).max() > 0.01  # it has gone somewhere
    return net, standard, inverted


def gap(net: MLP, standard: Parameters, inverted: Parameters) -> float:
    expected = standard_to_inverted(net, standard).vector
    return float(np.abs(inverted.vector - expected).max() / np.abs(expected).max())


GRADIENT_STEPS = {"SGD": SGD(), "momentum": Momentum(0.9), "Nesterov": Nesterov(0.9)}


@pytest.mark.equation("D4")
@pytest.mark.parametrize("decay", [{}, {"coupled": 0.03}, {"decoupled": 0.03}], ids=str)
@pytest.mark.parametrize("optimizer", GRADIENT_STEPS.values(), ids=GRADIENT_STEPS)
def test_a_training_with_a_gradient_step(optimizer: Optimizer, decay: dict[str, float]) -> None:
    net, standard, inverted = both_trainings(Rule(optimizer, lr=0.05, **decay), scaled_like_a_gradient_step)
    assert gap(net, standard, inverted) <= 1e-12


@pytest.mark.equation("D4")
@pytest.mark.parametrize("decay", [{}, {"coupled": 0.03}, {"decoupled": 0.03}], ids=str)
def test_a_training_with_adam(decay: dict[str, float]) -> None:
    # A large epsilon: at 1e-8 a wrong epsilon could hardly be seen.
    net, standard, inverted = both_trainings(Rule(Adam(epsilon=1e-3), lr=0.02, **decay), scaled_like_adam)
    assert gap(net, standard, inverted) <= 1e-12


@pytest.mark.equation("N28")
def test_no_single_rescaling_serves_every_optimizer() -> None:
    """The rule of SGD fails for Adam, whose step ignores the gradient's scale, and the rule of Adam fails for SGD."""

    assert gap(*both_trainings(Rule(Adam(), lr=0.02), scaled_like_a_gradient_step)) > 0.01
    assert gap(*both_trainings(Rule(SGD(), lr=0.05), lambda rule, q: replace(rule, lr=q * rule.lr))) > 0.01


@pytest.mark.equation("D4")
@pytest.mark.parametrize("forgotten", ["optimizer", "lr", "coupled", "decoupled"])
def test_every_part_of_the_rule_is_needed(forgotten: str) -> None:
    """Planted: leave one part of Adam's rule as it was, and the trainings part."""
    rule = Rule(Adam(epsilon=1e-3), lr=0.02, coupled=0.03, decoupled=0.03)

    def careless(rule: Rule, q: float) -> Rule:
        return replace(scaled_like_adam(rule, q), **{forgotten: getattr(rule, forgotten)})

    assert gap(*both_trainings(rule, careless)) > 1e-4


@pytest.mark.equation("D4")
def test_the_start_must_be_scaled_too() -> None:
    rule = Rule(SGD(), lr=0.05)
    assert gap(*both_trainings(rule, scaled_like_a_gradient_step, start=lambda net, W: W)) > 0.01
