"""The article's second example, a lottery ticket, put right, beside what it does as printed.

The example trains d-500-10, "prunes" both layers by a call that does not exist and with no amount, and trains again. With
that call repaired it still finds no ticket: it never rewinds, keeps no mask of its own, and the second net is the first
one. What was meant is iterative pruning with rewinding, compared with the dense net and with another start.

Every function below that is named after a mistake makes it on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpynet.data import load_digits
from numpynet.data.dataset import Dataset, Split
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.experiments.document_dropout import ARTICLE, BATCH, EPOCHS, HIDDEN, LR, Mistake
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import direction, paired, seeds_setting
from numpynet.network import MLP
from numpynet.optimizers import Optimizer, update
from numpynet.parameters import Parameters
from numpynet.progress import Progress
from numpynet.pruning import magnitude_mask
from numpynet.seeding import streams
from numpynet.statistics import t_interval

RATE, ROUNDS = 0.2, 7  # the article gives no amount; a fifth per round, half of it in the output layer, leaves a fifth


# ---- what was meant --------------------------------------------------------------------------------------------------


def train_loop(
    net: MLP,
    start: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    epochs: int = EPOCHS,
    lr: float = LR,
    seed: int = 0,
) -> Parameters:
    """Train from a start, step by step with SGD, and return where it ends; the start stays as it is.   Equations (B1), (O1)

    With a mask the pruned weights are 0 in every forward pass and get the gradient 0, so they stay 0 (Equation (M16)).
    The order of the examples depends on the seed alone: two loops with one seed differ in what they begin with only.

    Parameters
    ----------
    net : without dropout
    start : theta at the beginning
    split : the examples
    weight_mask : M, in the form of theta; None prunes nothing
    epochs : passes over the data
    lr : learning rate of plain SGD, constant
    seed : of the order of the examples

    Returns
    -------
    theta at the end, a new vector.

    Examples
    --------
    >>> data = load_digits()
    >>> net = MLP((64, 20, 10))
    >>> theta_T = train_loop(net, net.init(streams(0).init), data.train, epochs=2, lr=0.1)
    >>> (net.predict(theta_T, data.test.x) == data.test.y).mean() > 0.5
    np.True_
    """
    theta = start.copy() if weight_mask is None else start * weight_mask
    batches = streams(seed).batches
    for _ in range(epochs):
        order = batches.permutation(len(split.x))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            theta.vector[:] -= lr * gradient(net, theta, split.x[rows], split.y[rows], weight_mask).vector
    return theta


def gradient(
    net: MLP, theta: Parameters, x: np.ndarray, y: np.ndarray, weight_mask: Parameters | None = None
) -> Parameters:
    """Return the gradient of the mean cross-entropy of a batch.   Equations (B2) to (B6)

    Parameters
    ----------
    net : without dropout
    theta : its parameters
    x : (N, d_0)
    y : (N,) labels
    weight_mask : M, in the form of theta; None prunes nothing

    Returns
    -------
    In the form of theta; exactly 0 at pruned weights.

    Examples
    --------
    >>> net = MLP((2, 3, 4))
    >>> gradient(net, Parameters.zeros(net.layout), np.ones((1, 2), np.float32), np.array([1]))["b2"]
    array([ 0.25, -0.75,  0.25,  0.25], dtype=float32)
    """
    logits, caches = net.forward(theta, x, weight_mask=weight_mask)
    _, cache = softmax_cross_entropy_forward(logits, y)
    return net.backward(softmax_cross_entropy_backward(1.0, cache), caches)


class Ticket(NamedTuple):
    """What the article looks for, and what it was found with."""

    theta_0: Parameters  # the start of the dense net, never touched
    theta_T: Parameters  # the dense net, trained
    weight_mask: Parameters


def find_ticket(
    data: Dataset,
    net: MLP,
    *,
    rounds: int = ROUNDS,
    rate: float = RATE,
    epochs: int = EPOCHS,
    lr: float = LR,
    seed: int = 0,
) -> Ticket:
    """Train, prune the smallest, rewind to theta_0, and again: what "find the best initial parameters" has to mean.   Equations (L2), (L3), (L4)

    The step that the article leaves out is ``start=theta_0``: every round trains mask * theta_0, not what was trained.

    Parameters
    ----------
    data : whose training examples are used
    net : without dropout
    rounds : of pruning
    rate : share of the surviving weights that goes in a round; in the output layer half as much
    epochs : of each training
    lr : learning rate of plain SGD, constant
    seed : of theta_0 and of the order of the examples

    Returns
    -------
    Ticket; the mask has not been trained with yet

    Examples
    --------
    >>> ticket = find_ticket(load_digits(), MLP((64, 10, 10)), rounds=2, epochs=1)
    >>> [int(ticket.weight_mask[name].sum()) for name in ("W1", "W2")]              # of 640 and 100
    [410, 81]
    """
    theta_0 = net.init(streams(seed).init)
    theta_T = dense = train_loop(net, theta_0, data.train, epochs=epochs, lr=lr, seed=seed)
    weight_mask = None
    for done in range(rounds):
        weight_mask = magnitude_mask(theta_T, weight_mask, rate=rate)
        if done + 1 < rounds:
            theta_T = train_loop(net, theta_0, data.train, weight_mask=weight_mask, epochs=epochs, lr=lr, seed=seed)
    return Ticket(theta_0, dense, weight_mask)


def one_shot_rate(rate: float, rounds: int) -> float:
    """Return the rate that removes in one shot what so many rounds remove, up to rounding.   Equation (L17)

    Parameters
    ----------
    rate : share of the survivors that goes in a round
    rounds : how many

    Returns
    -------
    Share of all weights that goes.

    Examples
    --------
    >>> round(one_shot_rate(0.2, 2), 2)
    0.36
    """
    return 1 - (1 - rate) ** rounds


# ---- the mistakes ----------------------------------------------------------------------------------------------------


def start_without_rewinding(theta_T: Parameters, weight_mask: Parameters) -> Parameters:
    """The second loop's start as printed: the trained weights, some of them zeroed. Nobody kept theta_0.   Equation (L16)

    Parameters
    ----------
    theta_T : trained parameters
    weight_mask : M, in the form of theta

    Returns
    -------
    A new vector in the form of theta.

    Examples
    --------
    >>> net = MLP((1, 1))
    >>> theta_T, mask = Parameters(np.array([5.0, 7.0]), net.layout), Parameters(np.array([0.0, 1.0]), net.layout)
    >>> start_without_rewinding(theta_T, mask).vector
    array([0., 7.])
    """
    return theta_T * weight_mask


def train_without_the_mask(net: MLP, start: Parameters, split: Split, weight_mask: Parameters, **loop) -> Parameters:
    """Zero the pruned weights once, then train as if nothing were pruned: the first step brings them back.   Equation (M4)

    Parameters
    ----------
    net : without dropout
    start : theta before it is masked
    split : the examples
    weight_mask : M, in the form of theta, used once
    **loop : epochs, lr and seed of ``train_loop``

    Returns
    -------
    theta at the end, a new vector.

    Examples
    --------
    >>> data, net = load_digits(), MLP((64, 10, 10))
    >>> theta_0 = net.init(streams(0).init)
    >>> mask = magnitude_mask(theta_0, rate=0.5)
    >>> theta = train_without_the_mask(net, theta_0, data.train, mask, epochs=1)
    >>> revived(theta, mask) > 0.8
    True
    """
    return train_loop(net, start * weight_mask, split, **loop)


def second_net_as_printed(first: Parameters, second: Parameters, weight_mask: Parameters) -> Parameters:
    """The second net, its layers replaced by those of the first: one set of arrays for both, pruned in place.

    The second net's own weights are not read: what it was initialised with is thrown away.

    Parameters
    ----------
    first : parameters of the first net; changed in place, and that is the mistake
    second : parameters of the second net, of the same form
    weight_mask : M, in the form of theta

    Returns
    -------
    ``first`` itself.

    Examples
    --------
    >>> net = MLP((1, 1))
    >>> first, mask = Parameters(np.array([5.0, 7.0]), net.layout), Parameters(np.array([0.0, 1.0]), net.layout)
    >>> pruned = second_net_as_printed(first, Parameters(np.array([2.0, 3.0]), net.layout), mask)
    >>> pruned is first, first.vector
    (True, array([0., 7.]))
    """
    first.vector[:] *= weight_mask.vector
    return first


class WithOtherOptimizer(NamedTuple):
    """What a loop ends with whose optimizer holds the parameters of another net."""

    moved: float  # the largest change of a parameter that was to be trained
    first_norm: float  # of its gradient after one batch
    last_norm: float  # and after all of them


def train_with_the_other_optimizer(
    net: MLP, pruned: Parameters, split: Split, weight_mask: Parameters, *, steps: int
) -> WithOtherOptimizer:
    """The second loop, were the nets two: the optimizer clears and moves the first net, and this one's gradients pile up.

    Parameters
    ----------
    net : without dropout
    pruned : parameters that are to be trained
    split : the examples
    weight_mask : M, in the form of theta
    steps : batches

    Returns
    -------
    WithOtherOptimizer

    Examples
    --------
    >>> data, net = load_digits(), MLP((64, 10, 10))
    >>> theta_0 = net.init(streams(0).init)
    >>> loop = train_with_the_other_optimizer(net, theta_0, data.train, magnitude_mask(theta_0, rate=0.5), steps=5)
    >>> loop.moved, loop.last_norm > 4 * loop.first_norm
    (0.0, True)
    """
    before, norms = pruned.copy(), []
    total = Parameters.zeros(net.layout, dtype=pruned.dtype)
    for step in range(steps):
        rows = np.arange(step * BATCH, (step + 1) * BATCH) % len(split.x)
        total.vector[:] += gradient(net, pruned, split.x[rows], split.y[rows], weight_mask).vector  # never cleared
        norms.append(float(np.linalg.norm(total.vector)))
        # Here the optimizer steps, with the parameters of the first net.
    return WithOtherOptimizer(float(np.abs(pruned.vector - before.vector).max()), norms[0], norms[-1])


# ---- what can be counted ---------------------------------------------------------------------------------------------


def revived(theta: Parameters, weight_mask: Parameters) -> float:
    """Return the share of pruned weights that are not 0.

    Parameters
    ----------
    theta : any parameters
    weight_mask : M, in the form of theta, with at least one 0

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> net = MLP((2, 2))
    >>> mask = Parameters(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), net.layout)
    >>> revived(Parameters(np.array([0.0, 3.0, 1.0, 1.0, 1.0, 1.0]), net.layout), mask)
    0.5
    """
    pruned = weight_mask.vector == 0
    return float((theta.vector[pruned] != 0).mean())


def revived_by_one_step(
    net: MLP, start: Parameters, split: Split, weight_mask: Parameters, optimizer: Optimizer, *, lr: float = LR
) -> float:
    """Return the share of pruned weights that are not 0 after a single step without a mask, with any optimizer.   Equation (M16)

    Parameters
    ----------
    net : without dropout
    start : theta before it is masked
    split : all of it is the batch
    weight_mask : M, in the form of theta, with at least one 0
    optimizer : that makes the step, with a fresh state
    lr : learning rate

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> from numpynet.optimizers import SGD
    >>> net, split = MLP((2, 3)), Split(np.ones((4, 2)), np.array([0, 1, 1, 2]))
    >>> theta = net.init(streams(0).init, dtype=np.float64)
    >>> revived_by_one_step(net, theta, split, magnitude_mask(theta, rate=0.5, output_rate=0.5), SGD())
    1.0
    """
    theta = start * weight_mask
    gradients = gradient(net, theta, split.x, split.y)
    update(theta, gradients, optimizer, optimizer.init(theta.vector), lr)
    return revived(theta, weight_mask)


def weights_left(net: MLP, theta: Parameters) -> float:
    """Return the share of weights (not biases) that are not 0.

    Parameters
    ----------
    net : whose layout says which are weights
    theta : its parameters

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> net = MLP((2, 2))
    >>> weights_left(net, Parameters(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), net.layout))
    0.5
    """
    weights = np.concatenate([theta[name].ravel() for name in net.layout.weight_names])
    return float((weights != 0).mean())


# ---- side by side ----------------------------------------------------------------------------------------------------


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
