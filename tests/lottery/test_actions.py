"""Mask actions: what survivors start from, where pruned weights stay, and that a training leaves those there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.gradcheck.numeric import complex_step
from numpynet.initializers import glorot_std, he_std
from numpynet.lottery.actions import (
    freeze_init,
    freeze_toward,
    freeze_toward_all,
    random_signed_constant,
    rescaled,
    signed_constant,
    signed_reinit,
    signed_reshuffle,
)
from numpynet.lottery.controls import control_rngs, reinitialised
from numpynet.network import MLP
from numpynet.optimizers import SGD, Decay, Momentum
from numpynet.parameters import Parameters
from numpynet.pruning import magnitude_mask
from numpynet.seeding import stream
from numpynet.training import begin, evaluate, train
from tests.checks import assert_close
from tests.lottery.small import NET, OPTIMIZERS, PLAN, mask_of, plan_with, run, same, split_of, theta_of
from tests.strategies import densities, seeds

WEIGHTS, BIASES = NET.layout.weight_names, NET.layout.bias_names


# ---- what is kept ------------------------------------------------------------------------------------------------------


@given(seeds, st.sampled_from([glorot_std, he_std]))
def test_a_signed_constant_keeps_the_signs_and_one_size_for_each_layer(seed, std):
    theta_0 = theta_of(seed)
    new = signed_constant(theta_0, std=std)
    for name in WEIGHTS:
        assert np.array_equal(np.sign(new[name]), np.sign(theta_0[name]))
        assert (np.abs(new[name]) == std(*NET.layout.shapes[name])).all()
    assert all(np.array_equal(new[name], theta_0[name]) for name in BIASES)


@given(seeds)
def test_random_signs_are_random_and_half_of_them_positive(seed):
    theta_0 = theta_of(seed)
    new = random_signed_constant(theta_0, stream(seed, "signs"))
    positive = np.concatenate([new[name].ravel() > 0 for name in WEIGHTS])
    assert 0.2 < positive.mean() < 0.8 and not np.array_equal(np.sign(new["W1"]), np.sign(theta_0["W1"]))
    assert all((np.abs(new[name]) == glorot_std(*NET.layout.shapes[name])).all() for name in WEIGHTS)
    assert all(np.array_equal(new[name], theta_0[name]) for name in BIASES)
    stack = random_signed_constant(theta_0, control_rngs([seed, 1], "signs"))
    assert same(stack.replicate(0), new) and not same(stack.replicate(1), new)


@given(seeds, densities)
def test_signs_stay_where_they_are_when_magnitudes_change(seed, density):
    theta_0, mask = theta_of(seed), mask_of(seed, density)
    fresh = reinitialised(NET, stream(seed, "reinit"), dtype="float64")
    for new, magnitudes in (
        (signed_reinit(theta_0, fresh), fresh),
        (signed_reshuffle(theta_0, mask, stream(seed, "permute")), theta_0),
    ):
        for name in WEIGHTS:
            assert np.array_equal(np.sign(new[name]), np.sign(theta_0[name]))
            assert np.sort(np.abs(new[name]), None).tolist() == np.sort(np.abs(magnitudes[name]), None).tolist()
        assert all(np.array_equal(new[name], theta_0[name]) for name in BIASES)
        alive = mask["W1"] == 1
        assert not np.array_equal(np.abs(new["W1"])[alive], np.abs(theta_0["W1"])[alive])


@given(seeds, densities)
def test_a_rescaled_layer_is_multiplied_by_one_over_its_density(seed, density):
    theta, mask = theta_of(seed), mask_of(seed, density)
    new = rescaled(theta, mask)
    for name in WEIGHTS:
        assert_close(new[name] * mask[name].mean(), theta[name])
    assert all(np.array_equal(new[name], theta[name]) for name in BIASES)
    mask["W2"][...] = 0
    assert np.array_equal(rescaled(theta, mask)["W2"], theta["W2"])


# ---- what is pruned ----------------------------------------------------------------------------------------------------


@given(seeds, densities)
def test_frozen_weights_are_initial_values_at_pruned_places_alone(seed, density):
    theta_0, theta_T, mask = theta_of(seed), theta_of(seed + 1), mask_of(seed, density)
    pruned = mask.vector == 0
    everything = freeze_init(theta_0, mask).vector
    assert np.array_equal(everything[pruned], theta_0.vector[pruned]) and not everything[~pruned].any()
    toward, reverse = (freeze_toward(theta_0, theta_T, mask, reverse=r).vector for r in (False, True))
    shrank = np.abs(theta_T.vector) < np.abs(theta_0.vector)
    assert np.array_equal(toward[pruned], np.where(shrank, 0, theta_0.vector)[pruned])
    assert np.array_equal(toward + reverse, everything)
    chance = freeze_toward(theta_0, theta_T, mask, rng=stream(seed, "signs"))
    for name in WEIGHTS:
        at = mask[name] == 0
        assert not chance[name][~at].any() and set(chance[name][at]) <= {0.0, *theta_0[name][at]}
        as_many = (Parameters(toward, NET.layout)[name][at] == 0).sum()
        assert (chance[name][at] == 0).sum() == as_many


@given(seeds)
def test_the_rule_for_all_acts_on_survivors_as_well(seed):
    theta_0, theta_T, mask = theta_of(seed), theta_of(seed + 1), mask_of(seed)
    start, frozen = freeze_toward_all(theta_0, theta_T, mask)
    assert same(frozen, freeze_toward(theta_0, theta_T, mask)) and same(start.weight_mask, mask)
    for name in WEIGHTS:
        shrank = np.abs(theta_T[name]) < np.abs(theta_0[name])
        assert np.array_equal(start.theta_0[name], np.where(shrank, 0, theta_0[name]))
    assert all(np.array_equal(start.theta_0[name], theta_0[name]) for name in BIASES)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize(
    "decay", [Decay(), Decay(coupled=0.1), Decay(decoupled=0.1)], ids=["plain", "coupled", "adamw"]
)
def test_frozen_weights_stay_where_they_are_and_take_part(optimizer, decay):
    split, theta_0, mask = split_of(0), theta_of(0), mask_of(0)
    frozen, plan = freeze_init(theta_0, mask), plan_with(optimizer=optimizer, decay=decay, clip_norm=0.5)
    state = begin(NET, plan, split, seed=1, theta_0=theta_0, weight_mask=mask, frozen=frozen)
    assert same(state.theta, theta_0)
    pruned = mask.vector == 0
    for record in train(state, split, monitors={"train": split}):
        assert np.array_equal(state.theta.vector[pruned], theta_0.vector[pruned])
        assert record.loss["train"] == evaluate(NET, state.theta, split)[0]
    assert (state.theta.vector[~pruned] != theta_0.vector[~pruned]).all()


def test_the_step_is_that_of_the_gradient_of_the_survivors():
    """One step of SGD by hand: the loss with the frozen part, its complex-step gradient, at survivors alone."""
    split, theta_0, mask = split_of(0, 7), theta_of(0), mask_of(0)
    net = MLP(NET.sizes, NET.activation)
    plan = plan_with(optimizer=SGD(), schedule=0.1, steps=1)
    state = begin(net, plan, split, theta_0=theta_0, weight_mask=mask, frozen=freeze_init(theta_0, mask))
    run(state, split)

    def loss(vector):
        return softmax_cross_entropy.forward(net.forward(Parameters(vector, net.layout), split.x)[0], split.y)[0]

    assert_close(state.theta.vector, theta_0.vector - 0.1 * mask.vector * complex_step(loss, theta_0.vector))


def test_a_run_with_frozen_weights_can_be_interrupted(tmp_path):
    split, theta_0, mask = split_of(0), theta_of(0), mask_of(0)
    whole, half = (
        begin(NET, PLAN, split, seed=1, theta_0=theta_0, weight_mask=mask, frozen=freeze_init(theta_0, mask))
        for _ in range(2)
    )
    run(whole, split)
    run(half, split, until=5)
    save_checkpoint(tmp_path / "half.npz", half, split)
    again = load_checkpoint(tmp_path / "half.npz", NET, PLAN, split, seed=1)
    assert same(run(again, split).theta, whole.theta)


def test_replicates_have_frozen_weights_of_their_own():
    split, theta_0 = split_of(0), theta_of(0, (2,))
    mask = magnitude_mask(theta_0, rate=0.5)
    frozen = freeze_init(theta_0, mask)
    state = begin(NET, PLAN, split, seed=[1, 2], theta_0=theta_0, weight_mask=mask, frozen=frozen)
    run(state, split)
    assert np.array_equal(state.theta.vector[mask.vector == 0], theta_0.vector[mask.vector == 0])


# ---- wrong input -------------------------------------------------------------------------------------------------------


def frozen_run(**changes):
    theta_0, mask = theta_of(0), mask_of(0)
    parts = {"theta_0": theta_0, "weight_mask": mask, "frozen": freeze_init(theta_0, mask), **changes}
    plan = parts.pop("plan", PLAN)
    return begin(NET, plan, split_of(0), **parts)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weight_mask": None}, ValueError, "there is no weight_mask"),
        ({"frozen": theta_of(0)}, ValueError, "frozen is not 0 at weights or biases that are alive"),
        ({"frozen": theta_of(0).vector}, ValueError, "frozen must be Parameters"),
        ({"frozen": Parameters.zeros(NET.layout)}, TypeError, "frozen has dtype float32"),
        ({"frozen": theta_of(0, (2,)) * 0}, ValueError, "frozen has the replicates"),
        ({"plan": plan_with(decay=Decay(max_norm=1.0), optimizer=Momentum())}, ValueError, "max_norm would shorten"),
    ],
)
def test_what_cannot_be_frozen_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        frozen_run(**changes)


def test_stacks_need_a_generator_each_and_networks_must_agree():
    with pytest.raises(ValueError, match="give a list with a generator"):
        random_signed_constant(theta_of(0, (2,)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="different networks"):
        signed_reinit(theta_of(0), Parameters.ones(MLP((5, 3)).layout))
    with pytest.raises(ValueError, match="weight_mask belongs to another network"):
        freeze_init(theta_of(0), Parameters.ones(MLP((5, 3)).layout))
