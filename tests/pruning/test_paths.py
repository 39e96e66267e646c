"""Paths: counted by brute force, expected under random masks, and the weights that lie on none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    DisconnectedError,
    count_paths,
    effective_density,
    effective_mask,
    is_connected,
    mask_from_arrays,
    reachable,
    weight_density,
)
from numpynet.pruning.paths import warn_if_cut
from tests.checks import assert_close
from tests.pruning.nets import random_mask
from tests.strategies import all_masks, mask_probabilities, network_sizes, seeds

small_sizes = st.integers(2, 4).flatmap(lambda depth: network_sizes(depth))
densities = st.sampled_from([0.2, 0.4, 0.7, 1.0])


def all_paths(mask: Parameters) -> list[tuple[int, ...]]:
    """Every tuple of units, one of each layer, that living weights join."""
    names = mask.layout.weight_names
    sizes = [mask.layout.shapes[names[0]][0], *(mask.layout.shapes[name][1] for name in names)]
    return [
        path
        for path in itertools.product(*map(range, sizes))
        if all(mask[name][i, j] for name, i, j in zip(names, path, path[1:]))
    ]


@pytest.mark.equation("M12")
@given(sizes=small_sizes, seed=seeds, density=densities)
def test_paths_are_counted_as_by_brute_force(sizes: tuple[int, ...], seed: int, density: float) -> None:
    mask = random_mask(Layout.of_sizes(sizes), seed, density)
    paths = all_paths(mask)
    assert count_paths(mask) == len(paths)
    assert bool(is_connected(mask)) == bool(paths)


@pytest.mark.equation("L19", "M12")
@given(sizes=small_sizes, seed=seeds, density=densities)
def test_the_effective_mask_keeps_the_weights_on_a_path(sizes: tuple[int, ...], seed: int, density: float) -> None:
    layout = Layout.of_sizes(sizes)
    mask = random_mask(layout, seed, density)
    on_a_path = 0 * mask
    for path in all_paths(mask):
        for name, i, j in zip(layout.weight_names, path, path[1:]):
            on_a_path[name][i, j] = 1
    effective = effective_mask(mask)
    for name in layout.weight_names:
        assert np.array_equal(effective[name], on_a_path[name])
    assert effective_density(mask) == weight_density(effective) <= weight_density(mask)
    assert count_paths(effective) == count_paths(mask)
    assert np.array_equal(effective_mask(effective).vector, effective.vector)


@pytest.mark.equation("M12")
def test_the_expected_number_of_paths_under_dropout_by_all_unit_masks() -> None:
    """A dropped unit takes all its paths along; the same product serves DropConnect, here with all weight masks."""
    mask = random_mask(Layout.of_sizes((3, 4, 2)), 3, 0.7)
    W1, W2 = mask["W1"], mask["W2"]
    keep_probs = (0.8, 0.3)
    units = [all_masks(3), all_masks(4)]
    weights = [mask_probabilities(d, q) for d, q in zip(units, keep_probs)]
    paths = np.einsum("ai,ij,bj,jk->ab", units[0], W1, units[1], W2)
    assert_close(count_paths(mask, keep_probs=keep_probs), np.einsum("ab,a,b->", paths, *weights))

    small = random_mask(Layout.of_sizes((2, 3, 1)), 1, 1.0)
    connections = [all_masks(6).reshape(-1, 2, 3), all_masks(3).reshape(-1, 3, 1)]
    weights = [mask_probabilities(all_masks(n), q) for n, q in zip((6, 3), keep_probs)]
    paths = np.einsum("aij,bjk->ab", *connections)
    assert_close(count_paths(small, keep_probs=keep_probs), np.einsum("ab,a,b->", paths, *weights))
    assert count_paths(small, keep_probs=(None, 0.3)) == pytest.approx(0.3 * 6)
    with pytest.raises(ValueError, match="keep_probs has 1 entries"):
        count_paths(small, keep_probs=(0.8,))


@pytest.mark.equation("M13")
@pytest.mark.parametrize("density", [0.3, 0.8])
def test_how_often_a_unit_is_dead_by_chance(density: float) -> None:
    """All masks of the weights around one hidden unit of 3 inputs and 2 outputs, by their probability."""
    masks = all_masks(3 + 2)
    probabilities = mask_probabilities(masks, density)
    dead = 0.0
    for weights, probability in zip(masks, probabilities):
        arrays = {"W1": weights[:3].reshape(3, 1), "W2": weights[3:].reshape(1, 2)}
        hears, heard = reachable(mask_from_arrays(arrays, Layout.of_sizes((3, 1, 2))))
        dead += probability * (not (hears[1][0] and heard[1][0]))
    assert_close(dead, 1 - (1 - (1 - density) ** 3) * (1 - (1 - density) ** 2))


@given(seed=seeds)
def test_replicates_are_counted_each_by_itself(seed: int) -> None:
    mask = random_mask(Layout.of_sizes((4, 5, 3)), seed, 0.4, dtype=np.float32, replicates=(2, 3))
    connected, effective = is_connected(mask), effective_mask(mask)
    assert connected.shape == (2, 3) and effective.dtype == np.float32
    for r in np.ndindex(2, 3):
        assert np.array(count_paths(mask))[r] == count_paths(mask.replicate(r))
        assert connected[r] == is_connected(mask.replicate(r))
        assert np.array_equal(effective.vector[r], effective_mask(mask.replicate(r)).vector)
        assert np.array(effective_density(mask))[r] == effective_density(mask.replicate(r))


def test_counts_stay_exact_far_beyond_float32() -> None:
    """784 * 301 * 101 * 9 paths: float32 would round them."""
    assert count_paths(Parameters.ones(Layout.of_sizes((784, 301, 101, 9)))) == 784 * 301 * 101 * 9


def test_a_network_without_paths_is_refused_on_request() -> None:
    dense = Parameters.ones(Layout.of_sizes((4, 3, 2)))
    warn_if_cut(dense, dense, require_path=True)
    with pytest.raises(DisconnectedError, match="W1 and W2 are empty"):
        warn_if_cut(dense, 0 * dense, require_path=True)
