"""Standout (D26): the mean over all masks, the constant corner, and evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.activations import relu, tanh
from numpynet.equations.linear import linear_forward
from numpynet.equations.noise import sample_uniform
from numpynet.equations.standout import standout_forward, standout_keep_prob
from tests.checks import assert_close
from tests.dropout.bounds import hoeffding
from tests.strategies import all_masks, keep_probs, seeds


def layer(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, 4)), rng.normal(size=(4, 6)), rng.normal(size=6)


@pytest.mark.equation("D26")
@given(seed=seeds)
@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.4), (-1.0, 0.2), (1.0, 0.0)])
def test_the_mean_over_all_masks_is_g_times_the_unit(alpha: float, beta: float, seed: int) -> None:
    """Every mask is made to happen by its own uniform numbers, and counts with its probability given x."""
    x, W, b = layer(seed)
    g = 1 / (1 + np.exp(-(alpha * (x @ W) + beta)))[0]
    assert_close(standout_keep_prob(x @ W, alpha=alpha, beta=beta)[0], g)
    masks = all_masks(6)
    probability = np.where(masks == 1, g, 1 - g).prod(axis=-1)
    uniform = np.where(masks == 1, g / 2, (1 + g) / 2)[:, None, :]  # below g and above
    z, cache = standout_forward(x, W, b, uniform, alpha=alpha, beta=beta)
    assert np.array_equal(cache.gate[:, 0], masks)
    plain, _ = linear_forward(x, W, b)
    assert_close(np.tensordot(probability, z, axes=1), g * plain)
    assert_close(standout_forward(x, W, b, None, alpha=alpha, beta=beta)[0], g * plain)
    # Behind ReLU, too: mean of the dropped activations = activation of the evaluation net. Not behind tanh.
    evaluation = standout_forward(x, W, b, None, alpha=alpha, beta=beta)[0]
    assert_close(np.tensordot(probability, relu.forward(z)[0], axes=1), relu.forward(evaluation)[0])
    assert np.abs(np.tensordot(probability, tanh.forward(z)[0], axes=1) - tanh.forward(evaluation)[0]).max() > 1e-6


@pytest.mark.equation("D26")
@given(q=keep_probs, seed=seeds)
def test_alpha_zero_is_dropout_with_a_constant_keep_prob(q: float, seed: int) -> None:
    x, W, b = layer(seed)
    uniform = sample_uniform(np.random.default_rng(seed), (1, 6), dtype=np.float64)
    z, _ = standout_forward(x, W, b, uniform, alpha=0.0, beta=float(np.log(q / (1 - q))))
    expected = np.where(uniform < q, 1.0, 0.0) * linear_forward(x, W, b)[0]
    assert np.array_equal(z, expected)


@pytest.mark.equation("D26")
def test_units_stay_as_often_as_their_input_says() -> None:
    T = 50_000
    x, W, b = layer(3)
    uniform = sample_uniform(np.random.default_rng(4), (T, 1, 6), dtype=np.float64)
    _, cache = standout_forward(x, W, b, uniform, alpha=1.0, beta=-0.5)
    g = standout_keep_prob(x @ W, alpha=1.0, beta=-0.5)
    assert np.abs(cache.gate.mean(axis=0) - g).max() <= hoeffding(T, statements=6)
    assert g.max() - g.min() > 0.3  # they differ


def test_wrong_settings() -> None:
    x, W, b = layer(0)
    u = np.full((1, 6), 0.5)
    with pytest.raises(ValueError, match="alpha is nan, but a finite number"):
        standout_forward(x, W, b, u, alpha=float("nan"), beta=0.0)
    with pytest.raises(ValueError, match="beta is inf, but a finite number"):
        standout_forward(x, W, b, u, alpha=1.0, beta=float("inf"))
