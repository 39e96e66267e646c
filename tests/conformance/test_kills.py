"""Tests of the tests: the conformance suite finds nothing in right code, and something in every wrong one.

Three kinds of wrong code: the bugs of the zoo, the mutants of masks and tickets, and small damages done to every
function of the layer contract in turn, so that no law is there which nothing has ever broken.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from numpynet.conformance.contract import CONTRACT, Subject
from numpynet.conformance.kills import killers, laws_against, subject_with
from numpynet.conformance.layer_laws import STAGE_LAWS, VALUE_LAWS
from numpynet.conformance.mutants import MASK_MUTANTS, TICKET_MUTANTS, mutant
from numpynet.conformance.subject import REFERENCE, load_subject
from numpynet.conformance.suite import LAWS, broken_laws, laws_about
from numpynet.gradcheck import MUTANTS, ZOO
from numpynet.gradcheck.draws import Sizes

SIZES = Sizes(5, 7, 4, 3)
PLANTED = (*ZOO, *MUTANTS, *MASK_MUTANTS, *TICKET_MUTANTS)


# ---- right code ------------------------------------------------------------------------------------------------------


def test_the_reference_breaks_no_law():
    assert broken_laws(load_subject(REFERENCE), seeds=range(2)) == []


def test_the_reference_defines_the_whole_contract():
    assert set(load_subject(REFERENCE).functions) == set(CONTRACT)


def test_every_function_of_the_contract_has_a_law_that_blames_it_alone():
    to_blame = {law.tasks for law in LAWS if len(law.tasks) == 1} | {("save_ticket",), ("load_ticket",)}
    assert to_blame == {(task,) for task in CONTRACT}


# ---- planted bugs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.id)
def test_every_planted_bug_is_killed(planted):
    assert killers(planted, stop=True), f"{planted.id} survives: a law is missing"


def test_the_zoo_is_complete():
    assert {bug.row for bug in ZOO} == set(range(1, 29))
    assert {bug.row for bug in MUTANTS} == set(range(1, 15))
    ids = [planted.id for planted in PLANTED]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("planted", (*MASK_MUTANTS, *TICKET_MUTANTS), ids=lambda planted: planted.id)
def test_mutants_say_what_is_wrong(planted):
    assert planted.task in CONTRACT
    assert len(planted.explanation.split()) > 2
    assert planted.plant().functions[planted.task] is not load_subject(REFERENCE).functions[planted.task]


def test_a_mutant_that_is_none_survives():
    """The kill is not a matter of the machinery: the same way with the right function kills nothing."""
    right = mutant("no-rewind")._replace(make=lambda: load_subject(REFERENCE).functions["rewind_ticket"])
    assert killers(right, seeds=range(2)) == []


def test_laws_against_a_bug_are_those_of_its_layer():
    assert {law.tasks[0] for law in laws_against(mutant("signed"))} == {"prune"}
    with pytest.raises(KeyError, match="there is no mutant 'prune'"):
        mutant("prune")
    assert subject_with(mutant("signed")).file == "mutant signed"


# ---- small damages to every function ---------------------------------------------------------------------------------


def one_entry_off(result):
    """The largest entry of the first array is off by one part in a million."""
    first, *others = result if isinstance(result, tuple) else (result,)
    wrong = np.array(first)
    wrong[np.unravel_index(np.abs(wrong).argmax(), wrong.shape)] *= 1 + 1e-6
    return (wrong, *others) if isinstance(result, tuple) else wrong


def in_double(result):
    first, *others = result if isinstance(result, tuple) else (result,)
    wide = first.astype(np.result_type(first, np.float64))
    return (wide, *others) if isinstance(result, tuple) else wide


def wrong_values(forward):
    def damaged(*arrays, **constants):
        y, cache = forward(*arrays, **constants)
        return one_entry_off(y), cache

    return damaged


def writes_to_its_argument(forward):
    def damaged(first, *arrays, **constants):
        result = forward(first.copy(), *arrays, **constants)
        first[...] *= 2
        return result

    return damaged


def forward_in_double(forward):
    def damaged(*arrays, **constants):
        y, cache = forward(*arrays, **constants)
        return in_double(np.asarray(y)), cache

    return damaged


def wrong_gradient(backward):
    return lambda dy, cache: one_entry_off(backward(dy, cache))


def not_linear(backward):
    def damaged(dy, cache):
        result = backward(dy, cache)
        first, *others = result if isinstance(result, tuple) else (result,)
        return (first + 1e-3, *others) if others else first + 1e-3

    return damaged


def counts_its_calls(backward):
    calls = itertools.count()

    def damaged(dy, cache):
        result = backward(dy, cache)
        first, *others = result if isinstance(result, tuple) else (result,)
        first = first * (1 + 1e-9 * next(calls))
        return (first, *others) if others else first

    return damaged


def backward_in_double(backward):
    return lambda dy, cache: in_double(backward(dy, cache))


FORWARD_DAMAGE = {
    "values": wrong_values,
    "purity": writes_to_its_argument,
    "float32 and extremes": forward_in_double,
}
BACKWARD_DAMAGE = {
    "gradients": wrong_gradient,
    "gradients of a square layer": wrong_gradient,
    "linearity": not_linear,
    "purity": counts_its_calls,
    "zeros, float32 and extremes": backward_in_double,
}


@pytest.mark.parametrize("law", STAGE_LAWS, ids=repr)
def test_every_law_of_layers_can_be_broken(law):
    (task,) = law.tasks
    damages = BACKWARD_DAMAGE if task.endswith("backward") or task == "mask_gradients" else FORWARD_DAMAGE
    right = load_subject(REFERENCE)
    damaged = right.having(**{task: damages[law.name](right.functions[task])})
    assert broken_laws(damaged, [law], seeds=range(2)), "nothing was noticed"
    assert not broken_laws(right, [law], seeds=range(2))


def unscaled(h, unit_mask, keep_prob):
    return h * unit_mask * (1 / keep_prob) * (1 + 4e-16), None


def drops_at_evaluation(h, unit_mask, keep_prob):
    return h * unit_mask / keep_prob * (1 if keep_prob < 1 else 1 - 1e-15), None


def sum_for_mean(logits, labels):
    loss, cache = load_subject(REFERENCE).functions["softmax_cross_entropy_forward"](logits, labels)
    return loss * len(labels), cache


def floored_logarithm(logits, labels):
    """The usual cure for log(0), which is none: the loss cannot exceed 27.6."""
    P = np.exp(logits - logits.max(axis=-1, keepdims=True))
    P /= P.sum(axis=-1, keepdims=True)
    return -np.log(P[np.arange(len(labels)), labels] + 1e-12).mean(), None


VALUE_DAMAGE = {
    "last bit": unscaled,
    "identity at evaluation": drops_at_evaluation,
    "mean over the batch": sum_for_mean,
    "logits of 1e4": floored_logarithm,
}


@pytest.mark.parametrize("law", VALUE_LAWS, ids=repr)
def test_every_law_of_values_can_be_broken(law):
    damaged = load_subject(REFERENCE).having(**{law.tasks[0]: VALUE_DAMAGE[law.name]})
    ((_, report),) = broken_laws(damaged, [law])
    assert report.message.startswith(f"{law.name}: ")


def test_a_floored_logarithm_is_seen_by_its_law_alone():
    """At ordinary logits it is right to 1e-11; no gradient check of the forward pass would ask."""
    task = "softmax_cross_entropy_forward"
    laws = [law for law in laws_about(task) if law.tasks == (task,)]
    broken = broken_laws(load_subject(REFERENCE).having(**{task: floored_logarithm}), laws)
    assert "logits of 1e4" in [law.name for law, _ in broken]
    assert "values" not in [law.name for law, _ in broken]


@pytest.mark.parametrize("law", [law for law in LAWS if law not in (*STAGE_LAWS, *VALUE_LAWS)], ids=repr)
def test_every_other_law_is_broken_by_some_planted_bug(law):
    suspects = [planted for planted in PLANTED if law in laws_against(planted)]
    assert any(broken_laws(subject_with(p), [law], seeds=range(5)) for p in suspects)


# ---- what the suite says of an implementation that is not all there --------------------------------------------------


def test_what_is_not_defined_is_skipped_and_what_is_not_written_is_waited_for():
    def not_written(*args):
        raise NotImplementedError("Task 3.1: prune")

    (law, *_) = laws_about("prune")
    empty = law.report(Subject("mine.py", {}), 0, SIZES)
    assert (empty.status, empty.message) == ("skip", "prune is not defined")
    waiting = law.report(Subject("mine.py", {"prune": not_written}), 0, SIZES)
    assert (waiting.status, waiting.message) == ("wait", "Task 3.1: prune")
    assert broken_laws(Subject("mine.py", {"prune": not_written})) == []


def test_exceptions_and_none_are_findings():
    def raises(W, mask, rate):
        return W["W1"]

    (law, *_) = laws_about("prune")
    report = law.report(Subject("mine.py", {"prune": raises}), 0, SIZES)
    assert report.status == "error"
    assert report.message.startswith("prune raised IndexError: ")
    report = law.report(Subject("mine.py", {"prune": lambda W, mask, rate: None}), 0, SIZES)
    assert (report.status, report.message) == (
        "fail",
        f"{law.name}: prune returns None (is the return statement missing?)",
    )


def test_there_are_no_laws_about_what_is_not_in_the_contract():
    with pytest.raises(ValueError, match="there is no function 'prunes' in the contract"):
        laws_about("prunes")
