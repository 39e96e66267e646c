"""Small pruned networks for the tests: sizes that differ pairwise, biases that are not 0, masks with dead units."""

from __future__ import annotations

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.activations import Activation, tanh
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from tests.strategies import labels_of


def random_theta(
    layout: Layout, seed: int, *, dtype: type = np.float64, replicates: tuple[int, ...] = ()
) -> Parameters:
    rng = np.random.default_rng([seed, 1])
    return Parameters(rng.normal(size=(*replicates, layout.size)).astype(dtype), layout)


def random_mask(
    layout: Layout, seed: int, density: float = 0.6, *, dtype: type = np.float64, replicates: tuple[int, ...] = ()
) -> Parameters:
    """Every weight lives with this probability; biases always do."""
    rng = np.random.default_rng([seed, 2])
    mask = Parameters.ones(layout, replicates=replicates, dtype=dtype)
    for name in layout.weight_names:
        mask[name] = rng.random(mask[name].shape) < density
    return mask


def random_split(sizes: tuple[int, ...], seed: int, N: int = 11) -> Split:
    rng = np.random.default_rng([seed, 3])
    return Split(rng.normal(size=(N, sizes[0])), labels_of(rng, (N,), sizes[-1]))


def random_net(
    seed: int, sizes: tuple[int, ...] = (6, 5, 4, 3), activation: Activation = tanh
) -> tuple[MLP, Parameters, Split]:
    net = MLP(sizes, activation=activation)
    return net, random_theta(net.layout, seed), random_split(sizes, seed)


def loss_and_gradients(net, theta, split, weight_mask=None, unit_masks=None):
    """The mean cross-entropy of a split, and its gradients, by the plain passes of the network."""
    logits, caches = net.forward(theta, split.x, weight_mask=weight_mask, unit_masks=unit_masks)
    loss, cache = softmax_cross_entropy.forward(logits, split.y)
    return loss, net.backward(softmax_cross_entropy.backward(1.0, cache), caches)


def counts(mask: Parameters) -> list[int]:
    return [int(mask[name].sum()) for name in mask.layout.weight_names]


def weights_of(parameters: Parameters) -> np.ndarray:
    """All weights in one vector, without the biases."""
    return np.concatenate([parameters[name].ravel() for name in parameters.layout.weight_names])
