"""The layers: every gradient of a masked, dropped-out network, held against the complex step.

This is the short audit, a quarter of a second long, that the demo shows first.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from numpynet.audit.bounds import hoeffding
from numpynet.audit.check import TOLERANCE, Check, compare, identical, within
from numpynet.audit.draws import all_masks, mask_probability, mixed_mask, random_parameters, random_weight_mask
from numpynet.equations import activations as act
from numpynet.equations.dropout import (
    dropconnect_backward,
    dropconnect_forward,
    inverted_dropout_backward,
    inverted_dropout_forward,
    standard_dropout_evaluate,
    standard_dropout_forward,
)
from numpynet.equations.linear import dense_gradient, linear_backward, linear_forward, mask_gradients
from numpynet.equations.logistic import logistic_loss_backward, logistic_loss_forward
from numpynet.equations.losses import (
    l2_penalty_backward,
    l2_penalty_forward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    squared_error_backward,
    squared_error_forward,
)
from numpynet.equations.masks import prune_count, prune_lowest, sample_mask
from numpynet.gradcheck.numeric import complex_direction, complex_step
from numpynet.network import MLP
from numpynet.parameters import Parameters


def audit_layers(seed: int = 0) -> list[Check]:
    """Check every implemented equation of the masked layer, of the losses and of the masks, on numbers of this seed.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison; all of them pass unless the code is wrong.

    Examples
    --------
    >>> all(check.passed for check in audit_layers(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [
        *_linear_checks(rng),
        *_activation_checks(rng),
        *_loss_checks(rng),
        *_softmax_checks(rng),
        *_logistic_checks(rng),
        *_dropout_checks(rng),
        *_mask_checks(rng),
        *_network_checks(rng),
    ]


def _linear_checks(rng: np.random.Generator) -> list[Check]:
    N, d_in, d_out, q = 5, 7, 4, 0.7
    x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out)
    D, M = mixed_mask(rng, (N, d_in), q), mixed_mask(rng, (d_in, d_out), 0.6)
    dy = rng.standard_normal((N, d_out))

    def run(x=x, W=W, b=b, D=D, M=M):
        return linear_forward(x, W, b, unit_mask=D, keep_prob=q, weight_mask=M)

    def judged(name: str) -> np.ndarray:
        start = {"x": x, "W": W, "b": b, "D": D, "M": M}[name]
        return complex_step(lambda value: (dy * run(**{name: value})[0]).sum(), start)

    y, cache = run()
    dx, dW, db = linear_backward(dy, cache)
    dM, dD = mask_gradients(dy, cache)
    by_hand = np.einsum("ni,ni,ij,ij->nj", D, x / q, M, W) + b
    dense = complex_step(lambda W: (dy * run(W=W, M=np.ones_like(M))[0]).sum(), M * W)
    return [
        compare("B1", "masked forward pass", "sum over indices", y, by_hand),
        compare("B5", "dW of the masked layer", "complex step", dW, judged("W")),
        identical("B5", "dW at pruned weights", "exactly 0", dW * (1 - M), np.zeros_like(dW)),
        compare("B5", "db", "complex step", db, judged("b")),
        compare("B6", "dx through both masks", "complex step", dx, judged("x")),
        identical("B3", "dx at dropped units", "exactly 0", dx * (1 - D), np.zeros_like(dx)),
        compare("B22", "dense gradient G", "complex step", dense_gradient(dy, cache), dense),
        compare("B23", "gradient with respect to the weight mask", "complex step", dM, judged("M")),
        compare("B23", "gradient with respect to the unit mask", "complex step", dD, judged("D")),
    ]


def _activation_checks(rng: np.random.Generator) -> list[Check]:
    rows = []
    for equation, activation in (
        ("B11", act.relu),
        ("B12", act.leaky_relu),
        ("B13", act.tanh),
        ("B14", act.sigmoid),
        ("B15", act.identity),
    ):
        z, dh = rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
        _, cache = activation.forward(z)
        numeric = complex_step(lambda z, activation=activation, dh=dh: (dh * activation.forward(z)[0]).sum(), z)
        rows.append(
            compare(equation, f"dz of {activation.name}", "complex step", activation.backward(dh, cache), numeric)
        )
    z, dh = rng.standard_normal((2, 6, 3))
    every = (act.relu, act.leaky_relu, act.tanh, act.sigmoid, act.identity)
    slopes = [complex_direction(lambda z, a=a: a.forward(z)[0], z, np.ones_like(z)) for a in every]
    dz = [a.backward(dh, a.forward(z)[1]) for a in every]
    rows.append(compare("B4", "dz of all five activations", "slope by complex step, times dh", dz, slopes * dh))
    kink = np.zeros((1, 1))  # no random number lands there, but a masked input with bias 0 does
    for equation, activation, slope in (("B11", act.relu, 0.0), ("B12", act.leaky_relu, 0.01)):
        at_zero = activation.backward(np.ones_like(kink), activation.forward(kink)[1])
        rows.append(
            compare(equation, f"slope of {activation.name} at z = 0", f"{slope:g}, by definition", at_zero, [[slope]])
        )
    return rows


def _loss_checks(rng: np.random.Generator) -> list[Check]:
    N, K = 6, 5
    logits, targets, labels = rng.standard_normal((N, K)), rng.standard_normal((N, K)), rng.integers(0, K, N)
    upstream = 0.7  # not 1: a backward pass that ignores its upstream gradient has to show
    _, cache = softmax_cross_entropy_forward(logits, labels)
    delta = softmax_cross_entropy_backward(upstream, cache)
    delta_numeric = complex_step(lambda z: upstream * softmax_cross_entropy_forward(z, labels)[0], logits)
    _, squared_cache = squared_error_forward(logits, targets)
    squared_numeric = complex_step(lambda z: upstream * squared_error_forward(z, targets)[0], logits)
    W, M = rng.standard_normal((4, 3)), mixed_mask(rng, (4, 3), 0.6)
    _, l2_cache = l2_penalty_forward(W, 0.3, weight_mask=M)
    l2 = l2_penalty_backward(upstream, l2_cache)
    l2_numeric = complex_step(lambda W: upstream * l2_penalty_forward(W, 0.3, weight_mask=M)[0], W)
    constant = softmax_cross_entropy_forward(np.zeros((N, K)), labels)[0]
    return [
        compare("B17", "log softmax, shifted by 1000", "log softmax", log_softmax(logits + 1000), log_softmax(logits)),
        compare("B18", "cross-entropy of constant logits", "log K", constant, np.log(K)),
        compare("B2", "softmax cross-entropy delta", "complex step", delta, delta_numeric),
        compare(
            "B20",
            "squared error delta",
            "complex step",
            squared_error_backward(upstream, squared_cache),
            squared_numeric,
        ),
        compare("B21", "L2 penalty, masked", "complex step", l2, l2_numeric),
        identical("B21", "L2 penalty at pruned weights", "exactly 0", l2 * (1 - M), np.zeros_like(l2)),
    ]


def _softmax_checks(rng: np.random.Generator) -> list[Check]:
    logits, G = rng.standard_normal((2, 6, 5))
    p, log_p = softmax(logits), log_softmax(logits)
    shift = rng.standard_normal((6, 1))
    jacobian = np.concatenate([softmax_backward(row[None, :], p[:1]) for row in np.eye(5)])
    p_numeric = complex_step(lambda z: (G * softmax(z)).sum(), logits)
    log_p_numeric = complex_step(lambda z: (G * log_softmax(z)).sum(), logits)
    return [
        compare("B16", "softmax", "exp of log softmax", p, np.exp(log_p)),
        compare("B16", "softmax of shifted rows", "softmax", softmax(logits + shift), p),
        compare("B16", "dz of softmax", "complex step", softmax_backward(G, p), p_numeric),
        compare("B16", "Jacobian of softmax", "diag p - p^T p", jacobian, np.diag(p[0]) - p[:1].T @ p[:1]),
        compare("B17", "dz of log softmax", "complex step", log_softmax_backward(G, log_p), log_p_numeric),
    ]


def _logistic_checks(rng: np.random.Generator) -> list[Check]:
    z, labels, upstream = 3 * rng.standard_normal((6, 1)), rng.integers(0, 2, 6), 0.7
    targets = labels[:, None].astype(np.float64)
    loss, cache = logistic_loss_forward(z, targets)
    two_classes, _ = softmax_cross_entropy_forward(np.concatenate([np.zeros_like(z), z], axis=-1), labels)
    numeric = complex_step(lambda z: upstream * logistic_loss_forward(z, targets)[0], z)
    return [
        compare("B19", "logistic loss", "cross-entropy of (0, z)", loss, two_classes),
        compare("B19", "logistic delta", "complex step", logistic_loss_backward(upstream, cache), numeric),
    ]


def _dropout_checks(rng: np.random.Generator) -> list[Check]:
    N, d_in, d_out, q = 3, 6, 4, 0.8
    h, W = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out))
    b, dy, D = rng.standard_normal(d_out), rng.standard_normal((N, d_in)), mixed_mask(rng, (N, d_in), q)
    _, cache = inverted_dropout_forward(h, D, q)
    numeric = complex_step(lambda h: (dy * inverted_dropout_forward(h, D, q)[0]).sum(), h)
    every = all_masks(d_in)  # (2^6, 6)
    outputs = linear_forward(h, W, b, unit_mask=every[:, None, :], keep_prob=q)[0]  # (2^6, N, d_out)
    mean = np.tensordot(mask_probability(every, q), outputs, axes=1)  # (N, d_out)
    standard = standard_dropout_forward(h, D)[0] @ W
    C, dz = mixed_mask(rng, (N, d_in, d_out), q), rng.standard_normal((N, d_out))
    _, drop_cache = dropconnect_forward(h, W, b, C, keep_prob=q)
    dh, dW, _ = dropconnect_backward(dz, drop_cache)

    def connected(h=h, W=W):
        return (dz * dropconnect_forward(h, W, b, C, keep_prob=q)[0]).sum()

    n = 100_000
    kept = sample_mask(rng, (n,), q).mean(dtype=np.float64)
    bound = hoeffding(n)
    return [
        within("D6", f"share of units kept, of {n}", f"{q:g}, within {bound:.2f}", kept - q, bound),
        compare("B3", "dropout backward", "complex step", inverted_dropout_backward(dy, cache), numeric),
        compare("D1", "mean over all 2^6 masks", "the net without dropout", mean, h @ W + b),
        compare(
            "D2", "standard, training", "inverted with q W", standard, inverted_dropout_forward(h, D, q)[0] @ (q * W)
        ),
        compare("D2", "standard, evaluation", "inverted with q W", standard_dropout_evaluate(h, q) @ W, h @ (q * W)),
        compare("D17", "DropConnect dW", "complex step", dW, complex_step(lambda W: connected(W=W), W)),
        compare("D17", "DropConnect dx", "complex step", dh, complex_step(lambda h: connected(h=h), h)),
    ]


