"""``numpynet dropout``: which experiments there are, and what they cost."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from numpynet.experiments import (
    averaging,
    coadaptation,
    data_size,
    keep_prob_sweep,
    penalties,
    sparse_variational,
    sparsity,
    training_cost,
    uncertainty,
)
from numpynet.experiments.command import Collection, Experiment, run_collection
from numpynet.experiments.setup import Setup

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
    "sparse-variational": Experiment(
        "Can dropout prune: does a net that learns its noise know which weights it needs?",
        *(sparse_variational.report, sparse_variational.QUICK, "digits", 45, 5),
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

SETUPS: dict[str, dict[str, Any]] = {  # how nets are trained on it
    "digits": {"lr": 0.003, "steps": 2000},
    "mnist1d": {"lr": 0.003, "steps": 2000},
    "mnist": {"lr": 0.001, "steps": 1200},
}
QUICK_STEPS = 300


def run_dropout(options: Namespace, *, say: Callable[[str], None] = print) -> int:
    """List the experiments, or run one or all of them, and return the exit code; see ``run_collection``.

    Parameters
    ----------
    options : what ``numpynet dropout`` parsed
    say : where the text goes, line by line

    Returns
    -------
    The exit code.

    Examples
    --------
    >>> run_dropout(Namespace(name="list"), say=lambda text: print(*text.split()[:4]))
    name seconds quick data
    0
    """
    return run_collection(collection(), options, say=say)


def collection() -> Collection:
    """Return the experiments of this command.

    Examples
    --------
    >>> collection().command
    'dropout'
    """
    return Collection("dropout", EXPERIMENTS, setup_of, {name: how["steps"] for name, how in SETUPS.items()})


def setup_of(data, *, quick: bool) -> Setup:
    """Return how nets are trained on a data set.

    Parameters
    ----------
    data : a Dataset with a name of ``SETUPS``
    quick : whether to train for ``QUICK_STEPS`` only

    Returns
    -------
    Setup

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> setup_of(load_digits(), quick=True).steps
    300
    """
    setup = Setup(data, **SETUPS[data.name])
    return setup._replace(steps=QUICK_STEPS) if quick else setup
