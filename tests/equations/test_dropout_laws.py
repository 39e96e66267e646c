"""What dropout does to a loss, over all masks: a ridge penalty, noise of either kind, and the price of its misuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.dropout import inverted_dropout_forward, standard_dropout_forward
from numpynet.equations.linear import linear_backward, linear_forward
from numpynet.equations.losses import (
    softmax_cross_entropy_forward,
    squared_error_backward,
    squared_error_forward,
)
from tests.checks import assert_close
from tests.strategies import KEEP_PROBS, Draw, all_masks, binary, draws, keep_probs, mask_probabilities, seeds

# ---- what dropout adds to a loss -------------------------------------------------------------------------------------


def rows_of_all_masks(N: int, n: int) -> np.ndarray:
    """All 2^(N n) ways to drop n units, for each of N examples anew: (2^(N n), N, n)."""
    return all_masks(N * n).reshape(-1, N, n)


@pytest.mark.equation("D7")
@pytest.mark.parametrize("shared", [False, True])
@given(draw=draws())
def test_linear_regression_with_dropout_is_ridge_regression(shared: bool, draw: Draw) -> None:
    N, n, q, rng = 3, 3, draw.keep_prob, draw.rng()
    X, w, y = rng.normal(size=(N, n)), rng.normal(size=(n, 1)), rng.normal(size=(N, 1))
    masks = all_masks(n)[:, None, :] if shared else rows_of_all_masks(N, n)
    probability = mask_probabilities(masks.reshape(len(masks), -1), q)
    gram, ridge = X.T @ X, (1 - q) / q * np.diag((X**2).sum(axis=0))

    def expected(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean over all masks of |y - X w|^2, and its gradient."""
        z, cache = linear_forward(X, w, np.zeros(1), unit_mask=masks, keep_prob=q)
        loss, loss_cache = squared_error_forward(z, y)
        _, dw, _ = linear_backward(squared_error_backward(np.ones(len(masks)), loss_cache), cache)
        return 2 * N * probability @ loss, 2 * N * np.tensordot(probability, dw, 1)

    loss, _ = expected(w)
    assert_close(loss, ((y - X @ w) ** 2).sum() + (w.T @ ridge @ w)[0, 0])
    minimiser = np.linalg.solve(gram + ridge, X.T @ y)
    assert_close(expected(minimiser)[1], np.zeros((n, 1)), tolerance=1e-11)
    unscaled = linear_forward(standard_dropout_forward(X, masks)[0], w, np.zeros(1))[0]
    standard = probability @ ((y - unscaled) ** 2).sum(axis=(-2, -1))
    assert_close(standard, ((y - q * X @ w) ** 2).sum() + q**2 * (w.T @ ridge @ w)[0, 0])


@pytest.mark.equation("D8", "N15")
def test_one_mask_for_the_batch_has_the_same_mean_and_more_or_less_noise() -> None:
    N, n, q = 3, 3, 0.7
    signs = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X, w, y = rng.normal(size=(N, n)), rng.normal(size=(n, 1)), rng.normal(size=(N, 1))

        def gradients(masks: np.ndarray, X=X, w=w, y=y) -> np.ndarray:
            """The gradient of every example's own loss, for every mask: (masks, N, n)."""
            z, _ = linear_forward(X, w, np.zeros(1), unit_mask=masks, keep_prob=q)
            return (z - y) * inverted_dropout_forward(X, masks, q)[0]

        separate, shared = rows_of_all_masks(N, n), all_masks(n)[:, None, :]
        p_separate = mask_probabilities(separate.reshape(len(separate), -1), q)
        p_shared = mask_probabilities(shared[:, 0, :], q)
        g_separate, g_shared = gradients(separate), gradients(shared)
        mean = np.tensordot(p_shared, g_shared, 1)  # (N, n), of the single examples
        assert_close(np.tensordot(p_separate, g_separate, 1), mean)

        def total_variance(p: np.ndarray, g: np.ndarray, mean=mean) -> float:
            return p @ ((g.sum(axis=1) - mean.sum(axis=0)) ** 2).sum(axis=-1)

        deviation = g_shared - mean
        among_all = np.einsum("m,mik,mjk->ij", p_shared, deviation, deviation)
        covariances = among_all.sum() - np.trace(among_all)
        assert_close(
            total_variance(p_shared, g_shared) - total_variance(p_separate, g_separate), covariances, tolerance=1e-11
        )
        signs.add(np.sign(covariances))
    assert signs == {-1.0, 1.0}


