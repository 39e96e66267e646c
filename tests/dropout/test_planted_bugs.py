"""Tests of the tests: mistakes that people make with the variants, each of which the named check must refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from numpynet.equations.alpha_dropout import alpha_dropout_forward
from numpynet.equations.gaussian_dropout import gaussian_dropout_forward
from numpynet.equations.linear import linear_backward
from numpynet.equations.standout import standout_forward
from numpynet.equations.variational_dropout import variational_dropout_forward
from tests.checks import CHECKS, Arguments, Pair
from tests.dropout import pairs
from tests.dropout.pairs import VARIANTS, arguments_of, pair_of
from tests.strategies import CLEAN

Change = Callable[[np.ndarray, Any], np.ndarray]


class Bug(NamedTuple):
    """A wrong pair, the right one, the arguments to try both on, and the check that must tell them apart."""

    wrong: Pair
    right: Pair
    arguments: Arguments
    check: str = "gradients"


def backward_bug(right: Pair, arguments: Arguments, name: str, change: Change) -> Bug:
    """The right pair with one gradient replaced by change(dz, cache)."""

    def backward(dz: np.ndarray, cache: Any) -> Arguments:
        return dict(right.backward(dz, cache)) | {name: change(dz, cache)}

    return Bug(right._replace(backward=backward), right, arguments)


def layer_bug(variant: str, name: str, change: Change, **options: Any) -> Bug:
    return backward_bug(pair_of(VARIANTS[variant]), arguments_of(VARIANTS[variant], CLEAN, **options), name, change)


def forward_bug(variant: str, forward: Callable[..., Any], check: str = "gradients") -> Bug:
    right = pair_of(VARIANTS[variant])
    return Bug(right._replace(forward=forward), right, arguments_of(VARIANTS[variant], CLEAN), check)


def redrawn_gaussian(x, W, b, noise, *, weight_mask=None):
    """A layer that draws its noise itself, anew in every pass."""
    own = 1 + np.random.default_rng().normal(size=noise.shape)
    return gaussian_dropout_forward(x, W, b, own, weight_mask=weight_mask)


def float64_gaussian(x, W, b, noise, *, weight_mask=None):
    z, cache = gaussian_dropout_forward(x, W, b, noise, weight_mask=weight_mask)
    return z * np.ones(z.shape[-1]), cache


def in_place_gaussian(x, W, b, noise, *, weight_mask=None):
    x *= noise
    return gaussian_dropout_forward(x, W, b, np.ones_like(noise), weight_mask=weight_mask)


def standout_that_multiplies_by_g(x, W, b, uniform, **settings):
    """Gives the mean already in training, while the backward pass believes in a mask."""
    _, cache = standout_forward(x, W, b, uniform, **settings)
    return standout_forward(x, W, b, None, **settings)[0], cache


def alpha_dropout_without_shift(x, W, b, unit_mask, *, keep_prob, weight_mask=None):
    """Forgets that the dropped units carry alpha', in the cache that dW is made of."""
    z, cache = alpha_dropout_forward(x, W, b, unit_mask, keep_prob=keep_prob, weight_mask=weight_mask)
    return z, cache._replace(linear=cache.linear._replace(x_kept=x * unit_mask * cache.scale))


def variational_with_std_for_variance(x, W, b, noise, *, log_alpha, weight_mask=None):
    mean, _ = variational_dropout_forward(x, W, b, None, log_alpha=log_alpha, weight_mask=weight_mask)
    z, cache = variational_dropout_forward(x, W, b, noise, log_alpha=log_alpha, weight_mask=weight_mask)
    std = (z - mean) / noise
    return mean + std * std * noise, cache


VARIATIONAL = arguments_of(VARIANTS["variational"], CLEAN)
KL = pairs.log_alphas(CLEAN)
LOGISTIC = pairs.binary_targets(CLEAN)
TWO_PASSES = pairs.two_passes(CLEAN)


def no_noise_slope(dz: np.ndarray, cache: Any) -> np.ndarray:
    return (cache.x.mT @ dz) * cache.weight_mask


