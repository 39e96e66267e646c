"""Derivatives: whether the numbers by which all gradients are judged are right, and laws that gradients obey.

The complex step is held against a derivative known in closed form, and must notice six known bugs. Then: the second
order of the Taylor remainder, what a homogeneous network conserves, the gradient as a mean over examples, the Hessian.
"""

from __future__ import annotations

import numpy as np

from numpynet.audit.check import Check, apart, compare, identical, within
from numpynet.audit.draws import loss_and_gradients, mixed_mask, random_batch, random_net, random_weight_mask
from numpynet.equations.activations import leaky_relu, relu, tanh
from numpynet.equations.linear import dense_gradient, linear_forward
from numpynet.gradcheck.numeric import (
    central_difference,
    complex_direction,
    complex_step,
    hessian_vector_product,
    richardson,
)
from numpynet.parameters import Parameters


def audit_derivatives(seed: int = 0) -> list[Check]:
    """Check numeric derivatives against closed forms, and gradients by laws of whole networks: B7 to B10, B24 to B26.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_derivatives(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [*_closed_form(rng), *_six_bugs(rng), _taylor(rng), *_homogeneous(rng), *_examples(rng), *_hessian(rng)]


def _closed_form(rng: np.random.Generator) -> list[Check]:
    x, v = rng.standard_normal((2, 6))

    def f(x):
        return (np.sin(x) * np.exp(x / 3)).sum()

    gradient = (np.cos(x) + np.sin(x) / 3) * np.exp(x / 3)
    size = np.abs(gradient * v).sum()
    f_name, gradient_name = "sum of sin x e^(x/3)", "(cos x + sin x / 3) e^(x/3)"
    return [
        compare("B7", f"complex step of {f_name}", gradient_name, complex_step(f, x), gradient),
        compare("B7", "complex step along v", "<gradient, v>", complex_direction(f, x, v), gradient @ v, scale=size),
        compare("B26", f"central difference of {f_name}", gradient_name, central_difference(f, x), gradient, 1e-8),
        compare("B26", "the same, extrapolated", gradient_name, richardson(f, x), gradient, 1e-9),
    ]


def _six_bugs(rng: np.random.Generator) -> list[Check]:
    """Bugs of the backward pass, written out: the complex step must tell each from the truth."""
    N, d_in, d_out, q = 5, 7, 4, 0.7
    x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out)
    D, other_D = mixed_mask(rng, (N, d_in), q), mixed_mask(rng, (N, d_in), q)
    M, dy = mixed_mask(rng, (d_in, d_out), 0.6), rng.standard_normal((N, d_out))

    def loss(x, W):
        return (dy * linear_forward(x, W, b, unit_mask=D, keep_prob=q, weight_mask=M)[0]).sum()

    dW, dx = complex_step(lambda W: loss(x, W), W), complex_step(lambda x: loss(x, W), x)
    bugs = (
        ("no unit mask in dW", M * ((x / q).T @ dy), dW),
        ("no 1/q in dW", M * ((D * x).T @ dy), dW),
        ("another unit mask in dW", M * ((other_D * x / q).T @ dy), dW),
        ("dW from the input before dropout", M * (x.T @ dy), dW),
        ("no weight mask on dW", (D * x / q).T @ dy, dW),
        ("dx through the dense W", D * (dy @ W.T) / q, dx),
    )
    return [apart("B7", f"planted: {name}", "complex step, must differ", *pair) for name, *pair in bugs]


def _taylor(rng: np.random.Generator) -> Check:
    """|L(theta + eps v) - L(theta) - eps <dL, v>| falls with eps^2; summed over directions, for one may be flat."""
    net, theta = random_net(rng, (4, 7, 5, 3), (0.9, 0.6, 0.8), tanh)
    x, labels = random_batch(rng, net, 9)
    unit_masks = net.sample_unit_masks(rng, (9,), dtype=np.float64)

    def loss(vector):
        return loss_and_gradients(net, Parameters(vector, net.layout), x, labels, unit_masks=unit_masks)

    start, gradient = loss(theta.vector)
    directions, steps = rng.standard_normal((8, net.layout.size)), np.geomspace(1e-5, 1e-3, 5)
    remainders = [
        sum(abs(loss(theta.vector + eps * v)[0] - start - eps * (gradient.vector @ v)) for v in directions)
        for eps in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(remainders), 1)[0]
    return within("B8", "slope of the Taylor remainder, log-log", "2, within 0.1", slope - 2, 0.1)


def _homogeneous(rng: np.random.Generator) -> list[Check]:
    """Without biases, <W_l, dW_l> is the same in every layer, and at every unit what comes in goes out."""
    rows = []
    for activation in (relu, leaky_relu):
        net, theta = random_net(rng, (6, 8, 7, 3), (0.9, 0.8, 0.6), activation)
        for layer in (1, 2, 3):
            theta[f"b{layer}"][...] = 0
        x, _ = random_batch(rng, net, 5)
        mask, unit_masks = random_weight_mask(rng, net.layout), net.sample_unit_masks(rng, (5,), dtype=np.float64)
        logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=unit_masks)
        dlogits = rng.standard_normal(logits.shape)
        gradients = net.backward(dlogits, caches)
        products = [theta[name] * gradients[name] for name in net.layout.weight_names]  # W * dW
        total, size = (logits * dlogits).sum(), np.abs(logits * dlogits).sum()
        incoming = np.concatenate([product.sum(axis=0) for product in products[:-1]])
        outgoing = np.concatenate([product.sum(axis=1) for product in products[1:]])
        layers, where = [product.sum() for product in products], f"{activation.name} net"
        rows += [
            compare("B9", f"<W, dW> of every layer, {where}", "<Z, dZ>", layers, [total] * 3, scale=size),
            compare("B10", f"W * dW into every hidden unit, {where}", "out of it", incoming, outgoing, scale=size),
        ]
    return rows


def _examples(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (6, 5, 4, 3), (0.9, 0.8, 0.6), tanh)
    x, labels = random_batch(rng, net, 7)
    mask, unit_masks = random_weight_mask(rng, net.layout), net.sample_unit_masks(rng, (7,), dtype=np.float64)
    _, whole = loss_and_gradients(net, theta, x, labels, weight_mask=mask, unit_masks=unit_masks)
    mean, ranks = 0 * whole, []
    for n in range(7):
        rows = [D[[n]] for D in unit_masks]
        mean += loss_and_gradients(net, theta, x[[n]], labels[[n]], weight_mask=mask, unit_masks=rows)[1] / 7
        _, caches = net.forward(theta, x[[n]], weight_mask=mask, unit_masks=rows)
        ranks.append(np.linalg.matrix_rank(dense_gradient(rng.standard_normal((1, 3)), caches.linear[-1])))
    return [
        compare("B24", "mean of the gradients of single examples", "gradient of the batch", mean.vector, whole.vector),
        identical("B24", "largest rank of an example's G", "1", max(ranks), 1),
    ]


def _hessian(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (4, 6, 5, 3), (0.9, 0.8, 0.6), tanh)
    x, labels = random_batch(rng, net, 7)
    unit_masks = net.sample_unit_masks(rng, (7,), dtype=np.float64)

    def gradient(vector):
        return loss_and_gradients(net, Parameters(vector, net.layout), x, labels, unit_masks=unit_masks)[1].vector

    u, v = (w / np.linalg.norm(w) for w in rng.standard_normal((2, net.layout.size)))
    Hu, Hv = (hessian_vector_product(gradient, theta.vector, w) for w in (u, v))
    h = 1e-5
    difference = (gradient(theta.vector + h * v) - gradient(theta.vector - h * v)) / (2 * h)
    return [
        compare("B25", "<u, H v>", "<v, H u>", u @ Hv, v @ Hu, scale=np.linalg.norm(Hv)),
        compare("B25", "H v", "central difference of gradients", Hv, difference, 1e-6),
    ]
