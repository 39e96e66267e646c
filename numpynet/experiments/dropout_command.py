"""``numpynet dropout``: which experiments there are, what they cost, and how one is run from the command line.

Names of data sets and experiments are turned into functions here, and nowhere else.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpynet.data import load_digits, load_mnist, load_mnist1d
from numpynet.experiments import (
    averaging,
    coadaptation,
    data_size,
    keep_prob_sweep,
    penalties,
    sparsity,
    training_cost,
    uncertainty,
)
from numpynet.experiments.publish import Report, publish
from numpynet.experiments.setup import Setup
from numpynet.parallel import run_tasks
from numpynet.report import text_table


class Experiment(NamedTuple):
    """One experiment as the command line knows it."""

    question: str
    report: Callable[..., Report]
    quick: Mapping[str, Any]  # what --quick changes
    data: str | None  # the data set unless another is asked for; None: it makes its own
    seconds: float  # of the default run with the default replicates, one core of 2020
    quick_seconds: float
    replicates: int = 5
    conditions: bool = False  # whether its conditions are tasks of their own, for several workers


EXPERIMENTS = {
    "keep-prob": Experiment(
        "Which keep probability, at fixed width and at a fixed number of kept units?",
        *(keep_prob_sweep.report, keep_prob_sweep.QUICK, "mnist1d", 75, 5),
        conditions=True,
    ),
    "cost": Experiment(
        "Why does dropout lengthen training: masks, or the noise of the gradient?",
        *(training_cost.report, training_cost.QUICK, "mnist1d", 90, 6),
    ),
    "data-size": Experiment(
        "How much data does dropout need?",
        *(data_size.report, data_size.QUICK, "mnist1d", 65, 5),
        conditions=True,
    ),
    "averaging": Experiment(
        "Weight scaling, or the mean of T subnetworks?",
        *(averaging.report, averaging.QUICK, "mnist1d", 12, 3),
        conditions=True,
    ),
    "sparsity": Experiment(
        "Does dropout make activations sparse?",
        *(sparsity.report, sparsity.QUICK, "mnist1d", 18, 3),
        conditions=True,
    ),
    "co-adaptation": Experiment(
        "Do hidden units rely on each other less?",
        *(coadaptation.report, coadaptation.QUICK, "digits", 25, 5),
        conditions=True,
    ),
    "uncertainty": Experiment(
        "Does the net know where it has no data?",
        *(uncertainty.report, uncertainty.QUICK, None, 30, 3),
    ),
    "penalties": Experiment(
        "Is dropout ridge regression, and an adaptive L2 penalty?",
        *(penalties.report, penalties.QUICK, None, 6, 2),
    ),
}

LOADERS = {"digits": load_digits, "mnist1d": load_mnist1d, "mnist": load_mnist}
SETUPS: dict[str, dict[str, Any]] = {  # how nets are trained on it
    "digits": {"lr": 0.003, "steps": 2000},
    "mnist1d": {"lr": 0.003, "steps": 2000},
    "mnist": {"lr": 0.001, "steps": 1200},
}
SLOWER = {"digits": 1.1, "mnist1d": 1.0, "mnist": 5.0}  # a step, against mnist1d
QUICK_STEPS, QUICK_REPLICATES = 300, 3


def run_dropout(options: Namespace, *, say: Callable[[str], None] = print) -> int:
    """List the experiments, or run one or all of them, and return the exit code.

    Parameters
    ----------
    options : name, quick, seed, replicates (None for the default), data (None for the default), out, workers, scheduler
    say : where the text goes, line by line

    Raises
    ------
    ValueError
        There is no such experiment, or it makes its own data and another set was asked for.

    Examples
    --------
    >>> run_dropout(Namespace(name="list"), say=lambda text: print(text[:25]))
    name           seconds  q
    0
    """
    if options.name == "list":
        say(text_table(("name", "seconds", "quick", "data", "question"), _listing()))
        return 0
    names = list(EXPERIMENTS) if options.name == "all" else [options.name]
    for name in names:
        if name not in EXPERIMENTS:
            raise ValueError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}, and all")
        if EXPERIMENTS[name].data is None and options.data is not None and options.name != "all":
            raise ValueError(f"{name} makes its own data: leave out --data {options.data}")
    run_all(names, options, say)
    return 0


class Run(NamedTuple):
    """One experiment to run, here or elsewhere; all that its result depends on."""

    name: str
    setup: Setup | None  # None if it makes its own data
    seeds: list[int]
    options: dict[str, Any]  # of its report


def run_all(names: Sequence[str], options: Namespace, say: Callable[[str], None]) -> list[Path]:
    """Run experiments, each into a folder of its name, and return their pages in the order in which they ended.

    With workers, several experiments are run at once, or the conditions of a single one; both give what one worker gives.

    Examples
    --------
    >>> run_all([], Namespace(workers=1, scheduler=None), print)
    []
    """
    where = {"workers": options.workers, "scheduler": options.scheduler}
    spread = options.workers > 1 or options.scheduler is not None
    at_once = spread and len(names) > 1
    pages, runs, sets = [], [], {}
    for name in names:
        experiment = EXPERIMENTS[name]
        seeds = [options.seed + r for r in range(_replicates(name, options))]
        data_name = _data_name(name, options)
        sizes = dict(experiment.quick) if options.quick else {}
        if data_name is not None and data_name not in sets:
            sets[data_name] = setup_of(LOADERS[data_name](), quick=options.quick)
        if spread and not at_once:
            if experiment.conditions:
                sizes["where"] = where
            else:
                say(f"{name} is one task: it runs here, and more workers do not make it faster")
        runs.append(Run(name, sets.get(data_name), seeds, sizes))

    def finish(index: int, outcome: tuple[Report, float]) -> None:
        (result, seconds), run = outcome, runs[index]
        command = _command(run.name, _data_name(run.name, options), options, len(run.seeds))
        if at_once:
            say(f"\n{run.name}: {EXPERIMENTS[run.name].question}\n")
        pages.append(publish(result, options.out / run.name, command=command, say=say))
        say(f"\nDone in {_duration(seconds)}. Report and figures: {pages[-1]}")

    for index, run in enumerate(runs):
        _announce(run, options, say)
        if not at_once:
            finish(index, compute(run))
    if at_once:
        run_tasks(compute, runs, what="experiments", on_done=finish, **where)
    return pages


def compute(run: Run) -> tuple[Report, float]:
    """Run one experiment, and return its report and the seconds that it took.

    Examples
    --------
    >>> compute(Run("penalties", None, [0, 1], dict(EXPERIMENTS["penalties"].quick)))[0].title[:20]
    'Dropout as a penalty'
    """
    started = time.monotonic()
    arguments = [run.seeds] if run.setup is None else [run.setup, run.seeds]
    return EXPERIMENTS[run.name].report(*arguments, **run.options), time.monotonic() - started


def setup_of(data, *, quick: bool) -> Setup:
    """Return how nets are trained on a data set.

    Examples
    --------
    >>> setup_of(load_digits(), quick=True).steps
    300
    """
    setup = Setup(data, **SETUPS[data.name])
    return setup._replace(steps=QUICK_STEPS) if quick else setup


def expected_seconds(name: str, data_name: str | None, replicates: int, *, quick: bool) -> float:
    """Return about how long an experiment takes: what was measured, in proportion to replicates and steps.

    Examples
    --------
    >>> expected_seconds("sparsity", "mnist1d", 10, quick=False) == 2 * expected_seconds("sparsity", "mnist1d", 5, quick=False)
    True
    """
    experiment = EXPERIMENTS[name]
    if quick:
        seconds = experiment.quick_seconds * replicates / QUICK_REPLICATES
    else:
        seconds = experiment.seconds * replicates / experiment.replicates
    if data_name is None:
        return seconds
    shorter = 1.0 if quick else SETUPS[data_name]["steps"] / SETUPS["mnist1d"]["steps"]
    return seconds * SLOWER[data_name] * shorter


def _announce(run: Run, options: Namespace, say: Callable[[str], None]) -> None:
    data_name, replicates = _data_name(run.name, options), len(run.seeds)
    own = "makes its own data" if data_name is None else f"data {data_name}"
    seconds = expected_seconds(run.name, data_name, replicates, quick=options.quick)
    say(f"\n{run.name}: {EXPERIMENTS[run.name].question}")
    say(f"{own}, {replicates} replicates, about {_duration(seconds)} on one core\n")


def _data_name(name: str, options: Namespace) -> str | None:
    experiment = EXPERIMENTS[name]
    return experiment.data and (options.data or experiment.data)


def _replicates(name: str, options: Namespace) -> int:
    return options.replicates or (QUICK_REPLICATES if options.quick else EXPERIMENTS[name].replicates)


def _listing() -> list[tuple[str, ...]]:
    return [
        (name, f"{e.seconds:g}", f"{e.quick_seconds:g}", e.data or "its own", e.question)
        for name, e in EXPERIMENTS.items()
    ]


def _command(name: str, data_name: str | None, options: Namespace, replicates: int) -> str:
    """Return the command that repeats this run."""
    data = "" if data_name is None else f" --data {data_name}"
    quick = " --quick" if options.quick else ""
    return f"numpynet dropout {name}{quick} --seed {options.seed} --replicates {replicates}{data}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"
