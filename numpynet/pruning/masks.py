"""Weight masks of a whole network: built, checked and counted.

A weight mask has the form of theta: one vector with a name for every layer, 0 where a weight is pruned. At the biases
it is 1, because biases are never pruned, and they are never counted either.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from numpynet.equations.checks import check_binary
from numpynet.parameters import Layout, Parameters


def dense_mask(theta: Parameters) -> Parameters:
    """Return the mask that prunes nothing, in the form and dtype of theta.

    Parameters
    ----------
    theta : parameters of a network

    Returns
    -------
    Parameters : full of 1

    Examples
    --------
    >>> theta = Parameters(np.array([3.0, -1.0, 0.5]), Layout.of_sizes((2, 1)))
    >>> dense_mask(theta).vector
    array([1., 1., 1.])
    """
    return Parameters.ones(theta.layout, replicates=theta.replicates, dtype=theta.dtype)


def mask_from_arrays(arrays: Mapping[str, np.ndarray], layout: Layout) -> Parameters:
    """Build a weight mask from one array for each layer, matched by name and never by position.

    Parameters
    ----------
    arrays : {"W1": (..., d_0, d_1), "W2": ...}, binary, in one dtype; no biases
    layout : of the network

    Returns
    -------
    Parameters : the mask, 1 at the biases

    Raises
    ------
    TypeError, ValueError
        A layer is missing or unknown, an array has the wrong shape or another dtype, or is not binary.

    Examples
    --------
    >>> mask_from_arrays({"W1": np.array([[1.0, 0.0]])}, Layout.of_sizes((1, 2))).vector
    array([1., 0., 1., 1.])
    """
    if set(arrays) != set(layout.weight_names):
        raise ValueError(
            f"arrays are named {sorted(arrays)}, but this network has the weight matrices {list(layout.weight_names)}: "
            "one mask for each is needed, and none for a bias"
        )
    first = layout.weight_names[0]
    lead = np.shape(arrays[first])[: np.ndim(arrays[first]) - 2]
    for name, array in arrays.items():
        check_binary(array, name)
        expected = (*lead, *layout.shapes[name])
        if array.shape != expected:
            raise ValueError(f"the mask of {name} has shape {array.shape}, but {expected} is needed")
        if array.dtype != arrays[first].dtype:
            raise TypeError(
                f"the mask of {name} is {array.dtype}, that of {first} {arrays[first].dtype}: one is needed"
            )
    mask = Parameters.ones(layout, replicates=lead, dtype=arrays[first].dtype)
    for name, array in arrays.items():
        mask[name] = array
    return mask


def check_weight_mask(weight_mask: Parameters, layout: Layout) -> Parameters:
    """Return the mask, or raise if it is no weight mask of a network with this layout.

    Parameters
    ----------
    weight_mask : what was given
    layout : of the network

    Returns
    -------
    weight_mask

    Raises
    ------
    TypeError
        It is no ``Parameters``.
    ValueError
        It belongs to another network, is not binary, or prunes a bias.

    Examples
    --------
    >>> layout = Layout.of_sizes((1, 2))
    >>> check_weight_mask(Parameters(np.array([1.0, 0.0, 1.0, 0.0]), layout), layout)
    Traceback (most recent call last):
    ...
    ValueError: weight_mask is not 1 everywhere in b1, but biases are never pruned
    """
    if not isinstance(weight_mask, Parameters):
        raise TypeError(
            f"weight_mask must be Parameters of this network, got {type(weight_mask).__name__}; "
            "dense_mask(theta) is the one that prunes nothing"
        )
    if weight_mask.layout != layout:
        raise ValueError(f"weight_mask belongs to another network: {weight_mask.layout} instead of {layout}")
    for name, part in weight_mask.items():
        check_binary(part, f"weight_mask of {name}")
        if name not in layout.weight_names and not (part == 1).all():
            raise ValueError(f"weight_mask is not 1 everywhere in {name}, but biases are never pruned")
    return weight_mask


def alive_counts(weight_mask: Parameters) -> dict[str, int | list]:
    """Return how many weights of each layer are left; a list for replicates.

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    counts : name of each weight matrix -> number of ones

    Examples
    --------
    >>> alive_counts(Parameters(np.array([1.0, 0.0, 1.0]), Layout.of_sizes((2, 1))))
    {'W1': 1}
    """
    return {
        name: np.count_nonzero(weight_mask[name], axis=(-2, -1)).tolist()
        if weight_mask.replicates
        else int(np.count_nonzero(weight_mask[name]))
        for name in weight_mask.layout.weight_names
    }


def layer_densities(weight_mask: Parameters) -> dict[str, float | list]:
    """Return the share of weights that each layer keeps; a list for replicates.

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    densities : name of each weight matrix -> share of ones

    Examples
    --------
    >>> layer_densities(Parameters(np.array([1.0, 0.0, 1.0]), Layout.of_sizes((2, 1))))
    {'W1': 0.5}
    """
    shapes = weight_mask.layout.shapes
    return {
        name: (np.asarray(alive) / (shapes[name][0] * shapes[name][1])).tolist()
        for name, alive in alive_counts(weight_mask).items()
    }


def weight_density(weight_mask: Parameters) -> float | list[float]:
    """Return the share of weights (biases not counted) that a mask keeps; a list for replicates.

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    A number, or one for each net of a stack.

    Examples
    --------
    >>> weight_density(Parameters(np.array([1.0, 0.0, 1.0]), Layout.of_sizes((2, 1))))
    0.5
    """
    alive = sum(np.asarray(n) for n in alive_counts(weight_mask).values())
    return (alive / weight_mask.layout.n_weights).tolist()
