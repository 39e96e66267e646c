"""Controls: nets that differ from a lottery ticket in one thing, so that a difference in accuracy can be laid to it.

    ====================== ================================== =========================================================
    dense                  all weights, theta_0               the baseline
    ticket                 mask, theta_0                      what is to be explained
    reinitialised          mask, a fresh draw                 does the initialisation matter?
    permuted_init          mask, theta_0 permuted             ... or only the values, wherever they stand?
    reshuffled             mask, the survivors permuted       ... or only which values survived?
    shuffled_mask          mask permuted in each layer        does more matter than the number of weights of a layer?
    random_ticket          permuted mask, a fresh draw        neither of the two
    globally_shuffled_mask mask permuted over all layers      do the densities of the layers matter?
    uniform_mask           one density in all layers          the same question, another answer
    one_shot_mask          as many weights, cut at once       does it matter to prune in rounds?
    ====================== ================================== =========================================================

All keep the number of weights of each layer (those of the two lines before the last, that of the net), and train in the order
and for the time of the ticket. All are pure: what they are given does not change. A function that draws takes a
generator, or a list of R of them for R replicates, and replicate r is then what its own generator alone would give.
``control_rngs`` makes them from seeds, as often as one likes. A permutation that changes nothing is drawn again, as long
as there is another: a control that is the ticket shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations.checks import check_rng
from numpynet.equations.masks import prune_lowest
from numpynet.initializers import Initializer, glorot_normal
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning.masks import check_weight_mask
from numpynet.seeding import stream

Generators = np.random.Generator | Sequence[np.random.Generator]


class Start(NamedTuple):
    """What a training begins with."""

    theta_0: Parameters
    weight_mask: Parameters


def control_rngs(seed: int | Sequence[int], purpose: str, draw: int = 0) -> Generators:
    """Return the generator of a control for one seed, or a list of them for replicates.

    Parameters
    ----------
    seed : one, or one for each replicate
    purpose : "reinit" for fresh weights, "shuffle" for masks, "permute" for permuted values
    draw : 0, 1, 2, ...: independent draws of one control

    Returns
    -------
    a generator, or a list of them

    Examples
    --------
    >>> len(control_rngs([0, 1, 2], "reinit", draw=1))
    3
    """
    if isinstance(seed, (list, tuple, range, np.ndarray)):
        return [stream(s, purpose, draw) for s in seed]
    return stream(seed, purpose, draw)


def reinitialised(
    net: MLP, rng: Generators, *, initializer: Initializer = glorot_normal, dtype: Any = np.float32
) -> Parameters:
    """Draw initial parameters afresh, biases too, from the law of the first draw: theta_0'.   Equation (L5)

    Parameters
    ----------
    net : whose parameters they are
    rng : a generator, or one for each replicate
    initializer, dtype : those of the plan

    Returns
    -------
    theta_0', with a replicate for each generator of a list

    References
    ----------
    Frankle and Carbin (2019).

    Examples
    --------
    >>> reinitialised(MLP((4, 3, 2)), control_rngs(7, "reinit")).layout.size
    23
    """
    return net.init(rng, initializer=initializer, dtype=dtype)


def permuted_init(theta_0: Parameters, rng: Generators) -> Parameters:
    """Permute the initial weights within each layer: the same values in other places.   Equation (L5)

    Biases stay where they are.

    Parameters
    ----------
    theta_0 : initial parameters
    rng : a generator, or one for each replicate

    Returns
    -------
    in the form of theta_0, with a replicate for each generator of a list

    Raises
    ------
    TypeError, ValueError
        rng is no generator, or there are replicates and no list of as many generators.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta_0 = Parameters(np.array([1.0, 2.0, 3.0, 4.0, 0.0]), Layout.of_sizes((4, 1)))
    >>> permuted_init(theta_0, np.random.default_rng(0))["W1"].ravel()
    array([3., 1., 2., 4.])
    """
    return _each(rng, _permute_values, theta_0)


def reshuffled(theta_0: Parameters, weight_mask: Parameters, rng: Generators) -> Parameters:
    """Permute the surviving initial weights among the surviving places of each layer.   Equation (L5)

    Everything else stays where it is; the mask takes it out anyway.

    Parameters
    ----------
    theta_0 : initial parameters
    weight_mask : of the survivors
    rng : a generator, or one for each replicate

    Returns
    -------
    in the form of theta_0, with a replicate for each generator of a list

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network, rng is no generator, or there are replicates and no list of as many
        generators.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((4, 1))
    >>> theta_0 = Parameters(np.array([1.0, 2.0, 3.0, 4.0, 0.0]), layout)
    >>> mask = Parameters(np.array([1.0, 0.0, 1.0, 1.0, 1.0]), layout)
    >>> reshuffled(theta_0, mask, np.random.default_rng(0))["W1"].ravel()
    array([4., 2., 1., 3.])
    """
    check_weight_mask(weight_mask, theta_0.layout)
    return _each(rng, _permute_survivors, theta_0, weight_mask)


def shuffled_mask(weight_mask: Parameters, rng: Generators) -> Parameters:
    """Permute the mask within each layer, each layer by a permutation of its own.   Equation (L5)

    Every layer that is not all 0 or all 1 really changes.

    Parameters
    ----------
    weight_mask : of the ticket
    rng : a generator, or one for each replicate

    Returns
    -------
    a mask with as many ones in each layer

    Raises
    ------
    TypeError, ValueError
        It is no weight mask, rng is no generator, or there are replicates and no list of as many generators.

    References
    ----------
    Frankle et al. (2021).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> mask = Parameters(np.array([1.0, 0.0, 1.0, 1.0, 1.0]), Layout.of_sizes((4, 1)))
    >>> shuffled_mask(mask, np.random.default_rng(0))["W1"].ravel()
    array([1., 1., 0., 1.])
    """
    check_weight_mask(weight_mask, getattr(weight_mask, "layout", None))
    return _each(rng, _shuffle_layers, weight_mask)


def random_ticket(
    net: MLP,
    weight_mask: Parameters,
    mask_rng: Generators,
    init_rng: Generators,
    *,
    initializer: Initializer = glorot_normal,
) -> Start:
    """Draw fresh weights under a shuffled mask: only the number of weights of each layer is kept.   Equation (L5)

    With the generators of ``shuffled_mask`` and ``reinitialised`` the four nets (ticket, re-initialised, shuffled,
    random) are the four combinations of two masks and two sets of weights.

    Parameters
    ----------
    net : whose parameters they are
    weight_mask : of the ticket
    mask_rng, init_rng : generators of the mask and of the weights, or one of each for each replicate
    initializer : that of the plan

    Returns
    -------
    start : fresh weights, in the dtype of the mask, and the shuffled mask

    Raises
    ------
    TypeError, ValueError
        As ``shuffled_mask`` and ``reinitialised``.

    References
    ----------
    Frankle and Carbin (2019).

    Examples
    --------
    >>> net = MLP((4, 3, 2))
    >>> start = random_ticket(net, Parameters.ones(net.layout), control_rngs(7, "shuffle"), control_rngs(7, "reinit"))
    >>> bool((start.theta_0.vector == reinitialised(net, control_rngs(7, "reinit")).vector).all())
    True
    """
    mask = shuffled_mask(weight_mask, mask_rng)
    return Start(reinitialised(net, init_rng, initializer=initializer, dtype=mask.dtype), mask)


def globally_shuffled_mask(weight_mask: Parameters, rng: Generators) -> Parameters:
    """Permute the mask over all layers: the net keeps its number of weights, the layers do not keep theirs.

    Parameters
    ----------
    weight_mask : of the ticket
    rng : a generator, or one for each replicate

    Returns
    -------
    a mask with as many ones in all

    Raises
    ------
    TypeError, ValueError
        It is no weight mask, rng is no generator, or there are replicates and no list of as many generators.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> mask = Parameters(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]), Layout.of_sizes((2, 1, 2)))
    >>> globally_shuffled_mask(mask, np.random.default_rng(1)).vector
    array([1., 0., 1., 1., 0., 1., 1.])
    """
    check_weight_mask(weight_mask, getattr(weight_mask, "layout", None))
    return _each(rng, _shuffle_all, weight_mask)


def uniform_mask(weight_mask: Parameters, rng: Generators) -> Parameters:
    """Draw a mask of as many weights that has the same density in every layer.

    The counts are density * n_l rounded down; what is missing goes to the layers that lost most by it.

    Parameters
    ----------
    weight_mask : of the ticket; its number of ones alone is used
    rng : a generator, or one for each replicate

    Returns
    -------
    a mask with as many ones in all

    Raises
    ------
    TypeError, ValueError
        It is no weight mask, rng is no generator, or there are replicates and no list of as many generators.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> mask = Parameters(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]), Layout.of_sizes((2, 1, 2)))
    >>> uniform_mask(mask, np.random.default_rng(0)).vector
    array([0., 1., 1., 0., 1., 1., 1.])
    """
    check_weight_mask(weight_mask, getattr(weight_mask, "layout", None))
    return _each(rng, _uniform, weight_mask)


def one_shot_mask(scores: Parameters, weight_mask: Parameters) -> Parameters:
    """Keep as many weights of each layer as the mask does, those with the largest scores, in one cut.   Equation (L2)

    Parameters
    ----------
    scores : of the dense net after its training, for instance ``magnitude(theta_T)``
    weight_mask : of the ticket that was found in rounds

    Returns
    -------
    a mask with as many ones in each layer, with the replicates of both

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network, or the numbers of replicates do not fit each other.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((4, 1))
    >>> mask = Parameters(np.array([0.0, 1.0, 0.0, 1.0, 1.0]), layout)
    >>> one_shot_mask(Parameters(np.array([4.0, 1.0, 3.0, 2.0, 0.0]), layout), mask)["W1"].ravel()
    array([1., 0., 1., 0.])
    """
    check_weight_mask(weight_mask, scores.layout)
    replicates = np.broadcast_shapes(scores.replicates, weight_mask.replicates)
    new = Parameters.ones(weight_mask.layout, replicates=replicates, dtype=weight_mask.dtype)
    scores, weight_mask = _broadcast(scores, replicates), _broadcast(weight_mask, replicates)
    for replicate in np.ndindex(replicates):
        for name in weight_mask.layout.weight_names:
            dead = int((weight_mask.replicate(replicate)[name] == 0).sum())
            layer = new.replicate(replicate)[name]
            layer[...] = prune_lowest(scores.replicate(replicate)[name], layer, dead)
    return new


# ---- one network at a time -------------------------------------------------------------------------------------------


def _each(rng: Generators, change: Callable[..., None], first: Parameters, *others: Parameters) -> Parameters:
    """Copy the first, and change the copy: of one network with one generator, or of R with R."""
    if not isinstance(rng, (list, tuple)):
        lead = np.broadcast_shapes(first.replicates, *(other.replicates for other in others))
        if lead:
            raise ValueError(f"there are the replicates {lead}: give a list with a generator for each of them")
        new = first.copy()
        change(check_rng(rng), new, *others)
        return new
    new = _broadcast(first, (len(rng),)).copy()
    others = tuple(_broadcast(other, (len(rng),)) for other in others)
    for r, one in enumerate(rng):
        change(check_rng(one), new.replicate(r), *(other.replicate(r) for other in others))
    return new


def _broadcast(parameters: Parameters, replicates: tuple[int, ...]) -> Parameters:
    if parameters.replicates not in ((), replicates):
        raise ValueError(f"there are generators or masks for {replicates} replicates, but {parameters.replicates} came")
    return Parameters(np.broadcast_to(parameters.vector, (*replicates, parameters.layout.size)), parameters.layout)


def _permute_values(rng: np.random.Generator, theta: Parameters) -> None:
    for name in theta.layout.weight_names:
        flat = theta[name].reshape(-1)
        flat[...] = _other_order(rng, flat)


def _permute_survivors(rng: np.random.Generator, theta: Parameters, weight_mask: Parameters) -> None:
    for name in theta.layout.weight_names:
        alive = weight_mask[name] == 1
        theta[name][alive] = _other_order(rng, theta[name][alive])


def _shuffle_layers(rng: np.random.Generator, mask: Parameters) -> None:
    for name in mask.layout.weight_names:
        flat = mask[name].reshape(-1)
        flat[...] = _other_order(rng, flat)


def _shuffle_all(rng: np.random.Generator, mask: Parameters) -> None:
    everything = np.concatenate([mask[name].reshape(-1) for name in mask.layout.weight_names])
    _fill(mask, _other_order(rng, everything))


def _uniform(rng: np.random.Generator, mask: Parameters) -> None:
    names, shapes = mask.layout.weight_names, mask.layout.shapes
    sizes = np.array([shapes[name][0] * shapes[name][1] for name in names])
    alive = sum(np.count_nonzero(mask[name]) for name in names)
    counts, rest = np.divmod(alive * sizes, sizes.sum())  # exact, in integers
    missing = alive - counts.sum()
    counts[np.argsort(-rest, kind="stable")[:missing]] += 1
    _fill(mask, np.concatenate([rng.permutation(np.arange(n) < k) for n, k in zip(sizes, counts)]))


def _other_order(rng: np.random.Generator, flat: np.ndarray) -> np.ndarray:
    """A permutation of the entries that is not the one there was, if there is any other."""
    new = rng.permutation(flat)
    while np.array_equal(new, flat) and flat.size and flat.min() < flat.max():
        new = rng.permutation(flat)
    return new


def _fill(mask: Parameters, flat: np.ndarray) -> None:
    start = 0
    for name in mask.layout.weight_names:
        mask[name] = flat[start : start + mask[name].size].reshape(mask[name].shape)
        start += mask[name].size
