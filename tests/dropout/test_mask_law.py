"""The law of the masks, by enumeration of all subnetworks: D1, D3, D6, D30, D31, and what it is mistaken for (N8, N9)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import Activation, identity, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.dropout import inverted_dropout_forward
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.subnetworks import every_subnetwork, list_subnetworks
from tests.checks import assert_close
from tests.dropout.bounds import hoeffding
from tests.dropout.nets import random_net
from tests.strategies import KEEP_PROBS, all_masks, binary, keep_probs, mask_probabilities, seeds

two_keep_probs = st.tuples(keep_probs, keep_probs).filter(lambda q: q[0] != q[1])


@pytest.mark.equation("D1")
@given(q=two_keep_probs)
def test_probabilities_of_subnetworks_are_products_over_units_and_add_up_to_one(q: tuple[float, float]) -> None:
    net = MLP((3, 5, 4, 2), keep_prob=(q[0], None, q[1]))
    (inputs, nothing, hidden), probability = list_subnetworks(net)
    assert nothing is None
    assert inputs.shape == (2**7, 1, 3) and hidden.shape == (2**7, 1, 4)
    every = np.concatenate([inputs, hidden], axis=-1)[:, 0]
    assert np.array_equal(every, all_masks(7))
    assert_close(probability, mask_probabilities(inputs[:, 0], q[0]) * mask_probabilities(hidden[:, 0], q[1]))
    assert_close(probability.sum(), 1.0)


@pytest.mark.equation("D1")
@given(q=keep_probs, seed=seeds)
def test_mean_and_variance_of_a_unit_over_all_subnetworks(q: float, seed: int) -> None:
    h = np.random.default_rng(seed).normal(size=(1, 6))
    (masks,), probability = list_subnetworks(MLP((6, 1), keep_prob=(q,)))
    y = inverted_dropout_forward(h, masks, q)[0][:, 0]
    assert_close(probability @ y, h[0])
    assert_close(probability @ (y - h[0]) ** 2, h[0] ** 2 * (1 - q) / q)


@pytest.mark.equation("D3")
@given(q=keep_probs, seed=seeds)
def test_mean_and_covariance_of_the_pre_activations(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (7, 3), (q,))
    h, W, b = rng.normal(size=(1, 7)), theta["W1"], theta["b1"]
    z, probability = every_subnetwork(net, theta, h)
    z = z[:, 0]  # (2^7, 3)
    assert_close(probability @ z, (h @ W + b)[0])
    deviation = z - (h @ W + b)
    covariance = deviation.T @ (probability[:, None] * deviation)
    assert_close(covariance, (1 - q) / q * (W.T * h**2) @ W)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() > 1e-6  # the units share their inputs' noise


@pytest.mark.equation("D6")
@pytest.mark.parametrize("layer_keep_probs", [KEEP_PROBS[:3], KEEP_PROBS[2:], (0.999, 0.01, 0.35)], ids=str)
def test_every_layer_keeps_as_many_units_as_its_keep_prob_says(layer_keep_probs: tuple[float, ...]) -> None:
    net = MLP((50, 40, 30, 2), keep_prob=layer_keep_probs)
    masks = net.sample_unit_masks(np.random.default_rng(3), (5000,))
    for mask, q in zip(masks, layer_keep_probs, strict=True):
        assert set(np.unique(mask)) <= {0.0, 1.0}
        assert abs(mask.mean(dtype=np.float64) - q) <= hoeffding(mask.size, statements=3)


@pytest.mark.equation("D6")
@given(seed=seeds)
def test_keep_prob_one_keeps_every_unit(seed: int) -> None:
    net = MLP((50, 40, 2), keep_prob=(1.0, 0.8))
    ones, _ = net.sample_unit_masks(np.random.default_rng(seed), (100,))
    assert np.array_equal(ones, np.ones((100, 50), np.float32))


@pytest.mark.equation("D30")
@given(q=keep_probs, seed=seeds)
@pytest.mark.parametrize("activation", [relu, leaky_relu, identity, tanh, sigmoid], ids=lambda a: a.name)
def test_mask_and_activation_commute_where_the_record_says_so(activation: Activation, q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, d = rng.normal(size=(4, 6)), binary(rng, (4, 6), q)
    scaled = np.abs(activation.forward(d * z / q)[0] - d * activation.forward(z)[0] / q).max()
    bare = np.abs(activation.forward(d * z)[0] - d * activation.forward(z)[0]).max()
    assert (scaled <= 1e-15) == activation.homogeneous
    assert (bare <= 1e-15) == activation.zero_at_zero


@pytest.mark.equation("D30", "N8")
def test_dropout_and_activation_do_not_commute_in_general() -> None:
    """By hand: tanh(3 / 0.3) is near 1, tanh(3) / 0.3 near 3.3; and sigmoid(0) is 1/2, not 0."""
    z, q = np.array([[3.0]]), 0.3
    kept, dropped = np.ones((1, 1)), np.zeros((1, 1))
    assert abs(tanh.forward(kept * z / q)[0] - kept * tanh.forward(z)[0] / q).item() > 2.3
    assert sigmoid.forward(dropped * z)[0].item() - (dropped * sigmoid.forward(z)[0]).item() == 0.5


@pytest.mark.equation("M2", "N9")
@given(seed=seeds)
@pytest.mark.parametrize("activation", [relu, tanh, sigmoid], ids=lambda a: a.name)
def test_a_dropped_unit_is_more_than_a_column_of_zeros(activation: Activation, seed: int) -> None:
    """Without the unit's bias the net differs, and for sigmoid even with it: a unit that hears nothing says 1/2."""
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 2), (None, 1.0), activation)
    x, d = rng.normal(size=(5, 3)), np.array([[0.0, 1.0, 1.0, 0.0]])
    theta["b1"] = 1 + rng.random(4)  # away from 0: the bias matters
    dropped = net.forward(theta, x, unit_masks=[None, d])[0]
    rows, columns, both = theta.copy(), theta.copy(), theta.copy()
    rows["W2"] *= d.T
    columns["W1"] *= d
    both["W1"] *= d
    both["b1"] *= d[0]
    assert np.array_equal(net.forward(rows, x)[0], dropped)
    assert np.abs(net.forward(columns, x)[0] - dropped).max() > 1e-3
    assert (np.abs(net.forward(both, x)[0] - dropped).max() <= 1e-12) == activation.zero_at_zero


