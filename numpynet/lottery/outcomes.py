"""What a training of the experiment is watched for, and the numbers that are kept of it.

Only the validation examples decide anything: the early stop is where their loss is smallest, read off afterwards. The test
examples are looked at and never chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numpynet.data.dataset import Split
from numpynet.lottery.experiment import Examples
from numpynet.lottery.imp import Trained
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning import alive_counts, layer_densities, reachable, weight_density
from numpynet.pruning.compact_training import train_compacted
from numpynet.storage import digest
from numpynet.training import Record, TrainingState, early_stop, evaluate, train

LAST_PART = 0.05  # of the budget: who stops there might have gone on, had there been more steps


def watched(
    state: TrainingState,
    examples: Examples,
    *,
    test_curve: bool = True,
    compact: bool = False,
    on_step: Callable[[int], None] | None = None,
    until: int | None = None,
) -> Iterator[Record]:
    """Train, and yield records with the loss and accuracy on the validation and the test examples.

    Parameters
    ----------
    state : it changes, see ``numpynet.training.train``
    examples : what to train on, and what to watch
    test_curve : False evaluates the test set only for those replicates whose validation loss is smaller than ever
        before, and at the last step; elsewhere its numbers are None. The early stop and its test accuracy are the same.
    compact : whether to train without the units that nobody hears, see ``train_compacted``
    on_step, until : see ``train``

    Yields
    ------
    record : losses and accuracies of all replicates, see ``Record``

    Examples
    --------
    >>> from numpynet.lottery.experiment import Experiment, load_examples
    >>> from numpynet.training import begin
    >>> experiment = Experiment(data="digits", sizes=(64, 10), validation=200, steps=4, evaluate_every=2)
    >>> examples = load_examples(experiment)
    >>> state = begin(experiment.net(), experiment.plan(), examples.train, seed=[0, 1])
    >>> [record.step for record in watched(state, examples, test_curve=False)]
    [0, 2, 4]
    """
    monitors = {"validation": examples.validation} | ({"test": examples.test} if test_curve else {})
    total = state.plan.total_steps(len(examples.train.x))
    way = train_compacted if compact else train
    for record in way(state, examples.train, monitors=monitors, on_step=on_step, until=until):
        if not test_curve:
            _look_at_test(state, record, examples.test, everyone=record.step == total)
        yield record


def _look_at_test(state: TrainingState, record: Record, test: Split, *, everyone: bool) -> None:
    """Add the test numbers of those replicates that have a new minimum of the validation loss."""
    losses = np.array([r.loss["validation"] for r in state.history])  # (S, R)
    new = np.ones(losses.shape[1], bool) if len(losses) == 1 or everyone else losses[-1] < losses[:-1].min(axis=0)
    found: tuple[list, list] = ([None] * len(new), [None] * len(new))
    chosen = np.flatnonzero(new)
    if chosen.size:
        theta = Parameters(state.theta.vector[chosen], state.theta.layout)
        for values, numbers in zip(found, evaluate(state.net, theta, test, loss=state.plan.loss)):
            for r, number in zip(chosen, numbers):
                values[r] = number
    record.loss["test"], record.accuracy["test"] = found


def live_units(weight_mask: Parameters) -> list[int]:
    """Return how many units of each hidden layer lie on a path from an input to an output.

    Parameters
    ----------
    weight_mask : of one network

    Returns
    -------
    a count for each hidden layer, from the input on

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> live_units(Parameters.ones(Layout.of_sizes((2, 3, 4, 1))))
    [3, 4]
    """
    hears, heard = reachable(weight_mask)
    return [int((a & b).sum()) for a, b in zip(hears[1:-1], heard[1:-1])]


def summaries(
    net: MLP, trained: Trained, examples: Examples, *, level: int, arm: str, draw: int
) -> list[dict[str, Any]]:
    """Return for each replicate what the experiment keeps of a training; plain numbers and text.

    Parameters
    ----------
    net, trained, examples : what was trained, how it ended, on what
    level, arm, draw : which training of the experiment it was

    Returns
    -------
    a dict for each replicate; losses in nats, accuracies and densities in shares, stop_step in steps

    Examples
    --------
    >>> from numpynet.lottery.experiment import Experiment, load_examples
    >>> from numpynet.training import begin
    >>> experiment = Experiment(data="digits", sizes=(64, 10), validation=200, steps=4, evaluate_every=2)
    >>> examples, net = load_examples(experiment), experiment.net()
    >>> mask = Parameters.ones(net.layout, replicates=(1,))
    >>> state = begin(net, experiment.plan(), examples.train, seed=[0], weight_mask=mask)
    >>> _ = list(watched(state, examples))
    >>> kept = summaries(net, Trained(state.theta, mask, state.history), examples, level=0, arm="ticket", draw=0)[0]
    >>> kept["ranked_at_step"], kept["stop_step"], kept["censored"], kept["density"]
    (4, 4, True, 1.0)
    """
    history, total = trained.history, trained.history[-1].step
    train_loss, train_accuracy = evaluate(net, trained.theta, examples.train)
    rows = []
    for r in range(len(train_accuracy)):
        mask, last = trained.weight_mask.replicate(r), history[-1]
        stop = early_stop(history, "validation", replicate=r)
        at = {
            f"{split}_{what}_{when}": of[split][r]
            for when, record in (("stop", stop), ("end", last))
            for what, of in (("loss", record.loss), ("accuracy", record.accuracy))
            for split in ("validation", "test")
        }
        rows.append(
            {
                "level": level,
                "arm": arm,
                "draw": draw,
                "density": weight_density(mask),
                "alive": alive_counts(mask),
                "layer_density": layer_densities(mask),
                "live_units": live_units(mask),
                "stop_step": stop.step,
                "censored": bool(stop.step >= (1 - LAST_PART) * total),
                **at,
                "train_loss_end": train_loss[r],
                "train_accuracy_end": train_accuracy[r],
                "ranked_at_step": total,
                "mask_digest": digest(mask.vector),
                "theta_digest": digest(trained.theta.vector[r]),
            }
        )
    return rows
