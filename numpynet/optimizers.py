"""Optimizers: what to do with a gradient. Each acts on one flat vector, elementwise and in place.

The docstrings write an optimizer as its paper does, Adam's with sums in place of means; the code below does the same without
temporary arrays. theta and the state are written to, the gradient is not.

``update`` is one whole step for a network: decay, optimizer, max-norm and, with a weight mask, the projection that
keeps every pruned weight at exactly 0, whatever the optimizer remembers (Equation (M10): for elementwise optimizers
this equals masking the gradient).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from numpynet.fields import keep_float
from numpynet.parameters import Parameters

# A long vector is updated piece by piece: all that a piece needs (theta, the gradient, two slots, scratch: 10 MB in float32)
# then stays in the outer cache from one operation to the next. The operations are elementwise, so the bits are the same.
BLOCK = 2**19

# What decays and is fed no more, Adam's memory of a pixel that is hardly ever seen for instance, falls below the normal
# numbers (2^-126 in float32) and stays there for good: times 0.9 the last of them rounds to itself. Many processors take
# dozens of times as long over such a number. So now and then it is set to 0, which no parameter notices: with epsilon 1e-8 it
# would move by less than 1e-29 times the learning rate. Where epsilon is so small that it does not hide the root of such a
# number (below 1e-12 in float32), nothing is forgotten.
FORGET_EVERY = 64  # steps


@dataclass
class OptimizerState:
    """What an optimizer remembers: how many steps it has made, and vectors that started at 0."""

    step: int
    slots: dict[str, np.ndarray]  # each of the shape of theta's vector
    scratch: np.ndarray = field(repr=False)  # working space of theta's size, without meaning between steps

    def impose(self, weight_mask: Parameters) -> None:
        """Forget pruned weights: set the state to 0 where the mask is.   Equation (M16)

        Parameters
        ----------
        weight_mask : binary, of the form of theta

        Examples
        --------
        >>> from numpynet.parameters import Layout
        >>> mask = Parameters(np.array([1.0, 0.0, 1.0]), Layout.of_sizes((2, 1)))
        >>> state = OptimizerState(1, {"v": np.array([5.0, 6.0, 7.0])}, np.empty(3))
        >>> state.impose(mask)
        >>> state.slots["v"]
        array([5., 0., 7.])
        """
        for slot in self.slots.values():
            slot *= weight_mask.vector

    def forget_subnormal(self) -> None:
        """Set to 0 what is too small to be a normal number of its dtype, and so slow to calculate with.

        Examples
        --------
        >>> state = OptimizerState(1, {"v": np.array([1e-300, -1e-310, 0.0])}, np.empty(3))
        >>> state.forget_subnormal()
        >>> int(np.count_nonzero(state.slots["v"]))
        1
        """
        for slot in self.slots.values():
            slot *= np.abs(slot) >= np.finfo(slot.dtype).tiny


class _Elementwise:
    """The frame that all optimizers share: a state of zeros, and the count of steps."""

    slots: ClassVar[tuple[str, ...]] = ()

    def init(self, theta: np.ndarray) -> OptimizerState:
        """Return the state at step 0 for a parameter vector (..., P)."""
        return OptimizerState(0, {name: np.zeros_like(theta) for name in self.slots}, np.empty_like(theta))

    def step(self, theta: np.ndarray, grad: np.ndarray, state: OptimizerState, lr: float) -> None:
        """Make one step; theta and state change in place. Every 64 steps the state forgets what has become subnormal, unless
        epsilon is so small that a parameter could notice.

        Parameters
        ----------
        theta, grad : (..., P) vectors of one shape and dtype
        state : of ``init``
        lr : the learning rate of this step
        """
        if theta.shape != grad.shape or theta.dtype != grad.dtype:
            raise ValueError(f"grad {grad.shape} {grad.dtype} must be of the form of theta {theta.shape} {theta.dtype}")
        state.step += 1
        if state.step % FORGET_EVERY == 0 and self._may_forget(theta.dtype):
            state.forget_subnormal()
        arrays = [theta, grad, *(state.slots[name] for name in self.slots), state.scratch]
        if theta.size <= BLOCK or not all(array.flags.c_contiguous for array in arrays):
            self._update(*arrays, float(lr), state.step)
            return
        flat = [array.reshape(-1) for array in arrays]  # views
        for start in range(0, theta.size, BLOCK):
            self._update(*(array[start : start + BLOCK] for array in flat), float(lr), state.step)

    def _may_forget(self, dtype: np.dtype) -> bool:
        return True


@dataclass(frozen=True)
class SGD(_Elementwise):
    """theta <- theta - lr * g.   Equation (O1)

    Examples
    --------
    >>> theta = np.array([1.0])
    >>> SGD().step(theta, np.array([2.0]), SGD().init(theta), lr=0.1)
    >>> theta
    array([0.8])
    """

    def _update(self, theta, g, scratch, lr, t):
        np.multiply(g, lr, out=scratch)
        theta -= scratch


@dataclass(frozen=True)
class Momentum(_Elementwise):
    """v <- mu v + g,  theta <- theta - lr * v   (heavy ball).   Equation (O2)

    Examples
    --------
    >>> optimizer, theta = Momentum(0.9), np.array([1.0])
    >>> state = optimizer.init(theta)
    >>> for _ in range(2):
    ...     optimizer.step(theta, np.array([1.0]), state, lr=0.1)
    >>> theta                                                # 1 - 0.1 - 0.1 * 1.9
    array([0.71])
    """

    momentum: float = 0.9
    slots: ClassVar[tuple[str, ...]] = ("v",)

    def __post_init__(self) -> None:
        _share(self, "momentum")

    def _update(self, theta, g, v, scratch, lr, t):
        v *= self.momentum
        v += g
        np.multiply(v, lr, out=scratch)
        theta -= scratch


@dataclass(frozen=True)
class Nesterov(_Elementwise):
    """v <- mu v + g,  theta <- theta - lr * (g + mu v).   Equation (O3)

    Examples
    --------
    >>> theta = np.array([1.0])
    >>> Nesterov(0.9).step(theta, np.array([1.0]), Nesterov().init(theta), lr=0.1)
    >>> theta
    array([0.81])
    """

    momentum: float = 0.9
    slots: ClassVar[tuple[str, ...]] = ("v",)

    def __post_init__(self) -> None:
        _share(self, "momentum")

    def _update(self, theta, g, v, scratch, lr, t):
        v *= self.momentum
        v += g
        np.multiply(v, self.momentum, out=scratch)
        scratch += g
        scratch *= lr
        theta -= scratch


@dataclass(frozen=True)
class RMSProp(_Elementwise):
    """s <- beta s + (1 - beta) g^2,  theta <- theta - lr * g / (sqrt(s) + epsilon).   Equation (O4)

    Examples
    --------
    >>> theta = np.array([1.0])
    >>> RMSProp(beta=0.99).step(theta, np.array([4.0]), RMSProp().init(theta), lr=0.01)
    >>> theta                                                # the first step is lr / sqrt(1 - beta)
    array([0.9])
    """

    beta: float = 0.99
    epsilon: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("s",)

    def __post_init__(self) -> None:
        _share(self, "beta")
        _epsilon(self)

    def _may_forget(self, dtype):
        return _hides_subnormal(self.epsilon, dtype)

    def _update(self, theta, g, s, scratch, lr, t):
        np.multiply(g, g, out=scratch)
        scratch *= 1 - self.beta
        s *= self.beta
        s += scratch
        np.sqrt(s, out=scratch)
        scratch += self.epsilon
        np.divide(g, scratch, out=scratch)
        scratch *= lr
        theta -= scratch


@dataclass(frozen=True)
class Adam(_Elementwise):
    """Adam (Kingma and Ba 2015, Algorithm 1).   Equation (O5)

        m <- beta1 m + g,      n1 <- beta1 n1 + 1      m / n1: weighted mean of the gradients so far
        s <- beta2 s + g^2,    n2 <- beta2 n2 + 1      s / n2: weighted mean of their squares
        theta <- theta - lr * (m / n1) / (sqrt(s / n2) + epsilon)

    The memory holds weighted sums, as that of momentum does, and a mean is a sum over the sum of its weights, n1 and n2:
    that is all the paper's "bias correction" does. Its m_t is (1 - beta1) m here, and its 1 - beta1^t is (1 - beta1) n1.
    The numbers n1 and n2 are all that the weights need, so whole vectors are not multiplied by 1 - beta or divided by
    1 - beta^t. The sums are larger than the means, by 1000 for s: in float32 it overflows where |g| stays above 5e17.

    Examples
    --------
    >>> theta = np.array([1.0])
    >>> Adam().step(theta, np.array([400.0]), Adam().init(theta), lr=0.01)
    >>> theta                                                # the first step is lr, whatever the gradient's size
    array([0.99])
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("m_sum", "s_sum")

    def __post_init__(self) -> None:
        _share(self, "beta1", "beta2")
        _epsilon(self)

    def _may_forget(self, dtype):
        return _hides_subnormal(self.epsilon, dtype)

    def _update(self, theta, g, m, s, scratch, lr, t):
        n1 = (1 - self.beta1**t) / (1 - self.beta1)  # 1 + beta1 + ... + beta1^(t - 1)
        root_n2 = math.sqrt((1 - self.beta2**t) / (1 - self.beta2))
        m *= self.beta1
        m += g
        s *= self.beta2
        np.multiply(g, g, out=scratch)
        s += scratch
        np.sqrt(s, out=scratch)
        scratch += self.epsilon * root_n2  # root_n2 (sqrt(s / n2) + epsilon)
        np.divide(m, scratch, out=scratch)
        scratch *= lr * root_n2 / n1
        theta -= scratch


