"""Initial weights: variances by a stated statistical bound, hard limits, and one start for every precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import relu
from numpynet.initializers import (
    glorot_normal,
    glorot_std,
    glorot_truncated,
    glorot_uniform,
    he_normal,
    he_std,
    he_truncated,
    he_uniform,
)
from tests.strategies import seeds

GLOROT, HE = [glorot_normal, glorot_truncated, glorot_uniform], [he_normal, he_truncated, he_uniform]
every_initializer = pytest.mark.parametrize("initializer", GLOROT + HE, ids=lambda f: f.__name__)
sizes = st.integers(1, 40)

DELTA = 1e-9  # the probability with which a correct initializer may fail a statistical test
Z = 6.1094  # the two-sided normal quantile of that probability; the samples are large

# A standard normal cut off at 2 has this variance and, relative to it, this fourth moment (by parts, phi being the
# density at 2 and mass what is left of it): E z^2 = 1 - 4 phi / mass, E z^4 = 3 E z^2 - 16 phi / mass.
PHI, MASS = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(math.sqrt(2))
TRUNCATED_VARIANCE = 1 - 4 * PHI / MASS
KURTOSIS = {
    "normal": 3.0,
    "uniform": 9 / 5,
    "truncated": (3 * TRUNCATED_VARIANCE - 16 * PHI / MASS) / TRUNCATED_VARIANCE**2,
}


def std_of(initializer: Callable[..., np.ndarray], d_in: int, d_out: int) -> float:
    return (glorot_std if initializer in GLOROT else he_std)(d_in, d_out)


@pytest.mark.equation("B27", "B28")
@given(d_in=sizes, d_out=sizes)
def test_the_two_rules(d_in: int, d_out: int) -> None:
    assert math.isclose(glorot_std(d_in, d_out) ** 2, 2 / (d_in + d_out), rel_tol=1e-14)
    assert math.isclose(he_std(d_in, d_out) ** 2, 2 / d_in, rel_tol=1e-14)


@pytest.mark.equation("B27", "B28")
@every_initializer
@pytest.mark.parametrize(("d_in", "d_out"), [(700, 300), (30, 20_000)], ids=str)
def test_mean_and_variance(initializer: Callable[..., np.ndarray], d_in: int, d_out: int) -> None:
    W = initializer(np.random.default_rng(0), d_in, d_out, dtype=np.float64)
    std, kurtosis = std_of(initializer, d_in, d_out), KURTOSIS[initializer.__name__.partition("_")[2]]
    assert abs(W.mean()) <= Z * std / math.sqrt(W.size)
    assert abs((W**2).mean() / std**2 - 1) <= Z * math.sqrt((kurtosis - 1) / W.size)


@pytest.mark.equation("B27", "B28")
@pytest.mark.parametrize("initializer", [glorot_uniform, he_uniform])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=seeds, d_in=sizes, d_out=sizes)
def test_the_uniform_law_keeps_its_bounds(initializer: Any, dtype: type, seed: int, d_in: int, d_out: int) -> None:
    W = initializer(np.random.default_rng(seed), d_in, d_out, dtype=dtype)
    limit = math.sqrt(6 / (d_in + d_out)) if initializer is glorot_uniform else math.sqrt(6 / d_in)
    assert np.abs(W).max() <= dtype(limit * (1 + 1e-15))  # the limit itself, rounded to the dtype


@pytest.mark.equation("B27", "B28")
@pytest.mark.parametrize("initializer", [glorot_uniform, he_uniform])
def test_the_uniform_law_reaches_its_bounds(initializer: Any) -> None:
    W = initializer(np.random.default_rng(0), 100, 1000, dtype=np.float64)
    limit = math.sqrt(3) * std_of(initializer, 100, 1000)
    assert np.abs(W).max() > 0.999 * limit


@pytest.mark.equation("B27", "B28")
@pytest.mark.parametrize("initializer", [glorot_truncated, he_truncated])
def test_the_truncated_law_is_cut_at_two_of_the_deviations_it_had_before(initializer: Any) -> None:
    W = initializer(np.random.default_rng(0), 100, 1000, dtype=np.float64)
    cut = 2 * std_of(initializer, 100, 1000) / math.sqrt(TRUNCATED_VARIANCE)
    assert 0.999 * cut < np.abs(W).max() <= cut * (1 + 1e-15)


@pytest.mark.equation("B28")
@pytest.mark.parametrize("initializer", HE)
def test_he_weights_keep_the_second_moment_through_relu(initializer: Any) -> None:
    """E relu(z)^2 is half of E z^2 = d_in Var W E x^2, and the 2 of He's rule makes up for it."""
    rng, n = np.random.default_rng(0), 400
    x = rng.normal(size=n)
    h = relu.forward(x[None, :] @ initializer(rng, n, 5_000, dtype=np.float64))[0]
    ratio = (h**2).mean() / (x**2).mean()
    # z is nearly normal, so relu(z)^2 has the mean 1/2 and the variance 3/2 - 1/4, in units of E z^2 = 2 E x^2.
    assert abs(ratio - 1) <= Z * math.sqrt(4 * 1.25 / h.size)


@every_initializer
@given(seed=seeds, d_in=sizes, d_out=sizes)
def test_one_seed_is_one_start_in_every_precision(initializer: Any, seed: int, d_in: int, d_out: int) -> None:
    double, single, default, compound = (
        initializer(np.random.default_rng(seed), d_in, d_out, **options)
        for options in ({"dtype": np.float64}, {"dtype": np.float32}, {}, {"dtype": np.complex128})
    )
    assert double.shape == (d_in, d_out)
    assert (double.dtype, single.dtype, default.dtype, compound.dtype) == (np.float64, np.float32, np.float32, complex)
    assert np.array_equal(double.astype(np.float32), single)
    assert np.array_equal(single, default) and np.array_equal(double, compound)
    again = initializer(np.random.default_rng(seed), d_in, d_out, dtype=np.float64)
    other = initializer(np.random.default_rng(seed + 1), d_in, d_out, dtype=np.float64)
    assert np.array_equal(double, again) and not np.array_equal(double, other)


@every_initializer
@pytest.mark.parametrize("rng", [0, None, np.random.SeedSequence(0)], ids=repr)
def test_a_generator_is_asked_for(initializer: Any, rng: Any) -> None:
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        initializer(rng, 3, 2)
