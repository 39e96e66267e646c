"""One vector with named views: whatever is done to one is seen in the other, and nothing else is touched."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.parameters import Layout, Parameters
from tests.strategies import network_sizes, seeds

LAYOUT = Layout.of_sizes((4, 3, 2))
DTYPES = [np.float32, np.float64, np.complex128]


def random_parameters(seed: int, layout: Layout = LAYOUT, replicates: tuple[int, ...] = ()) -> Parameters:
    return Parameters(np.random.default_rng(seed).normal(size=(*replicates, layout.size)), layout)


def assert_consistent(theta: Parameters) -> None:
    """Every name is a view of the vector, and together they are the vector, in order."""
    parts = [theta[name] for name in theta]
    assert all(np.shares_memory(part, theta.vector) for part in parts)
    joined = np.concatenate([part.reshape(*theta.replicates, -1) for part in parts], axis=-1)
    assert np.array_equal(joined, theta.vector)


# ---- the layout ------------------------------------------------------------------------------------------------------


@given(sizes=network_sizes())
def test_a_layout_lists_weights_and_biases_layer_by_layer(sizes: tuple[int, ...]) -> None:
    layout = Layout.of_sizes(sizes)
    weights = [d_in * d_out for d_in, d_out in zip(sizes, sizes[1:])]
    assert list(layout.shapes) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert layout.weight_names == ("W1", "W2", "W3")
    assert layout.n_weights == sum(weights)
    assert layout.size == sum(weights) + sum(sizes[1:])
    stops = [0]
    for name, shape in layout.shapes.items():
        assert layout.slices[name] == slice(stops[-1], stops[-1] + math.prod(shape))
        stops.append(layout.slices[name].stop)
    assert stops[-1] == layout.size


def test_layouts_are_equal_if_names_shapes_and_order_are() -> None:
    assert Layout.of_sizes((4, 3, 2)) == LAYOUT and hash(Layout.of_sizes((4, 3, 2))) == hash(LAYOUT)
    assert Layout.of_sizes(iter((4, 3, 2))) == LAYOUT
    assert Layout.of_sizes((4, 2, 3)) != LAYOUT
    assert Layout(dict(reversed(LAYOUT.shapes.items()))) != LAYOUT
    assert LAYOUT != "Layout"
    assert repr(LAYOUT) == "Layout({'W1': (4, 3), 'b1': (3,), 'W2': (3, 2), 'b2': (2,)})"


# ---- views -----------------------------------------------------------------------------------------------------------


@given(seed=seeds, sizes=network_sizes(), replicates=st.sampled_from([(), (2,), (3, 2)]))
def test_views_share_memory_and_cover_the_vector(
    seed: int, sizes: tuple[int, ...], replicates: tuple[int, ...]
) -> None:
    theta = random_parameters(seed, Layout.of_sizes(sizes), replicates)
    assert_consistent(theta)
    assert theta.replicates == replicates
    for name, view in theta.items():
        assert view.shape == (*replicates, *theta.layout.shapes[name])
    theta["W2"][..., 0, 0] = 7.0
    assert np.all(theta.vector[..., theta.layout.slices["W2"].start] == 7.0)
    theta.vector[...] = 3.0
    assert np.all(theta["b1"] == 3.0)
    theta["b2"] = np.full((*replicates, sizes[2]), 5.0)
    assert np.all(theta.vector[..., theta.layout.slices["b2"]] == 5.0)


@pytest.mark.parametrize("order", ["C", "F", "every second"])
def test_any_memory_order_of_the_vector_gives_views(order: str) -> None:
    vector = np.random.default_rng(0).normal(size=(3, 2 * LAYOUT.size))
    vector = vector[:, ::2] if order == "every second" else np.array(vector[:, : LAYOUT.size], order=order)
    theta = Parameters(vector, LAYOUT)
    assert theta.vector is vector
    assert_consistent(theta)


def test_a_replicate_is_a_view_of_the_stack() -> None:
    stack = random_parameters(0, replicates=(3, 2))
    assert np.shares_memory(stack.replicate(1).vector, stack.vector)
    stack.replicate((1, 0))["W1"][...] = 9.0
    assert np.all(stack["W1"][1, 0] == 9.0) and not np.any(stack["W1"][1, 1] == 9.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_and_ones(dtype: type) -> None:
    zeros, ones = (make(LAYOUT, replicates=(2,), dtype=dtype) for make in (Parameters.zeros, Parameters.ones))
    assert zeros.dtype == ones.dtype == dtype
    assert zeros["W1"].shape == (2, 4, 3)
    assert not zeros.vector.any() and np.all(ones.vector == 1)
    assert Parameters.zeros(LAYOUT).dtype == np.float32


@given(seed=seeds, replicates=st.sampled_from([(), (2,)]))
def test_from_arrays_copies(seed: int, replicates: tuple[int, ...]) -> None:
    theta = random_parameters(seed, replicates=replicates)
    arrays = {name: view.copy() for name, view in reversed(list(theta.items()))}  # the order does not matter
    made = Parameters.from_arrays(arrays, LAYOUT)
    assert np.array_equal(made.vector, theta.vector) and made.dtype == theta.dtype
    assert not any(np.shares_memory(made.vector, array) for array in arrays.values())


@pytest.mark.parametrize(
    "duplicate",
    [Parameters.copy, copy.copy, copy.deepcopy, lambda theta: pickle.loads(pickle.dumps(theta))],
    ids=["copy", "copy.copy", "copy.deepcopy", "pickle"],
)
def test_a_copy_is_whole(duplicate: Any) -> None:
    """Its views are views of its own vector, also where the original's had been looked at before."""
    theta = random_parameters(0, replicates=(2,))
    assert_consistent(theta)
    other = duplicate(theta)
    assert np.array_equal(other.vector, theta.vector) and other.layout == theta.layout
    other += 1
    assert_consistent(other)
    if duplicate is not copy.copy:  # a shallow copy shares the vector, as shallow copies do
        assert not np.shares_memory(other.vector, theta.vector)
        assert np.array_equal(theta.vector, random_parameters(0, replicates=(2,)).vector)


