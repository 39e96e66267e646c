"""Stages 4 to 6: is it the gradient? Of a layer by itself, of a whole network, and with weight decay on.

All entries are compared where there are few; one random direction per array decides where there are many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpynet.gradcheck.compare import Comparison, compare, stratified_entries
from numpynet.gradcheck.diagnosis import Diagnosis, diagnose
from numpynet.gradcheck.numeric import CENTRAL_STEP, complex_direction, numeric_gradient
from numpynet.gradcheck.run import Finding, Run
from numpynet.gradcheck.stage_calls import answers, law_of


def gradients(run: Run) -> None:
    """Stage 4 (for networks 5): compare with the numeric gradient, each array on its own.

    Parameters
    ----------
    run : the check under way

    Raises
    ------
    Finding
        A gradient is wrong.
    """
    if run.is_large:
        _adjoint(run)
        return
    wrong = first_wrong(run, run.gradients)
    if wrong:
        raise gradient_finding(run, wrong[0], *wrong[1])


def network(run: Run) -> None:
    """Stage 5: the whole network, without weight decay.

    A network that has a decay is checked along one direction per array first: exact, and all that a right network
    costs. Only where a direction disagrees are the entries looked at.

    Parameters
    ----------
    run : the check under way
    """
    if run.pair.decay and run.method is None and all(direction_error(run, name) <= 1e-10 for name in run.inputs.arrays):
        return
    gradients(run)


def weight_decay(run: Run) -> None:
    """Stage 6: with weight decay on, the loss grows by the penalty and the gradient by lambda * M * W.   Equation (B21)

    Parameters
    ----------
    run : the check under way, its inputs with weight decay; it is called anew

    Raises
    ------
    Finding
        The loss or a gradient is wrong.
    """
    run.numerics.clear()
    run.modified.clear()
    answers(run)
    if run.pair.law is not None:
        comparison = run.compare_output(run.y, law_of(run, run.inputs))
        if not comparison.passed:
            message = "with weight decay on, the loss is wrong; without it is right"
            raise run.found("forward", message, array="y", comparison=comparison)
    network(run)


def first_wrong(run: Run, gradients: Sequence[np.ndarray]) -> tuple[Comparison, tuple[str, Diagnosis | None]] | None:
    """Return the comparison and diagnosis of the first wrong array, one with a known cause before others.

    A network is read from the loss backwards: what lies upstream of a mistake is wrong, too. Where there are too many
    entries to look at, nothing is said.

    Parameters
    ----------
    run : the check under way
    gradients : one for each array, of a shape that may be wrong

    Returns
    -------
    comparison, (name of the array, diagnosis); or None
    """
    if run.is_large:
        return None
    names = list(zip(run.pair.differentiable, gradients))
    if run.pair.whole:
        names.reverse()
    found = []
    for position, (name, g) in enumerate(names):
        if run.pair.whole and found and position % 2 == 0:
            break  # the next layer upstream
        if np.shape(g) != run.inputs.arrays[name].shape:
            continue
        comparison = run.compared(name, g)
        if comparison.passed:
            run.note_error(comparison)
            continue
        diagnosis = run.diagnosed(name, g, comparison)
        found.append((comparison, (name, diagnosis)))
        if diagnosis.causes:
            return found[-1]
    return found[0] if found else None


def gradient_finding(
    run: Run, comparison: Comparison, name: str, diagnosis: Diagnosis | None, *, notes: tuple[str, ...] = ()
) -> Finding:
    """Return the finding that a gradient is wrong, with its diagnosis and the names of others that are wrong, too.

    Parameters
    ----------
    run : the check under way
    comparison : of the array with the numeric gradient
    name : of the array
    diagnosis : of the difference, or None
    notes : further remarks for the report

    Returns
    -------
    the finding, to be raised
    """
    others = []
    for other, g in zip(run.pair.differentiable, run.gradients):
        if other != name and other in run.numerics and not run.compared(other, g).passed:
            others.append("d" + other)
    if others:
        notes = (*notes, f"also wrong: {', '.join(others)}")
    return run.found(
        "gradient",
        f"d{name} is wrong in {int(comparison.wrong.sum())} of {comparison.wrong.size} entries",
        array="d" + name,
        causes=() if diagnosis is None else diagnosis.causes,
        comparison=comparison,
        diagnosis=diagnosis,
        notes=notes,
    )


def _adjoint(run: Run) -> None:
    """Check each array along one random direction; look at single entries of the first that disagrees."""
    for name in reversed(run.pair.differentiable):
        error = direction_error(run, name)
        if error > 1e-10:
            _sampled(run, name, run.gradients[run.pair.differentiable.index(name)], error)


def direction_error(run: Run, name: str) -> float:
    """Return |<dy, J v> - <J^T dy, v>| for a random v, relative to ||dy|| ||J v||: one complex forward pass.

    Two real ones guard it: where a central difference along v disagrees with J v, the forward drops the imaginary part,
    and the error is infinite. The entries then decide, by a method with its own guards.

    Parameters
    ----------
    run : the check under way; its generator moves on
    name : of the array

    Returns
    -------
    a number >= 0, infinite where the direction cannot decide
    """
    x, g = run.inputs.arrays[name], run.gradients[run.pair.differentiable.index(name)]
    v = run.rng.standard_normal(x.shape)
    try:
        Jv = complex_direction(lambda z: run.value(**{name: z}), x, v)
    except Finding:
        return np.inf
    u = v * (CENTRAL_STEP / np.linalg.norm(v))  # short, so that hardly a unit crosses its kink
    ends = [run.value(**{name: x + sign * u}) for sign in (1, -1)]
    difference = (ends[0] - ends[1]) * (np.linalg.norm(v) / (2 * CENTRAL_STEP))
    rounding = 1e-8 * np.linalg.norm(run.y) * np.linalg.norm(v)
    if not np.linalg.norm(difference - Jv) <= 1e-4 * np.linalg.norm(difference) + rounding:
        return np.inf
    scale = float(np.linalg.norm(run.dy) * np.linalg.norm(Jv))
    if not run.y.ndim:
        scale = max(scale, float(np.linalg.norm(g)))  # J v is one number, which may cancel
    if not scale:
        return np.inf if g.any() else 0.0
    error = abs(float((run.dy * Jv).sum()) - float((g * v).sum())) / scale
    if not error <= 1e-10:  # NaN as well
        return np.inf if np.isnan(error) else error
    run.used_method = ("complex step along a random direction", 1e-30)
    run.worst_error = max(run.worst_error, error)
    return error


def _sampled(run: Run, name: str, g: np.ndarray, error: float) -> None:
    """Look at a stratified sample of the entries of one array, to say where it is wrong."""
    mask_name = run.pair.masks.get(name)
    mask = None if mask_name is None else run.inputs.constants.get(mask_name)
    x = run.inputs.arrays[name]
    entries = stratified_entries(x.shape, mask, run.rng)
    numeric = numeric_gradient(run.scalar_function(name), x, rng=run.rng, entries=entries, method=run.method)
    run.used_method = (numeric.method, numeric.step)
    if numeric.note and numeric.note not in run.notes:
        run.notes.append(numeric.note)
    comparison = compare(np.asarray(g).reshape(-1)[entries], numeric.value, rtol=numeric.rtol, atol=numeric.atol)
    if comparison.passed:
        if numeric.method == "complex step":
            message = (
                f"d{name} disagrees with the derivative along a random direction (relative error {error:.1e}), but none "
                f"of {entries.size} sampled entries is wrong: few entries are, or the error is small"
            )
            raise run.found("direction", message, array="d" + name)
        run.notes.append(f"d{name}: only {entries.size} of {x.size} entries could be compared")
        run.note_error(comparison)
        return
    diagnosis = diagnose(comparison.analytic, numeric.value, factors=run.factors(), wrong=comparison.wrong)
    index = np.unravel_index(int(entries[comparison.index[0]]), x.shape)
    notes = f"{entries.size} of {x.size} entries were sampled"
    finding = gradient_finding(
        run, comparison._replace(index=tuple(int(i) for i in index)), name, diagnosis, notes=(notes,)
    )
    raise finding
