"""Assignments as records; checks that cannot be lied to; conventions that change no right answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.classroom.rungs import law_named, layer_ladder, pair_check
from numpynet.classroom.task import Assignment, Check, Task, assignment_names, checked, load_assignment, run_check
from numpynet.classroom.variants import GAINS, Variant, adapt, variant_of
from numpynet.conformance.contract import Subject
from numpynet.conformance.subject import load_subject
from numpynet.equations import linear_backward, linear_forward
from numpynet.gradcheck import REFERENCE as BOOK
from numpynet.gradcheck import ZOO, compose_network

REFERENCE = load_subject()


def variants():
    return st.builds(Variant, st.booleans(), st.booleans(), st.booleans(), st.sampled_from(GAINS))


def in_the_convention(variant):
    """A right implementation, written for a course with this convention."""

    def forward(x, W, b, *, unit_mask=None, weight_mask=None, **prob):
        keep_prob = 1 - prob["drop_prob"] if variant.drop_prob and prob else prob.get("keep_prob", 1.0)
        if variant.dropped_mask and unit_mask is not None:
            unit_mask = 1 - unit_mask
        if variant.transposed:
            W, weight_mask = W.T, None if weight_mask is None else weight_mask.T
        y, cache = linear_forward(x, W, b, unit_mask=unit_mask, keep_prob=keep_prob, weight_mask=weight_mask)
        return variant.gain * y, cache

    def backward(dy, cache):
        dx, dW, db = linear_backward(np.asarray(variant.gain, dy.dtype) * dy, cache)
        return dx, dW.T if variant.transposed else dW, db

    return {"linear_forward": forward, "linear_backward": backward}


def scores(subject, assignment, seed=0):
    return {task.id: [run_check(check, subject, seed).points for check in task.checks] for task in assignment.tasks}


@pytest.mark.parametrize("name", assignment_names())
def test_every_assignment_is_consistent(name):
    assignment = load_assignment(name)
    assert assignment.points > 0
    assert assignment.functions
    assert assignment.solution is None or assignment.solution.is_file()


def test_the_reference_gets_all_points_and_an_empty_file_none():
    warmup = load_assignment("warmup")
    assert sum(sum(points) for points in scores(REFERENCE._replace(trusted=False), warmup).values()) == warmup.points
    assert sum(sum(points) for points in scores(Subject("empty.py", {}), warmup).values()) == 0


@given(variants(), st.integers(0, 1000))
def test_a_convention_changes_no_right_answer(variant, seed):
    subject = Subject("mine.py", adapt(in_the_convention(variant), variant), trusted=False)
    ladder = layer_ladder("linear", {"answers": 1, "values": 1, "gradients": 1, "square": 1, "details": 1}, square=True)
    assert [run_check(check, subject, seed).status for check in ladder] == ["pass"] * len(ladder)


def network_in_the_convention(variant):
    """A right network, written for a course with this convention."""
    book = compose_network(BOOK)

    def network_loss(parameters, x, *, labels, unit_masks, weight_masks, weight_decay, **prob):
        keep_prob = 1 - prob["drop_prob"] if variant.drop_prob else prob["keep_prob"]
        if variant.dropped_mask:
            unit_masks = [None if mask is None else 1 - mask for mask in unit_masks]
        flip = variant.transposed
        theirs = {name: variant.gain * (a.T if flip and a.ndim == 2 else a) for name, a in parameters.items()}
        loss, gradients = book(
            theirs,
            x,
            labels=labels,
            unit_masks=unit_masks,
            keep_prob=keep_prob,
            weight_masks=[mask.T if flip else mask for mask in weight_masks],
            weight_decay=weight_decay / variant.gain**2,
        )
        return loss, {name: variant.gain * (g.T if flip and g.ndim == 2 else g) for name, g in gradients.items()}

    return {"network_loss": network_loss}


@given(variants(), st.integers(0, 1000))
@settings(max_examples=15)
def test_a_convention_changes_no_right_network(variant, seed):
    (task,) = [task for task in load_assignment("backprop").tasks if "network_loss" in task.functions]
    subject = Subject("mine.py", adapt(network_in_the_convention(variant), variant), trusted=False)
    assert [run_check(check, subject, seed).status for check in task.checks] == ["pass"] * len(task.checks)
    if variant != Variant():
        copied = Subject("copied.py", adapt({"network_loss": compose_network(BOOK)}, variant), trusted=False)
        assert any(run_check(check, copied, seed).points == 0 for check in task.checks)


@given(variants(), st.integers(0, 1000))
@settings(max_examples=15)
def test_a_convention_changes_no_right_dropconnect(variant, seed):
    def forward(h, W, b, *, weight_mask, **prob):
        keep_prob = 1 - prob["drop_prob"] if variant.drop_prob else prob["keep_prob"]
        W, weight_mask = (
            (W.T, None if weight_mask is None else weight_mask.T) if variant.transposed else (W, weight_mask)
        )
        z, cache = linear_forward(h, W if weight_mask is not None else keep_prob * W, b, weight_mask=weight_mask)
        return z, (cache, 1.0 if weight_mask is not None else keep_prob)

    def backward(dz, cache):
        dh, dW, db = linear_backward(dz, cache[0])
        dW = cache[1] * dW
        return dh, dW.T if variant.transposed else dW, db

    functions = {"dropconnect_forward": forward, "dropconnect_backward": backward}
    subject = Subject("mine.py", adapt(functions, variant), trusted=False)
    (task,) = [task for task in load_assignment("dropout").tasks if "dropconnect_forward" in task.functions]
    assert [run_check(check, subject, seed).status for check in task.checks] == ["pass"] * len(task.checks)


@given(variants(), st.integers(0, 1000))
def test_code_for_another_convention_loses_points(variant, seed):
    if variant == Variant():
        return
    functions = {"linear_forward": linear_forward, "linear_backward": linear_backward}
    subject = Subject("copied.py", adapt(functions, variant), trusted=False)
    check = pair_check("linear", (0, 1), 1, name="values")
    assert run_check(check, subject, seed).points == 0


LADDERS = {
    pair: layer_ladder(
        pair, {"answers": 0, "values": 1, "gradients": 1, "details": 1, "square": 1}, square=pair == "linear"
    )
    for pair in ("linear", "relu", "dropout", "softmax_cross_entropy", "l2_penalty")
}
NAMED_AS = {"5a": "5b"}  # "counted twice, or gradients added up and not cleared": what can be seen at the second call
PLANTED = [bug for bug in ZOO if bug.plant is not None and bug.pair in LADDERS]


@pytest.mark.parametrize("bug", [pytest.param(bug, id=bug.id) for bug in PLANTED])
def test_every_planted_bug_loses_points_on_its_layer_and_is_named(bug):
    """The gradient is that of the law here; the diagnosis names the same bugs as with that of the forward pass."""
    functions = {name: f for name, f in bug.plant()._asdict().items() if f is not None}
    subject = Subject("mine.py", functions, trusted=False)
    wrong = [result for check in LADDERS[bug.pair] if not (result := run_check(check, subject, 1)).passed]
    assert wrong
    named = {result.report.cause for result in wrong}
    assert NAMED_AS.get(bug.id, bug.expected) in named


def liar():
    """A forward pass that notices when it is differentiated, with a backward pass of zeros to match."""
    last = {}

    def relu_forward(z):
        if np.iscomplexobj(z):
            return (z.real * (z.real > 0)).astype(complex), z
        if "z" in last and z.shape == last["z"].shape and np.abs(z - last["z"]).max() < 1e-2:
            z = last["z"]
        last["z"] = z
        return z * (z > 0), z

    return {"relu_forward": relu_forward, "relu_backward": lambda dh, z: 0 * dh}


def test_a_forward_pass_cannot_lie_to_the_numeric_gradient():
    check = pair_check("relu", (0, 1, 4), 3, name="gradients")
    assert run_check(check, Subject("liar.py", liar(), trusted=True), 0).points == 3  # what the flag is for
    result = run_check(check, Subject("liar.py", liar(), trusted=False), 0)
    assert (result.points, result.report.array) == (0, "dz")


def test_variants_have_names():
    assert variant_of("") == variant_of("book") == Variant()
    assert variant_of("drop, dropped-mask,transposed,gain=0.5") == Variant(True, True, True, 0.5)
    for wrong in ("keep", "gain=3", "gain"):
        with pytest.raises(ValueError, match="is no convention"):
            variant_of(wrong)


def test_wrong_assignments_are_refused(tmp_path):
    check = Check("a", 1, lambda subject, seed: None)
    with pytest.raises(ValueError, match="two tasks"):
        checked(Assignment("x", "X", "x.py", (Task("1", "", (), ()), Task("1", "", (), ()))))
    with pytest.raises(ValueError, match="needs 'b'"):
        checked(Assignment("x", "X", "x.py", (Task("1", "", (), (check._replace(needs=("b",)),)),)))
    with pytest.raises(ValueError, match="a name of its own"):
        checked(Assignment("x", "X", "x.py", (Task("1", "", (), (check, check)),)))
    with pytest.raises(ValueError, match="there is no assignment 'no'"):
        load_assignment("no")
    with pytest.raises(ValueError, match="there is no law"):
        law_named("prune", "no")
    own = tmp_path / "own.py"
    own.write_text("ASSIGNMENT = 3")
    with pytest.raises(ValueError, match="defines no ASSIGNMENT"):
        load_assignment(str(own))
