"""Stage 0: do the functions answer at all, with arrays of the right shape and type?

The first calls are also watched for what stage 2 asks: whether anything was edited, or is shared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numpynet.gradcheck.diagnosis import Cause
from numpynet.gradcheck.draws import Inputs, draw_signed
from numpynet.gradcheck.run import Finding, Run, arrays_in, cause, equal


def answers(run: Run) -> None:
    """Stage 0: call both functions once; look at arity, types, shapes, dtypes, and for NaN.

    Parameters
    ----------
    run : the check under way; outputs, gradients and what was edited are entered
    """
    pair = run.pair
    arrays, constants = run.fresh(run.inputs)
    y, run.cache = run.forward_with(arrays, constants)
    if any(not equal(arrays[name], run.inputs.arrays[name]) for name in arrays):
        run.modified.append((_changed_names(arrays, run.inputs.arrays), "26a"))
    if not _equal_nested(constants, run.inputs.constants):
        run.modified.append(("a mask or another constant", "26a"))
    _check_array(run, "y", y, None if pair.law is None else np.shape(law_of(run, run.inputs)))
    run.y = np.array(y)
    run.originals.append((y, run.y.copy()))

    run.dy = draw_signed(run.rng, run.y.shape) if run.y.ndim else float(run.rng.uniform(0.5, 1.5))
    dy = np.copy(run.dy) if run.y.ndim else run.dy
    before = [(a, a.copy()) for a in arrays_in(run.cache)]
    gradients = run.backward(dy, run.cache)
    if not equal(dy, run.dy):
        run.modified.append(("dy, the upstream gradient", "26b"))
    inputs_now = [arrays[name] for name in arrays]
    if any(not equal(a, copy) for a, copy in before if not _any_is(a, (*inputs_now, dy))):
        run.modified.append(("the cache", "26c"))
    if not run.modified and any(not equal(arrays[name], run.inputs.arrays[name]) for name in arrays):
        run.modified.append((_changed_names(arrays, run.inputs.arrays) + " (by backward)", "26a"))
    run.gradients = tuple(np.array(g) for g in gradients)
    run.originals += [(g, g.copy()) for g in gradients if isinstance(g, np.ndarray)]
    for name, g in zip(pair.gradient_names(), gradients):
        if not pair.may_share and isinstance(g, np.ndarray):
            given = {**arrays, "dy, the upstream gradient": dy}
            run.shared += [
                (name, other) for other, a in given.items() if isinstance(a, np.ndarray) and np.shares_memory(g, a)
            ]
    for name, g in zip(pair.differentiable, gradients):
        _check_array(run, "d" + name, g, run.inputs.arrays[name].shape)


def _check_array(run: Run, array: str, value: object, shape: tuple[int, ...] | None) -> None:
    """Raise unless a returned array has the dtype and shape that it should have, and is finite."""
    value = np.asarray(value)
    who = "the output of forward" if array == "y" else array
    if value.dtype.kind in "iub":
        message = f"{who} holds whole numbers ({value.dtype}), where float64 is expected: fractions are lost"
        raise run.found("dtype", message, array=array, causes=cause("27b"))
    if value.dtype.kind == "c":
        raise run.found("dtype", f"{who} is complex although every input is real", array=array)
    if value.dtype.kind != "f":
        raise run.found("dtype", f"{who} has dtype {value.dtype}, where float64 is expected", array=array)
    if shape is not None and value.shape != shape:
        raise _wrong_shape(run, array, who, value, shape)
    if value.dtype.itemsize < 8:
        message = f"{who} is {value.dtype}, but float64 went in: precision is lost inside"
        raise run.found("dtype", message, array=array, causes=cause("27a"))
    if not np.isfinite(value).all():
        index = [int(i) for i in np.argwhere(~np.isfinite(value))[0]]
        raise run.found("not finite", f"{who}{index if index else ''} is {value[tuple(index)]}", array=array)


def _wrong_shape(run: Run, array: str, who: str, value: np.ndarray, shape: tuple[int, ...]) -> Finding:
    """Return the finding for a wrong shape, with a cause if the numbers are known ones."""
    causes: tuple[Cause, ...] = ()
    if array != "y" and not run.is_large:
        right = run.numeric(array[1:]).value
        causes = run.diagnosed(array[1:], value).causes
        if not causes and value.ndim == 2 and value.shape == shape[::-1] and np.allclose(value, right.T):
            causes = cause("19")
    hint = ", its transpose" if value.ndim > 1 and value.shape == shape[::-1] else ""
    message = f"{who} has shape {value.shape}, where {shape} is expected{hint}"
    return run.found("shape", message, array=array, causes=causes)


def law_of(run: Run, inputs: Inputs) -> np.ndarray:
    """Return what the forward pass of the pair should give for these inputs, by its law.

    Parameters
    ----------
    run : the check under way
    inputs : arrays and constants, of which copies are handed over

    Returns
    -------
    the output
    """
    arrays, constants = run.fresh(inputs)
    return run.pair.law(*(arrays[name] for name in run.pair.differentiable), **constants)


def _changed_names(arrays: dict, originals: dict) -> str:
    return ", ".join(name for name in arrays if not equal(arrays[name], originals[name]))


def _equal_nested(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return all(_equal_nested(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return all(_equal_nested(x, y) for x, y in zip(a, b))
    return equal(a, b) if isinstance(a, np.ndarray) else True


def _any_is(a: np.ndarray, others: Sequence[object]) -> bool:
    return any(a is other for other in others)
