"""The life of a ticket: Hypothesis looks for the shortest order of steps after which a law is broken."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from numpynet.conformance.contract import TICKET_FUNCTIONS
from numpynet.conformance.laws import LawBroken, Raised, Waiting
from numpynet.conformance.machine import SIZES, machine_of
from numpynet.conformance.profiles import chosen, in_plain_words
from numpynet.conformance.walk import Walk

pytestmark = [getattr(pytest.mark, name) for name in TICKET_FUNCTIONS]


def test_ticket_in_any_order(under_test):
    if "begin_ticket" not in under_test.functions:
        pytest.skip("WAIT: begin_ticket is not defined")
    with contextlib.suppress(LawBroken, Raised):  # the machine will say so, too
        try:
            Walk(under_test, 0, SIZES, under_test.optimizers[0])
        except Waiting as error:
            pytest.skip(f"WAIT: {error}")
    try:
        how = settings(chosen(shrink=True), stateful_step_count=12)
        run_state_machine_as_test(machine_of(under_test), settings=how)
    except Flaky as error:
        raise AssertionError(in_plain_words(error)) from None
    except AssertionError as error:
        steps = getattr(error, "__notes__", [])  # the shortest order of steps, as Hypothesis writes it
        raise AssertionError("\n".join([f"LawBroken  {error}", *steps])) from None
