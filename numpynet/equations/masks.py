"""Masks: how they are drawn, combined, counted and cut.

A mask is an array of exactly 0 and 1, in the dtype of what it multiplies. Unit masks (dropout) and weight masks
(pruning) obey the same algebra: they form a lattice, in which a lottery ticket only ever moves down.

Pruning removes an exact number of weights: ``k = floor(rate * alive + 1/2)`` of the survivors, those that come first in
the order (score, flat index). Dead entries are not ranked and never return.
"""

from __future__ import annotations

import math

import numpy as np

from numpynet.equations.checks import check_binary, check_keep_prob, check_rng


def sample_mask(
    rng: np.random.Generator, shape: int | tuple[int, ...], keep_prob: float, *, dtype: np.typing.DTypeLike = np.float32
) -> np.ndarray:
    """Draw a mask whose entries are 1 with probability keep_prob, independently: d = 1[u < q].   Equations (D1), (D6)

    It always draws one uniform number for each entry, also at keep_prob 1 (where all are kept), so that two runs that
    differ in keep_prob alone stay aligned, and a smaller keep_prob gives a subset of the mask.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : of the mask; (N, d) draws afresh for every example, (1, d) one mask for the whole batch
    keep_prob : q in (0, 1], the probability of a 1
    dtype : of the mask, that of the array it will multiply. The uniform numbers are float32 in any case
        (cheaper than binomial draws, see docs/benchmarks.md), so P(1) is q to within 2^-24.

    Returns
    -------
    mask : of this shape and dtype, binary

    Examples
    --------
    >>> sample_mask(np.random.default_rng(0), (2, 5), keep_prob=0.8)
    array([[1., 1., 1., 1., 1.],
           [0., 1., 1., 0., 1.]], dtype=float32)
    """
    q = check_keep_prob(keep_prob)
    return (check_rng(rng).random(shape, dtype=np.float32) < q).astype(dtype)


def intersection(mask_1: np.ndarray, mask_2: np.ndarray) -> np.ndarray:
    """M1 * M2: what both keep.   Equation (M1)

    Parameters
    ----------
    mask_1, mask_2 : binary, of shapes that broadcast

    Returns
    -------
    A binary mask.

    Examples
    --------
    >>> intersection(np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0]))
    array([0., 0., 1.])
    """
    return mask_1 * mask_2


def union(mask_1: np.ndarray, mask_2: np.ndarray) -> np.ndarray:
    """M1 + M2 - M1 * M2: what at least one keeps.   Equation (M1)

    Parameters
    ----------
    mask_1, mask_2 : binary, of shapes that broadcast

    Returns
    -------
    A binary mask.

    Examples
    --------
    >>> union(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0]))
    array([0., 1., 1.])
    """
    return mask_1 + mask_2 - mask_1 * mask_2


def complement(mask: np.ndarray) -> np.ndarray:
    """1 - M: what M drops.   Equation (M1)

    Parameters
    ----------
    mask : binary, of any shape

    Returns
    -------
    A binary mask of its shape.

    Examples
    --------
    >>> complement(np.array([0.0, 1.0]))
    array([1., 0.])
    """
    return 1 - mask


def difference(mask_1: np.ndarray, mask_2: np.ndarray) -> np.ndarray:
    """M1 * (1 - M2): what M1 keeps and M2 drops.   Equation (M1)

    Parameters
    ----------
    mask_1, mask_2 : binary, of shapes that broadcast

    Returns
    -------
    A binary mask.

    Examples
    --------
    >>> difference(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0]))
    array([0., 1., 0.])
    """
    return mask_1 * (1 - mask_2)


def density(mask: np.ndarray) -> float:
    """Return the share of ones in a mask.

    Parameters
    ----------
    mask : binary, of any shape

    Returns
    -------
    A number in [0, 1].

    Raises
    ------
    ValueError
        The mask is empty.

    Examples
    --------
    >>> density(np.array([0.0, 1.0, 1.0, 1.0]))
    0.75
    """
    if mask.size == 0:
        raise ValueError("mask is empty: its density is not defined")
    return float(np.count_nonzero(mask) / mask.size)


def prune_count(rate: float, alive: int) -> int:
    """Return k = floor(rate * alive + 1/2), how many of the survivors one pruning step removes.   Equation (L2)

    The float64 product is the definition: not ``round``, which sends 0.5 to 0 and 18.5 to 18.

    Parameters
    ----------
    rate : share of the survivors to remove, in [0, 1]
    alive : how many there are

    Returns
    -------
    k : an integer in 0 ... alive

    Raises
    ------
    ValueError
        rate is outside [0, 1].
    TypeError
        rate is no number.

    Examples
    --------
    >>> prune_count(0.2, 235200), prune_count(0.1, 5)
    (47040, 1)
    """
    if not isinstance(rate, (int, float, np.floating, np.integer)) or isinstance(rate, bool):
        raise TypeError(f"rate must be a number in [0, 1], got {type(rate).__name__}")
    if not 0.0 <= rate <= 1.0:  # also catches NaN
        raise ValueError(
            f"rate is {rate!r}, but 0 <= rate <= 1 is needed. It is the share of the surviving weights to remove: 0.2 for 20 %."
        )
    return math.floor(float(rate) * alive + 0.5)


def prune_lowest(scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    """Set exactly k more entries of a mask to 0, the alive ones with the lowest scores.   Equation (L2)

    Among equal scores the lower flat index (C order) goes first. Entries that are already 0 are not ranked, whatever
    their score, so nothing comes back: the new mask is at most the old one.

    Parameters
    ----------
    scores : array of real numbers; a large score keeps a weight
    mask : binary, of the same shape. One array is one scope: a layer, or the whole vector for global pruning
    k : how many to remove, 0 ... number alive; see ``prune_count``

    Returns
    -------
    A new mask, in the dtype of the old one.

    Raises
    ------
    ValueError
        Shapes differ, the mask is not binary, a score of an alive entry is NaN, or k is out of range.

    Examples
    --------
    >>> prune_lowest(np.abs([3.0, -1.0, 1.0, 2.0]), np.ones(4), k=1)
    array([1., 0., 1., 1.])
    """
    if scores.shape != mask.shape:
        raise ValueError(f"scores {scores.shape} and mask {mask.shape} must have one shape")
    new_mask = check_binary(mask).copy(order="C")
    flat_mask, flat_scores = new_mask.reshape(-1), scores.reshape(-1)  # C order, as the tie rule says
    alive = np.flatnonzero(flat_mask)
    if not isinstance(k, (int, np.integer)) or not 0 <= k <= alive.size:
        raise ValueError(f"k is {k!r}, but an integer in 0 ... {alive.size} (the entries still alive) is needed")
    alive_scores = flat_scores[alive]
    if np.isnan(alive_scores).any():
        index = np.unravel_index(alive[np.isnan(alive_scores)][0], mask.shape)
        raise ValueError(f"scores{[int(i) for i in index]} is NaN: it cannot be ranked. Has the training diverged?")
    flat_mask[alive[_first(alive_scores, k)]] = 0
    return new_mask


def _first(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k entries that come first in the order (score, index).

    The plain form is ``np.argsort(scores, kind="stable")[:k]``. A partition finds the k-th score in linear time; then
    everything below it goes, and of the entries equal to it as many of the lowest index as are still missing.
    """
    if k == 0:
        return np.empty(0, dtype=np.intp)
    threshold = np.partition(scores, k - 1)[k - 1]
    below = np.flatnonzero(scores < threshold)
    ties = np.flatnonzero(scores == threshold)
    return np.concatenate([below, ties[: k - below.size]])
