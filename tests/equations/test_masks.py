"""Masks: their algebra, how they are drawn, and pruning by exact counts."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numpynet.equations.masks import (
    complement,
    density,
    difference,
    intersection,
    prune_count,
    prune_lowest,
    sample_mask,
    union,
)
from tests.checks import assert_close
from tests.strategies import KEEP_PROBS, all_masks, binary, keep_probs, mask_probabilities, seeds

BOOK = Path(__file__).parents[2] / "docs" / "equations.md"
RATES = (0.2, 0.2, 0.1)  # of the ladder in the book: the output layer at half the rate


# ---- the lattice -----------------------------------------------------------------------------------------------------


@pytest.mark.equation("M1")
@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64, np.complex128]))
def test_the_laws_of_the_lattice(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = ((rng.random((3, 4)) < q).astype(dtype) for q in (0.3, 0.6, 0.8))
    one, zero = np.ones_like(a), np.zeros_like(a)
    equal = [
        (intersection(a, a), a),
        (union(a, a), a),
        (intersection(a, b), intersection(b, a)),
        (union(a, b), union(b, a)),
        (intersection(a, intersection(b, c)), intersection(intersection(a, b), c)),
        (union(a, union(b, c)), union(union(a, b), c)),
        (intersection(a, union(a, b)), a),
        (union(a, intersection(a, b)), a),
        (intersection(a, union(b, c)), union(intersection(a, b), intersection(a, c))),
        (union(a, intersection(b, c)), intersection(union(a, b), union(a, c))),
        (complement(complement(a)), a),
        (complement(union(a, b)), intersection(complement(a), complement(b))),
        (difference(a, b), intersection(a, complement(b))),
        (union(difference(a, b), intersection(a, b)), a),
        (intersection(a, complement(a)), zero),
        (union(a, complement(a)), one),
    ]
    for left, right in equal:
        assert np.array_equal(left, right)
        assert left.dtype == dtype
        assert set(np.unique(left)) <= {0, 1}
    assert np.all(intersection(a, b).real <= a.real) and np.all(a.real <= union(a, b).real)


@pytest.mark.equation("M1")
def test_the_truth_table_in_full() -> None:
    a, b = all_masks(2).T
    assert intersection(a, b).tolist() == [x and y for x, y in zip(a, b)]
    assert union(a, b).tolist() == [x or y for x, y in zip(a, b)]
    assert difference(a, b).tolist() == [x and not y for x, y in zip(a, b)]
    assert complement(a).tolist() == [not x for x in a]


@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64, bool]))
def test_density_is_the_share_of_ones(seed: int, dtype: type) -> None:
    mask = binary(np.random.default_rng(seed), (3, 5), 0.4).astype(dtype)
    assert density(mask) == np.mean(mask == 1)
    assert density(np.ones((2, 3), dtype)) == 1.0
    assert density(np.zeros((2, 3), dtype)) == 0.0


# ---- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.equation("D1", "D6")
@given(seed=seeds, keep_prob=keep_probs, dtype=st.sampled_from([np.float32, np.float64, np.complex128, bool]))
def test_a_drawn_mask_is_binary_in_the_dtype_asked_for(seed: int, keep_prob: float, dtype: type) -> None:
    mask = sample_mask(np.random.default_rng(seed), (7, 5), keep_prob, dtype=dtype)
    assert mask.shape == (7, 5) and mask.dtype == dtype
    assert set(np.unique(mask)) <= {0, 1}
    uniform = np.random.default_rng(seed).random((7, 5), dtype=np.float32)
    assert np.array_equal(mask == 1, uniform < keep_prob)
    assert sample_mask(np.random.default_rng(seed), 3, keep_prob).shape == (3,)


@pytest.mark.equation("D1", "D6")
@given(seed=seeds, keep_prob=keep_probs)
def test_the_stream_is_the_same_whatever_keep_prob_is(seed: int, keep_prob: float) -> None:
    """Also at keep_prob 1, where everything is kept, a number is drawn for each entry."""
    rng, rng_of_one = np.random.default_rng(seed), np.random.default_rng(seed)
    sample_mask(rng, (4, 3), keep_prob)
    assert sample_mask(rng_of_one, (4, 3), 1.0).all()
    assert rng.bit_generator.state == rng_of_one.bit_generator.state


@pytest.mark.equation("D6")
@given(seed=seeds)
def test_a_number_that_equals_keep_prob_drops(seed: int) -> None:
    """d = 1[u < q], strictly: then P(1) is q, and 0 for a q of 0."""
    uniform = np.random.default_rng(seed).random((4, 3), dtype=np.float32)
    mask = sample_mask(np.random.default_rng(seed), (4, 3), float(uniform[2, 1]))
    assert mask[2, 1] == 0 and mask.sum() == (uniform < uniform[2, 1]).sum()


@pytest.mark.equation("D1", "M1")
@given(seed=seeds, q_1=st.floats(0.001, 1.0), q_2=st.floats(0.001, 1.0))
def test_a_smaller_keep_prob_gives_a_subset(seed: int, q_1: float, q_2: float) -> None:
    smaller, larger = (
        sample_mask(np.random.default_rng(seed), (6, 7), q, dtype=np.float64) for q in sorted((q_1, q_2))
    )
    assert np.array_equal(intersection(smaller, larger), smaller)


@given(seed=seeds, keep_prob=keep_probs)
def test_masks_drawn_one_after_another_are_those_drawn_in_one_stack(seed: int, keep_prob: float) -> None:
    rng = np.random.default_rng(seed)
    stack = sample_mask(np.random.default_rng(seed), (3, 5, 7), keep_prob)
    assert np.array_equal(stack, [sample_mask(rng, (5, 7), keep_prob) for _ in range(3)])


# ---- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L2")
@given(rate=st.floats(0, 1), alive=st.integers(0, 10**9))
@example(rate=0.0, alive=800)
@example(rate=1.0, alive=800)
def test_the_count_is_the_rounded_product_and_in_range(rate: float, alive: int) -> None:
    k = prune_count(rate, alive)
    assert type(k) is int and 0 <= k <= alive
    assert k == math.floor(rate * alive + 0.5)
    assert prune_count(np.float64(rate), np.int64(alive)) == k
    assert prune_count(0, alive) == 0 and prune_count(1, alive) == alive


@pytest.mark.equation("L2", "N21", "N22")
def test_the_float64_product_is_the_definition() -> None:
    # The rate is not its decimal: 0.7 * 45 is 31.499999999999996.
    assert [prune_count(0.7, 45), prune_count(0.35, 90), prune_count(0.29, 50)] == [31, 31, 14]
    # round() sends halves to even.
    assert [prune_count(0.1, 5), prune_count(0.1, 185)] == [1, 19]
    assert [round(0.1 * 5), round(0.1 * 185)] == [0, 18]
    # A float32 rate is another rate.
    assert prune_count(np.float32(0.1), 5) == math.floor(float(np.float32(0.1)) * 5 + 0.5)


def ladder_of_the_book() -> list[tuple[int, str, list[int], int, float]]:
    """(round, network, survivors of each layer, total, percent) of every filled cell of the table."""
    rows = []
    for line in BOOK.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("*", "") for cell in line.split("|")]
        if len(cells) == 9 and re.fullmatch(r"\d+", cells[1]):
            for net, (layers, total, percent) in zip(("784-300-100-10", "40-100-100-10"), (cells[2:5], cells[5:8])):
                if layers:
                    rows.append((int(cells[1]), net, [int(n) for n in layers.split(",")], int(total), float(percent)))
    return rows


@pytest.mark.equation("L2", "L3", "L7")
def test_the_ladder_of_survivors_in_the_book() -> None:
    rows = ladder_of_the_book()
    assert len(rows) == 19
    for rounds, net, layers, total, percent in rows:
        sizes = [int(n) for n in net.split("-")]
        start = [d_in * d_out for d_in, d_out in zip(sizes, sizes[1:])]
        alive = list(start)
        for _ in range(rounds):
            alive = [n - prune_count(rate, n) for n, rate in zip(alive, RATES)]
        assert alive == layers and sum(alive) == total
        assert abs(100 * total / sum(start) - percent) <= 0.5 * 10.0 ** -len(str(percent).partition(".")[2]) + 1e-9


@pytest.mark.equation("L2", "L3")
@pytest.mark.parametrize(("sizes", "rounds"), [((784, 300, 100, 10), 20), ((40, 100, 100, 10), 20)], ids=str)
def test_pruning_a_network_round_by_round_walks_down_that_ladder(sizes: tuple[int, ...], rounds: int) -> None:
    rng = np.random.default_rng(0)
    masks = [np.ones((d_in, d_out), np.float32) for d_in, d_out in zip(sizes, sizes[1:])]
    start, alive = [mask.size for mask in masks], [mask.size for mask in masks]
    for t in range(1, rounds + 1):
        masks = [
            prune_lowest(np.abs(rng.normal(size=mask.shape)), mask, prune_count(rate, np.count_nonzero(mask)))
            for mask, rate in zip(masks, RATES)
        ]
        alive = [n - prune_count(rate, n) for n, rate in zip(alive, RATES)]
        assert [np.count_nonzero(mask) for mask in masks] == alive
        for n, n_0, rate in zip(alive, start, RATES):
            assert abs(n - n_0 * (1 - rate) ** t) <= (1 - (1 - rate) ** t) / (2 * rate) + 1e-9


@pytest.mark.equation("L3")
@pytest.mark.parametrize(("rate", "last"), [(0.1, 4), (0.2, 2), (0.3, 1), (0.5, 0), (0.7, 0)])
def test_where_the_recursion_stops(rate: float, last: int) -> None:
    for start in range(last, 300):
        alive = start
        while prune_count(rate, alive) > 0:
            alive -= prune_count(rate, alive)
        assert alive == last


# ---- pruning ---------------------------------------------------------------------------------------------------------


def prune_plainly(scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    """The rule as it is spoken: sort the alive entries by (score, flat index), drop the first k."""
    alive = [i for i in range(mask.size) if mask.flat[i] == 1]
    new_mask = mask.copy()
    for i in sorted(alive, key=lambda i: (scores.flat[i], i))[:k]:
        new_mask.flat[i] = 0
    return new_mask


@st.composite
def pruning_cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores with many ties (few levels, both zeros, infinities), a mask, and a count."""
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.sampled_from([(12,), (4, 5), (2, 3, 4), (1, 1)]))
    levels = draw(st.sampled_from([[1.0], [0.0, -0.0, 1.0], [-1.0, 2.0, 3.0, np.inf], list(range(7))]))
    scores = rng.choice(levels, size=shape) if draw(st.booleans()) else rng.normal(size=shape)
    mask = (rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))).astype(np.float32)
    return scores, mask, draw(st.integers(0, int(mask.sum())))