Optimizer = SGD | Momentum | Nesterov | RMSProp | Adam


@dataclass(frozen=True)
class Decay:
    """What pulls the weights (never the biases) towards 0, and how far out they may go.

    Parameters
    ----------
    coupled : lambda of g <- g + lambda W, the gradient of the L2 penalty, before the optimizer.   Equation (O6)
    decoupled : lambda of W <- (1 - lr lambda) W - lr * update, beside the optimizer (AdamW).   Equation (O7)
    max_norm : the largest norm of the incoming weights of a unit, or None.   Equation (O8)
    """

    coupled: float = 0.0
    decoupled: float = 0.0
    max_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("coupled", "decoupled"):
            if not 0 <= keep_float(self, name) < math.inf:
                raise ValueError(f"{name} weight decay is {getattr(self, name)!r}, but a finite number >= 0 is needed")
        if self.max_norm is not None and not 0 < keep_float(self, "max_norm") < math.inf:
            raise ValueError(f"max_norm is {self.max_norm!r}, but a finite number > 0 or None is needed")


def update(
    theta: Parameters,
    gradients: Parameters,
    optimizer: Optimizer,
    state: OptimizerState,
    lr: float,
    *,
    decay: Decay | None = None,
    weight_mask: Parameters | None = None,
) -> None:
    """Make one step of training on a network's parameters, in place.   Equations (O6), (O7), (O8), (M10)

    With a weight mask the pruned weights are exactly 0 afterwards, also when the mask is new and the optimizer still
    remembers them; ``state.impose(mask)`` makes it forget.

    Parameters
    ----------
    theta : written to
    gradients : of the loss, masked or not; not written to
    optimizer, state : the state is written to
    lr : learning rate of this step
    decay : see ``Decay``
    weight_mask : binary, of the form of theta (1 at biases), or None

    Raises
    ------
    ValueError
        lr is negative or not finite, the state is that of another optimizer, or decay times lr is at least 1.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((2, 1))
    >>> theta, gradients = Parameters(np.ones(3), layout), Parameters(np.array([1.0, 2.0, 3.0]), layout)
    >>> mask = Parameters(np.array([1.0, 0.0, 1.0]), layout)
    >>> update(theta, gradients, SGD(), SGD().init(theta.vector), lr=0.1, weight_mask=mask)
    >>> theta.vector
    array([0.9, 0. , 0.7])
    """
    lr, grad = float(lr), gradients.vector
    if not 0 <= lr < math.inf:
        raise ValueError(f"lr is {lr!r}, but a finite number >= 0 is needed")
    if set(optimizer.slots) != set(state.slots):
        raise ValueError(
            f"state belongs to another optimizer: it holds {sorted(state.slots)}, "
            f"but {type(optimizer).__name__} needs {sorted(optimizer.slots)}"
        )
    if decay is not None and decay.coupled:
        decayed = gradients.copy()
        for name in theta.layout.weight_names:
            kept = theta[name] if weight_mask is None else theta[name] * weight_mask[name]
            decayed[name] += decay.coupled * kept
        grad = decayed.vector
    if decay is not None and decay.decoupled:
        if lr * decay.decoupled >= 1:
            raise ValueError(
                f"decoupled weight decay {decay.decoupled!r} times the learning rate {lr!r} is at least 1: "
                "one step would turn every weight's sign"
            )
        for name in theta.layout.weight_names:
            theta[name][...] *= 1 - lr * decay.decoupled
    optimizer.step(theta.vector, grad, state, lr)
    if weight_mask is not None:
        theta *= weight_mask
    if decay is not None and decay.max_norm is not None:
        for name in theta.layout.weight_names:
            project_max_norm(theta[name], decay.max_norm, out=theta[name])


