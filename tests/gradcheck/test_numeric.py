"""The numeric derivatives, held against derivatives known in closed form, and their guards against silent failure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.gradcheck.numeric import (
    central_difference,
    complex_direction,
    complex_step,
    hessian_vector_product,
    numeric_gradient,
    one_sided_differences,
    richardson,
)
from numpynet.network import MLP
from numpynet.parameters import Parameters

seeds = st.integers(0, 2**32 - 1)


def smooth(x):
    """A function whose gradient is known: sum of sin(x) e^(x/3), and the product of neighbours."""
    return (np.sin(x) * np.exp(x / 3)).sum() + (x[1:] * x[:-1]).sum()


def smooth_gradient(x):
    gradient = (np.cos(x) + np.sin(x) / 3) * np.exp(x / 3)
    gradient[:-1] += x[1:]
    gradient[1:] += x[:-1]
    return gradient


@pytest.mark.equation("B7")
@given(seed=seeds, log_h=st.integers(-200, -20))
def test_complex_step_is_exact_for_any_small_step(seed, log_h):
    x = np.random.default_rng(seed).normal(size=6)
    np.testing.assert_allclose(complex_step(smooth, x, step=10.0**log_h), smooth_gradient(x), rtol=1e-13, atol=1e-14)


@pytest.mark.equation("B7")
@given(seed=seeds)
def test_a_direction_is_the_product_with_the_gradient(seed):
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(2, 6))
    np.testing.assert_allclose(complex_direction(smooth, x, v), smooth_gradient(x) @ v, rtol=1e-12, atol=1e-13)


@given(seed=seeds)
def test_single_entries_equal_those_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 4))
    entries = rng.permutation(12)[:5]
    f = lambda z: smooth(z.reshape(-1))  # noqa: E731
    whole = complex_step(f, x).reshape(-1)[entries]
    np.testing.assert_array_equal(complex_step(f, x, entries=entries), whole)
    np.testing.assert_allclose(central_difference(f, x, entries=entries), whole, rtol=1e-7, atol=1e-8)


@pytest.mark.equation("B26")
@given(seed=seeds, scale=st.sampled_from([0.01, 1.0, 30.0]))
def test_central_difference_and_richardson_reach_their_precision(seed, scale):
    x = scale * np.random.default_rng(seed).uniform(-1, 1, size=6)
    right = smooth_gradient(x)
    largest = max(1.0, abs(right).max(), abs(smooth(x)))
    assert abs(central_difference(smooth, x) - right).max() <= 1e-7 * largest
    assert abs(richardson(smooth, x) - right).max() <= 2e-8 * largest


@pytest.mark.equation("B26")
def test_the_error_curve_of_central_differences_has_its_minimum_near_6e_6():
    x = np.random.default_rng(0).normal(size=20)
    error = {h: abs(central_difference(smooth, x, step=h) - smooth_gradient(x)).max() for h in (1e-2, 6e-6, 1e-10)}
    assert error[6e-6] < 1e-9 < 1e-7 < min(error[1e-2], error[1e-10])
    assert abs(richardson(smooth, x) - smooth_gradient(x)).max() < error[6e-6]


@pytest.mark.equation("B25")
@given(seed=seeds)
def test_hessian_vector_product_is_symmetric_and_agrees_with_differences_of_gradients(seed):
    rng = np.random.default_rng(seed)
    net = MLP((3, 5, 4, 2), keep_prob=0.7)
    theta = Parameters(rng.normal(size=net.layout.size), net.layout)
    x, dlogits = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    masks = net.sample_unit_masks(rng, (6,), dtype=np.float64)

    def gradient(vector):
        # The gradient of <logits, logits> / 2 + <dlogits, logits>: its dlogits depends on theta.
        logits, caches = net.forward(Parameters(vector, net.layout), x, unit_masks=masks)
        return net.backward(logits + dlogits, caches).vector

    u, v = rng.normal(size=(2, net.layout.size))
    Hu, Hv = (hessian_vector_product(gradient, theta.vector, w) for w in (u, v))
    scale = np.linalg.norm(u) * np.linalg.norm(Hv) + 1
    assert abs(u @ Hv - v @ Hu) <= 1e-12 * scale
    h = 1e-6
    differences = (gradient(theta.vector + h * v) - gradient(theta.vector - h * v)) / (2 * h)
    if abs(differences - Hv).max() > 1e-5 * abs(Hv).max():  # only where a ReLU switched inside the interval
        half = (gradient(theta.vector + h / 64 * v) - gradient(theta.vector - h / 64 * v)) / (2 * h / 64)
        assert abs(half - Hv).max() <= 1e-4 * abs(Hv).max()


@pytest.mark.parametrize(
    ("drop", "word"),
    [
        (lambda x: np.abs(x).sum(), "dropped the imaginary part"),
        (lambda x: (x.real**2).sum(), "dropped the imaginary part"),
        (lambda x: np.linalg.norm(x) ** 2, "dropped the imaginary part"),
        (lambda x: x.var(), "dropped the imaginary part"),
        (lambda x: (x.astype(np.float64) ** 3).sum(), "casts complex to float"),
        (lambda x: np.hypot(x, 1.0).sum(), "cannot take complex numbers"),
        (lambda x: (x.real * x + 0 * x).sum(), "part of the imaginary part"),
        (lambda x: (np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))).sum(), "part of the imaginary part"),
        (lambda x: (np.conj(x) * x + x).sum(), "part of the imaginary part"),
        (lambda x: (np.sign(x) * x).sum(), "part of the imaginary part"),
    ],
)
def test_functions_that_lose_the_imaginary_part_are_found_and_differentiated_all_the_same(drop, word):
    x = np.random.default_rng(1).normal(size=8)
    result = numeric_gradient(drop, x, rng=np.random.default_rng(2))
    assert result.method == "central difference"
    assert word in result.note
    np.testing.assert_allclose(result.value, central_difference(drop, x))


@given(seed=seeds)
def test_analytic_functions_keep_the_complex_step(seed):
    x = np.random.default_rng(seed).normal(size=7)
    result = numeric_gradient(smooth, x, rng=np.random.default_rng(seed))
    assert (result.method, result.note) == ("complex step", "")
    np.testing.assert_allclose(result.value, smooth_gradient(x), rtol=1e-12, atol=1e-13)


def test_forcing_the_complex_step_on_code_that_cannot_take_it_is_an_error():
    with pytest.raises(TypeError, match="imaginary part"):
        numeric_gradient(lambda x: np.abs(x).sum(), np.ones(2), rng=np.random.default_rng(0), method="complex step")


@pytest.mark.equation("B26")
def test_at_a_kink_the_one_sided_differences_are_the_two_slopes_and_the_central_one_is_neither():
    x = np.array([[0.0, 1.0, -1.0]])
    relu = lambda z: np.maximum(z, 0).sum()  # noqa: E731
    left, right = one_sided_differences(relu, x)
    np.testing.assert_allclose(left, [[0, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(right, [[1, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(central_difference(relu, x), [[0.5, 1, 0]], atol=1e-9)


@pytest.mark.equation("B7")
def test_numpy_orders_complex_numbers_by_their_real_parts():
    """Behaviour of NumPy, not of a standard: gates of the form maximum(z, 0) and z > 0 rest on it."""
    h = 1e-30
    z = np.array([2 + 1j * h, -2 + 1j * h, 0.5 - 1j * h])
    np.testing.assert_array_equal(np.maximum(z, 0), [2 + 1j * h, 0, 0.5 - 1j * h])
    np.testing.assert_array_equal(z > 0, [True, False, True])
    assert z.max() == 2 + 1j * h
    assert z.argmax() == 0
    np.testing.assert_array_equal(np.sort(z).real, [-2, 0.5, 2])
    np.testing.assert_array_equal(np.clip(z, 0, 1).imag, [0, 0, -h])
    # Equal real parts: the imaginary parts decide, which is where left and right derivatives at 0 come from.
    assert (np.array([1j * h, -1j * h]) > 0).tolist() == [True, False]


def test_nothing_is_written_to_x():
    x = np.arange(6.0).reshape(2, 3).T  # not C-contiguous
    before = x.copy()
    f = lambda z: (z * z).sum()  # noqa: E731
    for gradient in (complex_step(f, x), central_difference(f, x), richardson(f, x)):
        np.testing.assert_allclose(gradient, 2 * before, atol=1e-8)
    np.testing.assert_array_equal(x, before)
