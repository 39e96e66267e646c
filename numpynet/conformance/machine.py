"""The walk of a ticket as a Hypothesis state machine: any order of steps, shrunk to the shortest that goes wrong.

Hypothesis tries few orders, and in each only some kinds of steps. So every kind is followed by a step of training, in
which what is remembered, or lost, shows at once.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from numpynet.conformance.contract import Subject
from numpynet.conformance.laws import LawBroken, Raised, Waiting
from numpynet.conformance.walk import Walk
from numpynet.gradcheck.draws import Sizes

_STEPS = ("train_ticket", "prune_ticket", "rewind_ticket", "reinit_ticket", "save_ticket")
SIZES = Sizes(5, 4, 3, 2)  # small, so that a failure can be followed by hand


def machine_of(subject: Subject) -> type[RuleBasedStateMachine]:
    """Return the state machine for one implementation.

    A step whose function is not defined is never taken; one whose function is not written yet does nothing.

    Parameters
    ----------
    subject : the implementation

    Returns
    -------
    A class, for ``hypothesis.stateful.run_state_machine_as_test``.

    Raises
    ------
    AssertionError
        Raised by its steps, when a law is broken or a function raises.

    Examples
    --------
    >>> machine_of(Subject("mine.py", {})).__name__
    'Ticket'
    """

    class Ticket(RuleBasedStateMachine):
        walk: Walk | None = None  # None: there is no ticket, because begin_ticket is not written yet

        @initialize(seed=st.integers(0, 2**32 - 1), optimizer=st.sampled_from(subject.optimizers))
        def begin(self, seed, optimizer):
            self._step(lambda: setattr(self, "walk", Walk(subject, seed, SIZES, optimizer)))

        @precondition(lambda self: self._can("train_ticket"))
        @rule(steps=st.integers(1, 3))
        def train(self, steps):
            for _ in range(steps):
                self._step(self.walk.train)

        @precondition(lambda self: self._can("prune_ticket"))
        @rule(rate=st.sampled_from([0.3, 0.2, 0.5, 0.0]))
        def prune(self, rate):
            self._step(lambda: self.walk.prune(rate))
            self._step(self.walk.train)

        @precondition(lambda self: self._can("rewind_ticket"))
        @rule()
        def rewind(self):
            self._step(self.walk.rewind)
            self._step(self.walk.train)

        @precondition(lambda self: self._can("reinit_ticket"))
        @rule(seed=st.integers(0, 100))
        def reinit(self, seed):
            self._step(lambda: self.walk.reinit(seed))
            self._step(self.walk.train)

        @precondition(lambda self: self._can("save_ticket"))
        @rule()
        def save_and_load(self):
            self._step(self.walk.save_and_load)
            self._step(self.walk.train)

        @precondition(lambda self: not any(self._can(name) for name in _STEPS))
        @rule()
        def stand_still(self):
            """Without any step Hypothesis would take the machine for a mistake."""

        def _can(self, name):
            return self.walk is not None and self.walk.can(name)

        def _step(self, take):
            __tracebackhide__ = True
            try:
                take()
                if self.walk is not None:
                    self.walk.check()
            except Waiting:
                pass
            except (LawBroken, Raised) as error:
                raise AssertionError(str(error)) from None  # without the way it took through this package

    return Ticket
