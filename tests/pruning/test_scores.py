"""Scores that need only weights: magnitude, random, the criteria of Zhou et al., movement."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.masks import prune_count, prune_lowest
from numpynet.optimizers import SGD, update
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import add_movement, dense_mask, magnitude, prune_globally, prune_layerwise, random_scores, zhou
from tests.checks import assert_close
from tests.pruning.nets import loss_and_gradients, random_mask, random_net, random_theta, weights_of
from tests.strategies import seeds

LAYOUT = Layout.of_sizes((6, 5, 3))
DELTA = 1e-9  # failure probability of a statistical test
ZHOU = [
    zhou.large_final,
    zhou.small_final,
    zhou.large_init,
    zhou.small_init,
    zhou.large_init_large_final,
    zhou.small_init_small_final,
    zhou.magnitude_increase,
    zhou.movement,
    zhou.large_final_same_sign,
]


def masks_equal(a: Parameters, b: Parameters) -> bool:
    return np.array_equal(a.vector, b.vector)


# ---- magnitude -------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P1")
@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_magnitude_is_the_size_of_the_weights_and_knows_no_signs(seed: int, dtype: type) -> None:
    theta = random_theta(LAYOUT, seed, dtype=dtype)
    flipped = theta * np.random.default_rng(seed).choice(np.array([-1, 1], dtype), LAYOUT.size)
    scores = magnitude(theta)
    assert scores.dtype == dtype
    assert np.array_equal(scores["W1"], np.abs(theta["W1"])) and np.array_equal(scores["W2"], np.abs(theta["W2"]))
    assert not scores["b1"].any() and not scores["b2"].any()
    assert masks_equal(scores, magnitude(flipped))


@pytest.mark.equation("P1", "L10")
@given(seed=seeds, factors=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)))
def test_a_layerwise_mask_does_not_change_when_a_layer_is_scaled(seed: int, factors: tuple[float, float]) -> None:
    theta = random_theta(LAYOUT, seed)
    scaled = theta.copy()
    for name, factor in zip(LAYOUT.weight_names, factors):
        scaled[name] *= factor
    masks = [prune_layerwise(magnitude(t), dense_mask(t), rate=0.4) for t in (theta, scaled)]
    assert masks_equal(*masks)


# ---- random ----------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P2", "M14")
def test_every_weight_stays_equally_often_under_random_scores() -> None:
    layout, draws, density = Layout.of_sizes((5, 6)), 3000, 0.3
    rng = np.random.default_rng(20431)
    dense = Parameters.ones(layout)
    kept = np.zeros((5, 6))
    for _ in range(draws):
        kept += prune_globally(random_scores(rng, layout), dense, density=density)["W1"]
    assert kept.sum() == draws * 9
    bound = math.sqrt(math.log(2 * kept.size / DELTA) / (2 * draws))  # Hoeffding, delta / n for each
    assert np.abs(kept / draws - density).max() <= bound


@pytest.mark.equation("M14")
@pytest.mark.parametrize(("n", "k"), [(5, 2), (6, 1), (6, 4)])
def test_exact_counts_have_negative_covariance(n: int, k: int) -> None:
    """Every order of n scores once: the mean of a mask is k / n, its covariance that of drawing without replacement."""
    masks = np.array(
        [prune_lowest(np.array(order, float), np.ones(n), n - k) for order in itertools.permutations(range(n))]
    )
    mean, share = masks.mean(axis=0), k / n
    covariance = (masks[:, :, None] * masks[:, None, :]).mean(axis=0) - np.outer(mean, mean)
    expected = np.full((n, n), -share * (1 - share) / (n - 1))
    np.fill_diagonal(expected, share * (1 - share))
    assert_close(mean, np.full(n, share), "mean")
    assert_close(covariance, expected, "covariance")
    _, how_often = np.unique(masks, axis=0, return_counts=True)
    assert len(how_often) == math.comb(n, k) and len(set(how_often)) == 1  # all masks of k, equally likely


@pytest.mark.equation("L20", "P2")
def test_the_overlap_of_two_random_masks() -> None:
    """Hypergeometric, with the mean ab / n: exactly by all pairs, and by drawing."""
    n, a, b = 7, 3, 4
    first, second = (
        np.array([[i in c for i in range(n)] for c in itertools.combinations(range(n), k)]) for k in (a, b)
    )
    overlap = (first[:, None, :] & second[None, :, :]).sum(axis=-1)
    assert_close(overlap.mean(), a * b / n)
    assert_close(overlap.var(), a * b / n * (1 - a / n) * (n - b) / (n - 1))

    layout, draws = Layout.of_sizes((5, 6)), 2000
    rng, dense = np.random.default_rng(7), Parameters.ones(layout)
    seen = np.array(
        [
            (
                prune_globally(random_scores(rng, layout), dense, density=0.3)["W1"]
                * prune_globally(random_scores(rng, layout), dense, density=0.4)["W1"]
            ).sum()
            for _ in range(draws)
        ]
    )
    variance, log = 9 * 12 / 30 * (1 - 9 / 30) * (30 - 12) / 29, math.log(2 / DELTA)
    bernstein = 9 * log / (3 * draws) + math.sqrt((9 * log / (3 * draws)) ** 2 + 2 * variance * log / draws)
    assert abs(seen.mean() - 9 * 12 / 30) <= bernstein


def test_random_scores_of_replicates_are_those_of_their_own_generators() -> None:
    rngs = [np.random.default_rng(seed) for seed in (3, 4)]
    stacked = random_scores(rngs, LAYOUT)
    for r, seed in enumerate((3, 4)):
        assert np.array_equal(stacked.vector[r], random_scores(np.random.default_rng(seed), LAYOUT).vector)
    with pytest.raises(TypeError, match="rng must be"):
        random_scores(7, LAYOUT)


# ---- Zhou et al. -----------------------------------------------------------------------------------------------------


@pytest.mark.equation("P3")
@given(seed=seeds, alpha=st.floats(0.1, 3.0))
def test_the_criteria_of_zhou_are_their_formulas(seed: int, alpha: float) -> None:
    theta_0, theta_T = random_theta(LAYOUT, seed), random_theta(LAYOUT, seed + 1)
    W_i, W_f = weights_of(theta_0), weights_of(theta_T)
    expected = {
        zhou.large_final: np.abs(W_f),
        zhou.small_final: -np.abs(W_f),
        zhou.large_init: np.abs(W_i),
        zhou.small_init: -np.abs(W_i),
        zhou.magnitude_increase: np.abs(W_f) - np.abs(W_i),
        zhou.movement: np.abs(W_f - W_i),
        zhou.large_final_same_sign: np.maximum(0, W_i * W_f / np.abs(W_i)),
    }
    for criterion, formula in expected.items():
        assert_close(weights_of(criterion(theta_0, theta_T)), formula, criterion.__name__)
    assert_close(
        weights_of(zhou.large_init_large_final(theta_0, theta_T, alpha=alpha)),
        np.minimum(alpha * np.abs(W_f), np.abs(W_i)),
    )
    assert_close(
        weights_of(zhou.small_init_small_final(theta_0, theta_T, alpha=alpha)),
        -np.maximum(alpha * np.abs(W_f), np.abs(W_i)),
    )


@pytest.mark.equation("P3")
@given(seed=seeds)
def test_how_the_criteria_of_zhou_are_related(seed: int) -> None:
    theta_0, theta_T = random_theta(LAYOUT, seed), random_theta(LAYOUT, seed + 1)
    moved, grown, same_sign = (
        weights_of(f(theta_0, theta_T)) for f in (zhou.movement, zhou.magnitude_increase, zhou.large_final_same_sign)
    )
    same = weights_of(theta_0) * weights_of(theta_T) > 0
    assert (moved >= np.abs(grown) - 1e-15).all()
    assert np.array_equal(np.isclose(moved, np.abs(grown), rtol=1e-9, atol=0), same)
    assert np.array_equal(same_sign, np.where(same, np.abs(weights_of(theta_T)), 0))


@pytest.mark.equation("P3")
@pytest.mark.parametrize("criterion", ZHOU, ids=lambda criterion: criterion.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_criterion_of_zhou_keeps_dtype_form_and_arguments(criterion, dtype: type) -> None:
    theta_0, theta_T = (random_theta(LAYOUT, seed, dtype=dtype, replicates=(2,)) for seed in (1, 2))
    kept = theta_0.copy(), theta_T.copy()
    scores = criterion(theta_0, theta_T)
    assert scores.dtype == dtype and scores.replicates == (2,)
    assert not scores["b1"].any() and not scores["b2"].any()
    assert masks_equal(theta_0, kept[0]) and masks_equal(theta_T, kept[1])
    alone = criterion(theta_0.replicate(1), theta_T.replicate(1))
    assert np.array_equal(scores.vector[1], alone.vector)


@pytest.mark.equation("P3")
@pytest.mark.parametrize("criterion", ZHOU, ids=lambda criterion: criterion.__name__)
def test_the_sign_rules_rank_the_wrong_signs_last_whatever_the_criterion(criterion) -> None:
    """Also for criteria that are negative everywhere, where a score of 0 would be the best of all."""
    theta_0, theta_T = random_theta(LAYOUT, 1), random_theta(LAYOUT, 2)
    theta_0["W1"][0, 0] = 0.0  # no sign at all
    product = weights_of(theta_0) * weights_of(theta_T)
    for rule, chosen in ((zhou.only_same_sign, product > 0), (zhou.only_diff_sign, product < 0)):
        scores = rule(criterion, theta_0, theta_T)
        assert np.array_equal(weights_of(scores) > -np.inf, chosen)
        assert np.array_equal(weights_of(scores)[chosen], weights_of(criterion(theta_0, theta_T))[chosen])
        mask = prune_globally(scores, dense_mask(theta_0), density=chosen.mean())
        assert np.array_equal(weights_of(mask) == 1, chosen)


def test_alpha_must_be_positive() -> None:
    theta = random_theta(LAYOUT, 0)
    for criterion in (zhou.large_init_large_final, zhou.small_init_small_final):
        with pytest.raises(ValueError, match="alpha is 0"):
            criterion(theta, theta, alpha=0)


# ---- movement --------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P10")
@given(seed=seeds, masked=st.booleans())
def test_movement_is_half_the_growth_of_the_square_less_the_steps(seed: int, masked: bool) -> None:
    """Under plain SGD: S_T = (w_T^2 - w_0^2) / 2 - lr^2 / 2 * sum of g^2."""
    net, theta, split = random_net(seed)
    mask = random_mask(net.layout, seed) if masked else None
    if masked:
        theta = theta * mask
    theta_0, lr, optimizer = theta.copy(), 0.07, SGD()
    state = optimizer.init(theta.vector)
    scores, squares = Parameters.zeros(net.layout, dtype=np.float64), np.zeros(net.layout.size)
    for _ in range(8):
        _, gradients = loss_and_gradients(net, theta, split, mask)
        before = scores.copy()
        new_scores = add_movement(scores, theta, gradients, lr)
        assert masks_equal(scores, before)
        scores = new_scores
        squares += gradients.vector**2
        update(theta, gradients, optimizer, state, lr, weight_mask=mask)
    expected = Parameters((theta.vector**2 - theta_0.vector**2) / 2 - lr**2 / 2 * squares, net.layout)
    assert_close(weights_of(scores), weights_of(expected), tolerance=1e-12)
    assert not any(scores[f"b{layer}"].any() for layer in (1, 2, 3))


def test_rate_0_of_any_score_is_no_pruning() -> None:
    assert prune_count(0.0, 235200) == 0
    theta = random_theta(LAYOUT, 5)
    mask = random_mask(LAYOUT, 5)
    assert masks_equal(prune_layerwise(magnitude(theta), mask, rate=0.0), mask)
