"""Bugs of activations and of the wiring between layers: rows 20, 21b and 24 of the table.   Equations (B4), (B21)"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpynet.gradcheck.layers import REFERENCE, Layers, compose_network
from numpynet.gradcheck.zoo.bug import Bug


def _gate(formula: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[], Layers]:
    """Return a factory that plants dz = formula(dh, z)."""

    def plant() -> Layers:
        def relu_forward(z):
            return REFERENCE.relu_forward(z)[0], z

        return REFERENCE._replace(relu_forward=relu_forward, relu_backward=formula)

    return plant


def _gate_of_another_layer() -> Layers:
    """Return a network that asks the first hidden layer for the gates of all (an index that does not move)."""

    def network_loss(*args, **kwargs):
        gates = []

        def relu_forward(z):
            h, cache = REFERENCE.relu_forward(z)
            gates.append(cache)
            return h, cache

        def relu_backward(dh, cache):
            return REFERENCE.relu_backward(dh, gates[0])

        return compose_network(REFERENCE._replace(relu_forward=relu_forward, relu_backward=relu_backward))(
            *args, **kwargs
        )

    return REFERENCE._replace(network_loss=network_loss)


def _dW_from_z() -> Layers:
    """Return a network whose layers build dW from the pre-activation z of the layer below instead of its activation."""

    def network_loss(*args, **kwargs):
        pre_activations = []

        def relu_forward(z):
            pre_activations.append(z)
            return REFERENCE.relu_forward(z)

        def linear_backward(dy, cache):
            dx, dW, db = REFERENCE.linear_backward(dy, cache)
            if pre_activations:
                dW = (pre_activations.pop().mT @ dy) * cache.weight_mask
            return dx, dW, db

        return compose_network(REFERENCE._replace(relu_forward=relu_forward, linear_backward=linear_backward))(
            *args, **kwargs
        )

    return REFERENCE._replace(network_loss=network_loss)


def _decay(change: Callable[[str, np.ndarray, np.ndarray, float], np.ndarray | float]) -> Callable[[], Layers]:
    """Return a factory that adds change(name, parameter, M, weight_decay) to every gradient of the network."""

    def plant() -> Layers:
        reference = compose_network(REFERENCE)

        def network_loss(parameters, x, *, weight_masks, weight_decay=0.0, **constants):
            loss, gradients = reference(
                parameters, x, weight_masks=weight_masks, weight_decay=weight_decay, **constants
            )
            masks = {name: weight_masks[int(name[1:]) - 1] for name in parameters}
            changed = {
                name: g + change(name, parameters[name], masks[name], weight_decay) for name, g in gradients.items()
            }
            return loss, changed

        return REFERENCE._replace(network_loss=network_loss)

    return plant


_ALWAYS_OPEN = "spurious where z <= 0, ratio 1 elsewhere"

NETWORK_BUGS = (
    *(
        Bug(id, name, explanation, signature, "relu", _gate(formula))
        for id, name, explanation, signature, formula in (
            (
                "20a",
                "ReLU gate missing or always open",
                "the ReLU gate is missing or always open (>= on the output is true everywhere, for the output is never "
                "negative)",
                _ALWAYS_OPEN,
                lambda dh, z: 1.0 * dh,
            ),
            (
                "20b",
                "ReLU gate from dy",
                "the ReLU gate is taken from the upstream gradient instead of z",
                "spurious and missing entries; not linear in dy",
                lambda dh, z: dh * (dh.real > 0),
            ),
            (
                "20c",
                "ReLU gate on the wrong side",
                "the ReLU gate is open on the wrong side, z < 0",
                "the support is the complement",
                lambda dh, z: dh * (z.real < 0),
            ),
            (
                "20d",
                "multiplied by relu(z)",
                "the gradient is multiplied by relu(z) instead of the gate z > 0",
                "the right support, no constant ratio",
                lambda dh, z: dh * z * (z.real > 0),
            ),
        )
    ),
    Bug(
        "20e",
        "gate of another layer",
        "the ReLU gate of another layer is used: check which cache belongs to which layer",
        "spurious and missing entries; upstream of one hidden layer everything is wrong",
        "network",
        _gate_of_another_layer,
    ),
    Bug(
        "21b",
        "dW from z instead of the activation",
        "dW is built from the pre-activation z of the layer below instead of its activation",
        "only dW is wrong; db and dx are right",
        "network",
        _dW_from_z,
    ),
    *(
        Bug(id, name, explanation, signature, "network", _decay(change))
        for id, name, explanation, signature, change in (
            (
                "24a",
                "weight decay missing",
                "weight decay is missing in the gradient although the loss contains it",
                "yours - expected = -1 * weight_decay * M * W",
                lambda name, W, M, decay: -decay * M * W if name.startswith("W") else 0.0,
            ),
            (
                "24b",
                "weight decay doubled",
                "weight decay is counted twice (the penalty is lambda / 2 times the square, its gradient lambda * M * W)",
                "yours - expected = +1 * weight_decay * M * W",
                lambda name, W, M, decay: decay * M * W if name.startswith("W") else 0.0,
            ),
            (
                "24c",
                "weight decay on the unmasked W",
                "weight decay acts on W instead of M * W: pruned weights receive a gradient",
                "spurious exactly at the pruned entries",
                lambda name, W, M, decay: decay * (1 - M) * W if name.startswith("W") else 0.0,
            ),
            (
                "24d",
                "weight decay on the biases",
                "weight decay acts on the biases, too; the penalty has weights only",
                "db is wrong by weight_decay * b, dW is right",
                lambda name, b, M, decay: decay * b if name.startswith("b") else 0.0,
            ),
        )
    ),
)
