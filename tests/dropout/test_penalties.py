"""What dropout does to a linear model, as a penalty: D7 (regression), D9 (logistic), D14 (Baldi and Sadowski)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from numpynet.equations.logistic import logistic_loss, softplus
from numpynet.equations.losses import squared_error
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.subnetworks import every_subnetwork, list_subnetworks, without_scale
from tests.checks import assert_close
from tests.dropout.nets import losses_and_gradients
from tests.strategies import all_masks, keep_probs, mask_probabilities, seeds


def regression(w: np.ndarray, q: float) -> tuple[MLP, Parameters]:
    """The linear model x w, without a bias."""
    net = MLP((len(w), 1), keep_prob=(q,))
    return net, Parameters(np.append(w, 0.0), net.layout)


@pytest.mark.equation("D7")
@given(q=keep_probs, seed=seeds)
def test_dropout_on_a_linear_regression_is_ridge_regression(q: float, seed: int) -> None:
    """Twice N times our loss is the squared norm. All masks of the batch are listed: shared, and a row for each example."""
    N, n = 4, 3
    rng = np.random.default_rng(seed)
    X, y, w = rng.normal(size=(N, n)), rng.normal(size=(N, 1)), rng.normal(size=n)
    squared_gamma = np.diag(X.T @ X)
    expected = ((y[:, 0] - X @ w) ** 2).sum() + (1 - q) / q * (squared_gamma * w**2).sum()
    standard = ((y[:, 0] - q * X @ w) ** 2).sum() + q * (1 - q) * (squared_gamma * w**2).sum()
    net, theta = regression(w, q)
    own = all_masks(N * n)
    for masks, probability in (
        list_subnetworks(net),
        ([own.reshape(-1, N, n)], mask_probabilities(own, q)),
    ):
        loss, _ = losses_and_gradients(net, theta, X, y, squared_error, masks)
        assert_close(2 * N * (probability @ loss), expected)
        loss, _ = losses_and_gradients(without_scale(net), theta, X, y, squared_error, masks)
        assert_close(2 * N * (probability @ loss), standard)


@pytest.mark.equation("D7")
@given(q=keep_probs, seed=seeds)
def test_the_minimiser_of_the_expected_loss_is_in_closed_form(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 1))
    w = np.linalg.solve(X.T @ X + (1 - q) / q * np.diag(np.diag(X.T @ X)), X.T @ y)[:, 0]
    net, theta = regression(w, q)
    masks, probability = list_subnetworks(net)
    _, gradients = losses_and_gradients(net, theta, X, y, squared_error, masks)
    assert_close((probability @ gradients)[:-1], np.zeros(4))  # the last entry belongs to the bias, which is not there
    elsewhere, theta = regression(w + 0.1, q)
    _, gradients = losses_and_gradients(elsewhere, theta, X, y, squared_error, masks)
    assert np.abs((probability @ gradients)[:-1]).max() > 1e-3


# ---- the adaptive penalty of logistic regression ---------------------------------------------------------------------


def penalty(X: np.ndarray, beta: np.ndarray, q: float) -> tuple[float, float]:
    """R = sum over n of E A(x~ beta) - A(x beta) with A = softplus, and its second-order approximation."""
    net, theta = regression(beta, q)
    z, probability = every_subnetwork(net, theta, X)  # (2^n, N, 1)
    exact = (probability @ softplus(z)[..., 0] - softplus(X @ beta)).sum()
    sigma = 1 / (1 + np.exp(-X @ beta))
    approximate = 0.5 * (1 - q) / q * (sigma * (1 - sigma) * (X**2 @ beta**2)).sum()
    return float(exact), float(approximate)


@pytest.mark.equation("D9")
@given(q=keep_probs, seed=seeds)
def test_dropout_on_a_logistic_regression_adds_a_penalty_that_knows_no_labels(q: float, seed: int) -> None:
    N, n = 5, 4
    rng = np.random.default_rng(seed)
    X, beta = rng.normal(size=(N, n)), rng.normal(size=n)
    R, _ = penalty(X, beta, q)
    assert R >= 0
    net, theta = regression(beta, q)
    masks, probability = list_subnetworks(net)
    for _ in range(2):  # two sets of labels, one penalty
        labels = rng.integers(0, 2, (N, 1)).astype(float)
        dropped, _ = losses_and_gradients(net, theta, X, labels, logistic_loss, masks)
        plain, _ = logistic_loss.forward(net.forward(theta, X)[0], labels)
        assert_close(N * (probability @ dropped), N * plain + R)


@pytest.mark.equation("D9")
@settings(max_examples=10)
@given(q=keep_probs, seed=seeds)
def test_for_small_weights_the_penalty_is_an_adaptive_l2(q: float, seed: int) -> None:
    """The ratio goes to 1 with the square of the weights."""
    rng = np.random.default_rng(seed)
    X, beta = rng.normal(size=(5, 4)), rng.normal(size=4)
    distance = []
    for scale in (0.1, 0.01):
        exact, approximate = penalty(X, scale * beta, q)
        distance.append(abs(exact / approximate - 1))
    assert distance[0] < 0.1 and distance[1] < 0.001
    assert distance[1] < distance[0] / 20 or distance[1] < 1e-8


@pytest.mark.equation("D14")
@given(q=keep_probs, seed=seeds)
def test_the_error_of_dropout_is_that_of_the_ensemble_plus_a_variance(q: float, seed: int) -> None:
    """A linear unit with unscaled masks: E (t - O)^2 / 2 = (t - E O)^2 / 2 + sum of q (1 - q) w^2 I^2 / 2."""
    rng = np.random.default_rng(seed)
    I, w, target = rng.normal(size=(1, 6)), rng.normal(size=6), rng.normal(size=(1, 1))
    net, theta = regression(w, q)
    masks, probability = list_subnetworks(net)
    error, _ = losses_and_gradients(without_scale(net), theta, I, target, squared_error, masks)
    ensemble = 0.5 * (target.item() - q * (I[0] @ w)) ** 2
    assert_close(probability @ error, ensemble + 0.5 * (q * (1 - q) * w**2 * I[0] ** 2).sum())
