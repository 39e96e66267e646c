"""One pass with scaled weights: when it is a mean of the subnetworks, and of which kind (D10 to D13, N1 to N6)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.equations.activations import Activation, identity, relu, sigmoid, tanh
from numpynet.equations.ensemble import arithmetic_mean, geometric_mean, normalized_geometric_mean
from numpynet.equations.losses import log_softmax, softmax, softmax_cross_entropy
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.subnetworks import (
    evaluate_inverted,
    evaluate_standard,
    every_subnetwork,
    list_subnetworks,
    without_scale,
)
from tests.checks import assert_close
from tests.dropout.nets import random_net
from tests.strategies import all_masks, keep_probs, mask_probabilities, seeds

ACTIVATIONS = [relu, tanh, sigmoid]


def distance_to_scaling(net: MLP, theta: Parameters, x: np.ndarray) -> tuple[float, float]:
    """How far one pass is from the normalized geometric and from the arithmetic mean of all subnetworks."""
    logits, probability = every_subnetwork(net, theta, x)
    one_pass = softmax(evaluate_inverted(net, theta, x))
    outputs = softmax(logits)
    return (
        float(np.abs(normalized_geometric_mean(outputs, probability) - one_pass).max()),
        float(np.abs(arithmetic_mean(outputs, probability) - one_pass).max()),
    )


@pytest.mark.equation("D10")
@given(q=keep_probs, seed=seeds)
def test_weight_scaling_is_exact_for_softmax_regression(q: float, seed: int) -> None:
    """In both conventions it is the normalized geometric mean of the 2^n outputs, weighted by their probabilities."""
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (6, 3), (q,))
    v = rng.normal(size=(4, 6))
    assert distance_to_scaling(net, theta, v)[0] <= 1e-12
    masks, probability = list_subnetworks(net)
    outputs = softmax(without_scale(net).forward(theta, v, unit_masks=masks)[0])
    expected = softmax(v @ (q * theta["W1"]) + theta["b1"])
    assert_close(normalized_geometric_mean(outputs, probability), expected)
    assert_close(softmax(evaluate_standard(net, theta, v)), expected)


@pytest.mark.equation("D10")
def test_without_the_probabilities_it_is_exact_at_one_half_only() -> None:
    """Planted: the plain geometric mean of all outputs, as it is often written, belongs to keep_prob 0.5."""
    rng = np.random.default_rng(0)
    for q in (0.5, 0.8, 0.3):
        net, theta = random_net(rng, (6, 3), (q,))
        v = rng.normal(size=(4, 6))
        logits, _ = every_subnetwork(net, theta, v)
        wrong = normalized_geometric_mean(softmax(logits))
        assert (np.abs(wrong - softmax(evaluate_inverted(net, theta, v))).max() <= 1e-12) == (q == 0.5)


@pytest.mark.equation("D11", "N5")
@given(q=st.tuples(keep_probs, keep_probs, keep_probs), seed=seeds)
def test_weight_scaling_is_exact_for_deep_linear_nets(q: tuple[float, float, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 2, 3), q, identity)
    theta *= 0.3  # logits of hundreds would make outputs that round to 0
    assert distance_to_scaling(net, theta, rng.normal(size=(2, 3)))[0] <= 1e-12


@pytest.mark.equation("D11", "N5")
@given(q=keep_probs, seed=seeds)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_weight_scaling_is_exact_where_only_the_last_layer_has_dropout(
    activation: Activation, q: float, seed: int
) -> None:
    """So for the net 784-500-10 with dropout on its hidden units, whatever they are."""
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 5, 6, 4), (None, None, q), activation)
    assert distance_to_scaling(net, theta, rng.normal(size=(2, 3)))[0] <= 1e-12


@pytest.mark.equation("D11")
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_weight_scaling_is_not_exact_behind_an_inner_activation(activation: Activation) -> None:
    distances = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        net, theta = random_net(rng, (6, 5, 3), (0.7, None), activation)
        distances.append(distance_to_scaling(net, theta, rng.normal(size=(4, 6)))[0])
    assert np.median(distances) > 1e-3, distances


@pytest.mark.equation("D11", "N6")
def test_weight_scaling_is_not_exact_where_two_layers_share_their_mask() -> None:
    """Even in a linear net. By hand: one unit, twice behind the same mask, so that E (d / q)^2 is 1 / q and not 1."""
    for q in (0.8, 0.3):
        net = MLP((1, 1, 2), activation=identity, keep_prob=(q, q))
        theta = Parameters(np.array([1.0, 0.0, 1.0, 0.0, 0.0, 0.0]), net.layout)
        x, masks = np.array([[1.0]]), all_masks(1)[:, None, :]
        outputs = softmax(net.forward(theta, x, unit_masks=[masks, masks])[0])
        reused = normalized_geometric_mean(outputs, mask_probabilities(masks[:, 0], q))
        assert_close(reused, softmax(np.array([[1 / q, 0.0]])))
        assert np.abs(reused - softmax(evaluate_inverted(net, theta, x))).max() > 0.04
        assert distance_to_scaling(net, theta, x)[0] <= 1e-12  # the same net, each layer with a mask of its own


@pytest.mark.equation("N2")
def test_weight_scaling_is_not_the_arithmetic_mean() -> None:
    """Not even where it is the normalized geometric mean exactly."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        net, theta = random_net(rng, (6, 3), (0.7,))
        geometric, arithmetic = distance_to_scaling(net, theta, rng.normal(size=(8, 6)))
        assert geometric <= 1e-12 and arithmetic > 0.02


