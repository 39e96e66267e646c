"""Broken pruning, as it has been seen in public code. Each of these must fail the test that is named after its bug.

Nothing here is used by the library; every function misbehaves on purpose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from numpynet.equations.masks import prune_lowest
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import compact, prune_globally, prune_layerwise

Cut = Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # scores, mask, rate -> new mask, of one array


def layerwise(cut: Cut) -> Callable[..., Parameters]:
    """Make a pruning function for whole networks of one for a single array."""

    @functools.wraps(cut, updated=())
    def prune(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
        new = mask.copy()
        for name in mask.layout.weight_names:
            if name not in frozen:
                new[name] = cut(scores[name], mask[name], rate)
        return new

    return prune


def k_of(rate: float, alive: int) -> int:
    return int(np.floor(rate * alive + 0.5))


# ---- A1, A2: thresholds ----------------------------------------------------------------------------------------------


@layerwise
def remove_up_to_the_threshold(scores, mask, rate):
    """Everything <= sorted[k] goes: one too many, and all ties with it; an IndexError at rate 1."""
    alive = np.sort(scores[mask == 1])
    return mask * (scores > alive[k_of(rate, alive.size)])


@layerwise
def keep_above_the_threshold(scores, mask, rate):
    """Only what is > sorted[k] stays, the last index clipped so that it cannot fail."""
    alive = np.sort(scores[mask == 1])
    return mask * (scores > alive[min(k_of(rate, alive.size), alive.size - 1)])


@layerwise
def remove_below_the_percentile(scores, mask, rate):
    """Only what is < the percentile goes: among ties nothing does."""
    return mask * (scores >= np.percentile(scores[mask == 1], 100 * rate))


# ---- A3, A4: the count -----------------------------------------------------------------------------------------------


@layerwise
def count_by_percent(scores, mask, rate):
    """The share kept, 0.8, is turned into the percentage 19.999999999999996, and the product is cut off."""
    alive = np.count_nonzero(mask)
    return prune_lowest(scores, mask, int(alive * (100 * (1 - (1 - rate))) / 100))


@layerwise
def count_of_all_weights(scores, mask, rate):
    """The rate is taken of all weights instead of the survivors."""
    return prune_lowest(scores, mask, min(k_of(rate, mask.size), np.count_nonzero(mask)))


# ---- A5: frozen layers -----------------------------------------------------------------------------------------------


def count_frozen_layers(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
    """A global count that includes the layers which cannot be pruned."""
    free = [name for name in mask.layout.weight_names if name not in frozen]
    everything = sum(np.count_nonzero(mask[name]) for name in mask.layout.weight_names)
    alive = sum(np.count_nonzero(mask[name]) for name in free)
    return prune_globally(scores, mask, rate=min(k_of(rate, everything), alive) / alive, frozen=frozen)


# ---- A6 to A11: what is ranked ---------------------------------------------------------------------------------------


@layerwise
def alive_by_weight(scores, mask, rate):
    """Whoever weighs nothing is taken for dead."""
    alive = (mask * (scores != 0)).astype(mask.dtype)
    return prune_lowest(scores, alive, k_of(rate, np.count_nonzero(alive)))


@layerwise
def mask_from_all_scores(scores, mask, rate):
    """The mask is computed anew from all scores, so the dead come back."""
    alive = np.count_nonzero(mask)
    return prune_lowest(scores, np.ones_like(mask), mask.size - alive + k_of(rate, alive))


@layerwise
def sentinel_for_the_dead(scores, mask, rate):
    """The dead get the score 9999, to be ranked above all the living."""
    flat = np.where(mask == 1, scores, 9999.0).reshape(-1)
    new = mask.copy().reshape(-1)
    new[np.argsort(flat, kind="stable")[: k_of(rate, np.count_nonzero(mask))]] = 0
    return new.reshape(mask.shape)


def stale_scores() -> Callable[..., Parameters]:
    """The scores of the first call are kept and ranked again on the next."""
    remembered: list[Parameters] = []

    def prune(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
        remembered.append(scores.copy())
        return prune_layerwise(remembered[0], mask, rate=rate, output_rate=rate)

    return prune


@layerwise
def ties_by_noise(scores, mask, rate):
    """Ties are broken by a generator that nobody has seeded."""
    noise = np.random.default_rng().random(scores.shape)
    return prune_lowest(scores + 1e-9 * noise, mask, k_of(rate, np.count_nonzero(mask)))


@layerwise
def nan_is_largest(scores, mask, rate):
    """A sort puts NaN last, and so it survives for ever."""
    flat, new = np.where(mask == 1, scores, np.inf).reshape(-1), mask.copy().reshape(-1)
    new[np.argsort(flat, kind="stable")[: k_of(rate, np.count_nonzero(mask))]] = 0
    return new.reshape(mask.shape)


# ---- A12, A13: what a mask is ----------------------------------------------------------------------------------------


def match_by_position(arrays: dict[str, np.ndarray], layout: Layout) -> Parameters:
    """The arrays are taken in the order in which they come; whatever is too many is dropped."""
    mask = Parameters.ones(layout, dtype=np.float64)
    for name, array in zip(layout.weight_names, arrays.values()):
        mask[name].reshape(-1)[: array.size] = array.reshape(-1)[: mask[name].size]
    return mask


def match_by_name_unchecked(arrays: dict[str, np.ndarray], layout: Layout) -> Parameters:
    """The names are right, but missing layers are taken for dense, and nobody looks at the values."""
    mask = Parameters.ones(layout, dtype=np.float64)
    for name, array in arrays.items():
        if name in mask:
            mask[name] = array
    return mask


def prune_biases_too(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
    """Weights and biases stand in one line, and nobody says so."""
    k = k_of(rate, np.count_nonzero(mask.vector))
    return Parameters(prune_lowest(scores.vector, mask.vector, k), mask.layout)


def density_with_biases(mask: Parameters) -> float:
    return float(mask.vector.mean())


# ---- A14, A15: ends and words ----------------------------------------------------------------------------------------


def quit_when_empty(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
    """An empty layer ends the whole program."""
    new = prune_layerwise(scores, mask, rate=rate, output_rate=rate, frozen=frozen)
    if any(not new[name].any() for name in mask.layout.weight_names):
        raise SystemExit(1)
    return new


def empty_without_a_word(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
    new = mask.copy()
    for name in mask.layout.weight_names:
        new[name] = prune_lowest(scores[name], mask[name], k_of(rate, np.count_nonzero(mask[name])))
    return new


def density_means_sparsity(scores: Parameters, mask: Parameters, *, density: float) -> Parameters:
    return prune_globally(scores, mask, density=1 - density)


def density_by_truncation(scores: Parameters, mask: Parameters, *, density: float) -> Parameters:
    """floor of the kept share: up to a whole weight short."""
    n = mask.layout.n_weights
    return prune_globally(scores, mask, density=np.floor(density * n - 0.6).clip(0) / n)


# ---- A35: compaction -------------------------------------------------------------------------------------------------


def compact_without_folding(net: MLP, theta: Parameters, mask: Parameters):
    """A unit that hears nothing is taken for one that says nothing."""
    small = compact(net, theta, mask)
    for layer in range(2, net.n_layers + 1):
        units = small.kept_units[layer - 1] if layer < net.n_layers else slice(None)
        small.theta[f"b{layer}"] = theta[f"b{layer}"][units]
    return small
