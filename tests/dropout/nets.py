"""Small random nets in float64, and gradients of a stack of subnetworks, for the tests of the dropout identities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpynet.equations.activations import Activation, relu
from numpynet.equations.losses import Loss
from numpynet.network import MLP
from numpynet.parameters import Parameters


def random_net(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    keep_prob: Sequence[float | None],
    activation: Activation = relu,
    *,
    replicates: tuple[int, ...] = (),
) -> tuple[MLP, Parameters]:
    """A net with normal weights and biases, none of them 0."""
    net = MLP(sizes, activation=activation, keep_prob=tuple(keep_prob))
    return net, Parameters(rng.normal(size=(*replicates, net.layout.size)), net.layout)


def losses_and_gradients(
    net: MLP, theta: Parameters, x: np.ndarray, targets: np.ndarray, loss: Loss, unit_masks: list[np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of every subnetwork of a stack, (S,), and its gradient, (S, P)."""
    logits, caches = net.forward(theta, x, unit_masks=unit_masks)
    values, cache = loss.forward(logits, targets)
    return values, net.backward(loss.backward(np.ones(values.shape), cache), caches).vector
