"""Where the survivors start again after a round of pruning: four answers, one record for each.

    Init()                    theta = mask * theta_0       the lottery ticket
    Late(step=k)              theta = mask * theta_k       late rewinding, for nets whose tickets need a few steps first
    LearningRate(step=t)      theta = mask * theta_T       the trained weights stay, the learning rates of t, ..., T-1 rerun
    FineTune(steps=s)         theta = mask * theta_T       s more steps at the last learning rate

Every retraining ends at step T of the plan, and at each of its steps it sees the examples and the dropout masks which the
first training saw at that step. So the four differ in what their names say, and in nothing else: ``Late(step=0)`` is
``Init()``, and at a constant learning rate ``LearningRate(step=t)`` is ``FineTune(steps=T - t)``, bit for bit.

The optimizer starts afresh, except for ``Late(k, optimizer="saved")``, which gives the survivors the memory of step k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.fields import keep_count
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.schedules import Constant
from numpynet.training import TrainingState, begin


@dataclass(frozen=True)
class Init:
    """Back to the initial weights: theta = mask * theta_0, everything else anew.   Equation (L4)

    Examples
    --------
    >>> Init()
    Init()
    """


@dataclass(frozen=True)
class Late:
    """Back to step k of the first training: theta = mask * theta_k, then T - k steps.   Equation (L14)

    Parameters
    ----------
    step : k; 0 is ``Init``
    optimizer : "fresh" starts the optimizer's memory and count of steps at 0; "saved" takes those of step k, masked

    Examples
    --------
    >>> Late(200)
    Late(step=200, optimizer='fresh')
    """

    step: int
    optimizer: str = "fresh"

    def __post_init__(self) -> None:
        _keep_step(self)
        if self.optimizer not in ("fresh", "saved"):
            raise ValueError(f"optimizer is {self.optimizer!r}, but 'fresh' or 'saved' is needed")


@dataclass(frozen=True)
class LearningRate:
    """Learning-rate rewinding (Renda et al. 2020): theta = mask * theta_T, the schedule from t again.   Equation (L15)

    Parameters
    ----------
    step : t, where the schedule goes on; 0 reruns all of it

    Examples
    --------
    >>> LearningRate()
    LearningRate(step=0)
    """

    step: int = 0

    def __post_init__(self) -> None:
        _keep_step(self)


@dataclass(frozen=True)
class FineTune:
    """The classical control: theta = mask * theta_T, a few steps at the last learning rate.   Equation (L16)

    Parameters
    ----------
    steps : how many, at most T

    Examples
    --------
    >>> FineTune(500)
    FineTune(steps=500)
    """

    steps: int

    def __post_init__(self) -> None:
        keep_count(self, "steps")


Rewinding = Init | Late | LearningRate | FineTune


class RewindPoint(NamedTuple):
    """What late rewinding needs of step k of the first training; copies, which no later step changes."""

    step: int  # k
    theta: Parameters  # theta_k
    slots: dict[str, np.ndarray]  # what the optimizer remembered
    optimizer_step: int  # and how many steps it had made


def rewind_point(state: TrainingState) -> RewindPoint:
    """Keep the present of a training, to rewind to it later.

    Parameters
    ----------
    state : of a training, at any step; it is not changed

    Returns
    -------
    the point, which shares no memory with the state

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.training import train
    >>> data = load_digits()
    >>> state = begin(MLP((64, 30, 10)), TrainingPlan(epochs=1, schedule=0.1), data.train)
    >>> for record in train(state, data.train, until=5):
    ...     pass
    >>> point = rewind_point(state)
    >>> for record in train(state, data.train):                                           # to the end
    ...     pass
    >>> point.step, state.step
    (5, 23)
    """
    slots = {name: slot.copy() for name, slot in state.optimizer.slots.items()}
    return RewindPoint(state.step, state.theta.copy(), slots, state.optimizer.step)


def rewound(
    rewinding: Rewinding,
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    *,
    seed: int | Sequence[int],
    weight_mask: Parameters | None,
    theta_0: Parameters | None = None,
    point: RewindPoint | None = None,
    theta_T: Parameters | None = None,
    draw: int = 0,
) -> TrainingState:
    """Prepare the training of what a round of pruning has left.   Equations (L4), (L14), (L15), (L16)

    Parameters
    ----------
    rewinding : one of the four records of this module
    net, plan, train_split, seed : as in the first training
    weight_mask : of the survivors; None for a dense net
    theta_0 : needed by ``Init``
    point : of ``rewind_point`` at step k; needed by ``Late``, unless k is 0 and there is a theta_0
    theta_T : the trained parameters that were ranked; needed by ``LearningRate`` and ``FineTune``
    draw : which order of the examples and which dropout masks, see ``begin``; 0 is that of the first training

    Returns
    -------
    A state at step 0, k, t or T - s, for ``train``. It shares no memory with what was handed in.

    Raises
    ------
    TypeError, ValueError
        What this kind of rewinding starts from is missing or belongs to another step or network; the step is beyond the
        end of the plan.

    References
    ----------
    Frankle et al. (2020) for ``Late``; Renda et al. (2020) for ``LearningRate`` and ``FineTune``.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> net, plan, data = MLP((64, 30, 10)), TrainingPlan(epochs=2, schedule=0.1), load_digits()
    >>> theta_0 = net.init(np.random.default_rng(0))
    >>> rewound(Init(), net, plan, data.train, seed=0, weight_mask=None, theta_0=theta_0).step
    0
    >>> rewound(FineTune(10), net, plan, data.train, seed=0, weight_mask=None, theta_T=theta_0).step       # T = 46
    36
    """
    total = plan.total_steps(len(train_split.x))
    step, schedule = 0, plan.schedule
    if isinstance(rewinding, Init) or (isinstance(rewinding, Late) and rewinding.step == 0 and point is None):
        start = _needed(theta_0, "theta_0", rewinding)
    elif isinstance(rewinding, Late):
        step, start = rewinding.step, _needed(point, "point", rewinding).theta
        if point.step != step:
            raise ValueError(f"point was kept at step {point.step}, but {rewinding} goes back to step {step}")
    elif isinstance(rewinding, LearningRate):
        step, start = rewinding.step, _needed(theta_T, "theta_T", rewinding)
    elif isinstance(rewinding, FineTune):
        step, start = total - rewinding.steps, _needed(theta_T, "theta_T", rewinding)
        schedule = Constant(plan.schedule(total - 1))
    else:
        raise TypeError(f"rewinding must be Init(), Late(k), LearningRate(t) or FineTune(s), got {rewinding!r}")
    if not 0 <= step < total:
        raise ValueError(f"{rewinding} does not fit a plan of {total} steps: at least one must be left, at most all")
    state = begin(
        net,
        replace(plan, schedule=schedule),
        train_split,
        seed=seed,
        theta_0=start,
        weight_mask=weight_mask,
        step=step,
        draw=draw,
    )
    if isinstance(rewinding, Late) and rewinding.optimizer == "saved" and point is not None:
        _remember(state, point)
    return state


def _remember(state: TrainingState, point: RewindPoint) -> None:
    """Give the optimizer the memory of the rewind point, without what it remembers of pruned weights."""
    if set(point.slots) != set(state.optimizer.slots):
        raise ValueError(
            f"point was kept with another optimizer: it holds {sorted(point.slots)}, "
            f"but {type(state.plan.optimizer).__name__} needs {sorted(state.optimizer.slots)}"
        )
    for name, slot in state.optimizer.slots.items():
        slot[...] = point.slots[name]
    state.optimizer.step = point.optimizer_step
    if state.weight_mask is not None:
        state.optimizer.impose(state.weight_mask)


def _needed(value, name: str, rewinding: Rewinding):
    if value is None:
        raise ValueError(f"{rewinding} starts from {name}, which is missing")
    return value


def _keep_step(record: Late | LearningRate) -> None:
    if isinstance(record.step, bool) or not isinstance(record.step, (int, np.integer)) or record.step < 0:
        raise ValueError(f"step is {record.step!r}, but an integer >= 0 is needed")
    object.__setattr__(record, "step", int(record.step))
