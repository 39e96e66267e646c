"""What is demanded of every forward and backward pair: exact gradients, no side effect, the dtype that came in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given

from tests.checks import CHECKS, check_aliasing, check_dtypes, check_gradients, check_purity, check_reentrancy
from tests.pairs import PAIRS, Case
from tests.strategies import CLEAN, SQUARE, Draw, draws

every_pair = pytest.mark.parametrize("case", PAIRS)


@every_pair
@given(draw=draws())
@example(draw=CLEAN)
@example(draw=SQUARE)
def test_gradients_equal_the_complex_step(case: Case, draw: Draw) -> None:
    check_gradients(case.pair, case.arguments(draw), draw.seed)


@every_pair
@given(draw=draws())
@example(draw=SQUARE)
def test_purity_linearity_and_reentrancy(case: Case, draw: Draw) -> None:
    arguments, others = case.arguments(draw), case.arguments(replace(draw, seed=draw.seed ^ 1))
    CHECKS["linearity"](case.pair, arguments, draw.seed)
    check_purity(case.pair, arguments, draw.seed)
    check_reentrancy(case.pair, arguments, others, draw.seed)


@every_pair
@pytest.mark.parametrize("draw", [CLEAN, SQUARE], ids=["clean", "square"])
def test_the_dtype_that_comes_in_goes_out(case: Case, draw: Draw) -> None:
    check_dtypes(case.pair, case.arguments(draw), draw.seed)


# The identity hands on the very array it was given; nothing writes to it.
@pytest.mark.parametrize("case", [pair for pair in PAIRS if pair.id != "identity"])
def test_no_result_is_a_view_of_an_argument(case: Case) -> None:
    check_aliasing(case.pair, case.arguments(CLEAN), CLEAN.seed)


@every_pair
@pytest.mark.parametrize("draw", [replace(CLEAN, N=1), replace(CLEAN, d_in=1), Draw(1, 1, 1, 0.7, 0.5, 3)], ids=str)
def test_one_example_and_one_unit(case: Case, draw: Draw) -> None:
    for check in (check_gradients, check_purity, check_dtypes):
        check(case.pair, case.arguments(draw), draw.seed)
