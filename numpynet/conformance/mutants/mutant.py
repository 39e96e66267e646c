"""One planted mistake in a function of masks or tickets, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from numpynet.conformance.contract import Subject
from numpynet.conformance.subject import REFERENCE, load_subject


class Mutant(NamedTuple):
    """A planted mistake.

    ``plant()`` returns the reference with the mistake in it, new on every call (some remember things).
    """

    id: str
    explanation: str  # one sentence: what is wrong
    task: str  # the function that is wrong
    make: Callable[[], Callable]  # returns the wrong function
    also: Mapping[str, Callable] = MappingProxyType({})  # further functions, where it takes more than one

    def plant(self) -> Subject:
        """Return the reference with this mistake."""
        return load_subject(REFERENCE).having(**{self.task: self.make()}, **self.also)


def plain(function: Callable) -> Callable[[], Callable]:
    """Return what makes a function that remembers nothing: it is always the same.

    Parameters
    ----------
    function : with a mistake

    Returns
    -------
    A function without arguments, as ``Mutant.make`` is.

    Examples
    --------
    >>> plain(max)() is max
    True
    """
    return lambda: function
