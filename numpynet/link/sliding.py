"""A net that slides from DropConnect to a pruned net: every weight's keep probability is learned, then frozen to 0 or 1.

Each weight has a score S_ij, and in each layer

    Q = sigmoid((S - c) / tau),   mask m ~ Bern(Q), a fresh one for every step,   Z = H (m * W) + b.

The shift c is chosen so that the mean of Q is the density of the moment. At the start all scores are 0: every Q is the same,
which is DropConnect. Density and temperature tau then fall; at the end Q is 0 or 1 for every weight, the variance of
Equation (M6) is gone, and the net is a pruned one with exactly the wanted number of weights in each layer.

Weights and scores are trained together. The gradient of the expected loss with respect to Q_ij is the difference of two
conditional means (Equation (M8)); its first-order form E[G W], G the dense gradient, is what a step can afford. It is exact
where the loss is affine in each mask entry, and biased elsewhere (Equation (P14)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.activations import sigmoid
from numpynet.equations.masks import prune_lowest
from numpynet.network import MLP
from numpynet.optimizers import update
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.seeding import stream
from numpynet.training import begin, draw_step


class Slide(NamedTuple):
    """How density and temperature fall; times are shares of the training."""

    start: float = 0.8  # density, and the keep probability of every weight, at the beginning
    warm: float = 0.1  # until then it is plain DropConnect with learning scores
    frozen: float = 0.7  # from then on the mask is fixed
    hot: float = 1.0  # temperature at the beginning ...
    cold: float = 0.02  # ... and when the mask is frozen
    lr: float = 0.01  # of the scores, with Adam
    every: int = 20  # steps between two adjustments of c and tau

    def progress(self, share: float) -> float:
        """Return how far the slide is, 0 to 1, at a share of the training.

        Parameters
        ----------
        share : of the steps that are done, in [0, 1]

        Returns
        -------
        0 while it is warm, 1 once it is frozen, a straight line between

        Examples
        --------
        >>> [round(Slide().progress(t), 2) for t in (0.0, 0.1, 0.4, 0.7, 1.0)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
        """
        return min(1.0, max(0.0, (share - self.warm) / (self.frozen - self.warm)))

    def temperature(self, share: float) -> float:
        """Return tau, which falls geometrically.

        Parameters
        ----------
        share : of the steps that are done, in [0, 1]

        Returns
        -------
        tau, from ``hot`` to ``cold``

        Examples
        --------
        >>> round(Slide(hot=1, cold=0.01).temperature(0.4), 6)
        0.1
        """
        return self.hot * (self.cold / self.hot) ** self.progress(share)

    def density(self, share: float, target: float) -> float:
        """Return the density of a layer, which falls geometrically from ``start`` to its target.

        Parameters
        ----------
        share : of the steps that are done, in [0, 1]
        target : density at the end

        Returns
        -------
        mean of Q

        Examples
        --------
        >>> round(Slide(start=0.8).density(0.4, 0.2), 6)
        0.4
        """
        return self.start * (target / self.start) ** self.progress(share)


class Slid(NamedTuple):
    """Where a slide has ended; R replicates."""

    theta: Parameters  # the pruned net
    weight_mask: Parameters  # exactly the wanted counts
    trace: np.ndarray  # (S, 4) step, density, mean variance Q (1 - Q), share of probabilities between 0.05 and 0.95


def keep_probabilities(scores: np.ndarray, density: float, temperature: float) -> np.ndarray:
    """Return Q = sigmoid((S - c) / tau) with the c for which each matrix of the stack has this mean.   Equation (M6)

    Parameters
    ----------
    scores : (..., d_in, d_out)
    density : mean of Q, in (0, 1)
    temperature : tau > 0

    Returns
    -------
    (..., d_in, d_out) float64 in [0, 1]

    Raises
    ------
    ValueError
        The density is not between 0 and 1, or the temperature not above 0.

    Examples
    --------
    >>> keep_probabilities(np.zeros((2, 2)), 0.8, 1.0)                                        # DropConnect
    array([[0.8, 0.8],
           [0.8, 0.8]])
    >>> keep_probabilities(np.array([[1.0, 2.0], [3.0, 4.0]]), 0.5, 0.01).round(3)            # nearly a pruned layer
    array([[0., 0.],
           [1., 1.]])
    """
    if not 0 < density < 1:
        raise ValueError(f"density is {density!r}, but a number between 0 and 1 is needed")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature!r}, but a number > 0 is needed")
    s = scores.astype(np.float64)
    margin = temperature * (abs(math.log(density / (1 - density))) + 1)
    low = s.min(axis=(-2, -1), keepdims=True) - margin
    high = s.max(axis=(-2, -1), keepdims=True) + margin
    for _ in range(50):  # bisection: the mean falls as c rises
        c = (low + high) / 2
        too_many = sigmoid.forward((s - c) / temperature)[0].mean(axis=(-2, -1), keepdims=True) > density
        low, high = np.where(too_many, c, low), np.where(too_many, high, c)
    return sigmoid.forward((s - (low + high) / 2) / temperature)[0]


def slide(
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    counts: dict[str, int],
    *,
    seeds: Sequence[int],
    how: Slide = Slide(),  # noqa: B008  frozen
    on_step: Callable[[int], None] | None = None,
) -> Slid:
    """Train weights and keep probabilities together, from DropConnect to a pruned net.   Equation (M8)

    Parameters
    ----------
    net, plan, train_split : as for ``numpynet.training.begin``
    counts : name of a weight matrix -> how many of its weights are left at the end
    seeds : as for ``numpynet.training.begin``; initial weights and the order of the examples are
        those of any other training with these seeds
    how : the slide
    on_step : called with the number of completed steps

    Returns
    -------
    where it has ended, a replicate for each seed

    Raises
    ------
    ArithmeticError
        The loss is no longer finite.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.optimizers import Adam
    >>> plan = TrainingPlan(steps=60, optimizer=Adam(), schedule=3e-3)
    >>> end = slide(MLP((64, 20, 10)), plan, load_digits().train, {"W1": 300, "W2": 80}, seeds=[0, 1])
    >>> [int(end.weight_mask[name][0].sum()) for name in ("W1", "W2")]
    [300, 80]
    """
    state = begin(net, plan, train_split, seed=list(seeds))
    theta, layout, n_train = state.theta, net.layout, len(train_split.x)
    total, rngs = plan.total_steps(n_train), [stream(s, "supermask") for s in seeds]
    scores = Parameters.zeros(layout, replicates=theta.replicates, dtype=theta.dtype)
    memory = plan.optimizer.init(scores.vector)
    Q = Parameters.ones(layout, replicates=theta.replicates, dtype=theta.dtype)
    slope = Parameters.zeros(layout, replicates=theta.replicates, dtype=theta.dtype)  # dQ/dS; 0 at biases
    trace, frozen = [], None
    while state.step < total:
        share = state.step / total
        if frozen is None and share >= how.frozen:
            frozen = _largest(scores, counts)
            theta *= frozen
            state.optimizer.impose(frozen)
        if frozen is None and state.step % how.every == 0:
            tau = how.temperature(share)
            for name, count in counts.items():
                Q[name] = keep_probabilities(scores[name], how.density(share, count / _size(layout, name)), tau).astype(theta.dtype)  # fmt: skip
                slope[name] = Q[name] * (1 - Q[name]) / tau
        if state.step % how.every == 0:
            trace.append([state.step, *_spread(Q if frozen is None else frozen)])
        step_net, batch, _ = draw_step(state, n_train)
        if frozen is None:
            uniform = np.stack([rng.random(layout.size, dtype=np.float32) for rng in rngs])
            mask = Parameters((uniform < Q.vector).astype(theta.dtype), layout)
        else:
            mask = frozen
        logits, caches = step_net.forward(theta * mask, train_split.x[batch], trusted=True)
        loss, loss_cache = plan.loss.forward(logits, train_split.y[batch])
        if not np.isfinite(loss).all():
            raise ArithmeticError(
                f"the loss is {loss.tolist()} at step {state.step + 1}: the learning rate is too large?"
            )
        G = step_net.backward(plan.loss.backward(1.0, loss_cache), caches)  # dense: of m * W
        lr = float(plan.schedule(state.step))
        if frozen is None:
            update(scores, G * theta * slope, plan.optimizer, memory, how.lr)
        update(theta, G * mask, plan.optimizer, state.optimizer, lr, decay=plan.decay, weight_mask=frozen)
        state.step += 1
        if on_step is not None:
            on_step(state.step)
    return Slid(theta, frozen, np.array(trace))


def _largest(scores: Parameters, counts: dict[str, int]) -> Parameters:
    """The mask of the weights with the largest scores, so many in each layer."""
    mask = Parameters.ones(scores.layout, replicates=scores.replicates, dtype=scores.dtype)
    for name, count in counts.items():
        for r in np.ndindex(scores.replicates):
            layer = mask.replicate(r)[name]
            layer[...] = prune_lowest(scores.replicate(r)[name], layer, layer.size - count)
    return mask


def _spread(Q: Parameters) -> tuple[float, float, float]:
    q = np.concatenate([Q[name].reshape(-1) for name in Q.layout.weight_names]).astype(np.float64)
    return float(q.mean()), float((q * (1 - q)).mean()), float(((q > 0.05) & (q < 0.95)).mean())


def _size(layout, name: str) -> int:
    rows, columns = layout.shapes[name]
    return rows * columns
