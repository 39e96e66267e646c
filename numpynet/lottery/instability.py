"""Instability analysis: does the noise of training lead two copies of one net to the same place?

Train to step k, make two copies, and let them see the examples (and draw their dropout masks) in different orders from
there on. Then walk along the straight line from one end to the other (Frankle et al. 2020):

    E(alpha) = error of (1 - alpha) theta_A + alpha theta_B
    instability = max over alpha of E(alpha) - (E(0) + E(1)) / 2

If the error rises on the way, the copies have gone into different valleys. Usually a net is called stable if it rises by
less than 2 %. A ticket is stable earlier than the dense net it was found in, and its shuffled mask is not.

Both copies wear one mask, so every net on the line does too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.lottery.rewinding import Late, RewindPoint, rewind_point, rewound
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.training import TrainingState, begin, evaluate, train

ALPHAS = tuple(i / 10 for i in range(11))
STABLE = 0.02  # an instability below this is usually called stable


class Line(NamedTuple):
    """The errors on the line between two nets."""

    alphas: np.ndarray  # (A,) from 0 to 1
    error: np.ndarray  # (..., A) share of wrong answers, one row for each replicate
    loss: np.ndarray  # (..., A)

    @property
    def instability(self) -> np.ndarray:
        """How far the error rises above the mean of the two ends: (...,), in shares, never negative but for rounding."""
        return instability(self.error)


class Stability(NamedTuple):
    """An instability analysis."""

    step: int  # k, where the copies part
    lines: dict[str, Line]  # for each split
    ends: tuple[Parameters, Parameters]  # theta_A, theta_B


def interpolate(theta_A: Parameters, theta_B: Parameters, alpha: float) -> Parameters:
    """(1 - alpha) theta_A + alpha theta_B, biases too; at 0 and 1 these are the ends themselves.   Equation (L18)

    Parameters
    ----------
    theta_A, theta_B : parameters of one network
    alpha : in [0, 1]

    Returns
    -------
    in the form of both; a copy

    Raises
    ------
    ValueError
        alpha is outside [0, 1].

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 1))
    >>> interpolate(Parameters(np.array([1.0, 2.0]), layout), Parameters(np.array([3.0, 2.0]), layout), 0.25).vector
    array([1.5, 2. ])
    """
    alpha = float(alpha)  # float32 parameters stay float32
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha!r}, but 0 <= alpha <= 1 is needed: 0 is the first net, 1 the second")
    if alpha in (0.0, 1.0):
        return (theta_B if alpha else theta_A).copy()
    return (1 - alpha) * theta_A + alpha * theta_B


def line(
    net: MLP,
    theta_A: Parameters,
    theta_B: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    alphas: Sequence[float] = ALPHAS,
) -> Line:
    """Evaluate the nets on the line between two.   Equation (L18)

    Parameters
    ----------
    net : an ``MLP``
    theta_A, theta_B : the ends, of one network or of R replicates
    split : with class labels
    weight_mask : of both
    alphas : in rising order, from 0 to 1

    Returns
    -------
    the line, A errors and losses for each replicate

    Raises
    ------
    TypeError, ValueError
        The alphas do not rise from 0 to 1; the split has no class labels.

    References
    ----------
    Frankle et al. (2020).

    Examples
    --------
    >>> net = MLP((1, 2))
    >>> theta_A = Parameters(np.array([1.0, -1.0, 0.0, 0.0], np.float32), net.layout)
    >>> split = Split(np.array([[1.0], [-1.0]], np.float32), np.array([0, 1]))
    >>> float(line(net, theta_A, 0.5 * theta_A, split).instability)                          # both ends are right
    0.0
    >>> float(line(net, theta_A, -theta_A, split).instability)               # one is wrong, and so is half of the way
    0.5
    """
    alphas = np.asarray(alphas, np.float64)
    if alphas.ndim != 1 or len(alphas) < 2 or alphas[0] != 0 or alphas[-1] != 1 or (np.diff(alphas) <= 0).any():
        raise ValueError(f"alphas are {alphas.tolist()}, but they must rise from 0 to 1, both ends included")
    if split.y.dtype.kind not in "iu":
        raise TypeError("split.y must be class labels: the instability is a share of wrong answers")
    results = [evaluate(net, interpolate(theta_A, theta_B, a), split, weight_mask=weight_mask) for a in alphas.tolist()]
    loss, accuracy = (np.stack([np.asarray(r[i]) for r in results], axis=-1) for i in range(2))
    return Line(alphas, 1 - accuracy, loss)


def instability(error: np.ndarray) -> np.ndarray:
    """max E(alpha) - (E(0) + E(1)) / 2 along the last axis; at least |E(0) - E(1)| / 2.   Equation (L18)

    Parameters
    ----------
    error : (..., A) along the line, both ends included

    Returns
    -------
    (...,) in the unit of the error

    References
    ----------
    Frankle et al. (2020).

    Examples
    --------
    >>> float(instability(np.array([0.1, 0.5, 0.2])))
    0.35
    """
    return error.max(axis=-1) - (error[..., 0] + error[..., -1]) / 2


def forks(
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    *,
    seed: int | Sequence[int],
    point: RewindPoint,
    weight_mask: Parameters | None = None,
    draws: tuple[int, int] = (1, 2),
) -> tuple[TrainingState, TrainingState]:
    """Prepare two copies of a training at step k that differ in the noise to come alone.   Equation (L18)

    Both have the parameters and the optimizer's memory of step k, masked.

    Parameters
    ----------
    net, plan, train_split, seed : of the training
    point : of ``rewind_point`` at step k
    weight_mask : of both copies, or None
    draws : which orders of the examples and which dropout masks; equal numbers give equal copies

    Returns
    -------
    two states at step k, for ``numpynet.training.train``

    Raises
    ------
    TypeError, ValueError
        The point is of another network, optimizer or plan; see ``numpynet.lottery.rewinding.rewound``.

    References
    ----------
    Frankle et al. (2020).

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> net, plan, data = MLP((64, 10)), TrainingPlan(steps=4), load_digits()
    >>> point = rewind_point(begin(net, plan, data.train, seed=7))
    >>> a, b = forks(net, plan, data.train, seed=7, point=point)
    >>> bool((a.theta == b.theta).vector.all()), a.step, b.step
    (True, 0, 0)
    """
    kind = Late(point.step, optimizer="saved")
    a, b = (
        rewound(kind, net, plan, train_split, seed=seed, weight_mask=weight_mask, point=point, draw=draw)
        for draw in draws
    )
    return a, b


def analyse_stability(
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    splits: Mapping[str, Split],
    *,
    seed: int | Sequence[int],
    step: int = 0,
    theta_0: Parameters | None = None,
    weight_mask: Parameters | None = None,
    alphas: Sequence[float] = ALPHAS,
    draws: tuple[int, int] = (1, 2),
) -> Stability:
    """Train the dense net to step k, mask it, fork it, train both copies to the end and walk from one to the other.

    Equation (L18).

    Parameters
    ----------
    net : an ``MLP``
    plan : of the training
    train_split : the examples it trains on
    splits : name -> split to measure the error on, for instance {"train": ..., "test": ...}
    seed : one, or one for each of R replicates, trained in one stack
    step : k
    theta_0 : where the dense net starts; None draws it from the seed
    weight_mask : of the ticket, or of its control, put on at step k; None for the dense net
    alphas, draws : see ``line`` and ``forks``

    Returns
    -------
    the stability: a line for each split, and both ends

    Raises
    ------
    TypeError, ValueError
        As ``line`` and ``numpynet.training.begin``.
    TrainingDiverged
        A training does.

    References
    ----------
    Frankle et al. (2020).

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> net, plan, data = MLP((64, 10)), TrainingPlan(epochs=2, schedule=0.1), load_digits()
    >>> stability = analyse_stability(net, plan, data.train, {"test": data.test}, seed=7)
    >>> bool(stability.lines["test"].instability < STABLE)          # one layer: a convex loss has one valley
    True
    """
    dense = begin(net, plan, train_split, seed=seed, theta_0=theta_0)
    for _ in train(dense, train_split, until=step):
        pass
    pair = forks(net, plan, train_split, seed=seed, point=rewind_point(dense), weight_mask=weight_mask, draws=draws)
    for state in pair:
        for _ in train(state, train_split):
            pass
    ends = (pair[0].theta, pair[1].theta)
    lines = {name: line(net, *ends, split, weight_mask=weight_mask, alphas=alphas) for name, split in splits.items()}
    return Stability(step, lines, ends)
