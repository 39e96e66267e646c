"""The gradient of the expected loss: complex step in q, conditional means, and what a network says under every mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.keep_prob_gradient import expected_loss, expected_loss_gradient
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.gradcheck.numeric import complex_step
from numpynet.subnetworks import list_subnetworks, without_scale
from tests.checks import assert_close
from tests.dropout.nets import random_net
from tests.strategies import all_masks, mask_probabilities, seeds


@pytest.mark.equation("M8")
@given(n=st.integers(1, 7), seed=seeds)
def test_the_gradient_is_the_complex_step_and_a_difference_of_conditional_means(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses, q = rng.normal(size=2**n), rng.uniform(0.1, 0.9, size=n)
    masks = all_masks(n)
    probability = mask_probabilities(masks, q)
    assert_close(expected_loss(losses, q), probability @ losses)
    gradient = expected_loss_gradient(losses, q)
    assert_close(gradient, complex_step(lambda p: expected_loss(losses, p), q))
    conditional = [
        np.average(losses[masks[:, k] == 1], weights=probability[masks[:, k] == 1])
        - np.average(losses[masks[:, k] == 0], weights=probability[masks[:, k] == 0])
        for k in range(n)
    ]
    assert_close(gradient, np.array(conditional))


@pytest.mark.equation("M8")
@given(seed=seeds)
def test_of_a_network_in_a_corner_it_is_the_exact_change_of_the_loss_when_a_unit_is_pruned(seed: int) -> None:
    """At q in {0, 1} nothing is random: one unit more or less, and everything else stays."""
    rng = np.random.default_rng(seed)
    net, theta = random_net(rng, (3, 4, 2), (None, 0.8))
    x, y = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    masks, probability = list_subnetworks(net)
    logits, _ = without_scale(net).forward(theta, x, unit_masks=masks)  # each mask shared by the batch
    losses = softmax_cross_entropy.forward(logits, y)[0]  # (2^4,)
    assert_close(expected_loss(losses, np.full(4, 0.8)), probability @ losses)
    corner = np.array([1.0, 0.0, 1.0, 1.0])
    index = int((corner * 2 ** np.arange(4)).sum())
    gradient = expected_loss_gradient(losses, corner)
    for k in range(4):
        kept, dropped = index | 1 << k, index & ~(1 << k)
        assert_close(gradient[k], losses[kept] - losses[dropped])


@pytest.mark.equation("M8")
def test_gradient_descent_on_keep_probabilities_ends_in_a_corner() -> None:
    """A polynomial that is linear in each q has no minimum inside the cube: learning q prunes."""
    rng = np.random.default_rng(5)
    losses, q = rng.normal(size=2**5), np.full(5, 0.6)
    for _ in range(4000):
        q = np.clip(q - 0.01 * expected_loss_gradient(losses, q), 0, 1)
    assert set(q) <= {0.0, 1.0}
    index = int((q * 2 ** np.arange(5)).sum())
    assert all(losses[index] <= losses[index ^ (1 << k)] for k in range(5))  # no single unit should change sides


def test_a_stack_of_losses_gives_a_stack_of_gradients() -> None:
    rng = np.random.default_rng(0)
    losses, q = rng.normal(size=(3, 2, 2**4)), rng.uniform(size=4)
    together = expected_loss_gradient(losses, q)
    assert together.shape == (3, 2, 4)
    assert_close(together[2, 1], expected_loss_gradient(losses[2, 1], q))


def test_the_order_of_coins_matters() -> None:
    """Coin k is bit k: with the order reversed the gradient would be another one."""
    losses, q = np.array([0.0, 1.0, 10.0, 11.0]), np.array([0.3, 0.8])
    assert_close(expected_loss_gradient(losses, q), np.array([1.0, 10.0]))


def test_a_list_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(6,\).*2\^3"):
        expected_loss(np.zeros(6), np.full(3, 0.5))
