"""The article's second example, a lottery ticket, put right, beside what it does as printed.

The example trains d-500-10, "prunes" both layers by a call that does not exist and with no amount, and trains again. What
was meant is in ``document_ticket_meant``, what the printed code does in ``document_ticket_mistakes``; here the two are
trained side by side, with the comparisons that a ticket needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpynet.data import load_digits
from numpynet.data.dataset import Dataset, Split
from numpynet.experiments.document_dropout import ARTICLE, BATCH, EPOCHS, HIDDEN, LR, Mistake
from numpynet.experiments.document_ticket_meant import RATE, ROUNDS, find_ticket, gradient, one_shot_rate, train_loop
from numpynet.experiments.document_ticket_mistakes import (
    revived,
    second_net_as_printed,
    start_without_rewinding,
    train_with_the_other_optimizer,
    train_without_the_mask,
    weights_left,
)
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import direction, paired, seeds_setting
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.progress import Progress
from numpynet.pruning import magnitude_mask
from numpynet.seeding import streams
from numpynet.statistics import t_interval


class Arms(NamedTuple):
    """Test accuracy and weights left of each way to train, one number for each seed."""

    accuracy: dict[str, list[float]]
    left: dict[str, list[float]]


DENSE, TICKET, OTHER_START = "dense net", "ticket", "same mask, other start"
FINE_TUNED, AS_PRINTED = "no rewinding", "no rewinding, no mask (as printed)"


def arms(
    data: Dataset,
    seeds: Sequence[int],
    *,
    hidden: int = HIDDEN,
    rounds: int = ROUNDS,
    epochs: int = EPOCHS,
    lr: float = LR,
) -> Arms:
    """Train the ticket and what it has to be compared with, and the two that the article's code may pass off as one.

    Parameters
    ----------
    data : training examples, and the test examples that accuracy is measured on
    seeds : (R,) one training of each arm for each
    hidden : units of the hidden layer
    rounds : of pruning
    epochs : of each training
    lr : learning rate of plain SGD, constant

    Returns
    -------
    Arms, with R numbers for each name

    Examples
    --------
    >>> found = arms(load_digits(), [0], hidden=8, rounds=1, epochs=1)
    >>> list(found.accuracy) == list(found.left) == [DENSE, TICKET, OTHER_START, FINE_TUNED, AS_PRINTED]
    True
    """
    net = MLP((data.train.x.shape[1], hidden, data.n_classes))
    names = (DENSE, TICKET, OTHER_START, FINE_TUNED, AS_PRINTED)
    found = Arms({name: [] for name in names}, {name: [] for name in names})
    progress = Progress("example 4.2", len(seeds))
    for done, seed in enumerate(seeds):
        progress.show(done)
        loop = {"epochs": epochs, "lr": lr, "seed": seed}
        theta_0, theta_T, mask = find_ticket(data, net, rounds=rounds, **loop)
        other = net.init(streams(seed).reinit)
        shot = magnitude_mask(
            theta_T, rate=one_shot_rate(RATE, rounds), output_rate=one_shot_rate(RATE / 2, rounds)
        )  # the article prunes once
        ends = {
            DENSE: theta_T,
            TICKET: train_loop(net, theta_0, data.train, weight_mask=mask, **loop),
            OTHER_START: train_loop(net, other, data.train, weight_mask=mask, **loop),
            FINE_TUNED: train_loop(net, start_without_rewinding(theta_T, shot), data.train, weight_mask=shot, **loop),
            AS_PRINTED: train_without_the_mask(net, theta_T, data.train, shot, **loop),
        }
        for name, theta in ends.items():
            found.accuracy[name].append(float((net.predict(theta, data.test.x) == data.test.y).mean()))
            found.left[name].append(weights_left(net, theta))
    progress.close()
    return found


def side_by_side(
    data: Dataset, seed: int = 0, *, hidden: int = HIDDEN, epochs: int = EPOCHS, lr: float = LR
) -> list[Mistake]:
    """Reproduce what goes wrong in the example, each beside what is right.   Equations (L4), (L16), (M16)

    Parameters
    ----------
    data : training examples
    seed : of all draws
    hidden : units of the hidden layer
    epochs : of each training
    lr : learning rate of plain SGD, constant

    Returns
    -------
    One ``Mistake`` for each row of the table, its figures as text.

    Examples
    --------
    >>> [mistake.what for mistake in side_by_side(load_digits(), hidden=8, epochs=1)][0]
    'survivors against theta_0, before the second loop'
    """
    net, loop = MLP((data.train.x.shape[1], hidden, data.n_classes)), {"epochs": epochs, "lr": lr, "seed": seed}
    theta_0 = net.init(streams(seed).init)
    theta_T = train_loop(net, theta_0, data.train, **loop)
    mask = magnitude_mask(theta_T, rate=one_shot_rate(RATE, ROUNDS), output_rate=one_shot_rate(RATE / 2, ROUNDS))
    one_step = {"epochs": 1, "lr": lr, "seed": seed}
    first_batch = Split(data.train.x[:BATCH], data.train.y[:BATCH])

    printed, rewound = start_without_rewinding(theta_T, mask), theta_0 * mask
    forgot = train_loop(net, printed, first_batch, **one_step)
    kept = train_loop(net, rewound, first_batch, weight_mask=mask, **one_step)
    before = theta_T.copy()
    forgot_long = train_without_the_mask(net, theta_T, data.train, mask, **loop)
    ticket = train_loop(net, theta_0, data.train, weight_mask=mask, **loop)

    dense, seconds = theta_T.copy(), [net.init(rng) for rng in (streams(seed).reinit, streams(seed).shuffle)]
    shared = second_net_as_printed(dense, seconds[0], mask)
    another = second_net_as_printed(theta_T.copy(), seconds[1], mask)
    unread = np.array_equal(shared.vector, another.vector)
    shared.vector[:] = forgot_long.vector  # the second loop moves what it was given: both nets
    accuracy = {
        name: f"{100 * (net.predict(theta, data.test.x) == data.test.y).mean():.1f} %"
        for name, theta in (("before", before), ("after", dense))
    }
    steps = 30
    other = train_with_the_other_optimizer(net, rewound.copy(), data.train, mask, steps=steps)
    moved = float(np.abs(ticket.vector - rewound.vector).max())
    one = float(np.linalg.norm(gradient(net, ticket, *first_batch[:2], mask).vector))
    return [
        Mistake(
            "survivors against theta_0, before the second loop",
            f"off by up to {_off(printed, theta_0, mask):.3f}",
            f"off by {_off(rewound, theta_0, mask):g}: bit for bit",
        ),
        Mistake(
            "pruned weights that are not 0 after one step",
            f"{100 * revived(forgot, mask):.1f} %",
            f"{100 * revived(kept, mask):g} %",
        ),
        Mistake(
            "weights left after the second loop",
            f"{100 * weights_left(net, forgot_long):.1f} %",
            f"{100 * weights_left(net, ticket):.1f} %, as pruned",
        ),
        Mistake(
            "arrays that the two nets share",
            "all: they are one net" if np.shares_memory(shared.vector, dense.vector) else "none",
            "some" if np.shares_memory(ticket.vector, theta_T.vector) else "none",
        ),
        Mistake(
            "the dense net after the second loop",
            f"gone: its accuracy {accuracy['before']} has become {accuracy['after']}",
            "as it was" if np.array_equal(theta_T.vector, before.vector) else "changed",
        ),
        Mistake(
            "the second net's own initial weights",
            "not read: any others give the same net" if unread else "used",
            "the control: same mask, other start",
        ),
        Mistake(
            "were they two: largest change by the first net's optimizer",
            f"{other.moved:g}",
            f"{moved:.3f}, by its own",
        ),
        Mistake(
            f"were they two: norm of the gradient after {steps} batches",
            f"{other.last_norm:.2f}, after one {other.first_norm:.2f}: never cleared",
            f"{one:.2f}, of one batch",
        ),
    ]


def report(seeds: Sequence[int] = (0, 1, 2, 3, 4), *, hidden: int = HIDDEN, epochs: int = EPOCHS) -> Report:
    """Put the example right on digits, and say what the printed one does instead.

    Parameters
    ----------
    seeds : one training of each arm for each; the first also shows the mistakes
    hidden : units of the hidden layer
    epochs : of each training

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> [len(table.rows) for table in report([0, 1], hidden=8, epochs=1).tables]
    [5, 8]
    """
    data = load_digits()
    found = arms(data, seeds, hidden=hidden, epochs=epochs)
    mistakes = side_by_side(data, seeds[0], hidden=hidden, epochs=epochs)
    density = t_interval(found.left[TICKET]).mean
    return Report(
        title="The article's example 4.2, a lottery ticket, put right",
        question="What is a lottery ticket, what does the printed code train in its place, and how would one notice?",
        tables=[
            Table(f"As meant: {ROUNDS} rounds of training, pruning and rewinding, and its comparisons", *_table(found)),
            Table(
                "As printed, once its call is repaired, and right",
                ("what", "as printed", "right"),
                [tuple(mistake) for mistake in mistakes],
            ),
        ],
        remark=_remark(found, density),
        pictures={},
        reading="Weights of pixels that are always 0 get no gradient: they stay what they are, 0 or not, in every column.",
        settings={
            "article": ARTICLE,
            "data": f"{data.name}: {len(data.train.x)} training and {len(data.test.x)} test examples. {data.source}",
            "net": f"{data.train.x.shape[1]}-{hidden}-{data.n_classes}, ReLU, Glorot normal, float32",
            "training": f"SGD {LR}, batch {BATCH}, {epochs} epochs, before and after pruning",
            "pruning": f"smallest magnitudes, {RATE:g} of the survivors per round, {RATE / 2:g} in the output layer, "
            f"{ROUNDS} rounds; as printed: the same share at once",
            **seeds_setting(seeds),
        },
    )


def _table(found: Arms) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (
            name,
            f"{100 * np.mean(found.left[name]):.1f}",
            t_interval(accuracy).text(),
            "" if name == DENSE else paired(accuracy, found.accuracy[DENSE]).text(sign=True),
        )
        for name, accuracy in found.accuracy.items()
    ]
    return ("trained", "weights left at the end %", "test accuracy %", "minus dense"), rows


def _remark(found: Arms, density: float) -> str:
    against = {name: direction(paired(found.accuracy[TICKET], found.accuracy[name])) for name in (DENSE, OTHER_START)}
    left = np.mean(found.left[AS_PRINTED])
    return (
        f"With {100 * density:.0f} % of its weights the ticket is, in test accuracy, {_than(against[DENSE])} the dense net "
        f"and {_than(against[OTHER_START])} the same mask with another start.\n"
        f"As printed the net that is called pruned ends with {100 * left:.0f} % of its weights: it is the dense net, trained "
        "for twice as long. A good accuracy of it says nothing about tickets.\n"
        "With the mask kept but without rewinding it is fine-tuning: a smaller net, from trained weights. That answers "
        "another question than whether the start was a good one.\n"
        "Because both nets are one, there is no dense net left to compare with, and the one fresh start that could have "
        "served as a control is thrown away.\n"
        "The call that is printed, prune.LinearPrune with L1_UNIFORM, does not exist in PyTorch (looked up in version 2.13), and no amount is given."
    )


def _than(where: str) -> str:
    return {"above": "above", "below": "below", "not told apart": "not told apart from"}[where]


def _off(theta: Parameters, theta_0: Parameters, weight_mask: Parameters) -> float:
    alive = weight_mask.vector == 1
    return float(np.abs(theta.vector - theta_0.vector)[alive].max())
