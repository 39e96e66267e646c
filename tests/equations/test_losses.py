"""Losses: definitions, the one 1/N, shifts and extremes, and the delta that every backward pass starts from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.losses import (
    Loss,
    l2_penalty_backward,
    l2_penalty_forward,
    log_softmax,
    softmax,
    softmax_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    squared_error,
    squared_error_backward,
    squared_error_forward,
)
from tests.checks import assert_close
from tests.pairs import masked, with_labels, with_targets
from tests.strategies import CLEAN, Draw, draws


@pytest.mark.equation("B16", "B17", "B18")
@given(draw=draws())
def test_values_by_the_definition(draw: Draw) -> None:
    a = with_labels(draw)
    z, y = a["logits"], a["labels"]
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    assert_close(softmax(z), p)
    assert_close(log_softmax(z), np.log(p))
    loss, _ = softmax_cross_entropy_forward(z, y)
    assert_close(loss, -sum(math.log(p[n, y[n]]) for n in range(draw.N)) / draw.N)


@pytest.mark.equation("B2")
@given(draw=draws())
def test_delta_is_p_minus_y_over_n_and_its_rows_sum_to_zero(draw: Draw) -> None:
    a = with_labels(draw)
    _, cache = softmax_cross_entropy_forward(**a)
    dz = softmax_cross_entropy_backward(1.0, cache)
    one_hot = np.eye(draw.d_out)[a["labels"]]
    assert_close(dz, (softmax(a["logits"]) - one_hot) / draw.N)
    assert_close(dz.sum(axis=-1), np.zeros(draw.N))


@pytest.mark.equation("B18")
@given(n_classes=st.integers(1, 12), constant=st.floats(-1e6, 1e6))
def test_constant_logits_cost_log_k(n_classes: int, constant: float) -> None:
    loss, _ = softmax_cross_entropy_forward(np.full((3, n_classes), constant), np.zeros(3, dtype=int))
    assert_close(loss, math.log(n_classes))


@pytest.mark.equation("B16", "B17")
@given(draw=draws(), shift=st.floats(-1000, 1000))
def test_adding_a_constant_to_a_row_changes_nothing(draw: Draw, shift: float) -> None:
    z = with_labels(draw)["logits"]
    c = shift * draw.rng(4).normal(size=(draw.N, 1))
    # The sum z + c itself is rounded, to some 1e-12 where c is some 1000.
    assert_close(softmax(z + c), softmax(z), tolerance=1e-11)
    assert_close(log_softmax(z + c), log_softmax(z), tolerance=1e-11)


@pytest.mark.equation("B16")
@given(draw=draws())
def test_the_softmax_jacobian_is_symmetric_and_its_rows_sum_to_zero(draw: Draw) -> None:
    z = draw.rng().normal(size=(1, draw.d_out))
    p = softmax(z)
    jacobian = np.concatenate([softmax_backward(row[None, :], p) for row in np.eye(draw.d_out)])
    assert_close(jacobian, np.diag(p[0]) - p.T @ p)
    assert_close(jacobian, jacobian.T)
    assert_close(jacobian.sum(axis=1), np.zeros(draw.d_out))


@pytest.mark.equation("B2", "B16", "B17", "B18")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_huge_logits_give_a_finite_loss_and_gradient(dtype: type, size: float) -> None:
    z = (size * np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]])).astype(dtype)
    for labels in ([0, 0, 0], [1, 2, 1], [2, 1, 2]):
        loss, cache = softmax_cross_entropy_forward(z, np.array(labels))
        dz = softmax_cross_entropy_backward(1.0, cache)
        assert np.isfinite(loss) and loss.real >= 0
        assert np.isfinite(dz).all() and np.abs(dz).max() <= 1 / 3 + 1e-6
        assert np.isfinite(softmax(z)).all()
    exact, _ = softmax_cross_entropy_forward(z, np.array([1, 2, 0]))
    assert_close(exact.real / size, (2 + 2) / 3, tolerance=1e-1 if size < 1e3 else 1e-4)


@pytest.mark.equation("B20")
@given(draw=draws())
def test_squared_error_by_the_definition(draw: Draw) -> None:
    a = with_targets(draw)
    loss, cache = squared_error_forward(**a)
    assert_close(loss, ((a["outputs"] - a["targets"]) ** 2).sum() / (2 * draw.N))
    assert_close(squared_error_backward(1.0, cache), (a["outputs"] - a["targets"]) / draw.N)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, squared_error], ids=lambda loss: loss.name)
@pytest.mark.equation("B18", "B20")
@given(draw=draws())
def test_a_batch_joined_with_itself_has_the_same_loss(loss: Loss, draw: Draw) -> None:
    """The loss owns 1/N: it is a mean over examples, and half of each copy's gradient is left."""
    outputs, targets = (with_labels if loss is softmax_cross_entropy else with_targets)(draw).values()
    once, cache = loss.forward(outputs, targets)
    twice, cache_twice = loss.forward(np.concatenate([outputs, outputs]), np.concatenate([targets, targets]))
    assert_close(twice, once)
    half = loss.backward(0.7, cache) / 2
    assert_close(loss.backward(0.7, cache_twice), np.concatenate([half, half]))


