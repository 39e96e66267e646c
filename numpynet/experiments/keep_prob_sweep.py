"""Which keep probability? Accuracy against keep_prob, at a fixed width and at a fixed number of kept units.

A smaller keep_prob makes two changes at once: more noise, and fewer units that work at a time. So the sweep is run
twice: with n units, of which about q * n are kept, and with n chosen such that q * n stays the same (the width is
rounded). The answer is a plateau and not a number: all keep probabilities whose paired difference to the best contains 0.

Beside it stands the slope of the expected loss in q (Equation (M8)): could the loss find q by gradient descent?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpynet.experiments.keep_prob_slope import (
    MAX_EXAMPLES,
    N_MASKS,
    Slopes,
    slope_picture,
    slope_remark,
    slope_table,
    slopes_of,
)
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Setup, Steps, accuracies, measure_each, paired, train_stack
from numpynet.figures import COLOURS, band, new_figure
from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FIXED_KEPT = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # below 0.3 the nets become so wide that they take minutes
QUICK = {"keep_probs": (0.3, 0.6, 0.8, 1.0), "fixed_kept": (0.6, 0.8, 1.0), "n_masks": 2}


class Point(NamedTuple):
    """The trainings of one keep probability."""

    keep_prob: float
    hidden: tuple[int, ...]  # units of each hidden layer
    training: np.ndarray  # (R,) accuracy on the training examples, in evaluation
    test: np.ndarray  # (R,)
    slopes: Slopes | None = None  # of the expected loss in keep_prob, where they were asked for


def sweep(
    setup: Setup,
    seeds: Sequence[int],
    keep_probs: Sequence[float],
    *,
    fix_kept: bool = False,
    where: Mapping[str, Any] | None = None,
) -> list[Point]:
    """Train at each keep probability: at the widths of the set-up, or with half of them kept on the average.

    Parameters
    ----------
    setup, seeds : data and training; one stack of replicates for each keep probability
    keep_probs : q in (0, 1]
    fix_kept : False for fixed n; True for fixed q * n, with n = (half the set-up's width) / q, rounded
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    One ``Point`` for each keep probability, in their order.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> points = sweep(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], (0.5, 0.8), fix_kept=True)
    >>> [(point.keep_prob, point.hidden, point.test.shape) for point in points]
    [(0.5, (8,), (2,)), (0.8, (5,), (2,))]
    """
    conditions = [(setup, seeds, keep_prob, fix_kept, 0) for keep_prob in keep_probs]
    return measure_each(train_at, conditions, "keep_prob sweep", setup.steps, where)


def train_at(setup: Setup, seeds: Sequence[int], keep_prob: float, fix_kept: bool, n_masks: int, steps: Steps) -> Point:
    """Train at one keep probability, with the widths of the set-up or with half of them kept on the average.

    With n_masks above 0 the slope of the expected loss is estimated with so many masks for each example.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_prob : q in (0, 1]
    fix_kept : False for fixed n; True for fixed q * n, with n = (half the set-up's width) / q, rounded
    n_masks : drawn for each example and layer; 0 estimates no slope
    steps : to count on

    Returns
    -------
    Point

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> setup = Setup(load_digits(), hidden=(8,), steps=3)
    >>> train_at(setup, [0, 1], 0.8, True, 0, Steps("keep_prob sweep", 3)).hidden
    (5,)
    """
    hidden = tuple(max(1, round(n / 2 / keep_prob)) for n in setup.hidden) if fix_kept else setup.hidden
    net = setup.net(keep_prob, hidden)
    theta = train_stack(net, setup.plan(), setup.data.train, seeds, steps).theta
    training, test = (accuracies(net, theta, split) for split in (setup.data.train, setup.data.test))
    data, slopes = setup.data, None
    if n_masks:
        slopes = slopes_of(net, theta, keep_prob, data.train, data.test, seeds[0], n_masks=n_masks)
    return Point(keep_prob, hidden, training, test, slopes)


def best_of(points: Sequence[Point]) -> Point:
    """Return the point with the largest mean test accuracy, the first of them if there are several.

    Parameters
    ----------
    points : at least one

    Returns
    -------
    One of them.

    Examples
    --------
    >>> points = [Point(q, (8,), np.zeros(2), np.array(test)) for q, test in ((0.5, [0.7, 0.8]), (1.0, [0.8, 0.9]))]
    >>> best_of(points).keep_prob
    1.0
    """
    return max(points, key=lambda point: point.test.mean())


def plateau(points: Sequence[Point]) -> list[float]:
    """Return all keep probabilities whose paired difference to the best contains 0, the best included.

    Parameters
    ----------
    points : of the same seeds, at least one

    Returns
    -------
    Keep probabilities, in the order of points; paired by seed, 95 % t-interval.

    Examples
    --------
    >>> tests = {0.2: [0.1, 0.11, 0.1], 0.5: [0.7, 0.8, 0.75], 0.8: [0.8, 0.7, 0.76]}
    >>> plateau([Point(q, (8,), np.zeros(3), np.array(test)) for q, test in tests.items()])
    [0.5, 0.8]
    """
    best = best_of(points)
    return [point.keep_prob for point in points if not paired(point.test, best.test).excludes_zero]


def report(
    setup: Setup,
    seeds: Sequence[int],
    *,
    keep_probs: Sequence[float] = KEEP_PROBS,
    fixed_kept: Sequence[float] = FIXED_KEPT,
    n_masks: int = N_MASKS,
    where: Mapping[str, Any] | None = None,
) -> Report:
    """Run both sweeps, and say how wide the plateaus are, and where the loss would have q go.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_probs : q, at fixed width n
    fixed_kept : q, at fixed q * n
    n_masks : drawn for each example and layer, for the slopes
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> outcome = report(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], keep_probs=(0.5, 1.0), fixed_kept=(0.8,))
    >>> [len(table.rows) for table in outcome.tables]
    [2, 1, 2]
    """
    both = [(setup, seeds, q, False, n_masks) for q in keep_probs] + [(setup, seeds, q, True, 0) for q in fixed_kept]
    points = measure_each(train_at, both, "keep_prob sweep", setup.steps, where)
    fixed_n, fixed_qn = points[: len(keep_probs)], points[len(keep_probs) :]
    slopes = [point.slopes for point in fixed_n]
    kept = " and ".join(f"{n / 2:g}" for n in dict.fromkeys(setup.hidden))
    return Report(
        title="Which keep probability?",
        question="How much does the test accuracy depend on keep_prob, at fixed width n and at a fixed number q * n of "
        "units that are kept? And where would the loss itself have keep_prob go?",
        tables=[
            Table(f"Fixed n: {_widths(setup.hidden)} hidden units", *_table(fixed_n)),
            Table(f"Fixed q * n: {kept} hidden units kept", *_table(fixed_qn)),
            slope_table(slopes),
        ],
        remark=f"At fixed n, {_remark(fixed_n)}\nAt fixed q * n, {_remark(fixed_qn)}\n"
        "The best is picked by the test accuracy of these same runs, which flatters it; the plateau holds what these "
        f"{len(seeds)} replicates cannot tell from it.\n{slope_remark(slopes)}",
        reading="Train and test accuracy are those of evaluation, without masks. The slope is that of the expected loss "
        "with masks, at the weights as trained: E[loss with a unit] minus E[loss without it], summed over the units of the "
        f"layer, and what the scale 1 / q adds. It is estimated with {n_masks} masks for each of up to {MAX_EXAMPLES} "
        "examples.",
        pictures={
            "keep_prob_sweep.png": (
                _picture({"fixed n": fixed_n, "fixed q n": fixed_qn}),
                "Test accuracy against keep_prob. Left: fixed width. Right: fixed number of kept units, so that the "
                "width grows to the left. Filled dots belong to the plateau, the grey range.",
            ),
            "keep_prob_slope.png": (
                slope_picture(slopes),
                "Slope of the expected loss in the keep probability of each hidden layer, at fixed n. Below the line more "
                "units would lower the loss.",
            ),
        },
        settings=setup.settings(seeds),
    )


def _table(points: Sequence[Point]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    best, flat = best_of(points), plateau(points)
    rows = []
    for point in points:
        difference = "best" if point is best else paired(point.test, best.test).text(sign=True)
        rows.append(
            (
                f"{point.keep_prob:g}",
                _widths(point.hidden),
                t_interval(point.training).text(),
                t_interval(point.test).text(),
                difference,
                "yes" if point.keep_prob in flat else "",
            )
        )
    return ("keep_prob", "hidden units", "train accuracy %", "test accuracy %", "test, minus best", "plateau"), rows


def _remark(points: Sequence[Point]) -> str:
    best, flat = best_of(points), plateau(points)
    worse = [point.keep_prob for point in points if point.keep_prob not in flat]
    width = max(flat) - min(flat)
    holes = [q for q in worse if min(flat) < q < max(flat)]
    text = f"keep_prob {best.keep_prob:g} is best, and the plateau is {', '.join(f'{q:g}' for q in flat)}"
    text += f" (width {width:.1f}{', with holes' if holes else ''})."
    return text + (f" Clearly worse: {', '.join(f'{q:g}' for q in worse)}." if worse else " None is clearly worse.")


def _picture(sweeps: dict[str, Sequence[Point]]) -> Figure:
    figure, axes = new_figure(len(sweeps))
    for ax, (name, points) in zip(axes, sweeps.items()):
        x, flat = [point.keep_prob for point in points], plateau(points)
        for colour, label, values in (
            (COLOURS[1], "training examples", [point.training for point in points]),
            (COLOURS[0], "test examples", [point.test for point in points]),
        ):
            band(ax, x, 100 * np.stack(values), label, colour)
        means = [100 * point.test.mean() for point in points]
        face = [COLOURS[0] if q in flat else "white" for q in x]
        ax.scatter(x, means, c=face, edgecolors=COLOURS[0], zorder=3, s=36)
        ax.axvspan(min(flat), max(flat), color="0.94", zorder=0)
        ax.set(
            xlabel="keep_prob q; below it units n of the first hidden layer",
            ylabel="accuracy in %, in evaluation",
            title=name,
        )
        ax.set_xticks(x, [f"{point.keep_prob:g}\n{point.hidden[0]}" for point in points])
    lowest = min(point.keep_prob for points in sweeps.values() for point in points)
    low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set(ylim=(low, high), xlim=(lowest - 0.05, 1.05))
    n = len(next(iter(sweeps.values()))[0].test)
    axes[-1].legend(frameon=False, loc="lower center", title=f"mean of {n} runs, band: 95 % interval", fontsize=9)
    return figure


def _widths(hidden: Sequence[int]) -> str:
    return "-".join(map(str, hidden))
