"""Lottery tickets: exact counts round by round, rewinding bit for bit, and what a mask depends on."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np

from numpynet.audit.check import Check, apart, at_most, compare, identical
from numpynet.audit.draws import (
    all_masks,
    draw_keep_prob,
    random_batch,
    random_net,
    random_parameters,
    random_weight_mask,
)
from numpynet.data.dataset import Dataset, Split
from numpynet.equations.activations import relu, tanh
from numpynet.equations.masks import prune_count, prune_lowest
from numpynet.equations.targeted_dropout import targeted_weight_dropout_forward
from numpynet.lottery.arms import reinit
from numpynet.lottery.imp import TICKET, Arm, iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.network import MLP
from numpynet.optimizers import Momentum
from numpynet.parameters import Layout, Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import (
    DisconnectedWarning,
    alive_counts,
    compact,
    dense_mask,
    effective_density,
    effective_mask,
    magnitude,
    magnitude_mask,
    prune_globally,
    prune_layerwise,
    rate_per_round,
)
from numpynet.seeding import streams
from numpynet.training import begin, train

_LAYOUT = Layout.of_sizes((6, 5, 4, 3))


def audit_tickets(seed: int = 0) -> list[Check]:
    """Check counts, masks and rewinding of lottery tickets: L.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_tickets(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisconnectedWarning)  # small random nets may be cut; that is not judged here
        return [
            *_exact_count(rng),
            *_recursion(),
            *_ladder(rng),
            *_thresholds(rng),
            *_rewinding(rng),
            *_what_masks_depend_on(rng),
            *_targeted(rng),
            *_rounds(),
            *_effective(rng),
            *_overlap(rng),
        ]


# ---- counts ----------------------------------------------------------------------------------------------------------


def _exact_count(rng: np.random.Generator) -> list[Check]:
    """The k = floor(rate alive + 1/2) alive entries first by (score, flat index) go, whatever the dead score."""
    mask, rate = random_weight_mask(rng, _LAYOUT), 0.3
    ties = Parameters(rng.integers(3, size=_LAYOUT.size).astype(float), _LAYOUT)
    names, plain, line = _LAYOUT.weight_names, mask.copy(), []
    for layer, name in enumerate(names):
        for i in np.flatnonzero(mask[name]):
            line.append((ties[name].flat[i], layer, i, name))
    for _, _, i, name in sorted(line)[: math.floor(rate * len(line) + 0.5)]:
        plain[name].reshape(-1)[i] = 0
    pruned = prune_globally(ties, mask, rate=rate)
    loud = prune_globally(ties + 1e9 * (1 - mask), mask, rate=rate)
    ends = prune_globally(ties, mask, rate=0.0).vector, prune_globally(ties, mask, rate=1.0).vector
    biases = Parameters.ones(_LAYOUT, dtype=np.float64)
    for name in names:
        biases[name][...] = 0
    rounds, after = mask, []
    for _ in range(4):  # scores that have nothing to do with each other: whatever pruned weights have become
        before, rounds = rounds, prune_layerwise(magnitude(random_parameters(rng, _LAYOUT)), rounds, rate=0.3)
        after.append(np.count_nonzero((rounds * (1 - before)).vector))
    return [
        identical("L2", "global mask of scores with ties", "sorted by (score, index)", pruned.vector, plain.vector),
        identical("L2", "the same, with huge scores of the dead", "the same", loud.vector, plain.vector),
        identical("L2", "masks at rate 0 and 1", "as it was, and empty", ends, (mask.vector, biases.vector)),
        identical("L6", "weights that came back in 4 rounds", "none", after, [0] * 4),
    ]


