"""Iterative magnitude pruning: train, remove the smallest weights, put the survivors back to where they started, again.

What is left is a lottery ticket if it still trains as well as the whole net. Controls are trained beside every ticket
and differ from it in one thing alone: the same mask on fresh initial weights, for instance. Where the ticket beats that
control, the weights that it started from did matter.

``iterative_pruning`` is a generator, level by level, and holds the experiment's order and nothing else. Who trains is an
argument: a run folder passes a trainer that saves what it does, and that does not train again what it has saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.masks import prune_count
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import magnitude_mask, weight_density
from numpynet.seeding import streams
from numpynet.training import Record, TrainingState, begin, train


class Arm(NamedTuple):
    """Which training of a level: the ticket, or a control and which of its draws."""

    name: str
    draw: int = 0

    def __str__(self) -> str:
        return self.name if self.name == "ticket" else f"{self.name}_{self.draw}"


TICKET = Arm("ticket")


class Training(NamedTuple):
    """A training that is to be done, all replicates in one stack."""

    level: int
    arm: Arm
    begin: Callable[[], TrainingState]  # makes its state at the first step


class Trained(NamedTuple):
    """A training that is done."""

    theta: Parameters  # at the last step; pruned weights are 0
    weight_mask: Parameters
    history: list[Record]

    def final(self, monitor: str) -> list[float]:
        """The accuracy of each replicate on a monitored split after the last step."""
        return self.history[-1].accuracy[monitor]


Trainer = Callable[[Training], Trained]
Prune = Callable[[Parameters, Parameters, Parameters], Parameters]  # (theta_0, theta_T, mask) -> new mask
# (theta_0, mask, seeds, draw) -> start weights and mask of a control; see ``reinit`` below
Control = Callable[[MLP, TrainingPlan, Parameters, Parameters, Sequence[int], int], tuple[Parameters, Parameters]]


class Level(NamedTuple):
    """One density of the ladder: the mask, and everything that was trained under it."""

    number: int  # 0 is the dense net
    weight_mask: Parameters  # of the ticket; all replicates
    trained: dict[Arm, Trained]  # the ticket first

    @property
    def density(self) -> float:
        """Share of the weights that is left; counts are exact, so it is the same for all replicates."""
        return weight_density(self.weight_mask)[0]


def magnitude_pruning(rate: float, *, output_rate: float | None = None) -> Prune:
    """Return the rule of the paper: in every layer the given share of the survivors goes, those of smallest |W_T|.

    Parameters
    ----------
    rate : share of the survivors removed per round
    output_rate : that of the last layer; None for half of ``rate``

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([1.0, -3.0, 2.0, 4.0, 0.0]), Layout.of_sizes((4, 1)))
    >>> magnitude_pruning(0.5)(theta, theta, Parameters.ones(theta.layout))["W1"].ravel()   # one layer: it is the last
    array([0., 1., 1., 1.], dtype=float32)
    """
    prune_count(rate, 0)  # raises now, and not after the first training, unless it is a number in [0, 1]
    if output_rate is not None:
        prune_count(output_rate, 0)
    return partial(_magnitude_pruning, rate=rate, output_rate=output_rate)


def _magnitude_pruning(theta_0, theta_T, weight_mask, *, rate, output_rate) -> Parameters:
    return magnitude_mask(theta_T, weight_mask, rate=rate, output_rate=output_rate)


def iterative_pruning(
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    *,
    seeds: Sequence[int],
    rounds: int,
    prune: Prune,
    controls: Mapping[str, Control] | None = None,
    draws: int = 1,
    dense_controls: bool = False,
    monitors: Mapping[str, Split] | None = None,
    trainer: Trainer | None = None,
) -> Iterator[Level]:
    """Prune ``rounds`` times, rewinding each time, and train the controls beside every ticket; yield level by level.

    Every training of a replicate has a fresh optimizer and the same order of the data. The ticket starts from
    ``mask * theta_0`` (Equation (L4)), a control from what its function gives (Equation (L5)). The next mask is cut
    from the weights of the ticket after its last step.

    Parameters
    ----------
    net, plan, train_split : what is trained, how, and on what
    seeds : one for each replicate; all replicates are trained in one stack
    rounds : how often to prune
    prune : (theta_0, theta_T, mask) -> mask, for instance ``magnitude_pruning(0.2)``
    controls : name -> function, for instance ``{"reinit": reinit}``
    draws : how often each control is drawn and trained
    dense_controls : whether level 0 has controls too; those of the dense net say how much initial weights matter at all
    monitors : name -> split to evaluate for each record
    trainer : trains; None for ``Monitored(train_split, monitors)``

    Yields
    ------
    Level : rounds + 1 of them, the dense net first

    Raises
    ------
    TypeError, ValueError
        Before any training: there is no seed, or one twice, rounds is no integer >= 0, or net, plan and data do not fit
        each other.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> data, net, plan = load_digits(), MLP((64, 20, 10)), TrainingPlan(epochs=1, schedule=0.1)
    >>> levels = iterative_pruning(net, plan, data.train, seeds=[0, 1], rounds=1, prune=magnitude_pruning(0.5))
    >>> [round(level.density, 4) for level in levels]                    # (640 + 150) / 1480
    [1.0, 0.5338]
    """
    seeds = list(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {seeds}, but one for each replicate is needed, all different")
    for name, count, low in (("rounds", rounds, 0), ("draws", draws, 1)):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < low:
            raise ValueError(f"{name} is {count!r}, but an integer >= {low} is needed")
    return _levels(
        net, plan, train_split, seeds, rounds, prune, dict(controls or {}), draws, dense_controls,
        trainer or Monitored(train_split, monitors or {}),
    )  # fmt: skip


def _levels(net, plan, train_split, seeds, rounds, prune, controls, draws, dense_controls, trainer) -> Iterator[Level]:
    theta_0 = net.init([streams(s).init for s in seeds], initializer=plan.initializer, dtype=plan.dtype)
    weight_mask = Parameters.ones(net.layout, replicates=(len(seeds),), dtype=plan.dtype)

    def start(theta: Parameters, mask: Parameters) -> TrainingState:
        return begin(net, plan, train_split, seed=seeds, theta_0=theta, weight_mask=mask)

    def control(function: Control, mask: Parameters, draw: int) -> TrainingState:
        return start(*function(net, plan, theta_0, mask, seeds, draw))

    for number in range(rounds + 1):
        ticket = trainer(Training(number, TICKET, partial(start, theta_0, weight_mask)))
        trained = {TICKET: ticket}
        if number > 0 or dense_controls:
            for name, function in controls.items():
                for draw in range(draws):
                    arm = Arm(name, draw)
                    trained[arm] = trainer(Training(number, arm, partial(control, function, weight_mask, draw)))
        yield Level(number, weight_mask, trained)
        if number < rounds:
            weight_mask = prune(theta_0, ticket.theta, weight_mask)


class Monitored:
    """The plain trainer: from the first step to the last, in memory.

    Parameters
    ----------
    train_split, monitors : see ``numpynet.training.train``
    on_step : called with the number of completed steps of the present training

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> data, net, plan = load_digits(), MLP((64, 10)), TrainingPlan(steps=3, schedule=0.1)
    >>> trainer = Monitored(data.train, {"test": data.test})
    >>> trained = trainer(Training(0, TICKET, lambda: begin(net, plan, data.train, seed=[0, 1])))
    >>> trained.history[-1].step, len(trained.final("test"))
    (3, 2)
    """

    def __init__(
        self,
        train_split: Split,
        monitors: Mapping[str, Split],
        *,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        self.train_split, self.monitors, self.on_step = train_split, dict(monitors), on_step

    def __call__(self, training: Training) -> Trained:
        state = training.begin()
        for _ in train(state, self.train_split, monitors=self.monitors, on_step=self.on_step):
            pass
        return Trained(state.theta, state.weight_mask, state.history)


def reinit(
    net: MLP, plan: TrainingPlan, theta_0: Parameters, weight_mask: Parameters, seeds: Sequence[int], draw: int
) -> tuple[Parameters, Parameters]:
    """The ticket's mask on a fresh draw of the initial law, biases too.   Equation (L5)

    Examples
    --------
    >>> net, plan = MLP((2, 3)), TrainingPlan(steps=1)
    >>> ones = Parameters.ones(net.layout, replicates=(1,))
    >>> theta, mask = reinit(net, plan, ones, ones, [7], 0)
    >>> bool((theta["W1"] != 1).all()), mask is ones
    (True, True)
    """
    if draw:
        raise ValueError(f"draw is {draw}, but there is one fresh draw")
    return net.init([streams(s).reinit for s in seeds], initializer=plan.initializer, dtype=plan.dtype), weight_mask
