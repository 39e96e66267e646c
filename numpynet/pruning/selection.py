"""Selection: of the weights that are left, which go, and exactly how many.

Weights are ranked by score; among equal scores the one that comes first (layer by layer, row by row) goes first. How
many go is an integer that the rate, or the density wanted, settles before anybody looks at a score. Layerwise, every
layer gives up its own share; globally, all weights stand in one line. Dead weights are not ranked, so none comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from numpynet.equations.masks import prune_lowest
from numpynet.parameters import Parameters
from numpynet.pruning.counts import by_rate, given_as_rate, per_layer, prunable, rates_of_layers, to_density
from numpynet.pruning.masks import check_weight_mask
from numpynet.pruning.paths import warn_if_cut

Scale = Callable[[np.ndarray], float]


def prune_layerwise(
    scores: Parameters,
    weight_mask: Parameters,
    *,
    rate: float | Mapping[str, float] | None = None,
    density: float | Mapping[str, float] | None = None,
    output_rate: float | None = None,
    frozen: Collection[str] = (),
    min_keep: int = 0,
    require_path: bool = False,
) -> Parameters:
    """Remove from each layer its own share of the survivors, those with the lowest scores.   Equations (L2), (L7)

    Exactly one of ``rate`` and ``density`` is given.

    Parameters
    ----------
    scores : large ones stay; with replicates each is ranked by itself
    weight_mask : the mask so far; ``dense_mask(theta)`` at the beginning
    rate : share of the survivors to remove, for all layers or one for each ({"W1": 0.2, ...})
    density : share of all weights of the layer to keep, for all layers or one for each
    output_rate : rate of the last layer; None for HALF of ``rate``, as Frankle and Carbin (2019) do. Only beside a
        ``rate`` that is one number.
    frozen : layers that are left as they are
    min_keep : never leave a layer with fewer weights than this (unless it has fewer already), whatever the rate says
    require_path : True raises where otherwise a warning says that no path is left from input to output

    Returns
    -------
    A new mask, at most the old one, in its dtype.

    Raises
    ------
    DisconnectedError
        See ``require_path``.
    TypeError, ValueError
        A rate or density is out of range, a layer is unknown or missing, a score of a living weight is NaN, the mask is
        no mask of this network, or it has fewer weights already than the density wants.

    Warns
    -----
    DisconnectedWarning
        No path is left, though there was one before. In a multilayer perceptron one empty layer is enough for that.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 5, 1))
    >>> scores = Parameters.from_arrays(
    ...     {"W1": np.array([[3.0, 1.0, 2.0, 5.0, 4.0]]), "b1": np.zeros(5), "W2": np.ones((5, 1)), "b2": np.zeros(1)}, layout)
    >>> mask = prune_layerwise(scores, Parameters.ones(layout), rate=0.4)
    >>> mask["W1"], mask["W2"].ravel()
    (array([[1., 0., 0., 1., 1.]], dtype=float32), array([0., 1., 1., 1., 1.], dtype=float32))
    """
    check_scores(scores, weight_mask)
    layout = weight_mask.layout
    names = prunable(layout, frozen)
    if given_as_rate(rate, density):
        rates = rates_of_layers(rate, output_rate, names, layout)
        groups = [_Group((name,), by_rate(rates[name])) for name in names]
    else:
        if output_rate is not None:
            raise ValueError("output_rate goes with rate; with density every layer gets its own, {'W1': 0.1, ...}")
        densities = per_layer(density, names, layout, "density")
        groups = [_Group((name,), to_density(densities[name], (name,), layout)) for name in names]
    return _prune(scores, weight_mask, groups, None, min_keep, require_path)


def prune_globally(
    scores: Parameters,
    weight_mask: Parameters,
    *,
    rate: float | None = None,
    density: float | None = None,
    scale: Scale | None = None,
    frozen: Collection[str] = (),
    min_keep: int = 0,
    require_path: bool = False,
) -> Parameters:
    """Remove the lowest of all surviving weights, whatever their layer.   Equation (L2)

    Exactly one of ``rate`` and ``density`` is given. Unlike the layerwise masks, these depend on how layers are scaled
    against each other (Equations (L10) and (L11)); ``scale`` evens that out.

    Parameters
    ----------
    scores, weight_mask : as for ``prune_layerwise``
    rate : share of the survivors to remove
    density : share of all weights to keep; frozen layers count in neither
    scale : divides the scores of each layer by one number computed from the scores of its living weights:
        ``root_mean_square``, ``l2_norm`` or a function of your own; None leaves them as they are
    frozen : layers that are left as they are; their weights are not counted
    min_keep : in each layer so many of its best weights stay; others go in their place
    require_path : True raises where otherwise a warning says that no path is left from input to output

    Returns
    -------
    A new mask, at most the old one, in its dtype.

    Raises
    ------
    DisconnectedError, TypeError, ValueError
        As for ``prune_layerwise``.

    Warns
    -----
    DisconnectedWarning
        As for ``prune_layerwise``.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 3, 1))
    >>> scores = Parameters.from_arrays(
    ...     {"W1": np.array([[3.0, 1.0, 2.0]]), "b1": np.zeros(3), "W2": 10 * np.ones((3, 1)), "b2": np.zeros(1)}, layout)
    >>> mask = prune_globally(scores, Parameters.ones(layout), rate=1 / 3)
    >>> mask["W1"], mask["W2"].ravel()
    (array([[1., 0., 0.]], dtype=float32), array([1., 1., 1.], dtype=float32))
    """
    check_scores(scores, weight_mask)
    names = prunable(weight_mask.layout, frozen)
    as_rate = given_as_rate(rate, density)
    to_remove = by_rate(rate) if as_rate else to_density(density, names, weight_mask.layout)
    groups = [_Group(names, to_remove)] if names else []
    return _prune(scores, weight_mask, groups, scale, min_keep, require_path)


def root_mean_square(scores: np.ndarray) -> float:
    """Return sqrt(mean(S^2)); for magnitudes the standard deviation of the weights about 0.

    Parameters
    ----------
    scores : of one layer, any shape

    Returns
    -------
    A number.

    Examples
    --------
    >>> root_mean_square(np.array([1.0, 7.0]))
    5.0
    """
    return float(np.sqrt(np.mean(scores.astype(np.float64) ** 2))) if scores.size else 1.0


def l2_norm(scores: np.ndarray) -> float:
    """Return sqrt(sum(S^2)): as ``root_mean_square``, but a layer with more weights is divided by more.

    Parameters
    ----------
    scores : of one layer, any shape

    Returns
    -------
    A number.

    Examples
    --------
    >>> l2_norm(np.array([3.0, 4.0]))
    5.0
    """
    return float(np.sqrt(np.sum(scores.astype(np.float64) ** 2)))


# ---- the one place where masks are cut -------------------------------------------------------------------------------


class _Group(NamedTuple):
    """Layers that are ranked together, and how many of their living weights go."""

    names: tuple[str, ...]
    to_remove: Callable[[int], int]  # alive -> k


def _prune(scores, weight_mask, groups, scale, min_keep, require_path) -> Parameters:
    """Cut every group of every replicate, and say so if the last path goes."""
    if isinstance(min_keep, bool) or not isinstance(min_keep, (int, np.integer)) or min_keep < 0:
        raise ValueError(f"min_keep is {min_keep!r}, but an integer >= 0 is needed")
    replicates = np.broadcast_shapes(scores.replicates, weight_mask.replicates)
    shape = (*replicates, weight_mask.layout.size)
    scores = Parameters(np.broadcast_to(scores.vector, shape), scores.layout)
    old = Parameters(np.broadcast_to(weight_mask.vector, shape), weight_mask.layout)
    new = Parameters(old.vector.copy(), old.layout)
    for replicate in np.ndindex(replicates):
        for group in groups:
            _cut(group, scores.replicate(replicate), new.replicate(replicate), scale, min_keep)
    warn_if_cut(old, new, require_path=require_path, stacklevel=4)
    return new


def _cut(group: _Group, scores: Parameters, mask: Parameters, scale: Scale | None, min_keep: int) -> None:
    """Remove from one group of layers of one network; this mask is written to."""
    old = np.concatenate([mask[name].reshape(-1) for name in group.names])
    protected = np.concatenate([_best(scores[name], mask[name], min_keep).reshape(-1) for name in group.names])
    ranked = [scores[name] if scale is None else _scaled(scores[name], mask[name], scale, name) for name in group.names]
    candidates = old - protected
    k = min(group.to_remove(int(np.count_nonzero(old))), int(np.count_nonzero(candidates)))
    new = prune_lowest(np.concatenate([layer.reshape(-1) for layer in ranked]), candidates, k) + protected
    start = 0
    for name in group.names:
        mask[name] = new[start : start + mask[name].size].reshape(mask[name].shape)
        start += mask[name].size


def _best(scores: np.ndarray, mask: np.ndarray, n: int) -> np.ndarray:
    """The mask of the n best living weights of a layer: what is left when all others go."""
    return prune_lowest(scores, mask, max(np.count_nonzero(mask) - n, 0)) if n else np.zeros_like(mask)


def _scaled(scores: np.ndarray, mask: np.ndarray, scale: Scale, name: str) -> np.ndarray:
    """The scores of a layer over their scale; a layer of zeros stays as it is."""
    factor = float(scale(scores[mask == 1]))
    if not 0 <= factor < np.inf:
        raise ValueError(f"the scale of {name} is {factor!r}, but a finite number >= 0 is needed")
    return scores.astype(np.float64) / (factor or 1.0)  # in float64, so that no two scores become one


def check_scores(scores: Parameters, weight_mask: Parameters) -> None:
    """Raise unless the scores can rank the living weights of this mask.

    Parameters
    ----------
    scores : what was given
    weight_mask : binary, of the form of theta

    Raises
    ------
    TypeError
        The scores are no real ``Parameters``.
    ValueError
        A score is NaN, or the two do not fit together.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> ones = Parameters.ones(Layout.of_sizes((2, 1)))
    >>> check_scores(float("nan") * ones, ones)
    Traceback (most recent call last):
    ...
    ValueError: the score of W1[0, 0] is NaN: it cannot be ranked. Has the training diverged?
    """
    if not isinstance(scores, Parameters) or scores.dtype.kind != "f":
        came = f"dtype {scores.dtype}" if isinstance(scores, Parameters) else type(scores).__name__
        raise TypeError(f"scores must be Parameters of real numbers, in the form of theta, got {came}")
    check_weight_mask(weight_mask, scores.layout)
    if weight_mask.replicates and scores.replicates and weight_mask.replicates != scores.replicates:
        raise ValueError(
            f"weight_mask has the replicates {weight_mask.replicates}, but scores have {scores.replicates}"
        )
    for name in scores.layout.weight_names:
        wrong = np.isnan(scores[name]) & (weight_mask[name] == 1)
        if wrong.any():
            index = [int(i) for i in np.argwhere(wrong)[0]]
            raise ValueError(f"the score of {name}{index} is NaN: it cannot be ranked. Has the training diverged?")
