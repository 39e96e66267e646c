"""Iterative magnitude pruning with rewinding, beside its first control.

Train, remove the smallest weights, put the survivors back to where they started, train again, and so on. What is left
is a lottery ticket if it still trains as well as the whole net. The control has the same mask but fresh initial
weights: where the ticket beats it, the weights that it started from did matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Dataset
from numpynet.equations.masks import prune_count
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import magnitude_mask, weight_density
from numpynet.seeding import streams
from numpynet.training import begin, train


class Level(NamedTuple):
    """One density of the hunt; a list holds one number for each replicate."""

    density: float  # share of weights left
    ticket: list[float]  # test accuracy of mask * theta_0, trained
    reinit: list[float]  # test accuracy of mask * a fresh draw, trained
    weight_mask: Parameters  # of all replicates


def hunt(
    net: MLP,
    plan: TrainingPlan,
    data: Dataset,
    *,
    seeds: Sequence[int],
    rate: float,
    rounds: int,
    on_training: Callable[[int, int], None] | None = None,
) -> list[Level]:
    """Prune ``rounds`` times, rewinding to theta_0 each time, and train the control beside every ticket.

    Each level starts from ``theta = mask * theta_0`` with a fresh optimizer and the same order of the data
    (Equation (L4)); the control of Equation (L5) starts from ``mask * theta_0'``.

    Parameters
    ----------
    net, plan, data : what is trained, how, and on what
    seeds : one for each replicate; all replicates are trained in one stack
    rate : share of the survivors removed per round; half of it in the output layer
    rounds : how often to prune
    on_training : called with (trainings done, trainings in all)

    Returns
    -------
    rounds + 1 levels, the dense net first.

    Raises
    ------
    TypeError, ValueError
        Before any training: there is no seed, or one twice, the rate is not in [0, 1], rounds is no integer >= 0, or
        net, plan and data do not fit each other.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> levels = hunt(MLP((64, 20, 10)), TrainingPlan(epochs=1, schedule=0.1), load_digits(), seeds=[0, 1], rate=0.5, rounds=1)
    >>> [round(level.density, 4) for level in levels]                    # (640 + 150) / 1480
    [1.0, 0.5338]
    """
    seeds = list(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {seeds}, but one for each replicate is needed, all different")
    if isinstance(rounds, bool) or not isinstance(rounds, (int, np.integer)) or rounds < 0:
        raise ValueError(f"rounds is {rounds!r}, but an integer >= 0 is needed")
    prune_count(rate, 0)  # raises now, and not after the first training, unless it is a number in [0, 1]
    theta_0 = net.init([streams(s).init for s in seeds], initializer=plan.initializer, dtype=plan.dtype)
    fresh = net.init([streams(s).reinit for s in seeds], initializer=plan.initializer, dtype=plan.dtype)
    weight_mask = Parameters.ones(net.layout, replicates=(len(seeds),), dtype=plan.dtype)
    levels: list[Level] = []
    done, total = 0, 2 * (rounds + 1)

    def trained(start: Parameters) -> tuple[Parameters, list[float]]:
        nonlocal done
        state = begin(net, plan, data.train, seed=seeds, theta_0=start, weight_mask=weight_mask)
        for record in train(state, data.train, monitors={"test": data.test}):
            last = record
        done += 1
        if on_training is not None:
            on_training(done, total)
        return state.theta, last.accuracy["test"]

    for level in range(rounds + 1):
        theta, ticket = trained(theta_0)
        _, reinit = trained(fresh)
        density = weight_density(weight_mask)[0]  # counts are exact, so it is the same for all replicates
        levels.append(Level(density, ticket, reinit, weight_mask))
        if level < rounds:
            weight_mask = magnitude_mask(theta, weight_mask, rate=rate)
    return levels
