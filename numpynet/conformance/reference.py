"""This package's own functions under the names of the contract; the suite must find nothing wrong with them.

Layers and masks stand here as they are. The network is the ``MLP`` that trains, and a ticket is made of the very parts
that a training uses: one vector of parameters, ``update`` with its projection, and ``magnitude_mask``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations import (
    inverted_dropout_backward,
    inverted_dropout_forward,
    l2_penalty_backward,
    l2_penalty_forward,
    linear_backward,
    linear_forward,
    mask_gradients,
    prune_count,
    prune_lowest,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from numpynet.equations.activations import relu_backward, relu_forward
from numpynet.initializers import glorot_normal
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, OptimizerState, RMSProp, update
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import magnitude_mask
from numpynet.storage import load_arrays, save_arrays

dropout_forward, dropout_backward = inverted_dropout_forward, inverted_dropout_backward

__all__ = [
    "OPTIMIZERS",
    "Ticket",
    "begin_ticket",
    "dropout_backward",
    "dropout_forward",
    "l2_penalty_backward",
    "l2_penalty_forward",
    "linear_backward",
    "linear_forward",
    "load_ticket",
    "mask_gradients",
    "network_loss",
    "prune",
    "prune_count",
    "prune_lowest",
    "prune_ticket",
    "reinit_ticket",
    "relu_backward",
    "relu_forward",
    "rewind",
    "rewind_ticket",
    "sample_mask",
    "save_ticket",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "train_ticket",
]

Arrays = Mapping[str, np.ndarray]

OPTIMIZERS: dict[str, tuple[Any, Decay]] = {
    "sgd": (SGD(), Decay()),
    "momentum": (Momentum(), Decay()),
    "nesterov": (Nesterov(), Decay()),
    "rmsprop": (RMSProp(), Decay()),
    "adam": (Adam(), Decay()),
    "adam with L2": (Adam(), Decay(coupled=0.01)),
    "adamw": (Adam(), Decay(decoupled=0.01)),
}
LEARNING_RATE = 0.1


# ---- the whole network -----------------------------------------------------------------------------------------------


def network_loss(
    parameters: Arrays,
    x: np.ndarray,
    *,
    labels: np.ndarray,
    unit_masks: list[np.ndarray | None],
    keep_prob: float,
    weight_masks: list[np.ndarray],
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return loss and gradients of an ``MLP`` with both masks, softmax cross-entropy and weight decay.

    Equations (B1) to (B6) and (B21).

    Parameters
    ----------
    parameters : W1, b1, W2, ... -> array
    x : (N, d_0)
    labels : (N,) integers
    unit_masks : D of each layer's input, (N, d_in); None where nothing is dropped
    keep_prob : of every input that has a unit mask
    weight_masks : M of each weight matrix, (d_in, d_out)
    weight_decay : lambda of the L2 penalty on the masked weights; biases have none

    Returns
    -------
    loss, gradients : a number, and in the form of parameters
    """
    layout = Layout({name: a.shape for name, a in parameters.items()})
    dtype = np.result_type(*parameters.values())  # complex, when the complex step differentiates one of them
    theta = Parameters.from_arrays({name: a.astype(dtype) for name, a in parameters.items()}, layout)
    mask = Parameters.ones(layout, dtype=x.dtype)
    for name, weight_mask in zip(layout.weight_names, weight_masks):
        mask[name] = weight_mask
    sizes = (x.shape[-1], *(layout.shapes[name][1] for name in layout.weight_names))
    net = MLP(sizes, keep_prob=[None if D is None else keep_prob for D in unit_masks])
    logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=unit_masks)
    loss, loss_cache = softmax_cross_entropy_forward(logits, labels)
    gradients = net.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)
    for name in layout.weight_names if weight_decay else ():
        penalty, penalty_cache = l2_penalty_forward(theta[name], weight_decay, weight_mask=mask[name])
        loss = loss + penalty
        gradients[name] += l2_penalty_backward(1.0, penalty_cache)
    return loss, dict(gradients.items())


# ---- masks -----------------------------------------------------------------------------------------------------------


def prune(W: np.ndarray, mask: np.ndarray, rate: float) -> np.ndarray:
    """Remove a share of the alive weights, those of smallest magnitude.   Equations (L2), (P1)

    Parameters
    ----------
    W : weights of any shape
    mask : 0 or 1, in the shape of W; what is 0 stays 0
    rate : share of the alive weights that goes, in [0, 1]

    Returns
    -------
    The new mask.

    Examples
    --------
    >>> prune(np.array([3.0, -1.0, 2.0, 4.0]), np.ones(4), 0.5)
    array([1., 0., 0., 1.])
    """
    return prune_lowest(np.abs(W), mask, prune_count(rate, int(np.count_nonzero(mask))))


