"""Alpha dropout and SELU keep mean 0 and variance 1 (D21)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.alpha_dropout import alpha_dropout_forward, alpha_dropout_scale
from numpynet.equations.masks import sample_mask
from numpynet.equations.selu import SELU_FLOOR, selu, selu_forward
from tests.checks import assert_close
from tests.strategies import keep_probs, seeds


@pytest.mark.equation("D21")
@given(q=keep_probs)
def test_mean_zero_and_variance_one_are_kept(q: float) -> None:
    """Exactly, over all masks and an input of -1 and 1, through the layer itself (W = 1, b = 0)."""
    x, d = np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([[0.0], [1.0], [0.0], [1.0]])
    probability = np.array([1 - q, q, 1 - q, q]) / 2
    y = alpha_dropout_forward(x, np.ones((1, 1)), np.zeros(1), d, keep_prob=q)[0][:, 0]
    assert_close(probability @ y, 0.0)
    assert_close(probability @ y**2, 1.0)
    inverted = (d * x / q)[:, 0]  # ordinary dropout keeps the mean only
    assert probability @ inverted**2 > 1.05


@pytest.mark.equation("D21")
@given(q=keep_probs)
def test_a_dropped_unit_gets_the_floor_of_selu(q: float) -> None:
    a, c = alpha_dropout_scale(q)
    assert_close(a, 1 / math.sqrt(q * (1 + SELU_FLOOR**2 * (1 - q))))
    dropped = alpha_dropout_forward(np.full((1, 1), 5.0), np.ones((1, 1)), np.zeros(1), np.zeros((1, 1)), keep_prob=q)
    assert_close(dropped[0].item(), a * SELU_FLOOR + c)
    assert_close(SELU_FLOOR, -1.7580993408473766)
    assert_close(selu_forward(np.array([[-800.0]]))[0].item(), SELU_FLOOR)


@pytest.mark.equation("D21")
@given(seed=seeds)
def test_keep_prob_one_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, mask = rng.normal(size=(3, 4)), sample_mask(rng, (3, 4), 1.0, dtype=np.float64)
    assert alpha_dropout_scale(1.0) == (1.0, 0.0)
    assert_close(alpha_dropout_forward(x, np.eye(4), np.zeros(4), mask, keep_prob=1.0)[0], x)


@pytest.mark.equation("D21")
def test_selu_maps_a_standard_normal_to_mean_zero_and_variance_one() -> None:
    """Gauss-Legendre on both sides of the kink; beyond 12 standard deviations there is nothing."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    first = second = 0.0
    for low, high in ((-12.0, 0.0), (0.0, 12.0)):
        z = (high - low) / 2 * nodes + (high + low) / 2
        density = (high - low) / 2 * weights * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        h = selu.forward(z[None, :])[0][0]
        first += float(density @ h)
        second += float(density @ h**2)
    assert abs(first) <= 1e-12 and abs(second - 1) <= 1e-12


@pytest.mark.equation("D21")
def test_a_deep_selu_net_keeps_its_moments_under_alpha_dropout_and_not_under_dropout() -> None:
    """Ten layers of weights with variance 1 / d_in: the second moment stays near 1, while ordinary dropout raises it."""
    rng, q, d = np.random.default_rng(0), 0.8, 300
    with_alpha = ordinary = rng.normal(size=(200, d))
    for _ in range(10):
        W, mask = rng.normal(size=(d, d)) / math.sqrt(d), sample_mask(rng, (200, d), q, dtype=np.float64)
        with_alpha = selu.forward(alpha_dropout_forward(with_alpha, W, np.zeros(d), mask, keep_prob=q)[0])[0]
        ordinary = selu.forward((mask * ordinary / q) @ W)[0]
    assert 0.8 < (with_alpha**2).mean() < 1.25
    assert (ordinary**2).mean() > 1.5
