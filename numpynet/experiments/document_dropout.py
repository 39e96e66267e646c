"""The first code example of a widely read article, dropout, put right, beside what it does as printed.

The article (in Chinese: "Dropout and the Lottery Ticket Hypothesis") defines a net d-500-10 and a module Dropout, and
trains for ten epochs with SGD. As printed the module cannot be run, and once it runs it does not drop anything:
it returns the random bits themselves. Here is what was meant, and each misbehaviour beside it, with numbers:

    numpynet document dropout

Every function below that is named after a mistake makes it on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numpynet.data import load_digits
from numpynet.data.dataset import Dataset, Split
from numpynet.equations.dropout import inverted_dropout_backward, inverted_dropout_forward
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.equations.masks import sample_mask
from numpynet.experiments.publish import Report, Table
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.seeding import streams

ARTICLE = '"Dropout and the Lottery Ticket Hypothesis: Exploring the Connection", juejin.cn/post/7315117097151021065'
HIDDEN, EPOCHS, BATCH, LR, KEEP_PROB = 500, 10, 64, 0.01, 0.5


# ---- what was meant --------------------------------------------------------------------------------------------------


def train_as_meant(
    data: Dataset,
    *,
    hidden: int = HIDDEN,
    epochs: int = EPOCHS,
    keep_prob: float = KEEP_PROB,
    lr: float = LR,
    seed: int = 0,
) -> tuple[MLP, Parameters]:
    """Train d-500-K with dropout on the hidden layer, step by step, as the article's loop meant to.   Equation (B1)

    Everything that the example leaves out is here: the data, a seed, flattened inputs, the mask times the activations,
    the scale 1 / q, the gradient through the mask, and evaluation without masks (by whoever calls ``net.predict``).

    Parameters
    ----------
    data : training examples in [0, 1], (N, d), and labels
    hidden : units of the hidden layer
    epochs : passes over the data
    keep_prob : q of the hidden layer
    lr : learning rate of plain SGD, constant
    seed : of initial weights, batches and masks

    Returns
    -------
    net, theta : the network and its parameters at the end

    Examples
    --------
    >>> data = load_digits()
    >>> net, theta = train_as_meant(data, hidden=20, epochs=2, keep_prob=0.8, lr=0.1)
    >>> (net.predict(theta, data.test.x) == data.test.y).mean() > 0.5
    np.True_
    """
    random = streams(seed)
    net = MLP((data.train.x.shape[1], hidden, data.n_classes), keep_prob=keep_prob)
    theta = net.init(random.init)
    for _ in range(epochs):
        order = random.batches.permutation(len(data.train.x))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            x, y = data.train.x[rows], data.train.y[rows]  # (B, d), (B,)
            unit_masks = net.sample_unit_masks(random.dropout, (len(x),))  # a fresh mask for every example
            logits, caches = net.forward(theta, x, unit_masks=unit_masks)
            _, cache = softmax_cross_entropy_forward(logits, y)
            gradients = net.backward(softmax_cross_entropy_backward(1.0, cache), caches)
            theta.vector[:] -= lr * gradients.vector
    return net, theta


# ---- the mistakes ----------------------------------------------------------------------------------------------------


def dropout_that_returns_the_mask(h: np.ndarray, drop_prob: float, rng: np.random.Generator) -> np.ndarray:
    """The article's module without its reshape: random bits in place of the masked values.   Equation (D29)

    Parameters
    ----------
    h : (..., d); only its shape and dtype are used, and that is the mistake
    drop_prob : probability of a 0; the article's own p
    rng : to draw from

    Returns
    -------
    0 or 1, in shape and dtype of h.

    Examples
    --------
    >>> dropout_that_returns_the_mask(np.array([[5.0, -7.0, 9.0]]), 0.5, np.random.default_rng(0))
    array([[0., 1., 1.]])
    """
    return (rng.random(h.shape) < 1 - drop_prob).astype(h.dtype)  # h is not read


def dropout_as_printed(h: np.ndarray, drop_prob: float, rng: np.random.Generator) -> np.ndarray:
    """The article's module line by line: rows of 784, overwritten in place by random bits, the shape put back.

    Parameters
    ----------
    h : (N, d), contiguous; it is overwritten, as the printed module overwrites its input
    drop_prob : probability of a 0; the article's own p
    rng : to draw from

    Returns
    -------
    A view of h, 0 or 1.

    Raises
    ------
    ValueError
        Unless the number of entries is a multiple of 784: the first batch of 10 logits that fits has 392 examples.

    Examples
    --------
    >>> dropout_as_printed(np.zeros((64, 10)), 0.5, np.random.default_rng(0))
    Traceback (most recent call last):
    ...
    ValueError: cannot reshape array of size 640 into shape (784)
    """
    view = h.reshape(-1, 784)
    view[:] = rng.random(view.shape) < 1 - drop_prob  # h itself is overwritten: the view shares its memory
    return view.reshape(h.shape)


def dropout_without_scale(h: np.ndarray, keep_prob: float, rng: np.random.Generator) -> np.ndarray:
    """D * h without 1 / q, and nothing done about it in evaluation: the mean of an activation is not kept.

    Parameters
    ----------
    h : (..., d)
    keep_prob : q
    rng : to draw from

    Returns
    -------
    In shape and dtype of h.

    Examples
    --------
    >>> dropout_without_scale(np.ones((1, 4)), 0.5, np.random.default_rng(1))
    array([[0., 0., 1., 0.]])
    """
    return h * sample_mask(rng, h.shape, keep_prob, dtype=h.dtype)


# ---- what they cost, in closed form ----------------------------------------------------------------------------------


def returned_mask_loss(n_classes: int, keep_prob: float) -> float:
    """Return the expected cross-entropy of random bits as logits: sum_k C(K,k) q^k (1-q)^(K-k) ln(k e + K - k) - q.   Equation (D29)

    No input, no weight and no label enters: nothing can be learned.

    Parameters
    ----------
    n_classes : K
    keep_prob : q

    Returns
    -------
    Nats for one example.

    Examples
    --------
    >>> round(returned_mask_loss(10, 0.5), 6), round(returned_mask_loss(10, 0.8), 6), round(math.log(10), 6)
    (2.411681, 2.363054, 2.302585)
    """
    K, q = n_classes, keep_prob
    log_sums = (math.comb(K, k) * q**k * (1 - q) ** (K - k) * math.log(k * math.e + K - k) for k in range(K + 1))
    return sum(log_sums) - q


def logit_dropout_floor(n_classes: int, drop_prob: float) -> float:
    """Return the smallest expected cross-entropy of any net with dropout on its logits: r E ln(1 + Bin(K - 1, r)).   Equation (D28)

    Where the right logit is dropped it is 0, and so are those of the r (K - 1) others that are dropped with it; the best
    that a net can do is to send all wrong logits to minus infinity.

    Parameters
    ----------
    n_classes : K
    drop_prob : r = 1 - q

    Returns
    -------
    Nats for one example.

    Examples
    --------
    >>> [round(logit_dropout_floor(10, r), 6) for r in (0.5, 0.2, 0.7)]
    [0.831232, 0.185445, 1.377806]
    """
    n, r = n_classes - 1, drop_prob
    return r * sum(math.comb(n, k) * r**k * (1 - r) ** (n - k) * math.log(1 + k) for k in range(n + 1))


def logit_dropout_loss(logits: np.ndarray, labels: np.ndarray, keep_prob: float, *, scaled: bool = False) -> float:
    """Return the expected cross-entropy with dropout on the logits, all 2^K masks of a row run through.   Equation (D1)

    Parameters
    ----------
    logits : (N, K)
    labels : (N,)
    keep_prob : q
    scaled : whether kept logits are divided by q

    Returns
    -------
    Nats, the mean over the rows.

    Examples
    --------
    >>> far = np.where(np.arange(10) == 3, 60.0, -60.0)[None]
    >>> round(logit_dropout_loss(far, np.array([3]), 0.5), 6)                                     # the floor
    0.831232
    """
    K = logits.shape[-1]
    masks = (np.arange(2**K)[:, None] >> np.arange(K) & 1).astype(logits.dtype)  # (2^K, K)
    kept = masks.sum(axis=1)
    probability = keep_prob**kept * (1 - keep_prob) ** (K - kept)
    dropped = masks[:, None, :] * logits / (keep_prob if scaled else 1.0)  # (2^K, N, K)
    return float(probability @ softmax_cross_entropy_forward(dropped, labels)[0])


# ---- trainings with the mistakes -------------------------------------------------------------------------------------


class Training(NamedTuple):
    """What a training with a mistake ended with."""

    moved: float  # the largest change of any parameter
    losses: list[float]  # of every step, as the loop sees it
    late_losses: list[float]  # the last fifth of them
    evaluation_loss: float  # without masks, on the training examples


def train_with_the_mask_returned(split: Split, net: MLP, *, steps: int, lr: float, seed: int = 0) -> Training:
    """Train as the example does once it runs: the loss sees random bits, and no gradient passes through them.   Equation (D29)

    The gradient of the bits with respect to the logits is 0, so that of every parameter is.

    Parameters
    ----------
    split : the examples
    net : with no dropout of its own
    steps : of gradient descent on all examples
    lr : learning rate, constant
    seed : of initial weights and bits

    Returns
    -------
    Training; nothing has moved in it

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> split = Split(rng.random((20, 3)), rng.integers(0, 4, 20))
    >>> train_with_the_mask_returned(split, MLP((3, 5, 4)), steps=5, lr=0.1).moved
    0.0
    """

    def forward(logits, rng):
        return dropout_that_returns_the_mask(logits, 1 - KEEP_PROB, rng), np.zeros_like

    return _train(split, net, forward, steps, lr, seed)


def train_with_logit_dropout(
    split: Split, net: MLP, *, keep_prob: float, steps: int, lr: float, seed: int = 0
) -> Training:
    """Train with dropout done right, but on the logits, as the article places it.   Equation (D28)

    Parameters
    ----------
    split : the examples
    net : with no dropout of its own
    keep_prob : q of the logits
    steps : of gradient descent on all examples
    lr : learning rate, constant
    seed : of initial weights and masks

    Returns
    -------
    Training

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> split = Split(rng.random((20, 3)), rng.integers(0, 4, 20))
    >>> train_with_logit_dropout(split, MLP((3, 5, 4)), keep_prob=0.8, steps=5, lr=0.1).moved > 0
    True
    """

    def forward(logits, rng):
        mask = sample_mask(rng, logits.shape, keep_prob, dtype=logits.dtype)
        dropped, cache = inverted_dropout_forward(logits, mask, keep_prob)
        return dropped, lambda dy: inverted_dropout_backward(dy, cache)

    return _train(split, net, forward, steps, lr, seed)


def train_with_hidden_dropout(split: Split, net: MLP, *, steps: int, lr: float, seed: int = 0) -> Training:
    """Train with dropout where it belongs: on the hidden activations, by the net's own keep_prob.   Equation (B1)

    Parameters
    ----------
    split : the examples
    net : with dropout on its hidden layers
    steps : of gradient descent on all examples
    lr : learning rate, constant
    seed : of initial weights and masks

    Returns
    -------
    Training

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> split = Split(rng.random((20, 3)), rng.integers(0, 4, 20))
    >>> train_with_hidden_dropout(split, MLP((3, 5, 4), keep_prob=0.8), steps=5, lr=0.1).moved > 0
    True
    """
    return _train(split, net, lambda logits, rng: (logits, lambda dy: dy), steps, lr, seed)


def _train(split: Split, net: MLP, on_logits: Callable, steps: int, lr: float, seed: int) -> Training:
    """Gradient steps on the whole split; ``on_logits`` stands between net and loss, and returns its way back."""
    random = streams(seed)
    theta = net.init(random.init, dtype=np.float64)
    start, losses = theta.copy(), []
    for _ in range(steps):
        unit_masks = (
            net.sample_unit_masks(random.dropout, (len(split.x),), dtype=np.float64) if net.has_dropout else None
        )
        logits, caches = net.forward(theta, split.x, unit_masks=unit_masks)
        seen, back = on_logits(logits, random.dropout)
        loss, cache = softmax_cross_entropy_forward(seen, split.y)
        losses.append(float(loss))
        gradients = net.backward(back(softmax_cross_entropy_backward(1.0, cache)), caches)
        theta.vector[:] -= lr * gradients.vector
    evaluation, _ = softmax_cross_entropy_forward(net.forward(theta, split.x)[0], split.y)
    last = losses[-max(1, steps // 5) :]
    return Training(float(np.abs(theta.vector - start.vector).max()), losses, last, float(evaluation))


# ---- side by side ----------------------------------------------------------------------------------------------------


class Mistake(NamedTuple):
    """One mistake of a printed example beside the right version."""

    what: str
    wrong: str
    right: str


def side_by_side(seed: int = 0, *, steps: int = 1500) -> list[Mistake]:
    """Reproduce what goes wrong in the example, each beside what is right.   Equations (B1), (D28) and (D29)

    Parameters
    ----------
    seed : of all draws
    steps : of the trainings with dropout on the logits and on the hidden layer

    Returns
    -------
    One ``Mistake`` for each row of the table, its figures as text.

    Examples
    --------
    >>> [mistake.what for mistake in side_by_side(steps=5)][:2]
    ['entries of the output', 'output for h and for 0 h, one seed']
    """
    rng = np.random.default_rng(seed)
    h = rng.uniform(0.2, 0.8, (392, 10))  # 3920 entries, a multiple of 784: the example runs
    bits = dropout_that_returns_the_mask(h, 0.5, np.random.default_rng(seed))
    bits_of_0 = dropout_that_returns_the_mask(0 * h, 0.5, np.random.default_rng(seed))
    mask = sample_mask(np.random.default_rng(seed), h.shape, KEEP_PROB, dtype=h.dtype)
    right, _ = inverted_dropout_forward(h, mask, KEEP_PROB)
    overwritten, before = h.copy(), h.copy()
    dropout_as_printed(overwritten, 0.5, rng)
    inverted_dropout_forward(before, mask, KEEP_PROB)
    unscaled = dropout_without_scale(h, KEEP_PROB, np.random.default_rng(seed))

    x = np.eye(10).repeat(20, axis=0)  # ten classes that anybody can tell apart
    separable = Split(x, np.arange(10).repeat(20))
    returned = train_with_the_mask_returned(separable, MLP((10, 30, 10)), steps=200, lr=0.5, seed=seed)
    on_logits = train_with_logit_dropout(
        separable, MLP((10, 30, 10)), keep_prob=KEEP_PROB, steps=steps, lr=1.0, seed=seed
    )
    on_hidden = train_with_hidden_dropout(
        separable, MLP((10, 30, 10), keep_prob=KEEP_PROB), steps=steps, lr=1.0, seed=seed
    )

    logits, labels = rng.standard_normal((20, 10)), rng.integers(0, 10, 20)
    shifted = [logit_dropout_loss(logits + c, labels, KEEP_PROB) for c in (0, 3)]
    plain = [float(softmax_cross_entropy_forward(logits + c, labels)[0]) for c in (0, 3)]
    return [
        Mistake(
            "entries of the output", f"{sorted(set(bits.ravel().tolist()))}", f"0 or h / q, up to {right.max():.2f}"
        ),
        Mistake("output for h and for 0 h, one seed", _same(bits, bits_of_0), _same(right, 0 * right)),
        Mistake("its argument afterwards", _kept(overwritten, h), _kept(before, h)),
        Mistake("runs with 64 examples of 10 logits", _runs(dropout_as_printed, rng), "yes"),
        Mistake("mean output / mean activation", f"{unscaled.mean() / h.mean():.3f}", f"{right.mean() / h.mean():.3f}"),
        Mistake("largest change of a parameter in 200 steps", f"{returned.moved:.3g}", f"{on_hidden.moved:.3g}"),
        Mistake(
            "mean loss of these steps (expected)",
            f"{_drawn(returned.losses)} ({returned_mask_loss(10, KEEP_PROB):.4f})",
            f"guessing: {math.log(10):.4f}",
        ),
        Mistake(
            f"training loss after {steps} steps, classes apart",
            f"{_drawn(on_logits.late_losses)} (expected: >= {logit_dropout_floor(10, 1 - KEEP_PROB):.6f})",
            _drawn(on_hidden.late_losses),
        ),
        Mistake("the same net in evaluation", f"{on_logits.evaluation_loss:.4f}", f"{on_hidden.evaluation_loss:.4f}"),
        Mistake(
            "loss after adding 3 to all logits",
            f"{shifted[0]:.4f} -> {shifted[1]:.4f}",
            f"{plain[0]:.4f} -> {plain[1]:.4f}",
        ),
    ]


def _drawn(losses: list[float]) -> str:
    """The mean of losses and its standard error; masks are drawn anew in each step, so their noise is uncorrelated."""
    error = f", standard error {np.std(losses, ddof=1) / math.sqrt(len(losses)):.4f}" if len(losses) > 1 else ""
    return f"{np.mean(losses):.4f}{error}"


def _same(a: np.ndarray, b: np.ndarray) -> str:
    return "the same" if np.array_equal(a, b) else "different"


def _kept(after: np.ndarray, before: np.ndarray) -> str:
    return "unchanged" if np.array_equal(after, before) else "overwritten"


def _runs(module: Callable, rng: np.random.Generator) -> str:
    try:
        module(np.zeros((64, 10)), 0.5, rng)
    except ValueError as error:
        return f"no: {error}"
    return "yes"


def report(seed: int = 0, *, hidden: int = HIDDEN, epochs: int = EPOCHS, steps: int = 1500) -> Report:
    """Train as the article meant to, and put every misbehaviour beside the right version.

    Parameters
    ----------
    seed : of all draws
    hidden : units of the hidden layer
    epochs : passes over the digits
    steps : of the trainings with dropout on the logits and on the hidden layer

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> [len(table.rows) for table in report(hidden=8, epochs=1, steps=5).tables]
    [2, 10]
    """
    data = load_digits()
    net, theta = train_as_meant(data, hidden=hidden, epochs=epochs, seed=seed)
    rows = [
        (name, f"{100 * (net.predict(theta, split.x) == split.y).mean():.1f}")
        for name, split in (("training", data.train), ("test", data.test))
    ]
    return Report(
        title="The article's example 4.1, dropout, put right",
        question="What does dropout do, what does the printed module do in its place, and how would one notice?",
        tables=[
            Table("As meant: dropout on the hidden layer, no masks in evaluation", ("examples", "accuracy %"), rows),
            Table(
                "As printed, and right",
                ("what", "as printed", "right"),
                [tuple(mistake) for mistake in side_by_side(seed, steps=steps)],
            ),
        ],
        remark="The printed module returns its random bits, not the activations times the bits: the input is not read, no "
        "gradient passes, and no parameter ever moves. The loss stays where random bits put it, above that of guessing.\n"
        "Repaired in that, it still does not divide by q, so that evaluation sees other activations than training did.\n"
        "Repaired in that too, it still stands behind the last layer: with half of the logits dropped no net can come below "
        f"an expected loss of {logit_dropout_floor(10, 0.5):.6f}, however well the classes are apart; the mean of the losses with "
        "drawn masks may, by its standard error. Dropout belongs on the hidden activations.\n"
        "The last row says why logits are another matter: a constant added to all of them changes no probability, until "
        "some are dropped.",
        pictures={},
        settings={
            "article": ARTICLE,
            "data": f"{data.name}: {len(data.train.x)} training and {len(data.test.x)} test examples. {data.source}",
            "net": f"{data.train.x.shape[1]}-{hidden}-{data.n_classes}, ReLU, hidden keep_prob {KEEP_PROB}, float32",
            "training": f"SGD {LR}, batch {BATCH}, {epochs} epochs",
            "mistakes": f"10-30-10, SGD 1, {steps} steps on ten classes that are apart",
            "seed": seed,
        },
    )
