"""Noise on weights: DropConnect (D17), Gaussian dropout (D18), variational dropout (D19) and its divergence (D20)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from numpynet.equations.dropout import dropconnect_forward
from numpynet.equations.gaussian_dropout import (
    gaussian_dropout_backward,
    gaussian_dropout_forward,
    sample_gaussian_noise,
)
from numpynet.equations.losses import squared_error
from numpynet.equations.noise import sample_normal
from numpynet.equations.variational_dropout import (
    PRUNE_ABOVE,
    log_alpha_of,
    variational_dropout_backward,
    variational_dropout_forward,
    variational_kl_forward,
    variational_mask,
)
from tests.checks import assert_close
from tests.dropout.bounds import chi_squared, normal, normal_product
from tests.strategies import KEEP_PROBS, all_masks, keep_probs, mask_probabilities, seeds


def signs(n: int) -> np.ndarray:
    """All 2^n vectors of -1 and 1. Their mean is that of standard normal numbers for everything up to third degree."""
    return 2 * all_masks(n) - 1


# ---- DropConnect -----------------------------------------------------------------------------------------------------


@pytest.mark.equation("D17")
@given(q=keep_probs, seed=seeds)
def test_dropconnect_has_its_mean_and_independent_outputs(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, W, b = rng.normal(size=(1, 2)), rng.normal(size=(2, 3)), rng.normal(size=3)
    C = all_masks(6)
    probability = mask_probabilities(C, q)
    z = dropconnect_forward(h, W, b, C.reshape(-1, 1, 2, 3))[0][:, 0]  # (2^6, 3), unscaled
    deviation = z - (q * (h @ W) + b)
    assert_close(probability @ deviation, np.zeros(3))
    covariance = deviation.T @ (probability[:, None] * deviation)
    assert_close(covariance, np.diag(q * (1 - q) * (h**2 @ W**2)[0]))


def standard_normal_cdf(t: float) -> float:
    return math.erfc(-t / math.sqrt(2)) / 2


@pytest.mark.equation("D17")
@pytest.mark.parametrize("q", [0.8, 0.6, 0.3])
def test_the_normal_match_of_dropconnect_inference(q: float) -> None:
    """E relu(z) over all 2^14 masks against mu Phi(mu / s) + s phi(mu / s), which takes z for normal.

    By Stein's method the two differ by at most 3 sum of E|X_i|^3 / s^2 for the centred terms X_i of z. How much better
    it really is depends on the weights: against relu(mu), which forgets the noise, it wins here by a factor of 4.
    """
    n = 14
    C = all_masks(n)
    probability = mask_probabilities(C, q)
    match_errors, plain_errors = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        h, W = rng.uniform(0.5, 1, (1, n)), rng.choice([-1.0, 1.0], (n, 1)) * rng.uniform(0.5, 1, (n, 1))
        z = dropconnect_forward(h, W, np.zeros(1), C[:, None, :, None])[0][:, 0, 0]
        exact = probability @ np.maximum(z, 0)
        mu, s = q * (h @ W).item(), math.sqrt(q * (1 - q) * (h**2 @ W**2).item())
        density = math.exp(-((mu / s) ** 2) / 2) / math.sqrt(2 * math.pi)
        match = mu * standard_normal_cdf(mu / s) + s * density
        third_moments = q * (1 - q) * (q**2 + (1 - q) ** 2) * (np.abs(h[0] * W[:, 0]) ** 3).sum()
        assert abs(exact - match) <= 3 * third_moments / s**2
        match_errors.append(abs(exact - match))
        plain_errors.append(abs(exact - max(mu, 0.0)))
    assert np.mean(match_errors) < np.mean(plain_errors) / 4


# ---- Gaussian dropout ------------------------------------------------------------------------------------------------


@pytest.mark.equation("D18")
@pytest.mark.parametrize("q", [*KEEP_PROBS, 0.99])
def test_mean_and_variance_of_gaussian_noise(q: float) -> None:
    n, variance = 200_000, (1 - q) / q
    noise = sample_gaussian_noise(np.random.default_rng(5), (n,), q, dtype=np.float64)
    assert abs(noise.mean() - 1) <= normal(n, variance, statements=2)
    assert abs(((noise - 1) ** 2).mean() / variance - 1) <= chi_squared(n, statements=2)


@pytest.mark.equation("D18")
def test_gaussian_noise_at_keep_prob_one_is_exactly_one() -> None:
    for dtype in (np.float32, np.float64):
        noise = sample_gaussian_noise(np.random.default_rng(0), (30, 4), 1.0, dtype=dtype)
        assert np.array_equal(noise, np.ones((30, 4), dtype))


@pytest.mark.equation("D18", "D7")
@given(q=keep_probs, seed=seeds)
def test_gaussian_dropout_has_the_expected_squared_error_and_gradient_of_dropout(q: float, seed: int) -> None:
    """The loss is quadratic in the noise, so two points of the right mean and variance stand for the normal law."""
    N, n = 4, 3
    rng = np.random.default_rng(seed)
    x, w, y = rng.normal(size=(N, n)), rng.normal(size=(n, 1)), rng.normal(size=(N, 1))
    noise = (1 + ((1 - q) / q) ** 0.5 * signs(N * n)).reshape(-1, N, n)
    mask = all_masks(N * n).reshape(-1, N, n) / q  # binary noise d / q
    expected = ((y - x @ w) ** 2).sum() + (1 - q) / q * (x**2 @ w**2).sum()
    results = []
    for xi, probability in (
        (noise, np.full(len(noise), 1 / len(noise))),
        (mask, mask_probabilities(all_masks(N * n), q)),
    ):
        z, cache = gaussian_dropout_forward(x, w, np.zeros(1), xi)
        loss, loss_cache = squared_error.forward(z, y)
        _, dw, _ = gaussian_dropout_backward(squared_error.backward(np.ones(len(xi)), loss_cache), cache)
        results.append(np.tensordot(probability, dw, axes=1))
        assert_close(2 * N * (probability @ loss), expected)
    assert_close(results[0], results[1])


# ---- variational dropout ---------------------------------------------------------------------------------------------


@pytest.mark.equation("D19")
@given(q=keep_probs, seed=seeds)
def test_local_reparametrisation_has_the_moments_of_noisy_weights(q: float, seed: int) -> None:
    """z is linear in the noise, so all signs of it give mean and covariance exactly, also between two examples."""
    rng = np.random.default_rng(seed)
    h, theta, b = rng.normal(size=(2, 4)), rng.normal(size=(4, 1)), rng.normal(size=1)
    alpha = (1 - q) / q
    assert_close(np.exp(log_alpha_of(q)), alpha)
    noisy_weights = theta * (1 + alpha**0.5 * signs(4)[..., None])  # (2^4, 4, 1)
    local_noise = signs(2)[..., None]  # (2^2, 2, 1): a number for each example
    z_weights = (h @ noisy_weights)[..., 0] + b  # (2^4, 2)
    z_local = variational_dropout_forward(h, theta, b, local_noise, log_alpha=log_alpha_of(q))[0][..., 0]
    mean = (h @ theta + b)[:, 0]
    assert_close(z_weights.mean(axis=0), mean)
    assert_close(z_local.mean(axis=0), mean)
    shared = np.cov(z_weights.T, bias=True)
    local = np.cov(z_local.T, bias=True)
    assert_close(shared, alpha * (h * theta[:, 0] ** 2) @ h.T)  # one draw of the weights ties the examples
    assert_close(local, np.diag(np.diag(shared)))  # own draws do not


@pytest.mark.equation("D19")
def test_local_reparametrisation_with_drawn_noise() -> None:
    T, rng = 200_000, np.random.default_rng(11)
    h, theta, log_alpha = rng.uniform(0.5, 1, (2, 5)), rng.normal(size=(5, 1)), log_alpha_of(0.7)
    noise = sample_normal(rng, (T, 2, 1), dtype=np.float64)
    z = variational_dropout_forward(h, theta, np.zeros(1), noise, log_alpha=log_alpha)[0][..., 0]
    weights = theta[:, 0] * (1 + np.exp(log_alpha / 2) * sample_normal(rng, (T, 5), dtype=np.float64))
    z_shared = weights @ h.T
    variance = np.exp(log_alpha) * (h**2 @ theta**2)[:, 0]
    covariance = float(np.exp(log_alpha) * (h[0] * h[1] * theta[:, 0] ** 2).sum())
    mean = (h @ theta)[:, 0]
    for values, expected in ((z, 0.0), (z_shared, covariance)):
        product = ((values - mean)[:, 0] * (values - mean)[:, 1]).mean()
        assert abs(product - expected) <= normal_product(T, *variance, expected, statements=2)
    assert abs(covariance) > 2 * normal_product(T, *variance, 0.0, statements=2)  # so the two cannot be confused


@pytest.mark.equation("D19")
def test_no_signal_no_noise_and_no_nan() -> None:
    """Where the variance is 0 the square root has no slope; the gradient of the missing noise is 0."""
    x, W = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[0.0, 1.0], [0.0, 3.0]])
    z, cache = variational_dropout_forward(x, W, np.ones(2), np.full((2, 2), 0.7), log_alpha=0.0)
    dx, dW, _ = variational_dropout_backward(np.ones((2, 2)), cache)
    assert np.array_equal(z[:, 0], np.ones(2)) and z[0, 1] == 1
    assert np.isfinite(dx).all() and np.isfinite(dW).all()
    assert np.array_equal(dW[:, 0], x.sum(axis=0))


# ---- its divergence --------------------------------------------------------------------------------------------------


def exact_negative_kl(log_alpha: float) -> float:
    """-KL(N(theta, alpha theta^2) || log-uniform), up to the constant that makes it 0 for alpha to infinity.

    It is E log|g| - E log|g + mu| for a standard normal g and mu = alpha^(-1/2). (g + mu)^2 is chi-squared with a
    Poisson number j (mean mu^2 / 2) of pairs of degrees of freedom more, and E log chi^2_{1 + 2 j} is the digamma function
    at j + 1/2 plus log 2.
    """
    half = math.exp(-log_alpha) / 2  # mu^2 / 2
    total, difference = 0.0, 0.0  # difference: digamma(j + 1/2) - digamma(1/2)
    for j in range(int(half + 40 * math.sqrt(half) + 60)):
        total += math.exp(-half + j * math.log(half) - math.lgamma(j + 1)) * difference
        difference += 1 / (j + 0.5)
    return -total / 2


@pytest.mark.equation("D20")
def test_the_approximate_divergence_is_within_a_hundredth() -> None:
    log_alphas = np.linspace(-7.5, 7.5, 61)
    approximate = np.array([float(variational_kl_forward(np.array([[t]]))[0]) for t in log_alphas])
    exact = np.array([-exact_negative_kl(t) for t in log_alphas])
    worst = np.abs(approximate - exact).max()
    assert worst < 0.01, worst
    assert (np.diff(approximate) < 0).all()  # more noise costs less
    assert abs(variational_kl_forward(np.array([[60.0]]))[0]) < 1e-12


@pytest.mark.equation("D20")
@pytest.mark.parametrize("log_alpha", [-2.0, 0.5, 3.0])
def test_the_exact_divergence_by_quadrature(log_alpha: float) -> None:
    """A test of the test: E log|g + mu| rises in mu with the slope sqrt 2 F(mu / sqrt 2), F Dawson's function.

    F(t) is the integral of exp(s^2 - t^2) over s from 0 to t, so this is a double integral over smooth functions.
    """
    mu = math.exp(-log_alpha / 2)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    nodes, weights = (nodes + 1) / 2, weights / 2  # on [0, 1]
    t = mu * nodes[:, None] / math.sqrt(2)  # the outer variable, as a column
    dawson = (t * np.exp((t * nodes) ** 2 - t**2)) @ weights
    assert_close(exact_negative_kl(log_alpha), -mu * (weights @ (math.sqrt(2) * dawson)))


@pytest.mark.equation("D20")
def test_pruning_begins_where_dropout_would_drop_all_but_everything() -> None:
    log_alpha = np.array([[-1.0, 2.99, PRUNE_ABOVE, 3.01]])
    assert np.array_equal(variational_mask(log_alpha), np.array([[1.0, 1.0, 1.0, 0.0]]))
    drop_prob = 1 / (1 + math.exp(-PRUNE_ABOVE))  # alpha / (1 + alpha)
    assert round(drop_prob, 4) == 0.9526
    assert_close(log_alpha_of(1 - drop_prob), PRUNE_ABOVE)
    with pytest.raises(ValueError, match="log_alpha holds NaN"):
        variational_mask(np.array([[np.nan]]))


@pytest.mark.equation("D20")
@settings(max_examples=10)
@given(seed=seeds)
def test_pruned_weights_do_not_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_alpha, mask = rng.normal(size=(4, 3)), (rng.random((4, 3)) < 0.6).astype(float)
    alone = sum(float(variational_kl_forward(t.reshape(1, 1))[0]) for t in log_alpha[mask == 1])
    assert_close(variational_kl_forward(log_alpha, weight_mask=mask)[0], alone)
