"""What one gets for one's multiplications: T dropout subnetworks, the mean net, or one ticket.

A dropout net can be used in three ways: as the mean net (weight scaling, one pass of the whole net), as the average of T of its
subnetworks, or as a single subnetwork. A subnetwork at keep_prob q has only a share of the weights; a ticket that has no more
than that share costs no more. An average of a few small subnetworks may cost no more than the mean net. Costs are
multiplications per example, as a share of the dense net's, and the trainings that it took: pruning in rounds trains again
and again, dropout once. Tickets with dropout are trained at one keep_prob, so beside the net of another one a difference is
not the ticket's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.equations.ensemble import arithmetic_mean
from numpynet.equations.losses import softmax
from numpynet.experiments.findings import Claim, Finding, differences_table
from numpynet.experiments.parts import kept
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired
from numpynet.figures import COLOURS, new_figure
from numpynet.link.bench import KEEP_PROB, Bench, Rung, dense_fit, ladder
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.seeding import stream
from numpynet.statistics import t_interval
from numpynet.storage import digest
from numpynet.subnetworks import monte_carlo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (KEEP_PROB, 0.5)
COUNTS = (1, 3, 10, 30, 100)
QUICK: dict[str, object] = {"counts": (1, 3, 10)}
DRAW = 1  # of the stream of unit masks; 0 belongs to the training


class Averages(NamedTuple):
    """Accuracies of a dropout net in use; R replicates."""

    keep_prob: float
    cost: float  # of one subnetwork
    mean_net: np.ndarray  # (R,) weight scaling
    average: np.ndarray  # (len(counts), R) of the mean of T subnetworks' probabilities
    single: np.ndarray  # (R,) mean over the subnetworks of their own accuracies


class Costs(NamedTuple):
    """Everything that is compared."""

    counts: Sequence[int]
    averages: list[Averages]
    plain: list[Rung]
    dropout: list[Rung]


def subnetwork_cost(net: MLP) -> float:
    """Return the expected share of multiplications of a subnetwork: a weight counts if the units at both ends stay.

    Parameters
    ----------
    net : with keep probabilities

    Returns
    -------
    share of the weights, in (0, 1]; biases are not counted

    Examples
    --------
    >>> subnetwork_cost(MLP((40, 100, 100, 10), keep_prob=0.8))                # (0.8 4000 + 0.64 10000 + 0.8 1000) / 15000
    0.6933333
    """
    stay = [1.0 if q is None else q for q in net.keep_probs] + [1.0]
    sizes = [a * b for a, b in zip(net.sizes, net.sizes[1:])]
    return sum(n * a * b for n, a, b in zip(sizes, stay, stay[1:])) / sum(sizes)


def average(bench: Bench, seeds: Sequence[int], net: MLP, theta: Parameters, counts: Sequence[int]) -> Averages:
    """Use a dropout net in three ways; every subnetwork is one unit mask for all examples.   Equation (D15)

    Parameters
    ----------
    bench : with the test examples
    seeds : of the unit masks, one for each of R replicates
    net : with dropout
    theta : its trained parameters, R replicates
    counts : numbers T of subnetworks to average

    Returns
    -------
    the accuracies, in shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> bench = bench_of(load_digits(), hidden=(8,))
    >>> net = bench.net(0.8)
    >>> average(bench, [0, 1], net, net.init([np.random.default_rng(r) for r in range(2)]), (1, 2)).average.shape
    (2, 2)
    """
    split = bench.data.test

    def compute() -> dict[str, np.ndarray]:
        averages, single = np.empty((len(counts), len(seeds))), np.empty(len(seeds))
        for r, seed in enumerate(seeds):
            rng = stream(seed, "dropout", DRAW)
            logits = monte_carlo(net, theta.replicate(r), split.x, rng, max(counts), shared=True)  # (T, N, K)
            single[r] = (logits.argmax(axis=-1) == split.y).mean()
            for i, n in enumerate(counts):
                averages[i, r] = (arithmetic_mean(softmax(logits[:n])).argmax(axis=-1) == split.y).mean()
        mean_net = (net.predict(theta, split.x) == split.y).mean(axis=-1)
        return {"mean_net": mean_net, "average": averages, "single": single}

    settings = {
        "kind": "averages of dropout subnetworks",
        "data": bench.fingerprint,
        "theta": digest(theta.vector),
        "keep_probs": list(net.keep_probs),
        "counts": list(counts),
        "seeds": [*seeds, DRAW],
    }
    keep_prob = net.keep_probs[-1] or 1.0
    return Averages(keep_prob, subnetwork_cost(net), **kept(bench.folder, "averages", settings, compute))


def measure(bench: Bench, seeds: Sequence[int], steps: Steps, *, counts: Sequence[int] = COUNTS) -> Costs:
    """Train the dropout nets, find the tickets, and use them.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on
    counts : numbers T of subnetworks to average, rising

    Returns
    -------
    the costs, with accuracies in shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> bench = bench_of(load_digits(), hidden=(8,), steps=6, rounds=1)
    >>> [round(a.cost, 2) for a in measure(bench, [0, 1], Steps("x", 36), counts=(1, 2)).averages]
    [0.8, 0.5]
    """
    plain, dropout = (ladder(bench, seeds, q, steps) for q in (1.0, KEEP_PROB))
    averages = []
    for keep_prob in KEEP_PROBS:
        found = dropout[0].fit if keep_prob == KEEP_PROB else dense_fit(bench, seeds, keep_prob, steps)
        averages.append(average(bench, seeds, bench.net(keep_prob), found.theta, counts))
    return Costs(counts, averages, plain, dropout)


def ticket_within(rungs: Sequence[Rung], cost: float) -> int:
    """Return the number of the densest rung that costs no more, or the sparsest there is.

    Parameters
    ----------
    rungs : of ``ladder``, densest first
    cost : share of the dense net's multiplications

    Returns
    -------
    its place in the list

    Examples
    --------
    >>> ticket_within([Rung(1.0, None, None), Rung(0.65, None, None), Rung(0.4, None, None)], 0.69)
    1
    """
    return next((n for n, rung in enumerate(rungs) if rung.density <= cost), len(rungs) - 1)


def affordable(counts: Sequence[int], cost: float) -> int | None:
    """Return the largest T > 1 for which T subnetworks cost no more than the mean net, or None.

    Parameters
    ----------
    counts : the T that were measured
    cost : of one subnetwork, the mean net's being 1

    Returns
    -------
    T, or None if two subnetworks cost more already

    Examples
    --------
    >>> affordable((1, 3, 10), 1 / 3), affordable((1, 3, 10), 0.69)
    (3, None)
    """
    return max((n for n in counts if n > 1 and n * cost <= 1 + 1e-9), default=None)


def report(bench: Bench, seeds: Sequence[int], *, counts: Sequence[int] = COUNTS) -> Report:
    """Run ``measure``, and compare what costs the same.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    counts : numbers T of subnetworks to average, rising

    Returns
    -------
    tables, figure and findings, for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> outcome = report(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1], counts=(1, 3))
    >>> [row[0] for row in outcome.tables[0].rows][:3]
    ['dense net, no dropout', 'mean net, keep_prob 0.8', 'one subnetwork, keep_prob 0.8']
    """
    steps = Steps("equal cost", (2 * (bench.rounds + 1) + 1) * bench.steps)
    found = measure(bench, seeds, steps, counts=counts)
    steps.close()
    findings = _findings(found)
    last = counts[-1]
    return Report(
        title="A ticket, a dropout ensemble and the mean net at equal cost",
        question="Is one ticket better than a dropout subnetwork that costs as many multiplications, and how far is it from the "
        "mean net and from averages of subnetworks, which cost more?",
        tables=[
            Table("Test accuracy in %, and what it costs", *_table(found)),
            Table("Differences that were asked for, in points", *differences_table(findings)),
        ],
        remark=_remark(found, findings),
        pictures={
            "equal_cost.png": (
                _picture(found),
                "Accuracy against multiplications per example, as a share of the dense net's. Lines: averages of T subnetworks. "
                "Bars: 95 % intervals. What training costs is in the table.",
            )
        },
        settings={
            **bench.settings(seeds),
            "subnetworks": f"unit masks shared by all examples, outputs scaled by 1 / keep_prob, T up to {last}",
            "tickets": f"{bench.rounds} rounds of 36 % (output layer 19 %), rewound to theta_0; those with dropout at keep_prob "
            f"{KEEP_PROB:g} in every training",
        },
        findings=findings,
        claims=[
            Claim(
                f"average of {last} - mean net, 0.5",
                "Srivastava et al. 2014, section 7.5",
                "weight scaling does what the average of many subnetworks does (about 50 in their figure)",
                "none",
            ),
            Claim(
                f"ticket with dropout - one subnetwork, {KEEP_PROB:g}",
                "Frankle and Carbin 2019",
                "a ticket that was trained by itself beats a random subnetwork of its size",
                "above",
            ),
        ],
    )


def _findings(found: Costs) -> list[Finding]:
    findings = []
    for a in found.averages:
        q = f"{a.keep_prob:g}"
        for name, rungs in (("dropout", found.dropout), ("no dropout", found.plain)):
            rung = rungs[ticket_within(rungs, a.cost)]
            key = "with dropout" if name == "dropout" else "without dropout"
            noise = f"with dropout {KEEP_PROB:g}" if name == "dropout" else key
            what = f"ticket of {100 * rung.density:.1f} %, trained {noise}"
            findings.append(
                Finding(f"ticket {key} - one subnetwork, {q}", f"{what} - one subnetwork at keep_prob {q}", (rung.fit.test - a.single).tolist())
            )  # fmt: skip
            findings.append(
                Finding(f"ticket {key} - mean net, {q}", f"{what} - mean net at keep_prob {q}", (rung.fit.test - a.mean_net).tolist())
            )  # fmt: skip
        for i, n in enumerate(found.counts):
            findings.append(
                Finding(
                    f"average of {n} - mean net, {q}",
                    f"average of {n} subnetwork{'s' if n > 1 else ''} - mean net, keep_prob {q}",
                    (a.average[i] - a.mean_net).tolist(),
                )
            )
    return findings


def _table(found: Costs) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    reference = found.averages[0].mean_net

    def row(name: str, cost: float, trainings: int, values: np.ndarray) -> tuple[str, ...]:
        against = "" if values is reference else paired(values, reference).text(sign=True)
        return name, f"{cost:.2f}", str(trainings), t_interval(values).text(), against

    rows = [row("dense net, no dropout", 1, 1, found.plain[0].fit.test)]
    for a in found.averages:
        q = f"keep_prob {a.keep_prob:g}"
        rows.append(row(f"mean net, {q}", 1, 1, a.mean_net))
        rows.append(row(f"one subnetwork, {q}", a.cost, 1, a.single))
        rows += [row(f"average of {n}, {q}", n * a.cost, 1, a.average[i]) for i, n in enumerate(found.counts) if n > 1]
    for name, rungs in (("no dropout", found.plain), ("dropout", found.dropout)):
        for level in sorted({ticket_within(rungs, a.cost) for a in found.averages} - {0}):
            rung = rungs[level]
            rows.append(row(f"ticket of {100 * rung.density:.1f} %, {name}", rung.density, level + 1, rung.fit.test))
    base = f"minus mean net, keep_prob {found.averages[0].keep_prob:g}"
    return ("net", "multiplications", "trainings", "accuracy", base), rows


def _remark(found: Costs, findings: Sequence[Finding]) -> str:
    by_key = {f.key: f for f in findings}
    words = {"above": "above", "below": "below", "not told apart": "not told apart from"}
    lines = []
    for a in found.averages:
        q = f"{a.keep_prob:g}"
        parts = []
        for key in ("with dropout", "without dropout"):
            one, mean = (by_key[f"ticket {key} - {other}, {q}"] for other in ("one subnetwork", "mean net"))
            parts.append(
                f"{key} {words[direction(one.interval)]} that subnetwork ({one.text()} points) and {words[direction(mean.interval)]} "
                f"the mean net ({mean.text()})"
            )
        level = ticket_within(found.dropout, a.cost)
        rung = found.dropout[level]
        costs = "costs no more" if rung.density <= a.cost else f"comes nearest costs {rung.density:.2f} and"
        lines.append(
            f"One subnetwork at keep_prob {q} costs {a.cost:.2f} of the dense net. The ticket that {costs} is, trained "
            f"{'; trained '.join(parts)}. It took {level + 1} trainings, the net with dropout one."
        )
        if a.keep_prob != KEEP_PROB:
            lines.append(
                f"The ticket with dropout was trained at keep_prob {KEEP_PROB:g} and these nets at {q}, so its differences from them "
                "hold the better or worse keep_prob, too."
            )
        sides: dict[str, list[str]] = {"above": [], "below": [], "not told apart": []}
        for n in found.counts:
            sides[direction(by_key[f"average of {n} - mean net, {q}"].interval)].append(str(n))
        said = [f"{words[side]} the mean net for T = {', '.join(ns)}" for side, ns in sides.items() if ns]
        lines.append(f"The average of T subnetworks at keep_prob {q} is {'; '.join(said)}.")
        if (n := affordable(found.counts, a.cost)) is not None:
            f = by_key[f"average of {n} - mean net, {q}"]
            lines.append(
                f"The average of {n} of them costs {n * a.cost:.2f} of the dense net, no more than the mean net, and is "
                f"{words[direction(f.interval)]} it ({f.text()} points)."
            )
    return "\n".join(lines)


def _picture(found: Costs) -> Figure:
    figure, (ax,) = new_figure(width=7.2, height=4.4)

    def point(cost: float, values: np.ndarray, **style) -> None:
        interval = t_interval(100 * values)
        half = 0 if interval.n < 2 else interval.half_width
        ax.errorbar([cost], [interval.mean], yerr=[half], capsize=3, linestyle="none", **style)

    for colour, a in zip(COLOURS, found.averages):
        costs = [n * a.cost for n in found.counts]
        q = f"keep_prob {a.keep_prob:g}"
        ax.plot(costs, 100 * a.average.mean(axis=1), color=colour, linewidth=1.2)
        for i, cost in enumerate(costs):
            point(cost, a.average[i], color=colour, marker="o", markersize=4, label=f"T subnetworks, {q}" if i == 0 else None)  # fmt: skip
        point(1, a.mean_net, color=colour, marker="s", markersize=7, label=f"mean net, {q}")
    for colour, name, rungs in ((COLOURS[2], "no dropout", found.plain), (COLOURS[3], "dropout", found.dropout)):
        for n, rung in enumerate(rungs[1:]):
            point(rung.density, rung.fit.test, color=colour, marker="^", markersize=6, label=f"tickets, {name}" if n == 0 else None)  # fmt: skip
    point(1, found.plain[0].fit.test, color="0.3", marker="D", markersize=5, label="dense net, no dropout")
    ax.set_xscale("log")
    ticks = (0.1, 0.3, 1, 3, 10, 30)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel="multiplications per example, dense net = 1", ylabel="test accuracy in %")
    ax.legend(frameon=False, loc="lower right", fontsize=9, ncols=2)
    return figure
