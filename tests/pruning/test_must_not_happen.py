"""What has gone wrong in public pruning code and must not go wrong here: one check for each bug.

Every check passes for the library and fails for the broken variants of ``broken.py`` that show its bug, so that no check
is empty. The numbers A1 ... are those of the project's list of such bugs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numpynet.equations.losses import softmax_cross_entropy
from numpynet.optimizers import SGD, update
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    DisconnectedWarning,
    compact,
    magnitude,
    mask_from_arrays,
    prune_globally,
    prune_layerwise,
    weight_density,
    zhou,
)
from tests.pruning import broken
from tests.pruning.nets import counts, loss_and_gradients, random_mask, random_net, random_theta

pytestmark = pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")

Prune = Callable[..., Parameters]  # scores, mask, *, rate, frozen

LAYOUT = Layout.of_sizes((6, 5, 4, 3))
ROW = Layout.of_sizes((1, 10))  # ten weights of one layer


def layerwise(scores: Parameters, mask: Parameters, *, rate: float, frozen: Any = ()) -> Parameters:
    """The library, with one rate for all layers, the last one too."""
    return prune_layerwise(scores, mask, rate=rate, output_rate=rate, frozen=frozen)


def one_row(values: Any) -> Parameters:
    return Parameters(np.concatenate([np.asarray(values, float), np.zeros(10)]), ROW)


def dense(layout: Layout) -> Parameters:
    return Parameters.ones(layout, dtype=np.float64)


# ---- counting and ranking --------------------------------------------------------------------------------------------


def check_count(prune: Prune) -> None:
    """A1: of ten distinct weights the rates 0, .2, .9 and 1 leave 10, 8, 1 and 0."""
    scores = one_row(np.random.default_rng(0).permutation(10))
    assert [counts(prune(scores, dense(ROW), rate=rate))[0] for rate in (0.0, 0.2, 0.9, 1.0)] == [10, 8, 1, 0]


def check_ties(prune: Prune) -> None:
    """A2: of ten equal weights exactly two go at rate .2, those of the lowest index."""
    mask = prune(one_row(np.full(10, 0.7)), dense(ROW), rate=0.2)
    assert mask["W1"].ravel().tolist() == [0, 0, *[1] * 8]


def check_no_percent(prune: Prune) -> None:
    """A3: 20 % of 235200 is 47040."""
    layout = Layout.of_sizes((784, 300))
    scores = Parameters(np.random.default_rng(0).random(layout.size), layout)
    assert 235200 - counts(prune(scores, dense(layout), rate=0.2))[0] == 47040


def check_rate_of_survivors(prune: Prune) -> None:
    """A4: two rounds of .5 leave a quarter, not nothing."""
    scores = random_theta(Layout.of_sizes((8, 5)), 0)
    mask = prune(scores, prune(scores, dense(scores.layout), rate=0.5), rate=0.5)
    assert counts(mask) == [10]


def check_frozen(prune: Prune) -> None:
    """A5: a frozen layer is neither changed nor counted: half of the 42 others go."""
    mask = prune(magnitude(random_theta(LAYOUT, 0)), dense(LAYOUT), rate=0.5, frozen=("W2",))
    assert mask["W2"].all() and counts(mask)[0] + counts(mask)[2] == 21


def check_living_zero(prune: Prune) -> None:
    """A6: a living weight that is 0 lives on and is trained."""
    net, theta, split = random_net(1, (6, 5, 4, 3))
    mask = random_mask(LAYOUT, 1, 0.7)
    alive = np.flatnonzero(mask["W2"].ravel())[3]
    theta["W2"].reshape(-1)[alive] = 0.0
    for _ in range(2):
        new = prune(magnitude(theta), mask, rate=0.0)
        assert np.array_equal(new.vector, mask.vector)
        mask = new
    theta = theta * mask
    _, gradients = loss_and_gradients(net, theta, split, mask)
    update(theta, gradients, SGD(), SGD().init(theta.vector), 0.1, weight_mask=mask)
    assert theta["W2"].reshape(-1)[alive] != 0


def check_no_revival(prune: Prune) -> None:
    """A7: masks shrink, whatever the scores of later rounds say, also about the dead."""
    mask = dense(LAYOUT)
    for seed in range(5):
        new = prune(random_theta(LAYOUT, seed), mask, rate=0.3)
        assert (new.vector <= mask.vector).all()
        mask = new


def check_no_sentinel(prune: Prune) -> None:
    """A8: weights a million times larger give the same mask."""
    theta, mask = random_theta(LAYOUT, 0), random_mask(LAYOUT, 0)
    masks = [prune(magnitude(t), mask, rate=0.3) for t in (theta, 1e6 * theta)]
    assert np.array_equal(masks[0].vector, masks[1].vector)


def check_fresh_scores(prune: Prune) -> None:
    """A9: after the weights have changed, also in place, the new ones are ranked."""
    theta = one_row(np.arange(1.0, 11.0))
    mask = prune(magnitude(theta), dense(ROW), rate=0.2)
    theta.vector[:10] = np.arange(10.0, 0.0, -1.0)
    mask = prune(magnitude(theta), mask, rate=0.25)
    assert mask["W1"].ravel().tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def check_repeatable(prune: Prune) -> None:
    """A10: a criterion that makes many scores 0 gives the same mask twice."""
    scores = zhou.large_final_same_sign(random_theta(LAYOUT, 0), random_theta(LAYOUT, 1))
    assert (scores["W1"] == 0).sum() > 10
    masks = [prune(scores, dense(LAYOUT), rate=0.2) for _ in range(2)]
    assert np.array_equal(masks[0].vector, masks[1].vector)


def check_nan(prune: Prune) -> None:
    """A11: NaN cannot be ranked, and the error says where it stands."""
    theta = random_theta(LAYOUT, 0)
    theta["W2"][3, 1] = np.nan
    message = ""
    try:
        prune(magnitude(theta), dense(LAYOUT), rate=0.2)
    except ValueError as error:
        message = str(error)
    assert "W2[3, 1]" in message
    mask = dense(LAYOUT)
    mask["W2"][3, 1] = 0  # of the dead nobody asks
    prune(magnitude(theta), mask, rate=0.2)


def check_matched_by_name(build: Callable) -> None:
    """A12: masks belong to layers by name; what is missing, too much, misshapen or not binary is refused."""
    layout = Layout.of_sizes((3, 4, 2))
    arrays = {"W2": np.array([[1.0, 0], [0, 1], [1, 1], [0, 0]]), "W1": np.ones((3, 4))}
    mask = build(arrays, layout)
    assert np.array_equal(mask["W2"], arrays["W2"]) and np.array_equal(mask["W1"], arrays["W1"])
    wrong = [
        {"W1": arrays["W1"]},
        {**arrays, "W3": np.ones((2, 2))},
        {**arrays, "W2": np.ones((2, 4))},
        {**arrays, "W2": np.full((4, 2), 0.5)},
        {**arrays, "W2": np.full((4, 2), np.nan)},
    ]
    for bad in wrong:
        refused = False
        try:
            build(bad, layout)
        except (TypeError, ValueError):
            refused = True
        assert refused, f"{ {name: array.shape for name, array in bad.items()} } was accepted"


def check_biases_stay(prune: Prune) -> None:
    """A13: nothing is pruned at a bias, however small it is, and biases are not counted."""
    scores = magnitude(random_theta(LAYOUT, 0)) + 1.0
    scores["b1"][...] = scores["b2"][...] = scores["b3"][...] = 0.0
    mask = prune(scores, dense(LAYOUT), rate=0.5)
    assert all((mask[f"b{layer}"] == 1).all() for layer in (1, 2, 3))
    assert sum(counts(mask)) == 31


def check_density_without_biases(density: Callable) -> None:
    """A13: density is a share of the weights."""
    mask = dense(Layout.of_sizes((4, 5, 3)))
    mask["W1"][:2] = 0
    assert density(mask) == 25 / 35


def check_empty_layer(prune: Prune) -> None:
    """A14: rate 1 gives a mask of zeros, a finite loss and a warning that names the layers; ``SystemExit`` it is not."""
    net, theta, split = random_net(1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        mask = prune(magnitude(theta), dense(net.layout), rate=1.0)
    assert counts(mask) == [0, 0, 0]
    logits, _ = net.forward(theta, split.x, weight_mask=mask)
    assert np.isfinite(softmax_cross_entropy.forward(logits, split.y)[0])
    assert [w.category for w in seen] == [DisconnectedWarning]
    assert all(name in str(seen[0].message) for name in net.layout.weight_names)


def check_words(prune: Callable) -> None:
    """A15: the density asked for is the density of the mask, to half a weight."""
    scores = random_theta(LAYOUT, 0)
    for density in (0.0, 0.03, 0.2, 0.37, 0.5, 0.9, 1.0):
        mask = prune(scores, dense(LAYOUT), density=density)
        assert abs(weight_density(mask) - density) * LAYOUT.n_weights <= 0.5 + 1e-9


def check_constants_are_kept(compaction: Callable) -> None:
    """A35: a unit without inputs still says phi(b)."""
    for seed in range(5):
        net, theta, split = random_net(seed)
        mask = random_mask(net.layout, seed, 0.7)
        mask["W1"][:, 2] = mask["W2"][:, 1] = 0
        small = compaction(net, theta, mask)
        difference = small.net.forward(small.theta, split.x)[0] - net.forward(theta, split.x, weight_mask=mask)[0]
        assert np.abs(difference).max() <= 1e-12


# ---- the library passes, the broken variants do not ------------------------------------------------------------------

OURS = [
    *(
        pytest.param(check, prune, id=f"{check.__name__[6:]}-{prune.__name__}")
        for check in (
            check_count,
            check_ties,
            check_no_percent,
            check_rate_of_survivors,
            check_frozen,
            check_living_zero,
            check_no_revival,
            check_no_sentinel,
            check_fresh_scores,
            check_repeatable,
            check_nan,
            check_biases_stay,
            check_empty_layer,
        )
        for prune in (layerwise, prune_globally)
    ),
    pytest.param(check_matched_by_name, mask_from_arrays, id="matched_by_name"),
    pytest.param(check_density_without_biases, weight_density, id="density_without_biases"),
    pytest.param(check_words, prune_globally, id="words-prune_globally"),
    pytest.param(check_constants_are_kept, compact, id="constants_are_kept"),
]

BROKEN = [
    ("A1", check_count, broken.remove_up_to_the_threshold),
    ("A1", check_count, broken.keep_above_the_threshold),
    ("A2", check_ties, broken.remove_up_to_the_threshold),
    ("A2", check_ties, broken.keep_above_the_threshold),
    ("A2", check_ties, broken.remove_below_the_percentile),
    ("A3", check_no_percent, broken.count_by_percent),
    ("A4", check_rate_of_survivors, broken.count_of_all_weights),
    ("A5", check_frozen, broken.count_frozen_layers),
    ("A6", check_living_zero, broken.alive_by_weight),
    ("A7", check_no_revival, broken.mask_from_all_scores),
    ("A8", check_no_sentinel, broken.sentinel_for_the_dead),
    ("A9", check_fresh_scores, broken.stale_scores()),
    ("A10", check_repeatable, broken.ties_by_noise),
    ("A11", check_nan, broken.nan_is_largest),
    ("A12", check_matched_by_name, broken.match_by_position),
    ("A12", check_matched_by_name, broken.match_by_name_unchecked),
    ("A13", check_biases_stay, broken.prune_biases_too),
    ("A13", check_density_without_biases, broken.density_with_biases),
    ("A14", check_empty_layer, broken.quit_when_empty),
    ("A14", check_empty_layer, broken.empty_without_a_word),
    ("A15", check_words, broken.density_means_sparsity),
    ("A15", check_words, broken.density_by_truncation),
    ("A35", check_constants_are_kept, broken.compact_without_folding),
]


@pytest.mark.equation("L2", "L6", "L8")
@pytest.mark.parametrize(("check", "ours"), OURS)
def test_it_does_not_happen_here(check: Callable, ours: Callable) -> None:
    check(ours)


@pytest.mark.equation("L8", "N20")
@pytest.mark.parametrize(
    ("check", "variant"),
    [pytest.param(c, v, id=f"{a}-{v.__name__}") for a, c, v in BROKEN],
)
def test_the_broken_variant_is_caught(check: Callable, variant: Callable) -> None:
    with pytest.raises((AssertionError, SystemExit, IndexError)):
        check(variant)


def test_every_bug_of_pruning_on_the_list_has_a_broken_variant() -> None:
    assert {number for number, _, _ in BROKEN} == {*(f"A{i}" for i in range(1, 16)), "A35"}
    checked = {check for _, check, _ in BROKEN}
    assert checked == {case.values[0] for case in OURS}  # and every check is passed by the library


@pytest.mark.parametrize("variant", [broken.keep_above_the_threshold, broken.remove_up_to_the_threshold])
def test_a_loose_tolerance_would_have_hidden_the_first_bug(variant: Callable) -> None:
    """799 of 800 for 800: within 2e-3 of the density, which is why counts are compared as integers."""
    layout = Layout.of_sizes((40, 25))
    mask = variant(random_theta(layout, 0), dense(layout), rate=0.2)
    assert counts(mask) == [799] and abs(weight_density(mask) - 0.8) < 2e-3
