"""All laws of the suite, and the laws that an implementation breaks; without pytest and without Hypothesis.

This is what ``numpynet check`` and ``numpynet verify --mutants`` use. The test modules beside it put the same laws to the
implementation under many more draws.
"""

from __future__ import annotations

from collections.abc import Iterable

from numpynet.conformance.contract import CONTRACT, Subject
from numpynet.conformance.laws import Law
from numpynet.conformance.layer_laws import LAYER_LAWS
from numpynet.conformance.mask_laws import MASK_LAWS
from numpynet.conformance.ticket_laws import TICKET_LAWS
from numpynet.gradcheck.draws import Sizes, draw_sizes, streams
from numpynet.gradcheck.report import Report

LAWS: tuple[Law, ...] = (*LAYER_LAWS, *MASK_LAWS, *TICKET_LAWS)


def laws_about(*tasks: str) -> tuple[Law, ...]:
    """Return the laws about some functions of the contract, those first that are about nothing else.

    Parameters
    ----------
    *tasks : names of functions of the contract

    Returns
    -------
    Laws

    Raises
    ------
    ValueError
        There is no such function in the contract.

    Examples
    --------
    >>> laws_about("prune_count")
    (prune_count: count,)
    """
    for task in tasks:
        if task not in CONTRACT:
            raise ValueError(f"there is no function {task!r} in the contract; it has {', '.join(CONTRACT)}")
    return tuple(sorted((law for law in LAWS if set(law.tasks) & set(tasks)), key=lambda law: len(law.tasks)))


def sizes_of(seed: int) -> Sizes:
    """Return the sizes that a seed stands for where none are given.

    Parameters
    ----------
    seed : of the draws

    Returns
    -------
    N, d_in, d_out and K, pairwise different.

    Examples
    --------
    >>> len(sizes_of(0))
    4
    """
    return draw_sizes(streams(seed)[0])


def broken_laws(
    subject: Subject, laws: Iterable[Law] = LAWS, *, seeds: Iterable[int] = range(3), stop: bool = False
) -> list[tuple[Law, Report]]:
    """Return the laws that an implementation breaks, each with the report of its first failure.

    Parameters
    ----------
    subject : the implementation
    laws : which to try
    seeds : of the draws; each law is tried until it fails
    stop : True ends with the first broken law

    Returns
    -------
    Pairs of a law and a report, "fail" or "error".

    Examples
    --------
    >>> broken_laws(Subject("mine.py", {"prune_count": lambda rate, alive: round(rate * alive)}))[0][1].message
    'count: 0.1 of 5: 1 should go, but it says 0'
    """
    seeds, broken = tuple(seeds), []
    for law in laws:
        for seed in seeds:
            report = law.report(subject, seed, sizes_of(seed))
            if report.status in ("fail", "error"):
                broken.append((law, report))
                break
            if report.status in ("skip", "wait"):
                break
        if broken and stop:
            break
    return broken
