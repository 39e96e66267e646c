"""Wrong input is refused at the door, by a sentence that names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.checks import (
    check_binary,
    check_finite,
    check_floating,
    check_keep_prob,
    check_labels,
    check_precision,
    check_rng,
)
from numpynet.equations.dropout import (
    dropconnect_forward,
    inverted_dropout_forward,
    standard_dropout_evaluate,
    standard_dropout_forward,
)
from numpynet.equations.linear import linear_forward
from numpynet.equations.losses import l2_penalty_forward, softmax_cross_entropy_forward, squared_error_forward
from numpynet.equations.masks import density, prune_count, prune_lowest, sample_mask
from tests.pairs import connected, dropped, masked, with_labels, with_targets
from tests.strategies import CLEAN

N, D_IN, D_OUT = CLEAN.N, CLEAN.d_in, CLEAN.d_out
nan, inf = float("nan"), float("inf")


# ---- keep_prob, wherever it goes in ----------------------------------------------------------------------------------

TAKE_KEEP_PROB = {
    "linear": lambda q: linear_forward(**masked(CLEAN) | {"keep_prob": q}),
    "inverted": lambda q: inverted_dropout_forward(**dropped(CLEAN) | {"keep_prob": q}),
    "standard": lambda q: standard_dropout_evaluate(np.ones((N, D_IN)), q),
    "dropconnect": lambda q: dropconnect_forward(**connected(CLEAN) | {"keep_prob": q}),
    "sample": lambda q: sample_mask(np.random.default_rng(0), (2, 3), q),
}


@pytest.mark.parametrize("function", TAKE_KEEP_PROB.values(), ids=TAKE_KEEP_PROB)
@pytest.mark.parametrize("keep_prob", [0, 0.0, -0.1, 1.0000001, 20, nan, inf, np.float32(0), np.array([0.5, 0.0])])
def test_a_keep_prob_outside_its_range(function: Any, keep_prob: Any) -> None:
    with pytest.raises(ValueError, match=r"keep_prob is .*0 < keep_prob <= 1 is needed.*STAYS"):
        function(keep_prob)


@pytest.mark.parametrize("function", TAKE_KEEP_PROB.values(), ids=TAKE_KEEP_PROB)
@pytest.mark.parametrize("keep_prob", ["0.5", None, True, [0.5], 0.5j, np.array(0.5)], ids=repr)
def test_a_keep_prob_that_is_no_number(function: Any, keep_prob: Any) -> None:
    with pytest.raises(TypeError, match=r"keep_prob must be a number in \(0, 1\], got "):
        function(keep_prob)


@pytest.mark.parametrize("function", ["linear", "inverted", "standard"])
def test_keep_probs_of_another_precision(function: str) -> None:
    with pytest.raises(TypeError, match=r"keep_prob has dtype float32, but [xh] has float64"):
        TAKE_KEEP_PROB[function](np.full(D_IN, 0.5, np.float32))


@given(q=st.floats(0, 1, exclude_min=True))
def test_a_good_keep_prob_comes_back_as_a_python_float(q: float) -> None:
    assert check_keep_prob(np.float64(q)) == q
    assert type(check_keep_prob(np.float64(q))) is float
    assert type(check_keep_prob(1)) is float


# ---- the linear layer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": np.ones((N, D_IN + 1))}, rf"x \({N}, {D_IN + 1}\) has .* W .*Is W transposed"),
        ({"x": np.ones(D_IN)}, r"x must be .*batch of one: x\[None, :\]"),
        ({"W": np.ones(D_IN)}, r"W \(\.\.\., d_in, d_out\)"),
        ({"W": np.ones((D_OUT, D_IN))}, "W .*Is W transposed"),
        ({"b": np.ones(D_OUT + 1)}, rf"b \({D_OUT + 1},\) must be .* d_out = {D_OUT}"),
        ({"b": np.ones(1)}, r"b \(1,\) must be"),
        ({"b": np.array(1.0)}, r"b \(\) must be"),
        ({"unit_mask": np.ones((N, D_IN + 1))}, rf"unit_mask \({N}, {D_IN + 1}\) must be"),
        ({"unit_mask": np.ones((N + 1, D_IN))}, rf"unit_mask \({N + 1}, {D_IN}\) must be"),
        ({"unit_mask": np.ones(D_IN)}, rf"unit_mask \({D_IN},\) must be"),
        ({"weight_mask": np.ones((D_OUT, D_IN))}, rf"weight_mask \({D_OUT}, {D_IN}\) must have the shape of W"),
        ({"weight_mask": np.ones(D_OUT)}, "weight_mask .* must have the shape of W"),
        ({"weight_mask": np.ones((D_IN, 1))}, "weight_mask .* must have the shape of W"),
    ],
)
def test_shapes_that_do_not_fit(wrong: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        linear_forward(**masked(CLEAN) | wrong)


@pytest.mark.parametrize("name", ["x", "W", "b", "unit_mask", "weight_mask"])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, object])
def test_arrays_of_another_type(name: str, dtype: type) -> None:
    arguments = masked(CLEAN)
    arguments[name] = np.ones_like(arguments[name]).astype(dtype)
    with pytest.raises(TypeError, match=rf"\b{name} has (dtype )?{np.dtype(dtype)}"):
        linear_forward(**arguments)


@pytest.mark.parametrize("name", ["x", "W", "b", "unit_mask", "weight_mask"])
def test_lists_are_not_arrays(name: str) -> None:
    arguments = masked(CLEAN)
    arguments[name] = arguments[name].tolist()
    with pytest.raises(TypeError, match=rf"{name} must be a NumPy array .*got list"):
        linear_forward(**arguments)


# ---- dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(N, D_IN + 1), (N + 1, D_IN), (D_IN,)], ids=str)
def test_unit_masks_that_do_not_fit(shape: tuple[int, ...]) -> None:
    h = np.ones((N, D_IN))
    with pytest.raises(ValueError, match=r"unit_mask .* must be .* like h"):
        inverted_dropout_forward(h, np.ones(shape), 0.8)
    with pytest.raises(ValueError, match=r"unit_mask .* must be .* like h"):
        standard_dropout_forward(h, np.ones(shape))


def test_a_unit_mask_of_another_precision() -> None:
    with pytest.raises(TypeError, match="unit_mask has dtype float64, but h has float32"):
        standard_dropout_forward(np.ones((N, D_IN), np.float32), np.ones((N, D_IN)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"connection_mask": np.ones((D_IN, D_OUT))}, "connection_mask .* must be"),
        ({"connection_mask": np.ones((N + 1, D_IN, D_OUT))}, "connection_mask .* must be"),
        ({"connection_mask": np.ones((N, D_OUT, D_IN))}, "connection_mask .* must be"),
        ({"b": np.ones(1)}, r"b \(1,\) must be"),
        ({"x": np.ones(D_IN)}, "x must be"),
        ({"x": np.ones((N, D_IN + 1))}, "Is W transposed"),
    ],
)
def test_dropconnect_shapes_that_do_not_fit(wrong: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dropconnect_forward(**connected(CLEAN) | wrong)


# ---- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.array([0.0, 1.0, 2.0, 0.0, 1.0]), TypeError, "labels must be .* integers, got dtype float64"),
        ([0, 1, 2, 0, 1], TypeError, "labels must be .* integers, got list"),
        (np.array([True, False, True, False, True]), TypeError, "labels must be .* integers, got dtype bool"),
        (np.array(["a"] * N), TypeError, "labels must be .* integers"),
        (np.arange(N), ValueError, r"labels must lie in 0 \.\.\. 2, got 0 \.\.\. 4"),
        (np.array([0, 1, 3, 0, 1]), ValueError, r"labels must lie in 0 \.\.\. 2, got 0 \.\.\. 3"),
        (np.array([0, 1, -1, 0, 1]), ValueError, r"labels must lie in 0 \.\.\. 2, got -1 \.\.\. 1"),
        (np.zeros(N + 1, int), ValueError, r"labels has shape \(6,\), but one label for each of 5"),
        (np.zeros((N, 1), int), ValueError, r"labels has shape \(5, 1\)"),
        (np.array(1), ValueError, r"labels has shape \(\)"),
        (np.zeros((4, N), int), ValueError, r"labels \(4, 5\) have more axes than .*logits \(5, 3\)"),
    ],
)
def test_labels_that_are_none(labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        softmax_cross_entropy_forward(with_labels(CLEAN)["logits"], labels)


@pytest.mark.parametrize("loss", [softmax_cross_entropy_forward, squared_error_forward])
@pytest.mark.parametrize("shape", [(0, 3), (3,), ()], ids=str)
def test_losses_of_nothing(loss: Any, shape: tuple[int, ...]) -> None:
    targets = np.zeros(shape[:1], int) if loss is softmax_cross_entropy_forward else np.zeros(shape)
    with pytest.raises(ValueError, match=r"(logits|outputs) has shape .*at least one example"):
        loss(np.zeros(shape), targets)


def test_empty_labels() -> None:
    with pytest.raises(ValueError, match="labels is empty"):
        check_labels(np.zeros(0, int), n_classes=3)


@pytest.mark.parametrize("targets", [np.zeros((N, D_OUT + 1)), np.zeros(D_OUT), np.zeros((N + 1, D_OUT))])
def test_targets_of_another_shape(targets: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"targets .* must have the shape of the outputs"):
        squared_error_forward(with_targets(CLEAN)["outputs"], targets)


@pytest.mark.parametrize("dtype", [int, np.float32, object])
def test_targets_of_another_type(dtype: type) -> None:
    with pytest.raises(TypeError, match="targets has dtype"):
        squared_error_forward(np.zeros((N, D_OUT)), np.zeros((N, D_OUT), dtype))


@pytest.mark.parametrize("weight_decay", [-0.1, nan])
def test_a_negative_weight_decay(weight_decay: float) -> None:
    with pytest.raises(ValueError, match=r"weight_decay is .* >= 0 is needed"):
        l2_penalty_forward(np.ones((2, 3)), weight_decay)


def test_an_l2_mask_of_another_precision() -> None:
    with pytest.raises(TypeError, match="weight_mask has dtype float64, but W has float32"):
        l2_penalty_forward(np.ones((2, 3), np.float32), 0.1, weight_mask=np.ones((2, 3)))


# ---- masks and pruning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0), np.random.SeedSequence(0), np.random])
def test_a_generator_is_asked_for(rng: Any) -> None:
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator, got .*default_rng\(seed\)"):
        check_rng(rng)
    with pytest.raises(TypeError, match="rng must be"):
        sample_mask(rng, (2, 3), 0.8)


@pytest.mark.parametrize("wrong", [0.5, 2.0, -1.0, nan, inf, 1 / 0.8])
def test_a_mask_holds_only_0_and_1(wrong: float) -> None:
    mask = np.array([[0.0, 1.0], [1.0, wrong]])
    with pytest.raises(
        ValueError, match=r"weight_mask must hold only 0 and 1, but weight_mask\[1, 1\] is .*1 / keep_prob"
    ):
        check_binary(mask, "weight_mask")
    with pytest.raises(ValueError, match=r"mask must hold only 0 and 1, but mask\[1, 1\]"):
        prune_lowest(np.ones((2, 2)), mask, 1)


def test_a_mask_is_an_array() -> None:
    with pytest.raises(TypeError, match="unit_mask must be a NumPy array of 0 and 1, got list"):
        check_binary([0.0, 1.0], "unit_mask")


def test_an_empty_mask_has_no_density() -> None:
    with pytest.raises(ValueError, match="mask is empty"):
        density(np.zeros((0, 3)))


@pytest.mark.parametrize("rate", [-0.1, 1.1, 20, nan, inf])
def test_a_rate_outside_its_range(rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate is .* 0 <= rate <= 1 is needed.*0\.2 for 20 %"):
        prune_count(rate, 100)


@pytest.mark.parametrize("rate", ["0.2", None, True, [0.2]])
def test_a_rate_that_is_no_number(rate: Any) -> None:
    with pytest.raises(TypeError, match="rate must be a number"):
        prune_count(rate, 100)


@pytest.mark.parametrize("k", [-1, 4, 1.0, nan, "1"])
def test_more_cannot_go_than_there_are(k: Any) -> None:
    mask = np.array([1.0, 1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=r"k is .* integer in 0 \.\.\. 3"):
        prune_lowest(np.arange(4.0), mask, k)


def test_scores_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"scores \(2, 3\) and mask \(3, 2\) must have one shape"):
        prune_lowest(np.ones((2, 3)), np.ones((3, 2)), 1)


@pytest.mark.equation("L2")
def test_a_score_that_is_nan_cannot_be_ranked() -> None:
    scores = np.array([[1.0, 2.0], [nan, nan]])
    with pytest.raises(ValueError, match=r"scores\[1, 1\] is NaN"):
        prune_lowest(scores, np.array([[1.0, 1.0], [0.0, 1.0]]), 1)
    assert prune_lowest(scores, np.array([[1.0, 1.0], [0.0, 0.0]]), 1).tolist() == [[0, 1], [0, 0]]


# ---- the doorkeepers themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [nan, inf, -inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_the_first_entry_that_is_not_finite_is_named(wrong: float, dtype: type) -> None:
    x = np.ones((3, 4), dtype)
    x[1, 2] = x[2, 0] = wrong
    with pytest.raises(ValueError, match=r"x must be finite, but x\[1, 2\] is .*2 such entries of 12"):
        check_finite(x, "x")


@pytest.mark.parametrize("values", [[inf, -inf, 1.0], [nan, inf, 0.0]])
def test_infinities_that_cancel_are_found(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"x\[0\]"):
        check_finite(np.array(values), "x")


def test_large_finite_numbers_pass_though_their_sum_overflows() -> None:
    x = np.full(10, np.finfo(np.float32).max, np.float32)
    assert check_finite(x, "x") is x


@pytest.mark.parametrize("dtype", [int, bool, object, "U3", "M8[s]"])
def test_only_floating_numbers_pass(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"x has dtype .*astype"):
        check_floating(np.zeros(3, dtype), "x")
    with pytest.raises(TypeError, match=r"x must be a NumPy array .*got list"):
        check_floating([0.0], "x")


def test_what_counts_as_one_precision() -> None:
    x = np.ones(2, np.float32)
    check_precision(x=x, mask=np.ones(2, bool), step=x.astype(np.complex64), q=0.5, k=1, nothing=None)
    with pytest.raises(TypeError, match="q must be a NumPy array"):
        check_precision(x=x, q=np.float64(0.5))  # it would turn float32 into float64
    with pytest.raises(TypeError, match=r"step has dtype complex128, but x has float32"):
        check_precision(x=x, step=np.ones(2, complex))
