"""Random subnetworks of a density: masks of DropConnect with given counts, and of dropout with as many units as fit it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpynet.parameters import Layout, Parameters


def kept_units(sizes: Sequence[int], density: float) -> tuple[int, ...]:
    """Return how many units of each hidden layer to keep so that the share of weights left is nearest to a density.

    Every hidden layer keeps the same share of its units, rounded; the inputs all stay.

    Parameters
    ----------
    sizes : of the network, from the inputs to the outputs
    density : share of the weights

    Returns
    -------
    a number >= 1 for each hidden layer

    Examples
    --------
    >>> kept_units((40, 100, 100, 10), 0.28)
    (44, 44)
    """
    hidden = sizes[1:-1]
    candidates = dict.fromkeys(tuple(max(1, round(q * d)) for d in hidden) for q in np.linspace(0, 1, 1001))
    return min(candidates, key=lambda units: abs(unit_density(sizes, units) - density))


def unit_density(sizes: Sequence[int], units: Sequence[int]) -> float:
    """Return the share of weights between units that are kept.

    Parameters
    ----------
    sizes : of the network, from the inputs to the outputs
    units : kept in each hidden layer

    Returns
    -------
    a share in [0, 1]

    Examples
    --------
    >>> unit_density((40, 100, 100, 10), (50, 50))                                   # (2000 + 2500 + 500) / 15000
    0.3333333
    """
    small = (sizes[0], *units, sizes[-1])
    return sum(a * b for a, b in zip(small, small[1:])) / sum(a * b for a, b in zip(sizes, sizes[1:]))


def random_weight_mask(rng: np.random.Generator, weight_mask: Parameters) -> Parameters:
    """Draw a mask with as many ones in each layer as one has: DropConnect, given the counts.   Equation (M14)

    Parameters
    ----------
    rng : numpy.random.Generator
    weight_mask : of one network; it is not changed

    Returns
    -------
    a mask, 1 at biases

    Examples
    --------
    >>> mask = Parameters(np.array([1.0, 0.0, 0.0, 1.0]), Layout.of_sizes((3, 1)))
    >>> float(random_weight_mask(np.random.default_rng(0), mask).vector.sum())
    2.0
    """
    new = weight_mask.copy()
    for name in weight_mask.layout.weight_names:
        new[name] = rng.permutation(weight_mask[name].reshape(-1)).reshape(new[name].shape)
    return new


def random_unit_mask(rng: np.random.Generator, layout: Layout, units: Sequence[int], dtype) -> Parameters:
    """Draw a dropout subnetwork with so many units in each hidden layer, as a mask of weights.   Equation (M2)

    Parameters
    ----------
    rng : numpy.random.Generator
    layout : of the network
    units : kept in each hidden layer
    dtype : of the mask

    Returns
    -------
    a mask of one network, 0 at the biases of units that are dropped

    Examples
    --------
    >>> random_unit_mask(np.random.default_rng(0), Layout.of_sizes((2, 3, 1)), [2], np.float32)["W2"].ravel()
    array([1., 1., 0.], dtype=float32)
    """
    mask = Parameters.ones(layout, dtype=dtype)
    for layer, n in enumerate(units, start=1):
        d = layout.shapes[f"W{layer}"][1]
        unit = np.zeros(d, dtype)
        unit[rng.permutation(d)[:n]] = 1
        mask[f"W{layer}"] *= unit
        mask[f"b{layer}"] *= unit
        mask[f"W{layer + 1}"] *= unit[:, None]
    return mask
