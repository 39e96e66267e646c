"""What a data set is: numbers in rows, a class for each row, and a word about where they come from.

The checks stand here as well. Data are checked once, at the door, so that everything behind the door can rely on them.
"""

from __future__ import annotations

import operator
from typing import NamedTuple

import numpy as np

from numpynet.equations.checks import check_labels, check_rng


class Split(NamedTuple):
    """Examples and their classes: the training part of a data set, for instance."""

    x: np.ndarray  # (N, d) floating, finite
    y: np.ndarray  # (N,) int64, classes count from 0


class Dataset(NamedTuple):
    """A data set with the test part that its authors (or a documented seed) set apart."""

    name: str
    train: Split
    test: Split
    n_classes: int
    image_shape: tuple[int, int] | None  # (rows, columns) of one example as a picture, or None if it is none
    source: str  # one sentence: who made it, under which licence


def check_split(split: Split, n_classes: int | None = None, name: str = "split") -> Split:
    """Return the split unchanged, or raise if a network could not be trained on it.

    Parameters
    ----------
    split : Split
        x (N, d) of real floating numbers, all finite; y (N,) of integers.
    n_classes : int, optional
        Labels must lie in 0 ... n_classes - 1. Without it they must not be negative.
    name : str
        What to call the split in errors, for example ``"train"``.

    Returns
    -------
    split, the very same

    Raises
    ------
    TypeError
        If x is not an array of real floating numbers, or y not one of integers.
    ValueError
        If there are no examples, a shape or a length is wrong, or an entry is NaN, infinite or out of range; the
        message names its row and column.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[0.5, 1.0], [np.nan, 2.0]]), np.array([0, 1])
    >>> check_split(Split(x, y))
    Traceback (most recent call last):
    ...
    ValueError: split.x is nan in row 1, column 0 (1 of 4 entries is not finite); mend or leave out such rows first
    """
    if not isinstance(split, tuple) or len(split) != 2:
        raise TypeError(f"{name} must be a Split (x, y), got {type(split).__name__}")
    x, y = split
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}.x must be a NumPy array, got {type(x).__name__}")
    if x.dtype.kind != "f":
        raise TypeError(
            f"{name}.x has dtype {x.dtype}, but real floating numbers are needed; "
            f"convert it yourself, so that the scale is chosen and not guessed, for example x.astype(np.float32) / 255"
        )
    if x.ndim != 2:
        raise ValueError(
            f"{name}.x must have the shape (N, d), got {x.shape}; flatten images with x.reshape(len(x), -1)"
        )
    if x.size == 0:
        raise ValueError(f"{name}.x is empty, its shape is {x.shape}; at least one example with one column is needed")
    finite = np.isfinite(x)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        count = x.size - np.count_nonzero(finite)
        raise ValueError(
            f"{name}.x is {x[row, column]} in row {row}, column {column} ({count} of {x.size} entries "
            f"{'is' if count == 1 else 'are'} not finite); mend or leave out such rows first"
        )
    if isinstance(y, np.ndarray) and y.shape != (len(x),):
        raise ValueError(f"{name}.y must have the shape ({len(x)},), one label for each row of x, got {y.shape}")
    check_labels(y, np.iinfo(np.int64).max if n_classes is None else n_classes, name=f"{name}.y")
    return split


def split_validation(split: Split, n_validation: int, rng: np.random.Generator) -> tuple[Split, Split]:
    """Set some examples apart for validation, chosen at random; no example is in both parts and none is lost.

    Parameters
    ----------
    split : Split
        Usually ``dataset.train``; it is not changed.
    n_validation : int
        How many examples to set apart, from 1 to one less than there are.
    rng : numpy.random.Generator
        Draws the order. Both parts come back in that order, that is shuffled.

    Returns
    -------
    train, validation : Split
        Copies.

    Raises
    ------
    TypeError, ValueError
        If the split fails `check_split`, or n_validation does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> split = Split(np.arange(10.0).reshape(5, 2), np.array([0, 1, 0, 1, 0]))
    >>> train, validation = split_validation(split, 2, np.random.default_rng(0))
    >>> train.x.shape, validation.x.shape
    ((3, 2), (2, 2))
    """
    x, y = check_split(split)
    check_rng(rng)
    n_validation = check_count(n_validation, "n_validation", 1)
    if n_validation >= len(x):
        raise ValueError(
            f"n_validation is {n_validation}, but of {len(x)} examples at least one must stay for training"
        )
    order = rng.permutation(len(x))
    chosen, rest = order[:n_validation], order[n_validation:]
    return Split(x[rest], y[rest]), Split(x[chosen], y[chosen])


def check_count(count: int, name: str, low: int, high: int | None = None) -> int:
    """Return count as a Python int, or raise if it is no integer in low ... high.

    Parameters
    ----------
    count : what was given
    name : of the argument, for the message
    low, high : limits, which are allowed; None for no upper one

    Returns
    -------
    count, as a Python int

    Raises
    ------
    TypeError
        count is no integer; True and False are none.
    ValueError
        It is outside the limits.

    Examples
    --------
    >>> check_count(360, "n_test", 1, 1796)
    360
    """
    if isinstance(count, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {count!r}")
    try:
        count = operator.index(count)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {count!r} ({type(count).__name__})") from None
    if count < low or (high is not None and count > high):
        allowed = f"at least {low}" if high is None else f"in {low} ... {high}"
        raise ValueError(f"{name} is {count}, but it must be {allowed}")
    return count


def check_real_dtype(dtype: np.typing.DTypeLike) -> np.dtype:
    """Return dtype as a NumPy dtype, or raise TypeError if it is not a real floating one.

    Parameters
    ----------
    dtype : what was given

    Returns
    -------
    dtype

    Raises
    ------
    TypeError
        It is an integer, complex or other dtype.

    Examples
    --------
    >>> import numpy as np
    >>> check_real_dtype(np.float32)
    dtype('float32')
    """
    checked = np.dtype(dtype)
    if checked.kind != "f":
        raise TypeError(f"dtype must be a real floating type such as np.float32 or np.float64, got {checked}")
    return checked
