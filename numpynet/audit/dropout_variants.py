"""Dropout, the variants: noise on weights, noise that is not binary, and masks that depend on the net or on the step.

Every layer's backward pass is held against the complex step with its noise held fixed; what the noise does on average
is listed where it is binary, replaced by signs of the same moments where only these count, and else measured.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from numpynet.audit.bounds import chi_squared, hoeffding, normal
from numpynet.audit.check import Check, at_most, compare, identical, within
from numpynet.audit.draws import (
    all_masks,
    covariance,
    draw_keep_prob,
    loss_and_gradients,
    mask_probability,
    mixed_mask,
    random_batch,
    random_net,
)
from numpynet.equations.alpha_dropout import alpha_dropout_backward, alpha_dropout_forward
from numpynet.equations.dropout import dropconnect_forward
from numpynet.equations.gaussian_dropout import (
    gaussian_dropout_backward,
    gaussian_dropout_forward,
    sample_gaussian_noise,
)
from numpynet.equations.keep_schedules import Curriculum, Early, Late, Linear
from numpynet.equations.linear import linear_forward
from numpynet.equations.losses import softmax, squared_error
from numpynet.equations.masks import prune_lowest, sample_mask
from numpynet.equations.r_drop import r_drop_backward, r_drop_forward
from numpynet.equations.selu import SELU_FLOOR, selu
from numpynet.equations.standout import standout_backward, standout_forward
from numpynet.equations.targeted_dropout import (
    targeted_unit_dropout_backward,
    targeted_unit_dropout_forward,
    targeted_weight_dropout_backward,
    targeted_weight_dropout_forward,
)
from numpynet.equations.variational_dropout import (
    log_alpha_gradient,
    log_alpha_of,
    variational_dropout_backward,
    variational_dropout_forward,
    variational_kl_backward,
    variational_kl_forward,
    variational_mask,
)
from numpynet.gradcheck.numeric import complex_step
from numpynet.optimizers import Adam

_N, _D_IN, _D_OUT = 5, 7, 4


def audit_dropout_variants(seed: int = 0) -> list[Check]:
    """Check DropConnect, Gaussian, variational, alpha, targeted, scheduled and standout dropout and R-Drop: D17 to D26.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_dropout_variants(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [
        *_dropconnect(rng),
        *_gaussian(rng),
        *_variational(rng),
        *_divergence(rng),
        *_alpha(rng),
        *_targeted(rng),
        *_r_drop(rng),
        *_schedules(rng),
        *_standout(rng),
    ]


def _layer(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Input, weights, biases and a weight mask of one layer."""
    shapes = {"x": (_N, _D_IN), "W": (_D_IN, _D_OUT), "b": (_D_OUT,)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return arrays | {"weight_mask": mixed_mask(rng, (_D_IN, _D_OUT), 0.6)}


def _gradients(rng: np.random.Generator, equation: str, what: str, forward, backward, arguments: dict) -> Check:
    """dx, dW and db of a layer against the complex step, all in one row."""
    z, cache = forward(**arguments)
    dz = rng.standard_normal(z.shape)
    numeric = [
        complex_step(lambda value, name=name: (dz * forward(**arguments | {name: value})[0]).sum(), arguments[name])
        for name in ("x", "W", "b")
    ]
    rows = [
        compare(equation, f"dx, dW and db of {what}", "complex step", *pair)
        for pair in zip(backward(dz, cache), numeric)
    ]
    return max(rows, key=lambda row: (not row.passed, row.error))


def _signs(n: int) -> np.ndarray:
    """All 2^n vectors of -1 and 1: on average like standard normal numbers in everything up to the third degree."""
    return 2 * all_masks(n) - 1


# ---- noise on weights, noise that is not binary ----------------------------------------------------------------------


def _dropconnect(rng: np.random.Generator) -> list[Check]:
    """E z = q h W + b; the outputs are independent; E relu(z) is nearly that of a normal number."""
    q = draw_keep_prob(rng)
    h, W, b = rng.standard_normal((1, 2)), rng.standard_normal((2, 3)), rng.standard_normal(3)
    C = all_masks(6)
    P = mask_probability(C, q)
    z = dropconnect_forward(h, W, b, C.reshape(-1, 1, 2, 3))[0][:, 0]  # (2^6, 3)

    n = 12
    h_n, W_n, C_n = rng.uniform(0.5, 1, (1, n)), rng.choice([-1.0, 1.0], (n, 1)), all_masks(n)
    outputs = dropconnect_forward(h_n, W_n, np.zeros(1), C_n[:, None, :, None])[0][:, 0, 0]
    exact = mask_probability(C_n, q) @ np.maximum(outputs, 0)
    mu, s = q * (h_n @ W_n).item(), math.sqrt(q * (1 - q) * (h_n**2).sum())
    t = mu / s
    match = mu * math.erfc(-t / math.sqrt(2)) / 2 + s * math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    third = q * (1 - q) * (q**2 + (1 - q) ** 2) * (h_n**3).sum()  # sum of E |X_i|^3, by Stein's method
    return [
        compare("D17", "mean of z over all 2^6 masks", "q h W + b", P @ z, (q * (h @ W) + b)[0]),
        compare("D17", "covariance of z", "diag(q (1 - q) h^2 W^2)",
                covariance(z, P), np.diag(q * (1 - q) * (h**2 @ W**2)[0])),
        within("D17", "E relu(z) over all 2^12 masks", "normal match, within Stein's bound",
               exact - match, 3 * third / s**2),
    ]  # fmt: skip


def _gaussian(rng: np.random.Generator) -> list[Check]:
    q, n, N, d = draw_keep_prob(rng), 50_000, 4, 3
    variance = (1 - q) / q
    noise = sample_gaussian_noise(rng, (n,), q, dtype=np.float64)
    a = _layer(rng) | {"noise": 1 + rng.standard_normal((_N, _D_IN))}
    x, w, y = rng.standard_normal((N, d)), rng.standard_normal((d, 1)), rng.standard_normal((N, 1))
    masks = all_masks(N * d)
    losses = []
    for xi, P in (
        (1 + variance**0.5 * _signs(N * d), np.full(2 ** (N * d), 2.0 ** -(N * d))),  # of the right mean and variance
        (masks / q, mask_probability(masks, q)),
    ):
        z, _ = gaussian_dropout_forward(x, w, np.zeros(1), xi.reshape(-1, N, d))
        losses.append(P @ squared_error.forward(z, y)[0])
    return [
        _gradients(rng, "D18", "Gaussian dropout", gaussian_dropout_forward, gaussian_dropout_backward, a),
        within("D18", f"mean of {n} noises", "1, within the bound",
               noise.mean() - 1, normal(n, variance, statements=2)),
        within("D18", "their variance, relative", "(1 - q) / q",
               ((noise - 1) ** 2).mean() / variance - 1, chi_squared(n, statements=2)),
        compare("D18", "expected squared error", "that of dropout", *losses),
    ]  # fmt: skip


def _variational(rng: np.random.Generator) -> list[Check]:
    """One draw of noisy weights ties two examples together; a draw of z for each does not."""
    q = draw_keep_prob(rng)
    alpha = (1 - q) / q
    a = _layer(rng) | {"noise": rng.standard_normal((_N, _D_OUT)), "log_alpha": rng.standard_normal((_D_IN, _D_OUT))}
    z, cache = variational_dropout_forward(**a)
    dz = rng.standard_normal(z.shape)
    numeric = complex_step(
        lambda t: (dz * variational_dropout_forward(**a | {"log_alpha": t})[0]).sum(), a["log_alpha"]
    )

    h, theta, b = rng.standard_normal((2, 4)), rng.standard_normal((4, 1)), rng.standard_normal(1)
    z_weights = (h @ (theta * (1 + alpha**0.5 * _signs(4)[..., None])))[..., 0] + b  # (2^4, 2 examples)
    z_local = variational_dropout_forward(h, theta, b, _signs(2)[..., None], log_alpha=log_alpha_of(q))[0][..., 0]
    tied = alpha * (h * theta[:, 0] ** 2) @ h.T
    return [
        _gradients(rng, "D19", "variational dropout", variational_dropout_forward, variational_dropout_backward, a),
        compare("D19", "gradient of log alpha", "complex step", log_alpha_gradient(dz, cache), numeric),
        compare("D19", "mean of z", "h theta + b", z_local.mean(axis=0), (h @ theta + b)[:, 0]),
        compare("D19", "covariance of two examples, own draws", "diag(alpha h^2 theta^2)",
                covariance(z_local, np.full(4, 1 / 4)), np.diag(np.diag(tied))),
        compare("D19", "the same, one draw of the weights", "alpha sum of h h' theta^2",
                covariance(z_weights, np.full(16, 1 / 16)), tied),
    ]  # fmt: skip


def _divergence(rng: np.random.Generator) -> list[Check]:
    log_alpha, M = rng.uniform(-7.5, 7.5, (4, 3)), mixed_mask(rng, (4, 3), 0.7)
    _, cache = variational_kl_forward(log_alpha, weight_mask=M)
    numeric = complex_step(lambda t: 0.7 * variational_kl_forward(t, weight_mask=M)[0], log_alpha)
    grid = np.linspace(-7.5, 7.5, 9)
    approximate = np.array([variational_kl_forward(np.array([[t]]))[0] for t in grid])
    edge = np.array([[2.99, 3.0, 3.01]])
    return [
        compare("D20", "gradient of the divergence", "complex step", variational_kl_backward(0.7, cache), numeric),
        within("D20", "divergence", "exact series, within 0.01",
               approximate - [_exact_divergence(t) for t in grid], 0.01),
        identical("D20", "mask at log alpha 2.99, 3, 3.01", "1, 1, 0", variational_mask(edge), [[1, 1, 0]]),
    ]  # fmt: skip


def _exact_divergence(log_alpha: float) -> float:
    """E log|g + mu| - E log|g| for a normal g and mu = alpha^(-1/2), by the Poisson mixture that (g + mu)^2 is.

    (g + mu)^2 is chi-squared with 1 + 2 j degrees of freedom, j of the Poisson law of mean mu^2 / 2, and its expected
    logarithm is digamma(j + 1/2) + log 2.
    """
    mean = math.exp(-log_alpha) / 2  # mu^2 / 2
    j = np.arange(int(mean + 40 * math.sqrt(mean) + 60))
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(j[1:]))])
    poisson = np.exp(-mean + j * math.log(mean) - log_factorial)
    digamma = np.concatenate([[0.0], np.cumsum(1 / (j[:-1] + 0.5))])  # digamma(j + 1/2) - digamma(1/2)
    return float(poisson @ digamma) / 2


def _alpha(rng: np.random.Generator) -> list[Check]:
    q = draw_keep_prob(rng)
    a = _layer(rng) | {"unit_mask": mixed_mask(rng, (_N, _D_IN), q), "keep_prob": q}
    x, d = np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([[0.0], [1.0], [0.0], [1.0]])  # mean 0, variance 1
    P = np.array([1 - q, q, 1 - q, q]) / 2
    y = alpha_dropout_forward(x, np.ones((1, 1)), np.zeros(1), d, keep_prob=q)[0][:, 0]
    return [
        _gradients(rng, "D21", "alpha dropout", alpha_dropout_forward, alpha_dropout_backward, a),
        compare("D21", "mean and variance after alpha dropout", "0 and 1", [P @ y, P @ y**2], [0.0, 1.0]),
        compare("D21", "SELU far below 0", "alpha'", selu.forward(np.array([[-800.0]]))[0], [[SELU_FLOOR]]),
        compare("D21", "alpha'", "-1.7580993408473766", SELU_FLOOR, -1.7580993408473766),
    ]


# ---- masks that depend on the net, on another pass, on the step ------------------------------------------------------


def _targeted(rng: np.random.Generator) -> list[Check]:
    """Candidates are the k = floor(gamma n) smallest of each unit's n weights; each goes with probability p_d."""
    share, drop_prob, T = 0.6, 0.3, 5000
    weights, units = _layer(rng), _layer(rng)
    weights |= {"uniform": rng.random((_D_IN, _D_OUT)), "target_share": share, "drop_prob": drop_prob}
    units |= {"uniform": rng.random((_N, _D_OUT)), "target_share": share, "drop_prob": drop_prob}
    x, W, b = (weights[name] for name in "xWb")
    k = math.floor(share * _D_IN)
    pruned = np.stack([prune_lowest(np.abs(w), np.ones(_D_IN), k) for w in W.T], axis=-1)
    always, _ = targeted_weight_dropout_forward(x, W, b, weights["uniform"], target_share=share, drop_prob=1.0)
    evaluation, _ = targeted_weight_dropout_forward(x, W, b, None, target_share=share, drop_prob=drop_prob)
    everywhere, _ = targeted_weight_dropout_forward(x, W, b, weights["uniform"], target_share=1.0, drop_prob=drop_prob)
    connected, _ = dropconnect_forward(x, W, b, (weights["uniform"] >= drop_prob).astype(float)[None])
    many = rng.random((T, _D_IN, 1))
    _, cache = targeted_weight_dropout_forward(x, W[:, :1], b[:1], many, target_share=share, drop_prob=drop_prob)
    dropped = (cache.weight_mask == 0).sum(axis=(-2, -1))
    return [
        _gradients(rng, "D22", "targeted dropout of weights",
                   targeted_weight_dropout_forward, targeted_weight_dropout_backward, weights),
        _gradients(rng, "D22", "targeted dropout of units",
                   targeted_unit_dropout_forward, targeted_unit_dropout_backward, units),
        identical("D22", "drop probability 1, and evaluation", "magnitude mask",
                  [always, evaluation], [linear_forward(x, W, b, weight_mask=pruned)[0]] * 2),
        identical("D22", "every weight a candidate", "DropConnect, unscaled", everywhere, connected),
        within("D22", f"dropped weights of a unit, mean of {T}", "p_d k, within the bound",
               dropped.mean() - drop_prob * k, hoeffding(T, width=k)),
    ]  # fmt: skip


def _r_drop(rng: np.random.Generator) -> list[Check]:
    z_1, z_2, step = rng.standard_normal((3, 5, 4))
    loss, cache = r_drop_forward(z_1, z_2)
    p_1, p_2 = softmax(z_1), softmax(z_2)
    by_hand = 0.5 * ((p_1 - p_2) * (np.log(p_1) - np.log(p_2))).sum(axis=-1).mean()
    numeric = (
        complex_step(lambda z: 0.7 * r_drop_forward(z, z_2)[0], z_1),
        complex_step(lambda z: 0.7 * r_drop_forward(z_1, z)[0], z_2),
    )
    near, _ = r_drop_forward(z_1, z_1 + 1e-5 * step)
    fisher = ((p_1 * step**2).sum(axis=-1) - (p_1 * step).sum(axis=-1) ** 2).mean() / 2  # dz^T (diag p - p^T p) dz / 2
    same, _ = r_drop_forward(z_1, z_1 + rng.standard_normal((5, 1)))
    return [
        compare("D23", "R-Drop", "(KL(p1, p2) + KL(p2, p1)) / 2", loss, by_hand),
        compare("D23", "both gradients of R-Drop", "complex step", r_drop_backward(0.7, cache), numeric),
        compare("D23", "R-Drop of equal predictions", "0", same, 0.0),
        compare("D23", "R-Drop near agreement, over the distance^2", "Fisher form / 2", near / 1e-10, fisher, 1e-3),
    ]


def _schedules(rng: np.random.Generator) -> list[Check]:
    q, gamma, n, t = draw_keep_prob(rng), 0.1, 5, np.arange(12)
    curriculum, seed = Curriculum(q, gamma), int(rng.integers(2**32))
    masks = [sample_mask(np.random.default_rng(seed), (20, 30), curriculum(k)) for k in (0, 1, 5, 20)]
    pairs = ((Early(q, n), Late(q, n)), (Linear(q, 1.0, n), Linear(1.0, q, n)))
    added = [[(1 - early(k)) + (1 - late(k)) for k in t] for early, late in pairs]
    net, theta = random_net(rng, (3, 9, 7, 2))
    batches = [random_batch(rng, net, 8) for _ in t]
    with_early = [_train(net, theta, batches, early, rng, cut=n) for early, _ in pairs]
    return [
        compare("D24", "keep_prob of the curriculum", "(1 - q) e^(-gamma t) + q",
                [curriculum(k) for k in t], (1 - q) * np.exp(-gamma * t) + q),
        at_most("D24", "masks of later steps, same numbers drawn", "at most the earlier",
                np.array(masks[1:]), np.array(masks[:-1]), 0.0),
        compare("D25", "early(t) + late(t), drop probabilities", "1 - q", added, np.full((2, len(t)), 1 - q)),
        identical("D25", "training after an early cut-off", "plain training", *zip(*with_early)),
    ]  # fmt: skip


def _train(net, theta, batches, keep_prob_of, rng, *, cut) -> tuple[np.ndarray, np.ndarray]:
    """The parameters after all steps: with the schedule throughout, and with the schedule until the cut-off alone."""
    scheduled, plain, optimizer = theta.copy(), None, Adam()
    states = [optimizer.init(theta.vector)]
    for t, (x, labels) in enumerate(batches):
        if t == cut:
            plain = scheduled.copy()
            states.append(optimizer.init(plain.vector))
            states[1].step = states[0].step
            for name, slot in states[0].slots.items():
                states[1].slots[name][...] = slot
        now = replace(net, keep_prob=keep_prob_of(t))
        unit_masks = now.sample_unit_masks(rng, (len(x),), dtype=np.float64)
        _, g = loss_and_gradients(now, scheduled, x, labels, unit_masks=unit_masks)
        optimizer.step(scheduled.vector, g.vector, states[0], 0.01)
        if plain is not None:
            optimizer.step(plain.vector, loss_and_gradients(net, plain, x, labels)[1].vector, states[1], 0.01)
    return scheduled.vector, plain.vector


def _standout(rng: np.random.Generator) -> list[Check]:
    """Unit j stays with probability g_j = sigmoid(alpha (h W)_j + beta); every mask is made by uniform numbers."""
    alpha, beta, q = 0.7, 0.4, draw_keep_prob(rng)
    settings = {"alpha": alpha, "beta": beta}
    train = _layer(rng) | settings | {"uniform": rng.random((_N, _D_OUT))}
    evaluate = _layer(rng) | settings | {"uniform": None}
    x, W, b = rng.standard_normal((1, 3)), rng.standard_normal((3, 6)), rng.standard_normal(6)
    g = 1 / (1 + np.exp(-(alpha * (x @ W) + beta)))[0]
    masks = all_masks(6)
    uniform = np.where(masks == 1, g / 2, (1 + g) / 2)[:, None, :]  # below g where kept, above where dropped
    z, _ = standout_forward(x, W, b, uniform, **settings)
    mean = np.tensordot(mask_probability(masks, g), z, axes=1)
    u, plain = rng.random((1, 6)), linear_forward(x, W, b)[0]
    constant, _ = standout_forward(x, W, b, u, alpha=0.0, beta=math.log(q / (1 - q)))
    return [
        _gradients(rng, "D26", "standout", standout_forward, standout_backward, train),
        _gradients(rng, "D26", "standout in evaluation", standout_forward, standout_backward, evaluate),
        compare("D26", "mean of z over all 2^6 masks", "g z", mean, g * plain),
        compare("D26", "z in evaluation", "g z", standout_forward(x, W, b, None, **settings)[0], g * plain),
        identical("D26", "standout with alpha = 0", "dropout with q = sigmoid(beta)", constant, (u < q) * plain),
    ]