def rewind(W_0: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Put the survivors back to where they started: m * W_0.   Equation (L4)

    Parameters
    ----------
    W_0 : initial weights of any shape
    mask : 0 or 1, in the shape of W_0

    Returns
    -------
    A new array.

    Examples
    --------
    >>> rewind(np.array([3.0, 1.0]), np.array([0.0, 1.0]))
    array([0., 1.])
    """
    return mask * W_0


# ---- tickets ---------------------------------------------------------------------------------------------------------


class Ticket(NamedTuple):
    """A network on its way: where it started, where it is, and what is left of it."""

    theta_0: Parameters
    theta: Parameters
    weight_mask: Parameters
    optimizer: str
    state: OptimizerState


def begin_ticket(theta_0: Arrays, weight_mask: Arrays | None = None, optimizer: str = "sgd") -> Ticket:
    """Start at m * theta_0; without a mask, nothing is pruned.   Equation (L4)

    Parameters
    ----------
    theta_0 : W1, b1, W2, ... -> array; copied
    weight_mask : name of each weight matrix -> 0 or 1
    optimizer : a key of ``OPTIMIZERS``

    Returns
    -------
    Ticket, with a fresh optimizer

    Examples
    --------
    >>> begin_ticket({"W1": np.ones((1, 2)), "b1": np.zeros(2)}, {"W1": np.array([[0.0, 1.0]])}).theta["W1"]
    array([[0., 1.]])
    """
    layout = Layout({name: a.shape for name, a in theta_0.items()})
    start = Parameters.from_arrays(theta_0, layout)
    mask = Parameters.ones(layout, dtype=start.dtype)
    for name in layout.weight_names if weight_mask is not None else ():
        mask[name] = weight_mask[name]
    theta = mask * start
    return Ticket(start, theta, mask, optimizer, OPTIMIZERS[optimizer][0].init(theta.vector))


def train_ticket(ticket: Ticket, gradients: Arrays) -> Ticket:
    """Make one step; the ticket changes.   Equation (M10)

    Parameters
    ----------
    ticket : changed in place
    gradients : in the form of theta, those of pruned weights included

    Returns
    -------
    The same ticket.
    """
    optimizer, decay = OPTIMIZERS[ticket.optimizer]
    given = Parameters.from_arrays(gradients, ticket.theta.layout)
    update(ticket.theta, given, optimizer, ticket.state, LEARNING_RATE, decay=decay, weight_mask=ticket.weight_mask)
    return ticket


def prune_ticket(ticket: Ticket, rate: float) -> Ticket:
    """Remove a share of the alive weights of every layer; what remains keeps its value.   Equations (L2), (L6)

    Parameters
    ----------
    ticket : its theta and mask stay as they are; the optimizer's memory of what goes is cleared
    rate : share of the alive weights of each layer that goes, in [0, 1]

    Returns
    -------
    A ticket with the new mask.
    """
    mask = magnitude_mask(ticket.theta, ticket.weight_mask, rate=rate, output_rate=rate)
    ticket.state.impose(mask)
    return ticket._replace(theta=mask * ticket.theta, weight_mask=mask)


def rewind_ticket(ticket: Ticket) -> Ticket:
    """Put the survivors back to their start, with a fresh optimizer.   Equation (L4)

    Parameters
    ----------
    ticket : stays as it is

    Returns
    -------
    A new ticket.
    """
    return begin_ticket(dict(ticket.theta_0.items()), dict(ticket.weight_mask.items()), ticket.optimizer)


def reinit_ticket(ticket: Ticket, rng: np.random.Generator) -> Ticket:
    """Draw the weights anew under the same mask, biases 0: the control.   Equation (L5)

    Parameters
    ----------
    ticket : stays as it is
    rng : to draw from

    Returns
    -------
    A new ticket, with a fresh optimizer.
    """
    again = rewind_ticket(ticket)
    theta = Parameters.zeros(again.theta.layout, dtype=again.theta.dtype)
    for name in theta.layout.weight_names:
        theta[name] = glorot_normal(rng, *theta.layout.shapes[name], dtype=theta.dtype)
    return again._replace(theta=again.weight_mask * theta)


def save_ticket(path: str | os.PathLike, ticket: Ticket) -> None:
    """Write everything that the next step depends on.

    Parameters
    ----------
    path : of an .npz file
    ticket : stays as it is
    """
    arrays = {
        f"{part}.{name}": a for part in ("theta_0", "theta", "weight_mask") for name, a in getattr(ticket, part).items()
    }
    arrays |= {f"state.{name}": slot for name, slot in ticket.state.slots.items()}
    metadata = {"optimizer": ticket.optimizer, "step": ticket.state.step, "names": list(ticket.theta)}
    save_arrays(path, arrays, kind="conformance ticket", metadata=metadata)


def load_ticket(path: str | os.PathLike) -> Ticket:
    """Read a ticket back.

    Parameters
    ----------
    path : of a file that ``save_ticket`` wrote

    Returns
    -------
    Ticket, which goes on where the saved one was
    """
    arrays, metadata = load_arrays(path, kind="conformance ticket")
    parts = {
        part: {name: arrays[f"{part}.{name}"] for name in metadata["names"]}
        for part in ("theta_0", "theta", "weight_mask")
    }
    ticket = begin_ticket(parts["theta_0"], parts["weight_mask"], metadata["optimizer"])
    ticket.state.step = metadata["step"]
    for name, slot in ticket.state.slots.items():
        slot[...] = arrays[f"state.{name}"]
    return ticket._replace(theta=Parameters.from_arrays(parts["theta"], ticket.theta.layout))