def _recursion() -> list[Check]:
    """n_t - n_0 (1 - rho)^t stays within (1 - (1 - rho)^t) / (2 rho); where it stops, rho n rounds to 0."""
    distance, bound = [], []
    for rate, start in itertools.product((0.1, 0.2, 0.3), (1000, 235_200)):
        alive = start
        for t in range(1, 31):
            alive -= prune_count(rate, alive)
            distance.append(abs(alive - start * (1 - rate) ** t))
            bound.append((1 - (1 - rate) ** t) / (2 * rate) + 1e-9)
    last = []
    for rate in (0.1, 0.2, 0.5):
        alive = 300
        while prune_count(rate, alive):
            alive -= prune_count(rate, alive)
        last.append(alive)
    return [
        at_most("L3", "|n_t - n_0 (1 - rate)^t|, 30 rounds", "at most (1 - (1 - rate)^t) / (2 rate)", distance, bound),
        identical("L3", "weights that are never pruned", "4, 2, 0 at rates .1, .2, .5", last, [4, 2, 0]),
    ]


def _ladder(rng: np.random.Generator) -> list[Check]:
    """Half the rate in the output layer, whatever the scores are."""
    layout, seen = Layout.of_sizes((40, 100, 100, 10)), []
    mask = Parameters.ones(layout)
    for level in range(1, 16):
        scores = Parameters(rng.random(layout.size, dtype=np.float32), layout)
        mask = prune_layerwise(scores, mask, rate=0.2)
        if level in (1, 5, 15):
            seen.append(list(alive_counts(mask).values()))
    rates = dict(zip(_LAYOUT.weight_names, (0.1, 0.5, 0.35)))
    own = prune_layerwise(random_parameters(rng, _LAYOUT), Parameters.ones(_LAYOUT), rate=rates)
    return [
        identical("L7", "40-100-100-10 after 1, 5 and 15 rounds", "the table of the book", seen,
                  [[3200, 8000, 900], [1310, 3277, 590], [140, 352, 206]]),
        identical("L7", "weights left at rates .1, .5, .35", "27, 10, 8 of 30, 20, 12",
                  list(alive_counts(own).values()), [27, 10, 8]),
    ]  # fmt: skip


def _thresholds(rng: np.random.Generator) -> list[Check]:
    """Rules that are in use elsewhere miss the count; ours does not."""
    scores, ties, k = rng.permutation(1000) + 1.0, np.ones(1000), 200
    ours = [prune_lowest(s, np.ones(1000), k).sum() for s in (scores, ties)]
    threshold = np.sort(scores)[k]
    elsewhere = [
        (scores > threshold).sum(),
        1000 - (scores <= threshold).sum(),
        (ties > np.sort(ties)[k]).sum(),
        1000 - (ties < np.percentile(ties, 20)).sum(),
    ]
    return [
        identical("L8", "left of 1000 after pruning 200, with ties too", "800", ours, [800, 800]),
        identical("L8", "by > sorted[k], by <=, by > with ties, by percentile", "799, 799, 0, 1000",
                  elsewhere, [799, 799, 0, 1000]),
        identical("L8", "20 % of 235200", "47040; by way of percent 47039",
                  [prune_count(0.2, 235_200), int(235_200 * ((1 - 0.8) * 100) / 100)], [47_040, 47_039]),
    ]  # fmt: skip


def _rounds() -> list[Check]:
    density, apart_by, bound = 0.2, [], []
    for rounds in (1, 2, 5, 12):
        rate, alive = rate_per_round(density, rounds), 26_620
        for _ in range(rounds):
            alive -= prune_count(rate, alive)
        apart_by.append(abs(alive - (26_620 - prune_count(1 - density, 26_620))))
        bound.append((1 - (1 - rate) ** rounds) / (2 * rate) + 0.5)
    rates = [(1 - rate_per_round(density, n)) ** n for n in (1, 2, 5, 12)]
    return [
        compare("L17", "(1 - rate)^n of the rate for n rounds", "the density", rates, [density] * 4),
        at_most("L17", "weights left by rounds - by one shot", "at most the rounding", apart_by, bound),
    ]


# ---- rewinding -------------------------------------------------------------------------------------------------------


