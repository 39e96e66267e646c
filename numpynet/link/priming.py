"""Does dropout prime a net for pruning? One cut after training without noise, with dropout, with targeted dropout.

The smallest weights of each layer are removed at once, and nothing is trained again. If dropout made a net ready for
pruning, it would lose less by the same cut. Targeted dropout (Gomez et al. 2019) drops in training just those weights that
the cut would take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.experiments.findings import Claim, Finding, differences_table
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired
from numpynet.figures import COLOURS, band, new_figure
from numpynet.layer_rules import targeted_weight_dropout
from numpynet.link.bench import KEEP_PROB, Bench, dense_fit, fit
from numpynet.parameters import Parameters
from numpynet.pruning import magnitude_mask
from numpynet.statistics import t_interval
from numpynet.training import begin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.0, 0.25, 0.5, 0.65, 0.75, 0.85, 0.9)
ASKED = (0.5, 0.75, 0.9)  # rates about which a difference was asked beforehand
TARGETED = ((0.75, 0.66), (0.9, 0.66))  # share of each unit's weights that may drop, and how often each does
QUICK: dict[str, object] = {"targeted": TARGETED[:1]}


class Pruned(NamedTuple):
    """The nets of one kind of training, cut to several rates."""

    name: str
    test: np.ndarray  # (len(RATES), R)


def cut(bench: Bench, theta: Parameters) -> np.ndarray:
    """Return the accuracy after one cut at each of the rates, (len(RATES), R); half the rate in the output layer.

    Parameters
    ----------
    bench : with the test examples
    theta : trained parameters, R replicates; they are not changed

    Returns
    -------
    (len(RATES), R) shares of right answers

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> bench = bench_of(load_digits(), hidden=(8,))
    >>> cut(bench, bench.net().init([np.random.default_rng(0)])).shape
    (7, 1)
    """
    net, test = bench.net(), bench.data.test
    return np.array(
        [
            (net.predict(theta, test.x, weight_mask=magnitude_mask(theta, rate=rate)) == test.y).mean(axis=-1)
            for rate in RATES
        ]
    )


def measure(
    bench: Bench, seeds: Sequence[int], steps: Steps, *, targeted: Sequence[tuple[float, float]] = TARGETED
) -> list[Pruned]:
    """Train every kind, and cut.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on
    targeted : (share of the weights that may drop, probability with which each does), a training for each

    Returns
    -------
    the nets: no dropout, dropout, then targeted dropout

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> found = measure(bench_of(load_digits(), hidden=(8,), steps=6), [0, 1], Steps("x", 24), targeted=[(0.75, 0.66)])
    >>> [pruned.name for pruned in found]
    ['no dropout', 'dropout 0.8', 'targeted 0.75, 0.66']
    """
    found = [
        Pruned(name, cut(bench, dense_fit(bench, seeds, q, steps).theta_T))
        for name, q in (("no dropout", 1.0), (f"dropout {KEEP_PROB:g}", KEEP_PROB))
    ]
    for share, drop_prob in targeted:
        hidden = [targeted_weight_dropout(share, drop_prob)] * len(bench.hidden)
        net = replace(bench.net(), rules=(*hidden, targeted_weight_dropout(share / 2, drop_prob)))
        state = begin(net, bench.plan(), bench.data.train, seed=list(seeds))
        name = f"targeted{share:g}-{drop_prob:g}"
        found.append(Pruned(f"targeted {share:g}, {drop_prob:g}", cut(bench, fit(bench, state, steps, name).theta_T)))
    return found


def report(bench: Bench, seeds: Sequence[int], *, targeted: Sequence[tuple[float, float]] = TARGETED) -> Report:
    """Run ``measure``, and compare with the net that was trained without noise, pair by pair.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    targeted : see ``measure``

    Returns
    -------
    tables, figure and findings, for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> outcome = report(bench_of(load_digits(), hidden=(8,), steps=6), [0, 1], targeted=[])
    >>> len(outcome.tables[0].rows)
    7
    """
    steps = Steps("priming", (2 + len(targeted)) * bench.steps)
    found = measure(bench, seeds, steps, targeted=targeted)
    steps.close()
    findings = _findings(found)
    claims = [
        Claim(
            "dropout, loss at 0.75",
            "Frankle and Carbin 2018: a conjecture, of retrained tickets",
            "dropout-induced sparsity primes a net for pruning; here taken at its word, without training again: the cut costs it less",
            "above",
        )
    ]
    if targeted:
        claims.append(
            Claim(
                "targeted, at 0.75",
                "Gomez et al. 2019",
                "targeted dropout makes a net that can be cut without training again",
                "above",
            )
        )
    return Report(
        title="Does dropout prime a net for pruning?",
        question="Cut once, without any training afterwards: does a net lose less that was trained with dropout?",
        tables=[
            Table("Test accuracy in % after one cut", *_table(found)),
            Table("Differences that were asked for, in points", *differences_table(findings)),
        ],
        remark=_remark(found, findings),
        pictures={
            "priming.png": (
                _picture(found),
                "Accuracy after one cut of the smallest weights of each layer, without any training afterwards, against the share "
                "of the hidden layers' weights that went (half of it in the output layer). Bands: 95 % intervals.",
            )
        },
        settings={
            **bench.settings(seeds),
            "weights": "after the last step",
            "cut": "smallest |W_T| of each layer, at once; half the rate in the output layer",
            "dropout": f"keep_prob {KEEP_PROB:g} on both hidden layers",
            "targeted dropout": "; ".join(
                f"of each unit's weights the smallest {100 * share:g} % drop with probability {drop:g} (output layer: half as many)"
                for share, drop in targeted
            ),
        },
        findings=findings,
        claims=claims,
    )


def _findings(found: Sequence[Pruned]) -> list[Finding]:
    none, dropout, *targeted = found
    findings = [Finding("dropout, at 0", "dropout - none, before any cut", (dropout.test[0] - none.test[0]).tolist())]
    for rate in ASKED:
        at = RATES.index(rate)
        findings.append(
            Finding(
                f"dropout, at {rate:g}",
                f"dropout - none, cut by {100 * rate:g} %",
                (dropout.test[at] - none.test[at]).tolist(),
            )
        )
        findings.append(
            Finding(
                f"dropout, loss at {rate:g}",
                f"what the cut by {100 * rate:g} % changes, with dropout - without",
                ((dropout.test[at] - dropout.test[0]) - (none.test[at] - none.test[0])).tolist(),
            )
        )
        for index, pruned in enumerate(targeted):
            key = "targeted" if index == 0 else pruned.name
            findings.append(
                Finding(
                    f"{key}, at {rate:g}",
                    f"{pruned.name} - none, cut by {100 * rate:g} %",
                    (pruned.test[at] - none.test[at]).tolist(),
                )
            )
    return findings


def _table(found: Sequence[Pruned]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for index, rate in enumerate(RATES):
        row = [f"{100 * rate:g}"]
        for pruned in found:
            row.append(t_interval(pruned.test[index]).text())
            if pruned is not found[0]:
                row.append(paired(pruned.test[index], found[0].test[index]).text(sign=True))
        rows.append(tuple(row))
    header = ["cut, % of hidden weights", found[0].name]
    for pruned in found[1:]:
        header += [pruned.name, "minus none"]
    return tuple(header), rows


def _remark(found: Sequence[Pruned], findings: Sequence[Finding]) -> str:
    by_key = {f.key: f for f in findings}
    words = {"above": "less", "below": "more", "not told apart": "as much, as far as this can tell"}
    parts = [
        f"a cut by {100 * rate:g} % costs it {words[direction(by_key[f'dropout, loss at {rate:g}'].interval)]}"
        for rate in ASKED
    ]
    lead = by_key["dropout, at 0"]
    start = {
        "above": "is ahead of the one without, so it has more to lose",
        "below": "is behind the one without, so it has less to lose",
        "not told apart": "is not told apart from the one without",
    }[direction(lead.interval)]
    lines = [
        f"Before any cut the net with dropout {start} ({lead.text()} points). Against that one, {'; '.join(parts)}."
    ]
    for pruned in found[2:]:
        better = [
            f"{100 * rate:g} %"
            for rate, mine, none in zip(RATES, pruned.test, found[0].test)
            if direction(paired(mine, none)) == "above"
        ]
        lines.append(
            f"{pruned.name}: better than none after a cut by {', '.join(better)}."
            if better
            else f"{pruned.name}: nowhere better than none."
        )
    return "\n".join(lines).replace("targeted", "Targeted dropout")


def _picture(found: Sequence[Pruned]) -> Figure:
    figure, (ax,) = new_figure(width=6.4)
    for colour, pruned in zip(COLOURS, found):
        band(ax, 100 * np.array(RATES), 100 * pruned.test, pruned.name, colour, marker="o", markersize=4)
    ax.set(xlabel="weights of the hidden layers removed at once, in %", ylabel="test accuracy in %")
    ax.legend(frameon=False, loc="lower left", title=f"mean of {found[0].test.shape[1]} runs, band: 95 %", fontsize=9)
    return figure
