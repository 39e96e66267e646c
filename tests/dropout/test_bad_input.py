"""Wrong keep probabilities, masks and noise are refused by name; and what infinity does behind a mask (N30)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from numpynet import layer_rules
from numpynet.equations.alpha_dropout import alpha_dropout_forward, alpha_dropout_scale
from numpynet.equations.dropout import inverted_dropout_forward, standard_dropout_evaluate
from numpynet.equations.gaussian_dropout import gaussian_dropout_forward, sample_gaussian_noise
from numpynet.equations.linear import linear_backward, linear_forward
from numpynet.equations.noise import sample_normal, sample_uniform
from numpynet.equations.standout import standout_forward
from numpynet.equations.targeted_dropout import targeted_unit_dropout_forward, targeted_weight_dropout_forward
from numpynet.equations.variational_dropout import (
    log_alpha_gradient,
    log_alpha_of,
    variational_dropout_forward,
    variational_kl_forward,
)
from numpynet.network import MLP
from tests.dropout.nets import random_net
from tests.strategies import seeds

N, D_IN, D_OUT = 5, 4, 3
X, W, B = np.ones((N, D_IN)), np.ones((D_IN, D_OUT)), np.ones(D_OUT)
nan, inf = float("nan"), float("inf")

# ---- keep_prob -------------------------------------------------------------------------------------------------------

TAKE_KEEP_PROB = {
    "MLP": lambda q: MLP((4, 3, 2), keep_prob=q),
    "MLP, a sequence": lambda q: MLP((4, 3, 2), keep_prob=(0.8, q)),
    "gaussian": lambda q: sample_gaussian_noise(np.random.default_rng(0), (2, 3), q),
    "variational": lambda q: log_alpha_of(q),
    "alpha": lambda q: alpha_dropout_forward(X, W, B, np.ones((N, D_IN)), keep_prob=q),
    "alpha, scale": lambda q: alpha_dropout_scale(q),
}


@pytest.mark.parametrize("function", TAKE_KEEP_PROB.values(), ids=TAKE_KEEP_PROB)
@pytest.mark.parametrize("keep_prob", [0, -0.1, 1.0000001, 20, nan, inf], ids=repr)
def test_a_keep_prob_outside_its_range(function: Any, keep_prob: float) -> None:
    with pytest.raises(ValueError, match=r"keep_prob is .*, but 0 < keep_prob <= 1 is needed"):
        function(keep_prob)


@pytest.mark.parametrize("function", TAKE_KEEP_PROB.values(), ids=TAKE_KEEP_PROB)
def test_a_keep_prob_that_is_no_number(function: Any) -> None:
    with pytest.raises(TypeError, match=r"keep_prob must be a number in \(0, 1\], got str"):
        function("0.8")


@pytest.mark.parametrize("keep_prob", [(0.8,), (0.8, 0.6, 0.3), ()], ids=str)
def test_keep_probs_of_the_wrong_length(keep_prob: tuple[float, ...]) -> None:
    with pytest.raises(
        ValueError, match=rf"keep_prob has {len(keep_prob)} entries, but one for the input of each of 2"
    ):
        MLP((4, 3, 2), keep_prob=keep_prob)


def test_variational_dropout_needs_noise() -> None:
    with pytest.raises(ValueError, match="keep_prob is 1, but variational dropout needs 0 < keep_prob < 1"):
        log_alpha_of(1.0)


ONE_NUMBER = {
    "MLP": lambda q: MLP((4, 3, 2), keep_prob=(None, q)),
    "unit": layer_rules.unit_dropout,
    "dropconnect": layer_rules.dropconnect,
    "gaussian": layer_rules.gaussian_dropout,
    "alpha": layer_rules.alpha_dropout,
}


@pytest.mark.parametrize("function", ONE_NUMBER.values(), ids=ONE_NUMBER)
def test_a_layer_has_one_keep_prob(function: Any) -> None:
    """A rule is known by its name, and a long array has none of its own."""
    with pytest.raises(TypeError, match=r"keep_prob must be one number in \(0, 1\], got an array of shape \(3,\)"):
        function(np.array([0.8, 0.7, 0.6]))


ONE_FOR_EACH_UNIT = {
    "inverted": lambda q: inverted_dropout_forward(X, np.ones((N, D_IN)), q),
    "standard, evaluation": lambda q: standard_dropout_evaluate(X, q),
    "linear": lambda q: linear_forward(X, W, B, unit_mask=np.ones((N, D_IN)), keep_prob=q),
}


@pytest.mark.parametrize("function", ONE_FOR_EACH_UNIT.values(), ids=ONE_FOR_EACH_UNIT)
def test_keep_probs_of_units_of_the_wrong_length(function: Any) -> None:
    function(np.array([0.8, 0.7, 0.6, 0.9]))
    with pytest.raises(ValueError, match=r"keep_prob has shape \(3,\), but one number for each of 4 units"):
        function(np.array([0.8, 0.7, 0.6]))


# ---- masks and noise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((N, D_IN + 1)), ValueError, r"unit_mask.* \(5, 5\)"),
        (np.ones((N - 1, D_IN)), ValueError, r"unit_mask.* \(4, 4\)"),
        (np.ones(D_IN), ValueError, r"unit_mask.* \(4,\)"),
        (np.ones((N, D_IN), np.float32), TypeError, "unit_mask has dtype float32, but x has float64"),
        (np.ones((N, D_IN), int), TypeError, "unit_mask has dtype int"),
        (
            np.full((N, D_IN), 1 / 0.8),
            ValueError,
            r"unit_mask.* must hold only 0 and 1, .* is .*1\.25.* never stored in a mask",
        ),
        (np.where(np.eye(N, D_IN) == 1, nan, 1.0), ValueError, r"unit_mask.* must hold only 0 and 1, .* is .*nan"),
    ],
    ids=["columns", "rows", "axes", "precision", "integers", "scaled", "NaN"],
)
def test_wrong_unit_masks(mask: np.ndarray, error: type[Exception], message: str) -> None:
    """In a network, and in alpha dropout. The single linear layer trusts that a mask is binary; it checks the rest."""
    net, theta = random_net(np.random.default_rng(0), (D_IN, 3, 2), (0.8, None))
    with pytest.raises(error, match=message):
        net.forward(theta, X, unit_masks=[mask, None])
    with pytest.raises(error, match=message):
        alpha_dropout_forward(X, W, B, mask, keep_prob=0.8)


LAYERS = {
    "gaussian": (lambda noise: gaussian_dropout_forward(X, W, B, noise), "noise", (N, D_IN)),
    "variational": (lambda noise: variational_dropout_forward(X, W, B, noise, log_alpha=0.0), "noise", (N, D_OUT)),
    "targeted weights": (
        lambda u: targeted_weight_dropout_forward(X, W, B, u, target_share=0.4, drop_prob=0.3),
        "uniform",
        (D_IN, D_OUT),
    ),
    "targeted units": (
        lambda u: targeted_unit_dropout_forward(X, W, B, u, target_share=0.4, drop_prob=0.3),
        "uniform",
        (N, D_OUT),
    ),
    "standout": (lambda u: standout_forward(X, W, B, u, alpha=1.0, beta=0.0), "uniform", (N, D_OUT)),
}


@pytest.mark.parametrize(("layer", "name", "shape"), LAYERS.values(), ids=LAYERS)
def test_noise_of_the_wrong_form(layer: Any, name: str, shape: tuple[int, int]) -> None:
    layer(np.full(shape, 0.3))
    rows, columns = shape
    for wrong in ((rows, columns + 1), (rows + 1, columns), (columns,)):
        with pytest.raises(ValueError, match=rf"{name} has shape .*needed"):
            layer(np.full(wrong, 0.3))
    with pytest.raises(TypeError, match=f"{name} has dtype float32, but x has float64"):
        layer(np.full(shape, 0.3, np.float32))
    with pytest.raises(TypeError, match=f"{name} must be a NumPy array"):
        layer([[0.3] * columns] * rows)
    if name == "uniform":
        for number in (-0.1, 1.0, nan):
            wrong_number = np.full(shape, 0.3)
            wrong_number[1, 2] = number
            with pytest.raises(ValueError, match=rf"uniform must lie in \[0, 1\), but uniform\[1, 2\] is .*{number}"):
                layer(wrong_number)


NUMBERS = {
    "standout, alpha": ("alpha", lambda value: layer_rules.standout(value, 0.0)),
    "standout, beta": ("beta", lambda value: layer_rules.standout(1.0, value)),
    "standout layer": ("alpha", lambda value: standout_forward(X, W, B, None, alpha=value, beta=0.0)),
    "log_alpha": ("log_alpha", layer_rules.variational_dropout),
    "log_alpha of a layer": ("log_alpha", lambda value: variational_dropout_forward(X, W, B, None, log_alpha=value)),
}


@pytest.mark.parametrize(("name", "function"), NUMBERS.values(), ids=NUMBERS)
def test_settings_that_must_be_finite_numbers(name: str, function: Any) -> None:
    """When the rule is made, not in the first step of a training; log_alpha may also be an array, but a finite one."""
    for value in (nan, inf, -inf):
        with pytest.raises(ValueError, match=rf"{name} is {value}, but a finite number is needed"):
            function(value)
    for wrong in ("1", None, True):
        with pytest.raises(TypeError, match=rf"{name} must be a finite number, got {type(wrong).__name__}"):
            function(wrong)


def test_a_rule_of_log_alphas_that_are_not_all_finite() -> None:
    with pytest.raises(ValueError, match=r"log_alpha must be finite, but log_alpha\[1, 2\] is .*nan"):
        layer_rules.variational_dropout(np.where(np.arange(12).reshape(4, 3) == 5, nan, 0.5))


def test_what_is_no_array_and_no_sequence() -> None:
    net, theta = random_net(np.random.default_rng(0), (D_IN, 3, 2), (0.8, None))
    with pytest.raises(TypeError, match=r"unit_masks\[0\] must be a NumPy array of 0 and 1, got list"):
        net.forward(theta, X, unit_masks=[[[1.0] * D_IN] * N, None])
    for wrong in (N, ()):
        with pytest.raises(TypeError, match=r"batch_shape must be a tuple such as \(64,\), got"):
            net.sample_unit_masks(np.random.default_rng(0), wrong)
    with pytest.raises(TypeError, match=r"rules must be a sequence .* for each of 2 layers, got one LayerRule"):
        MLP((4, 3, 2), rules=layer_rules.unit_dropout(0.8))


def test_log_alpha_of_the_wrong_form() -> None:
    noise = np.ones((N, D_OUT))
    with pytest.raises(ValueError, match=r"log_alpha \(3, 4\) must have the shape of W \(4, 3\)"):
        variational_dropout_forward(X, W, B, noise, log_alpha=np.ones((D_OUT, D_IN)))
    with pytest.raises(TypeError, match="log_alpha has dtype float32"):
        variational_dropout_forward(X, W, B, noise, log_alpha=np.ones((D_IN, D_OUT), np.float32))
    with pytest.raises(ValueError, match=r"weight_mask \(3, 4\) must have the shape of W"):
        variational_dropout_forward(X, W, B, noise, log_alpha=0.0, weight_mask=W.T)
    with pytest.raises(ValueError, match=r"weight_mask \(3, 4\) must have the shape of log_alpha"):
        variational_kl_forward(W, weight_mask=W.T)
    _, cache = variational_dropout_forward(X, W, B, None, log_alpha=0.0)
    with pytest.raises(ValueError, match="cache comes from an evaluation"):
        log_alpha_gradient(noise, cache)


@pytest.mark.parametrize("sample", [sample_uniform, sample_normal], ids=["uniform", "normal"])
def test_drawing_needs_a_generator(sample: Any) -> None:
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator, got int"):
        sample(0, (2, 3))
    single, double = (sample(np.random.default_rng(0), (2, 3), dtype=dtype) for dtype in (np.float32, np.float64))
    assert single.dtype == np.float32 and double.dtype == np.float64
    assert np.array_equal(single, double)  # the same numbers in both


# ---- infinity under a mask -------------------------------------------------------------------------------------------


@pytest.mark.equation("N30")
@given(seed=seeds)
@pytest.mark.parametrize("bad", [inf, -inf, nan])
def test_a_mask_does_not_remove_what_is_not_finite(bad: float, seed: int) -> None:
    """0 * inf is NaN. A dropped unit that is not finite spoils its example's row, as loudly as a kept one, and no other.

    That is wanted: a unit that has blown up would come back with the next mask. ``where`` would hide it.
    """
    rng = np.random.default_rng(seed)
    x, W_, b = rng.normal(size=(N, D_IN)), rng.normal(size=(D_IN, D_OUT)), rng.normal(size=D_OUT)
    mask = np.ones((N, D_IN))
    mask[2, 1] = 0
    spoilt = x.copy()
    spoilt[2, 1] = bad
    with np.errstate(invalid="ignore"):
        dropped, _ = inverted_dropout_forward(spoilt, mask, 0.8)
        z, cache = linear_forward(spoilt, W_, b, unit_mask=mask, keep_prob=0.8)
        dx, dW, db = linear_backward(np.ones_like(z), cache)
    assert np.isnan(dropped[2, 1])
    assert np.isnan(z[2]).all()
    clean, _ = linear_forward(x, W_, b, unit_mask=mask, keep_prob=0.8)
    others = np.arange(N) != 2
    assert np.array_equal(z[others], clean[others])
    assert np.isnan(dW[1]).all() and np.isfinite(np.delete(dW, 1, axis=0)).all()  # the weights behind that unit
    assert np.isfinite(dx).all() and np.isfinite(db).all()
    removed = np.where(mask == 1, spoilt / 0.8, 0.0)
    assert np.isfinite(removed).all()  # the other way, which would have said nothing


@pytest.mark.equation("N30")
@pytest.mark.parametrize("bad", [inf, nan])
def test_a_weight_mask_does_not_remove_what_is_not_finite_either(bad: float) -> None:
    W_, M = W.copy(), W.copy()
    W_[1, 2], M[1, 2] = bad, 0.0
    with np.errstate(invalid="ignore"):
        z, _ = linear_forward(X, W_, B, weight_mask=M)
    assert np.isnan(z[:, 2]).all() and np.isfinite(z[:, :2]).all()


@pytest.mark.equation("N30")
def test_a_network_refuses_an_input_that_is_not_finite_even_under_a_mask() -> None:
    net, theta = random_net(np.random.default_rng(0), (D_IN, 3, 2), (0.8, None))
    x, mask = X.copy(), np.ones((N, D_IN))
    x[2, 1], mask[2, 1] = inf, 0.0
    with pytest.raises(ValueError, match=r"x must be finite, but x\[2, 1\] is .*inf"):
        net.forward(theta, x, unit_masks=[mask, None])


@pytest.mark.equation("N30")
def test_by_hand() -> None:
    with np.errstate(invalid="ignore"):
        product = np.array([0.0, 2.0]) * np.array([inf, 1.0])
    assert np.isnan(product[0]) and product[1] == 2.0
