"""The draws keep their promises: nothing coincides, every mask has both values, both signs occur."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.gradcheck import REFERENCE, Sizes, pairs_of
from numpynet.gradcheck.compare import stratified_entries
from numpynet.gradcheck.draws import (
    coincidences,
    draw_keep_prob,
    draw_labels,
    draw_mask,
    draw_normal,
    draw_signed,
    draw_sizes,
    factors,
    streams,
)

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
def test_sizes_differ_and_no_two_factors_coincide(seed):
    size_rng, q_rng, *_ = streams(seed)
    sizes = draw_sizes(size_rng)
    q = draw_keep_prob(q_rng, sizes)
    assert len(set(sizes)) == 4
    assert sizes.N >= 3
    assert q != 0.5
    values = sorted(factors(sizes, q).values())
    assert all(b - a > 1e-3 * max(abs(a), abs(b)) for a, b in zip(values, values[1:]))


@pytest.mark.parametrize(
    ("sizes", "q"),
    [(Sizes(5, 7, 11, 3), 0.8), (Sizes(6, 7, 11, 4), 0.8), (Sizes(5, 7, 11, 3), 0.75), (Sizes(2, 7, 11, 3), 0.7)],
)
def test_the_known_clashes_are_seen(sizes, q):
    assert coincidences(sizes, q)


@given(seed=seeds, N=st.integers(1, 6), d=st.integers(2, 6), density=st.sampled_from([0.01, 0.3, 0.9, 0.999]))
def test_masks_are_binary_and_never_all_alike(seed, N, d, density):
    mask = draw_mask(np.random.default_rng(seed), (N, d), density)
    assert set(mask.reshape(-1).tolist()) == {0.0, 1.0}


@given(seed=seeds, N=st.integers(2, 6), d=st.integers(1, 6))
def test_signed_numbers_have_both_signs_and_stay_away_from_0(seed, N, d):
    x = draw_signed(np.random.default_rng(seed), (N, d))
    assert x.min() < 0 < x.max()
    assert abs(x).min() >= 0.05


@given(seed=seeds, N=st.integers(2, 9), K=st.integers(2, 5))
def test_labels_are_of_at_least_two_classes(seed, N, K):
    labels = draw_labels(np.random.default_rng(seed), N, K)
    assert len(set(labels.tolist())) >= 2
    assert 0 <= labels.min() <= labels.max() < K


@given(seed=seeds)
def test_weights_under_a_mask_are_not_zero(seed):
    size_rng, q_rng, rng, _ = streams(seed)
    sizes = draw_sizes(size_rng)
    for pair in pairs_of(REFERENCE):
        arrays, constants = pair.draw(rng, sizes, draw_keep_prob(q_rng, sizes))
        for name, mask in pair.masks.items():
            assert (arrays[name][constants[mask] == 0] != 0).all()
            assert set(constants[mask].reshape(-1).tolist()) == {0.0, 1.0}


def test_the_sizes_of_a_report_repeat_its_draw():
    first = streams(7)
    sizes = draw_sizes(first[0])
    again = streams(7)  # the sizes come from outside this time: their stream is not used at all
    assert draw_keep_prob(first[1], sizes) == draw_keep_prob(again[1], sizes)
    np.testing.assert_array_equal(first[2].normal(size=4), again[2].normal(size=4))


def test_shapes_of_ones_own_layer_may_mix_names_and_numbers():
    inputs = draw_normal(x=("N", "d_in"), gain=(2, "K"))(np.random.default_rng(0), Sizes(5, 7, 11, 3), 0.7)
    assert {name: a.shape for name, a in inputs.arrays.items()} == {"x": (5, 7), "gain": (2, 3)}


@given(seed=seeds, rows=st.integers(20, 60), columns=st.integers(20, 60), n_kept=st.integers(1, 9))
def test_a_stratified_sample_holds_kept_and_pruned_entries_all_edges_and_many_units(seed, rows, columns, n_kept):
    rng = np.random.default_rng(seed)
    mask = np.zeros((rows, columns))
    mask.reshape(-1)[rng.permutation(rows * columns)[:n_kept]] = 1
    entries = stratified_entries(mask.shape, mask, rng)
    i, j = np.unravel_index(entries, mask.shape)
    assert mask[i, j].sum() == n_kept  # up to 16 kept entries are all in it, although they are few
    assert (mask[i, j] == 0).sum() >= 16
    assert {0, rows - 1} <= set(i.tolist())
    assert {0, columns - 1} <= set(j.tolist())
    assert len(set(j.tolist())) >= min(columns, 32)
    assert len(set(entries.tolist())) == entries.size


def test_a_mask_too_small_for_a_0_and_a_1_is_refused():
    with pytest.raises(ValueError, match="cannot hold both"):
        draw_mask(np.random.default_rng(0), (1, 1), 0.5)
