"""Adapters: strangers' layers in three common styles, made into the functions of the layer contract.

Each returns (forward, backward), ready for ``linear_pair``, ``relu_pair``, ``dropout_pair``,
``softmax_cross_entropy_pair`` or a ``LayerPair`` of your own.

An object with state (the layer remembers, gradients are attributes)::

    forward, backward = from_object(Dense, parameters={"W": "W", "b": "b"}, gradients={"W": "dW", "b": "db"})
    check_pair(linear_pair(forward, backward, masked=False), stages=STRANGERS)

An (out, cache) pair, as in CS231n, only with its gradients in another order or with other arguments::

    forward, backward = from_cache(affine_forward, affine_backward, order=(0, 1, 2))

A closure (forward returns the output and the function that goes back)::

    forward, backward = from_closure(dense)

``STRANGERS`` are the stages that any layer should pass; the others ask for float32 in and out, and for logits of 1e4.
Masks: hand them over, by keyword or as attributes (``constants`` of ``from_object``). A layer that draws its own mask
is not repeatable, and the check says so; if it draws from NumPy's global generator, ``self_drawing_dropout_pair`` makes
it repeat itself, reads the mask off the output, and checks the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numpynet.gradcheck.draws import Inputs, Sizes, draw_signed
from numpynet.gradcheck.pairs import LayerPair, dropout_pair
from numpynet.gradcheck.run import Held

STRANGERS = (0, 1, 2, 3, 4)

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, Any], Any]


def from_object(
    build: Callable[[], Any],
    *,
    parameters: Mapping[str, str] | None = None,
    gradients: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    forward: str = "forward",
    backward: str = "backward",
    shared: bool = False,
) -> tuple[Forward, Backward]:
    """Return (forward, backward) of a layer object: y = layer.forward(x), dx = layer.backward(dy), gradients on it.

    Parameters
    ----------
    build : makes a new layer; its parameters are overwritten
    parameters : argument of the pair -> attribute of the layer, in the order of the arguments after x
    gradients : argument of the pair -> attribute that holds its gradient after backward; d + argument by default
    constants : keyword of the pair -> attribute, for masks and keep probabilities; others are left out
    forward, backward : names of the methods
    shared : False gives each forward pass a layer of its own; True uses one for all, and a layer that is not
        reentrant (a second forward before backward) is found out

    Returns
    -------
    forward, backward : in the form of a ``LayerPair``

    Notes
    -----
    An attribute may be a path such as ``"params.W"``; the parts may be keys of dictionaries.

    Examples
    --------
    >>> class Relu:
    ...     def forward(self, z):
    ...         self.gate = z > 0
    ...         return z * self.gate
    ...     def backward(self, dh):
    ...         return dh * self.gate
    >>> forward, backward = from_object(Relu)
    >>> h, layer = forward(np.array([[-1.0, 2.0]]))
    >>> backward(np.array([[3.0, 3.0]]), layer)
    array([[0., 3.]])
    """
    parameters = dict(parameters or {})
    gradients = {name: f"d{name}" for name in parameters} | dict(gradients or {})
    the_layer = build() if shared else None

    def layer_forward(x: np.ndarray, *arrays: np.ndarray, **given: Any) -> tuple[Any, Any]:
        layer = the_layer if shared else build()
        for attribute, array in zip(parameters.values(), arrays):
            _set(layer, attribute, array)
        for name, attribute in (constants or {}).items():
            _set(layer, attribute, given[name])
        return getattr(layer, forward)(x), Held(layer)  # its own state is the layer's business

    def layer_backward(dy: np.ndarray, cache: Any) -> Any:
        layer = cache.value
        dx = getattr(layer, backward)(dy)
        if not parameters:
            return dx
        return (dx, *(_get(layer, gradients[name]) for name in parameters))

    return layer_forward, layer_backward


def from_cache(
    forward: Callable[..., Any], backward: Callable[..., Any], *, order: Sequence[int | str] | None = None
) -> tuple[Forward, Backward]:
    """Return (forward, backward) of functions out, cache = forward(...) and gradients = backward(dout, cache).

    Parameters
    ----------
    forward, backward : as they are; wrap them in a lambda to leave keywords out
    order : where each gradient stands in what backward returns, by position or by key; None if in the forward's order

    Returns
    -------
    forward, backward : in the form of a ``LayerPair``

    Examples
    --------
    >>> forward, backward = from_cache(lambda x, w: (x @ w, (x, w)), lambda dy, c: {"w": c[0].T @ dy, "x": dy @ c[1].T},
    ...                                order=("x", "w"))
    >>> y, cache = forward(np.ones((1, 2)), np.ones((2, 3)))
    >>> [g.shape for g in backward(y, cache)]
    [(1, 2), (2, 3)]
    """

    def ordered_backward(dy: Any, cache: Any) -> Any:
        result = backward(dy, cache)
        if order is None or result is None:
            return result
        return tuple(result[k] for k in order)

    return forward, ordered_backward


def from_closure(function: Callable[..., Any], *, order: Sequence[int | str] | None = None) -> tuple[Forward, Backward]:
    """Return (forward, backward) of a function that returns (out, backprop), where backprop(dout) gives the gradients.

    Parameters
    ----------
    function : called with the arrays, and masks by keyword
    order : as for ``from_cache``

    Returns
    -------
    forward, backward : in the form of a ``LayerPair``

    Examples
    --------
    >>> forward, backward = from_closure(lambda z: (z * (z > 0), lambda dh: dh * (z > 0)))
    >>> h, backprop = forward(np.array([[-1.0, 2.0]]))
    >>> backward(np.array([[3.0, 3.0]]), backprop)
    array([[0., 3.]])
    """
    return from_cache(function, lambda dy, backprop: backprop(dy), order=order)


def self_drawing_dropout_pair(make: Callable[[float], tuple[Forward, Backward]], *, name: str = "dropout") -> LayerPair:
    """Return the pair of a dropout layer that draws its mask inside forward, from NumPy's global generator.

    Before every forward pass the global generator is seeded (and put back afterwards), so that the layer draws the same
    mask again; the mask is read off the output, where it is not 0. A layer with a generator of its own cannot be
    checked like this: give it its mask instead.

    Parameters
    ----------
    make : keep_prob -> (forward, backward) of one of the adapters; forward takes h alone
    name : of the pair in reports

    Returns
    -------
    the pair, with the law (D1) for the mask that was read off

    Examples
    --------
    >>> def dropout(keep_prob):
    ...     def forward(h):
    ...         mask = np.random.rand(*h.shape) < keep_prob
    ...         return h * mask / keep_prob, lambda dy: dy * mask / keep_prob
    ...     return forward
    >>> from numpynet.gradcheck import check_pair
    >>> pair = self_drawing_dropout_pair(lambda keep_prob: from_closure(dropout(keep_prob)))
    >>> check_pair(pair, stages=STRANGERS).status
    'pass'
    """

    def forward(h: np.ndarray, *, unit_mask: np.ndarray, keep_prob: float, mask_seed: int) -> tuple[Any, Any]:
        layer_forward, layer_backward = make(keep_prob)
        state = np.random.get_state()  # noqa: NPY002 - it is the generator that such layers use
        np.random.seed(mask_seed)  # noqa: NPY002
        try:
            y, cache = layer_forward(h)
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return y, (layer_backward, cache)

    def backward(dy: Any, cache: Any) -> Any:
        layer_backward, layer_cache = cache
        return layer_backward(dy, layer_cache)

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        h = draw_signed(rng, (sizes.N, sizes.d_in))
        for _ in range(100):
            mask_seed = int(rng.integers(2**31))
            y, _ = forward(h.copy(), unit_mask=h, keep_prob=keep_prob, mask_seed=mask_seed)
            unit_mask = (np.asarray(y) != 0).astype(np.float64)
            if unit_mask.min() == 0 and unit_mask.max() == 1:
                break
        return Inputs({"h": h}, {"unit_mask": unit_mask, "keep_prob": keep_prob, "mask_seed": mask_seed})

    known = dropout_pair(forward, backward, name=name)
    return known._replace(draw=draw, law=lambda h, unit_mask, keep_prob, mask_seed: h * unit_mask / keep_prob)


def _set(layer: Any, path: str, value: Any) -> None:
    *way, last = path.split(".")
    for part in way:
        layer = layer[part] if isinstance(layer, Mapping) else getattr(layer, part)
    if isinstance(layer, dict):
        layer[last] = value
    else:
        setattr(layer, last, value)


def _get(layer: Any, path: str) -> Any:
    for part in path.split("."):
        layer = layer[part] if isinstance(layer, Mapping) else getattr(layer, part)
    return layer
