"""The forward and backward pairs of the dropout variants, for the checks that every pair must pass.

``VARIANTS`` are the layers: forward(x, W, b, noise, *, ..., weight_mask=None) and backward(dz, cache, *, need_dx, out).
``CASES`` are all pairs with arguments for their forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from numpynet.equations.alpha_dropout import alpha_dropout_backward, alpha_dropout_forward
from numpynet.equations.gaussian_dropout import gaussian_dropout_backward, gaussian_dropout_forward
from numpynet.equations.logistic import logistic_loss_backward, logistic_loss_forward, softplus
from numpynet.equations.r_drop import r_drop_backward, r_drop_forward, r_drop_loss
from numpynet.equations.selu import selu
from numpynet.equations.standout import standout_backward, standout_forward
from numpynet.equations.targeted_dropout import (
    targeted_unit_dropout_backward,
    targeted_unit_dropout_forward,
    targeted_weight_dropout_backward,
    targeted_weight_dropout_forward,
)
from numpynet.equations.variational_dropout import (
    log_alpha_gradient,
    variational_dropout_backward,
    variational_dropout_forward,
    variational_kl_backward,
    variational_kl_forward,
)
from tests.checks import Arguments, Pair
from tests.pairs import Case, R, activation_pair, dense, pre_activations
from tests.strategies import Draw, binary, labels_of


class Variant(NamedTuple):
    """A layer with noise: its two passes, and how its noise and its settings are drawn."""

    forward: Callable[..., tuple[np.ndarray, Any]]
    backward: Callable[..., tuple[np.ndarray | None, np.ndarray, np.ndarray]]
    noise: str  # name of the argument that holds the noise; None means evaluation
    draw_noise: Callable[[np.random.Generator, Draw, tuple[int, ...], int], np.ndarray]  # rng, sizes, lead, rows
    settings: Callable[[np.random.Generator, Draw], Arguments]


def uniform_outputs(rng: np.random.Generator, draw: Draw, lead: tuple[int, ...], rows: int) -> np.ndarray:
    return rng.random((*lead, rows, draw.d_out))


def normal_outputs(rng: np.random.Generator, draw: Draw, lead: tuple[int, ...], rows: int) -> np.ndarray:
    return rng.normal(size=(*lead, rows, draw.d_out))


def candidate_share(rng: np.random.Generator, draw: Draw) -> Arguments:
    return {"target_share": 0.6, "drop_prob": 1 - draw.keep_prob}


VARIANTS = {
    "gaussian": Variant(
        gaussian_dropout_forward,
        gaussian_dropout_backward,
        "noise",
        lambda rng, draw, lead, rows: 1 + rng.normal(size=(*lead, rows, draw.d_in)),
        lambda rng, draw: {},
    ),
    "variational": Variant(
        variational_dropout_forward,
        variational_dropout_backward,
        "noise",
        normal_outputs,
        lambda rng, draw: {"log_alpha": rng.normal(size=(draw.d_in, draw.d_out))},
    ),
    "variational-one-alpha": Variant(
        variational_dropout_forward,
        variational_dropout_backward,
        "noise",
        normal_outputs,
        lambda rng, draw: {"log_alpha": float(np.log(1 / draw.keep_prob - 1))},
    ),
    "alpha": Variant(
        alpha_dropout_forward,
        alpha_dropout_backward,
        "unit_mask",
        lambda rng, draw, lead, rows: binary(rng, (*lead, rows, draw.d_in), draw.keep_prob),
        lambda rng, draw: {"keep_prob": draw.keep_prob},
    ),
    "targeted-weights": Variant(
        targeted_weight_dropout_forward,
        targeted_weight_dropout_backward,
        "uniform",
        lambda rng, draw, lead, rows: rng.random((*lead, draw.d_in, draw.d_out)),
        candidate_share,
    ),
    "targeted-units": Variant(
        targeted_unit_dropout_forward,
        targeted_unit_dropout_backward,
        "uniform",
        uniform_outputs,
        candidate_share,
    ),
    "standout": Variant(
        standout_forward,
        standout_backward,
        "uniform",
        uniform_outputs,
        lambda rng, draw: {"alpha": 0.7, "beta": float(np.log(draw.keep_prob / (1 - draw.keep_prob)))},
    ),
}


def arguments_of(
    variant: Variant,
    draw: Draw,
    *,
    lead: tuple[int, ...] = (),
    shared: bool = False,
    evaluation: bool = False,
    masked: bool = True,
) -> Arguments:
    """The arguments of the forward pass: weights, noise, settings and a weight mask."""
    rng = np.random.default_rng([draw.seed, 2])
    arguments = dense(draw, lead) | variant.settings(rng, draw)
    noise = variant.draw_noise(rng, draw, lead, 1 if shared else draw.N)
    arguments[variant.noise] = None if evaluation else noise
    if masked:
        arguments["weight_mask"] = binary(rng, (*lead, draw.d_in, draw.d_out), draw.density)
    return arguments


def pair_of(variant: Variant) -> Pair:
    return Pair(variant.forward, lambda dz, cache: dict(zip(("x", "W", "b"), variant.backward(dz, cache), strict=True)))


def variational_gradients(dz: np.ndarray, cache: Any) -> Arguments:
    dx, dW, db = variational_dropout_backward(dz, cache)
    return {"x": dx, "W": dW, "b": db, "log_alpha": log_alpha_gradient(dz, cache)}


def log_alphas(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    rng = draw.rng()
    return {
        "log_alpha": 3 * rng.normal(size=(*lead, draw.d_in, draw.d_out)),
        "weight_mask": binary(rng, (*lead, draw.d_in, draw.d_out), draw.density),
    }


def binary_targets(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    rng = draw.rng()
    return {
        "logits": 2 * rng.normal(size=(*lead, draw.N, draw.d_out)),
        "targets": binary(rng, (draw.N, draw.d_out), 0.4),
    }


def two_passes(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    rng = draw.rng()
    return {name: rng.normal(size=(*lead, draw.N, draw.d_out)) for name in ("logits_1", "logits_2")}


def stacked_passes(draw: Draw, lead: tuple[int, ...] = ()) -> Arguments:
    rng = draw.rng()
    return {
        "logits": rng.normal(size=(*lead, 2, draw.N, draw.d_out)),
        "labels": labels_of(rng, (draw.N,), draw.d_out),
    }


variational = Pair(variational_dropout_forward, variational_gradients)
kl = Pair(variational_kl_forward, lambda dkl, cache: {"log_alpha": variational_kl_backward(dkl, cache)})
logistic = Pair(logistic_loss_forward, lambda dloss, cache: {"logits": logistic_loss_backward(dloss, cache)})
soft = Pair(
    lambda z: (softplus(z), z), lambda dy, z: {"z": dy / (1 + np.exp(-z))}
)  # the slope of softplus is the sigmoid
r_drop = Pair(
    r_drop_forward,
    lambda dloss, cache: dict(zip(("logits_1", "logits_2"), r_drop_backward(dloss, cache), strict=True)),
)
r_drop_whole = Pair(r_drop_loss(0.7).forward, lambda dloss, cache: {"logits": r_drop_loss(0.7).backward(dloss, cache)})


def _layer_cases() -> list[Any]:
    kinds: dict[str, Arguments] = {
        "": {},
        "-dense": {"masked": False},
        "-shared": {"shared": True},
        "-evaluation": {"evaluation": True},
        "-stacked": {"lead": (R,)},
    }
    return [
        pytest.param(
            Case(pair_of(variant), lambda draw, v=variant, o=options: arguments_of(v, draw, **o)), id=name + suffix
        )
        for name, variant in VARIANTS.items()
        for suffix, options in kinds.items()
        if not (suffix == "-shared" and name == "targeted-weights")  # always shared
    ]


CASES = [
    *_layer_cases(),
    pytest.param(Case(variational, lambda draw: arguments_of(VARIANTS["variational"], draw)), id="variational-alpha"),
    pytest.param(Case(kl, log_alphas), id="kl"),
    pytest.param(Case(kl, lambda draw: log_alphas(draw, (R,))), id="kl-stacked"),
    pytest.param(Case(activation_pair(selu), pre_activations), id="selu"),
    pytest.param(Case(logistic, binary_targets), id="logistic"),
    pytest.param(Case(logistic, lambda draw: binary_targets(draw, (R,))), id="logistic-stacked"),
    pytest.param(Case(soft, pre_activations), id="softplus"),
    pytest.param(Case(r_drop, two_passes), id="r-drop"),
    pytest.param(Case(r_drop, lambda draw: two_passes(draw, (R,))), id="r-drop-stacked"),
    pytest.param(Case(r_drop_whole, stacked_passes), id="r-drop-loss"),
    pytest.param(Case(r_drop_whole, lambda draw: stacked_passes(draw, (R,))), id="r-drop-loss-stacked"),
]
