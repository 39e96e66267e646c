"""Magnitude pruning: in each layer the smallest weights go, exactly as many as the rate says."""

from __future__ import annotations

import numpy as np

from numpynet.equations.masks import prune_count, prune_lowest
from numpynet.parameters import Parameters


def magnitude_mask(
    theta: Parameters, weight_mask: Parameters | None = None, *, rate: float, output_rate: float | None = None
) -> Parameters:
    """Remove the given share of the surviving weights of each layer, those of smallest |W|.   Equations (L2), (L7), (P1)

    Dead weights are not ranked and do not return (Equation (L6)); among equal magnitudes the lower index goes first.
    Biases are never pruned.

    Parameters
    ----------
    theta : trained parameters; with replicates each is ranked by itself
    weight_mask : the mask so far, None for a dense net
    rate : share of the survivors to remove, in [0, 1]
    output_rate : the same for the last layer; None for half of ``rate``, as Frankle and Carbin (2019) do

    Returns
    -------
    A new mask of the form of theta, 1 at all biases.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters.from_arrays({"W1": np.array([[3.0, -1.0, 2.0, 4.0]]), "b1": np.zeros(4)}, Layout.of_sizes((1, 4)))
    >>> magnitude_mask(theta, rate=0.2, output_rate=0.25)["W1"]
    array([[1., 0., 1., 1.]])
    """
    if weight_mask is None:
        weight_mask = Parameters.ones(theta.layout, replicates=theta.replicates, dtype=theta.dtype)
    if weight_mask.layout != theta.layout:
        raise ValueError(f"weight_mask belongs to another network: {weight_mask.layout} instead of {theta.layout}")
    if output_rate is None:
        output_rate = rate / 2
    mask = Parameters(np.broadcast_to(weight_mask.vector, theta.vector.shape).copy(), theta.layout)
    for replicate in np.ndindex(theta.replicates):
        for name in theta.layout.weight_names:
            layer_rate = output_rate if name == theta.layout.weight_names[-1] else rate
            layer_mask = mask[name][replicate]
            k = prune_count(layer_rate, int(np.count_nonzero(layer_mask)))
            mask[name][replicate] = prune_lowest(np.abs(theta[name][replicate]), layer_mask, k)
    return mask


def weight_density(weight_mask: Parameters) -> float | list[float]:
    """Return the share of weights (biases not counted) that a mask keeps; a list for replicates.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> weight_density(Parameters(np.array([1.0, 0.0, 1.0]), Layout.of_sizes((2, 1))))
    0.5
    """
    alive = sum(np.count_nonzero(weight_mask[name], axis=(-2, -1)) for name in weight_mask.layout.weight_names)
    return (
        (alive / weight_mask.layout.n_weights).tolist()
        if np.ndim(alive)
        else float(alive / weight_mask.layout.n_weights)
    )
