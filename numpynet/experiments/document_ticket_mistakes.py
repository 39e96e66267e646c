"""The mistakes of the article's second example, made on purpose, and what can be counted of them.

With the call repaired that does not exist, the example still finds no ticket: it never rewinds, keeps no mask of its own,
and the second net is the first one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.experiments.document_dropout import BATCH, LR
from numpynet.experiments.document_ticket_meant import gradient, train_loop
from numpynet.network import MLP
from numpynet.optimizers import Optimizer, update
from numpynet.parameters import Parameters


def start_without_rewinding(theta_T: Parameters, weight_mask: Parameters) -> Parameters:
    """The second loop's start as printed: the trained weights, some of them zeroed. Nobody kept theta_0.   Equation (L16)

    Parameters
    ----------
    theta_T : trained parameters
    weight_mask : M, in the form of theta

    Returns
    -------
    A new vector in the form of theta.

    Examples
    --------
    >>> net = MLP((1, 1))
    >>> theta_T, mask = Parameters(np.array([5.0, 7.0]), net.layout), Parameters(np.array([0.0, 1.0]), net.layout)
    >>> start_without_rewinding(theta_T, mask).vector
    array([0., 7.])
    """
    return theta_T * weight_mask


def train_without_the_mask(net: MLP, start: Parameters, split: Split, weight_mask: Parameters, **loop) -> Parameters:
    """Zero the pruned weights once, then train as if nothing were pruned: the first step brings them back.   Equation (M4)

    Parameters
    ----------
    net : without dropout
    start : theta before it is masked
    split : the examples
    weight_mask : M, in the form of theta, used once
    **loop : epochs, lr and seed of ``train_loop``

    Returns
    -------
    theta at the end, a new vector.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.pruning import magnitude_mask
    >>> from numpynet.seeding import streams
    >>> data, net = load_digits(), MLP((64, 10, 10))
    >>> theta_0 = net.init(streams(0).init)
    >>> mask = magnitude_mask(theta_0, rate=0.5)
    >>> theta = train_without_the_mask(net, theta_0, data.train, mask, epochs=1)
    >>> revived(theta, mask) > 0.8
    True
    """
    return train_loop(net, start * weight_mask, split, **loop)


def second_net_as_printed(first: Parameters, second: Parameters, weight_mask: Parameters) -> Parameters:
    """The second net, its layers replaced by those of the first: one set of arrays for both, pruned in place.

    The second net's own weights are not read: what it was initialised with is thrown away.

    Parameters
    ----------
    first : parameters of the first net; changed in place, and that is the mistake
    second : parameters of the second net, of the same form
    weight_mask : M, in the form of theta

    Returns
    -------
    ``first`` itself.

    Examples
    --------
    >>> net = MLP((1, 1))
    >>> first, mask = Parameters(np.array([5.0, 7.0]), net.layout), Parameters(np.array([0.0, 1.0]), net.layout)
    >>> pruned = second_net_as_printed(first, Parameters(np.array([2.0, 3.0]), net.layout), mask)
    >>> pruned is first, first.vector
    (True, array([0., 7.]))
    """
    first.vector[:] *= weight_mask.vector
    return first


class WithOtherOptimizer(NamedTuple):
    """What a loop ends with whose optimizer holds the parameters of another net."""

    moved: float  # the largest change of a parameter that was to be trained
    first_norm: float  # of its gradient after one batch
    last_norm: float  # and after all of them


def train_with_the_other_optimizer(
    net: MLP, pruned: Parameters, split: Split, weight_mask: Parameters, *, steps: int
) -> WithOtherOptimizer:
    """The second loop, were the nets two: the optimizer clears and moves the first net, and this one's gradients pile up.

    Parameters
    ----------
    net : without dropout
    pruned : parameters that are to be trained
    split : the examples
    weight_mask : M, in the form of theta
    steps : batches

    Returns
    -------
    WithOtherOptimizer

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.pruning import magnitude_mask
    >>> from numpynet.seeding import streams
    >>> data, net = load_digits(), MLP((64, 10, 10))
    >>> theta_0 = net.init(streams(0).init)
    >>> loop = train_with_the_other_optimizer(net, theta_0, data.train, magnitude_mask(theta_0, rate=0.5), steps=5)
    >>> loop.moved, loop.last_norm > 4 * loop.first_norm
    (0.0, True)
    """
    before, norms = pruned.copy(), []
    total = Parameters.zeros(net.layout, dtype=pruned.dtype)
    for step in range(steps):
        rows = np.arange(step * BATCH, (step + 1) * BATCH) % len(split.x)
        total.vector[:] += gradient(net, pruned, split.x[rows], split.y[rows], weight_mask).vector  # never cleared
        norms.append(float(np.linalg.norm(total.vector)))
        # Here the optimizer steps, with the parameters of the first net.
    return WithOtherOptimizer(float(np.abs(pruned.vector - before.vector).max()), norms[0], norms[-1])


# ---- what can be counted ---------------------------------------------------------------------------------------------


def revived(theta: Parameters, weight_mask: Parameters) -> float:
    """Return the share of pruned weights that are not 0.

    Parameters
    ----------
    theta : any parameters
    weight_mask : M, in the form of theta, with at least one 0

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> net = MLP((2, 2))
    >>> mask = Parameters(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), net.layout)
    >>> revived(Parameters(np.array([0.0, 3.0, 1.0, 1.0, 1.0, 1.0]), net.layout), mask)
    0.5
    """
    pruned = weight_mask.vector == 0
    return float((theta.vector[pruned] != 0).mean())


def revived_by_one_step(
    net: MLP, start: Parameters, split: Split, weight_mask: Parameters, optimizer: Optimizer, *, lr: float = LR
) -> float:
    """Return the share of pruned weights that are not 0 after a single step without a mask, with any optimizer.   Equation (M16)

    Parameters
    ----------
    net : without dropout
    start : theta before it is masked
    split : all of it is the batch
    weight_mask : M, in the form of theta, with at least one 0
    optimizer : that makes the step, with a fresh state
    lr : learning rate

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> from numpynet.optimizers import SGD
    >>> from numpynet.pruning import magnitude_mask
    >>> from numpynet.seeding import streams
    >>> net, split = MLP((2, 3)), Split(np.ones((4, 2)), np.array([0, 1, 1, 2]))
    >>> theta = net.init(streams(0).init, dtype=np.float64)
    >>> revived_by_one_step(net, theta, split, magnitude_mask(theta, rate=0.5, output_rate=0.5), SGD())
    1.0
    """
    theta = start * weight_mask
    gradients = gradient(net, theta, split.x, split.y)
    update(theta, gradients, optimizer, optimizer.init(theta.vector), lr)
    return revived(theta, weight_mask)


def weights_left(net: MLP, theta: Parameters) -> float:
    """Return the share of weights (not biases) that are not 0.

    Parameters
    ----------
    net : whose layout says which are weights
    theta : its parameters

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> net = MLP((2, 2))
    >>> weights_left(net, Parameters(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), net.layout))
    0.5
    """
    weights = np.concatenate([theta[name].ravel() for name in net.layout.weight_names])
    return float((weights != 0).mean())
