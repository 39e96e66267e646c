"""One planted bug, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from numpynet.gradcheck.layers import Layers


class Bug(NamedTuple):
    """A mistake that people make, what it looks like from outside, and an implementation that makes it.

    ``plant()`` returns the reference with the bug in it, new on every call (some bugs remember things).
    """

    id: str  # "13": row of the bug table, with a letter where a row holds several; "m7": mutant 7; "f9": in the forward
    name: str  # a few words
    explanation: str  # one sentence, as the diagnosis says it
    signature: str  # how the wrong gradient differs from the right one
    pair: str  # the layer where it shows first
    plant: Callable[[], Layers] | None  # None: known to the diagnosis, not planted
    cause: str = ""  # the id that the diagnosis should name first, where it is not this one

    @property
    def row(self) -> int:
        """The number of the row in the table of 28, or of the mutant."""
        return int("".join(c for c in self.id.split("-")[0] if c.isdigit()))

    @property
    def is_mutant(self) -> bool:
        """Whether it is one of the 14 mutants."""
        return self.id.startswith("m")

    @property
    def expected(self) -> str:
        """The id that the diagnosis should name first."""
        return self.cause or self.id
