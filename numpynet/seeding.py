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


def streams(seed: int) -> Streams:
    """Return the streams of a seed; equal seeds give equal numbers.

    Parameters
    ----------
    seed : integer >= 0

    Raises
    ------
    TypeError, ValueError
        The seed is not an integer >= 0.

    Examples
    --------
    >>> streams(7).batches.permutation(5)
    array([3, 4, 0, 1, 2])
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer >= 0, got {type(seed).__name__}: every run has to be repeatable")
    if seed < 0:
        raise ValueError(f"seed is {seed}, but an integer >= 0 is needed")
    children = np.random.SeedSequence(int(seed)).spawn(len(Streams._fields))
    return Streams(*(np.random.default_rng(child) for child in children))
