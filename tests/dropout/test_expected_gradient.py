"""The gradient under random masks: what it is the gradient of (D5, N7), and how noisy it is (D8, N10, N15)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from numpynet.equations.activations import Activation, relu, tanh
from numpynet.equations.linear import linear_forward, mask_gradients
from numpynet.equations.losses import softmax_cross_entropy, squared_error
from numpynet.gradcheck.numeric import complex_step
from numpynet.optimizers import SGD, Adam, Decay, Momentum, update
from numpynet.parameters import Parameters
from numpynet.subnetworks import every_subnetwork, list_subnetworks
from tests.checks import assert_close
from tests.dropout.nets import losses_and_gradients, random_net
from tests.strategies import all_masks, keep_probs, mask_probabilities, seeds


@pytest.mark.equation("D5")
@settings(max_examples=10)
@given(q_inputs=keep_probs, q_hidden=keep_probs, seed=seeds)
@pytest.mark.parametrize("activation", [relu, tanh], ids=lambda a: a.name)
def test_the_mean_gradient_is_the_gradient_of_the_mean_loss(
    activation: Activation, q_inputs: float, q_hidden: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 2), (q_inputs, q_hidden), activation)
    x, labels = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    masks, probability = list_subnetworks(net)
    _, gradients = losses_and_gradients(net, theta, x, labels, softmax_cross_entropy, masks)

    def mean_loss(vector: np.ndarray) -> complex:
        logits, _ = net.forward(Parameters(vector, net.layout), x, unit_masks=masks)
        return probability @ softmax_cross_entropy.forward(logits, labels)[0]

    assert gradients.shape == (2**7, net.layout.size)
    assert_close(probability @ gradients, complex_step(mean_loss, theta.vector))


@pytest.mark.equation("D5", "N7")
def test_it_is_not_the_gradient_of_the_evaluation_net() -> None:
    gaps = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        net, theta = random_net(rng, (3, 4, 2), (0.8, 0.6))
        x, labels = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
        masks, probability = list_subnetworks(net)
        _, gradients = losses_and_gradients(net, theta, x, labels, softmax_cross_entropy, masks)
        logits, caches = net.forward(theta, x)
        _, cache = softmax_cross_entropy.forward(logits, labels)
        evaluation = net.backward(softmax_cross_entropy.backward(1.0, cache), caches).vector
        gaps.append(np.abs(probability @ gradients - evaluation).max())
    assert min(gaps) > 0.02, gaps


# ---- one mask for the batch, or one for each example -----------------------------------------------------------------


def gradient_noise(seed: int, q: float) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    """A linear regression: mean gradients and total variances of both ways, and the sum of covariances of examples.

    Per example all 2^9 masks of the batch are listed, shared all 2^3.
    """
    n, N = 3, 3
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (n, 1), (q,))
    x, targets = rng.normal(size=(N, n)), rng.normal(size=(N, 1))

    def total_variance(gradients: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, float]:
        mean = probability @ gradients
        return mean, float(probability @ ((gradients - mean) ** 2).sum(axis=-1))

    own = all_masks(N * n)
    _, gradients = losses_and_gradients(net, theta, x, targets, squared_error, [own.reshape(-1, N, n)])
    mean_own, variance_own = total_variance(gradients, mask_probabilities(own, q))

    masks, probability = list_subnetworks(net)
    _, gradients = losses_and_gradients(net, theta, x, targets, squared_error, masks)
    mean_shared, variance_shared = total_variance(gradients, probability)

    one_by_one = np.stack(
        [losses_and_gradients(net, theta, x[[i]], targets[[i]], squared_error, masks)[1] / N for i in range(N)]
    )  # (N, 2^n, P)
    deviation = one_by_one - np.einsum("s,isk->ik", probability, one_by_one)[:, None]
    covariance = np.einsum("s,isk,jsk->ij", probability, deviation, deviation)
    return mean_own, mean_shared, variance_own, variance_shared, float(covariance.sum() - np.trace(covariance))


@pytest.mark.equation("D8")
@settings(max_examples=10)
@given(q=keep_probs, seed=seeds)
def test_sharing_a_mask_keeps_the_mean_gradient_and_adds_the_covariances_of_the_examples(q: float, seed: int) -> None:
    mean_own, mean_shared, variance_own, variance_shared, covariances = gradient_noise(seed, q)
    assert_close(mean_own, mean_shared)
    assert_close(variance_shared - variance_own, covariances, tolerance=1e-12 * max(1, variance_shared))


@pytest.mark.equation("D8", "N15")
def test_a_shared_mask_may_be_less_noisy() -> None:
    differences = [shared - own for _, _, own, shared, _ in (gradient_noise(seed, 0.7) for seed in range(60))]
    assert min(differences) < -0.01 and max(differences) > 0.01
    assert 0 < np.mean(np.array(differences) < 0) < 0.5  # it happens, but seldom


def test_a_shared_mask_is_a_row_of_masks_that_agree() -> None:
    rng = np.random.default_rng(4)
    net, theta = random_net(rng, (4, 5, 2), (0.8, 0.6))
    x = rng.normal(size=(3, 4))
    shared = net.sample_unit_masks(rng, (1,), dtype=np.float64)
    written_out = [np.repeat(mask, 3, axis=0) for mask in shared]
    assert np.array_equal(net.forward(theta, x, unit_masks=shared)[0], net.forward(theta, x, unit_masks=written_out)[0])


@pytest.mark.equation("M3")
@given(seed=seeds)
def test_input_dropout_with_one_mask_removes_features(seed: int) -> None:
    """Unscaled, bit for bit: the rows of W1 that the mask leaves are the net without those features."""
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (4, 5, 2), (1.0, None))
    x, d = rng.normal(size=(3, 4)), np.array([[1.0, 0.0, 1.0, 0.0]])
    pruned = theta.copy()
    pruned["W1"] *= d.T
    assert np.array_equal(net.forward(theta, x, unit_masks=[d, None])[0], net.forward(pruned, x)[0])


# ---- the weights of dropped units ------------------------------------------------------------------------------------


@pytest.mark.equation("N10")
@pytest.mark.parametrize(
    ("optimizer", "decay", "moves"),
    [
        (SGD(), None, False),
        (Momentum(0.9), None, True),
        (Adam(), None, True),
        (SGD(), Decay(coupled=0.1), True),
        (SGD(), Decay(decoupled=0.1), True),
    ],
    ids=["SGD", "momentum", "Adam", "coupled decay", "decoupled decay"],
)
def test_a_unit_that_is_dropped_still_moves(optimizer, decay, moves: bool) -> None:
    """Unit 0 is there in the first step and dropped for the whole batch in the second; its gradient is exactly 0."""
    rng = np.random.default_rng(0)
    net, theta = random_net(rng, (3, 4, 2), (None, 0.8), tanh)
    x, labels = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    state = optimizer.init(theta.vector)
    for kept in (1.0, 0.0):
        mask = np.array([[kept, 1.0, 1.0, 1.0]])
        before = theta.copy()
        logits, caches = net.forward(theta, x, unit_masks=[None, mask])
        _, cache = softmax_cross_entropy.forward(logits, labels)
        gradients = net.backward(softmax_cross_entropy.backward(1.0, cache), caches)
        update(theta, gradients, optimizer, state, 0.1, decay=decay)
    assert not gradients["W1"][:, 0].any() and not gradients["W2"][0].any() and not gradients["b1"][0].any()
    for name, unit in (("W1", (slice(None), 0)), ("W2", (0,))):
        assert np.any(theta[name][unit] != before[name][unit]) == moves


@pytest.mark.equation("N18", "P14")
@settings(max_examples=15)
@given(seed=seeds)
@pytest.mark.parametrize("Q", [0.3, 0.8, 0.5])
def test_the_straight_through_gradient_is_biased(Q: float, seed: int) -> None:
    """Of a linear unit with squared error by exactly a_i^2 (2 Q - 1), and so not at all at Q = 1/2."""
    n, rng = 6, np.random.default_rng(seed)
    x, W, target = rng.normal(size=(1, n)), rng.normal(size=(n, 1)), rng.normal(size=(1, 1))
    m = all_masks(n)
    probability = mask_probabilities(m, Q)
    z, cache = linear_forward(x, W, np.zeros(1), weight_mask=m[..., None])  # (2^n, 1, 1)
    loss, loss_cache = squared_error.forward(z, target)
    d_mask, _ = mask_gradients(squared_error.backward(np.ones(2**n), loss_cache), cache)
    straight_through = probability @ d_mask[..., 0]
    exact = np.array(
        [
            np.average(loss[m[:, i] == 1], weights=probability[m[:, i] == 1])
            - np.average(loss[m[:, i] == 0], weights=probability[m[:, i] == 0])
            for i in range(n)
        ]
    )
    a = x[0] * W[:, 0]
    assert_close(straight_through - exact, a**2 * (2 * Q - 1) / 2)  # our squared error has the factor 1/2
    d_affine, _ = mask_gradients(np.ones((2**n, 1, 1)), cache)  # of z itself, which is affine in each entry
    assert_close(probability @ d_affine[..., 0], a)  # E[z | m_i = 1] - E[z | m_i = 0] = a_i: no bias


def test_every_subnetwork_and_its_gradient_agree_with_a_loop() -> None:
    """The stack is nothing but a loop over masks."""
    rng = np.random.default_rng(1)
    net, theta = random_net(rng, (3, 4, 2), (0.8, 0.6))
    x, labels = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    masks, _ = list_subnetworks(net)
    logits, _ = every_subnetwork(net, theta, x)
    _, gradients = losses_and_gradients(net, theta, x, labels, softmax_cross_entropy, masks)
    for s in (0, 1, 77, 127):
        alone, caches = net.forward(theta, x, unit_masks=[mask[s] for mask in masks])
        _, cache = softmax_cross_entropy.forward(alone, labels)
        assert_close(logits[s], alone)
        assert_close(gradients[s], net.backward(softmax_cross_entropy.backward(1.0, cache), caches).vector)
