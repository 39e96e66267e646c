"""How alike two files are, by their fingerprints: the share of the smaller one that is found in the other.

A column for the teacher's eyes, not a verdict. Short right solutions are alike by nature; look at those that are alike in
their mistakes as well.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from numpynet import equations
from numpynet.classroom.sandbox.source import fingerprint

FEW = 15  # hashes; a shorter file is like many others


def similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of the smaller fingerprint that is in the other; 0 where there is next to nothing to compare.

    Parameters
    ----------
    one, other : fingerprints

    Returns
    -------
    A number in [0, 1].

    Examples
    --------
    >>> similarity(range(40), range(20, 100))
    0.5
    """
    return _share(len(set(one) & set(other)), len(set(one)), len(set(other)))


def _share(common: int, one: int, other: int) -> float:
    """Return common / smaller; a file of more than three times the size is not like everything that it holds."""
    small, large = sorted((one, other))
    return common / max(small, large / 3) if small >= FEW else 0.0


@functools.cache
def reference_hashes(*extra: Path) -> frozenset[int]:
    """Return the fingerprint of the layers that this package ships, and of further files.

    Parameters
    ----------
    *extra : paths of Python files

    Returns
    -------
    Hashes of runs of syntax.

    Examples
    --------
    >>> len(reference_hashes()) > 100
    True
    """
    files = [*Path(equations.__file__).parent.glob("*.py"), *extra]
    return frozenset(h for path in files for h in fingerprint(ast.parse(path.read_bytes())))


def shipped_share(hashes: Sequence[int], *extra: Path) -> float:
    """Return the share of a fingerprint that is found in what this package ships.

    Parameters
    ----------
    hashes : a fingerprint
    *extra : paths of further files that count as shipped

    Returns
    -------
    A number in [0, 1]; 0 where there is next to nothing to compare.

    Examples
    --------
    >>> shipped_share(range(100))
    0.0
    """
    return sum(h in reference_hashes(*extra) for h in hashes) / len(hashes) if len(hashes) >= FEW else 0.0


def nearest(fingerprints: Mapping[str, Sequence[int]]) -> dict[str, tuple[str, float]]:
    """Return for each name the other one that is most alike, and how much.

    Parameters
    ----------
    fingerprints : name -> fingerprint

    Returns
    -------
    Name -> (other name, similarity); ("", 0.0) where nobody shares anything.

    Examples
    --------
    >>> nearest({"a": range(20), "b": range(5, 25), "c": range(100, 120)})["a"]
    ('b', 0.75)
    """
    where: dict[int, list[str]] = defaultdict(list)
    for name, hashes in fingerprints.items():
        for h in set(hashes):
            where[h].append(name)
    result = {}
    for name, hashes in fingerprints.items():
        shared = Counter(other for h in set(hashes) for other in where[h] if other != name)
        found = [
            (_share(count, len(set(hashes)), len(set(fingerprints[other]))), other) for other, count in shared.items()
        ]
        share, other = max(found, default=(0.0, ""))
        other = other if share else ""
        result[name] = (other, share)
    return result
