"""The toys: balanced, repeatable, and shaped as their docstrings say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data import check_split, make_spirals, make_xor

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("make", [make_xor, make_spirals])
@settings(deadline=None, max_examples=40)
@given(seed=seeds, n=st.integers(1, 60), noise=st.floats(0, 3), dtype=st.sampled_from([np.float32, np.float64]))
def test_toys_are_good_data(make, seed, n, noise, dtype):
    split = make(np.random.default_rng(seed), n, noise, dtype=dtype)
    check_split(split, 2)
    assert (split.x.shape, split.x.dtype, split.y.dtype) == ((n, 2), dtype, np.int64)
    assert np.bincount(split.y, minlength=2).tolist() == [n - n // 2, n // 2]
    again = make(np.random.default_rng(seed), n, noise, dtype=dtype)
    assert np.array_equal(split.x, again.x)
    assert np.array_equal(split.y, again.y)


@given(seeds, st.integers(1, 30))
def test_xor_without_noise_is_the_truth_table(seed, n):
    x, y = make_xor(np.random.default_rng(seed), 4 * n, 0)
    corners, counts = np.unique(np.column_stack([x, y]), axis=0, return_counts=True)
    assert corners.tolist() == [[-1, -1, 0], [-1, 1, 1], [1, -1, 1], [1, 1, 0]]
    assert counts.tolist() == [n] * 4


def test_xor_noise_has_the_spread_asked_for():
    x, _ = make_xor(np.random.default_rng(0), 40_000, 0.3, dtype=np.float64)
    noise = x - np.sign(x)
    # 80 000 normal numbers: the standard error of their deviation is 0.3 / 400; points that crossed an axis
    # (beyond 3.3 deviations, 1 in 1000) lie on the wrong side and shrink it a little.
    assert abs(noise.std() - 0.3) < 0.004


@settings(deadline=None)
@given(seeds, st.integers(1, 50), st.floats(0.25, 4))
def test_spirals_without_noise_lie_on_their_arms(seed, n, turns):
    x, y = make_spirals(np.random.default_rng(seed), n, 0.0, turns, dtype=np.float64)
    radius = np.hypot(*x.T)
    assert (radius <= 1).all()
    angle = 2 * np.pi * turns * radius + np.pi * y
    np.testing.assert_allclose(x, radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), atol=1e-9)


@pytest.mark.parametrize("make", [make_xor, make_spirals])
def test_points_are_shuffled(make):
    y = make(np.random.default_rng(3), 100).y
    assert y.tolist() != [0, 1] * 50


@pytest.mark.parametrize("make", [make_xor, make_spirals])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n is 0"),
        ({"n": 2.5}, TypeError, "n must be an integer"),
        ({"noise": -0.1}, ValueError, "noise is -0.1"),
        ({"noise": np.nan}, ValueError, "noise is nan"),
        ({"noise": "much"}, TypeError, "noise must be a number"),
        ({"dtype": int}, TypeError, "dtype must be a real floating type"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_wrong_arguments_are_refused(make, options, error, message):
    with pytest.raises(error, match=message):
        make(**{"rng": np.random.default_rng(0), **options})


@pytest.mark.parametrize("turns", [0, -1, np.inf])
def test_wrong_turns_are_refused(turns):
    with pytest.raises(ValueError, match="turns is"):
        make_spirals(np.random.default_rng(0), turns=turns)