BUGS = {
    "gaussian: dx without the noise": layer_bug("gaussian", "x", lambda dz, c: dz @ c.W_kept.mT),
    "gaussian: dW from the input before the noise": layer_bug(
        "gaussian", "W", lambda dz, c: (c.x.mT @ dz) * c.weight_mask
    ),
    "gaussian: noise redrawn": forward_bug("gaussian", redrawn_gaussian),
    "gaussian: upcasts": forward_bug("gaussian", float64_gaussian, "dtypes"),
    "gaussian: writes to x": forward_bug("gaussian", in_place_gaussian, "purity"),
    "variational: dW of the mean only": layer_bug("variational", "W", no_noise_slope),
    "variational: dx of the mean only": layer_bug("variational", "x", lambda dz, c: dz @ c.W_kept.mT),
    "variational: dW not masked": layer_bug(
        "variational",
        "W",
        lambda dz, c: c.x.mT @ dz + c.alpha * c.W_kept * ((c.x * c.x).mT @ (dz * c.noise_over_std)),
    ),
    "variational: variance for standard deviation": forward_bug("variational", variational_with_std_for_variance),
    "variational: d log alpha without alpha": backward_bug(
        pairs.variational,
        VARIATIONAL,
        "log_alpha",
        lambda dz, c: (c.W_kept * c.W_kept) * ((c.x * c.x).mT @ (dz * c.noise_over_std / 2)),
    ),
    "kl: slope of the tail forgotten": backward_bug(
        pairs.kl, KL, "log_alpha", lambda d, c: -d * 0.63576 * 1.48695 * c.bump * (1 - c.bump) * c.weight_mask
    ),
    "kl: pruned weights pay": backward_bug(
        pairs.kl, KL, "log_alpha", lambda d, c: -d * (0.63576 * 1.48695 * c.bump * (1 - c.bump) + c.tail / 2)
    ),
    "alpha: dx without the stretch": layer_bug("alpha", "x", lambda dz, c: (dz @ c.linear.W_kept.mT) * c.unit_mask),
    "alpha: dx scaled by 1 / q": layer_bug(
        "alpha", "x", lambda dz, c: (dz @ c.linear.W_kept.mT) * c.unit_mask / CLEAN.keep_prob
    ),
    "alpha: dW forgets alpha'": forward_bug("alpha", alpha_dropout_without_shift),
    "targeted weights: dW of dropped weights": layer_bug("targeted-weights", "W", lambda dz, c: c.x_kept.mT @ dz),
    "targeted units: the bias of a dropped unit learns": layer_bug(
        "targeted-units", "b", lambda dz, c: dz.sum(axis=-2)
    ),
    "targeted units: dx through dropped units": layer_bug("targeted-units", "x", lambda dz, c: dz @ c.linear.W_kept.mT),
    "standout: gradient through dropped units": layer_bug(
        "standout", "x", lambda dz, c: linear_backward(dz, c.linear)[0]
    ),
    "standout: mean in training": forward_bug("standout", standout_that_multiplies_by_g),
    "standout: evaluation takes the gate for a constant": layer_bug(
        "standout", "x", lambda dz, c: linear_backward(dz * c.gate, c.linear)[0], evaluation=True
    ),
    "logistic: no 1/N": backward_bug(
        pairs.logistic, LOGISTIC, "logits", lambda d, c: d * (1 / (1 + np.exp(-c.logits)) - c.targets)
    ),
    "logistic: slope of the sigmoid multiplied in": backward_bug(
        pairs.logistic,
        LOGISTIC,
        "logits",
        lambda d, c: d * np.exp(-c.logits) / (1 + np.exp(-c.logits)) ** 2 * (1 / (1 + np.exp(-c.logits)) - c.targets),
    ),
    "r-drop: one pass taken for a constant": backward_bug(
        pairs.r_drop, TWO_PASSES, "logits_2", lambda d, c: np.zeros_like(c.difference)
    ),
    "r-drop: gradient of the probabilities only": backward_bug(
        pairs.r_drop,
        TWO_PASSES,
        "logits_1",
        lambda d, c: d * (c.probabilities_1 - c.probabilities_2) / (2 * len(c.difference)),
    ),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_refused(bug: Bug) -> None:
    CHECKS[bug.check](bug.right, bug.arguments, 3)
    with pytest.raises(AssertionError):
        CHECKS[bug.check](bug.wrong, bug.arguments, 3)


def test_the_arguments_are_those_of_a_full_layer() -> None:
    """No planted bug may hide behind an argument that is None or all alike."""
    for variant in VARIANTS.values():
        arguments = arguments_of(variant, CLEAN)
        assert set(np.unique(arguments["weight_mask"])) == {0.0, 1.0}
        assert np.unique(arguments[variant.noise]).size > 1