def sign_weights(n: int, std: float) -> Parameters:
    """A stack of all 2^n weight vectors of entries -std and +std: zero mean, independent, each with variance std^2."""
    net = MLP((n, 1))
    theta = Parameters.zeros(net.layout, replicates=(2**n,), dtype=np.float64)
    theta["W1"] = std * (2 * all_masks(n) - 1)[..., None]
    return theta


@pytest.mark.equation("D31")
@given(q=keep_probs, seed=seeds)
def test_dropout_multiplies_the_second_moment_at_the_start_by_one_over_q(q: float, seed: int) -> None:
    """Over all masks and all signs of the weights at once."""
    n, std = 5, 0.7
    h = np.random.default_rng(seed).normal(size=(1, n))
    z, probability = every_subnetwork(MLP((n, 1), keep_prob=(q,)), sign_weights(n, std), h)
    assert z.shape == (2**n, 2**n, 1, 1)
    second = probability @ (z**2).mean(axis=(1, 2, 3))
    assert_close(second, std**2 * (h**2).sum() / q)
    # He weights for dropout: Var W = 2 q / d_in keeps the mean square through ReLU, Var W = 2 / d_in does not.
    for variance, expected in ((2 * q / n, (h**2).mean()), (2 / n, (h**2).mean() / q)):
        z, _ = every_subnetwork(MLP((n, 1), keep_prob=(q,)), sign_weights(n, variance**0.5), h)
        assert_close(probability @ (relu.forward(z)[0] ** 2).mean(axis=(1, 2, 3)), expected)
