"""Exact counts, dead units and overlaps, against the lists of all cases; and what is mistaken about masks (N13)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from numpynet.equations.activations import relu
from numpynet.equations.chance_masks import (
    dead_unit_probability,
    exact_count_moments,
    iou_by_chance,
    overlap_by_chance,
)
from numpynet.equations.linear import linear_backward, linear_forward
from tests.checks import assert_close
from tests.strategies import all_masks, binary, densities, mask_probabilities, seeds


def subsets(n: int, k: int) -> np.ndarray:
    """All masks of exactly k ones, a row each."""
    masks = np.zeros((math.comb(n, k), n))
    for row, chosen in zip(masks, itertools.combinations(range(n), k)):
        row[list(chosen)] = 1
    return masks


counts = st.integers(2, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n)))


@pytest.mark.equation("M14")
@given(case=counts)
def test_moments_of_exact_counts(case: tuple[int, int, int]) -> None:
    k, _, n = case
    found = exact_count_moments(k, n)
    covariance = np.cov(subsets(n, k).T, bias=True).reshape(n, n) if 0 < k < n else np.zeros((n, n))
    expected = np.full((n, n), found.covariance)
    np.fill_diagonal(expected, found.variance)
    assert_close(covariance, expected)
    assert_close(subsets(n, k).mean(axis=0), np.full(n, found.mean))
    assert_close(expected.sum(), 0.0)  # the count does not vary


@pytest.mark.equation("M13")
@given(s=densities, fan_in=st.integers(1, 5), fan_out=st.integers(1, 4))
def test_units_that_die_by_chance(s: float, fan_in: int, fan_out: int) -> None:
    masks = all_masks(fan_in + fan_out)
    dead = ~masks[:, :fan_in].any(axis=1) | ~masks[:, fan_in:].any(axis=1)
    assert_close(dead_unit_probability(s, fan_in, fan_out), mask_probabilities(masks, s) @ dead)
    assert dead_unit_probability(1.0, fan_in, fan_out) == 0 and dead_unit_probability(0.0, fan_in, fan_out) == 1


@pytest.mark.equation("L20")
@given(case=counts)
def test_overlaps_by_chance(case: tuple[int, int, int]) -> None:
    a, b, n = case
    assume(a + b > 0)
    fixed = np.zeros(n)
    fixed[:a] = 1
    both = subsets(n, b) @ fixed
    mean, variance = overlap_by_chance(a, b, n)
    assert_close(both.mean(), mean)
    assert_close(both.var(), variance)
    assert_close((both / (a + b - both)).mean(), iou_by_chance(a, b, n))


def test_the_overlap_of_large_masks_is_near_the_one_by_densities() -> None:
    rho = 1310 / 4000
    assert iou_by_chance(1310, 1310, 4000) == pytest.approx(rho / (2 - rho), rel=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: exact_count_moments(3, 2),
        lambda: exact_count_moments(1, 1),
        lambda: overlap_by_chance(-1, 2, 5),
        lambda: iou_by_chance(0, 0, 5),
        lambda: dead_unit_probability(1.2, 3, 4),
    ],
)
def test_impossible_counts_are_refused(call) -> None:
    with pytest.raises(ValueError, match=r"is|are"):
        call()


@pytest.mark.equation("N13")
@given(seed=seeds)
def test_a_gradient_row_of_zeros_does_not_mean_that_the_unit_was_dropped(seed: int) -> None:
    """Only the converse holds: here unit 1 is dropped for the whole batch, and unit 0 is merely silent."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, 3))
    z, _ = linear_forward(x, rng.normal(size=(3, 4)), np.array([-1e3, 0.1, 0.2, 1e3]))
    h, _ = relu.forward(z)
    d = binary(rng, (6, 4), 0.7)
    d[:, 0], d[:, 1], d[:, 3] = 1, 0, 1
    _, cache = linear_forward(h, rng.normal(size=(4, 2)), np.zeros(2), unit_mask=d)
    _, dW, _ = linear_backward(rng.normal(size=(6, 2)), cache)
    assert not dW[1].any()  # dropped: its row is 0
    assert not dW[0].any() and d[:, 0].all()  # never dropped, and its row is 0 all the same
    assert dW[3].all()
