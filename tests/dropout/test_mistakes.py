"""Dropout in the wrong place: on logits (D28), as a mask instead of masked values (D29), after a softmax (N24)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from numpynet.equations.dropout import (
    inverted_dropout_backward,
    inverted_dropout_forward,
    standard_dropout_backward,
    standard_dropout_forward,
)
from numpynet.equations.losses import (
    softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from tests.checks import assert_close
from tests.strategies import all_masks, keep_probs, mask_probabilities, seeds


def expected_loss_of_dropped_logits(logits: np.ndarray, q: float, *, scaled: bool) -> tuple[float, np.ndarray]:
    """E CE over all 2^K masks of one example's logits with label 0, and its gradient."""
    masks = all_masks(logits.size)[:, None, :]
    probability = mask_probabilities(masks[:, 0], q)
    if scaled:
        dropped, cache = inverted_dropout_forward(logits[None, :], masks, q)
    else:
        dropped, cache = standard_dropout_forward(logits[None, :], masks)
    loss, loss_cache = softmax_cross_entropy_forward(dropped, np.array([0]))
    delta = softmax_cross_entropy_backward(probability, loss_cache)
    backward = inverted_dropout_backward if scaled else standard_dropout_backward
    return float(probability @ loss), backward(delta, cache).sum(axis=0)[0]


def floor_of_dropped_logits(K: int, q: float) -> float:
    """r E ln(1 + Bin(K - 1, r)), r = 1 - q: the label is dropped, and with it some of the others that were far below."""
    r = 1 - q
    return r * math.fsum(math.comb(K - 1, k) * r**k * q ** (K - 1 - k) * math.log1p(k) for k in range(K))


@pytest.mark.equation("D28")
@settings(max_examples=10)
@given(q=keep_probs, seed=seeds)
@pytest.mark.parametrize("scaled", [True, False], ids=["inverted", "standard"])
def test_no_logits_come_below_the_floor(scaled: bool, q: float, seed: int) -> None:
    """The expected loss is convex in the logits: descend from anywhere, and the floor is only approached."""
    K, floor = 5, floor_of_dropped_logits(5, q)
    logits = np.random.default_rng(seed).normal(size=K)
    start, _ = expected_loss_of_dropped_logits(logits, q, scaled=scaled)
    for _ in range(60):
        value, gradient = expected_loss_of_dropped_logits(logits, q, scaled=scaled)
        assert value >= floor - 1e-12
        logits = logits - q * gradient  # the curvature is at most 1 / 2q
    assert value < start
    far_apart = np.append(60.0, np.full(K - 1, -60.0))
    assert_close(expected_loss_of_dropped_logits(far_apart, q, scaled=scaled)[0], floor)


@pytest.mark.equation("D28")
@pytest.mark.parametrize(("q", "published"), [(0.5, 0.831232), (0.8, 0.185445), (0.3, 1.377806)])
def test_the_floor_for_ten_classes(q: float, published: float) -> None:
    assert abs(floor_of_dropped_logits(10, q) - published) < 5e-7
    far_apart = np.append(60.0, np.full(9, -60.0))
    for scaled in (True, False):
        assert_close(expected_loss_of_dropped_logits(far_apart, q, scaled=scaled)[0], floor_of_dropped_logits(10, q))


@pytest.mark.equation("D28", "N24")
@given(q=keep_probs, seed=seeds)
def test_with_dropped_logits_the_loss_depends_on_a_common_shift(q: float, seed: int) -> None:
    """Without dropout it does not. A large shift separates the kept classes from the dropped ones."""
    logits = np.random.default_rng(seed).normal(size=5)
    plain, shifted = (float(softmax_cross_entropy_forward(z[None], np.array([0]))[0]) for z in (logits, logits + 30))
    assert_close(plain, shifted)
    values = [expected_loss_of_dropped_logits(z, q, scaled=True)[0] for z in (logits, logits + 30)]
    assert values[1] > values[0] + 1


# ---- the mask in place of the masked values --------------------------------------------------------------------------


def expected_loss_of_bare_masks(K: int, q: float) -> float:
    """E of the cross-entropy whose logits are the mask bits themselves."""
    return (
        math.fsum(math.comb(K, k) * q**k * (1 - q) ** (K - k) * math.log(k * math.e + K - k) for k in range(K + 1)) - q
    )


@pytest.mark.equation("D29")
@pytest.mark.parametrize(
    ("K", "q", "published"), [(4, 0.8, None), (4, 0.3, None), (10, 0.5, 2.411681), (10, 0.8, 2.363054)]
)
def test_a_dropout_that_returns_its_mask_has_one_loss_whatever_the_net(
    K: int, q: float, published: float | None
) -> None:
    masks = all_masks(K)
    probability = mask_probabilities(masks, q)
    for label in (0, K - 1):
        loss, _ = softmax_cross_entropy_forward(masks[:, None, :], np.array([label]))
        assert_close(probability @ loss, expected_loss_of_bare_masks(K, q))
    assert expected_loss_of_bare_masks(K, q) > math.log(K)  # worse than saying nothing
    if published is not None:
        assert abs(expected_loss_of_bare_masks(K, q) - published) < 5e-7


# ---- after the softmax -----------------------------------------------------------------------------------------------


@pytest.mark.equation("N24")
@given(q=keep_probs, seed=seeds)
def test_dropout_after_a_softmax_leaves_no_distribution(q: float, seed: int) -> None:
    """Over all masks: the mean row sum is 1, single ones are not, and the label's probability is 0 in a share r of them."""
    p = softmax(np.random.default_rng(seed).normal(size=(1, 4)))
    masks = all_masks(4)[:, None, :]
    probability = mask_probabilities(masks[:, 0], q)
    dropped = inverted_dropout_forward(p, masks, q)[0][:, 0]  # (2^4, 4)
    row_sums = dropped.sum(axis=-1)
    assert_close(probability @ row_sums, 1.0)
    assert row_sums.min() == 0 and row_sums.max() > 1.1
    for label in range(4):
        assert_close(probability @ (dropped[:, label] == 0), 1 - q)  # there the loss -log 0 is infinite
