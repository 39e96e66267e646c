"""Train a sparse network without the units that nobody hears: the same training on smaller matrices.   Equation (M17)

A unit from which no path of living weights leads to an output has no gradient: whatever leads into it stays as it is,
and nothing else depends on it. So it may be left out while the others are trained, an input that nobody reads as well,
and put back afterwards. (A unit that hears nothing may not: its bias goes on learning. ``compact`` takes it away once
the training is over.)

    for record in train_compacted(state, data.train, monitors={"test": data.test}):     # in the place of train(...)
        ...

In a stack the replicates share their sizes, so a unit is left out where no replicate hears it: the fewer replicates a stack
has, the more can go.

The sums of the matrix products have fewer terms, all those missing being 0, so numbers may differ from those of ``train``
in the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.network import MLP
from numpynet.optimizers import Decay, OptimizerState
from numpynet.parameters import Layout, Parameters
from numpynet.survivors import ELEMENTWISE
from numpynet.training import Record, TrainingState, train
from numpynet.training_checks import check_data, own_mask

WORTH_WHILE = 0.9  # share of the stored weights that are left, above which it is not done


def train_compacted(
    state: TrainingState,
    train_split: Split,
    *,
    monitors: Mapping[str, Split] | None = None,
    on_step: Callable[[int], None] | None = None,
    until: int | None = None,
) -> Iterator[Record]:
    """Train as ``numpynet.training.train`` does, on the units that are heard alone, and yield the same records.

    At each record the state is whole. Where leaving out units would not be exact or would not pay, the training is that of
    ``train``: no weight mask, frozen weights, weight decay or max-norm, an optimizer that is not elementwise or that
    remembers something of unheard weights, other noise than unit dropout. Which of the two it is depends on the state alone,
    as it is at the beginning and after each record. So a training that goes on from a checkpoint of a record ends with the
    bits of one that was not interrupted.

    Parameters
    ----------
    state, train_split, monitors, on_step, until : as for ``train``

    Yields
    ------
    Record

    Raises
    ------
    TrainingDiverged, TypeError, ValueError
        As ``train``; layers and steps are named as there.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> from numpynet.plan import TrainingPlan
    >>> from numpynet.training import begin
    >>> data, net = load_digits(), MLP((64, 30, 10))
    >>> mask = Parameters.ones(net.layout)
    >>> mask["W2"][:20] = 0                                                     # nobody hears the first 20 units
    >>> state = begin(net, TrainingPlan(steps=5, schedule=0.1), data.train, weight_mask=mask)
    >>> [record.step for record in train_compacted(state, data.train)], smaller(state).net.sizes
    ([0, 5], (64, 10, 10))
    """
    options = {"on_step": on_step, "until": until}
    while True:
        if state.weight_mask is not None and state.frozen is None:  # what train does with a mask, on the whole network
            state.weight_mask = own_mask(state.net, state.weight_mask, state.theta.dtype, state.theta.replicates)
            _impose(state)
        small = smaller(state)
        if small is not None:
            ended = yield from _train_small(small, state, train_split, monitors or {}, options)
        else:
            ended = yield from _train_whole(state, train_split, monitors, options)
        if ended:
            return


def _train_whole(
    state: TrainingState, train_split: Split, monitors: Mapping[str, Split] | None, options: dict[str, Any]
) -> Generator[Record, None, bool]:
    """Train as long as nothing can be left out; return whether that was to the end."""
    for record in train(state, train_split, monitors=monitors, **options):
        mask = state.weight_mask
        yield record
        if _is_over(state, train_split, options):
            return True
        if state.weight_mask is not mask or smaller(state) is not None:
            return False
    return True


def _train_small(
    small: Smaller, state: TrainingState, train_split: Split, monitors: Mapping[str, Split], options: dict[str, Any]
) -> Generator[Record, None, bool]:
    """Train what is heard as long as that is exact; return whether that was to the end."""
    for name, split in {**monitors, "train_split": train_split}.items():  # of the whole network, before it is cut
        check_data(state.net, split, name, state.theta.dtype)
    decided, mask, inner = _what_decides(state), state.weight_mask.vector.copy(), small.state_of(state)
    views = {name: small.split_of(split) for name, split in monitors.items()}
    records = train(inner, small.split_of(train_split), monitors=views, **options)
    while True:
        try:
            record = next(records, None)
        finally:  # also after an error the state is whole
            small.put_back(inner, state)
        if record is None:
            return True
        yield record
        if _is_over(state, train_split, options):
            return True
        # Whoever watches may have changed anything, the mask also in place.
        if (
            any(now is not then for now, then in zip(_what_decides(state), decided))
            or (mask != state.weight_mask.vector).any()
        ):
            return False
        _impose(state)
        if small.misses_memory(state):
            return False
        small.refresh(inner, state)


def _what_decides(state: TrainingState) -> tuple[Any, ...]:
    """What is left out depends on these, and on what the optimizer remembers."""
    return state.net, state.plan, state.weight_mask, state.frozen


def _impose(state: TrainingState) -> None:
    """What is pruned is 0, also where whoever watches a training has written to it."""
    state.theta *= state.weight_mask
    state.optimizer.impose(state.weight_mask)


def _is_over(state: TrainingState, train_split: Split, options: dict[str, Any]) -> bool:
    """Whether no step follows: then ``train``, too, leaves alone what whoever watches has changed."""
    total, until = state.plan.total_steps(len(train_split.x)), options["until"]
    return state.step >= (total if until is None else min(until, total))


class Smaller(NamedTuple):
    """A network without its unheard units, and where its parts are in the whole one."""

    net: MLP
    inputs: np.ndarray  # numbers of the inputs that are read
    inside: np.ndarray  # places of its parameters in the vector of the whole network

    def split_of(self, split: Split) -> Split:
        """Return the examples without the inputs that nobody reads; a copy, if there are such inputs.

        Parameters
        ----------
        split : x (N, d) of the whole network

        Returns
        -------
        x (N, number of inputs that are read); y is shared
        """
        if self.inputs.size == split.x.shape[1]:
            return split
        return Split(np.take(split.x, self.inputs, axis=1), split.y)  # five times as fast as an index

    def of(self, vector: np.ndarray) -> np.ndarray:
        """Return its part of a vector (..., P) of the whole network; a copy.

        Parameters
        ----------
        vector : parameters, a mask or a slot of an optimizer

        Returns
        -------
        (..., P of the small network)
        """
        return np.take(vector, self.inside, axis=-1)

    def state_of(self, state: TrainingState) -> TrainingState:
        """Return a training of the small network at the same place, with the same streams and the same history.

        Parameters
        ----------
        state : of the whole network; it is not changed

        Returns
        -------
        state of the small one, with parameters and optimizer memory of its own; generators and history are shared
        """
        theta, mask = (Parameters(self.of(p.vector), self.net.layout) for p in (state.theta, state.weight_mask))
        slots = {name: self.of(slot) for name, slot in state.optimizer.slots.items()}
        optimizer = OptimizerState(state.optimizer.step, slots, np.empty_like(theta.vector))
        return replace(state, net=self.net, theta=theta, weight_mask=mask, optimizer=optimizer)

    def refresh(self, inner: TrainingState, state: TrainingState) -> None:
        """Take over what whoever watches may have changed: weights, mask, optimizer, place in the training, streams.

        Parameters
        ----------
        inner : state of the small network; all that it holds is overwritten
        state : of the whole network
        """
        for name, value in vars(self.state_of(state)).items():
            setattr(inner, name, value)

    def misses_memory(self, state: TrainingState) -> bool:
        """Say whether the optimizer remembers anything of what is left out; that would move it.

        Parameters
        ----------
        state : of the whole network

        Returns
        -------
        True or False
        """
        return any(np.count_nonzero(slot) > np.count_nonzero(self.of(slot)) for slot in state.optimizer.slots.values())

    def put_back(self, inner: TrainingState, state: TrainingState) -> None:
        """Write what has been trained into the whole network's state.

        Parameters
        ----------
        inner : state of the small network
        state : of the whole network, which changes
        """
        state.theta.vector[..., self.inside] = inner.theta.vector
        for name, slot in inner.optimizer.slots.items():
            state.optimizer.slots[name][..., self.inside] = slot
        state.optimizer.step = inner.optimizer.step
        for name in ("order", "position", "step", "batch_loss_sum", "batch_loss_count", "history"):
            setattr(state, name, getattr(inner, name))


def smaller(state: TrainingState) -> Smaller | None:
    """Return the network without its unheard units, or None where leaving them out would not be exact or not pay.

    Parameters
    ----------
    state : of a training, see ``numpynet.training.begin``; it is not changed

    Returns
    -------
    what is left, or None; see ``train_compacted`` for when

    Examples
    --------
    >>> from numpynet.plan import TrainingPlan
    >>> from numpynet.training import begin
    >>> split = Split(np.zeros((8, 3), np.float32), np.arange(8) % 2)
    >>> smaller(begin(MLP((3, 4, 2)), TrainingPlan(steps=1, batch_size=2), split)) is None       # a dense net
    True
    """
    net, mask, plan = state.net, state.weight_mask, state.plan
    if mask is None or state.frozen is not None or plan.decay != Decay():
        return None
    if type(plan.optimizer) not in ELEMENTWISE or plan.keep_schedule is not None or net.rules is not None:
        return None
    heard = _heard(net, mask)
    heard = [units if units.any() else np.arange(units.size) == 0 for units in heard]  # a layer of none is no layer
    sizes = tuple(int(units.sum()) for units in heard)
    if Layout.of_sizes(sizes).n_weights > WORTH_WHILE * net.layout.n_weights:
        return None
    place = Parameters(np.arange(net.layout.size, dtype=np.float64), net.layout)  # float64 counts to 2^53
    parts = []
    for layer, (before, after) in enumerate(zip(heard, heard[1:]), start=1):
        parts += [place[f"W{layer}"][np.ix_(before, after)].ravel(), place[f"b{layer}"][after]]
    numbers = [np.flatnonzero(units) for units in heard]
    rules = [
        rule if rule.sample is None else rule._replace(sample=partial(_sample_heard, rule.sample, full, kept))
        for rule, full, kept in zip(net.layer_rules, net.sizes, numbers)
    ]
    small_net = MLP(sizes, net.activation, rules=rules if net.has_dropout else None)
    small = Smaller(small_net, numbers[0], np.concatenate(parts).astype(np.intp))
    return None if small.misses_memory(state) else small


def _heard(net: MLP, mask: Parameters) -> list[np.ndarray]:
    """Of the inputs and of each layer's units, which have a path of living weights to an output, in any replicate."""
    heard = [np.ones((*mask.replicates, net.sizes[-1]), bool)]
    for layer in range(net.n_layers, 0, -1):
        heard.insert(0, ((mask[f"W{layer}"] != 0) & heard[0][..., None, :]).any(axis=-1))
    return [units.reshape(-1, units.shape[-1]).any(axis=0) for units in heard]


def _sample_heard(sample, full, kept, rng, batch_shape, d_in, d_out, *, dtype):
    """The unit mask of the whole layer, drawn as always so that the stream is the same, and of it what is heard."""
    return np.ascontiguousarray(sample(rng, batch_shape, full, d_out, dtype=dtype)[..., kept])