@pytest.mark.equation("D12")
@given(q=keep_probs, seed=seeds)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_training_loss_is_at_least_the_evaluation_loss_behind_the_last_layer(
    activation: Activation, q: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 7, 4), (None, q), activation)
    x = rng.normal(size=(6, 3))
    logits, probability = every_subnetwork(net, theta, x)
    mean_log_p = arithmetic_mean(log_softmax(logits), probability)
    assert (log_softmax(evaluate_inverted(net, theta, x)) >= mean_log_p - 1e-12).all()  # for every label


@pytest.mark.equation("N3")
@pytest.mark.parametrize("q", [0.8, 0.6, 0.3])
def test_training_loss_may_lie_below_the_evaluation_loss(q: float) -> None:
    """By hand: h = relu(x - 1) is 0 at x = 1, but with the input kept it is relu(1 / q - 1), which helps class 0."""
    net = MLP((1, 1, 2), keep_prob=(q, None))
    theta = Parameters(np.array([1.0, -1.0, 1.0, 0.0, 0.0, 0.0]), net.layout)
    x, labels = np.array([[1.0]]), np.array([0])
    logits, probability = every_subnetwork(net, theta, x)
    training = probability @ softmax_cross_entropy.forward(logits, labels)[0]
    evaluation = softmax_cross_entropy.forward(evaluate_inverted(net, theta, x), labels)[0]
    assert_close(evaluation, np.log(2))
    assert_close(training, q * np.log1p(np.exp(-(1 / q - 1))) + (1 - q) * np.log(2))
    assert training < evaluation - 0.05


# ---- one sigmoid unit ------------------------------------------------------------------------------------------------


def sigmoid_unit(rng: np.random.Generator, n: int, q: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Outputs of all subnetworks of one unit, unscaled masks: ((2^n, 2) of O and 1 - O, probabilities, sigmoid(E S))."""
    net, theta = random_net(rng, (n, 1), (q,))
    I = rng.normal(size=(1, n))
    masks, probability = list_subnetworks(net)
    S = without_scale(net).forward(theta, I, unit_masks=masks)[0][:, 0, 0]
    outputs = sigmoid.forward(np.stack([S, -S], axis=-1))[0]
    mean_input = q * (I @ theta["W1"]).item() + theta["b1"].item()
    return outputs, probability, float(sigmoid.forward(np.array(mean_input))[0])


@pytest.mark.equation("D13")
@given(q=keep_probs, seed=seeds)
def test_normalized_geometric_mean_of_a_sigmoid_unit(q: float, seed: int) -> None:
    outputs, probability, expected = sigmoid_unit(np.random.default_rng(seed), 7, q)
    assert_close(normalized_geometric_mean(outputs, probability), np.array([expected, 1 - expected]))
    G, G_complement = geometric_mean(outputs, probability)
    assert_close(G / (G + G_complement), expected)


@pytest.mark.equation("N1")
@pytest.mark.parametrize("q", [0.8, 0.6])
def test_the_distance_of_the_means_has_no_such_bound(q: float) -> None:
    """|E - NWGM| <= 2 E (1 - E) |1 - 2 E| is an estimate. By hand: a unit with E = 1/2, for which it would be 0."""
    dropped = 0.1  # output without the one input
    kept = (0.5 - (1 - q) * dropped) / q
    logit = [np.log(O / (1 - O)) for O in (dropped, kept)]
    net = MLP((1, 1), keep_prob=(q,))
    theta = Parameters(np.array([logit[1] - logit[0], logit[0]]), net.layout)
    masks, probability = list_subnetworks(net)
    S = without_scale(net).forward(theta, np.array([[1.0]]), unit_masks=masks)[0][:, 0, 0]
    O = sigmoid.forward(np.stack([S, -S], axis=-1))[0]
    E, nwgm = arithmetic_mean(O, probability)[0], normalized_geometric_mean(O, probability)[0]
    assert_close(E, 0.5)
    assert abs(E - nwgm) > 0.02 > 2 * E * (1 - E) * abs(1 - 2 * E)


@pytest.mark.equation("N4")
@settings(max_examples=20)
@given(q=keep_probs, seed=seeds)
def test_the_normalization_adds(q: float, seed: int) -> None:
    """G / (G - G') is no probability: it is above 1 or below 0 whatever the unit."""
    outputs, probability, _ = sigmoid_unit(np.random.default_rng(seed), 5, q)
    G, G_complement = geometric_mean(outputs, probability)
    wrong = G / (G - G_complement)
    assert wrong > 1 or wrong < 0
