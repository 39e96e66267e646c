"""One seed, one stream of random numbers for each purpose.

If the masks came from the stream that also shuffles the data, switching dropout on would change the order of the
examples, and two runs could no longer be compared pair by pair. So a seed makes one ``SeedSequence``, and every
purpose has a child of it, with a number that never changes: a new purpose is appended and disturbs no old run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Streams(NamedTuple):
    """The generators of one run. Each is used for what its name says, and for nothing else."""

    init: np.random.Generator  # initial weights
    batches: np.random.Generator  # order of the examples
    dropout: np.random.Generator  # unit masks and connection masks
    reinit: np.random.Generator  # fresh initial weights for the control of a ticket
    shuffle: np.random.Generator  # shuffled masks, the other control
    split: np.random.Generator  # validation split
    permute: np.random.Generator  # the order of initial values, for controls that keep them
    signs: np.random.Generator  # random signs and other choices of mask actions
    supermask: np.random.Generator  # scores and samples of a mask that is learned


def streams(seed: int) -> Streams:
    """Return the streams of a seed; equal seeds give equal numbers.

    Parameters
    ----------
    seed : integer >= 0

    Returns
    -------
    Streams : a generator for each purpose

    Raises
    ------
    TypeError, ValueError
        The seed is not an integer >= 0.

    Examples
    --------
    >>> streams(7).batches.permutation(5)
    array([3, 4, 0, 1, 2])
    """
    return Streams(*(stream(seed, purpose) for purpose in Streams._fields))


def stream(seed: int, purpose: str, draw: int = 0) -> np.random.Generator:
    """Return the stream of one purpose: ``streams(seed)`` has draw 0, and every other draw is independent of it.

    A control is drawn several times, and two runs that share everything else need two orders of the examples; for that
    each purpose has as many streams as one likes.

    Parameters
    ----------
    seed : integer >= 0
    purpose : a field of ``Streams``
    draw : integer >= 0

    Returns
    -------
    A generator.

    Raises
    ------
    TypeError, ValueError
        Seed or draw is not an integer >= 0, or there is no such purpose.

    Examples
    --------
    >>> [stream(7, "batches", draw).permutation(5).tolist() for draw in range(2)]
    [[3, 4, 0, 1, 2], [2, 1, 4, 3, 0]]
    """
    if purpose not in Streams._fields:
        raise ValueError(f"there is no stream for {purpose!r}; there are {', '.join(Streams._fields)}")
    if isinstance(draw, bool) or not isinstance(draw, (int, np.integer)) or draw < 0:
        raise ValueError(f"draw is {draw!r}, but an integer >= 0 is needed")
    # What spawn would return, without the sequences that nobody asked for.
    key = (Streams._fields.index(purpose), *([int(draw) - 1] if draw else []))
    return np.random.default_rng(np.random.SeedSequence(_checked(seed), spawn_key=key))


def _checked(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer >= 0, got {type(seed).__name__}: every run has to be repeatable")
    if seed < 0:
        raise ValueError(f"seed is {seed}, but an integer >= 0 is needed")
    return int(seed)
