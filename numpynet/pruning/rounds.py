"""Pruning in several rounds: how much at a time, and the loop for scores that look at the mask.

A rate is a share of the survivors, so equal rates make the density fall geometrically.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from numpynet.parameters import Parameters
from numpynet.pruning.counts import survivors
from numpynet.pruning.selection import prune_globally


def rate_per_round(density: float, rounds: int) -> float:
    """Return rho = 1 - density^(1/n), the rate that leaves this density after n rounds; one shot is n = 1.   Equation (L17)

    Parameters
    ----------
    density : share that is left at the end, in (0, 1]
    rounds : n, at least 1

    Returns
    -------
    rate : in [0, 1)

    Raises
    ------
    TypeError, ValueError
        density is no number in [0, 1], or rounds no integer >= 1.

    Examples
    --------
    >>> rate_per_round(0.25, rounds=2), rate_per_round(0.25, rounds=1)
    (0.5, 0.75)
    """
    _check(density, rounds)
    return 1 - float(density) ** (1 / rounds)


def geometric_densities(density: float, rounds: int) -> list[float]:
    """Return density^(k/n) for k = 1 ... n.   Equation (P9)

    Parameters
    ----------
    density : share that is left at the end, in (0, 1]
    rounds : n, at least 1

    Returns
    -------
    densities : n numbers that fall to the density

    Raises
    ------
    TypeError, ValueError
        density is no number in [0, 1], or rounds no integer >= 1.

    Examples
    --------
    >>> geometric_densities(0.25, rounds=2)
    [0.5, 0.25]
    """
    _check(density, rounds)
    return [float(density) ** (k / rounds) for k in range(1, rounds + 1)]


def prune_in_rounds(
    score: Callable[[Parameters], Parameters],
    weight_mask: Parameters,
    *,
    densities: Iterable[float],
    prune: Callable[..., Parameters] = prune_globally,
) -> Parameters:
    """Prune to one density after the other, and ask for new scores before each.

    Parameters
    ----------
    score : of a mask, for instance ``lambda mask: synflow(theta, mask)``
    weight_mask : at the beginning
    densities : falling, see ``geometric_densities``
    prune : ``prune_globally`` or ``prune_layerwise``

    Returns
    -------
    Parameters : the last mask

    Raises
    ------
    TypeError, ValueError
        The densities rise, or scores and mask do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([3.0, -1.0, 2.0, -4.0, 0.0, 0.0]), Layout.of_sizes((2, 2)))
    >>> mask = prune_in_rounds(lambda mask: np.abs(theta), Parameters.ones(theta.layout), densities=[0.75, 0.5])
    >>> mask["W1"].ravel()
    array([1., 0., 0., 1.], dtype=float32)
    """
    for density in densities:
        weight_mask = prune(score(weight_mask), weight_mask, density=density)
    return weight_mask


def _check(density: float, rounds: int) -> None:
    survivors(density, 0)  # raises unless it is a number in [0, 1]
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds is {rounds!r}, but an integer >= 1 is needed")
