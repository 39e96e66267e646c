"""Magnitude pruning: in each layer the smallest weights go, exactly as many as the rate says."""

from __future__ import annotations

from numpynet.parameters import Parameters
from numpynet.pruning.counts import check_rate
from numpynet.pruning.masks import dense_mask, weight_density
from numpynet.pruning.scores import magnitude
from numpynet.pruning.selection import prune_layerwise

__all__ = ["magnitude_mask", "weight_density"]


def magnitude_mask(
    theta: Parameters, weight_mask: Parameters | None = None, *, rate: float, output_rate: float | None = None
) -> Parameters:
    """Remove the given share of the surviving weights of each layer, those of smallest |W|.   Equations (L2), (L7), (P1)

    The step of iterative magnitude pruning: ``prune_layerwise(magnitude(theta), weight_mask, rate=rate)``. Dead weights
    are not ranked and do not return (Equation (L6)); among equal magnitudes the lower index goes first. Biases are
    never pruned.

    Parameters
    ----------
    theta : trained parameters; with replicates each is ranked by itself
    weight_mask : the mask so far, None for a dense net
    rate : share of the survivors to remove, in [0, 1]
    output_rate : the same for the last layer; None for half of ``rate``, as Frankle and Carbin (2019) do

    Returns
    -------
    A new mask of the form of theta, in the dtype of the old one, 1 at all biases.

    Raises
    ------
    TypeError, ValueError
        A rate is not in [0, 1]; the mask is not binary, belongs to another network or prunes a bias; a surviving weight
        is NaN.

    Warns
    -----
    DisconnectedWarning
        No path is left from the inputs to the outputs, though there was one before.

    Examples
    --------
    >>> import numpy as np
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters.from_arrays({"W1": np.array([[3.0, -1.0, 2.0, 4.0]]), "b1": np.zeros(4)}, Layout.of_sizes((1, 4)))
    >>> magnitude_mask(theta, rate=0.2, output_rate=0.25)["W1"]
    array([[1., 0., 1., 1.]])
    """
    if weight_mask is None:
        weight_mask = dense_mask(theta)
    elif isinstance(weight_mask, Parameters) and weight_mask.replicates not in ((), theta.replicates):
        raise ValueError(f"weight_mask has the replicates {weight_mask.replicates}, but theta has {theta.replicates}")
    check_rate(rate, "rate")  # one number; a dict is for prune_layerwise
    return prune_layerwise(magnitude(theta), weight_mask, rate=rate, output_rate=output_rate)
