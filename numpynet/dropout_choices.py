"""What ``numpynet train`` can be told about dropout: from names and numbers to rules, a schedule and a loss.

The kinds differ in what is drawn and in where it acts, so each takes options of its own. An option that would change
nothing is an error here: a run that was asked for one thing and did another is worse than none.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence

import numpy as np

from numpynet import layer_rules
from numpynet.equations.keep_schedules import Curriculum, Early, KeepSchedule, Late, Linear
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.equations.r_drop import r_drop
from numpynet.equations.variational_dropout import log_alpha_of
from numpynet.layer_rules import LayerRule

WITH_KEEP_PROB = ("unit", "dropconnect", "gaussian", "variational", "alpha")
WITH_SHARED_MASKS = ("unit", "dropconnect")
TARGETED = ("targeted-weights", "targeted-units")
ON_HIDDEN_UNITS = ("targeted-units", "standout")  # they silence units of z, which logits must not lose
NEED_KEEP_STEPS = ("early", "late")
MAX_BYTES = 2**31


def kind_of(options: Namespace) -> str:
    """Return the kind of dropout; unit dropout unless another was asked for.

    Parameters
    ----------
    options : what ``numpynet train`` parsed

    Returns
    -------
    A name that ``--dropout`` takes.

    Examples
    --------
    >>> kind_of(Namespace(dropout=None))
    'unit'
    """
    return options.dropout or "unit"


def check_dropout(options: Namespace) -> None:
    """Raise if an option about dropout would be without effect, or if one that is needed is missing.

    Parameters
    ----------
    options : what ``numpynet train`` parsed

    Raises
    ------
    ValueError
        An option about dropout has no effect here, or one that is needed is missing.

    Examples
    --------
    >>> none = dict.fromkeys(("dropout", "keep_prob", "target_share", "drop_prob", "standout_alpha", "standout_beta"))
    >>> none |= {"shared_masks": False, "keep_schedule": None, "keep_steps": None, "r_drop": None}
    >>> check_dropout(Namespace(**none | {"dropout": "gaussian"}))
    Traceback (most recent call last):
    ...
    ValueError: --dropout gaussian needs --keep-prob, such as --keep-prob 0.8
    """
    kind = kind_of(options)
    for name, value, fits in (
        ("--keep-prob", options.keep_prob, WITH_KEEP_PROB),
        ("--shared-masks", options.shared_masks or None, WITH_SHARED_MASKS),
        ("--target-share", options.target_share, TARGETED),
        ("--drop-prob", options.drop_prob, TARGETED),
        ("--standout-alpha", options.standout_alpha, ("standout",)),
        ("--standout-beta", options.standout_beta, ("standout",)),
        ("--keep-schedule", options.keep_schedule, ("unit",)),
    ):
        if value is not None and kind not in fits:
            raise ValueError(f"{name} is for --dropout {' and '.join(fits)}; it would have no effect on {kind}")
    asked = [
        option
        for option, is_there in (
            (f"--dropout {options.dropout}", options.dropout is not None),
            ("--shared-masks", options.shared_masks),
            (f"--keep-schedule {options.keep_schedule}", options.keep_schedule is not None),
            (f"--r-drop {options.r_drop}", options.r_drop is not None),
        )
        if is_there
    ]
    if asked and kind in WITH_KEEP_PROB and options.keep_prob is None:
        raise ValueError(f"{asked[0]} needs --keep-prob, such as --keep-prob 0.8")
    _check_keep_schedule(options)
    _check_r_drop(options, kind)


def _check_keep_schedule(options: Namespace) -> None:
    if options.keep_schedule is None:
        if options.keep_steps is not None:
            raise ValueError("--keep-steps is for --keep-schedule; without one it would have no effect")
        return
    if isinstance(options.keep_prob, tuple):
        raise ValueError(
            "--keep-schedule moves one keep probability, that of the hidden layers, but --keep-prob is a list: give one number"
        )
    if options.keep_prob == 1:
        raise ValueError("--keep-schedule would have no effect: --keep-prob is 1, so no unit would ever be dropped")
    if options.shared_masks:
        raise ValueError("--keep-schedule draws a mask for every example: leave out --shared-masks")
    if options.keep_schedule in NEED_KEEP_STEPS and options.keep_steps is None:
        raise ValueError(f"--keep-schedule {options.keep_schedule} needs --keep-steps STEPS")


def _check_r_drop(options: Namespace, kind: str) -> None:
    if options.r_drop is None:
        return
    same = "--shared-masks" if options.shared_masks else "--dropout targeted-weights" if kind == TARGETED[0] else ""
    if same:
        raise ValueError(
            f"--r-drop compares two passes with masks of their own, but with {same} both would have the same: "
            "it would have no effect"
        )
    if kind == "targeted-units" and options.drop_prob == 1:
        raise ValueError(
            "--r-drop would have no effect: --drop-prob is 1, so both passes would be without the same units"
        )
    keep_probs = options.keep_prob if isinstance(options.keep_prob, tuple) else (options.keep_prob,)
    if kind in WITH_KEEP_PROB and all(q == 1 for q in keep_probs):
        raise ValueError("--r-drop would have no effect: --keep-prob is 1, so both passes would be the same")


def check_memory(options: Namespace, sizes: Sequence[int], keep_probs: Sequence[float | None]) -> None:
    """Raise if the masks of one layer and batch would take more than 2 GiB: those of dropconnect, one for each example.

    Parameters
    ----------
    options : what ``numpynet train`` parsed
    sizes : units of the inputs, of each hidden layer and of the output
    keep_probs : for each layer, None where nothing is dropped

    Raises
    ------
    ValueError
        The masks of one layer in one step would take more than ``MAX_BYTES``.

    Examples
    --------
    >>> options = Namespace(dropout="dropconnect", shared_masks=False, r_drop=None, seed=[0], batch_size=1000, dtype="float32")
    >>> check_memory(options, (784, 1000, 10), (0.8, None))
    Traceback (most recent call last):
    ...
    ValueError: --dropout dropconnect draws a mask of 784 x 1000 weights for each of 1000 examples, 2.9 GiB in a step: give --shared-masks, or a smaller --batch-size
    """
    if kind_of(options) != "dropconnect" or options.shared_masks:
        return
    examples = options.batch_size * len(options.seed) * (1 if options.r_drop is None else 2)
    d_in, d_out = max(
        ((n, m) for n, m, q in zip(sizes, sizes[1:], keep_probs) if q is not None), key=math.prod, default=(0, 0)
    )
    wanted = examples * d_in * d_out * np.dtype(options.dtype).itemsize
    if wanted > MAX_BYTES:
        raise ValueError(
            f"--dropout dropconnect draws a mask of {d_in} x {d_out} weights for each of {examples} examples, "
            f"{wanted / 2**30:.1f} GiB in a step: give --shared-masks, or a smaller --batch-size"
        )


def check_candidates(options: Namespace, sizes: Sequence[int]) -> None:
    """Raise if targeted dropout would have no candidate in any layer, because floor(share n) is 0.   Equation (D22)

    Parameters
    ----------
    options : what ``numpynet train`` parsed
    sizes : units of the inputs, of each hidden layer and of the output

    Raises
    ------
    ValueError
        The share of candidates is too small for the widest layer.

    Examples
    --------
    >>> check_candidates(Namespace(dropout="targeted-weights", target_share=0.01), (64, 30, 10))
    Traceback (most recent call last):
    ...
    ValueError: --target-share is 0.01: of at most 64 weights of a unit that is no whole one, so nothing would ever be dropped
    """
    kind = kind_of(options)
    if kind not in TARGETED:
        return
    units = kind == "targeted-units"
    share, most = share_of(options), max(sizes[1:-1] if units else sizes[:-1], default=0)
    if most and math.floor(share * most) == 0:
        what = "units of a layer" if units else "weights of a unit"
        raise ValueError(
            f"--target-share is {share:g}: of at most {most} {what} that is no whole one, so nothing would ever be dropped"
        )


def share_of(options: Namespace) -> float:
    """Return the share of the candidates of targeted dropout.

    Parameters
    ----------
    options : what ``numpynet train`` parsed

    Returns
    -------
    A number in (0, 1].

    Examples
    --------
    >>> share_of(Namespace(target_share=None))
    0.75
    """
    return 0.75 if options.target_share is None else options.target_share


def rules_of(options: Namespace, keep_probs: Sequence[float | None]) -> list[LayerRule | None] | None:
    """Return the rule of each layer, or None for unit dropout with masks of every example's own, which needs none.

    Parameters
    ----------
    options : dropout and what belongs to it
    keep_probs : for each layer, None where nothing is dropped; kinds that take no keep probability look only how many

    Returns
    -------
    A rule for each layer, None where nothing is dropped.

    Raises
    ------
    ValueError
        The kind silences hidden units, and there are none.

    Examples
    --------
    >>> [rule and rule.name for rule in rules_of(Namespace(dropout="gaussian"), (None, 0.8))]
    [None, 'gaussian_dropout(0.8)']
    """
    kind, n_layers = kind_of(options), len(keep_probs)
    if kind in ON_HIDDEN_UNITS and n_layers == 1:
        raise ValueError(f"--dropout {kind} is for the units of the hidden layers, but this network has none")
    if kind == "standout":
        alpha = 1.0 if options.standout_alpha is None else options.standout_alpha
        beta = 0.0 if options.standout_beta is None else options.standout_beta
        return [layer_rules.standout(alpha, beta)] * (n_layers - 1) + [None]
    if kind in TARGETED:
        share = share_of(options)
        drop_prob = 0.66 if options.drop_prob is None else options.drop_prob
        if kind == "targeted-weights":
            return [layer_rules.targeted_weight_dropout(share, drop_prob)] * n_layers
        return [layer_rules.targeted_unit_dropout(share, drop_prob)] * (n_layers - 1) + [None]
    if kind == "unit":
        if not options.shared_masks:
            return None
        return [None if q is None else layer_rules.unit_dropout(q, shared=True) for q in keep_probs]
    if kind == "dropconnect":
        return [None if q is None else layer_rules.dropconnect(q, shared=options.shared_masks) for q in keep_probs]
    if kind == "variational":  # where nothing is dropped there is no noise, and no alpha
        return [None if q is None or q == 1 else layer_rules.variational_dropout(log_alpha_of(q)) for q in keep_probs]
    make = layer_rules.gaussian_dropout if kind == "gaussian" else layer_rules.alpha_dropout
    return [None if q is None else make(q) for q in keep_probs]


def keep_schedule_of(options: Namespace, total_steps: int) -> KeepSchedule | None:
    """Return how the keep probability moves through the run, or None where it stays.   Equations (D24) and (D25)

    Parameters
    ----------
    options : what ``numpynet train`` parsed
    total_steps : of the whole run

    Returns
    -------
    KeepSchedule, which counts steps

    Raises
    ------
    ValueError
        Early or late dropout would switch only when the run is over.

    Examples
    --------
    >>> keep_schedule_of(Namespace(keep_schedule="linear-early", keep_prob=0.8, keep_steps=None), 100)
    Linear(start=0.8, end=1.0, steps=100)
    """
    name, q = options.keep_schedule, options.keep_prob
    if name is None:
        return None
    steps = total_steps if options.keep_steps is None else options.keep_steps
    if name in NEED_KEEP_STEPS and steps >= total_steps:
        what = "the dropout would never end" if name == "early" else "no unit would ever be dropped"
        raise ValueError(f"--keep-steps is {steps}, but the run has {total_steps} steps: {what}")
    return {
        "curriculum": lambda: Curriculum(q, gamma=10 / steps),  # within 5e-5 of q after so many steps
        "early": lambda: Early(q, steps),
        "late": lambda: Late(q, steps),
        "linear-early": lambda: Linear(q, 1.0, steps),
        "linear-late": lambda: Linear(1.0, q, steps),
    }[name]()


def loss_of(options: Namespace) -> Loss:
    """Return the cross-entropy, with the R-Drop term if it was asked for.   Equation (D23)

    Parameters
    ----------
    options : what ``numpynet train`` parsed

    Returns
    -------
    Loss

    Examples
    --------
    >>> loss_of(Namespace(r_drop=0.5)).name
    'r_drop(0.5)'
    """
    return softmax_cross_entropy if options.r_drop is None else r_drop(options.r_drop)