def project_max_norm(W: np.ndarray, limit: float, *, out: np.ndarray | None = None) -> np.ndarray:
    """Shorten the incoming weights of every unit to at most the limit: w_j <- w_j min(1, c / ||w_j||).   Equation (O8)

    Parameters
    ----------
    W : (..., d_in, d_out); a column holds the incoming weights of a unit. Hand in M * W if there is a mask.
    limit : c > 0
    out : array to write to, W itself is allowed

    Returns
    -------
    W : of the shape and dtype of W; ``out`` if it is given

    Examples
    --------
    >>> project_max_norm(np.array([[3.0, 0.0], [4.0, 0.0]]), limit=1.0)
    array([[0.6, 0. ],
           [0.8, 0. ]])
    """
    norm = np.sqrt((W * W).sum(axis=-2, keepdims=True))  # (..., 1, d_out)
    return np.multiply(W, _shortening(norm, limit), out=out)


def _shortening(norm: np.ndarray, limit: float) -> np.ndarray:
    """min(1, limit / norm), without 0 / 0: what is zero stays."""
    if not 0 < limit < math.inf:
        raise ValueError(f"limit is {limit!r}, but a finite number > 0 is needed")
    factor = np.ones_like(norm)
    np.divide(limit, norm, out=factor, where=norm > limit)
    return factor


