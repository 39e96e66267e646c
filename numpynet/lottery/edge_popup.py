"""Edge-popup: a net is searched for inside a random one, by scores that rise and fall (Ramanujan et al. 2020).

The weights stay as they were drawn. Every weight has a score; forward, the share ``density`` with the largest |s| of each
layer takes part, all others do not; backward, the selection is passed over as if it were not there, so every score
learns what its weight would do, in or out:

    m = 1 on the k largest |s| of the layer,   W_eff = m * W,   ds = G * W * sign(s)

Nothing is left to chance but the first scores. ``density`` is the share that is KEPT; the paper's k, and not a sparsity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from numpynet.equations.checks import check_rng
from numpynet.lottery.supermasks import SupermaskCache
from numpynet.parameters import Layout, Parameters
from numpynet.pruning.counts import survivors
from numpynet.pruning.masks import dense_mask
from numpynet.pruning.scores import magnitude
from numpynet.pruning.selection import prune_layerwise


def edge_popup_mask(scores: Parameters, density: float) -> Parameters:
    """Keep in every layer its share of the weights, those with the largest |s|.   Equation (P15)

    Parameters
    ----------
    scores : of every weight; with replicates each is ranked by itself
    density : share of the weights of every layer to keep

    Returns
    -------
    a mask in the form of the scores, 1 at biases

    Raises
    ------
    TypeError, ValueError
        density is no number in [0, 1], or a score is NaN.

    References
    ----------
    Ramanujan et al. (2020).

    Examples
    --------
    >>> scores = Parameters(np.array([0.3, -0.9, 0.1, 0.4, 0.0]), Layout.of_sizes((4, 1)))
    >>> edge_popup_mask(scores, density=0.5).vector
    array([0., 1., 0., 1., 1.])
    """
    return prune_layerwise(magnitude(scores), dense_mask(scores), density=density)


def edge_popup_backward(G: Parameters, scores: Parameters, theta: Parameters) -> Parameters:
    """Return ds = G * W * sign(s), 0 at the biases.   Equation (P15)

    The selection counts as the identity; the sign is what the absolute value leaves of the chain rule.

    Parameters
    ----------
    G : dL/d(m * W), dense: also of weights that took no part
    scores, theta : as in the forward pass

    Returns
    -------
    ds, in the form of theta

    References
    ----------
    Ramanujan et al. (2020).

    Examples
    --------
    >>> layout = Layout.of_sizes((2, 1))
    >>> scores, theta = Parameters(np.array([0.3, -0.9, 0.0]), layout), Parameters(np.array([3.0, 5.0, 1.0]), layout)
    >>> edge_popup_backward(Parameters.ones(layout), scores, theta).vector
    array([ 3., -5.,  0.])
    """
    d_scores = G * theta * np.sign(scores.vector)
    for name in theta.layout.bias_names:
        d_scores[name][...] = 0
    return d_scores


@dataclass(frozen=True)
class EdgePopup:
    """The law of a mask that is the best share of each layer; see ``score_training.learn_scores``.   Equation (P15)

    Parameters
    ----------
    density : share of the weights of every layer that takes part, in [0, 1]

    Examples
    --------
    >>> scores = EdgePopup(0.5).start(np.random.default_rng(0), Layout.of_sizes((4, 3)))
    >>> bool((abs(scores["W1"]) <= 0.5).all()), scores["b1"]                                    # 1 / sqrt(4)
    (True, array([0., 0., 0.], dtype=float32))
    """

    density: float
    rescale: ClassVar[bool] = False

    def __post_init__(self) -> None:
        survivors(self.density, 0)  # raises unless it is a number in [0, 1]

    def start(self, rng: np.random.Generator, layout: Layout, *, dtype: Any = np.float32) -> Parameters:
        """Draw the scores to begin with: U(-a, a) with a = 1 / sqrt(d_in).

        Parameters
        ----------
        rng : draws one layer after the other
        layout : of the network
        dtype : of the scores, that of the weights

        Returns
        -------
        scores, 0 at biases
        """
        scores = Parameters.zeros(layout, dtype=dtype)
        for name in layout.weight_names:
            limit = 1 / math.sqrt(layout.shapes[name][0])
            scores[name] = check_rng(rng).uniform(-limit, limit, layout.shapes[name]).astype(dtype)
        return scores

    def draw(self, rng: np.random.Generator, layout: Layout) -> np.ndarray | None:
        """Return what one step needs of randomness: nothing.

        Parameters
        ----------
        rng : not used
        layout : not used

        Returns
        -------
        None

        Examples
        --------
        >>> EdgePopup(0.5).draw(np.random.default_rng(0), Layout.of_sizes((4, 1))) is None
        True
        """
        return None

    def mask(self, scores: Parameters, uniform: np.ndarray | None = None) -> Parameters:
        """Return the mask of a step.

        Parameters
        ----------
        scores : of every weight
        uniform : not used; ``draw`` gives None

        Returns
        -------
        of ``edge_popup_mask``

        Examples
        --------
        >>> scores = Parameters(np.array([0.3, -0.9, 0.1, 0.4, 0.0]), Layout.of_sizes((4, 1)))
        >>> EdgePopup(0.5).mask(scores).vector
        array([0., 1., 0., 1., 1.])
        """
        return edge_popup_mask(scores, self.density)

    def backward(self, G: Parameters, scores: Parameters, cache: SupermaskCache) -> Parameters:
        """Return the gradient of the scores.

        Parameters
        ----------
        G : dL/d(m * W), dense
        scores : those of the mask
        cache : of ``supermask_forward``

        Returns
        -------
        of ``edge_popup_backward``
        """
        return edge_popup_backward(G, scores, cache.theta)
