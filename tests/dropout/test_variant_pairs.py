"""Every variant is a forward and backward pair like any other, and keeps the contract of the layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings

from numpynet.equations.linear import linear_forward
from tests.checks import CHECKS, assert_close, check_gradients, check_reentrancy, random_like
from tests.dropout.pairs import CASES, VARIANTS, Variant, arguments_of
from tests.pairs import Case
from tests.strategies import CLEAN, SQUARE, Draw, draws

every_pair = pytest.mark.parametrize("case", CASES)
every_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


@pytest.mark.equation("B7", "B19", "D18", "D19", "D20", "D21", "D22", "D23", "D26")
@every_pair
@settings(max_examples=8)
@given(draw=draws())
@example(draw=CLEAN)
@example(draw=SQUARE)
def test_gradients_equal_the_complex_step(case: Case, draw: Draw) -> None:
    check_gradients(case.pair, case.arguments(draw), draw.seed)


@every_pair
@pytest.mark.parametrize("check", [name for name in CHECKS if name != "gradients"])
@pytest.mark.parametrize("draw", [CLEAN, SQUARE], ids=["clean", "square"])
def test_purity_linearity_dtypes_and_aliasing(case: Case, check: str, draw: Draw) -> None:
    CHECKS[check](case.pair, case.arguments(draw), draw.seed)


@every_pair
def test_nothing_is_remembered_between_calls(case: Case) -> None:
    others = case.arguments(replace(CLEAN, seed=CLEAN.seed ^ 1))
    check_reentrancy(case.pair, case.arguments(CLEAN), others, CLEAN.seed)


@every_pair
@pytest.mark.parametrize("draw", [replace(CLEAN, N=1), replace(CLEAN, d_in=1), Draw(1, 1, 1, 0.7, 0.5, 3)], ids=str)
def test_one_example_and_one_unit(case: Case, draw: Draw) -> None:
    check_gradients(case.pair, case.arguments(draw), draw.seed)


# ---- the contract of a layer -----------------------------------------------------------------------------------------


@every_variant
def test_need_dx_and_out_change_no_number(variant: Variant) -> None:
    for evaluation in (False, True):
        arguments = arguments_of(variant, CLEAN, evaluation=evaluation)
        z, cache = variant.forward(**arguments)
        dz = random_like(z, 5)
        dx, dW, db = variant.backward(dz, cache)
        out = np.full_like(dW, np.nan), np.full_like(db, np.nan)
        no_dx, dW_out, db_out = variant.backward(dz, cache, need_dx=False, out=out)
        assert no_dx is None and dx is not None
        assert dW_out is out[0] and db_out is out[1]
        assert np.array_equal(dW_out, dW) and np.array_equal(db_out, db)


@every_variant
def test_nothing_under_the_weight_mask_reaches_the_output(variant: Variant) -> None:
    for evaluation in (False, True):
        arguments = arguments_of(variant, CLEAN, evaluation=evaluation)
        z, cache = variant.forward(**arguments)
        _, dW, _ = variant.backward(random_like(z, 5), cache)
        dropped = 1 - arguments["weight_mask"]
        assert not (dW * dropped).any()
        assert np.array_equal(variant.forward(**arguments | {"W": arguments["W"] + 1e6 * dropped})[0], z)


@every_variant
def test_a_mask_of_ones_is_no_mask(variant: Variant) -> None:
    arguments = arguments_of(variant, CLEAN, masked=False)
    ones = np.ones_like(arguments["W"])
    assert np.array_equal(variant.forward(**arguments)[0], variant.forward(**arguments, weight_mask=ones)[0])


@every_variant
def test_a_shared_row_of_noise_may_be_written_out(variant: Variant) -> None:
    if variant is VARIANTS["targeted-weights"]:
        return  # its noise belongs to the weights
    arguments = arguments_of(variant, CLEAN, shared=True)
    written_out = arguments | {variant.noise: np.repeat(arguments[variant.noise], CLEAN.N, axis=0)}
    (z, cache), (z_out, cache_out) = variant.forward(**arguments), variant.forward(**written_out)
    assert_close(z, z_out)
    dz = random_like(z, 5)
    for gradient, same in zip(variant.backward(dz, cache), variant.backward(dz, cache_out), strict=True):
        assert_close(gradient, same)


@pytest.mark.parametrize("name", ["gaussian", "variational", "alpha"])
def test_evaluation_is_the_linear_layer(name: str) -> None:
    arguments = arguments_of(VARIANTS[name], CLEAN, evaluation=True)
    plain = {key: arguments[key] for key in ("x", "W", "b", "weight_mask")}
    assert np.array_equal(VARIANTS[name].forward(**arguments)[0], linear_forward(**plain)[0])
