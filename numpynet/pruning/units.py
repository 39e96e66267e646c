"""Structured pruning: whole hidden units go, and with them a column and a row of weights.

A mask of single weights makes a network sparse but no smaller; a mask of units makes it smaller. Unit scores and unit
masks are kept in a dict by hidden layer: ``{1: (..., d_1), 2: (..., d_2)}`` for a network with two hidden layers.

A dropped unit loses its column of W_l and its row of W_(l+1). Its bias needs no mask: once the row is gone, nobody
hears the unit. ``numpynet.pruning.compaction`` then takes it away for good.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from numpynet.equations.checks import check_binary
from numpynet.equations.masks import prune_count, prune_lowest
from numpynet.parameters import Parameters
from numpynet.pruning.masks import dense_mask
from numpynet.pruning.paths import warn_if_cut

UnitArrays = Mapping[int, np.ndarray]


def incoming_norms(theta: Parameters, *, order: int = 2) -> dict[int, np.ndarray]:
    """Score every hidden unit by the norm of its incoming weights, a column of W_l.   Equation (P11)

    Parameters
    ----------
    theta : the weights; hand in ``theta * weight_mask`` if there is a mask
    order : 1 for the sum of sizes, 2 for the Euclidean norm

    Returns
    -------
    {l: (..., d_l)} for the hidden layers l

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((2, 1, 1))
    >>> theta = Parameters(np.array([3.0, -4.0, 9.0, 2.0, 9.0]), layout)
    >>> incoming_norms(theta), incoming_norms(theta, order=1)
    ({1: array([5.])}, {1: array([7.])})
    """
    names = theta.layout.weight_names
    return {layer: _norm(theta[name], -2, order) for layer, name in enumerate(names[:-1], start=1)}


def outgoing_norms(theta: Parameters, *, order: int = 2) -> dict[int, np.ndarray]:
    """Score every hidden unit by the norm of its outgoing weights, a row of W_(l+1).   Equation (P11)

    Parameters
    ----------
    theta : parameters of a network
    order : 1 or 2, of the norm

    Returns
    -------
    scores : layer l -> (..., d_l), one for each hidden unit

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([3.0, -4.0, 9.0, -2.0, 9.0]), Layout.of_sizes((2, 1, 1)))
    >>> outgoing_norms(theta)
    {1: array([2.])}
    """
    names = theta.layout.weight_names
    return {layer: _norm(theta[name], -1, order) for layer, name in enumerate(names[1:], start=1)}


def norm_products(theta: Parameters, *, order: int = 2) -> dict[int, np.ndarray]:
    """Score every hidden unit by incoming norm times outgoing norm.   Equation (P11)

    Without biases this product, alone of the three, does not change when a ReLU unit is rescaled, its inputs by c and
    its outputs by 1/c.

    Parameters
    ----------
    theta : parameters of a network
    order : 1 or 2, of the norm

    Returns
    -------
    scores : layer l -> (..., d_l), one for each hidden unit

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([3.0, -4.0, 9.0, -2.0, 9.0]), Layout.of_sizes((2, 1, 1)))
    >>> norm_products(theta)
    {1: array([10.])}
    """
    outgoing = outgoing_norms(theta, order=order)
    return {layer: norm * outgoing[layer] for layer, norm in incoming_norms(theta, order=order).items()}


def prune_units(scores: UnitArrays, unit_masks: UnitArrays | None = None, *, rate: float) -> dict[int, np.ndarray]:
    """Remove the given share of the surviving units of each hidden layer, those of lowest score.   Equation (P12)

    The count is exact, ties go by index, and no unit comes back (Equation (L2)).

    Parameters
    ----------
    scores : {l: (..., d_l)}, large ones stay
    unit_masks : {l: (..., d_l)} so far, in the dtype of theta; None for all units, in the dtype of the scores
    rate : share of the survivors to remove

    Returns
    -------
    unit_masks : layer l -> (..., d_l) binary

    Raises
    ------
    ValueError
        Scores and masks are of different layers, or rate is outside [0, 1].

    Examples
    --------
    >>> prune_units({1: np.array([3.0, 1.0, 2.0])}, rate=0.4)
    {1: array([1., 0., 1.])}
    """
    if unit_masks is None:
        unit_masks = {layer: np.ones_like(score) for layer, score in scores.items()}
    if set(unit_masks) != set(scores):
        raise ValueError(f"unit_masks are of the layers {sorted(unit_masks)}, but scores of {sorted(scores)}")
    new_masks = {}
    for layer, mask in unit_masks.items():
        new_masks[layer] = np.array(np.broadcast_to(mask, scores[layer].shape))
        for replicate in np.ndindex(scores[layer].shape[:-1]):
            k = prune_count(rate, int(np.count_nonzero(new_masks[layer][replicate])))
            new_masks[layer][replicate] = prune_lowest(scores[layer][replicate], new_masks[layer][replicate], k)
    return new_masks


def mask_of_units(unit_masks: UnitArrays, theta: Parameters, weight_mask: Parameters | None = None) -> Parameters:
    """Return the weight mask that drops units: their columns of W_l and their rows of W_(l+1).   Equation (P12)

    Parameters
    ----------
    unit_masks : {l: (..., d_l)} of hidden layers, binary
    theta : gives the form and dtype
    weight_mask : a mask to intersect it with, or None

    Returns
    -------
    Parameters : the mask

    Raises
    ------
    ValueError
        A unit mask is of no hidden layer, or has another shape.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters.zeros(Layout.of_sizes((1, 3, 1)))
    >>> mask = mask_of_units({1: np.array([1, 0, 1], np.float32)}, theta)
    >>> mask["W1"], mask["W2"].ravel()
    (array([[1., 0., 1.]], dtype=float32), array([1., 0., 1.], dtype=float32))
    """
    names = theta.layout.weight_names
    old = dense_mask(theta) if weight_mask is None else weight_mask
    mask = old.copy()
    for layer, unit_mask in unit_masks.items():
        if layer not in range(1, len(names)):
            raise ValueError(f"unit_masks has layer {layer!r}, but the hidden layers are 1 ... {len(names) - 1}")
        d = theta.layout.shapes[names[layer]][0]
        if check_binary(unit_mask, f"unit_masks[{layer}]").shape not in ((d,), (*mask.replicates, d)):
            raise ValueError(f"unit_masks[{layer}] has shape {unit_mask.shape}, but {(*mask.replicates, d)} is needed")
        columns, rows = mask[names[layer - 1]], mask[names[layer]]
        columns *= unit_mask[..., None, :].astype(mask.dtype)  # (..., d_(l-1), d_l)
        rows *= unit_mask[..., :, None].astype(mask.dtype)  # (..., d_l, d_(l+1))
    warn_if_cut(old, mask, stacklevel=3)
    return mask


def _norm(W: np.ndarray, axis: int, order: int) -> np.ndarray:
    if order == 1:
        return np.abs(W).sum(axis=axis)
    if order == 2:
        return np.sqrt((W * W).sum(axis=axis))
    raise ValueError(f"order is {order!r}, but 1 or 2 is needed")
