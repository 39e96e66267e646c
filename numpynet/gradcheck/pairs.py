"""The layer contract as data: how to call a forward and backward pair, what to feed it, and what it should give.

A ``LayerPair`` says all that the checker needs to know about a layer. Only the first five fields are needed; the others
make the check sharper. The functions below fill them in for the layers of this package, for anyone's functions::

    check_pair(relu_pair(my_relu_forward, my_relu_backward))
    check_pair(LayerPair("gain", forward, backward, ("x", "gain"), draw_normal(x=("N", "d_in"), gain=("d_in",))))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from numpynet import equations
from numpynet.equations.activations import Activation, relu_forward
from numpynet.gradcheck import candidates
from numpynet.gradcheck.candidates import Candidates
from numpynet.gradcheck.draws import Draw, Inputs, Sizes, draw_labels, draw_mask, draw_signed
from numpynet.gradcheck.layers import REFERENCE, Layers, NetworkLoss, compose_network


class LayerPair(NamedTuple):
    """A forward and backward pair and what a check of it needs.

    ``forward(*arrays, **constants)`` returns (output, cache), ``backward(dy, cache)`` the gradient, or a tuple with one
    for each array. An array with the name of ``differentiable[0]`` comes first, and so on.
    """

    name: str
    forward: Callable[..., tuple[np.ndarray, Any]]
    backward: Callable[[np.ndarray, Any], Any]
    differentiable: tuple[str, ...]  # the arguments with gradients, in the order of forward and of backward's result
    draw: Draw  # rng, sizes, keep_prob -> Inputs
    law: Callable[..., np.ndarray] | None = None  # what forward should return: called like it, without a cache
    candidates: Candidates | None = None  # wrong gradients and outputs that are known, with the bug they mean
    masks: Mapping[str, str] = {}  # array -> the constant that masks it; there its gradient is exactly 0
    evaluation: Mapping[str, Any] = {}  # constants that switch the layer to evaluation, where the law must hold, too
    extreme: str | None = None  # an array that may be as large as 1e4 without an overflow
    may_share: bool = False  # whether a gradient may be a view of dy (the identity) ...
    whole: bool = False  # a whole network: read from the loss backwards, in stages 5 and 6 instead of 4
    decay: str | None = None  # of a network: the constant that holds the weight decay; stage 5 sets it to 0
    numeric_law: bool = False  # differentiate law instead of forward: for code that may lie to a numeric derivative

    def gradient_names(self) -> list[str]:
        """Return d + name for each array.

        Examples
        --------
        >>> linear_pair(REFERENCE.linear_forward, REFERENCE.linear_backward).gradient_names()
        ['dx', 'dW', 'db']
        """
        return ["d" + name for name in self.differentiable]


def linear_pair(forward: Callable, backward: Callable, *, name: str = "linear", masked: bool = True) -> LayerPair:
    """Return the pair of a linear layer: forward(x, W, b, unit_mask=, keep_prob=, weight_mask=) and -> dx, dW, db.

    Parameters
    ----------
    forward : as above; returns y and a cache
    backward : takes dy and the cache
    name : of the pair in reports
    masked : False for a plain layer forward(x, W, b), which takes no masks

    Returns
    -------
    the pair, with its law (B1) and its known bugs

    Examples
    --------
    >>> linear_pair(REFERENCE.linear_forward, REFERENCE.linear_backward).differentiable
    ('x', 'W', 'b')
    """

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        N, d_in, d_out, _ = sizes
        arrays = {
            "x": draw_signed(rng, (N, d_in)),
            "W": draw_signed(rng, (d_in, d_out)),  # not 0 under the mask, or a forgotten mask could not show
            "b": draw_signed(rng, (d_out,)),
        }
        constants = {
            "unit_mask": draw_mask(rng, (N, d_in), keep_prob),
            "keep_prob": keep_prob,
            "weight_mask": draw_mask(rng, (d_in, d_out), 0.6),
        }
        return Inputs(arrays, constants if masked else {})

    return LayerPair(
        name,
        forward,
        backward,
        ("x", "W", "b"),
        draw,
        law=lambda x, W, b, **constants: equations.linear_forward(x, W, b, **constants)[0],
        candidates=candidates.linear,
        masks={"x": "unit_mask", "W": "weight_mask"} if masked else {},
        evaluation={"unit_mask": None, "keep_prob": 1.0, "weight_mask": None} if masked else {},
        extreme="x",
    )


def relu_pair(forward: Callable, backward: Callable, *, name: str = "relu") -> LayerPair:
    """Return the pair of ReLU: forward(z) and -> dz.

    Parameters
    ----------
    forward : takes z (N, d); returns h and a cache
    backward : takes dh and the cache; returns dz
    name : of the pair in reports

    Returns
    -------
    the pair, with its law and its known bugs

    Examples
    --------
    >>> relu_pair(REFERENCE.relu_forward, REFERENCE.relu_backward).name
    'relu'
    """
    return activation_pair(
        Activation(name, forward, backward, zero_at_zero=True, homogeneous=True),
        law=lambda z: relu_forward(z)[0],
        candidates=candidates.relu,
    )


def activation_pair(
    activation: Activation, *, law: Callable | None = None, candidates: Candidates | None = None
) -> LayerPair:
    """Return the pair of any activation: forward(z) and -> dz.

    Parameters
    ----------
    activation : name, forward and backward
    law : z -> h, what forward should return, or None
    candidates : the known bugs, or None

    Returns
    -------
    the pair

    Examples
    --------
    >>> activation_pair(equations.tanh).name
    'tanh'
    """
    return LayerPair(
        activation.name,
        activation.forward,
        activation.backward,
        ("z",),
        lambda rng, sizes, keep_prob: Inputs({"z": draw_signed(rng, (sizes.N, sizes.d_in))}, {}),
        law=law,
        candidates=candidates,
        extreme="z",
        may_share=activation.name == "identity",
    )


def dropout_pair(forward: Callable, backward: Callable, *, name: str = "dropout") -> LayerPair:
    """Return the pair of inverted dropout with the mask as an argument: forward(h, unit_mask=, keep_prob=) and -> dh.

    Parameters
    ----------
    forward : as above; returns y (N, d) and a cache
    backward : takes dy and the cache
    name : of the pair in reports

    Returns
    -------
    the pair, with its law (D1) and its known bugs

    Examples
    --------
    >>> dropout_pair(REFERENCE.dropout_forward, REFERENCE.dropout_backward).masks
    {'h': 'unit_mask'}
    """

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        shape = (sizes.N, sizes.d_in)
        mask = draw_mask(rng, shape, keep_prob)
        return Inputs({"h": draw_signed(rng, shape)}, {"unit_mask": mask, "keep_prob": keep_prob})

    return LayerPair(
        name,
        forward,
        backward,
        ("h",),
        draw,
        law=lambda h, unit_mask, keep_prob: h * unit_mask / keep_prob,  # Equation (D1)
        candidates=candidates.dropout,
        masks={"h": "unit_mask"},
        extreme="h",
    )


def softmax_cross_entropy_pair(
    forward: Callable, backward: Callable, *, name: str = "softmax_cross_entropy"
) -> LayerPair:
    """Return the pair of the loss: forward(logits, labels=) and backward(dloss, cache) -> dlogits.

    Parameters
    ----------
    forward : as above; logits (N, K), labels (N,) -> mean loss in nats, one number, and a cache
    backward : as above
    name : of the pair in reports

    Returns
    -------
    the pair, with its law (B18) and its known bugs

    Examples
    --------
    >>> f = REFERENCE
    >>> softmax_cross_entropy_pair(f.softmax_cross_entropy_forward, f.softmax_cross_entropy_backward).extreme
    'logits'
    """

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        logits = draw_signed(rng, (sizes.N, sizes.K))
        return Inputs({"logits": logits}, {"labels": draw_labels(rng, sizes.N, sizes.K)})

    return LayerPair(
        name,
        forward,
        backward,
        ("logits",),
        draw,
        law=lambda logits, labels: equations.softmax_cross_entropy_forward(logits, labels)[0],
        candidates=candidates.softmax_cross_entropy,
        extreme="logits",
    )


def l2_penalty_pair(forward: Callable, backward: Callable, *, name: str = "l2_penalty") -> LayerPair:
    """Return the pair of weight decay: forward(W, weight_decay=, weight_mask=) and backward(dpenalty, cache) -> dW.

    Parameters
    ----------
    forward : as above; returns one number and a cache
    backward : as above
    name : of the pair in reports

    Returns
    -------
    the pair, with its law (B21) and its known bugs

    Examples
    --------
    >>> l2_penalty_pair(REFERENCE.l2_penalty_forward, REFERENCE.l2_penalty_backward).masks
    {'W': 'weight_mask'}
    """

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        shape = (sizes.d_in, sizes.d_out)
        constants = {"weight_decay": float(rng.uniform(0.01, 0.1)), "weight_mask": draw_mask(rng, shape, 0.6)}
        return Inputs({"W": draw_signed(rng, shape)}, constants)

    return LayerPair(
        name,
        forward,
        backward,
        ("W",),
        draw,
        law=lambda W, **constants: equations.l2_penalty_forward(W, **constants)[0],
        candidates=candidates.l2_penalty,
        masks={"W": "weight_mask"},
        evaluation={"weight_mask": None},
    )


def mask_gradients_pair(
    linear_forward: Callable, mask_gradients: Callable, *, name: str = "mask_gradients"
) -> LayerPair:
    """Return the pair that differentiates the linear layer with respect to its masks.   Equation (B23)

    Parameters
    ----------
    linear_forward : as for ``linear_pair``
    mask_gradients : takes dy and the cache; returns d_weight_mask, d_unit_mask
    name : of the pair in reports

    Returns
    -------
    the pair, which is differentiated as if masks were real numbers

    Examples
    --------
    >>> mask_gradients_pair(REFERENCE.linear_forward, REFERENCE.mask_gradients).differentiable
    ('weight_mask', 'unit_mask')
    """
    linear = linear_pair(linear_forward, mask_gradients)

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        arrays, constants = linear.draw(rng, sizes, keep_prob)
        masks = {"weight_mask": constants["weight_mask"], "unit_mask": constants["unit_mask"]}
        return Inputs(masks, {**arrays, "keep_prob": constants["keep_prob"]})

    def call(function: Callable) -> Callable:
        return lambda weight_mask, unit_mask, *, x, W, b, keep_prob: function(
            x, W, b, weight_mask=weight_mask, unit_mask=unit_mask, keep_prob=keep_prob
        )

    return LayerPair(
        name, call(linear_forward), mask_gradients, ("weight_mask", "unit_mask"), draw, law=call(linear.law)
    )


def function_pair(
    function: Callable, names: tuple[str, ...], draw: Draw, *, name: str = "function", **more: Any
) -> LayerPair:
    """Return the pair of a function that gives its value and its gradients in one go: f(*arrays) -> (scalar, gradients).

    Parameters
    ----------
    function : returns one number, and the gradient for one array or a tuple (or dict by name) for several
    names : of the arrays
    draw : rng, sizes, keep_prob -> Inputs
    name : of the pair in reports
    more : further fields of LayerPair

    Returns
    -------
    the pair

    Raises
    ------
    ValueError
        From the forward pass of the pair, so that it stands in the report: the value of the function is no single
        number.

    Examples
    --------
    >>> from numpynet.gradcheck.draws import draw_normal
    >>> function_pair(lambda x: ((x * x).sum(), 2 * x), ("x",), draw_normal(x=("d_in",))).name
    'function'
    """

    def forward(*arrays: np.ndarray, **constants: Any) -> Any:
        result = function(*arrays, **constants)
        if not isinstance(result, tuple) or len(result) != 2:
            return result  # stage 0 has words for it
        value, gradients = result
        if np.ndim(value):
            raise ValueError(
                f"the function must return (one number, gradient), but its value has shape {np.shape(value)}"
            )
        return value, gradients

    def backward(dvalue: np.ndarray, gradients: Any) -> Any:
        if isinstance(gradients, Mapping):
            there = [n for n in names if gradients.get(n) is not None]
            return {n: dvalue * np.asarray(gradients[n]) for n in there}
        if isinstance(gradients, (tuple, list)):
            return tuple(None if g is None else dvalue * np.asarray(g) for g in gradients)
        return None if gradients is None else dvalue * np.asarray(gradients)

    return LayerPair(name, forward, backward, names, draw, **more)


def network_loss_pair(network_loss: NetworkLoss, *, name: str = "network", n_layers: int = 3) -> LayerPair:
    """Return the pair of a whole network with its loss and weight decay; see ``layers.compose_network`` for the call.

    Both hidden layers have one width, so that a gate or an activation taken from the wrong layer fits and can be named.

    Parameters
    ----------
    network_loss : parameters, x, keywords -> loss, gradients
    name : of the pair in reports
    n_layers : affine layers

    Returns
    -------
    the pair, held against the reference network

    Examples
    --------
    >>> network_loss_pair(compose_network(REFERENCE)).differentiable
    ('W1', 'b1', 'W2', 'b2', 'W3', 'b3')
    """
    names = tuple(f"{kind}{layer}" for layer in range(1, n_layers + 1) for kind in "Wb")

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        widths = (sizes.d_in, *(sizes.d_out,) * (n_layers - 1), sizes.K)
        arrays = {}
        for layer, shape in enumerate(zip(widths, widths[1:]), start=1):
            arrays[f"W{layer}"] = draw_signed(rng, shape) / np.sqrt(shape[0])
            arrays[f"b{layer}"] = 0.3 * draw_signed(rng, shape[1:])
        constants = {
            "x": draw_signed(rng, (sizes.N, sizes.d_in)),
            "labels": draw_labels(rng, sizes.N, sizes.K),
            # Not too sparse: where every unit is dropped no wrong gate shows.
            "unit_masks": [None, *(draw_mask(rng, (sizes.N, d), max(keep_prob, 0.6)) for d in widths[1:-1])],
            "keep_prob": keep_prob,
            "weight_masks": [draw_mask(rng, shape, 0.7) for shape in zip(widths, widths[1:])],
            "weight_decay": float(rng.uniform(0.01, 0.1)),
        }
        return Inputs(arrays, constants)

    def call(*arrays: np.ndarray, x: np.ndarray, **constants: Any) -> Any:
        return network_loss(dict(zip(names, arrays)), x, **constants)

    reference = compose_network(REFERENCE)
    return function_pair(
        call,
        names,
        draw,
        name=name,
        law=lambda *arrays, x, **constants: reference(dict(zip(names, arrays)), x, **constants)[0],
        candidates=candidates.network,
        whole=True,
        decay="weight_decay",
    )


# The functions that each pair needs, from the loss backwards.
NEEDS = {
    "softmax_cross_entropy": ("softmax_cross_entropy_forward", "softmax_cross_entropy_backward"),
    "relu": ("relu_forward", "relu_backward"),
    "dropout": ("dropout_forward", "dropout_backward"),
    "linear": ("linear_forward", "linear_backward"),
    "mask_gradients": ("linear_forward", "mask_gradients"),
    "l2_penalty": ("l2_penalty_forward", "l2_penalty_backward"),
}

# What a network can be built of; the gradients of its masks are not needed for that.
WIRED = tuple(function for name, functions in NEEDS.items() if name != "mask_gradients" for function in functions)

_MAKERS = {
    "softmax_cross_entropy": softmax_cross_entropy_pair,
    "relu": relu_pair,
    "dropout": dropout_pair,
    "linear": linear_pair,
    "mask_gradients": mask_gradients_pair,
    "l2_penalty": l2_penalty_pair,
}


def pairs_of(layers: Layers) -> list[LayerPair]:
    """Return the pairs of an implementation, from the loss backwards; the whole network, if it can be built, is last.

    Parameters
    ----------
    layers : functions of an implementation

    Returns
    -------
    the pairs whose both halves are there

    Examples
    --------
    >>> [pair.name for pair in pairs_of(REFERENCE)]
    ['softmax_cross_entropy', 'relu', 'dropout', 'linear', 'mask_gradients', 'l2_penalty', 'network']
    """
    pairs = []
    for name, functions in NEEDS.items():
        forward, backward = (getattr(layers, function) for function in functions)
        if forward is not None and backward is not None:
            pairs.append(_MAKERS[name](forward, backward))
    if layers.network_loss is not None:
        pairs.append(network_loss_pair(layers.network_loss))
    elif all(getattr(layers, function) is not None for function in WIRED):
        pairs.append(network_loss_pair(compose_network(layers)))
    return pairs


def missing_functions(layers: Layers) -> dict[str, str]:
    """Return pair -> the function that it lacks, for the pairs of which one half is there.

    Parameters
    ----------
    layers : functions of an implementation

    Returns
    -------
    name of the pair -> name of the function

    Examples
    --------
    >>> missing_functions(Layers(relu_forward=REFERENCE.relu_forward))
    {'relu': 'relu_backward'}
    """
    missing = {}
    for name, functions in NEEDS.items():
        absent = [function for function in functions if getattr(layers, function) is None]
        if len(absent) == 1 and name != "mask_gradients":
            missing[name] = absent[0]
    return missing
