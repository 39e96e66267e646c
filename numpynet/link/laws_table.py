"""One law, many methods: a small table, computed, that shows what becomes of one unit's pre-activation under each of them."""

from __future__ import annotations

import numpy as np

from numpynet.equations.linear import linear_forward
from numpynet.equations.mask_law import (
    MaskLaw,
    dropconnect_law,
    dropout_law,
    every_mask,
    layer_moments,
    pruning_law,
    supermask_law,
    targeted_law,
)
from numpynet.equations.masks import prune_lowest

H = np.array([[1.0, -2.0, 1.5]])
W = np.array([[0.5, -1.0], [1.0, 0.9], [2.0, -0.2]])
HEADER = (
    *("method", "probabilities Q of the weights of unit 1", "density", "mean z_1", "std z_1", "corr(z_1, z_2)"),
    *("masks", "worst error"),
)


def laws(keep_prob: float = 0.8) -> dict[str, MaskLaw]:
    """Return the corners of the one law, on a layer of 3 inputs and 2 units.   Equation (M6)

    Parameters
    ----------
    keep_prob : q of dropout and DropConnect; targeted dropout drops a candidate with probability 1 - q

    Returns
    -------
    name of the method -> law

    Examples
    --------
    >>> list(laws())[:2]
    ['dropout', 'DropConnect']
    """
    ticket = prune_lowest(np.abs(W), np.ones_like(W), k=2)
    scores = 2 * np.abs(W) - 1.5  # as if learned: large weights are likelier in
    return {
        "dropout": dropout_law(3, 2, keep_prob),
        "DropConnect": dropconnect_law(3, 2, keep_prob),
        "targeted dropout": targeted_law(W, 0.67, 1 - keep_prob),
        "supermask": supermask_law(scores),
        "supermask, tau = 0.1": supermask_law(scores / 0.1),
        "lottery ticket": pruning_law(ticket),
        "dropout on a ticket": dropout_law(3, 2, keep_prob, weight_mask=ticket),
    }


def laws_table(keep_prob: float = 0.8) -> list[tuple[str, ...]]:
    """Return the rows: what the law says, and how far the list of all masks, run through the layer, is from it.

    Equations (M6), (M21). The worst error is that of means, variances and covariances.

    Parameters
    ----------
    keep_prob : see ``laws``

    Returns
    -------
    rows of text under ``HEADER``

    Examples
    --------
    >>> for row in laws_table():
    ...     print(row[0].ljust(20), row[4], row[6])
    dropout              1.46 8
    DropConnect          1.46 64
    targeted dropout     0.82 16
    supermask            1.28 64
    supermask, tau = 0.1 0.17 64
    lottery ticket       0.00 1
    dropout on a ticket  1.44 8
    """
    rows = []
    for name, law in laws(keep_prob).items():
        mean, covariance = layer_moments(H, W, law)
        masks, probability = every_mask(law)
        z = linear_forward(H, W, np.zeros(2), weight_mask=masks)[0][:, 0]  # (S, 2)
        seen = probability @ z
        spread = (z - seen).T @ (probability[:, None] * (z - seen))
        error = max(np.abs(seen - mean).max(), np.abs(spread - covariance).max())
        std = np.sqrt(np.diag(covariance))
        correlation = "-" if std.min() == 0 else f"{covariance[0, 1] / (std[0] * std[1]):.2f}"
        rows.append(
            (
                *(name, " ".join(f"{q:.2f}" for q in law.Q[:, 0]), f"{law.density:.2f}"),
                *(f"{mean[0]:.2f}", f"{std[0]:.2f}", correlation, str(len(masks)), f"{error:.0e}" if error else "0"),
            )
        )
    return rows