def _share(optimizer: object, *names: str) -> None:
    for name in names:
        value = keep_float(optimizer, name)
        if not 0 <= value < 1:
            raise ValueError(
                f"{name} is {value!r}, but 0 <= {name} < 1 is needed: it is the share of the past that is kept"
            )


def _epsilon(optimizer: object) -> None:
    epsilon = keep_float(optimizer, "epsilon")
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon is {epsilon!r}, but a number > 0 is needed: it keeps 0 / 0 away from pruned weights")


def _hides_subnormal(epsilon: float, dtype: np.dtype) -> bool:
    """Whether sqrt(s) + epsilon is epsilon but for rounding, whatever the subnormal number s is."""
    numbers = np.finfo(dtype)
    return math.sqrt(numbers.tiny) < epsilon * numbers.eps


def clip_global_norm(gradients: Parameters, limit: float, *, out: Parameters | None = None) -> Parameters:
    """Shorten the gradient to at most the limit: g <- g min(1, c / ||g||), one norm over all parameters.   Equation (O9)

    Hand in the masked gradient, as ``MLP.backward`` returns it: the norm of a dense one would count weights that do not
    exist, and shorten the others too much.

    Parameters
    ----------
    gradients : with replicates each has a norm of its own
    limit : c > 0
    out : Parameters to write to, the gradients themselves are allowed

    Returns
    -------
    Parameters : of the form of the gradients; ``out`` if it is given

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> clip_global_norm(Parameters(np.array([3.0, 4.0]), Layout({"W1": (1, 1), "b1": (1,)})), limit=1.0).vector
    array([0.6, 0.8])
    """
    g = gradients.vector
    norm = np.sqrt((g * g).sum(axis=-1, keepdims=True))  # (..., 1)
    clipped = np.multiply(g, _shortening(norm, limit), out=None if out is None else out.vector)
    return Parameters(clipped, gradients.layout) if out is None else out