def _mask_checks(rng: np.random.Generator) -> list[Check]:
    scores, alive, rate = rng.standard_normal((9, 7)), mixed_mask(rng, (9, 7), 0.6), 0.2
    k = prune_count(rate, int(alive.sum()))
    pruned = prune_lowest(scores, alive, k)
    removed, kept = scores[alive > pruned], scores[pruned == 1]
    disorder = (removed[:, None] > kept).sum()
    first, output = 235200, 1000  # weights of the first and of the last layer of 784-300-100-10
    for _ in range(18):
        first, output = first - prune_count(rate, first), output - prune_count(rate / 2, output)
    return [
        identical("M1", "M * M", "M, bit for bit", alive * alive, alive),
        identical("L2", "survivors of one pruning step", "alive - k, exactly", pruned.sum(), alive.sum() - k),
        identical("L2", "pruned weights with a larger score than a kept one", "none", disorder, 0),
        identical("L2", "survivors of 18 rounds at 0.2 and 0.1", "4237 and 149", [first, output], [4237, 149]),
        identical("L6", "pruned weights that came back", "none", (pruned * (1 - alive)).sum(), 0),
    ]


def _network_checks(rng: np.random.Generator) -> list[Check]:
    """A whole net with dropout on the input and on the hidden layers and a weight mask: every single parameter."""
    rows = []
    for activation in (act.relu, act.tanh):
        net = MLP((6, 9, 5, 4), activation=activation, keep_prob=(0.9, 0.8, 0.6))
        theta = random_parameters(rng, net.layout)
        mask = random_weight_mask(rng, net.layout, 0.5)
        x, labels = rng.standard_normal((7, 6)), rng.integers(0, 4, 7)
        unit_masks = net.sample_unit_masks(rng, (7,), dtype=np.float64)
        loss = partial(_loss, net=net, x=x, labels=labels, mask=mask, unit_masks=unit_masks)
        numeric = complex_step(lambda vector, loss=loss, net=net: loss(Parameters(vector, net.layout))[0], theta.vector)
        analytic = loss(theta)[1].vector
        n = net.layout.size
        rows.append(
            compare("B5", f"all {n} parameters of a masked {activation.name} net", "complex step", analytic, numeric)
        )
    rows.append(_adjoint_check(rng))
    return rows