def _rewinding(rng: np.random.Generator) -> list[Check]:
    """Two rounds of iterative pruning, and the same by hand: train, prune, back to mask * theta_0, train again."""
    net = MLP((6, 8, 3), tanh, keep_prob=0.8)
    split = Split(*random_batch(rng, net, 60))
    data = Dataset("normal numbers", split, Split(*random_batch(rng, net, 40)), 3, None, "drawn for the audit")
    plan = TrainingPlan(epochs=1, batch_size=10, optimizer=Momentum(0.9), schedule=0.1, dtype="float64")
    seed, rate = int(rng.integers(2**31)), 0.4
    levels = list(
        iterative_pruning(
            net,
            plan,
            split,
            seeds=[seed],
            rounds=2,
            prune=prune_rule(rate),
            controls={"reinit": reinit},
            dense_controls=True,
            monitors={"test": data.test},
        )
    )
    arms = {arm: [level.trained[arm].final("test")[0] for level in levels] for arm in (TICKET, Arm("reinit"))}

    def trained(start: Parameters, weight_mask: Parameters | None) -> tuple[Parameters, float]:
        state = begin(net, plan, split, seed=seed, theta_0=start, weight_mask=weight_mask)
        *_, last = train(state, split, monitors={"test": data.test})
        return state.theta, last.accuracy["test"]

    theta_0 = net.init(streams(seed).init, initializer=plan.initializer, dtype=np.float64)
    fresh = net.init(streams(seed).reinit, initializer=plan.initializer, dtype=np.float64)
    kept = theta_0.vector.copy()
    mask, by_hand, accuracies = dense_mask(theta_0), [], []
    for _ in levels:
        theta, ticket = trained(mask * theta_0, mask)
        by_hand.append(mask.vector)
        accuracies.append((ticket, trained(mask * fresh, mask)[1]))
        mask = magnitude_mask(theta, mask, rate=rate)

    ticket = random_weight_mask(rng, net.layout)
    state = begin(net, plan, split, seed=seed, theta_0=theta_0, weight_mask=ticket)
    control = begin(net, plan, split, seed=seed, theta_0=fresh, weight_mask=ticket)
    dense_end, masked_end = trained(theta_0, None)[0], trained(theta_0, dense_mask(theta_0))[0]
    hunted = [level.weight_mask.replicate(0).vector for level in levels]
    return [
        identical("L4", "start of a ticket", "m theta_0", state.theta.vector, (ticket * theta_0).vector),
        identical("L4", "masks of two rounds", "train, prune, rewind, by hand", hunted, by_hand),
        identical("L4", "accuracies of its tickets", "by hand",
                  arms[TICKET], [a for a, _ in accuracies]),
        identical("L4", "theta_0 after all trainings", "before", theta_0.vector, kept),
        identical("L5", "start of the control", "m theta_0', a fresh draw",
                  control.theta.vector, (ticket * fresh).vector),
        identical("L5", "accuracies of the controls", "by hand",
                  arms[Arm("reinit")], [a for _, a in accuracies]),
        identical("L9", "training with m = 1", "training without a mask", masked_end.vector, dense_end.vector),
    ]  # fmt: skip


# ---- what a mask depends on ------------------------------------------------------------------------------------------


def _what_masks_depend_on(rng: np.random.Generator) -> list[Check]:
    """The function does not settle a global magnitude mask: rescaled units and the dropout convention change it."""
    net, theta = random_net(rng, (12, 11, 9, 5), 1.0, relu)
    rescaled, by_layer, inverted = theta.copy(), theta.copy(), theta.copy()
    for layer in (1, 2):  # each ReLU unit: in by c, bias too, out by 1 / c
        c = np.exp(rng.standard_normal(net.sizes[layer]))
        rescaled[f"W{layer}"] *= c
        rescaled[f"b{layer}"] *= c
        rescaled[f"W{layer + 1}"] /= c[:, None]
    for layer, c in zip((1, 2, 3), (0.01, 3.0, 70.0)):
        by_layer[f"W{layer}"] *= c
    inverted["W2"] *= 0.8  # standard dropout has W where inverted dropout has q W
    inverted["W3"] *= 0.3
    x = rng.standard_normal((7, 12))

    def layerwise(theta):
        return prune_layerwise(magnitude(theta), dense_mask(theta), rate=0.4).vector

    def globally(theta):
        return prune_globally(magnitude(theta), dense_mask(theta), rate=0.4).vector

    return [
        compare("L10", "outputs with rescaled ReLU units", "as before",
                net.forward(rescaled, x)[0], net.forward(theta, x)[0]),
        apart("L10", "global mask with rescaled ReLU units", "as before, must differ",
              globally(rescaled), globally(theta)),
        identical("L10", "layerwise mask, one factor per layer", "as before", layerwise(by_layer), layerwise(theta)),
        identical("L11", "layerwise mask, inverted dropout", "standard dropout", layerwise(inverted), layerwise(theta)),
        apart("L11", "global mask, inverted dropout", "standard dropout, must differ",
              globally(inverted), globally(theta)),
    ]  # fmt: skip


