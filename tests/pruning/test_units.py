"""Structured pruning: norms of units, exact counts, and a unit mask that is what dropping the unit is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import leaky_relu, relu, sigmoid, tanh
from numpynet.equations.masks import prune_count
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    DisconnectedWarning,
    compact,
    incoming_norms,
    mask_of_units,
    norm_products,
    outgoing_norms,
    prune_units,
)
from tests.checks import assert_close
from tests.pruning.nets import random_mask, random_net, random_theta
from tests.strategies import seeds

LAYOUT = Layout.of_sizes((6, 5, 4, 3))
orders = st.sampled_from([1, 2])
rates = st.sampled_from([0.0, 0.2, 0.5, 0.7])


@pytest.mark.equation("P11")
@given(seed=seeds, order=orders, lead=st.sampled_from([(), (2, 3)]), dtype=st.sampled_from([np.float32, np.float64]))
def test_the_norms_are_those_of_columns_and_rows(seed: int, order: int, lead: tuple, dtype: type) -> None:
    theta = random_theta(LAYOUT, seed, replicates=lead, dtype=dtype)
    incoming, outgoing, products = (f(theta, order=order) for f in (incoming_norms, outgoing_norms, norm_products))
    for layer in (1, 2):
        columns = np.linalg.norm(theta[f"W{layer}"].astype(np.float64), ord=order, axis=-2)
        rows = np.linalg.norm(theta[f"W{layer + 1}"].astype(np.float64), ord=order, axis=-1)
        tolerance = 1e-12 if dtype == np.float64 else 1e-5
        assert_close(incoming[layer], columns, tolerance=tolerance)
        assert_close(outgoing[layer], rows, tolerance=tolerance)
        assert_close(products[layer], columns * rows, tolerance=tolerance)
        assert incoming[layer].dtype == outgoing[layer].dtype == dtype
    assert set(incoming) == set(outgoing) == set(products) == {1, 2}


@pytest.mark.equation("P11", "L10")
@given(seed=seeds, order=orders, activation=st.sampled_from([relu, leaky_relu]))
def test_the_product_alone_survives_the_rescaling_of_units(seed: int, order: int, activation) -> None:
    """In by c_k, out by 1 / c_k, without biases: the same function. Every unit has its own c_k, and c is rescaled once."""
    net, theta, split = random_net(seed, activation=activation)
    for layer in (1, 2, 3):
        theta[f"b{layer}"][...] = 0
    c = np.exp(np.random.default_rng(seed).normal(size=5))
    scaled = theta.copy()
    scaled["W1"] *= c
    scaled["W2"] /= c[:, None]
    assert_close(net.forward(scaled, split.x)[0], net.forward(theta, split.x)[0], tolerance=1e-10)
    assert_close(norm_products(scaled, order=order)[1], norm_products(theta, order=order)[1])
    assert np.abs(incoming_norms(scaled, order=order)[1] / incoming_norms(theta, order=order)[1] - 1).max() > 0.01
    assert np.abs(outgoing_norms(scaled, order=order)[1] / outgoing_norms(theta, order=order)[1] - 1).max() > 0.01


@pytest.mark.equation("P12", "L2")
@given(seed=seeds, rate=st.floats(0, 1), levels=st.sampled_from([1, 2, 9]))
def test_units_go_by_exact_count_and_do_not_return(seed: int, rate: float, levels: int) -> None:
    rng = np.random.default_rng(seed)
    masks = None
    for _ in range(3):
        scores = {
            1: rng.integers(levels, size=(2, 5)).astype(float),
            2: rng.integers(levels, size=(2, 4)).astype(float),
        }
        new = prune_units(scores, masks, rate=rate)
        for layer, score in scores.items():
            old = np.ones_like(score) if masks is None else masks[layer]
            assert (new[layer] <= old).all() and new[layer].shape == score.shape
            for r in range(2):
                alive = [i for i in range(score.shape[-1]) if old[r, i]]
                first = sorted(alive, key=lambda i, r=r, score=score: (score[r, i], i))
                gone = first[: prune_count(rate, len(alive))]
                assert np.flatnonzero(old[r] - new[layer][r]).tolist() == sorted(gone)
        masks = new


@pytest.mark.equation("P12", "M2")
@pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")
@given(seed=seeds, activation=st.sampled_from([relu, tanh, sigmoid]), rate=rates)
def test_the_mask_of_units_is_the_network_with_those_units_dropped(seed: int, activation, rate: float) -> None:
    """As unit masks without a scale, bitwise; and what compaction leaves has exactly the other units."""
    net, theta, split = random_net(seed, activation=activation)
    weight_mask = random_mask(net.layout, seed, 0.8)
    unit_masks = prune_units(norm_products(theta * weight_mask), rate=rate)
    mask = mask_of_units(unit_masks, theta, weight_mask)
    masked, _ = net.forward(theta, split.x, weight_mask=mask)

    keep_all = MLP(net.sizes, activation, keep_prob=(None, 1.0, 1.0))  # the scale 1 / q is 1
    dropped = [None, unit_masks[1][None, :], unit_masks[2][None, :]]
    other, _ = keep_all.forward(theta, split.x, weight_mask=weight_mask, unit_masks=dropped)
    assert_close(masked, other)
    for name, rows, columns in (("W1", None, 1), ("W2", 1, 2), ("W3", 2, None)):
        expected = weight_mask[name].copy()
        if rows:
            expected *= unit_masks[rows][:, None]
        if columns:
            expected *= unit_masks[columns][None, :]
        assert np.array_equal(mask[name], expected)
    assert all((mask[f"b{layer}"] == 1).all() for layer in (1, 2, 3))

    small = compact(net, theta, mask)
    assert_close(small.net.forward(small.theta, split.x)[0], masked)
    if small.report.connected:
        for layer in (1, 2):
            assert set(small.kept_units[layer - 1]) <= set(np.flatnonzero(unit_masks[layer]))


@pytest.mark.equation("P12")
def test_a_dense_network_loses_exactly_the_dropped_units() -> None:
    net, theta, _ = random_net(1)
    mask = mask_of_units(prune_units(incoming_norms(theta), rate=0.5), theta)
    assert compact(net, theta, mask).net.sizes == (6, 2, 2, 3)  # floor(2.5 + .5) of 5 and 2 of 4 go


def test_a_mask_of_units_for_replicates_and_float32() -> None:
    theta = random_theta(LAYOUT, 1, replicates=(2,), dtype=np.float32)
    unit_masks = prune_units(incoming_norms(theta), rate=0.4)
    mask = mask_of_units(unit_masks, theta)
    assert mask.dtype == np.float32
    for r in range(2):
        alone = mask_of_units({layer: m[r] for layer, m in unit_masks.items()}, theta.replicate(r))
        assert np.array_equal(mask.vector[r], alone.vector)


def test_units_that_do_not_fit_are_refused() -> None:
    theta = random_theta(LAYOUT, 1)
    with pytest.raises(ValueError, match=r"layer 3, but the hidden layers are 1 \.\.\. 2"):
        mask_of_units({3: np.ones(3)}, theta)
    with pytest.raises(ValueError, match=r"unit_masks\[1\] has shape \(4,\), but \(5,\)"):
        mask_of_units({1: np.ones(4)}, theta)
    with pytest.raises(ValueError, match=r"unit_masks\[1\] has shape \(2, 5\), but \(5,\)"):
        mask_of_units({1: np.ones((2, 5))}, theta)
    with pytest.raises(ValueError, match="only 0 and 1"):
        mask_of_units({1: np.full(5, 0.5)}, theta)
    with pytest.raises(ValueError, match=r"of the layers \[2\], but scores of \[1\]"):
        prune_units({1: np.ones(5)}, {2: np.ones(4)}, rate=0.2)
    with pytest.raises(ValueError, match="rate is 2"):
        prune_units({1: np.ones(5)}, rate=2)
    with pytest.raises(ValueError, match="order is 3"):
        incoming_norms(theta, order=3)
    with pytest.warns(DisconnectedWarning, match="W1 and W2 are empty"):
        mask_of_units(prune_units({1: np.ones(5)}, rate=1.0), theta)
    assert isinstance(theta, Parameters)
