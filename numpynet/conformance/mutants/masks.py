"""Wrong ways to draw, cut and count masks, most of them seen in public code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpynet.conformance import reference
from numpynet.conformance.mutants.mutant import Mutant, plain
from numpynet.equations import prune_lowest


def _one_mask_for_ever() -> Callable:
    drawn: dict[Any, np.ndarray] = {}

    def sample_mask(rng, shape, keep_prob):
        if (shape, keep_prob) not in drawn:
            drawn[shape, keep_prob] = reference.sample_mask(rng, shape, keep_prob)
        return drawn[shape, keep_prob].copy()

    return sample_mask


def _shared_by_the_rows(rng, shape, keep_prob):
    return np.broadcast_to(reference.sample_mask(rng, shape[-1:], keep_prob), shape).copy()


def _fixed_number_of_ones(rng, shape, keep_prob):
    row = np.arange(shape[-1]) < keep_prob * shape[-1]
    return np.stack([rng.permutation(row) for _ in range(int(np.prod(shape[:-1])))]).reshape(shape).astype(np.float32)


def _in_place(W, mask, rate):
    mask[...] = reference.prune(W, mask, rate)
    return mask


def _of_all_weights(W, mask, rate):
    k = min(int(rate * W.size + 0.5), int(mask.sum()))
    return prune_lowest(np.abs(W), mask, k)


def _at_or_below_the_cutoff(W, mask, rate):
    ranked = np.sort(np.abs(W[mask == 1]))
    if not len(ranked):
        return mask.copy()
    cutoff = ranked[min(int(rate * len(ranked) + 0.5), len(ranked) - 1)]
    return mask * (np.abs(W) > cutoff)


def _below_a_percentile(W, mask, rate):
    alive = np.abs(W[mask == 1])
    return mask * (np.abs(W) >= np.percentile(alive, 100 * rate)) if len(alive) else mask.copy()


def _alive_read_off_the_weights(W, mask, rate):
    alive = (W != 0).astype(mask.dtype)
    return prune_lowest(np.abs(W), alive, reference.prune_count(rate, int(alive.sum()))) * mask


def _dead_return(W, mask, rate):
    k = int(mask.size - mask.sum()) + reference.prune_count(rate, int(mask.sum()))
    return prune_lowest(np.abs(W), np.ones_like(mask), k)


def _sentinel(W, mask, rate):
    scores = np.where(mask == 1, np.abs(W), 9999.0)
    return prune_lowest(scores, np.ones_like(mask), reference.prune_count(rate, int(mask.sum()))) * mask


def _order_in_memory(scores, mask, k):
    flat_scores, flat_mask = scores.ravel(order="K"), mask.ravel(order="K")
    new = prune_lowest(flat_scores, flat_mask, k)
    return new.reshape(mask.shape, order="F" if mask.flags.f_contiguous and not mask.flags.c_contiguous else "C")


def _higher_index_first(scores, mask, k):
    return prune_lowest(scores.reshape(-1)[::-1], mask.reshape(-1)[::-1].copy(), k)[::-1].reshape(mask.shape).copy()


def _lowest_revived(scores, mask, k):
    return prune_lowest(scores, np.ones_like(mask), k + int(mask.size - mask.sum()))


MASK_MUTANTS = (
    Mutant("keep-and-drop", "keep and drop are swapped: entries are 1 with probability 1 - keep_prob", "sample_mask",
           plain(lambda rng, shape, q: (rng.random(shape) >= q).astype(np.float32))),
    Mutant("scaled-mask", "the mask holds 1 / keep_prob instead of 1: the scale is a factor of its own", "sample_mask",
           plain(lambda rng, shape, q: reference.sample_mask(rng, shape, q) / q)),
    Mutant("seeded-inside", "the generator is seeded inside, so that every mask is the same", "sample_mask",
           plain(lambda rng, shape, q: reference.sample_mask(np.random.default_rng(0), shape, q))),
    Mutant("own-generator", "masks come from a generator of their own, so that no run can be repeated", "sample_mask",
           plain(lambda rng, shape, q: reference.sample_mask(np.random.default_rng(), shape, q))),
    Mutant("one-mask-for-ever", "the first mask is kept and used for ever", "sample_mask", _one_mask_for_ever),
    Mutant("shared-by-the-rows", "one row is drawn and shared by the whole batch", "sample_mask",
           plain(_shared_by_the_rows)),
    Mutant("fixed-number", "every row has the same number of ones: entries are not independent", "sample_mask",
           plain(_fixed_number_of_ones)),
    Mutant("uniform-as-mask", "the uniform numbers themselves are returned", "sample_mask",
           plain(lambda rng, shape, q: rng.random(shape))),
    Mutant("half-to-even", "round() sends 18.5 to 18 and 0.5 to 0", "prune_count",
           plain(lambda rate, alive: round(rate * alive))),
    Mutant("through-a-percentage", "a percentage is cut off: 19.999999999999996 % of 235200 are 47039", "prune_count",
           plain(lambda rate, alive: int(alive * (100 * (1 - (1 - rate))) / 100))),
    Mutant("always-one", "at least one weight goes, also at rate 0", "prune_count",
           plain(lambda rate, alive: max(1, reference.prune_count(rate, alive)))),
    Mutant("one-too-many", "one entry too many goes (<= where < belongs)", "prune_lowest",
           plain(lambda scores, mask, k: prune_lowest(scores, mask, min(k + 1, int(mask.sum()))))),
    Mutant("highest-go", "the largest scores go instead of the smallest", "prune_lowest",
           plain(lambda scores, mask, k: prune_lowest(-scores, mask, k))),
    Mutant("higher-index-first", "among equal scores the higher index goes first", "prune_lowest",
           plain(_higher_index_first)),
    Mutant("lowest-revived", "all scores are ranked anew, dead ones among them, so that dead entries return",
           "prune_lowest", plain(_lowest_revived)),
    Mutant("order-in-memory", "ties are broken by the order in memory, which differs between two equal arrays",
           "prune_lowest", plain(_order_in_memory)),
    Mutant("mask-as-bool", "the mask comes back as booleans", "prune_lowest",
           plain(lambda scores, mask, k: prune_lowest(scores, mask, k).astype(bool))),
    Mutant("cutoff", "everything at or below a cutoff goes: one too many, and all that are tied", "prune",
           plain(_at_or_below_the_cutoff)),
    Mutant("percentile", "everything below a percentile goes: the count is not exact, and with ties nothing may go",
           "prune", plain(_below_a_percentile)),
    Mutant("rate-of-all", "the rate is taken of all weights instead of those still alive", "prune",
           plain(_of_all_weights)),
    Mutant("signed", "weights are ranked with their sign: the most negative go, however large", "prune",
           plain(lambda W, mask, rate: prune_lowest(W, mask, reference.prune_count(rate, int(mask.sum()))))),
    Mutant("alive-by-weight", "alive is read off W != 0 instead of the mask: a live weight of 0 dies", "prune",
           plain(_alive_read_off_the_weights)),
    Mutant("revived", "the mask is made anew from all weights: dead ones that are large return", "prune",
           plain(_dead_return)),
    Mutant("sentinel", "dead weights get the score 9999: live ones above it stay behind them", "prune",
           plain(_sentinel)),
    Mutant("inverted", "the mask is inverted: the pruned weights are 1", "prune",
           plain(lambda W, mask, rate: mask - reference.prune(W, mask, rate))),
    Mutant("mask-in-place", "the mask that is handed over is written to", "prune", plain(_in_place)),
    Mutant("rewinds-nothing", "the mask is not applied: the dense start comes back", "rewind",
           plain(lambda W_0, mask: W_0.copy())),
    Mutant("rewinds-to-a-view", "where nothing is pruned the start itself is returned, not a copy", "rewind",
           plain(lambda W_0, mask: W_0 if mask.all() else mask * W_0)),
    Mutant("rewinds-in-place", "the start itself is multiplied by the mask", "rewind",
           plain(lambda W_0, mask: np.multiply(W_0, mask, out=W_0).copy())),
    Mutant("rewinds-in-float64", "float32 weights come back as float64", "rewind",
           plain(lambda W_0, mask: np.float64(1) * (mask * W_0).astype(np.float64))),
    Mutant("rewinds-rescaled", "survivors are divided by the density, as dropout would", "rewind",
           plain(lambda W_0, mask: mask * W_0 / max(mask.mean(), 1e-9))),
)  # fmt: skip
