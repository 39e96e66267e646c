"""Sparse training: how much is pruned and when, how a density is shared out among layers, and masks that move."""

from __future__ import annotations

import math
import warnings

import numpy as np

from numpynet.audit.check import Check, at_most, compare, identical
from numpynet.audit.draws import random_batch, random_net, random_parameters, random_weight_mask
from numpynet.data.dataset import Split
from numpynet.equations.activations import tanh
from numpynet.equations.masks import prune_count
from numpynet.network import MLP
from numpynet.optimizers import Momentum
from numpynet.parameters import Layout, Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import (
    ConstantDrop,
    CosineDrop,
    DisconnectedWarning,
    GradualDensity,
    PolynomialDrop,
    alive_counts,
    count_paths,
    dense_gradients,
    dense_mask,
    drop_and_grow,
    erdos_renyi,
    geometric_densities,
    impose_mask,
    layer_counts,
    magnitude,
    prune_globally,
    rigl_move,
    set_move,
    synflow,
    synflow_mask,
)
from numpynet.training import begin, train

_LAYOUT = Layout.of_sizes((6, 5, 4, 3))


def audit_sparse_training(seed: int = 0) -> list[Check]:
    """Check rounds, schedules, budgets and moving masks: P9 and P16 to P20.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_sparse_training(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisconnectedWarning)  # small random nets may be cut; that is not judged here
        return [
            *_synflow_rounds(rng),
            *_gradual(rng),
            *_drop_fractions(),
            *_moving(rng),
            *_grown_from_nothing(rng),
            *_budgets(),
        ]


def _synflow_rounds(rng: np.random.Generator) -> list[Check]:
    layout, density, rounds = Layout.of_sizes((9, 8, 7, 5)), 0.1, 20
    theta = random_parameters(rng, layout)
    mask, left, wanted = dense_mask(theta), [], geometric_densities(density, rounds)
    for target in wanted:
        mask = prune_globally(synflow(theta, mask), mask, density=target)
        left.append(sum(alive_counts(mask).values()))
    n = layout.n_weights
    return [
        compare("P9", "densities of the rounds", "density^(k / n)",
                wanted, density ** (np.arange(1, rounds + 1) / rounds)),
        identical("P9", "weights left after every round", "exact counts",
                  left, [n - math.floor((1 - d) * n + 0.5) for d in wanted]),
        identical("P9", f"SynFlow mask in {rounds} rounds", "cut round by round",
                  synflow_mask(theta, density=density, rounds=rounds).vector, mask.vector),
        identical("P9", "SynFlow masks without any path left", "none", count_paths(mask) == 0, False),
    ]  # fmt: skip


def _drop_fractions() -> list[Check]:
    T, t = 20, np.arange(26)
    inside = np.minimum(t / T, 1)
    cosine, cubic = CosineDrop(steps=T), PolynomialDrop(steps=T, power=3)
    return [
        compare("P17", "cosine drop fraction", "0.15 (1 + cos(pi t / T)), then 0",
                [cosine(k) for k in t], 0.15 * (1 + np.cos(np.pi * inside))),
        compare("P17", "polynomial drop fraction", "0.3 (1 - t / T)^3, then 0",
                [cubic(k) for k in t], 0.3 * (1 - inside) ** 3),
        identical("P17", "constant drop fraction", "0.3", [ConstantDrop()(k) for k in t], [0.3] * len(t)),
    ]  # fmt: skip


def _gradual(rng: np.random.Generator) -> list[Check]:
    start, steps, n = 3, 8, _LAYOUT.n_weights
    schedule, t = GradualDensity(0.2, steps=steps, start=start, initial=0.9), np.arange(15)
    sparsity = 0.8 + (0.1 - 0.8) * (1 - np.clip((t - start) / steps, 0, 1)) ** 3
    mask, left = Parameters.ones(_LAYOUT), []
    for k in t:
        mask = prune_globally(magnitude(random_parameters(rng, _LAYOUT)), mask, density=schedule(int(k)))
        left.append(sum(alive_counts(mask).values()))
    slow = GradualDensity(0.2, steps=10**6)
    return [
        compare("P16", "gradual sparsity", "s_f + (s_i - s_f) (1 - (t - t_0) / T)^3",
                [1 - schedule(int(k)) for k in t], sparsity),
        identical("P16", "weights left at every step", "n - floor(s n + 1/2)",
                  left, [n - math.floor((1 - schedule(int(k))) * n + 0.5) for k in t]),
        at_most("P16", "weights left", "at most those before", left[1:], left[:-1], 0.0),
        compare("P16", "slope at the start, times T", "3 (s_f - s_i)", 10**6 * (slow(0) - slow(1)), 3 * 0.8, 1e-5),
    ]  # fmt: skip


def _budgets() -> list[Check]:
    large, small = Layout.of_sizes((784, 300, 100, 10)), Layout.of_sizes((40, 100, 100, 10))
    counts = [list(layer_counts(layout, erdos_renyi(layout, d)).values()) for layout, d in ((large, 0.1), (small, 0.2))]
    densities = erdos_renyi(small, 0.15)
    shapes = {name: small.shapes[name] for name in small.weight_names}
    epsilon = [densities[name] * a * b / (a + b) for name, (a, b) in shapes.items()]
    total = sum(densities[name] * a * b for name, (a, b) in shapes.items())
    return [
        identical("P20", "784-300-100-10 at 10 %", "18714, 6906, 1000", counts[0], [18714, 6906, 1000]),
        identical("P20", "40-100-100-10 at 20 %", "933, 1333, 733", counts[1], [933, 1333, 733]),
        compare("P20", "density d_in d_out / (d_in + d_out)", "one epsilon", epsilon, [epsilon[0]] * 3),
        compare("P20", "all weights", "density times their number", total, 0.15 * small.n_weights),
    ]


# ---- weights that move -----------------------------------------------------------------------------------------------


def _moving(rng: np.random.Generator) -> list[Check]:
    """Drop the k smallest |W| of each layer, grow k of the dead: at random (SET), or by the dense gradient (RigL)."""
    net, dense = random_net(rng, (6, 5, 4, 3), 1.0, tanh)
    split, mask, fraction = Split(*random_batch(rng, net, 9)), random_weight_mask(rng, _LAYOUT, 0.5), 0.3
    theta = dense * mask
    G = dense_gradients(net, theta, split, weight_mask=mask)
    rows = []
    for equation, name, move in (
        ("P18", "SET", set_move(rng, theta, mask, fraction)),
        ("P19", "RigL", rigl_move(theta, mask, G, fraction)),
    ):
        kept = mask - move.dropped
        before, _ = net.forward(theta * kept, split.x, weight_mask=kept)
        after, _ = net.forward(theta * kept, split.x, weight_mask=move.weight_mask)
        k = [prune_count(fraction, n) for n in alive_counts(mask).values()]
        moved = [[int(part[name].sum()) for name in _LAYOUT.weight_names] for part in (move.dropped, move.grown)]
        rows += [
            identical(equation, f"living weights after {name}", "before",
                      list(alive_counts(move.weight_mask).values()), list(alive_counts(mask).values())),
            identical(equation, f"weights dropped and grown by {name}", "floor(zeta alive + 1/2)", moved, [k, k]),
            identical(equation, f"grown where alive, by {name}", "none", (move.grown * kept).vector, 0 * mask.vector),
            identical(equation, f"outputs after {name} has grown", "before", after, before),
            at_most(equation, f"largest |W| dropped by {name}", "at most the smallest kept",
                    *_order(theta, move.dropped, kept), 0.0),
        ]  # fmt: skip
    dead = dense_mask(mask) - move.weight_mask
    rows.append(
        at_most("P19", "largest |G| that stays dead", "at most the smallest grown", *_order(G, dead, move.grown), 0.0)
    )
    return rows


def _grown_from_nothing(rng: np.random.Generator) -> list[Check]:
    """Also a weight that is dropped and grown again in one move starts at 0, and the optimizer has forgotten it."""
    net = MLP((6, 5, 4, 3), tanh)
    split, mask = Split(*random_batch(rng, net, 20)), random_weight_mask(rng, net.layout, 0.5)
    plan = TrainingPlan(steps=4, batch_size=5, optimizer=Momentum(0.9), dtype="float64")
    state = begin(net, plan, split, theta_0=random_parameters(rng, net.layout), weight_mask=mask)
    for _ in train(state, split):
        pass
    back_again = drop_and_grow(state.theta, state.weight_mask, magnitude(state.theta), 0.4)  # what was dropped grows
    impose_mask(state, back_again.weight_mask, grown=back_again.grown)
    nothing = (state.theta * back_again.grown).vector, state.optimizer.slots["v"] * back_again.grown.vector
    return [identical("P18", "grown weights and their momentum", "0", nothing, 0 * np.array(nothing))]


def _order(values: Parameters, low: Parameters, high: Parameters) -> tuple[list, list]:
    """For each layer the largest size among the low ones, and the smallest among the high ones."""
    names = values.layout.weight_names
    return (
        [np.abs(values[name][low[name] == 1]).max(initial=0.0) for name in names],
        [np.abs(values[name][high[name] == 1]).min(initial=math.inf) for name in names],
    )