def _targeted(rng: np.random.Generator) -> list[Check]:
    """Targeted dropout that drops every candidate is magnitude pruning, column by column, with the same count."""
    n, share = 10, draw_keep_prob(rng)
    x, W, b = (
        rng.standard_normal((4, n)),
        rng.integers(-3, 4, (n, 3)).astype(float),
        rng.standard_normal(3),
    )  # with ties
    k = math.floor(share * n)
    mask = np.stack([prune_lowest(np.abs(w), np.ones(n), k) for w in W.T], axis=-1)
    _, cache = targeted_weight_dropout_forward(x, W, b, rng.random((n, 3)), target_share=share, drop_prob=1.0)
    return [identical("L12", "mask of targeted dropout at probability 1", "magnitude mask", cache.weight_mask, mask)]


def _effective(rng: np.random.Generator) -> list[Check]:
    """The weights on a path from an input to an output are those that compaction keeps."""
    net, theta = random_net(rng, (5, 6, 4, 3), 1.0, tanh)
    mask = random_weight_mask(rng, net.layout, 0.35)
    W1, W2, W3 = (mask[name] for name in net.layout.weight_names)
    paths = np.einsum("ij,jk,kl->ijkl", W1, W2, W3) > 0  # one entry for each way through the net
    on_a_path = [paths.any(axis=axes).astype(float) for axes in ((2, 3), (0, 3), (0, 1))]
    effective = effective_mask(mask)
    small = compact(net, theta, mask)
    n, kept = net.layout.n_weights, sum(alive_counts(small.weight_mask).values())
    share = sum(part.sum() for part in on_a_path) / n
    left = np.concatenate([effective[name].ravel() for name in net.layout.weight_names])
    return [
        identical("L19", "effective mask", "weights on a path, one by one",
                  left, np.concatenate([part.ravel() for part in on_a_path])),
        compare("L19", "effective density", "share of weights on a path", effective_density(mask), share),
        identical("L19", "weights that compaction keeps", "weights on a path", kept, round(share * n)),
    ]  # fmt: skip


def _overlap(rng: np.random.Generator) -> list[Check]:
    """Two exact-count masks that have nothing to do with each other overlap as drawing without replacement does."""
    n, a, b = 6, int(rng.integers(1, 6)), int(rng.integers(1, 6))
    first = prune_lowest(rng.standard_normal(n), np.ones(n), n - a)
    orders = itertools.permutations(range(n))
    overlap = np.array([(first * prune_lowest(np.array(order, float), np.ones(n), n - b)).sum() for order in orders])
    subsets = all_masks(n)
    exact = subsets[subsets.sum(axis=1) == b] @ first
    return [
        compare("L20", "mean overlap, all orders of the scores", "a b / n", overlap.mean(), a * b / n),
        compare("L20", "its variance", "a b / n (1 - a/n) (n - b) / (n - 1)",
                overlap.var(), a * b / n * (1 - a / n) * (n - b) / (n - 1)),
        compare("L20", "how often each overlap comes", "all subsets",
                np.bincount(overlap.astype(int), minlength=n) / len(overlap),
                np.bincount(exact.astype(int), minlength=n) / len(exact)),
    ]  # fmt: skip
