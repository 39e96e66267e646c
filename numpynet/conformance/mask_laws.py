"""Laws of masks: how they are drawn, how many entries a pruning step takes, and which.

Counts are exact, also among ties. Dead entries are never ranked and never return, whatever their score. A live weight
that happens to be 0 is alive.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpynet.conformance.contract import Subject
from numpynet.conformance.laws import Law, LawBroken, call, law, require
from numpynet.gradcheck.draws import KEEP_PROBS, Sizes, draw_mask, draw_signed

DELTA = 1e-9  # how often a right implementation may fail a statistical law
RATES = (0.0, 0.1, 0.2, 0.5, 0.9, 1.0)


def hoeffding(n: int) -> float:
    """Return the distance that a mean of n numbers in [0, 1] exceeds once in 10^9 times.   Equation (D6)

    Parameters
    ----------
    n : how many numbers, independent

    Returns
    -------
    Distance from the expectation.

    Examples
    --------
    >>> hoeffding(100_000)
    0.0103481
    """
    return math.sqrt(math.log(2 / DELTA) / (2 * n))


def expected_count(rate: float, alive: int) -> int:
    """Return floor(rate * alive + 1/2), how many a pruning step removes.   Equation (L2)

    Parameters
    ----------
    rate : share of the alive weights that goes, in [0, 1]
    alive : how many there are

    Returns
    -------
    A number from 0 to alive.

    Examples
    --------
    >>> expected_count(0.2, 235200)
    47040
    """
    return math.floor(rate * alive + 0.5)


def checked_mask(mask: Any, shape: tuple[int, ...], who: str) -> np.ndarray:
    """Return a mask, or raise ``LawBroken`` unless it is an array of exactly 0 and 1 of this shape.

    Parameters
    ----------
    mask : what a function returned
    shape : that it should have
    who : the function, for the message

    Returns
    -------
    The mask, as it came.

    Examples
    --------
    >>> checked_mask(np.array([0.0, 1.0]), (2,), "prune")
    array([0., 1.])
    """
    require(isinstance(mask, np.ndarray), f"{who} returns a {type(mask).__name__}, where an array is expected")
    require(mask.shape == shape, f"{who} returns the shape {mask.shape}, where {shape} is expected")
    require(np.isin(mask, (0, 1)).all(), f"{who} returns entries that are neither 0 nor 1")
    return mask


# ---- drawing ---------------------------------------------------------------------------------------------------------


def _sample(subject: Subject, rng: np.random.Generator, shape: tuple[int, ...], q: float) -> np.ndarray:
    return checked_mask(call(subject, "sample_mask", rng, shape, q), shape, "sample_mask")


@law("binary", "sample_mask")
def binary(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Exactly 0 and 1, in the shape asked for; all 1 at keep_prob 1."""
    rng = np.random.default_rng(seed)
    for shape in ((sizes.N, sizes.d_in), (1, sizes.d_in), (2, sizes.N, sizes.K)):
        _sample(subject, rng, shape, 0.7)
        require(_sample(subject, rng, shape, 1.0).all(), "at keep_prob 1 something is dropped")