@pytest.mark.equation("L2")
@given(case=pruning_cases())
def test_prune_lowest_is_the_plain_rule(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    scores, mask, k = case
    kept = scores.copy(), mask.copy()
    new_mask = prune_lowest(scores, mask, k)
    assert np.array_equal(new_mask, prune_plainly(scores, mask, k))
    assert new_mask.sum() == mask.sum() - k
    assert np.all(new_mask <= mask)
    assert new_mask.dtype == mask.dtype and not np.shares_memory(new_mask, mask)
    assert np.array_equal(scores, kept[0]) and np.array_equal(mask, kept[1])


@pytest.mark.equation("L2")
@given(case=pruning_cases(), order=st.sampled_from(["F", "view"]))
def test_the_tie_rule_counts_in_c_order_whatever_the_memory_order(
    case: tuple[np.ndarray, np.ndarray, int], order: str
) -> None:
    scores, mask, k = case
    if order == "F":
        other_scores, other_mask = np.asfortranarray(scores), np.asfortranarray(mask)
    else:
        other_scores, other_mask = np.repeat(scores, 2, axis=-1)[..., ::2], np.repeat(mask, 2, axis=-1)[..., ::2]
    assert np.array_equal(prune_lowest(other_scores, other_mask, k), prune_lowest(scores, mask, k))


@pytest.mark.equation("L2")
@given(seed=seeds, rate=st.sampled_from([0.0, 0.1, 0.2, 0.35, 1.0]))
def test_at_rate_0_nothing_goes_and_at_rate_1_everything(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    mask = binary(rng, (6, 7), 0.6, np.float32)
    alive = int(mask.sum())
    new_mask = prune_lowest(np.abs(rng.normal(size=mask.shape)), mask, prune_count(rate, alive))
    assert new_mask.sum() == alive - math.floor(rate * alive + 0.5)
    if rate == 0.0:
        assert np.array_equal(new_mask, mask)
    if rate == 1.0:
        assert not new_mask.any()


@pytest.mark.equation("L2", "L6", "N14")
@given(seed=seeds)
def test_dead_entries_are_not_ranked_and_never_return(seed: int) -> None:
    """Whatever pruned weights have become, and though a live weight may be 0: the mask says what is alive."""
    rng = np.random.default_rng(seed)
    mask = np.ones((5, 6))
    for _ in range(6):
        scores = np.abs(rng.normal(size=mask.shape))
        scores[mask == 0] = rng.choice([np.nan, np.inf, 1e6, 0.0])
        scores[mask == 1] *= rng.integers(0, 2, size=int(mask.sum()))  # some live weights are exactly 0
        k = prune_count(0.3, int(mask.sum()))
        new_mask = prune_lowest(scores, mask, k)
        assert np.array_equal(intersection(new_mask, mask), new_mask)
        assert new_mask.sum() == mask.sum() - k
        mask = new_mask


@pytest.mark.equation("L2", "M20")
@given(seed=seeds, k=st.integers(0, 30))
def test_pruning_commutes_with_a_permutation_where_no_scores_are_equal(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores, permutation = rng.permutation(30).astype(float), rng.permutation(30)
    pruned = prune_lowest(scores, np.ones(30), k)
    assert np.array_equal(prune_lowest(scores[permutation], np.ones(30), k), pruned[permutation])


@pytest.mark.equation("M14", "M19")
@pytest.mark.parametrize("k", [1, 2, 4])
def test_pruning_by_random_scores_draws_without_replacement(k: int) -> None:
    """Over all orders of the scores: every mask with k ones is equally likely, as it is under DropConnect given k."""
    n = 5
    masks = np.array([prune_lowest(np.array(order), np.ones(n), n - k) for order in itertools.permutations(range(n))])
    found, counts = np.unique(masks, axis=0, return_counts=True)
    assert len(found) == math.comb(n, k) and len(set(counts)) == 1
    covariance = np.full((n, n), -k / n * (1 - k / n) / (n - 1))
    np.fill_diagonal(covariance, k / n * (1 - k / n))
    assert_close(masks.mean(axis=0), np.full(n, k / n))
    assert_close(np.cov(masks.T, bias=True), covariance)
    every = all_masks(n)
    for q in KEEP_PROBS:
        probability = mask_probabilities(every, q)[every.sum(axis=1) == k]
        assert_close(probability, np.full(len(probability), q**k * (1 - q) ** (n - k)))
        assert probability[0] <= mask_probabilities(found[:1], k / n)[0] + 1e-15  # likeliest at q = k / n


@pytest.mark.equation("L20")
@pytest.mark.parametrize(("a", "b"), [(1, 5), (2, 3), (4, 4)])
def test_two_random_masks_overlap_hypergeometrically(a: int, b: int) -> None:
    n = 6
    first = prune_lowest(np.random.default_rng(0).normal(size=n), np.ones(n), n - a)
    overlaps = np.array(
        [
            intersection(first, prune_lowest(np.array(order), np.ones(n), n - b)).sum()
            for order in itertools.permutations(range(n))
        ]
    )
    assert_close(overlaps.mean(), a * b / n)
    assert_close(overlaps.var(), a * b / n * (1 - a / n) * (n - b) / (n - 1))


@pytest.mark.equation("L17")
@given(sparsity=st.floats(0.05, 0.95), rounds=st.integers(1, 12), start=st.integers(1, 10**6))
def test_one_shot_and_rounds_meet_up_to_rounding(sparsity: float, rounds: int, start: int) -> None:
    rate = 1 - (1 - sparsity) ** (1 / rounds)
    alive = start
    for _ in range(rounds):
        alive -= prune_count(rate, alive)
    one_shot = start - prune_count(sparsity, start)
    assert abs(alive - one_shot) <= (1 - (1 - rate) ** rounds) / (2 * rate) + 0.5 + 1e-6


# Rules seen elsewhere that miss the count; each must be told from the exact one.
def keep_above_the_kth(scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    return mask * (scores > np.sort(scores[mask == 1])[k])


def prune_up_to_the_kth(scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    return mask * ~(scores <= np.sort(scores[mask == 1])[k])


def prune_below_the_percentile(scores: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    return mask * ~(scores < np.percentile(scores[mask == 1], 100 * k / mask.sum()))


@pytest.mark.equation("L8", "N20")
def test_threshold_rules_miss_the_count() -> None:
    rng = np.random.default_rng(0)
    mask, k = np.ones(1000), 200
    distinct, ties = rng.permutation(1000) + 1.0, rng.integers(1, 13, size=1000).astype(float)
    equal = np.ones(1000)
    for scores in (distinct, ties, equal):
        assert prune_lowest(scores, mask, k).sum() == 800
    assert keep_above_the_kth(distinct, mask, k).sum() == 799
    assert keep_above_the_kth(ties, mask, k).sum() < 799
    assert prune_up_to_the_kth(distinct, mask, k).sum() == 799
    assert prune_below_the_percentile(equal, mask, k).sum() == 1000
    # A rate truncated on its way through a percentage.
    assert int(235200 * 19.999999999999996 / 100) == prune_count(0.2, 235200) - 1 == 47039
