"""Masks that move while training: in each layer some weights are dropped and as many are grown elsewhere.

The number of living weights never changes, only their places. SET grows at random, RigL where the gradient of the loss
with respect to a missing weight is largest. These are the only functions of the library by which a dead weight may
return; a grown weight starts at 0, and so does what the optimizer remembers of it.

A training is a generator that stops at every record, so the mask moves between two of them:

    exchange = CosineDrop(steps=total)
    for record in train(state, split):                       # a record every evaluate_every steps
        if 0 < record.step < total:
            G = dense_gradients(net, state.theta, batch, weight_mask=state.weight_mask)
            move = rigl_move(state.theta, state.weight_mask, G, exchange(record.step))
            impose_mask(state, move.weight_mask, grown=move.grown)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from numpynet.equations.masks import complement, difference, prune_count, prune_lowest
from numpynet.parameters import Parameters
from numpynet.pruning.counts import check_rate, prunable
from numpynet.pruning.masks import dense_mask
from numpynet.pruning.paths import warn_if_cut
from numpynet.pruning.scores import magnitude, random_scores
from numpynet.pruning.selection import check_scores
from numpynet.training import TrainingState
from numpynet.training_checks import own_mask


class Move(NamedTuple):
    """A mask on its way; all in the form of theta, 0 at biases except in the mask itself."""

    weight_mask: Parameters  # the new mask
    dropped: Parameters  # 1 where a weight was dropped
    grown: Parameters  # 1 where a weight was grown; one that was dropped and grown again is in both


def set_move(
    rng: np.random.Generator | Sequence[np.random.Generator],
    theta: Parameters,
    weight_mask: Parameters,
    drop_fraction: float,
    *,
    frozen: Collection[str] = (),
) -> Move:
    """Drop the smallest weights of each layer, grow as many at random.   Equation (P18)

    Sparse evolutionary training, Mocanu et al. (2018).

    Parameters
    ----------
    rng : a generator, or a list of one for each replicate
    theta : the weights now
    weight_mask : the mask now
    drop_fraction : zeta, the share of the living weights to exchange; see ``CosineDrop``
    frozen : layers that are left as they are. A layer that is dense can grow only what it has just dropped, and would
        merely set its smallest weights to 0: freeze it.

    Returns
    -------
    Move : the new mask, what was dropped and what was grown

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 4))
    >>> theta = Parameters(np.array([3.0, -1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]), layout)
    >>> mask = Parameters(np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]), layout)
    >>> move = set_move(np.random.default_rng(1), theta, mask, drop_fraction=0.3)
    >>> move.dropped["W1"], move.grown["W1"], move.weight_mask["W1"]
    (array([[0., 1., 0., 0.]]), array([[0., 0., 0., 1.]]), array([[1., 0., 1., 1.]]))
    """
    return drop_and_grow(theta, weight_mask, random_scores(rng, theta.layout), drop_fraction, frozen=frozen)


def rigl_move(
    theta: Parameters,
    weight_mask: Parameters,
    gradients: Parameters,
    drop_fraction: float,
    *,
    frozen: Collection[str] = (),
) -> Move:
    """Drop the smallest weights of each layer, grow as many where the dense gradient is largest.   Equation (P19)

    RigL, Evci et al. (2020).

    Parameters
    ----------
    theta, weight_mask : as for ``set_move``
    gradients : G of ``dense_gradients``. Those of training are 0 at dead weights and would tell nothing.
    drop_fraction, frozen : as for ``set_move``

    Returns
    -------
    Move : the new mask, what was dropped and what was grown

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 5))
    >>> theta = Parameters(np.array([3.0, -1.0, 2.0, 0.0, 0.0, 0, 0, 0, 0, 0]), layout)
    >>> mask = Parameters(np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1, 1, 1, 1, 1]), layout)
    >>> G = Parameters(np.array([9.0, 0.5, 9.0, 0.1, -0.7, 0, 0, 0, 0, 0]), layout)
    >>> rigl_move(theta, mask, G, drop_fraction=0.3).weight_mask["W1"]
    array([[1., 0., 1., 0., 1.]])
    """
    return drop_and_grow(theta, weight_mask, magnitude(gradients), drop_fraction, frozen=frozen)


def drop_and_grow(
    theta: Parameters,
    weight_mask: Parameters,
    growth_scores: Parameters,
    drop_fraction: float,
    *,
    frozen: Collection[str] = (),
) -> Move:
    """Drop the k smallest |W| of each layer, then grow the k dead ones of largest growth score.   Equations (P18), (P19)

    k = floor(drop_fraction * alive + 1/2). Dead are those that are dead after the drop, so what was dropped may grow
    again, at 0. Among equal scores the lower index is dropped first, and grown first.

    Parameters
    ----------
    theta : parameters of a network
    weight_mask : binary, of the form of theta
    growth_scores : of the form of theta; the largest grow
    drop_fraction : share of each layer's living weights that moves, in [0, 1]
    frozen : names of weight matrices that are left alone

    Returns
    -------
    Move : the new mask, what was dropped and what was grown

    Raises
    ------
    TypeError, ValueError
        The fraction is not in [0, 1], the mask is none of this network, a score that is ranked is NaN.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 3))
    >>> theta = Parameters(np.array([3.0, -1.0, 0.0, 0.0, 0.0, 0.0]), layout)
    >>> mask = Parameters(np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0]), layout)
    >>> drop_and_grow(theta, mask, abs(mask), drop_fraction=0.5).weight_mask["W1"]        # back again, at 0
    array([[1., 1., 0.]])
    """
    magnitudes = magnitude(theta)
    check_scores(magnitudes, weight_mask)
    check_scores(growth_scores, dense_mask(growth_scores))
    check_rate(drop_fraction, "drop_fraction")
    names = prunable(weight_mask.layout, frozen)
    replicates = np.broadcast_shapes(theta.replicates, weight_mask.replicates, growth_scores.replicates)
    shape = (*replicates, weight_mask.layout.size)
    old = Parameters(np.broadcast_to(weight_mask.vector, shape), weight_mask.layout)
    kept, new = Parameters(old.vector.copy(), old.layout), Parameters(old.vector.copy(), old.layout)
    magnitudes = Parameters(np.broadcast_to(magnitudes.vector, shape), old.layout)
    growth = Parameters(np.broadcast_to(growth_scores.vector, shape), old.layout)
    for replicate in np.ndindex(replicates):
        for name in names:
            mask = old[name][replicate]
            k = prune_count(drop_fraction, int(np.count_nonzero(mask)))
            after_drop = prune_lowest(magnitudes[name][replicate], mask, k)
            still_dead = prune_lowest(-growth[name][replicate], complement(after_drop), k)
            kept[name][replicate], new[name][replicate] = after_drop, complement(still_dead)
    warn_if_cut(old, new, stacklevel=3)
    return Move(new, dropped=difference(old, kept), grown=difference(new, kept))


def impose_mask(state: TrainingState, weight_mask: Parameters, *, grown: Parameters | None = None) -> None:
    """Put another mask on a training that is under way; the state changes, as it does by a step.   Equation (M16)

    Dead weights are 0 from now on, and what the optimizer remembers of them. Grown weights start at 0 with an empty
    memory, also where they were alive before (dropped and grown again).

    Parameters
    ----------
    state : of ``numpynet.training.begin``, between two records
    weight_mask : the new mask, copied
    grown : 1 where a weight starts anew, of ``Move``; None for none

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.network import MLP
    >>> from numpynet.plan import TrainingPlan
    >>> from numpynet.pruning.selection import prune_globally
    >>> from numpynet.training import begin, train
    >>> data, net = load_digits(), MLP((64, 20, 10))
    >>> state = begin(net, TrainingPlan(epochs=2, schedule=0.1), data.train)
    >>> for record in train(state, data.train):                  # half of the weights go after the first epoch
    ...     if record.epoch == 1:
    ...         impose_mask(state, prune_globally(magnitude(state.theta), Parameters.ones(net.layout), rate=0.5))
    >>> int(np.count_nonzero(state.theta["W1"]) + np.count_nonzero(state.theta["W2"])), net.layout.n_weights
    (740, 1480)
    """
    weight_mask = own_mask(state.net, weight_mask, state.theta.dtype, state.theta.replicates)
    staying = weight_mask if grown is None else weight_mask * complement(grown.astype(state.theta.dtype))
    state.weight_mask = weight_mask
    state.theta *= staying
    state.optimizer.impose(staying)
