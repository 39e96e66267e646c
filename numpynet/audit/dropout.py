"""Dropout, the laws: over all masks of a small net, each with its probability, nothing is left to chance.

What the masks do to pre-activations, to gradients and to the loss, what the two conventions have in common, and what
dropout in the wrong place comes to.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from numpynet.audit.check import Check, apart, at_most, compare, identical
from numpynet.audit.draws import (
    all_masks,
    covariance,
    draw_keep_prob,
    linear_unit,
    loss_and_gradients,
    mask_probability,
    mixed_mask,
    random_batch,
    random_net,
)
from numpynet.equations.activations import identity, leaky_relu, relu, sigmoid, sigmoid_forward, tanh
from numpynet.equations.dropout import inverted_dropout_forward, standard_dropout_forward
from numpynet.equations.logistic import logistic_loss, softplus
from numpynet.equations.losses import softmax_cross_entropy_forward, squared_error
from numpynet.equations.masks import sample_mask
from numpynet.gradcheck.numeric import complex_step
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum, Nesterov, project_max_norm
from numpynet.parameters import Parameters
from numpynet.subnetworks import (
    evaluate_inverted,
    evaluate_standard,
    every_subnetwork,
    list_subnetworks,
    standard_to_inverted,
    without_scale,
)


def audit_dropout(seed: int = 0) -> list[Check]:
    """Check the laws of dropout: D1 to D9 and D27 to D31.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_dropout(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [
        *_mask_law(rng),
        *_conventions(rng),
        *_trainings(rng),
        *_mean_gradient(rng),
        *_regression(rng),
        *_shared_mask(rng),
        *_adaptive_penalty(rng),
        *_max_norm(rng),
        *_mistakes(rng),
        *_order_of_mask_and_activation(rng),
        _second_moment(rng),
    ]


def _mask_law(rng: np.random.Generator) -> list[Check]:
    """P(d) is a product over units; d h / q has mean h and variance h^2 (1 - q) / q; the units behind share noise."""
    q_1, q_2 = draw_keep_prob(rng), 0.9
    (inputs, hidden), probability = list_subnetworks(MLP((3, 4, 2), keep_prob=(q_1, q_2)))
    product = mask_probability(inputs[:, 0], q_1) * mask_probability(hidden[:, 0], q_2)
    q = draw_keep_prob(rng)
    net, theta = random_net(rng, (7, 3), (q,))
    (masks,), P = list_subnetworks(net)
    h, W = rng.standard_normal((1, 7)), theta["W1"]
    dropped = inverted_dropout_forward(h, masks, q)[0][:, 0]  # (2^7, 7)
    z = every_subnetwork(net, theta, h)[0][:, 0]  # (2^7, 3)
    ones = sample_mask(rng, (50, 40), 1.0)
    return [
        compare("D1", "probability of every subnetwork", "product of q and 1 - q over units", probability, product),
        compare("D1", "sum of the probabilities", "1", probability.sum(), 1.0),
        compare("D1", "variance of d h / q over all masks", "h^2 (1 - q) / q",
                P @ (dropped - h) ** 2, h[0] ** 2 * (1 - q) / q),
        compare("D3", "mean of z over all masks", "h W + b", P @ z, (h @ W + theta["b1"])[0]),
        compare("D3", "covariance of z over all masks", "(1 - q) / q W^T diag(h^2) W",
                covariance(z, P), (1 - q) / q * (W.T * h**2) @ W),
        identical("D6", "mask drawn at keep_prob 1", "all ones", ones, np.ones((50, 40))),
    ]  # fmt: skip


def _conventions(rng: np.random.Generator) -> list[Check]:
    net, W = random_net(rng, (3, 4, 6, 2), (draw_keep_prob(rng), None, draw_keep_prob(rng)), tanh)
    V, x = standard_to_inverted(net, W), rng.standard_normal((5, 3))
    masks, _ = list_subnetworks(net)
    standard, _ = without_scale(net).forward(W, x, unit_masks=masks)
    inverted, _ = net.forward(V, x, unit_masks=masks)
    one_pass = evaluate_standard(net, W, x), evaluate_inverted(net, V, x)
    return [
        compare("D2", "a standard net with all 2^9 masks", "inverted with V = q W", standard, inverted),
        compare("D2", "a standard net in evaluation", "inverted with V = q W", *one_pass),
    ]


# ---- whole trainings -------------------------------------------------------------------------------------------------


def _trainings(rng: np.random.Generator) -> list[Check]:
    """Rates, decay and epsilon of standard dropout, turned layer by layer into those that train V = q W alike."""
    lr, coupled, decoupled = 0.05, 0.03, 0.02
    rows = []
    for optimizer in (SGD(), Momentum(0.9), Nesterov(0.9), Adam(epsilon=1e-3)):
        net, W = random_net(rng, (5, 7, 6, 3), (0.8, None, 0.3), relu)
        W *= 0.5
        adam, standard, inverted = isinstance(optimizer, Adam), {}, {}
        for name in net.layout.shapes:  # biases keep their rule, and do not decay
            standard[name] = inverted[name] = (optimizer, lr, 0.0, 0.0)
        for name, q in zip(net.layout.weight_names, net.keep_probs):
            q = 1.0 if q is None else q
            standard[name] = (optimizer, lr, coupled, decoupled)
            if adam:  # (lr, epsilon) -> (q lr, epsilon / q)
                scaled = replace(optimizer, epsilon=optimizer.epsilon / q)
                inverted[name] = (scaled, q * lr, coupled / q**2, decoupled / q)
            else:  # (lr, lambda) -> (q^2 lr, lambda / q^2)
                inverted[name] = (optimizer, q**2 * lr, coupled / q**2, decoupled / q**2)
        batches = [(*random_batch(rng, net, 8), net.sample_unit_masks(rng, (8,), dtype=np.float64)) for _ in range(40)]
        trained_W = _train(without_scale(net), W, standard, batches)
        trained_V = _train(net, standard_to_inverted(net, W), inverted, batches)
        expected = standard_to_inverted(net, trained_W).vector
        rule = "q lr, epsilon / q" if adam else "q^2 lr, lambda / q^2"
        what = f"40 steps of {type(optimizer).__name__}, inverted with {rule}"
        rows.append(compare("D4", what, "q W of the standard net", trained_V.vector, expected))
    return rows


def _train(net, theta_0, rules, batches) -> Parameters:
    """A training in which every array has an optimizer, a rate and two decays of its own."""
    theta = theta_0.copy()
    states = {name: rules[name][0].init(theta[name]) for name in theta}
    for x, labels, unit_masks in batches:
        _, gradients = loss_and_gradients(net, theta, x, labels, unit_masks=unit_masks)
        for name, (optimizer, lr, coupled, decoupled) in rules.items():
            g = gradients[name] + coupled * theta[name]
            theta[name][...] *= 1 - lr * decoupled
            optimizer.step(theta[name], g, states[name], lr)
    return theta


# ---- what dropout does to the gradient and to the loss ---------------------------------------------------------------


def _mean_gradient(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (3, 4, 2), (0.8, 0.6), tanh)
    x, labels = random_batch(rng, net, 5)
    masks, P = list_subnetworks(net)

    def mean_loss(vector):
        return P @ loss_and_gradients(net, Parameters(vector, net.layout), x, labels, unit_masks=masks)[0]

    mean = P @ loss_and_gradients(net, theta, x, labels, unit_masks=masks)[1].vector
    evaluation = loss_and_gradients(net, theta, x, labels)[1].vector
    numeric = complex_step(mean_loss, theta.vector)
    return [
        compare("D5", "mean gradient over all 2^7 masks", "gradient of the mean loss, complex step", mean, numeric),
        apart("D5", "the same mean gradient", "gradient of evaluation, must differ", mean, evaluation),
    ]  # fmt: skip


def _regression(rng: np.random.Generator) -> list[Check]:
    """Dropout makes ridge regression of a linear one: E |y - (D X / q) w|^2 = |y - X w|^2 + (1 - q) / q |Gamma w|^2."""
    N, n, q = 4, 3, draw_keep_prob(rng)
    X, y, w = rng.standard_normal((N, n)), rng.standard_normal((N, 1)), rng.standard_normal(n)
    gamma_2 = (X**2).sum(axis=0)
    ridge = ((y[:, 0] - X @ w) ** 2).sum() + (1 - q) / q * gamma_2 @ w**2
    standard_ridge = ((y[:, 0] - q * X @ w) ** 2).sum() + q * (1 - q) * gamma_2 @ w**2
    minimiser = np.linalg.solve(X.T @ X + (1 - q) / q * np.diag(gamma_2), X.T @ y)[:, 0]
    net, theta = linear_unit(w, q)
    rows = []
    for name, masks in (("own", all_masks(N * n).reshape(-1, N, n)), ("shared", all_masks(n)[:, None, :])):
        P = mask_probability(masks.reshape(len(masks), -1), q)
        inverted, _ = loss_and_gradients(net, theta, X, y, unit_masks=[masks], loss=squared_error)
        standard, _ = loss_and_gradients(without_scale(net), theta, X, y, unit_masks=[masks], loss=squared_error)
        rows += [
            compare("D7", f"expected squared error, {name} masks", "ridge regression", 2 * N * (P @ inverted), ridge),
            compare("D7", f"the same, standard, {name} masks", "ridge regression",
                    2 * N * (P @ standard), standard_ridge),
        ]  # fmt: skip
    _, best = linear_unit(minimiser, q)
    _, gradients = loss_and_gradients(net, best, X, y, unit_masks=[masks], loss=squared_error)
    slope = (P @ gradients.vector)[:-1]  # the last entry belongs to the bias, which is not there
    return [*rows, compare("D7", "mean gradient at the ridge minimiser", "0", slope, np.zeros(n))]


def _shared_mask(rng: np.random.Generator) -> list[Check]:
    """One mask for the batch: the same mean gradient; its variance differs by the covariances of the examples."""
    N, n, q = 3, 3, draw_keep_prob(rng)
    net, theta = random_net(rng, (n, 1), (q,))
    X, y = rng.standard_normal((N, n)), rng.standard_normal((N, 1))

    def gradients(rows, masks):
        return loss_and_gradients(net, theta, X[rows], y[rows], unit_masks=[masks], loss=squared_error)[1].vector

    own, shared = all_masks(N * n), all_masks(n)
    P_own, P = mask_probability(own, q), mask_probability(shared, q)
    g_own, g_shared = gradients(slice(None), own.reshape(-1, N, n)), gradients(slice(None), shared[:, None, :])
    variance_own, variance_shared = np.trace(covariance(g_own, P_own)), np.trace(covariance(g_shared, P))
    singles = np.stack([gradients([i], shared[:, None, :]) / N for i in range(N)])  # (N, 2^n, P)
    deviation = singles - np.tensordot(singles, P, axes=(1, 0))[:, None]
    among = np.einsum("s,isk,jsk->ij", P, deviation, deviation)
    return [
        compare("D8", "mean gradient with one mask for the batch", "with own masks", P @ g_shared, P_own @ g_own),
        compare("D8", "its variance - that with own masks", "covariances of the examples",
                variance_shared - variance_own, among.sum() - np.trace(among), scale=variance_shared),
    ]  # fmt: skip


def _adaptive_penalty(rng: np.random.Generator) -> list[Check]:
    """E loss = loss + R, where R = sum of E A(x~ beta) - A(x beta) knows no labels; A is softplus."""
    N, n, q = 5, 4, draw_keep_prob(rng)
    X, beta = rng.standard_normal((N, n)), rng.standard_normal(n)

    def penalty(beta):
        z, P = every_subnetwork(*linear_unit(beta, q), X)  # (2^n, N, 1)
        return (P @ softplus(z)[..., 0] - softplus(X @ beta)).sum()

    net, theta = linear_unit(beta, q)
    masks, P = list_subnetworks(net)
    differences = []
    for labels in rng.permuted(np.tile([[0.0], [1.0], [1.0], [0.0], [1.0]], (2, 1, 1)), axis=1):
        dropped, _ = loss_and_gradients(net, theta, X, labels, unit_masks=masks, loss=logistic_loss)
        plain, _ = loss_and_gradients(net, theta, X, labels, loss=logistic_loss)
        differences.append(N * (P @ dropped - plain))
    R, small = penalty(beta), 1e-3 * beta
    sigma = sigmoid_forward(X @ small)[0]
    quadratic = 0.5 * (1 - q) / q * (sigma * (1 - sigma)) @ (X**2 @ small**2)
    return [
        compare("D9", "E loss - loss, for two sets of labels", "the penalty R, without labels",
                differences, [R, R], scale=N),
        at_most("D9", "minus R", "at most 0", -R, 0.0),
        compare("D9", "R of weights of size 10^-3", "its quadratic form", penalty(small), quadratic, 1e-3),
    ]  # fmt: skip


# ---- beside dropout, and instead of it -------------------------------------------------------------------------------


def _max_norm(rng: np.random.Generator) -> list[Check]:
    limit, M = 1.0, mixed_mask(rng, (6, 5), 0.7)
    W = M * rng.standard_normal((6, 5)) * np.array([0.1, 1.0, 10.0, 1.0, 0.3])
    W[:, 3] = 0.0
    projected = project_max_norm(W, limit)
    before, after = np.linalg.norm(W, axis=0), np.linalg.norm(projected, axis=0)
    return [
        compare("D27", "norms after the projection", "min(|w|, limit)", after, np.minimum(before, limit)),
        compare("D27", "direction, w |w'|", "w' |w|", W * after, projected * before),
        compare("D27", "projected twice", "projected once", project_max_norm(projected, limit), projected),
        identical("D27", "zeros after the projection", "zeros before", projected == 0, W == 0),
    ]


def _mistakes(rng: np.random.Generator) -> list[Check]:
    """Dropout on the logits has a floor; a layer that returns its mask has one loss, whatever the net."""
    K, q = 5, draw_keep_prob(rng)
    r, masks = 1 - q, all_masks(K)
    P, label = mask_probability(masks, q), np.array([1])

    def expected(logits, forward):
        return P @ softmax_cross_entropy_forward(forward(logits, masks[:, None, :])[0], label)[0]

    def inverted(logits, masks):
        return inverted_dropout_forward(logits, masks, q)

    floor = r * sum(math.comb(K - 1, j) * r**j * q ** (K - 1 - j) * math.log(1 + j) for j in range(K))
    best = np.where(np.arange(K) == 1, 60.0, -60.0)[None, :]
    anywhere = [expected(logits, inverted) for logits in 10 * rng.standard_normal((20, 1, K))]
    bare = sum(math.comb(K, k) * q**k * r ** (K - k) * math.log(k * math.e + K - k) for k in range(K + 1)) - q
    returned = P @ softmax_cross_entropy_forward(masks[:, None, :], label)[0]
    name = "r E ln(1 + Bin(K - 1, r))"
    return [
        compare("D28", "loss of dropped logits at +-60", name, expected(best, inverted), floor),
        compare("D28", "the same, standard", name, expected(best, standard_dropout_forward), floor),
        at_most("D28", name, "at most the loss of any dropped logits", floor, np.array(anywhere)),
        compare("D29", "loss of a layer that returns its mask", "E ln(k e + K - k) - q", returned, bare),
    ]


def _order_of_mask_and_activation(rng: np.random.Generator) -> list[Check]:
    """phi(d z / q) = d phi(z) / q if phi is positively homogeneous, phi(d z) = d phi(z) if phi(0) = 0, and else not."""
    z, q = rng.standard_normal((4, 6)), draw_keep_prob(rng)
    d = mixed_mask(rng, (4, 6), q)

    def sides(x, activations):
        return [a.forward(x * z)[0] for a in activations], [x * a.forward(z)[0] for a in activations]

    return [
        compare("D30", "phi(d z / q), ReLU, leaky ReLU, identity", "d phi(z) / q",
                *sides(d / q, (relu, leaky_relu, identity))),
        compare("D30", "phi(d z), the same and tanh", "d phi(z)", *sides(d, (relu, leaky_relu, identity, tanh))),
        apart("D30", "phi(d z / q), tanh", "d phi(z) / q, must differ", *sides(d / q, (tanh,))),
        apart("D30", "phi(d z / q), sigmoid", "d phi(z) / q, must differ", *sides(d / q, (sigmoid,))),
        apart("D30", "phi(d z), sigmoid", "d phi(z), must differ", *sides(d, (sigmoid,))),
    ]  # fmt: skip


def _second_moment(rng: np.random.Generator) -> Check:
    """Over all masks and all signs of the weights at once: only their mean 0 and their variance matter."""
    n, q, std = 5, draw_keep_prob(rng), 0.7
    h, net = rng.standard_normal((1, n)), MLP((n, 1), keep_prob=(q,))
    theta = Parameters.zeros(net.layout, replicates=(2**n,), dtype=np.float64)
    theta["W1"] = std * (2 * all_masks(n) - 1)[..., None]
    z, P = every_subnetwork(net, theta, h)  # (2^n masks, 2^n weights, 1, 1)
    return compare(
        "D31",
        "E z^2 over all masks and weights",
        "Var W sum of h^2 / q",
        P @ (z**2).mean(axis=(1, 2, 3)),
        std**2 * (h**2).sum() / q,
    )
