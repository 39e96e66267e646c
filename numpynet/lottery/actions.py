"""Mask actions: what becomes of the weights that a mask keeps, and of those that it prunes (Zhou et al. 2019).

A ticket keeps the initial values and sets the others to 0. Is it the values that matter, or only their signs; and is 0 the
best that one can do with a pruned weight? Each function changes one of the two.

    mask-1, kept weights start from      theta_0, or what one of these returns:
        signed_constant                  sign(W_0) times the standard deviation of the layer's initial law
        random_signed_constant           a random sign instead
        signed_reinit, signed_reshuffle  fresh or permuted magnitudes with the sign of W_0
        rescaled                         any of them times n_l / alive_l

    mask-0, pruned weights stay at       0, or what one of these returns, as ``frozen`` of ``numpynet.training.begin``:
        freeze_init                      W_0
        freeze_toward                    0 where training had made the weight smaller, W_0 where it had not

``reinitialised``, ``permuted_init`` and ``reshuffled`` of ``numpynet.lottery.controls`` are mask-1 actions as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from numpynet.equations.checks import check_rng
from numpynet.initializers import glorot_std
from numpynet.lottery.controls import Generators, Start, reshuffled
from numpynet.parameters import Parameters
from numpynet.pruning.masks import check_weight_mask

StdOfLayer = Callable[[int, int], float]


# ---- what is kept ------------------------------------------------------------------------------------------------------


def signed_constant(theta_0: Parameters, *, std: StdOfLayer = glorot_std) -> Parameters:
    """Keep of every initial weight its sign alone: sign(W_0) times the standard deviation of its layer.

    Biases stay as they are; a weight of exactly 0 counts as positive.

    Parameters
    ----------
    theta_0 : initial parameters
    std : (d_in, d_out) -> standard deviation of the initial law, ``glorot_std`` or ``he_std``

    Returns
    -------
    in the form of theta_0

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> signed_constant(Parameters(np.array([0.1, -2.0, 3.0, 0.0]), Layout.of_sizes((3, 1))))["W1"].ravel()
    array([ 0.70710678, -0.70710678,  0.70710678])
    """
    return _with_magnitude(theta_0, _constant(theta_0, std))


def random_signed_constant(theta_0: Parameters, rng: Generators, *, std: StdOfLayer = glorot_std) -> Parameters:
    """Keep nothing of the initial weights: a random sign times the standard deviation of the layer.

    Parameters
    ----------
    theta_0 : initial parameters; their biases alone are used
    rng : of the signs; a list of generators for replicates
    std : see ``signed_constant``

    Returns
    -------
    in the form of theta_0, with a replicate for each generator of a list

    Raises
    ------
    TypeError, ValueError
        rng is no generator, or theta_0 has replicates and there is no list of generators.

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta_0 = Parameters(np.array([0.1, -2.0, 3.0, 0.0]), Layout.of_sizes((3, 1)))
    >>> random_signed_constant(theta_0, np.random.default_rng(1))["W1"].ravel()
    array([-0.70710678,  0.70710678,  0.70710678])
    """
    if isinstance(rng, Sequence):
        size = theta_0.layout.size
        coins = np.stack([check_rng(one).integers(2, size=size) for one in rng])
    elif theta_0.replicates:
        raise ValueError(
            f"there are the replicates {theta_0.replicates}: give a list with a generator for each of them"
        )
    else:
        coins = check_rng(rng).integers(2, size=theta_0.layout.size)
    signs = Parameters((2.0 * coins - 1).astype(theta_0.dtype), theta_0.layout)
    new = _with_magnitude(signs, _constant(signs, std))
    for name in theta_0.layout.bias_names:
        new[name] = np.broadcast_to(theta_0[name], new[name].shape)
    return new


def signed_reinit(theta_0: Parameters, fresh: Parameters) -> Parameters:
    """Give the magnitudes of a fresh draw the signs of the first one.

    Parameters
    ----------
    theta_0 : initial parameters, for signs and biases
    fresh : a second draw for the same network, such as ``reinitialised`` makes

    Returns
    -------
    in the form of theta_0

    Raises
    ------
    ValueError
        The two belong to different networks.

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((3, 1))
    >>> theta_0, fresh = Parameters(np.array([1.0, -2.0, 3.0, 0.0]), layout), Parameters(np.array([-4.0, 5.0, 6.0, 0.0]), layout)
    >>> signed_reinit(theta_0, fresh)["W1"].ravel()
    array([ 4., -5.,  6.])
    """
    return _with_magnitude(theta_0, np.abs(fresh))


def signed_reshuffle(theta_0: Parameters, weight_mask: Parameters, rng: Generators) -> Parameters:
    """Permute the magnitudes of the survivors of each layer among them; every place keeps its sign.

    Parameters
    ----------
    theta_0 : initial parameters
    weight_mask : of the survivors, which alone are permuted
    rng : a generator, or one for each replicate

    Returns
    -------
    in the form of theta_0

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network, rng is no generator, or there are replicates and no list of generators.

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((3, 1))
    >>> theta_0, mask = Parameters(np.array([1.0, -2.0, 3.0, 0.0]), layout), Parameters.ones(layout)
    >>> signed_reshuffle(theta_0, mask, np.random.default_rng(0))["W1"].ravel()
    array([ 3., -1.,  2.])
    """
    return _with_magnitude(theta_0, np.abs(reshuffled(theta_0, weight_mask, rng)))


def rescaled(theta: Parameters, weight_mask: Parameters) -> Parameters:
    """Multiply the weights of each layer by n_l / alive_l, so that as much weight is there as before pruning.

    A layer without survivors stays as it is. Tickets are not rescaled (Equation (M15)); this is an action to compare with.

    Parameters
    ----------
    theta : any parameters
    weight_mask : of the survivors; it is counted, and not applied

    Returns
    -------
    in the form of theta, with the replicates of the mask if it has any

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((3, 1))
    >>> mask = Parameters(np.array([1.0, 1.0, 0.0, 1.0]), layout)
    >>> rescaled(Parameters(np.array([2.0, 4.0, 3.0, 7.0]), layout), mask).vector
    array([3. , 6. , 4.5, 7. ])
    """
    check_weight_mask(weight_mask, theta.layout)
    new = theta * (weight_mask * 0 + 1)  # a copy, with the replicates of both
    for name in theta.layout.weight_names:
        alive = np.count_nonzero(weight_mask[name], axis=(-2, -1), keepdims=True)
        n = weight_mask[name].shape[-2] * weight_mask[name].shape[-1]
        new[name][...] *= np.where(alive == 0, 1, n / np.maximum(alive, 1)).astype(theta.dtype)
    return new


# ---- what is pruned ----------------------------------------------------------------------------------------------------


def freeze_init(theta_0: Parameters, weight_mask: Parameters) -> Parameters:
    """Leave every pruned weight at its initial value: W_eff = M * W + (1 - M) * W_0, the second term frozen.

    Parameters
    ----------
    theta_0 : initial parameters
    weight_mask : of the survivors

    Returns
    -------
    The second term, 0 at survivors and biases: ``frozen`` of ``numpynet.training.begin``.

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network.

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((3, 1))
    >>> mask = Parameters(np.array([1.0, 0.0, 0.0, 1.0]), layout)
    >>> freeze_init(Parameters(np.array([1.0, -2.0, 3.0, 7.0]), layout), mask).vector
    array([ 0., -2.,  3.,  0.])
    """
    check_weight_mask(weight_mask, theta_0.layout)
    return _pruned_part(theta_0, weight_mask)


def freeze_toward(
    theta_0: Parameters,
    theta_T: Parameters,
    weight_mask: Parameters,
    *,
    reverse: bool = False,
    rng: Generators | None = None,
) -> Parameters:
    """Freeze a pruned weight where training had driven it: at 0 if it had become smaller, else at its initial value.

    Parameters
    ----------
    theta_0, theta_T : before and after the training that the mask was cut from
    weight_mask : of the survivors
    reverse : True freezes at 0 what had become larger: the control that should do worse
    rng : permutes within each layer which of the pruned weights are frozen at 0: the control that only keeps how many

    Returns
    -------
    in the form of theta_0, 0 at survivors and biases: ``frozen`` of ``numpynet.training.begin``

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network, rng is no generator, or there are replicates and no list of generators.

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((3, 1))
    >>> mask = Parameters(np.array([1.0, 0.0, 0.0, 1.0]), layout)
    >>> theta_0, theta_T = Parameters(np.array([1.0, -2.0, 3.0, 7.0]), layout), Parameters(np.array([9.0, 0.5, 4.0, 7.0]), layout)
    >>> freeze_toward(theta_0, theta_T, mask).vector                                       # 2 has become 0.5
    array([0., 0., 3., 0.])
    """
    check_weight_mask(weight_mask, theta_0.layout)
    stays = _stays(theta_0, theta_T, reverse)
    if rng is not None:
        pruned = 1 - weight_mask
        for name in pruned.layout.bias_names:
            pruned[name][...] = 1
        stays = reshuffled(stays, pruned, rng)
    return _pruned_part(theta_0 * stays, weight_mask)


def freeze_toward_all(
    theta_0: Parameters, theta_T: Parameters, weight_mask: Parameters, *, reverse: bool = False
) -> tuple[Start, Parameters]:
    """Apply ``freeze_toward`` to the pruned weights, and its rule to the start of the survivors as well.

    Parameters
    ----------
    theta_0, theta_T, weight_mask, reverse : see ``freeze_toward``

    Returns
    -------
    start : theta_0 with a 0 wherever training had made a weight smaller, and the mask
    frozen : of ``freeze_toward``

    Raises
    ------
    TypeError, ValueError
        The mask is none of this network.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((3, 1))
    >>> mask = Parameters(np.array([1.0, 1.0, 0.0, 1.0]), layout)
    >>> theta_0, theta_T = Parameters(np.array([1.0, -2.0, 3.0, 7.0]), layout), Parameters(np.array([9.0, 0.5, 4.0, 7.0]), layout)
    >>> start, frozen = freeze_toward_all(theta_0, theta_T, mask)
    >>> start.theta_0.vector, frozen.vector
    (array([ 1., -0.,  3.,  7.]), array([0., 0., 3., 0.]))
    """
    start = Start(theta_0 * _stays(theta_0, theta_T, reverse), weight_mask)
    return start, freeze_toward(theta_0, theta_T, weight_mask, reverse=reverse)


# ---- helpers -----------------------------------------------------------------------------------------------------------


def _constant(theta: Parameters, std: StdOfLayer) -> Parameters:
    """The standard deviation of its layer at every weight."""
    constant = Parameters.zeros(theta.layout, replicates=theta.replicates, dtype=theta.dtype)
    for name in theta.layout.weight_names:
        constant[name][...] = std(*theta.layout.shapes[name])
    return constant


def _with_magnitude(signs: Parameters, magnitude: Parameters) -> Parameters:
    """The magnitudes with these signs at weights; biases are those of ``signs``."""
    if magnitude.layout != signs.layout:
        raise ValueError(f"these belong to different networks: {signs.layout} and {magnitude.layout}")
    new = Parameters(np.where(signs.vector < 0, -magnitude.vector, magnitude.vector), signs.layout)
    for name in signs.layout.bias_names:
        new[name] = np.broadcast_to(signs[name], new[name].shape)
    return new


def _stays(theta_0: Parameters, theta_T: Parameters, reverse: bool) -> Parameters:
    """1 where a weight keeps its initial value, 0 where it goes to 0; 1 at biases."""
    shrank = np.abs(theta_T.vector) < np.abs(theta_0.vector)
    stays = Parameters((shrank if reverse else ~shrank).astype(theta_0.dtype), theta_0.layout)
    for name in stays.layout.bias_names:
        stays[name][...] = 1
    return stays


def _pruned_part(theta: Parameters, weight_mask: Parameters) -> Parameters:
    """(1 - M) * W; biases are no part of it."""
    return theta * (1 - weight_mask) + 0.0  # 0.0, not -0.0