@pytest.mark.parametrize("loss", [softmax_cross_entropy, squared_error], ids=lambda loss: loss.name)
@given(draw=draws())
def test_a_stack_of_losses_is_a_stack_of_calls(loss: Loss, draw: Draw) -> None:
    outputs, targets = (with_labels if loss is softmax_cross_entropy else with_targets)(draw, (3,)).values()
    stacked, cache = loss.forward(outputs, targets)
    dloss = np.array([0.3, -1.2, 2.0])
    gradients = loss.backward(dloss, cache)
    for r in range(3):
        own_targets = targets if loss is squared_error else targets[r]  # the stack shares its targets
        alone, cache_alone = loss.forward(outputs[r], own_targets)
        assert_close(stacked[r], alone)
        assert_close(gradients[r], loss.backward(dloss[r], cache_alone))


@pytest.mark.equation("B21")
@given(draw=draws(), weight_decay=st.floats(0, 10))
def test_l2_penalty_counts_the_weights_that_exist(draw: Draw, weight_decay: float) -> None:
    a = masked(draw)
    W, M = a["W"], a["weight_mask"]
    penalty, cache = l2_penalty_forward(W, weight_decay, weight_mask=M)
    assert_close(penalty, weight_decay / 2 * (W[M == 1] ** 2).sum())
    dW = l2_penalty_backward(1.0, cache)
    assert_close(dW, weight_decay * M * W)
    assert not dW[M == 0].any()
    assert np.array_equal(penalty, l2_penalty_forward(W + 1e6 * (1 - M), weight_decay, weight_mask=M)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_scalars_do_not_change_the_precision(dtype: type) -> None:
    a = with_labels(CLEAN)
    loss, cache = softmax_cross_entropy_forward(a["logits"].astype(dtype), a["labels"])
    assert loss.dtype == dtype
    assert softmax_cross_entropy_backward(np.float64(0.5), cache).dtype == dtype
    penalty, cache = l2_penalty_forward(masked(CLEAN)["W"].astype(dtype), np.float64(0.1))
    assert penalty.dtype == dtype
    assert l2_penalty_backward(np.float64(0.5), cache).dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_labels_of_any_integer_type(dtype: type) -> None:
    a = with_labels(CLEAN)
    expected, expected_cache = softmax_cross_entropy_forward(**a)
    loss, cache = softmax_cross_entropy_forward(a["logits"], a["labels"].astype(dtype))
    assert loss == expected
    assert np.array_equal(
        softmax_cross_entropy_backward(1.0, cache), softmax_cross_entropy_backward(1.0, expected_cache)
    )
