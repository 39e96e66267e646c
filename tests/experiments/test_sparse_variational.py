"""Sparse variational dropout as an experiment: both gradients, what is cut, and what is said of it."""

import numpy as np
import pytest

from numpynet.equations import relu, tanh
from numpynet.equations.masks import prune_lowest
from numpynet.experiments import sparse_variational as sparse
from numpynet.experiments.setup import Steps
from numpynet.gradcheck.numeric import complex_step
from numpynet.network import MLP
from numpynet.parameters import Parameters
from tests.experiments.planted import BASE, LOUD, QUIET, shifted, tiny

SIZES = (4, 6, 3, 5)


def problem(activation, lead=()):
    rng = np.random.default_rng(6)
    net = MLP(SIZES, activation)
    theta = Parameters(rng.standard_normal((*lead, net.layout.size)), net.layout)
    log_sigma2 = Parameters(rng.uniform(-4, 1, (*lead, net.layout.size)), net.layout)
    x, y = rng.standard_normal((*lead, 7, 4)), rng.integers(0, 5, (*lead, 7))
    return net, theta, log_sigma2, x, y, [rng.standard_normal((*lead, 7, d)) for d in SIZES[1:]]


@pytest.mark.equation("D19", "D20")
@pytest.mark.parametrize("activation", [relu, tanh], ids=lambda a: a.name)
@pytest.mark.parametrize("kl_scale", [0.0, 0.37])
def test_weights_and_noise_against_the_complex_step(activation, kl_scale):
    net, theta, log_sigma2, *batch = problem(activation)
    _, of_theta, of_sigma = sparse.loss_and_gradients(net, theta, log_sigma2, *batch, kl_scale)

    def loss(theta_vector, sigma_vector):
        parts = (Parameters(v, net.layout) for v in (theta_vector, sigma_vector))
        return sparse.loss_and_gradients(net, *parts, *batch, kl_scale)[0]

    plain, noisy = theta.vector.astype(complex), log_sigma2.vector.astype(complex)
    numeric = complex_step(lambda v: loss(v, noisy), theta.vector)
    assert np.allclose(of_theta.vector, numeric, rtol=0, atol=1e-12 * np.abs(numeric).max())
    numeric = complex_step(lambda v: loss(plain, v), log_sigma2.vector)
    assert np.abs(numeric).max() > 1e-3
    assert np.allclose(of_sigma.vector, numeric, rtol=0, atol=1e-12 * np.abs(numeric).max())


def test_a_stack_is_its_replicates():
    net, theta, log_sigma2, x, y, noise = problem(relu, lead=(2,))
    loss, *gradients = sparse.loss_and_gradients(net, theta, log_sigma2, x, y, noise, 0.2)
    for r in range(2):
        single = sparse.loss_and_gradients(
            net, theta.replicate(r), log_sigma2.replicate(r), x[r], y[r], [n[r] for n in noise], 0.2
        )
        assert single[0] == pytest.approx(loss[r], rel=1e-12)
        for one, both in zip(single[1:], gradients):
            assert np.allclose(one.vector, both.vector[r], rtol=1e-12, atol=1e-14)


@pytest.mark.equation("D20")
def test_the_divergence_drowns_weights_and_without_it_hardly_any_is_cut():
    # The step is large and the training short; what matters is the difference.
    setup = tiny(steps=150, lr=0.03)
    left = []
    for kl_weight in (0.0, 30.0):
        theta, log_alpha = sparse.train_sparse(setup, [1, 2], kl_weight, Steps("sparse", 150))
        mask = sparse.cut(setup.net(1.0), log_alpha)
        assert np.array_equal(mask["W1"], (log_alpha["W1"] <= 3).astype(mask.dtype))
        assert (mask["b1"] == 1).all()
        left.append(mask["W1"].mean(axis=(-2, -1)))
        assert np.isfinite(theta.vector).all()
    assert (left[0] > left[1] + 0.2).all()


def test_the_plain_net_is_cut_to_as_many_weights_in_every_layer(monkeypatch):
    seen = []
    cut = sparse.one_shot_mask

    def remember(scores, mask):
        seen.append((scores, mask, cut(scores, mask)))
        return seen[-1][-1]

    monkeypatch.setattr(sparse, "one_shot_mask", remember)
    found, plain = sparse.compare(tiny(steps=120, lr=0.03), [3, 4], 30.0, Steps("sparse", 240))
    ((scores, mask, plain_mask),) = seen
    for r in range(2):
        for name in ("W1", "W2", "W3"):
            kept, own = mask[name][r], plain_mask[name][r]
            assert kept.sum() == own.sum()
            dead = int((kept == 0).sum())
            assert np.array_equal(own, prune_lowest(scores[name][r], np.ones_like(own), dead))
    assert np.array_equal(found.left, plain.left)
    assert (found.left < 1).all()
    assert found.histogram.sum(axis=1).tolist() == [2 * 64 * 9, 2 * 9 * 8, 2 * 8 * 10]  # nobody falls off the axis


def pair_with(difference):
    name = "learned noise"
    one = sparse.Pruned(name, BASE, shifted(difference), np.full(6, 0.3), None)
    return one, sparse.Pruned("plain", BASE, BASE, np.full(6, 0.3), None)


@pytest.mark.parametrize(
    ("difference", "words"), [(LOUD, "it is better than"), (-LOUD, "it is worse than"), (QUIET, "it is not told apart")]
)
def test_the_remark_claims_only_what_the_intervals_allow(difference, words):
    assert words in sparse._remark([pair_with(difference)])
