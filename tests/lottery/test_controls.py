"""Controls: each changes the one thing that its name says, really changes it, and leaves all else as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from numpynet.initializers import he_uniform
from numpynet.lottery.controls import (
    control_rngs,
    globally_shuffled_mask,
    one_shot_mask,
    permuted_init,
    random_ticket,
    reinitialised,
    reshuffled,
    shuffled_mask,
    uniform_mask,
)
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import alive_counts, magnitude, weight_density
from numpynet.seeding import Streams, stream, streams
from numpynet.training import begin
from tests.lottery.small import NET, PLAN, mask_of, same, split_of, theta_of
from tests.strategies import densities, seeds

MASK_CONTROLS = {"shuffled": shuffled_mask, "globally shuffled": globally_shuffled_mask, "uniform": uniform_mask}
WEIGHTS = NET.layout.weight_names
BIASES = [name for name in NET.layout.shapes if name not in WEIGHTS]


def sorted_values(parameters: Parameters, name: str) -> list[float]:
    return np.sort(parameters[name], axis=None).tolist()


# ---- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L5")
@given(seeds, densities)
def test_a_shuffled_mask_keeps_the_counts_and_differs_in_every_layer(seed, density):
    mask = mask_of(seed, density)
    shuffled = shuffled_mask(mask, stream(seed, "shuffle"))
    assert alive_counts(shuffled) == alive_counts(mask)
    assert all(not np.array_equal(shuffled[name], mask[name]) for name in WEIGHTS)
    assert all((shuffled[name] == 1).all() for name in BIASES)
    assert set(np.unique(shuffled.vector)) <= {0, 1} and shuffled.dtype == mask.dtype


@given(seeds, st.sampled_from([0.0, 1.0]))
def test_a_layer_of_one_value_has_no_other_order(seed, value):
    mask = mask_of(seed)
    mask["W2"][...] = value
    shuffled = shuffled_mask(mask, stream(seed, "shuffle"))
    assert (shuffled["W2"] == value).all() and not np.array_equal(shuffled["W1"], mask["W1"])


@example(seed=1)
@given(seeds)
def test_also_the_smallest_layer_is_really_shuffled(seed):
    """Two weights, one alive: half of all permutations change nothing."""
    mask = Parameters(np.array([1.0, 0.0, 1.0]), Layout.of_sizes((2, 1)))
    assert shuffled_mask(mask, np.random.default_rng(seed)).vector.tolist() == [0, 1, 1]


@given(seeds)
def test_layers_of_one_shape_get_permutations_of_their_own(seed):
    layout = Layout.of_sizes((6, 6, 6))
    mask = Parameters.ones(layout)
    mask["W1"][...] = mask["W2"][...] = np.random.default_rng(seed).random((6, 6)) < 0.5
    assume(0 < mask["W1"].sum() < 36)
    shuffled = shuffled_mask(mask, stream(seed, "shuffle"))
    assert mask["W1"].sum() in (1, 35) or not np.array_equal(shuffled["W1"], shuffled["W2"])


@pytest.mark.equation("M14")
def test_every_place_is_equally_likely_to_be_alive():
    """8 of 20 weights, 4000 shuffles: each place lives in 1600, give or take 31; Equation (M14)."""
    mask = Parameters.ones(Layout.of_sizes((4, 5)), replicates=(4000,))
    mask["W1"][:, :2, :] = 0
    mask["W1"][:, 3, :2] = 0
    lives = shuffled_mask(mask, control_rngs(range(4000), "shuffle"))["W1"].sum(axis=0)
    assert lives.sum() == 8 * 4000 and np.abs(lives - 1600).max() < 5 * 31


@given(seeds, densities)
def test_a_global_shuffle_keeps_the_total_and_not_the_layers(seed, density):
    mask = mask_of(seed, density)
    mask["W2"][...] = 1  # dense in the middle: the layers will not keep that
    shuffled = globally_shuffled_mask(mask, stream(seed, "shuffle"))
    assert weight_density(shuffled) == weight_density(mask)
    assert alive_counts(shuffled) != alive_counts(mask)
    assert all((shuffled[name] == 1).all() for name in BIASES)


@given(seeds, densities)
def test_a_uniform_mask_keeps_the_total_and_has_one_density(seed, density):
    mask = mask_of(seed, density)
    uniform = uniform_mask(mask, stream(seed, "shuffle"))
    assert weight_density(uniform) == weight_density(mask)
    for name, alive in alive_counts(uniform).items():
        assert abs(alive - weight_density(mask) * mask[name].size) < 1


def test_a_uniform_mask_of_all_or_nothing_is_that():
    for value in (0, 1):
        mask = mask_of(0) * 0 + value
        for name in BIASES:
            mask[name][...] = 1
        assert same(uniform_mask(mask, np.random.default_rng(0)), mask)


@pytest.mark.equation("L2")
@given(seeds, densities)
def test_a_one_shot_mask_has_the_counts_and_the_largest_scores(seed, density):
    scores, mask = magnitude(theta_of(seed)), mask_of(seed, density)
    shot = one_shot_mask(scores, mask)
    assert alive_counts(shot) == alive_counts(mask)
    for name in WEIGHTS:
        assert scores[name][shot[name] == 1].min() > scores[name][shot[name] == 0].max()


# ---- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L5")
@given(seeds)
def test_fresh_weights_are_new_values_of_the_same_law(seed):
    first = NET.init(stream(seed, "init"), initializer=he_uniform, dtype="float64")
    fresh = reinitialised(NET, stream(seed, "reinit"), initializer=he_uniform, dtype="float64")
    for name in WEIGHTS:
        assert not set(sorted_values(first, name)) & set(sorted_values(fresh, name))
        limit = np.sqrt(6 / first[name].shape[0])
        assert np.abs(fresh[name]).max() <= limit
    assert all((fresh[name] == 0).all() for name in BIASES)


@pytest.mark.equation("L5")
@given(seeds)
def test_permuted_weights_are_the_same_values_elsewhere(seed):
    theta_0 = theta_of(seed)
    permuted = permuted_init(theta_0, stream(seed, "permute"))
    for name in WEIGHTS:
        assert sorted_values(permuted, name) == sorted_values(theta_0, name)
        assert not np.array_equal(permuted[name], theta_0[name])
    assert all(np.array_equal(permuted[name], theta_0[name]) for name in BIASES)


@pytest.mark.equation("L5")
@example(seed=1778, density=0.2)  # two survivors: half of all permutations change nothing
@given(seeds, densities)
def test_reshuffled_weights_are_the_survivors_among_themselves(seed, density):
    theta_0, mask = theta_of(seed), mask_of(seed, density)
    new = reshuffled(theta_0, mask, stream(seed, "permute"))
    for name in WEIGHTS:
        alive = mask[name] == 1
        assert np.sort(new[name][alive]).tolist() == np.sort(theta_0[name][alive]).tolist()
        assert np.array_equal(new[name][~alive], theta_0[name][~alive])
        assert alive.sum() == 1 or not np.array_equal(new[name], theta_0[name])


@pytest.mark.equation("L5")
@given(seeds)
def test_ticket_and_controls_are_the_four_combinations_of_two_masks_and_two_starts(seed):
    mask = mask_of(seed)
    start = random_ticket(NET, mask, stream(seed, "shuffle"), stream(seed, "reinit"))
    assert same(start.weight_mask, shuffled_mask(mask, stream(seed, "shuffle")))
    assert same(start.theta_0, reinitialised(NET, stream(seed, "reinit"), dtype="float64"))


# ---- streams, replicates, purity ---------------------------------------------------------------------------------------

CONTROLS = {
    **{name: lambda theta, mask, rng, f=f: f(mask, rng) for name, f in MASK_CONTROLS.items()},
    "reinitialised": lambda theta, mask, rng: reinitialised(NET, rng, dtype="float64"),
    "permuted": lambda theta, mask, rng: permuted_init(theta, rng),
    "reshuffled": lambda theta, mask, rng: reshuffled(theta, mask, rng),
    "random ticket": lambda theta, mask, rng: random_ticket(NET, mask, rng, rng).theta_0,
    "one shot": lambda theta, mask, rng: one_shot_mask(magnitude(theta), mask),
}


@pytest.mark.parametrize("name", CONTROLS)
@given(seeds)
def test_replicate_r_is_what_its_generator_alone_gives(name, seed):
    theta, mask = theta_of(seed, (3,)), mask_of(seed, replicates=(3,))
    theta_copy, mask_copy = theta.copy(), mask.copy()
    make, own = CONTROLS[name], [seed, 1, 2]
    stack = make(theta, mask, control_rngs(own, "shuffle"))
    for r in range(3):
        alone = make(theta.replicate(r), mask.replicate(r), control_rngs(own[r], "shuffle"))
        assert same(stack.replicate(r), alone)
    assert same(theta, theta_copy) and same(mask, mask_copy)  # nothing that was handed in has changed
    assert not any(np.shares_memory(stack.vector, given.vector) for given in (theta, mask))


@pytest.mark.parametrize("name", [name for name in CONTROLS if name != "one shot"])
@given(seeds)
def test_draws_of_one_seed_differ_and_can_be_repeated(name, seed):
    theta, mask = theta_of(seed), mask_of(seed)
    draws = [CONTROLS[name](theta, mask, control_rngs(seed, "shuffle", draw)) for draw in (0, 1, 2, 1)]
    assert same(draws[1], draws[3])
    assert not any(same(draws[a], draws[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@given(seeds, st.sampled_from(Streams._fields), st.integers(0, 5))
def test_the_streams_of_a_purpose_are_numbered_and_the_first_is_that_of_every_run(seed, purpose, draw):
    assert stream(seed, purpose).random() == getattr(streams(seed), purpose).random()
    numbers = [stream(seed, p, d).random() for p in Streams._fields for d in range(6)]
    assert len(set(numbers)) == len(numbers)
    assert stream(seed, purpose, draw).random() == numbers[6 * Streams._fields.index(purpose) + draw]


def test_a_control_trains_like_a_ticket():
    """What a control returns goes into ``begin`` as it is."""
    seeds_, split = [3, 4], split_of(0)
    mask = mask_of(0, replicates=(2,))
    for name, make in CONTROLS.items():
        made = make(theta_of(0, (2,)), mask, control_rngs(seeds_, "shuffle"))
        is_mask = name in MASK_CONTROLS or name == "one shot"
        parts = {"weight_mask": made} if is_mask else {"theta_0": made, "weight_mask": mask}
        assert begin(NET, PLAN, split, seed=seeds_, **parts).theta.replicates == (2,)


# ---- wrong input -------------------------------------------------------------------------------------------------------


def test_one_generator_for_a_stack_is_refused():
    with pytest.raises(ValueError, match=r"there are the replicates \(3,\): give a list"):
        shuffled_mask(mask_of(0, replicates=(3,)), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"for \(2,\) replicates, but \(3,\) came"):
        shuffled_mask(mask_of(0, replicates=(3,)), control_rngs([0, 1], "shuffle"))


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0), [np.random.RandomState(0)]])
def test_a_seed_is_no_generator(rng):
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator"):
        permuted_init(theta_of(0), rng)


@pytest.mark.parametrize("control", [shuffled_mask, globally_shuffled_mask, uniform_mask])
def test_what_is_no_mask_is_refused(control):
    with pytest.raises(ValueError, match="weight_mask of W1"):
        control(theta_of(0), np.random.default_rng(0))
    with pytest.raises(TypeError, match="weight_mask must be Parameters"):
        control(mask_of(0).vector, np.random.default_rng(0))


def test_a_mask_of_another_network_is_refused():
    other = Parameters.ones(MLP((5, 8, 3)).layout, dtype=np.float64)
    for call in (
        lambda: reshuffled(theta_of(0), other, np.random.default_rng(0)),
        lambda: one_shot_mask(theta_of(0), other),
    ):
        with pytest.raises(ValueError, match="weight_mask belongs to another network"):
            call()


@pytest.mark.parametrize(("purpose", "draw"), [("masks", 0), ("shuffle", -1), ("shuffle", 1.0), ("shuffle", True)])
def test_a_stream_that_does_not_exist_is_refused(purpose, draw):
    with pytest.raises(ValueError, match=r"there is no stream|draw is"):
        stream(0, purpose, draw)
