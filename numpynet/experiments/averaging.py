"""One pass or many? Weight scaling against the average over T random subnetworks.

Dropout trains an ensemble; which answer is the ensemble's? Weight scaling asks once, without masks. Monte-Carlo averaging
asks T subnetworks and takes the mean of their probabilities; by Equation (D15) it converges, but not to weight scaling,
which stands for the normalised geometric mean. That mean over the same T masks is shown beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpynet.equations.losses import log_softmax
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Setup, Steps, direction, measure_each, paired, train_stack
from numpynet.figures import COLOURS, band, new_figure
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.subnetworks import evaluate_inverted, monte_carlo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (0.8, 0.5)
COUNTS = (1, 3, 10, 30, 100)
QUICK = {"keep_probs": (0.8,), "counts": (1, 3, 10, 30)}
MAX_TEST = 1000  # examples, so that 100 answers of all replicates fit into memory


class Answers(NamedTuple):
    """How good the answers of one keep probability are, on the test examples."""

    keep_prob: float
    counts: list[int]  # (S,) T, the number of masks
    scaling: tuple[np.ndarray, np.ndarray]  # accuracy (R,), loss in nats (R,): one pass without masks
    arithmetic: tuple[np.ndarray, np.ndarray]  # (S, R) each: mean of the probabilities of T subnetworks
    geometric: tuple[np.ndarray, np.ndarray]  # (S, R) each: their normalised geometric mean


def compare(setup: Setup, seeds: Sequence[int], keep_prob: float, counts: Sequence[int], steps: Steps) -> Answers:
    """Train with dropout, and let one pass and the means of T masks answer for the test examples.   Equation (D15)

    Parameters
    ----------
    setup, seeds : data and training
    keep_prob : of the hidden layers, in training and for the masks that answer
    counts : numbers of masks T; a smaller T uses the first of the largest's masks
    steps : to count on

    Returns
    -------
    Answers of S = len(counts) means and R replicates, on at most ``MAX_TEST`` test examples.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> answers = compare(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], 0.8, (1, 5), Steps("averaging", 3))
    >>> answers.arithmetic[0].shape, np.allclose(answers.arithmetic[1][0], answers.geometric[1][0])  # T = 1
    ((2, 2), True)
    """
    net = setup.net(keep_prob)
    theta = train_stack(net, setup.plan(), setup.data.train, seeds, steps).theta
    x, y = setup.data.test.x[:MAX_TEST], setup.data.test.y[:MAX_TEST]
    scaling = _score(log_softmax(evaluate_inverted(net, theta, x)), y)
    one_by_one = []
    for replicate, seed in enumerate(seeds):
        rng = streams(seed).dropout.spawn(1)[0]  # other masks than those of the training
        log_p = log_softmax(monte_carlo(net, theta.replicate(replicate), x, rng, max(counts)))  # (T, N, K)
        arithmetic = [_score(np.logaddexp.reduce(log_p[:n], axis=0) - np.log(n), y) for n in counts]
        geometric = [_score(log_softmax(log_p[:n].mean(axis=0)), y) for n in counts]
        one_by_one.append((arithmetic, geometric))  # (R, 2, S, 2)
    scores = np.array(one_by_one).transpose(1, 3, 2, 0)  # (2, 2, S, R)
    return Answers(keep_prob, list(counts), scaling, tuple(scores[0]), tuple(scores[1]))


def report(
    setup: Setup,
    seeds: Sequence[int],
    *,
    keep_probs: Sequence[float] = KEEP_PROBS,
    counts: Sequence[int] = COUNTS,
    where: Mapping[str, Any] | None = None,
) -> Report:
    """Run ``compare`` for each keep probability, and say from which T on averaging is told apart from one pass.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_probs : of the hidden layers, one training stack for each
    counts : numbers of masks T, ascending
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> outcome = report(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], keep_probs=(0.8,), counts=(1, 2))
    >>> [row[1] for row in outcome.tables[0].rows]
    ['weight scaling', '1', '2']
    """
    found = measure_each(compare, [(setup, seeds, q, counts) for q in keep_probs], "averaging", setup.steps, where)
    return Report(
        title="One pass or many?",
        question="How many random subnetworks must be averaged to be as good as one pass with scaled weights?",
        tables=[Table("Accuracy and loss on the test examples", *_table(found))],
        remark="\n".join(_remark(answers) for answers in found),
        pictures={
            "averaging.png": (
                _picture(found),
                "Test accuracy and loss of the mean of T subnetworks (bands) and of weight scaling (dashed).",
            )
        },
        reading="Weight scaling is one pass without masks. T masks give T answers for each example: their arithmetic mean is "
        "scored for accuracy and loss, their normalised geometric mean for the last column. Losses are in nats.",
        settings={**setup.settings(seeds), "test examples used": min(MAX_TEST, len(setup.data.test.x))},
    )


def _score(log_p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy and mean loss, over the last axis but one."""
    log_p = np.asarray(log_p, np.float64)
    picked = np.take_along_axis(log_p, np.broadcast_to(y, log_p.shape[:-1])[..., None], axis=-1)[..., 0]
    return (log_p.argmax(axis=-1) == y).mean(axis=-1), -picked.mean(axis=-1)


