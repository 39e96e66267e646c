"""How a net with a random mask answers: one sample, the average of many, the likeliest mask, or the expected net.

A supermask and dropout are two laws of one mask, so there are the same four ways to use them. The expected net puts the
probabilities in the place of the mask; for dropout that is weight scaling. Supermasks are learned on frozen weights, Glorot
normal times sqrt 2, and the same with every magnitude replaced by one constant; the dropout net is trained as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.equations.ensemble import arithmetic_mean
from numpynet.equations.losses import softmax
from numpynet.experiments.findings import Claim, Finding, differences_table
from numpynet.experiments.parts import kept
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired
from numpynet.figures import COLOURS, band, new_figure
from numpynet.link.bench import KEEP_PROB, Bench, dense_fit, training_settings
from numpynet.lottery.actions import signed_constant
from numpynet.lottery.score_training import learn_scores
from numpynet.lottery.supermasks import Bernoulli, keep_probabilities, sample_supermask, threshold_supermask
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.seeding import stream, streams
from numpynet.statistics import t_interval
from numpynet.training import begin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (1, 3, 10, 30, 100)
CHANCE = 0.1  # all data sets of the command have ten classes
SCORE_LR = 0.05  # Adam on the scores
DRAW = 1  # of the streams of masks; 0 belongs to the training
QUICK: dict[str, object] = {"counts": (1, 3, 10)}


class Answers(NamedTuple):
    """Test accuracies of one net used in four ways; R replicates."""

    name: str
    sampled: np.ndarray  # (R,) mean accuracy of single masks
    average: np.ndarray  # (len(counts), R) of the mean of T masks' probabilities
    threshold: np.ndarray  # (R,) every entry that is likelier in than out
    expected: np.ndarray  # (R,) probabilities in the place of the mask
    density: np.ndarray  # (R,) mean probability of a weight


def answers(
    bench: Bench, name: str, samples: Iterable[np.ndarray], threshold: np.ndarray, expected: np.ndarray,
    density: np.ndarray, counts: Sequence[int],
) -> Answers:  # fmt: skip
    """Turn logits into accuracies.

    Parameters
    ----------
    bench : how nets are trained and measured
    name : of the mask law
    samples : max(counts) times the logits (R, N, K) of one mask
    threshold, expected : logits (R, N, K)
    density : (R,) share of weights that are kept
    counts : T, rising

    Returns
    -------
    accuracies in shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> bench = bench_of(load_digits())
    >>> right = np.eye(10)[bench.data.test.y][None]                                         # says the right class
    >>> wrong = np.roll(right, 1, axis=-1)
    >>> found = answers(bench, "x", [wrong, 3 * right], right, wrong, np.ones(1), (1, 2))
    >>> found.sampled, found.average.tolist(), found.threshold, found.expected
    (array([0.5]), [[0.0], [1.0]], array([1.]), array([0.]))
    """

    def accuracy(logits: np.ndarray) -> np.ndarray:
        return (logits.argmax(axis=-1) == bench.data.test.y).mean(axis=-1)

    total, single, average = None, [], []
    for n, logits in enumerate(samples, start=1):
        p = softmax(logits)
        total = p if total is None else total + p
        single.append(accuracy(logits))
        if n in counts:
            average.append(accuracy(total))
    return Answers(
        name, arithmetic_mean(np.array(single)), np.array(average), accuracy(threshold), accuracy(expected), density
    )


def supermask_answers(
    bench: Bench, seeds: Sequence[int], name: str, theta: Parameters, counts: Sequence[int], steps: Steps
) -> Answers:
    """Learn scores on frozen weights, and use them.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : of scores and masks, one for each of R replicates
    name : of the start, for table and progress line
    theta : the frozen weights, R replicates
    counts : T, rising
    steps : to count on

    Returns
    -------
    accuracies in shares

    References
    ----------
    Zhou et al. (2019), for learned masks and their "sampled" use.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> bench = bench_of(load_digits(), hidden=(8,), steps=6)
    >>> theta = bench.net().init([np.random.default_rng(r) for r in range(2)])
    >>> supermask_answers(bench, [0, 1], "Glorot", theta, (1, 2), Steps("x", 6)).density.shape
    (2,)
    """
    net, x = bench.net(), bench.data.test.x
    plan, before = bench._replace(lr=SCORE_LR).plan(), steps.before

    def compute() -> dict[str, np.ndarray]:
        law = Bernoulli()
        *_, last = learn_scores(
            *(law, net, plan, theta, bench.data.train),
            seed=list(seeds),
            on_step=lambda step: steps.at(step, f"supermask, {name}"),
        )
        return {"scores": last.scores.vector}

    state = begin(net, plan, bench.data.train, seed=list(seeds), theta_0=theta)
    settings = {**training_settings(bench, state), "kind": "scores of a Bernoulli supermask", "seeds": list(seeds)}
    scores = Parameters(kept(bench.folder, "supermask", settings, compute)["scores"], net.layout)
    steps.before = before + plan.total_steps(len(bench.data.train.x))

    def logits(mask: Parameters) -> np.ndarray:
        return net.forward(theta * mask, x)[0]

    rngs = [stream(s, "supermask", DRAW) for s in seeds]
    samples = (
        logits(sample_supermask(scores, np.stack([rng.random(net.layout.size, dtype=np.float32) for rng in rngs])))
        for _ in range(max(counts))
    )
    Q = keep_probabilities(scores)
    weights = np.concatenate([Q[w].reshape(len(seeds), -1) for w in net.layout.weight_names], axis=1)
    return answers(
        bench, name, samples, logits(threshold_supermask(scores)), logits(Q), weights.mean(axis=1, dtype=float), counts
    )


def dropout_answers(bench: Bench, seeds: Sequence[int], counts: Sequence[int], steps: Steps) -> Answers:
    """Train with dropout, and use the net; every sample is one unit mask for all examples.   Equation (D15)

    The likeliest mask keeps every unit; outputs are divided by keep_prob under it, as under every other mask.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    counts : T, rising
    steps : to count on

    Returns
    -------
    accuracies in shares

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> dropout_answers(bench_of(load_digits(), hidden=(8,), steps=6), [0, 1], (1, 2), Steps("x", 6)).name
    'dropout 0.8'
    """
    net, x = bench.net(KEEP_PROB), bench.data.test.x
    theta = dense_fit(bench, seeds, KEEP_PROB, steps).theta
    rngs = [stream(s, "dropout", DRAW) for s in seeds]

    def logits(unit_masks: list[np.ndarray | None] | None) -> np.ndarray:
        return net.forward(theta, x, unit_masks=unit_masks)[0]

    def sample() -> list[np.ndarray | None]:
        drawn = [net.sample_unit_masks(rng, (1,), dtype=theta.dtype) for rng in rngs]
        return [None if layer[0] is None else np.stack(layer) for layer in zip(*drawn)]

    ones = [None if q is None else np.ones((1, d), theta.dtype) for q, d in zip(net.keep_probs, net.sizes)]
    density = np.full(len(seeds), _expected_density(net))
    return answers(
        bench, f"dropout {KEEP_PROB:g}", (logits(sample()) for _ in range(max(counts))), logits(ones), logits(None), density, counts
    )  # fmt: skip


def measure(bench: Bench, seeds: Sequence[int], steps: Steps, *, counts: Sequence[int] = COUNTS) -> list[Answers]:
    """Learn both supermasks, train the dropout net, and use all of them.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    steps : to count on
    counts : T, rising

    Returns
    -------
    three nets: two supermasks, then dropout

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> found = measure(bench_of(load_digits(), hidden=(8,), steps=6), [0, 1], Steps("x", 18), counts=(1, 2))
    >>> [net.name for net in found]
    ['supermask, Glorot', 'supermask, signed constant', 'dropout 0.8']
    """
    net = bench.net()
    glorot = net.init([streams(s).init for s in seeds], dtype=bench.data.train.x.dtype)
    root2 = glorot.dtype.type(np.sqrt(2))
    starts = {"Glorot": glorot * root2, "signed constant": signed_constant(glorot) * root2}
    found = [
        supermask_answers(bench, seeds, f"supermask, {name}", theta, counts, steps) for name, theta in starts.items()
    ]
    return [*found, dropout_answers(bench, seeds, counts, steps)]


def report(bench: Bench, seeds: Sequence[int], *, counts: Sequence[int] = COUNTS) -> Report:
    """Run ``measure``, and compare the four ways, net by net.

    Parameters
    ----------
    bench : how nets are trained and measured
    seeds : one for each of R replicates
    counts : T, rising

    Returns
    -------
    tables, figure and findings, for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.link.bench import bench_of
    >>> outcome = report(bench_of(load_digits(), hidden=(8,), steps=6), [0, 1], counts=(1, 2))
    >>> len(outcome.tables[0].rows)
    3
    """
    steps = Steps("inference", 3 * bench.steps)
    found = measure(bench, seeds, steps, counts=counts)
    steps.close()
    last = counts[-1]
    findings = _findings(found, last)
    return Report(
        title="How a random mask answers: sampled, averaged, thresholded, expected",
        question="Which of the four ways to use a net with a random mask is the most accurate, for supermasks and for dropout?",
        tables=[
            Table("Test accuracy in %", *_table(found, last)),
            Table("Differences in points", *differences_table(findings)),
        ],
        remark=_remark(findings, last),
        pictures={
            "inference.png": (
                _picture(found, counts),
                "Accuracy of the average of T sampled masks. Dashed: the expected net (for dropout, weight scaling). "
                "Bands: 95 % intervals.",
            )
        },
        settings={
            **bench.settings(seeds),
            "supermasks": f"scores from 0, Adam {SCORE_LR} for the same number of steps; frozen weights sqrt(2) times Glorot normal, "
            "or their signs times the standard deviation; scores after the last step, no validation",
            "dropout": f"keep_prob {KEEP_PROB:g} on both hidden layers, at the smallest validation loss",
            "samples": f"{last} masks, each for all test examples",
        },
        findings=findings,
        claims=[
            Claim(
                f"dropout {KEEP_PROB:g}, average - expected",
                "Srivastava et al. 2014, section 7.5",
                "the average of many subnetworks does what weight scaling does",
                "none",
            ),
            Claim(
                "signed constant - Glorot",
                "Zhou et al. 2019; Ramanujan et al. 2020",
                "masks of signed constants are better than masks of the drawn magnitudes",
                "above",
            ),
            Claim(
                "supermask, Glorot, sampled - chance",
                "Zhou et al. 2019",
                "a learned mask makes untrained weights far better than chance",
                "above",
            ),
        ],
    )


def _expected_density(net: MLP) -> float:
    stay = [1.0 if q is None else q for q in net.keep_probs]
    sizes = [a * b for a, b in zip(net.sizes, net.sizes[1:])]
    return sum(q * n for q, n in zip(stay, sizes)) / sum(sizes)


def _findings(found: Sequence[Answers], last: int) -> list[Finding]:
    findings = []
    for net in found:
        for key, what, values in (
            ("expected - threshold", "expected net - thresholded mask", net.expected - net.threshold),
            ("threshold - sampled", "thresholded mask - one sample", net.threshold - net.sampled),
            ("expected - sampled", "expected net - one sample", net.expected - net.sampled),
            ("average - expected", f"average of {last} samples - expected net", net.average[-1] - net.expected),
        ):
            findings.append(Finding(f"{net.name}, {key}", f"{net.name}: {what}", values.tolist()))
    glorot, signed, _ = found
    findings.append(
        Finding(
            "signed constant - Glorot",
            "supermasks, expected nets: signed constant - Glorot",
            (signed.expected - glorot.expected).tolist(),
        )
    )
    findings.append(
        Finding(
            "supermask, Glorot, sampled - chance",
            "supermask, Glorot: one sample - 1 / number of classes",
            (glorot.sampled - CHANCE).tolist(),
        )
    )
    return findings


def _table(found: Sequence[Answers], last: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (
            *(net.name, f"{100 * net.density.mean():.1f}", t_interval(net.sampled).text()),
            *(t_interval(net.average[-1]).text(), t_interval(net.threshold).text(), t_interval(net.expected).text()),
            paired(net.average[-1], net.expected).text(sign=True),
        )
        for net in found
    ]
    header = (
        *("net", "mean probability %", "one sample", f"average of {last}", "thresholded", "expected"),
        "average - expected",
    )
    return header, rows


def _remark(findings: Sequence[Finding], last: int) -> str:
    by_key = {f.key: f for f in findings}
    names = list(dict.fromkeys(f.key.rpartition(", ")[0] for f in findings if ", " in f.key and "chance" not in f.key))
    words = {"above": "above", "below": "below", "not told apart": "not told apart from"}
    lines = []
    for name in names:
        parts = [
            f"{left} {words[direction(by_key[f'{name}, {key}'].interval)]} {right}"
            for key, left, right in (
                ("expected - threshold", "the expected net is", "the thresholded mask"),
                ("threshold - sampled", "the thresholded mask is", "one sample"),
                ("average - expected", f"the average of {last} samples is", "the expected net"),
            )
        ]
        lines.append(f"{name[0].upper()}{name[1:]}: {', '.join(parts)}.")
    return "\n".join(lines)


def _picture(found: Sequence[Answers], counts: Sequence[int]) -> Figure:
    figure, (ax,) = new_figure(width=6.8, height=4.2)
    for colour, net in zip(COLOURS, found):
        band(ax, counts, 100 * net.average, net.name, colour, marker="o", markersize=4)
        ax.axhline(100 * net.expected.mean(), color=colour, linestyle="--", linewidth=1.2)
    ax.set_xscale("log")
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.minorticks_off()
    ax.set(xlabel="sampled masks T whose outputs are averaged", ylabel="test accuracy in %")
    title = f"mean of {len(found[0].sampled)} runs, band: 95 %; dashed: expected net"
    figure.legend(frameon=False, loc="outside lower center", ncols=len(found), fontsize=9, title=title)
    return figure
