"""The report of a lottery run: tables, remarks and pictures, all from the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numpynet.experiments import lottery_figures as figures
from numpynet.experiments.findings import Claim, Finding
from numpynet.experiments.publish import Report, Table
from numpynet.lottery import run_folder, run_results, run_versions, training_files
from numpynet.lottery.analysis import Cell, Comparison, cells, compare, ratio_text, stop_text
from numpynet.lottery.arms import WHAT
from numpynet.lottery.experiment import Experiment
from numpynet.lottery.imp import TICKET, Arm
from numpynet.lottery.plain_files import read_json
from numpynet.pruning import layer_densities
from numpynet.statistics import t_interval
from numpynet.storage import StorageError

LEARNING_CURVE_DENSITIES = (1.0, 0.513, 0.211, 0.07, 0.036)  # those of the paper; the nearest levels are drawn
# At which densities the claims of the literature are held against a run; the nearest levels are taken.
CLAIM_DENSITIES = (0.513, 0.211, 0.036)
CLAIMS = {
    "dense": ("at least as accurate as the dense net", "above"),
    "reinit": ("more accurate than the same mask on fresh weights", "above"),
    "random_ticket": ("more accurate than a random mask on fresh weights", "above"),
}
READING = (
    "Means over replicates with the half-width of the 95 % t-interval; differences are paired by seed, several draws of a control "
    "averaged first. A training whose early stop lies in the last 5 % of its steps is censored: it might have gone on, so its step "
    'is a lower bound ("at least"), and so is a ratio in which it is the later one. Mean of ratios: interval from the logarithms. '
    "Ratio of means: interval by leaving out one replicate at a time."
)
IMAGE_SHAPES = {"digits": (8, 8), "mnist": (28, 28)}


def lottery_report(folder: Path) -> Report:
    """Return what a run has shown so far.

    Parameters
    ----------
    folder : of the run, finished or not

    Returns
    -------
    Report, ready for ``publish``

    Raises
    ------
    StorageError
        The folder holds no run, or no finished training; a file is damaged.

    Examples
    --------
    >>> lottery_report(Path("no such folder"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: no such folder holds no lottery run: there is no config.json in it
    """
    experiment = run_folder.read_experiment(folder)
    rows = run_results.finished(folder, experiment)
    found = cells(rows)
    if (0, "ticket") not in found:
        raise StorageError(f"{folder} holds no finished training yet: numpynet lottery resume {folder}")
    densities = densities_of(found, experiment)
    comparisons = all_comparisons(found, experiment)
    found_here = _findings(comparisons, densities)
    missing = experiment.replicates * experiment.trainings - len(rows)
    versions = run_versions.trained_with(folder, rows)
    n = f"{experiment.replicates} replicate{'s' if experiment.replicates > 1 else ''}"
    return Report(
        title=f"Lottery tickets: {'-'.join(map(str, experiment.sizes))} on {experiment.data}, {n}",
        question="Does a sparse net, put back to its initial weights, train as well as the whole one, and better than "
        "its controls?",
        tables=[
            _accuracies(found, experiment, densities),
            _differences(comparisons, densities),
            _stops(found, experiment, densities),
            _ratios(comparisons, densities),
            _ends(found, experiment, densities),
        ],
        remark=_remark(comparisons, densities, experiment, missing, versions),
        pictures=_pictures(folder, experiment, found, comparisons, densities),
        settings=_settings(folder, experiment),
        findings=[finding for finding, _ in found_here],
        claims=[claim for _, claim in found_here if claim is not None],
        reading=READING,
        versions={name: run_versions.versions_text(counts) for name, counts in versions.items()},
    )


def densities_of(found: Mapping[tuple[int, str], Cell], experiment: Experiment) -> list[float]:
    """Return the density of every level, as it was counted, or as it will be.

    Parameters
    ----------
    found : (level, arm) -> ``Cell``, of ``analysis.cells``
    experiment : of the run

    Returns
    -------
    (rounds + 1,) shares of weights left, the dense net first.

    Examples
    --------
    >>> densities_of({}, Experiment(rounds=1))
    [1.0, 0.8066666666666666]
    """
    return [
        float(found[level, "ticket"].values["density"].mean()) if (level, "ticket") in found else planned
        for level, planned in enumerate(experiment.densities())
    ]


def all_comparisons(found: Mapping[tuple[int, str], Cell], experiment: Experiment) -> dict[str, dict[int, Comparison]]:
    """Return the ticket against the dense net and against every control, level by level.

    Parameters
    ----------
    found : (level, arm) -> ``Cell``, of ``analysis.cells``
    experiment : of the run

    Returns
    -------
    "dense" or a control -> level -> ``Comparison``, where both have a finished replicate in common.

    Examples
    --------
    >>> all_comparisons({}, Experiment(controls=("reinit",)))
    {'dense': {}, 'reinit': {}}
    """
    result: dict[str, dict[int, Comparison]] = {name: {} for name in ("dense", *experiment.controls)}
    for level in range(1, experiment.rounds + 1):
        ticket = found.get((level, "ticket"))
        for name in result:
            other = found.get((0, "ticket") if name == "dense" else (level, name))
            if ticket is not None and other is not None and (both := compare(ticket, other)) is not None:
                result[name][level] = both
    return result


# ---- tables ----------------------------------------------------------------------------------------------------------


def _accuracies(found, experiment: Experiment, densities: Sequence[float]) -> Table:
    arms = ("ticket", *experiment.controls)
    rows = []
    for level, density in enumerate(densities):
        own = [found.get((level, arm)) for arm in arms]
        if any(own):
            values = ["" if c is None else t_interval(c.values["test_accuracy_stop"]).text() for c in own]
            rows.append((f"{100 * density:.2f}", *values))
    header = ("weights left %", "ticket", *experiment.controls)
    return Table("Test accuracy in % at the early stop (smallest validation loss)", header, rows)


def _differences(comparisons: Mapping[str, Mapping[int, Comparison]], densities: Sequence[float]) -> Table:
    levels = sorted({level for of in comparisons.values() for level in of})
    rows = []
    for level in levels:
        texts = []
        for of in comparisons.values():
            both = of.get(level)
            texts.append(
                "" if both is None else f"{both.difference.text(sign=True)} ({both.positive}/{both.difference.n})"
            )
        rows.append((f"{100 * densities[level]:.2f}", *texts))
    header = ("weights left %", *(f"ticket - {name}" for name in comparisons))
    return Table(
        "Paired differences of test accuracy, in points: mean ± half-width of the 95 % t-interval (replicates above 0)",
        header,
        rows,
    )


def _stops(found, experiment: Experiment, densities: Sequence[float]) -> Table:
    arms = ("ticket", *experiment.controls)
    rows = []
    for level, density in enumerate(densities):
        own = [found.get((level, arm)) for arm in arms]
        if any(own):
            rows.append((f"{100 * density:.2f}", *("" if c is None else stop_text(c) for c in own)))
    return Table("Early stop: step of the smallest validation loss", ("weights left %", *arms), rows)


def _ratios(comparisons, densities: Sequence[float]) -> Table:
    """How much later the dense net and the first control stop."""
    names = list(comparisons)[:2]
    rows = []
    for level in sorted({level for name in names for level in comparisons[name]}):
        row = [f"{100 * densities[level]:.2f}"]
        for name in names:
            both = comparisons[name].get(level)
            ratios = () if both is None else (both.mean_of_ratios, both.ratio_of_means)
            row += [ratio_text(r, both.bound) for r in ratios] or ["", ""]
        rows.append(row)
    header = ["weights left %"]
    for name in names:
        header += [f"{name} / ticket, mean of ratios", f"{name} / ticket, ratio of means"]
    return Table("How much later the others stop: ratios of steps, above 1 where the ticket is earlier", header, rows)


def _ends(found, experiment: Experiment, densities: Sequence[float]) -> Table:
    rows = []
    for level, density in enumerate(densities):
        ticket = found.get((level, "ticket"))
        if ticket is None:
            continue
        units = [
            f"{t_interval(ticket.values[f'live_units_{i}']).mean:.4g}" for i in range(1, len(experiment.sizes) - 1)
        ]
        rows.append(
            (
                f"{100 * density:.2f}",
                t_interval(ticket.values["test_accuracy_end"]).text(),
                t_interval(ticket.values["validation_accuracy_end"]).text(),
                t_interval(ticket.values["validation_accuracy_stop"]).text(),
                t_interval(ticket.values["train_accuracy_end"]).text(),
                " / ".join(units),
            )
        )
    header = ("weights left %", "test, end", "validation, end", "validation, early stop", "train, end", "live units")
    return Table(
        "The ticket after its last step: accuracies in %, and hidden units that still lie on a path", header, rows
    )


def _remark(comparisons, densities, experiment: Experiment, missing: int, versions) -> str:
    lines = []
    if missing:
        lines.append(f"This run is not finished: {missing} trainings are missing.")
    if several := {name: counts for name, counts in versions.items() if len(counts) > 1}:
        told = "; ".join(f"{name} {run_versions.versions_text(counts)}" for name, counts in several.items())
        lines.append(
            f"Not everything was trained with the same versions, and other versions may give other numbers: {told}."
        )
    for name, of in comparisons.items():
        what = "the dense net" if name == "dense" else f"{name} ({WHAT[name]})"
        seen = {
            side: [
                f"{100 * densities[level]:.3g} %" for level, c in of.items() if c.difference.excludes_zero and side(c)
            ]
            for side in (_above, _below)
        }
        text = f"Ticket above {what}, interval clear of 0, at: {', '.join(seen[_above]) or 'no density'}."
        if seen[_below]:
            text += f" Below it at: {', '.join(seen[_below])}."
        lines.append(text)
    lines.append(
        "Every level is shown, none was picked; with many levels, one interval in twenty misses by chance. The intervals are "
        f"over seeds, on one data set ({experiment.data}) with one validation split."
    )
    return "\n".join(lines)


def _findings(comparisons, densities) -> list[tuple[Finding, Claim | None]]:
    """Every paired difference as a finding; those that the literature speaks of with what it says."""
    result = []
    for name, of in comparisons.items():
        chosen = {min(of, key=lambda k: abs(np.log(densities[k] / d))) for d in CLAIM_DENSITIES} if of else set()
        for level, both in of.items():
            at = f"{100 * densities[level]:.3g} %"
            finding = Finding(f"{name} {level}", f"ticket - {name} at {at}", both.differences)
            claim = None
            if name in CLAIMS and level in chosen:
                says, expects = CLAIMS[name]
                claim = Claim(finding.key, "Frankle and Carbin 2019", f"a ticket of {at} is {says}", expects)
            result.append((finding, claim))
    return result


def _above(comparison: Comparison) -> bool:
    return comparison.difference.mean > 0


def _below(comparison: Comparison) -> bool:
    return comparison.difference.mean < 0


def _settings(folder: Path, experiment: Experiment) -> dict[str, Any]:
    values = experiment.as_json()
    shown = {
        name: ", ".join(map(str, v)) if isinstance(v, list) else v for name, v in values.items() if name != "version"
    }
    shown["sizes"] = "-".join(map(str, experiment.sizes))
    rates = ", ".join(f"{name} {rate:g}" for name, rate in experiment.layer_rates().items())
    identity = read_json(folder / "config.json")["digest"]  # that of the fields which it was begun with
    return {**shown, "rates of the layers": rates, "identity of the configuration": identity[:16]}


# ---- pictures --------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, experiment: Experiment, found, comparisons, densities):
    n = max(len(cell.trials) for cell in found.values())
    bands = "" if n == 1 else " Bands: 95 % t-intervals."
    pictures = {
        "accuracy.png": (
            figures.against_density(
                found, densities, name="test_accuracy_stop", scale=100, ylabel="test accuracy at the early stop, in %"
            ),
            f"Test accuracy at the early stop against the share of weights left.{bands} Dashed lines are drawn without theirs.",
        ),
        "early_stop.png": (
            figures.against_density(found, densities, name="stop_step", ylabel="step of the smallest validation loss"),
            "Early stop against the share of weights left; earlier is faster. A hollow point has a censored training in it, "
            f"and is a lower bound.{bands}",
        ),
    }
    drawn = {name: of for name, of in comparisons.items() if of}
    if drawn:
        pictures["differences.png"] = (
            figures.paired_differences(drawn, densities),
            "Paired differences, replicate by replicate, with 95 % t-intervals: where a bar does not touch 0, a difference was seen.",
        )
    curves, what = _curves(folder, experiment, found, densities)
    pictures["learning_curves.png"] = (
        figures.learning_curves(curves, ylabel=f"{what} accuracy in %"),
        f"Learning curves on the {what} examples; the first steps are cut off below.{bands}",
    )
    pictures |= _weights(folder, experiment, found, densities)
    per_layer = {}
    for level in sorted(level for level, arm in found if arm == "ticket"):
        trial = found[level, "ticket"].trials[0]
        mask = training_files.load_mask(
            training_files.place(folder, trial, level, TICKET) / "mask.npz", experiment.net().layout
        )
        per_layer[level] = list(layer_densities(mask).values())
    if len(experiment.sizes) > 2:
        widths = experiment.sizes[1:-1]
        pictures["units.png"] = (
            figures.live_units_and_densities(found, densities, per_layer, widths),
            f"Left: hidden units of the ticket that still lie on a path from an input to an output.{bands} Right: density of "
            "each layer (first trial).",
        )
    return pictures


def _curves(folder: Path, experiment: Experiment, found, densities):
    levels = sorted({level for level, arm in found if arm == "ticket"})
    chosen = sorted({min(levels, key=lambda k: abs(np.log(densities[k] / d))) for d in LEARNING_CURVE_DENSITIES})
    split = "test" if experiment.test_curve else "validation"
    curves: dict[str, dict[float, tuple[list[float], np.ndarray]]] = {}
    for arm in ("ticket", *experiment.controls[:1]):
        for level in chosen:
            cell = found.get((level, arm))
            if cell is None:
                continue
            name = TICKET if arm == "ticket" else Arm(arm)
            histories = [
                training_files.load_history(training_files.place(folder, trial, level, name)) for trial in cell.trials
            ]
            values = np.array([[record.accuracy[split] for record in history] for history in histories]).T  # (S, R)
            curves.setdefault(arm, {})[densities[level]] = ([r.step for r in histories[0]], values)
    return curves, split


def _weights(folder: Path, experiment: Experiment, found, densities):
    """What one trial's ticket looks like: its first layer, and which weights were kept."""
    levels = sorted(level for level, arm in found if arm == "ticket")
    level = min(levels, key=lambda k: abs(np.log(densities[k] / 0.211)))
    trial = found[level, "ticket"].trials[0]
    layout = experiment.net().layout
    theta_T, _, _ = training_files.load_training(training_files.place(folder, trial, 0, TICKET), layout)
    mask = training_files.load_mask(training_files.place(folder, trial, level, TICKET) / "mask.npz", layout)
    theta_0, _ = training_files.load_start(folder, trial, layout)
    at = f"{100 * densities[level]:.3g} % of all weights (trial {trial}, level {level})"
    shape = IMAGE_SHAPES.get(experiment.data)
    return {
        "first_layer.png": (
            figures.first_layer(mask["W1"], shape),
            f"The mask of the first layer at {at}, and how many weights each {'pixel' if shape else 'input'} has left.",
        ),
        "weights.png": (
            figures.initial_and_final(theta_0, theta_T, mask),
            f"Every weight before and after the dense training, and whether it is in the ticket at {at}. On the dotted line "
            "a weight has not moved.",
        ),
    }
