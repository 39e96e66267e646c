"""The doorkeepers: small checks that turn wrong input into one clear sentence.

Each names the argument, what came, what was expected and the likely cause, and returns nothing but what it checked.
"""

from __future__ import annotations

import numpy as np


def check_keep_prob(keep_prob: float | np.ndarray, name: str = "keep_prob") -> float | np.ndarray:
    """Return keep_prob, or raise if it is not in (0, 1]; a number comes back as a Python float.

    A Python float keeps float32 arrays in float32; a ``np.float64`` scalar would turn them into float64. An array holds
    one keep probability for each unit and is returned as it is.

    Parameters
    ----------
    keep_prob : what was given: a number, or an array with one for each unit
    name : of the argument, for the message

    Returns
    -------
    keep_prob; a number comes back as a Python float.

    Raises
    ------
    ValueError
        An entry is outside (0, 1].
    TypeError
        It is no number.

    Examples
    --------
    >>> check_keep_prob(0.8)
    0.8
    """
    if type(keep_prob) is float and 0.0 < keep_prob <= 1.0:  # as at every step of a training
        return keep_prob
    if isinstance(keep_prob, np.ndarray) and keep_prob.ndim:
        valid = keep_prob.dtype.kind in "fc" and bool(((keep_prob.real > 0) & (keep_prob.real <= 1)).all())
    elif isinstance(keep_prob, (int, float, np.floating, np.integer)) and not isinstance(keep_prob, bool):
        keep_prob = float(keep_prob)
        valid = 0.0 < keep_prob <= 1.0  # False for NaN as well
    else:
        raise TypeError(f"{name} must be a number in (0, 1], got {type(keep_prob).__name__}")
    if not valid:
        raise ValueError(
            f"{name} is {keep_prob!r}, but 0 < {name} <= 1 is needed. It is the probability that a unit STAYS; "
            "activations are divided by it. To drop 20 % of the units pass 0.8; for no dropout pass no unit mask."
        )
    return keep_prob


def check_one_keep_prob(keep_prob: float, name: str = "keep_prob") -> float:
    """Return keep_prob as a Python float, or raise unless it is one number in (0, 1]: an array is no number here.

    Parameters
    ----------
    keep_prob : what was given
    name : of the argument, for the message

    Returns
    -------
    keep_prob

    Raises
    ------
    ValueError
        It is outside (0, 1].
    TypeError
        It is no number, or an array.

    Examples
    --------
    >>> check_one_keep_prob(0.8)
    0.8
    """
    if isinstance(keep_prob, np.ndarray):
        raise TypeError(f"{name} must be one number in (0, 1], got an array of shape {keep_prob.shape}")
    return check_keep_prob(keep_prob, name)


def check_keep_prob_fits(keep_prob: float | np.ndarray, n_units: int, name: str = "keep_prob") -> None:
    """Raise ValueError unless keep_prob is one number, or an array with one for each unit.

    Parameters
    ----------
    keep_prob : a number, or (..., n_units)
    n_units : of the layer
    name : of the argument, for the message

    Raises
    ------
    ValueError
        It has another length.

    Examples
    --------
    >>> check_keep_prob_fits(np.array([0.8, 0.6, 0.9]), n_units=3)
    """
    if isinstance(keep_prob, np.ndarray) and keep_prob.ndim and keep_prob.shape[-1] not in (1, n_units):
        raise ValueError(
            f"{name} has shape {keep_prob.shape}, but one number for each of {n_units} units, or one for all, is needed"
        )


def check_finite_number(value: float, name: str) -> float:
    """Return value as a Python float, or raise unless it is a finite real number.

    Parameters
    ----------
    value : what was given
    name : of the argument, for the message

    Returns
    -------
    value

    Raises
    ------
    ValueError
        It is NaN or infinite.
    TypeError
        It is no number.

    Examples
    --------
    >>> check_finite_number(1, "alpha")
    1.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise TypeError(f"{name} must be a finite number, got {type(value).__name__}")
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value!r}, but a finite number is needed")
    return float(value)


def check_rng(rng: np.random.Generator) -> np.random.Generator:
    """Return rng, or raise TypeError if it is not a ``numpy.random.Generator``.

    Parameters
    ----------
    rng : what was given

    Returns
    -------
    rng

    Raises
    ------
    TypeError
        It is anything else, such as a seed.

    Examples
    --------
    >>> check_rng(np.random.default_rng(0)) is not None
    True
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}: "
            "pass np.random.default_rng(seed), so that the run can be repeated"
        )
    return rng


def check_binary(mask: np.ndarray, name: str = "mask") -> np.ndarray:
    """Return mask, or raise ValueError if an entry is neither 0 nor 1.

    Parameters
    ----------
    mask : array of any shape
    name : of the argument, for the message

    Returns
    -------
    mask

    Raises
    ------
    ValueError
        An entry is neither 0 nor 1.

    Examples
    --------
    >>> check_binary(np.array([0.0, 1.0]))
    array([0., 1.])
    """
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of 0 and 1, got {type(mask).__name__}")
    wrong = (mask != 0) & (mask != 1)  # NaN is wrong, too
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} must hold only 0 and 1, but {name}{list(index)} is {mask[index]!r}. "
            "The scale 1 / keep_prob is never stored in a mask; it is a factor of its own."
        )
    return mask


