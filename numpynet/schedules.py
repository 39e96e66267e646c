"""Learning-rate schedules: functions of the number of completed steps, t = 0, 1, 2, ...

Each is a small frozen record that is called with t, so that a plan can be printed, compared and stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from numpynet.fields import keep_count, keep_float

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every step.

    Examples
    --------
    >>> Constant(0.01)(1000)
    0.01
    """

    lr: float

    def __post_init__(self) -> None:
        _positive(self, "lr")

    def __call__(self, t: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step:
    """lr * factor^floor(t / every): falls at once, every so many steps.   Equation (O10)

    Examples
    --------
    >>> [Step(1.0, factor=0.1, every=2)(t) for t in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """

    lr: float
    factor: float
    every: int

    def __post_init__(self) -> None:
        _positive(self, "lr", "factor")
        keep_count(self, "every")

    def __call__(self, t: int) -> float:
        return self.lr * self.factor ** (t // self.every)


@dataclass(frozen=True)
class Exponential:
    """lr * factor^t.   Equation (O11)

    Examples
    --------
    >>> Exponential(1.0, factor=0.5)(3)
    0.125
    """

    lr: float
    factor: float

    def __post_init__(self) -> None:
        _positive(self, "lr", "factor")

    def __call__(self, t: int) -> float:
        return self.lr * self.factor**t


@dataclass(frozen=True)
class Cosine:
    """From lr at t = 0 down half a cosine to lr_min at t = steps, and lr_min from there on.   Equation (O12)

    Examples
    --------
    >>> [Cosine(1.0, steps=10)(t) for t in (0, 5, 10, 11)]
    [1.0, 0.5, 0.0, 0.0]
    """

    lr: float
    steps: int
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "lr")
        keep_count(self, "steps")
        if not 0 <= keep_float(self, "lr_min") <= self.lr:
            raise ValueError(f"lr_min is {self.lr_min!r}, but 0 <= lr_min <= lr = {self.lr!r} is needed")

    def __call__(self, t: int) -> float:
        t = min(t, self.steps)
        return self.lr_min + 0.5 * (self.lr - self.lr_min) * (1 + math.cos(math.pi * t / self.steps))


@dataclass(frozen=True)
class Warmup:
    """Linear warm-up in front of another schedule: base(0) (t + 1) / steps, then base(t - steps).   Equation (O13)

    Examples
    --------
    >>> [Warmup(4, Constant(1.0))(t) for t in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    steps: int
    base: Schedule

    def __post_init__(self) -> None:
        keep_count(self, "steps")
        if isinstance(self.base, type) or not callable(self.base):
            raise TypeError(f"base must be a schedule such as Constant(0.1), got {self.base!r}")

    def __call__(self, t: int) -> float:
        return self.base(0) * (t + 1) / self.steps if t < self.steps else self.base(t - self.steps)


def _positive(schedule: object, *names: str) -> None:
    for name in names:
        value = keep_float(schedule, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}, but a finite number > 0 is needed")
