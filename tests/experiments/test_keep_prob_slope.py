"""The slope of the expected loss in keep_prob: the estimate against the list of all masks, differentiated by complex step."""

import itertools

import numpy as np
import pytest

from numpynet.data.dataset import Split
from numpynet.experiments import keep_prob_slope
from numpynet.experiments.keep_prob_slope import LayerSlopes, Slopes, layer_slopes, slope_remark
from numpynet.gradcheck.numeric import complex_step
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.statistics import t_interval

SIZES, Q = (3, 4, 2, 5), (0.7, 0.4)
RNG = np.random.default_rng(8)
SPLIT = Split(RNG.standard_normal((6, 3)), RNG.integers(0, 5, 6))
MASKS = np.array(list(itertools.product([0.0, 1.0], repeat=6)))  # 4 units of the first hidden layer, 2 of the second


def net_and_theta(keep_probs=Q):
    net = MLP(SIZES, keep_prob=(None, *keep_probs))
    theta = net.init(np.random.default_rng(1), dtype=np.float64)
    theta.vector[:] += 1.5 * np.random.default_rng(2).standard_normal(theta.vector.size)  # biases are not 0
    return net, theta


def expected_loss(theta, of_masks, of_scale):
    """E L over all 2^6 masks by hand; the two roles of q apart, each (2,), possibly complex."""
    total = 0.0
    for mask in MASKS:
        parts = mask[:4], mask[4:]
        weight = np.prod([np.prod(np.where(d == 1, q, 1 - q)) for d, q in zip(parts, of_masks)])
        h = SPLIT.x
        for layer, (d, scale) in enumerate(zip((np.ones(3), *parts), (1.0, *of_scale)), start=1):
            z = (h * d / scale) @ theta[f"W{layer}"] + theta[f"b{layer}"]
            h = z * (z.real > 0)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        total += weight * -log_p[np.arange(6), SPLIT.y].mean()
    return total


def exact(theta, keep_probs=Q):
    q = np.array(keep_probs)
    return (
        complex_step(lambda v: expected_loss(theta, v, q), q),
        complex_step(lambda v: expected_loss(theta, q, v), q),
    )


def estimate(net, theta, *, runs=100, n_masks=30, slopes=layer_slopes):
    """The mean over runs with its standard error, masks and scale apart, each (2,)."""
    stack = Parameters(np.tile(theta.vector, (runs, 1)), net.layout)
    found = slopes(net, stack, SPLIT, np.random.default_rng(3), n_masks=n_masks)
    return [(part.mean(axis=1), part.std(axis=1, ddof=1) / np.sqrt(runs)) for part in (found.masks, found.scale)]


@pytest.mark.equation("M8", "M7")
@pytest.mark.parametrize("keep_probs", [Q, (0.25, 0.9)])
def test_the_estimate_is_unbiased(keep_probs):
    net, theta = net_and_theta(keep_probs)
    for (mean, error), truth in zip(estimate(net, theta), exact(theta, keep_probs), strict=True):
        assert (np.abs(mean - truth) < 7 * error).all()  # 7 standard errors, 18,000 examples with masks of their own
        assert (error < 0.1 * np.abs(truth).max()).all()  # which is narrow enough to tell something


@pytest.mark.equation("M8")
def test_a_forgotten_part_would_be_noticed():
    net, theta = net_and_theta()
    (masks, masks_error), (scale, scale_error) = estimate(net, theta)
    of_masks, of_scale = exact(theta)
    assert (np.abs(masks - of_masks / np.array([4, 2])) > 7 * masks_error).any()  # one unit in place of all
    assert (np.abs(-scale - of_scale) > 7 * scale_error).any()  # the sign of the scale
    assert (np.abs(scale * np.array(Q) - of_scale) > 7 * scale_error).any()  # without 1 / q


def test_with_every_unit_there_the_slope_is_minus_the_cost_of_pruning_them():
    """At q = 1 nothing is random but which unit is taken out: the mean over units is what pruning each costs."""
    net, theta = net_and_theta((1.0, 1.0))
    whole = expected_loss(theta, (1.0, 1.0), (1.0, 1.0))
    costs = []
    for unit in range(2):
        without = theta.copy()
        without["W3"][unit] = 0
        costs.append(expected_loss(without, (1.0, 1.0), (1.0, 1.0)) - whole)
    (mean, error), _ = estimate(net, theta)
    assert mean[1] == pytest.approx(-sum(costs), abs=7 * error[1])


def test_the_same_seed_gives_the_same_slopes_and_both_splits_are_cut(monkeypatch):
    net, theta = net_and_theta()
    stack, seen = Parameters(theta.vector[None], net.layout), []

    def remember(net, theta, split, rng, *, n_masks):
        seen.append(len(split.x))
        return layer_slopes(net, theta, split, rng, n_masks=n_masks)

    monkeypatch.setattr(keep_prob_slope, "layer_slopes", remember)
    monkeypatch.setattr(keep_prob_slope, "MAX_EXAMPLES", 4)
    first, again = (keep_prob_slope.slopes_of(net, stack, 0.7, SPLIT, SPLIT, 5, n_masks=3) for _ in range(2))
    assert seen == [4] * 4
    assert np.array_equal(first.test.total, again.test.total)


def test_the_remark_claims_only_what_the_intervals_allow():
    spread = np.linspace(-1, 1, 6)
    half = t_interval(spread).half_width
    sure, unsure = (LayerSlopes(np.stack([spread + c * half]), np.zeros((1, 6))) for c in (1.2, 0.8))
    text = slope_remark([Slopes(0.5, sure, unsure), Slopes(0.8, unsure, sure)])
    assert "training examples, layer 1: above 0 at 0.5; not told apart from 0 at 0.8." in text
    assert "test examples, layer 1: above 0 at 0.8; not told apart from 0 at 0.5." in text
