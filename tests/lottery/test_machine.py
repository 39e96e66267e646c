"""A ticket in the training loop, in any order of steps: train, prune, rewind, re-initialise, save, load, interrupt.

``numpynet.conformance.walk`` puts the same walk to anybody's functions, step by step. Here the training loop itself is
walked, with its streams, schedules, dropout, checkpoints and files; planted mistakes must be found.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from numpynet import training
from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.equations.masks import prune_count
from numpynet.lottery import rewinding
from numpynet.lottery.controls import control_rngs, reinitialised
from numpynet.lottery.ticket import Ticket, load_ticket, save_ticket
from numpynet.optimizers import Decay
from numpynet.parameters import Parameters
from numpynet.pruning import alive_counts, magnitude_mask
from tests.lottery.small import NET, OPTIMIZERS, STEPS, plan_with, same, split_of, theta_of


class Lottery(RuleBasedStateMachine):
    """One network on its way; ``expected`` counts are kept by hand."""

    @initialize(
        seed=st.integers(0, 2**31), optimizer=st.sampled_from(OPTIMIZERS), decay=st.sampled_from([0.0, 0.1]),
        clip_norm=st.sampled_from([None, 0.3]),
    )  # fmt: skip
    def begin(self, seed, optimizer, decay, clip_norm):
        self.seed, self.split = seed, split_of(0)
        self.plan = plan_with(optimizer=optimizer, decay=Decay(decoupled=decay), clip_norm=clip_norm)
        self.theta_0 = theta_of(seed)
        self.kept = self.theta_0.copy()
        self.mask = Parameters.ones(NET.layout, dtype=np.float64)
        self.counts = alive_counts(self.mask)
        self.origin = self.theta_0  # of the present weights: theta_0 or a fresh draw
        self.point = None
        self.anew()

    def anew(self):
        """The first training, up to step 4, where a rewind point is kept; then a state at the start."""
        first = training.begin(NET, self.plan, self.split, seed=self.seed, theta_0=self.theta_0)
        for _ in training.train(first, self.split, until=4):
            pass
        self.point = rewinding.rewind_point(first)
        self.state = training.begin(NET, self.plan, self.split, seed=self.seed, theta_0=self.theta_0)

    @rule(steps=st.integers(1, 5))
    def train(self, steps):
        before, at = self.state.theta.copy(), self.state.step
        for _ in training.train(self.state, self.split, until=at + steps):
            pass
        assert self.state.step == min(at + steps, STEPS)
        if self.state.step > at:
            assert not same(before, self.state.theta)

    @rule(rate=st.sampled_from([0.0, 0.2, 0.3, 0.6]))
    def prune(self, rate):
        """In the middle of a training; the loop is told by the mask in its state."""
        new = magnitude_mask(self.state.theta, self.mask, rate=rate)
        assert (new.vector <= self.mask.vector).all()
        last = NET.layout.weight_names[-1]
        self.counts = {name: n - prune_count(rate / 2 if name == last else rate, n) for name, n in self.counts.items()}
        assert alive_counts(new) == self.counts
        self.mask = self.state.weight_mask = new
        for _ in training.train(self.state, self.split, until=self.state.step):  # says so to the optimizer
            pass

    @rule(
        kind=st.sampled_from([rewinding.Init(), rewinding.Late(4), rewinding.Late(4, "saved"), rewinding.FineTune(3)])
    )
    def rewind(self, kind):
        """Where it starts, what it remembers, and where its streams are."""
        theta_T = self.state.theta.copy()
        options = {"theta_0": self.theta_0, "point": self.point, "theta_T": theta_T}
        self.state = rewinding.rewound(
            kind, NET, self.plan, self.split, seed=self.seed, weight_mask=self.mask, **options
        )
        source = {rewinding.Init: self.kept, rewinding.Late: self.point.theta}.get(type(kind), theta_T)
        assert np.array_equal(self.state.theta.vector, (source * self.mask).vector)
        fresh = not (isinstance(kind, rewinding.Late) and kind.optimizer == "saved")
        assert self.state.optimizer.step == (0 if fresh else 4)
        for name, slot in self.state.optimizer.slots.items():
            assert np.array_equal(slot, 0 * slot if fresh else self.point.slots[name] * self.mask.vector)
        step = {rewinding.Init: 0, rewinding.Late: 4}.get(type(kind), STEPS - 3)
        elsewhere = training.begin(NET, self.plan, self.split, seed=self.seed, theta_0=self.theta_0, step=step)
        assert self.state.step == step
        assert np.array_equal(elsewhere.order, self.state.order) and elsewhere.position == self.state.position

    @rule(draw=st.integers(0, 3))
    def reinit(self, draw):
        fresh = reinitialised(NET, control_rngs(self.seed, "reinit", draw), dtype="float64")
        assert not np.isin(fresh["W1"], self.kept["W1"]).any()
        self.state = training.begin(NET, self.plan, self.split, seed=self.seed, theta_0=fresh, weight_mask=self.mask)
        assert np.array_equal(self.state.theta.vector, (fresh * self.mask).vector)

    @rule()
    def interrupt(self):
        """Through a checkpoint; the run goes on in what was loaded, beside what was not."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "run.npz")
            save_checkpoint(path, self.state, self.split)
            plan = self.state.plan
            again = load_checkpoint(path, NET, plan, self.split, seed=self.seed)
        until = self.state.step + 2
        for state in (self.state, again):
            for _ in training.train(state, self.split, until=until):
                pass
        assert same(again.theta, self.state.theta)
        self.state = again

    @rule()
    def pass_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ticket.npz")
            save_ticket(path, Ticket(NET, self.theta_0, self.mask, {"seed": self.seed}))
            ticket = load_ticket(path, NET)
        assert same(ticket.theta_0, self.kept) and same(ticket.weight_mask, self.mask)
        self.state = ticket.begin(self.plan, self.split, seed=self.seed)
        assert np.array_equal(self.state.theta.vector, (self.kept * self.mask).vector)

    @precondition(lambda self: hasattr(self, "state"))
    @invariant()
    def dead_is_zero(self):
        pruned = self.mask.vector == 0
        assert (self.state.theta.vector[pruned] == 0.0).all()
        assert not any(slot[pruned].any() for slot in self.state.optimizer.slots.values())

    @precondition(lambda self: hasattr(self, "state"))
    @invariant()
    def the_start_is_as_it_was(self):
        assert same(self.theta_0, self.kept)
        assert not np.shares_memory(self.theta_0.vector, self.state.theta.vector)

    @precondition(lambda self: hasattr(self, "state"))
    @invariant()
    def counts_are_exact(self):
        assert alive_counts(self.mask) == self.counts
        if self.state.weight_mask is not None:
            assert same(self.state.weight_mask, self.mask)


