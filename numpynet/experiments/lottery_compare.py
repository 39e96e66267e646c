"""``numpynet lottery compare``: the tickets of two runs, paired by seed and by density.

Runs that prune at different rates, or nets of different sizes, have other densities at the same level. A difference between
them would be one of densities, so only levels that leave the same share of the weights are compared, and the others are
named.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from numpynet.experiments import lottery_figures
from numpynet.experiments.lottery_page import densities_of
from numpynet.experiments.publish import Report, Table, publish
from numpynet.lottery import run_folder, run_results
from numpynet.lottery.analysis import cells, compare
from numpynet.lottery.experiment import Experiment, differences
from numpynet.lottery.plain_files import read_json
from numpynet.statistics import t_interval

SAME_DENSITY = 0.01  # relative; counts of weights are rounded, so that equal rates leave nearly equal shares


def compare_runs(options: Namespace) -> int:
    """Compare the tickets of two runs, seed by seed and density by density, and write a page about it.

    Parameters
    ----------
    options : with ``first`` and ``second``, the folders of the runs, and what ``numpynet lottery compare`` parsed beside

    Returns
    -------
    The exit code.

    Raises
    ------
    ValueError
        The runs have no seed in common, or were made on other data; a difference of seeds would say nothing.
    """
    runs = [(folder, run_folder.read_experiment(folder)) for folder in (options.first, options.second)]
    data = [read_json(folder / "data.json") for folder, _ in runs]
    other = [key for key in data[0] if key.endswith(("_x", "_y")) and data[0][key] != data[1].get(key)]
    if other:
        raise ValueError(
            f"{options.first} and {options.second} were not made on the same examples: {', '.join(other)} differ, so their "
            "replicates are no pairs"
        )
    names = _names([folder for folder, _ in runs])
    found = [_by_seed(folder, experiment) for folder, experiment in runs]
    densities = [densities_of(of, experiment) for of, (_, experiment) in zip(found, runs)]
    pairs = levels_of_one_density(*densities)
    rows, waiting = [], []
    for levels in pairs:
        left = _both(f"{100 * d[level]:.2f}" for d, level in zip(densities, levels))
        pair = [of.get((level, "ticket")) for of, level in zip(found, levels)]
        both = compare(*pair) if all(pair) else None
        if both is None:
            waiting.append(left)
            continue
        rows.append(
            (
                _both(map(str, levels)),
                left,
                *(t_interval(cell.values["test_accuracy_stop"]).text() for cell in pair),
                f"{both.difference.text(sign=True)} ({both.positive}/{both.difference.n})",
            )
        )
    if not rows:
        raise ValueError(
            f"{options.first} and {options.second} have no finished seed in common, and replicates of different seeds are no pairs"
        )
    settings = differences(runs[0][1], runs[1][1])
    changed = "; ".join(
        text.replace(" there", f" in {names[0]}").replace(" here", f" in {names[1]}") for text in settings
    )
    remark = [f"What differs in the settings: {changed or 'nothing'}."]
    alone = [
        f"{', '.join(f'{100 * d:.2f}' for level, d in enumerate(own) if level not in taken)} % of {name}"
        for name, own, taken in zip(names, densities, map(set, zip(*pairs)))
        if len(taken) < len(own)
    ]
    if alone:
        remark.append(
            f"Not compared, because the other run has no level that leaves the same share (to {100 * SAME_DENSITY:g} % of it): "
            f"{'; '.join(alone)}."
        )
    if waiting:
        remark.append(f"Not compared, because no seed has finished there in both runs: {', '.join(waiting)} %.")
    outcome = Report(
        title=f"Two lottery runs: {names[0]} and {names[1]}",
        question="Are the tickets of one run better than those of the other, seed by seed and at the same density?",
        tables=[
            Table(
                "Test accuracy of the tickets in % at the early stop, and paired differences (replicates above 0)",
                ("level", "weights left %", names[0], names[1], "difference"),
                rows,
            )
        ],
        remark="\n".join(remark),
        pictures={
            "compare.png": (
                lottery_figures.overlaid(names, found, densities),
                "Test accuracy of the tickets at the early stop, every level at its own density. Bands: 95 % t-intervals.",
            )
        },
        settings={"first run": str(options.first), "second run": str(options.second)},
    )
    folder = options.out or Path("runs") / "lottery-compare"
    page = publish(
        outcome, folder, command=shlex.join(["numpynet", "lottery", "compare", str(options.first), str(options.second)])
    )
    print(f"\nreport: {page}")
    return 0


def levels_of_one_density(first: Sequence[float], second: Sequence[float]) -> list[tuple[int, int]]:
    """Return the levels of two runs that leave the same share of the weights, but for rounding, each at most once.

    Parameters
    ----------
    first, second : density of every level, falling from that of the dense net

    Returns
    -------
    Pairs of levels in their order, each the other's nearest.

    Examples
    --------
    >>> levels_of_one_density([1.0, 0.8, 0.64, 0.512], [1.0, 0.641, 0.41])           # rates 0.2 and 0.36
    [(0, 0), (2, 1)]
    """

    def nearest(own: int, mine: Sequence[float], others: Sequence[float]) -> int:
        return min(range(len(others)), key=lambda level: (abs(others[level] - mine[own]), abs(level - own)))

    pairs = [(level, nearest(level, first, second)) for level in range(len(first))]
    return [
        (a, b)
        for a, b in pairs
        if nearest(b, second, first) == a and abs(first[a] - second[b]) <= SAME_DENSITY * max(first[a], second[b])
    ]


def _both(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(texts))


def _by_seed(folder: Path, experiment: Experiment):
    """The cells of a run with seeds in the place of trial numbers, by which two runs can be paired."""
    rows = run_results.finished(folder, experiment)
    return cells([{**row, "trial": row["seed"]} for row in rows])


def _names(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
