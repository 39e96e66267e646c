"""Schedules of pruning while training: functions of the number of completed steps, t = 0, 1, 2, ...

``GradualDensity`` says how much of the network is left, the others which share of the living weights is exchanged when
a mask moves. Each is a small frozen record that is called with t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpynet.fields import keep_count, keep_float


@dataclass(frozen=True)
class GradualDensity:
    """The density of Zhu and Gupta (2017): it falls fast at first and comes in softly.   Equation (P16)

    d_t = d_f + (d_i - d_f) (1 - (t - t_0) / T)^3 from t_0 to t_0 + T, constant outside. They write it for the sparsity
    1 - d.

    Parameters
    ----------
    final : d_f, the density at the end
    steps : T, how long it falls
    start : t_0
    initial : d_i

    Examples
    --------
    >>> falling = GradualDensity(0.2, steps=4, start=10)
    >>> [falling(t) for t in (0, 10, 12, 14, 99)]
    [1.0, 1.0, 0.3, 0.2, 0.2]
    """

    final: float
    steps: int
    start: int = 0
    initial: float = 1.0

    def __post_init__(self) -> None:
        keep_count(self, "steps")
        if isinstance(self.start, bool) or not isinstance(self.start, int) or self.start < 0:
            raise ValueError(f"start is {self.start!r}, but an integer >= 0 is needed")
        if not 0 <= keep_float(self, "final") <= keep_float(self, "initial") <= 1:
            raise ValueError(
                f"0 <= final <= initial <= 1 is needed, got final {self.final!r} and initial {self.initial!r}: "
                "they are densities, shares of weights left"
            )

    def __call__(self, t: int) -> float:
        if t <= self.start:
            return self.initial
        to_go = 1 - min((t - self.start) / self.steps, 1.0)
        return min(
            self.final + (self.initial - self.final) * to_go**3, self.initial
        )  # never up, not by a rounding error


@dataclass(frozen=True)
class ConstantDrop:
    """The same share at every move.   Equation (P17)

    Examples
    --------
    >>> ConstantDrop()(1000)
    0.3
    """

    initial: float = 0.3

    def __post_init__(self) -> None:
        _share(self)

    def __call__(self, t: int) -> float:
        return self.initial


@dataclass(frozen=True)
class CosineDrop:
    """initial / 2 * (1 + cos(pi t / T)): from initial to 0 along half a cosine, as RigL does.   Equation (P17)

    Examples
    --------
    >>> exchange = CosineDrop(steps=100)
    >>> [round(exchange(t), 9) for t in (0, 50, 100, 101)]
    [0.3, 0.15, 0.0, 0.0]
    """

    steps: int
    initial: float = 0.3

    def __post_init__(self) -> None:
        keep_count(self, "steps")
        _share(self)

    def __call__(self, t: int) -> float:
        return self.initial / 2 * (1 + math.cos(math.pi * min(t / self.steps, 1.0)))


@dataclass(frozen=True)
class PolynomialDrop:
    """initial * (1 - t / T)^power, and 0 after T.   Equation (P17)

    Examples
    --------
    >>> exchange = PolynomialDrop(steps=100, power=3)
    >>> [round(exchange(t), 9) for t in (0, 50, 100, 101)]
    [0.3, 0.0375, 0.0, 0.0]
    """

    steps: int
    power: float = 1.0
    initial: float = 0.3

    def __post_init__(self) -> None:
        keep_count(self, "steps")
        if not 0 < keep_float(self, "power") < math.inf:
            raise ValueError(f"power is {self.power!r}, but a finite number > 0 is needed")
        _share(self)

    def __call__(self, t: int) -> float:
        return self.initial * (1 - min(t / self.steps, 1.0)) ** self.power


def _share(schedule: object) -> None:
    if not 0 <= keep_float(schedule, "initial") <= 1:
        raise ValueError(f"initial is {schedule.initial!r}, but 0 <= initial <= 1 is needed: a share of living weights")
