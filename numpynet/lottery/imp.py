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
from numpynet.lottery.arms import Control, Given
from numpynet.lottery.rewinding import Init, Late, Rewinding, RewindPoint, rewind_point, rewound
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import weight_density
from numpynet.pruning.compact_training import train_compacted
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
    keep_at: int | None = None  # the step whose parameters are to be kept for late rewinding


class Trained(NamedTuple):
    """A training that is done."""

    theta: Parameters  # at the last step; pruned weights are 0
    weight_mask: Parameters
    history: list[Record]
    point: RewindPoint | None = None  # where it was at the step that was to be kept

    def final(self, monitor: str) -> list[float]:
        """The accuracy of each replicate on a monitored split after the last step.

        Parameters
        ----------
        monitor : name of the split

        Returns
        -------
        R shares of right answers

        Examples
        --------
        >>> last = Record(5, 1.0, None, None, {"test": [0.4, 0.5]}, {"test": [0.9, 0.8]})
        >>> Trained(None, None, [last]).final("test")
        [0.9, 0.8]
        """
        return self.history[-1].accuracy[monitor]


Trainer = Callable[[Training], Trained]
Prune = Callable[[Parameters, Parameters, Parameters], Parameters]  # (theta_0, theta_T, mask) -> new mask


class Level(NamedTuple):
    """One density of the ladder: the mask, and everything that was trained under it."""

    number: int  # 0 is the dense net
    weight_mask: Parameters  # of the ticket; all replicates
    trained: dict[Arm, Trained]  # the ticket first

    @property
    def density(self) -> float:
        """Share of the weights that is left; counts are exact, so it is the same for all replicates."""
        return weight_density(self.weight_mask)[0]


