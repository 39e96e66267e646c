"""A collection of experiments at the command line: list them, run one or all of them, each into a folder of its name.

``numpynet dropout`` and ``numpynet link`` are such collections. Names of data sets and experiments are turned into
functions here and in the collections, and nowhere else.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpynet.dask_cluster import check_scheduler
from numpynet.data import load_digits, load_mnist, load_mnist1d
from numpynet.experiments.publish import Report, publish
from numpynet.parallel import run_tasks
from numpynet.report import text_table

LOADERS = {"digits": load_digits, "mnist1d": load_mnist1d, "mnist": load_mnist}
SLOWER = {"digits": 1.1, "mnist1d": 1.0, "mnist": 5.0}  # a step, against mnist1d
QUICK_REPLICATES = 3


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


class Collection(NamedTuple):
    """The experiments of one command."""

    command: str  # the word behind numpynet
    experiments: Mapping[str, Experiment]
    setup_of: Callable[..., Any]  # data, *, quick -> what a report takes first
    steps: Mapping[str, int]  # of a training on each data set
    prepare: Callable[..., None] | None = None  # setup, seeds, where: what several experiments need, before all of them


class Run(NamedTuple):
    """One experiment to run, here or elsewhere; all that its result depends on."""

    name: str
    report: Callable[..., Report]
    setup: Any  # None if it makes its own data
    seeds: list[int]
    options: dict[str, Any]  # of its report


def run_collection(collection: Collection, options: Namespace, *, say: Callable[[str], None] = print) -> int:
    """List the experiments, or run one or all of them, and return the exit code.

    Parameters
    ----------
    collection : whose experiments
    options : name, quick, seed, replicates (None for the default), data (None for the default), out, workers, scheduler
    say : where the text goes, line by line

    Returns
    -------
    The exit code, 0; what goes wrong raises.

    Raises
    ------
    ValueError
        There is no such experiment, or it makes its own data and another set was asked for.

    Examples
    --------
    >>> run_collection(Collection("dropout", {}, None, {}), Namespace(name="list"))
    name  seconds  quick  data  question
    0
    """
    experiments = collection.experiments
    if options.name == "list":
        say(text_table(("name", "seconds", "quick", "data", "question"), _listing(experiments)))
        return 0
    names = list(experiments) if options.name == "all" else [options.name]
    for name in names:
        if name not in experiments:
            raise ValueError(f"there is no experiment {name!r}; there are {', '.join(experiments)}, and all")
        if experiments[name].data is None and options.data is not None and options.name != "all":
            raise ValueError(f"{name} makes its own data: leave out --data {options.data}")
    run_all(collection, names, options, say)
    return 0


def run_all(collection: Collection, names: Sequence[str], options: Namespace, say: Callable[[str], None]) -> list[Path]:
    """Run experiments, each into a folder of its name, and return their pages in the order in which they ended.

    With workers, several experiments are run at once, or the conditions of a single one; both give what one worker gives.

    Parameters
    ----------
    collection : whose experiments
    names : of experiments in it
    options : quick, seed, replicates, data, out, workers, scheduler, as for ``run_collection``
    say : where the text goes, line by line

    Returns
    -------
    Paths of ``report.html``.

    Examples
    --------
    >>> run_all(Collection("dropout", {}, None, {}), [], Namespace(workers=1, scheduler=None), print)
    []
    """
    where = {"workers": options.workers, "scheduler": options.scheduler}
    spread = options.workers > 1 or options.scheduler is not None
    if options.scheduler is not None:
        check_scheduler(options.scheduler)
    at_once = spread and len(names) > 1
    pages, runs, sets = [], [], {}
    for name in names:
        experiment = collection.experiments[name]
        seeds = [options.seed + r for r in range(_replicates(experiment, options))]
        data_name = _data_name(experiment, options)
        sizes = dict(experiment.quick) if options.quick else {}
        if data_name is not None and data_name not in sets:
            sets[data_name] = collection.setup_of(LOADERS[data_name](), quick=options.quick)
        if spread and not at_once:
            if experiment.conditions:
                sizes["where"] = where
            else:
                say(f"{name} is one task: it runs here, and more workers do not make it faster")
        runs.append(Run(name, experiment.report, sets.get(data_name), seeds, sizes))

    def finish(index: int, outcome: tuple[Report, float]) -> None:
        (result, seconds), run = outcome, runs[index]
        command = _command(collection, run.name, options)
        if at_once:
            say(f"\n{run.name}: {collection.experiments[run.name].question}\n")
        pages.append(publish(result, options.out / run.name, command=command, say=say))
        say(f"\nDone in {_duration(seconds)}. Report and figures: {pages[-1]}")

    if at_once and collection.prepare is not None:
        collection.prepare(runs[0].setup, runs[0].seeds, where)
    for index, run in enumerate(runs):
        _announce(collection, run, options, say)
        if not at_once:
            finish(index, compute(run))
    if at_once:
        run_tasks(compute, runs, what="experiments", on_done=finish, **where)
    return pages


def compute(run: Run) -> tuple[Report, float]:
    """Run one experiment, and return its report and the seconds that it took.

    Parameters
    ----------
    run : all that the result depends on

    Returns
    -------
    report, seconds : the seconds by the wall clock

    Examples
    --------
    >>> outcome = Report("A title", "Why?", [], "", {}, {})
    >>> compute(Run("nothing", lambda seeds: outcome, None, [0, 1], {}))[0].title
    'A title'
    """
    started = time.monotonic()
    arguments = [run.seeds] if run.setup is None else [run.setup, run.seeds]
    return run.report(*arguments, **run.options), time.monotonic() - started


def expected_seconds(
    collection: Collection, name: str, data_name: str | None, replicates: int, *, quick: bool
) -> float:
    """Return about how long an experiment takes: what was measured, in proportion to replicates and steps.

    Parameters
    ----------
    collection, name : which experiment
    data_name : the data set, a key of ``LOADERS``, or None where the experiment makes its own
    replicates : how many
    quick : whether ``--quick`` was given

    Returns
    -------
    Seconds, on one core of 2020.

    Examples
    --------
    >>> one = Experiment("Why?", None, {}, "mnist1d", 60, 6, replicates=5)
    >>> expected_seconds(Collection("dropout", {"x": one}, None, {"mnist1d": 2000}), "x", "mnist1d", 10, quick=False)
    120.0
    """
    experiment = collection.experiments[name]
    if quick:
        seconds = experiment.quick_seconds * replicates / QUICK_REPLICATES
    else:
        seconds = experiment.seconds * replicates / experiment.replicates
    if data_name is None:
        return seconds
    shorter = 1.0 if quick else collection.steps[data_name] / collection.steps["mnist1d"]
    return seconds * SLOWER[data_name] * shorter


def _announce(collection: Collection, run: Run, options: Namespace, say: Callable[[str], None]) -> None:
    experiment = collection.experiments[run.name]
    data_name, replicates = _data_name(experiment, options), len(run.seeds)
    own = "makes its own data" if data_name is None else f"data {data_name}"
    seconds = expected_seconds(collection, run.name, data_name, replicates, quick=options.quick)
    say(f"\n{run.name}: {experiment.question}")
    say(f"{own}, {replicates} replicates, about {_duration(seconds)} on one core\n")


def _data_name(experiment: Experiment, options: Namespace) -> str | None:
    return experiment.data and (options.data or experiment.data)


def _replicates(experiment: Experiment, options: Namespace) -> int:
    return options.replicates or (QUICK_REPLICATES if options.quick else experiment.replicates)


def _listing(experiments: Mapping[str, Experiment]) -> list[tuple[str, ...]]:
    return [
        (name, f"{e.seconds:g}", f"{e.quick_seconds:g}", e.data or "its own", e.question)
        for name, e in experiments.items()
    ]


def _command(collection: Collection, name: str, options: Namespace) -> str:
    """Return the command that repeats this run."""
    experiment = collection.experiments[name]
    data_name = _data_name(experiment, options)
    data = "" if data_name is None else f" --data {data_name}"
    quick = " --quick" if options.quick else ""
    replicates = _replicates(experiment, options)
    return f"numpynet {collection.command} {name}{quick} --seed {options.seed} --replicates {replicates}{data}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"
