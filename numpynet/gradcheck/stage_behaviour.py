"""Stages 1 to 3: are the values right, can the functions be called again, is backward linear?

A wrong gradient of a forward pass that draws its own mask, or that is not the layer's equation, means nothing. So these
questions come before the gradient; where one fails, the gradient may still help to name the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpynet.gradcheck.diagnosis import diagnose
from numpynet.gradcheck.draws import Inputs, draw_signed
from numpynet.gradcheck.run import Finding, Run, arrays_in, cause, equal, largest
from numpynet.gradcheck.stage_calls import law_of
from numpynet.gradcheck.stage_gradients import direction_error, first_wrong, gradient_finding


def forward_values(run: Run) -> None:
    """Stage 1: compare the output with the law of the layer, in training and in evaluation.

    Parameters
    ----------
    run : the check under way

    Raises
    ------
    Finding
        An output is not that of the law, or two forward passes differ.
    """
    pair = run.pair
    if pair.law is None:
        return
    comparison = run.compare_output(run.y, law_of(run, run.inputs))
    if not comparison.passed:
        _forward_repeats(run)  # a forward that draws its own mask is another finding
        diagnosis = diagnose(
            comparison.analytic,
            comparison.numeric,
            candidates=run.candidates("y"),
            factors=run.factors(),
            wrong=comparison.wrong,
        )
        causes, notes = diagnosis.causes, ()
        if gradients_agree(run):
            notes = ("backward agrees with this forward pass: the same mistake stands in both",)
            if causes and causes[0].id == "f9":
                causes = cause("m13")
        raise run.found(
            "forward",
            f"the output of forward is wrong in {int(comparison.wrong.sum())} of {comparison.wrong.size} entries",
            array="y",
            causes=causes,
            comparison=comparison,
            diagnosis=diagnosis,
            notes=notes,
        )
    run.note_error(comparison)
    if pair.evaluation:
        arrays, constants = run.fresh(run.inputs)
        inputs = Inputs(arrays, {**constants, **pair.evaluation})
        comparison = run.compare_output(run.forward(inputs)[0], law_of(run, inputs))
        if not comparison.passed:
            settings = ", ".join(f"{name}={value}" for name, value in pair.evaluation.items())
            raise run.found(
                "forward",
                f"in evaluation ({settings}) the output of forward is wrong",
                array="y",
                comparison=comparison,
                notes=(f"this is the evaluation: {settings}",),
            )


def repeatable(run: Run) -> None:
    """Stage 2: nothing was modified, two calls agree, and another forward in between changes nothing.

    Parameters
    ----------
    run : the check under way

    Raises
    ------
    Finding
        Something given was edited, calls differ, an earlier result or gradient is changed by a later call, or shares
        memory with an input.
    """
    for what, bug in run.modified:
        raise run.found("modified", f"{what} is modified in place", causes=cause(bug))
    second_cache = _forward_repeats(run)
    for cache in (second_cache, run.cache):
        again = run.backward(np.copy(run.dy) if run.y.ndim else run.dy, cache)
        if not all(equal(g, first) for g, first in zip(again, run.gradients)):
            raise _backward_differs(run, again)

    other = other_inputs(run)
    before = [(a, a.copy()) for a in arrays_in(run.cache)]
    _, other_cache = run.forward(other)
    run.backward(2.5 * run.dy, other_cache)
    for original, copy in (*run.originals, *before):
        if isinstance(original, np.ndarray) and not equal(original, copy):
            message = "an array that was returned earlier is overwritten by the next call"
            raise run.found("buffer", message, causes=cause("m12"))
    after = run.backward(np.copy(run.dy) if run.y.ndim else run.dy, run.cache)
    if not all(equal(g, first) for g, first in zip(after, run.gradients)):
        message = "an unrelated forward pass between forward and backward changes the gradient"
        raise run.found("state", message, causes=cause("m11"))
    for name, other_name in run.shared:
        comparison, diagnosis = first_wrong(run, run.gradients) or (None, None)
        causes = () if diagnosis is None or diagnosis[1] is None else diagnosis[1].causes
        if comparison is not None and causes:
            raise gradient_finding(run, comparison, *diagnosis, notes=(f"{name} shares memory with {other_name}",))
        raise run.found("shares memory", f"{name} shares memory with {other_name}", array=name, causes=cause("28c"))


def _forward_repeats(run: Run) -> Any:
    """Run the forward pass once more and return its cache, or raise if the output is another one."""
    y, cache = run.forward()
    if not equal(y, run.y):
        message = "two forward passes with the same arguments differ"
        causes = cause("14b") if run.pair.masks else ()
        note = () if causes else ("does it draw random numbers, or keep something from one call to the next?",)
        raise run.found("not repeatable", message, array="y", causes=causes, notes=note)
    return cache


def _backward_differs(run: Run, again: Sequence[np.ndarray]) -> Finding:
    message = "two backward calls with the same arguments differ"
    pairs = list(zip(again, run.gradients))
    for times in range(2, 9):  # gradients that are added up from call to call, and never cleared
        if all(np.shape(g) == np.shape(f) and np.allclose(g, times * f, rtol=1e-9, atol=1e-300) for g, f in pairs):
            words = {2: "twice"}.get(times, f"{times} times")
            return run.found("not repeatable", f"{message}: a later one gives {words} the first", causes=cause("5a"))
    support_differs = any(np.shape(g) != f.shape or ((np.asarray(g) == 0) != (f == 0)).any() for g, f in pairs)
    causes = cause("14a") if run.pair.masks and support_differs else ()
    note = () if causes else ("does it draw random numbers, or keep something from one call to the next?",)
    return run.found("not repeatable", message, causes=causes, notes=note)


def linear_in_dy(run: Run) -> None:
    """Stage 3: backward(0) = 0 and backward(u + v) = backward(u) + backward(v).

    Parameters
    ----------
    run : the check under way

    Raises
    ------
    Finding
        backward is not linear in the upstream gradient.
    """
    if run.y.ndim:
        other, zero = draw_signed(run.rng, run.y.shape), np.zeros(run.y.shape)
    else:
        other, zero = -float(run.rng.uniform(0.5, 1.5)), 0.0
    at_zero = run.backward(zero, run.cache)
    at_other = run.backward(np.copy(other) if run.y.ndim else other, run.cache)
    at_sum = run.backward(run.dy + other, run.cache)
    names = run.pair.differentiable
    for name, zero_g, other_g, sum_g, g in zip(names, at_zero, at_other, at_sum, run.gradients):
        scale = max(largest(other_g), largest(g), 1e-300)
        ignored = largest(g) > 0 and equal(zero_g, g) and equal(other_g, g)
        nonzero = largest(zero_g) > 1e-10 * scale
        if ignored:
            message = f"d{name} does not depend on the upstream gradient"
            raise run.found("not linear", message, array="d" + name, causes=cause("25"))
        if nonzero or not largest(np.asarray(sum_g) - (np.asarray(other_g) + g)) <= 1e-10 * scale:
            known = first_wrong(run, run.gradients)
            if known and known[1][1] is not None and known[1][1].causes:
                raise gradient_finding(run, known[0], *known[1])
            message = (
                f"d{name} is not 0 for an upstream gradient of 0: something is added to it"
                if nonzero
                else f"d{name} is not linear in the upstream gradient"
            )
            raise run.found("not linear", message, array="d" + name, causes=cause("25") if nonzero else ())


def gradients_agree(run: Run) -> bool:
    """Say whether backward is the gradient of this forward, right or wrong.

    Parameters
    ----------
    run : the check under way

    Returns
    -------
    True or False; nothing is raised for a disagreement
    """
    if run.is_large:
        return all(direction_error(run, name) <= 1e-10 for name in run.pair.differentiable)
    return all(run.compared(name, g).passed for name, g in zip(run.pair.differentiable, run.gradients))


def other_inputs(run: Run) -> Inputs:
    """Return other inputs of the same sizes.

    Parameters
    ----------
    run : the check under way; its generator moves on

    Returns
    -------
    a new draw of the pair
    """
    return run.pair.draw(run.rng, run.sizes, run.keep_prob)
