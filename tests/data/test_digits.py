"""The digits in the package are the published ones, scaled and split as documented."""

from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data import check_split, load_digits
from numpynet.storage import digest


def stored():
    with resources.files("numpynet.data").joinpath("digits.npz").open("rb") as file, np.load(file) as npz:
        return npz["x"], npz["y"]


def test_the_stored_digits_are_the_published_ones():
    x, y = stored()
    # The class counts are those of the documentation of optdigits.tes; the digests guard against damage.
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digest(x) == "a335f0a87f60fe9b06a9f057c961ca2d53131a193356ede05f8578a62d353fd1"
    assert digest(y) == "d5977c0a81d4ab86b41c88d21dba6aea6a914e4e0a901b0b9e29f94f5a322858"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pixels_are_sixteenths_in_the_dtype_asked_for(dtype):
    digits = load_digits(dtype=dtype)
    for part in (digits.train, digits.test):
        check_split(part, digits.n_classes)
        assert part.x.dtype == dtype
        assert part.y.dtype == np.int64
        assert np.array_equal(part.x * 16, np.round(part.x * 16))
    assert (digits.train.x.min(), digits.train.x.max()) == (0, 1)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 1796), st.integers(0, 2**63))
def test_every_digit_is_in_exactly_one_part_with_its_own_label(n_test, seed):
    digits = load_digits(n_test=n_test, seed=seed)
    assert len(digits.test.x) == n_test
    x, y = stored()
    parts = digits.test, digits.train
    together = np.column_stack([np.concatenate([16 * s.x for s in parts]), np.concatenate([s.y for s in parts])])
    order = np.random.default_rng(seed).permutation(1797)  # the documented shuffle
    assert np.array_equal(together, np.column_stack([x, y])[order])


def test_the_default_split_never_changes():
    digits = load_digits()
    assert all(map(np.array_equal, digits.train, load_digits(seed=0, n_test=360).train))
    assert digits.test.y[:10].tolist() == [6, 6, 6, 2, 5, 6, 6, 2, 2, 1]
    assert not np.array_equal(digits.train.x, load_digits(seed=1).train.x)
    assert (digits.name, digits.n_classes, digits.image_shape) == ("digits", 10, (8, 8))
    assert "CC BY 4.0" in digits.source


def test_the_licence_lies_beside_the_data():
    text = resources.files("numpynet.data").joinpath("digits.LICENSE.txt").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_test": 0}, ValueError, "n_test is 0"),
        ({"n_test": 1797}, ValueError, "n_test is 1797.* 1 ... 1796"),
        ({"n_test": 0.2}, TypeError, "n_test must be an integer"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": None}, TypeError, "seed must be an integer"),
        ({"dtype": np.int64}, TypeError, "dtype must be a real floating type"),
        ({"dtype": complex}, TypeError, "dtype must be a real floating type"),
    ],
)
def test_wrong_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        load_digits(**options)