@law("generator", "sample_mask")
def drawn_from_the_generator(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Masks come from the generator that is given, and from nothing else."""
    shape = (16 * sizes.N, sizes.d_in)
    rng, same = np.random.default_rng(seed), np.random.default_rng(seed)
    first, second = (_sample(subject, rng, shape, 0.6) for _ in range(2))
    require(np.array_equal(_sample(subject, same, shape, 0.6), first), "two generators of one seed give two masks")
    require(not np.array_equal(first, second), "two draws in a row are the same mask")
    other = _sample(subject, np.random.default_rng(seed + 1), shape, 0.6)
    require(not np.array_equal(first, other), "two seeds give the same mask")


@law("statistics", "sample_mask")
def statistics(subject: Subject, seed: int, sizes: Sizes) -> None:
    """A share keep_prob of ones, entries independent: Hoeffding's bound for entries and neighbours.   Equation (D6)"""
    rng = np.random.default_rng(seed)
    q = float(rng.choice(KEEP_PROBS))
    mask = _sample(subject, rng, (400, 100), q)
    pairs = {
        "": (mask, q),
        " of neighbours in a row, both": (mask[:, ::2] * mask[:, 1::2], q * q),
        " of neighbours in a column, both": (mask[::2] * mask[1::2], q * q),
    }
    for what, (values, expected) in pairs.items():
        mean, bound = float(values.mean(dtype=np.float64)), hoeffding(values.size)
        message = f"the share of ones{what} is {mean:.4f}, where {expected:.4f} +- {bound:.4f} is expected at {q}"
        require(abs(mean - expected) <= bound, message)
    totals = {int(_sample(subject, rng, (5, 20), q).sum()) for _ in range(60)}
    rows = set(mask.sum(axis=1).tolist())
    chosen = min(len(totals), len(rows)) > 1
    require(chosen, "the number of ones is always the same: each entry should be drawn on its own")


# ---- counting --------------------------------------------------------------------------------------------------------


@law("count", "prune_count")
def count(subject: Subject, seed: int, sizes: Sizes) -> None:
    """floor(rate * alive + 1/2), by its float64 definition.   Equation (L2)"""
    rng = np.random.default_rng(seed)
    cases = [(0.2, 235200), (0.1, 5), (0.5, 37), (0.5, 1), (0.0, 9), (1.0, 9), (0.3, 0)]
    cases += [(float(rng.random()), int(rng.integers(1, 10**6))) for _ in range(10)]
    cases += [(k / 20, int(rng.integers(1, 200))) for k in range(1, 20)]  # many of these are halves
    for rate, alive in cases:
        k, right = call(subject, "prune_count", rate, alive), expected_count(rate, alive)
        is_number = isinstance(k, (int, float, np.number))
        require(is_number, f"{rate} of {alive}: a number should come back, not a {type(k).__name__}")
        require(k == right, f"{rate} of {alive}: {right} should go, but it says {k}")
        require(isinstance(k, (int, np.integer)), f"{rate} of {alive}: {k!r} is no integer")


# ---- removing the k lowest -------------------------------------------------------------------------------------------


def _scores(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Scores of three kinds: all different, few different ones, all the same."""
    return {
        "scores that differ": rng.standard_normal(shape),
        "scores with ties": rng.integers(-2, 3, size=shape).astype(np.float64),
        "equal scores": np.full(shape, 0.25),
    }


def _cut(subject: Subject, scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    return checked_mask(call(subject, "prune_lowest", scores, mask, k), mask.shape, "prune_lowest")


@law("exact count", "prune_lowest")
def exact_count(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Exactly k go, also among ties.   Equation (L2)"""
    rng = np.random.default_rng(seed)
    for alive in (np.ones((sizes.d_in, sizes.d_out)), draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)):
        n = int(alive.sum())
        for what, scores in _scores(rng, alive.shape).items():
            for k in sorted({0, 1, n // 3, n - 1, n}):
                gone = n - int(_cut(subject, scores.copy(), alive.copy(), k).sum())
                require(gone == k, f"with {what}, {k} of {n} should go, but {gone} went")


@law("lowest first", "prune_lowest")
def lowest_first(subject: Subject, seed: int, sizes: Sizes) -> None:
    """The lowest scores go; among equal ones those of lower index.   Equation (L2)"""
    rng = np.random.default_rng(seed)
    alive = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)
    n = int(alive.sum())
    for what, scores in _scores(rng, alive.shape).items():
        k = int(rng.integers(1, n)) if n > 1 else 1
        new = _cut(subject, scores.copy(), alive.copy(), k)
        gone, kept = scores[(alive == 1) & (new == 0)], scores[new == 1]
        if len(gone) and len(kept):
            message = f"with {what}, a score of {gone.max():.3f} went while one of {kept.min():.3f} stayed"
            require(gone.max() <= kept.min(), message)
        first = np.flatnonzero(alive)[np.argsort(scores[alive == 1], kind="stable")[:k]]
        right = alive.copy()
        right.reshape(-1)[first] = 0
        require(np.array_equal(new, right), f"with {what}, among equal scores the lower flat index should go first")


@law("no revival", "prune_lowest")
def no_revival(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Dead entries do not count and do not return, whatever their score.   Equation (L6)"""
    rng = np.random.default_rng(seed)
    alive = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)
    scores, k = rng.standard_normal(alive.shape), int(alive.sum()) // 2
    results = []
    for dead_score in (-1e6, 0.0, 1e6):
        new = _cut(subject, np.where(alive == 1, scores, dead_score), alive.copy(), k)
        back = int(((new == 1) & (alive == 0)).sum())
        require(back == 0, f"{back} dead entries with a score of {dead_score:g} are alive again")
        results.append(new)
    same = all(np.array_equal(new, results[0]) for new in results)
    require(same, "which entries go depends on the scores of dead ones")


@law("purity", "prune_lowest")
def lowest_is_pure(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Arguments are left alone, the dtype is kept, the order in memory is of no importance."""
    rng = np.random.default_rng(seed)
    alive, k = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6), 1
    scores = rng.integers(-2, 3, size=alive.shape).astype(np.float64)
    _pure(subject, "prune_lowest", scores, alive, k)


# ---- magnitude -------------------------------------------------------------------------------------------------------


def _pruned(subject: Subject, W: np.ndarray, mask: np.ndarray, rate: float) -> np.ndarray:
    return checked_mask(call(subject, "prune", W, mask, rate), mask.shape, "prune")


@law("exact count", "prune")
def prune_exact(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Exactly floor(rate * alive + 1/2) of the alive weights go, also among ties.   Equation (L2)"""
    rng = np.random.default_rng(seed)
    shape = (sizes.d_in, sizes.d_out)
    for what, W in _scores(rng, shape).items():
        mask = np.ones(shape)
        for rate in (*rng.permutation(RATES[:-1]), RATES[-1]):
            n = int(mask.sum())
            new = _pruned(subject, W.copy(), mask.copy(), float(rate))
            gone, right = n - int(new.sum()), expected_count(float(rate), n)
            back = int(((new == 1) & (mask == 0)).sum())
            revived = f"with weights from {what}, {back} weights that were pruned before are alive again"
            require(gone == right or not back, revived)
            message = f"with weights from {what}, rate {rate} of {n} alive: {right} should go, but {gone} went"
            require(gone == right, message)
            mask = new


@law("smallest first", "prune")
def prune_smallest(subject: Subject, seed: int, sizes: Sizes) -> None:
    """The smallest magnitudes go, of either sign.   Equation (P1)"""
    rng = np.random.default_rng(seed)
    W, mask = draw_signed(rng, (sizes.d_in, sizes.d_out)), draw_mask(rng, (sizes.d_in, sizes.d_out), 0.7)
    new = _pruned(subject, W.copy(), mask.copy(), 0.5)
    gone, kept = np.abs(W[(mask == 1) & (new == 0)]), np.abs(W[new == 1])
    if len(gone) and len(kept):
        message = f"a weight of magnitude {gone.max():.3f} went while one of {kept.min():.3f} stayed"
        require(gone.max() <= kept.min(), message)


@law("no revival", "prune")
def prune_no_revival(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Dead weights do not count and do not return, also if they are not 0.   Equation (L6)"""
    rng = np.random.default_rng(seed)
    mask = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)
    W = draw_signed(rng, mask.shape)
    results = []
    for dead_weight in (0.0, 1e-9, -1e6):
        new = _pruned(subject, np.where(mask == 1, W, dead_weight), mask.copy(), 0.3)
        back = int(((new == 1) & (mask == 0)).sum())
        require(back == 0, f"{back} dead weights of {dead_weight:g} are alive again")
        results.append(new)
    same = all(np.array_equal(new, results[0]) for new in results)
    require(same, "which weights go depends on the values of dead ones")


@law("zero is alive", "prune")
def zero_is_alive(subject: Subject, seed: int, sizes: Sizes) -> None:
    """A live weight that is 0 is alive: the mask says so, not the weight."""
    rng = np.random.default_rng(seed)
    mask = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)
    W = draw_signed(rng, mask.shape)
    W[np.unravel_index(np.flatnonzero(mask)[: 1 + int(mask.sum()) // 4], mask.shape)] = 0.0
    require(np.array_equal(_pruned(subject, W.copy(), mask.copy(), 0.0), mask), "at rate 0 the mask changes")
    n, rate = int(mask.sum()), 0.4
    gone, right = n - int(_pruned(subject, W.copy(), mask.copy(), rate).sum()), expected_count(rate, n)
    require(gone == right, f"with weights that are 0, {right} of {n} should go, but {gone} went")


@law("invariance", "prune")
def prune_invariant(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Neither a common factor nor signs change the mask: no threshold, no sentinel score.   Equation (P1)"""
    rng = np.random.default_rng(seed)
    W, mask = draw_signed(rng, (sizes.d_in, sizes.d_out)), draw_mask(rng, (sizes.d_in, sizes.d_out), 0.7)
    right = _pruned(subject, W.copy(), mask.copy(), 0.4)
    for what, changed in (
        ("a factor of 2^40", W * 2.0**40),
        ("a factor of 2^-40", W * 2.0**-40),
        ("other signs", W * rng.choice([-1.0, 1.0], size=W.shape)),
    ):
        require(np.array_equal(_pruned(subject, changed, mask.copy(), 0.4), right), f"{what} changes the mask")


@law("purity", "prune")
def prune_is_pure(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Arguments are left alone, the dtype is kept, the order in memory is of no importance."""
    rng = np.random.default_rng(seed)
    mask = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)
    W = rng.integers(-2, 3, size=mask.shape).astype(np.float64)
    _pure(subject, "prune", W, mask, 0.4)


def _pure(subject: Subject, name: str, scores: np.ndarray, mask: np.ndarray, how_many: float) -> None:
    given = scores.copy(), mask.copy()
    new = checked_mask(call(subject, name, *given, how_many), mask.shape, name)
    unchanged = np.array_equal(given[0], scores) and np.array_equal(given[1], mask)
    require(unchanged, f"{name} writes to its arguments")
    require(not any(np.shares_memory(new, a) for a in given), f"{name} returns (a view of) an argument, not a new mask")
    for dtype in (np.float32, np.float64):
        result = call(subject, name, scores.astype(dtype), mask.astype(dtype), how_many)
        came = checked_mask(result, mask.shape, name).dtype
        require(came == dtype, f"a {np.dtype(dtype)} mask comes back as {came}")
    turned = call(subject, name, np.asfortranarray(scores), np.asfortranarray(mask), how_many)
    require(np.array_equal(turned, new), "arrays in column order give another mask than the same arrays in row order")


# ---- back to the start -----------------------------------------------------------------------------------------------


@law("bits", "rewind")
def rewind_values(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Survivors are W_0 bit for bit, all others exactly 0.   Equation (L4)"""
    rng = np.random.default_rng(seed)
    for dtype in (np.float32, np.float64):
        W_0 = draw_signed(rng, (sizes.d_in, sizes.d_out)).astype(dtype)
        mask = draw_mask(rng, W_0.shape, 0.6).astype(dtype)
        W = call(subject, "rewind", W_0.copy(), mask.copy())
        if not isinstance(W, np.ndarray) or W.shape != W_0.shape:
            raise LawBroken(f"rewind returns {getattr(W, 'shape', type(W).__name__)}, where {W_0.shape} is expected")
        require(W.dtype == dtype, f"{np.dtype(dtype)} goes in and {W.dtype} comes out")
        require(not W[mask == 0].any(), "pruned weights are not exactly 0")
        require(np.array_equal(W[mask == 1], W_0[mask == 1]), "survivors are not back at their initial values")


@law("new array", "rewind")
def rewind_is_pure(subject: Subject, seed: int, sizes: Sizes) -> None:
    """What comes back is a new array: training it does not change W_0.   Equation (L4)"""
    rng = np.random.default_rng(seed)
    W_0 = draw_signed(rng, (sizes.d_in, sizes.d_out))
    for mask in (draw_mask(rng, W_0.shape, 0.6), np.ones(W_0.shape)):
        given = W_0.copy(), mask.copy()
        W = call(subject, "rewind", *given)
        unchanged = np.array_equal(given[0], W_0) and np.array_equal(given[1], mask)
        require(unchanged, "rewind writes to its arguments")
        shared = isinstance(W, np.ndarray) and np.shares_memory(W, given[0])
        require(not shared, "what rewind returns shares memory with W_0: training would change the start")


MASK_LAWS: tuple[Law, ...] = (
    binary,
    drawn_from_the_generator,
    statistics,
    count,
    exact_count,
    lowest_first,
    no_revival,
    lowest_is_pure,
    prune_exact,
    prune_smallest,
    prune_no_revival,
    zero_is_alive,
    prune_invariant,
    prune_is_pure,
    rewind_values,
    rewind_is_pure,
)
