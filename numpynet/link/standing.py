"""Where a ticket stands among random subnetworks: its mask beside 1,000 masks of DropConnect and 1,000 of dropout.

Under DropConnect's law every mask of k ones is equally likely (Equations (M14), (M19)): a ticket is one of them. Is it a special
one? Its mask, and random masks of its density, are laid on the untrained and on the trained weights, without any further
training, and nothing is rescaled. DropConnect masks have exactly the ticket's number of weights in each layer; dropout
masks keep as many units of each hidden layer as give the ticket's density.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.experiments.findings import Claim, Finding
from numpynet.experiments.parts import kept
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, paired
from numpynet.figures import COLOURS, new_figure
from numpynet.link.bench import Bench, ladder
from numpynet.link.random_subnetworks import kept_units, random_unit_mask, random_weight_mask, unit_density
from numpynet.lottery.controls import one_shot_mask
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning import magnitude
from numpynet.seeding import stream, streams
from numpynet.statistics import t_interval
from numpynet.storage import digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_MASKS, LEVEL = 1000, 3
QUICK: dict[str, object] = {"n_masks": 100}
KINDS = ("DropConnect", "dropout")
WEIGHTS = ("untrained", "trained")
DRAW = 1  # of the stream of shuffled masks; 0 is the control of a ticket


class Standing(NamedTuple):
    """Accuracies of masked nets, untrained weights first; R replicates, S random masks of each kind."""

    density: float  # of the ticket
    unit_density: float  # of the dropout subnetworks
    units: tuple[int, ...]  # kept in each hidden layer
    dense: np.ndarray  # (2, R)
    ticket: np.ndarray  # (2, R)
    one_shot: np.ndarray  # (2, R)
    random: np.ndarray  # (2 weights, 2 kinds, S, R)


def measure(bench: Bench, seeds: Sequence[int], steps: Steps, *, n_masks: int = N_MASKS) -> Standing:
    """Find the tickets, and lay all masks on both sets of weights.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on
    n_masks : S, random masks of each kind

    Returns
    -------
    accuracies in shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> found = measure(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1], Steps("x", 12), n_masks=3)
    >>> found.random.shape
    (2, 2, 3, 2)
    """
    bench = bench._replace(rounds=min(bench.rounds, LEVEL))
    rungs = ladder(bench, seeds, 1.0, steps)
    ticket, net = rungs[-1].weight_mask, bench.net()
    theta_T = rungs[0].fit.theta_T
    theta_0 = net.init([streams(s).init for s in seeds], dtype=theta_T.dtype)
    units = kept_units(net.sizes, rungs[-1].density)
    one_shot = one_shot_mask(magnitude(theta_T), ticket)

    def compute() -> dict[str, np.ndarray]:
        arrays = {}
        for name, mask in (("dense", None), ("ticket", ticket), ("one_shot", one_shot)):
            arrays[name] = np.array([_accuracy(bench, net, theta, mask) for theta in (theta_0, theta_T)])
        random = np.empty((2, 2, n_masks, len(seeds)))
        rngs = [stream(s, "shuffle", DRAW) for s in seeds]
        for index in range(n_masks):
            for kind in range(2):
                masks = [
                    random_weight_mask(rng, ticket.replicate(r))
                    if kind == 0
                    else random_unit_mask(rng, net.layout, units, ticket.dtype)
                    for r, rng in enumerate(rngs)
                ]
                mask = Parameters(np.stack([m.vector for m in masks]), net.layout)
                for weights, theta in enumerate((theta_0, theta_T)):
                    random[weights, kind, index] = _accuracy(bench, net, theta, mask)
            steps.progress.show(steps.before, f"{index + 1} of {n_masks} random masks")
        return {**arrays, "random": random}

    settings = {
        "kind": "masks laid on weights that are not trained any further",
        "data": bench.fingerprint,
        "masks": [digest(ticket.vector), digest(one_shot.vector), list(units), n_masks, DRAW],
        "weights": [digest(theta_0.vector), digest(theta_T.vector)],
        "seeds": list(seeds),
    }
    arrays = kept(bench.folder, "standing", settings, compute)
    return Standing(rungs[-1].density, unit_density(net.sizes, units), units, **arrays)


def report(bench: Bench, seeds: Sequence[int], *, n_masks: int = N_MASKS) -> Report:
    """Run ``measure``, and say how many random masks reach the ticket.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    n_masks : S, random masks of each kind

    Returns
    -------
    tables, figure and findings, for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> outcome = report(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1], n_masks=3)
    >>> [row[:2] for row in outcome.tables[0].rows][:3]
    [('untrained', 'all weights'), ('untrained', 'ticket'), ('untrained', 'one-shot, same counts')]
    """
    steps = Steps("standing", (min(bench.rounds, LEVEL) + 1) * bench.steps)
    found = measure(bench, seeds, steps, n_masks=n_masks)
    steps.close()
    findings = _findings(found)
    return Report(
        title="A ticket among random subnetworks",
        question=f"Laid on weights without further training, is a ticket's mask better than {n_masks} random dropout and "
        "DropConnect masks of its density?",
        tables=[Table("Test accuracy in %, no training under the mask", *_table(found))],
        remark=_remark(found, n_masks),
        pictures={
            "standing.png": (
                _picture(found),
                "Accuracies of all random masks of all replicates (filled), and the means of the ticket, of the one-shot mask "
                "with its counts, and of all weights. Left: initial weights. Right: trained weights.",
            )
        },
        settings={
            **bench.settings(seeds),
            "ticket": f"{min(bench.rounds, LEVEL)} rounds of 36 % (output layer 19 %), {100 * found.density:.1f} % of the weights",
            "DropConnect masks": f"{n_masks} per replicate, exactly the ticket's counts in each layer",
            "dropout masks": f"{n_masks} per replicate, {found.units} hidden units kept, "
            f"{100 * found.unit_density:.1f} % of the weights; nothing is rescaled",
        },
        findings=findings,
        claims=[
            Claim(
                "untrained, ticket - DropConnect",
                "Zhou et al. 2019 (supermasks)",
                "the mask of a ticket is better than chance on weights that were never trained",
                "above",
            ),
            Claim(
                "trained, ticket - DropConnect",
                "Han et al. 2015 and all of magnitude pruning",
                "of trained weights the large ones matter more than a random choice",
                "above",
            ),
        ],
    )


def _accuracy(bench: Bench, net: MLP, theta: Parameters, mask: Parameters | None) -> np.ndarray:
    """Test accuracy of each replicate; the mask of a unit silences its bias too."""
    masked = theta if mask is None else theta * mask
    return (net.predict(masked, bench.data.test.x) == bench.data.test.y).mean(axis=-1)


def _findings(found: Standing) -> list[Finding]:
    findings = []
    for w, weights in enumerate(WEIGHTS):
        for k, kind in enumerate(KINDS):
            random, ticket = found.random[w, k], found.ticket[w]
            for key, what, values in (
                (f"ticket - {kind}", f"ticket - mean of random {kind} masks", ticket - random.mean(axis=0)),
                (f"ticket - best {kind}", f"ticket - best of the random {kind} masks", ticket - random.max(axis=0)),
            ):
                findings.append(Finding(f"{weights}, {key}", f"{weights} weights: {what}", values.tolist()))
        findings.append(
            Finding(
                f"{weights}, ticket - one-shot",
                f"{weights} weights: ticket - one-shot mask of the same counts",
                (found.ticket[w] - found.one_shot[w]).tolist(),
            )
        )
    return findings


def _table(found: Standing) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for w, weights in enumerate(WEIGHTS):
        ticket = found.ticket[w]
        rows.append((weights, "all weights", t_interval(found.dense[w]).text(), *[""] * 3))
        rows.append((weights, "ticket", t_interval(ticket).text(), *[""] * 3))
        one_shot = found.one_shot[w]
        rows.append(
            (
                *(weights, "one-shot, same counts", t_interval(one_shot).text()),
                *(paired(ticket, one_shot).text(sign=True), "", ""),
            )
        )
        for k, kind in enumerate(KINDS):
            random = found.random[w, k]
            reach = (random >= ticket).mean(axis=0)  # (R,)
            rows.append(
                (
                    *(weights, f"random {kind}", t_interval(random.mean(axis=0)).text()),
                    paired(ticket, random.mean(axis=0)).text(sign=True),
                    paired(ticket, random.max(axis=0)).text(sign=True),
                    f"{100 * reach.mean():.2f} (0 in {int((reach == 0).sum())} of {len(reach)} runs)",
                )
            )
    header = (
        *("weights", "mask", "accuracy", "ticket - mean", "ticket - best"),
        "random masks at least as good, %",
    )
    return header, rows


def _remark(found: Standing, n_masks: int) -> str:
    lines = []
    for w, weights in enumerate(WEIGHTS):
        parts = []
        for k, kind in enumerate(KINDS):
            beaten = (found.random[w, k] < found.ticket[w]).all(axis=0)
            parts.append(f"all {n_masks} {kind} masks in {int(beaten.sum())} of {len(beaten)} replicates")
        lines.append(f"On {weights} weights the ticket's mask beats {' and '.join(parts)}.")
    lines.append(
        "The best random mask is picked by the test examples on which it is then judged, which is in its favour: that the ticket "
        "is behind it does not say that the same mask would win on others."
    )
    lines.append(
        "A share of 0 says that fewer than about "
        f"{100 * 3 / n_masks:.1g} % of all such masks reach the ticket in that run (rule of three, 95 %), not that none does."
    )
    return "\n".join(lines)


def _picture(found: Standing) -> Figure:
    figure, axes = new_figure(2, width=5.6)
    for w, (ax, weights) in enumerate(zip(axes, WEIGHTS)):
        low, high = 100 * min(found.random[w].min(), 0.05), 100 * max(found.dense[w].max(), found.ticket[w].max()) + 2
        bins = np.linspace(low, high, 60)
        for colour, k, kind in zip(COLOURS, range(2), KINDS):
            values = 100 * found.random[w, k].ravel()
            ax.hist(values, bins, color=colour, alpha=0.35, label=f"random {kind}", density=True)
        for colour, style, name, values in (
            (COLOURS[2], "-", "ticket", found.ticket[w]),
            (COLOURS[3], "--", "one-shot, same counts", found.one_shot[w]),
            (COLOURS[6], ":", "all weights", found.dense[w]),
        ):
            interval = t_interval(100 * values)
            ax.axvline(interval.mean, color=colour, linestyle=style, linewidth=1.6, label=name)
            if interval.n > 1:
                ax.axvspan(
                    interval.mean - interval.half_width, interval.mean + interval.half_width, color=colour, alpha=0.15
                )
        ax.set(xlabel="test accuracy in %", ylabel="frequency of masks", title=f"{weights} weights")
        ax.set_yticks([])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels), fontsize=9)
    return figure
