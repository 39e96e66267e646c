"""Masks: their algebra, dropout and pruning as one law, paths and counts.

Equal bits are asked for where the two sides are the same sums in the same order. What a mask means for a whole training
is in ``mask_training``.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from numpynet.audit.check import Check, apart, at_most, compare, identical
from numpynet.audit.draws import (
    all_masks,
    covariance,
    draw_keep_prob,
    loss_and_gradients,
    mask_probability,
    mixed_mask,
    random_batch,
    random_net,
    random_weight_mask,
)
from numpynet.equations.activations import relu, sigmoid, tanh
from numpynet.equations.dropout import dropconnect_forward
from numpynet.equations.linear import linear_backward, linear_forward, mask_gradients
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.equations.masks import complement, difference, intersection, prune_lowest, union
from numpynet.gradcheck.numeric import complex_step
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import count_paths, mask_from_arrays, reachable


def audit_masks(seed: int = 0) -> list[Check]:
    """Check the algebra of masks, dropout and pruning as one law, paths, counts: M1 to M8, M12 to M15, M19 to M22.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_masks(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [
        *_lattice(rng),
        *_units(rng),
        *_stored_zeros(rng),
        *_both_masks(rng),
        *_one_law(rng),
        *_saliency(rng),
        *_keep_prob_gradient(rng),
        *_paths(rng),
        *_exact_counts(rng),
        *_permutation(rng),
    ]


def _lattice(rng: np.random.Generator) -> list[Check]:
    a, b, c = (mixed_mask(rng, (4, 5), q) for q in (0.3, 0.6, 0.8))
    laws = (
        (union(a, a), a),
        (union(a, b), union(b, a)),
        (intersection(a, intersection(b, c)), intersection(intersection(a, b), c)),
        (intersection(a, union(a, b)), a),
        (intersection(a, union(b, c)), union(intersection(a, b), intersection(a, c))),
        (complement(union(a, b)), intersection(complement(a), complement(b))),
        (difference(a, b), intersection(a, complement(b))),
        (union(difference(a, b), intersection(a, b)), a),
    )
    left, right = zip(*laws)
    both = [intersection(a, b), a, union(a, b)]
    return [
        identical("M1", f"{len(laws)} laws of union, intersection, difference", "the other side", left, right),
        at_most("M1", "intersection, M", "at most M, union", both[:2], both[1:], 0.0),
    ]


# ---- a mask for units, a mask for weights ----------------------------------------------------------------------------


def _units(rng: np.random.Generator) -> list[Check]:
    """Dropping a unit is a row of zeros behind it; a column and a bias of zeros before it only if phi(0) = 0."""
    d, rows = mixed_mask(rng, (1, 5), 0.6), []
    for activation in (relu, tanh, sigmoid):
        net, theta = random_net(rng, (3, 5, 2), (1.0, 1.0), activation)
        theta["b1"] = 1 + rng.random(5)  # away from 0: the bias matters
        x = rng.standard_normal((4, 3))
        dropped = net.forward(theta, x, unit_masks=[None, d])[0]
        row_mask, column_mask = theta.copy(), theta.copy()
        row_mask["W2"] *= d.T
        column_mask["W1"] *= d
        column_mask["b1"] *= d[0]
        what = f"dropped units of a {activation.name} net"
        rows.append(identical("M2", what, "rows of the next W at 0", dropped, net.forward(row_mask, x)[0]))
        by_column = net.forward(column_mask, x)[0]
        if activation.zero_at_zero:
            rows.append(compare("M2", f"{what} again", "columns and biases at 0", dropped, by_column))
        else:
            how = "columns and biases at 0, must differ"
            rows.append(apart("M2", f"{what} again", how, dropped, by_column))
    features = mixed_mask(rng, (1, 3), 0.6)
    without = theta.copy()
    without["W1"] *= features.T
    dropped = net.forward(theta, x, unit_masks=[features, None])[0]
    return [*rows, identical("M3", "one mask for all inputs", "rows of W1 at 0", dropped, net.forward(without, x)[0])]


def _stored_zeros(rng: np.random.Generator) -> list[Check]:
    """A pruned net is a net that stores zeros: not rescaled by its density, with gradients M * G."""
    net, theta = random_net(rng, (6, 5, 4, 3), 0.8, tanh)
    x, labels = random_batch(rng, net, 7)
    mask, unit_masks = random_weight_mask(rng, net.layout), net.sample_unit_masks(rng, (7,), dtype=np.float64)
    masked, _ = net.forward(theta, x, weight_mask=mask, unit_masks=unit_masks)
    stored, _ = net.forward(theta * mask, x, unit_masks=unit_masks)
    _, gradients = loss_and_gradients(net, theta, x, labels, weight_mask=mask, unit_masks=unit_masks)
    _, dense = loss_and_gradients(net, theta * mask, x, labels, unit_masks=unit_masks)
    rescaled = theta * mask
    for name in net.layout.weight_names:
        rescaled[name] /= mask[name].mean()

    q = draw_keep_prob(rng)
    h, W, C = rng.standard_normal((1, 2)), rng.standard_normal((2, 3)), all_masks(6)
    mean = mask_probability(C, q) @ dropconnect_forward(h, W, np.zeros(3), C.reshape(-1, 1, 2, 3))[0][:, 0]
    ticket = C[37].reshape(2, 3)
    sample = dropconnect_forward(h, W, np.zeros(3), ticket[None])[0]
    return [
        identical("M4", "outputs of a masked net", "the net that stores M W", masked, stored),
        identical("M4", "gradients of a masked net", "M times those of that net",
                  gradients.vector, (mask * dense).vector),
        apart("M4", "G at pruned weights", "0, must differ", (dense * (1 - mask)).vector, 0 * mask.vector),
        apart("M15", "outputs of a masked net", "with M W / density, must differ", masked,
              net.forward(rescaled, x, unit_masks=unit_masks)[0]),
        compare("M15", "mean of C W over all 2^6 masks", "q W, DropConnect's evaluation", mean, (q * h @ W)[0]),
        identical("M15", "one DropConnect mask", "a ticket",
                  sample, linear_forward(h, W, np.zeros(3), weight_mask=ticket)[0]),
    ]  # fmt: skip


def _both_masks(rng: np.random.Generator) -> list[Check]:
    """(D * H)(M * W): example n sees the weight mask (d_n^T 1) * M of its own."""
    N, d_in, d_out, q = 5, 7, 4, draw_keep_prob(rng)
    x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out)
    D, M = mixed_mask(rng, (N, d_in), q), mixed_mask(rng, (d_in, d_out), 0.6)
    y, _ = linear_forward(x, W, b, unit_mask=D, keep_prob=q, weight_mask=M)
    own = D[:, :, None] * M  # (N, d_in, d_out)
    alone = [linear_forward(x[[n]] / q, W, b, weight_mask=own[n])[0][0] for n in range(N)]
    masks = all_masks(d_in)
    density = mask_probability(masks, q) @ (masks[:, :, None] * M).mean(axis=(-2, -1))
    return [
        compare("M5", "both masks", "a weight mask for each example", y, alone),
        compare("M5", "its mean density over all 2^7 unit masks", "q density(M)", density, q * M.mean()),
    ]


