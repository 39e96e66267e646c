"""The masked linear layer: its values, what the masks do to it, and masks as one law with pruning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import Activation, identity, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.linear import dense_gradient, linear_backward, linear_forward, mask_gradients
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.gradcheck.numeric import complex_direction, complex_step
from tests.checks import assert_close, random_like
from tests.pairs import R, dense, linear_gradients, masked
from tests.strategies import CLEAN, Draw, all_masks, binary, draws, labels_of, mask_probabilities

ACTIVATIONS = [relu, leaky_relu, tanh, sigmoid, identity]


@pytest.mark.equation("B1", "M5")
@given(draw=draws(), per_unit=st.booleans())
def test_forward_is_the_sum_over_inputs_of_all_four_factors(draw: Draw, per_unit: bool) -> None:
    a = masked(draw, per_unit=per_unit)
    y, _ = linear_forward(**a)
    expected = np.einsum("ni,ni,ij,ij->nj", a["unit_mask"], a["x"] / a["keep_prob"], a["weight_mask"], a["W"]) + a["b"]
    assert_close(y, expected)


@pytest.mark.equation("M5")
@given(draw=draws())
def test_each_example_sees_a_weight_mask_of_its_own(draw: Draw) -> None:
    a = masked(draw)
    y, _ = linear_forward(**a)
    for n in range(draw.N):
        own = a["unit_mask"][n][:, None] * a["weight_mask"]
        alone, _ = linear_forward(a["x"][[n]] / draw.keep_prob, a["W"], a["b"], weight_mask=own)
        assert_close(y[[n]], alone)


@pytest.mark.equation("B1")
@given(draw=draws())
def test_without_masks_and_with_masks_of_ones_it_is_the_affine_layer(draw: Draw) -> None:
    a = dense(draw)
    y, _ = linear_forward(**a)
    assert_close(y, a["x"] @ a["W"] + a["b"])
    ones, _ = linear_forward(
        **a, unit_mask=np.ones_like(a["x"]), keep_prob=1.0, weight_mask=np.ones_like(a["W"], dtype=bool)
    )
    assert np.array_equal(y, ones)
    unscaled, _ = linear_forward(**a, keep_prob=draw.keep_prob)  # evaluation: no unit mask, hence no scale
    assert np.array_equal(y, unscaled)


@pytest.mark.equation("B5", "B6", "B22", "M4")
@given(draw=draws())
def test_gradients_of_pruned_weights_are_exactly_zero_and_the_dense_gradient_is_not(draw: Draw) -> None:
    a = masked(draw)
    y, cache = linear_forward(**a)
    dy = random_like(y, draw.seed)
    _, dW, _ = linear_backward(dy, cache)
    pruned = a["weight_mask"] == 0
    assert np.array_equal(dW[pruned], np.zeros(pruned.sum()))
    G = dense_gradient(dy, cache)
    assert np.array_equal(dW, G * a["weight_mask"])
    seen = pruned & (a["unit_mask"].sum(axis=0) > 0)[:, None]  # a unit dropped in the whole batch says nothing
    assert np.all(G[seen] != 0)


@pytest.mark.equation("M4", "M15")
@given(draw=draws())
def test_nothing_under_the_weight_mask_reaches_the_output(draw: Draw) -> None:
    a = masked(draw)
    stored = a | {"W": a["W"] * a["weight_mask"], "weight_mask": None}
    loud = a | {"W": a["W"] + 1e6 * (1 - a["weight_mask"])}
    for other in (stored, loud):
        y, cache = linear_forward(**a)
        y_other, cache_other = linear_forward(**other)
        assert np.array_equal(y, y_other)
        dy = random_like(y, draw.seed)
        assert np.array_equal(linear_backward(dy, cache)[0], linear_backward(dy, cache_other)[0])


@pytest.mark.equation("M4")
@given(draw=draws())
def test_nothing_under_the_unit_mask_reaches_the_output_or_a_gradient(draw: Draw) -> None:
    a = masked(draw)
    loud = a | {"x": a["x"] + 1e6 * (1 - a["unit_mask"])}
    y, cache = linear_forward(**a)
    y_loud, cache_loud = linear_forward(**loud)
    assert np.array_equal(y, y_loud)
    dy = random_like(y, draw.seed)
    dx, dW, db = linear_backward(dy, cache)
    assert all(np.array_equal(g, h) for g, h in zip((dx, dW, db), linear_backward(dy, cache_loud), strict=True))
    assert not dx[a["unit_mask"] == 0].any()


@pytest.mark.equation("M2", "M3")
@given(draw=draws())
def test_a_shared_unit_mask_is_a_row_mask_of_the_next_weights_bit_for_bit(draw: Draw) -> None:
    a = dense(draw)
    d = binary(draw.rng(3), (1, draw.d_in), draw.density)
    dropped, _ = linear_forward(**a, unit_mask=d)
    pruned, _ = linear_forward(**a, weight_mask=np.broadcast_to(d.T, a["W"].shape))
    assert np.array_equal(dropped, pruned)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
@pytest.mark.equation("M2", "N9")
@given(draw=draws())
def test_a_shared_unit_mask_is_a_column_and_bias_mask_only_if_zero_stays_zero(
    activation: Activation, draw: Draw
) -> None:
    a = dense(draw)
    d = binary(draw.rng(3), (1, draw.d_out), draw.density)

    def layer(b: np.ndarray) -> np.ndarray:
        return activation.forward(linear_forward(a["x"], a["W"], b, weight_mask=np.broadcast_to(d, a["W"].shape))[0])[0]

    dropped = d * activation.forward(linear_forward(**a)[0])[0]
    pruned = layer(a["b"] * d[0])
    gone = d[0] == 0
    if activation.zero_at_zero:
        assert_close(pruned, dropped)
    else:
        assert np.all(pruned[:, gone] != 0)
    # The bias must go, too: alone it keeps the unit alive, at phi(b). (ReLU hides that where b < 0.)
    forgotten = layer(np.abs(a["b"]))
    assert np.all(forgotten[:, gone] != 0)


@pytest.mark.equation("M7")
@given(draw=draws())
def test_the_saliency_of_a_unit_is_the_sum_of_those_of_its_weights(draw: Draw) -> None:
    a = masked(draw, shared=True)
    a["unit_mask"] = np.ones_like(a["unit_mask"])  # d dL/dd at every unit
    y, cache = linear_forward(**a)
    dy = random_like(y, draw.seed)
    dx, dW, _ = linear_backward(dy, cache)
    _, d_unit_mask = mask_gradients(dy, cache)
    assert_close(d_unit_mask.sum(axis=0), (a["W"] * dW).sum(axis=1))
    assert_close(d_unit_mask.sum(axis=0), (a["x"] * dx).sum(axis=0))


@pytest.mark.equation("B23")
@given(draw=draws())
def test_without_a_unit_mask_there_is_no_scale_in_the_mask_gradients_either(draw: Draw) -> None:
    a = dense(draw)
    (y, cache), (_, with_ones) = linear_forward(**a, keep_prob=0.7), linear_forward(**a, unit_mask=np.ones_like(a["x"]))
    dy = random_like(y, draw.seed)
    for gradient, expected in zip(mask_gradients(dy, cache), mask_gradients(dy, with_ones), strict=True):
        assert np.array_equal(gradient, expected)


@pytest.mark.equation("B23", "M8")
@given(draw=draws())
def test_the_gradient_of_a_keep_probability_is_the_expected_cost_of_pruning_the_unit(draw: Draw) -> None:
    """Over all 2^n masks shared by the batch; the expected loss is a polynomial in q, so the complex step is exact."""
    rng, n = draw.rng(), 5
    x, W, b = rng.normal(size=(draw.N, n)), rng.normal(size=(n, draw.d_out)), rng.normal(size=draw.d_out)
    labels, q, masks = labels_of(rng, (draw.N,), draw.d_out), rng.uniform(0.2, 0.9, size=n), all_masks(n)

    def losses(keep_prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, cache = linear_forward(x, W, b, unit_mask=masks[:, None, :], keep_prob=keep_prob)
        loss, loss_cache = softmax_cross_entropy_forward(y, labels)
        dy = softmax_cross_entropy_backward(np.ones(len(masks)), loss_cache)
        return loss, (mask_gradients(dy, cache)[1] * masks[:, None, :]).sum(axis=-2)  # d_k dL/dd_k, for every mask

    def standard(p: np.ndarray) -> complex:
        return (mask_probabilities(masks, p) * losses(q)[0]).sum()

    def inverted(p: np.ndarray) -> complex:
        return (mask_probabilities(masks, p) * losses(p)[0]).sum()

    loss, saliency = losses(q)
    probability = mask_probabilities(masks, q)
    kept, dropped = masks.T * (probability / q[:, None]), (1 - masks.T) * (probability / (1 - q[:, None]))
    cost_of_pruning = -(kept - dropped) @ loss  # E[L | d_k = 0] - E[L | d_k = 1]
    assert_close(complex_step(standard, q), -cost_of_pruning)
    assert_close(complex_step(inverted, q), -cost_of_pruning - (probability @ saliency) / q)


@pytest.mark.equation("D3", "M21")
@pytest.mark.parametrize("pruned", [False, True])
@given(draw=draws())
def test_mean_and_covariance_of_the_pre_activations_over_all_masks(pruned: bool, draw: Draw) -> None:
    rng, n, q = draw.rng(), 6, draw.keep_prob
    h, W, b = rng.normal(size=(1, n)), rng.normal(size=(n, 3)), rng.normal(size=3)
    M = binary(rng, (n, 3), draw.density) if pruned else None
    masks = all_masks(n)
    probability = mask_probabilities(masks, q)
    z = linear_forward(h, W, b, unit_mask=masks[:, None, :], keep_prob=q, weight_mask=M)[0][:, 0, :]  # (2^n, 3)
    mean = probability @ z
    assert_close(mean, linear_forward(h, W, b, weight_mask=M)[0][0])  # evaluation, without mask and scale
    hW = h.T * W if M is None else h.T * (M * W)
    assert_close((z - mean).T @ (probability[:, None] * (z - mean)), (1 - q) / q * hW.T @ hW)


@pytest.mark.equation("M6")
@given(draw=draws())
def test_one_mask_law_independent_weights_with_a_keep_probability_each(draw: Draw) -> None:
    rng, d_in, d_out = draw.rng(), 3, 2
    h, W, b = rng.normal(size=(1, d_in)), rng.normal(size=(d_in, d_out)), rng.normal(size=d_out)
    Q = rng.uniform(size=(d_in, d_out))
    Q[0] = 0, 1  # pruning is the corner of this law
    masks = all_masks(d_in * d_out)
    probability = mask_probabilities(masks, Q.ravel())
    z = linear_forward(h, W, b, weight_mask=masks.reshape(-1, d_in, d_out))[0][:, 0, :]
    mean = probability @ z
    assert_close(mean, (h @ (Q * W))[0] + b)  # a single mask is a sample of it, and is not divided by Q (M15)
    assert_close(probability @ (z - mean) ** 2, (h**2 @ (Q * (1 - Q) * W**2))[0])


@pytest.mark.equation("M22")
@given(draw=draws())
def test_random_units_and_random_weights_together(draw: Draw) -> None:
    rng, n, q, s = draw.rng(), 3, draw.keep_prob, draw.density
    h, W, b = rng.normal(size=(1, n)), rng.normal(size=(n, 2)), np.zeros(2)
    masks = all_masks(n + 2 * n)
    probability = mask_probabilities(masks[:, :n], q) * mask_probabilities(masks[:, n:], s)
    z = linear_forward(h, W, b, unit_mask=masks[:, None, :n], keep_prob=q, weight_mask=masks[:, n:].reshape(-1, n, 2))[
        0
    ][:, 0, :]
    mean = probability @ z
    covariance = (z - mean).T @ (probability[:, None] * (z - mean))
    assert_close(mean, s * (h @ W)[0])
    expected = s**2 * (1 - q) / q * (W.T * h**2) @ W
    np.fill_diagonal(expected, (s / q - s**2) * (h**2 @ W**2)[0])
    assert_close(covariance, expected)


@pytest.mark.equation("B7")
@given(draw=draws())
def test_the_adjoint_identity_for_every_argument(draw: Draw) -> None:
    a = masked(draw)
    y, cache = linear_forward(**a)
    rng, dy = draw.rng(2), random_like(y, draw.seed)
    for name, gradient in linear_gradients(dy, cache).items():
        v = rng.normal(size=a[name].shape)
        Jv = complex_direction(lambda value, name=name: linear_forward(**{**a, name: value})[0], a[name], v)
        bound = 1e-12 * np.linalg.norm(dy) * np.linalg.norm(Jv)
        assert abs((dy * Jv).sum() - (gradient * v).sum()) <= bound, name


@given(draw=draws(), shared=st.booleans())
def test_a_stack_of_layers_is_a_stack_of_calls(draw: Draw, shared: bool) -> None:
    a = masked(draw, (R,), shared=shared)
    y, cache = linear_forward(**a)
    dy = random_like(y, draw.seed)
    gradients = linear_gradients(dy, cache)
    for r in range(R):
        alone = {name: value[r] if isinstance(value, np.ndarray) else value for name, value in a.items()}
        y_alone, cache_alone = linear_forward(**alone)
        assert_close(y[r], y_alone)
        for name, gradient in linear_gradients(dy[r], cache_alone).items():
            assert_close(gradients[name][r], gradient, name)


@given(draw=draws())
def test_leading_axes_are_kept_even_where_the_weights_have_none(draw: Draw) -> None:
    a = masked(draw)
    masks = binary(draw.rng(3), (4, draw.N, draw.d_in), draw.keep_prob)
    y, cache = linear_forward(**a | {"unit_mask": masks})
    dx, dW, db = linear_backward(random_like(y, draw.seed), cache)
    assert dx.shape == (4, draw.N, draw.d_in)
    assert dW.shape == (4, draw.d_in, draw.d_out)
    assert db.shape == (4, draw.d_out)


@pytest.mark.equation("B5", "B6", "B22")
@given(draw=draws())
def test_the_gradient_of_a_batch_is_the_sum_of_those_of_its_examples(draw: Draw) -> None:
    a = masked(draw)
    y, cache = linear_forward(**a)
    dy = random_like(y, draw.seed)
    dx, dW, db = linear_backward(dy, cache)
    each = a | {"x": a["x"][:, None], "unit_mask": a["unit_mask"][:, None]}  # a stack of batches of one
    y_each, cache_each = linear_forward(**each)
    assert_close(y_each[:, 0], y)
    out = np.full((draw.N, draw.d_in, draw.d_out), np.nan), np.full((draw.N, draw.d_out), np.nan)
    dx_each, dW_each, db_each = linear_backward(dy[:, None], cache_each, out=out)
    assert dW_each is out[0] and db_each is out[1]
    assert_close(dx_each[:, 0], dx)
    assert_close(dW_each.sum(axis=0), dW)
    assert_close(db_each.sum(axis=0), db)
    assert_close(dense_gradient(dy[:, None], cache_each).sum(axis=0), dense_gradient(dy, cache))


@given(draw=draws())
def test_out_receives_the_same_bits_and_need_dx_leaves_only_dx_out(draw: Draw) -> None:
    a = masked(draw)
    y, cache = linear_forward(**a)
    dy = random_like(y, draw.seed)
    _, dW, db = linear_backward(dy, cache)
    out = np.full_like(dW, np.nan), np.full_like(db, np.nan)
    dx, dW_out, db_out = linear_backward(dy, cache, need_dx=False, out=out)
    assert dx is None
    assert dW_out is out[0] and db_out is out[1]
    assert np.array_equal(out[0], dW) and np.array_equal(out[1], db)


@pytest.mark.equation("B5", "B6", "B22")
@given(draw=draws(), n=st.integers(0, 2), with_mask=st.booleans())
def test_batches_of_none_one_and_two_examples(draw: Draw, n: int, with_mask: bool) -> None:
    a = dense(draw) if not with_mask else masked(draw)
    few = a | {name: a[name][:n] for name in ("x", "unit_mask") if name in a}
    _, cache = linear_forward(**few)
    dy = draw.rng(5).normal(size=(n, draw.d_out)) + 1j * draw.rng(6).normal(size=(n, draw.d_out))
    expected = np.einsum("ni,nj->ij", cache.x_kept, dy)
    assert_close(dense_gradient(dy, cache), expected)
    expected = expected * a.get("weight_mask", 1)
    out = np.full((draw.d_in, draw.d_out), np.nan + 0j), np.full(draw.d_out, np.nan + 0j)
    _, dW, db = linear_backward(dy, cache, out=out)
    assert dW is out[0] and db is out[1]
    assert_close(dW, expected)
    assert_close(db, sum(dy, np.zeros(draw.d_out)))
    dx, dW, db = linear_backward(dy, cache)
    assert not any(np.shares_memory(dy, gradient) for gradient in (dx, dW, db))


@pytest.mark.parametrize("function", [dense_gradient, mask_gradients, linear_backward])
@pytest.mark.parametrize("n", [1, 3])
def test_the_gradient_of_another_output_is_refused(function: Callable, n: int) -> None:
    _, cache = linear_forward(np.ones((n, 5)), np.ones((5, 2)), np.zeros(2))
    for shape in ((2, 2), (1, 1), (3, 1), (4 - n, 2), (2,)):
        with pytest.raises(ValueError, match="that of the output is needed"):
            function(np.zeros(shape), cache)


@pytest.mark.parametrize("shape", [(1, 2), (5, 1), (6, 2), (3, 6, 2), (2,)])
def test_a_gradient_is_not_spread_over_an_out_of_another_shape(shape: tuple[int, ...]) -> None:
    y, cache = linear_forward(np.ones((1, 5)), np.ones((5, 2)), np.zeros(2))
    with pytest.raises(ValueError):
        linear_backward(np.ones_like(y), cache, out=(np.empty(shape), np.empty(2)))


@pytest.mark.equation("B1")
def test_biases_may_have_leading_axes_that_nothing_else_has() -> None:
    rng = np.random.default_rng(1)
    x, W, b = rng.normal(size=(4, 5)), rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    assert_close(linear_forward(x, W, b)[0], x @ W + b[:, None])
    assert_close(linear_forward(x[None], W, b)[0], x @ W + b[:, None])
    assert_close(linear_forward(x, W, b[:1])[0], (x @ W + b[0])[None])


@pytest.mark.equation("N30")
def test_zero_times_infinity_is_not_zero() -> None:
    """A mask removes finite numbers; what is infinite must be stopped before it, and is: data are checked for it."""
    x = np.array([[np.inf, 2.0]])
    with np.errstate(invalid="ignore"):
        y, _ = linear_forward(x, np.ones((2, 1)), np.zeros(1), unit_mask=np.array([[0.0, 1.0]]))
    assert np.isnan(y).all()


def test_boolean_masks_are_masks() -> None:
    a = masked(CLEAN)
    boolean = a | {"unit_mask": a["unit_mask"] == 1, "weight_mask": a["weight_mask"] == 1}
    (y, cache), (y_boolean, cache_boolean) = linear_forward(**a), linear_forward(**boolean)
    assert np.array_equal(y, y_boolean) and y_boolean.dtype == np.float64
    dy = np.random.default_rng(0).normal(size=y.shape)
    for gradient, same in zip(linear_backward(dy, cache), linear_backward(dy, cache_boolean), strict=True):
        assert np.array_equal(gradient, same)