def check_floating(array: np.ndarray, name: str) -> np.ndarray:
    """Return array, or raise TypeError if its dtype is neither floating nor complex.

    Parameters
    ----------
    array : of any shape
    name : of the argument, for the message

    Returns
    -------
    array

    Raises
    ------
    TypeError
        Its dtype is neither floating nor complex.

    Examples
    --------
    >>> check_floating(np.zeros(2), "x")
    array([0., 0.])
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of floating point numbers, got {type(array).__name__}")
    if array.dtype.kind not in "fc":
        raise TypeError(
            f"{name} has dtype {array.dtype}, but a floating dtype is needed (float32 for training, float64 for checks). "
            f"Convert it where you load it, for instance {name}.astype(np.float32) / 255 for pixels."
        )
    return array


def check_finite(array: np.ndarray, name: str) -> np.ndarray:
    """Return array, or raise ValueError that names the first entry that is NaN or infinite.

    Parameters
    ----------
    array : of any shape
    name : of the argument, for the message

    Returns
    -------
    array

    Raises
    ------
    ValueError
        An entry is NaN or infinite; the first is named.

    Examples
    --------
    >>> check_finite(np.ones(2), "x")
    array([1., 1.])
    """
    # A sum is finite unless an entry is not, or it overflows: one cheap pass for the usual case.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return array
    wrong = ~np.isfinite(array)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} must be finite, but {name}{list(index)} is {array[index]!r} "
            f"({int(wrong.sum())} such entries of {array.size}). Look for missing values or a division by zero upstream."
        )
    return array


def check_labels(labels: np.ndarray, n_classes: int, n_examples: int | None = None, name: str = "labels") -> np.ndarray:
    """Return labels, or raise if they are not integers in 0 ... n_classes - 1, one for each example.

    Parameters
    ----------
    labels : (..., N) integers
    n_classes : K
    n_examples : N, or None if any number will do
    name : of the argument, for the message

    Returns
    -------
    labels

    Raises
    ------
    ValueError
        A label is outside 0 ... K - 1, or there are not N.
    TypeError
        They are not integers.

    Examples
    --------
    >>> check_labels(np.array([0, 2]), n_classes=3)
    array([0, 2])
    """
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        came = f"dtype {labels.dtype}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise TypeError(
            f"{name} must be a NumPy array of integers, got {came}. "
            f"Class numbers are wanted, not one-hot rows and not floats; {name}.argmax(-1) turns one-hot rows into them."
        )
    if n_examples is not None and (labels.ndim == 0 or labels.shape[-1] != n_examples):
        raise ValueError(f"{name} has shape {labels.shape}, but one label for each of {n_examples} examples is needed")
    if labels.size == 0:
        raise ValueError(f"{name} is empty: there is nothing to take a mean of")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise ValueError(f"{name} must lie in 0 ... {n_classes - 1}, got {low} ... {high}; classes count from 0")
    return labels


def check_layer(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> None:
    """Raise ValueError unless input, weights and biases of an affine layer fit together.

    Parameters
    ----------
    x : (..., N, d_in)
    W : (..., d_in, d_out)
    b : (..., d_out)

    Raises
    ------
    ValueError
        The sizes do not fit together; the message names them.

    Examples
    --------
    >>> check_layer(x=np.zeros((5, 2)), W=np.zeros((2, 3)), b=np.zeros(3))
    """
    if x.ndim < 2 or W.ndim < 2:
        raise ValueError(
            f"x must be (..., N, d_in) and W (..., d_in, d_out), got x {x.shape} and W {W.shape}. "
            "A single example is a batch of one: x[None, :]."
        )
    if x.shape[-1] != W.shape[-2]:
        raise ValueError(
            f"x {x.shape} has {x.shape[-1]} units, but W {W.shape} expects {W.shape[-2]}: "
            "x must be (..., N, d_in) and W (..., d_in, d_out). Is W transposed?"
        )
    if b.ndim < 1 or b.shape[-1] != W.shape[-1]:
        raise ValueError(
            f"b {b.shape} must be (..., d_out) with d_out = {W.shape[-1]}, the number of columns of W {W.shape}"
        )


def check_precision(**arrays: np.ndarray | float | None) -> None:
    """Raise TypeError unless all arrays share one precision, so that nothing is cast silently.

    The first array is the measure. A complex array agrees with the real one of its precision (the complex step mixes
    them on purpose), a boolean mask and a Python number with all, and None is skipped.

    Parameters
    ----------
    **arrays: by the names of the arguments they came as; numbers and None are let pass

    Raises
    ------
    TypeError
        Two of them differ in precision; the message names both.

    Examples
    --------
    >>> check_precision(x=np.zeros(2, np.float32), W=np.zeros(2, np.float32), unit_mask=None)
    """
    (first_name, first), *rest = arrays.items()
    precision = check_floating(first, first_name).dtype.char.lower()  # "f" for float32 and complex64, "d" for doubles
    for name, array in rest:
        if array is None or (type(array) is np.ndarray and array.dtype == first.dtype):  # as they nearly always are
            continue
        if isinstance(array, (int, float)) and not isinstance(array, np.generic):
            continue
        if isinstance(array, np.ndarray) and array.dtype == bool:
            continue
        if check_floating(array, name).dtype.char.lower() == precision:
            continue
        raise TypeError(
            f"{name} has dtype {array.dtype}, but {first_name} has {first.dtype}: the result would silently change precision. "
            f"Convert one of them, for instance {name}.astype({first_name}.dtype)."
        )
