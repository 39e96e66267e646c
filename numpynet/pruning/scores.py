"""Scores that need only weights: what a weight is worth, so that the worthless ones can go.

A score has the form of theta, and the weights with the LARGEST score stay. At the biases it is 0, and nobody reads it
there. Scores do not know masks and masks do not know scores: any score goes with any way of selecting.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpynet.equations.checks import check_rng
from numpynet.parameters import Layout, Parameters


def magnitude(theta: Parameters) -> Parameters:
    """S = |W|.   Equation (P1)

    Parameters
    ----------
    theta : parameters of a network

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> magnitude(Parameters(np.array([3.0, -1.0, 0.5]), Layout.of_sizes((2, 1)))).vector
    array([3., 1., 0.])
    """
    return weights_only(np.abs(theta))


def random_scores(rng: np.random.Generator | Sequence[np.random.Generator], layout: Layout) -> Parameters:
    """S uniform on [0, 1): all masks of one count are equally likely.   Equation (P2)

    Always float64: among as many float32 numbers there would be ties, and ties are broken by position.

    Parameters
    ----------
    rng : a generator, or a list of R of them for R replicates, each equal to the single draw
    layout : of the network

    Returns
    -------
    Parameters : scores of the layout, one net or a stack

    Raises
    ------
    TypeError
        rng is no generator.

    Examples
    --------
    >>> random_scores(np.random.default_rng(0), Layout.of_sizes((2, 1)))["W1"].ravel().round(3)
    array([0.637, 0.27 ])
    """
    if isinstance(rng, (list, tuple)):
        return Parameters(np.stack([random_scores(r, layout).vector for r in rng]), layout)
    scores = Parameters.zeros(layout, dtype=np.float64)
    for name in layout.weight_names:
        scores[name] = check_rng(rng).random(layout.shapes[name])
    return scores


def add_movement(scores: Parameters, theta: Parameters, gradients: Parameters, lr: float) -> Parameters:
    """S_t = S_(t-1) - lr * g_t * W_(t-1): positive for a weight that has moved away from 0.   Equation (P10)

    Start from zeros, and call it before each step of the optimizer. Sanh, Wolf and Rush (2020).

    Parameters
    ----------
    scores : the sum so far; a new one is returned
    theta : the parameters before the step
    gradients : of the loss at theta
    lr : learning rate of the step

    Returns
    -------
    Parameters : the scores after this step

    Examples
    --------
    >>> layout = Layout.of_sizes((2, 1))
    >>> theta, gradients = Parameters(np.array([2.0, -1.0, 0.0]), layout), Parameters(np.array([-3.0, -3.0, 1.0]), layout)
    >>> add_movement(Parameters.zeros(layout, dtype=np.float64), theta, gradients, lr=0.1)["W1"].ravel()
    array([ 0.6, -0.3])
    """
    return weights_only(scores - float(lr) * gradients * theta)


def weights_only(scores: Parameters) -> Parameters:
    """Return a copy of the scores that is 0 at the biases.

    Parameters
    ----------
    scores : of the form of theta

    Returns
    -------
    Parameters : of the form of theta

    Examples
    --------
    >>> weights_only(Parameters(np.array([3.0, 1.0, 0.5]), Layout.of_sizes((2, 1)))).vector
    array([3., 1., 0.])
    """
    scores = scores.copy()
    for name in set(scores.layout.shapes) - set(scores.layout.weight_names):
        scores[name][...] = 0
    return scores
