"""The arms of an experiment by name: what a control starts from, given what the ticket starts from.

The functions of ``numpynet.lottery.controls`` know masks and weights; here each gets the streams of its own that a seed
and a draw give it, so that a control can be repeated alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from numpynet.lottery import controls
from numpynet.lottery.controls import Start, control_rngs
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import magnitude


class Given(NamedTuple):
    """What a control is made from."""

    net: MLP
    plan: TrainingPlan
    theta: Parameters  # what the ticket starts from: theta_0, or theta_k with late rewinding
    weight_mask: Parameters  # of the ticket
    seeds: Sequence[int]  # of the replicates
    draw: int
    dense: Parameters  # the trained weights of the dense net


Control = Callable[[Given], Start]


def reinit(given: Given) -> Start:
    """The ticket's mask on fresh weights, biases too.   Equation (L5)

    Parameters
    ----------
    given : what the control is made from

    Returns
    -------
    start, a replicate for each seed

    Examples
    --------
    >>> net, plan = MLP((2, 3)), TrainingPlan(steps=1)
    >>> ones = Parameters.ones(net.layout, replicates=(1,))
    >>> start = reinit(Given(net, plan, ones, ones, [7], 0, ones))
    >>> bool((start.theta_0["W1"] != 1).all()), start.weight_mask is ones
    (True, True)
    """
    return Start(_fresh(given), given.weight_mask)


def _fresh(given: Given) -> Parameters:
    rngs = control_rngs(given.seeds, "reinit", given.draw)
    return controls.reinitialised(given.net, rngs, initializer=given.plan.initializer, dtype=given.plan.dtype)


def _rngs(given: Given, purpose: str):
    return control_rngs(given.seeds, purpose, given.draw)


def _permuted_init(given: Given) -> Start:
    return Start(controls.permuted_init(given.theta, _rngs(given, "permute")), given.weight_mask)


def _reshuffled(given: Given) -> Start:
    return Start(controls.reshuffled(given.theta, given.weight_mask, _rngs(given, "permute")), given.weight_mask)


def _shuffled_mask(given: Given) -> Start:
    return Start(given.theta, controls.shuffled_mask(given.weight_mask, _rngs(given, "shuffle")))


def _random_ticket(given: Given) -> Start:
    return Start(_fresh(given), controls.shuffled_mask(given.weight_mask, _rngs(given, "shuffle")))


def _global_shuffle(given: Given) -> Start:
    return Start(given.theta, controls.globally_shuffled_mask(given.weight_mask, _rngs(given, "shuffle")))


def _uniform(given: Given) -> Start:
    return Start(given.theta, controls.uniform_mask(given.weight_mask, _rngs(given, "shuffle")))


def _one_shot(given: Given) -> Start:
    return Start(given.theta, controls.one_shot_mask(magnitude(given.dense), given.weight_mask))


CONTROLS: dict[str, Control] = {
    "reinit": reinit,
    "permuted_init": _permuted_init,
    "reshuffled": _reshuffled,
    "shuffled_mask": _shuffled_mask,
    "random_ticket": _random_ticket,
    "global_shuffle": _global_shuffle,
    "uniform": _uniform,
    "one_shot": _one_shot,
}
NOT_RANDOM = frozenset({"one_shot"})  # one draw is all there is
WHAT = {
    "reinit": "same mask, fresh weights",
    "permuted_init": "same mask, initial weights permuted within the layer",
    "reshuffled": "same mask, surviving initial weights permuted among the survivors",
    "shuffled_mask": "mask permuted within each layer, initial weights",
    "random_ticket": "mask permuted within each layer, fresh weights",
    "global_shuffle": "mask permuted over all layers, initial weights",
    "uniform": "the same density in every layer, initial weights",
    "one_shot": "as many weights, cut at once after the dense training",
}
