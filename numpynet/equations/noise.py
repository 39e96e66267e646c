"""The random numbers that layers are given: uniform and normal, drawn outside and handed in.

A layer that needs a decision (standout, targeted dropout) gets uniform numbers u and decides itself, 1[u < q]; one that
needs a disturbance (variational dropout) gets standard normal numbers. With the numbers fixed the layer is a plain
function, whose gradient can be checked to rounding error, and one set of numbers serves every q: a smaller q keeps a
subset of what a larger one keeps.

All are drawn in float32 and converted, so that a float64 network of the same seed meets the same numbers.
"""

from __future__ import annotations

import numpy as np

from numpynet.equations.checks import check_rng


def sample_uniform(
    rng: np.random.Generator, shape: int | tuple[int, ...], *, dtype: np.typing.DTypeLike = np.float32
) -> np.ndarray:
    """Draw numbers that are uniform on [0, 1).

    Parameters
    ----------
    rng : draws
    shape : of the array
    dtype : float32 or float64

    Returns
    -------
    An array of this shape and dtype.

    Examples
    --------
    >>> sample_uniform(np.random.default_rng(0), (1, 2))
    array([[0.8506242 , 0.63696164]], dtype=float32)
    """
    return check_rng(rng).random(shape, dtype=np.float32).astype(dtype, copy=False)


def sample_normal(
    rng: np.random.Generator, shape: int | tuple[int, ...], *, dtype: np.typing.DTypeLike = np.float32
) -> np.ndarray:
    """Draw numbers from the normal law of mean 0 and variance 1.

    Parameters
    ----------
    rng : draws
    shape : of the array
    dtype : float32 or float64

    Returns
    -------
    An array of this shape and dtype.

    Examples
    --------
    >>> sample_normal(np.random.default_rng(0), (1, 2))
    array([[ 1.117622 , -1.3871249]], dtype=float32)
    """
    return check_rng(rng).standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)


def check_noise(noise: np.ndarray, rows: int, columns: int, name: str = "noise") -> np.ndarray:
    """Return noise, or raise ValueError unless it is (..., rows or 1, columns).

    Parameters
    ----------
    noise : (..., rows or 1, columns)
    rows : number of examples
    columns : number of units
    name : of the argument, for the message

    Returns
    -------
    noise

    Raises
    ------
    ValueError
        It has another shape.

    Examples
    --------
    >>> check_noise(np.zeros((1, 3)), rows=5, columns=3)
    array([[0., 0., 0.]])
    """
    if not isinstance(noise, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(noise).__name__}")
    if noise.ndim < 2 or noise.shape[-1] != columns or noise.shape[-2] not in (1, rows):
        raise ValueError(
            f"{name} has shape {noise.shape}, but (..., {rows}, {columns}) is needed, one number for each, "
            f"or (..., 1, {columns}) where all rows share them"
        )
    return noise


def check_uniform(uniform: np.ndarray, name: str = "uniform") -> np.ndarray:
    """Return uniform, or raise ValueError if an entry lies outside [0, 1).

    Parameters
    ----------
    uniform : array of any shape
    name : of the argument, for the message

    Returns
    -------
    uniform

    Raises
    ------
    ValueError
        An entry lies outside [0, 1).

    Examples
    --------
    >>> check_uniform(np.array([0.0, 0.999]))
    array([0.   , 0.999])
    """
    inside = (uniform.real >= 0) & (uniform.real < 1)  # False for NaN as well
    if not inside.all():
        index = tuple(int(i) for i in np.argwhere(~inside)[0])
        raise ValueError(
            f"{name} must lie in [0, 1), but {name}{list(index)} is {uniform[index]!r}. "
            "Uniform numbers are wanted, see sample_uniform; the layer makes the mask out of them."
        )
    return uniform
