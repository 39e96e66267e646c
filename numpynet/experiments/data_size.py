"""How much data does dropout need? Its gain against the number of training examples.

The same net is trained the same number of steps on the first 100, 300, ... training examples, with and without dropout.
The subsets are nested and all replicates share them, so the intervals do not cover the choice of the examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Setup, Steps, accuracies, direction, measure_each, paired, train_stack
from numpynet.figures import COLOURS, band, new_figure
from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (100, 300, 1000, 4000)
KEEP_PROBS = (0.8, 0.5)
QUICK = {"sizes": (100, 1000), "keep_probs": (0.8,)}


class Point(NamedTuple):
    """The trainings with one keep probability on one subset."""

    n_train: int
    keep_prob: float
    training: np.ndarray  # (R,) accuracy on the subset, in evaluation
    test: np.ndarray  # (R,)


def gains(
    setup: Setup,
    seeds: Sequence[int],
    *,
    sizes: Sequence[int] = SIZES,
    keep_probs: Sequence[float] = KEEP_PROBS,
    where: Mapping[str, Any] | None = None,
) -> list[Point]:
    """Train with and without dropout on the first n examples, for each n; those beyond the data become all of them.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    sizes : numbers of training examples n
    keep_probs : to hold against 1, no dropout
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    One ``Point`` for each n and keep probability; at each n that without dropout comes first.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> points = gains(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], sizes=(20, 9999), keep_probs=(0.8,))
    >>> [(point.n_train, point.keep_prob) for point in points]
    [(20, 1.0), (20, 0.8), (1437, 1.0), (1437, 0.8)]
    """
    counts = dict.fromkeys(min(n, len(setup.data.train.x)) for n in sizes)
    conditions = [(setup, seeds, n, keep_prob) for n in counts for keep_prob in (1.0, *keep_probs)]
    return measure_each(train_on_first, conditions, "data size", setup.steps, where)


def train_on_first(setup: Setup, seeds: Sequence[int], n: int, keep_prob: float, steps: Steps) -> Point:
    """Train at one keep probability on the first n examples.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    n : training examples
    keep_prob : of the hidden layers
    steps : to count on

    Returns
    -------
    Point

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> setup = Setup(load_digits(), hidden=(8,), steps=3)
    >>> train_on_first(setup, [0, 1], 20, 0.8, Steps("data size", 3)).test.shape
    (2,)
    """
    subset = Split(setup.data.train.x[:n], setup.data.train.y[:n])
    net = setup.net(keep_prob)
    theta = train_stack(net, setup.plan(n_train=n), subset, seeds, steps).theta
    return Point(n, keep_prob, accuracies(net, theta, subset), accuracies(net, theta, setup.data.test))


def report(
    setup: Setup,
    seeds: Sequence[int],
    *,
    sizes: Sequence[int] = SIZES,
    keep_probs: Sequence[float] = KEEP_PROBS,
    where: Mapping[str, Any] | None = None,
) -> Report:
    """Run ``gains``, and say on how many examples dropout helped, hurt, or made no difference.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    sizes : numbers of training examples n
    keep_probs : to hold against 1, no dropout
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> outcome = report(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], sizes=(20, 60), keep_probs=(0.8,))
    >>> len(outcome.tables[0].rows)
    4
    """
    points = gains(setup, seeds, sizes=sizes, keep_probs=keep_probs, where=where)
    return Report(
        title="How much data does dropout need?",
        question="Does the gain from dropout depend on the number of training examples, the number of steps being the "
        "same?",
        tables=[Table("Test accuracy against the number of training examples", *_table(points))],
        remark=_remark(points),
        pictures={
            "data_size.png": (
                _picture(points),
                "Left: test accuracy against the number of training examples. Right: the paired gain from dropout.",
            )
        },
        reading="Every net makes the same number of steps, so with few examples it sees each more often. The subsets are "
        "nested: the first so many training examples.",
        settings=setup.settings(seeds),
    )


def _without(points: Sequence[Point], n_train: int) -> Point:
    return next(point for point in points if (point.n_train, point.keep_prob) == (n_train, 1.0))


def _table(points: Sequence[Point]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for point in points:
        plain = _without(points, point.n_train)
        gain = "" if point is plain else paired(point.test, plain.test).text(sign=True)
        rows.append(
            (
                str(point.n_train),
                f"{point.keep_prob:g}",
                t_interval(point.training).text(),
                t_interval(point.test).text(),
                gain,
            )
        )
    return ("examples", "keep_prob", "train accuracy %", "test accuracy %", "test, minus no dropout"), rows


def _remark(points: Sequence[Point]) -> str:
    lines = []
    words = {"above": "helped", "below": "hurt", "not told apart": "made no difference that was seen"}
    for keep_prob in dict.fromkeys(point.keep_prob for point in points if point.keep_prob < 1):
        found: dict[str, list[str]] = {}
        for point in points:
            if point.keep_prob == keep_prob:
                gain = paired(point.test, _without(points, point.n_train).test)
                found.setdefault(words[direction(gain)], []).append(str(point.n_train))
        parts = [f"{what} with {', '.join(sizes)} examples" for what, sizes in found.items()]
        lines.append(f"keep_prob {keep_prob:g} {'; '.join(parts)}.")
    lines.append("The intervals cover initial weights, order of the data and masks, not the choice of the examples.")
    return "\n".join(lines)


def _picture(points: Sequence[Point]) -> Figure:
    figure, axes = new_figure(2)
    sizes = list(dict.fromkeys(point.n_train for point in points))
    plain = {n: _without(points, n).test for n in sizes}
    for colour, keep_prob in zip(COLOURS, dict.fromkeys(point.keep_prob for point in points)):
        test = np.stack([point.test for point in points if point.keep_prob == keep_prob])  # (sizes, R)
        name = f"keep_prob {keep_prob:g}" if keep_prob < 1 else "no dropout"
        band(axes[0], sizes, 100 * test, name, colour, marker="o", markersize=4)
        if keep_prob < 1:
            band(
                axes[1],
                sizes,
                100 * (test - np.stack([plain[n] for n in sizes])),
                name,
                colour,
                marker="o",
                markersize=4,
            )
    axes[1].axhline(0, color="0.4", linewidth=1)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.minorticks_off()
    axes[0].set(xlabel="training examples", ylabel="test accuracy in %")
    axes[1].set(xlabel="training examples", ylabel="gain from dropout in points")
    n = len(points[0].test)
    axes[0].legend(frameon=False, loc="upper left", title=f"mean of {n} runs, band: 95 % interval", fontsize=9)
    return figure
