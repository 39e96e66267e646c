"""The door of the data: what a network cannot be trained on does not get in, and a split loses nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data import Split, check_split, split_validation


def make_split(n, d, dtype=np.float32):
    """Rows that can be told apart: row i holds i in its first column and is labelled i % 3."""
    x = np.zeros((n, d), dtype)
    x[:, 0] = np.arange(n)
    return Split(x, np.arange(n) % 3)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.data(), st.integers(0, 2**32 - 1))
def test_a_split_loses_nothing_and_repeats_nothing(n, d, data, seed):
    n_validation = data.draw(st.integers(1, n - 1))
    whole = make_split(n, d)
    train, validation = split_validation(whole, n_validation, np.random.default_rng(seed))
    assert (len(train.x), len(validation.x)) == (n - n_validation, n_validation)
    rows = np.concatenate([train.x[:, 0], validation.x[:, 0]])
    assert sorted(rows.tolist()) == list(range(n)), "a row was lost or is in both parts"
    for part in (train, validation):
        assert np.array_equal(part.y, part.x[:, 0].astype(int) % 3), "labels no longer belong to their rows"
        assert part.x.dtype == np.float32
        assert part.x.shape[1] == d
        assert not np.shares_memory(part.x, whole.x)
    again = split_validation(whole, n_validation, np.random.default_rng(seed))
    assert np.array_equal(again[0].x, train.x), "the same seed gave another split"


def test_a_split_is_drawn_at_random_and_changes_nothing():
    whole = make_split(200, 2)
    before = whole.x.copy()
    train, validation = split_validation(whole, 50, np.random.default_rng(1))
    assert sorted(validation.x[:, 0]) != list(range(50)), "the first rows were taken instead of random ones"
    assert list(train.x[:, 0]) != sorted(train.x[:, 0]), "the training part is not shuffled"
    assert np.array_equal(whole.x, before)


@pytest.mark.parametrize(
    ("n_validation", "error", "message"),
    [
        (0, ValueError, "n_validation is 0"),
        (-3, ValueError, "n_validation is -3"),
        (7, ValueError, "of 7 examples at least one must stay for training"),
        (8, ValueError, "n_validation is 8"),
        (0.2, TypeError, "n_validation must be an integer, got 0.2"),
        (True, TypeError, "n_validation must be an integer, got True"),
    ],
)
def test_a_validation_part_that_does_not_fit_is_refused(n_validation, error, message):
    with pytest.raises(error, match=message):
        split_validation(make_split(7, 2), n_validation, np.random.default_rng(0))


def test_a_seed_is_no_generator():
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        split_validation(make_split(7, 2), 3, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_good_data_pass_unchanged(dtype):
    split = make_split(5, 3, dtype)
    assert check_split(split, 3) is split


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 7), st.data(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_the_place_of_the_first_bad_number_is_named(n, d, data, bad):
    split = make_split(n, d)
    places = data.draw(st.sets(st.integers(0, n * d - 1), min_size=1, max_size=4))
    split.x.flat[list(places)] = bad
    row, column = divmod(min(places), d)
    with pytest.raises(ValueError, match=rf"x is {bad} in row {row}, column {column} \({len(places)} of {n * d} "):
        check_split(split)


def test_large_finite_numbers_are_no_infinity():
    x = np.full((3, 2), np.finfo(np.float64).max)  # their sum overflows
    assert check_split(Split(x, np.zeros(3, np.int64))).x is x


x = np.ones((4, 3))
y = np.array([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("split", "error", "message"),
    [
        (Split(x.astype(int), y), TypeError, "train.x has dtype int64.*convert it yourself"),
        (Split(x.astype(np.uint8), y), TypeError, "train.x has dtype uint8"),
        (Split(x.astype(object), y), TypeError, "train.x has dtype object"),
        (Split(x.astype(complex), y), TypeError, "train.x has dtype complex128"),
        (Split(x.astype(str), y), TypeError, "train.x has dtype <U"),
        (Split(x.tolist(), y), TypeError, "train.x must be a NumPy array, got list"),
        (Split(x[0], y), ValueError, r"train.x must have the shape \(N, d\), got \(3,\)"),
        (Split(x[None], y), ValueError, r"got \(1, 4, 3\); flatten"),
        (Split(x[:0], y[:0]), ValueError, "train.x is empty"),
        (Split(x[:, :0], y), ValueError, "train.x is empty"),
        (Split(x, y[:3]), ValueError, r"train.y must have the shape \(4,\).*got \(3,\)"),
        (Split(x, y[:, None]), ValueError, r"got \(4, 1\)"),
        (Split(x, y.astype(float)), TypeError, "train.y must be .* integers"),
        (Split(x, y.tolist()), TypeError, "train.y must be .* integers"),
        (Split(x, y - 1), ValueError, "train.y must lie in 0 ... 2"),
        (Split(x, y + 1), ValueError, "train.y must lie in 0 ... 2"),
        (x, TypeError, r"train must be a Split \(x, y\), got ndarray"),
    ],
)
def test_bad_data_are_refused_at_the_door(split, error, message):
    with pytest.raises(error, match=message):
        check_split(split, 3, "train")


def test_without_a_number_of_classes_labels_must_still_not_be_negative():
    assert check_split(Split(x, y + 1000)).y[0] == 1000
    with pytest.raises(ValueError, match=r"split\.y must lie in"):
        check_split(Split(x, y - 1))
