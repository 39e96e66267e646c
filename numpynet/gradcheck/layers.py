"""An implementation under test: the layer functions of somebody, by name.

``Layers`` is a plain record of functions. The reference is one, a student's file is one (``layers_of``), and a planted
bug is the reference with one function replaced: ``REFERENCE._replace(relu_backward=...)``. What a file does not define
is None and is not checked.

``network_loss`` is the whole: layers, loss and weight decay in one function. Who has none gets the one that
``compose_network`` builds out of the single layers, so that their wiring is checked, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpynet import equations
from numpynet.equations.activations import relu_backward, relu_forward

NetworkLoss = Callable[..., tuple[np.ndarray, dict[str, np.ndarray]]]


class Layers(NamedTuple):
    """The functions of one implementation; None where there is none.

    Forward functions return (output, cache); backward functions take (upstream gradient, cache) and return the gradient,
    or a tuple of them in the order of the forward's arguments.
    """

    linear_forward: Callable | None = None  # x, W, b, unit_mask=, keep_prob=, weight_mask=
    linear_backward: Callable | None = None  # -> dx, dW, db
    relu_forward: Callable | None = None  # z
    relu_backward: Callable | None = None  # -> dz
    dropout_forward: Callable | None = None  # h, unit_mask=, keep_prob=
    dropout_backward: Callable | None = None  # -> dh
    softmax_cross_entropy_forward: Callable | None = None  # logits, labels=
    softmax_cross_entropy_backward: Callable | None = None  # -> dlogits
    l2_penalty_forward: Callable | None = None  # W, weight_decay=, weight_mask=
    l2_penalty_backward: Callable | None = None  # -> dW
    mask_gradients: Callable | None = None  # dy, cache of linear_forward -> d_weight_mask, d_unit_mask
    network_loss: NetworkLoss | None = None  # see compose_network


ALIASES = {
    "dropout_forward": "inverted_dropout_forward",
    "dropout_backward": "inverted_dropout_backward",
}

REFERENCE = Layers(
    linear_forward=equations.linear_forward,
    linear_backward=equations.linear_backward,
    relu_forward=relu_forward,
    relu_backward=relu_backward,
    dropout_forward=equations.inverted_dropout_forward,
    dropout_backward=equations.inverted_dropout_backward,
    softmax_cross_entropy_forward=equations.softmax_cross_entropy_forward,
    softmax_cross_entropy_backward=equations.softmax_cross_entropy_backward,
    l2_penalty_forward=equations.l2_penalty_forward,
    l2_penalty_backward=equations.l2_penalty_backward,
    mask_gradients=equations.mask_gradients,
)


def layers_of(module: Any) -> Layers:
    """Return the layer functions that a module (or dict, or any object) defines, by their names.

    Parameters
    ----------
    module : what a student's file became when it was imported; ``inverted_dropout_forward`` and its backward are taken
        for ``dropout_forward`` and ``dropout_backward``

    Returns
    -------
    the functions, None where there is none

    Raises
    ------
    ValueError
        There is not a single function of the contract in it.

    Examples
    --------
    >>> layers_of({"relu_forward": lambda z: (z * (z > 0), z), "relu_backward": lambda dh, z: dh * (z > 0)}).linear_forward
    """
    found = {}
    for name in Layers._fields:
        for known_as in (name, ALIASES.get(name, name)):
            function = module.get(known_as) if isinstance(module, Mapping) else getattr(module, known_as, None)
            if function is not None:
                found[name] = function
                break
    if not found:
        raise ValueError(
            f"there is none of the layer functions in it; the contract knows {', '.join(Layers._fields)}. "
            "Are the functions at the top level of the file, and spelled like this?"
        )
    return Layers(**found)


def compose_network(layers: Layers) -> NetworkLoss:
    """Return the network made of these layers: linear, ReLU, dropout, linear, ..., softmax cross-entropy, weight decay.

    The function it returns takes ``parameters`` (a dict W1, b1, W2, b2, ...), ``x``, and by keyword ``labels``,
    ``unit_masks`` (one for the input of each layer, or None), ``keep_prob``, ``weight_masks`` (one for each layer) and
    ``weight_decay``, and gives (loss, dict of gradients). Equations (B1) to (B6) and (B21), composed.

    Parameters
    ----------
    layers : with everything that a network is wired of; ``mask_gradients`` is not needed

    Returns
    -------
    function: parameters, x, keywords -> loss, gradients

    Examples
    --------
    >>> parameters = {"W1": np.ones((2, 3)), "b1": np.zeros(3)}
    >>> loss, gradients = compose_network(REFERENCE)(parameters, np.ones((4, 2)), labels=np.array([0, 1, 2, 0]))
    >>> float(loss), list(gradients)
    (1.0986123, ['W1', 'b1'])
    """
    f = layers

    def network_loss(
        parameters: Mapping[str, np.ndarray],
        x: np.ndarray,
        *,
        labels: np.ndarray,
        unit_masks: Sequence[np.ndarray | None] | None = None,
        keep_prob: float = 1.0,
        weight_masks: Sequence[np.ndarray | None] | None = None,
        weight_decay: float = 0.0,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        n_layers = len(parameters) // 2
        unit_masks = unit_masks or [None] * n_layers
        weight_masks = weight_masks or [None] * n_layers
        h, caches, penalty = x, [], 0.0
        for layer in range(1, n_layers + 1):
            dropout_cache = relu_cache = penalty_cache = None
            if unit_masks[layer - 1] is not None:
                h, dropout_cache = f.dropout_forward(h, unit_mask=unit_masks[layer - 1], keep_prob=keep_prob)
            W, b, weight_mask = parameters[f"W{layer}"], parameters[f"b{layer}"], weight_masks[layer - 1]
            h, linear_cache = f.linear_forward(h, W, b, weight_mask=weight_mask)
            if layer < n_layers:
                h, relu_cache = f.relu_forward(h)
            if weight_decay:
                omega, penalty_cache = f.l2_penalty_forward(W, weight_decay=weight_decay, weight_mask=weight_mask)
                penalty = penalty + omega
            caches.append((dropout_cache, linear_cache, relu_cache, penalty_cache))
        loss, loss_cache = f.softmax_cross_entropy_forward(h, labels=labels)

        gradients: dict[str, np.ndarray] = {}
        dh = _only(f.softmax_cross_entropy_backward(1.0, loss_cache))
        for layer in range(n_layers, 0, -1):
            dropout_cache, linear_cache, relu_cache, penalty_cache = caches[layer - 1]
            if relu_cache is not None:
                dh = _only(f.relu_backward(dh, relu_cache))
            dh, dW, db = f.linear_backward(dh, linear_cache)
            if dropout_cache is not None:
                dh = _only(f.dropout_backward(dh, dropout_cache))
            if penalty_cache is not None:
                dW = dW + _only(f.l2_penalty_backward(1.0, penalty_cache))
            gradients[f"W{layer}"], gradients[f"b{layer}"] = dW, db
        return loss + penalty, {name: gradients[name] for name in parameters}

    return network_loss


def _only(result: Any) -> Any:
    """The gradient, also where it came as a tuple of one."""
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result
