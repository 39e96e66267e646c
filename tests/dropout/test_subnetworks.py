"""The ensemble as arrays: the whole list, its blocks and leading axes, the means, and what is refused."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from numpynet import layer_rules, subnetworks
from numpynet.equations.activations import tanh
from numpynet.equations.ensemble import (
    arithmetic_mean,
    geometric_mean,
    model_precision,
    moments,
    normalized_geometric_mean,
)
from numpynet.equations.losses import softmax
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.subnetworks import (
    droppable_units,
    evaluate_inverted,
    evaluate_standard,
    every_subnetwork,
    inverted_to_standard,
    list_subnetworks,
    monte_carlo,
    standard_to_inverted,
    without_scale,
)
from tests.checks import assert_close
from tests.dropout.nets import random_net
from tests.strategies import binary, keep_probs, seeds


@given(seed=seeds)
def test_units_that_are_never_dropped_are_not_enumerated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 5, 4, 2), (1.0, None, 0.7))
    assert droppable_units(net) == 4
    masks, probability = list_subnetworks(net)
    assert [None if mask is None else mask.shape for mask in masks] == [None, None, (16, 1, 4)]
    logits, same = every_subnetwork(net, theta, rng.normal(size=(6, 3)))
    assert logits.shape == (16, 6, 2) and np.array_equal(same, probability)


def test_a_net_without_dropout_is_one_subnetwork() -> None:
    rng = np.random.default_rng(0)
    net, theta = random_net(rng, (3, 4, 2), (None, 1.0))
    x = rng.normal(size=(5, 3))
    logits, probability = every_subnetwork(net, theta, x)
    assert probability.tolist() == [1.0]
    assert np.array_equal(logits[0], evaluate_inverted(net, theta, x))


@given(seed=seeds)
def test_the_last_subnetwork_is_the_whole_net_and_the_first_hears_only_biases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 2), (0.8, 0.3), tanh)
    x = rng.normal(size=(5, 3))
    logits, _ = every_subnetwork(net, theta, x)
    hidden = tanh.forward(x / 0.8 @ theta["W1"] + theta["b1"])[0]
    assert_close(logits[-1], hidden / 0.3 @ theta["W2"] + theta["b2"])
    assert_close(logits[0], np.broadcast_to(theta["b2"], (5, 2)))


@pytest.mark.parametrize("block_bytes", [1, 3000, 2**30])
def test_blocks_change_nothing(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    net, theta = random_net(rng, (3, 4, 2), (0.8, 0.3))
    x, mask = rng.normal(size=(5, 3)), Parameters.ones(net.layout, dtype=np.float64)
    mask["W1"] = binary(rng, (3, 4), 0.5)
    expected = every_subnetwork(net, theta, x, weight_mask=mask)
    drawn = monte_carlo(net, theta, x, np.random.default_rng(1), 11, weight_mask=mask)
    monkeypatch.setattr(subnetworks, "BLOCK_BYTES", block_bytes)
    for found, wanted in zip(every_subnetwork(net, theta, x, weight_mask=mask), expected, strict=True):
        assert np.array_equal(found, wanted)
    assert np.array_equal(monte_carlo(net, theta, x, np.random.default_rng(1), 11, weight_mask=mask), drawn)
    masked, _ = every_subnetwork(net, theta * mask, x)
    assert np.array_equal(masked, expected[0])


@given(q=keep_probs, seed=seeds)
def test_leading_axes_of_parameters_and_of_data(q: float, seed: int) -> None:
    """R nets on one batch, and one net on R batches, are R calls."""
    rng = np.random.default_rng(seed)
    net, thetas = random_net(rng, (3, 4, 2), (q, 0.6), replicates=(3,))
    x, xs = rng.normal(size=(5, 3)), rng.normal(size=(3, 5, 3))
    for theta, data in ((thetas, x), (thetas.replicate(0), xs), (thetas, xs)):
        logits, probability = every_subnetwork(net, theta, data)
        assert logits.shape == (2**7, 3, 5, 2)
        for r in range(3):
            one, _ = every_subnetwork(
                net, theta.replicate(r) if theta.replicates else theta, data[r] if data.ndim == 3 else data
            )
            assert_close(logits[:, r], one)
        assert probability.shape == (2**7,)
        assert monte_carlo(net, theta, data, rng, 4).shape == (4, 3, 5, 2)
        shared = monte_carlo(net, theta, np.broadcast_to(data[..., :1, :], data.shape).copy(), rng, 4, shared=True)
        assert_close(shared, np.broadcast_to(shared[..., :1, :], shared.shape))  # equal examples, equal answers


def test_float32_stays_float32() -> None:
    net = MLP((3, 4, 2), keep_prob=(0.8, 0.6))
    theta, x = net.init(np.random.default_rng(0)), np.ones((5, 3), np.float32)
    logits, probability = every_subnetwork(net, theta, x)
    assert logits.dtype == np.float32 and probability.dtype == np.float64
    assert arithmetic_mean(logits, probability).dtype == np.float32
    assert evaluate_standard(net, theta, x).dtype == np.float32
    assert inverted_to_standard(net, standard_to_inverted(net, theta)).dtype == np.float32


def test_nothing_is_written_to() -> None:
    rng = np.random.default_rng(0)
    net, theta = random_net(rng, (3, 4, 2), (0.8, 0.6))
    x = rng.normal(size=(5, 3))
    before = theta.copy(), x.copy()
    every_subnetwork(net, theta, x)
    monte_carlo(net, theta, x, rng, 3)
    evaluate_standard(net, theta, x)
    standard_to_inverted(net, theta)
    inverted_to_standard(net, theta)
    assert np.array_equal(theta.vector, before[0].vector) and np.array_equal(x, before[1])


def test_two_to_the_sixteen_subnetworks_in_ten_seconds_and_two_gigabytes() -> None:
    rng = np.random.default_rng(0)
    net, theta = random_net(rng, (5, 8, 8, 3), (None, 0.8, 0.3))
    x = rng.normal(size=(20, 5))
    tracemalloc.start()
    start = time.process_time()  # of this process alone, whatever else the machine does
    logits, probability = every_subnetwork(net, theta, x)
    mean, _ = moments(softmax(logits), probability)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert logits.shape == (2**16, 20, 3)
    assert_close(probability.sum(), 1.0)
    assert_close(mean.sum(axis=-1), np.ones(20))
    assert seconds < 10 and peak < 2 * 10**9, (seconds, peak)


def test_monte_carlo_with_a_mask_of_the_weights_for_each_example_stays_small() -> None:
    """All 64 passes at once would take 190 MB; and blocks change no number."""
    net = MLP((60, 50, 3), rules=(layer_rules.dropconnect(0.8), None))
    rng = np.random.default_rng(0)
    theta, x = net.init(rng, dtype=np.float64), rng.normal(size=(40, 60))
    tracemalloc.start()
    logits = monte_carlo(net, theta, x, np.random.default_rng(1), 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 10**6, peak
    draw = np.random.default_rng(1)
    for one in logits:
        noise = net.sample_unit_masks(draw, (40,), dtype=np.float64)
        assert_close(one, net.forward(theta, x, unit_masks=noise)[0])


# ---- the means -------------------------------------------------------------------------------------------------------


@pytest.mark.equation("D10", "D13")
@given(seed=seeds)
def test_the_normalized_geometric_mean_of_softmax_is_the_softmax_of_the_mean_logits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, probability = rng.normal(size=(6, 2, 3)), rng.dirichlet(np.ones(6))
    expected = softmax(arithmetic_mean(logits, probability))
    assert_close(normalized_geometric_mean(softmax(logits), probability), expected)


@given(seed=seeds)
def test_the_geometric_mean_is_a_product_and_lies_below_the_arithmetic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, probability = rng.random((5, 3)), rng.dirichlet(np.ones(5))
    assert_close(geometric_mean(values, probability), (values ** probability[:, None]).prod(axis=0))
    assert (geometric_mean(values, probability) <= arithmetic_mean(values, probability) + 1e-15).all()
    values[2, 1] = 0.0
    assert geometric_mean(values, probability)[1] == 0
    assert_close(arithmetic_mean(values), values.mean(axis=0))


# ---- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((784, 500, 10), r"net has 500 units .* 2\^500 = 10\^150.5 masks; .* take 10\^\d+\.\d GiB.* limit"),
        ((3, 2000, 1), r"net has 2000 units .* 2\^2000 = 10\^602.1 masks"),  # no float is so large
        ((3, 25, 1), r"net has 25 units .* 2\^25 = 10\^7.5 masks"),
    ],
    ids=str,
)
def test_too_many_units(sizes: tuple[int, ...], message: str) -> None:
    net = MLP(sizes, keep_prob=0.8)
    theta, x = Parameters.zeros(net.layout), np.zeros((2, sizes[0]), np.float32)
    with pytest.raises(ValueError, match=message):
        list_subnetworks(net)
    with pytest.raises(ValueError, match=message.split(" .*")[0] + ".*Use monte_carlo"):
        every_subnetwork(net, theta, x)


def test_few_units_but_too_many_examples() -> None:
    net = MLP((2, 20, 3), keep_prob=0.8)
    theta = Parameters.zeros(net.layout)
    with pytest.raises(ValueError, match=r"2\^20 = 10\^6.0 masks; their logits would take 11 GiB, .*fewer examples"):
        every_subnetwork(net, theta, np.zeros((1000, 2), np.float32))
    with pytest.raises(
        ValueError, match=r"the logits of n_masks = 1000000 passes of shape \(1000, 3\) would take 11 GiB"
    ):
        monte_carlo(net, theta, np.zeros((1000, 2), np.float32), np.random.default_rng(0), 10**6)


def test_wrong_arguments() -> None:
    rng = np.random.default_rng(0)
    net, theta = random_net(rng, (3, 4, 2), (0.8, None))
    x = np.zeros((5, 3))
    for n_masks, error in ((0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"n_masks (is|must be)"):
            monte_carlo(net, theta, x, rng, n_masks)
    with pytest.raises(ValueError, match="net has no dropout"):
        monte_carlo(MLP((3, 4, 2)), theta, x, rng, 4)
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        monte_carlo(net, theta, x, 0, 4)
    with pytest.raises(ValueError, match=r"x has shape \(3,\)"):
        every_subnetwork(net, theta, np.zeros(3))
    with pytest.raises(ValueError, match=r"x must be finite, but x\[0, 1\] is"):
        every_subnetwork(net, theta, np.array([[0.0, np.nan, 1.0]]))
    half = Parameters(np.full(net.layout.size, 0.5), net.layout)
    for run in (
        lambda: every_subnetwork(net, theta, x, weight_mask=half),
        lambda: monte_carlo(net, theta, x, rng, 2, weight_mask=half),
    ):
        with pytest.raises(ValueError, match="weight_mask must hold only 0 and 1"):
            run()


NOISY = {
    "unit": (None, layer_rules.unit_dropout(0.8)),
    "unit, shared": (None, layer_rules.unit_dropout(0.8, shared=True)),
    "dropconnect": (layer_rules.dropconnect(0.8), None),
    "gaussian": (None, layer_rules.gaussian_dropout(0.8)),
    "standout": (layer_rules.standout(), None),
}


@pytest.mark.parametrize("rules", NOISY.values(), ids=NOISY)
def test_a_net_whose_noise_stands_in_rules_is_not_taken_for_one_without_dropout(rules: tuple) -> None:
    """It was: one subnetwork of probability 1, and a scale of 1."""
    net = MLP((3, 4, 2), rules=rules)
    theta, x = net.init(np.random.default_rng(0)), np.ones((5, 3), np.float32)
    for ask in (
        lambda: droppable_units(net),
        lambda: list_subnetworks(net),
        lambda: every_subnetwork(net, theta, x),
        lambda: evaluate_standard(net, theta, x),
        lambda: standard_to_inverted(net, theta),
        lambda: inverted_to_standard(net, theta),
        lambda: without_scale(net),
    ):
        with pytest.raises(ValueError, match=r"net has rules with noise \(\w+\(.*given as keep_prob"):
            ask()
    assert monte_carlo(net, theta, x, np.random.default_rng(0), 3).shape == (3, 5, 2)
    plain = MLP((3, 4, 2), rules=(None, None))
    assert every_subnetwork(plain, theta, x)[0].shape == (1, 5, 2)
    assert without_scale(plain).keep_probs == (None, None)


def test_wrong_stacks() -> None:
    with pytest.raises(ValueError, match=r"probability has shape \(3,\), but one for each of 4 values"):
        arithmetic_mean(np.ones((4, 2)), np.full(3, 1 / 3))
    with pytest.raises(ValueError, match="must add up to 1, got a sum of 2"):
        arithmetic_mean(np.ones((4, 2)), np.full(4, 0.5))
    with pytest.raises(ValueError, match="must not be negative"):
        arithmetic_mean(np.ones((2, 2)), np.array([-1.0, 2.0]))
    with pytest.raises(ValueError, match=r"values has shape \(0, 2\)"):
        moments(np.ones((0, 2)))
    with pytest.raises(ValueError, match="values must not be negative"):
        geometric_mean(np.array([[0.5], [-0.1]]))
    for value in (0.0, 1e-310, np.nan):  # rounded to 0, or down to a few digits
        with pytest.raises(ValueError, match=r"values must be at least 2.*softmax\(arithmetic_mean"):
            normalized_geometric_mean(np.array([[value, 1.0], [0.5, 0.5]]))
    with pytest.raises(ValueError, match="penalty is 0, but a finite number > 0"):
        model_precision(0.8, 1.0, 100, 0)
    with pytest.raises(ValueError, match=r"keep_prob is 1\.2"):
        model_precision(1.2, 1.0, 100, 0.1)
