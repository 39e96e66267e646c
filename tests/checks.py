"""The checks that every forward and backward pair must pass, whatever it computes.

Each takes a ``Pair`` and the arguments of its forward pass and asserts. Because the pair is an argument, the same checks
judge the functions of the library and the planted bugs of ``equations/test_planted_bugs.py``, which they must refuse.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from numpynet.gradcheck.numeric import complex_step

Arguments = dict[str, Any]

TOLERANCE = 1e-12  # of the largest entry, and absolutely


class Pair(NamedTuple):
    """A forward and a backward pass; the backward pass gives gradients by the names of the forward's arguments."""

    forward: Callable[..., tuple[np.ndarray, Any]]  # (**arguments) -> y, cache
    backward: Callable[[np.ndarray, Any], Mapping[str, np.ndarray]]  # dy, cache -> gradients
    axes: int = 2  # of y for one network: (N, d) for layers, none for losses; axes before them belong to a stack


def assert_close(actual: Any, expected: Any, what: str = "", *, tolerance: float = TOLERANCE) -> None:
    """Assert equal shapes, and entries equal to tolerance * max(1, largest expected entry). NaN is never close."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    error = np.abs(actual - expected).max(initial=0.0)
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    assert error <= tolerance * scale, f"{what}: largest error {error:.3e}, largest entry {scale:.3e}"


def sum_to_shape(gradient: np.ndarray, shape: tuple[int, ...], stack: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the copies that broadcasting made of an argument of this shape.

    Only two kinds are legitimate: the axes of a stack of networks, and the rows of an argument that a batch shares.
    """
    if gradient.ndim > len(shape):
        assert gradient.shape[: gradient.ndim - len(shape)] == stack, f"gradient {gradient.shape} for {shape}"
        gradient = gradient.sum(axis=tuple(range(len(stack))))
    rows = tuple(axis for axis, n in enumerate(shape) if n == 1 and gradient.shape[axis] != 1)
    return gradient.sum(axis=rows, keepdims=True)


def random_like(y: np.ndarray, seed: int) -> np.ndarray:
    """A random upstream gradient, never ones: with ones a bug that conserves sums is invisible.

    The stream is its own. Drawn from the seed of the arguments, dy would repeat the numbers of x.
    """
    return np.asarray(np.random.default_rng([seed, 0xD1]).normal(size=np.shape(y)))


def check_gradients(pair: Pair, arguments: Arguments, seed: int) -> None:
    """Every gradient equals the complex step's. The step sees a broadcast argument as one, so its copies are summed."""
    y, cache = pair.forward(**arguments)
    dy = random_like(y, seed)
    stack = y.shape[: y.ndim - pair.axes]
    gradients = pair.backward(dy, cache)
    assert gradients
    for name, gradient in gradients.items():

        def loss(value: np.ndarray, name: str = name) -> complex:
            return (dy * pair.forward(**{**arguments, name: value})[0]).sum()

        expected = complex_step(loss, arguments[name])
        assert_close(sum_to_shape(gradient, expected.shape, stack), expected, f"d{name}")


def check_linearity(pair: Pair, arguments: Arguments, seed: int) -> None:
    """The backward pass is linear in dy: 0 gives 0, and doubling dy doubles every bit."""
    y, cache = pair.forward(**arguments)
    dy = random_like(y, seed)
    once = pair.backward(dy, cache)
    for name, doubled in pair.backward(2 * dy, cache).items():
        assert np.array_equal(doubled, 2 * once[name]), f"d{name} is not linear in dy"
    for name, zero in pair.backward(0 * dy, cache).items():
        assert not zero.any(), f"d{name} is not 0 for dy = 0"


def check_purity(pair: Pair, arguments: Arguments, seed: int) -> None:
    """Neither pass writes to an argument, to dy or to the cache."""
    before = copy.deepcopy(arguments)
    y, cache = pair.forward(**arguments)
    _assert_same(arguments, before, "the forward pass changed")
    dy = random_like(y, seed)
    kept = copy.deepcopy((dy, cache, y))
    pair.backward(dy, cache)
    _assert_same(arguments, before, "the backward pass changed")
    _assert_same((dy, cache, y), kept, "the backward pass changed")


def check_aliasing(pair: Pair, arguments: Arguments, seed: int) -> None:
    """No result shares memory with an argument or with dy."""
    y, cache = pair.forward(**arguments)
    dy = random_like(y, seed)
    for name, gradient in [("y", y), *pair.backward(dy, cache).items()]:
        for other, argument in [("dy", dy), *arguments.items()]:
            if isinstance(argument, np.ndarray):
                assert not np.shares_memory(gradient, argument), f"the result for {name} is a view of {other}"


def check_reentrancy(pair: Pair, arguments: Arguments, others: Arguments, seed: int) -> None:
    """Nothing is remembered but in the cache: another forward pass in between, and a second backward pass, change no bit."""
    y, cache = pair.forward(**arguments)
    dy = random_like(y, seed)
    expected = copy.deepcopy((y, dict(pair.backward(dy, cache))))
    y, cache = pair.forward(**arguments)
    other_y, other_cache = pair.forward(**others)
    first = pair.backward(dy, cache)
    pair.backward(random_like(other_y, seed + 1), other_cache)
    _assert_same((y, dict(first)), expected, "a call with other arguments changed")
    _assert_same((y, dict(pair.backward(dy, cache))), expected, "a second backward pass changed")


def check_dtypes(pair: Pair, arguments: Arguments, seed: int) -> None:
    """The dtype that goes in comes out, forward and backward, and float32 computes what float64 does."""
    y, cache = pair.forward(**arguments)
    expected = [("y", y), *pair.backward(random_like(y, seed), cache).items()]
    for dtype in (np.float32, np.float64, np.complex64, np.complex128):
        y, cache = pair.forward(**cast(arguments, dtype))
        results = [("y", y), *pair.backward(random_like(y, seed).astype(dtype), cache).items()]
        for (name, result), (_, exact) in zip(results, expected, strict=True):
            assert result.dtype == dtype, f"{name} has dtype {result.dtype}, but {np.dtype(dtype)} came in"
            assert_close(result, exact, f"{name} in {np.dtype(dtype)}", tolerance=1e-4)


def cast(arguments: Arguments, dtype: Any) -> Arguments:
    """The same arguments with every floating array in this dtype."""
    return {
        name: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind in "fc" else value
        for name, value in arguments.items()
    }


def _assert_same(actual: Any, expected: Any, message: str) -> None:
    for (where, a), (_, b) in zip(_leaves(actual), _leaves(expected), strict=True):
        assert np.array_equal(a, b), f"{message} {where}"


def _leaves(tree: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _leaves(value, f"{where}[{name!r}]")
    elif isinstance(tree, (tuple, list)):
        for name, value in zip(getattr(tree, "_fields", range(len(tree))), tree):
            yield from _leaves(value, f"{where}.{name}")
    else:
        yield where, tree


CHECKS: dict[str, Callable[[Pair, Arguments, int], None]] = {
    "gradients": check_gradients,
    "linearity": check_linearity,
    "purity": check_purity,
    "aliasing": check_aliasing,
    "dtypes": check_dtypes,
}  # and check_reentrancy, which asks for a second set of arguments
