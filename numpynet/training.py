"""The training loop: batches, one forward and one backward pass, one step of the optimizer, and a record now and then.

A run is a ``TrainingState``, made by ``begin``, and ``train`` is a generator that moves it on and yields records. So a
tutorial watches a training with a ``for`` loop, and whoever stops the loop has stopped the training:

    state = begin(net, plan, data.train, seed=0)
    for record in train(state, data.train, monitors={"test": data.test}):
        print(record.step, record.accuracy["test"])
        if record.accuracy["test"] > 0.97:
            break                                   # the state is whole; train(state, ...) would go on

Everything that the next step depends on is in the state: parameters, optimizer, generators, and the place in the order
of the examples. ``numpynet.checkpoints`` saves it, and a resumed run ends with the same bits.

A stack of R replicates is trained in one loop, each with the streams of its own seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.freed_memory import keep_freed_memory
from numpynet.network import MLP
from numpynet.optimizers import Decay, OptimizerState, clip_global_norm, update
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.seeding import stream, streams
from numpynet.survivors import Survivors
from numpynet.training_checks import check_data, own_frozen, own_mask, own_start

Number = float | list  # a float, or a list of them for replicates


class Record(NamedTuple):
    """What is known after a number of steps. With replicates, each number is a list with one entry for each."""

    step: int  # completed steps
    epoch: float  # completed passes over the data
    lr: float | None  # learning rate of the last step; None before the first
    batch_loss: Number | None  # mean loss of the batches since the last record, masks and all; None before the first
    loss: dict[str, Number]  # of each monitored split, in evaluation (no dropout), in nats
    accuracy: dict[str, Number]  # share of right answers, 0 to 1; without class labels there is none


class TrainingDiverged(ArithmeticError):
    """The loss, or something on the way to it, is no longer finite; the message says at which step and where."""


@dataclass
class TrainingState:
    """A training that can go on: what the next step depends on, and what was recorded so far."""

    net: MLP
    plan: TrainingPlan
    seed: int | tuple[int, ...]  # one, or one for each replicate
    theta: Parameters
    weight_mask: Parameters | None
    optimizer: OptimizerState
    batch_rngs: list[np.random.Generator]  # one for each replicate
    dropout_rngs: list[np.random.Generator]
    order: np.ndarray  # (..., n_train) the examples in the order of this epoch
    position: int = 0  # how many of them have been used
    step: int = 0
    batch_loss_sum: np.ndarray = field(default_factory=lambda: np.zeros(()))  # since the last record
    batch_loss_count: int = 0
    history: list[Record] = field(default_factory=list)
    frozen: Parameters | None = None  # where pruned weights stay, 0 at all others; None for 0
    data_digest: str = ""  # of the training examples; filled in by the first checkpoint, because it takes a while


def begin(
    net: MLP,
    plan: TrainingPlan,
    train_split: Split,
    *,
    seed: int | Sequence[int] = 0,
    theta_0: Parameters | None = None,
    weight_mask: Parameters | None = None,
    frozen: Parameters | None = None,
    step: int = 0,
    draw: int = 0,
) -> TrainingState:
    """Prepare a training, at step 0 unless another is asked for.

    Parameters
    ----------
    net, plan : what is trained, and how
    train_split : the examples
    seed : of all random numbers of this run; a sequence of R seeds trains R replicates in one stack
    theta_0 : initial parameters, copied; None draws them from the seed. With a weight mask the pruned weights start
        at 0 and all others at their value in theta_0, bit for bit (Equation (L4)).
    weight_mask : binary, of the form of theta, or None for a dense net; biases are never pruned
    frozen : where the pruned weights stay instead of at 0, see ``numpynet.lottery.actions``; must be 0 at all others
    step : where in the plan to begin, 0 ... its last step. Schedules, the order of the examples and the dropout masks
        are then those that a run from step 0 has there, to the bit; the optimizer starts afresh. See
        ``numpynet.lottery.rewinding`` for what this is good for.
    draw : which order of the examples and which dropout masks; 0 is that of every other run of this seed, 1, 2, ...
        are others, for runs that differ in nothing else

    Returns
    -------
    TrainingState

    Raises
    ------
    TypeError, ValueError
        The data, the mask or theta_0 do not fit the network; a batch is larger than the data; the plan has no such step.

    Examples
    --------
    >>> from numpynet.data import make_xor
    >>> split = make_xor(np.random.default_rng(0), 20, noise=0.1)
    >>> state = begin(MLP((2, 8, 2)), TrainingPlan(epochs=1, batch_size=5), Split(split.x.astype(np.float32), split.y))
    >>> state.step, state.theta.layout.size
    (0, 42)
    """
    dtype = np.dtype(plan.dtype)
    if plan.keep_schedule is not None and (net.rules is not None or isinstance(net.keep_prob, tuple)):
        raise ValueError(
            "keep_schedule sets one keep_prob for the hidden layers: the network may have no rules, nor a list"
        )
    check_data(net, train_split, "train_split", dtype)
    n_train = len(train_split.x)
    if plan.batch_size > n_train:
        raise ValueError(f"batch_size is {plan.batch_size}, but there are only {n_train} examples to train on")
    stacked = isinstance(seed, (list, tuple, range, np.ndarray))
    seeds = tuple(seed) if stacked else (seed,)
    if not seeds:
        raise ValueError("seed is empty: give one seed for each replicate")
    total = plan.total_steps(n_train)
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or not 0 <= step <= total:
        raise ValueError(f"step is {step!r}, but the plan has the steps 0 ... {total}")
    if step and theta_0 is None:
        raise ValueError(f"step is {step}, but without theta_0 there are no parameters to begin with there: give those")
    runs = [streams(s) for s in seeds]
    seeds = tuple(int(s) for s in seeds)
    if theta_0 is None:
        rngs = [run.init for run in runs]
        theta = net.init(rngs if stacked else rngs[0], initializer=plan.initializer, dtype=dtype)
    else:
        theta = own_start(net, theta_0, dtype, (len(seeds),) if stacked else ())
    if weight_mask is not None:
        weight_mask = own_mask(net, weight_mask, dtype, theta.replicates)
        theta *= weight_mask
    if frozen is not None:
        frozen = own_frozen(net, frozen, weight_mask, theta)
        theta += frozen
        if plan.decay.max_norm is not None:
            raise ValueError("max_norm would shorten frozen weights as well: leave out one of the two")
    state = TrainingState(
        net=net,
        plan=plan,
        seed=seeds if stacked else seeds[0],
        theta=theta,
        weight_mask=weight_mask,
        frozen=frozen,
        optimizer=plan.optimizer.init(theta.vector),
        batch_rngs=[stream(s, "batches", draw) for s in seeds],
        dropout_rngs=[stream(s, "dropout", draw) for s in seeds],
        order=np.zeros((*theta.replicates, 0), np.intp),
        batch_loss_sum=np.zeros(theta.replicates),
    )
    while state.step < step:  # the same numbers are drawn as in training, and thrown away
        draw_step(state, n_train)
        state.step += 1
    return state


def train(
    state: TrainingState,
    train_split: Split,
    *,
    monitors: Mapping[str, Split] | None = None,
    on_step: Callable[[int], None] | None = None,
    until: int | None = None,
) -> Iterator[Record]:
    """Train to the end of the plan, and yield a record at the start, at every evaluation and at the last step.

    The state moves on with the iteration; every yielded record is also in ``state.history``. Between two records it is
    whole: stop the iteration there, save it, or call ``train`` again to go on.

    Parameters
    ----------
    state : of ``begin``, or of a checkpoint; it changes
    train_split : the same examples as in ``begin``
    monitors : name -> split to evaluate for each record, for instance {"validation": ..., "test": ...}
    on_step : called with the number of completed steps after each of them, to show progress
    until : stop when so many steps are completed, to look at the state there; call ``train`` again to go on. The run is
        the same as without the stop.

    Yields
    ------
    Record : one after the other

    Raises
    ------
    TrainingDiverged
        A loss or a parameter is not finite. The parameters are those after ``state.step`` steps, the history is kept.
    TypeError, ValueError
        The data do not fit the network, or are not those of ``begin``; the schedule gives no usable learning rate.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> data = load_digits()
    >>> state = begin(MLP((64, 30, 10)), TrainingPlan(epochs=2, schedule=0.1), data.train)
    >>> [record.step for record in train(state, data.train)]
    [0, 23, 46]
    """
    keep_freed_memory()
    net, plan = state.net, state.plan
    monitors = dict(monitors or {})
    dtype = state.theta.dtype
    check_data(net, train_split, "train_split", dtype)
    for name, split in monitors.items():
        check_data(net, split, name, dtype)
    n_train = len(train_split.x)
    if state.order.shape[-1] not in (0, n_train):
        raise ValueError(
            f"train_split has {n_train} examples, but this training has begun with {state.order.shape[-1]}: "
            "pass the same examples as to begin"
        )
    total, per_epoch = plan.total_steps(n_train), plan.steps_per_epoch(n_train)
    every = plan.evaluate_every or per_epoch
    gradients = Parameters.zeros(net.layout, replicates=state.theta.replicates, dtype=dtype)

    mask = _imposed(state, None)
    if not state.history:
        yield _record(state, None, per_epoch, monitors)
    survivors, pruning, seen = None, None, True
    try:
        while state.step < (total if until is None else min(until, total)):
            if seen or state.weight_mask is not mask:  # who watches may have changed parameters, optimizer or mask
                _return(survivors, state)
                mask = _imposed(state, mask)
                survivors, pruning, seen = _survivors(state), _pruning(mask), False
            lr = _learning_rate(plan, state.step)
            with np.errstate(over="ignore", invalid="ignore"):  # said in words by _check_loss instead
                loss = _step(state, train_split, gradients, survivors, pruning, lr)
            state.batch_loss_sum += loss  # in place: it stays an array also for a single run
            state.batch_loss_count += 1
            if on_step is not None:
                on_step(state.step)
            if state.step % every == 0 or state.step == total:
                survivors = _return(survivors, state)
                yield _record(state, lr, per_epoch, monitors)
                seen = True
    finally:  # also after an error the state is whole
        _return(survivors, state)


def draw_step(state: TrainingState, n_train: int) -> tuple[MLP, np.ndarray, list[np.ndarray | None] | None]:
    """Draw all that is random in the next step, from the streams of the state.

    Whoever writes a loop of another kind sees the examples and the masks of ``train``, if ``state.step`` counts along.

    Parameters
    ----------
    state : its streams and its place in the order of the examples move on; ``step`` does not
    n_train : how many examples there are

    Returns
    -------
    net : of this step; another than ``state.net`` only under a keep schedule
    batch : (..., B) numbers of the examples
    unit_masks : for ``net.forward``, or None without dropout

    Examples
    --------
    >>> split = Split(np.zeros((5, 2), np.float32), np.array([0, 1, 0, 1, 1]))
    >>> state = begin(MLP((2, 3, 2)), TrainingPlan(steps=2, batch_size=3), split, seed=7)
    >>> draw_step(state, 5)[1], draw_step(state, 5)[1]
    (array([3, 4, 0]), array([1, 2]))
    """
    plan = state.plan
    net = state.net if plan.keep_schedule is None else replace(state.net, keep_prob=plan.keep_schedule(state.step))
    batch = _next_batch(state, n_train)
    if plan.loss.passes > 1:
        batch = np.concatenate([batch] * plan.loss.passes, axis=-1)  # the same examples again, with masks of their own
    has_noise = net.has_dropout or plan.keep_schedule is not None  # a schedule draws also where it keeps all
    return net, batch, _draw_unit_masks(state, net, batch.shape[-1]) if has_noise else None


def evaluate(
    net: MLP,
    theta: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    loss: Loss = softmax_cross_entropy,
    batch_size: int = 2000,
) -> tuple[Number, Number | None]:
    """Return loss and accuracy of a split in evaluation: no unit mask, no scale.

    Parameters
    ----------
    net : an ``MLP``
    theta : its parameters, of one net or of R replicates
    split : with class labels, or with floating targets (then the accuracy is None)
    weight_mask : None for a dense net
    loss : softmax cross-entropy, or another
    batch_size : bounds the memory; every example counts once, whatever it is

    Returns
    -------
    loss, accuracy : numbers, or (R,) for replicates; None for the accuracy of floating targets

    Raises
    ------
    TypeError, ValueError
        The split does not fit the network.

    Examples
    --------
    >>> net = MLP((2, 3, 4))
    >>> theta = Parameters.zeros(net.layout)
    >>> evaluate(net, theta, Split(np.zeros((5, 2), np.float32), np.array([0, 0, 1, 2, 3])))      # (log 4, 2 of 5)
    (1.3862944, 0.4)
    """
    check_data(net, split, "split", theta.dtype)
    return _evaluate(net, theta, split, weight_mask, loss, batch_size)


def _evaluate(net, theta, split, weight_mask, loss, batch_size=2000) -> tuple[Number, Number | None]:
    """``evaluate`` for a split that has been checked."""
    with_classes = split.y.dtype.kind in "iu"
    loss_of = loss.evaluation or loss.forward
    loss_sum, right = np.zeros(theta.replicates), np.zeros(theta.replicates)
    for start in range(0, len(split.x), batch_size):
        x, y = split.x[start : start + batch_size], split.y[start : start + batch_size]
        logits, _ = net.forward(theta, x, weight_mask=weight_mask, trusted=True)
        loss_sum = loss_sum + np.asarray(loss_of(logits, y)[0], np.float64) * len(x)
        if with_classes:
            right = right + (logits.argmax(axis=-1) == y).sum(axis=-1)
    n = len(split.x)
    return (loss_sum / n).tolist(), (right / n).tolist() if with_classes else None


def early_stop(history: Sequence[Record], monitor: str = "validation", *, replicate: int | None = None) -> Record:
    """Return the record with the smallest loss on a monitored split, the first of them if there are several.

    It is read off afterwards and changes nothing about the training. With replicates, say which one.

    Parameters
    ----------
    history : records of a training
    monitor : name of the split
    replicate : which one of a stack

    Returns
    -------
    Record

    Raises
    ------
    ValueError
        Nothing has been recorded yet, or there are replicates and none is named.
    KeyError
        There is no such monitor.

    Examples
    --------
    >>> records = [Record(s, 0.0, None, None, {"validation": v}, {}) for s, v in ((0, 2.3), (10, 0.5), (20, 0.5))]
    >>> early_stop(records).step
    10
    """
    if not history:
        raise ValueError("history is empty: nothing has been recorded yet")
    if monitor not in history[0].loss:
        raise KeyError(f"there is no monitor {monitor!r}; recorded are {', '.join(history[0].loss) or 'none'}")

    def loss_of(record: Record) -> float:
        value = record.loss[monitor]
        if isinstance(value, list):
            if replicate is None:
                raise ValueError(f"the history has {len(value)} replicates: say which one, replicate=0 for instance")
            return value[replicate]
        return value

    return min(history, key=loss_of)


def _imposed(state: TrainingState, known: Parameters | None) -> Parameters | None:
    """The mask of the state; what it leaves out is 0 from here on (or frozen), and 0 in the optimizer's memory."""
    if state.weight_mask is not None:
        if state.weight_mask is not known:
            state.weight_mask = own_mask(state.net, state.weight_mask, state.theta.dtype, state.theta.replicates)
        state.theta *= state.weight_mask
        if state.frozen is not None:
            state.theta += state.frozen
        state.optimizer.impose(state.weight_mask)
    return state.weight_mask


