"""Schedules of the keep probability: functions of the number of completed steps, t = 0, 1, 2, ...

Dropout need not be equally strong all the time. Early dropout steadies a net that is still small in what it has learned,
late dropout lets it fit first, a curriculum begins without and becomes harder. Each schedule is a frozen record that is
called with t and returns q(t), to draw the masks of step t with and to divide by.

A mask is 1[u < q]; with the same uniform numbers u a falling q gives masks that only lose units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numpynet.equations.checks import check_one_keep_prob

KeepSchedule = Callable[[int], float]


@dataclass(frozen=True)
class Curriculum:
    """q(t) = (1 - q_end) e^(-gamma t) + q_end: all units at t = 0, then fewer and fewer.   Equation (D24)

    Morerio et al. (2017).

    Parameters
    ----------
    keep_prob : q_end, where it goes to
    gamma : how fast, per step; 10 / steps comes within 5e-5 of the end

    Examples
    --------
    >>> [round(Curriculum(0.8, gamma=0.1)(t), 4) for t in (0, 10, 100)]
    [1.0, 0.8736, 0.8]
    """

    keep_prob: float
    gamma: float

    def __post_init__(self) -> None:
        _keep_prob(self, "keep_prob")
        if isinstance(self.gamma, bool) or not isinstance(self.gamma, (int, float, np.floating, np.integer)):
            raise TypeError(f"gamma must be a number, got {type(self.gamma).__name__}")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma is {self.gamma!r}, but a finite number > 0 is needed")
        object.__setattr__(self, "gamma", float(self.gamma))

    def __call__(self, t: int) -> float:
        return (1 - self.keep_prob) * math.exp(-self.gamma * t) + self.keep_prob


@dataclass(frozen=True)
class Early:
    """Dropout in the first steps only: q for t < steps, then 1.   Equation (D25)

    Liu et al. (2023).

    Examples
    --------
    >>> [Early(0.8, steps=2)(t) for t in range(4)]
    [0.8, 0.8, 1.0, 1.0]
    """

    keep_prob: float
    steps: int

    def __post_init__(self) -> None:
        _keep_prob(self, "keep_prob")
        _steps(self)

    def __call__(self, t: int) -> float:
        return self.keep_prob if t < self.steps else 1.0


@dataclass(frozen=True)
class Late:
    """No dropout in the first steps: 1 for t < steps, then q. The other half of ``Early``.   Equation (D25)

    Examples
    --------
    >>> [Late(0.8, steps=2)(t) for t in range(4)]
    [1.0, 1.0, 0.8, 0.8]
    """

    keep_prob: float
    steps: int

    def __post_init__(self) -> None:
        _keep_prob(self, "keep_prob")
        _steps(self)

    def __call__(self, t: int) -> float:
        return 1.0 if t < self.steps else self.keep_prob


@dataclass(frozen=True)
class Linear:
    """From one keep probability to another along a line: start at t = 0, end from t = steps on.   Equation (D25)

    ``Linear(0.8, 1.0, steps)`` is linear early dropout, ``Linear(1.0, 0.8, steps)`` linear late dropout.

    Examples
    --------
    >>> [round(Linear(0.8, 1.0, steps=4)(t), 3) for t in range(6)]
    [0.8, 0.85, 0.9, 0.95, 1.0, 1.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _keep_prob(self, "start")
        _keep_prob(self, "end")
        _steps(self)

    def __call__(self, t: int) -> float:
        return self.start + (self.end - self.start) * t / self.steps if t < self.steps else self.end


def _keep_prob(schedule: object, name: str) -> None:
    object.__setattr__(schedule, name, check_one_keep_prob(getattr(schedule, name), name))


def _steps(schedule: object) -> None:
    steps = schedule.steps
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"steps must be an integer >= 1, got {type(steps).__name__}")
    if steps < 1:
        raise ValueError(f"steps is {steps}, but an integer >= 1 is needed")
    object.__setattr__(schedule, "steps", int(steps))
