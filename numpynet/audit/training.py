"""Training: initial weights, optimizers, decay, projections and learning rates against their closed forms."""

from __future__ import annotations

import math

import numpy as np

from numpynet.audit.bounds import bernstein, chi_squared
from numpynet.audit.check import Check, apart, at_most, compare, identical, within
from numpynet.audit.draws import random_parameters, random_weight_mask
from numpynet.equations.activations import relu_forward
from numpynet.equations.losses import l2_penalty_backward, l2_penalty_forward
from numpynet.initializers import (
    glorot_normal,
    glorot_std,
    glorot_truncated,
    glorot_uniform,
    he_normal,
    he_std,
    he_truncated,
    he_uniform,
)
from numpynet.optimizers import (
    SGD,
    Adam,
    Decay,
    Momentum,
    Nesterov,
    RMSProp,
    clip_global_norm,
    project_max_norm,
    update,
)
from numpynet.parameters import Layout, Parameters
from numpynet.schedules import Constant, Cosine, Exponential, Step, Warmup


def audit_training(seed: int = 0) -> list[Check]:
    """Check initial weights (B27, B28) and optimizers, decay, projections and schedules (O).

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_training(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [
        *_initial_weights(rng),
        *_sgd_and_momentum(rng),
        *_rmsprop_and_adam(rng),
        *_adam_bound(rng),
        *_decay(rng),
        *_max_norm(rng),
        *_clipping(rng),
        *_schedules(),
    ]


# A standard normal cut off at +-2 has this variance and, relative to its square, this fourth moment.
_MASS, _DENSITY = math.erf(math.sqrt(2)), math.exp(-2) / math.sqrt(2 * math.pi)
_CUT_VARIANCE = 1 - 4 * _DENSITY / _MASS
_CUT_KURTOSIS = (3 * _CUT_VARIANCE - 16 * _DENSITY / _MASS) / _CUT_VARIANCE**2


def _initial_weights(rng: np.random.Generator) -> list[Check]:
    d_in, d_out = 300, 200
    n = d_in * d_out
    bound_of = {  # of the mean of W^2 / Var W: its largest distance from 1 and its variance
        "normal": chi_squared(n),
        "truncated": bernstein(n, 4 / _CUT_VARIANCE - 1, _CUT_KURTOSIS - 1),
        "uniform": bernstein(n, 2.0, 9 / 5 - 1),
    }
    rows = []
    for equation, variance, rule, initializers in (
        ("B27", 2 / (d_in + d_out), "2 / (d_in + d_out)", (glorot_normal, glorot_truncated, glorot_uniform)),
        ("B28", 2 / d_in, "2 / d_in", (he_normal, he_truncated, he_uniform)),
    ):
        for initializer in initializers:
            W = initializer(rng, d_in, d_out, dtype=np.float64)
            name = initializer.__name__
            ratio = (W**2).mean() / variance
            rows.append(
                within(equation, f"variance of {name}, relative", rule, ratio - 1, bound_of[name.split("_")[1]])
            )
            if name.endswith("uniform"):
                rows.append(
                    at_most(
                        equation,
                        f"largest |W| of {name}",
                        "at most sqrt(3 Var W)",
                        np.abs(W).max(),
                        math.sqrt(3 * variance),
                    )
                )
    x, W = rng.standard_normal((1, d_in)), he_normal(rng, d_in, 3000, dtype=np.float64)
    # relu(z)^2 + relu(-z)^2 = z^2, so the mean over x and -x is the mean of a normal number's square.
    h = relu_forward(np.concatenate([x, -x]) @ W)[0]
    ratio = (h**2).mean() / (x**2).mean()
    return [
        *rows,
        compare(
            "B27", "glorot_std", "sqrt(2 / (d_in + d_out))", glorot_std(d_in, d_out), math.sqrt(2 / (d_in + d_out))
        ),
        compare("B28", "he_std", "sqrt(2 / d_in)", he_std(d_in, d_out), math.sqrt(2 / d_in)),
        within("B28", "mean square behind ReLU, relative", "that of x", ratio - 1, chi_squared(3000)),
    ]


# ---- optimizers ------------------------------------------------------------------------------------------------------


def _run(optimizer, theta, gradients, lr) -> np.ndarray:
    """Theta before the first step and after each; a gradient is an array or a function of theta."""
    theta = theta.copy()
    state, trajectory = optimizer.init(theta), [theta.copy()]
    for g in gradients:
        optimizer.step(theta, g(theta) if callable(g) else g, state, lr)
        trajectory.append(theta.copy())
    return np.array(trajectory)


def _sgd_and_momentum(rng: np.random.Generator) -> list[Check]:
    lr, mu, n = 0.1, 0.8, 20
    a, c, theta_0 = rng.uniform(0.1, 3, 5), rng.standard_normal(5), rng.standard_normal(5)
    g = rng.choice([-1, 1], 5) * rng.uniform(0.1, 3, 5)

    def slope(theta):  # of a/2 (theta - c)^2
        return a * (theta - c)

    def curved(theta):
        return np.sin(2 * theta) + 0.3 * theta

    # One step acts on (theta - c, v), and v starts at 0.
    powers = [np.linalg.matrix_power([[1 - lr * k, -lr * mu], [k, mu]], n)[0, 0] for k in a]
    phi, u = theta_0, np.zeros(5)
    for _ in range(n):  # Nesterov's own form takes the gradient ahead of where it is
        u = mu * u - lr * curved(phi + mu * u)
        phi = phi + u
    constant = [g] * n
    push = -lr * g / (1 - mu)
    return [
        compare("O1", f"SGD on a parabola, {n} steps", "c + (1 - lr a)^n (theta_0 - c)",
                _run(SGD(), theta_0, [slope] * n, lr)[-1], c + (1 - lr * a) ** n * (theta_0 - c)),
        compare("O2", "momentum under a constant gradient", "closed form",
                _run(Momentum(mu), theta_0, constant, lr)[-1] - theta_0, push * (n - mu * (1 - mu**n) / (1 - mu))),
        compare("O2", "momentum on a parabola", "power of a matrix",
                _run(Momentum(mu), theta_0, [slope] * n, lr)[-1], c + powers * (theta_0 - c)),
        compare("O3", "Nesterov under a constant gradient", "closed form",
                _run(Nesterov(mu), theta_0, constant, lr)[-1] - theta_0, push * (n - mu**2 * (1 - mu**n) / (1 - mu))),
        compare("O3", "Nesterov on a curve", "the look-ahead form, phi + mu u",
                _run(Nesterov(mu), theta_0, [curved] * n, lr)[-1], phi + mu * u),
    ]  # fmt: skip


def _rmsprop_and_adam(rng: np.random.Generator) -> list[Check]:
    lr, beta, epsilon, n = 0.03, 0.9, 1e-3, 15
    theta_0, gradients = rng.standard_normal(5), rng.standard_normal((n, 5))
    g = rng.choice([-1, 1], 5) * rng.uniform(0.01, 3, 5)
    t = np.arange(1, n + 1)[:, None]
    rmsprop = np.diff(_run(RMSProp(beta, epsilon), theta_0, [g] * n, lr), axis=0)
    adam = np.diff(_run(Adam(0.8, 0.95, epsilon), theta_0, [g] * n, lr), axis=0)
    scaled = _run(Adam(epsilon=7 * epsilon), theta_0, 7 * gradients, lr)
    return [
        compare("O4", "RMSProp steps under a constant gradient", "-lr g / (|g| sqrt(1 - beta^t) + epsilon)",
                rmsprop, -lr * g / (np.abs(g) * np.sqrt(1 - beta**t) + epsilon)),
        compare("O5", "Adam steps under a constant gradient", "-lr g / (|g| + epsilon), all alike",
                adam, np.tile(-lr * g / (np.abs(g) + epsilon), (n, 1))),
        compare("O5", "Adam with 7 g and 7 epsilon", "with g and epsilon",
                scaled, _run(Adam(epsilon=epsilon), theta_0, gradients, lr)),
    ]  # fmt: skip


def _adam_bound(rng: np.random.Generator) -> list[Check]:
    """How far Adam steps at most, and that gradients which grow by beta2 / beta1 per step make it do so."""
    n, (beta1, beta2) = 300, (0.9, 0.999)
    t, kappa = np.arange(1, n + 1), beta1**2 / beta2
    bound = (1 - beta1) / (1 - beta1**t) * np.sqrt((1 - beta2**t) / (1 - beta2) * (1 - kappa**t) / (1 - kappa))
    growing = (beta2 / beta1) ** np.arange(-n / 2, n / 2)[:, None]
    wild = rng.standard_normal((n, 6)) * 10 ** rng.uniform(-4, 4, (n, 6))
    steps, wild_steps = (
        np.abs(np.diff(_run(Adam(epsilon=1e-30), np.zeros(g.shape[1]), g, 1.0), axis=0)) for g in (growing, wild)
    )
    return [
        compare("O5", "Adam steps under growing gradients", "their bound", steps[:, 0], bound, 1e-11),
        at_most("O5", "Adam steps under wild gradients", "at most their bound", wild_steps.max(axis=1), bound, 1e-11),
    ]


# ---- decay, projections, learning rates ------------------------------------------------------------------------------

_LAYOUT = Layout.of_sizes((5, 4, 3))


def _decay(rng: np.random.Generator) -> list[Check]:
    mask, start, lr, decay, n = random_weight_mask(rng, _LAYOUT), random_parameters(rng, _LAYOUT), 0.1, 0.3, 6
    gradients = [random_parameters(rng, _LAYOUT) for _ in range(n)]
    coupled, by_hand = [], []
    for optimizer in (SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.9, 1e-6), Adam(0.8, 0.95, 1e-6)):
        theta, hand = start * mask, start * mask
        state, hand_state = optimizer.init(theta.vector), optimizer.init(hand.vector)
        for g in gradients:
            update(theta, g, optimizer, state, lr, decay=Decay(coupled=decay), weight_mask=mask)
            total = g.copy()
            for name in _LAYOUT.weight_names:
                _, cache = l2_penalty_forward(hand[name], decay, weight_mask=mask[name])
                total[name] += l2_penalty_backward(1.0, cache)
            optimizer.step(hand.vector, total.vector, hand_state, lr)
            hand *= mask
        coupled.append(theta.vector)
        by_hand.append(hand.vector)

    theta, nothing = start.copy(), Parameters.zeros(_LAYOUT, dtype=np.float64)
    state = Adam().init(theta.vector)
    for _ in range(n):
        update(theta, nothing, Adam(), state, lr, decay=Decay(decoupled=decay))
    left = start.copy()
    for name in _LAYOUT.weight_names:
        left[name] *= (1 - lr * decay) ** n
    pruned = start * mask
    update(pruned, gradients[0], SGD(), SGD().init(pruned.vector), lr, decay=Decay(decoupled=decay), weight_mask=mask)
    return [
        compare("O6", "coupled decay, five optimizers", "the gradient of the L2 penalty added", coupled, by_hand),
        compare("O7", "decoupled decay alone, AdamW", "(1 - lr lambda)^n W_0, biases stay", theta.vector, left.vector),
        identical("O7", "pruned weights under decoupled decay", "exactly 0",
                  pruned.vector * (1 - mask.vector), 0 * mask.vector),
    ]  # fmt: skip


def _max_norm(rng: np.random.Generator) -> list[Check]:
    limit = 1.0
    W = rng.standard_normal((6, 5)) * np.array([0.1, 1.0, 10.0, 1.0, 0.3])
    W[:, 3] = 0.0  # a unit without any weight: no 0 / 0
    norm = np.linalg.norm(W, axis=0)
    shortened = W * np.minimum(1, limit / np.where(norm > 0, norm, 1))
    return [compare("O8", "max-norm projection", "w min(1, c / |w|), 0 stays 0", project_max_norm(W, limit), shortened)]


def _clipping(rng: np.random.Generator) -> list[Check]:
    """One norm for all parameters, so it must not count pruned weights: clipping and masking do not commute."""
    g, mask, limit = random_parameters(rng, _LAYOUT), random_weight_mask(rng, _LAYOUT), 0.7
    norm = np.linalg.norm(g.vector)
    clipped = [clip_global_norm(gradient, limit).vector for gradient in (g, 1e-3 * g)]
    dense, masked = mask * clip_global_norm(g, limit), clip_global_norm(mask * g, limit)
    return [
        compare("O9", "gradient clipped, long and short", "g min(1, c / |g|)",
                clipped, [g.vector * (limit / norm), 1e-3 * g.vector]),
        at_most("O9", "norm after clipping", "at most the limit", [np.linalg.norm(c) for c in clipped], limit),
        apart("O9", "clipped, then masked", "masked, then clipped, must differ",
              dense.vector, masked.vector),
    ]  # fmt: skip


def _schedules() -> list[Check]:
    lr, low, factor, every, T = 0.3, 0.01, 0.7, 4, 20
    steps = range(
        T + 1
    )  # Python's integers, as in training: powers of NumPy's differ in the last bit on some processors
    t = np.array(steps)
    cosine = [Cosine(lr, T, low)(k) for k in steps]
    warm, base = Warmup(every, Cosine(lr, T, low)), np.array(cosine)
    return [
        compare("O10", "step schedule", "lr factor^floor(t / S)",
                [Step(lr, factor, every)(k) for k in steps], lr * factor ** np.floor(t / every)),
        compare("O11", "exponential schedule", "lr factor^t", [Exponential(lr, factor)(k) for k in steps], lr * factor**t),
        identical("O11", "the same", "step schedule with S = 1",
                  [Exponential(lr, factor)(k) for k in steps], [Step(lr, factor, 1)(k) for k in steps]),
        compare("O12", "cosine schedule", "low + (lr - low) (1 + cos(pi t / T)) / 2",
                cosine, low + (lr - low) * (1 + np.cos(np.pi * t / T)) / 2),
        compare("O12", "mean of the cosine schedule", "(lr + low) / 2", np.mean(cosine), (lr + low) / 2),
        identical("O12", "cosine schedule past its end", "low",
                  [Cosine(lr, T, low)(k) for k in (T + 1, 9 * T)], [low] * 2),
        compare("O13", "warm-up", "lr (t + 1) / T_w, then the base",
                [warm(k) for k in range(every + T + 1)], np.concatenate([lr * np.arange(1, every + 1) / every, base])),
        compare("O13", "warm-up to a constant, at its last step", "lr", Warmup(every, Constant(lr))(every - 1), lr),
    ]  # fmt: skip
