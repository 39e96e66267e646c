"""Do units rely on each other less? Co-adaptation of hidden units trained with and without dropout.

"Co-adaptation" is measured in two ways, in evaluation, on test examples:

* the mean absolute correlation of the activations of two units of a layer (pairs with a constant unit are left out):
  how much they say the same thing;
* the cost of losing one unit: the loss without it minus the loss with it, exactly, averaged over the units of a layer.
  Its first-order estimate is the saliency of Equation (M7). The same for a random fifth of the units says how much the
  net as a whole depends on all of them being there; kept units are not rescaled.

First-layer features are shown as pictures where the examples are pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import softmax_cross_entropy_forward
from numpynet.equations.masks import sample_mask
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
from numpynet.experiments.sparsity import hidden_activations
from numpynet.figures import COLOURS, new_figure
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.subnetworks import without_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (1.0, 0.8, 0.5)
QUICK = {"keep_probs": (1.0, 0.5)}
MAX_TEST = 360
LOST, LOSSES = 0.2, 20  # a fifth of the units is lost, so many times over
MEASURES = (
    Measure("correlation", "mean abs correlation", digits=4),
    Measure("one_lost", "one unit lost", digits=4),
    Measure("many_lost", "a fifth lost", digits=4),
)
FEATURES = 16  # shown for each keep probability


class Adaptation(NamedTuple):
    """The hidden layers of the nets trained with one keep probability; the first axis is the layer."""

    keep_prob: float
    correlation: np.ndarray  # (L - 1, R) mean absolute correlation of two units
    one_lost: np.ndarray  # (L - 1, R) mean increase of the loss when one unit is missing, in nats
    many_lost: np.ndarray  # (L - 1, R) increase when a random fifth of the layer is missing
    features: np.ndarray  # (FEATURES, d_0) the incoming weights of the units with the largest norm, first replicate
    test: np.ndarray  # (R,) accuracy


def mean_correlation(h: np.ndarray) -> float:
    """Return the mean of abs(correlation) over pairs of units that are not constant; nan if there is no such pair.

    Parameters
    ----------
    h : (N, d) activations

    Returns
    -------
    A number in [0, 1], or nan.

    Examples
    --------
    >>> h = np.array([[1.0, 2.0, 1.0, 5.0], [2.0, 4.0, 1.0, 5.0], [3.0, 6.0, -2.0, 5.0]])
    >>> round(mean_correlation(h), 3)                              # pairs 1, 0.866 and 0.866; the last unit is constant
    0.911
    """
    h = np.asarray(h, np.float64)
    h = h[:, np.ptp(h, axis=0) > 0]
    if h.shape[1] < 2:
        return float("nan")
    correlation = np.corrcoef(h, rowvar=False)  # (d, d)
    return float(np.abs(correlation[np.triu_indices(len(correlation), 1)]).mean())


def cost_of_losing(net: MLP, theta: Parameters, split: Split, layer: int, unit_masks: np.ndarray) -> np.ndarray:
    """Return how much the loss grows when units are missing in evaluation, others unscaled, for a stack of masks.

    Parameters
    ----------
    net, theta : a single net
    split : the examples
    layer : whose units are lost, 1 for the first hidden layer
    unit_masks : (S, d_layer) binary

    Returns
    -------
    (S,) in nats

    Examples
    --------
    >>> net = MLP((1, 2, 2))
    >>> theta = Parameters(np.array([1.0, 1.0, 0.0, 0.0, 3.0, 0.0, 3.0, 0.0, 0.0, 0.0]), net.layout)     # two alike
    >>> cost_of_losing(net, theta, Split(np.ones((1, 1)), np.array([0])), 1, np.array([[1.0, 1.0], [0.0, 1.0]])).round(4)
    array([0.    , 0.0461])
    """
    free = without_scale(MLP(net.sizes, net.activation, keep_prob=0.5))  # takes masks, divides by nothing
    whole, _ = softmax_cross_entropy_forward(net.forward(theta, split.x)[0], split.y)
    costs = []
    for unit_mask in unit_masks:
        masks = [None] * net.n_layers
        masks[layer] = unit_mask[None, :].astype(theta.dtype)  # (1, d), shared by all examples
        loss, _ = softmax_cross_entropy_forward(
            free.forward(theta, split.x, unit_masks=masks, trusted=True)[0], split.y
        )
        costs.append(float(loss) - float(whole))
    return np.array(costs)


def measure(setup: Setup, seeds: Sequence[int], keep_prob: float, steps: Steps) -> Adaptation:
    """Train with this keep probability, and measure how the hidden units depend on each other.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_prob : of the hidden layers
    steps : to count on

    Returns
    -------
    Adaptation, on at most ``MAX_TEST`` test examples

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> found = measure(Setup(load_digits(), hidden=(8, 7), steps=3), [0, 1, 2], 0.8, Steps("co-adaptation", 3))
    >>> found.correlation.shape, found.features.shape
    ((2, 3), (8, 64))
    """
    net = setup.net(keep_prob)
    theta = train_stack(net, setup.plan(), setup.data.train, seeds, steps).theta
    split = Split(setup.data.test.x[:MAX_TEST], setup.data.test.y[:MAX_TEST])
    activations = hidden_activations(net, theta, split.x)
    correlation, one_lost, many_lost = np.empty((3, net.n_layers - 1, len(seeds)))
    for replicate, seed in enumerate(seeds):
        one = theta.replicate(replicate)
        rng = streams(seed).dropout.spawn(1)[0]  # the same losses for every keep probability
        for layer, h in enumerate(activations):
            d = h.shape[-1]
            correlation[layer, replicate] = mean_correlation(h[replicate])
            one_lost[layer, replicate] = cost_of_losing(net, one, split, layer + 1, 1 - np.eye(d)).mean()
            some = sample_mask(rng, (LOSSES, d), 1 - LOST)
            many_lost[layer, replicate] = cost_of_losing(net, one, split, layer + 1, some).mean()
    W = theta.replicate(0)["W1"]  # (d_0, d_1)
    strongest = np.argsort(-(W * W).sum(axis=0), kind="stable")[:FEATURES]
    return Adaptation(
        keep_prob, correlation, one_lost, many_lost, W[:, strongest].T.copy(), accuracies(net, theta, setup.data.test)
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
    found = measure_each(measure, [(setup, seeds, q) for q in keep_probs], "co-adaptation", setup.steps, where)
    return Report(
        title="Do units rely on each other less?",
        question="Are hidden units less correlated, and is the loss of a unit cheaper, when the net was trained with "
        "dropout?",
        tables=[
            Table("Mean absolute correlation of two units of a layer", *layer_table(found, MEASURES[:1])),
            Table(
                "What it costs to lose units of a layer: increase of the loss, in nats",
                *layer_table(found, MEASURES[1:]),
            ),
        ],
        remark=_remark(found),
        pictures={
            "coadaptation.png": (
                _picture(found),
                "Mean absolute correlation of hidden units, and what it costs to lose some: each unit alone, on the average, "
                "and a random fifth of the layer. Dots are replicates, bars are 95 % intervals.",
            ),
            "features.png": (
                _features(found, setup.data.image_shape),
                f"Incoming weights of the {len(found[0].features)} first-layer units with the largest norm, first "
                "replicate, each on its own scale: red is positive, blue negative, white 0.",
            ),
        },
        reading=f"On {min(MAX_TEST, len(setup.data.test.x))} test examples, in evaluation. Units that are kept are not "
        "rescaled. A negative cost: the net does better without that unit.",
        settings={**setup.settings(seeds), "units lost": f"each alone; {LOST:.0%} of a layer, {LOSSES} times"},
    )


def _remark(found: Sequence[Adaptation]) -> str:
    reference, lines = found[0], []
    for a in found[1:]:
        parts = []
        for measure in MEASURES:
            told: dict[str, list[str]] = {}
            for i, (values, base) in enumerate(zip(getattr(a, measure.name), getattr(reference, measure.name))):
                told.setdefault(direction(paired(values, base)), []).append(str(i + 1))
            parts.append(f"{measure.heading} " + ", ".join(f"{w} in layer {' and '.join(i)}" for w, i in told.items()))
        lines.append(f"keep_prob {a.keep_prob:g} against {reference.keep_prob:g}: {'; '.join(parts)}.")
    return "\n".join(lines) or "There is nothing to compare with."


def _picture(found: Sequence[Adaptation]) -> Figure:
    figure, axes = new_figure(len(MEASURES), width=4.2)
    figure.get_layout_engine().set(w_pad=0.12)
    for ax, (name, text, *_) in zip(axes, MEASURES):
        for i, (colour, a) in enumerate(zip(COLOURS, found)):
            values = getattr(a, name)  # (L - 1, R)
            label = f"keep_prob {a.keep_prob:g}" if a.keep_prob < 1 else "no dropout"
            for layer, row in enumerate(values):
                x, interval = layer + 1 + 0.18 * (i - (len(found) - 1) / 2), t_interval(row)
                ax.scatter(np.full(len(row), x), row, color=colour, alpha=0.35, s=14, linewidths=0)
                bar = 0.0 if np.isnan(interval.half_width) else interval.half_width
                ax.errorbar(
                    x, interval.mean, bar, color=colour, capsize=4, marker="_", label=label if layer == 0 else None
                )
        ax.set_xticks(range(1, len(values) + 1), [f"hidden layer {i + 1}" for i in range(len(values))])
        ax.axhline(0, color="0.4", linewidth=1)
        ax.set(title=text, ylabel="abs correlation" if name == "correlation" else "increase of the loss in nats")
        ax.set_xlim(0.5, len(values) + 0.5)
    axes[0].legend(frameon=False, loc="center", bbox_to_anchor=(0.5, 0.3), fontsize=9)
    return figure


def _features(found: Sequence[Adaptation], image_shape: tuple[int, int] | None) -> Figure:
    figure, axes = new_figure(len(found), width=3.6, height=3.7)
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
    for ax, a in zip(axes, found):
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(f"keep_prob {a.keep_prob:g}" if a.keep_prob < 1 else "no dropout", fontsize=11)
        scaled = a.features / np.abs(a.features).max(axis=1, keepdims=True)  # each in [-1, 1]
        if image_shape is None:
            for i, weights in enumerate(scaled):
                ax.plot(0.42 * weights - i, color=COLOURS[0], linewidth=1)
                ax.axhline(-i, color="0.85", linewidth=0.6, zorder=0)
        else:
            ax.imshow(_mosaic(scaled, image_shape), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    return figure


def _mosaic(images: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
    """Lay pictures out in a square, with a white line between them."""
    side = int(np.ceil(np.sqrt(len(images))))
    height, width = image_shape
    canvas = np.full((side * (height + 1) - 1, side * (width + 1) - 1), np.nan)
    for i, image in enumerate(images):
        row, column = divmod(i, side)
        top, left = row * (height + 1), column * (width + 1)
        canvas[top : top + height, left : left + width] = image.reshape(image_shape)
    return canvas
