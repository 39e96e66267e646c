"""Mutants of masks and tickets: mistakes seen in pruning and lottery-ticket code, as data, like the bug zoo of layers.

Each is this package's implementation with one function replaced. The suite must find something wrong with every one of
them; a mutant that survives is a law that is missing::

    subject = mutant("aliased-start").plant()
"""

from __future__ import annotations

from numpynet.conformance.mutants.masks import MASK_MUTANTS
from numpynet.conformance.mutants.mutant import Mutant
from numpynet.conformance.mutants.tickets import TICKET_MUTANTS


def mutant(id: str) -> Mutant:
    """Return one mutant by its id.

    Parameters
    ----------
    id : of a mutant of masks or tickets

    Returns
    -------
    Mutant

    Raises
    ------
    KeyError
        There is no such mutant.

    Examples
    --------
    >>> mutant("no-rewind").task
    'rewind_ticket'
    """
    for candidate in (*MASK_MUTANTS, *TICKET_MUTANTS):
        if candidate.id == id:
            return candidate
    raise KeyError(f"there is no mutant {id!r}; there are {', '.join(m.id for m in (*MASK_MUTANTS, *TICKET_MUTANTS))}")


__all__ = ["MASK_MUTANTS", "TICKET_MUTANTS", "Mutant", "mutant"]
