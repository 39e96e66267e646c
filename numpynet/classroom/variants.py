"""Conventions of a course: the same layers, announced otherwise, so that code from elsewhere does not fit as it is.

A student of a course with ``Variant(drop_prob=True, transposed=True)`` writes ``linear_forward(x, W, b, *, unit_mask,
drop_prob, weight_mask)`` for weights of shape (d_out, d_in). The checks know one convention, that of the equation book:
``adapt`` stands between them and the student's functions. It only renames, transposes, multiplies by powers of two, and
takes 1 - keep_prob, whose rounding (1e-16) is the one thing that can change a last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

GAINS = (0.5, 1.0, 2.0, 4.0)  # powers of two: multiplying and dividing by them is exact


class Variant(NamedTuple):
    """The convention of a course; the default is that of the equation book.

    ``drop_prob``: the keyword is ``drop_prob``, the probability that a unit goes, instead of ``keep_prob``.
    ``dropped_mask``: the unit mask is 1 where a unit is dropped, not where it is kept.
    ``transposed``: W and its mask have the shape (d_out, d_in), and so has dW.
    ``gain``: the linear layer returns ``gain`` times the output of the book, and its gradients follow.
    """

    drop_prob: bool = False
    dropped_mask: bool = False
    transposed: bool = False
    gain: float = 1.0

    def sentences(self) -> list[str]:
        """Return the convention in words, for the page of the assignment and the feedback.

        Examples
        --------
        >>> Variant(transposed=True).sentences()
        ['weights and their masks have the shape (d_out, d_in)']
        """
        return [
            text
            for on, text in (
                (self.drop_prob, "the keyword is drop_prob, the probability that a unit is dropped"),
                (self.dropped_mask, "the unit mask is 1 where a unit is dropped"),
                (self.transposed, "weights and their masks have the shape (d_out, d_in)"),
                (self.gain != 1, f"the linear layer returns {self.gain:g} times the output of the equation book"),
            )
            if on
        ]


def variant_of(text: str) -> Variant:
    """Return the convention that a text names: parts joined by commas, "drop", "dropped-mask", "transposed", "gain=2".

    Parameters
    ----------
    text : "book" or nothing for the convention of the book

    Returns
    -------
    Variant

    Raises
    ------
    ValueError
        A part is none of them.

    Examples
    --------
    >>> variant_of("drop,gain=2")
    Variant(drop_prob=True, dropped_mask=False, transposed=False, gain=2.0)
    """
    variant = Variant()
    flags = {"drop": "drop_prob", "dropped-mask": "dropped_mask", "transposed": "transposed"}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if part in flags:
            variant = variant._replace(**{flags[part]: True})
        elif name == "gain" and value in [f"{gain:g}" for gain in GAINS]:
            variant = variant._replace(gain=float(value))
        elif part != "book":
            gains = ", ".join(f"gain={gain:g}" for gain in GAINS if gain != 1)
            raise ValueError(f"{part!r} is no convention; there are book, {', '.join(flags)}, {gains}")
    return variant


def adapt(functions: Mapping[str, Callable], variant: Variant) -> dict[str, Callable]:
    """Return functions that are called by the convention of the book and call those of a course.

    Parameters
    ----------
    functions : by their names in the contract or in an assignment; those whose call a convention changes are adapted
        (linear layer, dropout, weight decay, the whole network, DropConnect), all others are left as they are
    variant : the convention that they are written in

    Returns
    -------
    Name -> function.

    Examples
    --------
    >>> def dropout_forward(h, *, unit_mask, drop_prob):
    ...     return h * unit_mask / (1 - drop_prob), unit_mask
    >>> adapted = adapt({"dropout_forward": dropout_forward}, Variant(drop_prob=True))
    >>> adapted["dropout_forward"](np.ones(2), unit_mask=np.array([0.0, 1.0]), keep_prob=0.8)[0]
    array([0.  , 1.25])
    """
    makers = {
        "linear_forward": _linear_forward,
        "linear_backward": _linear_backward,
        "dropout_forward": _dropout_forward,
        "l2_penalty_forward": _l2_forward,
        "l2_penalty_backward": _l2_backward,
        "network_loss": _network_loss,
        # Layers of our assignments that are in no contract; the gain is of linear_forward alone.
        "standard_dropout_forward": _dropout_forward,
        "dropconnect_forward": lambda f, variant: _linear_forward(f, variant._replace(gain=1.0)),
        "dropconnect_backward": lambda f, variant: _linear_backward(f, variant._replace(gain=1.0)),
        "masked_forward": lambda f, variant: _linear_forward(f, variant._replace(gain=1.0)),
        "masked_backward": lambda f, variant: _linear_backward(f, variant._replace(gain=1.0)),
    }
    if variant == Variant():
        return dict(functions)
    return {name: makers[name](f, variant) if name in makers else f for name, f in functions.items()}


def _keywords(variant: Variant, constants: dict[str, Any]) -> dict[str, Any]:
    """Return the masks and the probability of a call as the course gives them."""
    constants = dict(constants)
    if variant.drop_prob and "keep_prob" in constants:
        constants["drop_prob"] = 1 - constants.pop("keep_prob")
    if variant.dropped_mask and constants.get("unit_mask") is not None:
        constants["unit_mask"] = 1 - constants["unit_mask"]
    if variant.transposed and constants.get("weight_mask") is not None:
        constants["weight_mask"] = _turned(constants["weight_mask"])
    return constants


def _linear_forward(forward: Callable, variant: Variant) -> Callable:
    def linear_forward(x: np.ndarray, W: np.ndarray, b: np.ndarray, **constants: Any) -> Any:
        result = forward(x, _turned(W) if variant.transposed else W, b, **_keywords(variant, constants))
        if variant.gain == 1:
            return result
        return _first(result, lambda y: y / np.asarray(variant.gain, y.dtype) if _is_float(y) else y)

    return linear_forward


def _linear_backward(backward: Callable, variant: Variant) -> Callable:
    def linear_backward(dy: np.ndarray, cache: Any) -> Any:
        # The course's layer is gain times ours; dy belongs to ours, so that of the course is dy / gain.
        result = backward(dy if variant.gain == 1 else dy / np.asarray(variant.gain, dy.dtype), cache)
        if variant.transposed and isinstance(result, (tuple, list)) and len(result) == 3:
            result = (result[0], _turned(result[1]), result[2])
        return result

    return linear_backward


def _dropout_forward(forward: Callable, variant: Variant) -> Callable:
    return lambda h, **constants: forward(h, **_keywords(variant, constants))


def _l2_forward(forward: Callable, variant: Variant) -> Callable:
    return lambda W, **constants: forward(_turned(W) if variant.transposed else W, **_keywords(variant, constants))


def _l2_backward(backward: Callable, variant: Variant) -> Callable:
    def l2_penalty_backward(dpenalty: Any, cache: Any) -> Any:
        result = backward(dpenalty, cache)
        return _turned(result) if variant.transposed else result

    return l2_penalty_backward


def _network_loss(function: Callable, variant: Variant) -> Callable:
    """Adapt a whole network: each of its linear layers multiplies by the gain, so it gets weights and biases without it."""
    gain = variant.gain

    def of_course(name: str, a: np.ndarray) -> np.ndarray:
        a = a if gain == 1 else a / np.asarray(gain, a.dtype)
        return _turned(a) if variant.transposed and name.startswith("W") else a

    def network_loss(parameters: Mapping[str, np.ndarray], x: np.ndarray, **constants: Any) -> Any:
        if variant.drop_prob:
            constants["drop_prob"] = 1 - constants.pop("keep_prob")
        if variant.dropped_mask:
            constants["unit_masks"] = [None if mask is None else 1 - mask for mask in constants["unit_masks"]]
        if variant.transposed:
            constants["weight_masks"] = [_turned(mask) for mask in constants["weight_masks"]]
        if gain != 1:  # the penalty is of smaller weights
            constants["weight_decay"] = constants["weight_decay"] * gain**2
        result = function({name: of_course(name, a) for name, a in parameters.items()}, x, **constants)
        if not (isinstance(result, (tuple, list)) and len(result) == 2 and isinstance(result[1], Mapping)):
            return result  # the check has words for it
        arrays = {name: of_course(name, g) if _is_float(g) else g for name, g in result[1].items()}
        return result[0], arrays

    return network_loss


def _turned(array: Any) -> Any:
    """Return the transpose of a matrix as an array of its own, in row order; anything else as it is."""
    is_matrix = isinstance(array, np.ndarray) and array.ndim >= 2
    return np.ascontiguousarray(np.swapaxes(array, -1, -2)) if is_matrix else array


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fc"


def _first(result: Any, function: Callable) -> Any:
    """Apply a function to the first of two results, if there are two."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return function(result[0]), result[1]
    return result
