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
    """Return the rate, or raise TypeError or ValueError unless it is a number in [0, 1], under the name it came by."""
    try:
        prune_count(rate, 0)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error) if name == "rate" else f"{name}: {error}") from None
    return rate


def prunable(layout: Layout, frozen: Collection[str]) -> tuple[str, ...]:
    """The layers that may be pruned, in order: all but the frozen ones."""
    if isinstance(frozen, str):
        raise TypeError(f"frozen must be a collection of layers such as ({frozen!r},), got a string")
    refuse_unknown(frozen, layout, "frozen")
    return tuple(name for name in layout.weight_names if name not in frozen)


def refuse_unknown(names: Collection[str], layout: Layout, argument: str) -> None:
    """Raise ValueError if a name is not that of a weight matrix."""
    unknown = [name for name in names if name not in layout.weight_names]
    if unknown:
        raise ValueError(
            f"{argument} names {', '.join(map(repr, unknown))}, but the layers that can be pruned are "
            f"{', '.join(layout.weight_names)}"
        )


def given_as_rate(rate: object, density: object) -> bool:
    """Whether it is a rate that was given; exactly one of the two must be."""
    if (rate is None) == (density is None):
        raise ValueError(f"give either rate or density, got rate={rate!r} and density={density!r}")
    return rate is not None


def rates_of_layers(rate, output_rate, names: tuple[str, ...], layout: Layout) -> dict[str, float]:
    """The rate of each prunable layer: the last one has half, unless it has been given one of its own."""
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
    """One number for each prunable layer; a dict must name each of them and no other."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    refuse_unknown(value, layout, argument)
    if set(value) != set(names):
        missing, extra = [n for n in names if n not in value], [n for n in value if n not in names]
        said = f"leaves out {', '.join(missing)}" if missing else f"names {', '.join(extra)}, which is frozen"
        raise ValueError(f"{argument} {said}: it must name every layer that is pruned, and no other; see frozen")
    return dict(value)


def by_rate(rate: float) -> Callable[[int], int]:
    """How many of those alive go at this rate."""
    check_rate(rate, "rate")
    return lambda alive: prune_count(rate, alive)


def to_density(density: float, names: tuple[str, ...], layout: Layout) -> Callable[[int], int]:
    """How many of those alive go, so that this share of all weights of these layers is left."""
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
