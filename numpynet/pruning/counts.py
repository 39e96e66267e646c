"""How many weights go: rates and densities, for a whole network or layer by layer, as exact integers.

A rate is a share of the weights still alive, to be removed; a density is a share of all weights, to be kept. Nothing
here knows scores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from numpynet.equations.masks import prune_count
from numpynet.parameters import Layout


def survivors(density: float, n: int) -> int:
    """Return n - floor((1 - density) n + 1/2), how many of n weights a density keeps.   Equations (L17), (P16)

    It is one cut from the dense net with the rate 1 - density.

    Parameters
    ----------
    density : share of the weights to keep, in [0, 1]
    n : number of weights

    Returns
    -------
    how many are kept, an integer in 0 ... n

    Raises
    ------
    TypeError, ValueError
        The density is no number, or outside [0, 1].

    Examples
    --------
    >>> survivors(0.1, 266200), survivors(0.5, 5)
    (26620, 2)
    """
    if not isinstance(density, (int, float, np.floating, np.integer)) or isinstance(density, bool):
        raise TypeError(f"density must be a number in [0, 1], got {type(density).__name__}")
    if not 0.0 <= density <= 1.0:
        raise ValueError(f"density is {density!r}, but 0 <= density <= 1 is needed: it is the share of weights to KEEP")
    return n - prune_count(1 - float(density), n)


def check_rate(rate: float, name: str) -> float:
    """Return the rate, or raise TypeError or ValueError unless it is a number in [0, 1], under the name it came by.

    Parameters
    ----------
    rate : share of the survivors to remove
    name : that the message calls it by

    Returns
    -------
    rate, as it came

    Raises
    ------
    TypeError, ValueError
        It is no number, or outside [0, 1].

    Examples
    --------
    >>> check_rate(0.2, "output_rate")
    0.2
    """
    try:
        prune_count(rate, 0)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error) if name == "rate" else f"{name}: {error}") from None
    return rate


def prunable(layout: Layout, frozen: Collection[str]) -> tuple[str, ...]:
    """The layers that may be pruned, in order: all but the frozen ones.

    Parameters
    ----------
    layout : of the network
    frozen : names of weight matrices that are not pruned

    Returns
    -------
    names of the other weight matrices, from input to output

    Raises
    ------
    TypeError, ValueError
        frozen is one string, or names something that is no weight matrix.

    Examples
    --------
    >>> prunable(Layout.of_sizes((4, 3, 2)), frozen=("W2",))
    ('W1',)
    """
    if isinstance(frozen, str):
        raise TypeError(f"frozen must be a collection of layers such as ({frozen!r},), got a string")
    refuse_unknown(frozen, layout, "frozen")
    return tuple(name for name in layout.weight_names if name not in frozen)


def refuse_unknown(names: Collection[str], layout: Layout, argument: str) -> None:
    """Raise ValueError if a name is not that of a weight matrix.

    Parameters
    ----------
    names : to look for
    layout : of the network
    argument : name of the argument that they came by, for the message

    Raises
    ------
    ValueError
        A name is unknown.

    Examples
    --------
    >>> refuse_unknown(["W1"], Layout.of_sizes((4, 3, 2)), "frozen")
    """
    unknown = [name for name in names if name not in layout.weight_names]
    if unknown:
        raise ValueError(
            f"{argument} names {', '.join(map(repr, unknown))}, but the layers that can be pruned are "
            f"{', '.join(layout.weight_names)}"
        )


def given_as_rate(rate: object, density: object) -> bool:
    """Whether it is a rate that was given; exactly one of the two must be.

    Parameters
    ----------
    rate, density : one of them None

    Returns
    -------
    True if it is the rate

    Raises
    ------
    ValueError
        Both are given, or neither.

    Examples
    --------
    >>> given_as_rate(0.2, None), given_as_rate(None, 0.1)
    (True, False)
    """
    if (rate is None) == (density is None):
        raise ValueError(f"give either rate or density, got rate={rate!r} and density={density!r}")
    return rate is not None


def rates_of_layers(rate, output_rate, names: tuple[str, ...], layout: Layout) -> dict[str, float]:
    """The rate of each prunable layer: the last one has half, unless it has been given one of its own.

    Parameters
    ----------
    rate : share of the survivors to remove; one number, or one for each prunable layer
    output_rate : of the last layer, beside a rate that is one number; None for half of it
    names : of the prunable layers
    layout : of the network

    Returns
    -------
    name -> rate, for every name

    Raises
    ------
    TypeError, ValueError
        A rate is no number in [0, 1]; the layers of the dict are not the prunable ones; output_rate stands beside a
        dict.

    References
    ----------
    Half the rate for the output layer: Frankle and Carbin (2019), LeNet-300-100.

    Examples
    --------
    >>> rates_of_layers(0.2, None, ("W1", "W2"), Layout.of_sizes((4, 3, 2)))
    {'W1': 0.2, 'W2': 0.1}
    """
    if isinstance(rate, Mapping):
        if output_rate is not None:
            raise ValueError(
                "give output_rate only beside a rate that is one number; in a dict the last layer has its own"
            )
        rates = per_layer(rate, names, layout, "rate")
        return {name: check_rate(layer_rate, f"rate of {name}") for name, layer_rate in rates.items()}
    rates, last = dict.fromkeys(names, check_rate(rate, "rate")), layout.weight_names[-1]
    half = rate / 2 if output_rate is None else check_rate(output_rate, "output_rate")
    return {name: half if name == last else layer_rate for name, layer_rate in rates.items()}


def per_layer(value: float | Mapping[str, float], names: tuple[str, ...], layout: Layout, argument: str) -> dict:
    """One number for each prunable layer; a dict must name each of them and no other.

    Parameters
    ----------
    value : one number for all, or a dict
    names : of the prunable layers
    layout : of the network
    argument : name of the argument that it came by, for the message

    Returns
    -------
    name -> number, a dict of its own

    Raises
    ------
    ValueError
        A dict leaves a layer out, or names another one.

    Examples
    --------
    >>> per_layer({"W1": 0.3, "W2": 0.1}, ("W1", "W2"), Layout.of_sizes((4, 3, 2)), "rate")
    {'W1': 0.3, 'W2': 0.1}
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    refuse_unknown(value, layout, argument)
    if set(value) != set(names):
        missing, extra = [n for n in names if n not in value], [n for n in value if n not in names]
        said = f"leaves out {', '.join(missing)}" if missing else f"names {', '.join(extra)}, which is frozen"
        raise ValueError(f"{argument} {said}: it must name every layer that is pruned, and no other; see frozen")
    return dict(value)


