"""In which direction would the loss have a trained net's keep probabilities move? The slope of the expected loss in q.

By Equation (M8) the expected loss is linear in the keep probability of each unit, and its slope is what the unit is worth:

    dE L / dq_k = E[L | unit k is there] - E[L | unit k is missing]

with the scale 1/q held fixed; the scale adds -(1/q) E sum_n h_nk dh_nk, which is read off the gradient of the weights that
the units feed (Equation (M7)). For a layer with one q the slope is the sum over its units. Enumerating all masks of a
hundred units is out of reach, so units and masks are drawn: every example has a mask and a unit of its own, and meets that
mask twice, with the unit and without it. The mean of these differences, times the number of units, is unbiased.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.experiments.publish import Table
from numpynet.experiments.setup import direction
from numpynet.figures import COLOURS, band, new_figure
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_MASKS, MAX_EXAMPLES = 10, 1000  # of each of the two splits


class LayerSlopes(NamedTuple):
    """dE L / dq of each hidden layer, in nats for a change of q by 1."""

    masks: np.ndarray  # (L - 1, R) how often units are there, the scale held fixed
    scale: np.ndarray  # (L - 1, R) the scale 1 / q, the masks held fixed

    @property
    def total(self) -> np.ndarray:
        """(L - 1, R) both: the slope of the loss that dropout trains with."""
        return self.masks + self.scale


class Slopes(NamedTuple):
    """What nets trained with one keep probability say about it."""

    keep_prob: float
    training: LayerSlopes  # on examples they were trained on
    test: LayerSlopes


def layer_slopes(
    net: MLP, theta: Parameters, split: Split, rng: np.random.Generator, *, n_masks: int = N_MASKS
) -> LayerSlopes:
    """Estimate the slope of the expected loss in the keep probability of each hidden layer.   Equation (M8)

    Parameters
    ----------
    net : with unit dropout on the inputs of all layers but the first
    theta : its parameters, a stack of R replicates
    split : the examples
    rng : of masks and units
    n_masks : drawn for each example and layer

    Returns
    -------
    LayerSlopes, (L - 1, R) each, in nats for a change of q by 1

    Examples
    --------
    >>> net = MLP((3, 5, 4, 2), keep_prob=0.8)
    >>> theta = net.init([np.random.default_rng(r) for r in range(6)])
    >>> split = Split(np.ones((7, 3), np.float32), np.zeros(7, int))
    >>> layer_slopes(net, theta, split, np.random.default_rng(0)).total.shape
    (2, 6)
    """
    n, lead, n_hidden = len(split.x), theta.replicates, net.n_layers - 1
    masks, scale = np.zeros((2, n_hidden, *lead))
    for _ in range(n_masks):
        drawn = net.sample_unit_masks(rng, (*lead, n), dtype=theta.dtype)  # (R, N, d) for each hidden layer
        scale += _scale_slopes(net, theta, split, drawn)
        for layer in range(1, net.n_layers):
            d = net.sizes[layer]
            chosen = rng.integers(d, size=(*lead, n, 1))  # a unit for each example
            with_it, without = (_loss(net, theta, split, _put(drawn, layer, chosen, value)) for value in (1, 0))
            masks[layer - 1] += d * (with_it - without)
    return LayerSlopes(masks / n_masks, scale / n_masks)


def slopes_of(
    net: MLP, theta: Parameters, keep_prob: float, training: Split, test: Split, seed: int, *, n_masks: int = N_MASKS
) -> Slopes:
    """Estimate the slopes on both splits; the same seed draws the same uniform numbers for every keep probability.

    Parameters
    ----------
    net : with unit dropout on the inputs of all layers but the first
    theta : a stack of R replicates
    keep_prob : that they were trained with
    training, test : the first ``MAX_EXAMPLES`` of each are used
    seed : of masks and units
    n_masks : drawn for each example and layer

    Returns
    -------
    Slopes

    Examples
    --------
    >>> net = MLP((3, 5, 2), keep_prob=0.8)
    >>> theta = net.init([np.random.default_rng(0)])
    >>> split = Split(np.ones((7, 3), np.float32), np.zeros(7, int))
    >>> slopes_of(net, theta, 0.8, split, split, 0).test.masks.shape
    (1, 1)
    """
    both = []
    for split in (training, test):
        some = Split(split.x[:MAX_EXAMPLES], split.y[:MAX_EXAMPLES])
        both.append(layer_slopes(net, theta, some, np.random.default_rng(seed), n_masks=n_masks))
    return Slopes(keep_prob, *both)


def slope_table(slopes: Sequence[Slopes]) -> Table:
    """Return the table of the slopes, a row for each keep probability and layer.

    Parameters
    ----------
    slopes : one for each keep probability

    Returns
    -------
    Table, with means over the replicates and their 95 % t-intervals, in nats for a change of q by 1

    Examples
    --------
    >>> ones = LayerSlopes(np.ones((2, 3)), np.ones((2, 3)))
    >>> [row[:3] for row in slope_table([Slopes(0.8, ones, ones)]).rows]
    [('0.8', '1', '2.000 ± 0.000'), ('0.8', '2', '2.000 ± 0.000')]
    """
    rows = [
        (f"{s.keep_prob:g}", str(layer + 1), *(t_interval(values[layer]).text(scale=1, digits=3) for values in parts))
        for s in slopes
        for parts in [(s.training.total, s.test.total, s.test.masks, s.test.scale)]
        for layer in range(len(s.test.masks))
    ]
    header = ("keep_prob", "hidden layer", "slope, training", "slope, test", "test: by the masks", "test: by the scale")
    return Table("Slope of the expected loss in keep_prob, at fixed n, in nats per unit of q", header, rows)


def slope_remark(slopes: Sequence[Slopes]) -> str:
    """Say for which keep probabilities the loss would have q rise, and for which fall.

    Parameters
    ----------
    slopes : one for each keep probability

    Returns
    -------
    Text, a line for each statement.

    Examples
    --------
    >>> falls, rises = (LayerSlopes(np.full((1, 3), v) + [[0.0, 0.1, 0.2]], np.zeros((1, 3))) for v in (-3.0, 3.0))
    >>> for line in slope_remark([Slopes(0.8, falls, falls), Slopes(1.0, falls, rises)]).splitlines()[:2]:
    ...     print(line)
    Slope on training examples, layer 1: below 0 at every keep_prob.
    Slope on test examples, layer 1: below 0 at 0.8; above 0 at 1.
    """
    lines = []
    for name in ("training", "test"):
        for layer in range(len(slopes[0].test.masks)):
            told = {"below": [], "above": [], "not told apart": []}
            for s in slopes:
                told[direction(t_interval(getattr(s, name).total[layer]))].append(f"{s.keep_prob:g}")
            parts = [
                f"{text} 0 at {'every keep_prob' if len(told[where]) == len(slopes) > 1 else ', '.join(told[where])}"
                for where, text in (("below", "below"), ("above", "above"), ("not told apart", "not told apart from"))
                if told[where]
            ]
            lines.append(f"Slope on {name} examples, layer {layer + 1}: {'; '.join(parts)}.")
    lines.append(
        "A negative slope says that these weights would do better with more units kept. What training with masks does to the "
        "weights is not in it: a gradient step on q cannot see the gain for which dropout is used."
    )
    return "\n".join(lines)


def slope_picture(slopes: Sequence[Slopes]) -> Figure:
    """Draw the slopes against keep_prob, training examples beside test examples, a line for each layer.

    Parameters
    ----------
    slopes : one for each keep probability

    Returns
    -------
    Figure of two axes

    Examples
    --------
    >>> ones = LayerSlopes(np.ones((2, 3)), np.ones((2, 3)))
    >>> len(slope_picture([Slopes(0.5, ones, ones), Slopes(0.8, ones, ones)]).axes)
    2
    """
    figure, axes = new_figure(2)
    x = [s.keep_prob for s in slopes]
    for ax, name in zip(axes, ("training", "test")):
        for layer, colour in zip(range(len(slopes[0].test.masks)), COLOURS):
            values = np.stack([getattr(s, name).total[layer] for s in slopes])
            band(ax, x, values, f"hidden layer {layer + 1}", colour, marker="o", markersize=4)
        ax.axhline(0, color="0.3", linewidth=1)
        ax.set(xlabel="keep_prob q", ylabel="slope dE L / dq in nats", title=f"{name} examples")
    low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)
    n = slopes[0].test.masks.shape[1]
    axes[0].legend(frameon=False, fontsize=9, title=f"mean of {n} runs, band: 95 % interval", title_fontsize=9)
    return figure


def _put(drawn: Sequence[np.ndarray | None], layer: int, chosen: np.ndarray, value: int) -> list[np.ndarray | None]:
    """Return the masks with the chosen units of a layer there (1) or missing (0)."""
    masks = list(drawn)
    masks[layer] = masks[layer].copy()
    np.put_along_axis(masks[layer], chosen, value, axis=-1)
    return masks


def _loss(net: MLP, theta: Parameters, split: Split, masks: Sequence[np.ndarray | None]) -> np.ndarray:
    logits, _ = net.forward(theta, split.x, unit_masks=masks, trusted=True)
    return softmax_cross_entropy_forward(logits, split.y)[0].astype(np.float64)


def _scale_slopes(net: MLP, theta: Parameters, split: Split, masks: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return -(1/q) sum over the units of a layer of h dh, for each hidden layer, (L - 1, R).   Equation (M7)"""
    logits, caches = net.forward(theta, split.x, unit_masks=masks, trusted=True)
    _, cache = softmax_cross_entropy_forward(logits, split.y)
    gradients = net.backward(softmax_cross_entropy_backward(np.ones(theta.replicates), cache), caches)
    names, keep_probs = net.layout.weight_names[1:], net.keep_probs[1:]
    return np.array([-(theta[w] * gradients[w]).sum(axis=(-2, -1)) / q for w, q in zip(names, keep_probs)])
