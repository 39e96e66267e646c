"""SynFlow: pruning without data, by how much weight flows through each connection.

Replace every weight by its size and send a 1 into every input. What comes out at the top, R, is a sum over all paths,
each with the product of its weights; the score of a weight is the part of R that flows through it. As with water in
pipes nothing is lost: as much flows into a unit as out of it, and every layer carries the whole of R. A layer with few
weights therefore has large scores, and pruning in many small rounds does not cut the last path.

Tanaka, Kunin, Yamins and Ganguli (2020), in closed form, without biases, which would break the conservation.
"""

from __future__ import annotations

import numpy as np

from numpynet.parameters import Parameters
from numpynet.pruning.masks import dense_mask
from numpynet.pruning.paths import flows
from numpynet.pruning.rounds import geometric_densities, prune_in_rounds


def synflow(theta: Parameters, weight_mask: Parameters | None = None) -> Parameters:
    """S_l = A_l * (f_(l-1)^T c_l) with A = |M * W|: the flow through every weight.   Equation (P6)

    In every layer the scores sum to R (Equation (P8)), and at every hidden unit the incoming scores sum to what the
    outgoing ones do (Equation (P7)). Pruned weights score 0.

    Parameters
    ----------
    theta : usually theta_0; no biases take part
    weight_mask : or None for a dense net

    Returns
    -------
    scores, float64 whatever theta is: they are products of many factors

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2, 1))
    >>> theta = Parameters(np.array([2.0, -1.0, 9.0, 9.0, 3.0, 5.0, 9.0]), layout)
    >>> scores = synflow(theta)
    >>> scores["W1"].tolist(), scores["W2"].tolist()                         # R = 2 * 3 + 1 * 5
    ([[6.0, 5.0]], [[6.0], [5.0]])
    """
    names = theta.layout.weight_names
    kept = theta if weight_mask is None else theta * weight_mask
    matrices = [np.abs(kept[name].astype(np.float64)) for name in names]  # A_l
    forward, backward = flows(matrices)
    scores = Parameters.zeros(theta.layout, replicates=kept.replicates, dtype=np.float64)
    for layer, (name, A) in enumerate(zip(names, matrices), start=1):
        scores[name] = A * forward[layer - 1][..., :, None] * backward[layer][..., None, :]
    return scores


def synflow_mask(theta: Parameters, *, density: float, rounds: int = 100) -> Parameters:
    """Prune globally to a density in many rounds, the flow computed anew after each.   Equation (P9)

    After round k of n the density is density^(k/n). In one round a whole layer may go: its weights may be many and
    small, and so each of its scores.

    Parameters
    ----------
    theta : usually theta_0; with replicates each is pruned by itself
    density : share of all weights to keep
    rounds : n

    Returns
    -------
    Parameters : the mask

    Raises
    ------
    TypeError, ValueError
        density is no number in [0, 1], or rounds no integer >= 1.

    Examples
    --------
    >>> from numpynet.network import MLP
    >>> from numpynet.pruning.masks import weight_density
    >>> weight_density(synflow_mask(MLP((20, 30, 40, 10)).init(np.random.default_rng(0)), density=0.02))
    0.02
    """
    return prune_in_rounds(
        lambda mask: synflow(theta, mask), dense_mask(theta), densities=geometric_densities(density, rounds)
    )