def _survivors(state: TrainingState) -> Survivors | None:
    """The survivors, if the optimizer may work on them alone: what looks at the whole vector needs the whole vector."""
    plan = state.plan
    if plan.clip_norm is not None or plan.decay != Decay():
        return None
    return Survivors.of(state.theta, state.weight_mask, plan.optimizer, state.optimizer)


def _return(survivors: Survivors | None, state: TrainingState) -> None:
    if survivors is not None:
        survivors.return_to(state.optimizer)


def _pruning(mask: Parameters | None) -> Parameters | None:
    """The mask if it prunes anything. One that keeps all changes no bit, and costs two operations on whole vectors."""
    return None if mask is None or mask.vector.all() else mask


def _step(
    state: TrainingState,
    train_split: Split,
    gradients: Parameters,
    survivors: Survivors | None,
    mask: Parameters | None,
    lr: float,
) -> np.ndarray:
    """One step: batch, masks, forward, backward, update. Returns the loss of the batch, (...,)."""
    plan, theta = state.plan, state.theta
    net, batch, unit_masks = draw_step(state, len(train_split.x))
    x, y = np.take(train_split.x, batch, axis=0), train_split.y[batch]  # (..., B, d), (..., B)
    layer_mask = mask if state.frozen is None else None
    logits, caches = net.forward(theta, x, weight_mask=layer_mask, unit_masks=unit_masks, trusted=True, masked=True)
    loss, loss_cache = plan.loss.forward(logits, y)
    _check_loss(loss, caches, state)
    net.backward(plan.loss.backward(1.0, loss_cache), caches, out=gradients)
    if survivors is not None:
        survivors.update(gradients, lr)
    else:
        _keep_survivors(gradients, mask)
        if plan.clip_norm is not None:
            clip_global_norm(gradients, plan.clip_norm, out=gradients)
        update(theta, gradients, plan.optimizer, state.optimizer, lr, decay=plan.decay, weight_mask=mask)
        if state.frozen is not None:
            theta += state.frozen
    state.step += 1
    return loss


