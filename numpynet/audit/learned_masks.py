"""Learned masks and instability: gradients of scores against the complex step, nets on a line beside nets by hand."""

from __future__ import annotations

import numpy as np

from numpynet.audit.check import Check, apart, at_most, compare, identical
from numpynet.audit.draws import loss_and_gradients, random_batch, random_net, random_parameters, random_weight_mask
from numpynet.data.dataset import Split
from numpynet.equations.activations import tanh
from numpynet.gradcheck.numeric import complex_step
from numpynet.lottery.edge_popup import edge_popup_backward, edge_popup_mask
from numpynet.lottery.instability import forks, interpolate, line
from numpynet.lottery.rewinding import rewind_point
from numpynet.lottery.supermasks import (
    keep_probabilities,
    sample_supermask,
    supermask_backward,
    supermask_forward,
    threshold_supermask,
)
from numpynet.network import MLP
from numpynet.optimizers import Momentum
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.training import begin, evaluate, train


def audit_learned_masks(seed: int = 0) -> list[Check]:
    """Check supermasks, edge-popup and instability: P13, P15, L18.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_learned_masks(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    return [*_bernoulli(rng), *_edge_popup(rng), *_line(rng), *_forks(rng)]


def _weights_of(parameters: Parameters) -> np.ndarray:
    return np.concatenate([parameters[name].ravel() for name in parameters.layout.weight_names])


def _bernoulli(rng: np.random.Generator) -> list[Check]:
    """The surrogate m + sigma(S) - sigma(S_0) is m at S_0, and has the slope that straight-through stands for."""
    net, theta = random_net(rng, (6, 5, 4, 3), 1.0, tanh)
    x, y = random_batch(rng, net, 7)
    scores, uniform = random_parameters(rng, net.layout), rng.random(net.layout.size)
    mask = sample_supermask(scores, uniform)
    by_hand = (uniform < 1 / (1 + np.exp(-scores.vector))).astype(float)
    checks = [
        identical("P13", "mask", "1[u < sigma(S)]", _weights_of(mask), _weights_of(Parameters(by_hand, net.layout))),
        identical("P13", "thresholded mask", "1[S > 0]", _weights_of(threshold_supermask(scores)), _weights_of(scores) > 0),
        compare("P13", "expected net", "sigma(S) W",
                _weights_of(supermask_forward(theta, keep_probabilities(scores))[0]),
                _weights_of(theta) / (1 + np.exp(-_weights_of(scores)))),
    ]  # fmt: skip
    for rescale in (False, True):
        effective, cache = supermask_forward(theta, mask, rescale=rescale)

        def surrogate(vector, rescale=rescale):
            moved = by_hand + 1 / (1 + np.exp(-vector)) - 1 / (1 + np.exp(-scores.vector))
            run_on = (theta * moved).copy()
            for name in net.layout.weight_names:
                part = Parameters(moved, net.layout)[name]
                run_on[name] = run_on[name] * (part.size / part.sum() if rescale else 1)
            for name in net.layout.bias_names:
                run_on[name] = theta[name]
            return loss_and_gradients(net, run_on, x, y)[0]

        G = loss_and_gradients(net, effective, x, y)[1]
        what = "dS, straight through" + (", rescaled" if rescale else "")
        checks.append(
            compare("P13", what, "complex step of the surrogate",
                    _weights_of(supermask_backward(G, scores, cache)),
                    _weights_of(Parameters(complex_step(surrogate, scores.vector), net.layout)))
        )  # fmt: skip
    return checks


def _edge_popup(rng: np.random.Generator) -> list[Check]:
    net, theta = random_net(rng, (6, 5, 4, 3), 1.0, tanh)
    x, y = random_batch(rng, net, 7)
    scores = random_parameters(rng, net.layout)
    mask, density = edge_popup_mask(scores, 0.4), 0.4
    counts, least = [], []
    for name in net.layout.weight_names:
        counts.append(mask[name].sum())
        size = np.sort(np.abs(scores[name]).ravel())
        least.append(np.abs(scores[name])[mask[name] == 1].min() - size[-int(mask[name].sum())])

    def surrogate(vector):
        moved = Parameters(mask.vector + vector * np.sign(scores.vector) - np.abs(scores.vector), net.layout)
        run_on = theta * moved
        for name in net.layout.bias_names:
            run_on[name] = theta[name]
        return loss_and_gradients(net, run_on, x, y)[0]

    G = loss_and_gradients(net, theta * mask, x, y)[1]
    return [
        identical("P15", f"weights left at density {density}", "12, 8, 5 of 30, 20, 12", counts, [12, 8, 5]),
        identical("P15", "smallest |S| kept", "the k-th largest", least, [0, 0, 0]),
        compare("P15", "dS, selection passed over", "complex step of the surrogate",
                _weights_of(edge_popup_backward(G, scores, theta)),
                _weights_of(Parameters(complex_step(surrogate, scores.vector), net.layout))),
    ]  # fmt: skip


def _line(rng: np.random.Generator) -> list[Check]:
    """Losses of the nets on the line, one by one; and for one layer a convex curve."""
    net, A = random_net(rng, (6, 5, 4, 3), 1.0, tanh)
    B, mask, split = (
        random_parameters(rng, net.layout),
        random_weight_mask(rng, net.layout),
        Split(*random_batch(rng, net, 40)),
    )
    walked = line(net, A, B, split, weight_mask=mask)
    by_hand = np.array([evaluate(net, (1 - a) * A + a * B, split, weight_mask=mask) for a in walked.alphas])
    error = 1 - by_hand[:, 1]
    single = MLP((6, 3))
    ends = [3 * random_parameters(rng, single.layout) for _ in range(2)]
    convex = line(single, *ends, split, alphas=np.linspace(0, 1, 21))
    chord = (1 - convex.alphas) * convex.loss[0] + convex.alphas * convex.loss[-1]
    return [
        identical("L18", "ends of the line", "theta_A, theta_B",
                  [interpolate(A, B, a).vector for a in (0, 1)], [A.vector, B.vector]),
        compare("L18", "losses on the line", "net by net", walked.loss, by_hand[:, 0]),
        compare("L18", "instability", "max E - (E_A + E_B) / 2", walked.instability, error.max() - (error[0] + error[-1]) / 2),
        at_most("L18", "losses of one layer on the line", "at most the chord", convex.loss, chord),
    ]  # fmt: skip


def _forks(rng: np.random.Generator) -> list[Check]:
    """Copies of step k: with the same order of the data they end as one, with two orders they do not."""
    net, steps, k = MLP((6, 8, 3), tanh, keep_prob=0.8), 9, 4
    split, seed = Split(*random_batch(rng, net, 40)), int(rng.integers(2**31))
    mask = random_weight_mask(rng, net.layout)
    plan = TrainingPlan(steps=steps, batch_size=12, optimizer=Momentum(0.9), schedule=0.1, dtype="float64")

    def trained(state, until=None):
        for _ in train(state, split, until=until):
            pass
        return state

    whole = trained(begin(net, plan, split, seed=seed), until=k)
    point = rewind_point(whole)
    trained(whole)

    def ends(draws, weight_mask):
        pair = forks(net, plan, split, seed=seed, point=point, weight_mask=weight_mask, draws=draws)
        return [trained(state).theta.vector for state in pair]

    return [
        identical("L18", "two copies with one order of the data", "each other", *ends((1, 1), mask)),
        identical("L18", "a copy with the order of the run", "the run", ends((0, 1), None)[0], whole.theta.vector),
        apart("L18", "two copies with two orders", "each other, must differ", *ends((1, 2), mask)),
    ]