def _table(found: Sequence[Answers]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for a in found:
        rows.append(
            (f"{a.keep_prob:g}", "weight scaling", t_interval(a.scaling[0]).text(), "", _nats(a.scaling[1]), "", "")
        )
        rows += [
            (
                f"{a.keep_prob:g}",
                str(n),
                t_interval(a.arithmetic[0][i]).text(),
                paired(a.arithmetic[0][i], a.scaling[0]).text(sign=True),
                _nats(a.arithmetic[1][i]),
                paired(a.arithmetic[1][i], a.scaling[1]).text(scale=1, digits=3, sign=True),
                paired(a.geometric[1][i], a.scaling[1]).text(scale=1, digits=3, sign=True),
            )
            for i, n in enumerate(a.counts)
        ]
    header = (
        "keep_prob",
        "masks T",
        "accuracy %",
        "minus scaling",
        "loss",
        "minus scaling",
        "geometric mean, minus scaling",
    )
    return header, rows


def _nats(values: np.ndarray) -> str:
    return t_interval(values).text(scale=1, digits=3)


def _remark(a: Answers) -> str:
    words = []
    for name, index, better in (("accuracy", 0, "above"), ("loss", 1, "below")):
        found: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
        for i, n in enumerate(a.counts):
            where = direction(paired(a.arithmetic[index][i], a.scaling[index]))
            found["not told apart" if where == "not told apart" else "better" if where == better else "worse"].append(
                str(n)
            )
        words.append(f"in {name} " + ", ".join(f"{what} at T = {', '.join(ns)}" for what, ns in found.items() if ns))
    geometric = paired(a.geometric[1][-1], a.scaling[1])
    return (
        f"keep_prob {a.keep_prob:g}: averaging T masks is, against one pass with scaled weights, {'; '.join(words)}. "
        f"The loss of the geometric mean at T = {a.counts[-1]} is {direction(geometric)}"
        f"{' from' if not geometric.excludes_zero else ''} that of the one pass."
    )


def _picture(found: Sequence[Answers]) -> Figure:
    figure, axes = new_figure(2)
    for colour, a in zip(COLOURS, found):
        for ax, index, scale in ((axes[0], 0, 100), (axes[1], 1, 1)):
            name = f"keep_prob {a.keep_prob:g}"
            band(ax, a.counts, scale * a.arithmetic[index], f"{name}, mean of T", colour, marker="o", markersize=4)
            ax.axhline(
                scale * a.scaling[index].mean(), color=colour, linestyle="--", linewidth=1.2, label=f"{name}, scaling"
            )
    for ax, label in zip(axes, ("test accuracy in %", "test loss in nats")):
        ax.set_xscale("log")
        ax.set_xticks(found[0].counts, [str(n) for n in found[0].counts])
        ax.minorticks_off()
        ax.set(xlabel="masks T", ylabel=label)
    axes[1].legend(
        frameon=False, loc="upper right", fontsize=9, title=f"mean of {len(found[0].scaling[0])} runs, band: 95 %"
    )
    return figure
