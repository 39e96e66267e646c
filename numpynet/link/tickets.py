"""Tickets with and without dropout: what each of the two is worth, and what both are worth together.

Two ladders of iterative magnitude pruning start from the same initial weights and see the same order of the examples; one
of them has dropout in every training. If the gains add up, pruning and dropout do different things; the interaction
(both, less each) says how far they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.experiments.findings import Claim, Finding
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired
from numpynet.figures import COLOURS, band, new_figure
from numpynet.link.bench import KEEP_PROB, Bench, Rung, ladder
from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 3  # chosen before anything was run: about 28 % of the weights, where the reference runs had their best tickets
QUICK: dict[str, object] = {}


class Ladders(NamedTuple):
    """The rungs of both ladders, densest first; their densities are the same."""

    plain: list[Rung]
    dropout: list[Rung]


def climb(bench: Bench, seeds: Sequence[int], steps: Steps) -> Ladders:
    """Find tickets without and with dropout.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on

    Returns
    -------
    both ladders

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> ladders = climb(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1], Steps("tickets", 24))
    >>> [len(ladder) for ladder in ladders]
    [2, 2]
    """
    return Ladders(ladder(bench, seeds, 1.0, steps), ladder(bench, seeds, KEEP_PROB, steps))


def report(bench: Bench, seeds: Sequence[int]) -> Report:
    """Run ``climb``, and compare pair by pair.

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
    >>> [row[0] for row in outcome.tables[0].rows]
    ['100.0', '66.4']
    """
    steps = Steps("tickets", 2 * (bench.rounds + 1) * bench.steps)
    found = climb(bench, seeds, steps)
    steps.close()
    level = min(LEVEL, bench.rounds)
    gains = _gains(found, level)
    percent = f"{100 * found.plain[level].density:.1f} %"
    return Report(
        title="Tickets with and without dropout",
        question="What are pruning, dropout and both together worth, and do the gains add up?",
        tables=[
            Table(f"Test accuracy in %, dropout with keep_prob {KEEP_PROB:g} in every training", *_table(found)),
            Table(
                f"Gains in percentage points, at {percent} of the weights (a level that was chosen beforehand)",
                ("gain", "mean ± 95 % interval", "positive in", "spread (std)"),
                [(f.what, f.text(), f"{sum(v > 0 for v in f.values)} of {len(f.values)}", f.spread()) for f in gains],
            ),
        ],
        remark=_remark(found, gains, percent),
        pictures={
            "tickets.png": (
                _picture(found),
                "Left: accuracy against the share of weights left, with and without dropout. Right: what the ticket gains "
                "over the dense net that was trained like it, pair by pair. Bands: 95 % intervals.",
            )
        },
        settings={
            **bench.settings(seeds),
            "pruning": f"{bench.rounds} rounds of 36 % of the survivors (output layer 19 %), smallest |W_T| in each layer, "
            "rewound to theta_0, fresh Adam, same order of the examples",
            "dropout": f"keep_prob {KEEP_PROB:g} on both hidden layers",
        },
        findings=gains,
        claims=[
            Claim(
                "ticket without dropout",
                "Frankle and Carbin 2019 (dense nets on MNIST)",
                "tickets of about 51 to 14 % of the weights are more accurate than the dense net",
                "above",
            ),
            Claim(
                "dropout, dense",
                "Srivastava et al. 2014; Frankle and Carbin 2018 (conv nets)",
                "dropout helps the dense net",
                "above",
            ),
            Claim(
                "ticket with dropout",
                "Frankle and Carbin 2018 (conv nets, up to 2.9 points on top of dropout)",
                "with dropout a ticket still gains",
                "above",
            ),
            Claim(
                "interaction",
                "Frankle and Carbin 2018 (conv nets)",
                "dropout and pruning are complementary, their gains add up; if dropout primed nets for pruning, the interaction would be positive",
                "none",
            ),
        ],
    )


def _gains(found: Ladders, level: int) -> list[Finding]:
    p0, d0 = found.plain[0].fit.test, found.dropout[0].fit.test
    p, d = found.plain[level].fit.test, found.dropout[level].fit.test
    rows = [
        ("ticket without dropout", "ticket - dense, no dropout", p - p0),
        ("dropout, dense", "dense with dropout - dense without", d0 - p0),
        ("ticket with dropout", "ticket - dense, both with dropout", d - d0),
        ("both", "ticket with dropout - dense without", d - p0),
        ("interaction", "(ticket - dense) with dropout - the same without", (d - d0) - (p - p0)),
    ]
    last = [rungs[level].fit.final - rungs[0].fit.final for rungs in found]
    rows += [
        ("ticket without dropout, last step", "ticket - dense, no dropout, after the last step", last[0]),
        ("ticket with dropout, last step", "ticket - dense, both with dropout, after the last step", last[1]),
    ]
    return [Finding(key, what, values.tolist()) for key, what, values in rows]


def _table(found: Ladders) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for p, d in zip(found.plain, found.dropout):
        first = p is found.plain[0]
        rows.append(
            (
                f"{100 * p.density:.1f}",
                t_interval(p.fit.test).text(),
                "" if first else paired(p.fit.test, found.plain[0].fit.test).text(sign=True),
                t_interval(d.fit.test).text(),
                "" if first else paired(d.fit.test, found.dropout[0].fit.test).text(sign=True),
                paired(d.fit.test, p.fit.test).text(sign=True),
                _stop(p),
                _stop(d),
            )
        )
    header = (
        *("weights left %", "no dropout", "minus dense", "dropout", "minus dense", "dropout - none"),
        *("stop step, no dropout", "stop step, dropout"),
    )
    return header, rows


def _stop(rung: Rung) -> str:
    """The mean step of the smallest validation loss; "at least" where a run may have stopped too early."""
    censored = int(rung.fit.censored.sum())
    mean = f"{rung.fit.stop.mean():.0f}"
    return mean if not censored else f">= {mean} ({censored} of {len(rung.fit.stop)} at the end of the budget)"


def _remark(found: Ladders, gains: Sequence[Finding], percent: str) -> str:
    words = {"above": "gains", "below": "loses", "not told apart": "is not told apart from the dense net"}
    lines = []
    for name, key in (("Without", "ticket without dropout"), ("With", "ticket with dropout")):
        (gain,) = [f for f in gains if f.key == key]
        lines.append(f"{name} dropout the ticket at {percent} {words[direction(gain.interval)]}: {gain.text()} points.")
    by_key = {f.key: f for f in gains}
    lines.append(
        "Judged after the last step instead of at the smallest validation loss, the gains are "
        f"{by_key['ticket without dropout, last step'].text()} without and "
        f"{by_key['ticket with dropout, last step'].text()} points with dropout."
    )
    both = by_key["interaction"]
    add_up = {
        "above": "The gain of both is more than the sum of the two",
        "below": "The gain of both is less than the sum of the two",
        "not told apart": "No departure from a plain sum of the two gains was seen",
    }[direction(both.interval)]
    lines.append(f"{add_up} (interaction {both.text()} points).")
    ranges = []
    for name, rungs in (("without", found.plain), ("with", found.dropout)):
        up = [
            f"{100 * r.density:.1f}" for r in rungs[1:] if direction(paired(r.fit.test, rungs[0].fit.test)) == "above"
        ]
        ranges.append(f"{name} dropout {', '.join(up) + ' %' if up else 'nowhere'}")
    lines.append(f"Densities at which the ticket beats its dense net, one by one: {'; '.join(ranges)}.")
    return "\n".join(lines)


def _picture(found: Ladders) -> Figure:
    figure, axes = new_figure(2, width=5.6)
    percent = [100 * rung.density for rung in found.plain]
    for colour, (name, rungs) in zip(COLOURS, (("no dropout", found.plain), (f"dropout, keep_prob {KEEP_PROB:g}", found.dropout))):  # fmt: skip
        test = np.array([rung.fit.test for rung in rungs])
        band(axes[0], percent, 100 * test, name, colour, marker="o", markersize=4)
        band(axes[1], percent[1:], 100 * (test[1:] - test[0]), name, colour, marker="o", markersize=4)
    axes[1].axhline(0, color="0.4", linestyle="--", linewidth=1)
    for ax, shown, label in zip(axes, (percent, percent[1:]), ("test accuracy in %", "ticket - dense, in points")):
        ax.set_xscale("log")
        ax.set_xticks(shown, [f"{p:.1f}" for p in shown])
        ax.minorticks_off()
        ax.set_xlim(shown[0] * 1.08, shown[-1] / 1.08)
        ax.set(xlabel="weights left in %", ylabel=label)
    axes[0].legend(frameon=False, loc="best", title=f"mean of {len(found.plain[0].fit.test)} runs, band: 95 %")
    return figure
