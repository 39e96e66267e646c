"""Budgets: how a density is shared out among the layers of a sparse network.

The same density everywhere starves small layers. The random graphs of Erdos and Renyi give every layer a number of
weights proportional to the number of its units, so that thin layers are denser than wide ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from numpynet.parameters import Layout
from numpynet.pruning.counts import survivors


def erdos_renyi(layout: Layout, density: float) -> dict[str, float]:
    """Return density_l = min(1, epsilon (d_in + d_out) / (d_in d_out)), epsilon such that the total is right.   Equation (P20)

    Layers that would need more than all their weights are dense, and the others share the rest. For affine layers the
    variant for kernels (ERK) is the same.

    Parameters
    ----------
    layout : of the network
    density : share of all weights to keep

    Returns
    -------
    {"W1": density, ...}, as ``prune_layerwise`` takes it

    Raises
    ------
    TypeError, ValueError
        density is no number in [0, 1].

    Examples
    --------
    >>> layout = Layout.of_sizes((784, 300, 100, 10))
    >>> layer_counts(layout, erdos_renyi(layout, 0.1))
    {'W1': 18714, 'W2': 6906, 'W3': 1000}
    """
    survivors(density, 0)  # raises unless it is a number in [0, 1]
    shapes = {name: layout.shapes[name] for name in layout.weight_names}
    size = {name: d_in * d_out for name, (d_in, d_out) in shapes.items()}
    units = {name: d_in + d_out for name, (d_in, d_out) in shapes.items()}
    dense: set[str] = set()
    while True:
        sparse = [name for name in shapes if name not in dense]
        wanted = density * sum(size.values()) - sum(size[name] for name in dense)
        epsilon = wanted / sum(units[name] for name in sparse) if sparse else 0.0
        full = {name for name in sparse if epsilon * units[name] >= size[name]}
        if not full:
            return {name: 1.0 if name in dense else epsilon * units[name] / size[name] for name in shapes}
        dense |= full


def layer_counts(layout: Layout, densities: Mapping[str, float]) -> dict[str, int]:
    """Return how many weights each layer keeps; each is rounded by itself, so the total may be off by one or two.

    Parameters
    ----------
    layout : names and shapes
    densities : name of each weight matrix -> share to keep

    Returns
    -------
    counts : name -> how many weights it keeps

    Raises
    ------
    TypeError, ValueError
        A density is no number in [0, 1].
    KeyError
        A weight matrix has none.

    Examples
    --------
    >>> layout = Layout.of_sizes((40, 100, 100, 10))
    >>> layer_counts(layout, erdos_renyi(layout, 0.2))                                           # 2999 for 3000
    {'W1': 933, 'W2': 1333, 'W3': 733}
    """
    return {
        name: survivors(densities[name], layout.shapes[name][0] * layout.shapes[name][1])
        for name in layout.weight_names
    }