def _adjoint_check(rng: np.random.Generator) -> Check:
    """One random direction through the net of the lottery-ticket paper: <gradient, v> against one complex pass."""
    net = MLP((784, 300, 100, 10), keep_prob=0.8)
    theta = net.init(rng, dtype=np.float64)
    mask = random_weight_mask(rng, net.layout, 0.2)
    x, labels = rng.standard_normal((20, 784)), rng.integers(0, 10, 20)
    unit_masks = net.sample_unit_masks(rng, (20,), dtype=np.float64)
    loss = partial(_loss, net=net, x=x, labels=labels, mask=mask, unit_masks=unit_masks)
    v = rng.standard_normal(net.layout.size)
    numeric = complex_direction(lambda vector: loss(Parameters(vector, net.layout))[0], theta.vector, v)
    gradient = loss(theta)[1].vector
    scale = np.linalg.norm(gradient) * np.linalg.norm(v)
    error = float(abs(gradient @ v - numeric) / scale)
    return Check("B5", "266610 parameters of 784-300-100-10, along one direction", "complex step", error, TOLERANCE)


def _loss(theta: Parameters, *, net: MLP, x, labels, mask, unit_masks) -> tuple[np.ndarray, Parameters]:
    """The loss of a masked, dropped-out net and its gradient."""
    logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=unit_masks)
    loss, cache = softmax_cross_entropy_forward(logits, labels)
    return loss, net.backward(softmax_cross_entropy_backward(1.0, cache), caches)
