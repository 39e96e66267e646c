"""``numpynet link``: which experiments there are, and what they cost."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpynet.experiments.command import Collection, Experiment, run_collection
from numpynet.experiments.setup import measure_each
from numpynet.link import equal_cost, inference, learned, overlap, priming, standing, tickets
from numpynet.link.bench import KEEP_PROB, Bench, bench_of, ladder
from numpynet.link.laws_table import HEADER, laws_table
from numpynet.link.statement import REPORT, write_docs, write_statement
from numpynet.report import text_table

REPLICATES = 8
EXPERIMENTS = {
    "tickets": Experiment(
        "What are tickets, dropout and both together worth?",
        *(tickets.report, tickets.QUICK, "mnist1d", 120, 6, REPLICATES),
    ),
    "priming": Experiment(
        "Does dropout prime a net for pruning?",
        *(priming.report, priming.QUICK, "mnist1d", 65, 4, REPLICATES),
    ),
    "standing": Experiment(
        "Where does a ticket stand among random dropout and DropConnect subnetworks?",
        *(standing.report, standing.QUICK, "mnist1d", 90, 4, REPLICATES),
    ),
    "equal-cost": Experiment(
        "A ticket, T dropout subnetworks or the mean net, at equal cost?",
        *(equal_cost.report, equal_cost.QUICK, "mnist1d", 135, 6, REPLICATES),
    ),
    "inference": Experiment(
        "Supermasks and dropout: one sample, the average, the likeliest mask or the expected net?",
        *(inference.report, inference.QUICK, "mnist1d", 55, 4, REPLICATES),
    ),
    "overlap": Experiment(
        "Do trainings with and without dropout find the same ticket?",
        *(overlap.report, overlap.QUICK, "mnist1d", 130, 6, REPLICATES),
    ),
    "learned": Experiment(
        "Do keep probabilities that are learned, and annealed to 0 and 1, end in a ticket?",
        *(learned.report, learned.QUICK, "mnist1d", 85, 5, REPLICATES),
    ),
}

SETUPS: dict[str, dict[str, Any]] = {  # how nets are trained on it
    "digits": {"lr": 0.003, "steps": 4000},
    "mnist1d": {"lr": 0.003, "steps": 4000},
    "mnist": {"lr": 0.001, "steps": 4000},
}
QUICK_STEPS, QUICK_ROUNDS = 400, 3
LAWS_REMARK = """
One layer of 3 inputs, 2 units and one example; z = h (M * W). Mean, standard deviation and correlation come from the one law,
M_ij = d_i c_ij, and the worst error is how far the list of all masks, run through the layer, is from it. Dropout and
DropConnect have the same mean and the same noise in each unit; dropout's is shared by the units. As a supermask grows
certain its noise goes, and what is left is a ticket: one mask. Equations (M6), (M21)."""
PARTS = "parts"  # the folder of what is kept


def run_link(options: Namespace, *, say: Callable[[str], None] = print) -> int:
    """Run what was asked for, and return the exit code.

    ``laws`` prints the one law and its corners, ``statement`` writes the statement of results of all experiments that have
    been run into a folder; everything else is ``run_collection``'s.

    Parameters
    ----------
    options : of the command line
    say : prints

    Returns
    -------
    0; what goes wrong is raised

    Raises
    ------
    ValueError
        There is no such experiment, or a folder for the site's page was named with anything but ``statement``.

    Examples
    --------
    >>> run_link(Namespace(name="laws"), say=lambda text: print(text.split()[0]))
    method
    One
    0
    """
    if options.name != "statement" and getattr(options, "docs", None) is not None:
        raise ValueError(
            f"--docs {options.docs} goes with statement alone: run {options.name} without it, then statement"
        )
    if options.name == "laws":
        say(text_table(HEADER, laws_table()))
        say(LAWS_REMARK)
        return 0
    if options.name == "statement":
        pages = [write_statement(options.out, list(EXPERIMENTS)), options.out / REPORT]
        if options.docs is not None:
            pages.append(write_docs(options.out, list(EXPERIMENTS), options.docs))
        say("\n".join(f"Written to {page}" for page in pages))
        return 0
    code = run_collection(collection(options.out), options, say=say)
    if options.name == "list":
        say("\nThey share their trainings: all of them together take about 6 minutes on one core, not the sum.")
        say("numpynet link laws        the one law over masks, and its corners, as a small table")
        say("numpynet link statement   what all of them have found, when they have been run")
    return code


def collection(folder: Path | None = None) -> Collection:
    """Return the experiments of this command; finished trainings are kept in the folder.

    Parameters
    ----------
    folder : of the run, or None to keep nothing

    Returns
    -------
    Collection

    Examples
    --------
    >>> collection().command
    'link'
    """
    steps = {name: how["steps"] for name, how in SETUPS.items()}
    return Collection("link", EXPERIMENTS, partial(setup_of, folder=folder), steps, prepare=prepare)


def setup_of(data, *, quick: bool, folder: Path | None = None) -> Bench:
    """Return how nets are trained on a data set; finished trainings are kept in the folder.

    Parameters
    ----------
    data : a data set of ``SETUPS``
    quick : whether to train and prune little, to see whether it runs
    folder : of the run, or None to keep nothing

    Returns
    -------
    the bench

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> bench = setup_of(load_digits(), quick=True, folder=Path("runs"))
    >>> bench.steps, bench.folder.name
    (400, 'parts')
    """
    parts = None if folder is None else folder.absolute() / PARTS  # a worker may have been started in another folder
    bench = bench_of(data, folder=parts, **SETUPS[data.name])
    return bench._replace(steps=QUICK_STEPS, rounds=QUICK_ROUNDS) if quick else bench


def prepare(bench: Bench, seeds: Sequence[int], where: Mapping[str, Any]) -> None:
    """Find the tickets that most experiments need, before these are run at once; they are kept in the folder.

    Parameters
    ----------
    bench : of ``setup_of``
    seeds : one for each of R replicates
    where : ``workers`` or ``scheduler``, see ``numpynet.experiments.setup.measure_each``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> prepare(bench_of(load_digits(), hidden=(8,), steps=6, rounds=1), [0, 1], {})
    """
    conditions = [(bench, seeds, keep_prob) for keep_prob in (1.0, KEEP_PROB)]
    measure_each(ladder, conditions, "tickets", (bench.rounds + 1) * bench.steps, where)