pytestmark = pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")


@pytest.mark.equation("L2", "L4", "L6", "L14", "M16")
def test_any_order_of_steps_keeps_a_ticket_whole() -> None:
    run_state_machine_as_test(Lottery, settings=settings(max_examples=15, stateful_step_count=12))


PLANTED = {
    "theta_0 is trained": ("numpynet.training.own_start", lambda net, theta_0, dtype, replicates: theta_0),
    "dead weights are remembered": ("numpynet.optimizers.OptimizerState.impose", lambda self, mask: None),
    "one weight too many": (
        f"{__name__}.magnitude_mask",
        lambda theta, mask, *, rate, right=magnitude_mask: right(theta, mask, rate=min(1.0, rate + 0.04)),
    ),
    "late is fresh": ("numpynet.lottery.rewinding._remember", lambda state, point: None),
    "streams anew at step k": (
        "numpynet.lottery.rewinding.begin",
        lambda *args, step=0, **options: training.begin(*args, **options),
    ),
    "a checkpoint without the mask": (
        f"{__name__}.load_checkpoint",
        lambda *args, right=load_checkpoint, **options: unmasked(right(*args, **options)),
    ),
}  # fmt: skip


def unmasked(state):
    state.weight_mask = None
    return state


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found(name: str, monkeypatch) -> None:
    target, mistake = PLANTED[name]
    monkeypatch.setattr(target, mistake)
    quick = settings(max_examples=60, stateful_step_count=12, derandomize=True, database=None, print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Lottery, settings=settings(quick, phases=[p for p in quick.phases if p.name != "shrink"])
        )