def _keep_survivors(gradients: Parameters, mask: Parameters | None) -> None:
    """dW = M * G: the layers gave the dense gradient, see ``masked`` of ``MLP.forward``.   Equation (B5)"""
    if mask is not None:
        gradients *= mask


def _mask_of_layers(state: TrainingState) -> Parameters | None:
    """The mask that the layers apply: none if pruned weights are frozen, for then they take part."""
    return state.weight_mask if state.frozen is None else None


def _next_batch(state: TrainingState, n_train: int) -> np.ndarray:
    """Return the next indices (..., B); at the end of an epoch every replicate shuffles anew."""
    if state.position >= state.order.shape[-1]:
        orders = [rng.permutation(n_train) for rng in state.batch_rngs]
        state.order = np.stack(orders) if state.theta.replicates else orders[0]
        state.position = 0
    batch = state.order[..., state.position : state.position + state.plan.batch_size]
    state.position += batch.shape[-1]
    return batch


def _draw_unit_masks(state: TrainingState, net: MLP, n: int) -> list[np.ndarray | None]:
    """Draw the unit masks of a batch, each replicate from its own stream."""
    drawn = [net.sample_unit_masks(rng, (n,), dtype=state.theta.dtype) for rng in state.dropout_rngs]
    if not state.theta.replicates:
        return drawn[0]
    return [None if masks[0] is None else np.stack(masks) for masks in zip(*drawn)]


