"""What the article's second example means: a lottery ticket, found by iterative pruning with rewinding.

The loops are written out, step by step, so that they can be read beside the article's; ``document_ticket_mistakes`` holds
what it does instead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Dataset, Split
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.experiments.document_dropout import BATCH, EPOCHS, LR
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning import magnitude_mask
from numpynet.seeding import streams

RATE, ROUNDS = 0.2, 7  # the article gives no amount; a fifth per round, half of it in the output layer, leaves a fifth


def train_loop(
    net: MLP,
    start: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    epochs: int = EPOCHS,
    lr: float = LR,
    seed: int = 0,
) -> Parameters:
    """Train from a start, step by step with SGD, and return where it ends; the start stays as it is.   Equations (B1), (O1)

    With a mask the pruned weights are 0 in every forward pass and get the gradient 0, so they stay 0 (Equation (M16)).
    The order of the examples depends on the seed alone: two loops with one seed differ in what they begin with only.

    Parameters
    ----------
    net : without dropout
    start : theta at the beginning
    split : the examples
    weight_mask : M, in the form of theta; None prunes nothing
    epochs : passes over the data
    lr : learning rate of plain SGD, constant
    seed : of the order of the examples

    Returns
    -------
    theta at the end, a new vector.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> data = load_digits()
    >>> net = MLP((64, 20, 10))
    >>> theta_T = train_loop(net, net.init(streams(0).init), data.train, epochs=2, lr=0.1)
    >>> (net.predict(theta_T, data.test.x) == data.test.y).mean() > 0.5
    np.True_
    """
    theta = start.copy() if weight_mask is None else start * weight_mask
    batches = streams(seed).batches
    for _ in range(epochs):
        order = batches.permutation(len(split.x))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            theta.vector[:] -= lr * gradient(net, theta, split.x[rows], split.y[rows], weight_mask).vector
    return theta


def gradient(
    net: MLP, theta: Parameters, x: np.ndarray, y: np.ndarray, weight_mask: Parameters | None = None
) -> Parameters:
    """Return the gradient of the mean cross-entropy of a batch.   Equations (B2) to (B6)

    Parameters
    ----------
    net : without dropout
    theta : its parameters
    x : (N, d_0)
    y : (N,) labels
    weight_mask : M, in the form of theta; None prunes nothing

    Returns
    -------
    In the form of theta; exactly 0 at pruned weights.

    Examples
    --------
    >>> net = MLP((2, 3, 4))
    >>> gradient(net, Parameters.zeros(net.layout), np.ones((1, 2), np.float32), np.array([1]))["b2"]
    array([ 0.25, -0.75,  0.25,  0.25], dtype=float32)
    """
    logits, caches = net.forward(theta, x, weight_mask=weight_mask)
    _, cache = softmax_cross_entropy_forward(logits, y)
    return net.backward(softmax_cross_entropy_backward(1.0, cache), caches)


class Ticket(NamedTuple):
    """What the article looks for, and what it was found with."""

    theta_0: Parameters  # the start of the dense net, never touched
    theta_T: Parameters  # the dense net, trained
    weight_mask: Parameters


def find_ticket(
    data: Dataset,
    net: MLP,
    *,
    rounds: int = ROUNDS,
    rate: float = RATE,
    epochs: int = EPOCHS,
    lr: float = LR,
    seed: int = 0,
) -> Ticket:
    """Train, prune the smallest, rewind to theta_0, and again: what "find the best initial parameters" has to mean.   Equations (L2), (L3), (L4)

    The step that the article leaves out is ``start=theta_0``: every round trains mask * theta_0, not what was trained.

    Parameters
    ----------
    data : whose training examples are used
    net : without dropout
    rounds : of pruning
    rate : share of the surviving weights that goes in a round; in the output layer half as much
    epochs : of each training
    lr : learning rate of plain SGD, constant
    seed : of theta_0 and of the order of the examples

    Returns
    -------
    Ticket; the mask has not been trained with yet

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> ticket = find_ticket(load_digits(), MLP((64, 10, 10)), rounds=2, epochs=1)
    >>> [int(ticket.weight_mask[name].sum()) for name in ("W1", "W2")]              # of 640 and 100
    [410, 81]
    """
    theta_0 = net.init(streams(seed).init)
    theta_T = dense = train_loop(net, theta_0, data.train, epochs=epochs, lr=lr, seed=seed)
    weight_mask = None
    for done in range(rounds):
        weight_mask = magnitude_mask(theta_T, weight_mask, rate=rate)
        if done + 1 < rounds:
            theta_T = train_loop(net, theta_0, data.train, weight_mask=weight_mask, epochs=epochs, lr=lr, seed=seed)
    return Ticket(theta_0, dense, weight_mask)


def one_shot_rate(rate: float, rounds: int) -> float:
    """Return the rate that removes in one shot what so many rounds remove, up to rounding.   Equation (L17)

    Parameters
    ----------
    rate : share of the survivors that goes in a round
    rounds : how many

    Returns
    -------
    Share of all weights that goes.

    Examples
    --------
    >>> round(one_shot_rate(0.2, 2), 2)
    0.36
    """
    return 1 - (1 - rate) ** rounds