def _one_law(rng: np.random.Generator) -> list[Check]:
    """Every weight with a keep probability of its own; units and weights at random; dropout on a pruned layer."""
    h, W, b = rng.standard_normal((1, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)
    Q = rng.uniform(size=(3, 2))
    Q[0] = 0, 1  # pruning is the corner of this law
    masks = all_masks(6)
    P = mask_probability(masks, Q.ravel())
    z = linear_forward(h, W, b, weight_mask=masks.reshape(-1, 3, 2))[0][:, 0]
    mean, variance = (h @ (Q * W))[0] + b, (h**2 @ (Q * (1 - Q) * W**2))[0]

    q, s, every = draw_keep_prob(rng), 0.6, all_masks(9)  # three units and six weights
    P_both = mask_probability(every[:, :3], q) * mask_probability(every[:, 3:], s)
    units, weights = every[:, None, :3], every[:, 3:].reshape(-1, 3, 2)
    z_both = linear_forward(h, W, b, unit_mask=units, keep_prob=q, weight_mask=weights)[0][:, 0]
    expected = s**2 * (1 - q) / q * (W.T * h**2) @ W
    np.fill_diagonal(expected, (s / q - s**2) * (h**2 @ W**2)[0])

    M, units = mixed_mask(rng, (3, 2), 0.6), all_masks(3)
    z_pruned = linear_forward(h, W, b, unit_mask=units[:, None], keep_prob=q, weight_mask=M)[0][:, 0]
    hW = h.T * M * W
    k = int(M.sum())
    ones = masks.sum(axis=1)
    of_all, at_ratio = mask_probability(masks, q), mask_probability(M.ravel(), k / 6)
    return [
        compare("M6", "mean of z, M_ij of Bern(Q_ij)", "h (Q W) + b", P @ z, mean),
        compare("M6", "variance of z", "h^2 (Q (1 - Q) W^2)", P @ (z - mean) ** 2, variance),
        compare("M19", "probability of each of 2^6 DropConnect masks", "q^k (1 - q)^(n - k)",
                of_all, q**ones * (1 - q) ** (6 - ones)),
        at_most("M19", "probability of a ticket, any q", "at most that at q = k / n",
                [mask_probability(M.ravel(), p) for p in np.linspace(0.05, 0.95, 19)], at_ratio),
        compare("M21", "covariance of z, dropout on a pruned layer", "(1 - q) / q (MW)^T diag(h^2) MW",
                covariance(z_pruned, mask_probability(units, q)), (1 - q) / q * hW.T @ hW),
        compare("M22", "mean of z, both masks random", "s h W + b", P_both @ z_both, (s * h @ W)[0] + b),
        compare("M22", "covariance of z, both masks random", "closed form", covariance(z_both, P_both), expected),
    ]  # fmt: skip


def _saliency(rng: np.random.Generator) -> list[Check]:
    N, d_in, d_out, q = 5, 7, 4, draw_keep_prob(rng)
    x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out)
    d, M = mixed_mask(rng, (1, d_in), 0.8), mixed_mask(rng, (d_in, d_out), 0.6)

    def layer(d):
        return linear_forward(x, W, b, unit_mask=d, keep_prob=q, weight_mask=M)

    y, cache = layer(d)
    dy = rng.standard_normal(y.shape)
    dx, dW, _ = linear_backward(dy, cache)
    numeric = d * complex_step(lambda d: (dy * layer(d)[0]).sum(), d)
    return [
        compare("M7", "d dL/dd of a shared unit mask, complex step", "row sums of W dW",
                numeric[0], (W * dW).sum(axis=1)),
        compare("M7", "sum over examples of x dx", "row sums of W dW", (x * dx).sum(axis=0), (W * dW).sum(axis=1)),
    ]  # fmt: skip


