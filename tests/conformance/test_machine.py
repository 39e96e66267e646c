"""The state machine finds the mutants of tickets, and its profiles keep to themselves."""

from __future__ import annotations

import re

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from numpynet import conformance
from numpynet.conformance.contract import CONTRACT
from numpynet.conformance.machine import SIZES, machine_of
from numpynet.conformance.mutants import TICKET_MUTANTS, mutant
from numpynet.conformance.profiles import PROFILES, chosen, in_plain_words, profile_name
from numpynet.conformance.subject import REFERENCE, load_subject
from numpynet.conformance.walk import Walk, part, theta_of

STUDENT = settings(settings.get_profile("conformance-student"), stateful_step_count=12)
QUICK = settings(STUDENT, phases=[Phase.explicit, Phase.generate])


@pytest.mark.parametrize("planted", TICKET_MUTANTS, ids=lambda planted: planted.id)
def test_the_machine_finds_every_mutant_of_tickets(planted, capsys):
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(machine_of(planted.plant()), settings=QUICK)


def test_a_failure_is_shrunk_to_the_steps_that_matter(capsys):
    with pytest.raises(AssertionError, match="W1 is not at mask") as caught:
        run_state_machine_as_test(machine_of(mutant("no-rewind").plant()), settings=STUDENT)
    steps = "\n".join(getattr(caught.value, "__notes__", [])) or capsys.readouterr().out
    assert re.findall(r"state\.(\w+)", steps) in (
        ["begin", "train", "rewind", "teardown"],
        ["begin", "rewind", "rewind", "teardown"],
    )


@pytest.mark.parametrize("missing", ["train_ticket", "reinit_ticket", "load_ticket", ""])
def test_the_machine_does_without_what_is_not_there(missing):
    def not_written(*args, **kwargs):
        raise NotImplementedError

    reference = load_subject(REFERENCE)
    few = settings(QUICK, max_examples=2)
    for functions in (
        {name: f for name, f in reference.functions.items() if name not in (missing, "save_ticket")},
        {**reference.functions, (missing or "begin_ticket"): not_written},
        {"begin_ticket": reference.functions["begin_ticket"]},
    ):
        run_state_machine_as_test(machine_of(reference._replace(functions=functions)), settings=few)


def test_a_ticket_may_be_a_dict():
    """Written with plain dicts, and without anything of this package."""

    def begin_ticket(theta_0, weight_mask=None):
        masks = weight_mask or {name: a * 0 + 1 for name, a in theta_0.items() if a.ndim == 2}
        theta = {name: a * masks.get(name, 1) for name, a in theta_0.items()}
        return {"theta": theta, "weight_mask": masks, "theta_0": {name: a.copy() for name, a in theta_0.items()}}

    def train_ticket(ticket, gradients):
        masks = ticket["weight_mask"]
        theta = {name: (a - 0.1 * gradients[name]) * masks.get(name, 1) for name, a in ticket["theta"].items()}
        return {**ticket, "theta": theta}

    def rewind_ticket(ticket):
        return begin_ticket(ticket["theta_0"], ticket["weight_mask"])

    functions = {"begin_ticket": begin_ticket, "train_ticket": train_ticket, "rewind_ticket": rewind_ticket}
    subject = load_subject(REFERENCE)._replace(functions=functions, optimizers=(None,))
    run_state_machine_as_test(machine_of(subject), settings=QUICK)
    walk = Walk(subject, 0, SIZES)
    assert theta_of(walk.ticket, walk.kept).keys() == walk.kept.keys()
    with pytest.raises(AssertionError, match="a ticket of type int has no theta"):
        part(3, "theta")


# ---- profiles and markers --------------------------------------------------------------------------------------------


def test_profiles_are_chosen_by_the_environment_and_do_not_replace_those_of_others():
    assert profile_name({"HYPOTHESIS_PROFILE": "thorough", "CI": "1"}) == "thorough"
    assert profile_name({"CI": "false"}) == "dev"
    with pytest.raises(
        ValueError, match="HYPOTHESIS_PROFILE is 'fast', but it must be one of dev, explore, student, ci, thorough"
    ):
        profile_name({"HYPOTHESIS_PROFILE": "fast"})
    for name in PROFILES:
        assert settings.get_profile(f"conformance-{name}").max_examples == PROFILES[name]["max_examples"]
    assert settings.get_profile("dev") is not settings.get_profile("conformance-dev")
    assert STUDENT.derandomize
    assert STUDENT.max_examples == 25


def test_only_the_machine_shrinks(monkeypatch):
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "thorough")
    assert chosen(share=0.4).max_examples == 400
    assert Phase.shrink not in chosen().phases
    assert Phase.shrink in chosen(shrink=True).phases


def test_what_is_not_repeatable_is_said_in_plain_words():
    text = in_plain_words(Flaky("Inconsistent data generation!"))
    assert text.startswith("NotRepeatable")
    assert "remembers something" in text


def test_the_package_lists_every_function():
    words = set(re.findall(r"\w+", conformance.__doc__))
    assert set(CONTRACT) <= words