def test_astype_is_a_copy_even_to_the_same_type() -> None:
    theta = random_parameters(0)
    assert theta.astype(np.float32).dtype == np.float32
    assert not np.shares_memory(theta.astype(np.float64).vector, theta.vector)
    assert_consistent(theta.astype(np.float32))


# ---- arithmetic ------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L4")
@given(seed=seeds)
def test_a_ticket_is_rewound_as_the_paper_writes_it(seed: int) -> None:
    theta_0 = random_parameters(seed)
    start = theta_0.vector.copy()
    mask = Parameters((np.random.default_rng([seed, 1]).random(LAYOUT.size) < 0.4).astype(np.float64), LAYOUT)
    theta = mask * theta_0
    assert isinstance(theta, Parameters) and theta.layout is LAYOUT
    assert np.array_equal(theta.vector, np.where(mask.vector == 1, start, 0.0))
    assert not np.shares_memory(theta.vector, theta_0.vector)
    theta -= 0.1 * theta  # training the ticket
    assert np.array_equal(theta_0.vector, start)
    assert np.array_equal(theta["W1"], (mask["W1"] * theta_0["W1"]) - 0.1 * (mask["W1"] * theta_0["W1"]))


@given(seed=seeds, lr=st.floats(1e-4, 1.0))
def test_a_step_in_place_keeps_the_buffer(seed: int, lr: float) -> None:
    theta, gradients = random_parameters(seed), random_parameters(seed + 1)
    W1, buffer, same = theta["W1"], theta.vector, theta
    expected = theta.vector - lr * gradients.vector
    theta -= lr * gradients
    assert theta is same and theta.vector is buffer and theta["W1"] is W1
    assert np.array_equal(theta.vector, expected)
    assert_consistent(theta)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_acts_on_the_vector_and_keeps_the_dtype(dtype: type) -> None:
    a, b = random_parameters(0).astype(dtype), random_parameters(1).astype(dtype)
    for result, expected in [
        (a + b, a.vector + b.vector),
        (2 * a, 2 * a.vector),
        (a * 2.0, a.vector * 2.0),
        (1 - a, 1 - a.vector),
        (-a, -a.vector),
        (a**2, a.vector**2),
        (a / b, a.vector / b.vector),
        (a.vector * b, a.vector * b.vector),
        (np.sqrt(a * a), np.sqrt(a.vector * a.vector)),
    ]:
        assert isinstance(result, Parameters) and result.dtype == dtype
        assert np.array_equal(result.vector, expected)
        assert_consistent(result)


def test_comparisons_give_masks_and_have_no_truth_of_their_own() -> None:
    a, b = random_parameters(0), random_parameters(1)
    larger = a > b
    assert isinstance(larger, Parameters) and larger.dtype == bool
    assert np.array_equal(larger["W1"], a["W1"] > b["W1"])
    assert (a == a).vector.all() and np.array_equal(a, a.copy())
    with pytest.raises(ValueError, match="truth of a whole vector"):
        assert a == b
    with pytest.raises(ValueError, match="truth of a whole vector"):
        bool(a)


def test_reductions_and_numpy_functions_see_an_array() -> None:
    theta = random_parameters(0, replicates=(3,))
    assert np.add.reduce(theta, axis=None) == theta.vector.sum()
    assert np.sum(theta) == theta.vector.sum()
    assert np.array_equal(np.asarray(theta), theta.vector)
    assert np.linalg.norm(theta) == np.linalg.norm(theta.vector)
    mean = np.add.reduce(theta, axis=0) / 3  # the mean over replicates is a network again
    assert isinstance(mean, Parameters) and mean.replicates == ()