def _keep_prob_gradient(rng: np.random.Generator) -> list[Check]:
    """dE L / dq_k = E[L | d_k = 1] - E[L | d_k = 0], and with the scale 1/q one term more."""
    N, n, d_out = 6, 5, 3
    x, W, b = rng.standard_normal((N, n)), rng.standard_normal((n, d_out)), rng.standard_normal(d_out)
    labels, q, masks = rng.integers(0, d_out, N), rng.uniform(0.2, 0.9, n), all_masks(n)

    def losses(keep_prob):
        y, cache = linear_forward(x, W, b, unit_mask=masks[:, None, :], keep_prob=keep_prob)
        loss, loss_cache = softmax_cross_entropy_forward(y, labels)
        dy = softmax_cross_entropy_backward(np.ones(len(masks)), loss_cache)
        return loss, (mask_gradients(dy, cache)[1] * masks[:, None, :]).sum(axis=-2)  # d_k dL/dd_k

    loss, saliency = losses(q)
    P = mask_probability(masks, q)
    kept, dropped = (masks.T * P / q[:, None]) @ loss, ((1 - masks.T) * P / (1 - q[:, None])) @ loss
    standard = complex_step(lambda p: (mask_probability(masks, p) * losses(q)[0]).sum(), q)
    inverted = complex_step(lambda p: (mask_probability(masks, p) * losses(p)[0]).sum(), q)
    return [
        compare("M8", "gradient of q, complex step", "E[L | d = 1] - E[L | d = 0]", standard, kept - dropped),
        compare("M8", "the same, inverted", "minus E of the saliency / q", inverted, kept - dropped - P @ saliency / q),
    ]


# ---- counting --------------------------------------------------------------------------------------------------------


