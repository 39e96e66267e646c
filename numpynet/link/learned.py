"""Learned keep probabilities against iterative magnitude pruning: is the mask that dropout slides into as good a ticket?

A net slides from DropConnect to a pruned net (see ``numpynet.link.sliding``) with as many weights in each layer as a ticket.
Its mask is then judged like the ticket: laid on the same initial weights, and trained anew. Beside them stand the one-shot
mask and a random mask of the same counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.equations.chance_masks import iou_by_chance
from numpynet.experiments.findings import Claim, Finding
from numpynet.experiments.parts import kept
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired
from numpynet.figures import COLOURS, new_figure
from numpynet.link.bench import Bench, Fit, Rung, fit, ladder, training_settings
from numpynet.link.overlap import iou
from numpynet.link.sliding import Slid, Slide, slide
from numpynet.lottery.controls import control_rngs, one_shot_mask, shuffled_mask
from numpynet.parameters import Parameters
from numpynet.pruning import magnitude
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.training import begin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 3
QUICK: dict[str, object] = {}


class Masks(NamedTuple):
    """The slide, and what came of each mask when it was trained from the same initial weights."""

    dense: Fit
    ticket: Rung
    slid: Slid
    slid_test: np.ndarray  # (R,) accuracy of the net at the end of the slide
    retrained: dict[str, Fit]  # learned, one-shot, random
    overlap: np.ndarray  # (L, R) intersection over union of the learned mask and the ticket's
    chance: np.ndarray  # (L,)


def measure(bench: Bench, seeds: Sequence[int], steps: Steps, *, how: Slide = Slide()) -> Masks:  # noqa: B008  frozen
    """Find the ticket, slide, and train every mask from theta_0.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on
    how : the slide

    Returns
    -------
    the masks, with accuracies in shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> found = measure(bench_of(load_digits(), hidden=(8,), steps=20, rounds=1), [0, 1], Steps("x", 120))
    >>> list(found.retrained), found.overlap.shape
    (['learned', 'one-shot', 'random'], (2, 2))
    """
    bench = bench._replace(rounds=min(bench.rounds, LEVEL))
    rungs = ladder(bench, seeds, 1.0, steps)
    ticket, net, plan = rungs[-1], bench.net(), bench.plan()
    names = net.layout.weight_names
    counts = {name: int(ticket.weight_mask[name][0].sum()) for name in names}
    slid = _slide(bench, seeds, counts, how, steps)
    masks = {
        "learned": slid.weight_mask,
        "one-shot": one_shot_mask(magnitude(rungs[0].fit.theta_T), ticket.weight_mask),
        "random": shuffled_mask(ticket.weight_mask, control_rngs(seeds, "shuffle")),
    }
    theta_0 = net.init([streams(s).init for s in seeds], initializer=plan.initializer, dtype=plan.dtype)
    retrained = {}
    for name, mask in masks.items():
        state = begin(net, plan, bench.data.train, seed=list(seeds), theta_0=theta_0, weight_mask=mask)
        retrained[name] = fit(bench, state, steps, f"mask-{name}")
    test = bench.data.test
    return Masks(
        dense=rungs[0].fit,
        ticket=ticket,
        slid=slid,
        slid_test=(net.predict(slid.theta, test.x) == test.y).mean(axis=-1),
        retrained=retrained,
        overlap=np.array(
            [iou(*(m[name].astype(np.float64) for m in (slid.weight_mask, ticket.weight_mask))) for name in names]
        ),
        chance=np.array([iou_by_chance(k, k, ticket.weight_mask[name][0].size) for name, k in counts.items()]),
    )


def report(bench: Bench, seeds: Sequence[int], *, how: Slide = Slide()) -> Report:  # noqa: B008  frozen
    """Run ``measure``, and hold the learned mask against the ticket.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    how : the slide

    Returns
    -------
    tables, figure and findings, for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> outcome = report(bench_of(load_digits(), hidden=(8,), steps=20, rounds=1), [0, 1])
    >>> [row[0] for row in outcome.tables[0].rows][:3]
    ['all weights', 'ticket (IMP)', 'learned mask, retrained']
    """
    rounds = min(bench.rounds, LEVEL)
    steps = Steps("learned", (rounds + 1 + 1 + 3) * bench.steps)
    found = measure(bench, seeds, steps, how=how)
    steps.close()
    findings = _findings(found)
    return Report(
        title="Keep probabilities that learn: from dropout to a pruned net",
        question="Does a net whose keep probabilities are learned, and annealed to 0 and 1, end in as good a mask as iterative "
        "magnitude pruning?",
        tables=[
            Table(f"Test accuracy in %, {100 * found.ticket.density:.1f} % of the weights, same counts in each layer", *_table(found)),
            Table("Overlap of the learned mask with the ticket's, intersection over union in %", *_overlaps(found)),
        ],
        remark=_remark(found, findings),
        pictures={
            "learned.png": (
                _picture(found),
                "Left: the slide, all replicates together: mean keep probability, its variance (as a share of the largest, 1/4), and "
                "the share of weights that are not yet decided. Right: accuracy of the nets, judged at the smallest validation "
                "loss, and after the last step (hollow). Bars: 95 % intervals.",
            )
        },
        settings={
            **bench.settings(seeds),
            "ticket": f"{rounds} rounds of 36 % (output layer 19 %), rewound to theta_0",
            "slide": f"{how}; fixed on other seeds, by their validation accuracy",
        },
        findings=findings,
        claims=[
            Claim(
                "learned - ticket",
                "Gale et al. 2019 (learned sparsity is no better than magnitude pruning; large nets)",
                "a learned mask is no better than one cut by magnitude",
                "not above",
            ),
            Claim(
                "learned - random",
                "Zhou et al. 2019; Louizos et al. 2018",
                "learned masks hold something that random masks of their counts do not",
                "above",
            ),
            Claim(
                "slid net - dense",
                "Louizos et al. 2018; Molchanov et al. 2017",
                "learned gates remove most weights at no cost of accuracy",
                "not below",
            ),
        ],
    )  # fmt: skip


def _slide(bench: Bench, seeds: Sequence[int], counts: dict[str, int], how: Slide, steps: Steps) -> Slid:
    net, plan, before = bench.net(), bench.plan(), steps.before

    def compute() -> dict[str, np.ndarray]:
        end = slide(
            *(net, plan, bench.data.train, counts),
            seeds=seeds,
            how=how,
            on_step=lambda step: steps.at(step, "keep probabilities"),
        )
        return {"theta": end.theta.vector, "weight_mask": end.weight_mask.vector, "trace": end.trace}

    start = begin(net, plan, bench.data.train, seed=list(seeds))
    settings = {**training_settings(bench, start), "kind": "slide", "slide": how._asdict(), "counts": counts}
    arrays = kept(bench.folder, "slide", {**settings, "seeds": list(seeds)}, compute)
    steps.before = before + plan.total_steps(len(bench.data.train.x))
    theta, mask = (Parameters(arrays[key], net.layout) for key in ("theta", "weight_mask"))
    return Slid(theta, mask, arrays["trace"])


def _findings(found: Masks) -> list[Finding]:
    learned, ticket = found.retrained["learned"], found.ticket.fit
    rows = [
        ("learned - ticket", "learned mask - ticket, both trained from theta_0", learned.test - ticket.test),
        ("learned - one-shot", "learned mask - one-shot mask, same", learned.test - found.retrained["one-shot"].test),
        ("learned - random", "learned mask - random mask of the same counts, same", learned.test - found.retrained["random"].test),
        ("learned - dense", "learned mask - all weights, same", learned.test - found.dense.test),
        ("slid net - ticket", "net at the end of the slide - ticket, after the last step", found.slid_test - ticket.final),
        ("slid net - dense", "net at the end of the slide - all weights, after the last step", found.slid_test - found.dense.final),
    ]  # fmt: skip
    for layer, chance in enumerate(found.chance):
        what = f"layer {layer + 1}: overlap of learned mask and ticket - chance ({100 * chance:.1f} %)"
        rows.append((f"layer {layer + 1}, overlap - chance", what, found.overlap[layer] - chance))
    return [Finding(key, what, values.tolist()) for key, what, values in rows]


def _table(found: Masks) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    ticket = found.ticket.fit
    rows = []
    for name, result in (
        ("all weights", found.dense),
        ("ticket (IMP)", ticket),
        *((f"{name} mask, retrained", result) for name, result in found.retrained.items()),
    ):
        same = result is ticket
        rows.append(
            (
                *(
                    name,
                    t_interval(result.test).text(),
                    "" if same else paired(result.test, ticket.test).text(sign=True),
                ),
                *(t_interval(result.final).text(), "" if same else paired(result.final, ticket.final).text(sign=True)),
            )
        )
    slid = t_interval(found.slid_test).text()
    rows.append(("end of the slide", "", "", slid, paired(found.slid_test, ticket.final).text(sign=True)))
    return ("net", "at the smallest validation loss", "minus ticket", "after the last step", "minus ticket"), rows


def _overlaps(found: Masks) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (str(layer + 1), t_interval(values).text(), f"{100 * chance:.1f}", t_interval(values - chance).text(sign=True))
        for layer, (values, chance) in enumerate(zip(found.overlap, found.chance))
    ]
    return ("layer", "learned mask and ticket", "chance", "difference"), rows


def _remark(found: Masks, findings: Sequence[Finding]) -> str:
    by_key = {f.key: f for f in findings}
    words = {"above": "above", "below": "below", "not told apart": "not told apart from"}
    lines = []
    for other in ("ticket", "one-shot", "random"):
        f = by_key[f"learned - {other}"]
        name = {"ticket": "the ticket", "one-shot": "the one-shot mask", "random": "a random mask of its counts"}[other]
        lines.append(
            f"Trained from theta_0, the learned mask is {words[direction(f.interval)]} {name}: {f.text()} points."
        )
    f = by_key["slid net - ticket"]
    lines.append(
        f"The net at the end of the slide, whose weights learned along with the mask, is {words[direction(f.interval)]} the ticket "
        f"after its last step: {f.text()} points. It was trained with DropConnect's noise and the ticket was not, so this is not the "
        "mask's doing alone; the first lines are about the mask."
    )
    above = [str(n + 1) for n, (o, c) in enumerate(zip(found.overlap, found.chance)) if direction(t_interval(o - c)) == "above"]  # fmt: skip
    lines.append(
        f"It shares more weights with the ticket than chance gives in layers {', '.join(above)}."
        if above
        else "No overlap beyond chance with the ticket was seen."
    )
    return "\n".join(lines)


def _picture(found: Masks) -> Figure:
    figure, axes = new_figure(2, width=5.8)
    step, density, variance, undecided = found.slid.trace.T
    for colour, name, values in (
        (COLOURS[0], "mean keep probability Q", density),
        (COLOURS[1], "mean of 4 Q (1 - Q), the variance", 4 * variance),
        (COLOURS[2], "weights with 0.05 < Q < 0.95", undecided),
    ):
        axes[0].plot(step, 100 * values, color=colour, label=name)
    axes[0].set(xlabel="step", ylabel="in %", title="from DropConnect to a pruned net")
    axes[0].legend(frameon=False, fontsize=9)
    nets = [
        ("all weights", found.dense.test, found.dense.final),
        ("ticket (IMP)", found.ticket.fit.test, found.ticket.fit.final),
        *((f"{name}, retrained", result.test, result.final) for name, result in found.retrained.items()),
        ("end of the slide", None, found.slid_test),
    ]
    for row, (_, test, final) in enumerate(nets):
        for values, hollow, offset in ((test, False, 0.12), (final, True, -0.12)):
            if values is None:
                continue
            interval = t_interval(100 * values)
            half = 0 if interval.n < 2 else interval.half_width
            axes[1].errorbar([interval.mean], [-row + offset], xerr=[half], color=COLOURS[row % len(COLOURS)], marker="o", capsize=3, mfc="white" if hollow else None)  # fmt: skip
    for name, fill in (("at the smallest validation loss", "0.4"), ("after the last step", "white")):
        axes[1].plot([], [], color="0.4", marker="o", linestyle="none", mfc=fill, label=name)
    axes[1].legend(frameon=False, fontsize=9, loc="lower left")
    axes[1].set_yticks([-row for row in range(len(nets))], [name for name, _, _ in nets])
    axes[1].set(xlabel="test accuracy in %", title=f"{100 * found.ticket.density:.1f} % of the weights")
    return figure
