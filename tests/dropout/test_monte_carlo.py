"""Random subnetworks: what their mean converges to (D15), what their spread says (D16), and which bound holds (N25)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.activations import relu, tanh
from numpynet.equations.ensemble import arithmetic_mean, model_precision, moments, predict
from numpynet.equations.losses import softmax
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.subnetworks import evaluate_inverted, every_subnetwork, monte_carlo
from tests.checks import assert_close
from tests.dropout.bounds import DELTA, bernstein, hoeffding
from tests.dropout.nets import random_net
from tests.strategies import keep_probs, seeds


@pytest.mark.equation("D15")
@pytest.mark.parametrize("T", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shared", [False, True], ids=["own masks", "shared masks"])
def test_monte_carlo_converges_to_the_arithmetic_mean_and_not_to_weight_scaling(shared: bool, T: int) -> None:
    rng = np.random.default_rng(7)
    net, theta = random_net(rng, (4, 6, 5, 3), (0.8, 0.3, 0.6), relu)
    x = rng.normal(size=(2, 4))
    logits, probability = every_subnetwork(net, theta, x)
    mean, variance = moments(softmax(logits), probability)
    found = arithmetic_mean(softmax(monte_carlo(net, theta, x, rng, T, shared=shared)))
    bound = bernstein(T, 1.0, variance, statements=mean.size)
    assert (np.abs(found - mean) <= bound).all()
    assert (bound < hoeffding(T, statements=mean.size)).any()  # it does use the variance
    gap = np.abs(softmax(evaluate_inverted(net, theta, x)) - mean)
    assert (gap > 5 * bound).any()  # one pass is another number, and no T closes the gap


@given(seed=seeds)
def test_the_first_subnetworks_do_not_depend_on_how_many_follow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 2), (0.8, 0.6), tanh)
    x = rng.normal(size=(5, 3))
    few, many = (monte_carlo(net, theta, x, np.random.default_rng(seed), T) for T in (3, 7))
    assert np.array_equal(few, many[:3])
    assert np.unique(many[:, :, 0]).size > 1  # they are not all alike


# ---- uncertainty -----------------------------------------------------------------------------------------------------


@pytest.mark.equation("D16")
@given(q=keep_probs, seed=seeds)
def test_variance_of_the_outputs_in_closed_form(q: float, seed: int) -> None:
    """With dropout on the input of the last layer alone it is (1 - q) / q sum of h_i^2 W_ij^2."""
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 7, 2), (None, q), relu)
    x = rng.normal(size=(4, 3))
    h = relu.forward(x @ theta["W1"] + theta["b1"])[0]
    mean, variance = moments(*every_subnetwork(net, theta, x))
    assert_close(mean, h @ theta["W2"] + theta["b2"])
    assert_close(variance, (1 - q) / q * h**2 @ theta["W2"] ** 2)


@pytest.mark.equation("D16")
@given(q=keep_probs, seed=seeds)
def test_mutual_information_is_the_entropy_that_the_mean_has_in_addition(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 3), (q, 0.6), relu)
    logits, probability = every_subnetwork(net, theta, rng.normal(size=(4, 3)))
    answer = predict(logits, probability)
    p = softmax(logits)
    assert_close(answer.probabilities, arithmetic_mean(p, probability))
    assert_close(answer.probabilities.sum(axis=-1), np.ones(4))
    assert_close(answer.entropy, -(answer.probabilities * np.log(answer.probabilities)).sum(axis=-1))
    assert_close(answer.expected_entropy, probability @ -(p * np.log(p)).sum(axis=-1))
    assert_close(answer.mutual_information, answer.entropy - answer.expected_entropy)
    assert (answer.mutual_information >= -1e-14).all() and (answer.mutual_information > 1e-9).any()
    assert (answer.entropy <= np.log(3) + 1e-12).all()
    assert_close(answer.variance, np.tensordot(probability, p**2, axes=1) - answer.probabilities**2)


@pytest.mark.equation("D16")
def test_subnetworks_that_agree_leave_no_mutual_information() -> None:
    logits = np.broadcast_to(np.array([[1000.0, 0.0, -1000.0], [0.3, 0.2, 0.1]]), (5, 2, 3))
    answer = predict(logits)  # no warning for outputs that round to 0
    assert_close(answer.mutual_information, np.zeros(2))
    assert_close(answer.entropy, answer.expected_entropy)
    contradiction = predict(np.array([[[1000.0, 0.0]], [[0.0, 1000.0]]]))
    assert_close(contradiction.mutual_information, np.array([np.log(2)]))


@pytest.mark.equation("D16")
@given(seed=seeds)
def test_the_variance_over_masks_divides_by_T(seed: int) -> None:
    f = np.random.default_rng(seed).normal(size=(6, 3, 1))
    mean, variance = moments(f)
    assert_close(variance, (f**2).mean(axis=0) - mean**2)
    assert np.abs(variance - f.var(axis=0, ddof=1)).max() > 1e-3 * variance.max()


@pytest.mark.equation("D16")
@given(q=keep_probs, seed=seeds)
def test_model_precision_makes_the_training_loss_a_negative_log_posterior(q: float, seed: int) -> None:
    """tau N (||Z - T||^2 / 2N + lambda ||W||^2) = tau ||Z - T||^2 / 2 + q l^2 ||W||^2 / 2."""
    rng = np.random.default_rng(seed)
    N, length_scale, penalty = 50, float(rng.uniform(0.1, 3)), float(rng.uniform(1e-4, 1e-1))
    squares, norm = rng.uniform(1, 9, size=2)
    tau = model_precision(q, length_scale, N, penalty)
    assert_close(tau * N * (squares / (2 * N) + penalty * norm), tau * squares / 2 + q * length_scale**2 * norm / 2)


# ---- the bound that looks valid --------------------------------------------------------------------------------------


@pytest.mark.equation("N25")
def test_the_normal_bound_fails_more_often_than_it_says() -> None:
    """Exactly, by the binomial law of the number of dropped units: 10^-5 instead of 10^-9 at q = 0.999, n = 1000."""
    n, r = 1000, 0.001
    sigma = math.sqrt(r * (1 - r))

    def failure_probability(epsilon: float) -> float:
        outside = [k for k in range(n + 1) if abs(k / n - r) > epsilon]
        return math.fsum(
            math.exp(
                math.lgamma(n + 1)
                - math.lgamma(k + 1)
                - math.lgamma(n - k + 1)
                + k * math.log(r)
                + (n - k) * math.log1p(-r)
            )
            for k in outside
        )

    assert failure_probability(6.1094 * sigma / math.sqrt(n)) > 1e-6
    assert failure_probability(float(bernstein(n, 1.0, sigma**2))) <= DELTA
    assert failure_probability(hoeffding(n)) <= DELTA


@pytest.mark.equation("D15")
@pytest.mark.parametrize("n_masks", [1, 1000])
def test_monte_carlo_in_float32(n_masks: int) -> None:
    net = MLP((3, 4, 2), keep_prob=(0.8, 0.6))
    theta = net.init(np.random.default_rng(0))
    logits = monte_carlo(net, theta, np.ones((5, 3), np.float32), np.random.default_rng(1), n_masks)
    assert logits.dtype == np.float32 and logits.shape == (n_masks, 5, 2)
    assert isinstance(theta, Parameters)
    assert predict(logits).probabilities.dtype == np.float32
