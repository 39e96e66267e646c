"""Targeted dropout (D22): who is a candidate, how often it goes, and the two corners, pruning and DropConnect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.dropout import dropconnect_forward
from numpynet.equations.linear import linear_forward
from numpynet.equations.masks import prune_lowest
from numpynet.equations.noise import sample_uniform
from numpynet.equations.targeted_dropout import (
    targeted_unit_dropout_forward,
    targeted_weight_dropout_backward,
    targeted_weight_dropout_forward,
    unit_candidates,
    weight_candidates,
)
from tests.dropout.bounds import hoeffding
from tests.strategies import binary, seeds

shares = st.sampled_from([0.0, 0.2, 0.35, 0.75, 1.0])
drop_probs = st.sampled_from([0.2, 0.4, 0.66])


def magnitude_mask(W: np.ndarray, share: float, alive: np.ndarray | None = None) -> np.ndarray:
    """One-shot magnitude pruning with the count floor(share n) for each column, by the exact-count rule of pruning."""
    alive = np.ones_like(W) if alive is None else alive
    columns = [
        prune_lowest(np.abs(w), m, math.floor(share * np.count_nonzero(m))) for w, m in zip(W.T, alive.T, strict=True)
    ]
    return np.stack(columns, axis=-1)


@pytest.mark.equation("D22", "L12")
@given(share=shares, seed=seeds)
def test_always_dropped_candidates_are_a_magnitude_mask(share: float, seed: int) -> None:
    """Bit for bit at drop_prob 1, and in evaluation at any drop_prob; with ties, and on top of a pruning mask."""
    rng = np.random.default_rng(seed)
    x, b = rng.normal(size=(4, 10)), rng.normal(size=3)
    W, u = rng.integers(-3, 4, (10, 3)).astype(float), sample_uniform(rng, (10, 3), dtype=np.float64)
    alive = binary(rng, (10, 3), 0.7)
    for weight_mask in (None, alive):
        pruned = magnitude_mask(W, share, weight_mask)
        expected, _ = linear_forward(x, W, b, weight_mask=pruned)
        always, cache = targeted_weight_dropout_forward(
            x, W, b, u, target_share=share, drop_prob=1.0, weight_mask=weight_mask
        )
        evaluation, _ = targeted_weight_dropout_forward(
            x, W, b, None, target_share=share, drop_prob=0.4, weight_mask=weight_mask
        )
        assert np.array_equal(always, expected) and np.array_equal(evaluation, expected)
        assert np.array_equal(cache.weight_mask, pruned)


@pytest.mark.equation("D22")
@given(drop_prob=drop_probs, seed=seeds)
def test_with_every_weight_a_candidate_it_is_dropconnect_without_a_scale(drop_prob: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(4, 5)), rng.normal(size=(5, 3)), rng.normal(size=3)
    u = sample_uniform(rng, (5, 3), dtype=np.float64)
    z, _ = targeted_weight_dropout_forward(x, W, b, u, target_share=1.0, drop_prob=drop_prob)
    assert np.array_equal(z, dropconnect_forward(x, W, b, (u >= drop_prob).astype(float)[None])[0])


@pytest.mark.equation("D22")
@given(share=shares, drop_prob=drop_probs, seed=seeds)
def test_only_candidates_are_dropped(share: float, drop_prob: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(4, 7)), rng.normal(size=(7, 3)), rng.normal(size=3)
    u = sample_uniform(rng, (7, 3), dtype=np.float64)
    candidates = weight_candidates(W, share)
    assert (candidates.sum(axis=0) == math.floor(share * 7)).all()
    for column, chosen in zip(np.abs(W).T, candidates.T, strict=True):
        assert chosen.all() or not chosen.any() or column[chosen].max() < column[~chosen].min()
    z, cache = targeted_weight_dropout_forward(x, W, b, u, target_share=share, drop_prob=drop_prob)
    assert np.array_equal(cache.weight_mask == 0, candidates & (u < drop_prob))
    dz = rng.normal(size=z.shape)
    _, dW, _ = targeted_weight_dropout_backward(dz, cache)
    assert not dW[cache.weight_mask == 0].any()


@pytest.mark.equation("D22")
@pytest.mark.parametrize(("share", "drop_prob"), [(0.75, 0.66), (0.9, 0.3), (0.35, 0.8)])
def test_the_expected_number_of_dropped_weights(share: float, drop_prob: float) -> None:
    """A unit with n incoming weights loses drop_prob * floor(share n) on average."""
    n, T = 12, 20_000
    rng = np.random.default_rng(2)
    W, u = rng.normal(size=(n, 1)), sample_uniform(rng, (T, n, 1), dtype=np.float64)
    _, cache = targeted_weight_dropout_forward(
        np.ones((1, n)), W, np.zeros(1), u, target_share=share, drop_prob=drop_prob
    )
    k = math.floor(share * n)
    dropped = (cache.weight_mask == 0).sum(axis=(-2, -1))
    assert dropped.shape == (T,) and dropped.max() <= k
    assert abs(dropped.mean() - drop_prob * k) <= hoeffding(T, width=k)


@pytest.mark.equation("D22")
@given(share=shares, drop_prob=drop_probs, seed=seeds)
def test_targeted_units_go_with_their_bias(share: float, drop_prob: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 6)), 1 + rng.random(6)
    u = sample_uniform(rng, (4, 6), dtype=np.float64)
    k = math.floor(share * 6)
    norms = np.linalg.norm(W, axis=0)
    weakest = np.isin(np.arange(6), np.argsort(norms)[:k])
    assert np.array_equal(unit_candidates(W, share)[0], weakest)
    plain, _ = linear_forward(x, W, b)
    z, _ = targeted_unit_dropout_forward(x, W, b, u, target_share=share, drop_prob=drop_prob)
    assert np.array_equal(z, np.where(weakest & (u < drop_prob), 0.0, plain))
    evaluation, _ = targeted_unit_dropout_forward(x, W, b, None, target_share=share, drop_prob=drop_prob)
    assert np.array_equal(evaluation, np.where(weakest, 0.0, plain))


@pytest.mark.equation("D22")
@given(seed=seeds)
def test_dead_weights_are_no_candidates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    W, alive = rng.normal(size=(8, 3)), binary(rng, (8, 3), 0.6)
    candidates = weight_candidates(W, 0.35, weight_mask=alive)
    assert not candidates[alive == 0].any()
    assert np.array_equal(candidates.sum(axis=0), np.floor(0.35 * alive.sum(axis=0)))
    assert np.array_equal(weight_candidates(W + 5j, 0.35), weight_candidates(W, 0.35))  # the real part decides


@pytest.mark.parametrize("name", ["target_share", "drop_prob"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(-0.1, ValueError), (1.1, ValueError), (float("nan"), ValueError), ("0.3", TypeError), (True, TypeError)],
    ids=repr,
)
def test_wrong_shares(name: str, value: object, error: type[Exception]) -> None:
    x, W, b, u = np.ones((4, 5)), np.ones((5, 3)), np.ones(3), np.full((5, 3), 0.3)
    arguments = {"target_share": 0.4, "drop_prob": 0.3, name: value}
    with pytest.raises(error, match=rf"{name} (is|must be)"):
        targeted_weight_dropout_forward(x, W, b, u, **arguments)
    with pytest.raises(error, match=rf"{name} (is|must be)"):
        targeted_unit_dropout_forward(x, W, b, np.full((4, 3), 0.3), **arguments)


@pytest.mark.equation("D22")
@given(n_values=st.integers(2, 9), share=st.sampled_from((0.0, 0.3, 0.6, 0.99, 1.0)), seed=seeds)
def test_candidates_come_first_in_the_order_of_magnitude_and_index(n_values: int, share: float, seed: int) -> None:
    """With many equal magnitudes and with none: the quick way and the plain one mark the same weights."""
    rng = np.random.default_rng(seed)
    for W in (rng.integers(-n_values, n_values, size=(2, 5, 3)).astype(float), rng.normal(size=(2, 5, 3))):
        found = weight_candidates(W, share)
        for stack in range(2):
            for unit in range(3):
                column = np.abs(W[stack, :, unit])
                first = sorted(range(5), key=lambda i: (column[i], i))[: int(np.floor(share * 5))]
                assert set(np.flatnonzero(found[stack, :, unit])) == set(first)