def _paths(rng: np.random.Generator) -> list[Check]:
    mask, q = random_weight_mask(rng, Layout.of_sizes((3, 4, 2))), (0.8, 0.3)
    W1, W2 = mask["W1"], mask["W2"]
    by_hand = sum(W1[i, j] * W2[j, k] for i, j, k in itertools.product(range(3), range(4), range(2)))
    units = all_masks(3), all_masks(4)
    dropped = np.einsum("ai,ij,bj,jk->ab", units[0], W1, units[1], W2)
    connections = all_masks(8).reshape(-1, 2, 4), all_masks(4).reshape(-1, 4, 1)
    connected = np.einsum("aij,bjk->ab", *connections)
    ones = Parameters.ones(Layout.of_sizes((2, 4, 1)), dtype=np.float64)

    def expected(paths, masks):
        P = [mask_probability(m.reshape(len(m), -1), p) for m, p in zip(masks, q)]
        return P[0] @ paths @ P[1]

    alive, around = 0.6, all_masks(3 + 2)  # all weights of a hidden unit with 3 inputs and 2 outputs
    dead = []
    for weights in around:
        arrays = {"W1": weights[:3].reshape(3, 1), "W2": weights[3:].reshape(1, 2)}
        hears, heard = reachable(mask_from_arrays(arrays, Layout.of_sizes((3, 1, 2))))
        dead.append(not (hears[1][0] and heard[1][0]))
    return [
        identical("M12", "paths", "counted one by one", count_paths(mask), by_hand),
        compare("M12", "mean paths over all 2^7 unit masks", "q_1 q_2 paths",
                expected(dropped, units), count_paths(mask, keep_probs=q)),
        compare("M12", "mean paths over all 2^12 weight masks", "s_1 s_2 paths",
                expected(connected, connections), count_paths(ones, keep_probs=q)),
        compare("M13", "probability that a unit is dead", "1 - (1 - (1-s)^3) (1 - (1-s)^2)",
                mask_probability(around, alive) @ dead, 1 - (1 - (1 - alive) ** 3) * (1 - (1 - alive) ** 2)),
    ]  # fmt: skip


def _exact_counts(rng: np.random.Generator) -> list[Check]:
    """Over all orders of the scores: every mask of k ones is equally likely, and its entries avoid each other."""
    n, k = 5, int(rng.integers(1, 5))
    orders = np.array(list(itertools.permutations(range(n))), dtype=float)
    masks = np.array([prune_lowest(order, np.ones(n), n - k) for order in orders])
    share = k / n
    expected = np.full((n, n), -share * (1 - share) / (n - 1))
    np.fill_diagonal(expected, share * (1 - share))
    _, how_often = np.unique(masks, axis=0, return_counts=True)
    equally = np.full(math.comb(n, k), len(orders) / math.comb(n, k))
    return [
        compare("M14", "mean of a mask of k ones", "k / n", masks.mean(axis=0), np.full(n, share)),
        compare("M14", "its covariance", "-k/n (1 - k/n) / (n - 1) off the diagonal",
                covariance(masks, np.full(len(masks), 1 / len(masks))), expected),
        identical("M19", "how often each mask of k ones comes", "equally often", how_often, equally),
    ]  # fmt: skip


def _permutation(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (6, 5, 4, 3), (None, 0.7, 0.8), tanh)
    x, labels = random_batch(rng, net, 7)
    mask, D = random_weight_mask(rng, net.layout), net.sample_unit_masks(rng, (7,), dtype=np.float64)
    order = rng.permutation(5)

    def permuted(p):
        new = p.copy()
        new["W1"], new["b1"], new["W2"] = p["W1"][:, order], p["b1"][order], p["W2"][order]
        return new

    def run(theta, mask, D):
        logits, _ = net.forward(theta, x, weight_mask=mask, unit_masks=D)
        return logits, loss_and_gradients(net, theta, x, labels, weight_mask=mask, unit_masks=D)[1]

    def pruned(theta, mask):
        return prune_lowest(np.abs(theta["W1"]), mask["W1"], 6)

    logits, gradients = run(theta, mask, D)
    other_logits, other = run(permuted(theta), permuted(mask), [None, D[1][:, order], D[2]])
    return [
        compare("M20", "outputs after permuting hidden units", "outputs", other_logits, logits),
        compare("M20", "gradients after permuting", "gradients, permuted", other.vector, permuted(gradients).vector),
        identical("M20", "magnitude mask after permuting", "mask, permuted",
                  pruned(permuted(theta), permuted(mask)), pruned(theta, mask)[:, order]),
    ]  # fmt: skip
