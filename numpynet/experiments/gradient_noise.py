"""How noisy is a gradient? Its variance over examples, without masks and with them, at the same weights.

With dropout the gradient of one random example with one random mask has, by the law of total variance, the variance
Var_n[E_m g] + E_n[Var_m g]: what the choice of the example adds, and what the choice of the mask adds. For a small net
both are exact; for any net a random mask for each example gives an estimate of their sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.network import MLP, UnitMasks
from numpynet.parameters import Parameters
from numpynet.subnetworks import list_subnetworks


class GradientNoise(NamedTuple):
    """Total variances of the gradient of one example, traces of covariance matrices, at the same weights."""

    plain: float  # Var_n[g_n], without masks
    examples: float  # Var_n[E_m g], with masks: what the choice of the example adds
    masks: float  # E_n[Var_m g]: what the choice of the mask adds
    cosine: float  # between the mean gradients with and without masks

    @property
    def ratio(self) -> float:
        """How much noisier a step is with masks, at any batch size."""
        return (self.examples + self.masks) / self.plain


def exact_noise(net: MLP, theta: Parameters, split: Split) -> GradientNoise:
    """Return the variances over all examples of a split and all masks of a small net.   Equation (D5)

    The expected gradient is that of the expected loss, not that of the net without masks; the cosine between them shows it.

    Parameters
    ----------
    net : small, with dropout: all its masks are listed
    theta : its parameters, no stack
    split : few examples, at least two

    Returns
    -------
    GradientNoise

    Examples
    --------
    >>> net = MLP((2, 3, 2), keep_prob=0.8)
    >>> theta = net.init(np.random.default_rng(0), dtype=np.float64)
    >>> noise = exact_noise(net, theta, Split(np.eye(2), np.array([0, 1])))
    >>> noise.masks > 0, noise.ratio > 1
    (True, True)
    """
    masks, probability = list_subnetworks(net, dtype=theta.dtype)
    n = len(split.x)
    plain = per_example_gradients(net, theta, split)  # (N, P)
    expected = np.empty_like(plain)
    within = 0.0
    for i in range(n):
        one = Split(split.x[i : i + 1], split.y[i : i + 1])
        gradients = _gradients(net, theta, one.x, one.y, masks)  # (2^n, P)
        expected[i] = probability @ gradients
        within += float(probability @ (gradients**2).sum(axis=1) - (expected[i] ** 2).sum()) / n
    return GradientNoise(_total_variance(plain), _total_variance(expected), within, _cosine(expected, plain))


def sampled_ratio(net: MLP, theta: Parameters, split: Split, rng: np.random.Generator) -> float:
    """Return the variance of the gradient with one random mask for each example, over that without masks.

    Parameters
    ----------
    net : with dropout
    theta : its parameters
    split : the examples
    rng : of the masks

    Returns
    -------
    A ratio of variances, each the sum over all P parameters; above 1 where masks add noise.

    Examples
    --------
    >>> net = MLP((2, 3, 2), keep_prob=0.8)
    >>> theta = net.init(np.random.default_rng(0), dtype=np.float64)
    >>> split = Split(np.eye(2).repeat(50, axis=0), np.arange(100) % 2)
    >>> sampled_ratio(net, theta, split, np.random.default_rng(1)) > 1
    True
    """
    masks = net.sample_unit_masks(rng, (len(split.x), 1), dtype=theta.dtype)  # (N, 1, d): N stacks of one example
    plain = per_example_gradients(net, theta, split)
    return _total_variance(per_example_gradients(net, theta, split, masks)) / _total_variance(plain)


def per_example_gradients(net: MLP, theta: Parameters, split: Split, unit_masks: UnitMasks | None = None) -> np.ndarray:
    """Return the gradient of the loss of each example, (N, P): N stacks of one example.

    Parameters
    ----------
    net : the network
    theta : its P parameters, no stack
    split : N examples
    unit_masks : for each example, (N, 1, d_in) of each layer; None draws none

    Returns
    -------
    (N, P), in the order of ``theta.vector``

    Examples
    --------
    >>> net = MLP((2, 2))
    >>> split = Split(np.eye(2), np.array([0, 1]))
    >>> per_example_gradients(net, Parameters.zeros(net.layout, dtype=np.float64), split)    # W1 by rows, then b1
    array([[-0.5,  0.5,  0. ,  0. , -0.5,  0.5],
           [ 0. ,  0. ,  0.5, -0.5,  0.5, -0.5]])
    """
    return _gradients(net, theta, split.x[:, None, :], split.y[:, None], unit_masks)


def _gradients(net: MLP, theta: Parameters, x: np.ndarray, y: np.ndarray, unit_masks: UnitMasks | None) -> np.ndarray:
    logits, caches = net.forward(theta, x, unit_masks=unit_masks)
    loss, cache = softmax_cross_entropy.forward(logits, y)
    return net.backward(softmax_cross_entropy.backward(np.ones_like(loss), cache), caches).vector


def _total_variance(gradients: np.ndarray) -> float:
    return float(gradients.var(axis=0, dtype=np.float64).sum())


def _cosine(gradients: np.ndarray, others: np.ndarray) -> float:
    a, b = gradients.mean(axis=0), others.mean(axis=0)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
