"""Stage 7: masked entries exactly 0, float32 stays float32, inputs of 1e4 stay finite."""

from __future__ import annotations

import warnings

import numpy as np

from numpynet.gradcheck.compare import compare
from numpynet.gradcheck.draws import Inputs
from numpynet.gradcheck.run import Finding, Run, as_dtype, cause, largest


def masks_and_extremes(run: Run) -> None:
    """Stage 7: masked entries exactly 0, float32 stays float32, inputs of 1e4 stay finite.

    Parameters
    ----------
    run : the check under way

    Raises
    ------
    Finding
        One of the three does not hold.
    """
    for name, mask_name in run.pair.masks.items():
        g = run.gradients[run.pair.differentiable.index(name)]
        mask = run.inputs.constants.get(mask_name)
        if mask is not None and g[np.broadcast_to(mask, g.shape) == 0].any():
            n = int((g[np.broadcast_to(mask, g.shape) == 0] != 0).sum())
            raise run.found(
                "dead", f"{n} masked entries of d{name} are not exactly 0", array="d" + name, causes=cause("dead")
            )
    _float32(run)
    _large_inputs(run)


def _float32(run: Run) -> None:
    narrow = Inputs(as_dtype(run.inputs.arrays, np.float32), as_dtype(run.inputs.constants, np.float32))
    y, cache = run.forward(narrow)
    gradients = run.backward(np.asarray(run.dy, np.float32) if run.y.ndim else run.dy, cache)
    wide = (run.y, *run.gradients)
    for name, value, expected in zip(("y", *run.pair.gradient_names()), (y, *gradients), wide):
        value = np.asarray(value)
        who = "the output of forward" if name == "y" else name
        if value.dtype != np.float32 and not (name == "y" and value.ndim == 0 and isinstance(y, float)):
            message = f"float32 goes in, but {who} comes out as {value.dtype}"
            raise run.found("dtype", message, array=name, causes=cause("m10"))
        close = compare(value.astype(np.float64), expected, rtol=1e-4, atol=1e-6)
        if value.shape != expected.shape or not close.passed:
            raise run.found("float32", f"in float32 {who} is wrong by {close.max_abs_error:.1e}", array=name)


def _large_inputs(run: Run) -> None:
    name = run.pair.extreme
    if name is None:
        return
    arrays, constants = run.fresh(run.inputs)
    arrays[name] *= 1e4 / largest(arrays[name])
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
        try:
            y, cache = run.forward(Inputs(arrays, constants))
            results = (y, *run.backward(run.dy, cache))
            finite = all(np.isfinite(r).all() for r in results)
            why = "the result is not finite"
        except Finding as finding:
            if not isinstance(finding.__cause__, FloatingPointError):
                raise
            finite, why = False, str(finding.__cause__)
    if not finite:
        raise run.found("extreme", f"{name} of size 1e4: {why}", causes=cause("m14"))
