"""Numbers in frozen records (optimizers, schedules, plans): checked when the record is built, kept as Python numbers.

A Python float leaves float32 arithmetic in float32, where a ``np.float64`` would take it to float64 and back. And
records of equal numbers print alike, so that two plans can be compared as text.
"""

from __future__ import annotations

import numbers
from typing import Any


def keep_float(record: Any, name: str) -> float:
    """Turn a number in a frozen record into a Python float, and return it.

    Parameters
    ----------
    record : a frozen dataclass
    name : of its field

    Returns
    -------
    The number, as a Python float.

    Raises
    ------
    TypeError
        It is no real number.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> keep_float(SimpleNamespace(lr=1), "lr")
    1.0
    """
    value = getattr(record, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    object.__setattr__(record, name, float(value))
    return float(value)


def keep_count(record: Any, name: str) -> int:
    """Turn a count in a frozen record into a Python int, and return it.

    Parameters
    ----------
    record : a frozen dataclass
    name : of its field

    Returns
    -------
    The count, as a Python int.

    Raises
    ------
    TypeError, ValueError
        It is no integer, or less than 1.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> keep_count(SimpleNamespace(steps=0), "steps")
    Traceback (most recent call last):
    ...
    ValueError: steps is 0, but an integer >= 1 is needed
    """
    value = getattr(record, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer >= 1, got {value!r} ({type(value).__name__})")
    if value < 1:
        raise ValueError(f"{name} is {value!r}, but an integer >= 1 is needed")
    object.__setattr__(record, name, int(value))
    return int(value)
