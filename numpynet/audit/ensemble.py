"""The ensemble of subnetworks: when one pass is a mean of them all, and what many random ones add to it.

All 2^n subnetworks of a small net are run, each with its probability; the random ones keep a bound from that mean.
"""

from __future__ import annotations

import numpy as np

from numpynet.audit.bounds import bernstein
from numpynet.audit.check import Check, apart, at_most, compare, within
from numpynet.audit.draws import draw_keep_prob, linear_unit, loss_and_gradients, random_net
from numpynet.equations.activations import identity, relu, relu_forward, sigmoid_forward, tanh
from numpynet.equations.ensemble import (
    arithmetic_mean,
    geometric_mean,
    model_precision,
    moments,
    normalized_geometric_mean,
    predict,
)
from numpynet.equations.losses import log_softmax, softmax, squared_error
from numpynet.subnetworks import (
    evaluate_inverted,
    evaluate_standard,
    every_subnetwork,
    list_subnetworks,
    monte_carlo,
    without_scale,
)


def audit_ensemble(seed: int = 0) -> list[Check]:
    """Check weight scaling, Monte Carlo and uncertainty: D10 to D16.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_ensemble(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [*_weight_scaling(rng), *_sigmoid_unit(rng), *_monte_carlo(rng), *_uncertainty(rng)]


def _weight_scaling(rng: np.random.Generator) -> list[Check]:
    """The normalized geometric mean of all subnetworks is one pass: where the theory says so, and not elsewhere."""

    def both(sizes, keep_prob, activation):
        net, theta = random_net(rng, sizes, keep_prob, activation)
        x = rng.standard_normal((4, sizes[0]))
        logits, P = every_subnetwork(net, theta, x)
        return normalized_geometric_mean(softmax(logits), P), softmax(evaluate_inverted(net, theta, x))

    net, theta = random_net(rng, (6, 3), (draw_keep_prob(rng),))
    v, (masks, P) = rng.standard_normal((4, 6)), list_subnetworks(net)
    standard = softmax(without_scale(net).forward(theta, v, unit_masks=masks)[0])
    q = draw_keep_prob(rng)
    net_12, theta_12 = random_net(rng, (3, 7, 4), (None, q), relu)
    x = rng.standard_normal((6, 3))
    logits, P_12 = every_subnetwork(net_12, theta_12, x)
    mean_log_p = arithmetic_mean(log_softmax(logits), P_12)
    mean, one_pass = "normalized geometric mean", "one pass, weights scaled"
    return [
        compare("D10", f"{mean}, softmax regression", one_pass, *both((6, 3), (draw_keep_prob(rng),), identity)),
        compare("D10", f"{mean}, the same, standard", one_pass,
                normalized_geometric_mean(standard, P), softmax(evaluate_standard(net, theta, v))),
        compare("D11", f"{mean}, deep linear net", one_pass, *both((3, 4, 2, 3), (0.8, 0.6, 0.3), identity)),
        compare("D11", f"{mean}, dropout before the last layer", one_pass, *both((3, 5, 6, 4), (None, None, q), relu)),
        apart("D11", f"{mean}, inner dropout", f"{one_pass}, must differ",
              *both((6, 5, 3), (0.7, None), tanh)),
        at_most("D12", "E log p over all masks, every class", "at most log p of evaluation",
                mean_log_p, log_softmax(evaluate_inverted(net_12, theta_12, x))),
    ]  # fmt: skip


def _sigmoid_unit(rng: np.random.Generator) -> list[Check]:
    n, q = 6, draw_keep_prob(rng)
    net, theta = random_net(rng, (n, 1), (q,))
    inputs, (masks, P) = rng.standard_normal((1, n)), list_subnetworks(net)
    S = without_scale(net).forward(theta, inputs, unit_masks=masks)[0][:, 0, 0]
    O = sigmoid_forward(S)[0]
    G, G_complement = geometric_mean(O, P), geometric_mean(1 - O, P)
    w, target = theta["W1"][:, 0], rng.standard_normal((1, 1))
    unit, weights = linear_unit(w, q)
    error, _ = loss_and_gradients(without_scale(unit), weights, inputs, target, unit_masks=masks, loss=squared_error)
    ensemble = 0.5 * (target[0, 0] - q * inputs[0] @ w) ** 2
    return [
        compare("D13", "G / (G + G'), a sigmoid unit", "sigmoid(E S)",
                G / (G + G_complement), sigmoid_forward(P @ S)[0]),
        compare("D14", "expected error of a linear unit", "of the ensemble, plus a variance",
                P @ error, ensemble + 0.5 * q * (1 - q) * (w**2 @ inputs[0] ** 2)),
    ]  # fmt: skip


def _monte_carlo(rng: np.random.Generator) -> list[Check]:
    T = 5000
    net, theta = random_net(rng, (3, 5, 4, 3), (0.8, 0.3, None), relu)
    x = rng.standard_normal((2, 3))
    logits, P = every_subnetwork(net, theta, x)
    mean, variance = moments(softmax(logits), P)
    rows = []
    for shared in (False, True):
        found = arithmetic_mean(softmax(monte_carlo(net, theta, x, rng, T, shared=shared)))
        bound = bernstein(T, 1.0, variance, statements=mean.size)
        what = f"mean of {T} random subnetworks, {'shared' if shared else 'own'} masks"
        rows.append(within("D15", what, "of all 2^8, within the bound", found - mean, bound))
    return rows


def _uncertainty(rng: np.random.Generator) -> list[Check]:
    q = draw_keep_prob(rng)
    net, theta = random_net(rng, (3, 7, 2), (None, q), relu)
    x = rng.standard_normal((4, 3))
    h = relu_forward(x @ theta["W1"] + theta["b1"])[0]
    _, variance = moments(*every_subnetwork(net, theta, x))
    logits, P = every_subnetwork(*random_net(rng, (3, 4, 3), (q, 0.6), tanh), x)
    answer, p = predict(logits, P), softmax(logits)
    mean = np.tensordot(P, p, axes=1)
    entropy, mean_entropy = -(mean * np.log(mean)).sum(axis=-1), P @ -(p * np.log(p)).sum(axis=-1).reshape(len(P), -1)
    f, N, length, penalty, (squares, norm) = rng.standard_normal((6, 3)), 50, 0.7, 0.01, rng.uniform(1, 9, 2)
    tau = model_precision(q, length, N, penalty)
    return [
        compare("D16", "variance of the outputs", "(1 - q) / q sum of h^2 W^2",
                variance, (1 - q) / q * h**2 @ theta["W2"] ** 2),
        compare("D16", "variance of T values", "mean of f^2 - (mean of f)^2",
                moments(f)[1], (f**2).mean(axis=0) - f.mean(axis=0) ** 2),
        compare("D16", "mutual information", "H(mean p) - mean H(p)",
                answer.mutual_information, entropy - mean_entropy),
        at_most("D16", "minus the mutual information", "at most 0", -answer.mutual_information, 0.0),
        compare("D16", "tau N (|Z - T|^2 / 2N + lambda |W|^2)", "tau |Z - T|^2 / 2 + q l^2 |W|^2 / 2",
                tau * N * (squares / (2 * N) + penalty * norm), tau * squares / 2 + q * length**2 * norm / 2),
    ]  # fmt: skip
