"""Which laws find a planted bug: of the bug zoo, of the mutants of masks and tickets."""

from __future__ import annotations

from collections.abc import Iterable

from numpynet.conformance.contract import Subject
from numpynet.conformance.laws import Law
from numpynet.conformance.layer_laws import NETWORK_LAWS
from numpynet.conformance.mutants import Mutant
from numpynet.conformance.suite import broken_laws, laws_about
from numpynet.gradcheck.pairs import NEEDS
from numpynet.gradcheck.zoo import Bug


def subject_with(planted: Bug | Mutant) -> Subject:
    """Return an implementation with a planted bug.

    Parameters
    ----------
    planted : a bug of the zoo, or a mutant

    Returns
    -------
    Subject; of a bug of the zoo it has only the functions that the bug brings with it

    Examples
    --------
    >>> from numpynet.gradcheck import bug
    >>> subject_with(bug("9"))
    bug 9
    """
    if isinstance(planted, Mutant):
        return planted.plant()._replace(file=f"mutant {planted.id}")
    functions = {name: f for name, f in planted.plant()._asdict().items() if f is not None}
    return Subject(f"bug {planted.id}", functions)


def laws_against(planted: Bug | Mutant) -> tuple[Law, ...]:
    """Return the laws about the functions where a bug is planted.

    Parameters
    ----------
    planted : a bug of the zoo, or a mutant

    Returns
    -------
    Laws, those first that are about nothing else.
    """
    if isinstance(planted, Mutant):
        return laws_about(planted.task)
    if planted.pair in NEEDS:
        return laws_about(*NEEDS[planted.pair])
    return NETWORK_LAWS


def killers(planted: Bug | Mutant, *, seeds: Iterable[int] = range(5), stop: bool = False) -> list[Law]:
    """Return the laws that a planted bug breaks in these draws; an empty list means that it survives.

    Parameters
    ----------
    planted : a bug of the zoo, or a mutant
    seeds : of the draws
    stop : True is content with the first

    Returns
    -------
    Laws, in the order in which they were tried.

    Examples
    --------
    >>> from numpynet.gradcheck import bug
    >>> killers(bug("m13"), stop=True)
    [dropout_forward: values]
    """
    return [law for law, _ in broken_laws(subject_with(planted), laws_against(planted), seeds=seeds, stop=stop)]