@pytest.mark.equation("D31")
@given(draw=draws())
def test_each_dropout_layer_multiplies_the_second_moment(draw: Draw) -> None:
    """Over all masks and all signs of the weights; only their mean 0 and their variance matter."""
    n, q, sigma = 4, draw.keep_prob, 0.3
    h = draw.rng().normal(size=(1, n))
    W = sigma * (2 * all_masks(n) - 1).T[None, :, :]  # (1, n, 2^n): one column for each choice of signs
    masks = all_masks(n)
    z = linear_forward(h, W, np.zeros(2**n), unit_mask=masks[:, None, :], keep_prob=q)[0][:, 0, :]
    assert_close(mask_probabilities(masks, q) @ (z**2).mean(axis=-1), sigma**2 * (h**2).sum() / q)


# ---- mistakes, and what they cost ------------------------------------------------------------------------------------


@pytest.mark.equation("D28", "N24")
@pytest.mark.parametrize("scaled", [False, True])
@given(draw=draws())
def test_dropout_on_the_logits_puts_a_floor_under_the_loss(scaled: bool, draw: Draw) -> None:
    K, r = 5, 1 - draw.keep_prob
    masks = all_masks(K)
    probability = mask_probabilities(masks, draw.keep_prob)

    def expected_loss(logits: np.ndarray) -> float:
        dropped, _ = inverted_dropout_forward(logits, masks[:, None, :], draw.keep_prob if scaled else 1.0)
        return probability @ softmax_cross_entropy_forward(dropped, np.array([1]))[0]

    floor = r * sum(math.comb(K - 1, j) * r**j * (1 - r) ** (K - 1 - j) * math.log(1 + j) for j in range(K))
    best = np.full((1, K), -60.0)
    best[0, 1] = 60.0
    assert_close(expected_loss(best), floor)
    assert expected_loss(draw.rng().normal(scale=10, size=(1, K))) > floor
    # Without dropout a constant added to all logits changes nothing; with it, the loss.
    assert abs(expected_loss(best / 60 + 3) - expected_loss(best / 60)) > 1e-3


@pytest.mark.equation("D29")
@pytest.mark.parametrize("keep_prob", KEEP_PROBS)
@pytest.mark.parametrize("K", [4, 10])
def test_a_layer_that_returns_its_mask_has_a_loss_that_nothing_can_lower(keep_prob: float, K: int) -> None:
    masks, q = all_masks(K), keep_prob
    loss, _ = softmax_cross_entropy_forward(masks[:, None, :], np.array([2]))
    expected = sum(math.comb(K, k) * q**k * (1 - q) ** (K - k) * math.log(k * math.e + K - k) for k in range(K + 1))
    assert_close(mask_probabilities(masks, q) @ loss, expected - q)


@pytest.mark.equation("N24")
@given(keep_prob=keep_probs, seed=seeds)
def test_dropout_after_a_softmax_leaves_no_distribution(keep_prob: float, seed: int) -> None:
    """The row sums are not 1, and a dropped label costs infinitely much."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(5), size=3)
    mask = binary(rng, p.shape, keep_prob)
    y, _ = inverted_dropout_forward(p, mask, keep_prob)
    assert np.all(y[mask == 0] == 0)
    assert np.abs(y.sum(axis=-1) - 1).max() > 1e-6