def test_out_may_be_parameters() -> None:
    a, b, out = random_parameters(0), random_parameters(1), Parameters.zeros(LAYOUT, dtype=np.float64)
    assert np.multiply(a, b, out=out) is out
    assert np.array_equal(out.vector, a.vector * b.vector)
    into_array = np.empty(LAYOUT.size)
    assert np.multiply(a, b, out=into_array) is into_array


@given(seed=seeds)
def test_replicates_broadcast_against_one_network(seed: int) -> None:
    stack, single = random_parameters(seed, replicates=(3,)), random_parameters(seed + 1)
    product = stack * single
    assert product.replicates == (3,)
    for r in range(3):
        assert np.array_equal(product.replicate(r).vector, (stack.replicate(r) * single).vector)
    per_replicate = np.array([1.0, 2.0, 3.0])[:, None] * stack
    assert np.array_equal(per_replicate["b2"], np.array([1.0, 2.0, 3.0])[:, None] * stack["b2"])


def test_names() -> None:
    theta = random_parameters(0)
    assert list(theta) == ["W1", "b1", "W2", "b2"] == [name for name, _ in theta.items()]
    assert "W1" in theta and "W3" not in theta and 1 not in theta
    assert repr(theta) == "Parameters(float64, W1 (4, 3), b1 (3,), W2 (3, 2), b2 (2,))"


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["W3", "w1", "", "weight", 0, None])
def test_an_unknown_name(name: Any) -> None:
    theta = random_parameters(0)
    with pytest.raises(KeyError, match=r"there is no parameter .*this network has W1, b1, W2, b2"):
        theta[name]
    with pytest.raises(KeyError, match="there is no parameter"):
        theta[name] = 0.0


@pytest.mark.parametrize("value", [0.0, np.zeros(3), np.zeros((3, 4)), np.zeros((1, 4, 3)), np.zeros((4, 1))], ids=str)
def test_a_part_of_another_shape_is_not_broadcast(value: Any) -> None:
    with pytest.raises(ValueError, match=r"W1 must have shape \(4, 3\), got "):
        random_parameters(0)["W1"] = value


@pytest.mark.parametrize("vector", [np.zeros(22), np.zeros((23, 2)), np.zeros(()), [0.0] * 23, None], ids=repr)
def test_a_vector_that_does_not_fit(vector: Any) -> None:
    assert LAYOUT.size == 23
    with pytest.raises(ValueError, match=r"vector must be an array \(\.\.\., 23\)"):
        Parameters(vector, LAYOUT)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("b2"),
        lambda arrays: arrays.update(W3=np.zeros((2, 2))),
        lambda arrays: arrays.update(B1=arrays.pop("b1")),
    ],
)
def test_arrays_with_other_names(change: Any) -> None:
    arrays = dict(random_parameters(0).items())
    change(arrays)
    with pytest.raises(ValueError, match=r"arrays are named .*, but the network has \['W1', 'W2', 'b1', 'b2'\]"):
        Parameters.from_arrays(arrays, LAYOUT)


@pytest.mark.parametrize(
    ("name", "array", "error", "message"),
    [
        ("W1", np.zeros(4), ValueError, "W1 has shape"),
        ("W1", np.zeros((3, 4)), ValueError, r"W1 must have shape \(4, 3\)"),
        ("b1", np.zeros((1, 3)), ValueError, r"b1 must have shape \(3,\)"),
        ("W2", np.zeros((2, 3, 2)), ValueError, r"W2 must have shape \(3, 2\)"),
        ("b2", np.zeros(2, np.float32), TypeError, "b2 has dtype float32, but W1 has float64"),
    ],
)
def test_arrays_that_do_not_fit(name: str, array: np.ndarray, error: type[Exception], message: str) -> None:
    arrays = dict(random_parameters(0).items()) | {name: array}
    with pytest.raises(error, match=message):
        Parameters.from_arrays(arrays, LAYOUT)


@pytest.mark.parametrize("sizes", [(3, 4, 2), (4, 3, 3), (4, 3), (2, 3, 2, 2)], ids=str)
def test_parameters_of_different_networks_do_not_mix(sizes: tuple[int, ...]) -> None:
    theta, other = random_parameters(0), random_parameters(1, Layout.of_sizes(sizes))
    for mix in (lambda: theta + other, lambda: theta == other, lambda: np.multiply(theta.vector, theta, out=other)):
        with pytest.raises(ValueError, match="different networks"):
            mix()
    with pytest.raises(ValueError, match="different networks"):
        theta -= other


def test_integers_and_complex_numbers_in_real_ones_are_refused():
    layout = Layout.of_sizes((2, 3))
    with pytest.raises(TypeError, match="vector has dtype int64"):
        Parameters(np.zeros(layout.size, np.int64), layout)
    theta = Parameters.zeros(layout)
    with pytest.raises(TypeError, match="W1 is real"):
        theta["W1"] = np.ones((2, 3), np.complex64)
    assert not theta.vector.any()
