"""Pruning: scores against their formulas and the complex step, flows, units, and how wrong straight-through is.

How much is pruned and when, and masks that move, are in ``sparse_training``.
"""

from __future__ import annotations

import warnings

import numpy as np

from numpynet.audit.bounds import hoeffding
from numpynet.audit.check import Check, apart, at_most, compare, identical, within
from numpynet.audit.draws import (
    all_masks,
    loss_and_gradients,
    mask_probability,
    random_batch,
    random_net,
    random_parameters,
    random_weight_mask,
)
from numpynet.data.dataset import Split
from numpynet.equations.activations import relu, tanh
from numpynet.equations.linear import linear_forward, mask_gradients
from numpynet.equations.losses import squared_error
from numpynet.gradcheck.numeric import complex_step
from numpynet.optimizers import SGD, update
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    DisconnectedWarning,
    add_movement,
    compact,
    count_paths,
    dense_mask,
    grasp,
    incoming_norms,
    magnitude,
    mask_of_units,
    norm_products,
    outgoing_norms,
    prune_globally,
    prune_layerwise,
    prune_units,
    random_scores,
    snip,
    synflow,
    zhou,
)

_LAYOUT = Layout.of_sizes((6, 5, 4, 3))


def audit_pruning(seed: int = 0) -> list[Check]:
    """Check the scores of weights and units: P1 to P8, P10 to P12, P14.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_pruning(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisconnectedWarning)  # small random nets may be cut; that is not judged here
        return [
            *_magnitude_and_chance(rng),
            *_zhou(rng),
            *_sensitivity(rng),
            *_synflow(rng),
            _movement(rng),
            *_units(rng),
            *_straight_through(rng),
        ]


def _weights(parameters: Parameters) -> np.ndarray:
    """All weights in one vector, without the biases."""
    return np.concatenate([parameters[name].ravel() for name in parameters.layout.weight_names])


# ---- scores ----------------------------------------------------------------------------------------------------------


def _magnitude_and_chance(rng: np.random.Generator) -> list[Check]:
    theta = random_parameters(rng, _LAYOUT)
    scaled = theta.copy()
    for name in _LAYOUT.weight_names:
        scaled[name] *= 10 ** rng.uniform(-3, 3)
    masks = [prune_layerwise(magnitude(t), dense_mask(t), rate=0.4).vector for t in (theta, -theta, scaled)]
    layout, draws, density = Layout.of_sizes((4, 5)), 400, 0.3
    dense, kept = Parameters.ones(layout), np.zeros((4, 5))
    for _ in range(draws):
        kept += prune_globally(random_scores(rng, layout), dense, density=density)["W1"]
    bound = hoeffding(draws, statements=kept.size)
    return [
        identical("P1", "magnitude score", "|W|", _weights(magnitude(theta)), np.abs(_weights(theta))),
        identical("P1", "layerwise masks of -W and of scaled layers", "mask of W", masks[1:], [masks[0]] * 2),
        within("P2", f"how often each weight stays, of {draws}", f"{density:g}, within the bound",
               kept / draws - density, bound),
    ]  # fmt: skip


def _zhou(rng: np.random.Generator) -> list[Check]:
    theta_0, theta_T, alpha = random_parameters(rng, _LAYOUT), random_parameters(rng, _LAYOUT), 0.7
    W_i, W_f = _weights(theta_0), _weights(theta_T)
    formulas = (
        (zhou.large_final, np.abs(W_f)),
        (zhou.small_final, -np.abs(W_f)),
        (zhou.large_init, np.abs(W_i)),
        (zhou.small_init, -np.abs(W_i)),
        (zhou.magnitude_increase, np.abs(W_f) - np.abs(W_i)),
        (zhou.movement, np.abs(W_f - W_i)),
        (zhou.large_final_same_sign, np.maximum(0, W_i * W_f / np.abs(W_i))),
    )
    scores = [_weights(criterion(theta_0, theta_T)) for criterion, _ in formulas]
    smaller = _weights(zhou.large_init_large_final(theta_0, theta_T, alpha=alpha))
    increase, movement = scores[4], scores[5]
    return [
        compare("P3", "seven criteria of Zhou et al.", "their formulas", scores, [formula for _, formula in formulas]),
        compare("P3", "large_init_large_final", "min(alpha |W_f|, |W_i|)",
                smaller, np.minimum(alpha * np.abs(W_f), np.abs(W_i))),
        at_most("P3", "|magnitude_increase|", "at most movement", np.abs(increase), movement),
    ]  # fmt: skip


def _sensitivity(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (4, 5, 3), 1.0, tanh)
    split, mask = Split(*random_batch(rng, net, 7)), random_weight_mask(rng, net.layout)

    def loss_of_mask(vector):
        return loss_and_gradients(net, theta, *split, weight_mask=Parameters(vector, net.layout))[0]

    def squared_norm(vector):
        gradients = loss_and_gradients(net, Parameters(vector, net.layout), *split, weight_mask=mask)[1]
        return (gradients.vector**2).sum()

    ones = dense_mask(theta)
    dM = [np.abs(_weights(Parameters(complex_step(loss_of_mask, m.vector), net.layout))) for m in (ones, mask)]
    removed = Parameters(theta.vector * complex_step(squared_norm, theta.vector) / 2, net.layout)
    scores = snip(net, theta, split)
    masks = [prune_globally(s, ones, density=0.4).vector for s in (scores, scores / scores.vector.sum())]
    return [
        compare("P4", "SNIP, dense and masked", "|dL/dM|, complex step",
                [_weights(scores), _weights(snip(net, theta, split, weight_mask=mask))], dM),
        identical("P4", "mask of SNIP over its sum", "mask of SNIP", masks[1], masks[0]),
        compare("P5", "GraSP", "theta d|g|^2/dtheta / 2, complex step",
                _weights(grasp(net, theta, split, weight_mask=mask)), _weights(removed)),
    ]  # fmt: skip


def _movement(rng: np.random.Generator) -> Check:
    """Under plain SGD: -lr sum of g w = (w_T^2 - w_0^2) / 2 - lr^2 / 2 sum of g^2."""
    net, theta_0 = random_net(rng, (4, 5, 3), 1.0, tanh)
    (x, labels), lr = random_batch(rng, net, 7), 0.07
    theta, scores, squares = theta_0.copy(), 0 * theta_0, 0 * theta_0
    state = SGD().init(theta.vector)
    for _ in range(8):
        _, g = loss_and_gradients(net, theta, x, labels)
        scores, squares = add_movement(scores, theta, g, lr), squares + g * g
        update(theta, g, SGD(), state, lr)
    expected = (theta * theta - theta_0 * theta_0) / 2 - lr**2 / 2 * squares
    return compare(
        "P10",
        "movement score, 8 steps of SGD",
        "(w_T^2 - w_0^2) / 2 - lr^2 / 2 sum g^2",
        _weights(scores),
        _weights(expected),
        scale=1.0,
    )


# ---- flows -----------------------------------------------------------------------------------------------------------


def _synflow(rng: np.random.Generator) -> list[Check]:
    """S = A * dR/dA with A = |M W| and R = 1^T A_1 ... A_L 1, which loses nothing on its way."""
    theta, mask = random_parameters(rng, _LAYOUT), random_weight_mask(rng, _LAYOUT)
    A = [np.abs(theta[name] * mask[name]) for name in _LAYOUT.weight_names]

    def flow(matrices):
        through = np.ones(len(matrices[0]))
        for matrix in matrices:
            through = through @ matrix
        return through.sum()

    R = flow(A)
    slopes = [complex_step(lambda a, i=i: flow([*A[:i], a, *A[i + 1 :]]), A[i]) for i in range(3)]
    scores = synflow(theta, mask)
    S = [scores[name] for name in _LAYOUT.weight_names]
    paths = synflow(Parameters.ones(_LAYOUT, dtype=np.float64), mask)
    incoming, outgoing = (np.concatenate([s.sum(axis=k) for s in part]) for k, part in ((0, S[:-1]), (1, S[1:])))
    return [
        compare("P6", "SynFlow", "A dR/dA, complex step",
                _weights(scores), np.concatenate([(a * s).ravel() for a, s in zip(A, slopes)]), scale=R),
        compare("P7", "SynFlow into every hidden unit", "out of it", incoming, outgoing, scale=R),
        compare("P8", "SynFlow of every layer", "R", [s.sum() for s in S], [R] * 3),
        identical("P8", "SynFlow with A = M", "number of paths",
                  [paths[name].sum() for name in _LAYOUT.weight_names], [count_paths(mask)] * 3),
    ]  # fmt: skip


# ---- units -----------------------------------------------------------------------------------------------------------


def _units(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (6, 5, 4, 3), (None, 1.0, 1.0), relu)
    c, rescaled = np.exp(rng.standard_normal(5)), theta.copy()
    rescaled["W1"] *= c  # in by c, out by 1 / c
    rescaled["W2"] /= c[:, None]
    norms, expected = [], []
    for order in (1, 2):
        norms += [f(theta, order=order)[1] for f in (incoming_norms, outgoing_norms, norm_products)]
        norm_in, norm_out = np.linalg.norm(theta["W1"], order, axis=0), np.linalg.norm(theta["W2"], order, axis=1)
        expected += [norm_in, norm_out, norm_in * norm_out]

    x = rng.standard_normal((7, 6))
    unit_masks = prune_units(norm_products(theta), rate=0.5)
    mask = mask_of_units(unit_masks, theta)
    masked = net.forward(theta, x, weight_mask=mask)[0]
    dropped = net.forward(theta, x, unit_masks=[None, unit_masks[1][None], unit_masks[2][None]])[0]
    small = compact(net, theta, mask)
    return [
        compare("P11", "unit norms, in, out and product, orders 1 and 2", "columns and rows", norms, expected),
        compare("P11", "product after rescaling ReLU units", "before",
                norm_products(rescaled)[1], norm_products(theta)[1]),
        apart("P11", "incoming norms after rescaling", "before, must differ",
              incoming_norms(rescaled)[1], incoming_norms(theta)[1]),
        identical("P12", "units left at rate 0.5, of 5 and 4", "2 and 2",
                  [unit_masks[layer].sum() for layer in (1, 2)], [2, 2]),
        compare("P12", "outputs with the mask of units", "those units dropped", masked, dropped),
        identical("P12", "hidden sizes after compaction", "2 and 2", small.net.sizes[1:-1], (2, 2)),
        compare("P12", "outputs after compaction", "with the mask of units",
                small.net.forward(small.theta, x)[0], masked),
    ]  # fmt: skip


# ---- supermasks ------------------------------------------------------------------------------------------------------


def _straight_through(rng: np.random.Generator) -> list[Check]:
    """Of a linear unit with the loss (t - sum of m a)^2 / 2 the bias is a^2 (2 Q - 1) / 2: none at Q = 1/2."""
    n = 6
    x, W, target = rng.standard_normal((1, n)), rng.standard_normal((n, 1)), rng.standard_normal((1, 1))
    m, a, rows = all_masks(n), x[0] * W[:, 0], []
    z, cache = linear_forward(x, W, np.zeros(1), weight_mask=m[..., None])  # (2^n, 1, 1)
    loss, loss_cache = squared_error.forward(z, target)
    dm, _ = mask_gradients(squared_error.backward(np.ones(2**n), loss_cache), cache)
    for Q in (0.3, 0.8, 0.5):
        P = mask_probability(m, Q)
        straight_through = P @ dm[..., 0]
        exact = (m.T * P / Q) @ loss - ((1 - m.T) * P / (1 - Q)) @ loss  # E[L | m_i = 1] - E[L | m_i = 0]
        bias = a**2 * (2 * Q - 1) / 2
        rows.append(
            compare(
                "P14",
                f"straight-through - exact, Q = {Q:g}",
                "a^2 (2 Q - 1) / 2",
                straight_through - exact,
                bias,
                scale=1.0,
            )
        )
    return rows
