"""How many threads multiply a matrix: one, unless the user has said otherwise; to be settled before NumPy is imported.

The library behind ``@`` starts a thread for each core and splits every product among them. What small nets gain
or lose by that on idle cores differs from machine to machine; where other programs use the same cores they lose much, because
one late thread holds up the rest. What was measured is in docs/benchmarks.md. Cores are better filled with whole trainings, see
``numpynet.parallel``.

The variables are read once, when NumPy is imported. This module imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def set_default() -> tuple[str, ...]:
    """Ask for one thread in every variable that the user has not set, and return which these were.

    What is set stays. Whoever has set OMP_NUM_THREADS alone means all libraries: the others get its value, which they
    would go by without us.

    Examples
    --------
    >>> _ = set_default()
    >>> all(variable in os.environ for variable in VARIABLES)
    True
    """
    unset = tuple(variable for variable in VARIABLES if variable not in os.environ)
    default = os.environ.get("OMP_NUM_THREADS", "1")
    for variable in unset:
        os.environ[variable] = default
    return unset


@contextlib.contextmanager
def default_for_children() -> Iterator[None]:
    """Let processes that are started inside have the default, and leave this process's variables as they were.

    Examples
    --------
    >>> with default_for_children():
    ...     "OMP_NUM_THREADS" in os.environ
    True
    """
    unset = set_default()
    try:
        yield
    finally:
        for variable in unset:
            os.environ.pop(variable, None)


def description(chosen: Collection[str] = ()) -> str:
    """Return the settings in words; ``chosen`` are the variables that ``set_default`` has set.

    Parameters
    ----------
    chosen : names of variables that are defaults; all others count as the user's

    Returns
    -------
    one line

    Examples
    --------
    >>> print(description(set_default()))
    threads of matrix products: OPENBLAS_NUM_THREADS=...
    """
    default = "default" if "OMP_NUM_THREADS" in chosen else "as OMP_NUM_THREADS"
    settings = ", ".join(
        f"{name}={os.environ.get(name, 'unset')} ({default if name in chosen else 'as you set it'})"
        for name in VARIABLES
    )
    return f"threads of matrix products: {settings}"
