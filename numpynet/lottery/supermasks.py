"""Bernoulli supermasks: the weights stay as they were drawn, and only the mask is learned (Zhou et al. 2019).

Every weight has a score s, and takes part with probability sigma(s):

    m ~ Bernoulli(sigma(s)),   W_eff = c m * W        c is 1, or n / sum(m) in each layer ("dynamic rescaling")

A mask has no derivative with respect to a probability, so one passes the gradient straight through: dL/dm as if m were
a real number, times sigma'(s). How wrong that is says Equation (P14). At the start s = 0, and every weight tosses a coin.

It is one more law for the mask of the layer equation. With the probabilities themselves in the place of the mask, the
net is the "expected" one: weight scaling, with a keep probability for every weight (Equation (M6)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations.activations import sigmoid_forward
from numpynet.equations.checks import check_rng
from numpynet.parameters import Layout, Parameters


class SupermaskCache(NamedTuple):
    """What the backward pass needs, as the forward pass used it."""

    theta: Parameters
    mask: Parameters
    rescale: bool


def keep_probabilities(scores: Parameters) -> Parameters:
    """Return sigma(s) for every weight, and 1 at the biases, which are never left out.   Equation (P13)

    Parameters
    ----------
    scores : of every weight, any real numbers

    Returns
    -------
    in the form of the scores

    Examples
    --------
    >>> keep_probabilities(Parameters.zeros(Layout.of_sizes((1, 2)))).vector
    array([0.5, 0.5, 1. , 1. ], dtype=float32)
    """
    probabilities = Parameters(sigmoid_forward(scores.vector)[0], scores.layout)
    return _biases_to_one(probabilities)


def sample_supermask(scores: Parameters, uniform: np.ndarray) -> Parameters:
    """Return m = 1[u < sigma(s)] at weights, 1 at biases.   Equation (P13)

    Parameters
    ----------
    scores : of every weight; those of biases are not used
    uniform : (..., P) numbers in [0, 1), drawn outside

    Returns
    -------
    a binary mask, in the form of the scores

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> sample_supermask(Parameters.zeros(Layout.of_sizes((1, 2))), np.array([0.4, 0.6, 0.9, 0.9], np.float32)).vector
    array([1., 0., 1., 1.], dtype=float32)
    """
    kept = uniform < sigmoid_forward(scores.vector)[0]
    return _biases_to_one(Parameters(kept.astype(scores.dtype), scores.layout))


def threshold_supermask(scores: Parameters) -> Parameters:
    """Return the mask of the weights that are more likely in than out, 1[s > 0].   Equation (P13)

    Parameters
    ----------
    scores : of every weight

    Returns
    -------
    a binary mask, in the form of the scores

    Examples
    --------
    >>> threshold_supermask(Parameters(np.array([2.0, 0.0, 0.0, 0.0]), Layout.of_sizes((1, 2)))).vector
    array([1., 0., 1., 1.])
    """
    return _biases_to_one(Parameters((scores.vector > 0).astype(scores.dtype), scores.layout))


def supermask_forward(
    theta: Parameters, mask: Parameters, *, rescale: bool = False
) -> tuple[Parameters, SupermaskCache]:
    """Return the parameters that the network runs on: c m * W, and the biases as they are.   Equation (P13)

    Parameters
    ----------
    theta : frozen weights and biases
    mask : binary, of ``sample_supermask`` or ``threshold_supermask``; or probabilities, for the expected net
    rescale : whether c is n / sum(m) in each layer, and not 1; a layer without any weight keeps c = 1

    Returns
    -------
    theta_effective, cache

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta = Parameters(np.array([3.0, 5.0, 0.0, 0.0]), layout)
    >>> supermask_forward(theta, Parameters(np.array([1.0, 0.0, 1.0, 1.0]), layout), rescale=True)[0].vector
    array([6., 0., 0., 0.])
    """
    effective = theta * mask
    if rescale:
        for name in theta.layout.weight_names:
            effective[name][...] *= _layer_scale(mask[name])
    return effective, SupermaskCache(theta, mask, rescale)


def supermask_backward(G: Parameters, scores: Parameters, cache: SupermaskCache) -> Parameters:
    """Return ds = dL/dm * sigma'(s), the gradient passed straight through the draw of the mask.   Equation (P13)

    With rescaling c is a function of the mask too, so with n weights in the layer

        dL/dm = c G * W - (n / sum(m)^2) <G, m * W>

    Parameters
    ----------
    G : dL/dtheta_effective: what ``MLP.backward`` returns when the net has run on the effective parameters
    scores : those of the mask
    cache : of ``supermask_forward``

    Returns
    -------
    of the form of theta, 0 at the biases

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta, mask = Parameters(np.array([3.0, 5.0, 0.0, 0.0]), layout), Parameters(np.array([1.0, 0.0, 1.0, 1.0]), layout)
    >>> _, cache = supermask_forward(theta, mask)
    >>> supermask_backward(Parameters.ones(layout), Parameters.zeros(layout), cache)["W1"]           # W / 4
    array([[0.75, 1.25]])
    """
    theta, mask, rescale = cache
    probability, _ = sigmoid_forward(scores.vector)
    slope = Parameters(probability * (1 - probability), scores.layout)
    d_scores = G * theta * slope
    for name in theta.layout.bias_names:
        d_scores[name][...] = 0
    if rescale:
        for name in theta.layout.weight_names:
            scale, n = _layer_scale(mask[name]), mask[name].shape[-2] * mask[name].shape[-1]
            through_the_sum = (G[name] * mask[name] * theta[name]).sum(axis=(-2, -1), keepdims=True) * scale**2 / n
            d_scores[name] = (scale * G[name] * theta[name] - through_the_sum) * slope[name]
    return d_scores


@dataclass(frozen=True)
class Bernoulli:
    """The law of a mask whose probabilities are learned; see ``score_training.learn_scores``.   Equation (P13)

    Parameters
    ----------
    rescale : dynamic rescaling, see ``supermask_forward``

    Examples
    --------
    >>> Bernoulli().start(np.random.default_rng(0), Layout.of_sizes((1, 2))).vector
    array([0., 0., 0., 0.], dtype=float32)
    """

    rescale: bool = False

    def start(self, rng: np.random.Generator, layout: Layout, *, dtype: Any = np.float32) -> Parameters:
        """Return the scores to begin with: 0, a probability of 1/2; nothing is drawn.

        Parameters
        ----------
        rng : not used
        layout : of the network
        dtype : of the scores, that of the weights

        Returns
        -------
        scores
        """
        return Parameters.zeros(layout, dtype=dtype)

    def draw(self, rng: np.random.Generator, layout: Layout) -> np.ndarray | None:
        """Return what one step needs of randomness: P uniform numbers.

        Parameters
        ----------
        rng : numpy.random.Generator
        layout : of the network

        Returns
        -------
        (P,) float32 in [0, 1)

        Examples
        --------
        >>> Bernoulli().draw(np.random.default_rng(0), Layout.of_sizes((1, 2))).shape
        (4,)
        """
        return check_rng(rng).random(layout.size, dtype=np.float32)

    def mask(self, scores: Parameters, uniform: np.ndarray) -> Parameters:
        """Return the mask of a step.

        Parameters
        ----------
        scores : of every weight
        uniform : of ``draw``

        Returns
        -------
        of ``sample_supermask``
        """
        return sample_supermask(scores, uniform)

    def backward(self, G: Parameters, scores: Parameters, cache: SupermaskCache) -> Parameters:
        """Return the gradient of the scores.

        Parameters
        ----------
        G : dL/dtheta_effective
        scores : those of the mask
        cache : of ``supermask_forward``

        Returns
        -------
        of ``supermask_backward``
        """
        return supermask_backward(G, scores, cache)


def _layer_scale(mask: np.ndarray) -> np.ndarray:
    """c = n / sum(m) of one layer, (..., 1, 1); 1 if there is nothing to rescale."""
    total = mask.sum(axis=(-2, -1), keepdims=True)
    return np.where(total == 0, 1, mask.shape[-2] * mask.shape[-1] / np.where(total == 0, 1, total)).astype(mask.dtype)


def _biases_to_one(mask: Parameters) -> Parameters:
    """Set the entries at biases to 1, in place."""
    for name in mask.layout.bias_names:
        mask[name][...] = 1
    return mask
