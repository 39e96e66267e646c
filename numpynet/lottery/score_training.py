"""The training of a mask: the weights are frozen, the scores learn.

One loop for every law of a learned mask (``Bernoulli``, ``EdgePopup``): draw what the law needs, make the mask, run the
net on W_eff, hand the dense gradient back to the law, and let an ordinary optimizer move the scores. Examples and dropout
masks come in the order of an ordinary training of the same plan and seed.

How a learned mask is evaluated must be said. ``sampled`` is the mean accuracy of several draws (the published choice),
``threshold`` takes the weights that are more likely in than out, ``expected`` scales each by its probability, as weight
scaling does for dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.lottery.edge_popup import EdgePopup
from numpynet.lottery.supermasks import (
    Bernoulli,
    keep_probabilities,
    sample_supermask,
    supermask_forward,
    threshold_supermask,
)
from numpynet.network import MLP
from numpynet.optimizers import update
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.seeding import stream
from numpynet.training import Number, TrainingDiverged, begin, draw_step, evaluate

MaskLaw = Bernoulli | EdgePopup


class Learned(NamedTuple):
    """What is known of the scores after a number of steps."""

    step: int
    batch_loss: Number | None  # mean since the last record, masks and all; None before the first step
    scores: Parameters  # a copy


def learn_scores(
    law: MaskLaw,
    net: MLP,
    plan: TrainingPlan,
    theta: Parameters,
    train_split: Split,
    *,
    seed: int | Sequence[int] = 0,
    on_step: Callable[[int], None] | None = None,
) -> Iterator[Learned]:
    """Learn which of the frozen weights to use, and yield the scores at the start, now and then, and at the end.

    Equations (P13) and (P15). The optimizer of the plan moves the scores; its decay pulls on them, and its initializer
    is not used.

    Parameters
    ----------
    law : ``Bernoulli()`` or ``EdgePopup(density)``
    net, plan : as for ``numpynet.training.begin``
    theta : the weights and biases, which do not change
    train_split, seed : as for ``numpynet.training.begin``; seeds of R replicates are learned in one stack
    on_step : called with the number of completed steps

    Yields
    ------
    what is learned : at step 0, every ``evaluate_every`` steps (an epoch without it), and at the last step

    Raises
    ------
    TypeError, ValueError
        As for ``begin``.
    TrainingDiverged
        The loss or a score is not finite.

    References
    ----------
    Zhou et al. (2019) for ``Bernoulli``, Ramanujan et al. (2020) for ``EdgePopup``.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.optimizers import Adam
    >>> data, net = load_digits(), MLP((64, 30, 10))
    >>> plan = TrainingPlan(epochs=3, optimizer=Adam(), schedule=0.1)
    >>> theta = 1.4 * net.init(np.random.default_rng(0))
    >>> *_, last = learn_scores(Bernoulli(), net, plan, theta, data.train)
    >>> evaluate_scores(net, theta, last.scores, data.test, "expected")[1] > 0.6                    # chance is 0.1
    True
    """
    state = begin(net, plan, train_split, seed=seed, theta_0=theta)
    theta, layout, n_train = state.theta, net.layout, len(train_split.x)
    stacked = bool(theta.replicates)
    rngs = [stream(s, "supermask") for s in (state.seed if stacked else (state.seed,))]
    starts = [law.start(rng, layout, dtype=theta.dtype).vector for rng in rngs]
    scores = Parameters(np.stack(starts) if stacked else starts[0].copy(), layout)
    memory = plan.optimizer.init(scores.vector)
    total, every = plan.total_steps(n_train), plan.evaluate_every or plan.steps_per_epoch(n_train)
    loss_sum, count = np.zeros(theta.replicates), 0
    yield Learned(0, None, scores.copy())
    while state.step < total:
        step_net, batch, unit_masks = draw_step(state, n_train)
        drawn = [law.draw(rng, layout) for rng in rngs]
        uniform = None if drawn[0] is None else np.stack(drawn) if stacked else drawn[0]
        effective, cache = supermask_forward(theta, law.mask(scores, uniform), rescale=law.rescale)
        x, y = train_split.x[batch], train_split.y[batch]
        with np.errstate(over="ignore", invalid="ignore"):  # said in words below
            logits, caches = step_net.forward(effective, x, unit_masks=unit_masks, trusted=True)
            loss, loss_cache = plan.loss.forward(logits, y)
        if not np.isfinite(loss).all():
            raise TrainingDiverged(
                f"the loss is {np.asarray(loss).tolist()} at step {state.step + 1} of learning a mask"
            )
        G = step_net.backward(plan.loss.backward(1.0, loss_cache), caches)
        lr = float(plan.schedule(state.step))
        update(scores, law.backward(G, scores, cache), plan.optimizer, memory, lr, decay=plan.decay)
        state.step += 1
        loss_sum, count = loss_sum + loss, count + 1
        if on_step is not None:
            on_step(state.step)
        if state.step % every == 0 or state.step == total:
            if not np.isfinite(scores.vector).all():
                raise TrainingDiverged(
                    f"a score is no longer finite after step {state.step}: is the learning rate too large?"
                )
            yield Learned(state.step, (loss_sum / count).tolist(), scores.copy())
            loss_sum, count = np.zeros(theta.replicates), 0


def evaluate_scores(
    net: MLP,
    theta: Parameters,
    scores: Parameters,
    split: Split,
    how: str,
    *,
    rescale: bool = False,
    rng: np.random.Generator | None = None,
    samples: int = 10,
    loss: Loss = softmax_cross_entropy,
) -> tuple[Number, Number | None]:
    """Return loss and accuracy of Bernoulli scores on a split.   Equation (P13)

    Parameters
    ----------
    net : an ``MLP``
    theta : the frozen weights and biases
    scores : of the form of theta
    split : with class labels
    how : "sampled", the mean over ``samples`` masks; "threshold", the weights with s > 0; "expected", sigma(s) * W
    rescale : as in the training
    rng, samples : for "sampled"; replicates share the numbers
    loss : softmax cross-entropy, or another

    Returns
    -------
    loss, accuracy : as of ``numpynet.training.evaluate``

    Raises
    ------
    TypeError, ValueError
        ``how`` is none of the three; there is no generator to sample with.

    References
    ----------
    Zhou et al. (2019), for "sampled".

    Examples
    --------
    >>> net = MLP((2, 3))
    >>> theta = Parameters.ones(net.layout)
    >>> split = Split(np.ones((4, 2), np.float32), np.array([0, 1, 2, 0]))
    >>> evaluate_scores(net, theta, Parameters.zeros(net.layout), split, "threshold")              # s > 0 nowhere
    (1.0986123, 0.5)
    """
    if how == "sampled":
        if not isinstance(rng, np.random.Generator):
            raise TypeError("rng must be a numpy.random.Generator: sampled masks have to be drawn")
        masks = [sample_supermask(scores, rng.random(net.layout.size, dtype=np.float32)) for _ in range(samples)]
    elif how == "threshold":
        masks = [threshold_supermask(scores)]
    elif how == "expected":
        masks = [keep_probabilities(scores)]
    else:
        raise ValueError(f"how is {how!r}, but 'sampled', 'threshold' or 'expected' is needed")
    results = [evaluate(net, supermask_forward(theta, m, rescale=rescale)[0], split, loss=loss) for m in masks]
    losses = np.mean([r[0] for r in results], axis=0).tolist()
    return losses, None if results[0][1] is None else np.mean([r[1] for r in results], axis=0).tolist()
