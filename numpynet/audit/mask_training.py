"""Masks in training: what leaks into pruned weights and what stops it, and when a smaller net trains alike.

Trainings take 30 to 60 steps on a few dozen weights.
"""

from __future__ import annotations

import numpy as np

from numpynet.audit.check import Check, apart, at_most, compare, identical
from numpynet.audit.draws import (
    loss_and_gradients,
    random_batch,
    random_net,
    random_parameters,
    random_weight_mask,
)
from numpynet.equations.activations import sigmoid, tanh
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, OptimizerState, RMSProp, update
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import compact

_LAYOUT = Layout.of_sizes((5, 4, 3))
_OPTIMIZERS = (SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.9, 1e-6), Adam(0.8, 0.95, 1e-6))


def audit_mask_training(seed: int = 0) -> list[Check]:
    """Check what a mask means for a whole training: M9 to M11 and M16 to M18.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_mask_training(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [*_leaks(rng), *_projection(rng), *_compaction(rng), _frozen_dropout(rng)]


def _leaks(rng: np.random.Generator) -> list[Check]:
    """Where only the gradient is masked, what the optimizer remembers moves a pruned weight; M16 stops it."""
    lr, n, t_0 = 0.1, 20, 7
    v_0, m_0, s_0 = rng.standard_normal(4), rng.standard_normal(4), rng.uniform(0.01, 4, 4)

    def moved(optimizer, **slots):
        theta, state = np.zeros(4), OptimizerState(t_0, {k: v.copy() for k, v in slots.items()}, np.empty(4))
        for _ in range(n):
            optimizer.step(theta, np.zeros(4), state, lr)
        return theta

    mu, adam, t = 0.8, Adam(0.9, 0.99, 1e-4), np.arange(1, n + 1)[:, None]
    m_hat = adam.beta1**t * m_0 / (1 - adam.beta1 ** (t_0 + t))
    s_hat = adam.beta2**t * s_0 / (1 - adam.beta2 ** (t_0 + t))
    adam_leak = -lr * (m_hat / (np.sqrt(s_hat) + adam.epsilon)).sum(axis=0)

    decay, start = 0.3, random_parameters(rng, _LAYOUT)
    theta, nothing, state = start.copy(), Parameters.zeros(_LAYOUT, dtype=np.float64), SGD().init(start.vector)
    for _ in range(n):
        update(theta, nothing, SGD(), state, lr, decay=Decay(decoupled=decay))

    mask, revived = random_weight_mask(rng, _LAYOUT), []
    for optimizer in _OPTIMIZERS:
        vector = random_parameters(rng, _LAYOUT).vector
        state = optimizer.init(vector)
        for step in range(65):
            if step == 5:  # from here on the mask is there
                vector *= mask.vector
                state.impose(mask)
            g = rng.standard_normal(_LAYOUT.size) * (mask.vector if step >= 5 else 1)
            vector *= 1 - lr * 0.01  # decoupled decay is a factor, and so does no harm
            optimizer.step(vector, g, state, lr)
            if step >= 5:
                revived.append(np.count_nonzero(vector * (1 - mask.vector)))
    return [
        compare("M9", "a pruned weight under old momentum", "-lr mu v_0 (1 - mu^n) / (1 - mu)",
                moved(Momentum(mu), v=v_0), -lr * mu * v_0 * (1 - mu**n) / (1 - mu)),
        compare("M9", "a pruned weight under an old Adam state", "closed form", moved(adam, m_sum=m_0 / (1 - adam.beta1), s_sum=s_0 / (1 - adam.beta2)), adam_leak),
        compare("M9", "a weight that is not set to 0", "W_0 (1 - lr lambda)^n",
                theta["W1"], start["W1"] * (1 - lr * decay) ** n),
        identical("M16", "pruned weights revived in 60 steps, five optimizers", "none", revived, [0] * len(revived)),
    ]  # fmt: skip


def _projection(rng: np.random.Generator) -> list[Check]:
    """40 steps on a coupled quadratic, so that a difference in any weight would spread."""
    mask, A = random_weight_mask(rng, _LAYOUT), rng.standard_normal((_LAYOUT.size, _LAYOUT.size)) / 10
    decay, ends = Decay(decoupled=0.3, max_norm=0.9), []
    for optimizer in _OPTIMIZERS:
        projected = random_parameters(rng, _LAYOUT) * mask
        masked = projected.copy()
        states = [optimizer.init(projected.vector) for _ in range(2)]
        for _ in range(40):
            update(
                projected,
                Parameters(A @ projected.vector, _LAYOUT),
                optimizer,
                states[0],
                0.05,
                decay=decay,
                weight_mask=mask,
            )
            update(
                masked,
                mask * Parameters(A @ masked.vector, _LAYOUT),
                optimizer,
                states[1],
                0.05,
                decay=decay,
                weight_mask=mask,
            )
        ends.append((projected.vector, masked.vector))
    return [identical("M10", "40 steps, projected; five optimizers", "40 steps with masked gradients", *zip(*ends))]


def _compaction(rng: np.random.Generator) -> list[Check]:
    """A smaller net with the same outputs; the same training, if only units that nobody hears are gone."""
    net, theta = random_net(rng, (6, 8, 7, 5, 3), 1.0, sigmoid)
    sparse = random_weight_mask(rng, net.layout, 0.3)
    sparse["W2"][:, 1] = 0  # deaf, and so are perhaps others
    sparse["W3"][2] = 0  # not heard
    x, labels = random_batch(rng, net, 9)
    small = compact(net, theta, sparse)
    again = compact(small.net, small.theta, small.weight_mask)

    unheard, deaf = (Parameters.ones(net.layout, dtype=np.float64) for _ in range(2))
    unheard["W3"][[1, 4]] = 0
    deaf["W1"][:, [1, 4]] = 0
    trained = {}
    for name, mask in (("unheard", unheard), ("deaf", deaf)):
        little = compact(net, theta, mask)
        start = little.net.forward(little.theta, x)[0], net.forward(theta, x, weight_mask=mask)[0]
        theta_large = _trained(net, theta * mask, x, labels, SGD(), weight_mask=mask)
        theta_small = _trained(little.net, little.theta, x, labels, SGD(), weight_mask=little.weight_mask)
        trained[name] = little.net.forward(theta_small, x)[0], net.forward(theta_large, x, weight_mask=mask)[0]
    return [
        compare("M11", "outputs of a compacted net", "of the masked net",
                small.net.forward(small.theta, x)[0], net.forward(theta, x, weight_mask=sparse)[0]),
        identical("M11", "sizes compacted twice", "compacted once", again.net.sizes, small.net.sizes),
        at_most("M11", "sizes after compaction", "at most 8-6-5", small.net.sizes[1:-1], (8, 6, 5), 0.0),
        compare("M17", "trained without unheard units, 30 steps", "trained with them", *trained["unheard"]),
        compare("M17", "without deaf units, at the start", "with them", *start),
        apart("M17", "trained without deaf units, 30 steps", "trained with them, must differ",
              *trained["deaf"]),
    ]  # fmt: skip


def _trained(net, theta_0, x, labels, optimizer, *, weight_mask=None, unit_masks=None, lr=0.1) -> Parameters:
    """Thirty steps on one batch."""
    theta, state = theta_0.copy(), optimizer.init(theta_0.vector)
    for _ in range(30):
        _, g = loss_and_gradients(net, theta, x, labels, weight_mask=weight_mask, unit_masks=unit_masks)
        update(theta, g, optimizer, state, lr, weight_mask=weight_mask)
    return theta


def _frozen_dropout(rng: np.random.Generator) -> Check:
    """One unit mask for a whole training is the training of the net without those units, the factor 1/q kept."""
    net, theta = random_net(rng, (6, 9, 7, 3), (None, 0.7, 0.8), tanh)
    small = MLP((6, 6, 5, 3), tanh, keep_prob=net.keep_probs)
    x, labels = random_batch(rng, net, 9)
    units = [np.arange(6), np.sort(rng.permutation(9)[:6]), np.sort(rng.permutation(7)[:5]), np.arange(3)]
    masks = [None, *(np.isin(np.arange(n), u).astype(float)[None, :] for n, u in zip((9, 7), units[1:]))]
    ones = [None, np.ones((1, 6)), np.ones((1, 5))]

    def part(p):
        arrays = {}
        for layer in (1, 2, 3):
            arrays[f"W{layer}"] = p[f"W{layer}"][np.ix_(units[layer - 1], units[layer])]
            arrays[f"b{layer}"] = p[f"b{layer}"][units[layer]]
        return Parameters.from_arrays(arrays, small.layout)

    left, right = [], []
    for optimizer in (SGD(), Momentum(0.8), Adam()):
        left.append(part(_trained(net, theta, x, labels, optimizer, unit_masks=masks, lr=0.02)).vector)
        right.append(_trained(small, part(theta), x, labels, optimizer, unit_masks=ones, lr=0.02).vector)
    return compare(
        "M18", "survivors of one unit mask, 30 steps, three optimizers", "the net without those units", left, right
    )
