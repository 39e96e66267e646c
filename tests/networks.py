"""Small networks with everything that a forward pass takes, for the tests of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from numpynet.equations.activations import Activation, identity, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.network import MLP
from numpynet.parameters import Parameters
from tests.strategies import binary, keep_probs, labels_of, network_sizes, seeds

ACTIVATIONS = [relu, leaky_relu, tanh, sigmoid, identity]


@dataclass
class Case:
    """A small network with everything that a forward pass takes, in float64; nothing in it is 0 but what a mask says."""

    net: MLP
    theta: Parameters
    x: np.ndarray
    labels: np.ndarray
    weight_mask: Parameters | None
    unit_masks: list[np.ndarray | None] | None
    seed: int

    def logits(self, theta: Parameters | None = None) -> tuple[np.ndarray, Any]:
        theta = self.theta if theta is None else theta
        return self.net.forward(theta, self.x, weight_mask=self.weight_mask, unit_masks=self.unit_masks)

    def loss(self, vector: np.ndarray) -> np.ndarray:
        """The loss of each network of the stack, as a function of the bare vector."""
        logits, _ = self.logits(Parameters(vector, self.net.layout))
        return softmax_cross_entropy_forward(logits, self.labels)[0]

    def gradients(self, dloss: np.ndarray | float = 1.0, vector: np.ndarray | None = None) -> Parameters:
        theta = self.theta if vector is None else Parameters(vector, self.net.layout)
        logits, caches = self.logits(theta)
        _, loss_cache = softmax_cross_entropy_forward(logits, self.labels)
        return self.net.backward(softmax_cross_entropy_backward(dloss, loss_cache), caches)


def make_case(
    sizes: tuple[int, ...],
    activation: Activation,
    seed: int,
    *,
    keep_prob: tuple[float | None, ...] | None = None,
    density: float | None = 0.6,
    replicates: tuple[int, ...] = (),
    biases: bool = True,
    N: int = 5,
) -> Case:
    """Draw a case; without keep_prob there are no unit masks, without a density no weight mask."""
    rng = np.random.default_rng(seed)
    net = MLP(sizes, activation=activation, keep_prob=(None,) * (len(sizes) - 1) if keep_prob is None else keep_prob)
    theta = Parameters(rng.normal(size=(*replicates, net.layout.size)), net.layout)
    weight_mask = None
    if density is not None:
        weight_mask = Parameters.ones(net.layout, replicates=replicates, dtype=np.float64)
        for name in net.layout.weight_names:
            weight_mask[name] = binary(rng, weight_mask[name].shape, density)
    if not biases:
        for name in set(theta) - set(net.layout.weight_names):
            theta[name][...] = 0
    unit_masks = None
    if keep_prob is not None:
        unit_masks = [
            None if q is None else binary(rng, (*replicates, N, d_in), q) for q, d_in in zip(keep_prob, sizes)
        ]
    x, labels = rng.normal(size=(N, sizes[0])), labels_of(rng, (N,), sizes[-1])
    return Case(net, theta, x, labels, weight_mask, unit_masks, seed)


@st.composite
def cases(draw: st.DrawFn, activation: Activation, **options: Any) -> Case:
    keep_prob = draw(st.tuples(st.none() | keep_probs, keep_probs, keep_probs) | st.none())
    return make_case(
        draw(network_sizes()),
        activation,
        draw(seeds),
        **{"keep_prob": keep_prob, "density": draw(st.none() | st.sampled_from([0.3, 0.7])), "N": 8, **options},
    )


def any_case(**options: Any) -> st.SearchStrategy[Case]:
    """A case with any activation."""
    return st.sampled_from(ACTIVATIONS).flatmap(lambda activation: cases(activation, **options))
