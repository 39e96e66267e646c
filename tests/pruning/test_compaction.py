"""Compaction: a smaller network with equal outputs, every dead unit gone, none too many; and where it does not hold."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import identity, leaky_relu, relu, sigmoid, tanh
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum, update
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    compact,
    count_paths,
    describe_compaction,
    effective_density,
    effective_mask,
    mask_from_arrays,
    mask_of_units,
    reachable,
    time_ratio,
)
from tests.checks import assert_close
from tests.pruning.nets import (
    counts,
    loss_and_gradients,
    random_mask,
    random_net,
    random_split,
    random_theta,
    weights_of,
)
from tests.strategies import network_sizes, seeds

ACTIVATIONS = [relu, leaky_relu, tanh, sigmoid, identity]
activations = st.sampled_from(ACTIVATIONS)
depths = st.integers(2, 6).flatmap(network_sizes)
densities = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0])


def compact_in_passes(net: MLP, theta: Parameters, mask: Parameters) -> tuple[list, list, list, int]:
    """The rule as it is spoken: look for dead units, fold, delete, until nothing changes. Also how many passes removed."""
    W = [(theta[f"W{k}"] * mask[f"W{k}"]) for k in range(1, net.n_layers + 1)]
    M = [mask[f"W{k}"].copy() for k in range(1, net.n_layers + 1)]
    b = [theta[f"b{k}"].copy() for k in range(1, net.n_layers + 1)]
    passes = 0
    while True:
        removed = False
        for k in range(net.n_layers - 1):
            deaf, unheard = ~M[k].any(axis=0), ~M[k + 1].any(axis=1)
            if (deaf | unheard).any():
                constants = net.activation.forward(b[k][None, :])[0][0]
                b[k + 1] = b[k + 1] + (constants * deaf) @ W[k + 1]
                keep = ~(deaf | unheard)
                W[k], M[k], b[k] = W[k][:, keep], M[k][:, keep], b[k][keep]
                W[k + 1], M[k + 1] = W[k + 1][keep], M[k + 1][keep]
                removed = True
        if not removed:
            return W, M, b, passes
        passes += 1


# ---- equal outputs, nothing dead left ------------------------------------------------------------------------------


@pytest.mark.equation("M11", "L19")
@given(sizes=depths, activation=activations, density=densities, seed=seeds)
def test_the_compact_network_equals_the_masked_one(sizes: tuple, activation, density: float, seed: int) -> None:
    net = MLP(sizes, activation)
    theta, mask, x = random_theta(net.layout, seed), random_mask(net.layout, seed, density), random_split(sizes, seed).x
    kept = theta.copy(), mask.copy()
    small = compact(net, theta, mask)
    expected, _ = net.forward(theta, x, weight_mask=mask)
    for weight_mask in (None, small.weight_mask):  # the zeros are in theta as well
        assert_close(small.net.forward(small.theta, x, weight_mask=weight_mask)[0], expected)
    assert np.array_equal(theta.vector, kept[0].vector) and np.array_equal(mask.vector, kept[1].vector)
    report = small.report
    assert small.net.sizes[0] == sizes[0] and small.net.sizes[-1] == sizes[-1]
    assert report.effective_weights == sum(counts(effective_mask(mask))) <= report.alive_weights == sum(counts(mask))
    assert report.effective_weights == pytest.approx(effective_density(mask) * net.layout.n_weights)
    assert report.compact_stored_weights == small.net.layout.n_weights <= report.stored_weights == net.layout.n_weights
    if report.connected:
        assert sum(counts(small.weight_mask)) == report.effective_weights
        hears, heard = reachable(small.weight_mask)
        assert all(h.all() for h in (*hears[1:-1], *heard[1:-1]))
        assert count_paths(small.weight_mask) == count_paths(mask)


@pytest.mark.equation("M11", "L19")
@given(sizes=depths, activation=activations, density=densities, seed=seeds)
def test_it_is_the_fixpoint_of_removing_dead_units(sizes: tuple, activation, density: float, seed: int) -> None:
    net = MLP(sizes, activation)
    theta, mask = random_theta(net.layout, seed), random_mask(net.layout, seed, density)
    small = compact(net, theta, mask)
    W, M, b, _ = compact_in_passes(net, theta, mask)
    if small.report.connected:
        for k in range(net.n_layers):
            assert np.array_equal(small.theta[f"W{k + 1}"], W[k]) and np.array_equal(
                small.weight_mask[f"W{k + 1}"], M[k]
            )
            assert_close(small.theta[f"b{k + 1}"], b[k])
    else:
        assert all(w.size == 0 for w in W[:-1]) and small.net.sizes == (sizes[0], *[1] * (len(sizes) - 2), sizes[-1])
        assert not weights_of(small.theta).any() and not weights_of(small.weight_mask).any()
        assert_close(small.theta[f"b{net.n_layers}"], b[-1])

    again = compact(small.net, small.theta, small.weight_mask)  # idempotent
    assert again.net == small.net
    assert np.array_equal(again.theta.vector, small.theta.vector)
    assert np.array_equal(again.weight_mask.vector, small.weight_mask.vector)
    assert again.report.connected == small.report.connected


@pytest.mark.equation("M11")
def test_deaths_cascade() -> None:
    """Many random nets need more than one removing pass; ours needs none, and finds the same."""
    more = 0
    for seed in range(40):
        net = MLP((6, 8, 7, 5, 3))
        theta, mask = random_theta(net.layout, seed), random_mask(net.layout, seed, 0.2)
        more += compact_in_passes(net, theta, mask)[3] > 1
    assert more >= 10


@pytest.mark.equation("M11")
def test_a_cascade_by_hand() -> None:
    """1-2-2-1 with ReLU. Unit 1 of layer 1 is deaf and says relu(3) = 3 to unit 1 of layer 2, which hears nothing else:
    it says relu(-4 + 3 * 2) = 2, times 10 into the output. Unit 0 of layer 2 stays."""
    net = MLP((1, 2, 2, 1))
    theta, mask = Parameters.zeros(net.layout, dtype=np.float64), Parameters.ones(net.layout, dtype=np.float64)
    theta["W1"], theta["b1"] = np.array([[1.0, 50.0]]), np.array([0.5, 3.0])
    theta["W2"], theta["b2"] = np.array([[4.0, 60.0], [0.25, 2.0]]), np.array([-1.0, -4.0])
    theta["W3"], theta["b3"] = np.array([[7.0], [10.0]]), np.array([0.125])
    mask["W1"], mask["W2"] = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    small = compact(net, theta, mask)
    assert small.net.sizes == (1, 1, 1, 1)
    assert small.theta.vector.tolist() == [1.0, 0.5, 4.0, -1.0 + 0.25 * 3.0, 7.0, 0.125 + 10.0 * 2.0]
    assert [units.tolist() for units in small.kept_units] == [[0], [0]]
    assert small.report.deaf_units == (1, 1) and small.report.unheard_units == (0, 0)
    assert (small.report.alive_weights, small.report.effective_weights, small.report.unread_inputs) == (6, 3, 0)
    assert "1-2-2-1 becomes 1-1-1-1: 3 of 8 stored weights (37.5 %)" in str(small.report)


@pytest.mark.equation("N14")
def test_a_living_weight_of_0_keeps_its_unit() -> None:
    """Deadness is read off the mask. A unit whose living weights happen to be 0 may still learn."""
    net = MLP((3, 4, 2))
    theta = random_theta(net.layout, 1)
    theta["W1"][:, 2] = 0.0
    small = compact(net, theta, Parameters.ones(net.layout, dtype=np.float64))
    assert small.net.sizes == (3, 4, 2) and small.report.deaf_units == (0,)


@given(seed=seeds, activation=activations)
def test_float32_stays_float32(seed: int, activation) -> None:
    net = MLP((6, 5, 4, 3), activation)
    theta = random_theta(net.layout, seed, dtype=np.float32)
    mask = random_mask(net.layout, seed, 0.3, dtype=np.float32)
    small = compact(net, theta, mask)
    x = random_split(net.sizes, seed).x.astype(np.float32)
    logits, _ = small.net.forward(small.theta, x, weight_mask=small.weight_mask)
    assert logits.dtype == small.theta.dtype == small.weight_mask.dtype == np.float32
    assert_close(logits, net.forward(theta, x, weight_mask=mask)[0], tolerance=1e-5)


def test_a_network_without_hidden_layers_stays_as_it_is() -> None:
    net = MLP((4, 3))
    theta, mask = random_theta(net.layout, 1), random_mask(net.layout, 1, 0.5)
    small = compact(net, theta, mask)
    assert small.net.sizes == (4, 3) and small.kept_units == ()
    assert np.array_equal(small.theta.vector, (theta * mask).vector)


def test_the_compact_network_keeps_activation_and_keep_probs() -> None:
    net = MLP((4, 6, 5, 3), tanh, keep_prob=(None, 0.8, 0.6))
    mask = mask_of_units({1: np.array([1.0, 0, 1, 1, 0, 1])}, random_theta(net.layout, 1))
    small = compact(net, random_theta(net.layout, 1), mask)
    assert small.net == MLP((4, 4, 5, 3), tanh, keep_prob=(None, 0.8, 0.6))
    assert small.kept_units[0].tolist() == [0, 2, 3, 5]


def test_the_report_says_that_nothing_is_left() -> None:
    net = MLP((4, 6, 5, 3))
    report = compact(net, random_theta(net.layout, 1), random_mask(net.layout, 1, 0.0)).report
    assert not report.connected and report.compact_sizes == (4, 1, 1, 3) and report.unread_inputs == 4
    assert "the output is a constant" in str(report)
    assert report.ratio == (4 + 1 + 3) / (24 + 30 + 15)


def test_stacks_and_strangers_are_refused() -> None:
    net = MLP((4, 6, 3))
    theta, mask = random_theta(net.layout, 1), Parameters.ones(net.layout, dtype=np.float64)
    with pytest.raises(ValueError, match="compacted one by one"):
        compact(net, random_theta(net.layout, 1, replicates=(2,)), mask)
    with pytest.raises(ValueError, match="compacted one by one"):
        compact(net, theta, Parameters.ones(net.layout, replicates=(2,)))
    with pytest.raises(ValueError, match=r"theta must be .* sizes \(4, 6, 3\)"):
        compact(net, random_theta(Layout.of_sizes((4, 5, 3)), 1), mask)
    with pytest.raises(ValueError, match="another network"):
        compact(net, theta, Parameters.ones(Layout.of_sizes((4, 5, 3))))
    with pytest.raises(ValueError, match="only 0 and 1"):
        compact(net, theta, 0.5 * mask)


def test_a_smaller_network_is_faster() -> None:
    """By more than half, where 95 % of the units go; the true ratio is nearer to a tenth."""
    net = MLP((300, 400, 350, 10))
    theta = net.init(np.random.default_rng(0))
    units = {1: np.zeros(400, np.float32), 2: np.zeros(350, np.float32)}
    units[1][:20], units[2][:17] = 1, 1
    small = compact(net, theta, mask_of_units(units, theta))
    assert small.net.sizes == (300, 20, 17, 10)
    x = np.random.default_rng(1).normal(size=(200, 300)).astype(np.float32)
    assert 0 < time_ratio(net, theta, small, x) < 0.5
    with pytest.raises(ValueError, match="repeats is 0"):
        time_ratio(net, theta, small, x, repeats=0)


def test_the_description_says_how_much_smaller_how_much_faster_and_how_equal() -> None:
    net, theta, split = random_net(0, (6, 5, 4, 3))
    mask = random_mask(net.layout, 0, 0.9)
    mask["W2"][2], mask["W1"][:, 3] = 0, 0
    text = describe_compaction(net, theta, mask, split.x, repeats=2)
    assert text.startswith(str(compact(net, theta, mask).report))
    share, difference = re.search(r"11 examples takes (\d+) % .* at most (\d\.\de-\d\d),", text).groups()
    assert 0 < int(share) < 1000 and float(difference) <= 1e-12


# ---- what a ticket is ------------------------------------------------------------------------------------------------


@pytest.mark.equation("M15", "M4")
@given(seed=seeds, density=st.sampled_from([0.2, 0.7]))
def test_a_ticket_is_not_rescaled_by_its_density(seed: int, density: float) -> None:
    net, theta, split = random_net(seed)
    mask = random_mask(net.layout, seed, density)
    ticket, _ = net.forward(theta, split.x, weight_mask=mask)
    stored, _ = net.forward(theta * mask, split.x)
    assert np.array_equal(ticket, stored)


@pytest.mark.equation("M15", "N29")
def test_rescaling_a_ticket_by_its_density_would_be_another_network() -> None:
    net, theta, split = random_net(1)
    mask = random_mask(net.layout, 1, 0.7)
    rescaled = theta * mask
    for name in net.layout.weight_names:
        rescaled[name] /= mask[name].mean()
    difference = net.forward(rescaled, split.x)[0] - net.forward(theta, split.x, weight_mask=mask)[0]
    assert np.abs(difference).max() > 0.1


# ---- during training -------------------------------------------------------------------------------------------------


def trained(net, theta, split, mask, steps: int, optimizer=None, unit_masks=None, lr: float = 0.1) -> Parameters:
    theta, optimizer = theta.copy(), optimizer or SGD()
    state = optimizer.init(theta.vector)
    for _ in range(steps):
        _, gradients = loss_and_gradients(net, theta, split, mask, unit_masks)
        update(theta, gradients, optimizer, state, lr, weight_mask=mask)
    return theta


@pytest.mark.equation("M17")
@given(seed=seeds, activation=st.sampled_from([relu, tanh, sigmoid]))
def test_deleting_units_that_nobody_hears_keeps_the_training(seed: int, activation) -> None:
    net, theta, split = random_net(seed, activation=activation)
    mask = Parameters.ones(net.layout, dtype=np.float64)
    mask["W2"][[1, 3]] = 0  # units 1 and 3 of the first hidden layer are heard by none, but hear all inputs
    mask["W3"][2] = 0
    small = compact(net, theta, mask)
    assert small.net.sizes == (6, 3, 3, 3)
    large = trained(net, theta * mask, split, mask, 30)
    little = trained(small.net, small.theta, split, small.weight_mask, 30)
    assert_close(
        small.net.forward(little, split.x)[0], net.forward(large, split.x, weight_mask=mask)[0], tolerance=1e-10
    )
    assert_close(little["W1"], large["W1"][:, small.kept_units[0]], tolerance=1e-10)


@pytest.mark.equation("M17", "N23")
def test_folding_deaf_units_does_not_keep_the_training() -> None:
    """Their bias still learns: equal before, apart after thirty steps."""
    net, theta, split = random_net(1)
    mask = Parameters.ones(net.layout, dtype=np.float64)
    mask["W1"][:, [1, 3]] = 0
    small = compact(net, theta, mask)
    assert small.net.sizes == (6, 3, 4, 3)
    assert_close(small.net.forward(small.theta, split.x)[0], net.forward(theta, split.x, weight_mask=mask)[0])
    large = trained(net, theta * mask, split, mask, 30)
    little = trained(small.net, small.theta, split, small.weight_mask, 30)
    apart = np.abs(small.net.forward(little, split.x)[0] - net.forward(large, split.x, weight_mask=mask)[0]).max()
    assert apart > 1e-3


@pytest.mark.equation("M18", "M2")
@pytest.mark.parametrize("optimizer", [SGD(), Momentum(0.8), Adam()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("activation", [relu, tanh, sigmoid], ids=lambda a: a.name)
def test_a_frozen_dropout_mask_is_the_training_of_a_smaller_network(optimizer, activation) -> None:
    """One unit mask for a whole training, the factor 1/q kept: the net without those units."""
    sizes, keep_probs = (6, 40, 7, 3), (None, 0.7, 0.8)
    net, (_, theta, split) = MLP(sizes, activation, keep_prob=keep_probs), random_net(4, sizes, activation)
    first = np.ones((1, 40))
    first[0, [1, 5, 7, 18, 19, 26, 39]] = 0  # 33 are left
    units = [None, first, np.array([[1.0, 1, 0, 1, 1, 0, 1]])]
    kept = [np.arange(6), *(np.flatnonzero(u) for u in units[1:]), np.arange(3)]
    small_net = MLP((6, 33, 5, 3), activation, keep_prob=keep_probs)
    small_theta = Parameters.zeros(small_net.layout, dtype=np.float64)
    for layer in (1, 2, 3):
        small_theta[f"W{layer}"] = theta[f"W{layer}"][np.ix_(kept[layer - 1], kept[layer])]
        small_theta[f"b{layer}"] = theta[f"b{layer}"][kept[layer]]
    all_ones = [None, np.ones((1, 33)), np.ones((1, 5))]

    large = trained(net, theta, split, None, 30, optimizer, units, lr=0.02)
    little = trained(small_net, small_theta, split, None, 30, optimizer, all_ones, lr=0.02)
    for layer in (1, 2, 3):
        survivors = large[f"W{layer}"][np.ix_(kept[layer - 1], kept[layer])]
        assert_close(little[f"W{layer}"], survivors, f"W{layer}", tolerance=1e-10)
        assert_close(little[f"b{layer}"], large[f"b{layer}"][kept[layer]], f"b{layer}", tolerance=1e-10)
    logits = net.forward(large, split.x, unit_masks=units)[0]
    assert_close(small_net.forward(little, split.x, unit_masks=all_ones)[0], logits, tolerance=1e-10)
    full = trained(net, theta, split, None, 30, optimizer, [None, np.ones((1, 40)), np.ones((1, 7))], lr=0.02)
    assert np.abs(net.forward(full, split.x)[0] - logits).max() > 0.01


@pytest.mark.equation("M20")
@given(seed=seeds)
def test_permuting_hidden_units_permutes_the_kept_units(seed: int) -> None:
    net, theta, split = random_net(seed)
    mask, order = random_mask(net.layout, seed, 0.3), np.random.default_rng(seed).permutation(5)

    def permuted(p: Parameters) -> Parameters:
        new = p.copy()
        new["W1"], new["b1"], new["W2"] = p["W1"][:, order], p["b1"][order], p["W2"][order]
        return new

    first, second = compact(net, theta, mask), compact(net, permuted(theta), permuted(mask))
    if first.report.connected:
        assert set(order[second.kept_units[0]]) == set(first.kept_units[0])
    assert second.report == first.report
    logits = [small.net.forward(small.theta, split.x)[0] for small in (first, second)]
    assert_close(logits[0], logits[1])


def test_masks_by_name_compact_as_well() -> None:
    net = MLP((2, 3, 1))
    arrays = {"W2": np.array([[1.0], [0.0], [1.0]]), "W1": np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])}
    small = compact(net, random_theta(net.layout, 0), mask_from_arrays(arrays, net.layout))
    assert small.net.sizes == (2, 1, 1) and small.report.unread_inputs == 1