def by_rate(rate: float) -> Callable[[int], int]:
    """How many of those alive go at this rate.

    Parameters
    ----------
    rate : share of the survivors to remove, in [0, 1]

    Returns
    -------
    function: number alive -> number to remove, floor(rate * alive + 1/2) of Equation (L2)

    Raises
    ------
    TypeError, ValueError
        The rate is no number, or outside [0, 1].

    Examples
    --------
    >>> by_rate(0.2)(12)
    2
    """
    check_rate(rate, "rate")
    return lambda alive: prune_count(rate, alive)


def to_density(density: float, names: tuple[str, ...], layout: Layout) -> Callable[[int], int]:
    """How many of those alive go, so that this share of all weights of these layers is left.

    Parameters
    ----------
    density : share of the weights of these layers to keep, in [0, 1]
    names : of the prunable layers
    layout : of the network

    Returns
    -------
    function: number alive -> number to remove; it raises ValueError where fewer are alive than are wanted

    Raises
    ------
    TypeError, ValueError
        The density is no number, or outside [0, 1].

    Examples
    --------
    >>> to_density(0.5, ("W1",), Layout.of_sizes((4, 3, 2)))(9)         # 6 of 12 are wanted
    3
    """
    n = sum(layout.shapes[name][0] * layout.shapes[name][1] for name in names)
    wanted = survivors(density, n)

    def to_remove(alive: int) -> int:
        if alive < wanted:
            raise ValueError(
                f"a density of {density!r} keeps {wanted} of the {n} weights of {', '.join(names)}, but only {alive} are "
                "left, and pruning brings none back"
            )
        return alive - wanted

    return to_remove