def iterative_pruning(
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    *,
    seeds: Sequence[int],
    rounds: int,
    prune: Prune,
    controls: Mapping[str, Control] | None = None,
    draws: int | Mapping[str, int] = 1,
    rewinding: Rewinding = Init(),  # noqa: B008  frozen, without state
    dense_controls: bool = False,
    monitors: Mapping[str, Split] | None = None,
    trainer: Trainer | None = None,
) -> Iterator[Level]:
    """Prune ``rounds`` times, rewinding each time, and train the controls beside every ticket; yield level by level.

    All trainings of a replicate see the same order of the data. The ticket starts where ``rewinding`` says, by default at
    ``mask * theta_0`` with a fresh optimizer (Equation (L4)); a control starts at the same step from what its function
    gives (Equation (L5)), always with a fresh optimizer. The next mask is cut from the weights of the ticket after its
    last step.

    Parameters
    ----------
    net, plan, train_split : what is trained, how, and on what
    seeds : one for each replicate; all replicates are trained in one stack
    rounds : how often to prune
    prune : (theta_0, theta_T, mask) -> mask, for instance ``prune_rule(0.2)`` of ``numpynet.lottery.prune_rules``
    controls : name -> function, for instance ``{"reinit": arms.reinit}``
    draws : how often each control is drawn and trained; one number, or one for each name
    rewinding : where the survivors start again, a record of ``numpynet.lottery.rewinding``
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

    References
    ----------
    Frankle and Carbin (2019).

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.lottery.prune_rules import prune_rule
    >>> data, net, plan = load_digits(), MLP((64, 20, 10)), TrainingPlan(epochs=1, schedule=0.1)
    >>> levels = iterative_pruning(net, plan, data.train, seeds=[0, 1], rounds=1, prune=prune_rule(0.5))
    >>> [round(level.density, 4) for level in levels]                    # (640 + 150) / 1480
    [1.0, 0.5338]
    """
    seeds = list(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {seeds}, but one for each replicate is needed, all different")
    controls = dict(controls or {})
    draws = dict(draws) if isinstance(draws, Mapping) else dict.fromkeys(controls, draws)
    if set(draws) != set(controls):
        raise ValueError(f"draws names {', '.join(draws)}, but the controls are {', '.join(controls)}")
    for name, count, low in (("rounds", rounds, 0), *((f"draws of {name}", n, 1) for name, n in draws.items())):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < low:
            raise ValueError(f"{name} is {count!r}, but an integer >= {low} is needed")
    return _levels(
        net, plan, train_split, seeds, rounds, prune, controls, draws, rewinding, dense_controls,
        trainer or Monitored(train_split, monitors or {}),
    )  # fmt: skip


def _levels(
    net, plan, train_split, seeds, rounds, prune, controls, draws, rewinding, dense_controls, trainer
) -> Iterator[Level]:
    theta_0 = net.init([streams(s).init for s in seeds], initializer=plan.initializer, dtype=plan.dtype)
    weight_mask = Parameters.ones(net.layout, replicates=(len(seeds),), dtype=plan.dtype)
    late = isinstance(rewinding, Late) and rewinding.step > 0
    point, theta_T = None, theta_0

    def start(how: Rewinding, theta: Parameters, mask: Parameters) -> TrainingState:
        """The training that begins with these weights, wherever in the plan."""
        if how == Init():
            return begin(net, plan, train_split, seed=seeds, theta_0=theta, weight_mask=mask)
        here = None if point is None else point._replace(theta=theta)
        return rewound(
            how, net, plan, train_split, seed=seeds, weight_mask=mask, theta_0=theta, point=here, theta_T=theta
        )

    def control(make: Control, origin: Parameters, mask: Parameters, draw: int) -> TrainingState:
        given = Given(net, plan, origin, mask, seeds, draw, dense.theta)
        return start(again_fresh if number else Init(), *make(given))

    again_fresh = Late(rewinding.step) if isinstance(rewinding, Late) else rewinding
    for number in range(rounds + 1):
        if number == 0:
            origin, how, keep_at = theta_0, Init(), rewinding.step if late else None
        else:
            origin = _origin(rewinding, theta_0, point, theta_T)
            how, keep_at = rewinding, None
        ticket = trainer(Training(number, TICKET, partial(start, how, origin, weight_mask), keep_at))
        if number == 0:
            dense, point = ticket, ticket.point
        trained = {TICKET: ticket}
        if number > 0 or dense_controls:
            for name, make in controls.items():
                for draw in range(draws[name]):
                    arm = Arm(name, draw)
                    trained[arm] = trainer(Training(number, arm, partial(control, make, origin, weight_mask, draw)))
        yield Level(number, weight_mask, trained)
        if number < rounds:
            last = plan.total_steps(len(train_split.x))
            ranked_at = ticket.history[-1].step if ticket.history else last  # who keeps no history vouches for it
            if ranked_at != last:
                raise RuntimeError(f"level {number} was trained to step {ranked_at}, but is ranked at step {last}")
            theta_T = ticket.theta
            weight_mask = prune(theta_0, theta_T, weight_mask)


def _origin(rewinding: Rewinding, theta_0: Parameters, point: RewindPoint | None, theta_T: Parameters) -> Parameters:
    """The weights that the survivors go back to."""
    if isinstance(rewinding, (Init, Late)):
        return theta_0 if point is None else point.theta
    return theta_T


class Monitored:
    """The plain trainer: from the first step to the last, in memory.

    Parameters
    ----------
    train_split, monitors : see ``numpynet.training.train``
    on_step : called with the number of completed steps of the present training
    compact : whether to train without the units that nobody hears, see ``numpynet.pruning.compact_training``

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
        compact: bool = False,
    ) -> None:
        self.train_split = train_split
        self.train = partial(train_compacted if compact else train, monitors=dict(monitors), on_step=on_step)

    def __call__(self, training: Training) -> Trained:
        state, point = training.begin(), None
        if training.keep_at is not None:
            for _ in self.train(state, self.train_split, until=training.keep_at):
                pass
            point = rewind_point(state)
        for _ in self.train(state, self.train_split):
            pass
        return Trained(state.theta, state.weight_mask, state.history, point)