def _record(state: TrainingState, lr: float | None, per_epoch: int, monitors: Mapping[str, Split]) -> Record:
    _check_parameters(state)
    losses, accuracies = {}, {}
    for name, split in monitors.items():
        with np.errstate(over="ignore", invalid="ignore"):  # said in words below
            losses[name], accuracy = _evaluate(state.net, state.theta, split, _mask_of_layers(state), state.plan.loss)
        if not np.isfinite(losses[name]).all():
            largest = max(state.theta, key=lambda part: np.abs(state.theta[part]).max())
            raise TrainingDiverged(
                f"the loss on {name} is {losses[name]} after step {state.step}; the largest parameter is "
                f"{np.abs(state.theta[largest]).max():.3g}, in {largest}, layer {largest[1:]}. The learning rate is probably "
                f"too large, or the numbers in {name}.x are; what was recorded before is kept"
            )
        if accuracy is not None:
            accuracies[name] = accuracy
    batch_loss = (state.batch_loss_sum / state.batch_loss_count).tolist() if state.batch_loss_count else None
    record = Record(state.step, state.step / per_epoch, lr, batch_loss, losses, accuracies)
    state.history.append(record)
    state.batch_loss_sum, state.batch_loss_count = np.zeros(state.theta.replicates), 0
    return record


