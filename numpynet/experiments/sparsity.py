"""Does dropout make activations sparse? Hidden units of nets trained with and without it, looked at in evaluation.

Two things are counted on the test examples, layer by layer: the share of activations that are exactly 0 (a ReLU that is
off), and the mean activation. A unit that is 0 for every example is dead and is counted too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import (
    Measure,
    Setup,
    Steps,
    accuracies,
    direction,
    layer_table,
    measure_each,
    paired,
    train_stack,
)
from numpynet.figures import COLOURS, new_figure
from numpynet.network import MLP
from numpynet.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (1.0, 0.8, 0.5)
QUICK = {"keep_probs": (1.0, 0.5)}
MEASURES = (
    Measure("off", "activations at 0, %", scale=100, digits=2),
    Measure("mean", "mean activation"),
    Measure("dead", "dead units %", scale=100, digits=2, compared=False),
)
MAX_TEST = 1000
BINS = 40


class Activity(NamedTuple):
    """The hidden layers of the nets trained with one keep probability; the first axis is the layer."""

    keep_prob: float
    off: np.ndarray  # (L - 1, R) share of activations that are 0
    mean: np.ndarray  # (L - 1, R) mean activation
    dead: np.ndarray  # (L - 1, R) share of units that are 0 for every example
    unit_off: np.ndarray  # (L - 1, BINS) units of all replicates, by the share of examples that they are off for
    test: np.ndarray  # (R,) accuracy


def hidden_activations(net: MLP, theta: Parameters, x: np.ndarray) -> list[np.ndarray]:
    """Return the activations of each hidden layer in evaluation, (..., N, d_l).

    Parameters
    ----------
    net : of L layers
    theta : its parameters, or a stack of them
    x : (..., N, d_0)

    Returns
    -------
    L - 1 arrays, (..., N, d_l)

    Examples
    --------
    >>> net = MLP((2, 3, 4, 1))
    >>> [h.shape for h in hidden_activations(net, Parameters.zeros(net.layout), np.ones((5, 2), np.float32))]
    [(5, 3), (5, 4)]
    """
    _, caches = net.forward(theta, x)
    return list(caches.inputs[1:])  # what a layer receives is what the one below it gives


def measure(setup: Setup, seeds: Sequence[int], keep_prob: float, steps: Steps) -> Activity:
    """Train with this keep probability, and count what is off.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_prob : of the hidden layers
    steps : to count on

    Returns
    -------
    Activity, on at most ``MAX_TEST`` test examples

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> activity = measure(Setup(load_digits(), hidden=(8, 7), steps=3), [0, 1, 2], 0.8, Steps("sparsity", 3))
    >>> activity.off.shape, activity.unit_off.sum(axis=1).tolist()
    ((2, 3), [24, 21])
    """
    net = setup.net(keep_prob)
    theta = train_stack(net, setup.plan(), setup.data.train, seeds, steps).theta
    layers = hidden_activations(net, theta, setup.data.test.x[:MAX_TEST])
    off = [(h == 0).mean(axis=-2) for h in layers]  # (R, d_l) share of examples that each unit is off for
    return Activity(
        keep_prob,
        off=np.array([share.mean(axis=-1) for share in off]),
        mean=np.array([h.mean(axis=(-2, -1), dtype=np.float64) for h in layers]),
        dead=np.array([(share == 1).mean(axis=-1) for share in off]),
        unit_off=np.array([np.histogram(share, bins=BINS, range=(0, 1))[0] for share in off]),
        test=accuracies(net, theta, setup.data.test),
    )


def report(
    setup: Setup,
    seeds: Sequence[int],
    *,
    keep_probs: Sequence[float] = KEEP_PROBS,
    where: Mapping[str, Any] | None = None,
) -> Report:
    """Run ``measure`` for each keep probability, the first being the reference, and compare.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_probs : of the hidden layers
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> outcome = report(Setup(load_digits(), hidden=(8, 7), steps=3), [0, 1], keep_probs=(1.0, 0.8))
    >>> [row[:2] for row in outcome.tables[0].rows]
    [('1', '1'), ('1', '0.8'), ('2', '1'), ('2', '0.8')]
    """
    found = measure_each(measure, [(setup, seeds, q) for q in keep_probs], "sparsity", setup.steps, where)
    return Report(
        title="Does dropout make activations sparse?",
        question="Are more hidden activations 0, and are they smaller, in evaluation, when the net was trained with "
        "dropout?",
        tables=[Table("Hidden activations on the test examples", *layer_table(found, MEASURES))],
        remark=_remark(found),
        pictures={
            "sparsity.png": (
                _picture(found),
                "For each hidden layer, the units of all replicates by the share of test examples for which they are 0. "
                "The dashed lines are the means.",
            )
        },
        reading="An activation is 0 where its ReLU is off; a dead unit is off for every test example that was looked at.",
        settings={**setup.settings(seeds), "test examples used": min(MAX_TEST, len(setup.data.test.x))},
    )


def _remark(found: Sequence[Activity]) -> str:
    reference, lines = found[0], []
    for a in found[1:]:
        parts = []
        for layer in range(len(a.off)):
            off = direction(paired(a.off[layer], reference.off[layer]))
            mean = direction(paired(a.mean[layer], reference.mean[layer]))
            sparser = {
                "above": "sparser",
                "below": "less sparse",
                "not told apart": "no difference in sparsity was seen",
            }
            larger = {
                "above": "larger mean",
                "below": "smaller mean",
                "not told apart": "no difference in mean was seen",
            }
            parts.append(f"layer {layer + 1} {sparser[off]}, {larger[mean]}")
        lines.append(f"keep_prob {a.keep_prob:g} against {reference.keep_prob:g}: {'; '.join(parts)}.")
    return "\n".join(lines) or "There is nothing to compare with."


def _picture(found: Sequence[Activity]) -> Figure:
    n_layers = len(found[0].off)
    figure, axes = new_figure(n_layers)
    edges = np.linspace(0, 100, BINS + 1)
    for layer, ax in enumerate(axes):
        for colour, a in zip(COLOURS, found):
            name = f"keep_prob {a.keep_prob:g}" if a.keep_prob < 1 else "no dropout"
            ax.stairs(
                100 * a.unit_off[layer] / a.unit_off[layer].sum(), edges, color=colour, label=name, fill=True, alpha=0.2
            )
            ax.stairs(100 * a.unit_off[layer] / a.unit_off[layer].sum(), edges, color=colour, linewidth=1.3)
            ax.axvline(100 * a.off[layer].mean(), color=colour, linestyle="--", linewidth=1.2)
        ax.set(xlabel="off for so many test examples, in %", ylabel="units in %", title=f"hidden layer {layer + 1}")
    axes[0].legend(frameon=False, loc="upper left", fontsize=9)
    return figure
