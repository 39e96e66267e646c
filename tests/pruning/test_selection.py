"""Selection: exact counts for every scope, rate and tie; masks only shrink; what is refused and what is warned of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.masks import prune_count
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    DisconnectedError,
    DisconnectedWarning,
    alive_counts,
    dense_mask,
    l2_norm,
    layer_densities,
    magnitude,
    prune_globally,
    prune_layerwise,
    random_scores,
    root_mean_square,
    survivors,
    weight_density,
)
from numpynet.pruning.paths import is_connected
from tests.checks import assert_close
from tests.pruning.nets import counts, random_mask, random_theta, weights_of
from tests.strategies import network_sizes, seeds

pytestmark = pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")

LAYOUT = Layout.of_sizes((6, 5, 4, 3))
NAMES = LAYOUT.weight_names
rates = st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 0.5, 0.9, 1.0]) | st.floats(0, 1)
scopes = st.sampled_from(["layer", "global"])


def scores_with_ties(seed: int, levels: int | None, layout: Layout = LAYOUT, dtype: type = np.float64) -> Parameters:
    """Normal numbers, or few levels and so many ties."""
    rng = np.random.default_rng([seed, 5])
    vector = rng.normal(size=layout.size) if levels is None else rng.integers(levels, size=layout.size)
    return Parameters(vector.astype(dtype), layout)


def prune(scope: str, scores: Parameters, mask: Parameters, rate: float, **options) -> Parameters:
    if scope == "layer":
        return prune_layerwise(scores, mask, rate=rate, output_rate=rate, **options)
    return prune_globally(scores, mask, rate=rate, **options)


def prune_plainly(scope: str, scores: Parameters, mask: Parameters, rate: float) -> Parameters:
    """The rule as it is spoken: sort what lives by (score, layer, flat index), drop the first k."""
    new = mask.copy()
    for names in [(name,) for name in NAMES] if scope == "layer" else [NAMES]:
        line = [
            (scores[name].flat[i], layer, i, name)
            for layer, name in enumerate(names)
            for i in range(mask[name].size)
            if mask[name].flat[i] == 1
        ]
        for _, _, i, name in sorted(line)[: int(np.floor(rate * len(line) + 0.5))]:
            new[name].reshape(-1)[i] = 0
    return new


# ---- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L2", "L6")
@given(scope=scopes, seed=seeds, rate=rates, levels=st.sampled_from([1, 2, 5, None]))
def test_it_is_the_plain_rule_and_the_count_is_exact(scope: str, seed: int, rate: float, levels: int | None) -> None:
    scores, mask = scores_with_ties(seed, levels), random_mask(LAYOUT, seed)
    kept = scores.copy(), mask.copy()
    new = prune(scope, scores, mask, rate)
    assert np.array_equal(new.vector, prune_plainly(scope, scores, mask, rate).vector)
    assert (new.vector <= mask.vector).all()
    assert all((new[name] == 1).all() for name in new if name not in NAMES)
    before, after = counts(mask), counts(new)
    if scope == "layer":
        assert after == [n - prune_count(rate, n) for n in before]
    else:
        assert sum(after) == sum(before) - prune_count(rate, sum(before))
    assert np.array_equal(scores.vector, kept[0].vector) and np.array_equal(mask.vector, kept[1].vector)
    assert not np.shares_memory(new.vector, mask.vector)


@pytest.mark.equation("L2", "L6")
@given(
    scope=scopes, seed=seeds, rounds=st.lists(st.tuples(st.floats(0, 0.9), st.sampled_from([1, 3, None])), max_size=6)
)
def test_over_many_rounds_with_any_scores_masks_only_shrink(scope: str, seed: int, rounds: list) -> None:
    mask = Parameters.ones(LAYOUT, dtype=np.float64)
    for i, (rate, levels) in enumerate(rounds):
        new = prune(scope, scores_with_ties(seed + i, levels), mask, rate)
        assert (new.vector <= mask.vector).all()
        mask = new


@pytest.mark.equation("L2", "L3", "L7")
@pytest.mark.parametrize(
    ("sizes", "ladder"),
    [
        (
            (784, 300, 100, 10),
            {1: (188160, 24000, 900), 3: (120422, 15360, 729), 7: (49325, 6291, 478), 11: (20203, 2577, 313)}
            | {13: (12930, 1650, 254), 18: (4237, 541, 149), 20: (2712, 346, 121)},
        ),
        ((40, 100, 100, 10), {5: (1310, 3277, 590), 11: (343, 859, 313), 13: (219, 550, 254), 15: (140, 352, 206)}),
    ],
    ids=["LeNet-300-100", "MNIST-1D"],
)
def test_the_golden_ladder_of_integers(sizes: tuple[int, ...], ladder: dict) -> None:
    """Whatever the scores are: the output layer at half the rate is the default."""
    layout, rng = Layout.of_sizes(sizes), np.random.default_rng(0)
    mask = Parameters.ones(layout)
    for level in range(1, max(ladder) + 1):
        scores = Parameters(rng.random(layout.size, dtype=np.float32), layout)
        mask = prune_layerwise(scores, mask, rate=0.2)
        if level in ladder:
            assert tuple(alive_counts(mask).values()) == ladder[level]


@pytest.mark.equation("L7")
@given(seed=seeds, rate_of=st.tuples(rates, rates, rates))
def test_every_layer_may_have_its_own_rate(seed: int, rate_of: tuple[float, float, float]) -> None:
    scores, mask = scores_with_ties(seed, None), random_mask(LAYOUT, seed)
    new = prune_layerwise(scores, mask, rate=dict(zip(NAMES, rate_of)))
    assert counts(new) == [n - prune_count(rate, n) for n, rate in zip(counts(mask), rate_of)]


@pytest.mark.equation("L7")
def test_the_output_layer_has_half_the_rate_unless_it_is_given_one() -> None:
    scores, mask = scores_with_ties(0, None), Parameters.ones(LAYOUT)
    assert counts(prune_layerwise(scores, mask, rate=0.5)) == [15, 10, 9]
    assert counts(prune_layerwise(scores, mask, rate=0.5, output_rate=0.25)) == [15, 10, 9]
    assert counts(prune_layerwise(scores, mask, rate=0.5, output_rate=0.0)) == [15, 10, 12]
    assert counts(prune_layerwise(scores, mask, density=0.5)) == [15, 10, 6]  # a density is meant as it stands


@given(scope=scopes, seed=seeds, density=st.floats(0, 1), start=st.floats(0, 1))
def test_a_density_is_met_to_half_a_weight(scope: str, seed: int, density: float, start: float) -> None:
    start, density = max(start, density), min(start, density)
    scores, mask = scores_with_ties(seed, 3), Parameters.ones(LAYOUT, dtype=np.float64)
    function = prune_layerwise if scope == "layer" else prune_globally
    mask = function(scores, function(scores, mask, density=start), density=density)
    if scope == "layer":
        for name, reached in layer_densities(mask).items():
            assert abs(reached - density) * mask[name].size <= 0.5 + 1e-9
    assert abs(weight_density(mask) - density) * LAYOUT.n_weights <= (0.5 + 1e-9) * (3 if scope == "layer" else 1)
    assert survivors(density, LAYOUT.n_weights) == LAYOUT.n_weights - prune_count(1 - density, LAYOUT.n_weights)


@given(scope=scopes, seed=seeds, rate=rates, dtype=st.sampled_from([np.float32, np.float64]))
def test_the_mask_keeps_its_dtype_and_replicates_are_pruned_each_by_itself(
    scope: str, seed: int, rate: float, dtype: type
) -> None:
    scores = random_theta(LAYOUT, seed, replicates=(2, 3))
    mask = random_mask(LAYOUT, seed, replicates=(2, 3), dtype=dtype)
    new = prune(scope, scores, mask, rate)
    assert new.dtype == dtype and new.replicates == (2, 3)
    for r in np.ndindex(2, 3):
        alone = prune(scope, scores.replicate(r), mask.replicate(r), rate)
        assert np.array_equal(new.vector[r], alone.vector)
    shared = prune(scope, scores, mask.replicate((1, 2)), rate)  # one mask for all
    assert np.array_equal(
        shared.vector[0, 1], prune(scope, scores.replicate((0, 1)), mask.replicate((1, 2)), rate).vector
    )


# ---- options ---------------------------------------------------------------------------------------------------------


@given(scope=scopes, seed=seeds, rate=rates, frozen=st.sets(st.sampled_from(NAMES)))
def test_frozen_layers_are_neither_changed_nor_counted(scope: str, seed: int, rate: float, frozen: set[str]) -> None:
    scores, mask = scores_with_ties(seed, 4), random_mask(LAYOUT, seed)
    function = prune_layerwise if scope == "layer" else prune_globally
    new = function(scores, mask, rate=rate, frozen=frozen)
    for name in frozen:
        assert np.array_equal(new[name], mask[name])
    if scope == "global":
        free = [name for name in NAMES if name not in frozen]
        alive = sum(int(mask[name].sum()) for name in free)
        assert sum(int(new[name].sum()) for name in free) == alive - prune_count(rate, alive)


@given(scope=scopes, seed=seeds, rate=rates, min_keep=st.integers(0, 12))
def test_min_keep_saves_the_best_weights_of_every_layer(scope: str, seed: int, rate: float, min_keep: int) -> None:
    scores, mask = scores_with_ties(seed, 4), random_mask(LAYOUT, seed)
    new = prune(scope, scores, mask, rate, min_keep=min_keep)
    assert (new.vector <= mask.vector).all()
    for name in NAMES:
        before, after = int(mask[name].sum()), int(new[name].sum())
        assert after >= min(before, min_keep)
        best = sorted(
            (i for i in range(mask[name].size) if mask[name].flat[i]), key=lambda i: (scores[name].flat[i], i)
        )
        assert all(new[name].flat[i] for i in best[max(before - min_keep, 0) :])
    if scope == "global":  # others go in their place
        alive = sum(counts(mask))
        spare = sum(max(n - min_keep, 0) for n in counts(mask))
        assert sum(counts(new)) == alive - min(prune_count(rate, alive), spare)
    else:
        expected = [max(n - prune_count(rate, n), min(n, min_keep)) for n in counts(mask)]
        assert counts(new) == expected


@pytest.mark.parametrize("scale", [root_mean_square, l2_norm])
@given(seed=seeds, rate=st.sampled_from([0.1, 0.35, 0.8]))
def test_a_scale_evens_out_the_layers(scale, seed: int, rate: float) -> None:
    theta, mask = random_theta(LAYOUT, seed), random_mask(LAYOUT, seed)
    scaled = theta.copy()
    for factor, name in zip((1e-3, 7.0, 40.0), NAMES):
        scaled[name] *= factor
    masks = [prune_globally(magnitude(t), mask, rate=rate, scale=scale) for t in (theta, scaled)]
    assert np.array_equal(masks[0].vector, masks[1].vector)
    divided = magnitude(theta)
    for name in NAMES:
        divided[name] /= scale(divided[name][mask[name] == 1])
    assert np.array_equal(prune_globally(divided, mask, rate=rate).vector, masks[0].vector)


def test_what_the_scales_are() -> None:
    scores = np.array([1.0, -7.0, 5.0])
    assert root_mean_square(scores) == pytest.approx(5.0) and l2_norm(scores) == pytest.approx(75**0.5)
    assert root_mean_square(scores.astype(np.float32)) == root_mean_square(scores)
    assert root_mean_square(np.zeros(0)) == 1.0 and l2_norm(np.zeros(0)) == 0.0
    zeros, mask = Parameters.zeros(LAYOUT), Parameters.ones(LAYOUT)
    assert counts(prune_globally(zeros, mask, rate=0.5, scale=l2_norm)) == [0, 19, 12]  # ties go layer by layer
    with pytest.raises(ValueError, match="the scale of W1 is nan"):
        prune_globally(zeros, mask, rate=0.5, scale=lambda scores: float("nan"))


# ---- what masks depend on --------------------------------------------------------------------------------------------


@pytest.mark.equation("L10", "N19")
def test_a_global_magnitude_mask_depends_on_more_than_the_function() -> None:
    """Scale each ReLU unit, in by c and out by 1/c, bias too: the same function, another global mask."""
    theta, rng = random_theta(LAYOUT, 1), np.random.default_rng(1)
    scaled = theta.copy()
    for layer in (1, 2):
        c = np.exp(rng.normal(size=LAYOUT.shapes[f"b{layer}"]))
        scaled[f"W{layer}"] *= c
        scaled[f"b{layer}"] *= c
        scaled[f"W{layer + 1}"] /= c[:, None]
    masks = [prune_globally(magnitude(t), dense_mask(t), rate=0.5) for t in (theta, scaled)]
    assert np.mean(weights_of(masks[0]) != weights_of(masks[1])) > 0.1


@pytest.mark.equation("L11")
@given(seed=seeds, keep_probs=st.tuples(st.sampled_from([0.3, 0.8]), st.sampled_from([0.2, 0.6, 0.7])))
def test_layerwise_masks_do_not_see_the_dropout_convention(seed: int, keep_probs: tuple[float, float]) -> None:
    """Standard dropout has W where inverted dropout has q W; the evaluation nets are one."""
    standard = random_theta(LAYOUT, seed)
    inverted = standard.copy()
    for q, name in zip(keep_probs, ("W2", "W3")):
        inverted[name] *= q
    masks = [prune_layerwise(magnitude(t), dense_mask(t), rate=0.4) for t in (standard, inverted)]
    assert np.array_equal(masks[0].vector, masks[1].vector)


@pytest.mark.equation("L11", "N19")
def test_global_masks_do_see_the_dropout_convention() -> None:
    standard = random_theta(LAYOUT, 1)
    inverted = standard.copy()
    inverted["W2"] *= 0.8
    inverted["W3"] *= 0.3
    masks = [prune_globally(magnitude(t), dense_mask(t), rate=0.4) for t in (standard, inverted)]
    assert not np.array_equal(masks[0].vector, masks[1].vector)


@pytest.mark.equation("M20")
@given(seed=seeds, rate=st.sampled_from([0.2, 0.5]), scope=scopes)
def test_permuting_hidden_units_permutes_the_mask(seed: int, rate: float, scope: str) -> None:
    theta, mask = random_theta(LAYOUT, seed), random_mask(LAYOUT, seed)
    order = np.random.default_rng(seed).permutation(5)

    def permuted(parameters: Parameters) -> Parameters:
        new = parameters.copy()
        new["W1"], new["b1"], new["W2"] = (
            parameters["W1"][:, order],
            parameters["b1"][order],
            parameters["W2"][order],
        )
        return new

    new = prune(scope, magnitude(theta), mask, rate)
    other = prune(scope, magnitude(permuted(theta)), permuted(mask), rate)
    assert np.array_equal(other.vector, permuted(new).vector)


@pytest.mark.equation("L2")
@given(seed=seeds, rate=rates, scope=scopes)
def test_a_common_positive_factor_changes_no_mask(seed: int, rate: float, scope: str) -> None:
    theta, mask = random_theta(LAYOUT, seed), random_mask(LAYOUT, seed)
    masks = [prune(scope, magnitude(t), mask, rate) for t in (theta, 4 * theta, -0.25 * theta)]
    assert np.array_equal(masks[0].vector, masks[1].vector) and np.array_equal(masks[0].vector, masks[2].vector)


# ---- layers that run empty -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_an_emptied_network_is_warned_of_once(scope: str) -> None:
    scores, mask = scores_with_ties(0, None), Parameters.ones(LAYOUT)
    with pytest.warns(DisconnectedWarning, match="W1 and W2 and W3 are empty: no path is left"):
        empty = prune(scope, scores, mask, 1.0)
    assert counts(empty) == [0, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing new happens, so nothing is said
        assert counts(prune(scope, scores, empty, 1.0)) == [0, 0, 0]
    with pytest.raises(DisconnectedError, match="no path is left"):
        prune(scope, scores, empty, 0.0, require_path=True)


def test_paths_may_end_without_an_empty_layer() -> None:
    layout = Layout.of_sizes((1, 2, 1))
    scores = Parameters(np.array([2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0]), layout)
    with pytest.warns(DisconnectedWarning, match="^no path is left"):
        mask = prune_layerwise(scores, Parameters.ones(layout), rate=0.5, output_rate=0.5)
    assert counts(mask) == [1, 1] and not is_connected(mask)
    with pytest.raises(DisconnectedError):
        prune_layerwise(scores, Parameters.ones(layout), rate=0.5, output_rate=0.5, require_path=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune_layerwise(scores, Parameters.ones(layout), rate=0.5, output_rate=0.0, require_path=True)


def test_the_warning_counts_the_replicates() -> None:
    layout = Layout.of_sizes((1, 2, 1))
    cut, whole = [2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0], [2.0, 1.0, 0.0, 0.0, 2.0, 1.0, 0.0]
    scores = Parameters(np.array([cut, whole, whole]), layout)
    with pytest.warns(DisconnectedWarning, match="in 1 of 3 replicates"):
        prune_layerwise(scores, Parameters.ones(layout), rate=0.5, output_rate=0.5)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "either rate or density"),
        ({"rate": 0.2, "density": 0.2}, ValueError, "either rate or density"),
        ({"rate": 1.2}, ValueError, "rate is 1.2"),
        ({"rate": float("nan")}, ValueError, "rate is nan"),
        ({"rate": "0.2"}, TypeError, "rate must be a number"),
        ({"density": -0.1}, ValueError, "share of weights to KEEP"),
        ({"density": True}, TypeError, "density must be a number"),
        (
            {"rate": 0.2, "frozen": ("W4",)},
            ValueError,
            "frozen names 'W4', but the layers that can be pruned are W1, W2",
        ),
        ({"rate": 0.2, "frozen": ("b1",)}, ValueError, "frozen names 'b1'"),
        ({"rate": 0.2, "frozen": "W1"}, TypeError, "frozen must be a collection"),
        ({"rate": 0.2, "min_keep": -1}, ValueError, "min_keep is -1"),
        ({"rate": 0.2, "min_keep": 1.0}, ValueError, "min_keep is 1.0"),
    ],
)
@pytest.mark.parametrize("function", [prune_layerwise, prune_globally])
def test_wrong_options_are_refused(function, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        function(scores_with_ties(0, None), Parameters.ones(LAYOUT), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": {"W1": 0.2, "W2": 0.2, "W4": 0.1}}, "rate names 'W4'"),
        ({"rate": {"W1": 0.2, "W3": 0.2}}, "rate leaves out W2"),
        ({"rate": {"W1": 0.2, "W2": 0.2, "W3": 0.1}, "frozen": ("W3",)}, "rate names W3, which is frozen"),
        ({"rate": {"W1": 0.2, "W2": 0.2, "W3": 1.1}}, "rate of W3: rate is 1.1"),
        ({"rate": {"W1": 0.2, "W2": 0.2, "W3": 0.1}, "output_rate": 0.1}, "one number"),
        ({"rate": 0.2, "output_rate": 1.1}, "output_rate: rate is 1.1"),
        ({"density": 0.2, "output_rate": 0.1}, "output_rate goes with rate"),
        ({"density": {"W1": 0.2, "W2": 0.2}}, "density leaves out W3"),
    ],
)
def test_wrong_rates_of_layers_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prune_layerwise(scores_with_ties(0, None), Parameters.ones(LAYOUT), **options)


@pytest.mark.parametrize("function", [prune_layerwise, prune_globally])
def test_what_does_not_belong_together_is_refused(function) -> None:
    scores, mask = scores_with_ties(0, None), Parameters.ones(LAYOUT, dtype=np.float64)
    with pytest.raises(ValueError, match="another network"):
        function(scores, Parameters.ones(Layout.of_sizes((6, 5, 3))), rate=0.2)
    with pytest.raises(TypeError, match="weight_mask must be Parameters"):
        function(scores, None, rate=0.2)
    with pytest.raises(TypeError, match="scores must be Parameters"):
        function(scores.vector, mask, rate=0.2)
    with pytest.raises(TypeError, match="dtype complex128"):
        function(scores.astype(complex), mask, rate=0.2)
    with pytest.raises(ValueError, match="replicates"):
        function(
            random_scores([np.random.default_rng(0)] * 2, LAYOUT), Parameters.ones(LAYOUT, replicates=(3,)), rate=0.2
        )
    for wrong, message in ((0.5, "only 0 and 1"), (np.nan, "only 0 and 1")):
        bad = mask.copy()
        bad["W2"][1, 2] = wrong
        with pytest.raises(ValueError, match=message):
            function(scores, bad, rate=0.2)
    bad = mask.copy()
    bad["b2"][1] = 0
    with pytest.raises(ValueError, match="b2, but biases are never pruned"):
        function(scores, bad, rate=0.2)


@pytest.mark.parametrize("function", [prune_layerwise, prune_globally])
def test_a_density_above_the_present_one_is_refused(function) -> None:
    mask = function(scores_with_ties(0, None), Parameters.ones(LAYOUT), density=0.3)
    with pytest.raises(ValueError, match="pruning brings none back"):
        function(scores_with_ties(1, None), mask, density=0.5)


def test_densities_are_shares() -> None:
    mask = Parameters.ones(LAYOUT, replicates=(2,))
    mask["W2"][1, :2] = 0
    assert alive_counts(mask) == {"W1": [30, 30], "W2": [20, 12], "W3": [12, 12]}
    assert_close(layer_densities(mask)["W2"], [1.0, 0.6])
    assert_close(weight_density(mask), [1.0, 54 / 62])


@given(sizes=network_sizes(3), seed=seeds)
def test_random_scores_with_any_network(sizes: tuple[int, ...], seed: int) -> None:
    layout = Layout.of_sizes(sizes)
    mask = prune_globally(random_scores(np.random.default_rng(seed), layout), Parameters.ones(layout), rate=0.3)
    assert sum(counts(mask)) == layout.n_weights - prune_count(0.3, layout.n_weights)