def _check_loss(loss: np.ndarray, caches, state: TrainingState) -> None:
    """Raise TrainingDiverged unless the loss is finite, and say in which layer the trouble began."""
    if np.isfinite(loss).all():
        return
    _check_parameters(state)
    where = f"the logits, the output of layer {state.net.n_layers}, or the loss itself"
    for layer, h in enumerate(caches.inputs, start=1):
        if not np.isfinite(h).all():
            where = f"the input of layer {layer}"
            break
    raise TrainingDiverged(
        f"the loss is {np.asarray(loss).tolist()} at step {state.step + 1}; the first entries that are not finite are in "
        f"{where}. The learning rate {state.plan.schedule(state.step):g} is probably too large; "
        "what was recorded before is kept"
    )


def _check_parameters(state: TrainingState) -> None:
    """Raise TrainingDiverged unless all parameters are finite, and name the first layer where they are not."""
    for name, part in state.theta.items():
        if not np.isfinite(part).all():
            raise TrainingDiverged(
                f"{name}, in layer {name[1:]}, is no longer finite after step {state.step}. "
                "The learning rate is probably too large; what was recorded before is kept"
            )


def _learning_rate(plan: TrainingPlan, step: int) -> float:
    """The learning rate of the next step, as a Python float: a np.float64 would take float32 vectors to float64."""
    lr = float(plan.schedule(step))
    if not 0 <= lr < math.inf:
        raise ValueError(
            f"the schedule gives the learning rate {lr!r} after {step} steps, but a finite number >= 0 is needed"
        )
    return lr
