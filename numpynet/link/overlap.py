"""Do dropout and its absence find the same ticket? Overlap of the masks that start from one draw, against chance.

Masks are compared layer by layer by their intersection over union. Two masks of the same counts that know nothing of each
other overlap by chance as Equation (L20) says. How much noise there is in a mask anyway shows a third training, without
dropout, that differs in the order of the examples alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.equations.chance_masks import iou_by_chance
from numpynet.equations.masks import intersection, union
from numpynet.experiments.findings import Claim, Finding
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired
from numpynet.figures import COLOURS, band, new_figure
from numpynet.link.bench import KEEP_PROB, Bench, dense_fit, ladder
from numpynet.lottery.controls import one_shot_mask
from numpynet.parameters import Parameters
from numpynet.pruning import magnitude
from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 3
QUICK: dict[str, object] = {}


class Overlaps(NamedTuple):
    """Intersection over union at each level of pruning, for each layer; K levels, L layers, R replicates."""

    densities: list[float]  # (K,) of the whole net
    imp: np.ndarray  # (K, L, R) tickets found with and without dropout
    one_shot: np.ndarray  # (K, L, R) the same of masks that are cut at once from the dense nets
    order: np.ndarray  # (K, L, R) one-shot masks without dropout, two orders of the examples
    chance: np.ndarray  # (K, L) of two independent masks of those counts


def iou(mask_1: np.ndarray, mask_2: np.ndarray) -> np.ndarray:
    """Return the intersection over union of two masks, over the last two axes.   Equations (M1), (L20)

    Parameters
    ----------
    mask_1, mask_2 : (..., d_in, d_out) binary

    Returns
    -------
    (...,) in [0, 1]

    Raises
    ------
    ValueError
        Two masks that are compared are both empty.

    Examples
    --------
    >>> float(iou(np.array([[1.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 1.0]])))
    0.3333333
    """
    both, either = (f(mask_1, mask_2).sum(axis=(-2, -1)) for f in (intersection, union))
    if not either.all():
        raise ValueError("both masks are empty: their intersection over union is 0 / 0")
    return both / either


def measure(bench: Bench, seeds: Sequence[int], steps: Steps) -> Overlaps:
    """Find the masks, and compare them.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on

    Returns
    -------
    the overlaps, as shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> found = measure(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1], Steps("x", 30))
    >>> found.imp.shape, found.chance.shape
    ((1, 2, 2), (1, 2))
    """
    plain, dropout = (ladder(bench, seeds, q, steps) for q in (1.0, KEEP_PROB))
    other = dense_fit(bench, seeds, 1.0, steps, draw=1).theta_T
    names = plain[0].weight_mask.layout.weight_names

    def layers(one: Parameters, two: Parameters) -> list[np.ndarray]:
        return [iou(one[name].astype(np.float64), two[name].astype(np.float64)) for name in names]

    imp, one_shot, order, chance = [], [], [], []
    for p, d in zip(plain[1:], dropout[1:]):
        cut = [
            one_shot_mask(magnitude(theta), p.weight_mask)
            for theta in (plain[0].fit.theta_T, dropout[0].fit.theta_T, other)
        ]
        imp.append(layers(p.weight_mask, d.weight_mask))
        one_shot.append(layers(cut[0], cut[1]))
        order.append(layers(cut[0], cut[2]))
        counts = [(int(p.weight_mask[name][0].sum()), p.weight_mask[name][0].size) for name in names]
        chance.append([iou_by_chance(k, k, n) for k, n in counts])
    return Overlaps([p.density for p in plain[1:]], np.array(imp), np.array(one_shot), np.array(order), np.array(chance))  # fmt: skip


def report(bench: Bench, seeds: Sequence[int]) -> Report:
    """Run ``measure``, and hold it against chance and against another order of the examples.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates

    Returns
    -------
    tables, figure and findings, for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> outcome = report(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1])
    >>> [row[:2] for row in outcome.tables[0].rows]
    [('66.4', '1'), ('66.4', '2')]
    """
    steps = Steps("overlap", (2 * (bench.rounds + 1) + 1) * bench.steps)
    found = measure(bench, seeds, steps)
    steps.close()
    level = min(LEVEL, bench.rounds) - 1
    findings = []
    for layer in range(found.imp.shape[1]):
        findings += [
            Finding(
                f"layer {layer + 1}, tickets - chance",
                f"layer {layer + 1}: overlap of tickets with and without dropout - chance ({100 * found.chance[level, layer]:.1f} %)",
                (found.imp[level, layer] - found.chance[level, layer]).tolist(),
            ),
            Finding(
                f"layer {layer + 1}, dropout - order",
                f"layer {layer + 1}: overlap of one-shot masks, dropout against none - two orders of the examples",
                (found.one_shot[level, layer] - found.order[level, layer]).tolist(),
            ),
        ]
    return Report(
        title="Tickets found with and without dropout",
        question="Do trainings with and without dropout, from the same initial weights, keep the same weights?",
        tables=[Table("Intersection over union in %, layer by layer", *_table(found))],
        remark=_remark(found, level),
        pictures={
            "overlap.png": (
                _picture(found),
                "Overlap of masks in each layer against the share of all weights that is left. Grey, dashed: two independent "
                "masks of the same counts.",
            )
        },
        settings={
            **bench.settings(seeds),
            "pruning": f"{bench.rounds} rounds of 36 % (output layer 19 %); one-shot masks have the same counts",
            "dropout": f"keep_prob {KEEP_PROB:g} on both hidden layers",
        },
        findings=findings,
        claims=[
            Claim(
                "layer 2, tickets - chance",
                "Frankle and Carbin 2019: the initialisation makes the ticket",
                "trainings from one initialisation share more of their tickets than chance gives",
                "above",
            ),
        ],
    )


def _table(found: Overlaps) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for level, density in enumerate(found.densities):
        for layer in range(found.imp.shape[1]):
            one_shot, order = found.one_shot[level, layer], found.order[level, layer]
            rows.append(
                (
                    *(f"{100 * density:.1f}", str(layer + 1), f"{100 * found.chance[level, layer]:.1f}"),
                    t_interval(found.imp[level, layer]).text(digits=1),
                    t_interval(one_shot).text(digits=1),
                    t_interval(order).text(digits=1),
                    paired(one_shot, order).text(digits=1, sign=True),
                )
            )
    header = (
        *("weights left %", "layer", "chance", "tickets, dropout / none", "one-shot, dropout / none"),
        *("one-shot, two orders", "dropout - order"),
    )
    return header, rows


def _remark(found: Overlaps, level: int) -> str:
    lines = []
    percent = f"{100 * found.densities[level]:.1f} %"
    above = [direction(t_interval(o - c)) for o, c in zip(found.imp[level], found.chance[level])]
    layers = [str(n + 1) for n, word in enumerate(above) if word == "above"]
    shared = ", ".join(t_interval(values).text(digits=1) for values in found.imp[level])
    lines.append(
        f"At {percent} of the weights, tickets with and without dropout overlap more than chance in "
        f"{'layers ' + ', '.join(layers) if layers else 'no layer, as far as this can tell'}; layer by layer they share "
        f"{shared} % (equal masks: 100 %)."
    )
    sides: dict[str, list[str]] = {"below": [], "above": [], "not told apart": []}
    for n, (one_shot, order) in enumerate(zip(found.one_shot[level], found.order[level])):
        sides[direction(paired(one_shot, order))].append(str(n + 1))
    words = {"below": "fewer", "above": "more", "not told apart": "as many, as far as this can tell,"}
    parts = [f"{words[side]} in layers {', '.join(layers)}" for side, layers in sides.items() if layers]
    lines.append(
        f"Switching dropout on leaves of the weights of a one-shot mask, against another order of the examples, {'; '.join(parts)}."
    )
    return "\n".join(lines)


def _picture(found: Overlaps) -> Figure:
    n_layers = found.imp.shape[1]
    figure, axes = new_figure(n_layers, width=4.4)
    percent = [100 * d for d in found.densities]
    for layer, ax in enumerate(axes):
        for colour, name, values in (
            (COLOURS[0], "tickets, dropout / none", found.imp),
            (COLOURS[1], "one-shot, dropout / none", found.one_shot),
            (COLOURS[2], "one-shot, two orders of the examples", found.order),
        ):
            band(ax, percent, 100 * values[:, layer], name, colour, marker="o", markersize=4)
        ax.plot(percent, 100 * found.chance[:, layer], color="0.4", linestyle="--", linewidth=1.2, label="chance")
        ax.set_xscale("log")
        ax.set_xticks(percent, [f"{p:.1f}" for p in percent])
        ax.minorticks_off()
        ax.invert_xaxis()
        ax.set_ylim(0, 100)
        ax.set(xlabel="weights left in %", title=f"layer {layer + 1}")
    axes[0].set_ylabel("intersection over union in %")
    axes[-1].legend(frameon=False, loc="upper right", fontsize=8)
    return figure
