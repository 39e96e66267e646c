"""From the numbers of an experiment to what it allows to say: paired differences, ratios of stopping steps, intervals.

One replicate is one initial draw with one order of the data, and it is compared with itself: the ticket of a seed with
the dense net of that seed, and with its own controls. Several draws of a control are averaged within their replicate
first. A training that stops in the last part of its budget might have gone on, so its stopping step is a lower bound:
it is counted as censored, and said so wherever it enters a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpynet.statistics import Interval, RatioInterval, mean_of_ratios, ratio_of_means, t_interval

Rows = Sequence[Mapping[str, Any]]  # of ``run_results.finished``


class Cell(NamedTuple):
    """One arm at one level, a number for each replicate that has finished it."""

    trials: tuple[int, ...]
    values: Mapping[str, np.ndarray]  # name of a summary's number -> (n,), draws averaged
    censored: np.ndarray  # (n,) whether any draw of the replicate is

    def of(self, name: str, trials: Sequence[int]) -> np.ndarray:
        """The numbers of some replicates, in their order.

        Parameters
        ----------
        name : a key of ``values``
        trials : numbers of replicates, all of them in ``self.trials``

        Returns
        -------
        (number of trials,)

        Examples
        --------
        >>> Cell((0, 1, 3), {"stop_step": np.array([50.0, 60.0, 70.0])}, np.zeros(3, bool)).of("stop_step", [3, 0])
        array([70., 50.])
        """
        where = {trial: i for i, trial in enumerate(self.trials)}
        return self.values[name][[where[trial] for trial in trials]]


NUMBERS = (
    "test_accuracy_stop", "test_accuracy_end", "validation_accuracy_stop", "validation_accuracy_end", "stop_step",
    "train_accuracy_end", "density",
)  # fmt: skip


def cells(rows: Rows) -> dict[tuple[int, str], Cell]:
    """Return (level, arm) -> Cell; the dense net is the ticket of level 0. Trials with a missing draw are left out.

    Parameters
    ----------
    rows : of ``run_results.finished``; draws of a control are averaged

    Returns
    -------
    a dict, with a cell for every pair that some replicate has finished

    Examples
    --------
    >>> base = {name: 0.5 for name in NUMBERS} | {"level": 0, "arm": "ticket", "draw": 0, "censored": False, "live_units": [3]}
    >>> cells([base | {"trial": 0}, base | {"trial": 1}])[0, "ticket"].trials
    (0, 1)
    """
    by_cell: dict[tuple[int, str], dict[int, list]] = {}
    for row in rows:
        by_cell.setdefault((row["level"], row["arm"]), {}).setdefault(row["trial"], []).append(row)
    draws = {
        arm: max(len(r) for (_, a), trials in by_cell.items() if a == arm for r in trials.values())
        for _, arm in by_cell
    }
    result = {}
    for (level, arm), trials in by_cell.items():
        whole = {trial: rows for trial, rows in sorted(trials.items()) if len(rows) == draws[arm]}
        if not whole:
            continue
        values = {name: np.array([np.mean([row[name] for row in r]) for r in whole.values()]) for name in NUMBERS}
        units = np.array([np.mean([row["live_units"] for row in r], axis=0) for r in whole.values()])  # (n, layers)
        values |= {f"live_units_{i + 1}": column for i, column in enumerate(units.T)}
        censored = np.array([any(row["censored"] for row in r) for r in whole.values()])
        result[level, arm] = Cell(tuple(whole), values, censored)
    return result


class Comparison(NamedTuple):
    """Two arms, replicate by replicate."""

    trials: tuple[int, ...]  # the replicates that both have
    differences: tuple[float, ...]  # of their test accuracies
    difference: Interval  # the mean of these
    positive: int  # replicates in which the first is better
    mean_of_ratios: RatioInterval | None  # of the stopping steps, second over first: above 1 the first is earlier
    ratio_of_means: RatioInterval | None
    censored_first: int  # stopping steps that are lower bounds
    censored_second: int

    @property
    def bound(self) -> str:
        """What the censored steps make of the ratios: "", "at least", "at most", or "unclear" where both are."""
        if self.censored_first and self.censored_second:
            return "unclear"
        return "at most" if self.censored_first else "at least" if self.censored_second else ""


def compare(first: Cell, second: Cell, *, accuracy: str = "test_accuracy_stop") -> Comparison | None:
    """Compare two arms over the replicates that both have, or return None if there is none.

    Parameters
    ----------
    first, second : of ``cells``
    accuracy : at the early stop, or "test_accuracy_end"

    Returns
    -------
    the comparison, accuracies in shares and steps in numbers of them, or None

    Examples
    --------
    >>> def cell(accuracies, steps):
    ...     values = {"test_accuracy_stop": np.array(accuracies), "stop_step": np.array(steps)}
    ...     return Cell(tuple(range(len(steps))), values, np.array(steps) >= 95)
    >>> both = compare(cell([0.9, 0.8, 0.9], [10.0, 20.0, 30.0]), cell([0.8, 0.8, 0.7], [20.0, 40.0, 95.0]))
    >>> both.difference.text(sign=True), both.positive, both.bound, round(both.ratio_of_means.value, 3)
    ('+10.00 ± 24.84', 2, 'at least', 2.583)
    """
    trials = [trial for trial in first.trials if trial in set(second.trials)]
    if not trials:
        return None
    difference = first.of(accuracy, trials) - second.of(accuracy, trials)
    steps = [cell.of("stop_step", trials) for cell in (second, first)]
    usable = all((s > 0).all() for s in steps)  # a training that is best before its first step has no ratio
    censored = [int(np.isin(cell.trials, trials)[cell.censored].sum()) for cell in (first, second)]
    return Comparison(
        tuple(trials),
        tuple(difference.tolist()),
        t_interval(difference),
        int((difference > 0).sum()),
        mean_of_ratios(*steps) if usable else None,
        ratio_of_means(*steps) if usable else None,
        *censored,
    )


def stop_text(cell: Cell) -> str:
    """Return the mean stopping step with its interval, and how many of the steps are lower bounds.

    Parameters
    ----------
    cell : of ``cells``

    Returns
    -------
    mean ± half of the 95 % interval, in steps

    Examples
    --------
    >>> stop_text(Cell((0, 1), {"stop_step": np.array([50.0, 100.0])}, np.array([False, True])))
    'at least 75 ± 318 (1 of 2 censored)'
    """
    text = t_interval(cell.values["stop_step"]).text(scale=1, digits=0)
    n = int(cell.censored.sum())
    return f"at least {text} ({n} of {len(cell.trials)} censored)" if n else text


def ratio_text(ratio: RatioInterval | None, bound: str) -> str:
    """Return a ratio with its interval, and what censoring makes of it.

    Parameters
    ----------
    ratio : of a ``Comparison``, or None
    bound : ``Comparison.bound``

    Returns
    -------
    a few words; "none" where there is no ratio

    Examples
    --------
    >>> ratio_text(RatioInterval(2.0, 1.5, 2.5, 8), "at least")
    'at least 2.00 (1.50 to 2.50)'
    """
    if ratio is None:
        return "none"
    if bound == "unclear":
        return "not told (both censored)"
    return f"{bound} {ratio.text()}".strip()
