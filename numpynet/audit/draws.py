"""What the audit draws and lists: mixed masks, all masks of a few units, small random networks and their gradients.

Sizes differ pairwise and keep_prob is never 0.5, where keep and drop are one number and some wrong formulas are right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpynet.equations.activations import Activation, tanh
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.equations.masks import sample_mask
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters


def draw_keep_prob(rng: np.random.Generator) -> float:
    """Draw one of 0.3, 0.6, 0.7, 0.8.

    Parameters
    ----------
    rng : to draw from

    Returns
    -------
    A number; never 0.5, at which keep and drop are the same.

    Examples
    --------
    >>> draw_keep_prob(np.random.default_rng(0)) != 0.5
    True
    """
    return float(rng.choice([0.3, 0.6, 0.7, 0.8]))


def mixed_mask(rng: np.random.Generator, shape: tuple[int, ...], keep_prob: float) -> np.ndarray:
    """Draw a mask with at least one 0 and one 1: with all alike some mistakes could not be seen.

    Parameters
    ----------
    rng : to draw from
    shape : of more than one entry
    keep_prob : probability of a 1, strictly between 0 and 1; draws that are all alike are thrown away

    Returns
    -------
    float64 array of this shape, 0 or 1.

    Examples
    --------
    >>> mask = mixed_mask(np.random.default_rng(0), (1, 2), 0.9)
    >>> float(mask.sum())
    1.0
    """
    while True:
        mask = sample_mask(rng, shape, keep_prob, dtype=np.float64)
        if 0 < mask.sum() < mask.size:
            return mask


def all_masks(n: int) -> np.ndarray:
    """List all 2^n masks of n units, (2^n, n).

    Parameters
    ----------
    n : number of units

    Returns
    -------
    (2^n, n), 0 or 1; row k holds the binary digits of k, the lowest first.

    Examples
    --------
    >>> all_masks(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)


def mask_probability(masks: np.ndarray, keep_prob: float | np.ndarray) -> np.ndarray:
    """Return the probability of each mask, the product over the last axis of q where kept and 1 - q where dropped.

    Parameters
    ----------
    masks : (..., n), 0 or 1
    keep_prob : q, one for all units or one for each, (n,)

    Returns
    -------
    (...,)

    Examples
    --------
    >>> mask_probability(all_masks(2), 0.8).round(2).tolist()
    [0.04, 0.16, 0.16, 0.64]
    """
    return np.where(masks == 1, keep_prob, 1 - keep_prob).prod(axis=-1)


def covariance(values: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the covariance matrix of the columns of values (S, d), whose rows have these probabilities (S,).

    Parameters
    ----------
    values : (S, d)
    probability : (S,), with sum 1

    Returns
    -------
    (d, d)

    Examples
    --------
    >>> covariance(np.array([[0.0], [1.0]]), np.array([0.2, 0.8])).round(2).tolist()
    [[0.16]]
    """
    deviation = values - probability @ values
    return deviation.T @ (probability[:, None] * deviation)


def random_net(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    keep_prob: float | Sequence[float | None] = 1.0,
    activation: Activation = tanh,
) -> tuple[MLP, Parameters]:
    """Return a network with normal weights and biases, none of them 0.

    Parameters
    ----------
    rng : to draw from
    sizes : units of the inputs, of each hidden layer and of the output
    keep_prob : as ``MLP`` takes it
    activation : of the hidden layers

    Returns
    -------
    net, theta : in float64

    Examples
    --------
    >>> net, theta = random_net(np.random.default_rng(0), (3, 4, 2))
    >>> bool(theta.vector.all())
    True
    """
    net = MLP(sizes, activation=activation, keep_prob=keep_prob)
    return net, random_parameters(rng, net.layout)


def linear_unit(w: np.ndarray, keep_prob: float) -> tuple[MLP, Parameters]:
    """Return the model x w, a network with one output and the bias 0.

    Parameters
    ----------
    w : (d,)
    keep_prob : of the inputs

    Returns
    -------
    net, theta : the weights are w, (d, 1)

    Examples
    --------
    >>> net, theta = linear_unit(np.array([1.0, 10.0]), 0.8)
    >>> net.forward(theta, np.array([[2.0, 3.0]]))[0]
    array([[32.]])
    """
    net = MLP((len(w), 1), keep_prob=(keep_prob,))
    return net, Parameters(np.append(w, 0.0), net.layout)


def random_parameters(rng: np.random.Generator, layout: Layout) -> Parameters:
    """Return normal numbers in the form of theta.

    Parameters
    ----------
    rng : to draw from
    layout : names and shapes

    Returns
    -------
    Parameters, standard normal in float64

    Examples
    --------
    >>> random_parameters(np.random.default_rng(0), Layout.of_sizes((3, 2))).dtype
    dtype('float64')
    """
    return Parameters(rng.standard_normal(layout.size), layout)


def random_weight_mask(rng: np.random.Generator, layout: Layout, density: float = 0.6) -> Parameters:
    """Return a weight mask with a 0 and a 1 in every layer, and 1 at all biases.

    Parameters
    ----------
    rng : to draw from
    layout : names and shapes; every weight matrix with more than one entry
    density : probability that a weight stays

    Returns
    -------
    Parameters, 0 or 1 in float64

    Examples
    --------
    >>> random_weight_mask(np.random.default_rng(0), Layout.of_sizes((3, 2)))["b1"]
    array([1., 1.])
    """
    mask = Parameters.ones(layout, dtype=np.float64)
    for name in layout.weight_names:
        mask[name] = mixed_mask(rng, layout.shapes[name], density)
    return mask


def random_batch(rng: np.random.Generator, net: MLP, n_examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normal inputs (N, d_0) and labels (N,) for a network.

    Parameters
    ----------
    rng : to draw from
    net : whose numbers of inputs and classes fit
    n_examples : N

    Returns
    -------
    x, labels : float64 (N, d_0) and integer (N,)

    Examples
    --------
    >>> x, labels = random_batch(np.random.default_rng(0), MLP((3, 2)), 5)
    >>> x.shape, labels.shape
    ((5, 3), (5,))
    """
    return rng.standard_normal((n_examples, net.sizes[0])), rng.integers(0, net.sizes[-1], n_examples)


def loss_and_gradients(
    net: MLP,
    theta: Parameters,
    x: np.ndarray,
    targets: np.ndarray,
    *,
    weight_mask: Parameters | None = None,
    unit_masks: Sequence[np.ndarray | None] | None = None,
    loss: Loss = softmax_cross_entropy,
) -> tuple[np.ndarray, Parameters]:
    """Return the loss of every network of a stack, (...,), and its gradient in the form of theta.

    Parameters
    ----------
    net : of L layers
    theta : its parameters, or a stack of them
    x : (..., N, d_0)
    targets : as the loss takes them
    weight_mask : M, in the form of theta; None is a dense net
    unit_masks : D of each layer's input, None where nothing is dropped; None draws none
    loss : of the outputs

    Returns
    -------
    value, gradients : (...,), and in the form of theta

    Examples
    --------
    >>> net, theta = random_net(np.random.default_rng(0), (3, 4, 2))
    >>> value, gradients = loss_and_gradients(net, theta, *random_batch(np.random.default_rng(1), net, 5))
    >>> value.shape, gradients["W1"].shape
    ((), (3, 4))
    """
    logits, caches = net.forward(theta, x, weight_mask=weight_mask, unit_masks=unit_masks)
    value, cache = loss.forward(logits, targets)
    return value, net.backward(loss.backward(np.ones(value.shape), cache), caches)
