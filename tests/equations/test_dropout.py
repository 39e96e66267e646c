"""Dropout and DropConnect: the law of the mask by enumeration and by statistics, and the two conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.dropout import (
    dropconnect_backward,
    dropconnect_forward,
    inverted_dropout_backward,
    inverted_dropout_forward,
    standard_dropout_evaluate,
    standard_dropout_forward,
)
from numpynet.equations.linear import linear_backward, linear_forward
from numpynet.equations.masks import sample_mask
from tests.checks import assert_close, random_like
from tests.pairs import connected, dense, dropped
from tests.strategies import KEEP_PROBS, Draw, all_masks, draws, mask_probabilities, seeds

DELTA = 1e-9  # the probability with which a correct draw may fail a statistical test, for all statements of one test


def hoeffding(n: int, statements: int = 1) -> float:
    """How far the mean of n independent numbers in [0, 1] may be from its expectation."""
    return math.sqrt(math.log(2 * statements / DELTA) / (2 * n))


@pytest.mark.equation("D1")
@given(draw=draws())
def test_mean_and_variance_of_a_dropped_unit_over_all_masks(draw: Draw) -> None:
    n, q = 7, draw.keep_prob
    h = draw.rng().normal(size=n)
    masks = all_masks(n)
    probability = mask_probabilities(masks, q)
    assert_close(probability.sum(), 1.0)
    y = inverted_dropout_forward(h[None, :], masks[:, None, :], q)[0][:, 0, :]  # (2^n, n)
    mean = probability @ y
    assert_close(mean, h)
    assert_close(probability @ (y - mean) ** 2, h**2 * (1 - q) / q)


@pytest.mark.equation("D1")
@pytest.mark.parametrize("keep_prob", KEEP_PROBS)
def test_every_mask_is_drawn_as_often_as_the_law_says(keep_prob: float) -> None:
    """Units are independent: all 2^4 patterns have their frequencies, not only the single units."""
    draws_of_masks = sample_mask(np.random.default_rng(1), (200_000, 4), keep_prob)
    counts = np.bincount(draws_of_masks.astype(int) @ (1 << np.arange(4)), minlength=16)
    expected = mask_probabilities(all_masks(4), keep_prob)
    assert np.abs(counts / len(draws_of_masks) - expected).max() <= hoeffding(len(draws_of_masks), 16)


@pytest.mark.equation("D6")
@pytest.mark.parametrize("keep_prob", [*KEEP_PROBS, 0.001, 0.999])
def test_keep_frequency(keep_prob: float) -> None:
    mask = sample_mask(np.random.default_rng(0), (1000, 1000), keep_prob)
    assert abs(mask.mean(dtype=np.float64) - keep_prob) <= hoeffding(mask.size)


@pytest.mark.equation("D1", "B3")
@given(draw=draws())
def test_survivors_are_divided_by_keep_prob_and_the_rest_is_zero(draw: Draw) -> None:
    a = dropped(draw)
    y, cache = inverted_dropout_forward(**a)
    kept = a["unit_mask"] == 1
    assert_close(y[kept], a["h"][kept] / draw.keep_prob)
    assert not y[~kept].any()
    # Self-adjoint: backward is the same map as forward.
    u = random_like(y, draw.seed)
    assert_close((u * y).sum(), (inverted_dropout_backward(u, cache) * a["h"]).sum())
    assert np.array_equal(inverted_dropout_backward(a["h"], cache), y)


@pytest.mark.equation("D1")
@given(seed=seeds)
def test_keep_prob_one_changes_no_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(4, 3)).astype(np.float32)
    y, _ = inverted_dropout_forward(h, sample_mask(rng, (4, 3), 1.0), 1.0)
    assert np.array_equal(y, h)


@pytest.mark.equation("B3")
@given(draw=draws())
def test_it_is_what_the_linear_layer_has_built_in(draw: Draw) -> None:
    a, d = dense(draw), dropped(draw)
    before, dropout_cache = inverted_dropout_forward(**d)
    y, cache = linear_forward(before, a["W"], a["b"])
    dy = random_like(y, draw.seed)
    dx, dW, db = linear_backward(dy, cache)
    y_built_in, cache = linear_forward(**a, unit_mask=d["unit_mask"], keep_prob=d["keep_prob"])
    dx_built_in, dW_built_in, db_built_in = linear_backward(dy, cache)
    assert np.array_equal(y, y_built_in)
    assert np.array_equal(inverted_dropout_backward(dx, dropout_cache), dx_built_in)
    assert np.array_equal(dW, dW_built_in) and np.array_equal(db, db_built_in)


@pytest.mark.equation("D2")
@given(draw=draws())
def test_standard_dropout_is_inverted_dropout_with_weights_scaled_by_q(draw: Draw) -> None:
    a, d, q = dense(draw), dropped(draw)["unit_mask"], draw.keep_prob
    standard, _ = linear_forward(standard_dropout_forward(a["x"], d)[0], a["W"], a["b"])
    inverted, _ = linear_forward(a["x"], q * a["W"], a["b"], unit_mask=d, keep_prob=q)
    assert_close(standard, inverted)
    standard, _ = linear_forward(standard_dropout_evaluate(a["x"], q), a["W"], a["b"])
    inverted, _ = linear_forward(a["x"], q * a["W"], a["b"])
    assert_close(standard, inverted)


@pytest.mark.equation("D1", "D2")
@given(draw=draws())
def test_evaluation_is_the_mean_over_all_masks_in_both_conventions(draw: Draw) -> None:
    n, q = 6, draw.keep_prob
    h = draw.rng().normal(size=(1, n))
    masks = all_masks(n)[:, None, :]
    probability = mask_probabilities(masks, q)
    assert_close((probability[..., None] * standard_dropout_forward(h, masks)[0]).sum(axis=0), q * h)
    assert_close(standard_dropout_evaluate(h, q), q * h)
    assert_close((probability[..., None] * inverted_dropout_forward(h, masks, q)[0]).sum(axis=0), h)


@pytest.mark.equation("D17")
@given(draw=draws())
def test_dropconnect_mean_and_covariance_over_all_masks(draw: Draw) -> None:
    q, rng = draw.keep_prob, draw.rng()
    h, W, b = rng.normal(size=(1, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    masks = all_masks(6)
    probability = mask_probabilities(masks, q)
    connections = masks.reshape(-1, 1, 3, 2)
    z = dropconnect_forward(h, W, b, connections)[0][:, 0, :]  # (2^6, 2), unscaled as in the paper
    mean = probability @ z
    assert_close(mean, q * (h @ W)[0] + b)
    covariance = (z - mean).T @ (probability[:, None] * (z - mean))
    assert_close(covariance, np.diag(q * (1 - q) * (h**2 @ W**2)[0]))  # the outputs are independent, unlike D3
    scaled = dropconnect_forward(h, W, b, connections, keep_prob=q)[0][:, 0, :]
    assert_close(probability @ scaled, (h @ W)[0] + b)


@pytest.mark.equation("D17", "M5")
@given(draw=draws())
def test_dropconnect_is_a_weight_mask_for_each_example(draw: Draw) -> None:
    a = connected(draw)
    z, cache = dropconnect_forward(**a)
    dz = random_like(z, draw.seed)
    dx, dW, db = dropconnect_backward(dz, cache)
    dW_sum, db_sum = np.zeros_like(dW), np.zeros_like(db)
    for n in range(draw.N):
        C = a["connection_mask"][n]
        z_n, cache_n = linear_forward(a["x"][[n]], a["W"] / draw.keep_prob, a["b"], weight_mask=C)
        dx_n, dW_n, db_n = linear_backward(dz[[n]], cache_n)
        assert_close(z[[n]], z_n)
        assert_close(dx[[n]], dx_n)
        dW_sum += dW_n / draw.keep_prob
        db_sum += db_n
    assert_close(dW, dW_sum)
    assert_close(db, db_sum)


@pytest.mark.equation("D17")
@given(draw=draws())
def test_a_dropconnect_mask_that_the_batch_shares_may_be_written_out(draw: Draw) -> None:
    a = connected(draw, shared=True)
    written_out = a | {"connection_mask": np.repeat(a["connection_mask"], draw.N, axis=0)}
    (z, cache), (z_out, cache_out) = dropconnect_forward(**a), dropconnect_forward(**written_out)
    assert_close(z, z_out)
    dz = random_like(z, draw.seed)
    for gradient, same in zip(dropconnect_backward(dz, cache), dropconnect_backward(dz, cache_out), strict=True):
        assert_close(gradient, same)
