"""``numpynet lottery compare``: the tickets of two runs, paired by seed and by density.

Runs that prune at different rates have other densities at the same level, and so have nets of different sizes: the output
layer, which is cut at half of the rate, is another share of each. A difference between them would be one of densities. So
the levels are compared that are nearest in density, both densities are named where they differ, and levels without a
partner are named with what would give them one.
"""

from __future__ import annotations

import math
import shlex
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from numpynet.experiments import lottery_figures
from numpynet.experiments.lottery_page import densities_of
from numpynet.experiments.publish import Report, Table, publish
from numpynet.lottery import run_folder, run_results, run_versions
from numpynet.lottery.analysis import cells, compare
from numpynet.lottery.experiment import Experiment, differences
from numpynet.lottery.plain_files import read_json
from numpynet.statistics import t_interval

ROUNDING = 0.01  # relative; counts of weights are rounded, so that equal rates leave nearly equal shares
A_STEP = (
    0.2  # relative; densities that are farther apart are a step of the usual ladder apart, and no pair to be advised
)


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
        The runs have no finished seed in common, or were made on other data; a difference of seeds would say nothing.
    """
    runs = [(folder, run_folder.read_experiment(folder)) for folder in (options.first, options.second)]
    data = [read_json(folder / "data.json") for folder, _ in runs]
    digests = [f"{part}_{what}" for part in ("train", "validation", "test") for what in "xy"]
    other = [key for key in digests if data[0].get(key) is None or data[0][key] != data[1].get(key)]
    if other:
        raise ValueError(
            f"{options.first} and {options.second} were not made on the same examples: {', '.join(other)} differ, so their "
            "replicates are no pairs"
        )
    names = _names([folder for folder, _ in runs])
    found = [_by_seed(folder, experiment) for folder, experiment in runs]
    densities = [densities_of(of, experiment) for of, (_, experiment) in zip(found, runs)]
    pairs = nearest_levels(*densities, tolerance=options.tolerance)
    rows, waiting, unpaired = [], [], False
    for levels in pairs:
        left = _both(f"{100 * d[level]:.2f}" for d, level in zip(densities, levels))
        pair = [of.get((level, "ticket")) for of, level in zip(found, levels)]
        both = compare(*pair) if all(pair) else None
        if both is None:
            waiting.append(left)
            continue
        unpaired |= any(len(cell.trials) > len(both.trials) for cell in pair)
        rows.append(
            (
                _both(map(str, levels)),
                left,
                *(t_interval(cell.of("test_accuracy_stop", both.trials)).text() for cell in pair),
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
    versions = [_versions(folder, experiment) for folder, experiment in runs]
    if versions[0] != versions[1]:
        told = (f"{name} with {text}" for name, text in zip(names, versions))
        known = not any(run_versions.UNKNOWN in text for text in versions)
        what = "They were" if known else "Nobody knows that they were not"
        remark.append(f"{what} trained with other versions, which may give other numbers: {'; '.join(told)}.")
    if unpaired:
        remark.append(
            "All numbers of a level are those of the seeds that have finished it in both runs; others have no partner."
        )
    remark += _about_densities(names, densities, pairs, [experiment for _, experiment in runs], options.tolerance)
    if waiting:
        remark.append(f"Not compared, because no seed has finished there in both runs: {', '.join(waiting)} %.")
    outcome = Report(
        title=f"Two lottery runs: {names[0]} and {names[1]}",
        question="Are the tickets of one run better than those of the other, seed by seed and at the nearest densities?",
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
                "Test accuracy of the tickets at the early stop, all replicates of each run, every level at its own density. "
                "Bands: 95 % t-intervals.",
            )
        },
        settings={
            "first run": str(options.first),
            "second run": str(options.second),
            "first run, trained with": versions[0],
            "second run, trained with": versions[1],
            "tolerance of densities": options.tolerance,
        },
    )
    folder = options.out or Path("runs") / "lottery-compare"
    words = ["numpynet", "lottery", "compare", options.first, options.second, "--tolerance", options.tolerance]
    page = publish(outcome, folder, command=shlex.join(map(str, words)))
    print(f"\nreport: {page}")
    return 0


def nearest_levels(first: Sequence[float], second: Sequence[float], *, tolerance: float) -> list[tuple[int, int]]:
    """Return the levels of two runs whose densities are each other's nearest, each level at most once.

    Parameters
    ----------
    first, second : density of every level, falling from that of the dense net
    tolerance : how far the densities of a pair may be apart, as a share of the larger one

    Returns
    -------
    Pairs of levels in their order.

    Examples
    --------
    >>> nearest_levels([1.0, 0.8, 0.64, 0.512], [1.0, 0.641, 0.41], tolerance=0.05)           # rates 0.2 and 0.36
    [(0, 0), (2, 1)]
    """

    def nearest(own: int, mine: Sequence[float], others: Sequence[float]) -> int:
        return min(range(len(others)), key=lambda level: (_apart(mine[own], others[level]), abs(level - own)))

    pairs = [(level, nearest(level, first, second)) for level in range(len(first))]
    return [(a, b) for a, b in pairs if nearest(b, second, first) == a and _apart(first[a], second[b]) <= tolerance]


def _apart(density: float, other: float) -> float:
    return abs(density - other) / max(density, other) if density != other else 0.0


def _about_densities(
    names: Sequence[str],
    densities: Sequence[Sequence[float]],
    pairs: Sequence[tuple[int, int]],
    experiments: Sequence[Experiment],
    tolerance: float,
) -> list[str]:
    """Return what the reader has to know of the pairs: how unequal they are, which levels have none, and why."""
    lines = []
    largest = max(_apart(densities[0][a], densities[1][b]) for a, b in pairs)
    if largest > ROUNDING:
        lines.append(
            f"The densities of a pair differ by up to {100 * largest:.2g} % of the larger one (--tolerance {tolerance:g}): where "
            "two are named, a part of the difference may be that of the densities."
        )
    alone = [
        f"{', '.join(f'{100 * d:.2f}' for level, d in enumerate(own) if level not in taken)} % of {name}"
        for name, own, taken in zip(names, densities, map(set, zip(*pairs)))
        if len(taken) < len(own)
    ]
    if not alone:
        return lines
    lines.append(
        f"Paired: {len(pairs)} levels, of {len(densities[0])} of {names[0]} and {len(densities[1])} of {names[1]}.\n"
        f"Not compared, because the nearest level of the other run is more than {100 * tolerance:g} % away, or nearer to another "
        f"level: {'; '.join(alone)}."
    )
    possible = nearest_levels(*densities, tolerance=max(tolerance, A_STEP))
    if len(possible) > len(pairs):
        needed = max(_apart(densities[0][a], densities[1][b]) for a, b in possible)
        lines.append(f"With --tolerance {math.ceil(1000 * needed) / 1000:g} it would be {len(possible)} pairs.")
    rates, scopes = [experiment.layer_rates().values() for experiment in experiments], {e.scope for e in experiments}
    rate = max(rates[0])
    one_rate = all({rate} == {*of_layers} for of_layers in rates)
    if not one_rate and any(_apart(*of_level) > ROUNDING for of_level in zip(*densities)):
        words = ["--scope layer"] * (len(scopes) > 1) + [f"--rate {rate:g}"]
        words += [f"--output-rate {rate:g}"] * (scopes != {"global"})  # a global cut has no other
        lines.append(
            "Runs with one rate for all layers have equal densities at equal levels, whatever the sizes of their nets: "
            f"{' '.join(words)} for both."
        )
    return lines


def _both(texts: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(texts))


def _by_seed(folder: Path, experiment: Experiment):
    """The cells of a run with seeds in the place of trial numbers, by which two runs can be paired."""
    rows = run_results.finished(folder, experiment)
    return cells([{**row, "trial": row["seed"]} for row in rows])


def _versions(folder: Path, experiment: Experiment) -> str:
    known = run_versions.trained_with(folder, run_results.finished(folder, experiment))
    return ", ".join(f"{name} {run_versions.versions_text(counts)}" for name, counts in known.items())


def _names(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
