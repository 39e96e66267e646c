"""Activations: their values, their slopes at exactly 0, their extremes, and what they promise about themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from numpynet.equations.activations import (
    Activation,
    identity,
    leaky_relu,
    leaky_relu_forward,
    relu,
    sigmoid,
    tanh,
)
from numpynet.gradcheck.numeric import COMPLEX_STEP, complex_step
from tests.checks import assert_close
from tests.strategies import Draw, binary, draws

ACTIVATIONS = [relu, leaky_relu, tanh, sigmoid, identity]
SLOPE_AT_ZERO = {"relu": 0.0, "leaky_relu": 0.01, "tanh": 1.0, "sigmoid": 0.25, "identity": 1.0}

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
finite = arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=4), elements=st.floats(-1e3, 1e3))


@pytest.mark.equation("B11", "B12", "B13", "B14", "B15")
@given(z=finite)
def test_values(z: np.ndarray) -> None:
    assert np.array_equal(relu.forward(z)[0], np.maximum(z, 0))
    assert_close(leaky_relu.forward(z)[0], np.maximum(z, 0.01 * z))
    assert np.array_equal(tanh.forward(z)[0], np.tanh(z))
    assert np.array_equal(identity.forward(z)[0], z)
    with np.errstate(over="ignore"):
        assert_close(sigmoid.forward(z)[0], 1 / (1 + np.exp(-z)))


@pytest.mark.equation("B14")
@given(z=finite)
def test_sigmoid_is_symmetric_and_a_shifted_tanh(z: np.ndarray) -> None:
    assert_close(sigmoid.forward(-z)[0], 1 - sigmoid.forward(z)[0])
    assert_close(2 * sigmoid.forward(2 * z)[0] - 1, tanh.forward(z)[0])


@pytest.mark.equation("B14")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_sigmoid_and_its_slope_at_the_extremes(dtype: type) -> None:
    z = np.array([[-1e30, -800.0, -200.0, 200.0, 800.0, 1e30]], dtype)
    h, cache = sigmoid.forward(z)
    dz = sigmoid.backward(np.full_like(z, 3.0), cache)
    assert np.isfinite(h).all() and np.isfinite(dz).all()
    assert_close(h, [[0, 0, 0, 1, 1, 1]])
    assert_close(dz, np.zeros((1, 6)))


@every_activation
@pytest.mark.equation("B4", "B11", "B12")
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_slope_at_exactly_zero_and_the_complex_step_agree(activation: Activation, zero: float) -> None:
    z = np.array([[zero, 1.5, zero], [-1.5, zero, -0.5]])
    dh = np.array([[0.3, -1.7, 2.9], [1.1, -0.6, 0.4]])
    _, cache = activation.forward(z)
    dz = activation.backward(dh, cache)
    assert_close(dz[z == 0], SLOPE_AT_ZERO[activation.name] * dh[z == 0])
    assert_close(complex_step(lambda z: (dh * activation.forward(z)[0]).sum(), z), dz)
    assert_close(complex_step(lambda z: (dh * activation.forward(z)[0]).sum(), z, step=-COMPLEX_STEP), dz)


@pytest.mark.equation("N27")
def test_a_gate_on_the_complex_number_itself_would_take_the_other_slope() -> None:
    """NumPy orders complex numbers by the imaginary part where the real parts are equal: 0 + ih > 0."""
    z = np.zeros((1, 1))
    assert complex_step(lambda z: (z * (z > 0)).sum(), z)[0, 0] == 1
    assert complex_step(lambda z: relu.forward(z)[0].sum(), z)[0, 0] == 0


@every_activation
def test_the_promise_that_zero_stays_zero(activation: Activation) -> None:
    value = activation.forward(np.zeros((1, 1)))[0].item()
    assert (value == 0) == activation.zero_at_zero


@pytest.mark.equation("B12")
@given(leak=st.floats(0.0, 1.0, exclude_max=True), z=finite)
def test_any_leak_in_its_range(leak: float, z: np.ndarray) -> None:
    assert_close(leaky_relu_forward(z, leak=leak)[0], np.where(z > 0, z, leak * z))


@every_activation
@pytest.mark.equation("D30", "N8")
@given(draw=draws())
def test_mask_and_scale_commute_with_homogeneous_activations_only(activation: Activation, draw: Draw) -> None:
    z = draw.rng().normal(size=(draw.N, draw.d_in))
    d = binary(draw.rng(3), z.shape, draw.keep_prob)
    before, after = activation.forward(d * z / draw.keep_prob)[0], d * activation.forward(z)[0] / draw.keep_prob
    if activation.homogeneous:
        assert_close(before, after)
    else:
        # tanh(z / q) - tanh(z) / q is of the third order in z, and sigmoid(0) is 1/2 where the unit is dropped.
        assert np.abs(before - after).max() > min(0.01, 1e-3 * np.abs(z * d).max() ** 3)
    # With the bare mask it is enough that zero stays zero.
    before, after = activation.forward(d * z)[0], d * activation.forward(z)[0]
    if activation.zero_at_zero:
        assert_close(before, after)
    else:
        assert np.all(before[d == 0] != after[d == 0])


@pytest.mark.equation("B12")
@pytest.mark.parametrize("leak", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_leak_outside_its_range_is_refused(leak: float) -> None:
    with pytest.raises(ValueError, match=r"leak is .* 0 <= leak < 1"):
        leaky_relu_forward(np.zeros((1, 1)), leak=leak)
